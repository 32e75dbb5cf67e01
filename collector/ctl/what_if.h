/* penstockctl … --what-if: what stands in the map and its evidence, judged again under another
 * policy file. Nothing is changed anywhere.
 *
 * The policy file is the only thing that is replaced. The operator's entries in SQL and what was
 * learned count as they stand there; what BGP and RPKI said is taken from the stored entries. */
#pragma once

#include "collector/ctl/command.h"
#include "collector/store/look.h"

/* prefix: only what overlaps it; NULL: the whole map. Prints what would change. The exit status. */
int what_if(const struct call *call, struct look *look, const char *prefix);

/* How evidence gets older, and what passive mode adds to it, over the rows of the map. */
#pragma once

#include "collector/loop/fold.h"

/* Looks at the next slice of the rows: what their evidence is worth by now. Called once a second,
 * it meets each of a million rows within a minute; evidence lives for hours. */
#define FOLD_EVIDENCE_SLICE 20000
void fold_evidence_tick(struct fold *f, int64_t now);

/* Passive mode's sums, on the rows that they are about and that are there: it makes none. */
void fold_evidence_passive(struct fold *f, const char *pop, const struct event_passive_total *t);

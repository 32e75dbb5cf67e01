/* The first half of a turn: what comes. Hellos are answered, batches are accounted for, decoded and
 * folded; what cannot be read is set aside with its bytes, and an event of a trial that was found
 * to be poisoned likewise. A batch that is in doubt and may not share its transaction, or of which
 * only the beginning was taken, is held for the next turn. */
#pragma once

#include "collector/loop/loop.h"

/* All that waits, but no more than a group; waits at most timeout_ms for a first message. */
int loop_take(struct loop *l, int timeout_ms, struct note *note);

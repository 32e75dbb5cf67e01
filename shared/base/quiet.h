/* Log lines that others can cause: the first at once, then one every ten seconds, which says how
 * many there were. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/clock.h"

struct quiet {
    uint64_t until;
    unsigned held_back;
};

/* true: say it; *more: how many were not said before it. */
static inline bool quiet_ends(struct quiet *q, uint64_t now, unsigned *more)
{
    if (now < q->until) {
        q->held_back++;
        return false;
    }
    *more = q->held_back;
    *q = (struct quiet){.until = now + 10 * NS_PER_S};
    return true;
}

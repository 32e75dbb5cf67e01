/* How a routing table is made: private to rib.c, rib_builder.c. */
#pragma once

#include "collector/expect/rib.h"

/* A set in the pool: one rib_path whose neighbour_as counts the paths that follow it. */
static inline unsigned set_count_of(const struct rib_path *set)
{
    return set->neighbour_as;
}

/* Takes lpm (emptied) and pool; NULL: no memory, then both stay the caller's. Values of lpm are
 * offsets of sets in pool. */
struct rib *rib_of(struct lpm *lpm, struct rib_path *pool, size_t sets, size_t prefixes);

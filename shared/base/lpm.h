/* Longest-prefix match over IPv4 and IPv6 prefixes: prefix -> 32-bit value.
 *
 * A plain binary trie, one node per bit, in one growing array; IPv4 and IPv6 have roots of their
 * own. A look-up costs one step per bit of the longest match (24 for a /24), without allocation.
 * It serves where look-ups are per flow or per event. Where every packet of a link passes, the
 * kernel's LPM map (or DPDK's rte_lpm) does this work. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"

#define LPM_NONE UINT32_MAX

struct lpm_node {
    uint32_t child[2]; /* index; 0: none (the roots are nobody's child) */
    uint32_t value;    /* LPM_NONE: no prefix ends here */
};

struct lpm {
    struct lpm_node *nodes;
    uint32_t used, room;
};

int lpm_init(struct lpm *l); /* 0 or -ENOMEM */
void lpm_clear(struct lpm *l);

/* Adds or replaces. value must not be LPM_NONE. 0 or -ENOMEM (then nothing changed). */
int lpm_set(struct lpm *l, const struct prefix *p, uint32_t value);

/* Removes; nothing happens if it is not there. Nodes are kept for later use. */
void lpm_remove(struct lpm *l, const struct prefix *p);

/* Value of the longest prefix that contains a, or LPM_NONE. */
uint32_t lpm_find(const struct lpm *l, const struct addr *a);

/* Value of the longest prefix that covers all of p, or LPM_NONE. */
uint32_t lpm_find_cover(const struct lpm *l, const struct prefix *p);

/* Longest-prefix match over IPv4 and IPv6 prefixes: prefix -> 32-bit value.
 *
 * A binary trie with compressed paths (Morrison's PATRICIA, 1968) in one growing array: a node is a
 * prefix that was set, or one at which two others part; IPv4 and IPv6 have roots of their own. So a
 * look-up takes as many steps as there are such nodes above the answer (about log2 of the number
 * of prefixes, one for a single prefix), not one per bit, without allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"

#define LPM_NONE UINT32_MAX

struct lpm_node {
    uint64_t bits[2];  /* of the prefix, the first bit highest; zero beyond its length */
    uint64_t mask;     /* of the last word that the prefix reaches into */
    uint32_t child[2]; /* index, by the bit after the prefix; 0: none (roots are nobody's child) */
    uint32_t value;    /* LPM_NONE: two others part here, or it was removed */
    uint8_t length;
};

struct lpm {
    struct lpm_node *nodes;
    uint32_t used, room;
    uint32_t spare; /* the first node that is free again, linked by child[0]; 0: none */
};

int lpm_init(struct lpm *l); /* 0 or -ENOMEM */
void lpm_clear(struct lpm *l);

/* Adds or replaces. value must not be LPM_NONE. 0 or -ENOMEM (then nothing changed). */
int lpm_set(struct lpm *l, const struct prefix *p, uint32_t value);

/* Removes; nothing happens if it is not there. Its nodes are used again: there are never more than
 * two for each prefix that is there. */
void lpm_remove(struct lpm *l, const struct prefix *p);

/* Value of the longest prefix that contains a, or LPM_NONE. */
uint32_t lpm_find(const struct lpm *l, const struct addr *a);

/* The node at the top of everything that lies inside p (p itself included), or LPM_NONE. */
uint32_t lpm_below(const struct lpm *l, const struct prefix *p);

/* Value of the longest prefix that covers all of p, or LPM_NONE. */
uint32_t lpm_find_cover(const struct lpm *l, const struct prefix *p);

/* The nodes of all prefixes that cover p, the longest first, as indices of nodes. At most
 * LPM_COVERS_MAX; returns how many. */
#define LPM_COVERS_MAX 129
unsigned lpm_covers(const struct lpm *l, const struct prefix *p,
                    uint32_t nodes[static LPM_COVERS_MAX]);

/* Does any prefix lie inside p that is not p itself? Also true where all of them were removed. */
bool lpm_divides(const struct lpm *l, const struct prefix *p);

/* What one hand wrote down about expectation: the operator's file, the operator's entries in SQL,
 * or what the map learned. Two kinds of entries:
 *
 *   prefix -> places   the traffic of that prefix may enter there, and nowhere else
 *   cone of a peer     that neighbour may send from these prefixes, and from no others
 *
 * A field of a place that is not given matches anything. Entries of one prefix add up. Zeroed is
 * empty and usable. Pure. */
#pragma once

#include "collector/ingress/ingress.h"
#include "shared/base/lpm.h"

struct expect_place {
    char pop[32], router[32], interface[32]; /* "": any */
    uint64_t vlan, peer_as;                  /* 0: any */
    uint8_t mac[6];                          /* zero: any */
};

struct expect_entry {
    struct prefix prefix;
    size_t first, count; /* places[first .. first + count) */
    size_t more;         /* 1 + index of the next entry of the same prefix; 0: none */
};

/* One sentence; also a row of SQL table expectation. */
struct expect_row {
    bool is_learned;      /* else an operator said so */
    struct prefix prefix; /* family 0: only of a cone, which is empty then */
    uint32_t cone_as;     /* 0: the prefix is expected at the place */
    struct expect_place place;
    bool is_nowhere; /* the prefix is expected at no place */
};

struct expect_cone {
    uint32_t peer_as;
    struct lpm lpm; /* its prefixes; the values mean nothing */
};

struct expect_list {
    struct expect_entry *entries;
    size_t entry_count, entry_room;
    struct expect_place *places;
    size_t place_count, place_room;
    struct lpm lpm; /* prefix -> index of its first entry */
    struct expect_cone *cones;
    size_t cone_count, cone_room; /* ordered by peer_as */
    size_t cone_prefixes;
};

/* Adds an entry; places are copied. No place: nowhere, unless another entry of that prefix says
 * where. -ENOMEM. */
int expect_list_add(struct expect_list *l, const struct prefix *prefix,
                    const struct expect_place *places, size_t count);

/* Adds prefixes to the cone of a peer; none: it has a cone, though an empty one. -ENOMEM. */
int expect_list_cone_add(struct expect_list *l, uint32_t peer_as, const struct prefix *prefixes,
                         size_t count);

/* Adds what a row says. -ENOMEM. */
int expect_list_take(struct expect_list *l, const struct expect_row *row);

/* Is there an entry of exactly that prefix? */
bool expect_list_has(const struct expect_list *l, const struct prefix *prefix);

/* The entry of the longest prefix that covers src, or NULL. */
const struct expect_entry *expect_list_find(const struct expect_list *l, const struct prefix *src);

/* Does one of the places of that entry, and of the others of its prefix, fit? */
bool expect_list_allows(const struct expect_list *l, const struct expect_entry *entry,
                        const struct ingress_row *row);

/* That peer's cone, or NULL. */
const struct expect_cone *expect_list_cone_of(const struct expect_list *l, uint64_t peer_as);

void expect_list_clear(struct expect_list *l);

/* A routing table, as far as expectation needs it: for each prefix the neighbours that have a path,
 * the best one first, and the origin of each path.
 *
 * It is made of what a dump tells, entry by entry: a table dump gives every path of every prefix;
 * updates after it replace and withdraw the paths of their peer. Best is what BGP's decision would
 * prefer of what it can see here: the highest local preference, the shortest AS path, the lowest
 * origin code, and then the path that was told first (BIRD tells the best first). MED compares
 * paths of one neighbour only, and those are one here.
 *
 * Memory. While it is made 32 bytes per path and about 100 per prefix; then about 100 per prefix,
 * and 8 per path of each distinct set of paths: prefixes with the same paths share one. max_paths
 * bounds it. Pure. */
#pragma once

#include "collector/ingress/ingress.h"
#include "shared/base/lpm.h"

enum rib_kind {
    RIB_ENTRY,    /* of a table dump */
    RIB_ANNOUNCE, /* of an update */
    RIB_WITHDRAW,
    RIB_DOWN /* the session with that peer ended: all it told is gone */
};

/* What one line says. */
struct rib_entry {
    enum rib_kind kind;
    uint32_t at; /* seconds since 1970 */
    struct addr peer;
    uint32_t peer_as;
    struct prefix prefix;
    uint32_t neighbour_as; /* first AS of the path that is not our own; 0: our own route */
    uint32_t origin_as;    /* last AS of the path; 0: none (our own route, or it ends in a set) */
    uint32_t local_pref;
    uint16_t path_length;
    uint8_t origin; /* 0 IGP, 1 EGP, 2 INCOMPLETE */
};

/* A path as it is kept. */
struct rib_path {
    uint32_t neighbour_as, origin_as;
};

struct rib;
struct rib_builder;

int rib_builder_new(size_t max_paths, struct rib_builder **out);
void rib_builder_free(struct rib_builder *b);

/* ERR_FULL: more paths than max_paths, or more than 65,535 peers. -ENOMEM. After an error the
 * builder is good for being freed. */
int rib_builder_add(struct rib_builder *b, const struct rib_entry *e);

/* The table. The builder is empty then, and to be freed. When a file holds several dumps one after
 * the other (BIRD appends), only the last counts: entries that are older than the time at which a
 * dump began that tells a path again are left out. -ENOMEM. */
int rib_builder_finish(struct rib_builder *b, struct rib **out);

void rib_free(struct rib *r);
size_t rib_prefixes(const struct rib *r);
size_t rib_sets(const struct rib *r); /* distinct sets of paths */

/* The routes that cover p, the longest first; at most LPM_COVERS_MAX. Returns how many. */
struct rib_route {
    unsigned length;
    unsigned count;
    const struct rib_path *paths; /* borrowed; the best first */
};
unsigned rib_covers(const struct rib *r, const struct prefix *p,
                    struct rib_route routes[static LPM_COVERS_MAX]);

/* Does a route lie inside p that is not p's own? */
bool rib_divides(const struct rib *r, const struct prefix *p);

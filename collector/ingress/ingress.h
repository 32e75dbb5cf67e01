/* The ingress map: where does traffic from each prefix enter? One entry per (prefix, ingress
 * point). Folds tallies; the evidence of tests is written to it by the loop from evidence/. Pure.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/err.h"
#include "shared/wire/event.h"

enum ingress_state {
    STATE_UNVERIFIED,
    STATE_TESTING,
    STATE_GENUINE,
    STATE_MIXED,
    STATE_SPOOFED,
    STATE_INCONCLUSIVE,
    STATE_UNVERIFIABLE
};
extern const char *const ingress_state_word[];

enum expected { EXPECTED_UNKNOWN, EXPECTED_NO, EXPECTED_YES };

/* What the routing table says about this prefix at this place's peer. */
enum bgp_state {
    BGP_UNKNOWN,     /* no table, or the place has no peer AS */
    BGP_BEST,        /* the best path comes from that peer */
    BGP_ALTERNATIVE, /* another valid path does */
    BGP_NONE         /* that peer announces no path that covers it */
};
extern const char *const bgp_state_word[]; /* "": unknown */

/* RFC 6811: the origin that the routing table shows, against the VRPs. */
enum rpki_state { RPKI_UNKNOWN, RPKI_VALID, RPKI_INVALID, RPKI_NOT_FOUND };
extern const char *const rpki_state_word[]; /* "": unknown */

/* One map entry; also the row of SQL table ingress_entry. */
struct ingress_row {
    struct prefix prefix;
    char pop[32];
    struct ingress at;
    enum ingress_state state;
    char testing_by[64]; /* state `testing`: name of the sensor whose test began last; else "" */
    bool has_evidence;   /* else the next four are NULL in SQL */
    double genuine_probability, genuine_fraction, genuine_low, genuine_high;
    double share;            /* of the prefix's bytes over all its ingress points, decayed */
    double weight;           /* decayed bytes behind share; kept so that a restart goes on */
    int64_t weight_at;       /* wall ns to which weight is decayed */
    uint64_t packets, bytes; /* since first_seen */
    enum expected expected;
    char expected_by[32]; /* "policy", "bgp", "rpki", "learned"; "": nobody said */
    enum bgp_state bgp;
    enum rpki_state rpki;
    uint32_t origin_as; /* of the path that bgp tells of; 0: not known */
    /* Evidence that ages (collector/evidence/): decayed counts, at evidence_at. */
    double evidence_genuine, evidence_spoofed;
    int64_t evidence_at;
    int64_t untestable_at; /* when a test last found nothing to test here; 0: never */
    int64_t genuine_since; /* genuine without a break since; 0: it is not */
    double genuine_share;  /* of the prefix's estimated genuine bytes over all its places */
    char bundle[64];       /* the places of one router that share evenly have one name; "": alone */
    uint64_t tests;
    int64_t first_seen, last_seen, last_test_at; /* wall ns; 0: never */
    uint32_t id;                                 /* of this process; not in SQL */
};

struct ingress_conf {
    uint64_t half_life_ns; /* of weights behind shares; 0: they never age */
    unsigned max_rows;
    uint64_t seed; /* keys the hash table; main() draws it, tests set it */
};

struct ingress_map;

int ingress_map_new(const struct ingress_conf *conf, struct ingress_map **out);
void ingress_map_free(struct ingress_map *m);

/* At start, from the database. */
int ingress_map_load(struct ingress_map *m, const struct ingress_row *row);

/* The entry for (prefix, pop, at), made if it is new (*is_new); it was seen at now. ERR_FULL when
 * max_rows are there, -ENOMEM. The pointer is good until the map is freed: rows do not move. */
int ingress_map_touch(struct ingress_map *m, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, int64_t now, struct ingress_row **out,
                      bool *is_new);

/* Folds one tally of a sensor at pop. */
int ingress_map_tally(struct ingress_map *m, const char *pop, const struct event_tally *t,
                      struct ingress_row **out, bool *is_new);

/* Marks a row whose evidence or expectation the caller changed. */
void ingress_map_changed(struct ingress_map *m, struct ingress_row *row);

/* Calls each for all rows at that pop and ingress whose prefix is covered by p. */
void ingress_map_each(struct ingress_map *m, const struct prefix *p, const char *pop,
                      const struct ingress *at, void (*each)(void *arg, struct ingress_row *row),
                      void *arg);

/* Calls each for every row, as after a load or when the expectation changed. */
void ingress_map_all(struct ingress_map *m, void (*each)(void *arg, struct ingress_row *row),
                     void *arg);

/* The tested row (tests > 0) with the longest prefix that covers p and is not p, at that pop and
 * ingress: a new row inherits its evidence. NULL if there is none. */
const struct ingress_row *ingress_map_cover(const struct ingress_map *m, const struct prefix *p,
                                            const char *pop, const struct ingress *at);

/* Rows that changed since they were last taken; each once, in the order in which they first
 * changed. Shares of a prefix's other rows change
 * with it and are taken too. */
bool ingress_map_take(struct ingress_map *m, struct ingress_row *out);

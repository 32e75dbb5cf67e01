/* The ingress map: where does traffic from each prefix enter? Pure: time and seed are arguments.
 *
 * Truth is in cells: the counters of one leaf (a prefix as sensors tally it) at one place (PoP and
 * ingress). What is published are rows, one per (range, place). A range is a prefix whose leaves
 * behave alike: a lone leaf is a range by itself, neighbours join to a wider one, and a leaf whose
 * traffic begins to enter elsewhere is split off. A row's counters and shares are the sums over its
 * leaves' cells; what else it says (evidence, expectation) is written to it by the loop. So
 * whatever splits and joins do, the sum of packets and bytes over rows is that over the folded
 * tallies.
 *
 * Traffic that is proven spoofed weighs less by the row's genuine fraction: it neither splits nor
 * moves a range. docs/ingress.md says when ranges split, join and move. All work is bounded:
 * ingress_map_tick() visits a slice of the ranges. */
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
    bool is_main;          /* it carries the bulk of its prefix's genuine traffic */
    bool is_present;       /* that it appeared was told, and not yet that it left */
    uint64_t tests;
    int64_t first_seen, last_seen, last_test_at; /* wall ns; 0: never */
    bool is_gone;                                /* only in what take hands out: delete it */
    uint32_t id;                                 /* of this process; not in SQL */
};

/* A cell, as it is kept in SQL. */
struct ingress_cell {
    struct prefix prefix; /* the leaf, as tallied */
    char pop[32];
    struct ingress at;
    double weight, recent; /* bytes at last_seen: decayed slowly (shares), and fast (moves) */
    int64_t first_seen, last_seen; /* wall ns */
    uint64_t packets, bytes;       /* since first_seen */
};

/* ---- what changed in the course of time ---- */

enum ingress_change_kind {
    CHANGE_APPEARED, /* `to` carries a part worth naming of the prefix's genuine traffic */
    CHANGE_LEFT,     /* `from` does no more */
    CHANGE_MOVED,    /* the genuine bulk left `from` for `to` */
    CHANGE_SPLIT,    /* prefix became its own range, or `other` did within it */
    CHANGE_JOINED,   /* prefix is one range now; `other` is one of what it was before */
    CHANGE_REFUSED   /* `to` is louder than `from`, which keeps the bulk: it is proven spoofed, or
                      * untested and takes nothing away from `from`, or proven genuine and not
                      * the bulk; to.state says which */
};
extern const char *const ingress_change_word[];

/* One place of a change, before and after. */
struct ingress_side {
    bool is_there; /* else all else is 0 */
    char pop[32];
    struct ingress at;
    double share_before, share_after;             /* genuine shares, by recent traffic, in [0, 1] */
    bool has_evidence;                            /* else the next two are 0, and NULL in SQL */
    double probability_before, probability_after; /* that its traffic is genuine */
    enum ingress_state state;
};

struct ingress_change {
    int64_t at;
    enum ingress_change_kind kind;
    struct prefix prefix, other; /* other: of splits and joins; else family 0 */
    struct ingress_side from, to;
};

struct ingress_conf {
    uint64_t half_life_ns;      /* of weights behind shares; 0: they never age */
    uint64_t recent_ns;         /* half-life of what moves are noticed by; 0: a minute */
    uint64_t forget_after_ns;   /* what was not seen for so long is forgotten; 0: never */
    uint64_t write_interval_ns; /* take hands a row's counters out no more often; 0: always */
    uint64_t join_after_ns;     /* a range joins others when it was seen for so long */
    bool is_rigid;              /* ranges neither split nor join */
    unsigned max_rows;
    unsigned max_cells; /* 0: four times max_rows */
    unsigned crowd;     /* above so many rows, what only trickles is gathered; 0: max_rows / 2 */
    uint64_t trickle;   /* decayed bytes below which a lone leaf only trickles; 0: 65536 */
    uint64_t seed;      /* keys the hash tables; main() draws it, tests set it */
};

struct ingress_map;

int ingress_map_new(const struct ingress_conf *conf, struct ingress_map **out);
void ingress_map_free(struct ingress_map *m);

/* The map asks expect for what is expected of a row that it makes itself, by a split or a join: it
 * fills expected, expected_by, bgp, rpki and origin_as, and must not touch the map. The row may be
 * one that is only considered. Without it (NULL) such a row takes over what its source says. */
void ingress_map_expecting(struct ingress_map *m,
                           void (*expect)(void *arg, struct ingress_row *row), void *arg);

/* What counts: refused for want of room, and what was done; all since the start. */
struct ingress_counts {
    uint64_t cells_refused, changes_lost;    /* no room; a row refused is the caller's ERR_FULL */
    uint64_t splits, joins, moves, gathered; /* ranges; lone leaves gathered as a trickle */
    uint64_t moves_refused;                  /* CHANGE_REFUSED */
    uint64_t forgotten;                      /* cells */
    uint32_t rows, ranges, leaves, cells, places; /* now */
};
struct ingress_counts ingress_map_counts(const struct ingress_map *m);

/* ---- at start, from the database: rows, then cells, then tallies, then the end ---- */

/* A row. ERR_FULL, -ENOMEM, as the next two. Its counters are used only where no cell tells them
 * by the end (then the row is a leaf of its own): so rows alone are enough to begin with. */
int ingress_map_load(struct ingress_map *m, const struct ingress_row *row);
/* A cell of the newest complete generation. A second one for the same leaf and place replaces the
 * first. One that was forgotten since it was written down stays forgotten: its row is gone, or
 * began long after it. */
int ingress_map_load_cell(struct ingress_map *m, const struct ingress_cell *cell);
/* A tally that was folded after its cell was kept. The caller compares the turns. */
int ingress_map_replay(struct ingress_map *m, const char *pop, const struct event_tally *t);
/* All is there: rows are made of cells again. Nothing is learned anew, no change is told of; a row
 * whose counters differ from what was loaded is taken. */
int ingress_map_load_end(struct ingress_map *m);

/* ---- cells, on their way to the database ---- */

/* Calls each for the cells of the next leaf; zeroed *cursor begins. False: there was none, the
 * generation is complete. May go on in later turns: a leaf that is there all the while is met
 * exactly once, one that comes meanwhile at most once. */
bool ingress_map_cell_next(const struct ingress_map *m, uint32_t *cursor,
                           void (*each)(void *arg, const struct ingress_cell *cell), void *arg);

/* ---- folding ---- */

/* The row for exactly (prefix, pop, at), made if it is new (*is_new); it was seen at now. A wider
 * range is split so that prefix stands by itself. ERR_FULL when max_rows are there, -ENOMEM. The
 * pointer is good until the next touch, tally or tick. */
int ingress_map_touch(struct ingress_map *m, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, int64_t now, struct ingress_row **out,
                      bool *is_new);

/* Folds one tally of a sensor at pop. *out: the row of its range, perhaps a wider one; as touch. */
int ingress_map_tally(struct ingress_map *m, const char *pop, const struct event_tally *t,
                      struct ingress_row **out, bool *is_new);

/* Marks a row whose evidence or expectation the caller changed: it is handed out at once. */
void ingress_map_changed(struct ingress_map *m, struct ingress_row *row);

/* The row for exactly (prefix, pop, at), or NULL. */
struct ingress_row *ingress_map_find(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at);

/* The row of the narrowest range that covers prefix and has that place, or NULL. */
struct ingress_row *ingress_map_over(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at);

/* Where traffic of that address enters now: the row that carries the bulk of the narrowest range
 * around it, by recent genuine traffic. NULL: unknown, or only trickles come from there. */
const struct ingress_row *ingress_map_main(const struct ingress_map *m, const struct addr *a);

/* Who holds on to a row: a bit each. While one is set the row's range neither splits nor joins, and
 * the row is not forgotten. Pins are not in SQL: whoever set one sets it again after a load. */
enum ingress_pin { PIN_ALERT = 1, PIN_ORDER = 2, PIN_TEST = 4 };
void ingress_map_pin(struct ingress_map *m, struct ingress_row *row, enum ingress_pin pin,
                     bool is_held);

/* Visits the next slice of the ranges: decay, forgetting, joins, bundles, and what left. Call it
 * once a second or so; with n ranges each is visited at least every n / INGRESS_SLICE calls. */
#define INGRESS_SLICE 4000
void ingress_map_tick(struct ingress_map *m, int64_t now);

/* The clock was set back to now: no time in the map is after it. */
void ingress_map_not_after(struct ingress_map *m, int64_t now);
/* The clock jumped to now: nobody knows how old anything is, so nothing is forgotten until
 * forget_after has passed by the new clock. */
void ingress_map_clock_jumped(struct ingress_map *m, int64_t now);

/* Calls each for all rows at that pop and ingress whose prefix is covered by p. */
void ingress_map_each(struct ingress_map *m, const struct prefix *p, const char *pop,
                      const struct ingress *at, void (*each)(void *arg, struct ingress_row *row),
                      void *arg);

/* Calls each for every row, as after a load or when the expectation changed. */
void ingress_map_all(struct ingress_map *m, void (*each)(void *arg, struct ingress_row *row),
                     void *arg);

/* Calls each for the next rows, at most so many; zeroed *cursor begins, and after the last row it
 * begins anew. A row that is there all the while is met once in each round. */
void ingress_map_some(struct ingress_map *m, uint32_t *cursor, uint32_t most,
                      void (*each)(void *arg, struct ingress_row *row), void *arg);

/* Calls each for all rows of exactly that prefix: the places that it enters by. */
void ingress_map_places(struct ingress_map *m, const struct prefix *p,
                        void (*each)(void *arg, struct ingress_row *row), void *arg);

/* The tested row (tests > 0) with the longest prefix that covers p and is not p, at that pop and
 * ingress: a new row inherits its evidence. NULL if there is none. */
const struct ingress_row *ingress_map_cover(const struct ingress_map *m, const struct prefix *p,
                                            const char *pop, const struct ingress *at);

/* Rows that changed since they were last taken; each once, in the order in which they first
 * changed. Shares of a prefix's other rows change with it and are taken too. Rows that only counted
 * wait for write_interval_ns, at most twice that, by the time of the last tick; but with one row
 * of a range all others of it are handed out that wait, so that shares are of one moment (not of
 * ranges of more than 64 places). A row with is_gone is no more: it may be that it was never taken
 * before. */
bool ingress_map_take(struct ingress_map *m, struct ingress_row *out);

/* Rows that wait are handed out now, too: before a clean end. */
void ingress_map_hurry(struct ingress_map *m);

/* Changes since they were last taken, oldest first. Of those that nobody takes the map keeps a
 * bounded number, and counts the rest in changes_lost. */
bool ingress_map_take_change(struct ingress_map *m, struct ingress_change *out);

/* What the files of this folder share; nobody else includes it.
 *
 *   place.c   places: PoP and ingress -> small number
 *   cells.c   leaves and their cells: what was counted
 *   rows.c    ranges and their rows: what is published, and the queues to those who take it
 *   merge.c   rows made of cells; the rows of two ranges become those of one
 *   alike.c   do two ranges enter alike?
 *   join.c    neighbours become one range
 *   gather.c  what only trickles is gathered; where a new leaf stands
 *   carve.c   a prefix gets a range of its own within another one
 *   split.c   which leaves and halves enter elsewhere than their range
 *   noise.c   the background that is told from what counts
 *   move.c    shares, who carries the bulk, bundles, changes
 *   visit.c   the tick: slices of the ranges, forgetting
 *   load.c    from the database and to it
 *   ingress.c the face: touch, tally, look-ups
 *
 * All arrays are of fixed size and names in them are indices: what is used never moves. calloc
 * gives pages that cost nothing until they are touched, so limits may be generous. */
#pragma once

#include <math.h>

#include "collector/ingress/ingress.h"
#include "shared/base/hash.h"
#include "shared/base/lpm.h"

#define NONE UINT32_MAX

/* Numbers whose reasons are in docs/decisions/0021 and 0022; measured by tests/bench/bench_map. */
#define JOIN_DISTANCE  0.2  /* profiles that differ by less may join */
#define SPLIT_DISTANCE 0.4  /* halves that differ by more part: between the two nothing happens */
#define PROFILE_FLOOR  0.05 /* a smaller share says nothing about where a range enters */
#define PROFILE_PART   0.25 /* nor does less than this part of the largest share */
#define BULK           0.6  /* of recent traffic: carries the bulk */
#define SIGMAS         3    /* of Poisson's deviations: more than chance does */
#define TAKES_OVER     0.5  /* of what the other usually carries */
#define OVERTAKES      1.5  /* times the other's share: a move without haste */
#define SETTLED        0.5  /* of recent traffic is usual: seen for some half a half-life */
#define FALLS_SILENT                                                                              \
    0.125                  /* of what is usual for it is left: three half-lives of recent traffic \
                            */
#define YOUNG        0.84  /* of a weight is left after a quarter of its half-life */
#define AT_HOME      1     /* half-lives of carrying the bulk: what is added is no move, */
#define PATIENCE     24    /* for so many half-lives: what lasts longer is believed */
#define ENOUGH       4     /* a move takes this part of a trickle, seen lately */
#define APPEARS      0.1   /* share from which a place is told of, */
#define LEAVES       0.02  /* and below which it is told that it left */
#define RANGE_LEAVES 65536 /* most leaves of a range: bounds what one split or join costs */
#define SHORTEST_V4  8
#define SHORTEST_V6  16
#define EAGER_ROWS   8   /* ranges with more rows get their shares once a second */
#define PROFILE_MAX  16  /* places that a profile compares: at most 1 / PROFILE_FLOOR, and less */
#define EVENLY       1.5 /* members of a bundle differ by less than this factor */
#define BUNDLE_ROWS  64  /* ranges with more places are no bundles', nor written as one */
#define CHANGES_MAX  16384

struct place {
    char pop[32];
    struct ingress at;
    uint32_t hash_next;
    uint32_t above; /* ranges that had more there than the background, in this round */
    double noise;   /* how loud its background is among all places'; their mean is 1 */
};

struct leaf {
    struct prefix prefix;
    uint8_t is_used;
    uint32_t cell;       /* first */
    uint32_t range;      /* NONE: being loaded */
    uint32_t next, prev; /* leaves of that range; next also of the free ones */
    uint32_t hash_next;
};

struct cell {
    uint32_t place, next; /* next of its leaf, or of the free ones */
    float weight, recent; /* at last_seen */
    uint64_t packets, bytes;
    int64_t first_seen, last_seen;
};
_Static_assert(sizeof(struct cell) == 48, "a million leaves with three places each: 150 MB");

struct range {
    struct prefix prefix;
    uint8_t leaf_length; /* of its leaves, when is_joined */
    bool is_used, is_joined, is_gathered;
    bool is_blank;         /* no place stands out of the background */
    bool is_home;          /* main has been the loudest for long, and carries what it carried */
    uint32_t row, rows;    /* first, how many */
    uint32_t leaf, leaves; /* first (the newest), how many; no leaf: only tests were seen */
    uint32_t main;         /* the row that carries the bulk; NONE */
    int64_t shared_at;     /* when shares were made */
    int64_t halved_at;     /* when its halves were compared */
    int64_t main_since;    /* main is the loudest since then; once at home: of then */
    double held;           /* the most that main's weight was, of genuine bytes, */
    int64_t held_at;       /* and when */
    uint32_t before;       /* the row that it was at home at before; NONE */
    uint32_t refused;      /* the row that would be main if all counted; NONE */
    int64_t refused_at;    /* since when */
    uint32_t next_free;
};

struct node {
    struct ingress_row row;
    uint32_t range, place, next, hash_next;
    double recent;  /* at weight_at */
    double told;    /* genuine probability when it was told of last */
    uint32_t cells; /* that it is the sum of */
    double half[2]; /* genuine bytes of its range's two halves, while these are compared */
    uint8_t pins;
    int64_t judged_at;   /* its last_test_at when somebody last changed it */
    int64_t waits_since; /* while is_waiting */
    bool is_even;        /* its verdict of spoofed is of no more than the background */
    bool is_used, is_present, has_told; /* present: told that it appeared */
    bool is_ready, is_waiting, is_gone; /* what it waits for in the queues below */
    bool in_ready, in_waiting;          /* its name stands there */
};

/* What is weighed at one place of a range, a leaf or a half: bytes, decayed. */
struct weighed {
    uint32_t place;
    bool is_tested, is_proven; /* a verdict takes weight away; one says that something is genuine */
    bool is_loud;              /* stands out of the background */
    double bytes, unit, part;  /* unit: bytes of a packet; part: genuine by the verdict */
    double genuine;            /* of bytes: what counts */
};

struct queue {
    uint32_t *ids;
    uint32_t at, len;
};

/* One array of things with free places: used ones are below `used`. */
struct pool {
    uint32_t used, free, count, max;
};

struct ingress_map {
    struct ingress_conf conf;
    struct hash_key key;
    int64_t now;         /* of the last tick */
    int64_t forget_from; /* before that nothing is forgotten */
    bool is_loading;

    struct place *places;
    struct leaf *leaves;
    struct cell *cells;
    struct range *ranges;
    struct node *nodes;
    struct pool place_pool, leaf_pool, cell_pool, range_pool, node_pool;
    uint32_t *place_slots, *leaf_slots, *node_slots;
    uint32_t place_mask, leaf_mask, node_mask;
    struct lpm trie; /* prefix -> range */

    struct queue ready, waiting, gone;
    int64_t *due; /* of the waiting */
    struct ingress_change *changes;
    uint32_t change_at, change_len;
    uint32_t visit_at, forget_at;

    double noise_sum;           /* of the places' noise */
    uint32_t noise_ranges;      /* that showed a background in this round */
    bool is_noisy;              /* there is one */
    struct weighed *weighed[2]; /* to work with: as many as there may be places */

    void (*expect)(void *arg, struct ingress_row *row);
    void *expect_arg;
    struct ingress_counts counts;
};

/* ---- pools ---- */

/* A name that is not in use, NONE when there is none; next_free: where a free one keeps the next.
 */
uint32_t pool_take(struct pool *p, const void *things, size_t size, size_t next_free);
void pool_give(struct pool *p, uint32_t id, void *things, size_t size, size_t next_free);
static inline bool pool_has(const struct pool *p, uint32_t n)
{
    return p->max - p->count >= n;
}

/* ---- place.c ---- */

uint32_t place_find(const struct ingress_map *m, const char *pop, const struct ingress *at);
uint32_t place_get(struct ingress_map *m, const char *pop, const struct ingress *at);

/* ---- cells.c ---- */

uint32_t leaf_find(const struct ingress_map *m, const struct prefix *p);
uint32_t leaf_make(struct ingress_map *m, const struct prefix *p); /* in no range */
void leaf_free(struct ingress_map *m, uint32_t leaf);              /* with its cells */
struct cell *cell_find(struct ingress_map *m, uint32_t leaf, uint32_t place);
struct cell *cell_make(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now);
void cell_free(struct ingress_map *m, uint32_t leaf, uint32_t cell);
/* Times before 1970 and starts after the end say nothing. */
struct event_tally tally_clean(const struct event_tally *t);
void cell_count(const struct ingress_map *m, struct cell *c, const struct event_tally *t);

/* What is left of a weight, by the slow or the fast half-life. */
double decay(const struct ingress_map *m, int64_t from, int64_t to);
double decay_recent(const struct ingress_map *m, int64_t from, int64_t to);
/* Sums stop where SQL's bigint ends, so that a restart reads what was held. */
uint64_t sum_of(uint64_t a, uint64_t b);

/* ---- rows.c ---- */

uint32_t range_find(const struct ingress_map *m, const struct prefix *p);
uint32_t range_over(const struct ingress_map *m, const struct prefix *p); /* nearest, or itself */
/* The nearest one strictly above. */
uint32_t range_above(const struct ingress_map *m, const struct prefix *p);
int range_make(struct ingress_map *m, const struct prefix *p, uint32_t *out);
void range_free(struct ingress_map *m, uint32_t range); /* its rows are gone; it has no leaf */
void range_adopt(struct ingress_map *m, uint32_t range, uint32_t leaf);
void range_leave(struct ingress_map *m, uint32_t leaf);

struct node *row_find(const struct ingress_map *m, uint32_t range, uint32_t place);
/* Made if it is not there; NULL: no room. */
struct node *row_get(struct ingress_map *m, uint32_t range, uint32_t place, int64_t now,
                     bool *is_new);
void row_gone(struct ingress_map *m, struct node *n);
void row_touched(struct ingress_map *m, struct node *n); /* a fact: at once */
void row_counted(struct ingress_map *m, struct node *n); /* a count: in its time */
void rows_due(struct ingress_map *m, bool all);

static inline bool map_has_room(const struct ingress_map *m, uint32_t rows)
{
    return pool_has(&m->node_pool, rows) && pool_has(&m->range_pool, 1);
}

/* Ranges may lie in each other: a leaf's range is the narrowest one that took it in. So a leaf that
 * enters elsewhere is carved out of its range at the cost of one range, and goes back when it is
 * like the others again. */

static inline unsigned range_leaf_length(const struct range *r)
{
    return r->is_joined ? r->leaf_length : r->prefix.length;
}

/* How many of its leaves a prefix of that length has. */
static inline double range_span(const struct range *r, unsigned length)
{
    return ldexp(1, (int)range_leaf_length(r) - (int)length);
}

/* ---- merge.c ---- */

/* A cell comes to its range's row, or leaves it. */
void row_add(const struct ingress_map *m, struct node *n, const struct cell *c);
void row_sub(struct ingress_map *m, struct node *n, const struct cell *c);
/* Rows are made of cells again; _sum: those that nothing is left of go; _settle: with shares. */
void range_recount(struct ingress_map *m, uint32_t range);
void range_sum(struct ingress_map *m, uint32_t range);
void range_settle(struct ingress_map *m, uint32_t range);
/* What is expected of a row that the map makes; all that is known of another one. */
void row_expect(struct ingress_map *m, struct ingress_row *row);
void row_inherit(struct ingress_map *m, struct node *to, const struct node *from);
/* All leaves and rows of a range, which then is no more. There is room for them. */
void range_into(struct ingress_map *m, uint32_t into, uint32_t from);
/* Bytes of all places, decayed to now. */
double range_weight(const struct ingress_map *m, const struct range *r, int64_t now);

/* ---- alike.c ---- */

/* Would both say the same as one range of prefix p? */
bool ranges_alike(struct ingress_map *m, uint32_t a, uint32_t b, const struct prefix *p);

/* ---- join.c ---- */

bool range_is_settled(const struct ingress_map *m, const struct range *r); /* seen long enough */
/* The nearest range around p with leaves of that length; NONE. */
uint32_t range_joined_above(const struct ingress_map *m, const struct prefix *p, unsigned length);
/* With its neighbour; back into the range around it. True: the range is no more. */
bool range_join_neighbour(struct ingress_map *m, uint32_t range);
bool range_join_above(struct ingress_map *m, uint32_t range);

/* ---- gather.c ---- */

/* Where a new leaf stands. *range NONE is never given with 0. */
int range_for_leaf(struct ingress_map *m, const struct prefix *p, uint32_t *range);
/* A lone leaf that trickles, when there is a crowd. True: the range is no more. */
bool range_gather(struct ingress_map *m, uint32_t range);
static inline bool map_is_crowded(const struct ingress_map *m)
{
    return m->counts.rows > m->conf.crowd;
}

/* ---- carve.c ---- */

/* Splits so that p is a range by itself, with the leaves in it. */
int range_carve(struct ingress_map *m, const struct prefix *p, uint32_t *range);
int range_carve_out(struct ingress_map *m, uint32_t from, const struct prefix *p, uint32_t *out);
bool range_is_held(const struct ingress_map *m, uint32_t range); /* by a pin */

/* ---- split.c ---- */

/* Does that leaf now enter elsewhere than its range? Then it is split off; true. */
bool range_parts(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now);
/* Split, join or gather, if it is due. True: the range is no more. */
bool range_adapt(struct ingress_map *m, uint32_t range);

/* ---- noise.c ---- */

void noise_place(struct ingress_map *m, struct place *p); /* a new one */
/* One of them; n: the row that says what tests found; NULL: none. */
struct weighed weigh(const struct node *n, uint32_t place, double bytes, double unit);
double unit_of(uint64_t bytes, uint64_t packets);
/* The rows of a range in their order, at now; how many. */
unsigned weigh_range(const struct ingress_map *m, const struct range *r, int64_t now,
                     bool is_recent, struct weighed *w);
/* Both at once. */
unsigned weigh_paces(const struct ingress_map *m, const struct range *r, int64_t now,
                     struct weighed *w, struct weighed *recent);
/* What counts of each. False: there is a background and nothing stands out of it; then, as without
 * one, all counts that no verdict takes away. */
bool noise_take(const struct ingress_map *m, struct weighed *w, unsigned n);
/* A range says how loud its places are; at the end of each round over all ranges that counts. */
void noise_learn(struct ingress_map *m, uint32_t range);
void noise_round(struct ingress_map *m);
void noise_settle(struct ingress_map *m); /* after a load: as many rounds as it takes */

/* ---- move.c ---- */

/* How many of the row's bytes count as genuine. */
double genuine_part(const struct ingress_row *row);
void range_share(struct ingress_map *m, uint32_t range);
/* Who carries the bulk, who came, who left? Told of, except while loading. At a visit also who is
 * refused. */
void range_move(struct ingress_map *m, uint32_t range, int64_t now, bool is_visit);
void range_bundle(struct ingress_map *m, uint32_t range);
void change_left(struct ingress_map *m, struct node *n, int64_t now);
void change_range(struct ingress_map *m, enum ingress_change_kind kind, const struct prefix *p,
                  const struct prefix *other, int64_t now);

/* Inside the planner: what its parts share. Not for others. */
#pragma once

#include "collector/order/drift.h"
#include "collector/order/order.h"
#include "collector/order/tree.h"
#include "shared/base/clock.h"

#define CANDIDATE_WAYS    8
#define CANDIDATE_BUCKETS 512
#define SENSORS_MAX       4096
#define SILENT_NS         (60 * (int64_t)NS_PER_S) /* a sensor of which nothing was heard is away */
#define TESTS_MAX         4096 /* running by configuration; of more the oldest are forgotten */
#define HOUR_NS           (3600 * (int64_t)NS_PER_S)
#define DAY_NS            (24 * HOUR_NS) /* that a proposal waits for somebody */
#define SAID_MAX          16             /* refusals that wait to be written */

struct candidate {
    struct tree_node by_prefix;
    struct prefix prefix, leaf; /* of the map's row; its busiest leaf */
    char sensor[WIRE_NAME], pop[32];
    uint64_t place;         /* hash of where it enters there */
    double rate, leaf_rate; /* packets/s */
    enum expected expected;
    bool is_wanted; /* no verdict that counts */
    int64_t fresh_until;
    int64_t seen_at, rests_until; /* not looked at before: others shall have their turn */
};

struct order_sensor {
    struct tree_node by_name, by_pop;
    char name[WIRE_NAME], pop[32];
    uint64_t process, stamp; /* 0: takes no orders; not heard yet */
    int64_t heard_at, asked_at;
    struct drift drift;
    bool is_wanted; /* its clock: an order waits for it */
};

struct static_test {
    struct tree_node by_prefix; /* while until is not 0 */
    char sensor[WIRE_NAME];
    struct prefix prefix;
    uint8_t id[16];
    int64_t until; /* 0: free */
    int64_t told_at;
    bool must_yield; /* somebody else tests that, and did so before: this one is held */
};

/* What a request waits for: the bell that is rung when there may be room. Above it the number of
 * the order, test or sensor. */
enum bell {
    BELL_LOOK,    /* nothing: it is to be looked at */
    BELL_TIME,    /* no bell: it is looked at again after a while, as all of them are */
    BELL_NOBODY,  /* a sensor that nobody knows */
    BELL_DEAF,    /* a sensor's clock */
    BELL_SENSOR,  /* orders.max_per_sensor */
    BELL_NETWORK, /* orders.max_concurrent */
    BELL_LEASE,   /* an order */
    BELL_OWN      /* a sensor's own test */
};
#define BELL(kind, number) ((uint64_t)(kind) << 32 | (number))

/* The orders of some kind, in some order (book.c). */
enum book {
    BOOK_NUMBER,  /* by order_id */
    BOOK_CHANGED, /* to be written: now, after a tick */
    BOOK_DUE,     /* by when time does something to it */
    BOOK_QUEUE,   /* requested: by what they wait for; who waited longest first */
    BOOK_PROPOSED,
    BOOK_POP,     /* all, by point of presence and prefix */
    BOOK_COUNTED, /* begun in this hour: by prefix */
    BOOK_LEASED,  /* has a lease: by prefix */
    BOOK_SENSOR,  /* the same by sensor */
    BOOK_SEND,    /* the same by when it was sent last */
    BOOK_SPARE,   /* may be forgotten; what was over first, first */
    BOOKS
};

struct order {
    struct tree_node in[BOOKS];
    struct order_row row;
    bool is_used, is_changed, is_put_off;
    bool is_counted;          /* begun in this hour: its segments count */
    int64_t counted_until;    /* by our clock, wherever that jumped since */
    int64_t waits_since;      /* the same: when it was asked for, or proposed */
    bool is_harmless;         /* its sensor said that no test of it began */
    uint64_t bell, called_by; /* requested: waits for it; was called by it to be looked at */
    int64_t look_at;          /* requested, and waits: again then, whatever rings */
    int64_t sent_at;
    unsigned next_free;
};

struct orders {
    const struct order_conf *conf;
    struct order *list;
    unsigned max, used, free; /* slots; those that were ever used; the first free of them, or max */
    struct tree book[BOOKS];
    struct candidate candidates[CANDIDATE_BUCKETS][CANDIDATE_WAYS];
    struct tree candidates_by_prefix;
    struct order_sensor *sensors;
    unsigned sensor_count, sensor_last; /* the one that was asked for last */
    struct tree sensors_by_name, sensors_by_pop;
    struct static_test *tests;
    struct tree tests_by_prefix;
    unsigned test_next;
    int64_t yield_until; /* none of them has to yield after that */
    uint64_t overlaps;
    struct test_overlap overlap; /* the last */
    uint64_t clocks_off;
    struct clock_off clock_off; /* the last */
    uint64_t refused;
    bool is_behind; /* an open order found no room: it stands in the database only */
    struct tree never;
    struct tree_node never_nodes[ORDERS_NEVER_MAX];
    bool is_conf_known;    /* else the next tick begins with it */
    int64_t unknown_until; /* until then orders of the last hour are not remembered: none begins */
    struct tree_key send_from; /* of that moment those before it were looked at */
    int64_t send_at;
    struct order_row said[SAID_MAX]; /* of orders that found no room */
    unsigned said_count;
};

bool orders_overlap(const struct prefix *a, const struct prefix *b);
struct order_sensor *orders_sensor(struct orders *o, const char *name);
/* Of a point of presence the next after that one (NULL: the first). */
struct order_sensor *orders_sensor_at(struct orders *o, const char *pop,
                                      const struct order_sensor *after);

/* ---- book.c: the rows, and who finds them ---- */

bool order_is_open(const struct order_row *r);
/* After any change of it: brings the books up to date. */
void order_file(struct orders *o, struct order *x);
/* The first of that book whose key is not before so; NULL. Another one's may come. */
struct order *orders_first(struct orders *o, enum book book, const struct tree_key *from);
struct order *orders_find(struct orders *o, uint64_t id);
/* In a slot that is free, or of one that need not be remembered. NULL: no room, and counted. */
struct order *orders_add(struct orders *o, const struct order_row *row);
bool orders_have_room(const struct orders *o);
/* It was over so long ago that it need not be remembered. */
bool order_is_past(const struct orders *o, const struct order *x, int64_t now);
void orders_forget(struct orders *o, struct order *x);
/* It is over; a person's word (cancelled) stands. */
void order_over(struct orders *o, struct order *x, enum order_status state, const char *result,
                const char *detail, int64_t now);
void order_free_lease(struct orders *o, struct order *x);
/* Next of those with a lease at that sensor, after that one (NULL: the first). */
struct order *orders_at(struct orders *o, const char *sensor, const struct order *after);
uint64_t order_group(const char *name);

/* ---- plan.c ---- */

/* Who waits longest for that bell is looked at, and if he does not go on waiting for it, the next.
 */
void orders_ring(struct orders *o, uint64_t bell);
/* All who wait for it, or (BELL_LOOK) for whatever, are looked at. */
void orders_ring_all(struct orders *o, uint64_t bell);
/* The configuration is new: its prefixes; and, in a tick, what was asked for or begun by another.
 */
void orders_read_never(struct orders *o);
void orders_take_conf(struct orders *o, int64_t now);
/* The prefix that must not be tested and overlaps that one; NULL. */
const struct prefix *orders_never(struct orders *o, const struct prefix *p);
/* Begins what was asked for, those who waited longest first; then what the rules ask for. */
void orders_try_requests(struct orders *o, int64_t now);
void orders_ask(struct orders *o, int64_t now);

/* ---- candidates.c ---- */

void candidate_add(struct orders *o, const char *sensor, const struct ingress_row *row,
                   const struct event_tally *t, int64_t now);
void candidates_moved(struct orders *o, int64_t by);
/* What the rules say may be asked for, best first: at most max. */
unsigned candidates_best(struct orders *o, struct candidate **out, unsigned max, int64_t now);
/* The sensor of that pop ("": any) that saw most of the prefix lately; NULL. */
const struct candidate *candidate_of(struct orders *o, const struct prefix *p, const char *pop,
                                     int64_t now);
/* What of it is tested: its range, or if that is too wide, or part of it must not be, its busiest
 * leaf. */
struct prefix candidate_prefix(struct orders *o, const struct candidate *c);

/* ---- own_tests.c: what sensors test by their own configuration ---- */

void own_test_began(struct orders *o, const char *sensor, const struct event_test_started *t,
                    int64_t now);
void own_test_ended(struct orders *o, const char *sensor, const struct event_test_ended *t);
/* The number of the test by which another sensor than that tests it, or a prefix that overlaps it;
 * -1: none does. */
int64_t own_is_tested(struct orders *o, const struct prefix *p, const char *but, int64_t now);
/* Its sensor's process is another. */
void own_tests_gone(struct orders *o, const char *sensor);
void own_tests_moved(struct orders *o, int64_t by);
/* The next hold. */
bool own_hold(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
              struct wire_message *out);

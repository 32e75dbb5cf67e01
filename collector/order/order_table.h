/* Inside the planner: what its parts share. Not for others. */
#pragma once

#include "collector/order/order.h"
#include "shared/base/clock.h"

#define CANDIDATE_WAYS    8
#define CANDIDATE_BUCKETS 512
#define SENSORS_MAX       4096
#define SILENT_NS         (60 * (int64_t)NS_PER_S) /* a sensor of which nothing was heard is away */
#define TESTS_MAX         4096 /* running by configuration; of more the oldest are forgotten */

struct candidate {
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
    char name[WIRE_NAME], pop[32];
    uint64_t process, stamp; /* 0: takes no orders; not heard yet */
    int64_t heard_at, asked_at;
    bool is_wanted; /* its clock: an order waits for it */
};

struct static_test {
    char sensor[WIRE_NAME];
    struct prefix prefix;
    uint8_t id[16];
    int64_t until; /* 0: free */
    int64_t told_at;
    bool must_yield; /* somebody else tests that, and did so before: this one is held */
};

struct order {
    struct order_row row;
    bool is_used, is_changed, is_put_off;
    int64_t sent_at;
};

struct orders {
    const struct order_conf *conf;
    struct order *list;
    unsigned max, used; /* slots; those that were ever used */
    struct candidate candidates[CANDIDATE_BUCKETS][CANDIDATE_WAYS];
    struct order_sensor *sensors;
    unsigned sensor_count, sensor_last; /* the one that was asked for last */
    struct static_test *tests;
    unsigned test_next;
    int64_t yield_until; /* none of them has to yield after that */
    uint64_t overlaps;
    struct test_overlap overlap; /* the last */
    uint64_t refused;
    bool is_behind; /* an open order found no room: it stands in the database only */
};

bool orders_overlap(const struct prefix *a, const struct prefix *b);
struct order_sensor *orders_sensor(struct orders *o, const char *name);

bool order_is_open(const struct order_row *r);
/* NULL: no room, and counted. */
struct order *orders_add(struct orders *o, const struct order_row *row);
/* It is over; a person's word (cancelled) stands. */
void order_over(struct order *x, enum order_status state, const char *result, const char *detail,
                int64_t now);

/* ---- plan.c ---- */

/* Orders that have a lease, of a sensor or (NULL) of all; and those that wait for approval. */
unsigned orders_running(const struct orders *o, const char *sensor);
unsigned orders_proposed(const struct orders *o);
/* Begins what was asked for, those who waited longest first; then what the rules ask for. */
void orders_try_requests(struct orders *o, int64_t now);
void orders_ask(struct orders *o, int64_t now);

/* ---- candidates.c ---- */

void candidate_add(struct orders *o, const char *sensor, const struct ingress_row *row,
                   const struct event_tally *t, int64_t now);
/* What the rules say may be asked for, best first: at most max. */
unsigned candidates_best(struct orders *o, struct candidate **out, unsigned max, int64_t now);
/* The sensor of that pop ("": any) that saw most of the prefix lately; NULL. */
const struct candidate *candidate_of(const struct orders *o, const struct prefix *p,
                                     const char *pop, int64_t now);
/* What of it is tested: its range, or if that is too wide its busiest leaf. */
struct prefix candidate_prefix(const struct order_conf *conf, const struct candidate *c);

/* ---- own_tests.c: what sensors test by their own configuration ---- */

void own_test_began(struct orders *o, const char *sensor, const struct event_test_started *t,
                    int64_t now);
void own_test_ended(struct orders *o, const char *sensor, const struct event_test_ended *t);
/* Does another sensor than that test it, or a prefix that overlaps it? */
bool own_is_tested(const struct orders *o, const struct prefix *p, const char *but, int64_t now);
/* The next hold. */
bool own_hold(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
              struct wire_message *out);

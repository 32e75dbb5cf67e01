/* The planner and the sensors' side together, in a world that is unkind: sensors whose clocks run
 * at other speeds, crash and start again, and see orders late, twice or never; a collector that is
 * killed between any two steps and begins with what it had stored; people who order and cancel.
 *
 * After every step: no two sensors watch overlapping prefixes for orders (what is watched is judged
 * by each sensor's own clock, as its main() does); an order withholds for one process at a time;
 * the limits hold; and in the end every order is over. The naive model is the list of what each
 * sensor watches: nothing of the planner's own books is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/order/order.h"
#include "sensor/control/control.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

enum { SENSORS = 4, PREFIXES = 12, ROWS = 20000, WAYS = 64, EVENTS = 512 };

#define T0 INT64_C(1700000000000000000)

static const struct order_conf usual = {.mode = ORDERS_AUTO,
                                        .max_per_sensor = 2,
                                        .max_concurrent = 4,
                                        .max_drops = 60,
                                        .drops_per_prefix_hour = 600,
                                        .min_rate = 1,
                                        .min_v4 = 20,
                                        .min_v6 = 40,
                                        .lease_ns = 60 * NS_PER_S,
                                        .margin_ns = 2 * NS_PER_S,
                                        .wait_ns = 10 * NS_PER_S,
                                        .cool_down_ns = 20 * NS_PER_S,
                                        .unverifiable_ns = 600 * NS_PER_S,
                                        .expire_ns = 300 * NS_PER_S,
                                        .resend_ns = 5 * NS_PER_S,
                                        .max_orders = 256};

struct late { /* a message on its way to a sensor; 0: none */
    int64_t at;
    struct wire_message m;
};

struct sensor {
    char name[16], pop[16];
    struct control *control; /* NULL: it is not there */
    double speed;            /* of its steady clock */
    uint64_t number;         /* of its processes, for their seeds */
    uint64_t offset;         /* its steady clock at T0 */
    struct late in[WAYS];
    struct event out[EVENTS]; /* in order; what is durable outlives a crash */
    unsigned out_head, out_tail;
    bool must_greet;
    uint8_t tests; /* to make ids */
    struct {
        struct prefix prefix;
        uint8_t id;
        bool is_running;
    } running[CONTROL_ORDERS_MAX];
    uint64_t version;
    struct control_watch list[CONTROL_ORDERS_MAX]; /* in force */
    size_t watched;
};

static struct world {
    struct prf prf;
    int64_t now;
    struct orders *orders;
    struct order_row rows[ROWS]; /* the database */
    size_t count;
    struct sensor sensor[SENSORS];
    struct prefix prefix[PREFIXES];
    unsigned begun;
} w;

static uint64_t below(uint64_t n)
{
    return prf_below(&w.prf, n);
}

static uint64_t clock_of(const struct sensor *s)
{
    return s->offset + (uint64_t)((double)(w.now - T0) * s->speed);
}

/* ---- sensors ---- */

static void start_sensor(struct sensor *s)
{
    const struct control_conf conf = {.enabled = true,
                                      .max_orders = 8,
                                      .min_v4 = 8,
                                      .min_v6 = 8,
                                      .max_lease_ns = 3600 * NS_PER_S};
    s->offset = 1 + below(1u << 30) * NS_PER_S / 1000; /* another boot, another uptime */
    assert_int_equal(
        control_new(&conf, 1000 * ++s->number + (uint64_t)(s - w.sensor), clock_of(s), &s->control),
        0);
    s->must_greet = true;
    s->watched = 0;
    s->version = 0;
    memset(s->running, 0, sizeof s->running);
}

static void say(struct sensor *s, const struct event *e)
{
    if (s->out_tail - s->out_head < EVENTS) /* else given up: the spool is full */
        s->out[s->out_tail++ % EVENTS] = *e;
}

static void take_ends(struct sensor *s)
{
    struct event e;
    while (control_take(s->control, &e))
        say(s, &e);
}

static void crash(struct sensor *s)
{
    control_free(s->control);
    s->control = NULL;
    s->watched = 0;
    if (below(3) == 0) /* what was not on disk yet */
        s->out_tail -= s->out_tail > s->out_head;
}

static void tell_test(struct sensor *s, unsigned i, bool is_end)
{
    struct event e = {.type = is_end ? EVENT_test_ended : EVENT_test_started};
    if (is_end) {
        e.test_ended.prefix = s->running[i].prefix;
        e.test_ended.test_id[0] = s->running[i].id;
        e.test_ended.data = 5;
        e.test_ended.verdict = below(2) ? VERDICT_GENUINE : VERDICT_INCONCLUSIVE;
    } else {
        e.test_started.prefix = s->running[i].prefix;
        e.test_started.test_id[0] = s->running[i].id;
    }
    s->running[i].is_running = !is_end;
    control_event(s->control, &e, clock_of(s));
    say(s, &e);
}

static bool is_watched(const struct sensor *s, const struct prefix *p)
{
    for (size_t i = 0; i < s->watched; i++)
        if (prefix_equal(&s->list[i].prefix, p) && s->list[i].until_ns > clock_of(s))
            return true;
    return false;
}

/* As main(): the list comes into force; tests begin and end. */
static void run_sensor(struct sensor *s)
{
    uint64_t version;
    control_tick(s->control, clock_of(s));
    s->watched = control_watch(s->control, s->list, &version);
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        if (s->running[i].is_running && (!is_watched(s, &s->running[i].prefix) || below(4) == 0))
            tell_test(s, i, true);
    for (size_t i = 0; i < s->watched; i++) {
        bool is_new = below(3) == 0;
        unsigned slot = 0;
        for (unsigned j = 0; j < CONTROL_ORDERS_MAX; j++) {
            is_new &= !(s->running[j].is_running &&
                        prefix_equal(&s->running[j].prefix, &s->list[i].prefix));
            slot = s->running[j].is_running ? slot : j;
        }
        if (!is_new)
            continue;
        s->running[slot].prefix = s->list[i].prefix;
        s->running[slot].id = ++s->tests;
        tell_test(s, slot, false);
    }
    control_watched(s->control, version, clock_of(s));
    take_ends(s);
}

static void deliver(struct sensor *s)
{
    for (unsigned i = 0; i < WAYS; i++) {
        if (s->in[i].at == 0 || s->in[i].at > w.now)
            continue;
        s->in[i].at = 0;
        if (s->control != NULL)
            control_message(s->control, &s->in[i].m, clock_of(s));
    }
}

/* ---- the collector ---- */

static void begin_collector(const struct order_conf *conf)
{
    orders_free(w.orders);
    w.orders = NULL;
    assert_int_equal(orders_new(conf, &w.orders), 0);
    for (size_t i = 0; i < w.count; i++)
        if (w.rows[i].ended_at == 0 || w.rows[i].lease_until != 0 ||
            w.now - w.rows[i].started_at < 3600 * (int64_t)NS_PER_S)
            assert_int_equal(orders_load(w.orders, &w.rows[i], w.now), 0);
    for (unsigned i = 0; i < SENSORS; i++)
        w.sensor[i].must_greet = true;
}

static void store(void)
{
    struct order_row row;
    unsigned slot;
    while (orders_take(w.orders, &row, &slot)) {
        if (row.order_id == 0) {
            row.order_id = ++w.count;
            orders_number(w.orders, slot, row.order_id);
        }
        assert_true(w.count < ROWS);
        struct order_row *at = &w.rows[row.order_id - 1];
        w.begun += row.state == STATUS_RUNNING && at->state != STATUS_RUNNING;
        bool is_cancelled = at->state == STATUS_CANCELLED;
        *at = row;
        if (is_cancelled)
            at->state = STATUS_CANCELLED;
    }
}

/* Some are lost; others take up to two minutes, which is longer than a lease. */
static void send(void)
{
    char name[WIRE_NAME];
    struct wire_message m;
    while (orders_send(w.orders, w.now, name, &m))
        for (unsigned i = 0; i < SENSORS; i++) {
            struct sensor *s = &w.sensor[i];
            if (strcmp(s->name, name) != 0 || below(4) == 0)
                continue;
            s->must_greet |= m.kind == WIRE_AGAIN;
            if (m.kind == WIRE_AGAIN)
                continue;
            int64_t delay = below(3) ? 0 : (int64_t)below(120 * NS_PER_S);
            s->in[below(WAYS)] = (struct late){w.now + delay, m};
        }
}

static void hear(struct sensor *s)
{
    struct wire_message m = {.kind = s->must_greet ? WIRE_HELLO : WIRE_BATCH,
                             .orders = control_number(s->control),
                             .stamp = control_stamp(s->control, clock_of(s))};
    s->must_greet = false;
    orders_heard(w.orders, s->name, s->pop, &m, w.now);
    for (unsigned n = (unsigned)below(6); n > 0 && s->out_head < s->out_tail; n--)
        orders_event(w.orders, s->name, &s->out[s->out_head++ % EVENTS], w.now);
    struct ingress_row row = {.state = STATE_UNVERIFIED,
                              .expected = (enum expected)below(3),
                              .prefix = w.prefix[below(PREFIXES)]};
    snprintf(row.pop, sizeof row.pop, "%s", s->pop);
    struct event_tally t = {.started_at = w.now - (int64_t)NS_PER_S,
                            .ended_at = w.now,
                            .prefix = row.prefix,
                            .packets = 1 + below(100)};
    orders_seen(w.orders, s->name, &row, &t, w.now);
}

/* People order at will, and cancel what they find. */
static void people(void)
{
    if (below(20) == 0) {
        struct order_row row = {.order_id = ++w.count,
                                .prefix = w.prefix[below(PREFIXES)],
                                .state = STATUS_REQUESTED,
                                .requested_at = w.now,
                                .verdict = -1};
        snprintf(row.pop, sizeof row.pop, "P%u", (unsigned)below(SENSORS));
        w.rows[row.order_id - 1] = row;
    }
    if (w.count > 0 && below(20) == 0) {
        struct order_row *row = &w.rows[w.count - 1 - below(w.count < 8 ? w.count : 8)];
        if (row->ended_at == 0)
            row->state = STATUS_CANCELLED;
    }
    for (size_t i = 0; i < w.count; i++)
        if (w.rows[i].ended_at == 0)
            orders_told(w.orders, &w.rows[i], w.now);
}

/* ---- what must hold ---- */

static bool overlap(const struct prefix *a, const struct prefix *b)
{
    return prefix_covers(a, b) || prefix_covers(b, a);
}

static void check_exclusion(void)
{
    for (unsigned a = 0; a < SENSORS; a++)
        for (unsigned b = 0; b < a; b++)
            for (size_t i = 0; i < w.sensor[a].watched; i++)
                for (size_t j = 0; j < w.sensor[b].watched; j++) {
                    const struct control_watch *x = &w.sensor[a].list[i];
                    const struct control_watch *y = &w.sensor[b].list[j];
                    bool both = x->until_ns > clock_of(&w.sensor[a]) &&
                                y->until_ns > clock_of(&w.sensor[b]);
                    assert_false(both && overlap(&x->prefix, &y->prefix));
                }
}

static void check_limits(const struct order_conf *conf)
{
    unsigned all = 0, of[SENSORS] = {0};
    for (size_t i = 0; i < w.count; i++)
        for (unsigned s = 0; s < SENSORS; s++)
            if (w.rows[i].lease_until > w.now && strcmp(w.rows[i].sensor, w.sensor[s].name) == 0) {
                all++;
                of[s]++;
            }
    assert_true(all <= conf->max_concurrent);
    for (unsigned s = 0; s < SENSORS; s++)
        assert_true(of[s] <= conf->max_per_sensor);
}

static void check_drops(const struct order_conf *conf)
{
    for (unsigned p = 0; p < PREFIXES; p++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < w.count; i++)
            if (w.rows[i].started_at != 0 && overlap(&w.rows[i].prefix, &w.prefix[p]) &&
                w.rows[i].prefix.length >= w.prefix[p].length &&
                w.now - w.rows[i].started_at < 3600 * (int64_t)NS_PER_S)
                sum += w.rows[i].max_drops;
        assert_true(sum <= conf->drops_per_prefix_hour);
    }
}

/* ---- the story ---- */

static void make_world(uint64_t seed)
{
    memset(&w, 0, sizeof w);
    w.prf = prf_init(seed, 1);
    w.now = T0;
    for (unsigned i = 0; i < PREFIXES; i++) { /* /24, and some /23 that hold two of them */
        struct addr at = {.family = ADDR_V4, .bytes = {10, 0, (uint8_t)i}};
        w.prefix[i] = prefix_of(&at, i % 4 == 3 ? 23 : 24);
    }
    for (unsigned i = 0; i < SENSORS; i++) {
        struct sensor *s = &w.sensor[i];
        snprintf(s->name, sizeof s->name, "s%u", i);
        snprintf(s->pop, sizeof s->pop, "P%u", i);
        s->speed =
            .9995 + (double)below(1000) * 1e-6; /* half in a thousand: worse than any crystal */
        start_sensor(s);
    }
}

static void step(const struct order_conf *conf)
{
    w.now += (int64_t)below(3 * NS_PER_S);
    for (unsigned i = 0; i < SENSORS; i++) {
        struct sensor *s = &w.sensor[i];
        unsigned what = (unsigned)below(300);
        if (s->control == NULL && what < 30)
            start_sensor(s);
        else if (s->control != NULL && what == 0)
            crash(s);
        deliver(s);
        if (s->control != NULL && what > 100) /* else it is stopped, or far away */
            hear(s);
        if (s->control != NULL && what > 20)
            run_sensor(s);
    }
    if (below(100) == 0)
        begin_collector(conf); /* killed: what was not stored never was */
    people();
    orders_tick(w.orders, w.now);
    if (below(50) == 0)
        begin_collector(conf);
    store();
    if (below(50) == 0)
        begin_collector(conf);
    send();
}

static void run_world(uint64_t seed, unsigned steps)
{
    make_world(seed);
    begin_collector(&usual);
    for (unsigned i = 0; i < steps; i++) {
        step(&usual);
        check_exclusion();
        if (i % 16 == 0) {
            check_limits(&usual);
            check_drops(&usual);
        }
    }
    assert_true(w.begun > steps / 100); /* the world was not idle */
    w.now += 1000 * (int64_t)NS_PER_S;
    people();
    orders_tick(w.orders, w.now); /* leases end, requests expire */
    orders_tick(w.orders, w.now);
    store();
    for (size_t i = 0; i < w.count; i++)
        if (w.rows[i].requested_at < w.now - 600 * (int64_t)NS_PER_S)
            assert_true(w.rows[i].ended_at != 0);
    for (unsigned i = 0; i < SENSORS; i++)
        control_free(w.sensor[i].control);
    orders_free(w.orders);
    w.orders = NULL;
}

static void two_sensors_never_withhold_of_one_prefix_whatever_breaks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        run_world(seed, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_sensors_never_withhold_of_one_prefix_whatever_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

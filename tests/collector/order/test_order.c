/* The planner of orders, rule by rule. test_order_world.c has what must hold whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/order/order.h"
#include "shared/base/clock.h"
#include "tests/support/usual_orders.h"

#define T0 INT64_C(1700000000000000000)
#define S  ((int64_t)NS_PER_S)

static struct order_conf conf;
static struct orders *o;
static int64_t now, clock_ahead; /* of the sensors' clocks */
static struct order_row rows[64];
static uint64_t last;

static int setup(void **state)
{
    (void)state;
    conf = usual_orders(ORDERS_AUTO);
    conf.min_rate = 10;
    now = T0;
    clock_ahead = 0;
    last = 0;
    return orders_new(&conf, &o);
}

static int teardown(void **state)
{
    (void)state;
    orders_free(o);
    return 0;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void hello_of(const char *sensor, const char *pop, uint64_t process)
{
    struct wire_message m = {.kind = WIRE_HELLO, .orders = process};
    m.stamp = (uint64_t)(1000 * S + now + clock_ahead - T0);
    orders_heard(o, sensor, pop, &m, now);
}

static void seen(const char *sensor, const char *pop, const char *of, const char *leaf,
                 enum ingress_state state, enum expected expected, uint64_t rate)
{
    struct ingress_row row = {.prefix = prefix(of), .state = state, .expected = expected};
    struct event_tally t = {
        .started_at = now - 10 * S, .ended_at = now, .prefix = prefix(leaf), .packets = 10 * rate};
    snprintf(row.pop, sizeof row.pop, "%s", pop);
    orders_seen(o, sensor, &row, &t, now);
}

static void seen_new(const char *sensor, const char *pop, const char *of)
{
    seen(sensor, pop, of, of, STATE_UNVERIFIED, EXPECTED_NO, 100);
}

/* What changed is stored. The last row that was. */
static struct order_row *tick(void)
{
    struct order_row row, *at = NULL;
    unsigned slot;
    orders_tick(o, now);
    while (orders_take(o, &row, &slot)) {
        if (row.order_id == 0) {
            row.order_id = ++last;
            orders_number(o, slot, row.order_id);
        }
        at = &rows[row.order_id];
        *at = row;
    }
    return at;
}

static bool sent(struct wire_message *m, const char *to)
{
    char sensor[WIRE_NAME];
    if (!orders_send(o, now, sensor, m))
        return false;
    assert_string_equal(sensor, to);
    return true;
}

static void assert_silent(void)
{
    struct wire_message m;
    char sensor[WIRE_NAME];
    assert_false(orders_send(o, now, sensor, &m));
}

static struct order_row by_hand(uint64_t id, const char *of, const char *pop)
{
    struct order_row row = {.order_id = id,
                            .prefix = prefix(of),
                            .state = STATUS_REQUESTED,
                            .requested_at = now,
                            .verdict = -1};
    snprintf(row.pop, sizeof row.pop, "%s", pop);
    last = id > last ? id : last;
    return row;
}

static void order(uint64_t id, const char *of, const char *pop)
{
    struct order_row row = by_hand(id, of, pop);
    assert_int_equal(orders_told(o, &row, now), 0);
}

static void order_ended(const char *sensor, uint64_t id, unsigned reason)
{
    struct event e = {.type = EVENT_order_ended};
    e.order_ended.order_id = id;
    e.order_ended.reason = (uint8_t)reason;
    e.order_ended.state = reason == REASON_ENDED ? ORDER_ENDED : ORDER_FAILED;
    e.order_ended.drops = 12;
    orders_event(o, sensor, &e, now);
}

static void test_ended(const char *sensor, uint64_t id, uint8_t verdict)
{
    struct event e = {.type = EVENT_test_ended};
    e.test_ended.order_id = id;
    e.test_ended.verdict = verdict;
    e.test_ended.test_id[0] = (uint8_t)id;
    orders_event(o, sensor, &e, now);
}

/* ---- promises ---- */

static void what_is_new_and_carries_enough_is_ordered_where_it_enters(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "203.0.113.0/24");
    struct order_row *row = tick();
    assert_non_null(row);
    assert_int_equal(row->state, STATUS_RUNNING);
    assert_string_equal(row->sensor, "ams1");
    assert_string_equal(row->pop, "AMS");
    assert_string_equal(row->requested_by, "penstock");
    assert_true(row->started_at == now && row->lease_until == now + 190 * S);
    assert_true(sent(&m, "ams1"));
    assert_int_equal(m.kind, WIRE_ORDER);
    assert_true(m.order_id == 1 && m.stamp == 1000 * NS_PER_S && m.lease == 180 * NS_PER_S &&
                m.drops == 60);
    assert_silent();
    now += 5 * S;
    assert_true(sent(&m, "ams1")); /* again: by what is left, from when the stamp was heard */
    assert_true(m.lease == 180 * NS_PER_S);
    test_ended("ams1", 1, VERDICT_GENUINE);
    order_ended("ams1", 1, REASON_ENDED);
    row = tick();
    assert_int_equal(row->state, STATUS_ENDED);
    assert_int_equal(row->verdict, VERDICT_GENUINE);
    assert_true(row->lease_until == 0 && row->drops == 12 && row->ended_at == now);
    assert_silent();
}

static void what_needs_no_test_is_not_ordered(void **state)
{
    (void)state;
    hello_of("ams1", "AMS", 7);
    seen("ams1", "AMS", "203.0.113.0/24", "203.0.113.0/24", STATE_GENUINE, EXPECTED_NO, 100);
    seen("ams1", "AMS", "203.0.112.0/24", "203.0.112.0/24", STATE_TESTING, EXPECTED_NO, 100);
    seen("ams1", "AMS", "203.0.111.0/24", "203.0.111.0/24", STATE_UNVERIFIED, EXPECTED_NO, 9);
    seen("old", "AMS", "203.0.110.0/24", "203.0.110.0/24", STATE_UNVERIFIED, EXPECTED_NO, 100);
    assert_null(tick()); /* verified, under test, too little, and a sensor that takes no orders */
    conf.mode = ORDERS_OFF;
    seen_new("ams1", "AMS", "203.0.109.0/24");
    assert_null(tick());
}

static void the_unexpected_goes_before_the_large(void **state)
{
    (void)state;
    conf.max_per_sensor = 1;
    hello_of("ams1", "AMS", 7);
    seen("ams1", "AMS", "192.0.2.0/24", "192.0.2.0/24", STATE_UNVERIFIED, EXPECTED_YES, 9000);
    seen("ams1", "AMS", "203.0.113.0/24", "203.0.113.0/24", STATE_UNVERIFIED, EXPECTED_NO, 20);
    struct prefix want = prefix("203.0.113.0/24");
    assert_true(prefix_equal(&tick()->prefix, &want));
    assert_null(tick()); /* one per sensor */
    order_ended("ams1", 1, REASON_ENDED);
    want = prefix("192.0.2.0/24");
    now += 2 * S;
    tick();
    assert_true(prefix_equal(&rows[2].prefix, &want));
}

static void a_row_that_is_too_wide_is_tested_by_its_busiest_part(void **state)
{
    (void)state;
    hello_of("ams1", "AMS", 7);
    seen("ams1", "AMS", "10.0.0.0/12", "10.1.2.0/24", STATE_UNVERIFIED, EXPECTED_NO, 500);
    seen("ams1", "AMS", "10.0.0.0/12", "10.1.3.0/24", STATE_UNVERIFIED, EXPECTED_NO, 100);
    struct prefix want = prefix("10.1.2.0/24");
    assert_true(prefix_equal(&tick()->prefix, &want));
}

static void a_prefix_rests_after_an_order_and_one_without_tcp_for_long(void **state)
{
    (void)state;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "203.0.113.0/24");
    tick();
    order_ended("ams1", 1, REASON_NO_TRAFFIC);
    assert_int_equal(tick()->state, STATUS_FAILED);
    for (now += S; now < T0 + 3590 * S; now += 300 * S) {
        hello_of("ams1", "AMS", 7);
        seen_new("ams1", "AMS", "203.0.113.0/24");
        assert_null(tick());
    }
    now = T0 + 3601 * S;
    hello_of("ams1", "AMS", 7);
    struct ingress_row row = {.prefix = prefix("203.0.113.0/24"),
                              .pop = "AMS",
                              .state = STATE_UNVERIFIABLE,
                              .untestable_at = now - 86000 * S};
    struct event_tally t = {
        .started_at = now - S, .ended_at = now, .prefix = row.prefix, .packets = 100};
    orders_seen(o, "ams1", &row, &t, now);
    assert_null(tick());
    row.untestable_at = now - 86401 * S;
    orders_seen(o, "ams1", &row, &t, now);
    assert_int_equal(tick()->state, STATUS_RUNNING);
}

static void the_many_that_rest_do_not_stand_before_the_one_that_may_be_tested(void **state)
{
    (void)state;
    char of[32];
    hello_of("ams1", "AMS", 7);
    conf.max_per_sensor = conf.max_concurrent = 64;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(of, sizeof of, "10.0.%u.0/24", i);
        seen_new("ams1", "AMS", of);
    }
    tick();
    tick();
    for (uint64_t id = 1; id <= 50; id++)
        order_ended("ams1", id, REASON_NO_TRAFFIC); /* all rest for an hour */
    tick();
    assert_int_equal(last, 50);
    for (unsigned round = 0; round < 4; round++, now += S) {
        hello_of("ams1", "AMS", 7);
        for (unsigned i = 0; i < 50; i++) {
            snprintf(of, sizeof of, "10.0.%u.0/24", i);
            seen_new("ams1", "AMS", of);
        }
        seen("ams1", "AMS", "192.0.2.0/24", "192.0.2.0/24", STATE_UNVERIFIED, EXPECTED_YES, 11);
        tick();
    }
    assert_int_equal(last, 51);
}

static void proposals_wait_for_somebody_s_word(void **state)
{
    (void)state;
    conf.mode = ORDERS_APPROVE;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "203.0.113.0/24");
    assert_int_equal(tick()->state, STATUS_PROPOSED);
    assert_null(tick());
    assert_silent();
    rows[1].state = STATUS_REQUESTED;
    assert_int_equal(orders_told(o, &rows[1], now), 0);
    assert_int_equal(tick()->state, STATUS_RUNNING);
    seen_new("ams1", "AMS", "192.0.2.0/24");
    assert_int_equal(tick()->state, STATUS_PROPOSED);
    now += 86400 * S;
    tick();
    assert_string_equal(rows[2].result, "expired");
}

static void what_people_write_that_only_the_collector_knows_is_put_right(void **state)
{
    (void)state;
    hello_of("ams1", "AMS", 7);
    struct order_row row = by_hand(1, "203.0.113.0/24", "AMS");
    row.state = STATUS_RUNNING; /* nobody has it: it begins */
    assert_int_equal(orders_told(o, &row, now), 0);
    row = by_hand(2, "192.0.2.0/24", "AMS");
    row.state = STATUS_ENDED; /* and this is over */
    assert_int_equal(orders_told(o, &row, now), 0);
    tick();
    assert_true(rows[1].state == STATUS_RUNNING && rows[1].lease_until != 0);
    assert_true(rows[2].state == STATUS_ENDED && rows[2].ended_at == now);
}

static void
orders_by_hand_run_whatever_the_mode_and_find_the_sensor_that_sees_the_prefix(void **state)
{
    (void)state;
    conf.mode = ORDERS_OFF;
    hello_of("ams1", "AMS", 7);
    hello_of("ams2", "AMS", 8);
    hello_of("fra1", "FRA", 9);
    seen("ams2", "AMS", "203.0.113.0/24", "203.0.113.0/24", STATE_GENUINE, EXPECTED_YES, 100);
    seen("fra1", "FRA", "203.0.113.0/24", "203.0.113.0/24", STATE_GENUINE, EXPECTED_YES, 500);
    order(3, "203.0.113.0/24", "AMS");
    assert_string_equal(tick()->sensor, "ams2");
    order_ended("ams2", 3, REASON_ENDED);
    order(4, "203.0.113.0/24", ""); /* where most of it enters */
    tick();
    assert_string_equal(rows[4].sensor, "fra1");
    assert_string_equal(rows[4].pop, "FRA");
}

static void
overlapping_prefixes_wait_for_each_other_until_the_order_ended_or_its_lease(void **state)
{
    (void)state;
    conf.mode = ORDERS_OFF;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    order(2, "203.0.112.0/22", "FRA");
    tick();
    assert_int_equal(rows[2].state, STATUS_REQUESTED);
    assert_non_null(strstr(rows[2].detail, "waits"));
    now += 185 * S; /* the lease is over, its margin is not */
    hello_of("fra1", "FRA", 8);
    tick();
    assert_int_equal(rows[2].state, STATUS_REQUESTED);
    now += 5 * S;
    tick();
    assert_int_equal(rows[1].state, STATUS_FAILED);
    assert_string_equal(rows[1].result, "sensor_silent");
    assert_int_equal(rows[2].state, STATUS_RUNNING);
}

static void a_test_by_configuration_keeps_the_other_sensors_away(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_test_started};
    conf.mode = ORDERS_OFF;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    e.test_started.prefix = prefix("203.0.113.0/24");
    e.test_started.test_id[0] = 9;
    orders_event(o, "fra1", &e, now);
    order(1, "203.0.113.128/25", "AMS");
    tick();
    assert_int_equal(rows[1].state, STATUS_REQUESTED);
    e.type = EVENT_test_ended;
    e.test_ended = (struct event_test_ended){.test_id = {9}};
    orders_event(o, "fra1", &e, now);
    tick();
    assert_int_equal(rows[1].state, STATUS_RUNNING);
}

static void what_somebody_cancels_is_stopped_and_its_lease_stands(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    assert_true(sent(&m, "ams1"));
    rows[1].state = STATUS_CANCELLED;
    orders_told(o, &rows[1], now);
    tick();
    assert_true(rows[1].state == STATUS_CANCELLED && rows[1].lease_until != 0);
    assert_true(sent(&m, "ams1"));
    assert_true(m.kind == WIRE_STOP && m.order_id == 1);
    order_ended("ams1", 1, REASON_STOPPED);
    tick();
    assert_true(rows[1].state == STATUS_CANCELLED && rows[1].lease_until == 0);
    assert_string_equal(rows[1].result, "cancelled");
    assert_silent();
}

static void a_sensor_that_started_again_ends_its_orders_and_the_lease_stands(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    hello_of("ams1", "AMS", 7); /* the same process: it goes on */
    assert_true(sent(&m, "ams1") && m.kind == WIRE_ORDER);
    hello_of("ams1", "AMS", 8);
    tick();
    assert_int_equal(rows[1].state, STATUS_FAILED);
    assert_string_equal(rows[1].result, "sensor_restarted");
    assert_true(rows[1].lease_until != 0);
}

static void a_collector_that_starts_again_goes_on_with_what_runs(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    orders_free(o);
    assert_int_equal(orders_new(&conf, &o), 0);
    assert_int_equal(orders_load(o, &rows[1], now), 0);
    now += 60 * S;
    assert_silent(); /* nobody was heard yet */
    hello_of("ams1", "AMS", 7);
    assert_true(sent(&m, "ams1"));
    assert_true(m.order_id == 1 && m.lease == 120 * NS_PER_S); /* of what was left */
    order_ended("ams1", 1, REASON_ENDED);
    assert_int_equal(tick()->state, STATUS_ENDED);
}

static void drops_of_an_hour_are_bounded_per_prefix_at_all_sensors_together(void **state)
{
    (void)state;
    conf.mode = ORDERS_OFF;
    conf.drops_per_prefix_hour = 120;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    for (uint64_t id = 1; id <= 3; id++) {
        order(id, "203.0.113.0/24", id % 2 ? "AMS" : "FRA");
        tick();
        order_ended(id % 2 ? "ams1" : "fra1", id, REASON_ENDED);
        tick();
    }
    assert_int_equal(rows[2].state, STATUS_ENDED);
    assert_int_equal(rows[3].state, STATUS_REQUESTED);
    assert_string_equal(rows[3].detail, "waits: orders.drops_per_prefix_hour");
    now += 601 * S;
    tick();
    assert_int_equal(rows[3].state, STATUS_FAILED);
    assert_string_equal(rows[3].result, "expired");
}

static void a_sensor_that_says_little_is_asked_for_its_clock(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    now += 300 * S; /* it tallies every ten minutes */
    order(1, "203.0.113.0/24", "AMS");
    tick();
    assert_int_equal(rows[1].state, STATUS_REQUESTED);
    assert_true(sent(&m, "ams1") && m.kind == WIRE_AGAIN);
    assert_silent(); /* once */
    hello_of("ams1", "AMS", 7);
    tick();
    assert_int_equal(rows[1].state, STATUS_RUNNING);
    assert_true(sent(&m, "ams1") && m.kind == WIRE_ORDER);
    assert_silent();
}

static void a_sensor_speaks_of_its_own_orders_only(void **state)
{
    (void)state;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    order_ended("fra1", 1, REASON_ENDED);
    test_ended("fra1", 1, VERDICT_SPOOFED);
    assert_null(tick());
    assert_true(rows[1].lease_until != 0 && rows[1].verdict == -1);
}

static void a_full_table_refuses_and_counts(void **state)
{
    (void)state;
    struct orders_stats stats;
    for (uint64_t id = 1; id <= 64; id++) {
        struct order_row row = by_hand(id, "203.0.113.0/24", "AMS");
        assert_int_equal(orders_told(o, &row, now), 0);
    }
    struct order_row row = by_hand(65, "203.0.113.0/24", "AMS");
    assert_int_equal(orders_told(o, &row, now), ERR_FULL);
    orders_stats(o, &stats);
    assert_true(stats.refused == 1);
}

static void a_clock_that_jumps_leaves_leases_as_long_as_they_were(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    now += 86400 * S;
    orders_clock_jumped(o, 86400 * S);
    tick();
    assert_int_equal(rows[1].state, STATUS_RUNNING);
    assert_true(sent(&m, "ams1") && m.lease == 180 * NS_PER_S);
}

static void an_hour_s_segments_count_for_an_hour_wherever_the_clock_jumps(void **state)
{
    const int64_t jumps[] = {2 * 3600 * S, -2 * 3600 * S};
    for (int i = 0; i < 2; i++) {
        conf.mode = ORDERS_OFF;
        conf.drops_per_prefix_hour = conf.max_drops;
        conf.cool_down_ns = 0;
        hello_of("ams1", "AMS", 7);
        order(1, "203.0.113.0/24", "AMS");
        tick();
        order_ended("ams1", 1, REASON_ENDED);
        tick();
        now += jumps[i];
        orders_clock_jumped(o, jumps[i]);
        hello_of("ams1", "AMS", 7);
        order(2, "203.0.113.0/24", "AMS");
        tick();
        assert_int_equal(rows[2].state, STATUS_REQUESTED);
        assert_string_equal(rows[2].detail, "waits: orders.drops_per_prefix_hour");
        now += 3601 * S;
        hello_of("ams1", "AMS", 7);
        tick();
        assert_int_equal(rows[2].state, STATUS_RUNNING);
        teardown(state);
        setup(state);
    }
}

static void nobody_s_request_expires_by_a_clock_that_is_set_ahead(void **state)
{
    (void)state;
    conf.mode = ORDERS_APPROVE;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "203.0.113.0/24");
    assert_int_equal(tick()->state, STATUS_PROPOSED);
    order(2, "192.0.2.0/24", "FRA"); /* no sensor is there */
    tick();
    now += 2 * 86400 * S;
    orders_clock_jumped(o, 2 * 86400 * S);
    tick();
    assert_int_equal(rows[1].state, STATUS_PROPOSED);
    assert_int_equal(rows[2].state, STATUS_REQUESTED);
    now += 86400 * S;
    tick();
    assert_string_equal(rows[1].result, "expired");
    assert_string_equal(rows[2].result, "expired");
}

static void what_the_rules_may_ask_for_rests_no_longer_by_a_clock_that_is_set_back(void **state)
{
    (void)state;
    conf.mode = ORDERS_AUTO;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "203.0.113.0/24");
    conf.max_concurrent = 0; /* it steps back */
    assert_null(tick());
    conf.max_concurrent = 32;
    now -= 86400 * S;
    clock_ahead += 86400 * S;
    orders_clock_jumped(o, -86400 * S);
    for (int second = 0; second < 30; second++) {
        now += S;
        hello_of("ams1", "AMS", 7);
        seen_new("ams1", "AMS", "203.0.113.0/24");
        tick();
    }
    assert_int_equal(rows[1].state, STATUS_RUNNING);
}

static void a_lease_that_a_person_wrote_is_no_lease(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    order(1, "203.0.113.0/24", "AMS");
    assert_int_equal(tick()->state, STATUS_RUNNING);
    assert_true(sent(&m, "ams1"));
    struct order_row row = by_hand(2, "203.0.113.0/25", "FRA");
    row.state = STATUS_RUNNING;
    row.requested_at = INT64_MAX;
    row.started_at = INT64_MIN;
    row.lease_until = INT64_MAX;
    row.process = 8;
    snprintf(row.sensor, sizeof row.sensor, "fra1");
    assert_int_equal(orders_told(o, &row, now), 0);
    tick();
    assert_silent();
    assert_int_equal(rows[2].state, STATUS_REQUESTED);
    assert_true(rows[2].lease_until == 0 && rows[2].requested_at == now);
}

static void what_finds_no_room_at_a_load_waits_in_the_database_but_a_lease_must_not(void **state)
{
    (void)state;
    orders_free(o);
    conf.max_orders = 2;
    assert_int_equal(orders_new(&conf, &o), 0);
    struct order_row leased = by_hand(1, "203.0.113.0/24", "AMS");
    leased.state = STATUS_RUNNING;
    leased.lease_until = now + 100 * S;
    snprintf(leased.sensor, sizeof leased.sensor, "ams1");
    assert_int_equal(orders_load(o, &leased, now), 0);
    for (uint64_t id = 2; id <= 4; id++) {
        struct order_row row = by_hand(id, "192.0.2.0/24", "AMS");
        assert_int_equal(orders_load(o, &row, now), 0);
    }
    assert_false(orders_are_behind(o)); /* no room yet */
    leased.order_id = 5;
    assert_int_equal(orders_load(o, &leased, now), ERR_FULL);
    order_ended("ams1", 1, REASON_ENDED);
    tick();
    assert_true(orders_are_behind(o));
    order(3, "192.0.2.0/24", "AMS");
    assert_false(orders_are_behind(o));
}

static void what_is_not_written_is_not_sent_and_comes_again(void **state)
{
    (void)state;
    struct order_row row;
    unsigned slot;
    hello_of("ams1", "AMS", 7);
    order(1, "203.0.113.0/24", "AMS");
    orders_tick(o, now);
    assert_true(orders_take(o, &row, &slot));
    orders_put_off(o, slot);
    assert_false(orders_take(o, &row, &slot)); /* not in the same turn */
    assert_silent();
    assert_int_equal(tick()->state, STATUS_RUNNING);
    struct wire_message m;
    assert_true(sent(&m, "ams1"));
}

static void own_test(const char *sensor, const char *of, uint8_t id, bool is_end)
{
    struct event e = {.type = is_end ? EVENT_test_ended : EVENT_test_started};
    if (is_end) {
        e.test_ended.prefix = prefix(of);
        e.test_ended.test_id[0] = id;
    } else {
        e.test_started.prefix = prefix(of);
        e.test_started.test_id[0] = id;
    }
    orders_event(o, sensor, &e, now);
}

static uint64_t overlaps(void)
{
    struct orders_stats stats;
    orders_stats(o, &stats);
    return stats.overlaps;
}

static void of_two_sensors_own_tests_the_later_is_held_until_it_ended(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    own_test("ams1", "203.0.113.0/24", 1, false);
    own_test("ams1", "203.0.113.0/24", 2, false); /* another queue */
    own_test("fra1", "192.0.2.0/24", 3, false);
    assert_int_equal(overlaps(), 0);
    assert_silent();
    now += 20 * S;
    own_test("fra1", "203.0.113.128/25", 4, false);
    own_test("fra1", "203.0.113.128/25", 5, false);
    assert_int_equal(overlaps(), 2);
    assert_true(sent(&m, "fra1")); /* one for both */
    struct prefix half = prefix("203.0.113.128/25");
    assert_true(m.kind == WIRE_HOLD && prefix_equal(&m.prefix, &half) &&
                m.stamp >= 1000 * NS_PER_S);
    assert_true(m.lease == 190 * NS_PER_S); /* from the stamp, as long as the first may take */
    assert_silent();
    now += 5 * S;
    own_test("fra1", "203.0.113.128/25", 4, true);
    assert_true(sent(&m, "fra1")); /* one still runs: perhaps that was lost */
    own_test("fra1", "203.0.113.128/25", 5, true);
    now += 5 * S;
    assert_silent();
    own_test("ams1", "203.0.113.0/24", 1, true);
    own_test("ams1", "203.0.113.0/24", 2, true);
    own_test("fra1", "203.0.113.128/25", 6, false);
    assert_silent();
}

static void a_held_test_whose_reason_is_gone_is_held_no_longer_and_holds_others(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    own_test("ams1", "203.0.113.0/24", 1, false);
    own_test("fra1", "203.0.113.0/24", 2, false);
    assert_true(sent(&m, "fra1"));
    own_test("ams1", "203.0.113.0/24", 1, true);
    now += 5 * S;
    assert_silent();
    own_test("ams1", "203.0.113.0/24", 3, false);
    assert_true(sent(&m, "ams1"));
}

static void an_own_test_is_held_while_an_order_elsewhere_runs(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    hello_of("fra1", "FRA", 8);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    assert_true(sent(&m, "ams1"));
    own_test("fra1", "203.0.113.0/24", 1, false);
    assert_true(sent(&m, "fra1") && m.kind == WIRE_HOLD);
    assert_true(m.lease == 190 * NS_PER_S);
}

static void where_a_sensor_takes_no_word_the_others_make_way(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    hello_of("lon1", "LON", 9);
    order(1, "203.0.113.0/24", "AMS");
    tick();
    assert_true(sent(&m, "ams1"));
    own_test("lon1", "192.0.2.0/24", 1, false);
    own_test("old1", "203.0.113.0/24", 2, false); /* never said that it takes orders */
    own_test("old1", "192.0.2.0/24", 3, false);
    assert_int_equal(overlaps(), 2);
    assert_int_equal(tick()->state, STATUS_FAILED);
    assert_string_equal(rows[1].result, "stopped");
    assert_true(sent(&m, "ams1") && m.kind == WIRE_STOP && m.order_id == 1);
    assert_true(sent(&m, "lon1") && m.kind == WIRE_HOLD);
    assert_silent();
}

/* ---- what it costs, and what it remembers ---- */

static uint64_t steps(void)
{
    struct orders_stats stats;
    orders_stats(o, &stats);
    return stats.steps;
}

static void begin_with(unsigned max_orders)
{
    orders_free(o);
    conf.mode = ORDERS_OFF;
    conf.max_orders = max_orders;
    assert_int_equal(orders_new(&conf, &o), 0);
    hello_of("ams1", "AMS", 7);
}

static void write_all(void)
{
    struct order_row row;
    unsigned slot;
    while (orders_take(o, &row, &slot)) {
    }
}

/* Steps of a second of ten ticks in which nothing happens, while so many wait for max_per_sensor.
 */
static uint64_t steps_with(unsigned waiting)
{
    char of[32];
    begin_with(8192);
    for (unsigned i = 0; i < waiting; i++) {
        snprintf(of, sizeof of, "10.%u.%u.0/24", i / 256, i % 256);
        order(i + 1, of, "AMS");
    }
    for (unsigned i = 0; i < 40; i++) /* each is looked at once */
        orders_tick(o, now);
    write_all();
    uint64_t before = steps();
    for (unsigned i = 0; i < 10; i++, now += S / 10)
        orders_tick(o, now);
    return steps() - before;
}

static void who_waits_costs_nothing_while_nothing_happens(void **state)
{
    (void)state;
    uint64_t few = steps_with(16), many = steps_with(4096);
    assert_true(few < 1000);
    assert_true(many < 1000); /* of each of these ticks the old way looked at 4096 * 16000 rows */
    uint64_t before = steps();
    order_ended("ams1", 1, REASON_ENDED);
    orders_tick(o, now);
    assert_true(steps() - before < 2000); /* one begins, the next finds no room */
    before = steps();
    for (unsigned i = 0; i < 100; i++, now += S / 10) {
        hello_of("ams1", "AMS", 7);
        orders_tick(o, now);
    }
    assert_true(steps() - before < 4096 * 500); /* in ten seconds all are looked at again, once */
}

static void of_thousands_that_wait_for_one_prefix_a_tick_looks_at_some(void **state)
{
    (void)state;
    begin_with(8192);
    for (uint64_t id = 1; id <= 4096; id++)
        order(id, "203.0.113.0/24", "AMS");
    for (unsigned i = 0; i < 40; i++)
        orders_tick(o, now);
    for (uint64_t id = 1; id <= 3; id++) {
        write_all();
        order_ended("ams1", id, REASON_ENDED);
        uint64_t before = steps();
        orders_tick(o, now);
        assert_true(steps() - before < 256 * 500);
        struct orders_stats stats;
        orders_stats(o, &stats);
        assert_int_equal(stats.running, 1);
    }
}

static void of_those_who_wait_for_a_sensor_the_one_that_waits_longest_begins(void **state)
{
    (void)state;
    char of[32];
    begin_with(1024);
    hello_of("fra1", "FRA", 8);
    conf.max_per_sensor = 1;
    order(1, "203.0.113.0/24", "AMS");
    tick();
    for (uint64_t id = 2; id <= 12; id++, now += S / 10) { /* the later, the smaller the number */
        snprintf(of, sizeof of, "10.0.%u.0/24", (unsigned)id);
        struct order_row row = by_hand(id, of, "AMS");
        row.requested_at = now - (int64_t)id * S;
        assert_int_equal(orders_told(o, &row, now), 0);
        tick();
    }
    order(13, "10.0.12.0/25", "FRA"); /* takes from the first what it needs */
    tick();
    assert_int_equal(rows[13].state, STATUS_RUNNING);
    order_ended("ams1", 1, REASON_ENDED);
    tick();
    assert_int_equal(rows[12].state, STATUS_REQUESTED);
    assert_int_equal(rows[11].state, STATUS_RUNNING);
    order_ended("fra1", 13, REASON_ENDED);
    tick();
    assert_string_equal(rows[12].detail, "waits: orders.max_per_sensor");
    order_ended("ams1", 11, REASON_ENDED);
    tick();
    assert_int_equal(rows[12].state, STATUS_RUNNING);
    assert_int_equal(rows[10].state, STATUS_REQUESTED);
}

static void what_waits_for_a_limit_begins_when_the_configuration_lifts_it(void **state)
{
    (void)state;
    begin_with(64);
    conf.max_concurrent = 1;
    order(1, "203.0.113.0/24", "AMS");
    order(2, "192.0.2.0/24", "AMS");
    tick();
    assert_string_equal(rows[2].detail, "waits: orders.max_concurrent");
    conf.max_concurrent = 2;
    orders_conf_changed(o);
    tick();
    assert_int_equal(rows[2].state, STATUS_RUNNING);
}

static void what_waits_for_a_sensor_begins_when_it_comes(void **state)
{
    (void)state;
    begin_with(64);
    order(1, "203.0.113.0/24", "LON");
    order(2, "192.0.2.0/24", "FRA");
    tick();
    assert_int_equal(rows[2].state, STATUS_REQUESTED);
    hello_of("fra1", "FRA", 9);
    tick();
    assert_int_equal(rows[1].state, STATUS_REQUESTED);
    assert_int_equal(rows[2].state, STATUS_RUNNING);
}

/* Runs an order to its end. False: there was no room for it. */
static bool run_order(uint64_t id, const char *of, unsigned reason, uint64_t drops)
{
    struct order_row row = by_hand(id, of, "AMS");
    if (orders_told(o, &row, now) != 0)
        return false;
    orders_tick(o, now);
    struct event e = {.type = EVENT_order_ended};
    e.order_ended = (struct event_order_ended){.order_id = id,
                                               .state = ORDER_FAILED,
                                               .reason = (uint8_t)reason,
                                               .tests = drops != 0,
                                               .drops = drops};
    orders_event(o, "ams1", &e, now);
    orders_tick(o, now);
    return true;
}

static void a_flood_of_orders_does_not_make_it_forget_what_was_withheld(void **state)
{
    (void)state;
    char of[32];
    begin_with(64);
    conf.drops_per_prefix_hour = 60;
    assert_true(run_order(1, "203.0.113.0/24", REASON_NO_TCP, 60));
    write_all();
    unsigned taken = 0;
    for (unsigned i = 0; i < 200; i++, now += S) {
        hello_of("ams1", "AMS", 7);
        snprintf(of, sizeof of, "10.0.%u.0/24", i);
        taken += run_order(1000 + i, of, REASON_NO_TCP, 60);
        write_all();
    }
    assert_int_equal(taken, 63);
    struct order_row row = by_hand(5000, "203.0.113.0/24", "AMS"), said;
    unsigned slot;
    assert_int_equal(orders_told(o, &row, now), ERR_FULL);
    assert_true(orders_take(o, &said, &slot)); /* and somebody is told why */
    assert_true(said.order_id == 5000 && said.state == STATUS_REQUESTED);
    assert_non_null(strstr(said.detail, "orders.max"));
    orders_put_off(o, slot); /* locked by somebody: said again when it is read again */
    assert_int_equal(orders_told(o, &said, now), ERR_FULL);
    assert_false(orders_take(o, &said, &slot)); /* it stands there already */
    assert_false(orders_are_behind(o));
    now = T0 + 3600 * S;
    hello_of("ams1", "AMS", 7);
    orders_tick(o, now);
    assert_true(orders_are_behind(o)); /* the first hour is over */
    assert_int_equal(orders_told(o, &row, now), 0);
    orders_tick(o, now);
    assert_true(orders_take(o, &said, &slot));
    assert_true(said.order_id == 5000 && said.state == STATUS_RUNNING);
}

static void what_never_began_at_a_sensor_makes_room(void **state)
{
    (void)state;
    char of[32];
    begin_with(64);
    conf.drops_per_prefix_hour = 60;
    assert_true(run_order(1, "203.0.113.0/24", REASON_NO_TCP, 60));
    for (unsigned i = 0; i < 200; i++, now += S) {
        hello_of("ams1", "AMS", 7);
        snprintf(of, sizeof of, "10.0.%u.0/24", i);
        assert_true(run_order(1000 + i, of, REASON_REFUSED, 0));
        write_all();
    }
    order(2, "203.0.113.0/24", "AMS");
    assert_string_equal(tick()->detail, "waits: orders.drops_per_prefix_hour");
}

static void
after_a_load_that_had_no_room_for_the_last_hour_nothing_begins_until_it_is_over(void **state)
{
    (void)state;
    begin_with(2);
    for (uint64_t id = 1; id <= 3; id++) {
        struct order_row row = by_hand(id, "203.0.113.0/24", "AMS");
        row.state = STATUS_ENDED;
        row.drops = 60;
        row.requested_at = row.started_at = row.ended_at = now - (int64_t)(4 - id) * 600 * S;
        assert_int_equal(orders_load(o, &row, now), 0);
    }
    now += 1801 * S; /* the first is an hour old */
    hello_of("ams1", "AMS", 7);
    tick();
    order(4, "192.0.2.0/24", "AMS");
    assert_non_null(strstr(tick()->detail, "orders.max"));
    now += 1200 * S;
    conf.expire_ns = 3600 * NS_PER_S;
    hello_of("ams1", "AMS", 7);
    assert_int_equal(tick()->state, STATUS_RUNNING);
}

/* ---- orders.never ---- */

static void never(const char *of)
{
    conf.never[conf.never_count++] = prefix(of);
}

static void what_must_never_be_tested_is_not_ordered_wherever_it_overlaps(void **state)
{
    (void)state;
    never("198.51.100.0/24");
    never("2001:db8::/32");
    orders_conf_changed(o);
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "198.51.100.0/24");
    seen_new("ams1", "AMS", "198.51.100.128/25"); /* inside it */
    seen_new("ams1", "AMS", "2001:db8:7::/48");
    assert_null(tick());
    order(1, "198.51.100.7/32", "AMS");
    order(2, "198.51.96.0/20", "AMS"); /* its segments would be withheld, too */
    order(3, "203.0.113.0/24", "AMS");
    tick();
    assert_int_equal(rows[1].state, STATUS_FAILED);
    assert_string_equal(rows[1].result, "refused");
    assert_string_equal(rows[1].detail, "orders.never: it overlaps 198.51.100.0/24");
    assert_int_equal(rows[2].state, STATUS_FAILED);
    assert_int_equal(rows[3].state, STATUS_RUNNING);
    assert_true(rows[1].started_at == 0 && rows[1].lease_until == 0);
}

static void a_range_with_a_part_that_must_not_be_tested_is_tested_by_its_busiest_leaf(void **state)
{
    (void)state;
    never("10.1.2.64/26");
    orders_conf_changed(o);
    hello_of("ams1", "AMS", 7);
    seen("ams1", "AMS", "10.1.0.0/20", "10.1.3.0/24", STATE_UNVERIFIED, EXPECTED_NO, 500);
    struct prefix want = prefix("10.1.3.0/24");
    assert_true(prefix_equal(&tick()->prefix, &want));
    seen("ams1", "AMS", "10.1.2.0/23", "10.1.2.0/24", STATE_UNVERIFIED, EXPECTED_NO, 500);
    assert_null(tick());
}

static void what_must_never_be_tested_from_now_on_is_stopped_and_given_up(void **state)
{
    (void)state;
    struct wire_message m;
    conf.mode = ORDERS_APPROVE;
    conf.max_per_sensor = 1;
    hello_of("ams1", "AMS", 7);
    seen_new("ams1", "AMS", "198.51.100.0/25");
    assert_int_equal(tick()->state, STATUS_PROPOSED);
    order(2, "198.51.100.128/25", "AMS");
    order(3, "198.51.100.192/26", "AMS");
    tick();
    assert_int_equal(rows[2].state, STATUS_RUNNING);
    assert_int_equal(rows[3].state, STATUS_REQUESTED);
    never("198.51.100.0/24");
    orders_conf_changed(o);
    assert_silent(); /* not even until the next tick */
    tick();
    assert_string_equal(rows[1].result, "refused");
    assert_string_equal(rows[2].result, "stopped");
    assert_string_equal(rows[3].result, "refused");
    assert_true(rows[2].lease_until != 0); /* until the sensor said so */
    assert_true(sent(&m, "ams1") && m.kind == WIRE_STOP && m.order_id == 2);
    conf.never_count = 0;
    orders_conf_changed(o);
    order_ended("ams1", 2, REASON_STOPPED);
    order(4, "198.51.100.192/26", "AMS");
    tick();
    assert_int_equal(rows[4].state, STATUS_RUNNING);
}

static void what_ran_before_a_start_and_must_never_be_tested_now_is_stopped(void **state)
{
    (void)state;
    struct wire_message m;
    hello_of("ams1", "AMS", 7);
    order(1, "198.51.100.0/24", "AMS");
    tick();
    never("198.51.100.0/24");
    orders_free(o);
    assert_int_equal(orders_new(&conf, &o), 0);
    assert_int_equal(orders_load(o, &rows[1], now), 0);
    hello_of("ams1", "AMS", 7);
    assert_silent();
    assert_string_equal(tick()->result, "stopped");
    assert_true(sent(&m, "ams1") && m.kind == WIRE_STOP);
}

/* It would end every lease early, or keep it when it is another's. */
static void a_sensor_whose_clock_runs_apart_gets_no_order_until_it_keeps_pace(void **state)
{
    (void)state;
    struct orders_stats stats;
    for (int second = 0; second < 800; second += 10) {
        now += 10 * S;
        clock_ahead += S; /* a tenth too fast */
        hello_of("ams1", "AMS", 7);
    }
    order(1, "203.0.113.0/24", "AMS");
    struct order_row row = *tick();
    assert_true(row.state == STATUS_REQUESTED && strstr(row.detail, "clock") != NULL);
    assert_silent();
    orders_stats(o, &stats);
    assert_true(stats.clocks_off == 1 && stats.clock_off.ahead > 17 * S);
    assert_string_equal(stats.clock_off.sensor, "ams1");
    for (int second = 0; second < 800 && rows[1].state == STATUS_REQUESTED; second += 10) {
        now += 10 * S;
        hello_of("ams1", "AMS", 7);
        tick();
    }
    assert_int_equal(rows[1].state, STATUS_RUNNING);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_new_and_carries_enough_is_ordered_where_it_enters),
        test(what_needs_no_test_is_not_ordered),
        test(the_unexpected_goes_before_the_large),
        test(a_row_that_is_too_wide_is_tested_by_its_busiest_part),
        test(a_prefix_rests_after_an_order_and_one_without_tcp_for_long),
        test(the_many_that_rest_do_not_stand_before_the_one_that_may_be_tested),
        test(proposals_wait_for_somebody_s_word),
        test(what_people_write_that_only_the_collector_knows_is_put_right),
        test(orders_by_hand_run_whatever_the_mode_and_find_the_sensor_that_sees_the_prefix),
        test(overlapping_prefixes_wait_for_each_other_until_the_order_ended_or_its_lease),
        test(a_test_by_configuration_keeps_the_other_sensors_away),
        test(what_somebody_cancels_is_stopped_and_its_lease_stands),
        test(a_sensor_that_started_again_ends_its_orders_and_the_lease_stands),
        test(a_collector_that_starts_again_goes_on_with_what_runs),
        test(drops_of_an_hour_are_bounded_per_prefix_at_all_sensors_together),
        test(a_sensor_that_says_little_is_asked_for_its_clock),
        test(a_sensor_speaks_of_its_own_orders_only),
        test(a_full_table_refuses_and_counts),
        test(a_clock_that_jumps_leaves_leases_as_long_as_they_were),
        test(an_hour_s_segments_count_for_an_hour_wherever_the_clock_jumps),
        test(nobody_s_request_expires_by_a_clock_that_is_set_ahead),
        test(what_the_rules_may_ask_for_rests_no_longer_by_a_clock_that_is_set_back),
        test(a_lease_that_a_person_wrote_is_no_lease),
        test(what_finds_no_room_at_a_load_waits_in_the_database_but_a_lease_must_not),
        test(what_is_not_written_is_not_sent_and_comes_again),
        test(of_two_sensors_own_tests_the_later_is_held_until_it_ended),
        test(a_held_test_whose_reason_is_gone_is_held_no_longer_and_holds_others),
        test(an_own_test_is_held_while_an_order_elsewhere_runs),
        test(where_a_sensor_takes_no_word_the_others_make_way),
        test(what_must_never_be_tested_is_not_ordered_wherever_it_overlaps),
        test(a_range_with_a_part_that_must_not_be_tested_is_tested_by_its_busiest_leaf),
        test(what_must_never_be_tested_from_now_on_is_stopped_and_given_up),
        test(what_ran_before_a_start_and_must_never_be_tested_now_is_stopped),
        test(a_sensor_whose_clock_runs_apart_gets_no_order_until_it_keeps_pace),
        test(who_waits_costs_nothing_while_nothing_happens),
        test(of_thousands_that_wait_for_one_prefix_a_tick_looks_at_some),
        test(of_those_who_wait_for_a_sensor_the_one_that_waits_longest_begins),
        test(what_waits_for_a_limit_begins_when_the_configuration_lifts_it),
        test(what_waits_for_a_sensor_begins_when_it_comes),
        test(a_flood_of_orders_does_not_make_it_forget_what_was_withheld),
        test(what_never_began_at_a_sensor_makes_room),
        test(after_a_load_that_had_no_room_for_the_last_hour_nothing_begins_until_it_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

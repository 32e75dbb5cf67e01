/* Orders through the loop: what is told is what the database has, whatever fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/loop/loop.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/collector/loop/scripted_doors.h"

#define T0    INT64_C(1700000000000000000)
#define EPOCH UINT64_C(1699999999000000000)

static int64_t now;
static struct counters counters;
static struct expect policy;
static struct loop loop;
static uint64_t seq;
static struct wire_message orders[16], stops[16];
static unsigned order_count, stop_count;

static int64_t wall_ahead;

static int64_t test_wall(void)
{
    return now + wall_ahead;
}

static uint64_t test_mono(void)
{
    return (uint64_t)now;
}

static void keep(const char *sensor, const struct wire_message *m)
{
    (void)sensor;
    if (m->kind == WIRE_ORDER && order_count < 16)
        orders[order_count++] = *m;
    if (m->kind == WIRE_STOP && stop_count < 16)
        stops[stop_count++] = *m;
}

static void start(void)
{
    assert_int_equal(doors_loop(&loop, &policy, &counters, test_wall, test_mono), 0);
}

static int setup(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_ERROR);
    doors_reset();
    memset(&counters, 0, sizeof counters);
    now = T0;
    seq = 1;
    order_count = stop_count = 0;
    start();
    net_answer = keep;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_clear(&loop);
    return 0;
}

static void turn(void)
{
    now += (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
}

static void hello(uint64_t process)
{
    net_queue("ams1", &(struct wire_message){.kind = WIRE_HELLO,
                                             .version = WIRE_VERSION,
                                             .pop = "AMS",
                                             .epoch = EPOCH,
                                             .first_seq = 1,
                                             .next_seq = seq,
                                             .orders = process,
                                             .stamp = 500});
    turn();
}

static void send_event(const struct event *e)
{
    uint8_t bytes[WIRE_EVENT_MAX];
    int len = wire_event_encode(e, bytes, sizeof bytes);
    assert_true(len > 0);
    net_queue("ams1", &(struct wire_message){.kind = WIRE_BATCH,
                                             .epoch = EPOCH,
                                             .first_seq = seq++,
                                             .count = 1,
                                             .stamp = 600,
                                             .events = bytes,
                                             .events_len = (size_t)len});
    turn();
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

/* As INSERT and its NOTIFY. */
static void insert(const char *of)
{
    struct order_row *row = &db.orders[db.order_count++];
    *row = (struct order_row){.order_id = db.order_count,
                              .prefix = prefix(of),
                              .pop = "AMS",
                              .state = STATUS_REQUESTED,
                              .requested_at = now,
                              .verdict = -1};
    db_heard = HEARD_ORDER;
}

static void send_tally(uint64_t packets)
{
    struct event e = {.at = now, .type = EVENT_tally};
    e.tally.started_at = now - (int64_t)NS_PER_S;
    e.tally.ended_at = now;
    e.tally.packets = packets;
    e.tally.bytes = 100 * packets;
    e.tally.prefix = prefix("203.0.113.0/24");
    send_event(&e);
}

static void send_end(uint64_t order_id, unsigned reason)
{
    struct event e = {.at = now, .type = EVENT_order_ended};
    e.order_ended.order_id = order_id;
    e.order_ended.prefix = prefix("203.0.113.0/24");
    e.order_ended.reason = (uint8_t)reason;
    e.order_ended.state = reason == REASON_ENDED ? ORDER_ENDED : ORDER_FAILED;
    send_event(&e);
}

static void send_test(uint64_t order_id, bool is_end)
{
    struct event e = {.at = now, .type = is_end ? EVENT_test_ended : EVENT_test_started};
    if (is_end) {
        e.test_ended.order_id = order_id;
        e.test_ended.prefix = prefix("203.0.113.0/24");
        e.test_ended.test_id[0] = 9;
        e.test_ended.started_at = e.test_ended.ended_at = now;
        e.test_ended.genuine_probability = .999;
        e.test_ended.verdict = VERDICT_GENUINE;
    } else {
        e.test_started.order_id = order_id;
        e.test_started.prefix = prefix("203.0.113.0/24");
        e.test_started.test_id[0] = 9;
        e.test_started.started_at = now;
    }
    send_event(&e);
}

/* ---- promises ---- */

static void an_order_by_hand_runs_and_ends_with_its_verdict(void **state)
{
    (void)state;
    hello(7);
    insert("203.0.113.0/24");
    turn();
    assert_int_equal(order_count, 1);
    assert_true(orders[0].order_id == 1 && orders[0].stamp == 500);
    assert_int_equal(db.orders[0].state, STATUS_RUNNING);
    send_test(1, false);
    send_test(1, true);
    send_end(1, REASON_ENDED);
    assert_int_equal(db.orders[0].state, STATUS_ENDED);
    assert_int_equal(db.orders[0].verdict, VERDICT_GENUINE);
    assert_true(db.orders[0].lease_until == 0 && db.orders[0].test_id[0] == 9);
}

static void
what_is_seen_is_ordered_by_the_collector_itself_and_numbered_by_the_database(void **state)
{
    (void)state;
    loop_clear(&loop);
    doors_orders.mode = ORDERS_AUTO;
    start();
    hello(7);
    insert("192.0.2.0/24"); /* has the first number */
    send_tally(100);
    turn();
    assert_int_equal(db.order_count, 2);
    assert_string_equal(db.orders[1].requested_by, "penstock");
    assert_int_equal(db.orders[1].order_id, 2);
    assert_int_equal(order_count, 2);
    assert_true(orders[0].order_id == 1 && orders[1].order_id == 2);
}

static void an_order_knows_from_the_first_packet_whether_its_prefix_is_expected(void **state)
{
    (void)state;
    struct prefix p = prefix("203.0.113.0/24");
    assert_int_equal(expect_add(&policy, &p, NULL, 0), 0);
    loop_clear(&loop);
    doors_orders.mode = ORDERS_AUTO;
    start();
    hello(7);
    send_tally(100);
    turn();
    expect_clear(&policy);
    assert_int_equal(db.order_count, 1);
    assert_string_equal(db.orders[0].reason, "100 packets/s without a verdict; not expected here");
}

static void an_order_is_told_only_when_it_is_committed(void **state)
{
    (void)state;
    hello(7);
    insert("203.0.113.0/24");
    db_lose_commit = true; /* it took place, and nobody knows */
    turn();
    assert_int_equal(order_count, 0);
    turn(); /* loads again */
    hello(7);
    assert_int_equal(order_count, 1);
    assert_int_equal(db.orders[0].state, STATUS_RUNNING);
    assert_true(orders[0].order_id == 1);
}

static void every_failure_of_the_database_leaves_an_order_that_runs_or_one_that_waits(void **state)
{
    (void)state;
    for (int at = 1; at < 12; at++) {
        loop_clear(&loop);
        doors_reset();
        order_count = 0;
        seq = 1;
        start();
        net_answer = keep;
        hello(7);
        insert("203.0.113.0/24");
        db_fail_at = at;
        for (unsigned i = 0; i < 4; i++)
            turn();
        db_fail_at = 0;
        db_heard = HEARD_ORDER; /* as after a new connection */
        hello(7);
        turn();
        assert_true(order_count > 0);
        for (unsigned i = 0; i < order_count; i++)
            assert_true(orders[i].order_id == 1);
        assert_int_equal(db.order_count, 1);
        assert_int_equal(db.orders[0].state, STATUS_RUNNING);
    }
}

static void a_killed_collector_s_successor_goes_on_with_the_order_and_its_lease(void **state)
{
    (void)state;
    hello(7);
    insert("203.0.113.0/24");
    turn();
    int64_t until = db.orders[0].lease_until;
    loop_clear(&loop);
    now += 60 * (int64_t)NS_PER_S;
    start();
    hello(7);
    assert_int_equal(order_count, 2);
    assert_true(orders[1].order_id == 1 && orders[1].lease < orders[0].lease);
    assert_true(db.orders[0].lease_until == until);
    send_end(1, REASON_ENDED);
    assert_int_equal(db.orders[0].state, STATUS_ENDED);
}

static void a_cancelled_order_is_stopped_at_the_sensor(void **state)
{
    (void)state;
    hello(7);
    insert("203.0.113.0/24");
    turn();
    db.orders[0].state = STATUS_CANCELLED; /* UPDATE */
    db_heard = HEARD_ORDER;
    turn();
    assert_int_equal(stop_count, 1);
    assert_true(stops[0].order_id == 1);
    send_end(1, REASON_STOPPED);
    assert_int_equal(db.orders[0].state, STATUS_CANCELLED);
    assert_true(db.orders[0].ended_at != 0 && db.orders[0].lease_until == 0);
}

/* The connection may live on, so nobody says that word again. */
static void a_word_that_was_heard_when_the_database_failed_is_not_lost(void **state)
{
    (void)state;
    for (int at = 1; at < 8; at++) {
        loop_clear(&loop);
        doors_reset();
        seq = 1;
        start();
        hello(7);
        insert("203.0.113.0/24");
        turn();
        assert_int_equal(db.orders[0].state, STATUS_RUNNING);
        db.orders[0].state = STATUS_CANCELLED; /* UPDATE */
        db_heard = HEARD_ORDER;
        db_fail_at = at;
        for (unsigned i = 0; i < 4; i++)
            turn();
        db_fail_at = 0;
        assert_true(db.orders[0].ended_at != 0);
        assert_int_equal(db.orders[0].state, STATUS_CANCELLED);
    }
}

static void a_sensor_that_takes_no_orders_gets_none(void **state)
{
    (void)state;
    hello(0);
    insert("203.0.113.0/24");
    turn();
    assert_int_equal(order_count, 0);
    now += 700 * (int64_t)NS_PER_S;
    turn();
    assert_int_equal(db.orders[0].state, STATUS_FAILED);
    assert_string_equal(db.orders[0].result, "expired");
}

static void rules_that_are_read_again_hold_from_the_next_tick_on(void **state)
{
    (void)state;
    struct order_conf wanted = doors_orders;
    hello(7);
    send_tally(100);
    turn();
    assert_int_equal(order_count, 0); /* off */
    wanted.mode = ORDERS_AUTO;
    wanted.max_orders = 1; /* of memory that is there: not now */
    loop_orders_changed(&loop, &wanted);
    send_tally(100);
    turn();
    assert_int_equal(order_count, 1);
    assert_int_equal(loop.conf.order.max_orders, doors_orders.max_orders);
    wanted.never[wanted.never_count++] = db.orders[0].prefix;
    loop_orders_changed(&loop, &wanted);
    turn();
    assert_int_equal(stop_count, 1);
    assert_string_equal(db.orders[0].result, "stopped");
    assert_non_null(strstr(db.orders[0].detail, "orders.never"));
}

/* A lease is real time: a clock that is set ahead in the very turn in which somebody orders must
 * not end one. */
static void a_clock_that_was_set_ends_no_lease_also_when_somebody_orders_just_then(void **state)
{
    (void)state;
    hello(7);
    insert("203.0.113.0/24");
    turn();
    assert_int_equal(db.orders[0].state, STATUS_RUNNING);
    wall_ahead = 3600 * (int64_t)NS_PER_S;
    insert("192.0.2.0/24");
    turn();
    wall_ahead = 0;
    assert_int_equal(db.orders[0].state, STATUS_RUNNING);
    assert_true(db.orders[0].lease_until != 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_order_by_hand_runs_and_ends_with_its_verdict),
        test(what_is_seen_is_ordered_by_the_collector_itself_and_numbered_by_the_database),
        test(an_order_knows_from_the_first_packet_whether_its_prefix_is_expected),
        test(an_order_is_told_only_when_it_is_committed),
        test(every_failure_of_the_database_leaves_an_order_that_runs_or_one_that_waits),
        test(a_killed_collector_s_successor_goes_on_with_the_order_and_its_lease),
        test(a_cancelled_order_is_stopped_at_the_sensor),
        test(a_word_that_was_heard_when_the_database_failed_is_not_lost),
        test(a_sensor_that_takes_no_orders_gets_none),
        test(rules_that_are_read_again_hold_from_the_next_tick_on),
        test(a_clock_that_was_set_ends_no_lease_also_when_somebody_orders_just_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The collector's orders at the sensor: leases, ends, refusals. Time is moved by assignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/control/control.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

#define START (77 * NS_PER_S)
#define LEASE (180 * NS_PER_S)
#define WAIT  (30 * NS_PER_S)

static uint64_t now;
static struct control *c;
static struct prefix home[1];

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static const struct control_conf usual = {
    .enabled = true, .max_orders = 4, .min_v4 = 16, .min_v6 = 32, .max_lease_ns = 600 * NS_PER_S};

static void make(const struct control_conf *conf, uint64_t seed)
{
    control_free(c);
    c = NULL;
    now = START;
    assert_int_equal(control_new(conf, seed, now, &c), 0);
}

static int setup(void **state)
{
    (void)state;
    struct control_conf conf = usual;
    home[0] = prefix("198.51.100.0/24");
    conf.home = home;
    conf.home_count = 1;
    make(&conf, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    control_free(c);
    c = NULL;
    return 0;
}

/* An order that was sent just now. */
static struct wire_message order(uint64_t id, const char *of)
{
    return (struct wire_message){.kind = WIRE_ORDER,
                                 .order_id = id,
                                 .prefix = prefix(of),
                                 .stamp = control_stamp(c, now),
                                 .lease = LEASE,
                                 .wait = WAIT,
                                 .drops = 60};
}

static void give(uint64_t id, const char *of)
{
    struct wire_message m = order(id, of);
    control_message(c, &m, now);
}

static void stop(uint64_t id)
{
    control_message(c, &(struct wire_message){.kind = WIRE_STOP, .order_id = id}, now);
}

static size_t watched(struct control_watch out[static CONTROL_ORDERS_MAX])
{
    uint64_t version;
    return control_watch(c, out, &version);
}

static size_t watch_count(void)
{
    struct control_watch list[CONTROL_ORDERS_MAX];
    return watched(list);
}

/* The list is in force at all queues, and what they said since was read. */
static void settle(void)
{
    struct control_watch list[CONTROL_ORDERS_MAX];
    uint64_t version;
    control_watch(c, list, &version);
    control_watched(c, version, now);
    now += NS_PER_S;
    control_tick(c, now);
}

static uint64_t started(uint8_t id, const char *of)
{
    struct event e = {.type = EVENT_test_started};
    e.test_started.test_id[0] = id;
    e.test_started.prefix = prefix(of);
    control_event(c, &e, now);
    return e.test_started.order_id;
}

static uint64_t ended(uint8_t id, const char *of, uint8_t verdict, uint64_t data)
{
    struct event e = {.type = EVENT_test_ended};
    e.test_ended.test_id[0] = id;
    e.test_ended.prefix = prefix(of);
    e.test_ended.verdict = verdict;
    e.test_ended.packets = 10;
    e.test_ended.data = data;
    e.test_ended.drops = 2;
    control_event(c, &e, now);
    return e.test_ended.order_id;
}

static struct event_order_ended take(void)
{
    struct event e;
    assert_true(control_take(c, &e));
    assert_int_equal(e.type, EVENT_order_ended);
    return e.order_ended;
}

static void assert_none(void)
{
    struct event e;
    assert_false(control_take(c, &e));
}

static void assert_refused(const char *of, unsigned reason)
{
    static uint64_t id = 1000;
    give(++id, of);
    struct event_order_ended e = take();
    assert_int_equal(e.order_id, id);
    assert_int_equal(e.state, ORDER_FAILED);
    assert_int_equal(e.reason, reason);
    assert_int_equal(e.tests, 0);
}

/* ---- promises ---- */

static void an_ordered_prefix_is_watched_until_its_test_ended_and_said_once(void **state)
{
    (void)state;
    struct control_watch list[CONTROL_ORDERS_MAX];
    give(5, "203.0.113.0/24");
    assert_int_equal(watched(list), 1);
    assert_true(list[0].until_ns == now + LEASE && list[0].drops == 60);
    settle();
    assert_int_equal(started(1, "203.0.113.0/24"), 5);
    assert_int_equal(started(9, "192.0.2.0/24"), 0); /* somebody else's */
    assert_int_equal(ended(1, "203.0.113.0/24", VERDICT_GENUINE, 8), 5);
    assert_int_equal(watch_count(), 0);
    assert_none(); /* the list without it is not in force yet */
    settle();
    struct event_order_ended e = take();
    assert_int_equal(e.order_id, 5);
    assert_int_equal(e.state, ORDER_ENDED);
    assert_int_equal(e.reason, REASON_ENDED);
    assert_true(e.test_id[0] == 1 && e.tests == 1 && e.packets == 10 && e.data == 8 &&
                e.drops == 2);
    settle();
    assert_none();
}

static void
an_order_with_several_tests_ends_with_the_last_and_tells_of_the_one_with_a_word(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    started(1, "203.0.113.0/24");
    started(2, "203.0.113.0/24");
    ended(2, "203.0.113.0/24", VERDICT_SPOOFED, 1);
    assert_int_equal(watch_count(), 1);
    ended(1, "203.0.113.0/24", VERDICT_INCONCLUSIVE, 1);
    assert_int_equal(watch_count(), 0);
    settle();
    struct event_order_ended e = take();
    assert_true(e.test_id[0] == 2 && e.tests == 2 && e.drops == 4);
}

static void an_order_that_is_sent_again_begins_once_also_when_it_is_over(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    uint64_t version, same;
    struct control_watch list[CONTROL_ORDERS_MAX];
    control_watch(c, list, &version);
    now += NS_PER_S;
    give(5, "203.0.113.0/24");
    assert_int_equal(control_watch(c, list, &same), 1);
    assert_true(same == version && list[0].until_ns == START + LEASE);
    stop(5);
    settle();
    assert_int_equal(take().reason, REASON_STOPPED);
    give(5, "203.0.113.0/24");
    assert_int_equal(watch_count(), 0);
    assert_none();
}

static void a_lease_counts_from_the_stamp_however_long_the_order_was_on_its_way(void **state)
{
    (void)state;
    struct control_watch list[CONTROL_ORDERS_MAX];
    struct wire_message late = order(5, "203.0.113.0/24"), later = order(6, "192.0.2.0/24");
    now += LEASE - NS_PER_S;
    control_message(c, &late, now);
    assert_int_equal(watched(list), 1);
    assert_true(list[0].until_ns == START + LEASE);
    now += 2 * NS_PER_S;
    control_message(c, &later, now);
    assert_int_equal(watch_count(), 1);
    assert_int_equal(take().reason, REASON_LEASE_OVER);
    control_tick(c, now);
    assert_int_equal(watch_count(), 0);
}

static void a_stamp_of_another_process_begins_nothing(void **state)
{
    (void)state;
    struct wire_message m = order(5, "203.0.113.0/24");
    for (uint64_t seed = 2; seed < 200; seed++) {
        make(&usual, seed);
        now += 3600 * NS_PER_S; /* it has run for long: many stamps are in its past */
        control_message(c, &m, now);
        assert_int_equal(watch_count(), 0);
        m.stamp = control_stamp(c, now) + NS_PER_S; /* nor does one of the future */
        control_message(c, &m, now);
        assert_int_equal(watch_count(), 0);
    }
    give(5, "203.0.113.0/24"); /* and the number is not used up */
    assert_int_equal(watch_count(), 1);
}

static void a_lease_ends_an_order_whose_test_never_ends(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    started(1, "203.0.113.0/24");
    now = START + LEASE - 1;
    control_tick(c, now);
    assert_int_equal(watch_count(), 1);
    now++;
    control_tick(c, now);
    assert_int_equal(watch_count(), 0);
    settle();
    assert_none(); /* its test has not ended */
    ended(1, "203.0.113.0/24", VERDICT_INCONCLUSIVE, 3);
    settle();
    assert_int_equal(take().reason, REASON_LEASE_OVER);
}

static void the_sensor_has_a_longest_lease_of_its_own(void **state)
{
    (void)state;
    struct control_watch list[CONTROL_ORDERS_MAX];
    struct wire_message m = order(5, "203.0.113.0/24");
    m.lease = INT64_MAX;
    control_message(c, &m, now);
    assert_int_equal(watched(list), 1);
    assert_true(list[0].until_ns == now + usual.max_lease_ns);
}

static void without_a_packet_in_time_an_order_ends_as_no_traffic(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    now += WAIT;
    control_tick(c, now);
    settle();
    struct event_order_ended e = take();
    assert_int_equal(e.reason, REASON_NO_TRAFFIC);
    assert_int_equal(e.state, ORDER_FAILED);
}

static void packets_without_tcp_data_end_as_no_tcp(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    started(1, "203.0.113.0/24");
    ended(1, "203.0.113.0/24", VERDICT_INCONCLUSIVE, 0);
    settle();
    struct event_order_ended e = take();
    assert_int_equal(e.reason, REASON_NO_TCP);
    assert_true(e.packets == 10 && e.data == 0);
}

static void what_is_watched_already_is_refused_and_not_disturbed(void **state)
{
    (void)state;
    assert_refused("198.51.100.0/24", REASON_ALREADY_WATCHED);
    assert_refused("198.51.100.128/25", REASON_ALREADY_WATCHED);
    assert_refused("198.51.0.0/16", REASON_ALREADY_WATCHED);
    assert_int_equal(started(1, "198.51.100.0/24"), 0);
    give(5, "203.0.113.0/24");
    assert_refused("203.0.113.64/26", REASON_ALREADY_WATCHED);
    assert_int_equal(watch_count(), 1);
}

static void a_prefix_that_the_configuration_takes_over_ends_its_order(void **state)
{
    (void)state;
    struct prefix wide = prefix("203.0.112.0/23");
    give(5, "203.0.113.0/24");
    assert_int_equal(control_home(c, &wide, 1, now), 0);
    settle();
    assert_int_equal(take().reason, REASON_ALREADY_WATCHED);
}

static void limits_lengths_and_modes_refuse(void **state)
{
    (void)state;
    assert_refused("203.0.0.0/15", REASON_REFUSED);
    assert_refused("2001::/31", REASON_REFUSED);
    give(1, "10.0.0.0/24");
    give(2, "10.0.1.0/24");
    give(3, "10.0.2.0/24");
    give(4, "2001:db8::/48");
    assert_refused("10.0.3.0/24", REASON_REFUSED);
    assert_int_equal(watch_count(), 4);
    struct control_conf conf = usual;
    conf.never[conf.never_count++] = prefix("192.0.2.64/26");
    make(&conf, 1);
    assert_refused("192.0.2.64/32", REASON_REFUSED);
    assert_refused("192.0.2.0/24", REASON_REFUSED); /* its segments would be withheld, too */
    give(1, "192.0.2.0/26");
    assert_int_equal(watch_count(), 1);
    conf = usual;
    conf.why_not = "penny.mode is not active";
    make(&conf, 1);
    assert_int_equal(control_number(c), 0);
    assert_refused("203.0.113.0/24", REASON_REFUSED);
    conf = usual;
    conf.enabled = false;
    make(&conf, 1);
    assert_int_equal(control_number(c), 0);
    assert_refused("203.0.113.0/24", REASON_REFUSED);
}

static void a_sensor_that_ends_ends_its_orders(void **state)
{
    (void)state;
    give(5, "203.0.113.0/24");
    give(6, "192.0.2.0/24");
    started(1, "203.0.113.0/24");
    ended(1, "203.0.113.0/24", VERDICT_GENUINE, 3); /* its list is not in force yet */
    control_finish(c);
    assert_int_equal(take().reason, REASON_ENDED);
    assert_int_equal(take().reason, REASON_STOPPED);
    assert_none();
}

/* Random messages and times: an order is never watched past its lease, has one end, and overlaps
 * nothing. */
static void random_streams_keep_leases_and_say_each_end_once(void **state)
{
    (void)state;
    struct prf prf = prf_init(4, 4);
    unsigned ends[400] = {0};
    bool is_given[400] = {false};
    uint64_t sent_at[400];
    for (unsigned step = 0; step < 20000; step++) {
        struct addr at = prefix("10.0.0.0/8").addr;
        at.bytes[2] = (uint8_t)prf_below(&prf, 8);
        struct prefix p = prefix_of(&at, 22 + (unsigned)prf_below(&prf, 3));
        uint64_t id = 1 + prf_below(&prf, 399);
        struct wire_message m = {.kind = WIRE_ORDER,
                                 .order_id = id,
                                 .prefix = p,
                                 .lease = LEASE,
                                 .wait = WAIT,
                                 .drops = 1};
        switch (prf_below(&prf, 5)) {
        case 0:
            if (!is_given[id])
                sent_at[id] = now;
            is_given[id] = true;
            m.stamp = control_stamp(c, sent_at[id]); /* again: with the same lease */
            control_message(c, &m, now);
            break;
        case 1:
            stop(id);
            break;
        case 2:
            settle();
            break;
        default:
            now += prf_below(&prf, 20 * NS_PER_S);
            control_tick(c, now);
        }
        struct control_watch list[CONTROL_ORDERS_MAX];
        size_t n = watched(list);
        for (size_t i = 0; i < n; i++) {
            assert_true(list[i].until_ns + NS_PER_S >= now);
            for (size_t j = 0; j < i; j++)
                assert_false(prefix_covers(&list[i].prefix, &list[j].prefix) ||
                             prefix_covers(&list[j].prefix, &list[i].prefix));
        }
        struct event e;
        while (control_take(c, &e)) {
            assert_true(is_given[e.order_ended.order_id]);
            ends[e.order_ended.order_id]++;
        }
    }
    control_finish(c);
    struct event e;
    while (control_take(c, &e))
        ends[e.order_ended.order_id]++;
    for (unsigned id = 1; id < 400; id++)
        if (is_given[id] && ends[id] == 0)
            fail_msg("order %u has no end", id);
}

static struct wire_message hold(const char *of, uint64_t lease)
{
    return (struct wire_message){
        .kind = WIRE_HOLD, .prefix = prefix(of), .stamp = control_stamp(c, now), .lease = lease};
}

static size_t home_free(void)
{
    struct prefix out[4];
    return control_home_free(c, out, 4);
}

static void a_hold_takes_a_prefix_of_the_configuration_away_for_its_time_and_no_longer(void **state)
{
    (void)state;
    struct control_watch list[CONTROL_ORDERS_MAX];
    uint64_t before, held, again, after;
    struct wire_message m = hold("198.51.100.0/25", LEASE), other = hold("192.0.2.0/24", LEASE);
    control_watch(c, list, &before);
    control_message(c, &other, now); /* not of the configuration */
    control_watch(c, list, &again);
    assert_true(again == before && home_free() == 1);
    control_message(c, &m, now);
    control_watch(c, list, &held);
    assert_true(held > before && home_free() == 0); /* it overlaps */
    control_message(c, &m, now);
    control_watch(c, list, &again);
    assert_int_equal(again, held);
    assert_refused("198.51.100.0/24", REASON_ALREADY_WATCHED); /* ours all the same */
    now += LEASE - 1;
    control_tick(c, now);
    assert_int_equal(home_free(), 0);
    control_tick(c, ++now);
    control_watch(c, list, &after);
    assert_true(after > held && home_free() == 1);
    control_message(c, &m, now); /* it was on its way until now */
    assert_int_equal(home_free(), 1);
}

static void
a_hold_is_no_longer_than_max_lease_and_of_another_process_or_without_orders_none(void **state)
{
    (void)state;
    struct wire_message m = hold("198.51.100.0/24", 86400 * NS_PER_S);
    control_message(c, &m, now);
    now += usual.max_lease_ns;
    control_tick(c, now);
    assert_int_equal(home_free(), 1);
    m = hold("198.51.100.0/24", LEASE);
    struct control_conf conf = usual;
    conf.home = home;
    conf.home_count = 1;
    make(&conf, 2);
    control_message(c, &m, now);
    assert_int_equal(home_free(), 1);
    conf.enabled = false;
    make(&conf, 2);
    m = hold("198.51.100.0/24", LEASE);
    control_message(c, &m, now);
    assert_int_equal(home_free(), 1);
}

static void the_queues_parts_of_an_order_are_all_of_it_and_no_more(void **state)
{
    (void)state;
    const uint64_t drops[] = {1, 3, 16, 60, 10000, UINT64_MAX};
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++)
        for (unsigned queues = 1; queues <= 64; queues += 7) {
            struct control_watch w = {.drops = drops[i]};
            uint64_t sum = 0;
            for (unsigned q = 0; q < queues; q++)
                sum += control_share(&w, q, queues);
            assert_true(sum == drops[i] || sum == (uint64_t)queues * CONTROL_DROPS_MAX);
        }
}

static void an_order_that_not_every_queue_can_watch_is_refused_when_none_does_any_more(void **state)
{
    (void)state;
    struct control_watch list[CONTROL_ORDERS_MAX];
    uint64_t version;
    give(1, "203.0.113.0/24");
    settle();
    give(2, "192.0.2.0/24");
    assert_int_equal(control_watch(c, list, &version), 2);
    started(7, "192.0.2.0/24"); /* where there was room */
    control_not_watched(c, version, now);
    assert_int_equal(control_watch(c, list, &version), 1); /* the first is in force */
    assert_int_equal(list[0].prefix.addr.bytes[0], 203);
    give(3, "192.0.3.0/24"); /* came after that list */
    now += 5 * NS_PER_S;
    control_tick(c, now);
    assert_none(); /* some queue may still withhold for it */
    control_not_watched(c, version, now);
    assert_int_equal(watch_count(), 2);
    ended(7, "192.0.2.0/24", VERDICT_INCONCLUSIVE, 5);
    settle();
    struct event_order_ended end = take();
    assert_true(end.order_id == 2 && end.drops == 2 && end.tests == 1);
    assert_int_equal(end.state, ORDER_FAILED);
    assert_int_equal(end.reason, REASON_REFUSED);
    assert_non_null(strstr(end.detail, "no room to watch it"));
    stop(3); /* the first list with it never came into force: it is stopped all the same */
    settle();
    assert_true(take().order_id == 3);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_ordered_prefix_is_watched_until_its_test_ended_and_said_once),
        test(an_order_with_several_tests_ends_with_the_last_and_tells_of_the_one_with_a_word),
        test(an_order_that_is_sent_again_begins_once_also_when_it_is_over),
        test(a_lease_counts_from_the_stamp_however_long_the_order_was_on_its_way),
        test(a_stamp_of_another_process_begins_nothing),
        test(a_lease_ends_an_order_whose_test_never_ends),
        test(the_sensor_has_a_longest_lease_of_its_own),
        test(without_a_packet_in_time_an_order_ends_as_no_traffic),
        test(packets_without_tcp_data_end_as_no_tcp),
        test(what_is_watched_already_is_refused_and_not_disturbed),
        test(a_prefix_that_the_configuration_takes_over_ends_its_order),
        test(limits_lengths_and_modes_refuse),
        test(a_sensor_that_ends_ends_its_orders),
        test(random_streams_keep_leases_and_say_each_end_once),
        test(a_hold_takes_a_prefix_of_the_configuration_away_for_its_time_and_no_longer),
        test(a_hold_is_no_longer_than_max_lease_and_of_another_process_or_without_orders_none),
        test(the_queues_parts_of_an_order_are_all_of_it_and_no_more),
        test(an_order_that_not_every_queue_can_watch_is_refused_when_none_does_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The loop and a database that refuses values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/loop/loop.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/collector/loop/scripted_doors.h"
#include "tests/collector/loop/sim_sensor.h"

#define T0    INT64_C(1700000000000000000)
#define EPOCH UINT64_C(1699999999000000000)

enum { SENSORS = 3, EVENTS = 1000 };

static int64_t now, now_step; /* it goes on by so much whenever it is asked for */
static struct counters counters;
static struct expect policy;
static struct loop loop;
static struct sim sims[SENSORS];

static int64_t test_wall(void)
{
    now += now_step;
    return now;
}

static uint64_t test_mono(void)
{
    return (uint64_t)now;
}

static uint64_t bytes_of(const struct sim *sim, uint64_t seq)
{
    return 1 + seq * 7 % 13 + (uint64_t)(sim - sims);
}

static struct event tally(const struct sim *sim, uint64_t seq)
{
    struct event e = {.at = T0, .type = EVENT_tally};
    e.tally.started_at = T0 - (int64_t)NS_PER_S;
    e.tally.ended_at = T0;
    e.tally.packets = 1;
    e.tally.bytes = bytes_of(sim, seq);
    snprintf(e.tally.ingress.router, sizeof e.tally.ingress.router, "r1");
    assert_int_equal(prefix_parse(seq % 2 ? "192.0.2.0/24" : "2001:db8::/48", &e.tally.prefix), 0);
    return e;
}

static void hear(const char *sensor, const struct wire_message *m)
{
    for (int i = 0; i < SENSORS; i++)
        if (strcmp(sims[i].name, sensor) == 0)
            sim_hear(&sims[i], m);
}

static void start_loop(void)
{
    assert_int_equal(doors_loop(&loop, &policy, &counters, test_wall, test_mono), 0);
}

static int setup(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_ERROR);
    doors_reset();
    memset(&counters, 0, sizeof counters);
    memset(sims, 0, sizeof sims);
    now = T0;
    now_step = 0;
    net_answer = hear;
    for (int i = 0; i < SENSORS; i++) {
        sims[i] = (struct sim){.epoch = EPOCH, .events = EVENTS, .make = tally};
        snprintf(sims[i].name, sizeof sims[i].name, "s%d", i);
        snprintf(sims[i].pop, sizeof sims[i].pop, "POP%d", i);
    }
    start_loop();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_clear(&loop);
    expect_clear(&policy);
    return 0;
}

/* Turns until all is acknowledged; how many it took. */
static unsigned run(unsigned sensors, unsigned most)
{
    for (unsigned turn = 0; turn < most; turn++) {
        bool is_done = true;
        for (unsigned i = 0; i < sensors; i++) {
            sim_say(&sims[i]);
            is_done = is_done && sims[i].acked == sims[i].events;
        }
        if (is_done)
            return turn;
        loop_turn(&loop, 0);
        now += (int64_t)NS_PER_MS;
    }
    return most;
}

/* Each event is stored once, or set aside once; the map's sums are those of what is stored. */
static void assert_all_but(unsigned sensors, bool (*is_bad)(const char *, const struct event *))
{
    static uint8_t seen[SENSORS][EVENTS + 1];
    uint64_t sum = 0, in_map = 0, bad = 0;
    memset(seen, 0, sizeof seen);
    for (size_t k = 0; k < db.event_count; k++)
        seen[db.events[k].sensor[1] - '0'][db.events[k].seq]++;
    for (unsigned i = 0; i < sensors; i++)
        for (uint64_t seq = 1; seq <= EVENTS; seq++) {
            struct event e = tally(&sims[i], seq);
            e.seq = seq;
            bool is_out = is_bad(sims[i].name, &e);
            assert_int_equal(seen[i][seq], !is_out);
            sum += is_out ? 0 : bytes_of(&sims[i], seq);
            bad += is_out;
        }
    for (size_t k = 0; k < db.row_count; k++)
        in_map += db.rows[k].bytes;
    assert_true(sum == in_map);
    assert_int_equal(db.malformed_count, bad);
    assert_int_equal(counter_get(&counters, COUNTER_events_poisoned), bad);
    assert_int_equal(counter_get(&counters, COUNTER_events_taken), sensors * EVENTS - bad);
    assert_int_equal(db.gap_count, 0);
}

static bool one_is_bad(const char *sensor, const struct event *e)
{
    return strcmp(sensor, "s0") == 0 && e->seq == 777;
}

static void of_a_thousand_events_only_the_poisoned_one_is_set_aside(void **state)
{
    (void)state;
    db_refuses = one_is_bad;
    assert_true(run(1, 500) < 500);
    assert_all_but(1, one_is_bad);
    uint8_t bytes[WIRE_EVENT_MAX];
    struct event e = tally(&sims[0], 777);
    int len = wire_event_encode(&e, bytes, sizeof bytes);
    assert_true(db.malformed[0].seq == 777 && db.malformed[0].len == (size_t)len);
    assert_memory_equal(db.malformed[0].bytes, bytes, (size_t)len);
    assert_non_null(strstr(db.malformed[0].reason, "23514"));
    assert_int_equal(loop.doubts.count, 0); /* and forgotten */
}

/* For each failure the database is read again, which takes seconds when the map is large. */
static void after_the_first_failure_it_is_found_without_another(void **state)
{
    (void)state;
    db_refuses = one_is_bad;
    for (unsigned turn = 0; turn < 500 && run(1, 1) == 1; turn++)
        assert_true(atomic_load(&loop.is_loaded) || !loop.has_failed); /* so no pause */
    assert_int_equal(sims[0].acked, EVENTS);
    assert_int_equal(counter_get(&counters, COUNTER_transactions_failed), 1);
    assert_int_equal(counter_get(&counters, COUNTER_map_loads), 2); /* the start's, and this */
}

static bool several_are_bad(const char *sensor, const struct event *e)
{
    bool is_first = strcmp(sensor, "s0") == 0, is_third = strcmp(sensor, "s2") == 0;
    return (is_first && (e->seq == 1 || e->seq == 2 || e->seq == EVENTS)) ||
           (is_third && e->seq >= 100 && e->seq < 110);
}

static void sensors_without_a_poisoned_event_go_on_beside_those_with_some(void **state)
{
    (void)state;
    db_refuses = several_are_bad;
    assert_true(run(SENSORS, 3000) < 3000);
    assert_all_but(SENSORS, several_are_bad);
    /* a start, and a failure for each time that nobody was in doubt: not one for each of the 13 */
    assert_true(counter_get(&counters, COUNTER_map_loads) <= 4);
}

static void the_database_may_fail_otherwise_meanwhile(void **state)
{
    (void)state;
    for (int at = 5; at < 400; at += 5) {
        teardown(state);
        setup(state);
        db_refuses = several_are_bad;
        db_fail_at = at;
        db_lose_commit = at % 2 == 0;
        unsigned turn = 0;
        for (; turn < 3000 && run(SENSORS, 1) == 1; turn++)
            loop.has_failed = false; /* no pauses: a test has no second to spare */
        assert_true(turn < 3000);
        assert_int_equal(db.event_count + db.malformed_count, SENSORS * EVENTS);
        assert_int_equal(db.malformed_count, 13);
        assert_int_equal(db.gap_count, 0);
    }
}

static bool none_is_bad(const char *sensor, const struct event *e)
{
    (void)sensor, (void)e;
    return false;
}

/* An alert that the database does not take is no event's fault, whenever it takes it in the end. */
static void when_no_event_is_to_blame_none_is_set_aside(void **state)
{
    (void)state;
    for (unsigned turns = 1; turns < 60; turns++) {
        struct expect_place place = {.pop = "FRA"};
        struct ingress_row row = {.state = STATE_GENUINE, .pop = "AMS", .last_seen = T0};
        teardown(state);
        setup(state);
        assert_int_equal(prefix_parse("198.51.100.0/24", &row.prefix), 0);
        assert_int_equal(expect_add(&policy, &row.prefix, &place, 1), 0);
        db.rows[db.row_count++] = row; /* read at the first failure: an alert then */
        db_refuses_alerts = true;
        db_fail_at = 1;
        for (unsigned turn = 0; turn < turns; turn++) {
            run(1, 1);
            loop.has_failed = false; /* no pauses: a test has no second to spare */
        }
        assert_true(sims[0].acked == 0 && db.event_count == 0);
        db_refuses_alerts = false;
        assert_true(run(1, 500) < 500);
        assert_int_equal(db.event_count, EVENTS);
        assert_int_equal(db.malformed_count, 0);
        assert_int_equal(counter_get(&counters, COUNTER_events_poisoned), 0);
    }
}

/* A batch of s0 is in doubt, and the next tick will let an alert fire, which is refused. */
static void doubt_before_an_alert(void)
{
    struct expect_place place = {.pop = "FRA"};
    struct ingress_row row = {.state = STATE_GENUINE, .pop = "AMS", .last_seen = T0};
    assert_int_equal(prefix_parse("198.51.100.0/24", &row.prefix), 0);
    assert_int_equal(expect_add(&policy, &row.prefix, &place, 1), 0);
    db.rows[db.row_count++] = row;
    loop_clear(&loop);
    start_loop(); /* the alert is pending */
    doubts_add(&loop.doubts, "s0", EPOCH, EVENTS);
    for (unsigned turn = 0; turn < 10 && !sims[0].is_welcome; turn++)
        run(1, 1);
    assert_true(sims[0].is_welcome && sims[0].acked == 0);
    now += 6 * (int64_t)NS_PER_S;
    db_refuses_alerts = true;
}

/* Else a batch in doubt would be cut for what a tick did. */
static void what_a_tick_wants_to_write_is_not_tried_with_a_batch_in_doubt(void **state)
{
    (void)state;
    doubt_before_an_alert();
    run(1, 1);
    assert_false(atomic_load(&loop.is_loaded)); /* it was refused */
    struct doubt *doubt = doubts_of(&loop.doubts, "s0", EPOCH);
    assert_true(doubt != NULL && !doubt->is_sure);
}

static void a_tick_that_comes_due_during_a_trial_waits_for_its_end(void **state)
{
    (void)state;
    doubt_before_an_alert();
    loop.ticked_at = now + 2 - (int64_t)NS_PER_S; /* the second look at the clock finds it due */
    now_step = 1;
    run(1, 1);
    assert_true(atomic_load(&loop.is_loaded) && sims[0].acked > 0);
    now_step = 0;
    now++;
    run(1, 1);
    assert_false(atomic_load(&loop.is_loaded)); /* then it comes, and is refused */
}

static void when_setting_it_aside_fails_too_nothing_is_lost(void **state)
{
    (void)state;
    db_refuses = one_is_bad;
    db_refuses_aside = true;
    unsigned pauses = 0;
    /* until the doubt is let go: what is found by then would be set aside */
    for (unsigned turn = 0; turn < 100 || (turn < 200 && loop.doubts.count > 0); turn++) {
        run(1, 1);
        pauses += !atomic_load(&loop.is_loaded) && loop.has_failed;
        loop.has_failed = false;
    }
    assert_true(pauses > 0);
    assert_true(sims[0].acked == 776 && db.malformed_count == 0);
    db_refuses_aside = false;
    db_refuses = NULL; /* the operator saw it, and the database takes everything now */
    assert_true(run(1, 500) < 500);
    assert_all_but(1, none_is_bad);
}

static void a_doubt_that_was_wrong_costs_nobody_anything(void **state)
{
    (void)state;
    for (int i = 0; i < SENSORS; i++)
        doubts_add(&loop.doubts, sims[i].name, EPOCH, 300);
    assert_true(run(SENSORS, 200) < 200);
    assert_all_but(SENSORS, none_is_bad);
    assert_int_equal(loop.doubts.count, 0);
}

/* A limit of none would be tried for ever, and nobody else's batches be taken. */
static void of_numbers_far_apart_some_are_tried_at_once(void **state)
{
    (void)state;
    static struct doubts d;
    const uint64_t far[] = {UINT64_C(1) << 33, (UINT64_C(1) << 33) + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        doubts_add(&d, "s0", EPOCH, far[i]);
        struct doubt *one = doubts_of(&d, "s0", EPOCH);
        doubt_failed(one, far[i], 2, "said no");
        doubt_passed(&d, one, 1);
        assert_ptr_equal(doubts_of(&d, "s0", EPOCH), one);
        assert_in_range(one->limit, 1, WIRE_BATCH_EVENTS);
        doubt_end(&d, one);
    }
}

static void of_too_many_doubts_the_oldest_goes(void **state)
{
    (void)state;
    static struct doubts d;
    char name[WIRE_NAME];
    for (unsigned i = 0; i <= DOUBTS_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        doubts_add(&d, name, 1, 1);
    }
    assert_null(doubts_of(&d, "n0", 1));
    assert_non_null(doubts_of(&d, "n1", 1));
    assert_null(doubts_of(&d, "n1", 2)); /* another epoch: it ends */
    assert_null(doubts_of(&d, "n1", 1));
    assert_int_equal(d.count, DOUBTS_MAX - 1);
}

int main(void)
{
#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        PROMISE(of_a_thousand_events_only_the_poisoned_one_is_set_aside),
        PROMISE(after_the_first_failure_it_is_found_without_another),
        PROMISE(sensors_without_a_poisoned_event_go_on_beside_those_with_some),
        PROMISE(the_database_may_fail_otherwise_meanwhile),
        PROMISE(when_no_event_is_to_blame_none_is_set_aside),
        PROMISE(what_a_tick_wants_to_write_is_not_tried_with_a_batch_in_doubt),
        PROMISE(a_tick_that_comes_due_during_a_trial_waits_for_its_end),
        PROMISE(when_setting_it_aside_fails_too_nothing_is_lost),
        PROMISE(a_doubt_that_was_wrong_costs_nobody_anything),
        PROMISE(of_numbers_far_apart_some_are_tried_at_once),
        PROMISE(of_too_many_doubts_the_oldest_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

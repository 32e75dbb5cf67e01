/* Expectation while the collector runs: what operators say in SQL, and what is learned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/collector/loop/one_sensor.h"

#define HOUR (3600 * (int64_t)NS_PER_S)

/* Sees it and tests it every hour. */
static void hours(const char *text, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        now += HOUR;
        seen(text);
        loop_turn(&loop, 0);
    }
    now += 2 * (int64_t)NS_PER_S; /* a tick */
    loop_turn(&loop, 0);
}

static void what_is_said_in_sql_counts_from_the_next_turn_on(void **state)
{
    (void)state;
    seen("192.0.2.0/24");
    seen("198.51.100.0/24");
    assert_row("192.0.2.0/24", EXPECTED_UNKNOWN, "");
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .place = {.pop = "FRA"}});
    assert_row("192.0.2.0/24", EXPECTED_NO, "policy");
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .place = {.pop = "AMS"}});
    assert_row("192.0.2.0/24", EXPECTED_YES, "policy");
    say((struct expect_row){.prefix = prefix("203.0.113.0/24"), .cone_as = 64501});
    assert_row("198.51.100.0/24", EXPECTED_NO, "policy");
    assert_true(fold_judge(&loop.fold, row("198.51.100.0/24")).outside_cone);
    assert_row("192.0.2.0/24", EXPECTED_YES, "policy");
    db.said_count = 0; /* and what is taken back counts no more */
    db_heard |= HEARD_EXPECTATION;
    loop_turn(&loop, 0);
    assert_row("192.0.2.0/24", EXPECTED_UNKNOWN, "");
}

static void nowhere_is_a_word_too_and_another_place_takes_it_back(void **state)
{
    (void)state;
    seen("192.0.2.0/24");
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .is_nowhere = true});
    assert_row("192.0.2.0/24", EXPECTED_NO, "policy");
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .place = {.router = "r1"}});
    assert_row("192.0.2.0/24", EXPECTED_YES, "policy");
}

static void a_row_that_comes_later_and_a_restart_know_it_too(void **state)
{
    (void)state;
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .place = {.pop = "FRA"}});
    seen("192.0.2.0/24");
    assert_row("192.0.2.0/24", EXPECTED_NO, "policy");
    loop_clear(&loop);
    start();
    assert_row("192.0.2.0/24", EXPECTED_NO, "policy");
}

static void a_place_where_a_prefix_is_genuine_for_long_becomes_expected(void **state)
{
    (void)state;
    policy.learn_after_ns = 3 * HOUR;
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_GENUINE);
    hours("192.0.2.0/24", 2);
    assert_row("192.0.2.0/24", EXPECTED_UNKNOWN, "");
    assert_int_equal(db.said_count, 0);
    hours("192.0.2.0/24", 1);
    assert_row("192.0.2.0/24", EXPECTED_YES, "learned");
    assert_int_equal(db.said_count, 1);
    assert_true(db.said[0].is_learned);
    assert_string_equal(db.said[0].place.pop, "AMS");
    assert_string_equal(db.said[0].place.router, "r1");
    assert_true(db.said[0].place.peer_as == 64501);
    loop_clear(&loop); /* it is in the database: a restart knows it, and learns it not again */
    start();
    hours("192.0.2.0/24", 1);
    assert_row("192.0.2.0/24", EXPECTED_YES, "learned");
    assert_int_equal(db.said_count, 1);
}

static void nothing_is_learned_unless_it_is_asked_for(void **state)
{
    (void)state;
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_GENUINE);
    hours("192.0.2.0/24", 5);
    assert_row("192.0.2.0/24", EXPECTED_UNKNOWN, "");
    assert_int_equal(db.said_count, 0);
}

static void what_was_last_seen_before_the_time_was_over_is_not_learned(void **state)
{
    (void)state;
    policy.learn_after_ns = 3 * HOUR;
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_GENUINE);
    hours("192.0.2.0/24", 1);
    hours("198.51.100.0/24", 4);
    assert_int_equal(db.said_count, 0);
}

static void what_somebody_calls_unexpected_is_not_learned(void **state)
{
    (void)state;
    policy.learn_after_ns = 3 * HOUR;
    say((struct expect_row){.prefix = prefix("192.0.2.0/24"), .place = {.pop = "FRA"}});
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_GENUINE);
    hours("192.0.2.0/24", 5);
    assert_row("192.0.2.0/24", EXPECTED_NO, "policy");
    assert_int_equal(db.said_count, 1);
}

static void spoofed_and_untested_traffic_is_not_learned(void **state)
{
    (void)state;
    policy.learn_after_ns = HOUR;
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_SPOOFED);
    for (unsigned i = 0; i < 4; i++) {
        hours("192.0.2.0/24", 1);
        hours("198.51.100.0/24", 1);
    }
    assert_int_equal(db.said_count, 0);
}

static void what_is_learned_has_a_limit_and_the_rest_is_counted(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"};
    policy.learn_after_ns = HOUR;
    for (unsigned i = 0; i < 3; i++) {
        seen(prefixes[i]);
        tested(prefixes[i], VERDICT_GENUINE);
    }
    for (unsigned h = 0; h < 3; h++)
        for (unsigned i = 0; i < 3; i++)
            hours(prefixes[i], 1);
    assert_int_equal(db.said_count, 2);
    assert_true(loop.fold.learned_refused > 0);
}

static void a_turn_that_fails_after_learning_leaves_memory_as_the_database(void **state)
{
    (void)state;
    policy.learn_after_ns = HOUR;
    seen("192.0.2.0/24");
    tested("192.0.2.0/24", VERDICT_GENUINE);
    now += HOUR + (int64_t)NS_PER_S;
    seen("192.0.2.0/24");
    for (int nth = 1; nth < 8 && db.said_count == 0; nth++) {
        db_fail_at = nth;
        now += 2 * (int64_t)NS_PER_S;
        seen("192.0.2.0/24");
        db_fail_at = 0;
        for (unsigned i = 0; i < 3; i++)
            loop_turn(&loop, 0);
        assert_int_equal(loop.fold.learned.entry_count, db.said_count);
    }
    now += 2 * (int64_t)NS_PER_S;
    seen("192.0.2.0/24");
    assert_int_equal(db.said_count, 1);
    assert_int_equal(loop.fold.learned.entry_count, 1);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(what_is_said_in_sql_counts_from_the_next_turn_on),
        PROMISE(nowhere_is_a_word_too_and_another_place_takes_it_back),
        PROMISE(a_row_that_comes_later_and_a_restart_know_it_too),
        PROMISE(a_place_where_a_prefix_is_genuine_for_long_becomes_expected),
        PROMISE(nothing_is_learned_unless_it_is_asked_for),
        PROMISE(what_was_last_seen_before_the_time_was_over_is_not_learned),
        PROMISE(what_somebody_calls_unexpected_is_not_learned),
        PROMISE(spoofed_and_untested_traffic_is_not_learned),
        PROMISE(what_is_learned_has_a_limit_and_the_rest_is_counted),
        PROMISE(a_turn_that_fails_after_learning_leaves_memory_as_the_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

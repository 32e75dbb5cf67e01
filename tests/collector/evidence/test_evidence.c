#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/evidence/evidence.h"

#define HALF_LIFE 1000
static const struct evidence_conf conf = {.half_life_ns = HALF_LIFE};

static void ended(struct ingress_row *row, uint8_t verdict, int64_t at, double p)
{
    struct event_test_ended t = {.verdict = verdict,
                                 .ended_at = at,
                                 .genuine_probability = p,
                                 .genuine_fraction = p,
                                 .genuine_low = p / 2,
                                 .genuine_high = p};
    evidence_ended(&conf, row, &t);
}

static void started(struct ingress_row *row)
{
    struct event_test_started t = {0};
    evidence_started(&conf, row, "ams1", &t);
}

static void a_first_test_shows_as_testing(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    started(&row);
    assert_int_equal(row.state, STATE_TESTING);
    assert_false(row.has_evidence);
}

static void a_retest_does_not_make_the_map_forget(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_SPOOFED, 10, 0.01);
    started(&row);
    assert_int_equal(row.state, STATE_SPOOFED);
    assert_true(row.genuine_probability == 0.01);
}

static void a_verdict_writes_its_numbers_beside_the_word(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_MIXED, 10, 0.8);
    assert_int_equal(row.state, STATE_MIXED);
    assert_true(row.has_evidence && row.genuine_probability == 0.8 && row.genuine_low == 0.4);
    assert_true(row.tests == 1 && row.last_test_at == 10);
}

static void the_newest_conclusive_test_wins_in_any_order_of_arrival(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_SPOOFED, 20, 0.1);
    ended(&row, VERDICT_GENUINE, 10, 0.9);
    assert_int_equal(row.state, STATE_SPOOFED);
    ended(&row, VERDICT_GENUINE, 30, 0.9);
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(row.tests == 3 && row.last_test_at == 30);
}

static void an_inconclusive_test_overwrites_only_a_verdict_older_than_the_half_life(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_GENUINE, 10, 0.9);
    ended(&row, VERDICT_INCONCLUSIVE, 10 + HALF_LIFE - 1, 0.5);
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(row.tests == 2 && row.last_test_at == 10);
    ended(&row, VERDICT_DUPLICATES_EXCEEDED, 10 + HALF_LIFE, 0.5);
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
}

static void many_inconclusive_tests_do_not_keep_an_old_verdict_young(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_GENUINE, 10, 0.9);
    for (int64_t at = 100; at < 10 + HALF_LIFE; at += 100)
        ended(&row, VERDICT_INCONCLUSIVE, at, 0.5);
    assert_int_equal(row.state, STATE_GENUINE);
    ended(&row, VERDICT_INCONCLUSIVE, 10 + HALF_LIFE + 1, 0.5);
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
}

static void numbers_that_are_none_do_not_enter_the_map(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_GENUINE, 10, NAN);
    assert_true(row.genuine_probability == 0 && row.genuine_low == 0);
    row = (struct ingress_row){0};
    ended(&row, VERDICT_GENUINE, 11, INFINITY);
    assert_true(row.genuine_probability == 1);
}

static void a_new_row_below_a_tested_one_begins_with_its_evidence(void **state)
{
    (void)state;
    struct ingress_row wide = {0}, row = {.bytes = 5};
    ended(&wide, VERDICT_GENUINE, 10, 0.9);
    evidence_inherit(&row, &wide);
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(row.genuine_probability == 0.9 && row.tests == 1 && row.bytes == 5);
}

static void a_lost_test_leaves_what_was_known_before(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    started(&row);
    assert_false(evidence_lost(&row, "ams2"));
    assert_int_equal(row.state, STATE_TESTING);
    assert_true(evidence_lost(&row, "ams1"));
    assert_int_equal(row.state, STATE_UNVERIFIED);
    assert_string_equal(row.testing_by, "");
    ended(&row, VERDICT_INCONCLUSIVE, 10, 0.5);
    started(&row);
    assert_true(evidence_lost(&row, "ams1"));
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
    assert_false(evidence_lost(&row, "ams1"));
}

static void a_test_that_ends_before_an_earlier_one_is_no_longer_running(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    ended(&row, VERDICT_INCONCLUSIVE, 10, 0.5);
    started(&row);
    ended(&row, VERDICT_INCONCLUSIVE, 9, 0.4); /* a clock was set back */
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
    assert_true(row.genuine_probability == 0.5 && row.tests == 2);
    assert_string_equal(row.testing_by, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_test_shows_as_testing),
        cmocka_unit_test(a_retest_does_not_make_the_map_forget),
        cmocka_unit_test(a_verdict_writes_its_numbers_beside_the_word),
        cmocka_unit_test(the_newest_conclusive_test_wins_in_any_order_of_arrival),
        cmocka_unit_test(an_inconclusive_test_overwrites_only_a_verdict_older_than_the_half_life),
        cmocka_unit_test(many_inconclusive_tests_do_not_keep_an_old_verdict_young),
        cmocka_unit_test(numbers_that_are_none_do_not_enter_the_map),
        cmocka_unit_test(a_lost_test_leaves_what_was_known_before),
        cmocka_unit_test(a_test_that_ends_before_an_earlier_one_is_no_longer_running),
        cmocka_unit_test(a_new_row_below_a_tested_one_begins_with_its_evidence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Evidence over many tests: what the sum says of a truth that is known, how it ages, and how newer
 * tests that contradict it are met. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/evidence/beta.h"
#include "collector/evidence/evidence.h"
#include "tests/collector/evidence/sums.h"

#define HOUR INT64_C(3600000000000)
#define DAY  (24 * HOUR)
static const struct evidence_conf conf = {.half_life_ns = (uint64_t)DAY};

/* A test of so many drops, as the sensor's own words for pure traffic and an even mixture are. */
static void test_at(struct ingress_row *row, uint8_t verdict, int64_t at, uint64_t drops)
{
    double f = verdict == VERDICT_GENUINE ? 1 : verdict == VERDICT_SPOOFED ? 0 : 0.5;
    struct event_test_ended t = {.verdict = verdict,
                                 .ended_at = at,
                                 .droppable = 20 * drops,
                                 .flows = 10,
                                 .drops = drops,
                                 .retransmitted = (uint64_t)(f * (double)drops),
                                 .controls = 19 * drops,
                                 .genuine_fraction = f,
                                 .genuine_low = f > 0.9 ? 0.6
                                                : f > 0 ? 0.3
                                                        : 0,
                                 .genuine_high = f < 0.1 ? 0.4
                                                 : f < 1 ? 0.7
                                                         : 1,
                                 .genuine_probability = f > 0 ? 0.9999 : 0.0001};
    t.unanswered = drops - t.retransmitted;
    if (verdict == VERDICT_INCONCLUSIVE) {
        t.genuine_low = 0;
        t.genuine_high = 1;
        t.genuine_probability = 0.5;
    }
    evidence_ended(&conf, row, &t);
}

static void the_beta_distribution_is_that_of_the_tables(void **state)
{
    (void)state;
    /* Beta(1, 1) is uniform; of Beta(1, n) and Beta(n, 1) there are closed forms; Beta(a, a) is
     * even */
    assert_true(fabs(beta_below(1, 1, 0.3) - 0.3) < 1e-10);
    assert_true(fabs(beta_below(5, 1, 0.8) - pow(0.8, 5)) < 1e-10);
    assert_true(fabs(beta_below(1, 7, 0.2) - (1 - pow(0.8, 7))) < 1e-10);
    assert_true(fabs(beta_below(33.5, 33.5, 0.5) - 0.5) < 1e-10);
    assert_true(fabs(beta_quantile(2, 3, beta_below(2, 3, 0.37)) - 0.37) < 1e-8);
    /* arcsine law: P(X <= x) = 2/pi asin(sqrt x) */
    assert_true(fabs(beta_below(0.5, 0.5, 0.1) - asin(sqrt(0.1)) * 2 / acos(-1.0)) < 1e-9);
    for (double n = 1; n < 1e8; n *= 10) {
        double x = beta_quantile(0.5 + n, 0.5 + n / 3, 0.975);
        assert_true(x > 0.75 && x < 1);
    }
}

/* The rules of evidence.c, one by one. */
static void each_word_meets_each_state_by_its_rule(void **state)
{
    (void)state;
    static const struct {
        uint8_t first, second;
        enum ingress_state after;
    } cases[] = {
        {VERDICT_GENUINE, VERDICT_GENUINE, STATE_GENUINE},
        {VERDICT_GENUINE, VERDICT_MIXED, STATE_MIXED},
        {VERDICT_GENUINE, VERDICT_SPOOFED, STATE_SPOOFED},
        {VERDICT_GENUINE, VERDICT_INCONCLUSIVE, STATE_GENUINE},
        {VERDICT_GENUINE, VERDICT_DUPLICATES_EXCEEDED, STATE_GENUINE},
        {VERDICT_MIXED, VERDICT_GENUINE, STATE_MIXED}, /* wants to hear it again */
        {VERDICT_MIXED, VERDICT_MIXED, STATE_MIXED},
        {VERDICT_MIXED, VERDICT_SPOOFED, STATE_MIXED},
        {VERDICT_MIXED, VERDICT_INCONCLUSIVE, STATE_MIXED},
        {VERDICT_SPOOFED, VERDICT_GENUINE, STATE_GENUINE},
        {VERDICT_SPOOFED, VERDICT_MIXED, STATE_MIXED},
        {VERDICT_SPOOFED, VERDICT_SPOOFED, STATE_SPOOFED},
        {VERDICT_SPOOFED, VERDICT_INCONCLUSIVE, STATE_SPOOFED},
        {VERDICT_INCONCLUSIVE, VERDICT_GENUINE, STATE_GENUINE},
        {VERDICT_INCONCLUSIVE, VERDICT_MIXED, STATE_MIXED},
        {VERDICT_INCONCLUSIVE, VERDICT_SPOOFED, STATE_SPOOFED},
        {VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE, STATE_INCONCLUSIVE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ingress_row row = {0};
        test_at(&row, cases[i].first, HOUR, 12);
        test_at(&row, cases[i].second, 2 * HOUR, 12);
        if (row.state != cases[i].after)
            fail_msg("case %zu: %s", i, ingress_state_word[row.state]);
        assert_int_equal(row.tests, 2);
    }
}

static void a_mixture_is_left_when_it_is_heard_again_and_again(void **state)
{
    (void)state;
    static const uint8_t words[] = {VERDICT_GENUINE, VERDICT_SPOOFED};
    static const enum ingress_state after[] = {STATE_GENUINE, STATE_SPOOFED};
    for (unsigned i = 0; i < 2; i++) {
        struct ingress_row row = {0};
        test_at(&row, VERDICT_MIXED, HOUR, 20);
        unsigned heard = 0;
        for (; row.state == STATE_MIXED && heard < 10; heard++)
            test_at(&row, words[i], (2 + (int64_t)heard) * HOUR, 12);
        assert_int_equal(row.state, after[i]);
        assert_in_range(heard, 2, 3);
    }
}

static void a_proof_of_the_opposite_leaves_nothing_of_the_old_numbers(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    for (int64_t i = 1; i <= 20; i++)
        test_at(&row, VERDICT_GENUINE, i * HOUR, 12);
    test_at(&row, VERDICT_SPOOFED, 21 * HOUR, 12);
    assert_int_equal(row.state, STATE_SPOOFED);
    assert_true(row.genuine_probability == 0.0001 && row.genuine_fraction == 0);
    assert_true(evidence_weight(&conf, &row, 21 * HOUR) <= 12);
}

static void agreeing_tests_make_the_interval_narrower_and_the_probability_higher(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    test_at(&row, VERDICT_GENUINE, HOUR, 12);
    double low = row.genuine_low, p = row.genuine_probability;
    assert_true(low == 0.6 && p == 0.9999); /* one test: its own words */
    for (int64_t i = 2; i <= 6; i++) {
        test_at(&row, VERDICT_GENUINE, i * HOUR, 12);
        assert_true(row.genuine_low >= low && row.genuine_probability >= p);
        low = row.genuine_low;
        p = row.genuine_probability;
    }
    assert_true(low > 0.9 && p > 0.9999 && row.genuine_high == 1);
}

/* The promise of the interval: 95 %, asked for 90 %, and of single tests it is the sensor's own. */
static void the_interval_covers_the_truth(void **state)
{
    (void)state;
    static const struct traffic traffics[] = {{1, 0, 0},          {1, 0.03, 0},   {0, 0, 0},
                                              {0, 0, 0.149},      {0, 0, 0.5},    {0.5, 0, 0},
                                              {0.5, 0.03, 0.149}, {0.2, 0.01, 0}, {0.8, 0, 0.3},
                                              {0.1, 0, 0.149},    {0.95, 0.02, 0}};
    struct prf coin = prf_init(6, 15);
    for (size_t i = 0; i < sizeof traffics / sizeof *traffics; i++) {
        unsigned inside = 0, runs = 200, looks = 0;
        for (unsigned run = 0; run < runs; run++) {
            struct ingress_row row = {0};
            for (int64_t at = HOUR; at <= 12 * HOUR; at += 2 * HOUR) {
                struct event_test_ended t =
                    a_test_of(&coin, &traffics[i], 9 + prf_below(&coin, 30), at);
                evidence_ended(&conf, &row, &t);
                assert_true(row.genuine_low <= row.genuine_fraction &&
                            row.genuine_fraction <= row.genuine_high);
                inside += row.genuine_low <= traffics[i].genuine &&
                          traffics[i].genuine <= row.genuine_high;
                looks++;
            }
        }
        print_message("genuine %.2f, missed %.2f, repeated %.3f: %.1f %% inside\n",
                      traffics[i].genuine, traffics[i].missed, traffics[i].repeated,
                      100.0 * inside / looks);
        assert_true(inside >= 0.9 * looks);
    }
}

static void the_sum_follows_a_mixture_that_changes(void **state)
{
    (void)state;
    struct prf coin = prf_init(7, 15);
    struct ingress_row row = {0};
    struct traffic before = {0.9, 0, 0}, after = {0.2, 0, 0};
    int64_t at = HOUR;
    for (; at <= 10 * HOUR; at += HOUR) {
        struct event_test_ended t = a_test_of(&coin, &before, 30, at);
        evidence_ended(&conf, &row, &t);
    }
    assert_true(row.genuine_fraction > 0.75);
    for (; at <= 16 * HOUR; at += HOUR) {
        struct event_test_ended t = a_test_of(&coin, &after, 30, at);
        evidence_ended(&conf, &row, &t);
    }
    assert_int_equal(row.state, STATE_MIXED);
    assert_true(row.genuine_fraction < 0.4);
}

static void evidence_halves_with_its_half_life(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    test_at(&row, VERDICT_GENUINE, DAY, 8);
    double now = evidence_weight(&conf, &row, DAY);
    assert_true(now > 3.9);
    assert_true(fabs(evidence_weight(&conf, &row, 2 * DAY) - now / 2) < 1e-9);
    assert_true(fabs(evidence_weight(&conf, &row, 4 * DAY) - now / 8) < 1e-9);
    assert_true(evidence_weight(&conf, &row, 0) == now); /* a clock was set back */
}

static void what_weighs_too_little_is_unverified_again_and_its_last_test_is_known(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    test_at(&row, VERDICT_GENUINE, DAY, 4);
    assert_true(row.genuine_since == DAY);
    assert_false(evidence_age(&conf, &row, DAY + 47 * HOUR));
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(evidence_age(&conf, &row, DAY + 49 * HOUR));
    assert_int_equal(row.state, STATE_UNVERIFIED);
    assert_false(row.has_evidence);
    assert_true(row.last_test_at == DAY && row.tests == 1 && row.genuine_since == 0);
    assert_false(evidence_age(&conf, &row, 100 * DAY));
}

static void more_evidence_lasts_longer_and_how_often_it_is_looked_at_does_not_matter(void **state)
{
    (void)state;
    struct ingress_row few = {0}, many = {0}, seldom;
    test_at(&few, VERDICT_SPOOFED, DAY, 4);
    for (int64_t i = 0; i < 8; i++)
        test_at(&many, VERDICT_SPOOFED, DAY + i, 12);
    seldom = many;
    int64_t few_until = 0, many_until = 0;
    for (int64_t at = DAY; at < 30 * DAY; at += HOUR) {
        if (evidence_age(&conf, &few, at) && few_until == 0)
            few_until = at;
        if (evidence_age(&conf, &many, at) && many_until == 0)
            many_until = at;
    }
    assert_true(few_until > 2 * DAY && few_until < 4 * DAY && many_until > few_until + DAY);
    assert_false(evidence_age(&conf, &seldom, many_until - 2 * HOUR));
    assert_true(evidence_age(&conf, &seldom, many_until));
}

static void a_row_of_a_release_that_did_not_count_ages_from_its_last_test(void **state)
{
    (void)state;
    struct ingress_row row = {.state = STATE_GENUINE,
                              .has_evidence = true,
                              .genuine_probability = 0.999,
                              .genuine_fraction = 1,
                              .genuine_low = 0.7,
                              .genuine_high = 1,
                              .tests = 3,
                              .last_test_at = DAY};
    assert_false(evidence_age(&conf, &row, DAY + HOUR));
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(evidence_age(&conf, &row, 4 * DAY));
    assert_int_equal(row.state, STATE_UNVERIFIED);
}

static void genuine_since_lasts_as_long_as_the_state(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    test_at(&row, VERDICT_GENUINE, DAY, 12);
    test_at(&row, VERDICT_GENUINE, DAY + HOUR, 12);
    test_at(&row, VERDICT_INCONCLUSIVE, DAY + 2 * HOUR, 2);
    assert_true(row.genuine_since == DAY);
    test_at(&row, VERDICT_SPOOFED, DAY + 3 * HOUR, 12);
    assert_true(row.genuine_since == 0);
    test_at(&row, VERDICT_GENUINE, DAY + 4 * HOUR, 12);
    assert_true(row.genuine_since == DAY + 4 * HOUR);
}

static struct event_test_ended untestable(int64_t at)
{
    return (struct event_test_ended){
        .verdict = VERDICT_INCONCLUSIVE, .ended_at = at, .reason = "no TCP data"};
}

static void
traffic_without_tcp_data_is_unverifiable_until_a_test_has_something_to_test(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    struct event_test_started began = {0};
    struct event_test_ended none = untestable(DAY);
    evidence_started(&conf, &row, "ams1", &began);
    evidence_ended(&conf, &row, &none);
    assert_int_equal(row.state, STATE_UNVERIFIABLE);
    assert_false(row.has_evidence);
    assert_true(row.tests == 1);
    evidence_started(&conf, &row, "ams1", &began);
    assert_int_equal(row.state, STATE_TESTING);
    assert_true(evidence_lost(&row, "ams1"));
    assert_int_equal(row.state, STATE_UNVERIFIABLE);
    test_at(&row, VERDICT_INCONCLUSIVE, DAY + HOUR, 3);
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
}

static void a_lease_that_ended_first_does_not_hide_that_there_was_no_tcp_data(void **state)
{
    (void)state;
    struct ingress_row udp = {0}, tcp = {0};
    struct event_test_ended t = {.verdict = VERDICT_INCONCLUSIVE,
                                 .ended_at = DAY,
                                 .packets = 500,
                                 .reason = "the order is over"};
    evidence_ended(&conf, &udp, &t);
    assert_int_equal(udp.state, STATE_UNVERIFIABLE);
    t.data = 3;
    evidence_ended(&conf, &tcp, &t);
    assert_int_equal(tcp.state, STATE_INCONCLUSIVE);
}

static void unverifiable_is_asked_again_after_two_half_lives(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    assert_true(evidence_untestable(&row, DAY));
    assert_false(evidence_untestable(&row, DAY));
    assert_false(evidence_age(&conf, &row, 3 * DAY - HOUR));
    assert_true(evidence_age(&conf, &row, 3 * DAY));
    assert_int_equal(row.state, STATE_UNVERIFIED);
}

static void a_proof_outweighs_that_there_is_nothing_to_test_now(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    struct event_test_ended none = untestable(2 * DAY);
    test_at(&row, VERDICT_GENUINE, DAY, 6);
    evidence_ended(&conf, &row, &none);
    assert_int_equal(row.state, STATE_GENUINE);
    assert_true(evidence_age(&conf, &row, 3 * DAY + 23 * HOUR));
    assert_int_equal(row.state, STATE_UNVERIFIABLE); /* the newest that is known */
}

static bool passive(struct ingress_row *row, double ratio, int64_t at)
{
    struct event_passive_total t = {.likelihood_ratio = ratio, .ended_at = at};
    return evidence_passive(&conf, row, &t);
}

static void passive_mode_alone_proves_nothing(void **state)
{
    (void)state;
    struct ingress_row row = {0};
    assert_false(passive(&row, 0.3, DAY));
    assert_false(passive(&row, NAN, DAY));
    for (int64_t i = 0; i < 1000; i++)
        passive(&row, INFINITY, DAY + i);
    assert_int_equal(row.state, STATE_UNVERIFIED);
    assert_true(row.genuine_probability <= EVIDENCE_PASSIVE_MAX + 1e-9);
    assert_true(row.genuine_low < 0.4 && row.genuine_high == 1);
    assert_true(row.tests == 0 && row.last_test_at == 0 && row.genuine_since == 0);
    passive(&row, -1e300, DAY + 2000);
    assert_true(row.genuine_probability < 0.5);
    assert_false(evidence_age(&conf, &row, 2 * DAY));
    assert_true(evidence_age(&conf, &row, 4 * DAY));
    assert_false(row.has_evidence);
}

static void passive_mode_moves_no_test(void **state)
{
    (void)state;
    struct ingress_row row = {0}, before;
    test_at(&row, VERDICT_SPOOFED, DAY, 12);
    before = row;
    assert_false(passive(&row, 50, DAY + HOUR));
    assert_memory_equal(&row, &before, sizeof row);
    row = (struct ingress_row){0};
    test_at(&row, VERDICT_INCONCLUSIVE, DAY, 6);
    before = row;
    assert_true(passive(&row, 1.5, DAY + HOUR));
    assert_int_equal(row.state, STATE_INCONCLUSIVE);
    assert_true(row.genuine_probability > before.genuine_probability);
    assert_true(row.genuine_low == before.genuine_low && row.evidence_at == before.evidence_at);
}

/* Whatever a sensor sends. */
static void absurd_numbers_leave_a_row_that_the_database_takes(void **state)
{
    (void)state;
    static const double reals[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e-320, 0.5, 1, 1e300};
    struct prf coin = prf_init(9, 15);
    struct ingress_row row = {0};
    int64_t at = 0;
    for (unsigned i = 0; i < 20000; i++) {
        at += (int64_t)prf_below(&coin, 40) * HOUR - DAY / 2;
#define REAL  reals[prf_below(&coin, sizeof reals / sizeof *reals)]
#define COUNT (prf_below(&coin, 4) == 0 ? prf_next(&coin) : prf_below(&coin, 60))
        struct event_test_ended t = {.verdict = (uint8_t)prf_below(&coin, 7),
                                     .ended_at = at,
                                     .genuine_probability = REAL,
                                     .genuine_fraction = REAL,
                                     .genuine_low = REAL,
                                     .genuine_high = REAL,
                                     .retransmitted = COUNT,
                                     .unanswered = COUNT,
                                     .controls = COUNT,
                                     .duplicates = COUNT};
        evidence_ended(&conf, &row, &t);
        passive(&row, REAL, at);
        evidence_age(&conf, &row, at);
        assert_true(row.genuine_probability >= 0 && row.genuine_probability <= 1);
        assert_true(row.genuine_low >= 0 && row.genuine_low <= 1);
        assert_true(row.genuine_high >= 0 && row.genuine_high <= 1);
        assert_true(row.genuine_fraction >= 0 && row.genuine_fraction <= 1);
        assert_true(isfinite(row.evidence_genuine) && row.evidence_genuine >= 0);
        assert_true(isfinite(row.evidence_spoofed) && row.evidence_spoofed >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_beta_distribution_is_that_of_the_tables),
        cmocka_unit_test(each_word_meets_each_state_by_its_rule),
        cmocka_unit_test(a_mixture_is_left_when_it_is_heard_again_and_again),
        cmocka_unit_test(a_proof_of_the_opposite_leaves_nothing_of_the_old_numbers),
        cmocka_unit_test(agreeing_tests_make_the_interval_narrower_and_the_probability_higher),
        cmocka_unit_test(the_interval_covers_the_truth),
        cmocka_unit_test(the_sum_follows_a_mixture_that_changes),
        cmocka_unit_test(evidence_halves_with_its_half_life),
        cmocka_unit_test(what_weighs_too_little_is_unverified_again_and_its_last_test_is_known),
        cmocka_unit_test(more_evidence_lasts_longer_and_how_often_it_is_looked_at_does_not_matter),
        cmocka_unit_test(a_row_of_a_release_that_did_not_count_ages_from_its_last_test),
        cmocka_unit_test(genuine_since_lasts_as_long_as_the_state),
        cmocka_unit_test(
            traffic_without_tcp_data_is_unverifiable_until_a_test_has_something_to_test),
        cmocka_unit_test(a_lease_that_ended_first_does_not_hide_that_there_was_no_tcp_data),
        cmocka_unit_test(unverifiable_is_asked_again_after_two_half_lives),
        cmocka_unit_test(a_proof_outweighs_that_there_is_nothing_to_test_now),
        cmocka_unit_test(passive_mode_alone_proves_nothing),
        cmocka_unit_test(passive_mode_moves_no_test),
        cmocka_unit_test(absurd_numbers_leave_a_row_that_the_database_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

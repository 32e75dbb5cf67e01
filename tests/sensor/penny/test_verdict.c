#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/penny/verdict.h"
#include "shared/base/hash.h"

static void near(double got, double want, double within)
{
    if (!(fabs(got - want) <= within))
        print_message("got %.9g, want %.9g\n", got, want);
    assert_true(fabs(got - want) <= within);
}

static void keep_one(struct verdict *v, unsigned depth, double chance, bool came)
{
    verdict_draw(v, depth, false);
    verdict_reveal(v, depth, chance, false, came, 1);
}

static void withhold_one(struct verdict *v, unsigned depth, double chance, bool came)
{
    verdict_draw(v, depth, true);
    verdict_reveal(v, depth, chance, true, came, 1);
    if (depth == 0)
        verdict_settle(v, came);
}

/* By hand: 0.05 (rho - c) … each alternative's rho / (0.05 rho + 0.95 c), weighted. */
static void one_return_multiplies_the_evidence_as_computed_by_hand(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    verdict_reveal(&v, 0, 0.05, true, true, 1);
    double want = .40 * .97 / .05135 + .12 * .96 / .0765 + .10 * .95 / .1425 + .08 * .95 / .285 +
                  .10 * .5 / .0288 + .08 * .5 / .101 + .07 * .2 / .0138 + .05 * .25 / .1075;
    near(v.trial[0].genuine, log(want), 1e-12);
    near(v.genuine, log(.9 * want + .1), 1e-12);
    /* open: q = .5 as no control is known: .5 (.5/.95) + .3 (.5/.95) + .2 (.75/.95) */
    near(v.trial[0].open, log(.8 * .5 / .95 + .2 * .75 / .95), 1e-12);
}

static void a_unit_whose_value_is_certain_changes_no_evidence(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    verdict_reveal(&v, 0, 0, false, true, 1);
    near(v.genuine, 0, 1e-12);
    assert_int_equal(v.trial[0].controls, 1);
    assert_int_equal(v.trial[0].repeats, 1);
    verdict_reveal(&v, 0, 1, true, true, 1); /* the last of a block: it had to be the one */
    near(v.genuine, 0, 1e-12);
}

static struct verdict after(unsigned returns, unsigned unanswered, unsigned kept, unsigned came)
{
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    for (unsigned i = 0; i < kept; i++)
        keep_one(&v, 0, 0.05, i < came);
    for (unsigned i = 0; i < returns + unanswered; i++)
        withhold_one(&v, 0, 0.05, i < returns);
    return v;
}

static void the_probability_starts_at_one_half_and_follows_the_drops(void **state)
{
    (void)state;
    struct verdict v = after(0, 0, 0, 0);
    near(verdict_probability(&v), 0.5, 1e-12);
    /* 26 unanswered, q = .5/501: the integral of ((1 - r)/(1 - q))^26 over r is about 1/27 of the
     * width .95, so the odds are 1/(27 * .95) */
    v = after(0, 26, 500, 0);
    near(verdict_probability(&v), 0.0377, 5e-4);
    v = after(8, 0, 150, 0);
    assert_true(verdict_probability(&v) > 0.9999);
    v = after(4, 4, 150, 0); /* half of them: genuine traffic is there all the same */
    assert_true(verdict_probability(&v) > 0.999);
}

static void the_probability_never_says_more_than_the_evidence_allows(void **state)
{
    (void)state;
    for (unsigned returns = 0; returns < 10; returns++) {
        struct verdict v = after(returns, 10 - returns, 190, 0);
        assert_true(verdict_probability(&v) <= 1 / (1 + exp(-v.genuine)) + 1e-12);
    }
    struct verdict v = after(20, 0, 380, 380); /* repeats everything, unasked */
    assert_true(verdict_probability(&v) <= 0.51);
}

static void wilson_gives_the_published_values(void **state)
{
    (void)state;
    double low, high;
    wilson(5, 5, 1.96, &low, &high);
    near(low, 0.56551, 1e-4);
    near(high, 1, 0);
    wilson(81, 263, 1.96, &low, &high); /* Newcombe 1998, table I: 0.2553 to 0.3662 */
    near(low, 0.2553, 1e-4);
    near(high, 0.3662, 1e-4);
    wilson(0, 0, 1.96, &low, &high);
    near(low, 0, 0);
    near(high, 1, 0);
}

/* Newcombe 1998 (differences), method 10: 56/70 - 48/80 = 0.2, interval 0.0524 to 0.3339. */
static void the_fraction_has_newcombes_interval(void **state)
{
    (void)state;
    struct reach reach = {.95, .997, .997};
    struct fraction f = fraction_of(56, 70, 48, 80, 1.96, reach);
    near(f.value * (.997 - .6), 0.2, 1e-9); /* scaled: the kept ones repeat at 0.6 */
    near(f.low * .997, 0.0524, 1e-4);
    near(f.high * (.95 - .6), 0.3339, 1e-4);
    f = fraction_of(10, 10, 12, 100, 1.96, reach); /* a lossy path, wholly genuine */
    near(f.value, 1, 1e-3);
    near(f.high, 1, 0);
    f = fraction_of(10, 10, 100, 100, 1.96, reach); /* repeats everything: nothing is known */
    near(f.low, 0, 0);
    near(f.high, 1, 0);
}

/* The bound itself: sender that repeats at rate c, drops drawn in blocks; how often does E ever
 * reach 1/a? Ville says at most a. */
static bool open_loop_reaches(uint64_t seed, double repeat, double threshold)
{
    struct prf prf = prf_init(seed, 3);
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    for (unsigned block = 0; block < 20; block++) {
        unsigned place = (unsigned)prf_below(&prf, 20);
        for (unsigned i = 0, known = 0; i < 20; i++) {
            bool came = (double)prf_below(&prf, 1000000) < repeat * 1e6;
            verdict_reveal(&v, 0, known ? 0 : 1.0 / (20 - i), i == place, came, 1);
            known |= i == place;
            if (v.genuine >= threshold)
                return true;
        }
    }
    return false;
}

static void no_open_loop_sender_reaches_the_threshold_more_often_than_allowed(void **state)
{
    (void)state;
    static const double repeats[] = {0, .01, .149, .5, .9, 1};
    for (unsigned r = 0; r < 6; r++) {
        unsigned reached = 0;
        for (uint64_t seed = 0; seed < 1500; seed++)
            reached += open_loop_reaches(seed + 1500 * r, repeats[r], log(20));
        assert_true(reached <= 1500 * .05 + 26); /* a = 0.05, three standard deviations */
    }
}

static void four_returns_prove_genuine_traffic_but_name_many_flows_genuine_only_after_nine(void **s)
{
    (void)s;
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    v.flows = 100;
    for (unsigned i = 1; i <= 9; i++) {
        assert_int_equal(verdict_word(&v, 12), -1);
        for (unsigned j = 0; j < 19; j++)
            keep_one(&v, 0, 0, false);
        withhold_one(&v, 0, 0.05, true);
        assert_true((v.genuine >= log(1e4)) == (i >= 4));
    }
    assert_int_equal(verdict_word(&v, 12), VERDICT_GENUINE);
}

static void a_single_flow_needs_four_returns_and_one_silent_flow_four_silences(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    v.flows = 1;
    v.segments[TOLD_RETURNED] = 100;
    for (unsigned i = 0; i < 76; i++)
        keep_one(&v, 0, 0, false);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(verdict_word(&v, 12), -1);
        withhold_one(&v, 0, 0.05, true);
    }
    assert_int_equal(verdict_word(&v, 12), VERDICT_GENUINE);
    verdict_init(&v, 1e-4, 0.05);
    v.flows = 1;
    v.segments[TOLD_UNANSWERED] = 100;
    for (unsigned i = 0; i < 76; i++)
        keep_one(&v, 0, 0, false);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(verdict_word(&v, 12), -1);
        withhold_one(&v, 0, 0.05, false);
    }
    assert_int_equal(verdict_word(&v, 12), VERDICT_SPOOFED);
}

/* Half of the traffic repeats nine of ten segments unasked: half of the drops are answered because
 * of that, the other half because they were withheld. */
static void answers_of_a_sender_that_repeats_by_habit_do_not_name_a_mixture_genuine(void **state)
{
    (void)state;
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    v.flows = 2;
    v.segments[TOLD_RETURNED] = 100;
    for (unsigned i = 1; i <= 40; i++) {
        for (unsigned j = 0; j < 19; j++)
            keep_one(&v, 0, 0.05, j < 9);
        withhold_one(&v, 0, 0.05, true);
        assert_int_equal(verdict_word(&v, 12), -1);
    }
}

static void a_miss_says_little_of_a_flow_that_hardly_passes_here(void **state)
{
    (void)state;
    struct verdict whole, part;
    verdict_init(&whole, 1e-4, 0.05);
    verdict_init(&part, 1e-4, 0.05);
    for (unsigned i = 0; i < 10; i++) {
        verdict_reveal(&whole, 0, 0.05, true, false, 1);
        verdict_reveal(&part, 0, 0.05, true, false, .4);
    }
    assert_true(whole.open > log(1e4));
    assert_true(part.open < log(1e2));
    verdict_reveal(&part, 0, 0.05, true, true, 0);
    assert_true(isfinite(part.open));
}

/* A sender that sends everything twice: the second trial, of withheld repeats, tells. */
static struct verdict of_a_repeater(bool is_genuine, unsigned drops)
{
    struct verdict v;
    verdict_init(&v, 1e-4, 0.05);
    v.flows = 1;
    for (unsigned i = 0; i < drops; i++) {
        for (unsigned j = 0; j < 19; j++)
            keep_one(&v, 0, 1.0 / 20, true);
        withhold_one(&v, 0, 1.0 / 20, true);
        if (i % 2 == 0)
            keep_one(&v, 1, .5, false);
        else
            withhold_one(&v, 1, .5, is_genuine);
        v.segments[is_genuine ? TOLD_RETURNED : TOLD_UNANSWERED] = is_genuine || i > 0 ? 100 : 0;
    }
    return v;
}

static void a_sender_that_repeats_everything_is_told_by_its_withheld_repeats(void **state)
{
    (void)state;
    struct verdict v = of_a_repeater(false, 2);
    assert_false(verdict_repeats_much(&v, 0) && v.trial[0].drawn < 40);
    assert_int_equal(verdict_word(&v, 12), -1);
    v = of_a_repeater(false, 16);
    assert_true(verdict_repeats_much(&v, 0));
    assert_int_equal(verdict_word(&v, 12), VERDICT_SPOOFED);
    assert_true(verdict_probability(&v) < .2);
    v = of_a_repeater(true, 28); /* a path that doubles every packet */
    assert_int_equal(verdict_word(&v, 12), VERDICT_GENUINE);
    assert_true(verdict_fraction(&v, VERDICT_MIXED).value > .9);
    char reason[96];
    verdict_reason(&v, reason, sizeof reason);
    assert_string_equal(reason, "a repeater: 14 of 14 withheld repeats came again, 0 of 14 kept");
}

/* The bound over all depths: each repeat of a withheld segment is a fresh trial. */
static void a_repeater_with_many_copies_reaches_the_threshold_no_more_often(void **state)
{
    (void)state;
    unsigned reached = 0;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct prf prf = prf_init(seed, 4);
        struct verdict v;
        verdict_init(&v, 1e-4, 0.05);
        bool is_reached = false;
        for (unsigned i = 0; i < 60 && !is_reached; i++) {
            withhold_one(&v, 0, 1, true); /* of no weight: what was kept came again, too */
            bool came = true;
            for (unsigned depth = 1; depth < VERDICT_DEPTHS && came; depth++) {
                came = prf_below(&prf, 2) == 0;
                bool is_withheld = prf_below(&prf, 2) == 0;
                verdict_draw(&v, depth, is_withheld);
                verdict_reveal(&v, depth, .5, is_withheld, came, 1);
            }
            is_reached = v.genuine >= log(20);
        }
        reached += is_reached;
    }
    assert_true(reached <= 1500 * .05 + 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_return_multiplies_the_evidence_as_computed_by_hand),
        cmocka_unit_test(a_unit_whose_value_is_certain_changes_no_evidence),
        cmocka_unit_test(the_probability_starts_at_one_half_and_follows_the_drops),
        cmocka_unit_test(the_probability_never_says_more_than_the_evidence_allows),
        cmocka_unit_test(wilson_gives_the_published_values),
        cmocka_unit_test(the_fraction_has_newcombes_interval),
        cmocka_unit_test(no_open_loop_sender_reaches_the_threshold_more_often_than_allowed),
        cmocka_unit_test(
            four_returns_prove_genuine_traffic_but_name_many_flows_genuine_only_after_nine),
        cmocka_unit_test(answers_of_a_sender_that_repeats_by_habit_do_not_name_a_mixture_genuine),
        cmocka_unit_test(a_sender_that_repeats_everything_is_told_by_its_withheld_repeats),
        cmocka_unit_test(a_repeater_with_many_copies_reaches_the_threshold_no_more_often),
        cmocka_unit_test(a_miss_says_little_of_a_flow_that_hardly_passes_here),
        cmocka_unit_test(a_single_flow_needs_four_returns_and_one_silent_flow_four_silences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

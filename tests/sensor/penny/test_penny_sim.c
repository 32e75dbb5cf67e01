/* Error rates of the engine in virtual time, some hundred tests a case with fixed seeds. A rate of
 * 1e-4 needs 1e5 tests a row (tests/sim/sim_penny.c); here a single wrong word of a pure case
 * fails, and right words below the stated share do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sensor/penny/sim.h"

#define G(n, r, ...)                                                 \
    {                                                                \
        .flows = (n), .is_genuine = true, .rate = (r), ##__VA_ARGS__ \
    }
#define S(n, r, ...)                             \
    {                                            \
        .flows = (n), .rate = (r), ##__VA_ARGS__ \
    }

#define MIXTURE_GENUINE .05 /* what verdict.h allows at the end of the budget */

struct row {
    struct sim_case sim;
    int word; /* the right one */
    unsigned tests;
    double right;       /* least share of right words */
    bool is_mixture;    /* other words are not wrong, only not right; genuine at most in 5 % */
    double fraction;    /* the true one */
    unsigned drops, ms; /* most at the median; 0: not said */
};

static const struct row rows[] = {
#include "tests/sensor/penny/sim_rows.def"
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* True if the row keeps its promises; all rows are shown before any failure ends the test. */
static bool check_row(const struct row *row)
{
    unsigned words[5] = {0}, wrong = 0, inside = 0;
    uint64_t *drops = calloc(row->tests, sizeof *drops), *took = calloc(row->tests, sizeof *took);
    for (unsigned i = 0; i < row->tests; i++) {
        struct sim_result r;
        sim_run(&row->sim, 1000 + i, &r);
        const struct event_test_ended *e = &r.ended;
        assert_true(r.has_ended);
        assert_true(e->genuine_probability >= 0 && e->genuine_probability <= 1);
        assert_true(e->genuine_low <= e->genuine_fraction &&
                    e->genuine_fraction <= e->genuine_high);
        assert_int_equal(e->drops, e->retransmitted + e->unanswered + e->invalid);
        assert_int_equal(e->drops, r.drop_events);
        if (e->verdict == VERDICT_GENUINE)
            assert_true(e->genuine_probability > .9);
        assert_true(e->drops <= 60);
        assert_true(r.least_gap_ns >= SIM_S / 2);
        words[e->verdict]++;
        wrong += e->verdict != row->word && e->verdict != VERDICT_INCONCLUSIVE;
        inside += e->genuine_low <= row->fraction && e->genuine_high >= row->fraction;
        drops[i] = e->retransmitted + e->unanswered; /* the others were still open */
        took[i] = r.took_ns;
    }
    qsort(drops, row->tests, sizeof *drops, compare);
    qsort(took, row->tests, sizeof *took, compare);
    uint64_t median = drops[row->tests / 2], ms = took[row->tests / 2] / 1000000;
    print_message(
        "%-38s n %3u  g %3u s %3u m %3u i %3u  inside %3u  drops %2lu  %5lu ms max %6lu\n",
        row->sim.name, row->tests, words[VERDICT_GENUINE], words[VERDICT_SPOOFED],
        words[VERDICT_MIXED], words[VERDICT_INCONCLUSIVE], inside, (unsigned long)median,
        (unsigned long)ms, (unsigned long)(took[row->tests - 1] / 1000000));
    free(drops);
    free(took);
    if (row->is_mixture && words[VERDICT_GENUINE] > MIXTURE_GENUINE * row->tests)
        return false;
    return (row->is_mixture || wrong == 0) && words[row->word] >= row->right * row->tests &&
           (row->drops == 0 || median <= row->drops) && (row->ms == 0 || ms <= row->ms);
}

static void words_are_right_and_none_is_wrong(void **state)
{
    (void)state;
    unsigned broken = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!check_row(&rows[i])) {
            print_message("  ^^^ broken promise\n");
            broken++;
        }
    assert_int_equal(broken, 0);
}

static void the_same_traffic_and_seed_give_the_same_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += 5) {
        struct sim_result a, b, other;
        sim_run(&rows[i].sim, 7, &a);
        sim_run(&rows[i].sim, 7, &b);
        sim_run(&rows[i].sim, 8, &other);
        assert_true(a.hash == b.hash);
        assert_true(a.hash != other.hash);
    }
}

/* Ville's bound through the whole engine, at a bound that a few hundred tests can see. */
static void the_coin_does_not_leak_however_the_sender_repeats(void **state)
{
    (void)state;
    static const double repeats[] = {.05, .149, .5, .9};
    static const uint64_t after_ms[] = {0, 300, 2000};
    unsigned n = 60, genuine = 0;
    for (unsigned i = 0; i < 12; i++) {
        struct sim_case c = {.name = "leak",
                             .alpha = .05,
                             .senders = {S(1 + 9 * (i & 1), 50, .repeat = repeats[i % 4],
                                           .repeat_after_ns = after_ms[i / 4] * 1000000 + 1)}};
        for (unsigned j = 0; j < n; j++) {
            struct sim_result r;
            sim_run(&c, 5000 + n * i + j, &r);
            genuine += r.ended.verdict == VERDICT_GENUINE || r.ended.verdict == VERDICT_MIXED;
        }
    }
    print_message("alpha 0.05: %u of %u spoofed tests proved genuine traffic\n", genuine, 12 * n);
    assert_true(genuine <= .05 * 12 * n + 18); /* three standard deviations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_right_and_none_is_wrong),
        cmocka_unit_test(the_coin_does_not_leak_however_the_sender_repeats),
        cmocka_unit_test(the_same_traffic_and_seed_give_the_same_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

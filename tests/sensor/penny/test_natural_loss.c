#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sensor/penny/natural_loss.h"

/* Of a long flow, so that the gaps may be losses. */
static void flow(struct natural_loss *n, uint32_t late, uint32_t unfilled, double visible)
{
    struct gap_track t = {.late = late,
                          .unfilled = unfilled,
                          .gaps = late + unfilled,
                          .data = UINT32_MAX,
                          .stream = 1000000000,
                          .unseen = (uint64_t)((1 - visible) * 1e9 + .5)};
    natural_loss_flow(n, &t);
}

static double after(uint32_t flows, uint32_t late, uint32_t unfilled, double visible)
{
    struct natural_loss n = {0};
    for (uint32_t i = 0; i < flows; i++)
        flow(&n, late, unfilled, visible);
    return natural_loss_probability(natural_loss_ratio(&n));
}

static void without_gaps_nothing_is_known(void **state)
{
    (void)state;
    assert_true(after(0, 0, 0, 1) == .5);
    assert_true(after(100, 0, 0, 1) == .5);
    assert_true(after(100, 0, 5, 0) == .5); /* of a flow that nobody saw */
}

static void the_ratio_is_the_one_in_the_header(void **state)
{
    (void)state;
    /* two late, one unfilled, half of the flow passing here */
    double g = .35 * .35 * .65, o = .05 * .05 * .95;
    struct natural_loss n = {0};
    flow(&n, 2, 1, .5);
    double want = log((.8 * g + .2 * o) / (.95 * o + .05 * g));
    assert_true(fabs(natural_loss_ratio(&n) - want) < 1e-12);
}

static void gaps_that_fill_late_speak_for_genuine_and_unfilled_ones_against(void **state)
{
    (void)state;
    assert_true(after(1, 1, 0, 1) > .8);
    assert_true(after(2, 1, 0, 1) > .9);
    assert_true(after(1, 0, 1, 1) < .4);
    assert_true(after(3, 0, 1, 1) < .21);
    assert_true(after(10, 1, 1, 1) > .9); /* half of them torn by the mirror */
}

static void no_number_of_gaps_is_a_proof(void **state)
{
    (void)state;
    double most = after(1000000, 4, 0, 1), least = after(1000000, 0, 4, 1);
    assert_true(fabs(most - 16.0 / 17) < 1e-9);
    assert_true(fabs(least - (4.0 / 19) / (1 + 4.0 / 19)) < 1e-9);
    assert_true(isfinite(after(4000000, 100000000, 300000000, 1e-8)));
}

static void a_flow_with_more_gaps_than_loss_tears_says_nothing(void **state)
{
    (void)state;
    struct natural_loss n = {0};
    struct gap_track t = {.late = 4, .gaps = 4, .data = 19, .stream = 1};
    natural_loss_flow(&n, &t);
    assert_true(n.genuine == 0 && n.open == 0);
    t.data = 20;
    natural_loss_flow(&n, &t);
    assert_true(n.genuine > n.open);
    n = (struct natural_loss){0};
    t = (struct gap_track){.late = 1, .gaps = 1, .data = 2, .stream = 1}; /* short flows may */
    natural_loss_flow(&n, &t);
    assert_true(n.genuine > n.open);
}

static void one_flow_speaks_for_four_gaps_at_most(void **state)
{
    (void)state;
    struct natural_loss one = {0}, many = {0};
    flow(&one, 3, 1, 1);
    flow(&many, 3000, 1000, 1);
    assert_true(fabs(one.genuine - many.genuine) < 1e-9);
    assert_true(fabs(one.open - many.open) < 1e-9);
}

static void unfilled_gaps_of_a_flow_that_passes_mostly_elsewhere_say_little(void **state)
{
    (void)state;
    assert_true(after(1, 0, 1, .1) > .48);
    assert_true(after(1, 0, 1, 1) < after(1, 0, 1, .5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_gaps_nothing_is_known),
        cmocka_unit_test(the_ratio_is_the_one_in_the_header),
        cmocka_unit_test(gaps_that_fill_late_speak_for_genuine_and_unfilled_ones_against),
        cmocka_unit_test(no_number_of_gaps_is_a_proof),
        cmocka_unit_test(a_flow_with_more_gaps_than_loss_tears_says_nothing),
        cmocka_unit_test(one_flow_speaks_for_four_gaps_at_most),
        cmocka_unit_test(unfilled_gaps_of_a_flow_that_passes_mostly_elsewhere_say_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sensor/penny/drop_policy.h"

#define MS UINT64_C(1000000)

static struct drop_policy d;

static uint32_t offer(const struct turn *turn, uint32_t flow, uint32_t flows, uint64_t at_ms)
{
    return drop_policy_offer(&d, (struct bidder){turn, flow, flows}, 12, at_ms * MS);
}

/* What the engine does with an offer. */
static bool give(struct turn *turn, uint32_t flow, uint32_t flows, uint64_t at_ms)
{
    uint32_t serial = offer(turn, flow, flows, at_ms);
    assert_true(serial != 0);
    bool is_dropped = drop_policy_take(&d, serial, turn, at_ms * MS);
    if (is_dropped)
        drop_policy_block(&d, serial)->drop_flow = flow;
    return is_dropped;
}

static void every_place_of_a_block_is_withheld_equally_often_and_exactly_one_is(void **state)
{
    (void)state;
    drop_policy_init(&d, prf_init(9, 9), 0.05, 5, 500 * MS);
    unsigned count[20] = {0};
    for (unsigned block = 0; block < 4000; block++) {
        unsigned drops = 0;
        struct turn turn = {0};
        uint32_t serial = d.next;
        for (unsigned i = 0; i < 20; i++) {
            bool is_dropped = drop_policy_take(&d, serial, &turn, 1);
            count[i] += is_dropped;
            drops += is_dropped;
        }
        assert_int_equal(drops, 1);
        drop_policy_known(&d, drop_policy_block(&d, serial));
        d.first = d.next;
    }
    double chi = 0;
    for (unsigned i = 0; i < 20; i++)
        chi += (count[i] - 200.0) * (count[i] - 200.0) / 200;
    assert_true(chi < 43.8); /* 19 degrees of freedom, 0.1 % */
}

static void a_flow_gives_to_its_next_block_a_gap_later_and_one_that_was_spared_at_once(void **state)
{
    (void)state;
    drop_policy_init(&d, prf_init(9, 9), 0.5, 5, 500 * MS);
    struct turn turn = {0};
    bool first = give(&turn, 7, 1, 1000);
    assert_int_equal(offer(&turn, 7, 1, 1001), 0); /* leaves room for other flows: 5 ms each */
    assert_true(give(&turn, 7, 1, 1006) != first);
    assert_int_equal(offer(&turn, 7, 1, 1400), 0);
    drop_policy_known(&d, drop_policy_block(&d, 1));
    assert_int_equal(offer(&turn, 7, 1, 1505), 0); /* it was its own drop */
    assert_int_equal(offer(&turn, 7, 1, 1506), 2);
    drop_policy_block(&d, 1)->drop_flow = 8; /* as if another flow had been hit */
    assert_int_equal(offer(&turn, 7, 1, 1010), 2);
}

static void few_flows_get_a_block_each_and_many_share(void **state)
{
    (void)state;
    drop_policy_init(&d, prf_init(9, 9), 0.05, 2, 500 * MS);
    struct turn a = {0}, b = {0}, c = {0};
    give(&a, 0, 3, 1000);
    give(&b, 1, 3, 1000);
    assert_int_equal(a.block, 1);
    assert_int_equal(b.block, 2);
    assert_int_equal(offer(&c, 2, 3, 1100), 0);          /* two are open: it waits … */
    assert_true(offer(&c, 2, 3, 2000) != 0);             /* … for a second */
    assert_true(offer(&c, 2, FLOWS_FEW + 1, 1100) != 0); /* many flows share at once */
    assert_true(offer(&c, 2, FLOWS_FEW + 1, 1100) < d.next);
}

static void
a_block_is_open_until_its_drop_is_known_but_no_longer_than_250_ms_after_it_is_full(void **state)
{
    (void)state;
    drop_policy_init(&d, prf_init(9, 9), 0.5, 1, 0);
    struct turn a = {0}, b = {0};
    give(&a, 0, 2, 1000);
    give(&a, 0, 2, 1005);
    assert_int_equal(offer(&b, 1, 2, 1006), 0);
    assert_int_equal(offer(&b, 1, 2, 1254), 0);
    assert_int_equal(d.old, 0);
    assert_int_equal(offer(&b, 1, 2, 1255), 2);
    assert_int_equal(d.old, 1); /* long unanswered: that speaks against genuine */
    drop_policy_known(&d, drop_policy_block(&d, 1));
    assert_int_equal(d.old, 0);
    give(&b, 1, 2, 1260);
    give(&b, 1, 2, 1265);
    drop_policy_known(&d, drop_policy_block(&d, 2)); /* answered at once: the next may open */
    assert_int_equal(offer(&a, 0, 2, 1266), 3);
}

static void no_more_blocks_are_opened_than_the_limit_says(void **state)
{
    (void)state;
    drop_policy_init(&d, prf_init(9, 9), 0.5, 64, 0);
    for (uint32_t i = 0; i < 12; i++) {
        struct turn turn = {0};
        give(&turn, i, 100, 1000);
    }
    struct turn turn = {0};
    uint32_t joined = offer(&turn, 12, 100, 1000);
    assert_true(joined > 0 && joined < d.next);
    assert_int_equal(d.next - d.first, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_of_a_block_is_withheld_equally_often_and_exactly_one_is),
        cmocka_unit_test(
            a_flow_gives_to_its_next_block_a_gap_later_and_one_that_was_spared_at_once),
        cmocka_unit_test(few_flows_get_a_block_each_and_many_share),
        cmocka_unit_test(
            a_block_is_open_until_its_drop_is_known_but_no_longer_than_250_ms_after_it_is_full),
        cmocka_unit_test(no_more_blocks_are_opened_than_the_limit_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

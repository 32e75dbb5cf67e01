/* What one sensor may send, in time that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/receive/pace.h"
#include "shared/base/hash.h"

#define EPOCH 7
#define MIB   (1024 * 1024)

static struct pace fresh(uint64_t rate, uint64_t credit)
{
    struct pace p = {.rate = rate, .credit = credit};
    assert_true(pace_hello(&p, EPOCH, NS_PER_S));
    return p;
}

static void a_sensor_has_its_credit_and_gets_it_back_with_each_acknowledgement(void **state)
{
    (void)state;
    struct pace p = fresh(0, 4);
    uint64_t say, now = NS_PER_S;
    for (uint64_t seq = 1; seq <= 4; seq++)
        assert_true(pace_batch(&p, seq * 10, 100, now));
    assert_false(pace_batch(&p, 50, 100, now));
    assert_true(pace_committed(&p, EPOCH, 20, now, &say));
    assert_int_equal(say, 20);
    assert_true(pace_batch(&p, 50, 100, now));
    assert_true(pace_batch(&p, 60, 100, now));
    assert_false(pace_batch(&p, 70, 100, now));
    assert_true(pace_hello(&p, EPOCH, now)); /* it goes back, and begins anew */
    for (uint64_t seq = 3; seq <= 6; seq++)
        assert_true(pace_batch(&p, seq * 10, 100, now));
    assert_false(pace_batch(&p, 70, 100, now));
}

static void an_acknowledgement_is_never_for_more_than_was_committed(void **state)
{
    (void)state;
    struct prf prf = prf_init(17, 1);
    struct pace p = fresh(MIB, 0);
    uint64_t now = NS_PER_S, sent = 0, committed = 0, said = 0, say;
    for (int i = 0; i < 100000; i++) {
        now += prf_below(&prf, 10 * NS_PER_MS);
        if (pace_batch(&p, sent + 10, prf_below(&prf, 65536), now))
            sent += 10;
        if (prf_below(&prf, 4) == 0) {
            committed += prf_below(&prf, sent - committed + 1);
            if (pace_committed(&p, EPOCH, committed, now, &say))
                said = say;
        }
        if (pace_due(&p) <= now && pace_take_ack(&p, now, &say)) {
            assert_true(say >= said);
            said = say;
        }
        assert_true(said <= committed);
    }
    assert_true(sent > 10000);
    now += 10 * NS_PER_S;
    assert_true(pace_committed(&p, EPOCH, sent, now, &say));
    assert_int_equal(say, sent); /* in the end all of it is said */
    assert_true(pace_due(&p) == UINT64_MAX);
}

/* A sensor that sends whenever it may gets its rate, over any longer time. */
static void acknowledgements_hold_a_sensor_to_its_rate(void **state)
{
    (void)state;
    struct pace p = fresh(4 * MIB, 0);
    uint64_t start = NS_PER_S, now = start, seq = 0, bytes = 0, say;
    while (now < start + 60 * NS_PER_S) {
        while (pace_batch(&p, seq + 1, 16384, now)) { /* the collector commits at once */
            seq++;
            bytes += 16384;
            pace_committed(&p, EPOCH, seq, now, &say);
        }
        assert_true(pace_due(&p) != UINT64_MAX);
        assert_true(pace_due(&p) - now <= NS_PER_S); /* far from the 30 s that a sensor waits */
        now = pace_due(&p) > now ? pace_due(&p) : now + 1;
        pace_take_ack(&p, now, &say);
    }
    double rate = (double)bytes / 60;
    assert_true(rate > 0.98 * 4 * MIB && rate < 1.05 * 4 * MIB);
}

static void the_longest_credit_at_the_lowest_rate_waits_no_longer_than_a_sensor_does(void **state)
{
    (void)state;
    struct pace p = fresh(MIB, 0);
    uint64_t now = NS_PER_S, say;
    for (uint64_t seq = 1; seq <= WIRE_CREDIT; seq++)
        assert_true(pace_batch(&p, seq, WIRE_MESSAGE_MAX, now));
    pace_committed(&p, EPOCH, WIRE_CREDIT, now, &say);
    now += 5 * NS_PER_S;
    assert_true(pace_take_ack(&p, now, &say));
    assert_int_equal(say, WIRE_CREDIT);
}

static void a_hello_does_not_get_around_the_rate(void **state)
{
    (void)state;
    struct pace p = fresh(MIB, 0);
    uint64_t now = NS_PER_S;
    for (uint64_t seq = 1; seq <= WIRE_CREDIT; seq++)
        pace_batch(&p, seq, 16384, now);
    assert_false(pace_hello(&p, EPOCH, now));
    assert_true(pace_hello(&p, EPOCH, now + 2 * NS_PER_S));
}

static void hellos_come_now_and_then_and_no_storm_of_them_is_heard(void **state)
{
    (void)state;
    struct pace p = {.rate = 0};
    uint64_t now = NS_PER_S, taken = 0;
    for (int i = 0; i < 60; i++) /* as often as two who disagree say it, for 12 s */
        taken += pace_hello(&p, EPOCH, now += 200 * NS_PER_MS);
    assert_int_equal(taken, 60);
    for (int i = 0; i < 100000; i++)
        taken += pace_hello(&p, EPOCH, now += 100 * NS_PER_US); /* 10 s of storm */
    assert_true(taken < 60 + 2 * PACE_HELLO_BURST + 10 * NS_PER_S / PACE_HELLO_NS);
    assert_true(pace_hello(&p, EPOCH, now + NS_PER_S));
}

static void what_is_of_another_epoch_is_not_taken_for_this_one(void **state)
{
    (void)state;
    struct pace p = fresh(MIB, 0);
    uint64_t now = NS_PER_S, say;
    for (uint64_t seq = 1; seq <= 20; seq++)
        pace_batch(&p, seq, 65536, now);
    assert_true(pace_committed(&p, EPOCH + 1, 15, now, &say)); /* goes its way */
    assert_int_equal(say, 15);
    assert_true(pace_due(&p) == UINT64_MAX); /* and commits nothing here */
    assert_false(pace_take_ack(&p, now + 60 * NS_PER_S, &say));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sensor_has_its_credit_and_gets_it_back_with_each_acknowledgement),
        cmocka_unit_test(an_acknowledgement_is_never_for_more_than_was_committed),
        cmocka_unit_test(acknowledgements_hold_a_sensor_to_its_rate),
        cmocka_unit_test(the_longest_credit_at_the_lowest_rate_waits_no_longer_than_a_sensor_does),
        cmocka_unit_test(a_hello_does_not_get_around_the_rate),
        cmocka_unit_test(hellos_come_now_and_then_and_no_storm_of_them_is_heard),
        cmocka_unit_test(what_is_of_another_epoch_is_not_taken_for_this_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/order/drift.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

#define S      ((int64_t)NS_PER_S)
#define T0     INT64_C(1700000000000000000)
#define WINDOW (180 * NS_PER_S)
#define MARGIN (10 * NS_PER_S)

static struct drift d;
static int64_t t; /* since the beginning */
static struct prf prf;

/* Heartbeats of a clock that runs so much too fast, each delayed by up to `late`, for some windows.
 */
static void beats(double rate, int64_t late, int windows)
{
    for (int64_t end = t + windows * (int64_t)WINDOW; t < end; t += 5 * S) {
        int64_t delay = late == 0 ? 0 : (int64_t)prf_below(&prf, (uint64_t)late);
        int64_t taken = t - delay;
        drift_heard(&d, (uint64_t)(7 * S + taken + (int64_t)((double)taken * rate)), T0 + t,
                    WINDOW);
    }
}

static int setup(void **state)
{
    (void)state;
    d = (struct drift){0};
    prf = prf_init(1, 0);
    t = 100 * S;
    return 0;
}

static void a_clock_that_keeps_pace_is_never_off_however_late_its_messages_come(void **state)
{
    (void)state;
    for (int windows = 0; windows < 200; windows++) {
        beats(1e-4, 60 * S, 1);
        assert_false(drift_is_off(&d, MARGIN));
    }
}

static void one_that_runs_ahead_or_behind_by_more_than_the_margin_is_off(void **state)
{
    const double rates[] = {0.1, -0.1};
    for (int i = 0; i < 2; i++) {
        setup(state);
        beats(rates[i], 100 * S / 1000, 4);
        assert_true(drift_is_off(&d, MARGIN));
        assert_true(rates[i] > 0 ? d.ahead > 17 * S && d.ahead < 19 * S
                                 : d.ahead < -17 * S && d.ahead > -19 * S);
        assert_false(drift_is_off(&d, 20 * NS_PER_S));
    }
}

static void it_is_trusted_again_when_it_keeps_pace_again(void **state)
{
    (void)state;
    beats(0, 0, 3);
    d.best += 60 * S; /* it jumped ahead once, somewhere in this window */
    beats(0, 0, 1);
    assert_true(drift_is_off(&d, MARGIN));
    beats(0, 0, 3);
    assert_false(drift_is_off(&d, MARGIN));
}

static void a_jump_of_our_own_clock_is_none_of_the_sensor_s(void **state)
{
    (void)state;
    beats(0, 0, 3);
    drift_jumped(&d);
    for (int i = 0; i < 200; i++, t += 5 * S) {
        drift_heard(&d, (uint64_t)(7 * S + t), T0 + 86400 * S + t, WINDOW);
        assert_false(drift_is_off(&d, MARGIN));
    }
}

/* Our machine slept, and the sensor's did not: its clock went on as the one on our wall did. */
static void that_our_machine_slept_is_no_fast_clock_of_the_sensor_s(void **state)
{
    (void)state;
    beats(0, 0, 3);
    t += 600 * S;
    drift_jumped(&d);
    for (int i = 0; i < 5; i++) {
        beats(0, 0, 1);
        assert_false(drift_is_off(&d, MARGIN));
    }
}

static void what_was_found_stands_until_it_is_measured_again(void **state)
{
    (void)state;
    beats(0.1, 0, 4);
    drift_jumped(&d);
    beats(0.1, 0, 1);
    assert_true(drift_is_off(&d, MARGIN));
    beats(0, 0, 4);
    assert_false(drift_is_off(&d, MARGIN));
}

static void a_stamp_may_be_any_number(void **state)
{
    (void)state;
    const uint64_t stamps[] = {0, UINT64_C(1) << 63, (UINT64_C(1) << 63) - 1, UINT64_MAX};
    for (int i = 0; i < 16; i++, t += (int64_t)WINDOW) {
        drift_heard(&d, stamps[i / 4], t, WINDOW);
        drift_heard(&d, stamps[i % 4], t + S, WINDOW);
    }
    setup(state);
    drift_heard(&d, (UINT64_C(1) << 63) + (uint64_t)t + 1, t, WINDOW);
    drift_heard(&d, (UINT64_C(1) << 63) - 1, t + (int64_t)WINDOW, WINDOW);
    drift_heard(&d, 0, t + 2 * (int64_t)WINDOW, WINDOW);
    assert_true(d.ahead > 0 && drift_is_off(&d, MARGIN));
}

/* Nothing was heard for a day, by which the clocks ran apart a little. */
static void a_long_silence_is_no_fast_clock(void **state)
{
    (void)state;
    beats(1e-4, 0, 3);
    t += 86400 * S;
    for (int i = 0; i < 5; i++) {
        beats(1e-4, 0, 1);
        assert_false(drift_is_off(&d, MARGIN / 100));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_clock_that_keeps_pace_is_never_off_however_late_its_messages_come,
                               setup),
        cmocka_unit_test_setup(one_that_runs_ahead_or_behind_by_more_than_the_margin_is_off, setup),
        cmocka_unit_test_setup(it_is_trusted_again_when_it_keeps_pace_again, setup),
        cmocka_unit_test_setup(a_jump_of_our_own_clock_is_none_of_the_sensor_s, setup),
        cmocka_unit_test_setup(that_our_machine_slept_is_no_fast_clock_of_the_sensor_s, setup),
        cmocka_unit_test_setup(what_was_found_stands_until_it_is_measured_again, setup),
        cmocka_unit_test_setup(a_stamp_may_be_any_number, setup),
        cmocka_unit_test_setup(a_long_silence_is_no_fast_clock, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/loop/steady.h"
#include "shared/base/hash.h"

#define S    ((int64_t)NS_PER_S)
#define HOUR (3600 * S)
#define DAY  (24 * HOUR)
#define YEAR (365 * DAY)
#define T0   INT64_C(1700000000000000000)

static struct steady clock_is;
static int64_t mono, off; /* time since the beginning; by how much the clock on the wall is wrong */

static int64_t look(void)
{
    return steady_look(&clock_is, T0 + mono + off, (uint64_t)mono);
}

/* The time in use, less what it really is. */
static int64_t error(void)
{
    return steady_now(&clock_is, (uint64_t)mono) - T0 - mono;
}

static void pass(int64_t time)
{
    for (int64_t end = mono + time; mono < end;) {
        mono += end - mono < 60 * S ? end - mono : 60 * S;
        look();
    }
}

static void start(int64_t wrong, int64_t latest)
{
    mono = S;
    off = wrong;
    steady_start(&clock_is, T0 + mono + off, (uint64_t)mono, latest);
}

static void small_steps_are_followed_at_once(void **state)
{
    (void)state;
    start(0, 0);
    off = HOUR;
    assert_true(look() == HOUR && error() == HOUR && steady_doubt(&clock_is) == 0);
    off = -HOUR + S;
    assert_true(look() == -2 * HOUR + S && error() == off && steady_doubt(&clock_is) == 0);
}

static void many_small_steps_are_no_way_around(void **state)
{
    (void)state;
    start(0, 0);
    for (int i = 0; i < 30; i++) {
        off += HOUR / 10;
        pass(60 * S);
    }
    assert_true(steady_doubt(&clock_is) != 0 && !steady_may_age(&clock_is));
    assert_true(steady_undoubted(&clock_is, (uint64_t)mono) - T0 - mono == HOUR);
}

static void what_is_far_ahead_is_followed_but_ages_nothing_until_it_has_lasted(void **state)
{
    (void)state;
    start(0, 0);
    off = 3 * DAY; /* a machine that slept */
    assert_true(look() == 3 * DAY && !steady_may_age(&clock_is));
    pass(HOUR - 60 * S);
    assert_true(error() == 3 * DAY && !steady_may_age(&clock_is));
    pass(60 * S);
    assert_true(error() == 3 * DAY && steady_may_age(&clock_is) && steady_doubt(&clock_is) == 0);
}

static void what_is_far_behind_is_followed_when_it_has_lasted(void **state)
{
    (void)state;
    start(0, 0);
    off = -DAY;
    assert_true(look() == 0 && steady_doubt(&clock_is) == -DAY && steady_may_age(&clock_is));
    pass(HOUR - 60 * S);
    assert_true(error() == 0);
    pass(60 * S);
    assert_true(error() == -DAY && steady_doubt(&clock_is) == 0);
}

static void a_clock_that_comes_back_is_believed_at_once(void **state)
{
    (void)state;
    const int64_t jumps[] = {YEAR, -YEAR};
    for (int i = 0; i < 2; i++) {
        start(0, 0);
        off = jumps[i];
        pass(600 * S);
        off = 5 * S; /* and a little besides */
        look();
        assert_true(error() == 5 * S && steady_doubt(&clock_is) == 0);
    }
}

static void a_doubt_begins_anew_when_the_clock_moves_on(void **state)
{
    (void)state;
    start(0, 0);
    off = DAY;
    pass(HOUR - 60 * S);
    off = YEAR;
    pass(HOUR - 60 * S);
    assert_true(error() == YEAR && !steady_may_age(&clock_is));
    off = -YEAR; /* so far back that the time in use is the one before all that */
    look();
    assert_true(error() == 0 && steady_may_age(&clock_is));
}

static void a_person_ends_the_doubt(void **state)
{
    (void)state;
    const int64_t jumps[] = {YEAR, -YEAR};
    for (int i = 0; i < 2; i++) {
        start(0, 0);
        off = jumps[i];
        look();
        steady_believe(&clock_is);
        look();
        assert_true(error() == off && steady_may_age(&clock_is) && steady_doubt(&clock_is) == 0);
        pass(3 * HOUR);
        assert_true(error() == off && steady_doubt(&clock_is) == 0);
    }
    steady_believe(&clock_is); /* where there is none nothing happens */
    look();
    assert_true(error() == off && steady_doubt(&clock_is) == 0);
}

/* A machine without a battery begins in the past; its time server tells the time a minute later. */
static void a_machine_that_boots_in_the_past_goes_on_where_the_database_stopped(void **state)
{
    (void)state;
    start(-YEAR, T0 - 600 * S);
    assert_true(error() == -601 * S && steady_doubt(&clock_is) != 0);
    pass(60 * S);
    assert_true(error() == -601 * S);
    off = 0; /* a year at once, and it is no jump */
    assert_true(look() == 601 * S && error() == 0 && steady_doubt(&clock_is) == 0);
}

static void who_was_away_for_long_starts_in_the_present_but_ages_nothing_yet(void **state)
{
    (void)state;
    start(0, T0 - 3 * DAY);
    assert_true(error() == 0 && !steady_may_age(&clock_is));
    pass(HOUR);
    assert_true(error() == 0 && steady_may_age(&clock_is));
    start(0, T0 - 600 * S);
    assert_true(error() == 0 && steady_may_age(&clock_is));
}

/* The bound counts from the time of the start, not from what the database knew. */
static void a_start_in_time_leaves_the_whole_bound(void **state)
{
    (void)state;
    start(0, T0 - HOUR / 2);
    off = HOUR - S;
    look();
    assert_true(error() == off && steady_doubt(&clock_is) == 0);
}

/* ---- whatever the clock does ---- */

static struct prf prf;

/* A little, or much more than the bound. */
static int64_t draw_jump(void)
{
    static const int64_t sizes[] = {60 * S, 60 * S, 5 * HOUR, DAY, 30 * DAY, 3 * YEAR};
    int64_t size = sizes[prf_below(&prf, sizeof sizes / sizeof *sizes)];
    return prf_below(&prf, 2) == 0 ? size : -size;
}

/* Does the clock move in this minute? True: by much. */
static bool moves(void)
{
    int64_t before = off;
    if (prf_below(&prf, 40) == 0)
        off = prf_below(&prf, 3) == 0 ? 0 : off + draw_jump();
    return off - before > 2 * HOUR || before - off > 2 * HOUR;
}

/* What things grow old by moves by much only when the clock has stood there for long; and what
 * lasts is believed in the end. */
static void jumps_at_random_age_nothing_until_they_have_lasted(void **state)
{
    (void)state;
    for (unsigned run = 0; run < 100; run++) {
        prf = prf_init(run, 0);
        start(0, 0);
        int64_t stands_since = mono, aged_by = 0;
        for (unsigned minute = 0; minute < 3000; minute++) {
            mono += 60 * S;
            if (moves())
                stands_since = mono;
            look();
            int64_t stood = mono - stands_since, by = error() - aged_by;
            if (stood >= 2 * HOUR)
                assert_true(error() == off && steady_doubt(&clock_is) == 0);
            if (!steady_may_age(&clock_is))
                continue;
            assert_true((by <= 2 * HOUR && by >= -2 * HOUR) || stood >= HOUR);
            aged_by = error();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_steps_are_followed_at_once),
        cmocka_unit_test(many_small_steps_are_no_way_around),
        cmocka_unit_test(what_is_far_ahead_is_followed_but_ages_nothing_until_it_has_lasted),
        cmocka_unit_test(what_is_far_behind_is_followed_when_it_has_lasted),
        cmocka_unit_test(a_clock_that_comes_back_is_believed_at_once),
        cmocka_unit_test(a_doubt_begins_anew_when_the_clock_moves_on),
        cmocka_unit_test(a_person_ends_the_doubt),
        cmocka_unit_test(a_machine_that_boots_in_the_past_goes_on_where_the_database_stopped),
        cmocka_unit_test(who_was_away_for_long_starts_in_the_present_but_ages_nothing_yet),
        cmocka_unit_test(a_start_in_time_leaves_the_whole_bound),
        cmocka_unit_test(jumps_at_random_age_nothing_until_they_have_lasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* When a queue counts as stalled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sensor/source/watchdog.h"
#include "shared/base/clock.h"

#define MS NS_PER_MS

static struct watchdog dog;
static uint64_t now, handed, taken, refused;
static unsigned barks;

static int up(void **state)
{
    (void)state;
    dog = (struct watchdog){0};
    now = NS_PER_S;
    handed = taken = refused = barks = 0;
    return 0;
}

/* So long; in every step of 10 ms so many are handed over, refused, and taken. */
static void run(uint64_t ns, uint64_t in, uint64_t away, uint64_t out)
{
    for (uint64_t end = now + ns; now < end; now += 10 * MS) {
        handed += in;
        refused += away;
        taken += out;
        barks += watchdog_is_stalled(&dog, now, handed, taken, refused);
    }
}

static void a_queue_that_gives_what_it_gets_is_left_alone(void **state)
{
    (void)state;
    run(60 * NS_PER_S, 5, 0, 5);
    run(60 * NS_PER_S, 5, 0, 3); /* some are lost: a full ring, which is not this fault */
    assert_int_equal(barks, 0);
}

static void a_quiet_queue_is_left_alone(void **state)
{
    (void)state;
    run(3600 * NS_PER_S, 0, 0, 0);
    run(NS_PER_S, 1, 0, 1);
    run(3600 * NS_PER_S, 0, 0, 0);
    assert_int_equal(barks, 0);
}

static void a_queue_that_gets_and_does_not_give_is_stalled_after_a_second(void **state)
{
    (void)state;
    run(990 * MS, 5, 0, 0);
    assert_int_equal(barks, 0);
    run(30 * MS, 5, 0, 0);
    assert_int_equal(barks, 1);
}

/* One frame that is owed tells as much as many: the ring is read all the time. */
static void one_frame_that_does_not_come_is_a_stall_too(void **state)
{
    (void)state;
    run(10 * MS, 1, 0, 0);
    run(2 * NS_PER_S, 0, 0, 0);
    assert_int_equal(barks, 1);
    run(3600 * NS_PER_S, 0, 0, 0); /* said once */
    assert_int_equal(barks, 1);
}

static void a_pause_shorter_than_a_second_is_none(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        run(900 * MS, 5, 0, 0);
        run(10 * MS, 5, 0, 5);
    }
    assert_int_equal(barks, 0);
}

static void frames_that_the_socket_refuses_for_their_length_are_no_stall(void **state)
{
    (void)state;
    run(60 * NS_PER_S, 5, 5, 0);
    assert_int_equal(barks, 0);
    run(2 * NS_PER_S, 5, 4, 0); /* one of five is owed */
    assert_int_equal(barks, 1);
}

/* In zero-copy mode a driver asks an empty ring more often than it drops for it. */
static void a_count_of_refusals_that_falls_hides_nothing(void **state)
{
    (void)state;
    refused = 100000;
    run(10 * MS, 0, 0, 0);
    run(2 * NS_PER_S, 5, (uint64_t)-3, 0);
    assert_int_equal(barks, 1);
}

static void what_does_not_help_is_tried_ever_more_rarely(void **state)
{
    (void)state;
    run(10 * 60 * NS_PER_S, 5, 0, 0);
    assert_in_range(barks, 10, 16); /* after 1, 2, 4 … 64 s; each time anew */
    run(10 * MS, 5, 0, 5);
    barks = 0;
    run(1100 * MS, 5, 0, 0); /* it gave something: the next stall is a new one */
    assert_int_equal(barks, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_queue_that_gives_what_it_gets_is_left_alone, up),
        cmocka_unit_test_setup(a_quiet_queue_is_left_alone, up),
        cmocka_unit_test_setup(a_queue_that_gets_and_does_not_give_is_stalled_after_a_second, up),
        cmocka_unit_test_setup(one_frame_that_does_not_come_is_a_stall_too, up),
        cmocka_unit_test_setup(a_pause_shorter_than_a_second_is_none, up),
        cmocka_unit_test_setup(frames_that_the_socket_refuses_for_their_length_are_no_stall, up),
        cmocka_unit_test_setup(a_count_of_refusals_that_falls_hides_nothing, up),
        cmocka_unit_test_setup(what_does_not_help_is_tried_ever_more_rarely, up),
    };
    return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}

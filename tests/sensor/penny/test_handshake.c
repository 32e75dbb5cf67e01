#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sensor/penny/handshake.h"

#define MS UINT64_C(1000000)

static struct handshakes h;

static int start(void **state)
{
    (void)state;
    return handshakes_init(&h, 100);
}

static int stop(void **state)
{
    (void)state;
    handshakes_clear(&h);
    return 0;
}

static void the_trip_is_the_time_from_the_syn_to_the_next_segment(void **state)
{
    (void)state;
    assert_true(handshake_trip(&h, 77) == TRIP_UNKNOWN);
    handshake_syn(&h, 77, 1000 * MS);
    assert_true(handshake_trip(&h, 77) == TRIP_UNKNOWN);
    handshake_after(&h, 77, 1070 * MS);
    handshake_after(&h, 77, 1090 * MS); /* data: the handshake was over */
    assert_true(handshake_trip(&h, 77) == 70 * MS);
    assert_true(handshake_trip(&h, 78) == TRIP_UNKNOWN);
}

static void a_repeated_syn_makes_the_trip_longer_never_shorter(void **state)
{
    (void)state;
    handshake_syn(&h, 77, 1000 * MS);
    handshake_syn(&h, 77, 2000 * MS);
    handshake_after(&h, 77, 2050 * MS);
    assert_true(handshake_trip(&h, 77) == 1050 * MS);
    handshake_syn(&h, 77, 2000 * MS); /* the ports are used anew */
    assert_true(handshake_trip(&h, 77) == TRIP_UNKNOWN);
}

static void a_flood_of_syns_overwrites_and_never_grows(void **state)
{
    (void)state;
    handshake_syn(&h, 77, 1000 * MS);
    for (uint64_t i = 0; i < 100000; i++)
        handshake_syn(&h, i << 1, 1001 * MS);
    handshake_after(&h, 77, 1070 * MS);
    assert_true(handshake_trip(&h, 77) == 70 * MS); /* odd: nobody took its place */
    handshake_syn(&h, 77 + 128 * 1024, 1080 * MS);
    assert_true(handshake_trip(&h, 77) == TRIP_UNKNOWN);
}

static void a_stale_syn_tells_nothing(void **state)
{
    (void)state;
    handshake_syn(&h, 77, 1000 * MS);
    handshake_after(&h, 77, 12000 * MS);
    assert_true(handshake_trip(&h, 77) == TRIP_UNKNOWN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        T(the_trip_is_the_time_from_the_syn_to_the_next_segment),
        T(a_repeated_syn_makes_the_trip_longer_never_shorter),
        T(a_flood_of_syns_overwrites_and_never_grows),
        T(a_stale_syn_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/roster/roster.h"

#define SILENT 100

static struct roster *roster(void)
{
    struct roster_conf conf = {.silent_after_ns = SILENT};
    struct roster *r = NULL;
    assert_int_equal(roster_new(&conf, &r), 0);
    return r;
}

static int hello(struct roster *r, uint64_t epoch, uint64_t first, int64_t now, uint64_t *last)
{
    struct wire_message m = {.kind = WIRE_HELLO, .epoch = epoch, .first_seq = first, .pop = "AMS"};
    return roster_hello(r, "ams1", &m, now, last);
}

static uint64_t welcome(struct roster *r, uint64_t epoch, uint64_t first)
{
    uint64_t last = 99;
    assert_int_equal(hello(r, epoch, first, 1, &last), 0);
    return last;
}

static enum roster_answer batch(struct roster *r, uint64_t epoch, uint64_t first, uint32_t count,
                                uint32_t *skip)
{
    struct wire_message m = {
        .kind = WIRE_BATCH, .epoch = epoch, .first_seq = first, .count = count};
    return roster_batch(r, "ams1", &m, 2, skip);
}

static void event(struct roster *r, uint8_t type)
{
    struct event e = {.type = type};
    if (type == EVENT_gap) {
        e.gap.from_seq = 3;
        e.gap.to_seq = 4;
        snprintf(e.gap.reason, sizeof e.gap.reason, "spool full");
    }
    roster_event(r, "ams1", &e, 3);
}

static void events_in_order_are_taken_and_move_the_mark(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    assert_true(welcome(r, 5, 1) == 0);
    assert_int_equal(batch(r, 5, 1, 10, &skip), ROSTER_TAKE);
    assert_int_equal(skip, 0);
    assert_true(roster_find(r, "ams1")->last_seq == 10);
    assert_true(welcome(r, 5, 1) == 10);
    struct gap_row gap;
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void of_a_batch_that_is_partly_known_only_the_rest_is_taken(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_int_equal(batch(r, 5, 8, 5, &skip), ROSTER_TAKE);
    assert_int_equal(skip, 3);
    assert_int_equal(batch(r, 5, 1, 12, &skip), ROSTER_REPEAT);
    assert_int_equal(batch(r, 5, 12, 1, &skip), ROSTER_REPEAT);
    assert_true(roster_find(r, "ams1")->last_seq == 12);
    roster_free(r);
}

static void what_is_out_of_order_or_of_another_epoch_is_never_taken(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    assert_int_equal(batch(r, 5, 1, 1, &skip), ROSTER_AGAIN);
    welcome(r, 5, 1);
    assert_int_equal(batch(r, 5, 2, 1, &skip), ROSTER_AGAIN);
    assert_int_equal(batch(r, 6, 1, 1, &skip), ROSTER_AGAIN);
    assert_int_equal(batch(r, 4, 1, 1, &skip), ROSTER_AGAIN);
    assert_int_equal(batch(r, 5, 0, 2, &skip), ROSTER_AGAIN);
    assert_int_equal(batch(r, 5, UINT64_MAX, 2, &skip), ROSTER_AGAIN);
    assert_true(roster_find(r, "ams1")->last_seq == 0);
    roster_free(r);
}

static void an_older_epoch_is_refused(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint64_t last;
    welcome(r, 5, 1);
    assert_int_equal(hello(r, 4, 1, 9, &last), ERR_BUSY);
    assert_true(roster_find(r, "ams1")->epoch == 5);
    roster_free(r);
}

static void a_restart_without_goodbye_is_a_gap_of_unknown_end(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    struct gap_row gap;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_true(welcome(r, 6, 1) == 0);
    assert_true(roster_take_gap(r, &gap));
    assert_true(gap.epoch == 5 && gap.from_seq == 11 && gap.to_seq == 0);
    assert_string_equal(gap.reason, "sensor restarted without its goodbye");
    assert_string_equal(gap.sensor, "ams1");
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void a_restart_after_goodbye_is_no_gap(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    struct gap_row gap;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    event(r, EVENT_sensor_stopped);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_STOPPED);
    welcome(r, 6, 1);
    assert_false(roster_take_gap(r, &gap));
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_UP);
    roster_free(r);
}

static void what_a_sensor_no_longer_holds_is_a_gap_with_both_ends(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    struct gap_row gap;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_true(welcome(r, 5, 21) == 20);
    assert_true(roster_take_gap(r, &gap));
    assert_true(gap.epoch == 5 && gap.from_seq == 11 && gap.to_seq == 20);
    assert_int_equal(batch(r, 5, 21, 1, &skip), ROSTER_TAKE);
    assert_true(welcome(r, 5, 21) == 21);
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void a_new_epoch_that_begins_late_is_two_gaps(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    welcome(r, 5, 1);
    assert_true(welcome(r, 6, 4) == 3);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 5 && gap.to_seq == 0);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 6 && gap.from_seq == 1 && gap.to_seq == 3);
    roster_free(r);
}

static void what_the_sensor_gave_up_itself_is_a_gap(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    welcome(r, 5, 1);
    event(r, EVENT_gap);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 3 && gap.to_seq == 4);
    assert_string_equal(gap.reason, "spool full");
    roster_free(r);
}

static void who_says_nothing_is_silent_until_it_speaks(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    welcome(r, 5, 1);
    roster_tick(r, 1 + SILENT);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_UP);
    roster_tick(r, 2 + SILENT);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_SILENT);
    batch(r, 5, 1, 1, &skip);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_UP);
    event(r, EVENT_sensor_stopped);
    roster_tick(r, 1000000);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_STOPPED);
    roster_free(r);
}

static void a_loaded_sensor_goes_on_and_is_not_taken(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row row = {.name = "ams1", .epoch = 5, .last_seq = 7, .state = SENSOR_UP}, out;
    assert_int_equal(roster_load(r, &row), 0);
    assert_false(roster_take_sensor(r, &out));
    assert_true(welcome(r, 5, 3) == 7);
    assert_true(roster_take_sensor(r, &out) && out.last_seq == 7);
    assert_false(roster_take_sensor(r, &out));
    roster_free(r);
}

static bool lost(struct roster *r)
{
    char sensor[WIRE_NAME];
    bool is_lost = roster_take_lost(r, sensor);
    if (is_lost)
        assert_string_equal(sensor, "ams1");
    assert_false(roster_take_lost(r, sensor)); /* each once */
    return is_lost;
}

static void running_tests_are_lost_with_whatever_could_hide_their_end(void **state)
{
    (void)state;
    struct roster *r = roster();
    uint32_t skip;
    welcome(r, 5, 1);
    assert_false(lost(r)); /* none began */
    event(r, EVENT_test_started);
    assert_false(lost(r));
    event(r, EVENT_gap);
    assert_true(lost(r));
    event(r, EVENT_gap);
    assert_false(lost(r)); /* no other began since */
    event(r, EVENT_test_started);
    welcome(r, 5, 10);
    assert_true(lost(r));
    event(r, EVENT_test_started);
    roster_tick(r, 1000);
    assert_true(lost(r)); /* silent */
    batch(r, 5, 10, 1, &skip);
    event(r, EVENT_test_started);
    welcome(r, 6, 3);
    assert_true(lost(r)); /* restarted, and does not hold its first events any more */
    event(r, EVENT_test_started);
    event(r, EVENT_sensor_stopped);
    assert_true(lost(r));
    roster_free(r);
}

static void of_a_loaded_sensor_nobody_knows_whether_it_tests(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row row = {.name = "ams1", .epoch = 5, .last_seq = 7, .state = SENSOR_UP};
    assert_int_equal(roster_load(r, &row), 0);
    welcome(r, 5, 8);
    assert_false(lost(r));
    welcome(r, 6, 1);
    assert_true(lost(r));
    roster_free(r);
}

/* Else one connection could fill the database with sensors that never were. */
static void a_name_too_many_is_refused_and_who_is_known_is_not(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {.kind = WIRE_HELLO, .epoch = 1, .first_seq = 1};
    char name[WIRE_NAME];
    uint64_t last;
    for (unsigned i = 0; i < ROSTER_MAX; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(roster_hello(r, name, &m, 1, &last), 0);
    }
    assert_int_equal(roster_hello(r, "more", &m, 1, &last), ERR_FULL);
    assert_null(roster_find(r, "more"));
    assert_int_equal(roster_hello(r, "s7", &m, 1, &last), 0);
    struct sensor_row row = {.name = "of the database", .epoch = 5, .state = SENSOR_UP};
    assert_int_equal(roster_load(r, &row), 0);
    assert_non_null(roster_find(r, row.name));
    roster_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_order_are_taken_and_move_the_mark),
        cmocka_unit_test(of_a_batch_that_is_partly_known_only_the_rest_is_taken),
        cmocka_unit_test(what_is_out_of_order_or_of_another_epoch_is_never_taken),
        cmocka_unit_test(an_older_epoch_is_refused),
        cmocka_unit_test(a_restart_without_goodbye_is_a_gap_of_unknown_end),
        cmocka_unit_test(a_restart_after_goodbye_is_no_gap),
        cmocka_unit_test(what_a_sensor_no_longer_holds_is_a_gap_with_both_ends),
        cmocka_unit_test(a_new_epoch_that_begins_late_is_two_gaps),
        cmocka_unit_test(what_the_sensor_gave_up_itself_is_a_gap),
        cmocka_unit_test(who_says_nothing_is_silent_until_it_speaks),
        cmocka_unit_test(running_tests_are_lost_with_whatever_could_hide_their_end),
        cmocka_unit_test(of_a_loaded_sensor_nobody_knows_whether_it_tests),
        cmocka_unit_test(a_loaded_sensor_goes_on_and_is_not_taken),
        cmocka_unit_test(a_name_too_many_is_refused_and_who_is_known_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

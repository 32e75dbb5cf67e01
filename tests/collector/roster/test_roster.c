#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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
    struct roster_share share;
    enum roster_answer answer = roster_batch(r, "ams1", &m, UINT32_MAX, 2, &share);
    *skip = share.skip;
    return answer;
}

static void event_at(struct roster *r, uint8_t type, uint64_t seq)
{
    struct event e = {.type = type, .seq = seq};
    if (type == EVENT_gap) {
        e.gap.from_seq = 3;
        e.gap.to_seq = 4;
        snprintf(e.gap.reason, sizeof e.gap.reason, "spool full");
    }
    assert_int_equal(roster_event(r, "ams1", &e, 3), 0);
}

static void event(struct roster *r, uint8_t type)
{
    event_at(r, type, 1);
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

/* A clock set back, a disk restored, a second sensor of that name. */
static void each_epoch_goes_on_from_its_own_mark(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_true(welcome(r, 4, 1) == 0);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 5 && gap.from_seq == 11);
    assert_int_equal(batch(r, 5, 11, 1, &skip), ROSTER_AGAIN); /* until its next hello */
    assert_int_equal(batch(r, 4, 1, 3, &skip), ROSTER_TAKE);
    assert_true(welcome(r, 5, 1) == 10);
    assert_int_equal(batch(r, 5, 11, 1, &skip), ROSTER_TAKE);
    assert_true(welcome(r, 4, 1) == 3);
    assert_true(roster_find(r, "ams1")->epoch == 4 && roster_find(r, "ams1")->last_seq == 3);
    assert_false(roster_take_gap(r, &gap)); /* both may go on */
    roster_free(r);
}

static void a_mark_lower_than_the_sensor_remembers_is_the_truth(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row row = {.name = "ams1", .epoch = 5, .last_seq = 7};
    struct gap_row gap;
    uint32_t skip;
    assert_int_equal(roster_load(r, &row), 0);
    assert_true(welcome(r, 5, 11) == 10); /* it let go of what was acknowledged up to 10 */
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 8 && gap.to_seq == 10);
    assert_int_equal(batch(r, 5, 11, 1, &skip), ROSTER_TAKE);
    roster_free(r);
}

static void a_spool_older_than_the_mark_hears_the_mark_and_leaves_one_gap(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {.kind = WIRE_HELLO, .epoch = 5, .first_seq = 40, .next_seq = 61};
    struct gap_row gap;
    uint64_t last;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 100, &skip);
    assert_int_equal(roster_hello(r, "ams1", &m, 2, &last), 0);
    assert_true(last == 100);
    assert_true(welcome(r, 6, 1) == 0); /* so it begins a new epoch */
    batch(r, 6, 1, 1, &skip);
    event_at(r, EVENT_sensor_started, 1);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 5 && gap.from_seq == 101);
    assert_true(gap.to_seq == 0);
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void a_restored_spool_that_had_ended_leaves_no_gap(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 100, &skip);
    event_at(r, EVENT_sensor_stopped, 100);
    assert_true(welcome(r, 5, 40) == 100);
    welcome(r, 6, 1);
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

/* An epoch that ended must not be said to have lost its rest because another one did. */
static void only_epochs_without_a_goodbye_leave_a_gap(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 3, 1);
    batch(r, 3, 1, 10, &skip);
    event_at(r, EVENT_sensor_stopped, 10);
    welcome(r, 5, 1);
    batch(r, 5, 1, 20, &skip);
    assert_true(welcome(r, 3, 1) == 10); /* an old disk */
    welcome(r, 7, 1);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 5 && gap.from_seq == 21);
    assert_false(roster_take_gap(r, &gap));
    welcome(r, 9, 1);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 7); /* of 5 it was said */
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void drain(struct roster *r)
{
    struct sensor_row sensor;
    struct epoch_row epoch;
    struct gap_row gap;
    while (roster_take_sensor(r, &sensor) || roster_take_epoch(r, &epoch) ||
           roster_take_gap(r, &gap)) {
    }
}

static void of_too_many_epochs_the_one_heard_of_longest_ago_is_forgotten(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct epoch_row row;
    uint32_t skip;
    for (uint64_t epoch = 1; epoch <= EPOCHS_MAX; epoch++) {
        welcome(r, epoch, 1);
        batch(r, epoch, 1, (uint32_t)epoch, &skip);
    }
    drain(r);
    assert_true(welcome(r, 1, 1) == 1); /* so 2 is the oldest */
    drain(r);
    welcome(r, 1000, 1);
    assert_true(roster_take_epoch(r, &row) && row.is_forgotten && row.epoch == 2);
    assert_string_equal(row.sensor, "ams1");
    drain(r);
    assert_true(welcome(r, 1, 1) == 1);
    assert_true(welcome(r, EPOCHS_MAX, 1) == EPOCHS_MAX);
    assert_true(welcome(r, 2, 1) == 0);
    roster_free(r);
}

static void loaded_epochs_go_on_and_the_latest_hello_counts(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row sensor = {.name = "ams1", .epoch = 5, .last_seq = 7};
    struct epoch_row epochs[] = {
        {.sensor = "ams1", .epoch = 5, .last_seq = 7, .last_seen = 1, .is_open = true},
        {.sensor = "ams1", .epoch = 9, .last_seq = 3, .last_seen = 2},
        {.sensor = "nobody", .epoch = 1, .last_seq = 1}};
    struct epoch_row row;
    uint32_t skip;
    assert_int_equal(roster_load(r, &sensor), 0);
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++)
        assert_int_equal(roster_load_epoch(r, &epochs[i]), 0);
    assert_null(roster_find(r, "nobody"));
    assert_int_equal(batch(r, 5, 8, 1, &skip), ROSTER_TAKE);
    assert_true(roster_take_epoch(r, &row) && row.epoch == 5);
    assert_true(row.last_seq == 8 && row.is_open && !row.is_forgotten);
    assert_false(roster_take_epoch(r, &row));
    assert_true(welcome(r, 9, 1) == 3);
    roster_free(r);
}

/* A collector of before the epochs went on while the schema was brought to them: it knows the
 * sensor's row alone. */
static void of_two_marks_that_differ_the_further_one_holds(void **state)
{
    (void)state;
    struct sensor_row sensor = {.name = "ams1", .epoch = 5, .last_seq = 9, .state = SENSOR_UP};
    struct epoch_row epoch = {.sensor = "ams1", .epoch = 5, .last_seq = 7, .first_seen = 3}, row;
    struct roster *r = roster();
    struct gap_row gap;
    uint32_t skip;
    assert_int_equal(roster_load(r, &sensor), 0);
    assert_int_equal(roster_load_epoch(r, &epoch), 0);
    assert_true(roster_take_epoch(r, &row) && row.epoch == 5); /* so that both say the same */
    assert_true(row.last_seq == 9 && row.is_open && row.first_seen == 3);
    assert_int_equal(batch(r, 5, 8, 2, &skip), ROSTER_REPEAT);
    assert_true(welcome(r, 5, 10) == 9);
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void what_changed_is_taken_once_with_its_epoch(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row sensor;
    struct epoch_row epoch;
    uint32_t skip;
    welcome(r, 5, 1);
    drain(r);
    batch(r, 5, 1, 4, &skip);
    batch(r, 5, 5, 4, &skip);
    assert_true(roster_take_sensor(r, &sensor) && sensor.last_seq == 8);
    assert_false(roster_take_sensor(r, &sensor));
    assert_true(roster_take_epoch(r, &epoch) && epoch.epoch == 5 && epoch.last_seq == 8);
    assert_true(epoch.first_seen == 1 && epoch.last_seen == 2 && epoch.is_open);
    assert_false(roster_take_epoch(r, &epoch));
    event_at(r, EVENT_sensor_stopped, 8);
    assert_true(roster_take_epoch(r, &epoch) && !epoch.is_open);
    roster_free(r);
}

static void a_new_spool_without_goodbye_is_a_gap_of_unknown_end(void **state)
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
    assert_non_null(strstr(gap.reason, "without a goodbye"));
    assert_string_equal(gap.sensor, "ams1");
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void a_new_spool_after_goodbye_is_no_gap(void **state)
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

/* An epoch outlives the sensor's process: its numbers go on. */
static void a_restart_in_the_middle_of_an_epoch_is_a_gap_unless_it_said_goodbye(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    event_at(r, EVENT_sensor_started, 1);
    assert_false(roster_take_gap(r, &gap));
    event_at(r, EVENT_test_started, 2);
    event_at(r, EVENT_sensor_stopped, 3);
    event_at(r, EVENT_sensor_started, 4);
    assert_false(roster_take_gap(r, &gap));
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_UP);
    event_at(r, EVENT_tally, 5);
    event_at(r, EVENT_sensor_started, 6);
    assert_true(roster_take_gap(r, &gap) && gap.epoch == 5 && gap.from_seq == 6);
    assert_true(gap.to_seq == 0);
    assert_non_null(strstr(gap.reason, "restarted without its goodbye"));
    event_at(r, EVENT_sensor_started, 7); /* killed at once */
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 7);
    roster_free(r);
}

static void a_goodbye_is_remembered_over_a_restart_of_the_collector(void **state)
{
    (void)state;
    for (unsigned said = 0; said < 2; said++) {
        struct roster *r = roster();
        struct gap_row gap;
        uint32_t skip;
        struct sensor_row sensor = {
            .name = "ams1", .epoch = 5, .last_seq = 7, .state = said ? SENSOR_STOPPED : SENSOR_UP};
        struct epoch_row epoch = {.sensor = "ams1", .epoch = 5, .last_seq = 7, .is_open = !said};
        assert_int_equal(roster_load(r, &sensor), 0);
        assert_int_equal(roster_load_epoch(r, &epoch), 0);
        assert_true(welcome(r, 5, 8) == 7);
        batch(r, 5, 8, 1, &skip);
        event_at(r, EVENT_sensor_started, 8);
        assert_true(roster_take_gap(r, &gap) == !said);
        roster_free(r);
    }
}

static void the_place_is_what_hello_said(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct event e = {.type = EVENT_sensor_started, .seq = 1};
    snprintf(e.sensor_started.pop, sizeof e.sensor_started.pop, "FRA");
    snprintf(e.sensor_started.version, sizeof e.sensor_started.version, "9");
    welcome(r, 5, 1);
    assert_int_equal(roster_event(r, "ams1", &e, 1), 0);
    assert_string_equal(roster_find(r, "ams1")->pop, "AMS");
    assert_string_equal(roster_find(r, "ams1")->version, "9");
    roster_free(r);
}

static void the_sensor_says_why_it_no_longer_holds_them(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {.kind = WIRE_HELLO, .epoch = 5, .first_seq = 4};
    struct gap_row gap;
    uint64_t last;
    snprintf(m.reason, sizeof m.reason, "the spool\nwas \x1b[1mfull");
    assert_int_equal(roster_hello(r, "ams1", &m, 1, &last), 0);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 1 && gap.to_seq == 3);
    assert_string_equal(gap.reason, "the spool was  [1mfull");
    memset(m.reason, 'x', sizeof m.reason - 1); /* the longest that the wire lets through */
    m.first_seq = 9;
    assert_int_equal(roster_hello(r, "ams1", &m, 1, &last), 0);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 4 && gap.to_seq == 8);
    assert_string_equal(gap.reason, m.reason);
    m.reason[0] = '\0';
    m.first_seq = 10;
    assert_int_equal(roster_hello(r, "ams1", &m, 1, &last), 0);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 9);
    assert_string_equal(gap.reason, "the sensor no longer holds these events");
    roster_free(r);
}

static void a_gap_of_which_the_sensor_does_not_know_the_end_has_none(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct event e = {.type = EVENT_gap, .seq = 1};
    struct gap_row gap;
    e.gap.from_seq = 7;
    welcome(r, 5, 1);
    assert_int_equal(roster_event(r, "ams1", &e, 1), 0);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 7 && gap.to_seq == 0);
    roster_free(r);
}

static void no_more_is_taken_of_a_batch_than_there_is_room_for(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {.kind = WIRE_BATCH, .epoch = 5, .first_seq = 1, .count = 10};
    struct roster_share share;
    welcome(r, 5, 1);
    assert_int_equal(roster_batch(r, "ams1", &m, 4, 1, &share), ROSTER_TAKE);
    assert_true(share.skip == 0 && share.count == 4);
    assert_true(roster_find(r, "ams1")->last_seq == 4);
    assert_int_equal(roster_batch(r, "ams1", &m, 4, 1, &share), ROSTER_TAKE);
    assert_true(share.skip == 4 && share.count == 4);
    assert_int_equal(roster_batch(r, "ams1", &m, 4, 1, &share), ROSTER_TAKE);
    assert_true(share.skip == 8 && share.count == 2);
    assert_int_equal(roster_batch(r, "ams1", &m, 4, 1, &share), ROSTER_REPEAT);
    roster_free(r);
}

/* After a start, an outage of the database, a clock that jumped. */
static void silence_counts_from_when_the_collector_began_to_listen(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct sensor_row row = {.name = "ams1", .epoch = 5, .last_seen = 1, .state = SENSOR_UP};
    assert_int_equal(roster_load(r, &row), 0);
    roster_listens(r, 1000000);
    roster_tick(r, 1000000 + SILENT);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_UP);
    roster_tick(r, 1000001 + SILENT);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_SILENT);
    roster_listens(r, 5); /* the clock was set back: silence is found all the same */
    welcome(r, 5, 1);
    roster_tick(r, 2 + SILENT);
    assert_int_equal(roster_find(r, "ams1")->state, SENSOR_SILENT);
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

static void a_batch_that_says_what_is_missing_before_it_is_taken_and_the_gap_is_exact(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {
        .kind = WIRE_BATCH, .epoch = 5, .first_seq = 21, .after = 11, .count = 4, .reason = "full"};
    struct roster_share share;
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_int_equal(roster_ask(r, "ams1", &m), ROSTER_AGAIN); /* 11 is not here yet */
    assert_int_equal(roster_batch(r, "ams1", &m, 2, 1, &share), ROSTER_AGAIN);
    assert_false(roster_take_gap(r, &gap));
    m.after = 10;
    assert_int_equal(roster_ask(r, "ams1", &m), ROSTER_TAKE);
    assert_int_equal(roster_batch(r, "ams1", &m, 2, 1, &share), ROSTER_TAKE);
    assert_true(share.skip == 0 && share.count == 2);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 11 && gap.to_seq == 20);
    assert_string_equal(gap.reason, "full");
    assert_int_equal(roster_batch(r, "ams1", &m, 9, 1, &share), ROSTER_TAKE);
    assert_true(share.skip == 2 && share.count == 2);
    assert_int_equal(roster_batch(r, "ams1", &m, 9, 1, &share), ROSTER_REPEAT);
    assert_true(roster_find(r, "ams1")->last_seq == 24);
    assert_false(roster_take_gap(r, &gap));
    roster_free(r);
}

static void a_gap_is_never_longer_than_what_is_missing_here(void **state)
{
    (void)state;
    struct roster *r = roster();
    struct wire_message m = {
        .kind = WIRE_BATCH, .epoch = 5, .first_seq = 21, .after = 5, .count = 4};
    struct roster_share share;
    struct gap_row gap;
    uint32_t skip;
    welcome(r, 5, 1);
    batch(r, 5, 1, 10, &skip);
    assert_int_equal(roster_batch(r, "ams1", &m, 9, 1, &share), ROSTER_TAKE);
    assert_true(roster_take_gap(r, &gap) && gap.from_seq == 11 && gap.to_seq == 20);
    assert_string_equal(gap.reason, "the sensor no longer holds these events");
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
    struct wire_message m = {
        .kind = WIRE_BATCH, .epoch = 6, .first_seq = 9, .after = 2, .count = 1};
    struct roster_share share;
    assert_int_equal(roster_batch(r, "ams1", &m, 1, 1, &share), ROSTER_TAKE);
    assert_true(lost(r)); /* gave up what was before this batch */
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
        cmocka_unit_test(each_epoch_goes_on_from_its_own_mark),
        cmocka_unit_test(a_mark_lower_than_the_sensor_remembers_is_the_truth),
        cmocka_unit_test(a_spool_older_than_the_mark_hears_the_mark_and_leaves_one_gap),
        cmocka_unit_test(a_restored_spool_that_had_ended_leaves_no_gap),
        cmocka_unit_test(only_epochs_without_a_goodbye_leave_a_gap),
        cmocka_unit_test(of_too_many_epochs_the_one_heard_of_longest_ago_is_forgotten),
        cmocka_unit_test(loaded_epochs_go_on_and_the_latest_hello_counts),
        cmocka_unit_test(of_two_marks_that_differ_the_further_one_holds),
        cmocka_unit_test(what_changed_is_taken_once_with_its_epoch),
        cmocka_unit_test(a_restart_in_the_middle_of_an_epoch_is_a_gap_unless_it_said_goodbye),
        cmocka_unit_test(a_goodbye_is_remembered_over_a_restart_of_the_collector),
        cmocka_unit_test(the_place_is_what_hello_said),
        cmocka_unit_test(the_sensor_says_why_it_no_longer_holds_them),
        cmocka_unit_test(a_gap_of_which_the_sensor_does_not_know_the_end_has_none),
        cmocka_unit_test(no_more_is_taken_of_a_batch_than_there_is_room_for),
        cmocka_unit_test(silence_counts_from_when_the_collector_began_to_listen),
        cmocka_unit_test(a_new_spool_without_goodbye_is_a_gap_of_unknown_end),
        cmocka_unit_test(a_new_spool_after_goodbye_is_no_gap),
        cmocka_unit_test(what_a_sensor_no_longer_holds_is_a_gap_with_both_ends),
        cmocka_unit_test(a_batch_that_says_what_is_missing_before_it_is_taken_and_the_gap_is_exact),
        cmocka_unit_test(a_gap_is_never_longer_than_what_is_missing_here),
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

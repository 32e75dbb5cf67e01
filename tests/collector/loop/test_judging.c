/* A start, or a source that changed, with many rows: they are judged a slice a turn, and nothing is
 * told by half a judgement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/collector/loop/one_sensor.h"

#define SECOND ((int64_t)NS_PER_S)

enum { ROWS = 40, SLICE = 10 };

static const char *name(unsigned i)
{
    static char text[PREFIX_TEXT];
    snprintf(text, sizeof text, "10.%u.0.0/24", i);
    return text;
}

static void see_all(uint64_t bytes)
{
    for (unsigned i = 0; i < ROWS; i++)
        seen_bytes(name(i), bytes);
}

static int setup_many(void **state)
{
    int err = setup(state);
    doors_judge_slice = SLICE;
    return err;
}

/* The operator expects all of it at that place. */
static void expect_all_at(const char *pop)
{
    struct expect_row *said = &db.said[db.said_count++];
    *said = (struct expect_row){.prefix = prefix("10.0.0.0/8")};
    snprintf(said->place.pop, sizeof said->place.pop, "%s", pop);
}

static unsigned rows_that_say(enum expected expected)
{
    unsigned count = 0;
    for (size_t i = 0; i < db.row_count; i++)
        count += db.rows[i].expected == expected;
    return count;
}

static void turn(void)
{
    loop_turn(&loop, 0);
    assert_true(atomic_load(&loop.is_loaded));
}

static void second(void)
{
    now += SECOND;
    turn();
}

static void a_start_judges_a_slice_of_the_rows_in_each_turn(void **state)
{
    (void)state;
    see_all(100);
    loop_clear(&loop);
    expect_all_at("FRA"); /* while nobody looked */
    start_loop();
    for (unsigned turns = 1; turns <= ROWS / SLICE; turns++) {
        turn();
        assert_int_equal(rows_that_say(EXPECTED_NO), turns * SLICE);
    }
    assert_false(loop.fold.is_judging);
}

static void so_does_a_source_that_changed(void **state)
{
    (void)state;
    see_all(100);
    loop.fold.judge_slice = SLICE;
    expect_all_at("FRA");
    loop.heard = HEARD_EXPECTATION;
    for (unsigned turns = 1; turns <= ROWS / SLICE; turns++) {
        turn();
        assert_int_equal(rows_that_say(EXPECTED_NO), turns * SLICE);
    }
}

static void sources_that_change_in_every_turn_do_not_keep_it_from_the_last_row(void **state)
{
    (void)state;
    see_all(100);
    loop.fold.judge_slice = SLICE;
    expect_all_at("FRA");
    for (unsigned turns = 1; turns <= ROWS / SLICE; turns++) {
        loop.heard = HEARD_EXPECTATION;
        turn();
    }
    assert_int_equal(rows_that_say(EXPECTED_NO), ROWS);
    for (unsigned turns = 1; turns < 2 * ROWS / SLICE; turns++)
        turn();
    assert_false(loop.fold.is_judging); /* and it ends */
}

static void a_row_that_is_seen_before_its_turn_is_judged_with_it(void **state)
{
    (void)state;
    expect_all_at("FRA");
    loop.heard = HEARD_EXPECTATION;
    see_all(100);
    assert_int_equal(rows_that_say(EXPECTED_NO), ROWS);
    loop.fold.judge_slice = SLICE;
    snprintf(db.said[0].place.pop, sizeof db.said[0].place.pop, "AMS");
    loop.heard = HEARD_EXPECTATION;
    tested(name(ROWS - 1), VERDICT_GENUINE); /* in the turn that hears it */
    assert_row(name(ROWS - 1), EXPECTED_YES, "policy");
    assert_row(name(ROWS - 2), EXPECTED_NO, "policy");
    assert_int_equal(db.alert_count, 0);
}

/* An alert is pending; its reason goes while no collector runs; its hold-down is over when one
 * does. */
static void what_is_pending_does_not_fire_by_what_was_expected_before_the_start(void **state)
{
    (void)state;
    expect_all_at("FRA");
    loop.heard = HEARD_EXPECTATION;
    see_all(100);
    tested(name(ROWS - 1), VERDICT_GENUINE);
    assert_int_equal(db.alert_count, 1);
    assert_int_equal(db.alerts[0].state, ALERT_PENDING);
    loop_clear(&loop);
    snprintf(db.said[0].place.pop, sizeof db.said[0].place.pop, "AMS");
    now += 10 * SECOND;
    start_loop();
    for (unsigned turns = 0; turns < 2 * ROWS / SLICE; turns++) {
        second();
        assert_int_not_equal(db.alerts[0].state, ALERT_FIRING);
    }
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
    assert_int_equal(db.alert_count, 1);
}

static void nor_by_what_was_expected_before_a_source_changed(void **state)
{
    (void)state;
    expect_all_at("FRA");
    loop.heard = HEARD_EXPECTATION;
    see_all(100);
    tested(name(ROWS - 1), VERDICT_GENUINE);
    loop.fold.judge_slice = SLICE;
    snprintf(db.said[0].place.pop, sizeof db.said[0].place.pop, "AMS");
    loop.heard = HEARD_EXPECTATION;
    now += 10 * SECOND;
    turn();
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
    assert_row(name(ROWS - 2), EXPECTED_NO, "policy"); /* whose turn has not come */
}

/* Its threshold: all rows are enough, and a slice is too little to hold on to it. */
static void the_rule_of_spoofing(void)
{
    struct alert_conf conf = loop.conf.alert;
    conf.half_life_ns = 3600 * NS_PER_S;
    conf.rules.spoofing_rate = 6000;
    conf.rules.spoofing_prefixes = 1;
    loop_alerts_changed(&loop, &conf, 0);
}

static void a_link_is_summed_only_when_all_of_its_rows_were_looked_at(void **state)
{
    (void)state;
    the_rule_of_spoofing();
    see_all(1000000);
    for (unsigned i = 0; i < ROWS; i++)
        tested(name(i), VERDICT_SPOOFED);
    for (unsigned i = 0; i < 10; i++)
        second();
    assert_int_equal(db.alert_count, 1);
    assert_string_equal(db.alerts[0].kind, "spoofing_source");
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    loop_clear(&loop);
    start_loop();
    the_rule_of_spoofing();
    for (unsigned turns = 0; turns < 3 * ROWS / SLICE; turns++) {
        second();
        assert_int_equal(db.alert_count, 1);
        assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    }
}

static void what_is_learned_is_asked_of_the_sources_and_not_of_the_row(void **state)
{
    (void)state;
    policy.learn_after_ns = SECOND;
    loop.fold.judge_slice = SLICE;
    see_all(100);
    tested(name(ROWS - 1), VERDICT_GENUINE);
    now += 2 * SECOND;
    expect_all_at("FRA");
    loop.heard = HEARD_EXPECTATION;
    seen(name(ROWS - 1)); /* long enough; the row says still that nobody spoke of it */
    for (unsigned turns = 0; turns < 2 * ROWS / SLICE; turns++)
        second();
    assert_int_equal(db.said_count, 1);
    assert_row(name(ROWS - 1), EXPECTED_NO, "policy");
}

static bool is_refused(const char *sensor, const struct event *e)
{
    (void)sensor;
    return e->seq == ROWS + 1;
}

/* So that what fails there says something about the event. */
static void an_event_that_is_tried_alone_is_alone(void **state)
{
    unsigned trials = 0;
    (void)state;
    see_all(100);
    loop_clear(&loop);
    expect_all_at("FRA");
    start_loop();
    db_refuses = is_refused;
    for (unsigned turns = 0; turns < 20; turns++) {
        uint32_t before = loop.fold.judge_cursor;
        bool was_judging = loop.fold.is_judging;
        if (atomic_load(&loop.is_loaded) && !loop.held.is_there && db.malformed_count == 0) {
            say_hello();
            seq = ROWS;
            seen(name(ROWS));
        } else {
            loop_turn(&loop, 0);
        }
        if (loop.doubt == NULL || !was_judging || !atomic_load(&loop.is_loaded))
            continue;
        trials++;
        assert_int_equal(loop.fold.judge_cursor, before);
    }
    assert_true(trials > 0);
    assert_int_equal(db.malformed_count, 1);
    assert_int_equal(rows_that_say(EXPECTED_NO), ROWS);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, setup_many, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_start_judges_a_slice_of_the_rows_in_each_turn),
        PROMISE(so_does_a_source_that_changed),
        PROMISE(sources_that_change_in_every_turn_do_not_keep_it_from_the_last_row),
        PROMISE(a_row_that_is_seen_before_its_turn_is_judged_with_it),
        PROMISE(what_is_pending_does_not_fire_by_what_was_expected_before_the_start),
        PROMISE(nor_by_what_was_expected_before_a_source_changed),
        PROMISE(a_link_is_summed_only_when_all_of_its_rows_were_looked_at),
        PROMISE(what_is_learned_is_asked_of_the_sources_and_not_of_the_row),
        PROMISE(an_event_that_is_tried_alone_is_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

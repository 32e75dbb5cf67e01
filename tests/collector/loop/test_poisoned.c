/* The loop, the store and a real PostgreSQL in which an operator added a rule that some events
 * break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/loop/loop.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/collector/loop/sim_sensor.h"
#include "tests/support/pg_store.h"

#define T0 INT64_C(1795251600000000000) /* 2026-11-21 09:00 UTC */

enum { SENSORS = 2, EVENTS = 5000, BAD = 3210, BAD_BYTES = 987654321 };

static uint64_t bad; /* its number, of the first sensor's */

static struct counters counters;
static struct expect policy;
static struct loop loop;
static struct sim sims[SENSORS];
static uint64_t epoch = 1;

static int64_t now = T0;

static int64_t test_wall(void)
{
    return now += 1000;
}

static uint64_t test_mono(void)
{
    return (uint64_t)now;
}

static void assert_answer(const char *text, const char *expected)
{
    assert_string_equal(answer(text), expected);
}

/* One event in all has bytes that no other has; a Penny test's end takes the way of single rows. */
static struct event make(const struct sim *sim, uint64_t seq)
{
    bool is_bad = sim == &sims[0] && seq == bad;
    struct event e = {.at = T0, .type = seq % 100 == 10 ? EVENT_test_ended : EVENT_tally};
    struct prefix *prefix = e.type == EVENT_tally ? &e.tally.prefix : &e.test_ended.prefix;
    assert_int_equal(prefix_parse(seq % 2 ? "192.0.2.0/24" : "2001:db8::/48", prefix), 0);
    if (e.type == EVENT_tally) {
        e.tally.started_at = T0 - (int64_t)NS_PER_S;
        e.tally.ended_at = T0;
        e.tally.packets = 1;
        e.tally.bytes = is_bad ? BAD_BYTES : 1 + seq % 13;
        return e;
    }
    memcpy(e.test_ended.test_id, &seq, sizeof seq);
    e.test_ended.started_at = e.test_ended.ended_at = T0;
    e.test_ended.verdict = VERDICT_INCONCLUSIVE;
    e.test_ended.drops = is_bad ? BAD_BYTES : 1;
    return e;
}

static void hear(const char *sensor, const struct wire_message *m)
{
    for (int i = 0; i < SENSORS; i++)
        if (strcmp(sims[i].name, sensor) == 0)
            sim_hear(&sims[i], m);
}

static int setup(void **state)
{
    (void)state;
    struct fold_conf conf = {
        .roster = {.silent_after_ns = 60 * NS_PER_S},
        .ingress = {.half_life_ns = 3600 * NS_PER_S, .max_rows = 1000, .seed = 1},
        .evidence = {.half_life_ns = 86400 * NS_PER_S},
        .alert = {.resolve_after_ns = 600 * NS_PER_S, .max_alerts = 32, .seed = 1}};
    sql("TRUNCATE penstock.sensor, penstock.sensor_epoch, penstock.sensor_gap_entry,"
        " penstock.ingress_tally, penstock.penny_test_entry, penstock.ingress_entry,"
        " penstock.malformed_event");
    net_reset();
    net_answer = hear;
    memset(&counters, 0, sizeof counters);
    epoch++;
    bad = BAD;
    for (int i = 0; i < SENSORS; i++) {
        sims[i] = (struct sim){.epoch = epoch, .events = EVENTS, .make = make};
        snprintf(sims[i].name, sizeof sims[i].name, "s%d", i);
        snprintf(sims[i].pop, sizeof sims[i].pop, "POP%d", i);
    }
    if (loop_init(&loop, &conf, NULL, store, &policy, &counters, test_wall, test_mono, &note) != 0)
        fail_msg("%s", note.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_clear(&loop);
    return 0;
}

static void run(void)
{
    for (unsigned turn = 0; turn < 2000; turn++) {
        bool is_done = true;
        for (unsigned i = 0; i < SENSORS; i++) {
            sim_say(&sims[i]);
            is_done = is_done && sims[i].acked == sims[i].events;
        }
        if (is_done)
            return;
        loop_turn(&loop, 0);
    }
    fail_msg("not done in 2000 turns");
}

/* Of 10,000 events one is set aside and each other is there once; the map's sums agree. */
static void assert_all_but_one(const char *sqlstate)
{
    char reason[128];
    static const char all[] =
        "WITH stored AS (SELECT sensor, event_seq FROM penstock.ingress_tally UNION ALL"
        " SELECT sensor, ('x' || substr(test_id::text, 3, 2) || substr(test_id::text, 1, 2))"
        "::bit(16)::int FROM penstock.penny_test_entry)";
    char text[1024];
    snprintf(text, sizeof text, "%s SELECT count(*) FROM stored", all);
    assert_answer(text, "9999");
    snprintf(text, sizeof text, "%s SELECT count(DISTINCT (sensor, event_seq)) FROM stored", all);
    assert_answer(text, "9999");
    snprintf(text, sizeof text,
             "%s SELECT count(*) FROM stored WHERE sensor = 's0' AND event_seq = %d", all, BAD);
    assert_answer(text, "0");
    assert_answer("SELECT string_agg(sensor || ' ' || seq, ',') FROM penstock.malformed_event",
                  "s0 3210");
    snprintf(reason, sizeof reason,
             "SELECT (reason LIKE '%%SQLSTATE %s%%')::text FROM penstock.malformed_event",
             sqlstate);
    assert_answer(reason, "true");
    assert_answer("SELECT (sum(e.bytes) = (SELECT sum(bytes) FROM penstock.ingress_tally))::text"
                  " FROM penstock.ingress_entry e",
                  "true");
    assert_answer("SELECT string_agg(last_seq::text, ',') FROM penstock.sensor_epoch", "5000,5000");
    assert_answer("SELECT count(*) FROM penstock.sensor_gap_entry", "0");
    assert_int_equal(counter_get(&counters, COUNTER_events_poisoned), 1);
    assert_int_equal(counter_get(&counters, COUNTER_events_taken), SENSORS * EVENTS - 1);
    assert_int_equal(counter_get(&counters, COUNTER_map_loads), 2); /* the start's, and one */
}

static void an_event_that_breaks_a_check_is_set_aside_and_all_others_are_stored(void **state)
{
    (void)state;
    sql("ALTER TABLE penstock.penny_test_entry ADD CONSTRAINT rule CHECK (drops <> 987654321)");
    run();
    sql("ALTER TABLE penstock.penny_test_entry DROP CONSTRAINT rule");
    assert_all_but_one("23514");
}

/* Which is heard only when the rows are flushed, of all together. */
static void an_event_at_which_a_trigger_raises_is_set_aside(void **state)
{
    (void)state;
    sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.sensor = 's0' AND NEW.event_seq = 3213 THEN RAISE 'not this one'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER rule BEFORE INSERT ON penstock.ingress_tally FOR EACH ROW"
        " EXECUTE FUNCTION refuse()");
    run();
    sql("DROP FUNCTION refuse() CASCADE");
    assert_answer("SELECT string_agg(sensor || ' ' || seq, ',') FROM penstock.malformed_event",
                  "s0 3213");
    assert_answer("SELECT (reason LIKE '%not this one (SQLSTATE P0001)%')::text"
                  " FROM penstock.malformed_event",
                  "true");
    assert_answer("SELECT (SELECT count(*) FROM penstock.ingress_tally)"
                  " + (SELECT count(*) FROM penstock.penny_test_entry)",
                  "9999");
    assert_int_equal(counter_get(&counters, COUNTER_map_loads), 2);
}

/* A rule that is asked only at the end of a transaction; it dislikes every 50th event of both. */
static void events_that_break_a_deferred_rule_are_set_aside_after_one_failure(void **state)
{
    (void)state;
    sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.event_seq % 50 = 7 THEN RAISE 'not %', NEW.event_seq; END IF;"
        " RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER rule AFTER INSERT ON penstock.ingress_tally"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()");
    sims[0].events = sims[1].events = 200;
    run();
    sql("DROP FUNCTION refuse() CASCADE");
    assert_answer("SELECT string_agg(sensor || ' ' || seq, ',' ORDER BY sensor, seq)"
                  " FROM penstock.malformed_event WHERE reason LIKE '%not ' || seq || ' (%'",
                  "s0 7,s0 57,s0 107,s0 157,s1 7,s1 57,s1 107,s1 157");
    assert_answer("SELECT (SELECT count(*) FROM penstock.ingress_tally)"
                  " + (SELECT count(*) FROM penstock.penny_test_entry)",
                  "392");
    assert_answer("SELECT (sum(e.bytes) = (SELECT sum(bytes) FROM penstock.ingress_tally))::text"
                  " FROM penstock.ingress_entry e",
                  "true");
    assert_int_equal(counter_get(&counters, COUNTER_events_poisoned), 8);
    assert_int_equal(counter_get(&counters, COUNTER_map_loads), 2);
}

/* The event is sound, but what it would make of the map is not taken. */
static void an_event_whose_map_entry_is_refused_is_set_aside(void **state)
{
    (void)state;
    sql("ALTER TABLE penstock.ingress_entry ADD CONSTRAINT rule CHECK (bytes < 987654321)");
    sims[0].events = sims[1].events = 200;
    bad = 111;
    run();
    sql("ALTER TABLE penstock.ingress_entry DROP CONSTRAINT rule");
    assert_answer("SELECT string_agg(sensor || ' ' || seq, ',') FROM penstock.malformed_event",
                  "s0 111");
    assert_answer("SELECT (SELECT count(*) FROM penstock.ingress_tally)"
                  " + (SELECT count(*) FROM penstock.penny_test_entry)",
                  "399");
}

/* A right that is missing, a table that is gone: no event's fault, whatever they say. */
static void rights_and_schema_are_no_event_s_fault(void **state)
{
    (void)state;
    sims[0].events = sims[1].events = 200;
    sql("ALTER TABLE penstock.penny_test_entry RENAME TO elsewhere");
    for (unsigned turn = 0; turn < 20; turn++) {
        for (unsigned i = 0; i < SENSORS; i++)
            sim_say(&sims[i]);
        loop_turn(&loop, 0);
        loop.has_failed = false; /* no pauses: a test has no second to spare */
    }
    assert_answer("SELECT count(*) FROM penstock.malformed_event", "0");
    sql("ALTER TABLE penstock.elsewhere RENAME TO penny_test_entry");
    run();
    assert_answer("SELECT count(*) FROM penstock.malformed_event", "0");
    assert_answer("SELECT (SELECT count(*) FROM penstock.ingress_tally)"
                  " + (SELECT count(*) FROM penstock.penny_test_entry)",
                  "400");
}

int main(void)
{
#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        PROMISE(an_event_that_breaks_a_check_is_set_aside_and_all_others_are_stored),
        PROMISE(an_event_at_which_a_trigger_raises_is_set_aside),
        PROMISE(events_that_break_a_deferred_rule_are_set_aside_after_one_failure),
        PROMISE(an_event_whose_map_entry_is_refused_is_set_aside),
        PROMISE(rights_and_schema_are_no_event_s_fault),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}

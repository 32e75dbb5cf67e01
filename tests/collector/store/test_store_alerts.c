/* Alerts in a real PostgreSQL: what a restart reads of them is what was held; words, windows and
 * the past are read back; what is old goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/store/store.h"
#include "shared/base/clock.h"
#include "tests/support/pg_store.h"

#define SECOND ((int64_t)NS_PER_S)

static struct alert *alerts;

static struct alert *alerts_new(void)
{
    const struct alert_conf conf = {.hold_down_ns = (uint64_t)(5 * SECOND),
                                    .resolve_after_ns = (uint64_t)(600 * SECOND),
                                    .max_alerts = 32,
                                    .flap_count = 2,
                                    .flap_window_ns = (uint64_t)(3600 * SECOND),
                                    .seed = 1};
    struct alert *a = NULL;
    assert_int_equal(alert_new(&conf, &a), 0);
    return a;
}

static int empty(void **state)
{
    (void)state;
    sql("TRUNCATE penstock.alert, penstock.alert_event, penstock.maintenance");
    alerts = alerts_new();
    return 0;
}

static int freed(void **state)
{
    (void)state;
    alert_free(alerts);
    return 0;
}

static struct ingress_row genuine(int64_t now)
{
    struct ingress_row r = {.pop = "FRA",
                            .at = {.router = "r \"1\"", .interface = "if0", .peer_as = 64502},
                            .state = STATE_GENUINE,
                            .has_evidence = true,
                            .genuine_probability = 0.99,
                            .genuine_fraction = 1,
                            .tests = 1,
                            .expected = EXPECTED_NO,
                            .expected_by = "policy",
                            .first_seen = now,
                            .last_seen = now};
    assert_int_equal(prefix_parse("2001:db8:1::/48", &r.prefix), 0);
    return r;
}

static struct alert_row kept;

static void put_all(void)
{
    bool announce;
    ok(store_begin(store, &note));
    while (alert_take(alerts, &kept, &announce))
        ok(store_put_alert(store, &kept, announce, &note));
    ok(store_commit(store, &note));
}

static int load(void *arg, const struct alert_row *row)
{
    (void)arg;
    kept = *row;
    return alert_load(alerts, row);
}

static void load_end(void *arg, const struct alert_row *ended)
{
    (void)arg;
    alert_load_end(alerts, ended);
}

/* The next alert_id. */
static uint64_t restart(int64_t now)
{
    uint64_t next;
    alert_free(alerts);
    alerts = alerts_new();
    ok(store_load_begin(store, &note));
    ok(store_load_ends(store, load_end, NULL, &note));
    ok(store_load_alerts(store, load, NULL, &next, &note));
    alert_next_id(alerts, next);
    alert_listens(alerts, now, false);
    return next;
}

static void take_word(void *arg, const struct alert_said *said)
{
    alert_word(alerts, said->alert_id, said->state, said->by, said->words, *(int64_t *)arg);
}

static void an_alert_is_the_same_after_a_restart(void **state)
{
    (void)state;
    int64_t now = clock_wall_ns() / 1000 * 1000;
    struct ingress_row r = genuine(now);
    assert_int_equal(alert_row_changed(alerts, &r, NULL, now), 0);
    put_all();
    struct alert_row before = kept;
    restart(now + SECOND);
    assert_int_equal(alert_counts(alerts).live, 1);
    assert_string_equal(kept.fingerprint, before.fingerprint);
    assert_string_equal(kept.summary, before.summary);
    assert_string_equal(kept.runbook, before.runbook);
    assert_true(kept.is_standing && kept.started_at == before.started_at);
    /* the row is the same: nothing new is told of it but that it fires */
    assert_int_equal(alert_row_changed(alerts, &r, NULL, now + 6 * SECOND), 0);
    put_all();
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE state = 'firing'"), 1);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert_event"), 2);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE evidence->>'rule' = kind"
                            " AND jsonb_typeof(evidence) = 'object'"),
                     1);
}

static void flaps_are_counted_over_a_restart(void **state)
{
    (void)state;
    int64_t now = clock_wall_ns() - 60 * SECOND;
    struct ingress_row r = genuine(now);
    for (int i = 0; i < 3; i++, now += SECOND) {
        r.state = STATE_GENUINE;
        assert_int_equal(alert_row_changed(alerts, &r, NULL, now), 0);
        put_all();
        restart(now);
        r.state = STATE_SPOOFED;
        assert_int_equal(alert_row_changed(alerts, &r, NULL, now + 1000), 0);
        put_all();
        restart(now);
    }
    assert_int_equal(number("SELECT count(*) FROM penstock.alert"), 3);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE resolved_at IS NULL AND NOT"
                            " is_standing AND flaps = 3"),
                     1);
}

static void a_word_is_heard_written_and_journalled_once(void **state)
{
    (void)state;
    int64_t now = clock_wall_ns();
    struct ingress_row r = genuine(now);
    assert_int_equal(alert_row_changed(alerts, &r, NULL, now), 0);
    put_all();
    sql("UPDATE penstock.alert SET state = 'acknowledged', acknowledged_by = 'ann'");
    for (int i = 0; i < 2; i++) {
        ok(store_load_words(store, take_word, &now, &note));
        put_all();
    }
    assert_int_equal(number("SELECT count(*) FROM penstock.alert_event WHERE state ="
                            " 'acknowledged' AND document->>'acknowledged_by' = 'ann'"),
                     1);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert_event"), 2);
    /* one of which the collector has not heard stands against what it writes */
    sql("UPDATE penstock.alert SET state = 'suppressed', acknowledged_by = 'bob'");
    r.tests = 2;
    assert_int_equal(alert_row_changed(alerts, &r, NULL, now + 1), 0);
    put_all();
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE state = 'suppressed'"), 1);
    ok(store_load_words(store, take_word, &now, &note));
    put_all();
    assert_int_equal(
        number("SELECT count(*) FROM penstock.alert WHERE suppressed_by = 'bob' AND words = 2"), 1);
}

struct windows {
    struct alert_window list[2];
    size_t count;
};

static int keep_window(void *arg, const struct alert_window *w)
{
    struct windows *all = arg;
    assert_true(all->count < 2);
    all->list[all->count++] = *w;
    return 0;
}

static void windows_that_are_not_over_are_read_with_all_they_name(void **state)
{
    (void)state;
    struct windows all = {.count = 0};
    const struct alert_window *w = all.list;
    sql("INSERT INTO penstock.maintenance (starts_at, ends_at, kind, pop, router, interface,"
        " peer_as, prefix, sensor, why) VALUES"
        " ('2000-01-01', '2000-01-02', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'over'),"
        " (now(), '2049-01-01', 'ingress_moved', 'FRA', 'r1', 'if0', 4294967295, '10.0.0.0/8',"
        " 'fra1', 'works'),"
        " (now() + interval '1 day', '2049-01-01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'x')");
    ok(store_load_windows(store, keep_window, &all, &note));
    assert_int_equal(all.count, 2);
    assert_string_equal(w[0].kind, "ingress_moved");
    assert_string_equal(w[0].pop, "FRA");
    assert_string_equal(w[0].router, "r1");
    assert_string_equal(w[0].interface, "if0");
    assert_string_equal(w[0].sensor, "fra1");
    assert_true(w[0].peer_as == UINT32_MAX && w[0].prefix.length == 8);
    assert_true(w[1].prefix.addr.family == 0 && w[1].pop[0] == '\0' && w[1].from > w[0].from);
}

static void what_ended_long_ago_goes_with_its_journal_and_the_rest_stays(void **state)
{
    (void)state;
    int64_t now = clock_wall_ns();
    struct ingress_row r = genuine(now);
    assert_int_equal(alert_row_changed(alerts, &r, NULL, now), 0);
    put_all();
    kept.alert_id = 77;
    kept.state = ALERT_RESOLVED;
    kept.started_at = kept.updated_at = kept.resolved_at = now - 100 * SECOND;
    ok(store_begin(store, &note));
    ok(store_put_alert(store, &kept, true, &note));
    kept.alert_id = 78;
    ok(store_put_alert(store, &kept, true, &note));
    ok(store_forget_alerts(store, now - 50 * SECOND, &note));
    ok(store_commit(store, &note));
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE resolved_at IS NULL"), 1);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert WHERE alert_id = 77"), 0);
    assert_int_equal(number("SELECT count(*) FROM penstock.alert_event"), 1);
    /* but the newest one, for no number is given a second time, however long nothing happened */
    assert_int_equal(restart(now), 79);
}

#define on(test) cmocka_unit_test_setup_teardown(test, empty, freed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on(an_alert_is_the_same_after_a_restart),
        on(flaps_are_counted_over_a_restart),
        on(a_word_is_heard_written_and_journalled_once),
        on(windows_that_are_not_over_are_read_with_all_they_name),
        on(what_ended_long_ago_goes_with_its_journal_and_the_rest_stays),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}

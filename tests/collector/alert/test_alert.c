#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/alert/alert.h"

#define HOLD    100
#define RESOLVE 1000

/* As alert_row_changed, with the places that are expected. */
static int changed(struct alert *a, const struct ingress_row *row, const char *expected,
                   int64_t now)
{
    struct alert_answer answer = {.expected_json = expected};
    return alert_row_changed(a, row, &answer, now);
}

static struct alert *alerts_max(unsigned max)
{
    struct alert_conf conf = {
        .hold_down_ns = HOLD, .resolve_after_ns = RESOLVE, .max_alerts = max, .seed = 3};
    struct alert *a = NULL;
    assert_int_equal(alert_new(&conf, &a), 0);
    alert_next_id(a, 40);
    return a;
}

static struct alert *alerts(void)
{
    return alerts_max(8);
}

static struct ingress_row row(enum ingress_state state, enum expected expected)
{
    struct ingress_row r = {.state = state,
                            .has_evidence = true,
                            .genuine_probability = 0.99,
                            .tests = 1,
                            .expected = expected,
                            .pop = "FRA",
                            .at = {.router = "r1", .interface = "if0"},
                            .last_seen = 10};
    assert_int_equal(prefix_parse("203.0.113.0/24", &r.prefix), 0);
    return r;
}

static struct alert_row taken(struct alert *a, bool want_announce)
{
    struct alert_row out;
    bool announce;
    assert_true(alert_take(a, &out, &announce));
    assert_int_equal(announce, want_announce);
    return out;
}

static void assert_nothing(struct alert *a)
{
    struct alert_row out;
    bool announce;
    assert_false(alert_take(a, &out, &announce));
}

static void genuine_traffic_where_it_is_not_expected_fires_after_the_hold_down(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    assert_int_equal(changed(a, &r, "[{\"pop\":\"AMS\"}]", 10), 0);
    struct alert_row alert = taken(a, true);
    assert_int_equal(alert.state, ALERT_PENDING);
    assert_string_equal(alert.kind, "ingress_unexpected");
    assert_string_equal(alert.severity, "critical");
    assert_string_equal(alert.expected, "[{\"pop\":\"AMS\"}]");
    assert_true(alert.confidence == 0.99 && alert.alert_id == 40 && alert.started_at == 10);
    alert_tick(a, 10 + HOLD - 1);
    assert_nothing(a);
    alert_tick(a, 10 + HOLD);
    assert_int_equal(taken(a, true).state, ALERT_FIRING);
    alert_tick(a, 10 + 2 * HOLD);
    assert_nothing(a);
    alert_free(a);
}

static void mixed_traffic_is_a_warning(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_MIXED, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    assert_string_equal(taken(a, true).severity, "warning");
    alert_free(a);
}

static void what_is_not_proven_or_not_unexpected_raises_nothing(void **state)
{
    (void)state;
    struct alert *a = alerts();
    const enum ingress_state quiet[] = {STATE_UNVERIFIED, STATE_TESTING, STATE_SPOOFED,
                                        STATE_INCONCLUSIVE, STATE_UNVERIFIABLE};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) {
        struct ingress_row r = row(quiet[i], EXPECTED_NO);
        changed(a, &r, NULL, 10);
    }
    struct ingress_row yes = row(STATE_GENUINE, EXPECTED_YES);
    struct ingress_row unknown = row(STATE_GENUINE, EXPECTED_UNKNOWN);
    changed(a, &yes, NULL, 10);
    changed(a, &unknown, NULL, 10);
    alert_tick(a, 500);
    assert_nothing(a);
    alert_free(a);
}

static void an_alert_ends_when_its_condition_is_gone(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    alert_tick(a, 10 + HOLD);
    taken(a, true);
    r.state = STATE_SPOOFED;
    changed(a, &r, NULL, 300);
    struct alert_row alert = taken(a, true);
    assert_int_equal(alert.state, ALERT_RESOLVED);
    assert_true(alert.resolved_at == 300);
    alert_free(a);
}

static void an_alert_ends_when_nothing_was_seen_for_long(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    alert_tick(a, 500);
    taken(a, true);
    r.last_seen = 600;
    changed(a, &r, NULL, 600);
    assert_nothing(a); /* seen again: nothing new to say */
    alert_tick(a, 600 + RESOLVE);
    assert_nothing(a);
    alert_tick(a, 601 + RESOLVE);
    assert_int_equal(taken(a, true).state, ALERT_RESOLVED);
    changed(a, &r, NULL, 700 + RESOLVE); /* looked at, but still nothing is seen there */
    assert_nothing(a);
    alert_free(a);
}

static void a_matter_that_comes_back_is_a_new_alert_of_the_same_fingerprint(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO), clean = row(STATE_SPOOFED, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    struct alert_row first = taken(a, true);
    changed(a, &clean, NULL, 20);
    changed(a, &r, NULL, 30); /* before the end was taken */
    assert_int_equal(taken(a, true).state, ALERT_RESOLVED);
    struct alert_row second = taken(a, true);
    assert_int_equal(second.state, ALERT_PENDING);
    assert_true(second.alert_id == first.alert_id + 1 && second.started_at == 30);
    assert_string_equal(first.fingerprint, second.fingerprint);
    alert_free(a);
}

static void a_retest_neither_ends_nor_drops_an_alert(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    taken(a, true);
    r.state = STATE_TESTING;
    changed(a, &r, NULL, 20);
    assert_nothing(a);
    alert_tick(a, 10 + HOLD);
    assert_int_equal(taken(a, true).state, ALERT_FIRING);
    alert_free(a);
}

static void an_acknowledged_alert_stays_so_until_its_end(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    struct alert_row known = {.alert_id = 7,
                              .kind = "ingress_unexpected",
                              .state = ALERT_ACKNOWLEDGED,
                              .prefix = r.prefix,
                              .pop = "FRA",
                              .at = r.at,
                              .is_standing = true,
                              .updated_at = 10};
    snprintf(known.acknowledged_by, sizeof known.acknowledged_by, "ann");
    alert_fingerprint("ingress_unexpected", &r.prefix, r.pop, &r.at, known.fingerprint);
    assert_int_equal(alert_load(a, &known), 0);
    changed(a, &r, NULL, 20); /* its evidence is written, its state is not new */
    struct alert_row alert = taken(a, false);
    assert_true(alert.alert_id == 7 && alert.state == ALERT_ACKNOWLEDGED);
    alert_tick(a, 20 + HOLD);
    assert_nothing(a);
    r.expected = EXPECTED_YES;
    changed(a, &r, NULL, 300);
    alert = taken(a, true);
    assert_int_equal(alert.state, ALERT_RESOLVED);
    assert_string_equal(alert.acknowledged_by, "ann");
    alert_free(a);
}

static void new_evidence_updates_an_alert_without_announcing_it(void **state)
{
    (void)state;
    struct alert *a = alerts();
    struct ingress_row r = row(STATE_MIXED, EXPECTED_NO);
    changed(a, &r, NULL, 10);
    taken(a, true);
    r.state = STATE_GENUINE;
    r.tests = 2;
    changed(a, &r, NULL, 20);
    struct alert_row alert = taken(a, false);
    assert_string_equal(alert.severity, "critical");
    assert_true(alert.updated_at == 20 && alert.started_at == 10);
    alert_free(a);
}

static void full_is_said_and_what_ends_makes_room(void **state)
{
    (void)state;
    struct alert *a = alerts_max(2);
    struct ingress_row r[3] = {row(STATE_GENUINE, EXPECTED_NO), row(STATE_GENUINE, EXPECTED_NO),
                               row(STATE_GENUINE, EXPECTED_NO)};
    r[1].at.vlan = 1;
    r[2].at.vlan = 2;
    assert_int_equal(changed(a, &r[0], NULL, 10), 0);
    assert_int_equal(changed(a, &r[1], NULL, 10), 0);
    assert_int_equal(changed(a, &r[2], NULL, 10), ERR_FULL);
    r[0].state = STATE_SPOOFED;
    changed(a, &r[0], NULL, 20);
    assert_true(taken(a, true).at.vlan == 1); /* the first ended before anybody was told of it */
    assert_int_equal(changed(a, &r[2], NULL, 30), 0);
    assert_int_equal(taken(a, true).state, ALERT_PENDING);
    alert_free(a);
}

static void the_fingerprint_is_the_same_for_ever_and_tells_matters_apart(void **state)
{
    (void)state;
    struct ingress_row r = row(STATE_GENUINE, EXPECTED_NO);
    char one[33], other[33];
    alert_fingerprint("ingress_unexpected", &r.prefix, r.pop, &r.at, one);
    /* This value stands in databases: if it changes, every alert there becomes another matter. */
    assert_string_equal(one, "d0ace44bc8827f33167843f9c17d6d4d");
    r.at.peer_as = 64501;
    alert_fingerprint("ingress_unexpected", &r.prefix, r.pop, &r.at, other);
    assert_string_not_equal(one, other);
    alert_fingerprint("ingress_moved", &r.prefix, r.pop, &r.at, one);
    assert_string_not_equal(one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(genuine_traffic_where_it_is_not_expected_fires_after_the_hold_down),
        cmocka_unit_test(mixed_traffic_is_a_warning),
        cmocka_unit_test(what_is_not_proven_or_not_unexpected_raises_nothing),
        cmocka_unit_test(an_alert_ends_when_its_condition_is_gone),
        cmocka_unit_test(an_alert_ends_when_nothing_was_seen_for_long),
        cmocka_unit_test(a_matter_that_comes_back_is_a_new_alert_of_the_same_fingerprint),
        cmocka_unit_test(a_retest_neither_ends_nor_drops_an_alert),
        cmocka_unit_test(an_acknowledged_alert_stays_so_until_its_end),
        cmocka_unit_test(new_evidence_updates_an_alert_without_announcing_it),
        cmocka_unit_test(full_is_said_and_what_ends_makes_room),
        cmocka_unit_test(the_fingerprint_is_the_same_for_ever_and_tells_matters_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

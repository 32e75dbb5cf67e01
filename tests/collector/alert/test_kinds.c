/* Each kind of alert: when it is raised, how severe it is, what it says, and how it ends. */
#include "collector/alert/document.h"
#include "tests/collector/alert/alerts_made.h"

static struct alert_row row;

/* ---- judged without memory ---- */

static const char *judged(const struct ingress_row *r, bool outside_cone, bool is_moved)
{
    struct alert_conf conf = made_conf();
    struct alert_answer answer = {.outside_cone = outside_cone, .cone_as = 64501};
    enum alert_kind kind = alert_judge(&conf.rules, r, &answer, is_moved, NULL);
    return kind == KIND_NONE ? "none" : alert_rules[kind].kind;
}

static void the_most_specific_kind_wins_on_one_entry(void **state)
{
    (void)state;
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    assert_string_equal(judged(&r, false, false), "ingress_unexpected");
    assert_string_equal(judged(&r, false, true), "ingress_moved");
    assert_string_equal(judged(&r, true, true), "policy_violation");
    r.bgp = BGP_NONE;
    assert_string_equal(judged(&r, false, true), "hijack_suspected");
    /* the operator knows that peer better than the routing table */
    assert_string_equal(judged(&r, true, false), "policy_violation");
    r.rpki = RPKI_INVALID;
    assert_string_equal(judged(&r, true, true), "hijack_suspected");
}

static void what_is_not_proven_genuine_is_no_routing_alert_of_any_kind(void **state)
{
    (void)state;
    const enum ingress_state quiet[] = {STATE_UNVERIFIED, STATE_SPOOFED, STATE_INCONCLUSIVE,
                                        STATE_UNVERIFIABLE, STATE_TESTING};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) {
        struct ingress_row r = made_row("FRA", quiet[i], EXPECTED_NO);
        r.bgp = BGP_NONE;
        r.rpki = RPKI_INVALID;
        assert_string_equal(judged(&r, true, true), "none");
    }
}

static void what_people_or_the_past_allow_is_no_hijack_and_no_violation(void **state)
{
    (void)state;
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_YES);
    r.bgp = BGP_NONE;
    r.rpki = RPKI_INVALID;
    assert_string_equal(judged(&r, true, false), "none");
    snprintf(r.expected_by, sizeof r.expected_by, "learned");
    assert_string_equal(judged(&r, true, false), "none");
    snprintf(r.expected_by, sizeof r.expected_by, "bgp"); /* the same table that may be deceived */
    assert_string_equal(judged(&r, false, false), "hijack_suspected");
}

static void a_kind_that_is_off_leaves_the_matter_to_the_next(void **state)
{
    (void)state;
    struct alert_conf conf = made_conf();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    r.bgp = BGP_NONE;
    conf.rules.kinds[KIND_HIJACK_SUSPECTED].is_off = true;
    assert_int_equal(alert_judge(&conf.rules, &r, NULL, false, NULL), KIND_INGRESS_UNEXPECTED);
}

/* ---- hijack_suspected, policy_violation ---- */

static void a_hijack_in_place_of_an_unexpected_ingress_is_one_alert_at_a_time(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    seen(a, &r, 10);
    alert_tick(a, 10 + HOLD);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1);
    assert_state(row, "firing");
    r.rpki = RPKI_INVALID;
    r.origin_as = 64666;
    seen(a, &r, 200);
    assert_int_equal(alert_counts(a).live, 1);
    struct alert_row ended = {0};
    bool announce;
    assert_true(alert_take(a, &ended, &announce) && announce);
    assert_string_equal(ended.kind, "ingress_unexpected");
    assert_state(ended, "resolved");
    alert_tick(a, 200 + HOLD);
    assert_int_equal(take_all(a, "hijack_suspected", &row), 1);
    assert_state(row, "firing");
    assert_string_equal(row.severity, "critical");
    assert_non_null(strstr(row.summary, "AS64666"));
    assert_non_null(strstr(row.evidence, "\"rpki\":\"invalid\""));
    assert_string_equal(row.runbook, "docs/alerts/hijack_suspected.md");
    alert_free(a);
}

static void no_path_with_a_valid_origin_is_a_warning_and_ends_when_it_is_allowed(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    r.bgp = BGP_NONE;
    r.rpki = RPKI_VALID;
    seen(a, &r, 10);
    take_all(a, "hijack_suspected", &row);
    assert_string_equal(row.severity, "warning");
    r.expected = EXPECTED_YES; /* learned by a person */
    snprintf(r.expected_by, sizeof r.expected_by, "policy");
    seen(a, &r, 20);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

static void a_peer_outside_its_cone_is_told_though_routing_speaks_for_it(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_MIXED, EXPECTED_NO);
    struct alert_answer answer = {.outside_cone = true, .cone_as = 64512};
    r.bgp = BGP_BEST; /* a leak has a path, and a valid origin */
    r.rpki = RPKI_VALID;
    assert_int_equal(alert_row_changed(a, &r, &answer, 10), 0);
    alert_tick(a, 10 + HOLD);
    take_all(a, "policy_violation", &row);
    assert_state(row, "firing");
    assert_string_equal(row.severity, "warning");
    assert_non_null(strstr(row.summary, "AS64512"));
    assert_non_null(strstr(row.evidence, "\"outside_cone_of\":64512"));
    answer.outside_cone = false;
    r.expected = EXPECTED_UNKNOWN;
    assert_int_equal(alert_row_changed(a, &r, &answer, 200), 0);
    take_all(a, "policy_violation", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* ---- ingress_unexpected and routing ---- */

static void routing_that_speaks_for_an_entry_suppresses_and_comes_back(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    r.bgp = BGP_ALTERNATIVE;
    r.rpki = RPKI_VALID;
    seen(a, &r, 10);
    alert_tick(a, 10 + HOLD);
    take_all(a, "ingress_unexpected", &row);
    assert_state(row, "suppressed");
    assert_string_equal(row.suppressed_by, "routing");
    r.rpki = RPKI_NOT_FOUND;
    seen(a, &r, 300);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1);
    assert_state(row, "firing");
    assert_string_equal(row.suppressed_by, "");
    alert_free(a);
}

/* ---- ingress_moved ---- */

static struct ingress_change moved(const char *from, const char *to, int64_t at)
{
    struct ingress_row f = made_row(from, STATE_GENUINE, EXPECTED_YES),
                       t = made_row(to, STATE_GENUINE, EXPECTED_YES);
    struct ingress_change c = {.at = at, .kind = CHANGE_MOVED, .prefix = f.prefix};
    c.from = (struct ingress_side){.is_there = true,
                                   .at = f.at,
                                   .share_before = 0.9,
                                   .share_after = 0.1,
                                   .has_evidence = true,
                                   .probability_before = 0.97,
                                   .probability_after = 0.96};
    c.to = (struct ingress_side){
        .is_there = true, .at = t.at, .share_before = 0.1, .share_after = 0.9};
    memcpy(c.from.pop, f.pop, sizeof c.from.pop);
    memcpy(c.to.pop, t.pop, sizeof c.to.pop);
    return c;
}

static struct alert *with_a_move(struct ingress_row *to)
{
    struct alert *a = made();
    struct ingress_change c = moved("AMS", "FRA", 10);
    *to = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    alert_moved(a, &c, 10);
    seen(a, to, 10);
    alert_tick(a, 10 + HOLD);
    take_all(a, "ingress_moved", &row);
    assert_state(row, "firing");
    return a;
}

static void a_move_is_told_with_both_sides_and_is_one_alert(void **state)
{
    (void)state;
    struct ingress_row to;
    struct alert *a = with_a_move(&to);
    assert_int_equal(alert_counts(a).live, 1);
    assert_string_equal(row.severity, "warning");
    assert_non_null(strstr(row.summary, "moved from AMS r1 if0 to FRA r1 if0"));
    assert_non_null(strstr(row.evidence, "\"from\":{\"place\":{\"pop\":\"AMS\""));
    assert_non_null(strstr(row.evidence, "\"genuine_probability_before\":0.97"));
    assert_string_equal(row.pop, "FRA");
    alert_free(a);
}

static void a_move_is_told_only_when_the_new_place_is_proven(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row to = made_row("FRA", STATE_UNVERIFIED, EXPECTED_YES);
    struct ingress_change c = moved("AMS", "FRA", 10);
    alert_moved(a, &c, 10);
    seen(a, &to, 20);
    to.state = STATE_SPOOFED;
    seen(a, &to, 30);
    assert_int_equal(alert_counts(a).live, 0);
    to.state = STATE_GENUINE;
    seen(a, &to, 40);
    assert_int_equal(take_all(a, "ingress_moved", &row), 1);
    assert_string_equal(row.severity, "info"); /* it is expected there, too */
    alert_free(a);
}

static void a_move_back_resolves_it_and_raises_nothing_at_either_place(void **state)
{
    (void)state;
    struct ingress_row to, home = made_row("AMS", STATE_GENUINE, EXPECTED_YES);
    struct alert *a = with_a_move(&to);
    struct ingress_change back = moved("FRA", "AMS", 500);
    alert_moved(a, &back, 500);
    seen(a, &to, 501); /* the last of its traffic */
    seen(a, &home, 501);
    take_all(a, "ingress_moved", &row);
    assert_state(row, "resolved");
    assert_int_equal(alert_counts(a).live, 0);
    /* it goes there again: that is told again */
    struct ingress_change again = moved("AMS", "FRA", 600);
    alert_moved(a, &again, 600);
    seen(a, &to, 600);
    assert_int_equal(take_all(a, "ingress_moved", &row), 1);
    assert_state(row, "pending");
    alert_free(a);
}

static void a_move_on_ends_the_first_and_raises_the_second(void **state)
{
    (void)state;
    struct ingress_row to, third = made_row("LON", STATE_GENUINE, EXPECTED_NO);
    struct alert *a = with_a_move(&to);
    struct ingress_change on = moved("FRA", "LON", 500);
    alert_moved(a, &on, 500);
    seen(a, &third, 500);
    struct alert_row first = {0};
    bool announce;
    assert_true(alert_take(a, &first, &announce));
    assert_state(first, "resolved");
    take_all(a, "ingress_moved", &row);
    assert_string_equal(row.pop, "LON");
    assert_state(row, "pending");
    alert_free(a);
}

static void a_move_that_stays_is_the_new_normal(void **state)
{
    (void)state;
    struct ingress_row to;
    struct alert *a = with_a_move(&to);
    for (int64_t now = 200; now <= 10 + SETTLES + 100; now += 100) {
        seen(a, &to, now);
        alert_tick(a, now);
    }
    assert_int_equal(take_all(a, "ingress_moved", &row), 1);
    assert_state(row, "resolved");
    /* the policy still does not expect it there: that is another matter */
    seen(a, &to, 4000);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1);
    alert_free(a);
}

static void a_move_survives_a_restart_with_where_it_came_from(void **state)
{
    (void)state;
    struct ingress_row to;
    struct alert *a = with_a_move(&to);
    struct alert_row stored = row;
    alert_free(a);
    a = made();
    assert_int_equal(alert_load(a, &stored), 0);
    alert_listens(a, 1000, false);
    to.tests = 2;
    seen(a, &to, 1000);
    assert_int_equal(take_all(a, "ingress_moved", &row), 0); /* no new state */
    assert_non_null(strstr(row.evidence, "\"tests\":2"));
    assert_non_null(strstr(row.evidence, "\"from\":{\"place\":{\"pop\":\"AMS\""));
    assert_string_equal(row.summary, stored.summary);
    struct ingress_change back = moved("FRA", "AMS", 1100);
    struct ingress_row home = made_row("AMS", STATE_GENUINE, EXPECTED_NO);
    home.last_seen = 1100;
    alert_moved(a, &back, 1100);
    take_all(a, "ingress_moved", &row);
    assert_state(row, "resolved");
    assert_int_equal(alert_row_changed(a, &home, NULL, 1100), 0);
    assert_int_equal(take_all(a, "ingress_moved", &row), 0); /* home is no new place */
    alert_free(a);
}

/* As PostgreSQL gives it back: members in another order, blanks, other escapes. */
static void a_place_is_found_again_in_stored_evidence(void **state)
{
    (void)state;
    char pop[32];
    struct ingress at;
    assert_true(
        document_find_place("{\"x\": 1, \"place\": {\"mac\": \"02:00:00:00:00:07\", \"pop\": "
                            "\"A\\\"M\\\\n\\u0001\\t\", \"vlan\": 7, \"peer_as\": 64501}}",
                            "place", pop, &at));
    assert_string_equal(pop, "A\"M\\n\001\t");
    assert_true(at.vlan == 7 && at.peer_as == 64501 && at.mac[0] == 2 && at.mac[5] == 7);
    assert_string_equal(at.router, "");
    assert_false(document_find_place("{\"place\": {\"router\": \"r\"}}", "place", pop, &at));
    assert_false(document_find_place(
        "{\"place\": {\"pop\": \"a name that is longer than any may be\"}}", "place", pop, &at));
    assert_false(document_find_place("", "place", pop, &at));
}

/* A prefix that was announced a minute ago is in no table of yesterday. */
static void what_the_table_cannot_know_yet_is_no_hijack_until_a_newer_one_says_so(void **state)
{
    (void)state;
    struct alert *a = made();
    struct alert_answer answer = {.rib_written_at = 1000};
    struct ingress_row r = made_row("AMS", STATE_GENUINE, EXPECTED_UNKNOWN);
    r.genuine_since = r.last_seen = 2000;
    r.bgp = BGP_NONE;
    assert_int_equal(alert_row_changed(a, &r, &answer, 2000), 0);
    alert_tick(a, 2000 + 2 * HOLD);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "pending");
    assert_non_null(strstr(row.evidence, "\"waits_for\":"));
    assert_non_null(strstr(row.evidence, "\"rib_written_at\":"));
    assert_non_null(strstr(row.summary, "; it waits for a newer routing table"));
    answer.rib_written_at = 2001; /* it still has no path */
    r.last_seen = 2000 + 2 * HOLD;
    assert_int_equal(alert_row_changed(a, &r, &answer, r.last_seen), 0);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "firing");
    assert_null(strstr(row.evidence, "\"waits_for\":"));
    assert_null(strstr(row.summary, "waits"));

    struct ingress_row other = made_row("FRA", STATE_GENUINE, EXPECTED_UNKNOWN);
    other.genuine_since = other.last_seen = 5000;
    other.bgp = BGP_NONE;
    assert_int_equal(alert_row_changed(a, &other, &answer, 5000), 0);
    other.bgp = BGP_BEST; /* the newer one has it: nobody hears of it */
    answer.rib_written_at = 5001;
    assert_int_equal(alert_row_changed(a, &other, &answer, 5050), 0);
    assert_int_equal(take_all(a, "hijack_suspected", &row), 0);
    alert_free(a);
}

/* The origin that a table shows is invalid whenever it was written; and what was no word of BGP's
 * waits for none. */
static void only_a_missing_path_waits_for_a_newer_table(void **state)
{
    (void)state;
    struct alert *a = made();
    const struct alert_answer answer = {.rib_written_at = 1000};
    struct ingress_row invalid = made_row("AMS", STATE_GENUINE, EXPECTED_UNKNOWN),
                       policy = made_row("FRA", STATE_GENUINE, EXPECTED_NO),
                       bgp = made_row("LON", STATE_GENUINE, EXPECTED_NO);
    invalid.genuine_since = policy.genuine_since = bgp.genuine_since = 2000;
    invalid.last_seen = policy.last_seen = bgp.last_seen = 2000;
    invalid.bgp = BGP_NONE;
    invalid.rpki = RPKI_INVALID;
    snprintf(bgp.expected_by, sizeof bgp.expected_by, "bgp");
    assert_int_equal(alert_row_changed(a, &invalid, &answer, 2000), 0);
    assert_int_equal(alert_row_changed(a, &policy, &answer, 2000), 0);
    alert_tick(a, 2000 + HOLD);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "firing");
    assert_int_equal(alert_row_changed(a, &bgp, &answer, 2000), 0);
    alert_tick(a, 2000 + HOLD);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1); /* BGP's; the policy's fired */
    assert_state(row, "pending");
    assert_string_equal(row.pop, "LON");
    alert_free(a);
}

/* A route is withdrawn where the traffic left: what BGP says of the last packets is no hijack. */
static void a_route_that_goes_with_its_traffic_is_no_hijack(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("AMS", STATE_GENUINE, EXPECTED_NO);
    r.genuine_since = 1;
    r.bgp = BGP_NONE; /* since 500; the proof is older */
    r.last_seen = 490;
    assert_int_equal(alert_row_changed(a, &r, NULL, 500), 0);
    alert_tick(a, 500 + 2 * HOLD);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "pending");
    seen(a, &r, 500 + HOLD); /* but when the traffic goes on, it is */
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "firing");
    alert_free(a);
}

static void what_is_pending_where_the_bulk_left_ends_with_the_move(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row left = made_row("AMS", STATE_GENUINE, EXPECTED_NO);
    struct ingress_change c = moved("AMS", "FRA", 50);
    left.bgp = BGP_NONE;
    seen(a, &left, 10);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "pending");
    alert_moved(a, &c, 50);
    seen(a, &left, 51);
    take_all(a, "hijack_suspected", &row);
    assert_state(row, "resolved");
    assert_int_equal(alert_counts(a).live, 0);
    alert_free(a);
}

/* ---- spoofing_source ---- */

static struct ingress_row spoofed(const char *prefix, double weight)
{
    struct ingress_row r = made_row("FRA", STATE_SPOOFED, EXPECTED_NO);
    r.genuine_probability = r.genuine_fraction = 0;
    r.weight = weight;
    r.weight_at = 10;
    assert_int_equal(prefix_parse(prefix, &r.prefix), 0);
    return r;
}

static void a_link_that_delivers_much_spoofed_traffic_is_told_as_a_link(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row one = spoofed("198.51.100.0/24", 600), two = spoofed("192.0.2.0/24", 1500);
    seen(a, &one, 10);
    alert_tick(a, 10);
    assert_int_equal(alert_counts(a).live, 0);
    seen(a, &two, 10);
    alert_tick(a, 11);
    alert_tick(a, 11 + HOLD);
    take_all(a, "spoofing_source", &row);
    assert_state(row, "firing");
    assert_string_equal(row.severity, "info");
    assert_true(row.prefix.addr.family == 0 && row.at.peer_as == 64501);
    assert_non_null(strstr(row.evidence, "\"largest\":[\"192.0.2.0/24\",\"198.51.100.0/24\"]"));
    two.state = STATE_GENUINE; /* a later test */
    two.expected = EXPECTED_YES;
    seen(a, &two, 200);
    alert_tick(a, 201);
    take_all(a, "spoofing_source", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

static void a_link_whose_spoofed_traffic_decays_lets_go_at_half_and_does_not_flap(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row one = spoofed("198.51.100.0/24", 1600); /* 1109 bytes/s */
    alert_listens(a, 10, false);
    seen(a, &one, 10);
    alert_tick(a, 10);
    assert_int_equal(take_all(a, "spoofing_source", &row), 1);
    one.weight = 1000; /* 693 */
    seen(a, &one, 20);
    alert_tick(a, 20);
    assert_int_equal(alert_counts(a).live, 1);
    one.weight = 700; /* 485 */
    seen(a, &one, 30);
    alert_tick(a, 30);
    take_all(a, "spoofing_source", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* ---- path_anomaly ---- */

static struct event_passive_total total(uint64_t data, uint64_t gaps)
{
    struct ingress_row r = made_row("FRA", STATE_UNVERIFIED, EXPECTED_UNKNOWN);
    return (struct event_passive_total){
        .prefix = r.prefix, .ingress = r.at, .data = data, .gaps = gaps, .ended_at = 5};
}

static void gaps_out_of_the_ordinary_are_told_at_once_and_end_with_an_ordinary_test(void **state)
{
    (void)state;
    struct alert *a = made();
    struct event_passive_total few = total(50, 40), ordinary = total(10000, 200),
                               many = total(10000, 400);
    assert_int_equal(alert_passive_total(a, "FRA", &few, 10), 0);
    assert_int_equal(alert_passive_total(a, "FRA", &ordinary, 10), 0);
    assert_int_equal(alert_counts(a).live, 0);
    assert_int_equal(alert_passive_total(a, "FRA", &many, 20), 0);
    take_all(a, "path_anomaly", &row);
    assert_state(row, "firing");
    assert_true(row.confidence > 0.99);
    assert_non_null(strstr(row.evidence, "\"gaps\":400"));
    assert_int_equal(alert_passive_total(a, "FRA", &few, 25), 0); /* says nothing */
    assert_int_equal(alert_counts(a).live, 1);
    assert_int_equal(alert_passive_total(a, "FRA", &ordinary, 30), 0);
    take_all(a, "path_anomaly", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

static void a_path_that_nobody_looks_at_any_more_ends_by_itself(void **state)
{
    (void)state;
    struct alert *a = made();
    struct event_passive_total many = total(10000, 400);
    assert_int_equal(alert_passive_total(a, "FRA", &many, 20), 0);
    alert_tick(a, 20 + PATH);
    assert_int_equal(alert_counts(a).live, 1);
    alert_tick(a, 21 + PATH);
    take_all(a, "path_anomaly", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* ---- sensors ---- */

static void a_silent_sensor_fires_after_the_hold_down_and_ends_when_it_is_back(void **state)
{
    (void)state;
    struct alert *a = made();
    struct alert_sensor s = {.name = "lon1", .pop = "LON", .is_silent = true, .last_seen = 5};
    assert_int_equal(alert_sensor(a, &s, 10), 0);
    alert_tick(a, 10 + HOLD);
    take_all(a, "sensor_silent", &row);
    assert_state(row, "firing");
    assert_string_equal(row.sensor, "lon1");
    assert_string_equal(row.pop, "LON");
    alert_tick(a, 100 * RESOLVE); /* silence does not end it: it is silence */
    assert_int_equal(alert_counts(a).live, 1);
    s.is_silent = false;
    assert_int_equal(alert_sensor(a, &s, 100 * RESOLVE + 1), 0);
    take_all(a, "sensor_silent", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* Its certificate says another point of presence now: nobody will ever be heard at the old one. */
static void a_sensor_that_is_taken_elsewhere_is_silent_at_its_old_place_no_more(void **state)
{
    (void)state;
    for (int is_silent = 0; is_silent < 2; is_silent++) {
        struct alert *a = made();
        struct alert_sensor s = {.name = "lon1", .pop = "LON", .is_silent = true};
        assert_int_equal(alert_sensor(a, &s, 10), 0);
        take_all(a, "sensor_silent", &row);
        s.pop = "FRA";
        s.is_silent = is_silent;
        assert_int_equal(alert_sensor(a, &s, 20), 0);
        assert_int_equal(alert_counts(a).live, is_silent);
        take_all(a, "sensor_silent", &row);
        assert_string_equal(row.pop, is_silent ? "FRA" : "LON");
        assert_state(row, is_silent ? "pending" : "resolved");
        alert_free(a);
    }
}

static void sensors_are_matters_of_their_own_also_with_long_names(void **state)
{
    (void)state;
    struct alert *a = made();
    struct alert_sensor one = {.name = "a-very-long-name-of-a-sensor-in-amsterdam-1",
                               .pop = "AMS",
                               .is_silent = true},
                        two = one;
    two.name = "a-very-long-name-of-a-sensor-in-amsterdam-2";
    assert_int_equal(alert_sensor(a, &one, 10), 0);
    assert_int_equal(alert_sensor(a, &two, 10), 0);
    assert_int_equal(alert_counts(a).live, 2);
    char first[33], second[33];
    alert_fingerprint_sensor("sensor_silent", "AMS", one.name, first);
    alert_fingerprint_sensor("sensor_silent", "AMS", two.name, second);
    assert_string_not_equal(first, second);
    alert_free(a);
}

static void gaps_of_a_sensor_are_one_alert_that_counts_and_ends_by_itself(void **state)
{
    (void)state;
    struct alert *a = made();
    struct alert_gap gap = {.sensor = "ams1",
                            .pop = "AMS",
                            .reason = "the spool was \"full\"",
                            .epoch = 7,
                            .from_seq = 5,
                            .to_seq = 9};
    assert_int_equal(alert_gap(a, &gap, 10), 0);
    gap.from_seq = 20;
    gap.to_seq = 0; /* nobody knows how many */
    assert_int_equal(alert_gap(a, &gap, 300), 0);
    take_all(a, "sensor_gap", &row);
    assert_state(row, "firing");
    assert_non_null(strstr(row.evidence, "\"gaps\":2"));
    assert_non_null(strstr(row.evidence, "\"events_lost\":5"));
    assert_non_null(strstr(row.evidence, "the spool was \\\"full\\\""));
    alert_tick(a, 300 + GAP);
    assert_int_equal(alert_counts(a).live, 1);
    alert_tick(a, 301 + GAP);
    take_all(a, "sensor_gap", &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* ---- what it says ---- */

static void the_tests_that_prove_it_stand_in_the_evidence_also_after_a_restart(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    struct event_test_ended t = {.prefix = r.prefix,
                                 .ingress = r.at,
                                 .verdict = VERDICT_GENUINE,
                                 .drops = 12,
                                 .retransmitted = 11};
    t.test_id[0] = 0xab;
    t.prefix.length = 16; /* a wider one speaks for it */
    t.prefix = prefix_of(&t.prefix.addr, 16);
    alert_test_ended(a, "FRA", &t, 41);
    alert_test_ended(a, "AMS", &t, 42); /* elsewhere */
    seen(a, &r, 10);
    take_all(a, "ingress_unexpected", &row);
    static const char list[] = "[{\"test_id\":\"ab000000-0000-0000-0000-000000000000\","
                               "\"verdict\":\"genuine\",\"drops\":12,\"retransmitted\":11,"
                               "\"order_id\":41}]";
    assert_non_null(strstr(row.evidence, list));
    struct alert_row stored = row;
    alert_free(a);
    a = made();
    assert_int_equal(alert_load(a, &stored), 0);
    r.tests = 2;
    seen(a, &r, 20);
    take_all(a, "ingress_unexpected", &row);
    assert_non_null(strstr(row.evidence, list));
    alert_free(a);
}

static void the_operator_s_severity_hold_down_and_pages_are_taken(void **state)
{
    (void)state;
    struct alert_conf conf = made_conf();
    snprintf(conf.runbook_base, sizeof conf.runbook_base, "https://noc.example/");
    struct alert_kind_conf *kind = &conf.rules.kinds[KIND_INGRESS_UNEXPECTED];
    snprintf(kind->severity, sizeof kind->severity, "info");
    kind->has_hold_down = true;
    kind->hold_down_ns = 1;
    struct alert *a = made_of(&conf);
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    seen(a, &r, 10);
    alert_tick(a, 11);
    take_all(a, "ingress_unexpected", &row);
    assert_state(row, "firing");
    assert_string_equal(row.severity, "info");
    assert_string_equal(row.runbook, "https://noc.example/ingress_unexpected.md");
    alert_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_kind_wins_on_one_entry),
        cmocka_unit_test(what_is_not_proven_genuine_is_no_routing_alert_of_any_kind),
        cmocka_unit_test(what_people_or_the_past_allow_is_no_hijack_and_no_violation),
        cmocka_unit_test(a_kind_that_is_off_leaves_the_matter_to_the_next),
        cmocka_unit_test(a_hijack_in_place_of_an_unexpected_ingress_is_one_alert_at_a_time),
        cmocka_unit_test(no_path_with_a_valid_origin_is_a_warning_and_ends_when_it_is_allowed),
        cmocka_unit_test(a_peer_outside_its_cone_is_told_though_routing_speaks_for_it),
        cmocka_unit_test(routing_that_speaks_for_an_entry_suppresses_and_comes_back),
        cmocka_unit_test(a_move_is_told_with_both_sides_and_is_one_alert),
        cmocka_unit_test(a_move_is_told_only_when_the_new_place_is_proven),
        cmocka_unit_test(a_move_back_resolves_it_and_raises_nothing_at_either_place),
        cmocka_unit_test(a_move_on_ends_the_first_and_raises_the_second),
        cmocka_unit_test(a_move_that_stays_is_the_new_normal),
        cmocka_unit_test(a_move_survives_a_restart_with_where_it_came_from),
        cmocka_unit_test(a_place_is_found_again_in_stored_evidence),
        cmocka_unit_test(what_the_table_cannot_know_yet_is_no_hijack_until_a_newer_one_says_so),
        cmocka_unit_test(only_a_missing_path_waits_for_a_newer_table),
        cmocka_unit_test(a_route_that_goes_with_its_traffic_is_no_hijack),
        cmocka_unit_test(what_is_pending_where_the_bulk_left_ends_with_the_move),
        cmocka_unit_test(a_link_that_delivers_much_spoofed_traffic_is_told_as_a_link),
        cmocka_unit_test(a_link_whose_spoofed_traffic_decays_lets_go_at_half_and_does_not_flap),
        cmocka_unit_test(gaps_out_of_the_ordinary_are_told_at_once_and_end_with_an_ordinary_test),
        cmocka_unit_test(a_path_that_nobody_looks_at_any_more_ends_by_itself),
        cmocka_unit_test(a_silent_sensor_fires_after_the_hold_down_and_ends_when_it_is_back),
        cmocka_unit_test(a_sensor_that_is_taken_elsewhere_is_silent_at_its_old_place_no_more),
        cmocka_unit_test(sensors_are_matters_of_their_own_also_with_long_names),
        cmocka_unit_test(gaps_of_a_sensor_are_one_alert_that_counts_and_ends_by_itself),
        cmocka_unit_test(the_tests_that_prove_it_stand_in_the_evidence_also_after_a_restart),
        cmocka_unit_test(the_operator_s_severity_hold_down_and_pages_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The life of an alert: flaps, windows, people, restarts; and a naive model over random streams. */
#include <stdlib.h>

#include "shared/base/hash.h"
#include "tests/collector/alert/alerts_made.h"

#define KIND "ingress_unexpected"

static struct alert_row row;

static struct alert *flapping(unsigned count)
{
    struct alert_conf conf = made_conf();
    conf.flap_count = count;
    conf.hold_down_ns = 0;
    return made_of(&conf);
}

static void set(struct alert *a, struct ingress_row *r, bool alarming, int64_t now)
{
    r->state = alarming ? STATE_GENUINE : STATE_SPOOFED;
    seen(a, r, now);
}

/* ---- flaps ---- */

static void a_matter_that_flaps_is_told_so_often_and_then_stays_one_alert(void **state)
{
    (void)state;
    struct alert *a = flapping(2);
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    unsigned told = 0;
    for (int64_t i = 0; i < 10; i++) {
        set(a, &r, true, 10 + 20 * i);
        told += take_all(a, KIND, &row);
        set(a, &r, false, 20 + 20 * i);
        told += take_all(a, KIND, &row);
    }
    /* two that came and went, and one that came */
    assert_int_equal(told, 5);
    assert_state(row, "firing");
    assert_false(row.is_standing);
    assert_int_equal(row.flaps, 10);
    assert_int_equal(row.alert_id, 3);
    set(a, &r, true, 300);
    take_all(a, KIND, &row);
    assert_true(row.is_standing);
    assert_non_null(strstr(row.evidence, "\"flaps\":10"));
    alert_free(a);
}

static void what_flapped_ends_when_it_stays_away(void **state)
{
    (void)state;
    struct alert *a = flapping(1);
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    for (int64_t now = 10; now < 50; now += 10)
        set(a, &r, (now / 10) % 2 == 1, now);
    take_all(a, KIND, &row);
    assert_state(row, "firing");
    for (int64_t now = 100; now <= 40 + WINDOW + 100; now += 100) {
        set(a, &r, false, now);
        alert_tick(a, now);
    }
    assert_int_equal(take_all(a, KIND, &row), 1);
    assert_state(row, "resolved");
    assert_int_equal(alert_counts(a).live, 0);
    alert_free(a);
}

static void what_a_person_allows_ends_though_it_flapped(void **state)
{
    (void)state;
    struct alert *a = flapping(1);
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    for (int64_t now = 10; now < 50; now += 10)
        set(a, &r, (now / 10) % 2 == 1, now);
    r.state = STATE_GENUINE;
    r.expected = EXPECTED_YES;
    seen(a, &r, 60);
    take_all(a, KIND, &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* One place whose routing table flaps: 0 nothing, 1 unexpected, 2 hijack, 3 outside a cone. */
static void look_like(struct alert *a, struct ingress_row *r, unsigned what, int64_t now)
{
    const struct alert_answer answer = {.outside_cone = what == 3, .cone_as = 64501};
    r->state = what == 0 ? STATE_SPOOFED : STATE_GENUINE;
    r->rpki = what == 2 ? RPKI_INVALID : RPKI_UNKNOWN;
    r->last_seen = now;
    assert_int_equal(alert_row_changed(a, r, &answer, now), 0);
}

struct places_alerts {
    struct alert_row rows[64]; /* by alert_id: as it was taken last */
    unsigned told, ends;
};

static void take_place(struct alert *a, struct places_alerts *p)
{
    struct alert_row taken;
    bool announce;
    while (alert_take(a, &taken, &announce)) {
        assert_true(taken.alert_id < 64);
        p->rows[taken.alert_id] = taken;
        p->told += announce;
        p->ends += announce && taken.state == ALERT_RESOLVED;
    }
}

/* The kind that the rows without an end say holds now; NULL: none does. At most one may. */
static const char *standing_kind(const struct places_alerts *p)
{
    const char *kind = NULL;
    for (unsigned i = 0; i < 64; i++) {
        const struct alert_row *one = &p->rows[i];
        if (one->alert_id == 0 || one->state == ALERT_RESOLVED || !one->is_standing)
            continue;
        assert_null(kind);
        kind = one->kind;
    }
    return kind;
}

static void a_place_whose_kind_of_alert_changes_all_the_time_is_told_of_a_few_times(void **state)
{
    (void)state;
    static const char *const kinds[] = {NULL, KIND, "hijack_suspected", "policy_violation"};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct alert *a = flapping(3);
        struct prf coin = prf_init(seed, 9);
        struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
        static struct places_alerts p;
        int64_t now = 10;
        unsigned what = 0;
        memset(&p, 0, sizeof p);
        for (; now < WINDOW; now += 1 + prf_below(&coin, 100)) {
            what = (unsigned)prf_below(&coin, 4);
            look_like(a, &r, what, now);
            alert_tick(a, now);
            take_place(a, &p);
            const char *says = standing_kind(&p);
            assert_true(what == 0 ? says == NULL : says != NULL && strcmp(says, kinds[what]) == 0);
        }
        assert_int_equal(p.ends, 3); /* then each kind is told once more at most, and all stay */
        assert_in_range(p.told, 2 * 3, 2 * 3 + 3);
        /* it comes to rest: what holds stays, the others end, each once */
        for (int64_t end = now + WINDOW + 200; now < end; now += 100) {
            look_like(a, &r, what, now);
            alert_tick(a, now);
        }
        take_place(a, &p);
        assert_int_equal(alert_counts(a).live, what != 0);
        assert_in_range(p.told, 2 * 3, 2 * (3 + 3));
        alert_free(a);
    }
}

static void flaps_are_known_after_a_restart(void **state)
{
    (void)state;
    struct alert *a = flapping(2);
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    struct alert_row ended = {.kind = KIND, .prefix = r.prefix, .at = r.at, .resolved_at = 3};
    strcpy(ended.pop, r.pop);
    alert_load_end(a, &ended);
    ended.resolved_at = 7;
    strcpy(ended.kind, "hijack_suspected"); /* the same matter: it is about the same place */
    alert_load_end(a, &ended);
    set(a, &r, true, 10);
    set(a, &r, false, 20);
    take_all(a, KIND, &row);
    assert_state(row, "firing");
    assert_false(row.is_standing);
    struct alert_row stored = row;
    alert_free(a);
    a = flapping(2);
    assert_int_equal(alert_load(a, &stored), 0);
    alert_listens(a, 30, false);
    for (int64_t now = 30; now <= 20 + WINDOW; now += 90) { /* it stays away */
        set(a, &r, false, now);
        alert_tick(a, now);
    }
    assert_int_equal(alert_counts(a).live, 1);
    alert_tick(a, 21 + WINDOW);
    take_all(a, KIND, &row);
    assert_state(row, "resolved");
    alert_free(a);
}

/* ---- windows ---- */

static void an_alert_in_a_window_is_suppressed_and_comes_out_if_it_still_stands(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row in = made_row("FRA", STATE_GENUINE, EXPECTED_NO),
                       out = made_row("AMS", STATE_GENUINE, EXPECTED_NO);
    struct alert_window w = {.id = 4, .from = 50, .to = 500, .pop = "FRA", .peer_as = 64501};
    assert_int_equal(prefix_parse("203.0.0.0/16", &w.prefix), 0);
    seen(a, &in, 10);
    seen(a, &out, 10);
    assert_int_equal(alert_windows(a, &w, 1), 0);
    alert_tick(a, 200);
    bool announce;
    for (int i = 0; i < 2; i++) {
        assert_true(alert_take(a, &row, &announce) && announce);
        assert_state(row, strcmp(row.pop, "FRA") == 0 ? "suppressed" : "firing");
        assert_string_equal(row.suppressed_by, strcmp(row.pop, "FRA") == 0 ? "maintenance 4" : "");
    }
    alert_tick(a, 500);
    assert_int_equal(take_all(a, KIND, &row), 1);
    assert_state(row, "firing");
    assert_string_equal(row.pop, "FRA");
    alert_free(a);
}

static void a_condition_that_goes_away_within_a_window_ends_there(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    struct alert_window w = {.id = 4, .from = 5, .to = 500, .kind = KIND};
    assert_int_equal(alert_windows(a, &w, 1), 0);
    seen(a, &r, 10);
    take_all(a, KIND, &row);
    assert_state(row, "suppressed"); /* never pending: nobody is told of it but by name */
    set(a, &r, false, 100);
    take_all(a, KIND, &row);
    assert_state(row, "resolved");
    alert_free(a);
}

static void windows_are_as_many_as_there_are(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    static struct alert_window all[1000];
    for (uint64_t i = 0; i < 1000; i++)
        all[i] = (struct alert_window){.id = i + 1, .from = (int64_t)(10 * i), .to = 100000};
    for (size_t i = 0; i < 999; i++)
        strcpy(all[i].pop, "AMS");
    assert_int_equal(alert_windows(a, all, 1000), 0);
    seen(a, &r, 9980);
    alert_tick(a, 9985);
    take_all(a, KIND, &row);
    assert_state(row, "pending");
    seen(a, &r, 9990); /* the last one begins, and nobody has read the list again */
    alert_tick(a, 9990);
    take_all(a, KIND, &row);
    assert_string_equal(row.suppressed_by, "maintenance 1000");
    alert_free(a);
}

static void a_window_that_is_taken_back_lets_alerts_out(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    struct alert_window w = {.id = 4, .from = 5, .to = 5000};
    assert_int_equal(alert_windows(a, &w, 1), 0);
    seen(a, &r, 10);
    assert_int_equal(alert_windows(a, NULL, 0), 0);
    alert_tick(a, 50);
    take_all(a, KIND, &row);
    assert_state(row, "pending"); /* its hold-down is not over */
    alert_tick(a, 10 + HOLD);
    take_all(a, KIND, &row);
    assert_state(row, "firing");
    alert_free(a);
}

/* ---- people ---- */

static struct alert *firing(struct ingress_row *r)
{
    struct alert *a = made();
    *r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    seen(a, r, 10);
    alert_tick(a, 10 + HOLD);
    take_all(a, KIND, &row);
    assert_state(row, "firing");
    return a;
}

static void a_word_is_told_and_taken_back_and_heard_once(void **state)
{
    (void)state;
    struct ingress_row r;
    struct alert *a = firing(&r);
    alert_word(a, row.alert_id, ALERT_ACKNOWLEDGED, "ann", 1, 200);
    assert_int_equal(take_all(a, KIND, &row), 1);
    assert_state(row, "acknowledged");
    assert_string_equal(row.acknowledged_by, "ann");
    assert_int_equal(row.words, 1);
    alert_word(a, row.alert_id, ALERT_ACKNOWLEDGED, "ann", 1, 201);
    assert_int_equal(take_all(a, KIND, &row), 0);
    alert_word(a, row.alert_id, ALERT_FIRING, "", 2, 300);
    assert_int_equal(take_all(a, KIND, &row), 1);
    assert_state(row, "firing");
    assert_string_equal(row.acknowledged_by, "");
    alert_free(a);
}

static void what_a_person_suppressed_stays_so_until_its_end_and_names_who(void **state)
{
    (void)state;
    struct ingress_row r;
    struct alert *a = firing(&r);
    alert_word(a, row.alert_id, ALERT_SUPPRESSED, "bob", 1, 200);
    take_all(a, KIND, &row);
    assert_state(row, "suppressed");
    assert_string_equal(row.suppressed_by, "bob");
    struct alert_row stored = row;
    alert_free(a);
    a = made();
    assert_int_equal(alert_load(a, &stored), 0);
    alert_listens(a, 300, false);
    seen(a, &r, 300);
    alert_tick(a, 400);
    assert_int_equal(take_all(a, KIND, &row), 0);
    set(a, &r, false, 500);
    assert_int_equal(take_all(a, KIND, &row), 1);
    assert_state(row, "resolved");
    alert_free(a);
}

static void an_acknowledgement_outlives_a_window(void **state)
{
    (void)state;
    struct ingress_row r;
    struct alert *a = firing(&r);
    struct alert_window w = {.id = 9, .from = 100, .to = 500};
    assert_int_equal(alert_windows(a, &w, 1), 0);
    alert_tick(a, 200);
    alert_word(a, row.alert_id, ALERT_ACKNOWLEDGED, "ann", 1, 210);
    take_all(a, KIND, &row);
    assert_state(row, "suppressed"); /* the window still says so */
    struct alert_row stored = row;
    alert_free(a);
    a = made();
    assert_int_equal(alert_load(a, &stored), 0);
    alert_listens(a, 300, false);
    seen(a, &r, 300);
    alert_tick(a, 600);
    take_all(a, KIND, &row);
    assert_state(row, "acknowledged");
    alert_free(a);
}

/* ---- another configuration ---- */

static void a_kind_that_is_turned_off_ends_what_stands_and_rules_change_live(void **state)
{
    (void)state;
    struct ingress_row r;
    struct alert *a = firing(&r);
    struct alert_sensor s = {.name = "lon1", .pop = "LON", .is_silent = true};
    struct alert_conf conf = made_conf();
    assert_int_equal(alert_sensor(a, &s, 200), 0);
    assert_int_equal(take_all(a, "sensor_silent", &row), 1);
    conf.rules.kinds[KIND_SENSOR_SILENT].is_off = true;
    snprintf(conf.rules.kinds[KIND_INGRESS_UNEXPECTED].severity, 16, "info");
    conf.max_alerts = 1; /* stays as it was */
    alert_configure(a, &conf);
    alert_tick(a, 201);
    take_all(a, "sensor_silent", &row);
    assert_state(row, "resolved");
    seen(a, &r, 202);
    take_all(a, KIND, &row);
    assert_string_equal(row.severity, "info");
    assert_int_equal(alert_sensor(a, &s, 203), 0);
    assert_int_equal(alert_counts(a).live, 1);
    alert_free(a);
}

/* ---- entries that end, and those that must stay ---- */

static void an_entry_that_is_gone_ends_its_alert(void **state)
{
    (void)state;
    struct ingress_row r;
    struct alert *a = firing(&r);
    assert_true(alert_holds(a, &r.prefix, r.pop, &r.at));
    r.is_gone = true;
    seen(a, &r, 300);
    take_all(a, KIND, &row);
    assert_state(row, "resolved");
    assert_false(alert_holds(a, &r.prefix, r.pop, &r.at));
    alert_free(a);
}

/* ---- a naive model over random streams ---- */

enum { ROWS = 6, STEPS = 4000, IDS = 4096 };

/* What is known of an alert from what was taken. */
struct known {
    bool is_there, is_over;
    char fingerprint[33];
    enum alert_state told;
};
static struct known known[IDS];

static void learn(const struct alert_row *taken, bool announce)
{
    assert_true(taken->alert_id < IDS);
    struct known *k = &known[taken->alert_id];
    assert_false(k->is_over); /* nothing comes after the end */
    if (!k->is_there)
        assert_true(announce && taken->state != ALERT_RESOLVED);
    if (k->is_there && k->told != taken->state)
        assert_true(announce);
    k->is_there = true;
    k->is_over = taken->state == ALERT_RESOLVED;
    k->told = taken->state;
    memcpy(k->fingerprint, taken->fingerprint, sizeof k->fingerprint);
    assert_true(k->is_over == (taken->resolved_at != 0));
    assert_true(taken->started_at <= taken->updated_at);
}

static unsigned live_of(const char *fingerprint)
{
    unsigned n = 0;
    for (size_t i = 0; i < IDS; i++)
        n += known[i].is_there && !known[i].is_over &&
             memcmp(known[i].fingerprint, fingerprint, 32) == 0;
    return n;
}

static void take_and_check(struct alert *a)
{
    struct alert_row taken;
    bool announce;
    while (alert_take(a, &taken, &announce)) {
        /* the old one ends before the new one of the same matter is told of */
        learn(&taken, announce);
        assert_true(live_of(taken.fingerprint) <= 1);
    }
}

static unsigned live_known(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < IDS; i++)
        n += known[i].is_there && !known[i].is_over;
    return n;
}

static void stir(struct prf *coin, struct ingress_row *r)
{
    static const enum ingress_state states[] = {STATE_GENUINE, STATE_GENUINE, STATE_MIXED,
                                                STATE_SPOOFED, STATE_TESTING, STATE_UNVERIFIED};
    r->state = states[prf_below(coin, 6)];
    r->expected = (enum expected)prf_below(coin, 3);
    r->bgp = (enum bgp_state)prf_below(coin, 4);
    r->rpki = (enum rpki_state)prf_below(coin, 4);
    r->weight = (double)prf_below(coin, 4000);
    snprintf(r->expected_by, sizeof r->expected_by, "%s",
             r->expected == EXPECTED_UNKNOWN ? ""
             : prf_below(coin, 2) == 0       ? "policy"
                                             : "bgp");
}

static void some_move(struct alert *a, struct prf *coin, const struct ingress_row *rows,
                      int64_t now)
{
    const struct ingress_row *f = &rows[prf_below(coin, ROWS)], *t = &rows[prf_below(coin, ROWS)];
    struct ingress_change c = {.at = now, .kind = CHANGE_MOVED, .prefix = t->prefix};
    c.from = (struct ingress_side){.is_there = true, .at = f->at};
    c.to = (struct ingress_side){.is_there = true, .at = t->at};
    memcpy(c.from.pop, f->pop, sizeof c.from.pop);
    memcpy(c.to.pop, t->pop, sizeof c.to.pop);
    if (f != t)
        alert_moved(a, &c, now);
}

static void some_word(struct alert *a, struct prf *coin, uint64_t *words, int64_t now)
{
    static const enum alert_state said[] = {ALERT_ACKNOWLEDGED, ALERT_SUPPRESSED, ALERT_FIRING};
    uint64_t id = 1 + prf_below(coin, 64);
    for (; id < IDS && (!known[id].is_there || known[id].is_over); id++)
        ;
    if (id < IDS)
        alert_word(a, id, said[prf_below(coin, 3)], "ann", ++*words, now);
}

static void some_window(struct alert *a, struct prf *coin, int64_t now)
{
    struct alert_window w = {.id = 1 + prf_below(coin, 9), .from = now, .to = now + 400};
    snprintf(w.pop, sizeof w.pop, "%s", prf_below(coin, 2) == 0 ? "P0" : "");
    assert_int_equal(alert_windows(a, &w, prf_below(coin, 3) > 0), 0);
}

static void one_step(struct alert *a, struct prf *coin, struct ingress_row *rows, uint64_t *words,
                     int64_t now)
{
    struct ingress_row *r = &rows[prf_below(coin, ROWS)];
    struct alert_answer answer = {.outside_cone = prf_below(coin, 4) == 0, .cone_as = 64501};
    struct alert_sensor sensor = {.name = "s", .pop = "P0", .is_silent = prf_below(coin, 2) == 0};
    struct alert_gap gap = {.sensor = "s", .pop = "P0", .reason = "r", .from_seq = 1};
    struct event_passive_total t = {
        .prefix = r->prefix, .ingress = r->at, .data = 1000, .gaps = prf_below(coin, 100)};
    switch (prf_below(coin, 12)) {
    case 0:
        some_move(a, coin, rows, now);
        break;
    case 1:
        assert_int_equal(alert_sensor(a, &sensor, now), 0);
        break;
    case 2:
        assert_int_equal(alert_gap(a, &gap, now), 0);
        break;
    case 3:
        assert_int_equal(alert_passive_total(a, r->pop, &t, now), 0);
        break;
    case 4:
        some_word(a, coin, words, now);
        break;
    case 5:
        some_window(a, coin, now);
        break;
    default:
        stir(coin, r);
        r->last_seen = r->weight_at = now;
        assert_int_equal(alert_row_changed(a, r, &answer, now), 0);
    }
}

/* Everything is as it should be, for good. */
static void calm(struct alert *a, struct ingress_row *rows, int64_t now)
{
    struct alert_sensor sensor = {.name = "s", .pop = "P0"};
    assert_int_equal(alert_sensor(a, &sensor, now), 0);
    for (int i = 0; i < ROWS; i++) {
        rows[i].state = STATE_GENUINE;
        rows[i].expected = EXPECTED_YES;
        rows[i].bgp = BGP_BEST;
        rows[i].rpki = RPKI_VALID;
        rows[i].last_seen = now;
        assert_int_equal(alert_row_changed(a, &rows[i], NULL, now), 0);
    }
}

static void rows_made(struct ingress_row rows[ROWS])
{
    for (int i = 0; i < ROWS; i++) {
        rows[i] = made_row("P0", STATE_UNVERIFIED, EXPECTED_UNKNOWN);
        rows[i].pop[1] = (char)('0' + i % 3);
        assert_int_equal(
            prefix_parse(i < 3 ? "203.0.113.0/24" : "2001:db8:1::/48", &rows[i].prefix), 0);
    }
}

/* Evidence ages within days, and nothing genuine is tested again before: an alert that ended then
 * would say that all is well, and come again with the next test. */
static void proof_that_grew_old_does_not_end_an_alert_but_a_test_or_silence_does(void **state)
{
    (void)state;
    struct alert *a = made();
    struct ingress_row r = made_row("FRA", STATE_GENUINE, EXPECTED_NO);
    static const enum ingress_state wordless[] = {STATE_UNVERIFIED, STATE_TESTING,
                                                  STATE_INCONCLUSIVE, STATE_GENUINE};
    seen(a, &r, 10);
    seen(a, &r, 10 + HOLD);
    alert_tick(a, 10 + HOLD);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1);
    assert_state(row, "firing");
    for (size_t i = 0; i < 4; i++) {
        r.state = wordless[i];
        seen(a, &r, 200 + (int64_t)i);
        alert_tick(a, 200 + (int64_t)i);
        assert_int_equal(take_all(a, "ingress_unexpected", &row), 0);
    }
    r.state = STATE_UNVERIFIED;
    seen(a, &r, 300);
    alert_tick(a, 301 + RESOLVE);
    assert_int_equal(take_all(a, "ingress_unexpected", &row), 1);
    assert_state(row, "resolved");
    r.state = STATE_GENUINE;
    seen(a, &r, 2000);
    r.state = STATE_SPOOFED;
    seen(a, &r, 2001);
    assert_int_equal(alert_counts(a).live, 0);
    alert_free(a);
}

/* Whatever comes in whatever order: there are never two live alerts of one matter, nothing comes
 * after an end, each new state is told, and nothing is left when all is well for good. */
static void random_streams_leave_no_alert_without_an_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prf coin = prf_init(seed, 0);
        struct alert_conf conf = made_conf();
        struct ingress_row rows[ROWS];
        uint64_t words = 0;
        int64_t now = 10;
        conf.max_alerts = 64;
        conf.flap_count = (unsigned)(seed % 4);
        struct alert *a = made_of(&conf);
        memset(known, 0, sizeof known);
        rows_made(rows);
        for (int i = 0; i < STEPS / 4; i++) {
            now += (int64_t)prf_below(&coin, 40);
            one_step(a, &coin, rows, &words, now);
            if (prf_below(&coin, 3) == 0)
                alert_tick(a, now);
            take_and_check(a);
            assert_int_equal(alert_counts(a).live, live_known());
        }
        assert_true(live_known() > 0);
        for (int64_t until = now + 2 * WINDOW; now < until; now += 50) {
            calm(a, rows, now);
            alert_tick(a, now);
        }
        take_and_check(a);
        assert_int_equal(live_known(), 0);
        assert_int_equal(alert_counts(a).live, 0);
        alert_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proof_that_grew_old_does_not_end_an_alert_but_a_test_or_silence_does),
        cmocka_unit_test(a_matter_that_flaps_is_told_so_often_and_then_stays_one_alert),
        cmocka_unit_test(what_flapped_ends_when_it_stays_away),
        cmocka_unit_test(what_a_person_allows_ends_though_it_flapped),
        cmocka_unit_test(a_place_whose_kind_of_alert_changes_all_the_time_is_told_of_a_few_times),
        cmocka_unit_test(flaps_are_known_after_a_restart),
        cmocka_unit_test(an_alert_in_a_window_is_suppressed_and_comes_out_if_it_still_stands),
        cmocka_unit_test(a_condition_that_goes_away_within_a_window_ends_there),
        cmocka_unit_test(windows_are_as_many_as_there_are),
        cmocka_unit_test(a_window_that_is_taken_back_lets_alerts_out),
        cmocka_unit_test(a_word_is_told_and_taken_back_and_heard_once),
        cmocka_unit_test(what_a_person_suppressed_stays_so_until_its_end_and_names_who),
        cmocka_unit_test(an_acknowledgement_outlives_a_window),
        cmocka_unit_test(a_kind_that_is_turned_off_ends_what_stands_and_rules_change_live),
        cmocka_unit_test(an_entry_that_is_gone_ends_its_alert),
        cmocka_unit_test(random_streams_leave_no_alert_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What sensors may say, through the fold and into a real PostgreSQL: nothing is refused for its
 * content (a batch that is refused comes again, for ever), and what a restart reads is what was
 * held. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/loop/fold.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/wire.h"
#include "tests/support/pg_store.h"
#include "tests/support/random_event.h"

#define NOW INT64_C(1795251600000000000)

enum { EVENTS = 6000, PER_COMMIT = 500, ROWS = 20000 };

static struct expect policy;
static struct fold fold;

static const struct fold_conf conf = {
    .roster = {.silent_after_ns = 60 * NS_PER_S},
    .ingress = {.half_life_ns = 3600 * NS_PER_S, .max_rows = ROWS, .is_rigid = true, .seed = 1},
    .evidence = {.half_life_ns = 86400 * NS_PER_S},
    .alert = {.resolve_after_ns = 600 * NS_PER_S, .max_alerts = ROWS, .seed = 1}};

static int tear_down_all(void **state)
{
    expect_clear(&policy);
    return pg_store_down(state);
}

static double strange_real(struct prf *coin)
{
    const double strange[] = {NAN, INFINITY, -INFINITY, -0.0, 1, 0.5, 1e300, -1e300};
    return strange[prf_below(coin, sizeof strange / sizeof *strange)];
}

/* Numbers that are none, and places that come again. */
static void bend_field(struct prf *coin, const struct field *f, void *value)
{
    static const struct addr net = {.family = ADDR_V4, .bytes = {192, 0, 2}};
    bool often = prf_below(coin, 2) == 0;
    if (f->type == FIELD_REAL && often)
        *(double *)value = strange_real(coin);
    else if (f->type == FIELD_REALS && often && ((struct reals *)value)->count > 0)
        ((struct reals *)value)->value[0] = strange_real(coin);
    else if (f->type == FIELD_PREFIX && often)
        *(struct prefix *)value = prefix_of(&net, 20 + (unsigned)prf_below(coin, 6));
    else if (f->type == FIELD_MAC && prf_below(coin, 4) > 0)
        memset(value, 0, 6);
    else if (f->type == FIELD_UUID && often)
        memset(value, 0, 16);
    else if (f->type == FIELD_U64 && prf_below(coin, 8) == 0)
        *(uint64_t *)value = INT64_MAX;
    else if (f->type == FIELD_U64 && strcmp(f->key, "vlan") == 0)
        *(uint64_t *)value = prf_below(coin, 3);
    else if (f->type == FIELD_OPT)
        *(uint64_t *)value = prf_below(coin, 3);
    else if (strcmp(f->key, "pop") == 0 && prf_below(coin, 8) > 0)
        snprintf(value, f->limit, "AMS");
    else if (strcmp(f->key, "router") == 0 || strcmp(f->key, "interface") == 0)
        memset(value, 0, often ? f->limit : 0);
    else if (f->type == FIELD_TIME && prf_below(coin, 8) == 0)
        *(int64_t *)value = often ? INT64_MIN : INT64_MAX;
}

/* An event as the wire gives it. */
static bool next_event(struct prf *coin, struct event *e)
{
    static uint8_t bytes[WIRE_EVENT_MAX];
    size_t used;
    const struct event_kind *kind = event_kind(1 + (unsigned)prf_below(coin, EVENT_passive_total));
    random_event(coin, kind, e);
    for (size_t i = 0; i < kind->count; i++)
        bend_field(coin, &kind->fields[i], (char *)e + kind->fields[i].offset);
    int len = wire_event_encode(e, bytes, sizeof bytes);
    return len > 0 && wire_event_decode(bytes, (size_t)len, e, &used) == 0 &&
           fold_why_not(e) == NULL;
}

static void put_changes(void)
{
    struct sensor_row sensor;
    struct epoch_row epoch;
    struct gap_row gap;
    struct ingress_row row;
    struct alert_row alert;
    bool announce;
    while (roster_take_sensor(fold.roster, &sensor))
        ok(store_put_sensor(store, &sensor, &note));
    while (roster_take_epoch(fold.roster, &epoch))
        ok(store_put_epoch(store, &epoch, &note));
    while (roster_take_gap(fold.roster, &gap))
        ok(store_put_gap(store, &gap, &note));
    while (ingress_map_take(fold.map, &row)) {
        fold_row(&fold, &row, NOW);
        ok(store_put_ingress(store, &row, &note));
    }
    while (alert_take(fold.alert, &alert, &announce))
        ok(store_put_alert(store, &alert, announce, &note));
}

static unsigned fold_events(struct prf *coin, unsigned events)
{
    unsigned kept = 0;
    ok(store_begin(store, &note));
    for (unsigned i = 0; i < events; i++) {
        struct event e;
        if (!next_event(coin, &e))
            continue;
        e.epoch = 5;
        e.seq = kept++ + 1;
        assert_int_equal(fold_event(&fold, "ams1", &e, NOW), 0);
        ok(store_put_event(store, "ams1", roster_find(fold.roster, "ams1")->pop, &e, &note));
    }
    fold_tick(&fold, NOW);
    put_changes();
    ok(store_commit(store, &note));
    return kept;
}

static void load(void)
{
    ok(fold_load(&fold, &conf, &policy, store, NOW, &note));
}

static void greet(const char *pop)
{
    struct wire_message hello = {.epoch = 5, .first_seq = 1};
    uint64_t last;
    snprintf(hello.pop, sizeof hello.pop, "%s", pop);
    assert_int_equal(fold_hello(&fold, "ams1", &hello, NOW, &last), 0);
}

static int64_t microseconds(int64_t ns)
{
    return ns / 1000 - (ns % 1000 < 0);
}

struct held {
    struct ingress_row *rows;
    size_t count;
};

static void hold(void *arg, struct ingress_row *row)
{
    struct held *h = arg;
    h->rows[h->count++] = *row;
}

static int by_key(const void *a, const void *b)
{
    const struct ingress_row *x = a, *y = b;
    int d = memcmp(&x->prefix, &y->prefix, sizeof x->prefix);
    if (d == 0)
        d = strcmp(x->pop, y->pop);
    if (d == 0)
        d = strcmp(x->at.router, y->at.router);
    if (d == 0)
        d = strcmp(x->at.interface, y->at.interface);
    if (d == 0)
        d = memcmp(x->at.mac, y->at.mac, 6);
    if (d == 0)
        d = (x->at.vlan > y->at.vlan) - (x->at.vlan < y->at.vlan);
    return d != 0 ? d : (x->at.peer_as > y->at.peer_as) - (x->at.peer_as < y->at.peer_as);
}

static struct held held_now(void)
{
    struct held h = {.rows = calloc(ROWS, sizeof *h.rows)};
    assert_non_null(h.rows);
    ingress_map_all(fold.map, hold, &h);
    qsort(h.rows, h.count, sizeof *h.rows, by_key);
    return h;
}

static void same_row(const struct ingress_row *a, const struct ingress_row *b)
{
    assert_int_equal(by_key(a, b), 0);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->testing_by, b->testing_by);
    assert_true(a->has_evidence == b->has_evidence && a->tests == b->tests);
    assert_true(a->packets == b->packets && a->bytes == b->bytes);
    assert_true(a->genuine_probability == b->genuine_probability);
    assert_true(fabs(a->share - b->share) < 1e-6); /* made again, of times to the microsecond */
    assert_true(microseconds(a->last_seen) == microseconds(b->last_seen));
    assert_true(microseconds(a->first_seen) == microseconds(b->first_seen));
    assert_true(microseconds(a->last_test_at) == microseconds(b->last_test_at));
}

static void a_restart_reads_what_was_held(void)
{
    struct held before = held_now();
    fold_clear(&fold);
    load();
    struct held after = held_now();
    assert_int_equal(before.count, after.count);
    for (size_t i = 0; i < before.count; i++)
        same_row(&before.rows[i], &after.rows[i]);
    free(before.rows);
    free(after.rows);
}

static void whatever_sensors_say_is_stored_and_read_as_it_was_held(void **state)
{
    (void)state;
    struct prf coin = prf_init(7, 0);
    struct prefix all = {.addr = {.family = ADDR_V4}}, all_6 = {.addr = {.family = ADDR_V6}};
    struct expect_place elsewhere = {.pop = "\"FRA\\\n"};
    assert_int_equal(expect_add(&policy, &all, &elsewhere, 1), 0);
    assert_int_equal(expect_add(&policy, &all_6, &elsewhere, 1), 0);
    unsigned kept = 0;
    load();
    for (unsigned i = 0; i < EVENTS / PER_COMMIT; i++) {
        greet(i % 2 == 0 ? "AMS" : "a place whose name is 30 bytes\xe2\x82\xac");
        kept += fold_events(&coin, PER_COMMIT);
        a_restart_reads_what_was_held();
    }
    assert_true(kept > EVENTS / 2);
    assert_true(fold.map_refused + fold.alerts_refused == 0);
    fold_clear(&fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_sensors_say_is_stored_and_read_as_it_was_held),
    };
    return cmocka_run_group_tests(tests, pg_store_up, tear_down_all);
}

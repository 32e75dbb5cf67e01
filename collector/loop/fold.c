#include "collector/loop/fold.h"
#include "collector/loop/fold_evidence.h"
#include "collector/loop/fold_expect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VLAN_MAX 4095
#define AS_MAX   UINT32_MAX

static int load_sensor(void *arg, const struct sensor_row *row)
{
    struct fold *f = arg;
    return roster_load(f->roster, row);
}

static int load_epoch(void *arg, const struct epoch_row *row)
{
    struct fold *f = arg;
    return roster_load_epoch(f->roster, row);
}

static int load_ingress(void *arg, const struct ingress_row *row)
{
    struct fold *f = arg;
    return ingress_map_load(f->map, row);
}

static int load_all(struct fold *f, const struct fold_conf *conf, struct store *store, int64_t now,
                    struct note *note)
{
    int err = store_load_begin(store, note);
    if (err == 0)
        err = store_load_sensors(store, load_sensor, f, note);
    if (err == 0)
        err = store_load_epochs(store, load_epoch, f, note);
    if (err == 0)
        err = store_load_ingress(store, load_ingress, f, note);
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF,
                        "map.max_rows: the database has more rows than that; make it larger");
    if (err == 0)
        err = cells_load(&f->cells, f->map, store, conf->ingress.seed, now, note);
    if (err == 0)
        err = fold_load_alerts(f, store, now, note);
    if (err == 0)
        err = fold_alert_words(f, store, now, note);
    if (err == 0)
        err = fold_expect_load(f, store, note);
    return err;
}

static bool not_after(int64_t *at, int64_t now)
{
    if (*at <= now)
        return false;
    *at = now;
    return true;
}

static void listens(struct fold *f, int64_t now, bool has_jumped)
{
    roster_listens(f->roster, now);
    alert_listens(f->alert, now, has_jumped);
    ingress_map_not_after(f->map, now);
}

void fold_clock_jumped(struct fold *f, int64_t now)
{
    listens(f, now, true);
    ingress_map_clock_jumped(f->map, now);
}

struct expect_answer fold_judge(const struct fold *f, const struct ingress_row *row)
{
    struct expect all = fold_expect(f);
    return expect_judge(&all, row);
}

static bool expect_row(struct fold *f, struct ingress_row *row)
{
    struct expect_answer answer = fold_judge(f, row);
    return expect_write(&answer, row);
}

/* Of a row that the map makes itself. */
static void expect_of_map(void *fold, struct ingress_row *row)
{
    expect_row(fold, row);
}

/* What is under test stays one row until the test has ended, or is lost: its verdict is for that.
 */
static void pin_test(struct fold *f, struct ingress_row *row)
{
    ingress_map_pin(f->map, row, PIN_TEST, row->state == STATE_TESTING);
}

/* Pins are not in the database. */
static void pin_again(void *fold, struct ingress_row *row)
{
    pin_test(fold, row);
}

int fold_load(struct fold *f, const struct fold_conf *conf, const struct expect *expect,
              struct store *store, int64_t now, struct note *note)
{
    *f = (struct fold){.evidence = conf->evidence,
                       .expect = expect,
                       .judge_slice =
                           conf->judge_slice != 0 ? conf->judge_slice : FOLD_EXPECT_SLICE};
    int err = roster_new(&conf->roster, &f->roster);
    if (err == 0)
        err = ingress_map_new(&conf->ingress, &f->map);
    if (err == 0)
        ingress_map_expecting(f->map, expect_of_map, f);
    if (err == 0)
        err = alert_new(&conf->alert, &f->alert);
    if (err < 0)
        note_set(note, err, "no memory for the map (map.max_rows) or the alerts (alerts.max)");
    else
        err = load_all(f, conf, store, now, note);
    if (err == 0)
        err = fold_load_orders(f, &conf->order, store, now, note);
    if (err < 0) {
        fold_clear(f);
        return err;
    }
    listens(f, now, false);
    ingress_map_all(f->map, pin_again, f);
    fold_expect_start(f, now);
    fold_sensors_all(f, now);
    return 0;
}

void fold_clear(struct fold *f)
{
    roster_free(f->roster);
    ingress_map_free(f->map);
    alert_free(f->alert);
    expect_list_clear(&f->entries);
    expect_list_clear(&f->learned);
    orders_free(f->orders);
    *f = (struct fold){0};
}

static const char *prefix_why_not(const struct prefix *p)
{
    if (p->addr.family != ADDR_V4 && p->addr.family != ADDR_V6)
        return "it has no prefix";
    struct prefix clean = prefix_of(&p->addr, p->length);
    return prefix_equal(&clean, p) ? NULL : "bits beyond its prefix's length are set";
}

static const char *place_why_not(const struct prefix *p, const struct ingress *at)
{
    if (at->vlan > VLAN_MAX)
        return "its VLAN id is beyond 4095";
    if (at->peer_as > AS_MAX)
        return "its AS number has more than 32 bits";
    return prefix_why_not(p);
}

const char *fold_why_not(const struct event *e)
{
    switch (e->type) {
    case EVENT_tally:
        return place_why_not(&e->tally.prefix, &e->tally.ingress);
    case EVENT_test_started:
        return place_why_not(&e->test_started.prefix, &e->test_started.ingress);
    case EVENT_test_ended:
        return place_why_not(&e->test_ended.prefix, &e->test_ended.ingress);
    case EVENT_passive_total:
        return place_why_not(&e->passive_total.prefix, &e->passive_total.ingress);
    case EVENT_order_ended:
        return prefix_why_not(&e->order_ended.prefix);
    default:
        return NULL;
    }
}

/* A place that was never seen: its expectation, and the evidence of a wider test there. */
static void row_born(struct fold *f, struct ingress_row *row)
{
    const struct ingress_row *above = ingress_map_cover(f->map, &row->prefix, row->pop, &row->at);
    if (above != NULL)
        evidence_inherit(row, above);
    expect_row(f, row);
    ingress_map_changed(f->map, row);
}

/* What touching a row answered: a full map is counted, the event itself is still kept. */
static int row_touched(struct fold *f, int err, struct ingress_row *row, bool is_new)
{
    if (err == ERR_FULL) {
        f->map_refused++;
        return 0;
    }
    if (err == 0 && is_new)
        row_born(f, row);
    return err;
}

struct lost {
    struct fold *f;
    const char *sensor;
};

static void row_lost(void *arg, struct ingress_row *row)
{
    const struct lost *lost = arg;
    if (!evidence_lost(row, lost->sensor))
        return;
    pin_test(lost->f, row);
    ingress_map_changed(lost->f->map, row);
}

/* Entries whose test will never end say again what they said before; looked for in the whole map,
 * but at most once per sensor and test. */
static void tests_lost(struct fold *f)
{
    char sensor[WIRE_NAME];
    while (roster_take_lost(f->roster, sensor)) {
        struct lost lost = {.f = f, .sensor = sensor};
        ingress_map_all(f->map, row_lost, &lost);
    }
}

int fold_hello(struct fold *f, const char *sensor, const struct wire_message *m, int64_t now,
               uint64_t *last_seq)
{
    int err = roster_hello(f->roster, sensor, m, now, last_seq);
    tests_lost(f);
    if (err == 0)
        fold_heard(f, sensor, m, now);
    return err;
}

int fold_batch(struct fold *f, const char *sensor, const struct wire_message *m, uint32_t room,
               int64_t now, struct roster_share *share)
{
    int answer = roster_batch(f->roster, sensor, m, room, now, share);
    tests_lost(f);
    if (answer == ROSTER_TAKE || answer == ROSTER_REPEAT)
        fold_heard(f, sensor, m, now);
    return answer;
}

void fold_doubt_clock(struct fold *f, bool is_doubted, int64_t undoubted)
{
    f->is_clock_doubted = is_doubted;
    alert_doubt_clock(f->alert, is_doubted ? undoubted : 0);
}

void fold_tick(struct fold *f, int64_t now)
{
    roster_tick(f->roster, now);
    tests_lost(f);
    if (!f->is_clock_doubted) {
        ingress_map_tick(f->map, now);
        fold_evidence_tick(f, now);
        fold_expect_tick(f, now);
    }
    if (!f->is_starting)
        alert_tick(f->alert, now);
    orders_tick(f->orders, now);
}

struct test {
    struct fold *f;
    const char *sensor;
    const struct event *e;
};

static void weigh_started(void *arg, struct ingress_row *row)
{
    const struct test *t = arg;
    evidence_started(&t->f->evidence, row, t->sensor, &t->e->test_started);
    pin_test(t->f, row);
    ingress_map_changed(t->f->map, row);
}

static void weigh_ended(void *arg, struct ingress_row *row)
{
    const struct test *t = arg;
    evidence_ended(&t->f->evidence, row, &t->e->test_ended);
    pin_test(t->f, row);
    ingress_map_changed(t->f->map, row);
}

/* A test speaks for its prefix and for every longer one that was seen at the same place. */
static int fold_test(struct fold *f, const char *sensor, const char *pop, const struct event *e,
                     const struct prefix *prefix, const struct ingress *at, int64_t started_at,
                     void (*weigh)(void *arg, struct ingress_row *row))
{
    struct ingress_row *row = NULL;
    bool is_new = false;
    int64_t seen_at = started_at != 0 ? started_at : e->at;
    int err = ingress_map_touch(f->map, prefix, pop, at, seen_at, &row, &is_new);
    err = row_touched(f, err, row, is_new);
    if (err < 0)
        return err;
    struct test test = {.f = f, .sensor = sensor, .e = e};
    ingress_map_each(f->map, prefix, pop, at, weigh, &test);
    return 0;
}

static bool is_ahead(const struct event *e, int64_t now)
{
    if (e->at > now)
        return true;
    switch (e->type) {
    case EVENT_tally:
        return e->tally.ended_at > now || e->tally.started_at > now;
    case EVENT_test_started:
        return e->test_started.started_at > now;
    case EVENT_test_ended:
        return e->test_ended.ended_at > now || e->test_ended.started_at > now;
    case EVENT_passive_total:
        return e->passive_total.ended_at > now;
    default:
        return false;
    }
}

/* What has been seen was seen by now. Else a sensor whose clock was ahead once would hold an entry
 * in the future: newer traffic would weigh nothing there, newer verdicts would not count. */
static struct event drawn_back(const struct event *e, int64_t now)
{
    struct event back = *e;
    not_after(&back.at, now);
    if (e->type == EVENT_tally) {
        not_after(&back.tally.started_at, now);
        not_after(&back.tally.ended_at, now);
    } else if (e->type == EVENT_test_started) {
        not_after(&back.test_started.started_at, now);
    } else if (e->type == EVENT_test_ended) {
        not_after(&back.test_ended.started_at, now);
        not_after(&back.test_ended.ended_at, now);
    } else if (e->type == EVENT_passive_total) {
        not_after(&back.passive_total.ended_at, now);
    }
    return back;
}

/* What passive mode saw is kept in SQL, but it proves nothing: no state changes, also not to
 * `testing`, for such a test may run for days. Only its sums move a probability, within bounds. */
static bool is_passive(const struct event *e)
{
    return (e->type == EVENT_test_started && e->test_started.mode == TEST_PASSIVE) ||
           (e->type == EVENT_test_ended && e->test_ended.mode == TEST_PASSIVE);
}

static int fold_map(struct fold *f, const char *sensor, const struct event *e, int64_t now)
{
    const struct sensor_row *from = roster_find(f->roster, sensor);
    const char *pop = from == NULL ? "" : from->pop;
    struct ingress_row *row = NULL;
    bool is_new = false;
    int err;
    fold_alert_event(f, pop, e, now);
    if (is_passive(e))
        return 0;
    switch (e->type) {
    case EVENT_tally: {
        cells_tally(&f->cells);
        err = ingress_map_tally(f->map, pop, &e->tally, &row, &is_new);
        bool is_there = err == 0;
        err = row_touched(f, err, row, is_new); /* first: an order says whether it is expected */
        if (is_there)
            orders_seen(f->orders, sensor, row, &e->tally, now);
        return err;
    }
    case EVENT_test_started:
        return fold_test(f, sensor, pop, e, &e->test_started.prefix, &e->test_started.ingress,
                         e->test_started.started_at, weigh_started);
    case EVENT_test_ended:
        return fold_test(f, sensor, pop, e, &e->test_ended.prefix, &e->test_ended.ingress,
                         e->test_ended.started_at, weigh_ended);
    case EVENT_passive_total:
        fold_evidence_passive(f, pop, &e->passive_total);
        return 0;
    default:
        return 0;
    }
}

static void note_ahead(struct fold *f, const char *sensor, int64_t by)
{
    if (by <= FOLD_AHEAD_NS)
        return;
    f->ahead.events++;
    f->ahead.by = by;
    snprintf(f->ahead.sensor, sizeof f->ahead.sensor, "%s", sensor);
}

int fold_event(struct fold *f, const char *sensor, const struct event *e, int64_t now)
{
    int err = roster_event(f->roster, sensor, e, now);
    tests_lost(f);
    if (err < 0)
        return err;
    orders_event(f->orders, sensor, e, now);
    if (!is_ahead(e, now))
        return fold_map(f, sensor, e, now);
    note_ahead(f, sensor, e->at - now);
    struct event back = drawn_back(e, now);
    return fold_map(f, sensor, &back, now);
}

void fold_expect_row(struct fold *f, struct ingress_row *row, int64_t now)
{
    if (expect_row(f, row))
        ingress_map_changed(f->map, row);
    fold_row(f, row, now);
}

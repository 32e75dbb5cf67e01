#include "tests/collector/loop/scripted_doors.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "tests/support/usual_orders.h"

struct db db;
unsigned db_commits;
int db_fail_at;
bool db_is_taken, db_is_away, db_lose_commit, db_late_commit;
bool (*db_refuses)(const char *sensor, const struct event *e);
bool db_refuses_alerts, db_refuses_aside;
struct order_conf doors_orders;
uint32_t doors_judge_slice;
unsigned db_heard;
bool db_is_session_lost;
unsigned db_months_looked_at;

struct alert_window db_window;

static struct db work, late;
static unsigned turn; /* that the collector knows */
static bool in_transaction, is_refused;

void doors_reset(void)
{
    memset(&db, 0, sizeof db);
    db_commits = 0;
    db_fail_at = 0;
    db_is_taken = db_is_away = db_lose_commit = db_late_commit = in_transaction = false;
    db_refuses = NULL;
    db_refuses_alerts = db_refuses_aside = false;
    doors_orders = usual_orders(ORDERS_OFF);
    doors_judge_slice = 0;
    db_heard = 0;
    db_is_session_lost = false;
    db_window = (struct alert_window){0};
    net_reset();
}

static int called(struct note *note)
{
    if (db_is_away || (db_fail_at > 0 && --db_fail_at == 0))
        return note_set(note, ERR_DATABASE, "the test says no");
    return 0;
}

int store_load_begin(struct store *s, struct note *note)
{
    (void)s;
    turn = db.turns;
    if (db_is_taken)
        return note_set(note, ERR_BUSY, "the test writes");
    return called(note);
}

int store_listen(struct store *s, struct note *note)
{
    (void)s, (void)note;
    return 0;
}

int store_forget_alerts(struct store *s, int64_t before, struct note *note)
{
    (void)s, (void)before;
    assert(in_transaction);
    return called(note);
}

int store_load_expectation(struct store *s, int (*each)(void *arg, const struct expect_row *row),
                           void *arg, struct note *note)
{
    (void)s;
    int err = called(note);
    for (unsigned i = 0; err == 0 && i < db.said_count; i++)
        err = each(arg, &db.said[i]);
    return err;
}

int store_put_expectation(struct store *s, const struct expect_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction && work.said_count < DB_SAID);
    int err = called(note);
    if (err == 0)
        work.said[work.said_count++] = *row;
    return err;
}

int store_heard(struct store *s, unsigned *what, struct note *note)
{
    (void)s;
    *what = db_heard;
    db_heard = 0;
    if (!db_is_session_lost)
        return 0;
    db_is_session_lost = false;
    return note_set(note, ERR_DATABASE, "the session ended");
}

/* No cells are kept here: rows alone tell their counters. */
int store_load_generation(struct store *s, struct store_generation *out, struct note *note)
{
    (void)s;
    *out = (struct store_generation){0};
    return called(note);
}

int store_load_cells(struct store *s, const struct store_generation *from,
                     int (*each)(void *arg, const struct ingress_cell *cell, uint64_t turn),
                     void *arg, struct note *note)
{
    (void)s, (void)from, (void)each, (void)arg;
    return called(note);
}

int store_load_tallies(struct store *s, uint64_t after_turn,
                       int (*each)(void *arg, const char *pop, const struct event_tally *t,
                                   uint64_t turn),
                       void *arg, struct note *note)
{
    (void)s, (void)after_turn, (void)each, (void)arg;
    return called(note);
}

int store_cells_begin(struct store *s, bool *is_begun, struct note *note)
{
    (void)s;
    *is_begun = false;
    return called(note);
}

int store_put_cell(struct store *s, const struct ingress_cell *cell, struct note *note)
{
    (void)s, (void)cell;
    return called(note);
}

int store_cells_end(struct store *s, uint64_t cells, struct note *note)
{
    (void)s, (void)cells;
    return called(note);
}

int store_forget(struct store *s, const struct store_keep *keep, int64_t at, unsigned *dropped,
                 struct note *note)
{
    (void)s, (void)keep, (void)at, (void)note;
    assert(!in_transaction);
    *dropped = 0;
    db_months_looked_at++;
    return 0;
}

int store_begin(struct store *s, struct note *note)
{
    (void)s;
    assert(!in_transaction);
    int err = called(note);
    if (err == 0 && db.turns != turn)
        err = note_set(note, ERR_DATABASE, "somebody else wrote");
    if (err == 0) {
        work = db;
        work.turns++;
        in_transaction = true;
        is_refused = false;
    }
    return err;
}

void db_late(void)
{
    db = late;
}

int store_commit(struct store *s, struct note *note)
{
    (void)s;
    assert(in_transaction);
    int err = called(note);
    if (err < 0)
        return err;
    if (is_refused) /* as COPY, which is flushed at the commit */
        return note_set(note, ERR_DATA, "the test refuses that value (SQLSTATE 23514)");
    if (db_late_commit) {
        late = work;
        db_late_commit = false;
        return note_set(note, ERR_DATABASE, "the connection broke; who knows?");
    }
    db = work;
    turn = db.turns;
    in_transaction = false;
    db_commits++;
    if (!db_lose_commit)
        return 0;
    db_lose_commit = false;
    return note_set(note, ERR_DATABASE, "the connection broke; who knows?");
}

int store_try(struct store *s, struct note *note)
{
    (void)s;
    assert(in_transaction);
    int err = called(note);
    if (err == 0 && is_refused)
        return note_set(note, ERR_DATA, "the test refuses that value (SQLSTATE 23514)");
    return err;
}

void store_rollback(struct store *s)
{
    (void)s;
    in_transaction = false;
}

int store_load_sensors(struct store *s, int (*each)(void *arg, const struct sensor_row *row),
                       void *arg, struct note *note)
{
    (void)s;
    int err = called(note);
    for (size_t i = 0; err == 0 && i < db.sensor_count; i++)
        err = each(arg, &db.sensors[i]);
    return err;
}

int store_load_epochs(struct store *s, int (*each)(void *arg, const struct epoch_row *row),
                      void *arg, struct note *note)
{
    (void)s;
    int err = called(note);
    for (size_t i = 0; err == 0 && i < db.epoch_count; i++)
        err = each(arg, &db.epochs[i]);
    return err;
}

int store_load_ingress(struct store *s, int (*each)(void *arg, const struct ingress_row *row),
                       void *arg, struct note *note)
{
    (void)s;
    int err = called(note);
    for (size_t i = 0; err == 0 && i < db.row_count; i++)
        err = each(arg, &db.rows[i]);
    return err;
}

int store_load_alerts(struct store *s, int (*each)(void *arg, const struct alert_row *row),
                      void *arg, uint64_t *next_id, struct note *note)
{
    (void)s;
    int err = called(note);
    *next_id = 1;
    for (size_t i = 0; err == 0 && i < db.alert_count; i++) {
        if (db.alerts[i].alert_id >= *next_id)
            *next_id = db.alerts[i].alert_id + 1;
        if (db.alerts[i].state != ALERT_RESOLVED)
            err = each(arg, &db.alerts[i]);
    }
    return err;
}

int store_load_ends(struct store *s, void (*each)(void *arg, const struct alert_row *ended),
                    void *arg, struct note *note)
{
    (void)s;
    for (size_t i = 0; i < db.alert_count; i++)
        if (db.alerts[i].resolved_at != 0)
            each(arg, &db.alerts[i]);
    return called(note);
}

int store_load_words(struct store *s, void (*each)(void *arg, const struct alert_said *said),
                     void *arg, struct note *note)
{
    (void)s;
    for (size_t i = 0; i < db.alert_count; i++) {
        struct alert_said said = {.alert_id = db.alerts[i].alert_id,
                                  .words = db.alerts[i].words,
                                  .state = db.alerts[i].state};
        memcpy(said.by, db.alerts[i].acknowledged_by, sizeof said.by);
        if (db.alerts[i].state != ALERT_RESOLVED && db.alerts[i].words > 0)
            each(arg, &said);
    }
    return called(note);
}

int store_load_windows(struct store *s, int (*each)(void *arg, const struct alert_window *w),
                       void *arg, struct note *note)
{
    (void)s;
    int err = db_window.id != 0 ? each(arg, &db_window) : 0;
    return err == 0 ? called(note) : err;
}

int store_put_event(struct store *s, const char *sensor, const char *pop, const struct event *e,
                    struct note *note)
{
    (void)s, (void)pop;
    assert(in_transaction && work.event_count < DB_EVENTS);
    is_refused = is_refused || (db_refuses != NULL && db_refuses(sensor, e));
    struct db_event *row = &work.events[work.event_count++];
    *row = (struct db_event){.epoch = e->epoch, .seq = e->seq, .type = e->type};
    snprintf(row->sensor, sizeof row->sensor, "%s", sensor);
    return called(note);
}

int store_put_sensor(struct store *s, const struct sensor_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction);
    size_t i = 0;
    while (i < work.sensor_count && strcmp(work.sensors[i].name, row->name) != 0)
        i++;
    assert(i < DB_SENSORS);
    work.sensors[i] = *row;
    work.sensor_count += i == work.sensor_count;
    return called(note);
}

int store_put_epoch(struct store *s, const struct epoch_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction);
    size_t i = 0;
    while (i < work.epoch_count &&
           (strcmp(work.epochs[i].sensor, row->sensor) != 0 || work.epochs[i].epoch != row->epoch))
        i++;
    assert(i < DB_EPOCHS);
    if (row->is_forgotten && i < work.epoch_count)
        work.epochs[i] = work.epochs[--work.epoch_count];
    if (row->is_forgotten)
        return called(note);
    work.epochs[i] = *row;
    work.epoch_count += i == work.epoch_count;
    return called(note);
}

int store_put_gap(struct store *s, const struct gap_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction && work.gap_count < DB_GAPS);
    work.gaps[work.gap_count++] = *row;
    return called(note);
}

static bool same_entry(const struct ingress_row *a, const struct ingress_row *b)
{
    return prefix_equal(&a->prefix, &b->prefix) && strcmp(a->pop, b->pop) == 0 &&
           ingress_equal(&a->at, &b->at);
}

int store_put_ingress(struct store *s, const struct ingress_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction);
    size_t i = 0;
    while (i < work.row_count && !same_entry(&work.rows[i], row))
        i++;
    assert(i < DB_ROWS);
    work.rows[i] = *row;
    work.row_count += i == work.row_count;
    return called(note);
}

int store_drop_ingress(struct store *s, const struct ingress_row *row, struct note *note)
{
    (void)s;
    assert(in_transaction);
    for (size_t i = 0; i < work.row_count; i++)
        if (same_entry(&work.rows[i], row))
            work.rows[i--] = work.rows[--work.row_count];
    return called(note);
}

int store_put_change(struct store *s, const struct ingress_change *change, struct note *note)
{
    (void)s, (void)change;
    assert(in_transaction);
    work.changes++;
    return called(note);
}

int store_put_alert(struct store *s, const struct alert_row *row, bool announce, struct note *note)
{
    (void)s;
    assert(in_transaction);
    size_t i = 0;
    while (i < work.alert_count && work.alerts[i].alert_id != row->alert_id)
        i++;
    assert(i < DB_ALERTS);
    work.alerts[i] = *row;
    work.alert_count += i == work.alert_count;
    work.announced += announce;
    if (db_refuses_alerts)
        return note_set(note, ERR_DATA, "the test refuses alerts (SQLSTATE 23514)");
    return called(note);
}

int store_load_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note)
{
    (void)s;
    int err = called(note);
    for (size_t i = 0; err == 0 && i < db.order_count; i++)
        err = each(arg, &db.orders[i]);
    return err;
}

int store_open_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note)
{
    (void)s;
    const struct db *now = in_transaction ? &work : &db;
    int err = called(note);
    for (size_t i = 0; err == 0 && i < now->order_count; i++)
        if (now->orders[i].ended_at == 0)
            err = each(arg, &now->orders[i]);
    return err;
}

int store_put_order(struct store *s, const struct order_row *row, uint64_t *order_id,
                    struct note *note)
{
    (void)s;
    assert(in_transaction);
    size_t i = 0;
    while (i < work.order_count && work.orders[i].order_id != row->order_id)
        i++;
    assert(i < DB_ORDERS);
    bool is_cancelled = i < work.order_count && work.orders[i].state == STATUS_CANCELLED;
    *order_id = row->order_id != 0 ? row->order_id : work.order_count + 1;
    work.orders[i] = *row;
    work.orders[i].order_id = *order_id;
    if (is_cancelled)
        work.orders[i].state = STATUS_CANCELLED;
    work.order_count += i == work.order_count;
    return called(note);
}

int store_put_malformed(struct store *s, const char *sensor, uint64_t epoch, uint64_t seq,
                        const char *reason, const uint8_t *bytes, size_t len, struct note *note)
{
    (void)s, (void)sensor, (void)epoch;
    assert(in_transaction && work.malformed_count < DB_GAPS);
    struct db_malformed *row = &work.malformed[work.malformed_count++];
    *row = (struct db_malformed){.seq = seq, .len = len};
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    memcpy(row->bytes, bytes, len < sizeof row->bytes ? len : sizeof row->bytes);
    if (db_refuses_aside)
        return note_set(note, ERR_DATA, "the test refuses that, too (SQLSTATE 23514)");
    return called(note);
}

int doors_loop(struct loop *l, const struct expect *policy, struct counters *counters,
               int64_t (*wall)(void), uint64_t (*mono)(void))
{
    struct fold_conf conf = {
        .roster = {.silent_after_ns = 60 * NS_PER_S},
        .ingress = {.half_life_ns = 3600 * NS_PER_S, .max_rows = DB_ROWS, .seed = 1},
        .evidence = {.half_life_ns = 86400 * NS_PER_S},
        .alert = {.hold_down_ns = 5 * NS_PER_S,
                  .resolve_after_ns = 600 * NS_PER_S,
                  .max_alerts = 32,
                  .seed = 1},
        .order = doors_orders,
        .judge_slice = doors_judge_slice};
    struct note note = {0};
    return loop_init(l, &conf, NULL, NULL, policy, counters, wall, mono, &note);
}

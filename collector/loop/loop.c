#include "collector/loop/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

#define TICK_NS ((int64_t)NS_PER_S)

/* ---- the transaction: opened by the first thing that must be written ---- */

static int transaction(struct loop *l, struct note *note)
{
    if (l->in_transaction)
        return 0;
    int err = store_begin(l->store, note);
    l->in_transaction = err == 0;
    return err;
}

/* The table tells of each; the log of the first in a batch and how many, for a batch that is
 * rubbish from end to end would else be five hundred lines. */
static int set_aside(struct loop *l, const char *sensor, const struct wire_message *m, uint64_t seq,
                     const char *reason, const uint8_t *bytes, size_t len, struct note *note)
{
    int err = transaction(l, note);
    if (err == 0)
        err = store_put_malformed(l->store, sensor, m->epoch, seq, reason, bytes, len, note);
    if (l->aside.count++ == 0) {
        l->aside.seq = seq;
        l->aside.bytes = len;
        l->aside.reason = reason;
    }
    return err;
}

static void aside_told(struct loop *l, const char *sensor)
{
    if (l->aside.count > 0)
        log_warn("event=set_aside sensor=%s seq=%" PRIu64 " bytes=%zu reason=\"%s\" in_batch=%u",
                 sensor, l->aside.seq, l->aside.bytes, l->aside.reason, l->aside.count);
    l->aside.count = 0;
}

/* ---- answers: kept until the commit ---- */

static void answer(struct loop *l, const char *sensor, const struct wire_message *m)
{
    struct loop_answer *a = &l->answers[l->answer_count++]; /* one per message of the group */
    memcpy(a->sensor, sensor, sizeof a->sensor);
    a->message = *m;
}

static void answer_words(struct loop *l, const char *sensor, enum wire_kind kind,
                         const char *reason)
{
    struct wire_message m = {.kind = kind};
    snprintf(m.reason, sizeof m.reason, "%s", reason);
    answer(l, sensor, &m);
}

static void answer_ack(struct loop *l, const char *sensor)
{
    const struct sensor_row *row = roster_find(l->fold.roster, sensor);
    answer(l, sensor,
           &(struct wire_message){.kind = WIRE_ACK, .epoch = row->epoch, .seq = row->last_seq});
}

static void answers_send(struct loop *l)
{
    for (unsigned i = 0; i < l->answer_count; i++)
        receive_send(l->receive, l->answers[i].sensor, &l->answers[i].message);
    l->answer_count = 0;
}

/* ---- what comes ---- */

static int take_hello(struct loop *l, const char *sensor, const struct wire_message *m, int64_t now)
{
    if (m->version != WIRE_VERSION) {
        answer_words(l, sensor, WIRE_REFUSE, "this collector speaks another protocol version");
        return 0;
    }
    struct wire_message welcome = {
        .kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = m->epoch, .credit = WIRE_CREDIT};
    int err = fold_hello(&l->fold, sensor, m, now, &welcome.seq);
    if (err == ERR_FULL) { /* told by tick(), not a line each: names may come by the thousand */
        l->fold.sensors_refused++;
        answer_words(l, sensor, WIRE_REFUSE, "no room for one more sensor");
        return 0;
    }
    if (err == 0)
        answer(l, sensor, &welcome);
    return err;
}

static int take_event(struct loop *l, const char *sensor, const struct event *e, int64_t now,
                      struct note *note)
{
    int err = fold_event(&l->fold, sensor, e, now);
    if (err == 0)
        err = transaction(l, note);
    if (err == 0)
        err = store_put_event(l->store, sensor, roster_find(l->fold.roster, sensor)->pop, e, note);
    l->taken++;
    return err;
}

/* One event of a batch; *used: bytes it took, 0 when nothing after it can be read either. */
static int take_next(struct loop *l, const char *sensor, const struct wire_message *m, uint32_t i,
                     bool is_known, size_t at, size_t *used, int64_t now, struct note *note)
{
    const uint8_t *bytes = m->events + at;
    size_t left = m->events_len - at;
    struct event e;
    *used = 0;
    int err = left > 0 ? wire_event_decode(bytes, left, &e, used) : ERR_TRUNCATED;
    if (*used == 0 || is_known)
        return 0;
    const char *why_not = err < 0 ? err_text(err) : fold_why_not(&e);
    if (why_not != NULL) {
        l->malformed++;
        return set_aside(l, sensor, m, m->first_seq + i, why_not, bytes, *used, note);
    }
    e.epoch = m->epoch;
    e.seq = m->first_seq + i;
    return take_event(l, sensor, &e, now, note);
}

/* What cannot be read is set aside in one piece. The mark is beyond it already, so it blocks
 * nothing. */
static int take_tail(struct loop *l, const char *sensor, const struct wire_message *m, uint32_t i,
                     uint32_t skip, size_t at, struct note *note)
{
    const char *reason = i < m->count ? "from here on the batch cannot be read"
                                      : "bytes behind the batch's last event";
    uint32_t first = i < skip ? skip : i;
    l->malformed += i < m->count ? m->count - first : 1;
    return set_aside(l, sensor, m, m->first_seq + first, reason, m->events + at, m->events_len - at,
                     note);
}

static int take_events(struct loop *l, const char *sensor, const struct wire_message *m,
                       uint32_t skip, int64_t now, struct note *note)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        size_t used;
        int err = take_next(l, sensor, m, i, i < skip, at, &used, now, note);
        if (err < 0)
            return err;
        if (used == 0)
            return take_tail(l, sensor, m, i, skip, at, note);
        at += used;
    }
    return at < m->events_len ? take_tail(l, sensor, m, m->count, skip, at, note) : 0;
}

static int take_batch(struct loop *l, const char *sensor, const struct wire_message *m, int64_t now,
                      struct note *note)
{
    struct roster_share share;
    int err = 0;
    counter_add(l->counters, COUNTER_batches, 1);
    switch (roster_batch(l->fold.roster, sensor, m, UINT32_MAX, now, &share)) {
    case ROSTER_AGAIN:
        counter_add(l->counters, COUNTER_batches_refused, 1);
        answer_words(l, sensor, WIRE_AGAIN, "not in order, or of an unknown run");
        return 0;
    case ROSTER_REPEAT:
        l->repeated += m->count;
        break;
    case ROSTER_TAKE:
        l->repeated += share.skip;
        err = take_events(l, sensor, m, share.skip, now, note);
        aside_told(l, sensor);
        break;
    }
    if (err == 0)
        answer_ack(l, sensor);
    return err;
}

static int take_message(struct loop *l, const char *sensor, const struct wire_message *m,
                        int64_t now, struct note *note)
{
    switch (m->kind) {
    case WIRE_HELLO:
        return take_hello(l, sensor, m, now);
    case WIRE_BATCH:
        return take_batch(l, sensor, m, now, note);
    default:
        return 0;
    }
}

/* All that waits, but no more than a group. */
static int gather(struct loop *l, int timeout_ms, struct note *note)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint64_t until = 0;
    for (unsigned n = 0; n < LOOP_GROUP_MAX; n++) {
        if (receive_next(l->receive, n == 0 ? timeout_ms : 0, sensor, &m) <= 0)
            break;
        int err = take_message(l, sensor, &m, l->wall(), note);
        if (err < 0)
            return err;
        uint64_t at = clock_mono_ns();
        if (until == 0)
            until = at + LOOP_GROUP_NS;
        if (at >= until)
            break;
    }
    return 0;
}

/* ---- what changed goes to the database ---- */

static int put_roster(struct loop *l, struct note *note)
{
    struct sensor_row sensor;
    struct epoch_row epoch;
    struct gap_row gap;
    char reason[sizeof gap.reason];
    int err = 0;
    while (err == 0 && roster_take_sensor(l->fold.roster, &sensor)) {
        err = transaction(l, note);
        if (err == 0)
            err = store_put_sensor(l->store, &sensor, note);
    }
    while (err == 0 && roster_take_epoch(l->fold.roster, &epoch)) {
        if (epoch.is_forgotten)
            log_warn("event=epoch_forgotten sensor=%s epoch=%" PRIu64 " last_seq=%" PRIu64
                     " hint=\"it had more than %d spools\"",
                     epoch.sensor, epoch.epoch, epoch.last_seq, EPOCHS_MAX);
        err = transaction(l, note);
        if (err == 0)
            err = store_put_epoch(l->store, &epoch, note);
    }
    while (err == 0 && roster_take_gap(l->fold.roster, &gap)) {
        log_warn("event=gap sensor=%s from_seq=%" PRIu64 " to_seq=%" PRIu64 " reason=\"%s\"",
                 gap.sensor, gap.from_seq, gap.to_seq,
                 log_quotable(gap.reason, reason, sizeof reason));
        err = transaction(l, note);
        if (err == 0)
            err = store_put_gap(l->store, &gap, note);
    }
    return err;
}

static int put_map(struct loop *l, int64_t now, struct note *note)
{
    struct ingress_row row;
    int err = 0;
    while (err == 0 && ingress_map_take(l->fold.map, &row)) {
        fold_row(&l->fold, &row, now);
        err = transaction(l, note);
        if (err == 0)
            err = store_put_ingress(l->store, &row, note);
    }
    return err;
}

static int put_alerts(struct loop *l, struct note *note)
{
    struct alert_row row;
    char summary[sizeof row.summary];
    bool announce;
    int err = 0;
    while (err == 0 && alert_take(l->fold.alert, &row, &announce)) {
        err = transaction(l, note);
        if (err == 0)
            err = store_put_alert(l->store, &row, announce, note);
        if (err < 0 || !announce)
            continue;
        l->announced++;
        log_info("event=alert id=%" PRIu64 " state=%s severity=%s summary=\"%s\"", row.alert_id,
                 alert_state_word[row.state], row.severity,
                 log_quotable(row.summary, summary, sizeof summary));
    }
    return err;
}

static int commit(struct loop *l, struct note *note)
{
    if (!l->in_transaction)
        return 0;
    int err = store_commit(l->store, note);
    if (err < 0)
        return err;
    l->in_transaction = l->has_failed = false;
    counter_add(l->counters, COUNTER_transactions, 1);
    return 0;
}

static void tick(struct loop *l)
{
    int64_t now = l->wall();
    /* A clock that was set back must not stop the ticks. */
    if (now >= l->ticked_at && now - l->ticked_at < TICK_NS)
        return;
    l->ticked_at = now;
    fold_tick(&l->fold, now);
    if (l->fold.map_refused + l->fold.alerts_refused + l->fold.sensors_refused == 0)
        return;
    log_warn("event=no_room map_rows_refused=%" PRIu64 " alerts_refused=%" PRIu64
             " sensors_refused=%" PRIu64 " hint=\"map.max_rows, alerts.max, table sensor\"",
             l->fold.map_refused, l->fold.alerts_refused, l->fold.sensors_refused);
    l->fold.map_refused = l->fold.alerts_refused = l->fold.sensors_refused = 0;
}

/* ---- the turn ---- */

static int turn(struct loop *l, int timeout_ms, struct note *note)
{
    int err = gather(l, timeout_ms, note);
    if (err < 0)
        return err;
    if (l->is_expect_new)
        fold_expect_all(&l->fold, l->wall());
    l->is_expect_new = false;
    tick(l);
    err = put_roster(l, note);
    if (err == 0)
        err = put_map(l, l->wall(), note);
    if (err == 0)
        err = put_alerts(l, note);
    return err == 0 ? commit(l, note) : err;
}

/* Only what is committed is counted. */
static void count(struct loop *l)
{
    counter_add(l->counters, COUNTER_events_taken, l->taken);
    counter_add(l->counters, COUNTER_events_repeated, l->repeated);
    counter_add(l->counters, COUNTER_events_malformed, l->malformed);
    counter_add(l->counters, COUNTER_alerts, l->announced);
}

static void turn_begin(struct loop *l)
{
    l->taken = l->repeated = l->malformed = l->announced = 0;
    l->answer_count = 0;
}

static void forget(struct loop *l, const struct note *note)
{
    char reason[sizeof note->text];
    log_error("event=transaction_failed reason=\"%s\"",
              log_quotable(note->text, reason, sizeof reason));
    counter_add(l->counters, COUNTER_transactions_failed, 1);
    store_rollback(l->store);
    l->in_transaction = false;
    fold_clear(&l->fold);
    atomic_store(&l->is_loaded, false);
}

/* The door stays open for so long, but nothing is taken. While another collector writes, who comes
 * is told so. */
static void wait_outside(struct loop *l)
{
    const struct wire_message refuse = {
        .kind = WIRE_REFUSE, .reason = "another collector writes to this one's database"};
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint64_t until = clock_mono_ns() + LOOP_PAUSE_MS * NS_PER_MS, at;
    while ((at = clock_mono_ns()) < until) {
        if (receive_next(l->receive, (int)((until - at) / NS_PER_MS) + 1, sensor, &m) <= 0)
            break;
        if (l->is_busy)
            receive_send(l->receive, sensor, &refuse);
    }
}

static int load(struct loop *l, struct note *note)
{
    int err = fold_load(&l->fold, &l->conf, l->expect, l->store, l->wall(), note);
    atomic_store(&l->is_loaded, err == 0);
    return err;
}

static void ask(void *arg, const char *sensor)
{
    const struct loop *l = arg;
    struct wire_message again = {.kind = WIRE_AGAIN, .reason = "the collector begins anew"};
    receive_send(l->receive, sensor, &again);
}

/* A first failure is tried again at once (a connection that broke); from the second on, with a
 * pause, so that a database that cannot write is not stormed. */
static void recover(struct loop *l)
{
    struct note note = {0};
    if (l->has_failed)
        wait_outside(l);
    l->has_failed = true;
    bool was_busy = l->is_busy;
    int err = load(l, &note);
    l->is_busy = err == ERR_BUSY;
    if (err < 0) {
        char reason[sizeof note.text];
        if (!l->is_away || l->is_busy != was_busy) /* said once, not every second */
            log_error("event=database_away reason=\"%s\"",
                      log_quotable(note.text, reason, sizeof reason));
        l->is_away = true;
        return;
    }
    l->is_away = false;
    log_info("event=loaded_again");
    roster_all(l->fold.roster, ask, l); /* to those who are not connected it is not even sent */
}

void loop_turn(struct loop *l, int timeout_ms)
{
    struct note note = {0};
    if (!atomic_load(&l->is_loaded)) {
        recover(l);
        return;
    }
    turn_begin(l);
    int err = turn(l, timeout_ms, &note);
    if (err < 0) {
        if (note.text[0] == '\0')
            note_set(&note, err, "%s", err_text(err));
        forget(l, &note);
        return;
    }
    count(l);
    answers_send(l);
}

int loop_init(struct loop *l, const struct fold_conf *conf, struct receive *receive,
              struct store *store, const struct expect *expect, struct counters *counters,
              int64_t (*wall)(void), struct note *note)
{
    *l = (struct loop){.conf = *conf,
                       .receive = receive,
                       .store = store,
                       .expect = expect,
                       .counters = counters,
                       .wall = wall};
    return load(l, note);
}

void loop_clear(struct loop *l)
{
    fold_clear(&l->fold);
}

void loop_expect_changed(struct loop *l)
{
    l->is_expect_new = true;
}

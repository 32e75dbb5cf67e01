#include "collector/loop/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/loop/fold_expect.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

_Static_assert(DOUBTS_MAX >= LOOP_GROUP_MAX, "a transaction's sensors all have room in doubt");

#define TICK_NS    ((int64_t)NS_PER_S)
#define FORGET_NS  (3600 * (int64_t)NS_PER_S)
#define OVERLAP_NS (60 * (int64_t)NS_PER_S)
/* How often it is looked for months that are too old. */
#define MONTHS_NS ((int64_t)(3600 * NS_PER_S))
/* Of one transaction: a spool that was full may have thousands, each of a few numbers. */
#define GAPS_LOGGED 4

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

/* ---- the clock ---- */

/* The time. When somebody set the clock since the last look, what is held is told. */
static int64_t look_at_clock(struct loop *l)
{
    int64_t now = l->wall(), ahead = now - (int64_t)l->mono();
    int64_t jump = l->is_clock_known ? ahead - l->clock_ahead : 0;
    l->clock_ahead = ahead;
    l->is_clock_known = true;
    if (jump <= LOOP_JUMP_NS && jump >= -LOOP_JUMP_NS)
        return now;
    log_warn("event=clock_jumped by_s=%" PRId64 " hint=\"silence and hold-downs are counted anew\"",
             jump / (int64_t)NS_PER_S);
    fold_clock_jumped(&l->fold, now);
    orders_clock_jumped(l->fold.orders, jump);
    return now;
}

/* ---- what comes ---- */

/* The more sensors are up, the fewer batches each may have under way. */
static uint64_t credit(const struct loop *l)
{
    size_t up = roster_up(l->fold.roster);
    uint64_t share = LOOP_WINDOW / (up > 0 ? up : 1);
    if (share > WIRE_CREDIT)
        return WIRE_CREDIT;
    return share < LOOP_CREDIT_MIN ? LOOP_CREDIT_MIN : share;
}

static int take_hello(struct loop *l, const char *sensor, const struct wire_message *m, int64_t now)
{
    if (m->version != WIRE_VERSION) {
        answer_words(l, sensor, WIRE_REFUSE, "this collector speaks another protocol version");
        return 0;
    }
    struct wire_message welcome = {
        .kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = m->epoch, .zstd = 1};
    int err = fold_hello(&l->fold, sensor, m, now, &welcome.seq);
    if (err == ERR_FULL) { /* told by tick(), not a line each: names may come by the thousand */
        l->fold.sensors_refused++;
        answer_words(l, sensor, WIRE_REFUSE, "no room for one more sensor");
        return 0;
    }
    welcome.credit = credit(l);
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

/* What a batch is taken with. */
struct taking {
    const char *sensor;
    const struct wire_message *m;
    struct roster_share share; /* which of its events */
    const struct doubt *doubt; /* NULL: none */
    int64_t now;
};

/* The database refused it, when it was tried alone: kept with its bytes, and nothing is made of it.
 */
static int set_poisoned_aside(struct loop *l, const struct taking *t, const uint8_t *bytes,
                              size_t len, struct note *note)
{
    int err = transaction(l, note);
    if (err == 0)
        err = store_put_malformed(l->store, t->sensor, t->m->epoch, t->doubt->seq, t->doubt->reason,
                                  bytes, len, note);
    l->poisoned++;
    return err;
}

/* One event of a batch; *used: bytes it took, 0 when nothing after it can be read either. */
static int take_next(struct loop *l, const struct taking *t, uint32_t i, size_t at, size_t *used,
                     struct note *note)
{
    const uint8_t *bytes = t->m->events + at;
    size_t left = t->m->events_len - at;
    struct event e;
    *used = 0;
    int err = left > 0 ? wire_event_decode(bytes, left, &e, used) : ERR_TRUNCATED;
    if (*used == 0 || i < t->share.skip)
        return 0;
    uint64_t seq = t->m->first_seq + i;
    const char *why_not = err < 0 ? err_text(err) : fold_why_not(&e);
    if (t->doubt != NULL && t->doubt->is_poisoned && t->doubt->seq == seq)
        return set_poisoned_aside(l, t, bytes, *used, note);
    if (why_not != NULL) {
        l->malformed++;
        return set_aside(l, t->sensor, t->m, seq, why_not, bytes, *used, note);
    }
    e.epoch = t->m->epoch;
    e.seq = seq;
    return take_event(l, t->sensor, &e, t->now, note);
}

/* What cannot be read is set aside in one piece. The mark is beyond it already, so it blocks
 * nothing. */
static int take_tail(struct loop *l, const struct taking *t, uint32_t i, size_t at,
                     struct note *note)
{
    const struct wire_message *m = t->m;
    const char *reason = i < m->count ? "from here on the batch cannot be read"
                                      : "bytes behind the batch's last event";
    uint32_t first = i < t->share.skip ? t->share.skip : i;
    l->malformed += i < m->count ? t->share.skip + t->share.count - first : 1;
    return set_aside(l, t->sensor, m, m->first_seq + first, reason, m->events + at,
                     m->events_len - at, note);
}

static int take_events(struct loop *l, const struct taking *t, struct note *note)
{
    size_t at = 0;
    uint32_t end = t->share.skip + t->share.count;
    for (uint32_t i = 0; i < end; i++) {
        size_t used;
        int err = take_next(l, t, i, at, &used, note);
        if (err < 0)
            return err;
        if (used == 0)
            return take_tail(l, t, i, at, note);
        at += used;
    }
    return end == t->m->count && at < t->m->events_len ? take_tail(l, t, end, at, note) : 0;
}

/* ---- a batch that waits: it is in doubt and must be alone, or only its beginning was taken ----
 */

static void hold(struct loop *l, const char *sensor, const struct wire_message *m, bool is_begun)
{
    struct loop_held *held = &l->held;
    if (m->events != held->events)
        memcpy(held->events, m->events, m->events_len);
    snprintf(held->sensor, sizeof held->sensor, "%s", sensor);
    held->message = *m;
    held->message.events = held->events;
    held->is_there = true;
    held->is_begun = is_begun;
}

/* 1, or 0: nothing there. */
static int next_message(struct loop *l, int timeout_ms, char sensor[static WIRE_NAME],
                        struct wire_message *m)
{
    if (!l->held.is_there)
        return receive_next(l->receive, timeout_ms, sensor, m) > 0;
    l->held.is_there = false;
    memcpy(sensor, l->held.sensor, WIRE_NAME);
    *m = l->held.message;
    return 1;
}

/* ---- batches ---- */

static void remember(struct loop *l, const struct taking *t)
{
    struct loop_take *take = &l->takes[l->take_count++]; /* one per message of the group */
    take->epoch = t->m->epoch;
    take->from = t->m->first_seq + t->share.skip;
    take->count = t->share.count;
    snprintf(take->sensor, sizeof take->sensor, "%s", t->sensor);
}

static int take_share(struct loop *l, const struct taking *t, struct note *note)
{
    remember(l, t);
    int err = take_events(l, t, note);
    aside_told(l, t->sensor);
    if (err == 0 && t->share.skip + t->share.count < t->m->count)
        hold(l, t->sensor, t->m, true);
    return err;
}

static int take_batch(struct loop *l, const char *sensor, const struct wire_message *m,
                      const struct doubt *doubt, bool is_begun, int64_t now, struct note *note)
{
    struct taking t = {.sensor = sensor, .m = m, .doubt = doubt, .now = now};
    uint32_t room = doubt != NULL ? doubt->limit : WIRE_BATCH_EVENTS;
    int err = 0;
    counter_add(l->counters, COUNTER_batches, !is_begun);
    int answer = fold_batch(&l->fold, sensor, m, room, now, &t.share);
    if (answer < 0)
        return note_set(note, answer, "a gap cannot be noted: %s", err_text(answer));
    switch ((enum roster_answer)answer) {
    case ROSTER_AGAIN:
        counter_add(l->counters, COUNTER_batches_refused, 1);
        answer_words(l, sensor, WIRE_AGAIN, "not in order, or not of the epoch of your hello");
        return 0;
    case ROSTER_REPEAT:
        l->repeated += m->count;
        break;
    case ROSTER_TAKE:
        l->repeated += is_begun ? 0 : t.share.skip;
        err = take_share(l, &t, note);
        break;
    }
    if (err == 0)
        answer_ack(l, sensor);
    return err;
}

static bool is_tick_due(const struct loop *l, int64_t now)
{
    /* A clock that was set back must not stop the ticks. */
    return now < l->ticked_at || now - l->ticked_at >= TICK_NS;
}

/* A batch in doubt is tried alone: with nothing of others, of ticks or of a new policy, so that a
 * failure says something about its events. */
static bool must_wait(const struct loop *l, unsigned before, int64_t now)
{
    return before > 0 || l->is_expect_new || is_tick_due(l, now);
}

/* One message, the group's n-th. *is_full: nothing may follow it in this transaction. */
static int take_message(struct loop *l, const char *sensor, const struct wire_message *m,
                        unsigned n, bool *is_full, struct note *note)
{
    bool is_begun = l->held.is_begun;
    int64_t now = look_at_clock(l);
    l->held.is_begun = false;
    if (m->kind == WIRE_HELLO)
        return take_hello(l, sensor, m, now);
    if (m->kind != WIRE_BATCH)
        return 0;
    struct doubt *doubt = doubts_of(&l->doubts, sensor, m->epoch);
    if (doubt != NULL && roster_ask(l->fold.roster, sensor, m) != ROSTER_TAKE)
        doubt = NULL; /* nothing of it is new */
    *is_full = doubt != NULL;
    if (doubt != NULL && must_wait(l, n, now)) {
        hold(l, sensor, m, is_begun);
        return 0;
    }
    l->doubt = doubt;
    return take_batch(l, sensor, m, doubt, is_begun, now, note);
}

/* All that waits, but no more than a group. */
static int gather(struct loop *l, int timeout_ms, struct note *note)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint64_t until = 0;
    bool is_full = false;
    for (unsigned n = 0; n < LOOP_GROUP_MAX && !is_full; n++) {
        if (!next_message(l, n == 0 ? timeout_ms : 0, sensor, &m))
            break;
        int err = take_message(l, sensor, &m, n, &is_full, note);
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

static int put_roster(struct loop *l, int64_t now, struct note *note)
{
    struct sensor_row sensor;
    struct epoch_row epoch;
    struct gap_row gap;
    char reason[sizeof gap.reason];
    unsigned gaps = 0;
    int err = 0;
    while (err == 0 && roster_take_sensor(l->fold.roster, &sensor)) {
        fold_sensor(&l->fold, &sensor, now);
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
        if (gaps++ < GAPS_LOGGED)
            log_warn("event=gap sensor=%s from_seq=%" PRIu64 " to_seq=%" PRIu64 " reason=\"%s\"",
                     gap.sensor, gap.from_seq, gap.to_seq,
                     log_quotable(gap.reason, reason, sizeof reason));
        fold_gap(&l->fold, &gap, now);
        err = transaction(l, note);
        if (err == 0)
            err = store_put_gap(l->store, &gap, note);
    }
    if (gaps > GAPS_LOGGED)
        log_warn("event=gaps more=%u hint=\"penstock.sensor_gap has them all\"",
                 gaps - GAPS_LOGGED);
    return err;
}

static int put_map(struct loop *l, int64_t now, struct note *note)
{
    struct ingress_change change;
    struct ingress_row row;
    int err = 0;
    while (err == 0 && ingress_map_take_change(l->fold.map, &change)) {
        fold_change(&l->fold, &change, now);
        err = transaction(l, note);
        if (err == 0)
            err = store_put_change(l->store, &change, note);
    }
    while (err == 0 && ingress_map_take(l->fold.map, &row)) {
        fold_row(&l->fold, &row, now);
        err = transaction(l, note);
        if (err == 0)
            err = row.is_gone ? store_drop_ingress(l->store, &row, note)
                              : store_put_ingress(l->store, &row, note);
    }
    return err;
}

/* After all that this transaction folds: the counters are as of it. */
static int put_cells(struct loop *l, int64_t now, struct note *note)
{
    if (l->doubt != NULL || !cells_want(&l->fold.cells, l->fold.map, now))
        return 0;
    int err = transaction(l, note);
    return err == 0 ? cells_write(&l->fold.cells, l->fold.map, l->store, now, note) : err;
}

static int put_alerts(struct loop *l, struct note *note)
{
    struct alert_row row;
    char summary[sizeof row.summary];
    bool announce;
    int err = 0;
    while (err == 0 && alert_take(l->fold.alert, &row, &announce)) {
        fold_alert(&l->fold, &row);
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

static int put_orders(struct loop *l, struct note *note)
{
    struct order_row row;
    char prefix[PREFIX_TEXT];
    unsigned slot;
    int err = 0;
    while (err == 0 && orders_take(l->fold.orders, &row, &slot)) {
        uint64_t id = row.order_id;
        err = transaction(l, note);
        if (err == 0)
            err = store_put_order(l->store, &row, &id, note);
        if (err > 0) {
            orders_put_off(l->fold.orders, slot);
            err = 0;
            continue;
        }
        if (err == 0 && row.order_id == 0)
            orders_number(l->fold.orders, slot, id);
        if (err == 0)
            log_info("event=order id=%" PRIu64 " state=%s prefix=%s pop=%s sensor=%s result=%s", id,
                     order_status_word[row.state], prefix_format(&row.prefix, prefix),
                     row.pop[0] != '\0' ? row.pop : "-", row.sensor[0] != '\0' ? row.sensor : "-",
                     row.result[0] != '\0' ? row.result : "-");
    }
    return err;
}

/* Two configurations that name the same prefix do so for as long as nobody changes them: once a
 * minute is enough. */
static void tell_overlaps(struct loop *l, const struct orders_stats *stats, int64_t now)
{
    char prefix[PREFIX_TEXT];
    const struct test_overlap *last = &stats->overlap;
    bool is_new = stats->overlaps > l->overlaps;
    if (is_new)
        counter_add(l->counters, COUNTER_tests_overlapping, stats->overlaps - l->overlaps);
    l->overlaps = stats->overlaps; /* of this memory: a load begins at 0 */
    if (!is_new || (now >= l->overlap_told_at && now - l->overlap_told_at < OVERLAP_NS))
        return;
    l->overlap_told_at = now;
    log_warn("event=tests_overlap prefix=%s sensor=%s other=%s hint=\"both watch it: "
             "penny.prefixes of the first; docs/orders.md\"",
             prefix_format(&last->prefix, prefix), last->sensor, last->other);
}

/* What the database has committed is said: a sensor that hears of an order is one that it knows. */
static void send_orders(struct loop *l)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    int64_t now = l->wall();
    struct orders_stats stats;
    while (orders_send(l->fold.orders, now, sensor, &m)) {
        receive_send(l->receive, sensor, &m);
        counter_add(l->counters, COUNTER_orders_told, 1);
    }
    orders_stats(l->fold.orders, &stats);
    counter_set(l->counters, COUNTER_orders_running, stats.running);
    counter_set(l->counters, COUNTER_orders_proposed, stats.proposed);
    if (stats.refused > l->orders_refused)
        counter_add(l->counters, COUNTER_orders_no_room, stats.refused - l->orders_refused);
    tell_overlaps(l, &stats, now);
    l->orders_refused = stats.refused; /* of this memory: a load begins at 0 */
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

static void tell_no_room(struct loop *l)
{
    if (l->fold.map_refused + l->fold.alerts_refused + l->fold.sensors_refused == 0)
        return;
    log_warn("event=no_room map_rows_refused=%" PRIu64 " alerts_refused=%" PRIu64
             " sensors_refused=%" PRIu64 " hint=\"map.max_rows, alerts.max, table sensor\"",
             l->fold.map_refused, l->fold.alerts_refused, l->fold.sensors_refused);
    l->fold.map_refused = l->fold.alerts_refused = l->fold.sensors_refused = 0;
}

static void tick(struct loop *l)
{
    int64_t now = look_at_clock(l);
    if (!is_tick_due(l, now))
        return;
    l->ticked_at = now;
    fold_tick(&l->fold, now);
    tell_no_room(l);
}

/* Somebody ordered a test, approved one or cancelled one: at once, for people wait for it. */
static int told_orders(struct loop *l, struct note *note)
{
    if ((l->heard & HEARD_ORDER) == 0 && !orders_are_behind(l->fold.orders))
        return 0;
    l->heard &= ~(unsigned)HEARD_ORDER;
    return fold_told_orders(&l->fold, l->store, look_at_clock(l), note); /* leases end by it */
}

/* ---- the turn ---- */

/* What people said in SQL; and whether the session is still there, when there is nothing to write.
 */
static int hear(struct loop *l, struct note *note)
{
    unsigned what = 0;
    int err = store_heard(l->store, &what, note);
    l->heard |= what;
    return err;
}

/* What people said of alerts, and windows of maintenance. */
static int hear_words(struct loop *l, struct note *note)
{
    if ((l->heard & HEARD_ALERT_WORD) == 0)
        return 0;
    l->heard &= ~(unsigned)HEARD_ALERT_WORD;
    return fold_alert_words(&l->fold, l->store, l->wall(), note);
}

/* Once an hour. */
static int forget_alerts(struct loop *l, int64_t now, struct note *note)
{
    if (l->conf.alert_keep_ns == 0 || (now >= l->forgot_at && now - l->forgot_at < FORGET_NS))
        return 0;
    l->forgot_at = now;
    int err = transaction(l, note);
    return err == 0 ? store_forget_alerts(l->store, now - (int64_t)l->conf.alert_keep_ns, note)
                    : err;
}

/* Before anything is written in this turn. */
static int hear_expectation(struct loop *l, struct note *note)
{
    if ((l->heard & HEARD_EXPECTATION) == 0)
        return 0;
    int err = fold_expect_load(&l->fold, l->store, note);
    if (err == 0) {
        l->heard &= ~(unsigned)HEARD_EXPECTATION;
        fold_expect_begin(&l->fold);
    }
    return err;
}

static int put_learned(struct loop *l, struct note *note)
{
    struct expect_row row;
    int err = 0;
    while (err == 0 && fold_expect_take(&l->fold, &row)) {
        err = transaction(l, note);
        if (err == 0)
            err = store_put_expectation(l->store, &row, note);
    }
    return err;
}

static int turn(struct loop *l, int timeout_ms, struct note *note)
{
    int err = hear(l, note);
    if (err == 0)
        err = hear_expectation(l, note);
    if (err == 0)
        err = gather(l, timeout_ms, note);
    if (err < 0)
        return err;
    if (l->is_expect_new)
        fold_expect_begin(&l->fold);
    l->is_expect_new = false;
    fold_expect_some(&l->fold, l->wall());
    if (l->doubt == NULL) { /* it may have come due since must_wait() looked */
        err = hear_words(l, note);
        if (err == 0)
            err = told_orders(l, note);
        tick(l);
    }
    if (err == 0)
        err = put_roster(l, l->wall(), note);
    if (err == 0)
        err = put_map(l, l->wall(), note);
    if (err == 0)
        err = put_learned(l, note);
    if (err == 0)
        err = put_alerts(l, note);
    if (err == 0)
        err = put_orders(l, note);
    if (err == 0 && l->doubt == NULL)
        err = forget_alerts(l, l->wall(), note);
    if (err == 0)
        err = put_cells(l, l->wall(), note);
    return err == 0 ? commit(l, note) : err;
}

/* Only what is committed is counted. */
static void count(struct loop *l)
{
    counter_add(l->counters, COUNTER_events_taken, l->taken);
    counter_add(l->counters, COUNTER_events_repeated, l->repeated);
    counter_add(l->counters, COUNTER_events_malformed, l->malformed);
    counter_add(l->counters, COUNTER_events_poisoned, l->poisoned);
    counter_add(l->counters, COUNTER_alerts, l->announced);
}

static void turn_begin(struct loop *l)
{
    l->taken = l->repeated = l->malformed = l->poisoned = l->announced = 0;
    l->answer_count = l->take_count = 0;
    l->doubt = NULL;
}

/* ---- an event that the database refuses ---- */

static void poisoned_told(const struct doubt *doubt)
{
    char reason[sizeof doubt->reason];
    log_error("event=event_poisoned sensor=%s epoch=%" PRIu64 " seq=%" PRIu64
              " reason=\"%s\" hint=\"it is in penstock.malformed_event\"",
              doubt->sensor, doubt->epoch, doubt->seq,
              log_quotable(doubt->reason, reason, sizeof reason));
}

static void trial_passed(struct loop *l)
{
    if (l->doubt == NULL)
        return;
    if (l->poisoned > 0)
        poisoned_told(l->doubt);
    doubt_passed(&l->doubts, l->doubt, roster_find(l->fold.roster, l->doubt->sensor)->last_seq);
}

/* True when something was learnt: the next attempt is another one. */
static bool trial_failed(struct loop *l, const struct note *note)
{
    const struct loop_take *take = &l->takes[0];
    if (l->take_count == 0 || l->poisoned > 0) { /* set aside, and refused all the same */
        doubt_end(&l->doubts, l->doubt);
        return false;
    }
    doubt_failed(l->doubt, take->from + take->count - 1, take->count, note->text);
    return true;
}

/* The database refused a value in this transaction. Whose? */
static void blame(struct loop *l, const struct note *note)
{
    bool is_learnt = l->take_count > 0;
    if (l->doubt != NULL)
        is_learnt = trial_failed(l, note);
    else
        for (unsigned i = 0; i < l->take_count; i++)
            doubts_add(&l->doubts, l->takes[i].sensor, l->takes[i].epoch,
                       l->takes[i].from + l->takes[i].count - 1);
    l->has_failed = !is_learnt; /* then the same is tried again: after a pause */
    if (!is_learnt)
        log_error("event=database_refuses hint=\"no event is to blame, so nothing is set aside: a "
                  "row of the map, an alert or a sensor is refused; nothing is stored until the "
                  "database takes it\"");
}

static void forget(struct loop *l, const struct note *note)
{
    char reason[sizeof note->text];
    log_error("event=transaction_failed reason=\"%s\"",
              log_quotable(note->text, reason, sizeof reason));
    counter_add(l->counters, COUNTER_transactions_failed, 1);
    store_rollback(l->store);
    l->in_transaction = false;
    l->held.is_there = l->held.is_begun = false; /* the sensor has it */
    fold_clear(&l->fold);
    atomic_store(&l->is_loaded, false);
}

#define WHY_BUSY "another collector writes to this one's database"

/* The door stays open for so long, but nothing is taken. While another collector writes, who comes
 * is told so. */
static void wait_outside(struct loop *l)
{
    const struct wire_message refuse = {.kind = WIRE_REFUSE, .reason = WHY_BUSY};
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
    int err = store_listen(l->store, note);
    if (err == 0)
        err = fold_load(&l->fold, &l->conf, l->expect, l->store, l->wall(), note);
    atomic_store(&l->is_loaded, err == 0);
    return err;
}

/* To everybody who said hello; to those who are not connected it is not even sent. */
static void tell_all(struct loop *l, enum wire_kind kind, const char *reason)
{
    struct wire_message m = {.kind = kind};
    snprintf(m.reason, sizeof m.reason, "%s", reason);
    receive_send_all(l->receive, &m);
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
        if (l->is_busy && !was_busy)
            tell_all(l, WIRE_REFUSE, WHY_BUSY);
        l->is_away = true;
        return;
    }
    l->is_away = false;
    l->ticked_at = 0; /* what the load itself changed is written before a trial */
    log_info("event=loaded_again");
    tell_all(l, WIRE_AGAIN, "the collector begins anew");
}

/* Between transactions: months that are too old go, one of each table at a time. That it did not
 * work is no reason to read the database again. */
static void forget_months(struct loop *l)
{
    int64_t now = l->wall();
    struct note note = {0};
    char reason[sizeof note.text];
    unsigned dropped = 0;
    if (now >= l->months_looked_at && now < l->months_looked_at + l->months_wait)
        return;
    int err = store_forget(l->store, &l->conf.keep, now, &dropped, &note);
    if (err < 0)
        log_warn("event=retention_failed reason=\"%s\"",
                 log_quotable(note.text, reason, sizeof reason));
    l->months_looked_at = now;
    l->months_wait = dropped > 0 ? TICK_NS : MONTHS_NS;
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
        if (err == ERR_DATA)
            blame(l, &note);
        forget(l, &note);
        return;
    }
    count(l);
    trial_passed(l);
    answers_send(l);
    forget_months(l);
    send_orders(l);
}

void loop_end(struct loop *l)
{
    struct note note = {0};
    char reason[sizeof note.text];
    if (!atomic_load(&l->is_loaded))
        return;
    turn_begin(l);
    ingress_map_hurry(l->fold.map);
    int err = put_map(l, l->wall(), &note);
    if (err == 0)
        err = commit(l, &note);
    if (err < 0)
        log_warn("event=end_unwritten reason=\"%s\" hint=\"the next start writes it\"",
                 log_quotable(note.text, reason, sizeof reason));
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
                       .wall = wall,
                       .mono = clock_mono_ns};
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

void loop_orders_changed(struct loop *l, const struct order_conf *conf)
{
    unsigned max = l->conf.order.max_orders; /* of memory that is there */
    l->conf.order = *conf;
    l->conf.order.max_orders = max;
    if (l->fold.orders != NULL)
        orders_conf_changed(l->fold.orders);
}

void loop_alerts_changed(struct loop *l, const struct alert_conf *conf, uint64_t keep_ns)
{
    unsigned max_alerts = l->conf.alert.max_alerts;
    uint64_t seed = l->conf.alert.seed;
    l->conf.alert = *conf;
    l->conf.alert.max_alerts = max_alerts;
    l->conf.alert.seed = seed;
    l->conf.alert_keep_ns = keep_ns;
    if (l->fold.alert != NULL) /* else the next load takes it */
        alert_configure(l->fold.alert, &l->conf.alert);
    l->is_expect_new = true; /* every row is judged again */
}

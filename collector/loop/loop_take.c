#include "collector/loop/loop_take.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/loop/loop_put.h"
#include "collector/loop/loop_rehearse.h"
#include "collector/loop/loop_tell.h"
#include "collector/loop/loop_timers.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

_Static_assert(DOUBTS_MAX >= LOOP_GROUP_MAX, "a transaction's sensors all have room in doubt");

/* ---- what cannot be taken is set aside ---- */

/* The table tells of each; the log of the first in a batch and how many, for a batch that is
 * rubbish from end to end would else be five hundred lines. */
static int set_aside(struct loop *l, const char *sensor, const struct wire_message *m, uint64_t seq,
                     const char *reason, const uint8_t *bytes, size_t len, struct note *note)
{
    int err = loop_put_begin(l, note);
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
        loop_answer_words(l, sensor, WIRE_REFUSE, "this collector speaks another protocol version");
        return 0;
    }
    struct wire_message welcome = {
        .kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = m->epoch, .zstd = 1};
    int err = fold_hello(&l->fold, sensor, m, now, &welcome.seq);
    if (err == ERR_FULL) { /* loop_tick() tells, not a line each: names may come by the thousand */
        l->fold.sensors_refused++;
        loop_answer_words(l, sensor, WIRE_REFUSE, "no room for one more sensor");
        return 0;
    }
    welcome.credit = credit(l);
    if (err == 0)
        loop_answer(l, sensor, &welcome);
    return err;
}

static int take_event(struct loop *l, const char *sensor, const struct event *e, int64_t now,
                      struct note *note)
{
    int err = fold_event(&l->fold, sensor, e, now);
    if (err == 0)
        err = loop_put_begin(l, note);
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
    int err = loop_put_begin(l, note);
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
    uint32_t room = doubt != NULL ? doubt->room : WIRE_BATCH_EVENTS;
    int err = 0;
    counter_add(l->counters, COUNTER_batches, !is_begun);
    int answer = fold_batch(&l->fold, sensor, m, room, now, &t.share);
    if (answer < 0)
        return note_set(note, answer, "a gap cannot be noted: %s", err_text(answer));
    switch ((enum roster_answer)answer) {
    case ROSTER_AGAIN:
        counter_add(l->counters, COUNTER_batches_refused, 1);
        loop_answer_words(l, sensor, WIRE_AGAIN, "not in order, or not of the epoch of your hello");
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
        loop_answer_ack(l, sensor);
    return err;
}

/* A batch in doubt is tried alone: with nothing of others, of ticks or of a new policy, so that a
 * failure says something about its events. */
static bool must_wait(const struct loop *l, unsigned before, int64_t now)
{
    return before > 0 || l->is_expect_new || loop_is_tick_due(l, now);
}

/* One message, the group's n-th. *is_full: nothing may follow it in this transaction. */
static int take_message(struct loop *l, const char *sensor, const struct wire_message *m,
                        unsigned n, bool *is_full, struct note *note)
{
    bool is_begun = l->held.is_begun;
    int64_t now = loop_clock(l);
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
    int err = doubt != NULL ? loop_rehearse(l, sensor, m, doubt, note) : 0;
    if (err < 0)
        return err;
    l->doubt = doubt;
    return take_batch(l, sensor, m, doubt, is_begun, now, note);
}

int loop_take(struct loop *l, int timeout_ms, struct note *note)
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

#include "collector/loop/loop_timers.h"

#include <inttypes.h>

#include "collector/loop/loop_put.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define TICK_NS   ((int64_t)NS_PER_S)
#define AHEAD_NS  (60 * (int64_t)NS_PER_S) /* between two lines about it */
#define FORGET_NS (3600 * (int64_t)NS_PER_S)
/* How often it is looked for months that are too old. */
#define MONTHS_NS ((int64_t)(3600 * NS_PER_S))

/* ---- the clock ---- */

int64_t loop_now(const struct loop *l)
{
    return steady_now(&l->clock, l->mono());
}

static void tell_doubt(struct loop *l, int64_t was)
{
    int64_t is = steady_doubt(&l->clock);
    counter_set(l->counters, COUNTER_clock_in_doubt, is != 0);
    if (was == 0 && is != 0)
        log_warn("event=clock_doubted by_s=%" PRId64 " hint=\"%s, for an hour or until SIGHUP\"",
                 is / (int64_t)NS_PER_S,
                 is > 0 ? "nothing grows old by it" : "time goes on as it went");
    if (was != 0 && is == 0)
        log_info("event=clock_believed");
}

void loop_clock_start(struct loop *l, int64_t latest)
{
    int64_t wall = l->wall();
    steady_start(&l->clock, wall, l->mono(), latest);
    tell_doubt(l, 0);
}

int64_t loop_clock(struct loop *l)
{
    int64_t was = steady_doubt(&l->clock), wall = l->wall();
    uint64_t mono = l->mono();
    int64_t jump = steady_look(&l->clock, wall, mono), now = steady_now(&l->clock, mono);
    tell_doubt(l, was);
    if (jump <= LOOP_JUMP_NS && jump >= -LOOP_JUMP_NS)
        return now;
    log_warn("event=clock_jumped by_s=%" PRId64 " hint=\"silence and hold-downs are counted anew\"",
             jump / (int64_t)NS_PER_S);
    counter_add(l->counters, COUNTER_clock_jumps, 1);
    fold_clock_jumped(&l->fold, now);
    orders_clock_jumped(l->fold.orders, jump);
    return now;
}

/* ---- the tick ---- */

bool loop_is_tick_due(const struct loop *l, int64_t now)
{
    /* A clock that was set back must not stop the ticks. */
    return now < l->ticked_at || now - l->ticked_at >= TICK_NS;
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

static void tell_ahead(struct loop *l, int64_t now)
{
    if (l->fold.ahead.events == 0)
        return;
    counter_add(l->counters, COUNTER_events_ahead, l->fold.ahead.events);
    l->fold.ahead.events = 0;
    if (now >= l->ahead_told_at && now - l->ahead_told_at < AHEAD_NS)
        return;
    l->ahead_told_at = now;
    log_warn("event=events_ahead sensor=%s by_s=%" PRId64
             " hint=\"its clock, or this one, is wrong; they are taken for now\"",
             l->fold.ahead.sensor, l->fold.ahead.by / (int64_t)NS_PER_S);
}

void loop_tick(struct loop *l)
{
    int64_t now = loop_clock(l);
    if (!loop_is_tick_due(l, now))
        return;
    l->ticked_at = now;
    fold_doubt_clock(&l->fold, !steady_may_age(&l->clock), steady_undoubted(&l->clock, l->mono()));
    fold_tick(&l->fold, now);
    tell_no_room(l);
    tell_ahead(l, now);
}

/* ---- what is too old ---- */

int loop_forget_alerts(struct loop *l, int64_t now, struct note *note)
{
    if (l->conf.alert_keep_ns == 0 || !steady_may_age(&l->clock) ||
        (now >= l->forgot_at && now - l->forgot_at < FORGET_NS))
        return 0;
    l->forgot_at = now;
    int err = loop_put_begin(l, note);
    return err == 0 ? store_forget_alerts(l->store, now - (int64_t)l->conf.alert_keep_ns, note)
                    : err;
}

void loop_forget_months(struct loop *l)
{
    int64_t now = loop_now(l);
    struct note note = {0};
    char reason[sizeof note.text];
    unsigned dropped = 0;
    if (!steady_may_age(&l->clock) ||
        (now >= l->months_looked_at && now < l->months_looked_at + l->months_wait))
        return;
    int err = store_forget(l->store, &l->conf.keep, now, &dropped, &note);
    if (err < 0)
        log_warn("event=retention_failed reason=\"%s\"",
                 log_quotable(note.text, reason, sizeof reason));
    l->months_looked_at = now;
    l->months_wait = dropped > 0 ? TICK_NS : MONTHS_NS;
}

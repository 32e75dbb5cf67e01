#include "collector/loop/loop_load.h"

#include "collector/loop/loop_tell.h"
#include "collector/loop/loop_timers.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define WHY_BUSY "another collector writes to this one's database"

static int find_latest(void *latest, const struct sensor_row *row)
{
    int64_t *at = latest;
    if (row->last_seen > *at)
        *at = row->last_seen;
    return 0;
}

/* Once: from then on the two clocks know. */
static int start_clock(struct loop *l, struct note *note)
{
    int64_t latest = 0;
    if (l->clock.is_known)
        return 0;
    int err = store_load_sensors(l->store, find_latest, &latest, note);
    if (err == 0)
        loop_clock_start(l, latest);
    return err;
}

int loop_load(struct loop *l, struct note *note)
{
    int err = store_listen(l->store, note);
    if (err == 0)
        err = start_clock(l, note);
    if (err == 0)
        err = fold_load(&l->fold, &l->conf, l->expect, l->store, loop_now(l), note);
    l->heard |= HEARD_ORDER; /* a transaction that failed may have had words of people */
    atomic_store(&l->is_loaded, err == 0);
    counter_add(l->counters, COUNTER_map_loads, err == 0);
    return err;
}

void loop_forget(struct loop *l, const struct note *note)
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

void loop_recover(struct loop *l)
{
    struct note note = {0};
    if (l->has_failed)
        wait_outside(l);
    l->has_failed = true;
    bool was_busy = l->is_busy;
    int err = loop_load(l, &note);
    l->is_busy = err == ERR_BUSY;
    if (err < 0) {
        char reason[sizeof note.text];
        if (!l->is_away || l->is_busy != was_busy) /* said once, not every second */
            log_error("event=database_away reason=\"%s\"",
                      log_quotable(note.text, reason, sizeof reason));
        if (l->is_busy && !was_busy)
            loop_tell_all(l, WIRE_REFUSE, WHY_BUSY);
        l->is_away = true;
        return;
    }
    l->is_away = false;
    l->ticked_at = 0; /* what the load itself changed is written before a trial */
    log_info("event=loaded_again");
    loop_tell_all(l, WIRE_AGAIN, "the collector begins anew");
}

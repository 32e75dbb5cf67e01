#include "collector/loop/loop.h"

#include <inttypes.h>

#include "collector/loop/fold_expect.h"
#include "collector/loop/loop_load.h"
#include "collector/loop/loop_put.h"
#include "collector/loop/loop_take.h"
#include "collector/loop/loop_tell.h"
#include "collector/loop/loop_timers.h"
#include "collector/loop/loop_trial.h"
#include "shared/base/log.h"

/* ---- what people said in SQL ---- */

/* All of it; and whether the session is still there, when there is nothing to write.
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
    return fold_alert_words(&l->fold, l->store, loop_now(l), note);
}

/* Before anything is written in this turn. */
static int hear_expectation(struct loop *l, struct note *note)
{
    if ((l->heard & HEARD_EXPECTATION) == 0)
        return 0;
    int err = fold_expect_load(&l->fold, l->store, note);
    if (err == 0) {
        l->heard &= ~(unsigned)HEARD_EXPECTATION;
        l->is_expect_new = true;
    }
    return err;
}

/* Somebody ordered a test, approved one or cancelled one: at once, for people wait for it. */
static int told_orders(struct loop *l, struct note *note)
{
    if ((l->heard & HEARD_ORDER) == 0 && !orders_are_behind(l->fold.orders))
        return 0;
    l->heard &= ~(unsigned)HEARD_ORDER;
    return fold_told_orders(&l->fold, l->store, loop_clock(l), note); /* leases end by it */
}

/* ---- the turn ---- */

static int turn(struct loop *l, int timeout_ms, struct note *note)
{
    int err = hear(l, note);
    if (err == 0)
        err = hear_expectation(l, note);
    if (err == 0)
        err = loop_take(l, l->fold.is_judging ? 0 : timeout_ms, note);
    if (err < 0)
        return err;
    if (l->is_expect_new)
        fold_expect_begin(&l->fold, loop_now(l));
    l->is_expect_new = false;
    if (l->doubt == NULL) { /* it may have come due since must_wait() looked */
        fold_expect_some(&l->fold, loop_now(l));
        err = hear_words(l, note);
        if (err == 0)
            err = told_orders(l, note);
        loop_tick(l);
    }
    if (err == 0)
        err = loop_put_roster(l, loop_now(l), note);
    if (err == 0)
        err = loop_put_map(l, loop_now(l), note);
    if (err == 0)
        err = loop_put_learned(l, note);
    if (err == 0)
        err = loop_put_alerts(l, note);
    if (err == 0)
        err = loop_put_orders(l, note);
    if (err == 0 && l->doubt == NULL)
        err = loop_forget_alerts(l, loop_now(l), note);
    if (err == 0)
        err = loop_put_cells(l, loop_now(l), note);
    return err == 0 ? loop_put_commit(l, note) : err;
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

void loop_turn(struct loop *l, int timeout_ms)
{
    struct note note = {0};
    if (!atomic_load(&l->is_loaded)) {
        loop_recover(l);
        return;
    }
    turn_begin(l);
    int err = turn(l, timeout_ms, &note);
    if (err < 0) {
        if (note.text[0] == '\0')
            note_set(&note, err, "%s", err_text(err));
        if (err == ERR_DATA)
            loop_trial_blame(l, &note);
        loop_forget(l, &note);
        return;
    }
    count(l);
    loop_trial_passed(l);
    loop_answers_send(l);
    loop_forget_months(l);
    loop_send_orders(l);
}

void loop_end(struct loop *l)
{
    struct note note = {0};
    char reason[sizeof note.text];
    if (!atomic_load(&l->is_loaded))
        return;
    turn_begin(l);
    ingress_map_hurry(l->fold.map);
    int err = loop_put_map(l, loop_now(l), &note);
    if (err == 0)
        err = loop_put_commit(l, &note);
    if (err < 0)
        log_warn("event=end_unwritten reason=\"%s\" hint=\"the next start writes it\"",
                 log_quotable(note.text, reason, sizeof reason));
}

int loop_init(struct loop *l, const struct fold_conf *conf, struct receive *receive,
              struct store *store, const struct expect *expect, struct counters *counters,
              int64_t (*wall)(void), uint64_t (*mono)(void), struct note *note)
{
    *l = (struct loop){.conf = *conf,
                       .receive = receive,
                       .store = store,
                       .expect = expect,
                       .counters = counters,
                       .wall = wall,
                       .mono = mono};
    return loop_load(l, note);
}

void loop_clear(struct loop *l)
{
    fold_clear(&l->fold);
}

void loop_believe_clock(struct loop *l)
{
    steady_believe(&l->clock);
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

#include "collector/loop/loop_put.h"

#include <inttypes.h>
#include <stdio.h>

#include "collector/loop/fold_expect.h"
#include "shared/base/log.h"

/* Of one transaction: a spool that was full may have thousands, each of a few numbers. */
#define GAPS_LOGGED  4
#define MOVES_LOGGED 4
#define PLACE_TEXT   100

int loop_put_begin(struct loop *l, struct note *note)
{
    if (l->in_transaction)
        return 0;
    int err = store_begin(l->store, note);
    l->in_transaction = err == 0;
    return err;
}

int loop_put_commit(struct loop *l, struct note *note)
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

int loop_put_roster(struct loop *l, int64_t now, struct note *note)
{
    struct sensor_row sensor;
    struct epoch_row epoch;
    struct gap_row gap;
    char reason[sizeof gap.reason];
    unsigned gaps = 0;
    int err = 0;
    while (err == 0 && roster_take_sensor(l->fold.roster, &sensor)) {
        fold_sensor(&l->fold, &sensor, now);
        err = loop_put_begin(l, note);
        if (err == 0)
            err = store_put_sensor(l->store, &sensor, note);
    }
    while (err == 0 && roster_take_epoch(l->fold.roster, &epoch)) {
        if (epoch.is_forgotten)
            log_warn("event=epoch_forgotten sensor=%s epoch=%" PRIu64 " last_seq=%" PRIu64
                     " hint=\"it had more than %d spools\"",
                     epoch.sensor, epoch.epoch, epoch.last_seq, EPOCHS_MAX);
        err = loop_put_begin(l, note);
        if (err == 0)
            err = store_put_epoch(l->store, &epoch, note);
    }
    while (err == 0 && roster_take_gap(l->fold.roster, &gap)) {
        if (gaps++ < GAPS_LOGGED)
            log_warn("event=gap sensor=%s from_seq=%" PRIu64 " to_seq=%" PRIu64 " reason=\"%s\"",
                     gap.sensor, gap.from_seq, gap.to_seq,
                     log_quotable(gap.reason, reason, sizeof reason));
        fold_gap(&l->fold, &gap, now);
        err = loop_put_begin(l, note);
        if (err == 0)
            err = store_put_gap(l->store, &gap, note);
    }
    if (gaps > GAPS_LOGGED)
        log_warn("event=gaps more=%u hint=\"penstock.sensor_gap has them all\"",
                 gaps - GAPS_LOGGED);
    return err;
}

static const char *place_text(const struct ingress_side *side, char out[static PLACE_TEXT])
{
    char text[PLACE_TEXT];
    snprintf(text, sizeof text, "%s/%s/%s", side->pop, side->at.router, side->at.interface);
    return log_quotable(text, out, PLACE_TEXT);
}

/* Nothing changed, so it is no history: but whoever asks why no move was seen finds it. */
static void tell_refused(const struct loop *l, const struct ingress_change *c, unsigned nth)
{
    char prefix[PREFIX_TEXT], from[PLACE_TEXT], to[PLACE_TEXT];
    counter_add(l->counters, COUNTER_map_moves_refused, 1);
    if (nth > MOVES_LOGGED)
        return;
    log_info("event=move_refused prefix=%s from=\"%s\" to=\"%s\" state=%s share=%.2f",
             prefix_format(&c->prefix, prefix), place_text(&c->from, from), place_text(&c->to, to),
             ingress_state_word[c->to.state], c->to.share_after);
}

int loop_put_map(struct loop *l, int64_t now, struct note *note)
{
    unsigned refused = 0;
    struct ingress_change change;
    struct ingress_row row;
    int err = 0;
    while (err == 0 && ingress_map_take_change(l->fold.map, &change)) {
        if (change.kind == CHANGE_REFUSED) {
            tell_refused(l, &change, ++refused);
            continue;
        }
        fold_change(&l->fold, &change, now);
        err = loop_put_begin(l, note);
        if (err == 0)
            err = store_put_change(l->store, &change, note);
    }
    if (refused > MOVES_LOGGED)
        log_info("event=moves_refused more=%u", refused - MOVES_LOGGED);
    while (err == 0 && ingress_map_take(l->fold.map, &row)) {
        fold_expect_late(&l->fold, &row);
        fold_row(&l->fold, &row, now);
        err = loop_put_begin(l, note);
        if (err == 0)
            err = row.is_gone ? store_drop_ingress(l->store, &row, note)
                              : store_put_ingress(l->store, &row, note);
    }
    return err;
}

int loop_put_cells(struct loop *l, int64_t now, struct note *note)
{
    if (l->doubt != NULL || !cells_want(&l->fold.cells, l->fold.map, now))
        return 0;
    int err = loop_put_begin(l, note);
    return err == 0 ? cells_write(&l->fold.cells, l->fold.map, l->store, now, note) : err;
}

int loop_put_learned(struct loop *l, struct note *note)
{
    struct expect_row row;
    int err = 0;
    while (err == 0 && fold_expect_take(&l->fold, &row)) {
        err = loop_put_begin(l, note);
        if (err == 0)
            err = store_put_expectation(l->store, &row, note);
    }
    return err;
}

int loop_put_alerts(struct loop *l, struct note *note)
{
    struct alert_row row;
    char summary[sizeof row.summary];
    bool announce;
    int err = 0;
    while (err == 0 && alert_take(l->fold.alert, &row, &announce)) {
        fold_alert(&l->fold, &row);
        err = loop_put_begin(l, note);
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

int loop_put_orders(struct loop *l, struct note *note)
{
    struct order_row row;
    char prefix[PREFIX_TEXT];
    unsigned slot;
    int err = 0;
    while (err == 0 && orders_take(l->fold.orders, &row, &slot)) {
        uint64_t id = row.order_id;
        err = loop_put_begin(l, note);
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

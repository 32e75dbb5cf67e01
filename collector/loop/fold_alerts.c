/* What the alerts hear: rows and changes of the map, tests, sensors, and people. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/loop/fold.h"
#include "collector/loop/fold_expect.h"

#define EXPECT_TEXT sizeof(((struct alert_row *)0)->expected)

static void heard(struct fold *f, int err)
{
    f->alerts_refused += err == ERR_FULL;
}

/* Most rows raise nothing whatever is expected of them: those are not asked about. */
static bool may_alarm(const struct ingress_row *row)
{
    return !row->is_gone && (row->state == STATE_GENUINE || row->state == STATE_MIXED);
}

void fold_row(struct fold *f, const struct ingress_row *row, int64_t now)
{
    char text[EXPECT_TEXT];
    struct alert_answer answer = {0};
    if (may_alarm(row)) {
        struct expect all = fold_expect(f);
        struct expect_answer said = fold_judge(f, row);
        answer.outside_cone = said.outside_cone;
        answer.cone_as = said.cone_as;
        answer.rib_written_at = f->expect->rib_written_at;
        if (row->expected != EXPECTED_UNKNOWN)
            answer.expected_json = expect_json(&all, &row->prefix, text, sizeof text);
    }
    heard(f, alert_row_changed(f->alert, row, &answer, now));
}

/* The places that it tells of are judged again with it. */
static void look_again(struct fold *f, const struct prefix *prefix, const struct ingress_side *side)
{
    struct ingress_row *row =
        side->is_there ? ingress_map_find(f->map, prefix, side->pop, &side->at) : NULL;
    if (row != NULL)
        ingress_map_changed(f->map, row);
}

void fold_change(struct fold *f, const struct ingress_change *change, int64_t now)
{
    alert_moved(f->alert, change, now);
    if (change->kind != CHANGE_MOVED)
        return;
    look_again(f, &change->prefix, &change->from);
    look_again(f, &change->prefix, &change->to);
}

void fold_sensor(struct fold *f, const struct sensor_row *row, int64_t now)
{
    const struct alert_sensor sensor = {.name = row->name,
                                        .pop = row->pop,
                                        .is_silent = row->state == SENSOR_SILENT,
                                        .last_seen = row->last_seen};
    heard(f, alert_sensor(f->alert, &sensor, now));
}

void fold_gap(struct fold *f, const struct gap_row *row, int64_t now)
{
    const struct sensor_row *from = roster_find(f->roster, row->sensor);
    const struct alert_gap gap = {.sensor = row->sensor,
                                  .pop = from == NULL ? "" : from->pop,
                                  .reason = row->reason,
                                  .epoch = row->epoch,
                                  .from_seq = row->from_seq,
                                  .to_seq = row->to_seq};
    heard(f, alert_gap(f->alert, &gap, now));
}

void fold_alert_event(struct fold *f, const char *pop, const struct event *e, int64_t now)
{
    if (e->type == EVENT_test_ended && e->test_ended.mode != TEST_PASSIVE)
        alert_test_ended(f->alert, pop, &e->test_ended, e->test_ended.order_id);
    if (e->type == EVENT_passive_total)
        heard(f, alert_passive_total(f->alert, pop, &e->passive_total, now));
}

/* An entry with an alert stays as it is: what is told of must be found again. */
void fold_alert(struct fold *f, const struct alert_row *row)
{
    struct ingress_row *entry = row->prefix.addr.family == 0
                                    ? NULL
                                    : ingress_map_find(f->map, &row->prefix, row->pop, &row->at);
    if (entry != NULL)
        ingress_map_pin(f->map, entry, PIN_ALERT,
                        alert_holds(f->alert, &row->prefix, row->pop, &row->at));
}

struct word {
    struct fold *f;
    int64_t now;
};

static void take_word(void *arg, const struct alert_said *said)
{
    const struct word *w = arg;
    alert_word(w->f->alert, said->alert_id, said->state, said->by, said->words, w->now);
}

struct windows {
    struct alert_window *list;
    size_t count, room;
};

static int take_window(void *arg, const struct alert_window *w)
{
    struct windows *all = arg;
    if (all->count == all->room) {
        size_t room = all->room > 0 ? 2 * all->room : 64;
        struct alert_window *list = realloc(all->list, room * sizeof *list);
        if (list == NULL)
            return -ENOMEM;
        all->list = list;
        all->room = room;
    }
    all->list[all->count++] = *w;
    return 0;
}

int fold_alert_words(struct fold *f, struct store *store, int64_t now, struct note *note)
{
    struct windows windows = {0};
    struct word word = {.f = f, .now = now};
    int err = store_load_words(store, take_word, &word, note);
    if (err == 0)
        err = store_load_windows(store, take_window, &windows, note);
    if (err == 0)
        err = alert_windows(f->alert, windows.list, windows.count);
    free(windows.list);
    return err;
}

/* A sensor that was deleted from the database is heard of no more: what was told of it is over. */
static void sensor_gone(struct fold *f, const struct alert_row *row, int64_t now)
{
    const struct alert_sensor sensor = {
        .name = row->sensor, .pop = row->pop, .last_seen = row->updated_at};
    if (row->sensor[0] != '\0' && roster_find(f->roster, row->sensor) == NULL)
        heard(f, alert_sensor(f->alert, &sensor, now));
}

static int load_alert(void *arg, const struct alert_row *row)
{
    const struct word *w = arg;
    int err = alert_load(w->f->alert, row);
    if (err == 0)
        fold_alert(w->f, row);
    if (err == 0)
        sensor_gone(w->f, row, w->now);
    return err;
}

static void load_end(void *arg, const struct alert_row *ended)
{
    struct fold *f = arg;
    alert_load_end(f->alert, ended);
}

int fold_load_alerts(struct fold *f, struct store *store, int64_t now, struct note *note)
{
    struct word word = {.f = f, .now = now};
    uint64_t next_id = 1;
    int err = store_load_ends(store, load_end, f, note);
    if (err == 0)
        err = store_load_alerts(store, load_alert, &word, &next_id, note);
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF,
                        "alerts.max: the database has more open alerts than that; make it larger");
    if (err == 0)
        alert_next_id(f->alert, next_id);
    return err;
}

static void sensor_again(void *arg, const struct sensor_row *row)
{
    const struct word *w = arg;
    fold_sensor(w->f, row, w->now);
}

void fold_sensors_all(struct fold *f, int64_t now)
{
    struct word word = {.f = f, .now = now};
    roster_each(f->roster, sensor_again, &word);
}

#include "collector/order/order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/order/order_table.h"
#include "shared/base/clock.h"

#define TIMES_END (INT64_MAX / 2) /* 2116 */

const char *const order_status_word[] = {
    [STATUS_PROPOSED] = "proposed", [STATUS_REQUESTED] = "requested",
    [STATUS_RUNNING] = "running",   [STATUS_ENDED] = "ended",
    [STATUS_FAILED] = "failed",     [STATUS_CANCELLED] = "cancelled"};

/* ---- life ---- */

int orders_new(const struct order_conf *conf, struct orders **out)
{
    struct orders *o = calloc(1, sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    o->conf = conf;
    o->max = conf->max_orders > 0 ? conf->max_orders : 1;
    o->free = o->max;
    o->list = calloc(o->max, sizeof *o->list);
    o->sensors = calloc(SENSORS_MAX, sizeof *o->sensors);
    o->tests = calloc(TESTS_MAX, sizeof *o->tests);
    if (o->list == NULL || o->sensors == NULL || o->tests == NULL) {
        orders_free(o);
        return -ENOMEM;
    }
    orders_read_never(o);
    *out = o;
    return 0;
}

void orders_free(struct orders *o)
{
    if (o == NULL)
        return;
    free(o->list);
    free(o->sensors);
    free(o->tests);
    free(o);
}

void orders_conf_changed(struct orders *o)
{
    orders_read_never(o);
    o->is_conf_known = false;
}

/* ---- what the database has ---- */

/* 0: not yet. What SQL calls infinity is far enough away here, too, and sums with it are numbers.
 */
static int64_t sane_time(int64_t at)
{
    return at < 0 ? 1 : at > TIMES_END ? TIMES_END : at;
}

/* Its sensor's word that it never began: nothing else ends so. */
static bool is_harmless(const struct order_row *r)
{
    return r->drops == 0 &&
           (strcmp(r->result, "refused") == 0 || strcmp(r->result, "already_watched") == 0 ||
            strcmp(r->result, "no_traffic") == 0);
}

/* One that began in the future, by a clock that was wrong, counts for an hour, too. */
static int64_t counted_until(const struct order_row *r, int64_t now)
{
    int64_t until = (r->started_at < now ? r->started_at : now) + HOUR_NS;
    return r->started_at != 0 && until > now ? until : 0;
}

/* What may have been withheld, and finds no room to be remembered, is waited for instead. */
static int load_behind(struct orders *o, const struct order_row *row, int64_t now)
{
    int64_t until = counted_until(row, now);
    o->is_behind = true;
    if (!is_harmless(row) && until > o->unknown_until)
        o->unknown_until = until;
    return row->lease_until == 0 ? 0 : ERR_FULL;
}

int orders_load(struct orders *o, const struct order_row *row, int64_t now)
{
    struct order_row r = *row;
    r.requested_at = sane_time(row->requested_at);
    r.started_at = sane_time(row->started_at);
    r.ended_at = sane_time(row->ended_at);
    r.lease_until = sane_time(row->lease_until);
    struct order *x = orders_add(o, &r);
    if (x == NULL)
        return load_behind(o, &r, now);
    x->counted_until = counted_until(&r, now);
    x->is_counted = x->counted_until != 0;
    x->is_harmless = is_harmless(&r);
    order_file(o, x);
    return 0;
}

/* A new order of a person: who wrote more than people may say (a lease, or that it runs) is not
 * believed, for leases are given here alone. */
static struct order_row words_of(const struct order_row *said, int64_t now)
{
    struct order_row r = *said;
    if (r.requested_at <= 0 || r.requested_at > now)
        r.requested_at = now;
    if (r.state == STATUS_RUNNING)
        r.state = STATUS_REQUESTED;
    r.started_at = r.lease_until = 0;
    r.process = r.drops = r.packets = r.data = 0;
    r.verdict = -1;
    memset(r.test_id, 0, sizeof r.test_id);
    return r;
}

/* It waits in the database, and the row says why: once, and of a crowd in turns. */
static void say_no_room(struct orders *o, const struct order_row *r)
{
    static const char why[] = "waits: orders.max are remembered, and none may be forgotten yet";
    o->is_behind = true;
    if (!order_is_open(r) || strcmp(r->detail, why) == 0 || o->said_count == SAID_MAX)
        return;
    o->said[o->said_count] = *r;
    snprintf(o->said[o->said_count].detail, sizeof r->detail, "%s", why);
    o->said_count++;
}

/* NULL: no room. */
static struct order *add_said(struct orders *o, const struct order_row *said, int64_t now)
{
    struct order_row r = words_of(said, now);
    struct order *x = orders_add(o, &r);
    if (x == NULL) {
        say_no_room(o, &r);
        return NULL;
    }
    x->is_changed = said->lease_until != 0 || said->started_at != 0 || said->process != 0;
    order_file(o, x);
    return x;
}

bool orders_are_behind(struct orders *o)
{
    bool has_room = o->is_behind && orders_have_room(o);
    o->is_behind &= !has_room;
    return has_room;
}

/* People may write what only the collector can know. */
static void make_sense(struct orders *o, struct order *x, int64_t now)
{
    if (x->row.state == STATUS_RUNNING && x->row.lease_until == 0)
        x->row.state = STATUS_REQUESTED;
    else if ((x->row.state == STATUS_ENDED || x->row.state == STATUS_FAILED) &&
             x->row.ended_at == 0)
        order_over(o, x, x->row.state, "", "written so by hand", now);
}

int orders_told(struct orders *o, const struct order_row *row, int64_t now)
{
    struct order *x = orders_find(o, row->order_id);
    if (x == NULL && (!order_is_open(row) && row->ended_at != 0))
        return 0; /* over long ago */
    if (x == NULL)
        x = add_said(o, row, now);
    if (x == NULL)
        return ERR_FULL;
    make_sense(o, x, now);
    if (row->state == STATUS_REQUESTED && x->row.state == STATUS_PROPOSED) {
        x->row.state = STATUS_REQUESTED;
        x->row.requested_at = x->waits_since = now;
        x->is_changed = true;
    } else if (row->state == STATUS_CANCELLED && (order_is_open(&x->row) || x->row.ended_at == 0)) {
        x->row.state = STATUS_CANCELLED;
        x->sent_at = 0; /* stop goes out at once */
        order_over(o, x, STATUS_CANCELLED, "cancelled",
                   x->row.lease_until != 0 ? "while it ran" : "", now);
    }
    order_file(o, x);
    return 0;
}

/* ---- time ---- */

/* An hour's segments are an hour's, and who waits did not wait longer, whatever a clock says; what
 * is told in SQL stays as it was. */
static void order_moved(struct orders *o, struct order *x, int64_t by)
{
    x->counted_until += by;
    x->waits_since += by;
    if (x->row.lease_until != 0) {
        x->row.lease_until += by;
        x->sent_at = 0;
        x->is_changed = true;
    }
    order_file(o, x);
}

void orders_clock_jumped(struct orders *o, int64_t by)
{
    for (unsigned i = 0; i < o->used; i++)
        if (o->list[i].is_used)
            order_moved(o, &o->list[i], by);
    if (o->unknown_until != 0)
        o->unknown_until += by;
    for (unsigned i = 0; i < o->sensor_count; i++) {
        o->sensors[i].heard_at += by;
        drift_jumped(&o->sensors[i].drift);
        o->sensors[i].asked_at = 0;
    }
    own_tests_moved(o, by);
    candidates_moved(o, by);
    orders_ring_all(o, BELL_LOOK);
}

static void lease_over(struct orders *o, struct order *x, int64_t now)
{
    static const uint8_t none[16];
    const struct order_sensor *s = orders_sensor(o, x->row.sensor);
    order_free_lease(o, x);
    if (x->row.state != STATUS_RUNNING)
        return;
    if (s == NULL || now - s->heard_at >= SILENT_NS)
        order_over(o, x, STATUS_FAILED, "sensor_silent", "its sensor was not heard of again", now);
    else if (memcmp(x->row.test_id, none, 16) == 0)
        order_over(o, x, STATUS_FAILED, "no_answer", "its sensor said nothing about it", now);
    else
        order_over(o, x, STATUS_FAILED, "lease_over", "its sensor did not say how it ended", now);
}

/* Something of it is due. */
static void on_time(struct orders *o, struct order *x, int64_t now)
{
    bool is_waiting = x->row.state == STATUS_REQUESTED;
    if (x->row.lease_until != 0 && now >= x->row.lease_until)
        lease_over(o, x, now);
    else if (x->row.state == STATUS_PROPOSED && now - x->waits_since >= DAY_NS)
        order_over(o, x, STATUS_FAILED, "expired", "nobody approved it for a day", now);
    else if (is_waiting)
        x->bell = BELL_LOOK;
    x->is_counted &= now < x->counted_until;
    if (order_is_past(o, x, now))
        orders_forget(o, x);
    else
        order_file(o, x);
}

void orders_tick(struct orders *o, int64_t now)
{
    struct order *x;
    if (!o->is_conf_known)
        orders_take_conf(o, now);
    while ((x = orders_first(o, BOOK_CHANGED, &(struct tree_key){{1}})) != NULL) {
        x->is_changed = true;
        x->is_put_off = false;
        order_file(o, x);
    }
    while ((x = orders_first(o, BOOK_DUE, &(struct tree_key){{0}})) != NULL &&
           x->in[BOOK_DUE].key.word[0] <= (uint64_t)now)
        on_time(o, x, now);
    orders_try_requests(o, now);
    orders_ask(o, now);
}

void orders_stats(const struct orders *o, struct orders_stats *out)
{
    *out = (struct orders_stats){.refused = o->refused,
                                 .overlaps = o->overlaps,
                                 .overlap = o->overlap,
                                 .clocks_off = o->clocks_off,
                                 .clock_off = o->clock_off,
                                 .running = (unsigned)o->book[BOOK_LEASED].count,
                                 .proposed = (unsigned)o->book[BOOK_PROPOSED].count,
                                 .steps = o->candidates_by_prefix.steps + o->sensors_by_name.steps +
                                          o->sensors_by_pop.steps + o->tests_by_prefix.steps};
    for (unsigned book = 0; book < BOOKS; book++)
        out->steps += o->book[book].steps;
}

#include "collector/order/order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/order/order_table.h"
#include "shared/base/clock.h"

#define HOUR_NS    (3600 * (int64_t)NS_PER_S)
#define DAY_NS     (24 * HOUR_NS)          /* that a proposal waits for somebody */
#define TIMES_END  (INT64_MAX / 2)         /* 2116 */
#define LEAST_LEFT (5 * (int64_t)NS_PER_S) /* of a lease: with less no test begins */

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
    o->list = calloc(o->max, sizeof *o->list);
    o->sensors = calloc(SENSORS_MAX, sizeof *o->sensors);
    o->tests = calloc(TESTS_MAX, sizeof *o->tests);
    if (o->list == NULL || o->sensors == NULL || o->tests == NULL) {
        orders_free(o);
        return -ENOMEM;
    }
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

bool orders_overlap(const struct prefix *a, const struct prefix *b)
{
    return prefix_covers(a, b) || prefix_covers(b, a);
}

/* ---- rows ---- */

bool order_is_open(const struct order_row *r)
{
    return r->state <= STATUS_RUNNING;
}

static bool is_needed(const struct orders *o, const struct order *x, int64_t now)
{
    int64_t rest =
        (int64_t)o->conf->cool_down_ns > HOUR_NS ? (int64_t)o->conf->cool_down_ns : HOUR_NS;
    return order_is_open(&x->row) || x->row.lease_until != 0 || x->is_changed || x->is_put_off ||
           now - x->row.ended_at < rest || x->row.ended_at > now;
}

static struct order *find(struct orders *o, uint64_t id)
{
    for (unsigned i = 0; i < o->used && id != 0; i++)
        if (o->list[i].is_used && o->list[i].row.order_id == id)
            return &o->list[i];
    return NULL;
}

/* The one that was over longest ago, if that is not needed for its lease. */
static struct order *oldest(struct orders *o)
{
    struct order *best = NULL;
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        if (!order_is_open(&x->row) && x->row.lease_until == 0 && !x->is_changed &&
            !x->is_put_off && (best == NULL || x->row.ended_at < best->row.ended_at))
            best = x;
    }
    return best;
}

static struct order *find_free(struct orders *o)
{
    unsigned i = 0;
    while (i < o->used && o->list[i].is_used)
        i++;
    return i < o->max ? &o->list[i] : oldest(o);
}

struct order *orders_add(struct orders *o, const struct order_row *row)
{
    struct order *x = find_free(o);
    if (x == NULL) {
        o->refused++;
        return NULL;
    }
    if (x == &o->list[o->used])
        o->used++;
    *x = (struct order){.row = *row, .is_used = true};
    return x;
}

/* 0: not yet. What SQL calls infinity is far enough away here, too, and sums with it are numbers.
 */
static int64_t sane_time(int64_t at)
{
    return at < 0 ? 1 : at > TIMES_END ? TIMES_END : at;
}

int orders_load(struct orders *o, const struct order_row *row)
{
    struct order *x = orders_add(o, row);
    if (x == NULL) {
        o->is_behind = true;
        return row->lease_until == 0 ? 0 : ERR_FULL;
    }
    x->row.requested_at = sane_time(row->requested_at);
    x->row.started_at = sane_time(row->started_at);
    x->row.ended_at = sane_time(row->ended_at);
    x->row.lease_until = sane_time(row->lease_until);
    return 0;
}

void order_over(struct order *x, enum order_status state, const char *result, const char *detail,
                int64_t now)
{
    if (x->row.state != STATUS_CANCELLED)
        x->row.state = state;
    x->row.ended_at = now;
    snprintf(x->row.result, sizeof x->row.result, "%s", result);
    snprintf(x->row.detail, sizeof x->row.detail, "%s", detail);
    x->is_changed = true;
}

static void free_lease(struct order *x)
{
    x->row.lease_until = 0;
    x->is_changed = true;
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

/* NULL: no room. */
static struct order *add_said(struct orders *o, const struct order_row *said, int64_t now)
{
    struct order_row r = words_of(said, now);
    struct order *x = orders_add(o, &r);
    if (x == NULL)
        o->is_behind = true;
    else
        x->is_changed = said->lease_until != 0 || said->started_at != 0 || said->process != 0;
    return x;
}

bool orders_are_behind(struct orders *o)
{
    bool has_room = o->is_behind && find_free(o) != NULL;
    o->is_behind &= !has_room;
    return has_room;
}

/* People may write what only the collector can know. */
static void make_sense(struct order *x, int64_t now)
{
    if (x->row.state == STATUS_RUNNING && x->row.lease_until == 0)
        x->row.state = STATUS_REQUESTED;
    else if ((x->row.state == STATUS_ENDED || x->row.state == STATUS_FAILED) &&
             x->row.ended_at == 0)
        order_over(x, x->row.state, "", "written so by hand", now);
}

int orders_told(struct orders *o, const struct order_row *row, int64_t now)
{
    struct order *x = find(o, row->order_id);
    if (x == NULL && (!order_is_open(row) && row->ended_at != 0))
        return 0; /* over long ago */
    if (x == NULL)
        x = add_said(o, row, now);
    if (x == NULL)
        return ERR_FULL;
    make_sense(x, now);
    if (row->state == STATUS_REQUESTED && x->row.state == STATUS_PROPOSED) {
        x->row.state = STATUS_REQUESTED;
        x->row.requested_at = now;
        x->is_changed = true;
    } else if (row->state == STATUS_CANCELLED && (order_is_open(&x->row) || x->row.ended_at == 0)) {
        x->row.state = STATUS_CANCELLED;
        x->sent_at = 0; /* stop goes out at once */
        order_over(x, STATUS_CANCELLED, "cancelled", x->row.lease_until != 0 ? "while it ran" : "",
                   now);
    }
    return 0;
}

void orders_clock_jumped(struct orders *o, int64_t by)
{
    for (unsigned i = 0; i < o->used; i++)
        if (o->list[i].is_used && o->list[i].row.lease_until != 0) {
            o->list[i].row.lease_until += by;
            o->list[i].sent_at = 0;
            o->list[i].is_changed = true;
        }
    for (unsigned i = 0; i < o->sensor_count; i++) {
        o->sensors[i].heard_at += by;
        o->sensors[i].asked_at = 0;
    }
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (o->tests[i].until != 0) {
            o->tests[i].until += by;
            o->tests[i].told_at = 0;
        }
    o->yield_until += by;
}

/* ---- what is heard ---- */

struct order_sensor *orders_sensor(struct orders *o, const char *name)
{
    if (o->sensor_last < o->sensor_count && strcmp(o->sensors[o->sensor_last].name, name) == 0)
        return &o->sensors[o->sensor_last];
    for (unsigned i = 0; i < o->sensor_count; i++)
        if (strcmp(o->sensors[i].name, name) == 0) {
            o->sensor_last = i;
            return &o->sensors[i];
        }
    return NULL;
}

/* Its process is another: what the former one was doing ended with it. The lease stands all the
 * same, for nobody knows whether two of them run. */
static void restarted(struct orders *o, const struct order_sensor *s, int64_t now)
{
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        if (x->is_used && x->row.state == STATUS_RUNNING && strcmp(x->row.sensor, s->name) == 0 &&
            x->row.process != s->process)
            order_over(x, STATUS_FAILED, "sensor_restarted", "its sensor's process is another now",
                       now);
    }
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (strcmp(o->tests[i].sensor, s->name) == 0)
            o->tests[i].until = 0;
}

/* What it has is said to it again at once. */
static void resend(struct orders *o, const char *sensor)
{
    for (unsigned i = 0; i < o->used; i++)
        if (o->list[i].is_used && strcmp(o->list[i].row.sensor, sensor) == 0)
            o->list[i].sent_at = 0;
}

void orders_heard(struct orders *o, const char *sensor, const char *pop,
                  const struct wire_message *m, int64_t now)
{
    struct order_sensor *s = orders_sensor(o, sensor);
    if (s == NULL && m->kind == WIRE_HELLO && m->orders != 0 && o->sensor_count < SENSORS_MAX) {
        s = &o->sensors[o->sensor_count++];
        snprintf(s->name, sizeof s->name, "%s", sensor);
    }
    if (s == NULL)
        return;
    if (m->stamp != 0) {
        s->stamp = m->stamp;
        s->heard_at = now;
        s->is_wanted = false;
    }
    if (m->kind != WIRE_HELLO)
        return;
    bool is_other = s->process != m->orders;
    s->process = m->orders;
    snprintf(s->pop, sizeof s->pop, "%s", pop);
    if (is_other)
        restarted(o, s, now);
    resend(o, sensor);
}

void orders_seen(struct orders *o, const char *sensor, const struct ingress_row *row,
                 const struct event_tally *t, int64_t now)
{
    candidate_add(o, sensor, row, t, now);
}

/* ---- events ---- */

static void test_began(struct order *x, const struct event_test_started *t)
{
    static const uint8_t none[16];
    if (memcmp(x->row.test_id, none, 16) != 0)
        return;
    memcpy(x->row.test_id, t->test_id, 16);
    x->is_changed = true;
}

/* Of several tests the last with a word counts: as the sensor says in order_ended. */
static void test_over(struct order *x, const struct event_test_ended *t)
{
    bool is_word = t->verdict != VERDICT_INCONCLUSIVE;
    if (!is_word && x->row.verdict >= 0 && x->row.verdict != VERDICT_INCONCLUSIVE)
        return;
    memcpy(x->row.test_id, t->test_id, 16);
    x->row.verdict = t->verdict;
    x->is_changed = true;
}

static void order_said_over(struct order *x, const struct event_order_ended *e, int64_t now)
{
    const char *word = event_word("order_reason", e->reason);
    free_lease(x);
    x->row.drops = e->drops;
    x->row.packets = e->packets;
    x->row.data = e->data;
    if (x->row.ended_at == 0)
        order_over(x, e->state == ORDER_ENDED ? STATUS_ENDED : STATUS_FAILED,
                   word != NULL ? word : "", e->detail, now);
}

/* A sensor speaks of its own orders only. */
static struct order *of_sensor(struct orders *o, const char *sensor, uint64_t id)
{
    struct order *x = find(o, id);
    return x != NULL && strcmp(x->row.sensor, sensor) == 0 ? x : NULL;
}

static void stopped(struct orders *o, const char *sensor, int64_t now)
{
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        if (x->is_used && x->row.state == STATUS_RUNNING && strcmp(x->row.sensor, sensor) == 0)
            order_over(x, STATUS_FAILED, "sensor_stopped", "its sensor was stopped", now);
    }
}

void orders_event(struct orders *o, const char *sensor, const struct event *e, int64_t now)
{
    struct order *x;
    switch (e->type) {
    case EVENT_test_started:
        x = of_sensor(o, sensor, e->test_started.order_id);
        if (x != NULL)
            test_began(x, &e->test_started);
        else if (e->test_started.mode == TEST_ACTIVE)
            own_test_began(o, sensor, &e->test_started, now);
        break;
    case EVENT_test_ended:
        x = of_sensor(o, sensor, e->test_ended.order_id);
        if (x != NULL)
            test_over(x, &e->test_ended);
        else
            own_test_ended(o, sensor, &e->test_ended);
        break;
    case EVENT_order_ended:
        x = of_sensor(o, sensor, e->order_ended.order_id);
        if (x != NULL)
            order_said_over(x, &e->order_ended, now);
        break;
    case EVENT_sensor_stopped:
        stopped(o, sensor, now);
        break;
    default:
        break;
    }
}

/* ---- time ---- */

static void lease_over(struct orders *o, struct order *x, int64_t now)
{
    static const uint8_t none[16];
    const struct order_sensor *s = orders_sensor(o, x->row.sensor);
    free_lease(x);
    if (x->row.state != STATUS_RUNNING)
        return;
    if (s == NULL || now - s->heard_at >= SILENT_NS)
        order_over(x, STATUS_FAILED, "sensor_silent", "its sensor was not heard of again", now);
    else if (memcmp(x->row.test_id, none, 16) == 0)
        order_over(x, STATUS_FAILED, "no_answer", "its sensor said nothing about it", now);
    else
        order_over(x, STATUS_FAILED, "lease_over", "its sensor did not say how it ended", now);
}

void orders_tick(struct orders *o, int64_t now)
{
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        x->is_changed |= x->is_put_off;
        x->is_put_off = false;
        if (x->is_used && x->row.lease_until != 0 && now >= x->row.lease_until)
            lease_over(o, x, now);
        if (x->is_used && x->row.state == STATUS_PROPOSED && now - x->row.requested_at >= DAY_NS)
            order_over(x, STATUS_FAILED, "expired", "nobody approved it for a day", now);
        if (x->is_used && !is_needed(o, x, now))
            x->is_used = false;
    }
    orders_try_requests(o, now);
    orders_ask(o, now);
}

/* ---- what follows ---- */

bool orders_take(struct orders *o, struct order_row *out, unsigned *slot)
{
    for (unsigned i = 0; i < o->used; i++) {
        if (!o->list[i].is_used || !o->list[i].is_changed)
            continue;
        o->list[i].is_changed = false;
        *out = o->list[i].row;
        *slot = i;
        return true;
    }
    return false;
}

void orders_number(struct orders *o, unsigned slot, uint64_t order_id)
{
    o->list[slot].row.order_id = order_id;
}

void orders_put_off(struct orders *o, unsigned slot)
{
    o->list[slot].is_put_off = true;
}

/* What is left of the lease counts from when the stamp was heard. */
static bool order_message(const struct orders *o, const struct order_row *r,
                          const struct order_sensor *s, int64_t now, struct wire_message *m)
{
    int64_t end = r->lease_until - (int64_t)o->conf->margin_ns;
    if (s->process != r->process || end - now < LEAST_LEFT)
        return false;
    *m = (struct wire_message){.kind = WIRE_ORDER,
                               .order_id = r->order_id,
                               .prefix = r->prefix,
                               .stamp = s->stamp,
                               .lease = (uint64_t)(end - s->heard_at),
                               .wait = o->conf->wait_ns,
                               .drops = r->max_drops};
    return true;
}

static bool message_of(const struct orders *o, const struct order_row *r,
                       const struct order_sensor *s, int64_t now, struct wire_message *m)
{
    if (r->state == STATUS_RUNNING)
        return order_message(o, r, s, now, m);
    *m = (struct wire_message){.kind = WIRE_STOP, .order_id = r->order_id};
    return true;
}

/* A hello brings the sensor's clock; whoever is not connected is not even asked. */
static bool ask_clock(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
                      struct wire_message *out)
{
    for (unsigned i = 0; i < o->sensor_count; i++) {
        struct order_sensor *s = &o->sensors[i];
        if (!s->is_wanted || now - s->asked_at < (int64_t)o->conf->resend_ns)
            continue;
        s->asked_at = now;
        *out = (struct wire_message){.kind = WIRE_AGAIN, .reason = "an order waits for your clock"};
        memcpy(sensor, s->name, WIRE_NAME);
        return true;
    }
    return false;
}

bool orders_send(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
                 struct wire_message *out)
{
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        if (!x->is_used || x->is_changed || x->is_put_off || x->row.lease_until == 0 ||
            x->row.order_id == 0 ||
            (x->sent_at != 0 && now - x->sent_at < (int64_t)o->conf->resend_ns))
            continue;
        const struct order_sensor *s = orders_sensor(o, x->row.sensor);
        if (s == NULL || s->process == 0 || !message_of(o, &x->row, s, now, out))
            continue;
        x->sent_at = now;
        memcpy(sensor, x->row.sensor, WIRE_NAME);
        return true;
    }
    return own_hold(o, now, sensor, out) || ask_clock(o, now, sensor, out);
}

void orders_stats(const struct orders *o, struct orders_stats *out)
{
    *out = (struct orders_stats){.refused = o->refused,
                                 .overlaps = o->overlaps,
                                 .overlap = o->overlap,
                                 .running = orders_running(o, NULL),
                                 .proposed = orders_proposed(o)};
}

/* What begins: orders that were asked for, and those that the rules ask for. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"
#include "shared/base/clock.h"

#define HOUR_NS      (3600 * (int64_t)NS_PER_S)
#define BEST         32  /* candidates that a tick looks at */
#define PROPOSED     100 /* that wait for somebody at most: a list longer than that nobody reads */
#define STEP_BACK_NS (10 * (int64_t)NS_PER_S)
#define TURN_NS      (2 * (int64_t)NS_PER_S)

/* ---- may it begin? ---- */

static uint64_t order_drops(const struct orders *o, const struct order_row *r)
{
    return r->max_drops != 0 ? r->max_drops : o->conf->max_drops;
}

static bool is_leased(const struct orders *o, const struct prefix *p)
{
    for (unsigned i = 0; i < o->used; i++)
        if (o->list[i].is_used && o->list[i].row.lease_until != 0 &&
            orders_overlap(&o->list[i].row.prefix, p))
            return true;
    return false;
}

static uint64_t drops_lately(const struct orders *o, const struct prefix *p, int64_t now)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < o->used; i++) {
        const struct order_row *r = &o->list[i].row;
        if (o->list[i].is_used && r->started_at != 0 && now - r->started_at < HOUR_NS &&
            orders_overlap(&r->prefix, p))
            sum += order_drops(o, r);
    }
    return sum;
}

unsigned orders_running(const struct orders *o, const char *sensor)
{
    unsigned n = 0;
    for (unsigned i = 0; i < o->used; i++)
        n += o->list[i].is_used && o->list[i].row.lease_until != 0 &&
             (sensor == NULL || strcmp(o->list[i].row.sensor, sensor) == 0);
    return n;
}

/* One that was not heard of for a while may only have nothing to say: it is asked for its clock. */
static bool can_take(struct order_sensor *s, int64_t now)
{
    bool is_heard = s->stamp != 0 && now - s->heard_at < SILENT_NS;
    s->is_wanted |= s->process != 0 && !is_heard;
    return s->process != 0 && is_heard;
}

/* NULL: it may. Else what it waits for. */
static const char *why_wait(const struct orders *o, const struct order_row *r,
                            struct order_sensor *s, int64_t now)
{
    if (s == NULL || !can_take(s, now))
        return "waits for a sensor there that takes orders and sees the prefix";
    if (is_leased(o, &r->prefix))
        return "waits: the prefix, or one that overlaps it, is under test or may still be";
    if (own_is_tested(o, &r->prefix, s->name, now))
        return "waits: a sensor tests the prefix by its own configuration";
    if (orders_running(o, s->name) >= o->conf->max_per_sensor)
        return "waits: orders.max_per_sensor";
    if (orders_running(o, NULL) >= o->conf->max_concurrent)
        return "waits: orders.max_concurrent";
    if (drops_lately(o, &r->prefix, now) + order_drops(o, r) > o->conf->drops_per_prefix_hour)
        return "waits: orders.drops_per_prefix_hour";
    return NULL;
}

/* Where: as said, else where most of it is seen; and if nobody sees it, any sensor of that pop. */
static struct order_sensor *sensor_for(struct orders *o, const struct order_row *r, int64_t now)
{
    if (r->sensor[0] != '\0')
        return orders_sensor(o, r->sensor);
    const struct candidate *c = candidate_of(o, &r->prefix, r->pop, now);
    if (c != NULL)
        return orders_sensor(o, c->sensor);
    struct order_sensor *found = NULL;
    for (unsigned i = 0; i < o->sensor_count && r->pop[0] != '\0'; i++) {
        struct order_sensor *s = &o->sensors[i];
        if (strcmp(s->pop, r->pop) == 0 && (found == NULL || can_take(s, now)))
            found = s;
    }
    return found;
}

static void begin(struct orders *o, struct order *x, const struct order_sensor *s, int64_t now)
{
    struct order_row *r = &x->row;
    r->state = STATUS_RUNNING;
    r->started_at = now;
    r->lease_until = now + (int64_t)(o->conf->lease_ns + o->conf->margin_ns);
    r->process = s->process;
    r->max_drops = order_drops(o, r);
    r->detail[0] = '\0';
    memcpy(r->sensor, s->name, sizeof r->sensor);
    memcpy(r->pop, s->pop, sizeof r->pop);
    x->sent_at = 0;
    x->is_changed = true;
}

static void wait_on(struct orders *o, struct order *x, const char *why, int64_t now)
{
    if (now - x->row.requested_at >= (int64_t)o->conf->expire_ns) {
        order_over(x, STATUS_FAILED, "expired", why, now);
        return;
    }
    if (strcmp(x->row.detail, why) == 0)
        return;
    snprintf(x->row.detail, sizeof x->row.detail, "%s", why);
    x->is_changed = true;
}

static void try_request(struct orders *o, struct order *x, int64_t now)
{
    struct order_sensor *s = sensor_for(o, &x->row, now);
    const char *why = why_wait(o, &x->row, s, now);
    if (why == NULL)
        begin(o, x, s, now);
    else
        wait_on(o, x, why, now);
}

/* Those who waited longest first. */
void orders_try_requests(struct orders *o, int64_t now)
{
    int64_t after = INT64_MIN;
    for (;;) {
        struct order *next = NULL;
        int64_t first = INT64_MAX;
        for (unsigned i = 0; i < o->used; i++) {
            const struct order_row *r = &o->list[i].row;
            if (o->list[i].is_used && r->state == STATUS_REQUESTED && r->requested_at > after &&
                r->requested_at < first) {
                first = r->requested_at;
                next = &o->list[i];
            }
        }
        if (next == NULL)
            return;
        after = first;
        for (unsigned i = 0; i < o->used; i++)
            if (o->list[i].is_used && o->list[i].row.state == STATUS_REQUESTED &&
                o->list[i].row.requested_at == first)
                try_request(o, &o->list[i], now);
    }
}

/* ---- the planner's own ---- */

/* An order of that prefix at that pop that is open, or was over not long ago. */
static bool rests(const struct orders *o, const struct prefix *p, const char *pop, int64_t now)
{
    for (unsigned i = 0; i < o->used; i++) {
        const struct order_row *r = &o->list[i].row;
        if (!o->list[i].is_used || !orders_overlap(&r->prefix, p))
            continue;
        if (order_is_open(r) && (r->pop[0] == '\0' || strcmp(r->pop, pop) == 0))
            return true;
        if (!order_is_open(r) && strcmp(r->pop, pop) == 0 &&
            now - r->ended_at < (int64_t)o->conf->cool_down_ns)
            return true;
    }
    return false;
}

static struct order_row request_of(const struct orders *o, const struct candidate *c, int64_t now)
{
    static const char *const how[] = {[EXPECTED_UNKNOWN] = "nobody said whether it is expected",
                                      [EXPECTED_NO] = "not expected here",
                                      [EXPECTED_YES] = "expected here"};
    struct order_row r = {.prefix = candidate_prefix(o->conf, c),
                          .requested_by = "penstock",
                          .state = STATUS_REQUESTED,
                          .requested_at = now,
                          .verdict = -1};
    memcpy(r.pop, c->pop, sizeof r.pop);
    memcpy(r.sensor, c->sensor, sizeof r.sensor);
    snprintf(r.reason, sizeof r.reason, "%.0f packets/s without a verdict; %s", c->rate,
             how[c->expected]);
    return r;
}

unsigned orders_proposed(const struct orders *o)
{
    unsigned n = 0;
    for (unsigned i = 0; i < o->used; i++)
        n += o->list[i].is_used && o->list[i].row.state == STATUS_PROPOSED;
    return n;
}

static void propose(struct orders *o, const struct order_row *row)
{
    struct order *x = orders_proposed(o) < PROPOSED ? orders_add(o, row) : NULL;
    if (x == NULL)
        return;
    x->row.state = STATUS_PROPOSED;
    x->is_changed = true;
}

/* Who cannot be served now steps back, so that those behind are looked at, too. */
static void ask_for(struct orders *o, struct candidate *c, int64_t now)
{
    struct order_row row = request_of(o, c, now);
    struct order_sensor *s = orders_sensor(o, c->sensor);
    c->rests_until = now + STEP_BACK_NS;
    if (rests(o, &row.prefix, row.pop, now) || s == NULL || !can_take(s, now))
        return;
    if (o->conf->mode == ORDERS_APPROVE) {
        propose(o, &row);
        return;
    }
    c->rests_until = now + TURN_NS; /* a limit may have room by then */
    if (why_wait(o, &row, s, now) != NULL || own_is_tested(o, &row.prefix, "", now))
        return; /* it stays a candidate */
    struct order *x = orders_add(o, &row);
    if (x != NULL)
        begin(o, x, s, now);
}

void orders_ask(struct orders *o, int64_t now)
{
    struct candidate *best[BEST];
    unsigned n = o->conf->mode == ORDERS_OFF ? 0 : candidates_best(o, best, BEST, now);
    for (unsigned i = 0; i < n; i++)
        ask_for(o, best[i], now);
}

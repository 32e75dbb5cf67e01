/* What begins: orders that were asked for, and those that the rules ask for. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"
#include "shared/base/clock.h"

#define LOOKS        256                      /* requests that a tick looks at: some 2 us each */
#define AGAIN_NS     (10 * (int64_t)NS_PER_S) /* so often each, whatever rings */
#define NOBODY_NS    (2 * (int64_t)NS_PER_S)  /* traffic of its prefix may come any time */
#define BEST         32                       /* candidates that a tick looks at */
#define PROPOSED     100 /* that wait for somebody at most: a list longer than that nobody reads */
#define STEP_BACK_NS (10 * (int64_t)NS_PER_S)
#define TURN_NS      (2 * (int64_t)NS_PER_S)

/* ---- must it never? ---- */

const struct prefix *orders_never(struct orders *o, const struct prefix *p)
{
    struct tree_overlap over = tree_overlapping(&o->never, 0, p);
    int64_t at = tree_overlap_next(&over);
    return at < 0 ? NULL : &o->conf->never[at];
}

void orders_read_never(struct orders *o)
{
    o->never = (struct tree){0};
    memset(o->never_nodes, 0, sizeof o->never_nodes);
    for (unsigned i = 0; i < o->conf->never_count; i++) {
        struct tree_key key = tree_prefix_key(0, &o->conf->never[i], i);
        tree_put(&o->never, &o->never_nodes[i], &key);
    }
}

static void refuse(struct orders *o, struct order *x, const struct prefix *never, int64_t now)
{
    char detail[sizeof x->row.detail], prefix[PREFIX_TEXT];
    bool runs = x->row.state == STATUS_RUNNING;
    snprintf(detail, sizeof detail, "orders.never: it overlaps %s", prefix_format(never, prefix));
    x->sent_at = 0; /* stop goes out at once */
    order_over(o, x, STATUS_FAILED, runs ? "stopped" : "refused", detail, now);
}

void orders_take_conf(struct orders *o, int64_t now)
{
    o->is_conf_known = true;
    for (unsigned i = 0; i < o->used; i++) {
        struct order *x = &o->list[i];
        const struct prefix *never = x->is_used ? orders_never(o, &x->row.prefix) : NULL;
        if (never != NULL && order_is_open(&x->row))
            refuse(o, x, never, now);
        else if (x->is_used)
            order_file(o, x); /* its times may be others */
    }
    orders_ring_all(o, BELL_LOOK);
}

/* ---- may it begin? ---- */

static uint64_t order_drops(const struct orders *o, const struct order_row *r)
{
    return r->max_drops != 0 ? r->max_drops : o->conf->max_drops;
}

/* The first order with a lease on it, or on what overlaps it; -1. */
static int64_t leased_by(struct orders *o, const struct prefix *p)
{
    struct tree_overlap over = tree_overlapping(&o->book[BOOK_LEASED], 0, p);
    return tree_overlap_next(&over);
}

/* Are so many segments more than it may lose in an hour? It ends there: at many small orders, too,
 * no more of them are looked at than the limit has segments. */
static bool is_too_much(struct orders *o, const struct prefix *p, uint64_t drops, int64_t now)
{
    struct tree_overlap over = tree_overlapping(&o->book[BOOK_COUNTED], 0, p);
    int64_t at;
    while (drops <= o->conf->drops_per_prefix_hour && (at = tree_overlap_next(&over)) >= 0)
        if (now < o->list[at].counted_until)
            drops += order_drops(o, &o->list[at].row);
    return drops > o->conf->drops_per_prefix_hour;
}

static bool is_full(struct orders *o, const char *sensor)
{
    unsigned n = 0;
    struct order *x = NULL;
    while (n < o->conf->max_per_sensor && (x = orders_at(o, sensor, x)) != NULL)
        n++;
    return n >= o->conf->max_per_sensor;
}

/* One that was not heard of for a while may only have nothing to say: it is asked for its clock. */
static bool can_take(struct order_sensor *s, int64_t now)
{
    bool is_heard = s->stamp != 0 && now - s->heard_at < SILENT_NS;
    s->is_wanted |= s->process != 0 && !is_heard;
    return s->process != 0 && is_heard;
}

/* NULL: it may. Else what it waits for, and the bell of that. */
static const char *why_wait(struct orders *o, const struct order_row *r, struct order_sensor *s,
                            int64_t now, uint64_t *bell)
{
    int64_t at;
    *bell = s == NULL ? BELL(BELL_NOBODY, 0) : BELL(BELL_DEAF, s - o->sensors);
    if (s == NULL || !can_take(s, now))
        return "waits for a sensor there that takes orders and sees the prefix";
    if (drift_is_off(&s->drift, o->conf->margin_ns))
        return "waits: its sensor's clock runs apart from ours by more than orders.margin";
    *bell = BELL(BELL_TIME, 0);
    if (now < o->unknown_until)
        return "waits: more orders of the last hour than orders.max";
    if ((at = leased_by(o, &r->prefix)) >= 0) {
        *bell = BELL(BELL_LEASE, (uint64_t)at);
        return "waits: the prefix, or one that overlaps it, is under test or may still be";
    }
    if ((at = own_is_tested(o, &r->prefix, s->name, now)) >= 0) {
        *bell = BELL(BELL_OWN, (uint64_t)at);
        return "waits: a sensor tests the prefix by its own configuration";
    }
    if (is_full(o, s->name)) {
        *bell = BELL(BELL_SENSOR, s - o->sensors);
        return "waits: orders.max_per_sensor";
    }
    if (o->book[BOOK_LEASED].count >= o->conf->max_concurrent) {
        *bell = BELL(BELL_NETWORK, 0);
        return "waits: orders.max_concurrent";
    }
    return is_too_much(o, &r->prefix, order_drops(o, r), now)
               ? "waits: orders.drops_per_prefix_hour"
               : NULL;
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
    struct order_sensor *s = r->pop[0] == '\0' ? NULL : orders_sensor_at(o, r->pop, NULL);
    for (; s != NULL; s = orders_sensor_at(o, r->pop, s))
        if (found == NULL || can_take(s, now))
            found = s;
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
    x->is_changed = x->is_counted = true;
    x->counted_until = now + HOUR_NS;
    order_file(o, x);
}

static void wait_on(struct orders *o, struct order *x, const char *why, uint64_t bell, int64_t now)
{
    if (now - x->waits_since >= (int64_t)o->conf->expire_ns) {
        order_over(o, x, STATUS_FAILED, "expired", why, now);
        return;
    }
    x->bell = bell;
    x->look_at = now + (bell == BELL(BELL_NOBODY, 0) ? NOBODY_NS : AGAIN_NS);
    if (strcmp(x->row.detail, why) != 0) {
        snprintf(x->row.detail, sizeof x->row.detail, "%s", why);
        x->is_changed = true;
    }
    order_file(o, x);
}

/* Called to its turn by a bell, it begins, or goes elsewhere, and the next there has his; or it
 * stands where it stood, and so does everybody behind it. */
static void try_request(struct orders *o, struct order *x, int64_t now)
{
    uint64_t bell, called_by = x->called_by;
    const struct prefix *never = orders_never(o, &x->row.prefix);
    if (never != NULL) {
        refuse(o, x, never, now);
        return;
    }
    struct order_sensor *s = sensor_for(o, &x->row, now);
    const char *why = why_wait(o, &x->row, s, now, &bell);
    x->called_by = 0;
    if (why == NULL)
        begin(o, x, s, now);
    else
        wait_on(o, x, why, bell, now);
    bool is_back = x->row.state == STATUS_REQUESTED && x->bell == called_by;
    if (called_by != 0 && !is_back)
        orders_ring(o, called_by);
}

static void look_at(struct orders *o, struct order *x, uint64_t called_by)
{
    x->bell = BELL_LOOK;
    x->called_by = called_by;
    order_file(o, x);
}

void orders_ring(struct orders *o, uint64_t bell)
{
    struct order *x = orders_first(o, BOOK_QUEUE, &(struct tree_key){{bell}});
    if (x != NULL && x->bell == bell)
        look_at(o, x, bell);
}

void orders_ring_all(struct orders *o, uint64_t bell)
{
    struct tree_key from = {{bell == BELL_LOOK ? 1 : bell}};
    struct order *x;
    while ((x = orders_first(o, BOOK_QUEUE, &from)) != NULL &&
           (bell == BELL_LOOK || x->bell == bell))
        look_at(o, x, 0);
}

/* The next that is to be looked at; NULL. */
static struct order *next_request(struct orders *o)
{
    struct order *x = orders_first(o, BOOK_QUEUE, &(struct tree_key){{BELL_LOOK}});
    return x != NULL && x->bell == BELL_LOOK ? x : NULL;
}

void orders_try_requests(struct orders *o, int64_t now)
{
    struct order *x;
    for (unsigned looks = 0; looks < LOOKS && (x = next_request(o)) != NULL; looks++)
        try_request(o, x, now);
}

/* ---- the planner's own ---- */

/* An order of it at that pop ("": any) that is open, or was over not long ago. */
static bool rests_at(struct orders *o, const struct prefix *p, const char *pop, int64_t now)
{
    struct tree_overlap over = tree_overlapping(&o->book[BOOK_POP], order_group(pop), p);
    int64_t at;
    while ((at = tree_overlap_next(&over)) >= 0) {
        const struct order_row *r = &o->list[at].row;
        bool is_recent = pop[0] != '\0' && now - r->ended_at < (int64_t)o->conf->cool_down_ns;
        if (strcmp(r->pop, pop) == 0 && (order_is_open(r) || is_recent))
            return true;
    }
    return false;
}

static bool rests(struct orders *o, const struct prefix *p, const char *pop, int64_t now)
{
    return rests_at(o, p, pop, now) || rests_at(o, p, "", now);
}

static struct order_row request_of(struct orders *o, const struct candidate *c, int64_t now)
{
    static const char *const how[] = {[EXPECTED_UNKNOWN] = "nobody said whether it is expected",
                                      [EXPECTED_NO] = "not expected here",
                                      [EXPECTED_YES] = "expected here"};
    struct order_row r = {.prefix = candidate_prefix(o, c),
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

static void propose(struct orders *o, const struct order_row *row)
{
    if (o->book[BOOK_PROPOSED].count >= PROPOSED)
        return;
    struct order_row r = *row;
    r.state = STATUS_PROPOSED;
    struct order *x = orders_add(o, &r);
    if (x == NULL)
        return;
    x->is_changed = true;
    order_file(o, x);
}

/* Who cannot be served now steps back, so that those behind are looked at, too. */
static void ask_for(struct orders *o, struct candidate *c, int64_t now)
{
    uint64_t bell;
    struct order_row row = request_of(o, c, now);
    struct order_sensor *s = orders_sensor(o, c->sensor);
    c->rests_until = now + STEP_BACK_NS;
    if (orders_never(o, &row.prefix) != NULL || rests(o, &row.prefix, row.pop, now) || s == NULL ||
        !can_take(s, now))
        return;
    if (o->conf->mode == ORDERS_APPROVE) {
        propose(o, &row);
        return;
    }
    c->rests_until = now + TURN_NS; /* a limit may have room by then */
    if (why_wait(o, &row, s, now, &bell) != NULL || own_is_tested(o, &row.prefix, "", now) >= 0)
        return; /* it stays a candidate */
    struct order *x = orders_add(o, &row);
    if (x != NULL)
        begin(o, x, s, now);
}

void orders_ask(struct orders *o, int64_t now)
{
    struct candidate *best[BEST];
    bool is_off = o->conf->mode == ORDERS_OFF || next_request(o) != NULL; /* people first */
    unsigned n = is_off ? 0 : candidates_best(o, best, BEST, now);
    for (unsigned i = 0; i < n; i++)
        ask_for(o, best[i], now);
}

#include "sensor/control/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"

/* After a list is in force, the last events of what left it are in a ring: this much later they
 * are read, even if a test began in the last moment. */
#define LEAVE_NS (250 * NS_PER_MS)
/* A test's end that does not come is not waited for any longer: its events were lost, too. */
#define LOST_NS (20 * NS_PER_S)

enum stage { STAGE_FREE, STAGE_WATCHED, STAGE_LEAVING };

struct order {
    enum stage stage;
    uint64_t id;
    struct prefix prefix;
    uint64_t until, wait_until, drops_max;
    uint8_t running[CONTROL_TESTS_MAX][16];
    unsigned running_count;
    bool is_decided;              /* a test had a word other than inconclusive */
    uint64_t version;             /* the first list with it; LEAVING: the first without it */
    uint64_t left_at;             /* LEAVING: when that was in force */
    uint64_t leaving_at;          /* since then */
    struct event_order_ended end; /* what is known so far */
};

struct hold {
    struct prefix prefix;
    uint64_t until; /* 0: free */
};

struct control {
    struct control_conf conf;
    struct prefix *home;
    size_t home_count;
    uint64_t number, start, base;
    struct order orders[CONTROL_ORDERS_MAX];
    struct hold holds[CONTROL_HOLDS_MAX];
    uint64_t known[CONTROL_KNOWN_MAX]; /* order_ids that are over */
    unsigned known_next;
    uint64_t version, in_force;
    struct event_order_ended out[CONTROL_KNOWN_MAX];
    unsigned out_head, out_tail;
};

/* ---- life ---- */

int control_new(const struct control_conf *conf, uint64_t seed, uint64_t now, struct control **out)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    struct prf prf = prf_init(seed, 6);
    c->conf = *conf;
    if (c->conf.max_orders > CONTROL_ORDERS_MAX)
        c->conf.max_orders = CONTROL_ORDERS_MAX;
    c->number = 1 + (prf_next(&prf) >> 2);
    c->base = 1 + (prf_next(&prf) >> 3); /* room for centuries below 2^63 */
    c->start = now;
    int err = control_home(c, conf->home, conf->home_count, now);
    if (err < 0) {
        control_free(c);
        return err;
    }
    *out = c;
    return 0;
}

void control_free(struct control *c)
{
    if (c != NULL)
        free(c->home);
    free(c);
}

uint64_t control_number(const struct control *c)
{
    return c->conf.enabled && c->conf.why_not == NULL ? c->number : 0;
}

uint64_t control_stamp(const struct control *c, uint64_t now)
{
    return c->base + (now - c->start);
}

/* ---- orders by number and by prefix ---- */

static bool overlap(const struct prefix *a, const struct prefix *b)
{
    return prefix_covers(a, b) || prefix_covers(b, a);
}

const struct prefix *control_never(const struct control_conf *conf, const struct prefix *p)
{
    for (size_t i = 0; i < conf->never_count; i++)
        if (overlap(&conf->never[i], p))
            return &conf->never[i];
    return NULL;
}

static struct order *find(struct control *c, uint64_t id)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        if (c->orders[i].stage != STAGE_FREE && c->orders[i].id == id)
            return &c->orders[i];
    return NULL;
}

static bool is_known(const struct control *c, uint64_t id)
{
    for (unsigned i = 0; i < CONTROL_KNOWN_MAX; i++)
        if (c->known[i] == id)
            return true;
    return false;
}

static bool is_home(const struct control *c, const struct prefix *p)
{
    for (size_t i = 0; i < c->home_count; i++)
        if (overlap(&c->home[i], p))
            return true;
    return false;
}

static bool is_ordered(const struct control *c, const struct prefix *p)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        if (c->orders[i].stage != STAGE_FREE && overlap(&c->orders[i].prefix, p))
            return true;
    return false;
}

/* ---- the end ---- */

/* While nobody takes them (a full spool) the oldest answers are let go: the collector then finds
 * the end of that order by its lease. */
static void say(struct control *c, const struct event_order_ended *end)
{
    if (c->out_tail - c->out_head == CONTROL_KNOWN_MAX)
        c->out_head++;
    c->out[c->out_tail++ % CONTROL_KNOWN_MAX] = *end;
    c->known[c->known_next++ % CONTROL_KNOWN_MAX] = end->order_id;
}

static void over(struct control *c, struct order *o)
{
    say(c, &o->end);
    o->stage = STAGE_FREE;
}

static void leave(struct control *c, struct order *o, uint8_t reason, const char *detail,
                  uint64_t now)
{
    if (o->stage != STAGE_WATCHED)
        return;
    o->stage = STAGE_LEAVING;
    o->leaving_at = now;
    o->version = ++c->version;
    o->left_at = 0;
    o->end.reason = reason;
    o->end.state = reason == REASON_ENDED ? ORDER_ENDED : ORDER_FAILED;
    snprintf(o->end.detail, sizeof o->end.detail, "%s", detail);
}

static void refuse(struct control *c, const struct wire_message *m, uint8_t reason,
                   const char *detail)
{
    struct event_order_ended end = {
        .order_id = m->order_id, .prefix = m->prefix, .state = ORDER_FAILED, .reason = reason};
    snprintf(end.detail, sizeof end.detail, "%s", detail);
    say(c, &end);
}

/* Tests ran, and none runs: what they say together. */
static void tested(struct control *c, struct order *o, uint64_t now)
{
    bool is_data = o->end.data > 0;
    leave(c, o, is_data ? REASON_ENDED : REASON_NO_TCP,
          is_data ? "" : "packets came, but no TCP segment with payload", now);
}

/* ---- messages ---- */

/* Why an order cannot begin. NULL: it can. */
static const char *why_not(const struct control *c, const struct wire_message *m)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        taken += c->orders[i].stage != STAGE_FREE;
    unsigned least = m->prefix.addr.family == ADDR_V4 ? c->conf.min_v4 : c->conf.min_v6;
    if (!c->conf.enabled)
        return "control.enabled is false";
    if (c->conf.why_not != NULL)
        return c->conf.why_not;
    if (m->prefix.length < least)
        return m->prefix.addr.family == ADDR_V4 ? "shorter than control.min_v4_length"
                                                : "shorter than control.min_v6_length";
    if (control_never(&c->conf, &m->prefix) != NULL)
        return "it overlaps a prefix of this sensor's penny.never";
    return taken >= c->conf.max_orders ? "control.max_orders are here" : NULL;
}

/* When it must be over; 0: the stamp is none of ours, so nobody knows. */
static uint64_t deadline(const struct control *c, const struct wire_message *m, uint64_t now)
{
    if (m->stamp < c->base || m->stamp - c->base > now - c->start)
        return 0;
    uint64_t lease = m->lease < c->conf.max_lease_ns ? m->lease : c->conf.max_lease_ns;
    return c->start + (m->stamp - c->base) + lease;
}

static struct order *take_slot(struct control *c)
{
    unsigned i = 0;
    while (i < CONTROL_ORDERS_MAX && c->orders[i].stage != STAGE_FREE)
        i++;
    return i < CONTROL_ORDERS_MAX ? &c->orders[i] : NULL;
}

static void begin(struct control *c, const struct wire_message *m, uint64_t until, uint64_t now)
{
    struct order *o = take_slot(c);
    if (o == NULL) {
        refuse(c, m, REASON_REFUSED, "no room for one more order");
        return;
    }
    *o = (struct order){.stage = STAGE_WATCHED,
                        .id = m->order_id,
                        .prefix = m->prefix,
                        .until = until,
                        .version = ++c->version,
                        .wait_until = m->wait < until - now ? now + m->wait : until,
                        .drops_max = m->drops};
    o->end.order_id = m->order_id;
    o->end.prefix = m->prefix;
}

static void take_order(struct control *c, const struct wire_message *m, uint64_t now)
{
    if (find(c, m->order_id) != NULL || is_known(c, m->order_id))
        return; /* sent again */
    uint64_t until = deadline(c, m, now);
    if (until == 0)
        return; /* meant for a former process; sent again with our own stamp */
    const char *why = why_not(c, m);
    if (why != NULL)
        refuse(c, m, REASON_REFUSED, why);
    else if (is_home(c, &m->prefix))
        refuse(c, m, REASON_ALREADY_WATCHED, "by this sensor's configuration");
    else if (is_ordered(c, &m->prefix))
        refuse(c, m, REASON_ALREADY_WATCHED, "for another order");
    else if (until <= now)
        refuse(c, m, REASON_LEASE_OVER, "before it came");
    else
        begin(c, m, until, now);
}

static struct hold *hold_of(struct control *c, const struct prefix *p)
{
    struct hold *free = NULL;
    for (unsigned i = 0; i < CONTROL_HOLDS_MAX; i++) {
        struct hold *h = &c->holds[i];
        if (h->until != 0 && prefix_equal(&h->prefix, p))
            return h;
        if (h->until == 0)
            free = h;
    }
    return free;
}

/* Without room nothing is said: it is sent again while our test goes on. */
static void take_hold(struct control *c, const struct wire_message *m, uint64_t now)
{
    uint64_t until = deadline(c, m, now);
    if (control_number(c) == 0 || until <= now || !is_home(c, &m->prefix))
        return;
    struct hold *h = hold_of(c, &m->prefix);
    if (h == NULL)
        return;
    c->version += h->until == 0;
    *h = (struct hold){m->prefix, until > h->until ? until : h->until};
}

void control_message(struct control *c, const struct wire_message *m, uint64_t now)
{
    if (m->kind == WIRE_HOLD)
        take_hold(c, m, now);
    if (m->kind == WIRE_ORDER) {
        take_order(c, m, now);
        return;
    }
    struct order *o = m->kind == WIRE_STOP ? find(c, m->order_id) : NULL;
    if (o != NULL)
        leave(c, o, REASON_STOPPED, "by the collector", now);
}

/* ---- events ---- */

/* By prefix, exactly: penny tests what is watched, and what overlaps is not ordered. */
static struct order *order_of(struct control *c, const struct prefix *p)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        if (c->orders[i].stage != STAGE_FREE && prefix_equal(&c->orders[i].prefix, p))
            return &c->orders[i];
    return NULL;
}

static void test_started(struct control *c, struct event_test_started *t)
{
    struct order *o = order_of(c, &t->prefix);
    if (o == NULL)
        return;
    t->order_id = o->id;
    o->end.tests++;
    if (o->end.tests == 1)
        memcpy(o->end.test_id, t->test_id, sizeof t->test_id);
    if (o->running_count < CONTROL_TESTS_MAX)
        memcpy(o->running[o->running_count++], t->test_id, sizeof t->test_id);
}

static void forget_running(struct order *o, const uint8_t id[static 16])
{
    for (unsigned i = 0; i < o->running_count; i++)
        if (memcmp(o->running[i], id, 16) == 0) {
            memcpy(o->running[i], o->running[--o->running_count], 16);
            return;
        }
}

static void test_ended(struct control *c, struct event_test_ended *t, uint64_t now)
{
    struct order *o = order_of(c, &t->prefix);
    if (o == NULL)
        return;
    bool is_word = t->verdict != VERDICT_INCONCLUSIVE;
    t->order_id = o->id;
    forget_running(o, t->test_id);
    o->end.packets += t->packets;
    o->end.data += t->data;
    o->end.drops += t->drops;
    if (is_word || !o->is_decided)
        memcpy(o->end.test_id, t->test_id, sizeof t->test_id);
    o->is_decided |= is_word;
    if (o->running_count == 0)
        tested(c, o, now);
}

void control_event(struct control *c, struct event *e, uint64_t now)
{
    if (e->type == EVENT_test_started)
        test_started(c, &e->test_started);
    else if (e->type == EVENT_test_ended)
        test_ended(c, &e->test_ended, now);
}

/* ---- time ---- */

static bool has_left(const struct control *c, const struct order *o, uint64_t now)
{
    if (c->in_force < o->version || o->left_at == 0 || now - o->left_at < LEAVE_NS)
        return false;
    return o->running_count == 0 || now - o->left_at >= LOST_NS;
}

static void tick_order(struct control *c, struct order *o, uint64_t now)
{
    if (o->stage == STAGE_WATCHED && now >= o->until)
        leave(c, o, REASON_LEASE_OVER,
              o->end.tests > 0 ? "before its test had ended" : "before a packet came", now);
    else if (o->stage == STAGE_WATCHED && now >= o->wait_until && o->end.tests == 0)
        leave(c, o, REASON_NO_TRAFFIC, "no packet of the prefix came in time", now);
    if (o->stage == STAGE_LEAVING && has_left(c, o, now))
        over(c, o);
}

void control_tick(struct control *c, uint64_t now)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        tick_order(c, &c->orders[i], now);
    for (unsigned i = 0; i < CONTROL_HOLDS_MAX; i++)
        if (c->holds[i].until != 0 && now >= c->holds[i].until) {
            c->holds[i].until = 0;
            c->version++;
        }
}

void control_finish(struct control *c)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++) {
        struct order *o = &c->orders[i];
        if (o->stage == STAGE_FREE)
            continue;
        leave(c, o, REASON_STOPPED, "the sensor ends", o->until);
        over(c, o);
    }
}

bool control_take(struct control *c, struct event *out)
{
    if (c->out_head == c->out_tail)
        return false;
    *out = (struct event){.type = EVENT_order_ended};
    out->order_ended = c->out[c->out_head++ % CONTROL_KNOWN_MAX];
    return true;
}

/* ---- what is watched ---- */

int control_home(struct control *c, const struct prefix *prefixes, size_t n, uint64_t now)
{
    struct prefix *home = malloc((n + 1) * sizeof *home);
    if (home == NULL)
        return -ENOMEM;
    if (n > 0)
        memcpy(home, prefixes, n * sizeof *home);
    free(c->home);
    c->home = home;
    c->home_count = n;
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++)
        if (c->orders[i].stage == STAGE_WATCHED && is_home(c, &c->orders[i].prefix))
            leave(c, &c->orders[i], REASON_ALREADY_WATCHED, "by this sensor's configuration", now);
    return 0;
}

uint32_t control_share(const struct control_watch *w, unsigned queue, unsigned queues)
{
    uint64_t share = w->drops / queues + (queue < w->drops % queues);
    return share < CONTROL_DROPS_MAX ? (uint32_t)share : CONTROL_DROPS_MAX;
}

static bool is_held(const struct control *c, const struct prefix *p)
{
    for (unsigned i = 0; i < CONTROL_HOLDS_MAX; i++)
        if (c->holds[i].until != 0 && overlap(&c->holds[i].prefix, p))
            return true;
    return false;
}

size_t control_home_free(const struct control *c, struct prefix *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < c->home_count && n < room; i++)
        if (!is_held(c, &c->home[i]))
            out[n++] = c->home[i];
    return n;
}

size_t control_watch(const struct control *c, struct control_watch out[static CONTROL_ORDERS_MAX],
                     uint64_t *version)
{
    size_t n = 0;
    *version = c->version;
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++) {
        const struct order *o = &c->orders[i];
        if (o->stage == STAGE_WATCHED)
            out[n++] = (struct control_watch){o->prefix, o->until, o->drops_max};
    }
    return n;
}

void control_watched(struct control *c, uint64_t version, uint64_t now)
{
    if (version > c->in_force)
        c->in_force = version;
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++) {
        struct order *o = &c->orders[i];
        if (o->stage == STAGE_LEAVING && o->left_at == 0 && c->in_force >= o->version)
            o->left_at = now;
    }
}

void control_not_watched(struct control *c, uint64_t version, uint64_t now)
{
    for (unsigned i = 0; i < CONTROL_ORDERS_MAX; i++) {
        struct order *o = &c->orders[i];
        if (o->stage == STAGE_WATCHED && o->version > c->in_force && o->version <= version)
            leave(c, o, REASON_REFUSED, "a queue, or the kernel, had no room to watch it", now);
    }
}

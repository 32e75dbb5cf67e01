/* What sensors say, and what it means for their orders. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"

/* ---- sensors ---- */

static struct order_sensor *first_of(struct orders *o, struct tree *t, const char *name)
{
    uint64_t group = order_group(name);
    const struct tree_node *n = tree_from(t, &(struct tree_key){{group}});
    return n != NULL && n->key.word[0] == group ? &o->sensors[tree_number(n)] : NULL;
}

static struct order_sensor *next_of(struct orders *o, struct tree *t, const struct tree_node *of)
{
    const struct tree_node *n = tree_after(t, of);
    return n != NULL && n->key.word[0] == of->key.word[0] ? &o->sensors[tree_number(n)] : NULL;
}

struct order_sensor *orders_sensor(struct orders *o, const char *name)
{
    if (o->sensor_last < o->sensor_count && strcmp(o->sensors[o->sensor_last].name, name) == 0)
        return &o->sensors[o->sensor_last];
    struct order_sensor *s = first_of(o, &o->sensors_by_name, name);
    while (s != NULL && strcmp(s->name, name) != 0)
        s = next_of(o, &o->sensors_by_name, &s->by_name);
    if (s != NULL)
        o->sensor_last = (unsigned)(s - o->sensors);
    return s;
}

struct order_sensor *orders_sensor_at(struct orders *o, const char *pop,
                                      const struct order_sensor *after)
{
    struct order_sensor *s = after == NULL ? first_of(o, &o->sensors_by_pop, pop)
                                           : next_of(o, &o->sensors_by_pop, &after->by_pop);
    while (s != NULL && strcmp(s->pop, pop) != 0)
        s = next_of(o, &o->sensors_by_pop, &s->by_pop);
    return s;
}

static void put_by(struct orders *o, struct tree *t, struct tree_node *n, const char *name,
                   const struct order_sensor *s)
{
    struct tree_key key = {{order_group(name), 0, 0, (uint64_t)(s - o->sensors)}};
    tree_put(t, n, &key);
}

static struct order_sensor *add_sensor(struct orders *o, const char *name)
{
    if (o->sensor_count == SENSORS_MAX)
        return NULL;
    struct order_sensor *s = &o->sensors[o->sensor_count++];
    snprintf(s->name, sizeof s->name, "%s", name);
    put_by(o, &o->sensors_by_name, &s->by_name, name, s);
    return s;
}

/* Its process is another: what the former one was doing ended with it. The lease stands all the
 * same, for nobody knows whether two of them run. */
static void restarted(struct orders *o, const struct order_sensor *s, int64_t now)
{
    for (struct order *x = NULL; (x = orders_at(o, s->name, x)) != NULL;)
        if (x->row.state == STATUS_RUNNING && x->row.process != s->process)
            order_over(o, x, STATUS_FAILED, "sensor_restarted",
                       "its sensor's process is another now", now);
    own_tests_gone(o, s->name);
    orders_ring_all(o, BELL(BELL_NOBODY, 0));
}

/* What it has is said to it again at once. */
static void resend(struct orders *o, const char *sensor)
{
    for (struct order *x = NULL; (x = orders_at(o, sensor, x)) != NULL;) {
        x->sent_at = 0;
        order_file(o, x);
    }
}

/* Another process has another clock. */
static void clock_heard(struct orders *o, struct order_sensor *s, const struct wire_message *m,
                        int64_t now)
{
    if (m->kind == WIRE_HELLO && s->process != m->orders)
        s->drift = (struct drift){0};
    bool was_off = drift_is_off(&s->drift, o->conf->margin_ns);
    drift_heard(&s->drift, m->stamp, now, o->conf->lease_ns);
    if (was_off || !drift_is_off(&s->drift, o->conf->margin_ns))
        return;
    o->clocks_off++;
    o->clock_off.ahead = s->drift.ahead;
    memcpy(o->clock_off.sensor, s->name, sizeof s->name);
}

void orders_heard(struct orders *o, const char *sensor, const char *pop,
                  const struct wire_message *m, int64_t now)
{
    struct order_sensor *s = orders_sensor(o, sensor);
    if (s == NULL && m->kind == WIRE_HELLO && m->orders != 0)
        s = add_sensor(o, sensor);
    if (s == NULL)
        return;
    if (m->stamp != 0) {
        clock_heard(o, s, m, now);
        s->stamp = m->stamp;
        s->heard_at = now;
        s->is_wanted = false;
    }
    if (m->kind == WIRE_HELLO) {
        bool is_other = s->process != m->orders;
        s->process = m->orders;
        snprintf(s->pop, sizeof s->pop, "%s", pop);
        put_by(o, &o->sensors_by_pop, &s->by_pop, s->pop, s);
        if (is_other)
            restarted(o, s, now);
        resend(o, sensor);
    }
    orders_ring(o, BELL(BELL_DEAF, s - o->sensors));
}

void orders_seen(struct orders *o, const char *sensor, const struct ingress_row *row,
                 const struct event_tally *t, int64_t now)
{
    candidate_add(o, sensor, row, t, now);
}

/* ---- events ---- */

static void test_began(struct orders *o, struct order *x, const struct event_test_started *t)
{
    static const uint8_t none[16];
    if (memcmp(x->row.test_id, none, 16) != 0)
        return;
    memcpy(x->row.test_id, t->test_id, 16);
    x->is_changed = true;
    order_file(o, x);
}

/* Of several tests the last with a word counts: as the sensor says in order_ended. */
static void test_over(struct orders *o, struct order *x, const struct event_test_ended *t)
{
    bool is_word = t->verdict != VERDICT_INCONCLUSIVE;
    if (!is_word && x->row.verdict >= 0 && x->row.verdict != VERDICT_INCONCLUSIVE)
        return;
    memcpy(x->row.test_id, t->test_id, 16);
    x->row.verdict = t->verdict;
    x->is_changed = true;
    order_file(o, x);
}

static void order_said_over(struct orders *o, struct order *x, const struct event_order_ended *e,
                            int64_t now)
{
    const char *word = event_word("order_reason", e->reason);
    x->row.drops = e->drops;
    x->row.packets = e->packets;
    x->row.data = e->data;
    x->is_harmless = e->tests == 0 && e->drops == 0;
    order_free_lease(o, x);
    if (x->row.ended_at == 0)
        order_over(o, x, e->state == ORDER_ENDED ? STATUS_ENDED : STATUS_FAILED,
                   word != NULL ? word : "", e->detail, now);
}

/* A sensor speaks of its own orders only. */
static struct order *of_sensor(struct orders *o, const char *sensor, uint64_t id)
{
    struct order *x = orders_find(o, id);
    return x != NULL && strcmp(x->row.sensor, sensor) == 0 ? x : NULL;
}

static void stopped(struct orders *o, const char *sensor, int64_t now)
{
    for (struct order *x = NULL; (x = orders_at(o, sensor, x)) != NULL;)
        if (x->row.state == STATUS_RUNNING)
            order_over(o, x, STATUS_FAILED, "sensor_stopped", "its sensor was stopped", now);
}

void orders_event(struct orders *o, const char *sensor, const struct event *e, int64_t now)
{
    struct order *x;
    switch (e->type) {
    case EVENT_test_started:
        x = of_sensor(o, sensor, e->test_started.order_id);
        if (x != NULL)
            test_began(o, x, &e->test_started);
        else if (e->test_started.mode == TEST_ACTIVE)
            own_test_began(o, sensor, &e->test_started, now);
        break;
    case EVENT_test_ended:
        x = of_sensor(o, sensor, e->test_ended.order_id);
        if (x != NULL)
            test_over(o, x, &e->test_ended);
        else
            own_test_ended(o, sensor, &e->test_ended);
        break;
    case EVENT_order_ended:
        x = of_sensor(o, sensor, e->order_ended.order_id);
        if (x != NULL)
            order_said_over(o, x, &e->order_ended, now);
        break;
    case EVENT_sensor_stopped:
        stopped(o, sensor, now);
        break;
    default:
        break;
    }
}

/* What follows: rows to be written, and then messages for sensors. */
#include <limits.h>
#include <string.h>

#include "collector/order/order_table.h"

#define LEAST_LEFT (5 * (int64_t)NS_PER_S) /* of a lease: with less no test begins */
#define SAID       UINT_MAX                /* the slot of a row that has none */

bool orders_take(struct orders *o, struct order_row *out, unsigned *slot)
{
    if (o->said_count > 0) {
        *out = o->said[--o->said_count];
        *slot = SAID;
        return true;
    }
    struct order *x = orders_first(o, BOOK_CHANGED, &(struct tree_key){{0}});
    if (x == NULL || x->is_put_off)
        return false;
    x->is_changed = false;
    order_file(o, x);
    *out = x->row;
    *slot = (unsigned)(x - o->list);
    return true;
}

void orders_number(struct orders *o, unsigned slot, uint64_t order_id)
{
    o->list[slot].row.order_id = order_id;
    order_file(o, &o->list[slot]);
}

void orders_put_off(struct orders *o, unsigned slot)
{
    if (slot == SAID)
        return; /* said again when it is read again */
    o->list[slot].is_put_off = true;
    order_file(o, &o->list[slot]);
}

/* What is left of the lease counts from when the stamp was heard. */
static bool order_message(struct orders *o, const struct order_row *r, const struct order_sensor *s,
                          int64_t now, struct wire_message *m)
{
    int64_t end = r->lease_until - (int64_t)o->conf->margin_ns;
    if (s->process != r->process || end - now < LEAST_LEFT || orders_never(o, &r->prefix) != NULL)
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

static bool message_of(struct orders *o, const struct order_row *r, const struct order_sensor *s,
                       int64_t now, struct wire_message *m)
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

static bool may_send(const struct order *x)
{
    return !x->is_changed && !x->is_put_off && x->row.order_id != 0;
}

/* The next whose turn it is: those that were sent longest ago, or never, first. */
static struct order *next_due(struct orders *o, int64_t now)
{
    const struct tree_node *n = tree_from(&o->book[BOOK_SEND], &o->send_from);
    if (n == NULL)
        return NULL;
    struct order *x = &o->list[tree_number(n)];
    if (x->sent_at != 0 && now - x->sent_at < (int64_t)o->conf->resend_ns)
        return NULL;
    o->send_from = n->key;
    o->send_from.word[3]++; /* of numbers there are fewer than 2^32 */
    return x;
}

bool orders_send(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
                 struct wire_message *out)
{
    struct order *x;
    if (o->send_at != now)
        o->send_from = (struct tree_key){{0}};
    o->send_at = now;
    while ((x = next_due(o, now)) != NULL) {
        const struct order_sensor *s = orders_sensor(o, x->row.sensor);
        if (!may_send(x) || s == NULL || s->process == 0 || !message_of(o, &x->row, s, now, out))
            continue;
        x->sent_at = now;
        order_file(o, x);
        memcpy(sensor, x->row.sensor, WIRE_NAME);
        return true;
    }
    return own_hold(o, now, sensor, out) || ask_clock(o, now, sensor, out);
}

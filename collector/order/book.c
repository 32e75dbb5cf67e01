/* The rows of the planner and the books by which they are found, so that nobody goes through all of
 * them. A book is an order of some rows; order_file says of a row in which it stands, and where. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"

bool orders_overlap(const struct prefix *a, const struct prefix *b)
{
    return prefix_covers(a, b) || prefix_covers(b, a);
}

bool order_is_open(const struct order_row *r)
{
    return r->state <= STATUS_RUNNING;
}

/* FNV-1a, of the 56 bits that a group of prefixes may have. */
uint64_t order_group(const char *name)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(1099511628211);
    return h >> 8;
}

/* ---- where a row stands ---- */

/* Nothing is withheld for it, and no book but the database needs what it says. */
static bool is_over(const struct order *x)
{
    return !order_is_open(&x->row) && x->row.lease_until == 0 && !x->is_changed && !x->is_put_off;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A row that is over is remembered for its pause, and for the hour of its segments. */
static int64_t forget_at(const struct orders *o, const struct order *x)
{
    int64_t at = x->row.ended_at + most((int64_t)o->conf->cool_down_ns, HOUR_NS);
    return x->is_counted ? most(at, x->counted_until) : at;
}

/* When time does something to it. */
static int64_t due_of(const struct orders *o, const struct order *x)
{
    const struct order_row *r = &x->row;
    int64_t due = r->lease_until != 0 ? r->lease_until : INT64_MAX;
    if (x->is_counted)
        due = least(due, x->counted_until);
    if (r->state == STATUS_PROPOSED)
        due = least(due, x->waits_since + DAY_NS);
    if (r->state == STATUS_REQUESTED && x->bell != BELL_LOOK)
        due = least(due, least(x->look_at, x->waits_since + (int64_t)o->conf->expire_ns));
    return is_over(x) ? least(due, forget_at(o, x)) : due;
}

static uint64_t time_word(int64_t at)
{
    return at > 0 ? (uint64_t)at : 0;
}

static void put(struct orders *o, struct order *x, enum book book, bool is_in, struct tree_key key)
{
    struct tree_node *n = &x->in[book];
    if (!is_in)
        tree_out(&o->book[book], n);
    else if (!n->is_in || memcmp(&n->key, &key, sizeof key) != 0)
        tree_put(&o->book[book], n, &key);
}

static void put_by(struct orders *o, struct order *x, enum book book, bool is_in, uint64_t by,
                   uint64_t then)
{
    put(o, x, book, is_in, (struct tree_key){{by, then, 0, (uint64_t)(x - o->list)}});
}

/* Of the turn that orders_send goes through it is looked at (again) if something changed. */
static void put_send(struct orders *o, struct order *x)
{
    uint64_t at = time_word(x->sent_at), *from = o->send_from.word;
    unsigned slot = (unsigned)(x - o->list);
    put_by(o, x, BOOK_SEND, x->row.lease_until != 0, at, 0);
    if (x->row.lease_until != 0 && (at < from[0] || (at == from[0] && slot < from[3])))
        o->send_from = x->in[BOOK_SEND].key;
}

void order_file(struct orders *o, struct order *x)
{
    const struct order_row *r = &x->row;
    unsigned slot = (unsigned)(x - o->list);
    bool is_leased = r->lease_until != 0;
    int64_t due = due_of(o, x);
    struct tree_key by_prefix = tree_prefix_key(0, &r->prefix, slot);
    put_by(o, x, BOOK_NUMBER, r->order_id != 0, r->order_id, 0);
    put_by(o, x, BOOK_CHANGED, x->is_changed || x->is_put_off, x->is_put_off, 0);
    put_by(o, x, BOOK_DUE, due != INT64_MAX, time_word(due), 0);
    put_by(o, x, BOOK_QUEUE, r->state == STATUS_REQUESTED, x->bell, time_word(r->requested_at));
    put_by(o, x, BOOK_PROPOSED, r->state == STATUS_PROPOSED, 0, 0);
    put(o, x, BOOK_POP, true, tree_prefix_key(order_group(r->pop), &r->prefix, slot));
    put(o, x, BOOK_COUNTED, x->is_counted, by_prefix);
    put(o, x, BOOK_LEASED, is_leased, by_prefix);
    put_by(o, x, BOOK_SENSOR, is_leased, order_group(r->sensor), 0);
    put_send(o, x);
    put_by(o, x, BOOK_SPARE, is_over(x) && (!x->is_counted || x->is_harmless),
           time_word(r->ended_at), 0);
}

/* ---- rows ---- */

struct order *orders_first(struct orders *o, enum book book, const struct tree_key *from)
{
    const struct tree_node *n = tree_from(&o->book[book], from);
    return n == NULL ? NULL : &o->list[tree_number(n)];
}

struct order *orders_find(struct orders *o, uint64_t id)
{
    struct order *x = orders_first(o, BOOK_NUMBER, &(struct tree_key){{id}});
    return id != 0 && x != NULL && x->row.order_id == id ? x : NULL;
}

struct order *orders_at(struct orders *o, const char *sensor, const struct order *after)
{
    struct tree_key key = {{order_group(sensor)}};
    if (after != NULL)
        key.word[3] = (uint64_t)(after - o->list) + 1;
    const struct tree_node *n = tree_from(&o->book[BOOK_SENSOR], &key);
    while (n != NULL && n->key.word[0] == key.word[0]) {
        struct order *x = &o->list[tree_number(n)];
        if (strcmp(x->row.sensor, sensor) == 0)
            return x;
        n = tree_after(&o->book[BOOK_SENSOR], n);
    }
    return NULL;
}

bool order_is_past(const struct orders *o, const struct order *x, int64_t now)
{
    return is_over(x) && now >= forget_at(o, x);
}

void orders_forget(struct orders *o, struct order *x)
{
    for (unsigned book = 0; book < BOOKS; book++)
        tree_out(&o->book[book], &x->in[book]);
    x->is_used = false;
    x->next_free = o->free;
    o->free = (unsigned)(x - o->list);
}

bool orders_have_room(const struct orders *o)
{
    return o->free != o->max || o->used < o->max || o->book[BOOK_SPARE].count > 0;
}

static struct order *take_slot(struct orders *o)
{
    if (o->free == o->max && o->used == o->max)
        orders_forget(o, orders_first(o, BOOK_SPARE, &(struct tree_key){{0}}));
    if (o->free == o->max)
        return &o->list[o->used++];
    struct order *x = &o->list[o->free];
    o->free = x->next_free;
    return x;
}

struct order *orders_add(struct orders *o, const struct order_row *row)
{
    if (!orders_have_room(o)) {
        o->refused++;
        return NULL;
    }
    struct order *x = take_slot(o);
    *x = (struct order){.row = *row, .is_used = true, .waits_since = row->requested_at};
    order_file(o, x);
    return x;
}

void order_over(struct orders *o, struct order *x, enum order_status state, const char *result,
                const char *detail, int64_t now)
{
    uint64_t called_by = x->called_by;
    if (x->row.state != STATUS_CANCELLED)
        x->row.state = state;
    x->row.ended_at = now;
    snprintf(x->row.result, sizeof x->row.result, "%s", result);
    snprintf(x->row.detail, sizeof x->row.detail, "%s", detail);
    x->is_changed = true;
    x->called_by = 0;
    order_file(o, x);
    if (called_by != 0)
        orders_ring(o, called_by); /* it leaves its turn to the next */
}

void order_free_lease(struct orders *o, struct order *x)
{
    const struct order_sensor *s = orders_sensor(o, x->row.sensor);
    x->row.lease_until = 0;
    x->is_changed = true;
    order_file(o, x);
    orders_ring(o, BELL(BELL_LEASE, x - o->list));
    orders_ring(o, BELL(BELL_NETWORK, 0));
    if (s != NULL)
        orders_ring(o, BELL(BELL_SENSOR, s - o->sensors));
}

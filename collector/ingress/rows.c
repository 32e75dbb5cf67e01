/* Ranges, their rows, and the queues in which rows wait to be taken. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "collector/ingress/map.h"

/* ---- ranges ---- */

uint32_t range_find(const struct ingress_map *m, const struct prefix *p)
{
    uint32_t at = lpm_below(&m->trie, p);
    return at != LPM_NONE && m->trie.nodes[at].length == p->length ? m->trie.nodes[at].value : NONE;
}

uint32_t range_over(const struct ingress_map *m, const struct prefix *p)
{
    return lpm_find_cover(&m->trie, p);
}

uint32_t range_above(const struct ingress_map *m, const struct prefix *p)
{
    if (p->length == 0)
        return NONE;
    struct prefix wider = prefix_of(&p->addr, p->length - 1u);
    return range_over(m, &wider);
}

int range_make(struct ingress_map *m, const struct prefix *p, uint32_t *out)
{
    if (!pool_has(&m->range_pool, 1))
        return ERR_FULL;
    uint32_t id =
        pool_take(&m->range_pool, m->ranges, sizeof *m->ranges, offsetof(struct range, next_free));
    int err = lpm_set(&m->trie, p, id);
    if (err < 0) {
        pool_give(&m->range_pool, id, m->ranges, sizeof *m->ranges,
                  offsetof(struct range, next_free));
        return err;
    }
    m->ranges[id] = (struct range){.prefix = *p,
                                   .is_used = true,
                                   .row = NONE,
                                   .leaf = NONE,
                                   .main = NONE,
                                   .refused = NONE,
                                   .next_free = NONE};
    *out = id;
    return 0;
}

void range_free(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    while (r->row != NONE)
        row_gone(m, &m->nodes[r->row]);
    lpm_remove(&m->trie, &r->prefix);
    r->is_used = false;
    pool_give(&m->range_pool, range, m->ranges, sizeof *m->ranges,
              offsetof(struct range, next_free));
}

void range_adopt(struct ingress_map *m, uint32_t range, uint32_t leaf)
{
    struct range *r = &m->ranges[range];
    struct leaf *l = &m->leaves[leaf];
    l->range = range;
    l->prev = NONE;
    l->next = r->leaf;
    if (r->leaf != NONE)
        m->leaves[r->leaf].prev = leaf;
    r->leaf = leaf;
    r->leaves++;
}

void range_leave(struct ingress_map *m, uint32_t leaf)
{
    struct leaf *l = &m->leaves[leaf];
    struct range *r = &m->ranges[l->range];
    if (l->prev != NONE)
        m->leaves[l->prev].next = l->next;
    else
        r->leaf = l->next;
    if (l->next != NONE)
        m->leaves[l->next].prev = l->prev;
    r->leaves--;
    l->range = NONE;
}

/* ---- queues: a name is in each at most once, so each is as long as there are rows ---- */

static void push(const struct ingress_map *m, struct queue *q, uint32_t id)
{
    q->ids[(q->at + (uint64_t)q->len++) % m->conf.max_rows] = id;
}

static uint32_t pop(const struct ingress_map *m, struct queue *q)
{
    uint32_t id = q->ids[q->at];
    q->at = (uint32_t)((q->at + UINT64_C(1)) % m->conf.max_rows);
    q->len--;
    return id;
}

/* A row that is gone is free when it was taken and no queue has its name. */
static void free_if_out(struct ingress_map *m, uint32_t id)
{
    struct node *n = &m->nodes[id];
    if (!n->is_used && !n->is_gone && !n->in_ready && !n->in_waiting)
        pool_give(&m->node_pool, id, m->nodes, sizeof *m->nodes, offsetof(struct node, next));
}

void row_touched(struct ingress_map *m, struct node *n)
{
    if (m->is_loading)
        return;
    n->is_waiting = false;
    n->is_ready = true;
    if (!n->in_ready)
        push(m, &m->ready, n->row.id);
    n->in_ready = true;
}

static void wait_for(struct ingress_map *m, struct node *n)
{
    m->due[(m->waiting.at + (uint64_t)m->waiting.len) % m->conf.max_rows] =
        m->now + (int64_t)m->conf.write_interval_ns;
    push(m, &m->waiting, n->row.id);
    n->in_waiting = true;
}

void row_counted(struct ingress_map *m, struct node *n)
{
    if (m->is_loading)
        return;
    if (m->conf.write_interval_ns == 0 || n->is_ready) {
        row_touched(m, n);
        return;
    }
    if (n->is_waiting)
        return;
    n->is_waiting = true;
    n->waits_since = m->now;
    if (!n->in_waiting)
        wait_for(m, n);
}

/* Its name may have stood there since before it was last taken: then it waits on, once. */
static bool is_due(const struct ingress_map *m, const struct node *n)
{
    return m->now - n->waits_since >= (int64_t)m->conf.write_interval_ns;
}

void rows_due(struct ingress_map *m, bool all)
{
    while (m->waiting.len > 0 && (all || m->due[m->waiting.at] <= m->now)) {
        uint32_t id = pop(m, &m->waiting);
        struct node *n = &m->nodes[id];
        n->in_waiting = false;
        if (n->is_waiting && (all || is_due(m, n)))
            row_touched(m, n);
        else if (n->is_waiting)
            wait_for(m, n);
        free_if_out(m, id);
    }
}

/* Shares of one range change together: with one of its rows go those that wait, so that who reads
 * SQL meets shares of one moment. */
static void rows_with(struct ingress_map *m, const struct node *n)
{
    const struct range *r = &m->ranges[n->range];
    for (uint32_t i = r->rows <= BUNDLE_ROWS ? r->row : NONE; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].is_waiting)
            row_touched(m, &m->nodes[i]);
}

void ingress_map_hurry(struct ingress_map *m)
{
    rows_due(m, true);
}

static bool take_gone(struct ingress_map *m, struct ingress_row *out)
{
    if (m->gone.len == 0)
        return false;
    uint32_t id = pop(m, &m->gone);
    *out = m->nodes[id].row;
    out->is_gone = true;
    m->nodes[id].is_gone = false;
    free_if_out(m, id);
    return true;
}

/* Those that are gone first: one of the same key may have come since. */
bool ingress_map_take(struct ingress_map *m, struct ingress_row *out)
{
    if (take_gone(m, out))
        return true;
    while (m->ready.len > 0) {
        uint32_t id = pop(m, &m->ready);
        struct node *n = &m->nodes[id];
        n->in_ready = false;
        bool is_ready = n->is_ready;
        n->is_ready = false;
        *out = n->row;
        out->is_present = n->is_present;
        out->is_main = is_ready && m->ranges[n->range].main == id;
        free_if_out(m, id);
        if (!is_ready)
            continue;
        rows_with(m, n);
        return true;
    }
    return false;
}

void ingress_map_changed(struct ingress_map *m, struct ingress_row *row)
{
    struct node *n = &m->nodes[row->id];
    if (row->last_test_at != n->judged_at)
        n->is_even = false; /* of what is there now */
    n->judged_at = row->last_test_at;
    row_touched(m, n);
    range_share(m, n->range); /* genuine shares follow the evidence */
}

/* ---- rows ---- */

static uint32_t slot_of(const struct ingress_map *m, uint32_t range, uint32_t place)
{
    uint64_t word = (uint64_t)range << 32 | place;
    return (uint32_t)hash_words(m->key, &word, 1) & m->node_mask;
}

struct node *row_find(const struct ingress_map *m, uint32_t range, uint32_t place)
{
    uint32_t id = m->node_slots[slot_of(m, range, place)];
    while (id != NONE && (m->nodes[id].range != range || m->nodes[id].place != place))
        id = m->nodes[id].hash_next;
    return id == NONE ? NULL : &m->nodes[id];
}

static struct node *row_make(struct ingress_map *m, uint32_t range, uint32_t place, int64_t now)
{
    uint32_t id = pool_take(&m->node_pool, m->nodes, sizeof *m->nodes, offsetof(struct node, next));
    if (id == NONE)
        return NULL;
    struct range *r = &m->ranges[range];
    struct node *n = &m->nodes[id];
    uint32_t *slot = &m->node_slots[slot_of(m, range, place)];
    *n = (struct node){.row = {.prefix = r->prefix,
                               .at = m->places[place].at,
                               .weight_at = now,
                               .first_seen = now,
                               .last_seen = now,
                               .id = id},
                       .range = range,
                       .place = place,
                       .next = r->row,
                       .hash_next = *slot,
                       .is_used = true};
    memcpy(n->row.pop, m->places[place].pop, sizeof n->row.pop);
    *slot = id;
    r->row = id;
    r->rows++;
    m->counts.rows++;
    row_touched(m, n);
    return n;
}

struct node *row_get(struct ingress_map *m, uint32_t range, uint32_t place, int64_t now,
                     bool *is_new)
{
    struct node *n = row_find(m, range, place);
    *is_new = n == NULL;
    return n != NULL ? n : row_make(m, range, place, now);
}

void row_gone(struct ingress_map *m, struct node *n)
{
    struct range *r = &m->ranges[n->range];
    uint32_t id = n->row.id, *link = &r->row;
    while (*link != id)
        link = &m->nodes[*link].next;
    *link = n->next;
    r->rows--;
    m->counts.rows--;
    if (r->main == id)
        r->main = NONE;
    if (r->before == id)
        r->before = NONE;
    if (r->refused == id)
        r->refused = NONE;
    link = &m->node_slots[slot_of(m, n->range, n->place)];
    while (*link != id)
        link = &m->nodes[*link].hash_next;
    *link = n->hash_next;
    n->is_used = n->is_ready = n->is_waiting = false;
    n->is_gone = true;
    push(m, &m->gone, id);
}

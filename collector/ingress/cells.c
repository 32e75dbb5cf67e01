/* Leaves and their cells: the counters that everything else is made of. A leaf is found by its
 * prefix in a hash table; its cells, a few, are chained. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "collector/ingress/map.h"

/* ---- pools ---- */

static uint32_t *link_of(void *things, size_t size, size_t next_free, uint32_t id)
{
    return (uint32_t *)(void *)((char *)things + size * id + next_free);
}

uint32_t pool_take(struct pool *p, const void *things, size_t size, size_t next_free)
{
    if (p->count == p->max)
        return NONE;
    p->count++;
    if (p->free == NONE)
        return p->used++;
    uint32_t id = p->free;
    memcpy(&p->free, (const char *)things + size * id + next_free, sizeof p->free);
    return id;
}

void pool_give(struct pool *p, uint32_t id, void *things, size_t size, size_t next_free)
{
    *link_of(things, size, next_free, id) = p->free;
    p->free = id;
    p->count--;
}

/* ---- leaves ---- */

static uint32_t slot_of(const struct ingress_map *m, const struct prefix *p)
{
    uint64_t words[3];
    memcpy(words, p->addr.bytes, 16);
    words[2] = (uint64_t)p->addr.family << 8 | p->length;
    return (uint32_t)hash_words(m->key, words, 3) & m->leaf_mask;
}

uint32_t leaf_find(const struct ingress_map *m, const struct prefix *p)
{
    uint32_t id = m->leaf_slots[slot_of(m, p)];
    while (id != NONE && !prefix_equal(&m->leaves[id].prefix, p))
        id = m->leaves[id].hash_next;
    return id;
}

uint32_t leaf_make(struct ingress_map *m, const struct prefix *p)
{
    uint32_t id =
        pool_take(&m->leaf_pool, m->leaves, sizeof *m->leaves, offsetof(struct leaf, next));
    if (id == NONE)
        return NONE;
    uint32_t slot = slot_of(m, p);
    m->leaves[id] = (struct leaf){.prefix = *p,
                                  .is_used = true,
                                  .cell = NONE,
                                  .range = NONE,
                                  .next = NONE,
                                  .prev = NONE,
                                  .hash_next = m->leaf_slots[slot]};
    m->leaf_slots[slot] = id;
    return id;
}

void leaf_free(struct ingress_map *m, uint32_t leaf)
{
    while (m->leaves[leaf].cell != NONE)
        cell_free(m, leaf, m->leaves[leaf].cell);
    uint32_t *link = &m->leaf_slots[slot_of(m, &m->leaves[leaf].prefix)];
    while (*link != leaf)
        link = &m->leaves[*link].hash_next;
    *link = m->leaves[leaf].hash_next;
    m->leaves[leaf].is_used = false;
    pool_give(&m->leaf_pool, leaf, m->leaves, sizeof *m->leaves, offsetof(struct leaf, next));
}

/* ---- cells ---- */

struct cell *cell_find(struct ingress_map *m, uint32_t leaf, uint32_t place)
{
    for (uint32_t i = m->leaves[leaf].cell; i != NONE; i = m->cells[i].next)
        if (m->cells[i].place == place)
            return &m->cells[i];
    return NULL;
}

struct cell *cell_make(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now)
{
    uint32_t id = pool_take(&m->cell_pool, m->cells, sizeof *m->cells, offsetof(struct cell, next));
    if (id == NONE)
        return NULL;
    m->cells[id] = (struct cell){
        .place = place, .next = m->leaves[leaf].cell, .first_seen = now, .last_seen = now};
    m->leaves[leaf].cell = id;
    return &m->cells[id];
}

void cell_free(struct ingress_map *m, uint32_t leaf, uint32_t cell)
{
    uint32_t *link = &m->leaves[leaf].cell;
    while (*link != cell)
        link = &m->cells[*link].next;
    *link = m->cells[cell].next;
    pool_give(&m->cell_pool, cell, m->cells, sizeof *m->cells, offsetof(struct cell, next));
}

static double decay_by(uint64_t half_life_ns, int64_t from, int64_t to)
{
    if (half_life_ns == 0 || to <= from)
        return 1;
    return exp2(-((double)to - (double)from) / (double)half_life_ns);
}

double decay(const struct ingress_map *m, int64_t from, int64_t to)
{
    return decay_by(m->conf.half_life_ns, from, to);
}

double decay_recent(const struct ingress_map *m, int64_t from, int64_t to)
{
    return decay_by(m->conf.recent_ns, from, to);
}

uint64_t sum_of(uint64_t a, uint64_t b)
{
    const uint64_t most = INT64_MAX;
    return b > most || a > most - b ? most : a + b;
}

struct event_tally tally_clean(const struct event_tally *t)
{
    struct event_tally clean = *t;
    clean.ended_at = t->ended_at > 0 ? t->ended_at : 0;
    bool has_start = t->started_at > 0 && t->started_at < clean.ended_at;
    clean.started_at = has_start ? t->started_at : clean.ended_at;
    return clean;
}

/* What comes late has aged already. */
void cell_count(const struct ingress_map *m, struct cell *c, const struct event_tally *t)
{
    int64_t at = t->ended_at, newest = at > c->last_seen ? at : c->last_seen;
    c->weight = (float)(c->weight * decay(m, c->last_seen, newest) +
                        (double)t->bytes * decay(m, at, newest));
    c->recent = (float)(c->recent * decay_recent(m, c->last_seen, newest) +
                        (double)t->bytes * decay_recent(m, at, newest));
    c->last_seen = newest;
    if (t->started_at < c->first_seen)
        c->first_seen = t->started_at;
    c->packets = sum_of(c->packets, t->packets);
    c->bytes = sum_of(c->bytes, t->bytes);
}

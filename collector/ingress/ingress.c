/* The face of the map: new and free, touch and tally, look-ups. */
#include "collector/ingress/ingress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingress/map.h"
#include "shared/base/clock.h"

#define PLACES_MAX 65536

const char *const ingress_state_word[] = {
    [STATE_UNVERIFIED] = "unverified",     [STATE_TESTING] = "testing",
    [STATE_GENUINE] = "genuine",           [STATE_MIXED] = "mixed",
    [STATE_SPOOFED] = "spoofed",           [STATE_INCONCLUSIVE] = "inconclusive",
    [STATE_UNVERIFIABLE] = "unverifiable",
};

const char *const bgp_state_word[] = {
    [BGP_UNKNOWN] = "",
    [BGP_BEST] = "best",
    [BGP_ALTERNATIVE] = "alternative",
    [BGP_NONE] = "none",
};

const char *const rpki_state_word[] = {
    [RPKI_UNKNOWN] = "",
    [RPKI_VALID] = "valid",
    [RPKI_INVALID] = "invalid",
    [RPKI_NOT_FOUND] = "not_found",
};

const char *const ingress_change_word[] = {
    [CHANGE_APPEARED] = "appeared", [CHANGE_LEFT] = "left",     [CHANGE_MOVED] = "moved",
    [CHANGE_SPLIT] = "split",       [CHANGE_JOINED] = "joined", [CHANGE_REFUSED] = "refused",
};

/* ---- new and free ---- */

static uint32_t *slots_new(uint32_t things, uint32_t *mask)
{
    uint64_t slots = 16;
    while (slots < things && slots < UINT32_C(1) << 31)
        slots *= 2;
    *mask = (uint32_t)(slots - 1);
    uint32_t *at = malloc(slots * sizeof *at);
    if (at != NULL)
        memset(at, 0xff, slots * sizeof *at); /* NONE */
    return at;
}

static void conf_set(struct ingress_map *m, const struct ingress_conf *conf)
{
    m->conf = *conf;
    struct ingress_conf *c = &m->conf;
    if (c->max_rows == 0)
        c->max_rows = 1;
    if (c->max_cells == 0)
        c->max_cells = c->max_rows < UINT32_MAX / 8 ? 4 * c->max_rows : c->max_rows;
    if (c->crowd == 0)
        c->crowd = c->max_rows / 2;
    if (c->trickle == 0)
        c->trickle = 65536;
    if (c->recent_ns == 0)
        c->recent_ns = 60 * NS_PER_S;
    struct prf prf = prf_init(c->seed, 1);
    m->key.k0 = prf_next(&prf);
    m->key.k1 = prf_next(&prf);
    m->place_pool = (struct pool){.free = NONE, .max = PLACES_MAX};
    m->leaf_pool = m->cell_pool = (struct pool){.free = NONE, .max = c->max_cells};
    m->range_pool = m->node_pool = (struct pool){.free = NONE, .max = c->max_rows};
}

static bool rooms_new(struct ingress_map *m)
{
    uint32_t rows = m->conf.max_rows, cells = m->conf.max_cells;
    m->places = calloc(PLACES_MAX, sizeof *m->places);
    m->leaves = calloc(cells, sizeof *m->leaves);
    m->cells = calloc(cells, sizeof *m->cells);
    m->ranges = calloc(rows, sizeof *m->ranges);
    m->nodes = calloc(rows, sizeof *m->nodes);
    m->ready.ids = calloc(rows, sizeof *m->ready.ids);
    m->waiting.ids = calloc(rows, sizeof *m->waiting.ids);
    m->gone.ids = calloc(rows, sizeof *m->gone.ids);
    m->due = calloc(rows, sizeof *m->due);
    m->changes = calloc(CHANGES_MAX, sizeof *m->changes);
    m->weighed[0] = calloc(PLACES_MAX, sizeof *m->weighed[0]);
    m->weighed[1] = calloc(PLACES_MAX, sizeof *m->weighed[1]);
    m->place_slots = slots_new(PLACES_MAX, &m->place_mask);
    m->leaf_slots = slots_new(cells, &m->leaf_mask);
    m->node_slots = slots_new(rows, &m->node_mask);
    return m->places != NULL && m->leaves != NULL && m->cells != NULL && m->ranges != NULL &&
           m->nodes != NULL && m->ready.ids != NULL && m->waiting.ids != NULL &&
           m->gone.ids != NULL && m->due != NULL && m->changes != NULL && m->weighed[0] != NULL &&
           m->weighed[1] != NULL && m->place_slots != NULL && m->leaf_slots != NULL &&
           m->node_slots != NULL;
}

int ingress_map_new(const struct ingress_conf *conf, struct ingress_map **out)
{
    struct ingress_map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    conf_set(m, conf);
    if (!rooms_new(m) || lpm_init(&m->trie) < 0) {
        ingress_map_free(m);
        return -ENOMEM;
    }
    *out = m;
    return 0;
}

void ingress_map_free(struct ingress_map *m)
{
    if (m == NULL)
        return;
    lpm_clear(&m->trie);
    void *const rooms[] = {m->places,     m->leaves,     m->cells,       m->ranges,
                           m->nodes,      m->ready.ids,  m->gone.ids,    m->waiting.ids,
                           m->due,        m->changes,    m->place_slots, m->leaf_slots,
                           m->node_slots, m->weighed[0], m->weighed[1]};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        free(rooms[i]);
    free(m);
}

void ingress_map_expecting(struct ingress_map *m,
                           void (*expect)(void *arg, struct ingress_row *row), void *arg)
{
    m->expect = expect;
    m->expect_arg = arg;
}

struct ingress_counts ingress_map_counts(const struct ingress_map *m)
{
    struct ingress_counts counts = m->counts;
    counts.ranges = m->range_pool.count;
    counts.leaves = m->leaf_pool.count;
    counts.cells = m->cell_pool.count;
    counts.places = m->place_pool.count;
    return counts;
}

/* ---- touch and tally ---- */

static void seen(struct ingress_map *m, struct node *n, int64_t now)
{
    if (now > m->now)
        m->now = now;
    if (now <= n->row.last_seen)
        return;
    n->row.last_seen = now;
    row_counted(m, n);
}

int ingress_map_touch(struct ingress_map *m, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, int64_t now, struct ingress_row **out, bool *is_new)
{
    uint32_t place = place_get(m, pop, at), range = range_find(m, prefix);
    struct node *n = range == NONE || place == NONE ? NULL : row_find(m, range, place);
    now = now > 0 ? now : 0;
    *is_new = n == NULL;
    if (n == NULL) {
        if (place == NONE || !pool_has(&m->node_pool, 1))
            return ERR_FULL;
        int err = range_carve(m, prefix, &range);
        if (err < 0)
            return err;
        n = row_get(m, range, place, now, is_new);
        if (n == NULL)
            return ERR_FULL;
    }
    seen(m, n, now);
    *out = &n->row;
    return 0;
}

/* The leaf's cell, made if it is new. NULL: no room, and nothing was made. */
static struct cell *cell_get(struct ingress_map *m, const struct prefix *p, uint32_t place,
                             int64_t now, uint32_t *leaf, int *err)
{
    *err = ERR_FULL;
    *leaf = leaf_find(m, p);
    struct cell *c = *leaf == NONE ? NULL : cell_find(m, *leaf, place);
    if (c != NULL)
        return c;
    if (!pool_has(&m->cell_pool, 1) || !pool_has(&m->leaf_pool, 1)) {
        m->counts.cells_refused++;
        return NULL;
    }
    if (!pool_has(&m->node_pool, 1) &&
        (*leaf == NONE || row_find(m, m->leaves[*leaf].range, place) == NULL))
        return NULL;
    if (*leaf == NONE) {
        uint32_t range;
        *err = range_for_leaf(m, p, &range);
        if (*err < 0)
            return NULL;
        *leaf = leaf_make(m, p);
        range_adopt(m, range, *leaf);
    }
    return cell_make(m, *leaf, place, now);
}

/* Adds what was seen until t->ended_at; what comes late has aged already. */
static void row_count(struct ingress_map *m, struct node *n, const struct event_tally *t)
{
    struct ingress_row *row = &n->row;
    bool is_first = row->weight == 0 && n->recent == 0;
    int64_t at = t->ended_at, newest = is_first || at > row->weight_at ? at : row->weight_at;
    row->weight =
        row->weight * decay(m, row->weight_at, newest) + (double)t->bytes * decay(m, at, newest);
    n->recent = n->recent * decay_recent(m, row->weight_at, newest) +
                (double)t->bytes * decay_recent(m, at, newest);
    row->weight_at = newest;
    if (t->started_at < row->first_seen)
        row->first_seen = t->started_at;
    row->packets = sum_of(row->packets, t->packets);
    row->bytes = sum_of(row->bytes, t->bytes);
    row_counted(m, n);
}

/* Ranges of very many places get their shares once a second. */
static void range_look(struct ingress_map *m, uint32_t range, const struct node *n, int64_t now)
{
    const struct range *r = &m->ranges[range];
    if (r->rows > EAGER_ROWS && now - r->shared_at < (int64_t)NS_PER_S)
        return;
    range_share(m, range);
    if (r->main != n->row.id || !n->is_present)
        range_move(m, range, now, false);
}

int ingress_map_tally(struct ingress_map *m, const char *pop, const struct event_tally *t,
                      struct ingress_row **out, bool *is_new)
{
    struct event_tally clean = tally_clean(t);
    uint32_t leaf, place = place_get(m, pop, &t->ingress), cells = m->cell_pool.count;
    int err = ERR_FULL;
    struct cell *c =
        place == NONE ? NULL : cell_get(m, &t->prefix, place, clean.ended_at, &leaf, &err);
    if (c == NULL)
        return err;
    struct node *n = row_get(m, m->leaves[leaf].range, place, clean.ended_at, is_new);
    n->cells += m->cell_pool.count - cells;
    cell_count(m, c, &clean);
    row_count(m, n, &clean);
    seen(m, n, clean.ended_at);
    if (range_parts(m, leaf, place, clean.ended_at))
        n = row_find(m, m->leaves[leaf].range, place);
    range_look(m, m->leaves[leaf].range, n, clean.ended_at);
    *out = &n->row;
    return 0;
}

/* ---- look-ups ---- */

struct ingress_row *ingress_map_find(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at)
{
    uint32_t place = place_find(m, pop, at), range = range_find(m, prefix);
    struct node *n = place == NONE || range == NONE ? NULL : row_find(m, range, place);
    return n == NULL ? NULL : &n->row;
}

struct ingress_row *ingress_map_over(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at)
{
    uint32_t place = place_find(m, pop, at);
    for (uint32_t r = place == NONE ? NONE : range_over(m, prefix); r != NONE;
         r = range_above(m, &m->ranges[r].prefix)) {
        struct node *n = row_find(m, r, place);
        if (n != NULL)
            return &n->row;
    }
    return NULL;
}

const struct ingress_row *ingress_map_cover(const struct ingress_map *m, const struct prefix *p,
                                            const char *pop, const struct ingress *at)
{
    uint32_t place = place_find(m, pop, at);
    for (uint32_t r = place == NONE ? NONE : range_above(m, p); r != NONE;
         r = range_above(m, &m->ranges[r].prefix)) {
        const struct node *n = row_find(m, r, place);
        if (n != NULL && n->row.tests > 0)
            return &n->row;
    }
    return NULL;
}

const struct ingress_row *ingress_map_main(const struct ingress_map *m, const struct addr *a)
{
    struct prefix p = prefix_of(a, addr_bits(a->family));
    uint32_t r = range_over(m, &p);
    while (r != NONE && m->ranges[r].leaves == 0)
        r = range_above(m, &m->ranges[r].prefix);
    uint32_t main = r == NONE ? NONE : m->ranges[r].main;
    return main == NONE ? NULL : &m->nodes[main].row;
}

void ingress_map_pin(struct ingress_map *m, struct ingress_row *row, enum ingress_pin pin,
                     bool is_held)
{
    uint8_t *pins = &m->nodes[row->id].pins;
    *pins = (uint8_t)(is_held ? *pins | pin : *pins & ~pin);
}

struct look {
    struct ingress_map *m;
    uint32_t place;
    void (*each)(void *arg, struct ingress_row *row);
    void *arg;
};

/* At most 128 deep: each level has a longer prefix. */
static void look_below(const struct look *v, uint32_t at)
{
    const struct lpm_node *node = &v->m->trie.nodes[at];
    struct node *n = node->value == LPM_NONE ? NULL : row_find(v->m, node->value, v->place);
    if (n != NULL)
        v->each(v->arg, &n->row);
    for (int bit = 0; bit < 2; bit++)
        if (v->m->trie.nodes[at].child[bit] != 0)
            look_below(v, v->m->trie.nodes[at].child[bit]);
}

void ingress_map_each(struct ingress_map *m, const struct prefix *p, const char *pop,
                      const struct ingress *at, void (*each)(void *arg, struct ingress_row *row),
                      void *arg)
{
    struct look v = {.m = m, .place = place_find(m, pop, at), .each = each, .arg = arg};
    uint32_t top = lpm_below(&m->trie, p);
    if (top != LPM_NONE && v.place != NONE)
        look_below(&v, top);
}

void ingress_map_all(struct ingress_map *m, void (*each)(void *arg, struct ingress_row *row),
                     void *arg)
{
    for (uint32_t i = 0; i < m->node_pool.used; i++)
        if (m->nodes[i].is_used)
            each(arg, &m->nodes[i].row);
}

void ingress_map_some(struct ingress_map *m, uint32_t *cursor, uint32_t most,
                      void (*each)(void *arg, struct ingress_row *row), void *arg)
{
    for (; most > 0 && *cursor < m->node_pool.used; most--, (*cursor)++)
        if (m->nodes[*cursor].is_used)
            each(arg, &m->nodes[*cursor].row);
    if (*cursor >= m->node_pool.used)
        *cursor = 0;
}

void ingress_map_places(struct ingress_map *m, const struct prefix *p,
                        void (*each)(void *arg, struct ingress_row *row), void *arg)
{
    uint32_t range = range_find(m, p);
    for (uint32_t i = range == NONE ? NONE : m->ranges[range].row; i != NONE; i = m->nodes[i].next)
        each(arg, &m->nodes[i].row);
}

/* ---- the clock was set ---- */

void ingress_map_clock_jumped(struct ingress_map *m, int64_t now)
{
    m->forget_from = now + (int64_t)m->conf.forget_after_ns;
}

static bool draw_back(int64_t *at, int64_t now)
{
    if (*at <= now)
        return false;
    *at = now;
    return true;
}

void ingress_map_not_after(struct ingress_map *m, int64_t now)
{
    for (uint32_t i = 0; i < m->node_pool.used; i++) {
        struct ingress_row *row = &m->nodes[i].row;
        bool is_changed = m->nodes[i].is_used && draw_back(&row->first_seen, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->last_seen, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->weight_at, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->last_test_at, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->evidence_at, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->untestable_at, now);
        is_changed |= m->nodes[i].is_used && draw_back(&row->genuine_since, now);
        if (is_changed)
            row_touched(m, &m->nodes[i]);
    }
    for (uint32_t i = 0; i < m->cell_pool.used; i++) { /* free ones do not mind */
        draw_back(&m->cells[i].first_seen, now);
        draw_back(&m->cells[i].last_seen, now);
    }
    for (uint32_t i = 0; i < m->range_pool.used; i++) {
        draw_back(&m->ranges[i].shared_at, now);
        draw_back(&m->ranges[i].halved_at, now);
        draw_back(&m->ranges[i].main_since, now);
        draw_back(&m->ranges[i].held_at, now);
        draw_back(&m->ranges[i].refused_at, now);
    }
    if (draw_back(&m->now, now))
        rows_due(m, true);
}

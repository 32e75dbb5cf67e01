/* From the database, and to it. What is read comes in three parts: rows (facts), cells (counters as
 * of some turn), and the tallies since. Rows are then made of cells again, so nothing is learned
 * anew. */
#include <string.h>

#include "collector/ingress/map.h"

static void load_begin(struct ingress_map *m)
{
    m->is_loading = true;
}

int ingress_map_load(struct ingress_map *m, const struct ingress_row *row)
{
    load_begin(m);
    uint32_t place = place_get(m, row->pop, &row->at), range = range_find(m, &row->prefix);
    if (place == NONE || !pool_has(&m->node_pool, 1))
        return ERR_FULL;
    int err = range == NONE ? range_make(m, &row->prefix, &range) : 0;
    if (err < 0)
        return err;
    bool is_new;
    struct node *n = row_get(m, range, place, row->last_seen, &is_new);
    uint32_t id = n->row.id;
    n->row = *row;
    n->row.id = id;
    n->row.is_gone = false;
    n->is_present = row->is_present;
    if (row->is_main)
        m->ranges[range].main = id;
    m->now = row->last_seen > m->now ? row->last_seen : m->now;
    n->told = row->genuine_probability;
    n->has_told = row->has_evidence;
    return 0;
}

static struct cell *cell_of(struct ingress_map *m, const struct prefix *p, uint32_t place,
                            int64_t at)
{
    uint32_t leaf = leaf_find(m, p);
    if (leaf == NONE)
        leaf = leaf_make(m, p);
    if (leaf == NONE)
        return NULL;
    struct cell *c = cell_find(m, leaf, place);
    return c != NULL ? c : cell_make(m, leaf, place, at);
}

/* The rows tell it: a cell never is without one, and a row never begins after its cells. */
static bool was_forgotten(struct ingress_map *m, const struct ingress_cell *cell)
{
    int64_t age = (int64_t)m->conf.forget_after_ns;
    if (age == 0)
        return false;
    const struct ingress_row *row = ingress_map_over(m, &cell->prefix, cell->pop, &cell->at);
    if (row == NULL)
        return m->now - cell->last_seen > age;
    return prefix_equal(&row->prefix, &cell->prefix) && row->first_seen - cell->last_seen > age / 2;
}

int ingress_map_load_cell(struct ingress_map *m, const struct ingress_cell *cell)
{
    load_begin(m);
    if (was_forgotten(m, cell))
        return 0;
    uint32_t place = place_get(m, cell->pop, &cell->at);
    struct cell *c = place == NONE ? NULL : cell_of(m, &cell->prefix, place, cell->last_seen);
    if (c == NULL)
        return ERR_FULL;
    c->weight = (float)cell->weight;
    c->recent = (float)cell->recent;
    c->packets = cell->packets;
    c->bytes = cell->bytes;
    c->first_seen = cell->first_seen;
    c->last_seen = cell->last_seen;
    return 0;
}

int ingress_map_replay(struct ingress_map *m, const char *pop, const struct event_tally *t)
{
    load_begin(m);
    uint32_t place = place_get(m, pop, &t->ingress);
    struct event_tally clean = tally_clean(t);
    struct cell *c = place == NONE ? NULL : cell_of(m, &t->prefix, place, clean.ended_at);
    if (c == NULL)
        return ERR_FULL;
    cell_count(m, c, &clean);
    return 0;
}

/* ---- the end ---- */

static bool is_counted(const struct ingress_row *row)
{
    return row->packets > 0 || row->bytes > 0 || row->weight > 0;
}

/* Did leaves of that length stand in that range? It was counted, and is no leaf itself. */
static bool took_in(const struct ingress_map *m, const struct range *r, unsigned length)
{
    bool has_count = false;
    for (uint32_t i = r->row; i != NONE && !has_count; i = m->nodes[i].next)
        has_count = is_counted(&m->nodes[i].row);
    return has_count &&
           (r->is_joined ? r->leaf_length == length : leaf_find(m, &r->prefix) == NONE);
}

static int leaf_home(struct ingress_map *m, uint32_t leaf)
{
    const struct prefix *p = &m->leaves[leaf].prefix;
    uint32_t range = range_find(m, p);
    for (uint32_t r = range_above(m, p); range == NONE && r != NONE;
         r = range_above(m, &m->ranges[r].prefix))
        if (took_in(m, &m->ranges[r], p->length)) {
            m->ranges[r].is_joined = true;
            m->ranges[r].leaf_length = p->length;
            range = r;
        }
    int err = range == NONE ? range_make(m, p, &range) : 0;
    if (err == 0)
        range_adopt(m, range, leaf);
    return err;
}

/* The rows of a range's cells: all there, and known as such. */
static int rows_of_cells(struct ingress_map *m, uint32_t range)
{
    for (uint32_t l = m->ranges[range].leaf; l != NONE; l = m->leaves[l].next)
        for (uint32_t c = m->leaves[l].cell; c != NONE; c = m->cells[c].next) {
            bool is_new;
            struct node *n = row_get(m, range, m->cells[c].place, m->cells[c].last_seen, &is_new);
            if (n == NULL)
                return ERR_FULL;
            n->cells++;
        }
    return 0;
}

/* A row without cells is a leaf of its own: rows of a release that had no cells. */
static int cell_of_row(struct ingress_map *m, uint32_t range, const struct node *n)
{
    const struct ingress_row *row = &n->row;
    struct cell *c = cell_of(m, &row->prefix, n->place, row->last_seen);
    if (c == NULL)
        return ERR_FULL;
    uint32_t leaf = leaf_find(m, &row->prefix);
    if (m->leaves[leaf].range == NONE)
        range_adopt(m, range, leaf);
    c->first_seen = row->first_seen;
    c->packets = row->packets;
    c->bytes = row->bytes;
    c->weight = (float)(row->weight * decay(m, row->weight_at, c->last_seen));
    return 0;
}

static int cells_of_rows(struct ingress_map *m, uint32_t range)
{
    int err = 0;
    for (uint32_t i = m->ranges[range].row; i != NONE && err == 0; i = m->nodes[i].next) {
        struct node *n = &m->nodes[i];
        if (n->cells == 0 && is_counted(&n->row))
            err = cell_of_row(m, range, n);
        n->half[0] = (double)n->row.packets; /* as loaded */
        n->half[1] = (double)n->row.last_seen;
    }
    return err;
}

static void range_count(struct ingress_map *m, uint32_t range)
{
    range_recount(m, range);
    m->ranges[range].is_gathered =
        m->ranges[range].is_joined && m->ranges[range].prefix.length == 0;
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].row.last_seen > m->now)
            m->now = m->nodes[i].row.last_seen;
}

static void range_loaded(struct ingress_map *m, uint32_t range)
{
    int64_t newest = 0;
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].row.last_seen > newest)
            newest = m->nodes[i].row.last_seen;
    range_share(m, range);
    if (m->ranges[range].main != NONE) /* it is known who carries the bulk, and what was told */
        return;
    range_move(m, range, newest, false);
    range_move(m, range, newest, false); /* the first one only says who carried the bulk */
}

static void tell_differing(struct ingress_map *m)
{
    for (uint32_t i = 0; i < m->node_pool.used; i++) {
        struct node *n = &m->nodes[i];
        if (n->is_used &&
            ((double)n->row.packets != n->half[0] || (double)n->row.last_seen != n->half[1]))
            row_touched(m, n);
    }
}

int ingress_map_load_end(struct ingress_map *m)
{
    int err = 0;
    for (uint32_t l = 0; l < m->leaf_pool.used && err == 0; l++)
        if (m->leaves[l].is_used && m->leaves[l].range == NONE)
            err = leaf_home(m, l);
    for (uint32_t r = 0; r < m->range_pool.used && err == 0; r++) {
        if (!m->ranges[r].is_used)
            continue;
        err = rows_of_cells(m, r);
        if (err == 0)
            err = cells_of_rows(m, r);
        if (err == 0)
            range_count(m, r);
    }
    noise_settle(m);
    for (uint32_t r = 0; r < m->range_pool.used && err == 0; r++)
        if (m->ranges[r].is_used)
            range_loaded(m, r);
    m->is_loading = false;
    if (err == 0)
        tell_differing(m);
    return err;
}

bool ingress_map_cell_next(const struct ingress_map *m, uint32_t *cursor,
                           void (*each)(void *arg, const struct ingress_cell *cell), void *arg)
{
    while (*cursor < m->leaf_pool.used && !m->leaves[*cursor].is_used)
        ++*cursor;
    if (*cursor >= m->leaf_pool.used)
        return false;
    const struct leaf *leaf = &m->leaves[(*cursor)++];
    for (uint32_t i = leaf->cell; i != NONE; i = m->cells[i].next) {
        const struct cell *c = &m->cells[i];
        struct ingress_cell cell = {.prefix = leaf->prefix,
                                    .at = m->places[c->place].at,
                                    .weight = c->weight,
                                    .recent = c->recent,
                                    .first_seen = c->first_seen,
                                    .last_seen = c->last_seen,
                                    .packets = c->packets,
                                    .bytes = c->bytes};
        memcpy(cell.pop, m->places[c->place].pop, sizeof cell.pop);
        each(arg, &cell);
    }
    return true;
}

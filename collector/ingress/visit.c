/* The tick: a slice of the ranges is looked at, so that its cost does not grow with the map. */
#include "collector/ingress/map.h"

/* A leaf's cells that were not seen since go, except from rows that somebody holds on to. */
static void forget_leaf(struct ingress_map *m, uint32_t leaf, int64_t since)
{
    for (uint32_t c = m->leaves[leaf].cell, next; c != NONE; c = next) {
        next = m->cells[c].next;
        struct node *n = row_find(m, m->leaves[leaf].range, m->cells[c].place);
        if (m->cells[c].last_seen >= since || (n != NULL && n->pins != 0))
            continue;
        if (n != NULL)
            row_sub(m, n, &m->cells[c]);
        cell_free(m, leaf, c);
        m->counts.forgotten++;
    }
    if (m->leaves[leaf].cell != NONE)
        return;
    range_leave(m, leaf);
    leaf_free(m, leaf);
}

static bool may_forget(const struct ingress_map *m)
{
    return m->conf.forget_after_ns > 0 && m->now >= m->forget_from;
}

static void forget_leaves(struct ingress_map *m)
{
    int64_t since = m->now - (int64_t)m->conf.forget_after_ns;
    if (!may_forget(m))
        return;
    for (uint32_t i = 0; i < INGRESS_SLICE && i < m->leaf_pool.used; i++) {
        if (m->forget_at >= m->leaf_pool.used)
            m->forget_at = 0;
        uint32_t leaf = m->forget_at++;
        if (m->leaves[leaf].is_used)
            forget_leaf(m, leaf, since);
    }
}

/* Rows that nothing is left of. True: of the range, too. */
static bool forget(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    int64_t since = m->now - (int64_t)m->conf.forget_after_ns;
    if (!may_forget(m))
        return false;
    for (uint32_t i = r->row, next; i != NONE; i = next) {
        struct node *n = &m->nodes[i];
        next = n->next;
        if (n->cells > 0 || n->pins != 0 || n->row.last_seen >= since ||
            n->row.last_test_at >= since)
            continue;
        change_left(m, n, m->now);
        row_gone(m, n);
    }
    if (r->row != NONE || r->leaf != NONE)
        return false;
    range_free(m, range);
    return true;
}

static void visit(struct ingress_map *m, uint32_t range)
{
    if (forget(m, range))
        return;
    noise_learn(m, range);
    range_share(m, range);
    range_bundle(m, range);
    range_move(m, range, m->now, true);
    range_adapt(m, range);
}

void ingress_map_tick(struct ingress_map *m, int64_t now)
{
    m->now = now;
    rows_due(m, false);
    forget_leaves(m);
    uint32_t seen = 0;
    for (uint64_t work = 0; work < INGRESS_SLICE && seen < m->range_pool.used; seen++) {
        if (m->visit_at >= m->range_pool.used) {
            m->visit_at = 0;
            noise_round(m);
        }
        uint32_t range = m->visit_at++;
        if (!m->ranges[range].is_used)
            continue;
        work +=
            1 +
            (m->ranges[range].is_gathered ? m->ranges[range].rows : m->ranges[range].leaves) / 4;
        visit(m, range);
    }
}

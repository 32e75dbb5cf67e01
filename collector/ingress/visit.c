/* The tick: a slice of the ranges is looked at, so that its cost does not grow with the map. */
#include "collector/ingress/map.h"

/* Cells that were not seen since. True: something went. */
static bool forget_cells(struct ingress_map *m, uint32_t range, int64_t since)
{
    bool is_less = false;
    for (uint32_t l = m->ranges[range].leaf, next; l != NONE; l = next) {
        next = m->leaves[l].next;
        for (uint32_t c = m->leaves[l].cell, after; c != NONE; c = after) {
            after = m->cells[c].next;
            if (m->cells[c].last_seen >= since)
                continue;
            cell_free(m, l, c);
            m->counts.forgotten++;
            is_less = true;
        }
        if (m->leaves[l].cell != NONE)
            continue;
        range_leave(m, l);
        leaf_free(m, l);
    }
    return is_less;
}

static bool is_held(const struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].pins != 0)
            return true;
    return false;
}

/* True: nothing is left of the range. */
static bool forget(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    if (m->conf.forget_after_ns == 0 || is_held(m, r))
        return false;
    int64_t since = m->now - (int64_t)m->conf.forget_after_ns;
    if (forget_cells(m, range, since))
        range_recount(m, range);
    for (uint32_t i = r->row, next; i != NONE; i = next) {
        struct node *n = &m->nodes[i];
        next = n->next;
        if (n->has_cells || n->row.last_seen >= since || n->row.last_test_at >= since)
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
    range_share(m, range);
    range_bundle(m, range);
    range_move(m, range, m->now);
    range_adapt(m, range);
}

void ingress_map_tick(struct ingress_map *m, int64_t now)
{
    m->now = now;
    rows_due(m, false);
    uint32_t seen = 0;
    for (uint64_t work = 0; work < INGRESS_SLICE && seen < m->range_pool.used; seen++) {
        if (m->visit_at >= m->range_pool.used)
            m->visit_at = 0;
        uint32_t range = m->visit_at++;
        if (!m->ranges[range].is_used)
            continue;
        work += 1 + m->ranges[range].leaves / 4;
        visit(m, range);
    }
}

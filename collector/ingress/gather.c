/* The crowd: what only trickles is gathered, and where a new leaf stands. */
#include "collector/ingress/map.h"

static struct prefix gather_prefix(const struct prefix *p)
{
    return prefix_of(&p->addr, 0);
}

/* Nobody knows or wants to know anything of its own of it, also not by what is expected by now. */
static bool is_plain(struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i];
        if (n->pins != 0 || n->row.tests > 0 || n->row.state != STATE_UNVERIFIED ||
            n->row.expected != EXPECTED_UNKNOWN)
            return false;
        struct ingress_row own = n->row;
        row_expect(m, &own);
        if (own.expected != EXPECTED_UNKNOWN)
            return false;
    }
    return true;
}

/* The range that gathers leaves of that length; NONE: its prefix is taken, or there is no room. */
static uint32_t gathering(struct ingress_map *m, const struct prefix *leaf, uint32_t rows)
{
    struct prefix p = gather_prefix(leaf);
    uint32_t into = range_find(m, &p);
    if (into == NONE && map_has_room(m, rows) && range_make(m, &p, &into) == 0) {
        m->ranges[into].is_joined = m->ranges[into].is_gathered = true;
        m->ranges[into].leaf_length = leaf->length;
    }
    if (into == NONE || !m->ranges[into].is_gathered ||
        m->ranges[into].leaf_length != leaf->length || !map_has_room(m, rows))
        return NONE;
    return into;
}

bool range_gather(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    unsigned shortest = gather_prefix(&r->prefix).length;
    if (!map_is_crowded(m) || r->is_joined || r->leaves != 1 || r->prefix.length <= shortest ||
        range_weight(m, r, m->now) >= (double)m->conf.trickle / ENOUGH || !is_plain(m, r))
        return false;
    uint32_t leaf = r->leaf, above = range_joined_above(m, &r->prefix, r->prefix.length);
    if (above != NONE && !m->ranges[above].is_gathered)
        return false;
    uint32_t into = gathering(m, &r->prefix, r->rows);
    if (into == NONE)
        return false;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        change_left(m, &m->nodes[i], m->now);
    range_leave(m, leaf);
    range_adopt(m, into, leaf);
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next) {
        bool is_new;
        struct node *n = row_get(m, into, m->cells[c].place, m->cells[c].first_seen, &is_new);
        if (is_new)
            row_expect(m, &n->row);
        row_add(m, n, &m->cells[c]);
        row_counted(m, n);
    }
    range_free(m, range);
    if (m->ranges[into].rows <= EAGER_ROWS)
        range_share(m, into);
    m->counts.gathered++;
    return true;
}

/* ---- a new leaf ---- */

/* One with few of its leaves is no home for new ones. */
static bool is_home(const struct ingress_map *m, const struct range *r)
{
    if (r->is_gathered)
        return map_is_crowded(m);
    return r->leaves > 0 && (double)r->leaves * 4 >= range_span(r, r->prefix.length) &&
           r->leaves < RANGE_LEAVES;
}

int range_for_leaf(struct ingress_map *m, const struct prefix *p, uint32_t *range)
{
    *range = range_find(m, p);
    if (*range != NONE)
        return 0;
    uint32_t r = range_joined_above(m, p, p->length);
    if (map_is_crowded(m) && p->length > 0 && r == NONE) /* before it costs a row of its own */
        r = gathering(m, p, 1);
    if (r != NONE && is_home(m, &m->ranges[r])) {
        *range = r;
        return 0;
    }
    return range_make(m, p, range);
}

/* What counts of a leaf's bytes, in the last while and at all; how many places. */

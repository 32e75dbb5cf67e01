/* Carve: a leaf, or all that a prefix covers, gets a range of its own within the one around it. */
#include "collector/ingress/map.h"

/* A leaf goes to range `to`, with what its rows say. */
static void carve_leaf(struct ingress_map *m, uint32_t from, uint32_t to, uint32_t leaf)
{
    range_leave(m, leaf);
    range_adopt(m, to, leaf);
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next) {
        bool is_new;
        struct node *n = row_get(m, to, m->cells[c].place, m->cells[c].first_seen, &is_new);
        struct node *was = row_find(m, from, m->cells[c].place);
        if (is_new && n != NULL && was != NULL)
            row_inherit(m, n, was);
        if (was != NULL)
            row_sub(m, was, &m->cells[c]);
    }
}

/* All leaves that p covers. One that is p itself is found at once. */
static void carve_leaves(struct ingress_map *m, uint32_t from, uint32_t to, const struct prefix *p)
{
    uint32_t own = leaf_find(m, p);
    if (own != NONE && m->leaves[own].range == from) {
        carve_leaf(m, from, to, own);
        return;
    }
    for (uint32_t l = m->ranges[from].leaf, next; l != NONE; l = next) {
        next = m->leaves[l].next;
        if (prefix_covers(p, &m->leaves[l].prefix))
            carve_leaf(m, from, to, l);
    }
}

/* What a range's last leaf took along leaves nothing behind. */
static void drop_empty(struct ingress_map *m, uint32_t from, uint32_t to)
{
    for (uint32_t i = m->ranges[from].row, next; i != NONE; i = next) {
        struct node *n = &m->nodes[i];
        next = n->next;
        if (n->cells == 0 && n->pins == 0 && row_find(m, to, n->place) != NULL)
            row_gone(m, n);
    }
    if (m->ranges[from].row == NONE && m->ranges[from].leaf == NONE)
        range_free(m, from);
}

int range_carve_out(struct ingress_map *m, uint32_t from, const struct prefix *p, uint32_t *out)
{
    struct range *f = &m->ranges[from];
    if (!map_has_room(m, f->rows))
        return ERR_FULL;
    int err = range_make(m, p, out);
    if (err < 0)
        return err;
    struct range *to = &m->ranges[*out];
    uint32_t main = f->main, place = main == NONE ? NONE : m->nodes[main].place;
    struct prefix was = f->prefix;
    to->is_joined = p->length != f->leaf_length;
    to->leaf_length = f->leaf_length;
    carve_leaves(m, from, *out, p);
    range_settle(m, *out);
    range_share(m, from);
    struct node *bulk = place == NONE ? NULL : row_find(m, *out, place);
    to->main = bulk == NULL ? NONE : bulk->row.id;
    to->main_since = f->main_since;
    to->is_home = bulk != NULL && f->is_home;
    drop_empty(m, from, *out);
    m->counts.splits++;
    change_range(m, CHANGE_SPLIT, p, &was, m->now);
    return 0;
}

bool range_is_held(const struct ingress_map *m, uint32_t range)
{
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].pins != 0)
            return true;
    return false;
}

static bool has_leaf_in(const struct ingress_map *m, uint32_t range, const struct prefix *p)
{
    uint32_t own = leaf_find(m, p);
    if (own != NONE || m->ranges[range].is_gathered) /* of a crowd only leaves are asked for */
        return own != NONE && m->leaves[own].range == range;
    for (uint32_t l = m->ranges[range].leaf; l != NONE; l = m->leaves[l].next)
        if (prefix_covers(p, &m->leaves[l].prefix))
            return true;
    return false;
}

int range_carve(struct ingress_map *m, const struct prefix *p, uint32_t *range)
{
    *range = range_find(m, p);
    if (*range != NONE)
        return 0;
    uint32_t above = range_above(m, p);
    while (above != NONE && !m->ranges[above].is_joined)
        above = range_above(m, &m->ranges[above].prefix);
    if (above != NONE && !range_is_held(m, above) && m->ranges[above].leaf_length >= p->length &&
        has_leaf_in(m, above, p))
        return range_carve_out(m, above, p, range);
    return range_make(m, p, range);
}

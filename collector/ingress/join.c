/* Join: neighbours that are alike become one range, and what was carved out goes back. */
#include "collector/ingress/map.h"

/* The one range in that half; NONE: none, or several. */
static uint32_t only_in(const struct ingress_map *m, const struct prefix *half, uint32_t at)
{
    const struct lpm_node *node = &m->trie.nodes[at];
    bool is_alone = node->length == half->length || (node->child[0] == 0 && node->child[1] == 0);
    return is_alone ? node->value : NONE;
}

/* The nearest range beside p: *around is the prefix that both are the halves of. NONE if there is
 * none, or not one. */
static uint32_t neighbour(const struct ingress_map *m, const struct prefix *p, unsigned shortest,
                          struct prefix *around)
{
    for (unsigned length = p->length; length > shortest; length--) {
        struct prefix half = prefix_of(&p->addr, length);
        half.addr.bytes[(length - 1) / 8] ^= (uint8_t)(0x80 >> (length - 1) % 8);
        *around = prefix_of(&p->addr, length - 1);
        uint32_t at = lpm_below(&m->trie, &half);
        if (at != LPM_NONE)
            return only_in(m, &half, at);
        if (range_find(m, around) != NONE)
            return NONE;
    }
    return NONE;
}

/* Shares mean little at first. */
bool range_is_settled(const struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        if (m->now - m->nodes[i].row.first_seen >= (int64_t)m->conf.join_after_ns)
            return true;
    return false;
}

static bool may_join(const struct ingress_map *m, const struct range *a, uint32_t other,
                     unsigned length)
{
    if (other == NONE)
        return false;
    const struct range *b = &m->ranges[other];
    uint64_t leaves = (uint64_t)a->leaves + b->leaves;
    return b->leaves > 0 && !b->is_gathered && range_is_settled(m, b) &&
           range_leaf_length(a) == range_leaf_length(b) && leaves <= RANGE_LEAVES &&
           (double)leaves * 2 >= range_span(a, length) && map_has_room(m, a->rows + b->rows);
}

/* The nearest range around p with leaves of that length; NONE. */
uint32_t range_joined_above(const struct ingress_map *m, const struct prefix *p, unsigned length)
{
    uint32_t r = range_above(m, p);
    while (r != NONE && !(m->ranges[r].is_joined && m->ranges[r].leaf_length == length))
        r = range_above(m, &m->ranges[r].prefix);
    return r;
}

static struct prefix leaf_number(const struct prefix *p, unsigned length, uint64_t n)
{
    struct prefix leaf = {.addr = p->addr, .length = (uint8_t)length};
    for (unsigned bit = length; n > 0; n >>= 1) {
        bit--;
        leaf.addr.bytes[bit / 8] |= (uint8_t)((n & 1) << (7 - bit % 8));
    }
    return leaf;
}

/* Would a range of prefix p hide leaves that the range around it has? A lone leaf is a range by
 * itself. p is not larger than twice the leaves that are to join, so this is bounded, too. */
static bool hides(const struct ingress_map *m, const struct prefix *p, unsigned length)
{
    uint32_t above = range_joined_above(m, p, length);
    if (above == NONE)
        return false;
    for (uint64_t n = 0; n < UINT64_C(1) << (length - p->length); n++) {
        struct prefix leaf = leaf_number(p, length, n);
        uint32_t id = leaf_find(m, &leaf);
        if (id != NONE && m->leaves[id].range == above)
            return true;
    }
    return false;
}

bool range_join_neighbour(struct ingress_map *m, uint32_t range)
{
    struct range *a = &m->ranges[range];
    unsigned shortest = a->prefix.addr.family == ADDR_V4 ? SHORTEST_V4 : SHORTEST_V6;
    struct prefix p, was = a->prefix;
    uint32_t other = neighbour(m, &a->prefix, shortest, &p), joined;
    if (!may_join(m, a, other, p.length) || hides(m, &p, range_leaf_length(a)) ||
        range_find(m, &p) != NONE || !ranges_alike(m, range, other, &p))
        return false;
    uint8_t length = (uint8_t)range_leaf_length(a);
    if (range_make(m, &p, &joined) < 0)
        return false;
    m->ranges[joined].is_joined = true;
    m->ranges[joined].leaf_length = length;
    bool is_heavier = range_weight(m, a, m->now) >= range_weight(m, &m->ranges[other], m->now);
    range_into(m, joined, is_heavier ? range : other);
    range_into(m, joined, is_heavier ? other : range);
    range_settle(m, joined);
    m->counts.joins++;
    change_range(m, CHANGE_JOINED, &p, &was, m->now);
    return true;
}

/* Back into the range around it, when it is like that again. */
bool range_join_above(struct ingress_map *m, uint32_t range)
{
    struct range *a = &m->ranges[range];
    uint32_t above = range_above(m, &a->prefix);
    if (above == NONE)
        return false;
    struct range *b = &m->ranges[above];
    struct prefix p = b->prefix, was = a->prefix;
    if (!b->is_joined || b->is_gathered || b->leaf_length != range_leaf_length(a) ||
        b->leaves == 0 || a->leaves + b->leaves > RANGE_LEAVES || !map_has_room(m, a->rows) ||
        !ranges_alike(m, range, above, &p))
        return false;
    range_into(m, above, range);
    range_settle(m, above);
    m->counts.joins++;
    change_range(m, CHANGE_JOINED, &p, &was, m->now);
    return true;
}

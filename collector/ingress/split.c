/* Split: which leaf enters elsewhere than its range, and which halves of a range have parted? */
#include <math.h>

#include "collector/ingress/map.h"

/* ---- a leaf ---- */

struct leaf_paces {
    unsigned n;
    const struct weighed *recent, *weight;
    double recent_sum, weight_sum;
    bool is_blank; /* of recent traffic nothing stands out */
};

static struct leaf_paces leaf_paces(const struct ingress_map *m, uint32_t leaf, int64_t now)
{
    struct leaf_paces p = {.weight = m->weighed[0], .recent = m->weighed[1]};
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next, p.n++) {
        const struct cell *x = &m->cells[c];
        const struct node *n = row_find(m, m->leaves[leaf].range, x->place);
        double unit = unit_of(x->bytes, x->packets);
        m->weighed[0][p.n] = weigh(n, x->place, x->weight * decay(m, x->last_seen, now), unit);
        m->weighed[1][p.n] =
            weigh(n, x->place, x->recent * decay_recent(m, x->last_seen, now), unit);
    }
    noise_take(m, m->weighed[0], p.n);
    p.is_blank = !noise_take(m, m->weighed[1], p.n);
    for (unsigned i = 0; i < p.n; i++) {
        p.weight_sum += p.weight[i].genuine;
        p.recent_sum += p.recent[i].genuine;
    }
    return p;
}

static double genuine_at(const struct weighed *w, unsigned n, uint32_t place)
{
    for (unsigned i = 0; i < n; i++)
        if (w[i].place == place)
            return w[i].genuine;
    return 0;
}

static double leaf_weight(const struct ingress_map *m, uint32_t leaf, int64_t now)
{
    double weight = 0;
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next)
        weight += m->cells[c].weight * decay(m, m->cells[c].last_seen, now);
    return weight;
}

/* Of the range without that leaf: how much of its recent traffic enters at that place? */
static double others_share(const struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now,
                           double leaf_there, double leaf_all)
{
    const struct range *r = &m->ranges[m->leaves[leaf].range];
    struct weighed *w = m->weighed[0];
    unsigned n = weigh_range(m, r, now, true, w);
    noise_take(m, w, n);
    double all = -leaf_all, there = genuine_at(w, n, place) - leaf_there;
    for (unsigned i = 0; i < n; i++)
        all += w[i].genuine;
    return all > 0 ? there / all : 0;
}

static bool enters_elsewhere(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now)
{
    const struct range *r = &m->ranges[m->leaves[leaf].range];
    if (r->is_gathered)
        return leaf_weight(m, leaf, now) >= (double)m->conf.trickle / 2;
    const struct cell *c = cell_find(m, leaf, place); /* most that come only trickle */
    if (c == NULL ||
        c->recent * decay_recent(m, c->last_seen, now) < (double)m->conf.trickle / ENOUGH)
        return false;
    struct leaf_paces p = leaf_paces(m, leaf, now);
    double slow =
        (double)(m->conf.half_life_ns > 0 ? m->conf.half_life_ns : 60 * m->conf.recent_ns);
    double usual = p.weight_sum * (double)m->conf.recent_ns / slow;
    double there = genuine_at(p.recent, p.n, place);
    if (p.is_blank || there < (double)m->conf.trickle / ENOUGH || there < p.recent_sum * BULK ||
        there < usual * TAKES_OVER)
        return false;
    return others_share(m, leaf, place, now, there, p.recent_sum) < JOIN_DISTANCE;
}

bool range_parts(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now)
{
    uint32_t range = m->leaves[leaf].range, own;
    struct range *r = &m->ranges[range];
    bool is_main = r->main != NONE && m->nodes[r->main].place == place;
    if (!r->is_joined || r->leaves < 2 || (is_main && !r->is_gathered) || m->conf.is_rigid ||
        !enters_elsewhere(m, leaf, place, now) || range_is_held(m, range))
        return false;
    struct prefix p = m->leaves[leaf].prefix;
    return range_find(m, &p) == NONE && range_carve_out(m, range, &p, &own) == 0;
}

/* ---- halves ---- */

static bool is_upper(const struct range *r, const struct prefix *leaf)
{
    return leaf->addr.bytes[r->prefix.length / 8] >> (7 - r->prefix.length % 8) & 1;
}

/* What counts of a half stays; its sum, 0 when nothing stands out. */
static double half_counts(struct ingress_map *m, const struct range *r, int side)
{
    struct weighed *w = m->weighed[0];
    unsigned n = 0;
    double sum = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        const struct node *x = &m->nodes[i];
        w[n++] = weigh(x, x->place, x->half[side], unit_of(x->row.bytes, x->row.packets));
    }
    bool is_blank = !noise_take(m, w, n);
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        m->nodes[i].half[side] = w->genuine;
        sum += w++->genuine;
    }
    return is_blank ? 0 : sum;
}

/* Genuine bytes of each half, place by place; how many leaves are in the upper one. */
static uint32_t halves(struct ingress_map *m, struct range *r, double total[static 2])
{
    uint32_t upper = 0;
    total[0] = total[1] = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        m->nodes[i].half[0] = m->nodes[i].half[1] = 0;
    for (uint32_t l = r->leaf; l != NONE; l = m->leaves[l].next) {
        unsigned side = is_upper(r, &m->leaves[l].prefix);
        upper += side;
        for (uint32_t c = m->leaves[l].cell; c != NONE; c = m->cells[c].next) {
            struct node *n = row_find(m, m->leaves[l].range, m->cells[c].place);
            if (n == NULL)
                continue;
            n->half[side] += m->cells[c].weight * decay(m, m->cells[c].last_seen, m->now);
        }
    }
    for (int side = 0; side < 2; side++)
        total[side] = half_counts(m, r, side);
    return upper;
}

static double halves_distance(const struct ingress_map *m, const struct range *r,
                              const double total[static 2])
{
    double d = 0, most[2] = {0, 0};
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        for (int side = 0; side < 2; side++)
            most[side] = fmax(most[side], m->nodes[i].half[side] / total[side]);
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        double a = m->nodes[i].half[0] / total[0], b = m->nodes[i].half[1] / total[1];
        a = a >= fmax(PROFILE_FLOOR, most[0] * PROFILE_PART) ? a : 0;
        b = b >= fmax(PROFILE_FLOOR, most[1] * PROFILE_PART) ? b : 0;
        d += fabs(a - b) / 2;
    }
    return d;
}

/* Its leaves are all in one half: it becomes that half. */
static void tighten(struct ingress_map *m, uint32_t range, const struct prefix *half)
{
    uint32_t into;
    uint8_t length = m->ranges[range].leaf_length;
    if (!map_has_room(m, m->ranges[range].rows) || range_find(m, half) != NONE ||
        range_make(m, half, &into) < 0)
        return;
    m->ranges[into].leaf_length = length;
    m->ranges[into].is_joined = length != half->length;
    range_into(m, into, range);
    range_settle(m, into);
}

static bool split_halves(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    if (!r->is_joined || r->is_gathered || r->leaf_length <= r->prefix.length)
        return false;
    if (m->now - r->halved_at < (int64_t)m->conf.recent_ns / 4) /* it looks at every cell */
        return false;
    r->halved_at = m->now;
    double total[2];
    uint32_t upper = halves(m, r, total), own;
    struct prefix half = prefix_of(&r->prefix.addr, r->prefix.length + 1u);
    if (upper == r->leaves)
        half.addr.bytes[r->prefix.length / 8] |= (uint8_t)(0x80 >> r->prefix.length % 8);
    if (upper == r->leaves || upper == 0) {
        tighten(m, range, &half);
        return true;
    }
    double enough = (double)m->conf.trickle;
    if (total[0] < enough || total[1] < enough || halves_distance(m, r, total) < SPLIT_DISTANCE ||
        range_find(m, &half) != NONE)
        return false;
    range_carve_out(m, range, &half, &own);
    return true;
}

bool range_adapt(struct ingress_map *m, uint32_t range)
{
    const struct range *r = &m->ranges[range];
    if (m->conf.is_rigid || r->leaves == 0 || r->is_gathered || range_is_held(m, range))
        return false;
    if (split_halves(m, range))
        return true;
    if (!range_is_settled(m, r))
        return false;
    return range_join_above(m, range) || range_join_neighbour(m, range) || range_gather(m, range);
}

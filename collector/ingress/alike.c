/* Are two ranges alike? By where they enter, by what tests said of them and by what is expected. */
#include <math.h>
#include <string.h>

#include "collector/ingress/map.h"

struct profile {
    unsigned count;
    uint32_t place[PROFILE_MAX];
    double share[PROFILE_MAX];
};

static double largest(const struct ingress_map *m, const struct range *r)
{
    double most = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        most = fmax(most, m->nodes[i].row.genuine_share);
    return most;
}

/* The places that say where a range enters, of their sum. */
static struct profile profile_of(const struct ingress_map *m, const struct range *r)
{
    struct profile p = {0};
    double floor = fmax(PROFILE_FLOOR, largest(m, r) * PROFILE_PART), sum = 0;
    for (uint32_t i = r->row; i != NONE && p.count < PROFILE_MAX; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i];
        if (n->row.genuine_share < floor)
            continue;
        p.place[p.count] = n->place;
        p.share[p.count++] = n->row.genuine_share;
        sum += n->row.genuine_share;
    }
    for (unsigned i = 0; i < p.count; i++)
        p.share[i] /= sum;
    return p;
}

static double share_at(const struct profile *p, uint32_t place)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->place[i] == place)
            return p->share[i];
    return 0;
}

/* 0: the same; 1: nothing in common. What one has too much the other has too little. */
static double distance(const struct profile *a, const struct profile *b)
{
    double d = 0;
    for (unsigned i = 0; i < a->count; i++)
        d += fmax(0, a->share[i] - share_at(b, a->place[i]));
    return d;
}

/* One that only trickles has no shares to speak of: it goes with its neighbour if most of what was
 * seen of it entered where that one does. */
static bool goes_with(const struct ingress_map *m, uint32_t light, uint32_t heavy)
{
    const struct range *l = &m->ranges[light], *h = &m->ranges[heavy];
    return l->main != NONE && h->main != NONE &&
           m->nodes[l->main].place == m->nodes[h->main].place &&
           (l->is_blank || range_weight(m, l, m->now) < (double)m->conf.trickle);
}

/* What a test said of the heavier one holds for a lighter one that nobody tested, too: the next
 * test is of both. Not the other way round, and what differs stays apart. */
static bool same_evidence(const struct ingress_map *m, const struct ingress_row *a,
                          const struct ingress_row *b)
{
    double x = a->weight * decay(m, a->weight_at, m->now); /* as row_merge: at one time */
    double y = b->weight * decay(m, b->weight_at, m->now);
    bool is_little = a->genuine_share < PROFILE_FLOOR && b->genuine_share < PROFILE_FLOOR;
    if (a->state == STATE_TESTING || b->state == STATE_TESTING)
        return false;
    if (is_little && a->state != STATE_GENUINE && b->state != STATE_GENUINE)
        return true;
    if (x < y && a->state == STATE_UNVERIFIED)
        return true;
    if (y < x && b->state == STATE_UNVERIFIED)
        return true;
    return a->state == b->state && fabs(genuine_part(a) - genuine_part(b)) <= JOIN_DISTANCE;
}

static bool same_expectation(const struct ingress_row *a, const struct ingress_row *b)
{
    return a->expected == b->expected && strcmp(a->expected_by, b->expected_by) == 0 &&
           a->bgp == b->bgp && a->rpki == b->rpki && a->origin_as == b->origin_as;
}

/* Would every row of that range say the same as a row of prefix p? */
static bool rows_may(struct ingress_map *m, uint32_t range, uint32_t other, const struct prefix *p)
{
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i], *twin = row_find(m, other, n->place);
        if (n->pins != 0 || n->row.state == STATE_TESTING)
            return false;
        if (twin != NULL && !same_evidence(m, &n->row, &twin->row))
            return false;
        struct ingress_row own = n->row, wider = n->row; /* it may say what was expected before */
        wider.prefix = *p;
        row_expect(m, &own);
        row_expect(m, &wider);
        if (!same_expectation(&wider, &own))
            return false;
    }
    return true;
}

/* Who carries the bulk of the one carries much of the other, too: shares follow a move late. */
static bool main_is_in(const struct ingress_map *m, const struct range *r,
                       const struct profile *other)
{
    return r->main == NONE || share_at(other, m->nodes[r->main].place) > 0;
}

bool ranges_alike(struct ingress_map *m, uint32_t a, uint32_t b, const struct prefix *p)
{
    range_share(m, a);
    range_share(m, b);
    struct profile x = profile_of(m, &m->ranges[a]), y = profile_of(m, &m->ranges[b]);
    bool is_near = distance(&x, &y) <= JOIN_DISTANCE && main_is_in(m, &m->ranges[a], &y) &&
                   main_is_in(m, &m->ranges[b], &x);
    if (!is_near && !goes_with(m, a, b) && !goes_with(m, b, a))
        return false;
    return rows_may(m, a, b, p) && rows_may(m, b, a, p);
}

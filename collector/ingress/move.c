/* Shares, who carries the bulk of a range, bundles, and telling of what changed. */
#include <stdio.h>
#include <string.h>

#include "collector/ingress/map.h"

/* Only a verdict that stands takes weight away: what nobody tested counts in full. */
double genuine_part(const struct ingress_row *row)
{
    bool is_known = row->has_evidence && (row->state == STATE_GENUINE ||
                                          row->state == STATE_MIXED || row->state == STATE_SPOOFED);
    return is_known ? row->genuine_fraction : 1;
}

static double part_of(double weight, double total)
{
    return total > 0 ? weight / total : 0;
}

/* Shares of all rows of a range, weighed at the newest of their times. */
void range_share(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    int64_t newest = INT64_MIN;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].row.weight > 0 && m->nodes[i].row.weight_at > newest)
            newest = m->nodes[i].row.weight_at;
    struct weighed *w = m->weighed[0];
    unsigned n = weigh_range(m, r, newest, false, w);
    r->is_blank = !r->is_gathered && !noise_take(m, w, n);
    double total = 0, genuine = 0;
    for (unsigned i = 0; i < n; i++) {
        total += w[i].bytes;
        genuine += w[i].genuine;
    }
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next, w++) {
        struct ingress_row *row = &m->nodes[i].row;
        double share = part_of(w->bytes, total), genuine_share = part_of(w->genuine, genuine);
        if (share == row->share && genuine_share == row->genuine_share)
            continue;
        row->share = share;
        row->genuine_share = genuine_share;
        row_counted(m, &m->nodes[i]);
    }
    r->shared_at = newest == INT64_MIN ? 0 : newest; /* times are subtracted from it */
}

/* ---- telling ---- */

static struct ingress_change *change_new(struct ingress_map *m)
{
    if (m->change_len == CHANGES_MAX) {
        m->counts.changes_lost++;
        return NULL;
    }
    return &m->changes[(m->change_at + m->change_len++) % CHANGES_MAX];
}

bool ingress_map_take_change(struct ingress_map *m, struct ingress_change *out)
{
    if (m->change_len == 0)
        return false;
    *out = m->changes[m->change_at];
    m->change_at = (m->change_at + 1) % CHANGES_MAX;
    m->change_len--;
    return true;
}

void change_range(struct ingress_map *m, enum ingress_change_kind kind, const struct prefix *p,
                  const struct prefix *other, int64_t now)
{
    struct ingress_change *c = m->is_loading ? NULL : change_new(m);
    if (c != NULL)
        *c = (struct ingress_change){.at = now, .kind = kind, .prefix = *p, .other = *other};
}

static struct ingress_side side_of(struct node *n, double before, double after)
{
    const struct ingress_row *row = &n->row;
    struct ingress_side side = {.is_there = true,
                                .at = row->at,
                                .share_before = before,
                                .share_after = after,
                                .has_evidence = row->has_evidence,
                                .state = row->state};
    memcpy(side.pop, row->pop, sizeof side.pop);
    if (row->has_evidence) {
        side.probability_before = n->has_told ? n->told : row->genuine_probability;
        side.probability_after = row->genuine_probability;
    }
    n->told = row->genuine_probability;
    n->has_told = row->has_evidence;
    return side;
}

/* What a place carries now, against what it usually carries. */
struct pace {
    double recent, usual, share, usual_share; /* genuine bytes; shares of the range's */
};

/* Of a range; the rows' in their order. */
struct paces {
    const struct weighed *recent, *weight;
    double recent_sum, weight_sum, usual; /* usual: of a weight, what is seen in a short while */
    bool is_blank;                        /* of recent traffic nothing stands out */
};

static struct pace pace_at(const struct paces *all, unsigned i)
{
    return (struct pace){.recent = all->recent[i].genuine,
                         .usual = all->weight[i].genuine * all->usual,
                         .share = part_of(all->recent[i].genuine, all->recent_sum),
                         .usual_share = part_of(all->weight[i].genuine, all->weight_sum)};
}

static struct paces paces_of(const struct ingress_map *m, const struct range *r, int64_t now)
{
    double fast = (double)m->conf.recent_ns;
    double slow = m->conf.half_life_ns > 0 ? (double)m->conf.half_life_ns : 60 * fast;
    struct paces all = {.recent = m->weighed[1], .weight = m->weighed[0], .usual = fast / slow};
    unsigned n = weigh_range(m, r, now, false, m->weighed[0]);
    weigh_range(m, r, now, true, m->weighed[1]);
    noise_take(m, m->weighed[0], n);
    all.is_blank = !noise_take(m, m->weighed[1], n);
    for (unsigned i = 0; i < n; i++) {
        all.recent_sum += all.recent[i].genuine;
        all.weight_sum += all.weight[i].genuine;
    }
    return all;
}

static void tell_one(struct ingress_map *m, struct node *n, bool has_come, const struct pace *p,
                     int64_t now)
{
    n->is_present = has_come;
    row_touched(m, n); /* a restart must know what was told */
    struct ingress_change *c = m->is_loading ? NULL : change_new(m);
    if (c == NULL)
        return;
    *c = (struct ingress_change){
        .at = now, .kind = has_come ? CHANGE_APPEARED : CHANGE_LEFT, .prefix = n->row.prefix};
    struct ingress_side *side = has_come ? &c->to : &c->from;
    *side = has_come ? side_of(n, 0, p->share) : side_of(n, p->usual_share, p->share);
}

void change_left(struct ingress_map *m, struct node *n, int64_t now)
{
    const struct pace nothing = {0};
    if (n->is_present)
        tell_one(m, n, false, &nothing, now);
}

/* ---- who carries the bulk ---- */

/* Has `to` taken over from `from`? At once, when `from` fell silent and `to` carries what it
 * carried; slowly, when it carries more and more, and shares are old enough to mean something.
 * Little traffic proves nothing either way. */
static bool has_moved(const struct ingress_map *m, const struct pace *from, const struct pace *to,
                      const struct paces *all, bool is_told)
{
    double usual = all->weight_sum * all->usual;
    bool is_settled = !is_told || usual > all->recent_sum * SETTLED;
    if (all->is_blank)
        return is_settled && to->usual_share >= BULK && to->usual > OVERTAKES * from->usual;
    if (to->share < BULK)
        return false;
    if (to->recent >= (double)m->conf.trickle / ENOUGH && from->recent < from->usual * TAKES_OVER &&
        to->recent >= from->usual * TAKES_OVER)
        return true;
    return is_settled && to->usual > OVERTAKES * from->usual;
}

static bool same_bundle(const struct ingress_row *a, const struct ingress_row *b)
{
    return a->bundle[0] != '\0' && strcmp(a->bundle, b->bundle) == 0;
}

static void tell_move(struct ingress_map *m, struct node *from, struct node *to,
                      const struct pace *left, const struct pace *taken, int64_t now)
{
    bool is_told = from->is_present && !m->is_loading && !same_bundle(&from->row, &to->row);
    to->is_present = true;
    row_touched(m, from);
    row_touched(m, to);
    struct ingress_change *c = is_told ? change_new(m) : NULL;
    m->counts.moves += is_told;
    if (c == NULL)
        return;
    *c = (struct ingress_change){.at = now, .kind = CHANGE_MOVED, .prefix = to->row.prefix};
    c->from = side_of(from, left->usual_share, left->share);
    c->to = side_of(to, taken->usual_share, taken->share);
}

static uint32_t heaviest(const struct ingress_map *m, const struct range *r,
                         const struct paces *all)
{
    uint32_t best = r->row;
    double most = -1;
    unsigned k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct pace p = pace_at(all, k++);
        if (p.recent + p.usual > most) {
            most = p.recent + p.usual;
            best = i;
        }
    }
    return best;
}

static struct pace pace_of(const struct ingress_map *m, const struct range *r, uint32_t row,
                           const struct paces *all)
{
    unsigned k = 0;
    for (uint32_t i = r->row; i != row; i = m->nodes[i].next)
        k++;
    return pace_at(all, k);
}

/* Nothing is told of it, so it is written in its time. */
static void main_is(struct ingress_map *m, struct range *r, uint32_t row)
{
    if (r->main == row)
        return;
    if (r->main != NONE)
        row_counted(m, &m->nodes[r->main]);
    r->main = row;
    row_counted(m, &m->nodes[row]);
}

static void follow_main(struct ingress_map *m, struct range *r, int64_t now,
                        const struct paces *all)
{
    if (r->main == NONE || (r->is_blank && !m->nodes[r->main].is_present)) {
        main_is(m, r, heaviest(m, r, all));
        return;
    }
    struct node *from = &m->nodes[r->main];
    struct pace left = pace_of(m, r, r->main, all);
    unsigned k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct pace taken = pace_at(all, k++);
        if (i == r->main || !has_moved(m, &left, &taken, all, from->is_present))
            continue;
        r->main = i;
        tell_move(m, from, &m->nodes[i], &left, &taken, now);
        return;
    }
}

void range_move(struct ingress_map *m, uint32_t range, int64_t now)
{
    struct range *r = &m->ranges[range];
    if (r->row == NONE || r->is_gathered)
        return;
    struct paces all = paces_of(m, r, now);
    follow_main(m, r, now, &all);
    double enough = (double)m->conf.trickle / ENOUGH;
    unsigned k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct node *n = &m->nodes[i];
        struct pace p = pace_at(&all, k++);
        bool is_bulky = n->row.genuine_share >= APPEARS && n->row.weight >= enough && !r->is_blank;
        if (!n->is_present && is_bulky)
            tell_one(m, n, true, &p, now);
        else if (n->is_present && n->row.genuine_share < LEAVES)
            tell_one(m, n, false, &p, now);
    }
}

/* ---- bundles ---- */

static bool may_bundle(const struct ingress_row *a, const struct ingress_row *b)
{
    return a->at.router[0] != '\0' && strcmp(a->pop, b->pop) == 0 &&
           strcmp(a->at.router, b->at.router) == 0 && a->at.peer_as == b->at.peer_as &&
           b->genuine_share >= PROFILE_FLOOR && b->genuine_share < a->genuine_share * EVENLY &&
           a->genuine_share < b->genuine_share * EVENLY;
}

/* Names in the order of the alphabet, so that a bundle keeps its name. */
static void name_of(const struct ingress_map *m, const struct range *r, const struct ingress_row *a,
                    char name[static 64])
{
    const char *last = "";
    size_t len = (size_t)snprintf(name, 64, "%s:", a->at.router);
    for (;;) {
        const char *next = NULL;
        for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
            const struct ingress_row *b = &m->nodes[i].row;
            if ((b == a || may_bundle(a, b)) && strcmp(b->at.interface, last) > 0 &&
                (next == NULL || strcmp(b->at.interface, next) < 0))
                next = b->at.interface;
        }
        if (next == NULL || len >= 63)
            return;
        len += (size_t)snprintf(name + len, 64 - len, "%s%s", last[0] == '\0' ? "" : "+", next);
        last = next;
    }
}

void range_bundle(struct ingress_map *m, uint32_t range)
{
    const struct range *r = &m->ranges[range];
    if (r->is_gathered || r->rows > BUNDLE_ROWS)
        return;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct ingress_row *a = &m->nodes[i].row;
        char name[64] = "";
        bool has_others = false;
        for (uint32_t k = r->row; k != NONE && !has_others; k = m->nodes[k].next)
            has_others =
                k != i && a->genuine_share >= PROFILE_FLOOR && may_bundle(a, &m->nodes[k].row);
        if (has_others)
            name_of(m, r, a, name);
        if (strcmp(name, a->bundle) == 0)
            continue;
        memcpy(a->bundle, name, sizeof a->bundle);
        row_counted(m, &m->nodes[i]);
    }
}

/* Shares, who carries the bulk of a range, bundles, and telling of what changed. */
#include <math.h>
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
    double unit;                              /* bytes of a packet */
    bool is_trusted;                          /* a test found something genuine there */
};

/* Of a range; the rows' in their order. */
struct paces {
    const struct weighed *recent, *weight;
    double recent_sum, weight_sum, usual; /* usual: of a weight, what is seen in a short while */
    bool is_blank;                        /* of recent traffic nothing stands out */
    unsigned n;
    bool is_told; /* that the main row appeared */
};

static struct pace pace_at(const struct paces *all, unsigned i)
{
    return (struct pace){.recent = all->recent[i].genuine,
                         .usual = all->weight[i].genuine * all->usual,
                         .share = part_of(all->recent[i].genuine, all->recent_sum),
                         .usual_share = part_of(all->weight[i].genuine, all->weight_sum),
                         .unit = all->weight[i].unit,
                         .is_trusted = all->weight[i].is_proven};
}

static double half_life(const struct ingress_map *m)
{
    return m->conf.half_life_ns > 0 ? (double)m->conf.half_life_ns : 60 * (double)m->conf.recent_ns;
}

static struct paces paces_of(const struct ingress_map *m, const struct range *r, int64_t now)
{
    struct paces all = {.recent = m->weighed[1],
                        .weight = m->weighed[0],
                        .usual = (double)m->conf.recent_ns / half_life(m)};
    all.n = weigh_paces(m, r, now, m->weighed[0], m->weighed[1]);
    noise_take(m, m->weighed[0], all.n);
    all.is_blank = !noise_take(m, m->weighed[1], all.n);
    for (unsigned i = 0; i < all.n; i++) {
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

/* More than chance does? Weights are sums of packets, as in noise.c; what decays in a short while
 * has half of Poisson's variance. */
static bool is_more(double difference, const struct pace *p)
{
    return difference > SIGMAS * sqrt(p->unit * p->usual / 2);
}

/* What comes there more than usual. A weight that is younger than its half-life says too little of
 * what is usual: as much as its age tells is put right. */
static double gained_by(const struct ingress_map *m, const struct node *n, const struct pace *p,
                        int64_t now)
{
    double left = decay(m, n->row.first_seen, now);
    return p->recent - (left < YOUNG ? p->usual / (1 - left) : p->usual);
}

/* Is what `from` lost what `to` gained, and no other? Or did `from` lose all, and nobody gained? */
static bool is_transfer(const struct ingress_map *m, const struct range *r, const struct pace *from,
                        const struct node *n, const struct pace *to, const struct paces *all,
                        int64_t now)
{
    double lost = from->usual - from->recent, gained = gained_by(m, n, to, now), sum = 0;
    unsigned k = 0;
    if (!is_more(lost, from))
        return false;
    if (to->share >= BULK && from->recent < from->usual * FALLS_SILENT)
        return true;
    if (!is_more(gained, to) || gained < lost * TAKES_OVER)
        return false;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct pace p = pace_at(all, k++);
        sum += fmax(0, gained_by(m, &m->nodes[i], &p, now));
    }
    return gained >= sum * BULK;
}

/* Are shares old enough to mean something? */
static bool is_old(const struct paces *all)
{
    return all->weight_sum * all->usual > all->recent_sum * SETTLED;
}

/* Has `to` taken over from `from`? At once, when `from` fell silent and `to` carries what it
 * carried; slowly, when it carries more and more, and shares are old enough to mean something.
 * Little traffic proves nothing either way. From one that is at home only a transfer takes over,
 * unless `to` is trusted: what forged sources add takes nothing away. */
static bool has_moved(const struct ingress_map *m, const struct range *r, const struct pace *from,
                      const struct node *n, const struct pace *to, const struct paces *all,
                      int64_t now)
{
    bool is_free = !r->is_home || to->is_trusted;
    bool has_grown = (!all->is_told || is_old(all)) && to->usual > OVERTAKES * from->usual;
    if (all->is_blank)
        return is_free && has_grown && to->usual_share >= BULK;
    bool is_silent = to->recent >= (double)m->conf.trickle / ENOUGH &&
                     from->recent < from->usual * TAKES_OVER &&
                     to->recent >= from->usual * TAKES_OVER;
    if (is_free)
        return to->share >= BULK && (is_silent || has_grown);
    return is_silent && (n->row.id == r->before || is_transfer(m, r, from, n, to, all, now));
}

static bool same_bundle(const struct ingress_row *a, const struct ingress_row *b)
{
    return a->bundle[0] != '\0' && strcmp(a->bundle, b->bundle) == 0;
}

static void change_move(struct ingress_map *m, enum ingress_change_kind kind, struct node *from,
                        struct node *to, const struct pace *left, const struct pace *taken,
                        int64_t now)
{
    struct ingress_change *c = change_new(m);
    if (c == NULL)
        return;
    *c = (struct ingress_change){.at = now, .kind = kind, .prefix = to->row.prefix};
    c->from = side_of(from, left->usual_share, left->share);
    c->to = side_of(to, taken->usual_share, taken->share);
}

static void tell_move(struct ingress_map *m, struct node *from, struct node *to,
                      const struct pace *left, const struct pace *taken, int64_t now)
{
    bool is_told = from->is_present && !m->is_loading && !same_bundle(&from->row, &to->row);
    to->is_present = true;
    row_touched(m, from);
    row_touched(m, to);
    if (!is_told)
        return;
    m->counts.moves++;
    change_move(m, CHANGE_MOVED, from, to, left, taken, now);
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

static unsigned number_of(const struct ingress_map *m, const struct range *r, uint32_t row)
{
    unsigned k = 0;
    for (uint32_t i = r->row; i != row; i = m->nodes[i].next)
        k++;
    return k;
}

static bool is_patience_over(const struct ingress_map *m, const struct range *r, int64_t now)
{
    return (double)(now - r->refused_at) > half_life(m) * PATIENCE;
}

static bool is_outdone(const struct paces *all, double weight)
{
    for (unsigned i = 0; i < all->n; i++)
        if (all->weight[i].genuine > weight)
            return true;
    return false;
}

/* Has the main row been the loudest for long, enough for its silence to be noticed, and not lost
 * much of the most that it carried? Then it is at home: what only adds to that is no move. */
static bool is_home(const struct ingress_map *m, struct range *r, int64_t now,
                    const struct paces *all, unsigned main)
{
    double weight = all->weight[main].genuine, recent = all->recent[main].genuine;
    double enough = (double)m->conf.trickle / ENOUGH;
    if (weight >= r->held || (double)(now - r->held_at) > half_life(m) * PATIENCE) {
        r->held = weight;
        r->held_at = now;
    }
    if (!r->is_home && is_outdone(all, weight))
        r->main_since = now;
    return (double)(now - r->main_since) >= half_life(m) * AT_HOME &&
           (weight * all->usual >= enough || recent >= enough) && weight >= r->held * TAKES_OVER;
}

static void main_set(struct range *r, uint32_t row, int64_t now)
{
    r->main = row;
    r->main_since = now;
    r->held = 0;
    r->is_home = false;
    r->before = NONE;
}

/* With a home that moves the home moves, and may come back. */
static void main_moves(struct range *r, uint32_t row, int64_t now)
{
    uint32_t before = r->is_home ? r->main : NONE;
    int64_t since = r->main_since;
    main_set(r, row, now);
    r->before = before;
    r->is_home = before != NONE;
    if (r->is_home)
        r->main_since = since;
}

/* Nothing is told of it, so it is written in its time. */
static void main_is(struct ingress_map *m, struct range *r, uint32_t row, int64_t now)
{
    if (r->main == row)
        return;
    if (r->main != NONE)
        row_counted(m, &m->nodes[r->main]);
    main_set(r, row, now);
    row_counted(m, &m->nodes[row]);
}

/* ---- who would, and does not ---- */

/* By all bytes, of those that stand out or that a test spoke of; `at`: which one it is. */
static uint32_t loudest(const struct ingress_map *m, const struct range *r, const struct paces *all,
                        unsigned *at)
{
    uint32_t best = NONE;
    double most = 0;
    unsigned k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next, k++) {
        const struct weighed *w = &all->weight[k];
        if (i == r->main || w->bytes <= most || (w->genuine == 0 && !w->is_tested))
            continue;
        most = w->bytes;
        best = i;
        *at = k;
    }
    return best;
}

static bool is_louder(const struct paces *all, unsigned than, unsigned at)
{
    return all->weight[at].bytes > OVERTAKES * all->weight[than].bytes;
}

/* Of who is louder than the main row and does not carry the bulk it is told once. */
static void refuse(struct ingress_map *m, struct range *r, const struct paces *all, unsigned main,
                   int64_t now)
{
    unsigned at = 0;
    uint32_t row = loudest(m, r, all, &at);
    if (row != NONE && r->refused != NONE) { /* of two that are as loud, it stays the first */
        unsigned was = number_of(m, r, r->refused);
        if (all->weight[was].bytes > all->weight[main].bytes &&
            (was == at || !is_louder(all, was, at)))
            return;
    }
    r->refused = NONE;
    if (row == NONE || !all->is_told || !is_old(all) || !is_louder(all, main, at) ||
        all->weight[at].bytes < (double)m->conf.trickle)
        return;
    r->refused = row;
    r->refused_at = now;
    if (m->is_loading) /* it was told of */
        return;
    m->counts.moves_refused++;
    struct pace left = pace_at(all, main), taken = pace_at(all, at);
    change_move(m, CHANGE_REFUSED, &m->nodes[r->main], &m->nodes[row], &left, &taken, now);
}

static void follow_main(struct ingress_map *m, struct range *r, int64_t now, struct paces *all,
                        bool is_visit)
{
    if (r->main == NONE || (r->is_blank && !m->nodes[r->main].is_present)) {
        main_is(m, r, heaviest(m, r, all), now);
        return;
    }
    struct node *from = &m->nodes[r->main];
    unsigned k = 0, main = number_of(m, r, r->main);
    struct pace left = pace_at(all, main);
    all->is_told = from->is_present;
    r->is_home = is_home(m, r, now, all, main);
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next, k++) {
        if (k == main || all->weight[k].genuine + all->recent[k].genuine == 0)
            continue;
        struct pace taken = pace_at(all, k);
        taken.is_trusted |= i == r->refused && is_patience_over(m, r, now);
        if (!has_moved(m, r, &left, &m->nodes[i], &taken, all, now))
            continue;
        main_moves(r, i, now);
        tell_move(m, from, &m->nodes[i], &left, &taken, now);
        return;
    }
    if (is_visit)
        refuse(m, r, all, main, now);
}

void range_move(struct ingress_map *m, uint32_t range, int64_t now, bool is_visit)
{
    struct range *r = &m->ranges[range];
    if (r->row == NONE || r->is_gathered)
        return;
    struct paces all = paces_of(m, r, now);
    follow_main(m, r, now, &all, is_visit);
    double enough = (double)m->conf.trickle / ENOUGH;
    unsigned k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        struct node *n = &m->nodes[i];
        bool is_bulky = n->row.genuine_share >= APPEARS && n->row.weight >= enough && !r->is_blank;
        bool has_come = !n->is_present && is_bulky;
        if (has_come || (n->is_present && n->row.genuine_share < LEAVES)) {
            struct pace p = pace_at(&all, k);
            tell_one(m, n, has_come, &p, now);
        }
        k++;
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

/* The background: what spoofed sources that claim any address leave everywhere, a little of each
 * prefix at each place. It is told from genuine traffic without a test: the same prefix comes in at
 * many places at once, at each in the proportion in which that place delivers it of all other
 * prefixes, too. That much is subtracted from a range's (or leaf's) weight at each place before
 * anything is decided; what stands out of it counts. Sums and shares of all bytes are not touched.
 *
 * How loud the background of a range is: the mean over those of its places that do not stand out.
 * How loud a place is among others: such that half of the ranges have more there, half have less.
 */
#include <math.h>

#include "collector/ingress/map.h"

#define QUIET_PLACES 5    /* fewer places are a mixture, not a background */
#define RANGES       16   /* must show a background before one is believed in, */
#define RANGES_LEFT  8    /* and fewer than these must before it is no longer */
#define LOUDER       1.25 /* times the background, and */
#define COUNTED      4 /* packets that a range must have at each place to say how loud places are */
#define STEP         0.2 /* of the logarithm, in a round */
#define QUIETEST     0.01
#define PASSES       8
#define SETTLE       40     /* rounds after a load, of at most */
#define SETTLE_ROWS  200000 /* so many rows */

void noise_place(struct ingress_map *m, struct place *p)
{
    p->noise = 1;
    p->above = 0;
    m->noise_sum += 1;
}

static double background(const struct ingress_map *m, const struct weighed *w, double level)
{
    return level * m->places[w->place].noise;
}

/* Weights are sums of packets that decayed: their variance is at most that of the packets. */
static bool stands_out(const struct weighed *w, double background)
{
    return w->bytes > background * LOUDER + SIGMAS * (sqrt(w->unit * background) + w->unit);
}

static double level_of(const struct ingress_map *m, const struct weighed *w, unsigned n,
                       unsigned *quiet)
{
    double bytes = 0, places = m->noise_sum;
    *quiet = 0;
    for (unsigned i = 0; i < n; i++) {
        if (w[i].is_loud) {
            places -= m->places[w[i].place].noise;
            continue;
        }
        bytes += w[i].bytes;
        *quiet += w[i].bytes > 0;
    }
    return places > QUIETEST ? bytes / places : 0;
}

/* Who stands out, and the level of the others; 0: there is no background. */
static double listen(const struct ingress_map *m, struct weighed *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        w[i].is_loud = w[i].is_proven;
    double level = 0;
    for (unsigned pass = 0; pass < PASSES; pass++) {
        unsigned quiet;
        bool is_changed = false;
        level = level_of(m, w, n, &quiet);
        if (quiet < QUIET_PLACES)
            return 0;
        for (unsigned i = 0; i < n; i++)
            if (!w[i].is_loud && stands_out(&w[i], background(m, &w[i], level)))
                w[i].is_loud = is_changed = true;
        if (!is_changed)
            break;
    }
    return level;
}

/* Of a place that stands out: all above the background, unless a test said how much. */
static double above(const struct weighed *w, double background)
{
    double more = fmax(0, w->bytes - background);
    return w->is_tested ? fmin(more, w->bytes * w->part) : more;
}

bool noise_take(const struct ingress_map *m, struct weighed *w, unsigned n)
{
    double level = m->is_noisy && n >= QUIET_PLACES ? listen(m, w, n) : 0, sum = 0;
    if (level == 0)
        return true;
    for (unsigned i = 0; i < n; i++)
        sum += w[i].is_loud ? above(&w[i], background(m, &w[i], level)) : 0;
    if (sum == 0)
        return false;
    for (unsigned i = 0; i < n; i++)
        w[i].genuine = w[i].is_loud ? above(&w[i], background(m, &w[i], level)) : 0;
    return true;
}

/* ---- what is weighed ---- */

struct weighed weigh(const struct node *n, uint32_t place, double bytes, double unit)
{
    struct weighed w = {.place = place, .bytes = bytes, .unit = unit, .part = 1, .genuine = bytes};
    if (n == NULL)
        return w;
    w.part = genuine_part(&n->row);
    w.genuine = bytes * w.part;
    w.is_tested = w.part < 1 && !n->is_even;
    w.is_proven =
        n->row.has_evidence && (n->row.state == STATE_GENUINE || n->row.state == STATE_MIXED);
    return w;
}

double unit_of(uint64_t bytes, uint64_t packets)
{
    return packets > 0 ? (double)bytes / (double)packets : 0;
}

unsigned weigh_range(const struct ingress_map *m, const struct range *r, int64_t now,
                     bool is_recent, struct weighed *w)
{
    unsigned n = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        const struct node *x = &m->nodes[i];
        double bytes = is_recent ? x->recent * decay_recent(m, x->row.weight_at, now)
                                 : x->row.weight * decay(m, x->row.weight_at, now);
        w[n++] = weigh(x, x->place, bytes, unit_of(x->row.bytes, x->row.packets));
    }
    return n;
}

unsigned weigh_paces(const struct ingress_map *m, const struct range *r, int64_t now,
                     struct weighed *w, struct weighed *recent)
{
    unsigned n = weigh_range(m, r, now, false, w), k = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next, k++) {
        const struct node *x = &m->nodes[i];
        recent[k] = w[k];
        recent[k].bytes = x->recent * decay_recent(m, x->row.weight_at, now);
        recent[k].genuine = recent[k].bytes * w[k].part;
    }
    return n;
}

/* ---- learning ---- */

static bool has_spoofed(const struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].row.state == STATE_SPOOFED)
            return true;
    return false;
}

/* A verdict of spoofed on what is no more than the background, now as always, says nothing of what
 * comes later. w: what was always. */
static void mark_even(struct ingress_map *m, const struct range *r, const struct weighed *w)
{
    struct weighed *recent = m->weighed[1];
    if (!has_spoofed(m, r))
        return;
    unsigned n = weigh_range(m, r, m->now, true, recent), k = 0;
    if (listen(m, recent, n) == 0)
        return;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next, k++)
        if (!w[k].is_loud && !recent[k].is_loud && m->nodes[i].row.state == STATE_SPOOFED)
            m->nodes[i].is_even = true;
}

void noise_learn(struct ingress_map *m, uint32_t range)
{
    const struct range *r = &m->ranges[range];
    if (r->rows < QUIET_PLACES || r->is_gathered)
        return;
    struct weighed *w = m->weighed[0];
    unsigned n = weigh_range(m, r, m->now, false, w);
    double level = listen(m, w, n), unit = 0;
    for (unsigned i = 0; i < n; i++)
        unit = fmax(unit, w[i].unit);
    if (level == 0)
        return;
    if (m->is_noisy)
        mark_even(m, r, w);
    if (level < COUNTED * unit)
        return;
    m->noise_ranges++;
    for (unsigned i = 0; i < n; i++)
        m->places[w[i].place].above += w[i].bytes > background(m, &w[i], level);
}

void noise_round(struct ingress_map *m)
{
    double ranges = m->noise_ranges, sum = 0;
    m->is_noisy = ranges >= (m->is_noisy ? RANGES_LEFT : RANGES);
    m->noise_ranges = 0;
    for (uint32_t i = 0; i < m->place_pool.count; i++) {
        struct place *p = &m->places[i];
        if (m->is_noisy)
            p->noise *= exp(STEP * (2 * p->above - ranges) / ranges);
        p->noise = fmax(p->noise, QUIETEST);
        p->above = 0;
        sum += p->noise;
    }
    if (sum == 0)
        return;
    m->noise_sum = m->place_pool.count; /* their mean is 1 */
    for (uint32_t i = 0; i < m->place_pool.count; i++)
        m->places[i].noise *= m->noise_sum / sum;
}

void noise_settle(struct ingress_map *m)
{
    for (unsigned round = 0; round < SETTLE; round++) {
        uint32_t rows = 0;
        for (uint32_t r = 0; r < m->range_pool.used && rows < SETTLE_ROWS; r++) {
            if (!m->ranges[r].is_used)
                continue;
            rows += 1 + m->ranges[r].rows;
            noise_learn(m, r);
        }
        noise_round(m);
        if (!m->is_noisy)
            return;
    }
}

#include "sensor/penny/verdict.h"

#include <math.h>
#include <stdio.h>

#define RETURNS_MIN    3
#define HALF_ODDS      150.0 /* 1 / P(a 50:50 mixture is called genuine) */
#define HALF_LEAST     20.0  /* for the likeliest word, and for a test without a miss */
#define FLOW_SHARE     0.95
#define TRAFFIC_MARGIN 0.05 /* repeats and holes are not counted as traffic of a flow */
#define OTHER_SHARE    0.15
#define REPEATS_FEW    0.05
#define REPEATS_SOME   0.15
#define SPOOFED_HIGH   0.1
#define GENUINE_LEAST  0.9
#define Z_ONE_SIDED    1.645
#define Z_REPORT       1.960
#define SPOOFED_LIKELY .5 /* most that the posterior of some genuine traffic may say */
#define MISS_SEEN      0.003
#define MISS_TELLS     0.99 /* a miss says nothing of a flow of which next to nothing passes here */
#define SHARES         64 /* steps of an integral over the genuine share; more change the 4th digit */
#define MUCH_SHARE     0.3 /* penny.md: escalate when more come again unasked … */
#define MUCH_UNITS     40  /* … of so many first copies … */
#define MUCH_REPEATS   6   /* … or of so many repeats */
#define REPEATS_ALL    0.9 /* kept segments that come again: above it both arms look alike */

static const struct alternative {
    double returns, repeats, weight;
} alternatives[VERDICT_ALTERNATIVES] = {
    {.97, .003, .40}, {.96, .03, .12}, {.95, .10, .10}, {.95, .25, .08},
    {.5, .004, .10},  {.5, .08, .08},  {.2, .004, .07}, {.25, .10, .05},
};

static const double open_weight[VERDICT_OPEN_ALTERNATIVES] = {.5, .3, .2};
static const double depth_weight[VERDICT_DEPTHS] = {.9, .07, .03};

static double log_sum(const double *log_values, unsigned n)
{
    double top = log_values[0], sum = 0;
    for (unsigned i = 1; i < n; i++)
        top = fmax(top, log_values[i]);
    for (unsigned i = 0; i < n; i++)
        sum += exp(log_values[i] - top);
    return top + log(sum);
}

/* ln of the weighted mean of e-values, one a depth, given as ln. */
static double over_depths(const double *log_values)
{
    double weighted[VERDICT_DEPTHS];
    for (unsigned d = 0; d < VERDICT_DEPTHS; d++)
        weighted[d] = log_values[d] + log(depth_weight[d]);
    return log_sum(weighted, VERDICT_DEPTHS);
}

void verdict_init(struct verdict *v, double alpha, double miss_max)
{
    *v = (struct verdict){
        .log_threshold = -log(fmin(fmax(alpha, 1e-300), 0.5)),
        .miss_max = fmin(fmax(miss_max, 1e-6), 0.2),
    };
    for (unsigned d = 0; d < VERDICT_DEPTHS; d++) {
        for (unsigned i = 0; i < VERDICT_ALTERNATIVES; i++)
            v->trial[d].genuine_log[i] = log(alternatives[i].weight);
        for (unsigned i = 0; i < VERDICT_OPEN_ALTERNATIVES; i++)
            v->trial[d].open_log[i] = log(open_weight[i]);
    }
}

/* Likelihood of (withheld?, came again?) under the alternative, over that under open loop. */
static double genuine_factor(const struct alternative *a, double chance, bool was_withheld,
                             bool came_again)
{
    double dropped = came_again ? a->returns : 1 - a->returns;
    double kept = came_again ? a->repeats : 1 - a->repeats;
    return (was_withheld ? dropped : kept) / (chance * dropped + (1 - chance) * kept);
}

static double repeat_rate(double came, double kept)
{
    return fmin(.5, (came + .5) / (kept + 1));
}

/* Of all kept units, also those not resolved: repeats are known first. */
static double repeats_now(const struct trial *t)
{
    return repeat_rate(t->repeats, t->drawn - t->withheld);
}

static void open_update(const struct verdict *v, struct trial *t, bool came_again, double visible)
{
    double miss = fmin(v->miss_max + (1 - v->miss_max) * (1 - visible), MISS_TELLS);
    double rates[VERDICT_OPEN_ALTERNATIVES] = {1 - repeats_now(t), .5, .25};
    for (unsigned i = 0; i < VERDICT_OPEN_ALTERNATIVES; i++) {
        double rate = fmax(rates[i], miss); /* fewer misses than genuine is no alternative */
        t->open_log[i] += came_again ? log((1 - rate) / (1 - miss)) : log(rate / miss);
    }
    t->open = log_sum(t->open_log, VERDICT_OPEN_ALTERNATIVES);
}

static void genuine_update(struct trial *t, double chance, bool was_withheld, bool came_again)
{
    for (unsigned i = 0; i < VERDICT_ALTERNATIVES; i++)
        t->genuine_log[i] +=
            log(genuine_factor(&alternatives[i], chance, was_withheld, came_again));
    t->genuine = log_sum(t->genuine_log, VERDICT_ALTERNATIVES);
}

static void combine(struct verdict *v)
{
    double genuine[VERDICT_DEPTHS], open[VERDICT_DEPTHS];
    for (unsigned d = 0; d < VERDICT_DEPTHS; d++) {
        genuine[d] = v->trial[d].genuine;
        open[d] = v->trial[d].open;
    }
    v->genuine = over_depths(genuine);
    v->open = over_depths(open);
}

void verdict_reveal(struct verdict *v, unsigned depth, double chance, bool was_withheld,
                    bool came_again, double visible)
{
    struct trial *t = &v->trial[depth];
    if (chance > 0)
        genuine_update(t, chance, was_withheld, came_again);
    if (was_withheld) {
        v->visible += depth == 0 ? visible : 0;
        open_update(v, t, came_again, visible);
        t->returns += came_again;
        t->unanswered += !came_again;
        v->drops.returns += came_again;
        v->drops.unanswered += !came_again;
    } else {
        t->controls++;
        t->repeats += came_again;
    }
    combine(v);
}

bool verdict_repeats_much(const struct verdict *v, unsigned depth)
{
    const struct trial *t = &v->trial[depth];
    return t->drawn >= (depth == 0 ? MUCH_UNITS : MUCH_REPEATS) &&
           t->repeats > MUCH_SHARE * t->drawn;
}

/* The deepest trial that was called for and has a drop to speak of. */
static unsigned speaking(const struct verdict *v)
{
    unsigned depth = 0;
    while (depth + 1 < VERDICT_DEPTHS && verdict_repeats_much(v, depth) &&
           v->trial[depth + 1].returns + v->trial[depth + 1].unanswered > 0)
        depth++;
    return depth;
}

void verdict_settle(struct verdict *v, bool returned)
{
    v->settled++;
    v->missed += !returned;
}

/* R/D = f + (1 - f) s and k/C >= (1 - f) s: at most share + k/C come again when f is `share`. Of
 * those that came again, the genuine share is at most share / (share + k/C). */
static double half_evidence(const struct verdict *v)
{
    double half[VERDICT_DEPTHS], share = .5, genuine = 1 - v->miss_max;
    for (unsigned d = 0; d < VERDICT_DEPTHS; d++) {
        const struct trial *t = &v->trial[d];
        double repeats = repeats_now(t), returns = fmin(share + repeats, genuine);
        uint32_t came = d == 0 ? v->settled - v->missed : t->returns;
        uint32_t missed = d == 0 ? v->missed : t->withheld - t->returns;
        half[d] = came * log(genuine / returns) + missed * log(v->miss_max / (1 - returns));
        share /= share + repeats;
    }
    return over_depths(half);
}

void wilson(double k, double n, double z, double *low, double *high)
{
    if (n <= 0) {
        *low = 0;
        *high = 1;
        return;
    }
    double p = k / n, zz = z * z, scale = 1 / (1 + zz / n);
    double centre = scale * (p + zz / (2 * n));
    double reach = scale * z * sqrt(p * (1 - p) / n + zz / (4 * n * n));
    *low = k <= 0 ? 0 : fmax(0, centre - reach);
    *high = k >= n ? 1 : fmin(1, centre + reach);
}

static double within_unit(double x)
{
    return x > 0 ? fmin(x, 1) : 0;
}

struct fraction fraction_of(double returns, double drops, double came, double kept, double z,
                            struct reach reach)
{
    if (drops <= 0)
        return (struct fraction){.5, 0, 1};
    double r = returns / drops, q = kept > 0 ? came / kept : 0;
    double r_low, r_high, q_low = 0, q_high = 0;
    wilson(returns, drops, z, &r_low, &r_high);
    if (kept > 0)
        wilson(came, kept, z, &q_low, &q_high);
    double down = sqrt((r - r_low) * (r - r_low) + (q_high - q) * (q_high - q));
    double up = sqrt((r_high - r) * (r_high - r) + (q - q_low) * (q - q_low));
    if (q > REPEATS_ALL)
        return (struct fraction){within_unit(r - q), 0, 1};
    double d = r - q, low = within_unit((d - down) / reach.most);
    double high = reach.least > q ? within_unit((d + up) / (reach.least - q)) : 1;
    double value = reach.likely > q ? within_unit(d / (reach.likely - q)) : 1;
    return (struct fraction){fmin(fmax(value, low), high), low, high};
}

/* Of the segments that come again, those that pass here; misses are between what simulations show
 * and what is allowed. */
static struct reach reach_of(const struct verdict *v)
{
    const struct trial *t = &v->trial[0];
    double drops = t->returns + t->unanswered, visible = drops > 0 ? v->visible / drops : 1;
    double likely = (1 - MISS_SEEN) * visible;
    return (struct reach){(1 - v->miss_max) * visible, likely, 1 - MISS_SEEN};
}

/* The share of the drops at `depth` is one of those that came again at the depths before. */
static struct fraction fraction_at(const struct verdict *v, double z)
{
    unsigned depth = speaking(v);
    if (depth == 0)
        return fraction_of(v->cohort_returns, v->cohort_drops, v->cohort_came, v->cohort_kept, z,
                           reach_of(v));
    const struct trial *t = &v->trial[depth];
    struct fraction f = fraction_of(t->returns, t->returns + t->unanswered, t->repeats, t->controls,
                                    z, reach_of(v));
    while (depth-- > 0) {
        double n, low, high;
        t = &v->trial[depth];
        n = t->returns + t->unanswered;
        wilson(t->returns, n, z, &low, &high);
        f.value *= n > 0 ? t->returns / n : 1;
        f.low *= low;
        f.high = within_unit(f.high * high / reach_of(v).least);
    }
    return f;
}

static double told_share(const struct verdict *v, enum told told)
{
    return v->all_segments > 0 ? (double)v->segments[told] / (double)v->all_segments : 0;
}

static double cleared(const struct verdict *v)
{
    return v->is_partial ? 0 : told_share(v, TOLD_RETURNED);
}

static double silent(const struct verdict *v)
{
    return v->is_partial ? 0 : told_share(v, TOLD_UNANSWERED) + told_share(v, TOLD_BOTH);
}

static bool has_genuine(const struct verdict *v)
{
    return v->genuine >= v->log_threshold && v->drops.returns >= RETURNS_MIN;
}

static bool has_open(const struct verdict *v)
{
    return v->open >= v->log_threshold;
}

static bool is_clearly_spoofed(const struct verdict *v)
{
    return silent(v) >= FLOW_SHARE || fraction_at(v, Z_ONE_SIDED).high <= SPOOFED_HIGH;
}

/* A sender that repeats much by habit answers drops by habit too: then only `half` counts. */
static bool is_clearly_genuine(const struct verdict *v, uint32_t max_drops)
{
    double half = half_evidence(v);
    if (half >= log(HALF_ODDS))
        return true;
    if (v->missed > 0)
        return false;
    double repeats = repeats_now(&v->trial[0]);
    return (cleared(v) >= FLOW_SHARE && repeats <= REPEATS_FEW) ||
           (v->settled >= max_drops && repeats <= REPEATS_SOME && half >= log(HALF_LEAST));
}

/* By traffic, not by flows: what was tested and answered otherwise. */
static bool denies_genuine(const struct verdict *v)
{
    return told_share(v, TOLD_UNANSWERED) > OTHER_SHARE;
}

static bool denies_spoofed(const struct verdict *v)
{
    return told_share(v, TOLD_RETURNED) > OTHER_SHARE && repeats_now(&v->trial[0]) <= REPEATS_FEW;
}

int verdict_word(const struct verdict *v, uint32_t max_drops)
{
    bool genuine = has_genuine(v), open = has_open(v);
    if (genuine && open)
        return VERDICT_MIXED;
    if (v->is_heavy_untold)
        return -1;
    if (genuine)
        return is_clearly_genuine(v, max_drops) && !denies_genuine(v) ? VERDICT_GENUINE : -1;
    bool is_spoofed = open && is_clearly_spoofed(v) && !denies_spoofed(v) &&
                      verdict_probability(v) < SPOOFED_LIKELY;
    return is_spoofed ? VERDICT_SPOOFED : -1;
}

void verdict_reason(const struct verdict *v, char *reason, size_t room)
{
    unsigned depth = speaking(v);
    const struct trial *t = &v->trial[depth];
    if (depth == 0)
        snprintf(reason, room, "%u of %u drops came again, %u of %u kept segments", t->returns,
                 t->returns + t->unanswered, t->repeats, t->drawn - t->withheld);
    else
        snprintf(reason, room, "a repeater: %u of %u withheld repeats came again, %u of %u kept",
                 t->returns, t->returns + t->unanswered, t->repeats, t->drawn - t->withheld);
}

static int last_open(const struct verdict *v, const char *why, char *reason, size_t room)
{
    unsigned depth = speaking(v);
    const struct trial *t = &v->trial[depth];
    const char *what = depth == 0 ? "drops" : "withheld repeats";
    if (v->genuine >= log(1000) && t->returns >= RETURNS_MIN) {
        snprintf(reason, room, "%s: likeliest, %u of %u %s came again", why, t->returns,
                 t->returns + t->unanswered, what);
        return VERDICT_MIXED;
    }
    if (v->genuine > log(100)) {
        snprintf(reason, room, "%s: %u of %u %s came again, too few to prove genuine traffic", why,
                 t->returns, t->returns + t->unanswered, what);
        return VERDICT_INCONCLUSIVE;
    }
    if (verdict_probability(v) >= SPOOFED_LIKELY || denies_spoofed(v)) {
        snprintf(reason, room, "%s: %u of %u %s stayed unanswered, too few to exclude genuine ones",
                 why, t->unanswered, t->returns + t->unanswered, what);
        return VERDICT_INCONCLUSIVE;
    }
    snprintf(reason, room, "%s: likeliest, %u of %u %s stayed unanswered", why, t->unanswered,
             t->returns + t->unanswered, what);
    return VERDICT_SPOOFED;
}

static int last_unknown(const struct verdict *v, const char *why, char *reason, size_t room)
{
    const struct trial *t = &v->trial[0];
    if (has_genuine(v))
        snprintf(reason, room,
                 "%s: genuine traffic is there, but %u of %u drops did not come again", why,
                 v->missed, v->settled);
    else if (t->controls >= 20 && t->repeats * 10 >= t->controls * 3)
        snprintf(reason, room, "%s: the sender repeats %u of %u segments unasked", why, t->repeats,
                 t->controls);
    else if (v->missed > t->unanswered + t->returns)
        snprintf(reason, room, "%s: flows end or fall silent too soon (%u of %u drops)", why,
                 v->missed, v->settled);
    else
        snprintf(reason, room, "%s: %u drops resolved, not enough to tell", why,
                 t->returns + t->unanswered);
    return VERDICT_INCONCLUSIVE;
}

int verdict_last(const struct verdict *v, const char *why, char *reason, size_t room)
{
    bool genuine = has_genuine(v), open = has_open(v);
    if (genuine && open) {
        snprintf(reason, room, "%s: both evidences", why);
        return VERDICT_MIXED;
    }
    if (open)
        return last_open(v, why, reason, room);
    unsigned depth = speaking(v);
    bool is_pure = (depth == 0 || fraction_at(v, Z_REPORT).value >= GENUINE_LEAST) &&
                   !denies_genuine(v) && !v->is_heavy_untold;
    if (genuine && is_pure && half_evidence(v) >= log(HALF_LEAST)) {
        const struct trial *t = &v->trial[depth];
        snprintf(reason, room, "%s: likeliest, %u of %u drops came again", why, t->returns,
                 t->returns + t->unanswered);
        return VERDICT_GENUINE;
    }
    return last_unknown(v, why, reason, room);
}

/* ln of: how likely these returns are when a share of the drops is genuine, the share being uniform
 * in [0, 1], over how likely they are when none is, and drops come again as often as kept ones. */
static double fraction_odds_log(const struct verdict *v)
{
    const struct trial *t = &v->trial[speaking(v)];
    double q = (t->repeats + .5) / (t->drawn - t->withheld + 1), top = 1 - v->miss_max;
    double each[SHARES];
    for (unsigned i = 0; i < SHARES; i++) {
        double r = q + (i + .5) / SHARES * (top - q);
        each[i] = t->returns * log(r / q) + t->unanswered * log((1 - r) / (1 - q));
    }
    return log_sum(each, SHARES) - log(SHARES);
}

double verdict_probability(const struct verdict *v)
{
    return 1 / (1 + exp(-fmin(v->genuine, fraction_odds_log(v))));
}

/* The draw does not weigh flows by what they send. Where the traffic of those tested contradicts
 * the fraction, that counts. */
static struct fraction by_traffic(const struct verdict *v, struct fraction f)
{
    double low = repeats_now(&v->trial[0]) <= REPEATS_FEW ? told_share(v, TOLD_RETURNED) : 0;
    double high = 1 - told_share(v, TOLD_UNANSWERED);
    low = fmax(low - TRAFFIC_MARGIN, 0);
    high = fmin(high + TRAFFIC_MARGIN, 1);
    if (f.low > high || f.high < low)
        return (struct fraction){fmin(fmax(f.value, low), high), low, high};
    return f;
}

struct fraction verdict_fraction(const struct verdict *v, int word)
{
    if (word == VERDICT_GENUINE && cleared(v) >= FLOW_SHARE)
        return (struct fraction){1, cleared(v), 1};
    if (word == VERDICT_SPOOFED && silent(v) >= FLOW_SHARE)
        return (struct fraction){0, 0, 1 - silent(v)};
    return by_traffic(v, fraction_at(v, Z_REPORT));
}

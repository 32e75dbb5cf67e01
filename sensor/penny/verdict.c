#include "sensor/penny/verdict.h"

#include <math.h>
#include <stdio.h>

#define RETURNS_MIN  3
#define HALF_ODDS    150.0 /* 1 / P(a 50:50 mixture is called genuine) */
#define HALF_LEAST   20.0  /* for the likeliest word, and for a test without a miss */
#define FLOW_SHARE   0.95
#define REPEATS_FEW  0.05
#define SPOOFED_HIGH 0.1
#define Z_ONE_SIDED  1.645
#define Z_REPORT     1.960
#define MISS_SEEN    0.003
#define MISS_TELLS   0.99 /* a miss says nothing of a flow of which next to nothing passes here */
#define SHARES       64 /* steps of an integral over the genuine share; more change the 4th digit */
#define REPEATS_ALL  0.9 /* kept segments that come again: above it both arms look alike */

static const struct alternative {
    double returns, repeats, weight;
} alternatives[VERDICT_ALTERNATIVES] = {
    {.97, .003, .40}, {.96, .03, .12}, {.95, .10, .10}, {.95, .25, .08},
    {.5, .004, .10},  {.5, .08, .08},  {.2, .004, .07}, {.25, .10, .05},
};

static const double open_weight[VERDICT_OPEN_ALTERNATIVES] = {.5, .3, .2};

static double log_sum(const double *log_values, unsigned n)
{
    double top = log_values[0], sum = 0;
    for (unsigned i = 1; i < n; i++)
        top = fmax(top, log_values[i]);
    for (unsigned i = 0; i < n; i++)
        sum += exp(log_values[i] - top);
    return top + log(sum);
}

void verdict_init(struct verdict *v, double alpha, double miss_max)
{
    *v = (struct verdict){
        .log_threshold = -log(fmin(fmax(alpha, 1e-300), 0.5)),
        .miss_max = fmin(fmax(miss_max, 1e-6), 0.2),
    };
    for (unsigned i = 0; i < VERDICT_ALTERNATIVES; i++)
        v->genuine_log[i] = log(alternatives[i].weight);
    for (unsigned i = 0; i < VERDICT_OPEN_ALTERNATIVES; i++)
        v->open_log[i] = log(open_weight[i]);
}

/* Likelihood of (dropped?, came again?) under the alternative, over that under open loop. */
static double genuine_factor(const struct alternative *a, double chance, bool was_dropped,
                             bool came_again)
{
    double dropped = came_again ? a->returns : 1 - a->returns;
    double kept = came_again ? a->repeats : 1 - a->repeats;
    return (was_dropped ? dropped : kept) / (chance * dropped + (1 - chance) * kept);
}

static double repeat_rate(double came, double kept)
{
    return fmin(.5, (came + .5) / (kept + 1));
}

static void open_update(struct verdict *v, bool came_again, double visible)
{
    double miss = fmin(v->miss_max + (1 - v->miss_max) * (1 - visible), MISS_TELLS);
    double rates[VERDICT_OPEN_ALTERNATIVES] = {1 - repeat_rate(v->repeats, v->controls), .5, .25};
    for (unsigned i = 0; i < VERDICT_OPEN_ALTERNATIVES; i++) {
        double rate = fmax(rates[i], miss); /* fewer misses than genuine is no alternative */
        v->open_log[i] += came_again ? log((1 - rate) / (1 - miss)) : log(rate / miss);
    }
    v->open = log_sum(v->open_log, VERDICT_OPEN_ALTERNATIVES);
}

void verdict_reveal(struct verdict *v, double chance, bool was_dropped, bool came_again,
                    double visible)
{
    if (chance > 0) {
        for (unsigned i = 0; i < VERDICT_ALTERNATIVES; i++)
            v->genuine_log[i] +=
                log(genuine_factor(&alternatives[i], chance, was_dropped, came_again));
        v->genuine = log_sum(v->genuine_log, VERDICT_ALTERNATIVES);
    }
    if (was_dropped) {
        open_update(v, came_again, visible);
        v->returns += came_again;
        v->unanswered += !came_again;
    } else {
        v->controls++;
        v->repeats += came_again;
    }
}

void verdict_settle(struct verdict *v, bool returned, uint32_t kept, uint32_t came)
{
    double genuine = 1 - v->miss_max;
    v->repeat_rate = repeat_rate(came, kept);
    /* R/D = f + (1 - f) s and k/C >= (1 - f) s: at most .5 + k/C come again when f is half */
    double half = fmin(.5 + v->repeat_rate, genuine);
    v->half += returned ? log(genuine / half) : log(v->miss_max / (1 - half));
    v->settled++;
    v->missed += !returned;
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

struct fraction fraction_of(double returns, double drops, double came, double kept, double z)
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
    double d = r - q, least = 1 / (1 - MISS_SEEN), most = 1 / (1 - MISS_SEEN - q);
    return (struct fraction){within_unit(d * most), within_unit((d - down) * least),
                             within_unit((d + up) * most)};
}

static bool share_reached(const struct verdict *v, uint32_t part)
{
    return !v->is_partial && v->flows > 0 && part >= FLOW_SHARE * v->flows;
}

static bool has_genuine(const struct verdict *v)
{
    return v->genuine >= v->log_threshold && v->returns >= RETURNS_MIN;
}

static bool has_open(const struct verdict *v)
{
    return v->open >= v->log_threshold;
}

static bool is_clearly_spoofed(const struct verdict *v)
{
    if (share_reached(v, v->silent))
        return true;
    struct fraction f = fraction_of(v->cohort_returns, v->cohort_drops, v->cohort_came,
                                    v->cohort_kept, Z_ONE_SIDED);
    return v->cohort_drops > 0 && f.high <= SPOOFED_HIGH;
}

/* A sender that repeats much by habit answers drops by habit too: then only `half` counts. */
static bool is_clearly_genuine(const struct verdict *v, uint32_t max_drops)
{
    if (v->half >= log(HALF_ODDS))
        return true;
    if (v->missed > 0)
        return false;
    return (share_reached(v, v->cleared) && v->repeat_rate <= REPEATS_FEW) ||
           (v->settled >= max_drops && v->half >= log(HALF_LEAST));
}

int verdict_word(const struct verdict *v, uint32_t max_drops)
{
    bool genuine = has_genuine(v), open = has_open(v);
    if (genuine && open)
        return VERDICT_MIXED;
    if (genuine) {
        return is_clearly_genuine(v, max_drops) ? VERDICT_GENUINE : -1;
    }
    return open && is_clearly_spoofed(v) ? VERDICT_SPOOFED : -1;
}

static int last_open(const struct verdict *v, const char *why, char *reason, size_t room)
{
    if (v->genuine >= log(1000)) {
        snprintf(reason, room, "%s: likeliest, %u of %u drops came again", why, v->returns,
                 v->returns + v->unanswered);
        return VERDICT_MIXED;
    }
    if (v->genuine > log(100)) {
        snprintf(reason, room, "%s: %u of %u drops came again, too few to prove genuine traffic",
                 why, v->returns, v->returns + v->unanswered);
        return VERDICT_INCONCLUSIVE;
    }
    snprintf(reason, room, "%s: likeliest, %u of %u drops stayed unanswered", why, v->unanswered,
             v->returns + v->unanswered);
    return VERDICT_SPOOFED;
}

static int last_unknown(const struct verdict *v, const char *why, char *reason, size_t room)
{
    if (has_genuine(v))
        snprintf(reason, room,
                 "%s: genuine traffic is there, but %u of %u drops did not come again", why,
                 v->missed, v->settled);
    else if (v->controls >= 20 && v->repeats * 10 >= v->controls * 3)
        snprintf(reason, room, "%s: the sender repeats %u of %u segments unasked", why, v->repeats,
                 v->controls);
    else if (v->missed > v->unanswered + v->returns)
        snprintf(reason, room, "%s: flows end or fall silent too soon (%u of %u drops)", why,
                 v->missed, v->settled);
    else
        snprintf(reason, room, "%s: %u drops resolved, not enough to tell", why,
                 v->returns + v->unanswered);
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
    if (genuine && v->half >= log(HALF_LEAST)) {
        snprintf(reason, room, "%s: likeliest, %u of %u drops came again", why, v->returns,
                 v->returns + v->unanswered);
        return VERDICT_GENUINE;
    }
    return last_unknown(v, why, reason, room);
}

/* ln of: how likely these returns are when a share of the drops is genuine, the share being uniform
 * in [0, 1], over how likely they are when none is, and drops come again as often as kept ones. */
static double fraction_odds_log(const struct verdict *v)
{
    double q = (v->repeats + .5) / (v->controls + 1), top = 1 - v->miss_max;
    double each[SHARES];
    for (unsigned i = 0; i < SHARES; i++) {
        double r = q + (i + .5) / SHARES * (top - q);
        each[i] = v->returns * log(r / q) + v->unanswered * log((1 - r) / (1 - q));
    }
    return log_sum(each, SHARES) - log(SHARES);
}

double verdict_probability(const struct verdict *v)
{
    return 1 / (1 + exp(-fmin(v->genuine, fraction_odds_log(v))));
}

struct fraction verdict_fraction(const struct verdict *v, int word)
{
    struct fraction f =
        fraction_of(v->cohort_returns, v->cohort_drops, v->cohort_came, v->cohort_kept, Z_REPORT);
    if (word == VERDICT_GENUINE && share_reached(v, v->cleared))
        return (struct fraction){1, (double)v->cleared / v->flows, 1};
    if (word == VERDICT_SPOOFED && share_reached(v, v->silent))
        return (struct fraction){0, 0, 1 - (double)v->silent / v->flows};
    return f;
}

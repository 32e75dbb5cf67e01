#include "tests/collector/evidence/sums.h"

#include <math.h>

static double chance(struct prf *coin)
{
    return (double)(prf_next(coin) >> 11) / 9007199254740992.0;
}

static uint64_t how_many(struct prf *coin, uint64_t of, double p)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < of; i++)
        n += chance(coin) < p;
    return n;
}

/* Wilson's interval of k in n. */
static void wilson(double k, double n, double *low, double *high)
{
    double z = 1.96, p = k / n, base = 1 + z * z / n;
    double middle = (p + z * z / (2 * n)) / base;
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / base;
    *low = middle - half;
    *high = middle + half;
}

static double within(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Newcombe's interval of the difference of two rates, its ends allowing for what is missed. */
static void estimate(struct event_test_ended *t)
{
    double d = (double)(t->retransmitted + t->unanswered), c = (double)t->controls;
    double p = (double)t->retransmitted / d, q = (double)t->duplicates / c, l1, h1, l2, h2;
    wilson((double)t->retransmitted, d, &l1, &h1);
    wilson((double)t->duplicates, c, &l2, &h2);
    t->genuine_fraction = within((p - q) / (1 - 0.025));
    t->genuine_low = within(p - q - sqrt((p - l1) * (p - l1) + (h2 - q) * (h2 - q)));
    t->genuine_high = within((p - q + sqrt((h1 - p) * (h1 - p) + (q - l2) * (q - l2))) / 0.95);
    t->genuine_low = fmin(t->genuine_low, t->genuine_fraction);
    t->genuine_high = fmax(t->genuine_high, t->genuine_fraction);
}

struct event_test_ended a_test_of(struct prf *coin, const struct traffic *traffic, uint64_t drops,
                                  int64_t at)
{
    struct event_test_ended t = {.ended_at = at, .droppable = 20 * drops, .drops = drops};
    double g = traffic->genuine, spoofed_repeats = traffic->repeated;
    t.retransmitted = how_many(coin, drops, g * (1 - traffic->missed) + (1 - g) * spoofed_repeats);
    t.unanswered = drops - t.retransmitted;
    t.controls = 19 * drops;
    t.duplicates = how_many(coin, t.controls, (1 - g) * spoofed_repeats);
    estimate(&t);
    t.verdict = g > 0.97 ? VERDICT_GENUINE : g < 0.03 ? VERDICT_SPOOFED : VERDICT_MIXED;
    t.genuine_probability = t.verdict == VERDICT_SPOOFED ? 1e-4 : 1 - 1e-4;
    return t;
}

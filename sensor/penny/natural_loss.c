#include "sensor/penny/natural_loss.h"

#include <math.h>

static bool is_torn(const struct gap_track *t)
{
    return t->gaps >= NATURAL_TORN_GAPS && t->gaps > t->data / NATURAL_TORN;
}

void natural_loss_flow(struct natural_loss *n, const struct gap_track *t)
{
    double late = t->late, unfilled = t->unfilled, gaps = late + unfilled;
    double visible = gap_track_coverage(t);
    if (gaps == 0 || !(visible > 0) || is_torn(t))
        return;
    double weight = gaps > NATURAL_FLOW_GAPS ? NATURAL_FLOW_GAPS / gaps : 1;
    double genuine = NATURAL_GENUINE * visible;
    n->genuine += weight * (late * log(genuine) + unfilled * log1p(-genuine));
    n->open += weight * (late * log(NATURAL_OPEN) + unfilled * log1p(-NATURAL_OPEN));
}

/* ln(a e^x + b e^y), whatever the exponents. */
static double mix(double a, double x, double b, double y)
{
    double most = fmax(x, y);
    return most + log(a * exp(x - most) + b * exp(y - most));
}

double natural_loss_ratio(const struct natural_loss *n)
{
    return mix(1 - NATURAL_DEAF, n->genuine, NATURAL_DEAF, n->open) -
           mix(1 - NATURAL_MIMIC, n->open, NATURAL_MIMIC, n->genuine);
}

double natural_loss_probability(double ratio_log)
{
    return 1 / (1 + exp(-ratio_log));
}

#include "sensor/penny/natural_loss.h"

#include <math.h>

void natural_loss_flow(struct natural_loss *n, uint32_t late, uint32_t unfilled, double visible)
{
    double gaps = (double)late + unfilled;
    if (gaps == 0 || !(visible > 0))
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

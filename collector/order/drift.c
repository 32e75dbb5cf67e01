#include "collector/order/drift.h"

static void begin(struct drift *d, int64_t offset, int64_t now)
{
    d->is_begun = true;
    d->from = now;
    d->best = offset;
}

/* A window that ended long ago is told by what it would have been in the time of one. A sensor may
 * say any stamp: nothing overflows. */
static void compare(struct drift *d, uint64_t window_ns)
{
    const double most = (double)(INT64_MAX / 2);
    double apart = (double)d->best - (double)d->before_best;
    double ahead = apart * (double)window_ns / (double)(d->from - d->before_from);
    d->ahead = (int64_t)(ahead > most ? most : ahead < -most ? -most : ahead);
}

void drift_jumped(struct drift *d)
{
    *d = (struct drift){.ahead = d->ahead};
}

void drift_heard(struct drift *d, uint64_t stamp, int64_t now, uint64_t window_ns)
{
    int64_t offset = (int64_t)(stamp - (uint64_t)now);
    if (!d->is_begun || now < d->from) {
        drift_jumped(d);
        begin(d, offset, now);
    } else if ((uint64_t)(now - d->from) >= window_ns) {
        if (d->has_before && d->from > d->before_from)
            compare(d, window_ns);
        d->has_before = true;
        d->before_from = d->from;
        d->before_best = d->best;
        begin(d, offset, now);
    } else if (offset > d->best) {
        d->best = offset;
    }
}

bool drift_is_off(const struct drift *d, uint64_t margin_ns)
{
    int64_t most = (int64_t)margin_ns;
    return d->ahead > most || d->ahead < -most;
}

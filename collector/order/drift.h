/* Does a sensor's steady clock go as fast as ours? A lease is measured by both. One that runs ahead
 * ends it early, so that no test comes to its end; one that falls behind keeps it when it has long
 * been given to another. Neither gets an order while it is off by more than orders.margin.
 *
 * What is heard is the sensor's stamp, some time after it was taken: never too early. So the
 * largest difference of stamp and now within a window is the one that was delayed least, and two
 * windows' differences tell how the clocks ran apart between them. A connection that falls behind
 * by more than the margin looks like a clock that does, and is no better for leases. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct drift {
    bool is_begun, has_before;
    int64_t from, best;               /* this window: since when; largest stamp - now */
    int64_t before_from, before_best; /* the last full one */
    int64_t ahead;                    /* in a window's time, as found last; behind: negative */
};

/* A stamp that came now; windows are as long as a lease. Zeroed begins. */
void drift_heard(struct drift *d, uint64_t stamp, int64_t now, uint64_t window_ns);
/* Our clock jumped, or our machine slept while the sensor's did not: it is measured anew. What was
 * found stands until then. */
void drift_jumped(struct drift *d);
/* Did it run apart by more than margin in a lease's time? */
bool drift_is_off(const struct drift *d, uint64_t margin_ns);

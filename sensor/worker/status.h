/* sensor_status: what all workers saw and did in one interval, as differences of their counters.
 *
 * A status that finds no room in the ring is replaced by the next one: its interval gets longer,
 * and because the counts are differences, every packet is in exactly one status. */
#pragma once

#include "sensor/worker/worker.h"

struct status {
    uint64_t start; /* of the interval that is not told yet */
    uint64_t end;   /* of the status that waits to leave; 0: none */
    uint64_t packets, bytes, forwarded, dropped, malformed, missed; /* sums at the last one */
};

/* Is there anything that no status has told? */
bool status_is_behind(const struct status *s, struct worker *const *workers, unsigned n);

bool status_take(struct status *s, struct worker *const *workers, unsigned n, struct event *out);

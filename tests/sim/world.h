/* The full layer: packets, paths, receivers and the sensor between them.
 *
 *   sender -> [bottleneck] -> loss, jitter, reordering -> sensor -> loss -> receiver -> sender
 *
 * One test is one world: one engine, one aggregate, all flows of the row's groups. It ends with the
 * engine's word. */
#pragma once

#include "tests/sim/rows.h"
#include "tests/sim/tap.h"

/* The row's closed loops alone, without a sensor: what do they do? */
struct measured {
    uint64_t arrived, sent, again; /* segments: new ones at the receivers; all; retransmissions */
    uint64_t spurious;             /* that a receiver had before */
    uint64_t timeouts, over;       /* over: flows that came to their end */
    double seconds;
};
void world_measure(const struct row *row, double seconds, uint64_t seed, struct measured *out);

void world_run(const struct row *row, const struct penny_conf *conf, uint64_t seed,
               struct outcome *out);

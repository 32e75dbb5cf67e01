/* The full layer: packets, paths, receivers and the sensor between them.
 *
 *   sender -> [bottleneck] -> loss, jitter, reordering -> sensor -> loss -> receiver -> sender
 *
 * One test is one world: one engine, one aggregate, all flows of the row's groups. It ends with the
 * engine's word. */
#pragma once

#include "tests/sim/rows.h"
#include "tests/sim/tap.h"

void world_run(const struct row *row, const struct penny_conf *conf, uint64_t seed,
               struct outcome *out);

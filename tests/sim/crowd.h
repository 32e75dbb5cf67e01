/* The engine layer: senders without a transport, so cheap that 1e5 tests a row are affordable.
 *
 * A test is a stream of segments at a total rate, spread over flows at random. A closed-loop sender
 * repeats a segment that did not get through: lost before the sensor or behind it, or withheld. The
 * first repeat comes after a delay, each further one after twice the last; with probability `miss`
 * a segment never comes again. An open-loop one repeats as it likes. Nobody slows down. */
#pragma once

#include "tests/sim/senders.h"
#include "tests/sim/tap.h"

#define CROWD_GROUPS 3

void crowd_run(const struct senders groups[CROWD_GROUPS], const struct penny_conf *conf, bool is_v6,
               uint64_t seed, struct outcome *out);

/* What a test needs of the DPDK source beyond struct source_ops. */
#pragma once

#include "sensor/source/source.h"

/* Frames that are in no pool: in a ring of a port, lent, or lost. (Those in caches of threads count
 * as free.) */
unsigned source_dpdk_frames_in_use(const struct source_group *g);

/* --capture: what this sensor would have seen, from a file, printed. No privileges, no collector.
 */
#pragma once

#include <stdint.h>

#include "sensor/conf/sensor_conf.h"

/* One JSON object per event on standard output, in order, numbered, in the capture's own time. The
 * same file, configuration and seed give the same bytes. file: "-" is standard input. Changes conf
 * (the source is the file). Exit status: 0; 1 for a capture that cannot be opened, or that is
 * damaged (after all that was read before the damage), or an output that cannot be written. */
int capture_run(struct sensor_conf *conf, const char *file, uint64_t seed);

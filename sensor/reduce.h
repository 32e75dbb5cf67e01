/* What a running sensor keeps of its rights, per driver; see docs/decisions/0014-rights.md.
 *
 * It is called after the source is attached (mounted, loaded, pinned) and before the first thread
 * of ours: all of them inherit. What they open later must therefore be possible with what is kept:
 * AF_XDP sockets (also when a queue's is opened again), TUN devices, the connection to the
 * collector, the configuration on SIGHUP. */
#pragma once

#include "sensor/conf/sensor_conf.h"

/* config: the file that SIGHUP reads again. 0, or an error with a note: this process may not become
 * sensor.user, or could not do its work with what it has left. */
int reduce(const struct sensor_conf *conf, const char *config, struct note *note);

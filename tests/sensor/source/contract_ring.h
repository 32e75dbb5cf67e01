/* The far side of a net_ring device, which no kernel has: frames are put in through DPDK itself. */
#pragma once

#include <stddef.h>

/* Puts one frame where the port receives it. 0, or -1. After the source has attached. */
int ring_send(const char *port, const void *data, size_t len);

/* Frames that were put in and are not free again. */
unsigned ring_frames_in_use(void);

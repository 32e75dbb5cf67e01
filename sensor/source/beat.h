/* The heartbeat, the worker's side: a map of the kernel that stands in our memory (struct xdp_beat
 * in bpf/xdp_abi.h). A beat is one store, and what went past is one load: no system call. */
#pragma once

#include <stdint.h>

#include "bpf/xdp_abi.h"
#include "shared/base/err.h"

/* All queues' entries; NULL: it cannot be mapped, errno says why. */
struct xdp_beat *beats_map(int fd);
void beats_unmap(struct xdp_beat *beats); /* NULL is fine */

/* Says that the queue's worker is there. Returns how many watched frames went past it so far: all
 * that did before now_ns are counted. (Who was away for so long that frames may have gone past
 * sleeps a millisecond here: until a program that saw the old beat has counted its frame.) */
uint64_t beat(struct xdp_beat *b, uint64_t now_ns);

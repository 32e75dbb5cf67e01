/* The XDP programs on their ports, and how they stay there.
 *
 *   nothing attached    load, attach by link, pin the links
 *   our pinned link     load, then exchange the program in the link: not one frame sees no program
 *   something else      refuse, saying what it is and how to remove it; so with the dispatcher of
 *                       libxdp: behind another program we could not promise that frames go on
 *
 * The links are pinned, so the programs outlive this process however it ends; without our sockets
 * they are a plain wire. The counts of a time without a sensor are given up with the old program's
 * maps: their ingress numbers belong to a configuration that may have changed. */
#pragma once

#include <stdbool.h>

#include "bpf/xdp_abi.h"
#include "sensor/source/kernel_tally.h"
#include "sensor/source/pin.h"
#include "sensor/source/port.h"
#include "sensor/source/source.h"
#include "sensor/source/watched.h"

struct xdp_ingress; /* the skeleton */

struct xdp_attach {
    struct xdp_ingress *skeleton;
    struct port ports[XDP_PORTS];
    unsigned port_count; /* 1: mirror or router, 2: wire */
    bool is_routed;      /* the host's own stack forwards, both what it gets and what we write */
    unsigned queues;     /* to be served */
    bool is_native;
    int link_fd[XDP_PORTS];
    int lock_fd;
    int xsks_fd, probes_fd, stats_fd;
    struct xdp_beat *beats; /* by queue; mapped */
    struct watched watched;
    struct kernel_tally tally;
    char folder[PIN_PATH];
};

/* 0, or an error with a note; then *out is closed already. */
int xdp_attach_open(const struct source_conf *conf, struct xdp_attach *out, struct note *note);

/* Lets go of our side; programs, links and traffic stay. A zeroed struct is fine. */
void xdp_attach_close(struct xdp_attach *a);

/* Sum over CPUs of one XDP_STAT_*. */
uint64_t xdp_attach_stat(const struct xdp_attach *a, enum xdp_stat which);

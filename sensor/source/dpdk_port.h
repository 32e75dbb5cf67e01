/* A DPDK port: a NIC that the kernel has let go of, or a virtual device. Found by name, set up,
 * started; and put back. A setting that a device cannot do is left out and told in the line
 * event=attach; one that a wire cannot do without (queues, MTU) is refused. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sensor/source/source.h"

struct rte_mempool;

struct dpdk_port {
    char name[64]; /* as DPDK knows it */
    uint16_t id;
    uint16_t rx_slots, tx_slots; /* per queue, as the device takes them */
    unsigned queues_max;         /* receive and transmit */
    int socket;                  /* of memory; -1: any */
    unsigned mtu, was_mtu;
    uint64_t rss, tx_offloads;
    bool was_promiscuous, is_promiscuous, is_started, is_up;
};

/* Is the PCI device there, and does a driver hold it that DPDK can use? Asked before EAL starts,
 * for EAL would only say that there is no port. interface that is no PCI address: 0. role is the
 * key. */
int dpdk_port_check(const char *interface, const char *role, struct note *note);

/* 0, or -ENODEV with a note. */
int dpdk_port_find(const char *interface, const char *role, struct dpdk_port *out,
                   struct note *note);

/* Queues, RSS over them, offloads, MTU (0: as it is), slots. 0, or an error with a note. */
int dpdk_port_configure(struct dpdk_port *p, unsigned queues, unsigned mtu, struct note *note);

/* Queue i gets its frames' memory from pool. */
int dpdk_port_set_queue(struct dpdk_port *p, unsigned queue, struct rte_mempool *pool,
                        struct note *note);

/* Starts it, promiscuous, and logs how it stands. */
int dpdk_port_start(struct dpdk_port *p, unsigned queues, struct note *note);

/* Logs when the link has gone or come since the last call. */
void dpdk_port_watch_link(struct dpdk_port *p);

void dpdk_port_close(struct dpdk_port *p); /* a zeroed one is fine */

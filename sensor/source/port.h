/* Ports: the network interfaces that a source stands between, and whether we may use them. All of
 * this is asked before anything is changed, so that a refusal leaves the machine as it was. */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

/* A frame must fit a UMEM chunk behind the headroom, and XDP needs its own room in a page: native
 * mode attaches up to MTU 3506 on veth; 3498 leaves room for two more VLAN tags. */
#define PORT_MTU_MAX 3498

struct port {
    char name[IFNAMSIZ];
    int ifindex;
    unsigned mtu;
    uint8_t mac[6];
    unsigned rx_queues, tx_queues;
    bool is_up; /* by the administrator; a cable may be missing all the same */
};

/* Looks the interface up. 0, or with a note -ENODEV: no such interface; ERR_CONF: none is named, or
 * its MTU is too large. role is the configuration key that named it. */
int port_find(const char *name, const char *role, struct port *out, struct note *note);

/* What is no error and yet keeps frames from passing: said in the log, at start. */
void port_warn_if_down(const struct port *port);
void port_warn_of_pair(const struct port *outer, const struct port *inner);

/* 0, or -EPERM with a note that names the missing capabilities. */
int port_check_capabilities(struct note *note);

/* Only one sensor per outer port and network namespace: holds a name that the kernel gives back
 * when this process ends, however it ends. A file descriptor to close, or ERR_BUSY. */
int port_lock(const struct port *port, struct note *note);

/* A wire takes frames for every address: in promiscuous mode the NIC hands them over. The flag
 * stays when this process ends, as the programs do. Switches it; *was says how it stood (may be
 * NULL). 0, or -errno with a note; a port that is gone is -ENODEV. */
int port_set_promiscuous(const char *name, bool on, bool *was, struct note *note);

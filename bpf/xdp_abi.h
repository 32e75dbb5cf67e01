/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All that crosses the kernel border: what bpf/xdp_ingress.bpf.c and sensor/source/ both know.
 *
 *   map       kind                  content
 *   watched4  LPM trie              IPv4 prefixes whose packets go to the sensor
 *   watched6  LPM trie              IPv6 prefixes, the same
 *   xsks      XSKMAP                queue -> AF_XDP socket; empty: nobody takes, frames go on
 *   beats     array, mapped         queue -> xdp_beat: is its worker there, and what went past it
 *   ports     devmap                XDP_PORT_* -> interface
 *   tally     array of maps, 1      the generation of cells being counted into: tally_a or tally_b
 *   tally_a/b per-CPU hash          xdp_tally_key -> xdp_tally_cell
 *   macs      hash                  xdp_mac_key -> row of the ingress table
 *   probes    ring buffer           struct xdp_probe
 *   stats     per-CPU array         XDP_STAT_* -> packets
 *
 * To take the tally out: put the other (empty) cells into tally[0]. That system call returns only
 * when no running program can still hold the old ones; then they belong to the caller.
 *
 * A worker that is there says so in its queue's entry of beats, at least each 100 ms. When that
 * stands still for XDP_BEAT_MAX_NS, the program lets the queue's watched frames go on.
 *
 * Options (which ports, tally lengths, ingress by VLAN) are the program's .rodata and fixed at
 * load. Addresses are in network order, IPv4 in the first four bytes and the rest zero, as in
 * struct addr; all other numbers are in host order. */
#pragma once

#include <linux/types.h>

#define XDP_QUEUES_MAX  256
#define XDP_WATCHED_MAX 16384 /* per family */
#define XDP_TALLY_CELLS 65536 /* per generation */
#define XDP_PROBES_SIZE (1 << 20)
#define XDP_VLANS       4096
#define XDP_NO_ROW      0xffff

#define XDP_BEAT_MAX_NS 200000000

enum { XDP_PORT_OUTER, XDP_PORT_INNER, XDP_PORTS };

enum xdp_stat {
#define KERNEL(name, help) XDP_STAT_##name,
#include "shared/base/kernel.def"
#undef KERNEL
    XDP_STAT_COUNT
};

/* One cache line per queue. at_ns is the worker's, the counts are the program's. */
struct xdp_beat {
    __u64 at_ns;  /* CLOCK_MONOTONIC; 0: nobody beats here, so nobody is late */
    __u64 handed; /* frames given to the socket; two CPUs that serve one queue may miss some */
    __u64 passed; /* watched frames that went past it: no socket, or an old beat */
    __u64 zero[5];
};

struct xdp_watched4_key {
    __u32 length;
    __u8 addr[4];
};

struct xdp_watched6_key {
    __u32 length;
    __u8 addr[16];
};

/* vlan 0: the row matches the address on any VLAN. */
struct xdp_mac_key {
    __u8 mac[6];
    __u16 vlan;
};

struct xdp_tally_key {
    __u8 addr[16]; /* masked to the tally's length */
    __u16 ingress;
    __u8 family; /* 4 or 6 */
    __u8 zero[5];
};

struct xdp_tally_cell {
    __u64 packets, bytes;
    __u64 flow_bits[4]; /* linear counting over 256 bits */
};

/* A TCP segment with SYN and without ACK. */
struct xdp_probe {
    __u8 src[16], dst[16];
    __u32 seq, ack;
    __u32 payload_len, frame_len;
    __u16 src_port, dst_port;
    __u16 window;
    __u16 vlan;
    __u16 ingress;
    __u8 src_mac[6];
    __u8 family;
    __u8 tcp_flags;
    __u8 zero[6];
};

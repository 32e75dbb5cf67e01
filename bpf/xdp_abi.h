/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All that crosses the kernel border: what bpf/xdp_ingress.bpf.c and sensor/source/ both know.
 *
 *   map       kind                  content
 *   watched4  LPM trie              IPv4 prefixes whose packets go to the sensor
 *   watched6  LPM trie              IPv6 prefixes, the same
 *   filter    memory (.bss)         struct xdp_filter: for whom it is worth to ask the tries
 *   xsks      XSKMAP                queue -> AF_XDP socket; empty: nobody takes, frames go on
 *   beats     array, mapped         queue -> xdp_beat: is its worker there, and what went past it
 *   ports     devmap                XDP_PORT_* -> interface
 *   tally     array of maps, 1      the generation of cells being counted into: tally_a or tally_b
 *   tally_a/b per-CPU hash          xdp_tally_key -> xdp_tally_cell
 *   caches    per-CPU array, 2      struct xdp_tally_cache: where is counted first
 *   macs      hash                  xdp_mac_key -> row of the ingress table
 *   probes    ring buffer           struct xdp_probe
 *   seen_udp  per-CPU array         buckets of UDP flows reported lately (sensor/packet/opening.h)
 *   pressure  per-CPU array, 1      xdp_pressure
 *   stats     per-CPU array         XDP_STAT_* -> packets
 *
 * To take the tally out: set cache_turn to the other (empty) cache, then put the other (empty)
 * cells into tally[0]. That system call returns only when no running program can still hold the old
 * ones; then both belong to the caller.
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
#define XDP_WATCHED_MAX 131072 /* per family */
#define XDP_TALLY_CELLS 65536  /* per generation */
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

/* The filter before the tries. A bit that is not set says: no watched prefix holds this source. One
 * that is set says nothing: ask the trie, unless the whole /24 is sure to be watched. User space
 * writes it (sensor/source/watched_filter.h), the program reads it.
 *
 *   v4    a bit per /24: exact. Shorter prefixes set all of theirs, longer ones their /24's.
 *   v6    bits by hash: of the first 48 bits for prefixes of 48 and more, of the first 32 bits for
 *         those of 32 to 47
 *   wide  a bit per /16 of IPv6, for prefixes shorter than 32, as in v4
 *   sure4 a bit per /24 of IPv4 that lies in one watched prefix: the trie would say yes. A bit by
 *         hash could not say so, so IPv6 has none. */
#define XDP_FILTER4_BITS (1u << 24)
#define XDP_FILTER6_BITS (1u << 23)
#define XDP_FILTER_WIDE  (1u << 16)

struct xdp_filter {
    __u64 v4[XDP_FILTER4_BITS / 64];
    __u64 v6[XDP_FILTER6_BITS / 64];
    __u64 wide[XDP_FILTER_WIDE / 64];
    __u64 sure4[XDP_FILTER4_BITS / 64];
};

/* The bit of a source's leading `length` bits (32 or 48); word: its first eight bytes as a number.
 * Not keyed: who hits a watched prefix's bit only has the trie asked, which says no. */
static inline __attribute__((always_inline)) __u32 xdp_filter6_bit(__u64 word, __u32 length)
{
    __u64 hash = (word >> (64 - length) ^ length) * 0x9e3779b97f4a7c15ull;
    return (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull >> 41;
}

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

/* In front of the cells, pairs of lines. A packet counts in its prefix's line, one of the two where
 * its hash points; a prefix without one gets the line of the pair with fewer packets, whose counts
 * move to the cells. A line is as long as the CPU's. */
#define XDP_TALLY_LINES 512

struct xdp_tally_line {
    __u64 addr[2]; /* as in the key */
    __u32 tag;     /* family << 16 | ingress; 0: the line is free */
    __u32 packets;
    __u64 bytes;
    __u64 flow_bits[4];
};

struct xdp_tally_cache {
    struct xdp_tally_line line[XDP_TALLY_LINES];
};

enum xdp_opening {
    XDP_OPENING_NONE,
#define OPENING(name, help) XDP_OPENING_##name,
#include "shared/base/openings.def"
#undef OPENING
};

/* UDP flows reported lately, as sensor/packet/opening.h describes. */
#define XDP_SEEN_BUCKETS 8192
#define XDP_SEEN_ENTRIES 8

struct xdp_seen {
    __u64 entry[XDP_SEEN_ENTRIES];
};

/* When the ring fills up faster than it is read, only a part of the openings is reported, chosen by
 * the flow's hash; each report says for how many it stands. How full the ring is, each CPU asks
 * only now and then. */
#define XDP_PRESSURE_EVERY 32
#define XDP_SAMPLE_HALF    8  /* the ring is more than half full: one of so many */
#define XDP_SAMPLE_FULL    64 /* more than seven eighths */

struct xdp_pressure {
    __u32 openings; /* until the ring is asked again */
    __u32 weight;   /* 1, XDP_SAMPLE_HALF or XDP_SAMPLE_FULL; 0: not asked yet */
};

/* An opening. */
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
    __u8 protocol;
    __u8 tcp_flags;
    __u8 icmp_type;
    __u8 opening; /* enum xdp_opening */
    __u8 weight;  /* the openings that it stands for, itself included */
    __u8 zero[2];
};

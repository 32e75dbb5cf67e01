/* Openings: packets with which somebody asks whether a host or a port is there. The scan engine
 * counts these and nothing else. Defined once, here; the XDP program says the same of the traffic
 * that never leaves the kernel (opening_of() in bpf/parse.bpf.h, tests/bpf/test_agreement.c).
 *
 *   SYN    TCP with SYN and without ACK: how connections begin        nmap -sS, -sT
 *   FIN    TCP with FIN, without SYN, RST and ACK                     nmap -sF
 *   NULL   TCP without any of the six flags                           nmap -sN
 *   XMAS   a FIN with PSH and URG                                     nmap -sX
 *   UDP    the first packet of (src, dst, ports) in a minute          nmap -sU
 *   ICMP   echo request (both versions), timestamp and address mask   nmap -PE, -PP, -PM
 *          request (IPv4)
 *
 * No sound TCP stack sends FIN, NULL or XMAS: behind a handshake every segment has ACK. Fragments
 * are none of these: they have no ports in reach. What could not be parsed is no opening either.
 *
 * UDP has no flag that opens, so the table of openings remembers flows: 8,192 buckets of eight
 * entries, each of 48 bits of the flow's keyed hash and the time when it was last reported. A
 * steady flow is one opening per 60 s. An entry leaves when a new flow finds its bucket full, the
 * oldest first: with up to about 20,000 flows in a minute next to none does; far beyond that,
 * steady flows are reported more often. Time counts in units of 2^30 ns (1.07 s) modulo 2^16, so a
 * flow that comes back after 19 h 30 min to the minute may go unreported. */
#pragma once

#include "sensor/packet/packet.h"
#include "shared/base/hash.h"

enum opening {
    OPENING_NONE,
#define OPENING(name, help) OPENING_##name,
#include "shared/base/openings.def"
#undef OPENING
    OPENING_COUNT
};

/* What kind of opening the packet is by itself. Every UDP packet is OPENING_UDP here: whether it is
 * the first of its flow, the table knows. */
enum opening packet_opening(const struct packet *p);

struct openings;

/* 0 or -ENOMEM; 512 KB. */
int openings_new(uint64_t seed, struct openings **out);
void openings_free(struct openings *o); /* NULL is fine */

/* As packet_opening(), but UDP only when its flow was not reported in the last 60 s. Time must not
 * go back. */
enum opening openings_find(struct openings *o, const struct packet *p, uint64_t now_ns);

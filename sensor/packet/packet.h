/* A packet: what the cores need to know of a frame, in host order, or a counted reason.
 *
 * Understood: Ethernet II, any number up to 4 of 802.1Q / 802.1ad tags, IPv4 with options and
 * fragments, IPv6 with hop-by-hop, routing, fragment, destination and AH headers, TCP, UDP, ICMP,
 * ICMPv6. A fragment (other than a whole packet with a fragment header) keeps its addresses and
 * protocol, but has is_fragment and no ports: nobody may judge it as TCP. Other protocols keep
 * addresses and the protocol number.
 *
 * Lengths come from the IP header, so that Ethernet padding is not payload. Where a capture cut the
 * frame (wire_len > len) the headers must be there; the payload may be missing. */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "sensor/packet/frame.h"
#include "shared/base/addr.h"

enum packet_reason {
    PACKET_OK,
#define REASON(name, counter, help) PACKET_##name,
#include "shared/base/reasons.def"
#undef REASON
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

/* Laid out for being read right after it was written: both addresses begin at a multiple of 16, and
 * what is asked for together (protocol, is_fragment) does not lie so close that a compiler reads
 * it in one go: a read that spans two young stores waits for them (docs/benchmarks.md). */
struct packet {
    struct addr src;
    uint8_t protocol; /* IPPROTO_*, after extension headers */
    uint8_t src_mac[6];
    uint16_t vlan;     /* outermost VLAN id, 0: none */
    uint16_t ingress;  /* index into the ingress table; filled by the worker */
    uint16_t src_port; /* TCP, UDP; else 0 */
    alignas(16) struct addr dst;
    uint8_t tcp_flags; /* TCP only */
    uint16_t dst_port;
    uint16_t tcp_window; /* TCP, unscaled */
    bool is_fragment;
    uint8_t icmp_type;    /* ICMP, ICMPv6; else 0 */
    uint32_t seq, ack;    /* TCP */
    uint32_t payload_len; /* bytes after the transport header, from the IP length */
    uint32_t frame_len;   /* bytes on the wire, from the Ethernet header on */
    uint8_t opening;      /* enum opening, where the source found it; 0: not asked yet */
    uint8_t weight;       /* then: the openings that it stands for, itself included */
};

/* Fills out from the frame; nothing in out points into it. Where the IP header was sound, the
 * addresses are filled whatever follows (src.family is not 0): it is traffic from there. */
enum packet_reason packet_parse(const struct frame *frame, struct packet *out);

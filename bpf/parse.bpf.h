/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Headers, outermost first: one cursor, one bounded helper per header. Each helper moves the cursor
 * past its header, or says why it cannot. Understood is what sensor/packet/packet.h understands:
 * the kernel and the sensor must call the same packets fragments, and the same malformed, for the
 * same reason (tests/bpf/test_agreement.c). */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/xdp_abi.h"

#define VLAN_TAGS_MAX  4
#define EXTENSIONS_MAX 8

/* A reason is the number of its counter. */
enum parsed {
#define REASON(name, counter, help) PARSED_##name = XDP_STAT_##counter,
#include "shared/base/reasons.def"
#undef REASON
    PARSED = XDP_STAT_COUNT
};

/* An address as two words, so that masking, hashing and copying are two operations. */
union address {
    __u8 bytes[16];
    __u32 v4;
    __u64 words[2];
};

struct view {
    union address src, dst;
    __u32 seq, ack, payload_len;
    __u16 src_port, dst_port; /* TCP, UDP; else 0 */
    __u16 window;
    __u16 vlan; /* outermost id; 0: none */
    __u8 src_mac[6];
    __u8 family;
    __u8 protocol;
    __u8 tcp_flags;
    __u8 icmp_type;
    bool is_fragment; /* no ports: nobody may judge it as TCP */
    bool has_address; /* the IP header was sound, whatever follows */
};

struct cursor {
    void *at, *end;
};

struct vlan_header {
    __be16 tci, next;
};

struct extension_header {
    __u8 next, length;
};

struct fragment_header {
    __u8 next, zero;
    __be16 offset;
    __be32 id;
};

#define FRAGMENT_OFFSET_V4 0x1fff
#define FRAGMENT_MORE_V4   0x2000
#define FRAGMENT_OFFSET_V6 0xfff8
#define FRAGMENT_MORE_V6   0x0001

#define room(cursor, n)    ((cursor)->at + (n) <= (cursor)->end)

static __always_inline bool is_vlan(__be16 type)
{
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Ethernet II and up to four tags; type is what follows them. */
static __always_inline enum parsed parse_ethernet(struct cursor *c, struct view *v, __be16 *type)
{
    struct ethhdr *eth = c->at;
    if (!room(c, sizeof *eth))
        return PARSED_SHORT_ETHERNET;
    __builtin_memcpy(v->src_mac, eth->h_source, sizeof v->src_mac);
    *type = eth->h_proto;
    c->at = eth + 1;
#pragma unroll
    for (int i = 0; i < VLAN_TAGS_MAX && is_vlan(*type); i++) {
        struct vlan_header *tag = c->at;
        if (!room(c, sizeof *tag))
            return PARSED_SHORT_ETHERNET;
        if (i == 0)
            v->vlan = bpf_ntohs(tag->tci) & 0x0fff;
        *type = tag->next;
        c->at = tag + 1;
    }
    return PARSED;
}

/* left: bytes that the IP header says follow it. */
static __always_inline enum parsed parse_ipv4(struct cursor *c, struct view *v, __u32 *left)
{
    struct iphdr *ip = c->at;
    if (!room(c, sizeof *ip))
        return PARSED_SHORT_IP;
    __u32 header = ip->ihl * 4, total = bpf_ntohs(ip->tot_len);
    if (ip->version != 4 || header < sizeof *ip || total < header)
        return PARSED_BAD_IP;
    if (!room(c, header) || total > (__u32)(c->end - c->at))
        return PARSED_SHORT_IP;
    v->src.v4 = ip->saddr;
    v->dst.v4 = ip->daddr;
    v->family = 4;
    v->protocol = ip->protocol;
    v->is_fragment = ip->frag_off & bpf_htons(FRAGMENT_OFFSET_V4 | FRAGMENT_MORE_V4);
    v->has_address = true;
    *left = total - header;
    c->at += header;
    return PARSED;
}

static __always_inline enum parsed parse_ipv6(struct cursor *c, struct view *v, __u32 *left)
{
    struct ipv6hdr *ip = c->at;
    if (!room(c, sizeof *ip))
        return PARSED_SHORT_IP;
    *left = bpf_ntohs(ip->payload_len);
    /* Length 0 before hop-by-hop options announces a jumbogram (RFC 2675). */
    if (ip->version != 6 || (*left == 0 && ip->nexthdr == IPPROTO_HOPOPTS))
        return PARSED_BAD_IP;
    if (*left + sizeof *ip > (__u32)(c->end - c->at))
        return PARSED_SHORT_IP;
    __builtin_memcpy(v->src.bytes, &ip->saddr, 16);
    __builtin_memcpy(v->dst.bytes, &ip->daddr, 16);
    v->family = 6;
    v->protocol = ip->nexthdr;
    v->has_address = true;
    c->at = ip + 1;
    return PARSED;
}

static __always_inline bool is_extension(__u8 protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
           protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH;
}

/* Bytes of an extension header: eight-byte units beyond the first eight, except that AH counts
 * four-byte units beyond the first two. */
static __always_inline __u32 extension_length(__u8 protocol, __u8 length)
{
    return protocol == IPPROTO_AH ? (length + 2u) * 4 : (length + 1u) * 8;
}

static __always_inline enum parsed parse_extension(struct cursor *c, struct view *v, __u32 *left)
{
    struct extension_header *ext = c->at;
    if (!room(c, sizeof(struct fragment_header)))
        return PARSED_SHORT_EXTENSION;
    __u32 length = sizeof(struct fragment_header);
    if (v->protocol == IPPROTO_FRAGMENT) {
        /* A whole packet with a fragment header (RFC 6946) is not a fragment. */
        struct fragment_header *fragment = c->at;
        v->is_fragment = fragment->offset & bpf_htons(FRAGMENT_OFFSET_V6 | FRAGMENT_MORE_V6);
    } else {
        length = extension_length(v->protocol, ext->length);
    }
    if (length > *left || !room(c, length))
        return PARSED_SHORT_EXTENSION;
    v->protocol = ext->next;
    *left -= length;
    c->at += length;
    return PARSED;
}

/* Stops behind a fragment header: what follows in a later fragment is not a header. */
static __always_inline enum parsed parse_extensions(struct cursor *c, struct view *v, __u32 *left)
{
#pragma unroll
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (v->is_fragment || !is_extension(v->protocol))
            return PARSED;
        if (parse_extension(c, v, left) != PARSED)
            return PARSED_SHORT_EXTENSION;
    }
    return v->is_fragment || !is_extension(v->protocol) ? PARSED : PARSED_SHORT_EXTENSION;
}

static __always_inline enum parsed parse_tcp(struct cursor *c, struct view *v, __u32 left)
{
    struct tcphdr *tcp = c->at;
    if (!room(c, sizeof *tcp) || left < sizeof *tcp)
        return PARSED_SHORT_TRANSPORT;
    __u32 header = tcp->doff * 4;
    if (header < sizeof *tcp || header > left)
        return PARSED_BAD_TCP;
    v->src_port = bpf_ntohs(tcp->source);
    v->dst_port = bpf_ntohs(tcp->dest);
    v->seq = bpf_ntohl(tcp->seq);
    v->ack = bpf_ntohl(tcp->ack_seq);
    v->window = bpf_ntohs(tcp->window);
    v->tcp_flags = ((__u8 *)tcp)[13] & 0x3f;
    v->payload_len = left - header;
    return PARSED;
}

struct udp_header {
    __be16 source, dest, length, check;
};

static __always_inline enum parsed parse_udp(struct cursor *c, struct view *v, __u32 left)
{
    struct udp_header *udp = c->at;
    if (!room(c, sizeof *udp) || left < sizeof *udp)
        return PARSED_SHORT_TRANSPORT;
    __u32 length = bpf_ntohs(udp->length);
    if (length < sizeof *udp || length > left)
        return PARSED_BAD_UDP;
    v->src_port = bpf_ntohs(udp->source);
    v->dst_port = bpf_ntohs(udp->dest);
    v->payload_len = length - sizeof *udp;
    return PARSED;
}

#define ICMP_LEN 8

/* The ICMP that belongs to this version of IP; the other one is just some protocol. */
static __always_inline bool is_icmp(const struct view *v)
{
    return v->protocol == (v->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static __always_inline enum parsed parse_icmp(struct cursor *c, struct view *v, __u32 left)
{
    if (!room(c, ICMP_LEN) || left < ICMP_LEN)
        return PARSED_SHORT_TRANSPORT;
    v->icmp_type = *(__u8 *)c->at;
    v->payload_len = left - ICMP_LEN;
    return PARSED;
}

static __always_inline enum parsed parse_transport(struct cursor *c, struct view *v, __u32 left)
{
    v->payload_len = left;
    if (v->is_fragment)
        return PARSED;
    if (v->protocol == IPPROTO_TCP)
        return parse_tcp(c, v, left);
    if (v->protocol == IPPROTO_UDP)
        return parse_udp(c, v, left);
    if (is_icmp(v))
        return parse_icmp(c, v, left);
    return PARSED;
}

static __always_inline enum parsed parse_frame(struct cursor *c, struct view *v)
{
    __be16 type = 0;
    __u32 left = 0;
    enum parsed result = parse_ethernet(c, v, &type);
    if (result != PARSED)
        return result;
    if (type == bpf_htons(ETH_P_IP))
        result = parse_ipv4(c, v, &left);
    else if (type == bpf_htons(ETH_P_IPV6))
        result = parse_ipv6(c, v, &left);
    else
        return PARSED_NOT_IP;
    if (result == PARSED && v->family == 6)
        result = parse_extensions(c, v, &left);
    return result == PARSED ? parse_transport(c, v, left) : result;
}

/* ---- openings, as sensor/packet/opening.h defines them ---- */

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

enum { ICMP_ECHO = 8, ICMP_STAMP = 13, ICMP_MASK = 17, ICMPV6_ECHO = 128 };

static __always_inline enum xdp_opening tcp_opening(__u8 flags)
{
    if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        return XDP_OPENING_SYN;
    if (flags == 0)
        return XDP_OPENING_NULL;
    if ((flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) != TCP_FIN)
        return XDP_OPENING_NONE;
    return (flags & (TCP_PSH | TCP_URG)) == (TCP_PSH | TCP_URG) ? XDP_OPENING_XMAS
                                                                : XDP_OPENING_FIN;
}

static __always_inline bool icmp_asks(const struct view *v)
{
    if (v->family == 6)
        return v->icmp_type == ICMPV6_ECHO;
    return v->icmp_type == ICMP_ECHO || v->icmp_type == ICMP_STAMP || v->icmp_type == ICMP_MASK;
}

/* Of a packet that was parsed. Every UDP packet is one here. */
static __always_inline enum xdp_opening opening_of(const struct view *v)
{
    if (v->is_fragment)
        return XDP_OPENING_NONE;
    if (v->protocol == IPPROTO_TCP)
        return tcp_opening(v->tcp_flags);
    if (v->protocol == IPPROTO_UDP)
        return XDP_OPENING_UDP;
    return is_icmp(v) && icmp_asks(v) ? XDP_OPENING_ICMP : XDP_OPENING_NONE;
}

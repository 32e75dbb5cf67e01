/* Parsing. One cursor walks the frame; one small function per header moves it on. Every read is
 * preceded by a check against `have`; every length that a packet states is checked against what
 * can be there. Checksums are not verified: captures of offloading hosts carry unfinished ones,
 * and what a router forwards has passed one already. */
#include "sensor/packet/packet.h"

#include <netinet/in.h>

#define VLAN_TAGS_MAX  4 /* customer, provider and two to spare */
#define EXTENSIONS_MAX 8 /* RFC 8200 knows 6 that may stand in one packet; more is an attack */

#define ETHERNET_LEN   14
#define VLAN_LEN       4
#define IPV4_LEN       20
#define IPV6_LEN       40
#define TCP_LEN        20
#define UDP_LEN        8
#define ICMP_LEN       8

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_VLAN = 0x8100, TYPE_PROVIDER_VLAN = 0x88a8 };

/* have: bytes that can be read. stated: bytes that there are by the lengths on the wire; larger
 * than have only where the capture cut the frame, never smaller. */
struct cursor {
    const uint8_t *at;
    uint32_t have, stated;
};

static inline uint16_t read_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The caller has checked that n bytes can be read. */
static inline void skip(struct cursor *c, uint32_t n)
{
    c->at += n;
    c->have -= n;
    c->stated -= n;
}

/* What lies behind the length that IP states is padding. */
static inline void limit(struct cursor *c, uint32_t stated)
{
    c->stated = stated;
    if (c->have > stated)
        c->have = stated;
}

static enum packet_reason parse_ethernet(struct cursor *c, struct packet *out, uint16_t *type)
{
    if (c->have < ETHERNET_LEN)
        return PACKET_SHORT_ETHERNET;
    memcpy(out->src_mac, c->at + 6, sizeof out->src_mac);
    *type = read_u16(c->at + 12);
    skip(c, ETHERNET_LEN);

    for (int tag = 0; tag < VLAN_TAGS_MAX; tag++) {
        if (*type != TYPE_VLAN && *type != TYPE_PROVIDER_VLAN)
            return PACKET_OK;
        if (c->have < VLAN_LEN)
            return PACKET_SHORT_ETHERNET;
        if (tag == 0)
            out->vlan = read_u16(c->at) & 0x0fff;
        *type = read_u16(c->at + 2);
        skip(c, VLAN_LEN);
    }
    return PACKET_OK; /* a fifth tag is a type that is not IP */
}

static enum packet_reason parse_tcp(struct cursor *c, struct packet *out)
{
    if (c->have < TCP_LEN)
        return PACKET_SHORT_TRANSPORT;
    uint32_t header = (uint32_t)(c->at[12] >> 4) * 4;
    if (header < TCP_LEN || header > c->stated)
        return PACKET_BAD_TCP;
    if (header > c->have)
        return PACKET_SHORT_TRANSPORT;
    out->src_port = read_u16(c->at);
    out->dst_port = read_u16(c->at + 2);
    out->seq = read_u32(c->at + 4);
    out->ack = read_u32(c->at + 8);
    out->tcp_flags = c->at[13] & 0x3f; /* without the ECN bits: a SYN with ECE is a SYN */
    out->tcp_window = read_u16(c->at + 14);
    out->payload_len = c->stated - header;
    return PACKET_OK;
}

static enum packet_reason parse_udp(struct cursor *c, struct packet *out)
{
    if (c->have < UDP_LEN)
        return PACKET_SHORT_TRANSPORT;
    uint32_t length = read_u16(c->at + 4);
    if (length < UDP_LEN || length > c->stated)
        return PACKET_BAD_UDP;
    out->src_port = read_u16(c->at);
    out->dst_port = read_u16(c->at + 2);
    out->payload_len = length - UDP_LEN;
    return PACKET_OK;
}

static enum packet_reason parse_icmp(struct cursor *c, struct packet *out)
{
    if (c->have < ICMP_LEN)
        return PACKET_SHORT_TRANSPORT;
    out->icmp_type = c->at[0];
    out->payload_len = c->stated - ICMP_LEN;
    return PACKET_OK;
}

/* icmp: the ICMP that belongs to this version of IP; the other one is just some protocol. */
static enum packet_reason parse_transport(struct cursor *c, struct packet *out, uint8_t icmp)
{
    out->payload_len = c->stated;
    if (out->is_fragment)
        return PACKET_OK;
    if (out->protocol == IPPROTO_TCP)
        return parse_tcp(c, out);
    if (out->protocol == IPPROTO_UDP)
        return parse_udp(c, out);
    if (out->protocol == icmp)
        return parse_icmp(c, out);
    return PACKET_OK;
}

/* As addr_v4(), into an address that is all zero. Stored as the eight bytes in which a key reads it
 * again a moment later: a read that spans two stores has to wait for both (docs/benchmarks.md). */
static inline void put_v4(struct addr *a, const uint8_t *bytes)
{
    uint8_t eight[8] = {0};
    memcpy(eight, bytes, 4);
    memcpy(a->bytes, eight, sizeof eight);
    a->family = ADDR_V4;
}

static enum packet_reason parse_ipv4(struct cursor *c, struct packet *out)
{
    if (c->have < IPV4_LEN)
        return PACKET_SHORT_IP;
    uint32_t header = (uint32_t)(c->at[0] & 0x0f) * 4;
    uint32_t total = read_u16(c->at + 2);
    if (c->at[0] >> 4 != 4 || header < IPV4_LEN || total < header)
        return PACKET_BAD_IP;
    if (total > c->stated || header > c->have)
        return PACKET_SHORT_IP;
    put_v4(&out->src, c->at + 12);
    put_v4(&out->dst, c->at + 16);
    out->protocol = c->at[9];
    out->is_fragment = (read_u16(c->at + 6) & 0x3fff) != 0; /* more fragments, or an offset */
    limit(c, total);
    skip(c, header);
    return parse_transport(c, out, IPPROTO_ICMP);
}

static inline bool is_extension(uint8_t protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
           protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH;
}

/* Bytes of the extension header whose first 8 bytes can be read: never fewer. */
static inline uint32_t extension_len(const uint8_t *at, uint8_t protocol)
{
    if (protocol == IPPROTO_FRAGMENT)
        return 8;
    if (protocol == IPPROTO_AH)
        return ((uint32_t)at[1] + 2) * 4; /* RFC 4302: in words, minus 2 */
    return ((uint32_t)at[1] + 1) * 8;     /* RFC 8200: in units of 8, minus 1 */
}

/* Ends at the first header that is no extension, or behind the header of a true fragment: what
 * follows there need not be the start of anything. */
static enum packet_reason parse_extensions(struct cursor *c, struct packet *out)
{
    for (int n = 0; is_extension(out->protocol); n++) {
        if (n == EXTENSIONS_MAX || c->have < 8)
            return PACKET_SHORT_EXTENSION;
        uint32_t len = extension_len(c->at, out->protocol);
        if (len > c->have)
            return PACKET_SHORT_EXTENSION;
        if (out->protocol == IPPROTO_FRAGMENT)
            out->is_fragment = (read_u16(c->at + 2) & 0xfff9) != 0;
        out->protocol = c->at[0];
        skip(c, len);
        if (out->is_fragment)
            return PACKET_OK;
    }
    return PACKET_OK;
}

static enum packet_reason parse_ipv6(struct cursor *c, struct packet *out)
{
    if (c->have < IPV6_LEN)
        return PACKET_SHORT_IP;
    uint32_t total = IPV6_LEN + read_u16(c->at + 4);
    out->protocol = c->at[6];
    /* Length 0 before hop-by-hop options announces a jumbogram (RFC 2675): no link here carries
     * one. Elsewhere 0 is a packet without payload. */
    if (c->at[0] >> 4 != 6 || (total == IPV6_LEN && out->protocol == IPPROTO_HOPOPTS))
        return PACKET_BAD_IP;
    if (total > c->stated)
        return PACKET_SHORT_IP;
    out->src = addr_v6(c->at + 8);
    out->dst = addr_v6(c->at + 24);
    limit(c, total);
    skip(c, IPV6_LEN);
    enum packet_reason reason = parse_extensions(c, out);
    return reason != PACKET_OK ? reason : parse_transport(c, out, IPPROTO_ICMPV6);
}

enum packet_reason packet_parse(const struct frame *frame, struct packet *out)
{
    uint32_t wire_len = frame->wire_len > frame->len ? frame->wire_len : frame->len;
    struct cursor c = {.at = frame->data, .have = frame->len, .stated = wire_len};
    uint16_t type = 0;

    memset(out, 0, sizeof *out);
    out->frame_len = wire_len;
    enum packet_reason reason = parse_ethernet(&c, out, &type);
    if (reason != PACKET_OK)
        return reason;
    if (type == TYPE_IPV4)
        return parse_ipv4(&c, out);
    if (type == TYPE_IPV6)
        return parse_ipv6(&c, out);
    return PACKET_NOT_IP;
}

#include "tests/support/frames.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, value >> 16);
    put_u16(at + 2, value & 0xffff);
}

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static struct addr addr_of(const char *text)
{
    struct addr a;
    if (addr_parse(text, &a) != 0) {
        fprintf(stderr, "frames: \"%s\" is no address\n", text);
        abort();
    }
    return a;
}

static struct frame_spec spec_between(const char *src, const char *dst, size_t payload_len)
{
    return (struct frame_spec){
        .dst_mac = {2, 0, 0, 0, 0, 1},
        .src_mac = {2, 0, 0, 0, 0, 2},
        .src = addr_of(src),
        .dst = addr_of(dst),
        .ttl = 64,
        .tcp_window = 8192,
        .payload_len = payload_len,
    };
}

static struct frame_spec spec_tcp(const char *src, const char *dst, uint16_t src_port,
                                  uint16_t dst_port, uint32_t seq, uint8_t tcp_flags,
                                  size_t payload_len)
{
    struct frame_spec s = spec_between(src, dst, payload_len);
    s.protocol = IPPROTO_TCP;
    s.src_port = src_port;
    s.dst_port = dst_port;
    s.seq = seq;
    s.ack = tcp_flags & TCP_ACK ? 1 : 0;
    s.tcp_flags = tcp_flags;
    return s;
}

struct frame_spec frame_tcp4(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                             uint32_t seq, uint8_t tcp_flags, size_t payload_len)
{
    return spec_tcp(src, dst, src_port, dst_port, seq, tcp_flags, payload_len);
}

struct frame_spec frame_tcp6(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                             uint32_t seq, uint8_t tcp_flags, size_t payload_len)
{
    return spec_tcp(src, dst, src_port, dst_port, seq, tcp_flags, payload_len);
}

struct frame_spec frame_udp(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                            size_t payload_len)
{
    struct frame_spec s = spec_between(src, dst, payload_len);
    s.protocol = IPPROTO_UDP;
    s.src_port = src_port;
    s.dst_port = dst_port;
    return s;
}

struct frame_spec frame_icmp(const char *src, const char *dst, size_t payload_len)
{
    struct frame_spec s = spec_between(src, dst, payload_len);
    s.protocol = s.src.family == ADDR_V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    return s;
}

size_t frame_ip_at(const struct frame_spec *s)
{
    return 14 + 4 * (size_t)s->vlan_count;
}

size_t frame_transport_at(const struct frame_spec *s)
{
    return frame_ip_at(s) + (s->src.family == ADDR_V4 ? 20 : 40);
}

static size_t transport_len(const struct frame_spec *s)
{
    switch (s->protocol) {
    case IPPROTO_TCP:
        return 20 + (size_t)s->tcp_option_len;
    case IPPROTO_UDP:
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return 8;
    default:
        return 0;
    }
}

static void write_ethernet(const struct frame_spec *s, uint8_t *at)
{
    memcpy(at, s->dst_mac, 6);
    memcpy(at + 6, s->src_mac, 6);
    at += 12;
    for (unsigned i = 0; i < s->vlan_count; i++, at += 4) {
        bool is_inner = i + 1 == s->vlan_count;
        put_u16(at, is_inner ? 0x8100 : 0x88a8);
        put_u16(at + 2, s->vlan[i]);
    }
    put_u16(at, s->src.family == ADDR_V4 ? 0x0800 : 0x86dd);
}

static void write_ip(const struct frame_spec *s, uint8_t *at, size_t above)
{
    if (s->src.family == ADDR_V4) {
        memset(at, 0, 20);
        at[0] = 0x45;
        put_u16(at + 2, (uint32_t)(20 + above));
        at[8] = s->ttl;
        at[9] = s->protocol;
        memcpy(at + 12, s->src.bytes, 4);
        memcpy(at + 16, s->dst.bytes, 4);
        put_u16(at + 10, frame_checksum(at, 20, 0));
        return;
    }
    memset(at, 0, 40);
    at[0] = 0x60;
    put_u16(at + 4, (uint32_t)above);
    at[6] = s->protocol;
    at[7] = s->ttl;
    memcpy(at + 8, s->src.bytes, 16);
    memcpy(at + 24, s->dst.bytes, 16);
}

uint16_t frame_checksum(const uint8_t *data, size_t n, uint32_t sum)
{
    uint64_t total = sum;
    for (size_t i = 0; i + 1 < n; i += 2)
        total += get_u16(data + i);
    if (n % 2 != 0)
        total += (uint64_t)data[n - 1] << 8;
    while (total >> 16 != 0)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)~total;
}

/* Sum of the pseudo header, not folded. ip points at an IP header. */
static uint32_t pseudo_sum(const uint8_t *ip, uint8_t protocol, size_t above)
{
    bool is_v4 = ip[0] >> 4 == 4;
    const uint8_t *addresses = is_v4 ? ip + 12 : ip + 8;
    uint32_t sum = protocol + (uint32_t)above;
    for (int i = 0; i < (is_v4 ? 8 : 32); i += 2)
        sum += get_u16(addresses + i);
    return sum;
}

static void write_transport(const struct frame_spec *s, uint8_t *at, const uint8_t *ip,
                            size_t above)
{
    size_t checksum_at = 0;
    if (s->protocol == IPPROTO_TCP) {
        memset(at, 0, 20);
        put_u32(at + 4, s->seq);
        put_u32(at + 8, s->ack);
        at[12] = (uint8_t)((5 + s->tcp_option_len / 4) << 4);
        at[13] = s->tcp_flags;
        put_u16(at + 14, s->tcp_window);
        memset(at + 20, 1, s->tcp_option_len);
        checksum_at = 16;
    } else if (s->protocol == IPPROTO_UDP) {
        memset(at, 0, 8);
        put_u16(at + 4, (uint32_t)above);
        checksum_at = 6;
    } else if (s->protocol == IPPROTO_ICMP || s->protocol == IPPROTO_ICMPV6) {
        memset(at, 0, 8);
        at[0] = s->protocol == IPPROTO_ICMP ? 8 : 128; /* echo request */
        checksum_at = 2;
    } else {
        return;
    }
    if (s->protocol == IPPROTO_TCP || s->protocol == IPPROTO_UDP) {
        put_u16(at, s->src_port);
        put_u16(at + 2, s->dst_port);
    }
    uint32_t sum = s->protocol == IPPROTO_ICMP ? 0 : pseudo_sum(ip, s->protocol, above);
    uint16_t checksum = frame_checksum(at, above, sum);
    if (s->protocol == IPPROTO_UDP && checksum == 0)
        checksum = 0xffff; /* 0 would say that there is none */
    put_u16(at + checksum_at, checksum);
}

struct frame frame_make(const struct frame_spec *s, uint8_t data[static FRAME_ROOM])
{
    size_t header = transport_len(s);
    size_t above = header + s->payload_len;
    size_t len = frame_transport_at(s) + above;
    if (len > FRAME_ROOM || s->vlan_count > 8 || s->src.family != s->dst.family) {
        fprintf(stderr, "frames: a frame of %zu bytes cannot be made\n", len);
        abort();
    }
    uint8_t *ip = data + frame_ip_at(s), *transport = data + frame_transport_at(s);
    write_ethernet(s, data);
    write_ip(s, ip, above);
    for (size_t i = 0; i < s->payload_len; i++)
        transport[header + i] = s->payload != NULL ? s->payload[i] : (uint8_t)i;
    write_transport(s, transport, ip, above);
    return (struct frame){
        .data = data, .len = (uint32_t)len, .wire_len = (uint32_t)len, .at_ns = s->at_ns};
}

bool frame_checksums_right(const uint8_t *data, size_t len)
{
    size_t ip_at = 14;
    while (ip_at + 4 <= len &&
           (get_u16(data + ip_at - 2) == 0x8100 || get_u16(data + ip_at - 2) == 0x88a8))
        ip_at += 4;
    if (len < ip_at + 20 || (data[ip_at] >> 4 != 4 && len < ip_at + 40))
        return false;
    const uint8_t *ip = data + ip_at;
    bool is_v4 = ip[0] >> 4 == 4;
    size_t header = is_v4 ? (size_t)(ip[0] & 15) * 4 : 40;
    size_t total = is_v4 ? get_u16(ip + 2) : 40u + get_u16(ip + 4);
    uint8_t protocol = is_v4 ? ip[9] : ip[6];
    if (total < header || ip_at + total > len)
        return false;
    if (is_v4 && frame_checksum(ip, header, 0) != 0)
        return false;
    uint32_t sum = protocol == IPPROTO_ICMP ? 0 : pseudo_sum(ip, protocol, total - header);
    return frame_checksum(ip + header, total - header, sum) == 0;
}

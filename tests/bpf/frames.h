/* Frames for tests, written header by header:
 *
 *     struct bytes f = {0};
 *     put_ethernet(&f, 0x8100); put_vlan(&f, 101, 0x0800);
 *     put_ipv4(&f, "192.0.2.1", "198.51.100.1", 6, 20); put_tcp(&f, 1234, 80, TCP_SYN);
 *
 * Lengths are arguments, so that a test can state a wrong one. */
#pragma once

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10
#define FLAG_URG 0x20

struct bytes {
    uint8_t data[3600]; /* more than the longest that one page of a NIC's ring holds */
    size_t len;
};

static inline void put(struct bytes *f, const void *data, size_t n)
{
    if (f->len + n > sizeof f->data)
        abort();
    memcpy(f->data + f->len, data, n);
    f->len += n;
}

static inline void put_u8(struct bytes *f, unsigned v)
{
    put(f, &(uint8_t){(uint8_t)v}, 1);
}

static inline void put_u16(struct bytes *f, unsigned v)
{
    put_u8(f, v >> 8);
    put_u8(f, v & 255);
}

static inline void put_u32(struct bytes *f, uint32_t v)
{
    put_u16(f, v >> 16);
    put_u16(f, v & 0xffff);
}

static inline void put_zero(struct bytes *f, size_t n)
{
    while (n-- > 0)
        put_u8(f, 0);
}

/* From 02:00:00:00:00:<mac>. */
static inline void put_ethernet_from(struct bytes *f, unsigned mac, unsigned type)
{
    put(f, "\x02\x00\x00\x00\x00\xee", 6);
    put(f, "\x02\x00\x00\x00\x00", 5);
    put_u8(f, mac);
    put_u16(f, type);
}

static inline void put_ethernet(struct bytes *f, unsigned type)
{
    put_ethernet_from(f, 1, type);
}

static inline void put_vlan(struct bytes *f, unsigned id, unsigned next)
{
    put_u16(f, id);
    put_u16(f, next);
}

/* fragment: the flags and offset field. */
static inline void put_ipv4_fragment(struct bytes *f, const char *src, const char *dst,
                                     unsigned protocol, unsigned payload, unsigned fragment)
{
    uint32_t addr;
    put_u16(f, 0x4500);
    put_u16(f, 20 + payload);
    put_u16(f, 7);
    put_u16(f, fragment);
    put_u8(f, 64);
    put_u8(f, protocol);
    put_u16(f, 0);
    inet_pton(AF_INET, src, &addr);
    put(f, &addr, 4);
    inet_pton(AF_INET, dst, &addr);
    put(f, &addr, 4);
}

static inline void put_ipv4(struct bytes *f, const char *src, const char *dst, unsigned protocol,
                            unsigned payload)
{
    put_ipv4_fragment(f, src, dst, protocol, payload, 0x4000);
}

static inline void put_ipv6(struct bytes *f, const char *src, const char *dst, unsigned next,
                            unsigned payload)
{
    uint8_t addr[16];
    put_u32(f, 0x60000000);
    put_u16(f, payload);
    put_u8(f, next);
    put_u8(f, 64);
    inet_pton(AF_INET6, src, addr);
    put(f, addr, 16);
    inet_pton(AF_INET6, dst, addr);
    put(f, addr, 16);
}

static inline void put_tcp(struct bytes *f, unsigned src_port, unsigned dst_port, unsigned flags)
{
    put_u16(f, src_port);
    put_u16(f, dst_port);
    put_u32(f, 0x11223344);
    put_u32(f, 0);
    put_u8(f, 5 << 4);
    put_u8(f, flags);
    put_u16(f, 4096);
    put_u32(f, 0);
}

static inline void put_udp(struct bytes *f, unsigned src_port, unsigned dst_port, unsigned payload)
{
    put_u16(f, src_port);
    put_u16(f, dst_port);
    put_u16(f, 8 + payload);
    put_u16(f, 0);
    put_zero(f, payload);
}

/* 8 bytes: type, code 0, no checksum, identifier 7, sequence 1. */
static inline void put_icmp(struct bytes *f, unsigned type)
{
    put_u16(f, type << 8);
    put_u16(f, 0);
    put_u16(f, 7);
    put_u16(f, 1);
}

static inline struct bytes tcp4(const char *src, unsigned src_port, unsigned dst_port,
                                unsigned flags)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x0800);
    put_ipv4(&f, src, "198.51.100.1", 6, 20);
    put_tcp(&f, src_port, dst_port, flags);
    return f;
}

static inline struct bytes tcp6(const char *src, unsigned src_port, unsigned dst_port,
                                unsigned flags)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, src, "2001:db8:ff::1", 6, 20);
    put_tcp(&f, src_port, dst_port, flags);
    return f;
}

static inline struct bytes udp4(const char *src, unsigned src_port, unsigned dst_port)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x0800);
    put_ipv4(&f, src, "198.51.100.1", 17, 8 + 12);
    put_udp(&f, src_port, dst_port, 12);
    return f;
}

static inline struct bytes udp6(const char *src, unsigned src_port, unsigned dst_port)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, src, "2001:db8:ff::1", 17, 8 + 12);
    put_udp(&f, src_port, dst_port, 12);
    return f;
}

static inline struct bytes icmp4(const char *src, unsigned type)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x0800);
    put_ipv4(&f, src, "198.51.100.1", 1, 8);
    put_icmp(&f, type);
    return f;
}

static inline struct bytes icmp6(const char *src, unsigned type)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, src, "2001:db8:ff::1", 58, 8);
    put_icmp(&f, type);
    return f;
}

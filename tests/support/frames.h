/* Frames for tests: made by hand, byte by byte, with right lengths and checksums, independently of
 * the code under test.
 *
 *     uint8_t data[FRAME_ROOM];
 *     struct frame_spec s = frame_tcp4("198.51.100.1", "192.0.2.1", 4000, 80, 1000, TCP_ACK, 100);
 *     s.vlan[0] = 101, s.vlan_count = 1;
 *     struct frame f = frame_make(&s, data);
 *
 * A test that wants a broken frame breaks a good one afterwards, at the offsets given below. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sensor/packet/frame.h"
#include "sensor/packet/packet.h"

#define FRAME_ROOM 4096 /* bytes that frame_make may write */

struct frame_spec {
    uint8_t dst_mac[6], src_mac[6];
    unsigned vlan_count; /* 0..8: more than the parser takes, on purpose */
    uint16_t vlan[8];    /* tag control, outermost first: the low 12 bits are the VLAN id */
    struct addr src, dst;
    uint8_t protocol;  /* IPPROTO_TCP, _UDP, _ICMP, _ICMPV6; else the payload stands bare */
    uint8_t ttl;       /* hop limit */
    uint8_t tcp_flags; /* TCP only, as the four following */
    uint32_t seq, ack;
    uint16_t tcp_window;
    uint8_t tcp_option_len; /* 0..40, a multiple of 4, filled with NOPs */
    uint16_t src_port, dst_port;
    const uint8_t *payload; /* NULL: bytes 0, 1, 2, … */
    size_t payload_len;
    uint64_t at_ns;
};

/* Specs with sensible other fields. Addresses as text; a bad one aborts the test. */
struct frame_spec frame_tcp4(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                             uint32_t seq, uint8_t tcp_flags, size_t payload_len);
struct frame_spec frame_tcp6(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                             uint32_t seq, uint8_t tcp_flags, size_t payload_len);
/* The family follows the addresses. */
struct frame_spec frame_udp(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port,
                            size_t payload_len);
struct frame_spec frame_icmp(const char *src, const char *dst, size_t payload_len);

/* Writes the frame to data and returns a view of it: len and wire_len are what was written. */
struct frame frame_make(const struct frame_spec *s, uint8_t data[static FRAME_ROOM]);

/* Where things stand in the frame that frame_make writes. */
size_t frame_ip_at(const struct frame_spec *s);
size_t frame_transport_at(const struct frame_spec *s);

/* The Internet checksum over n bytes on top of sum; 0 over data that contains a right one. */
uint16_t frame_checksum(const uint8_t *data, size_t n, uint32_t sum);

/* Does the frame, parsed here and not by packet_parse, carry right IPv4, TCP, UDP and ICMP
 * checksums? Only for unfragmented packets without IPv6 extension headers. */
bool frame_checksums_right(const uint8_t *data, size_t len);

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "tests/support/frames.h"

static const char *const v4_src = "198.51.100.7", *const v4_dst = "192.0.2.1";
static const char *const v6_src = "2001:db8:1::7", *const v6_dst = "2001:db8:2::1";

/* Parses an exact copy on the heap, so that a sanitizer or valgrind sees a read past its end. */
static enum packet_reason parse(struct frame f, struct packet *out)
{
    uint8_t *copy = malloc(f.len > 0 ? f.len : 1);
    assert_non_null(copy);
    memcpy(copy, f.data, f.len);
    f.data = copy;
    memset(out, 0xa5, sizeof *out); /* whatever parse leaves alone would show */
    enum packet_reason reason = packet_parse(&f, out);
    free(copy);
    return reason;
}

static enum packet_reason parse_spec(const struct frame_spec *s, struct packet *out)
{
    uint8_t data[FRAME_ROOM];
    return parse(frame_make(s, data), out);
}

static struct frame_spec tcp4(size_t payload_len)
{
    return frame_tcp4(v4_src, v4_dst, 40000, 443, 0xfffffff0, TCP_ACK | TCP_PSH, payload_len);
}

static struct frame_spec tcp6(size_t payload_len)
{
    return frame_tcp6(v6_src, v6_dst, 40000, 443, 0xfffffff0, TCP_ACK | TCP_PSH, payload_len);
}

static void assert_addr(const struct addr *a, const char *text)
{
    char got[ADDR_TEXT];
    assert_string_equal(addr_format(a, got), text);
}

static void put_u16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A frame without tags: Ethernet, IPv6 and, at 54, the extension headers given, then TCP without
 * payload. The first extension is of type first. */
static struct frame frame_extended(uint8_t first, const uint8_t *extensions, size_t n,
                                   uint8_t data[static FRAME_ROOM])
{
    struct frame_spec s = tcp6(0);
    struct frame f = frame_make(&s, data);
    memmove(data + 54 + n, data + 54, 20);
    memcpy(data + 54, extensions, n);
    data[14 + 6] = first;
    put_u16(data + 14 + 4, (unsigned)(20 + n));
    f.len += (uint32_t)n;
    f.wire_len = f.len;
    return f;
}

static void ipv4_tcp_gives_every_field(void **state)
{
    (void)state;
    struct frame_spec s = tcp4(100);
    s.ack = 0x01020304;
    s.tcp_window = 513;
    struct packet p;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_addr(&p.src, v4_src);
    assert_addr(&p.dst, v4_dst);
    assert_int_equal(p.protocol, IPPROTO_TCP);
    assert_int_equal(p.tcp_flags, TCP_ACK | TCP_PSH);
    assert_false(p.is_fragment);
    assert_memory_equal(p.src_mac, ((uint8_t[]){2, 0, 0, 0, 0, 2}), 6);
    assert_int_equal(p.vlan, 0);
    assert_int_equal(p.ingress, 0);
    assert_int_equal(p.src_port, 40000);
    assert_int_equal(p.dst_port, 443);
    assert_int_equal(p.seq, 0xfffffff0);
    assert_int_equal(p.ack, 0x01020304);
    assert_int_equal(p.tcp_window, 513);
    assert_int_equal(p.payload_len, 100);
    assert_int_equal(p.frame_len, 14 + 20 + 20 + 100);
}

static void ipv6_tcp_gives_every_field(void **state)
{
    (void)state;
    struct frame_spec s = tcp6(33);
    struct packet p;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_addr(&p.src, v6_src);
    assert_addr(&p.dst, v6_dst);
    assert_int_equal(p.protocol, IPPROTO_TCP);
    assert_int_equal(p.src_port, 40000);
    assert_int_equal(p.seq, 0xfffffff0);
    assert_int_equal(p.payload_len, 33);
    assert_int_equal(p.frame_len, 14 + 40 + 20 + 33);
}

static void ethernet_padding_is_not_payload(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM] = {0};
    struct frame_spec s = tcp4(0);
    struct frame f = frame_make(&s, data);
    f.len = f.wire_len = 60;
    struct packet p;
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 0);
    assert_int_equal(p.frame_len, 60);
}

static void padding_cannot_complete_a_tcp_header(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct frame_spec s = tcp4(20);
    struct frame f = frame_make(&s, data);
    put_u16(data + 14 + 2, 20 + 19);
    struct packet p;
    assert_int_equal(parse(f, &p), PACKET_SHORT_TRANSPORT);
}

static void options_move_the_payload(void **state)
{
    (void)state;
    struct frame_spec s = tcp4(10);
    s.tcp_option_len = 40;
    struct packet p;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 10);

    uint8_t data[FRAME_ROOM];
    s = tcp4(10);
    struct frame f = frame_make(&s, data);
    memmove(data + 34 + 40, data + 34, 30); /* 40 bytes of IPv4 options: the longest header */
    memset(data + 34, 1, 40);
    data[14] = 0x4f;
    put_u16(data + 16, 90);
    f.len = f.wire_len = 14 + 90;
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.dst_port, 443);
    assert_int_equal(p.payload_len, 10);
}

static void ecn_bits_do_not_hide_a_syn(void **state)
{
    (void)state;
    struct frame_spec s = tcp4(0);
    s.tcp_flags = TCP_SYN | 0xc0;
    struct packet p;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.tcp_flags, TCP_SYN);
}

static void frame_shorter_than_its_ip_length_is_refused(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec specs[] = {tcp4(100), tcp6(100)};
    for (int i = 0; i < 2; i++) {
        struct frame f = frame_make(&specs[i], data);
        f.len = f.wire_len = f.len - 1;
        assert_int_equal(parse(f, &p), PACKET_SHORT_IP);
    }
}

static void cut_capture_keeps_the_payload_length_of_the_wire(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec specs[] = {tcp4(1000), tcp6(1000)};
    for (int i = 0; i < 2; i++) {
        struct frame f = frame_make(&specs[i], data);
        f.len = 96;
        assert_int_equal(parse(f, &p), PACKET_OK);
        assert_int_equal(p.payload_len, 1000);
        assert_int_equal(p.frame_len, f.wire_len);
        f.wire_len--; /* even the wire had less than IP states */
        assert_int_equal(parse(f, &p), PACKET_SHORT_IP);
    }
}

static void cut_capture_without_its_headers_is_refused(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(1000);
    s.tcp_option_len = 12;
    struct frame f = frame_make(&s, data);
    f.len = 14 + 20 + 32;
    assert_int_equal(parse(f, &p), PACKET_OK);
    f.len--;
    assert_int_equal(parse(f, &p), PACKET_SHORT_TRANSPORT);
    f.len = 14 + 20 + 19;
    assert_int_equal(parse(f, &p), PACKET_SHORT_TRANSPORT);
    data[14] = 0x4f; /* 60 bytes of IPv4 header, of which the capture has 59 */
    f.len = 14 + 59;
    assert_int_equal(parse(f, &p), PACKET_SHORT_IP);
    f.len = 14 + 19;
    assert_int_equal(parse(f, &p), PACKET_SHORT_IP);
    f.len = 13;
    assert_int_equal(parse(f, &p), PACKET_SHORT_ETHERNET);
}

static void wire_length_not_given_means_the_frame_length(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(10);
    struct frame f = frame_make(&s, data);
    f.wire_len = 0;
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.frame_len, f.len);
    assert_int_equal(p.payload_len, 10);
}

static void outermost_vlan_is_kept(void **state)
{
    (void)state;
    struct packet p;
    struct frame_spec s = tcp4(5);
    s.vlan_count = 1;
    s.vlan[0] = 0xe000 | 101; /* priority 7 is not part of the id */
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.vlan, 101);
    assert_int_equal(p.payload_len, 5);
    assert_int_equal(p.frame_len, 14 + 4 + 45);

    s.vlan_count = 4;
    for (int i = 1; i < 4; i++)
        s.vlan[i] = (uint16_t)(200 + i);
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.vlan, 101);
    assert_int_equal(p.dst_port, 443);

    s = tcp6(5);
    s.vlan_count = 2;
    s.vlan[0] = 4094;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.vlan, 4094);
    assert_int_equal(p.payload_len, 5);
}

static void priority_tag_is_no_vlan(void **state)
{
    (void)state;
    struct packet p;
    struct frame_spec s = tcp4(5);
    s.vlan_count = 1;
    s.vlan[0] = 0xa000;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.vlan, 0);
}

static void fifth_tag_is_not_ip(void **state)
{
    (void)state;
    struct packet p;
    struct frame_spec s = tcp4(5);
    s.vlan_count = 5;
    assert_int_equal(parse_spec(&s, &p), PACKET_NOT_IP);
}

static void cut_tag_is_a_short_ethernet(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(5);
    s.vlan_count = 2;
    struct frame f = frame_make(&s, data);
    f.len = 14 + 4 + 3;
    assert_int_equal(parse(f, &p), PACKET_SHORT_ETHERNET);
    f.len = 0;
    assert_int_equal(parse(f, &p), PACKET_SHORT_ETHERNET);
}

static void other_ethertypes_are_not_ip(void **state)
{
    (void)state;
    static const uint16_t types[] = {0x0806, 0x88cc, 0x8847, 0x0026, 0x0000, 0xffff};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(5);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct frame f = frame_make(&s, data);
        put_u16(data + 12, types[i]);
        assert_int_equal(parse(f, &p), PACKET_NOT_IP);
        assert_memory_equal(p.src_mac, data + 6, 6);
    }
}

static void impossible_ipv4_headers_are_refused(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(5);
    struct frame f = frame_make(&s, data);
    data[14] = 0x65; /* version 6 under IPv4's type */
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
    data[14] = 0x44; /* 16 bytes of header */
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
    data[14] = 0x46; /* total length below the header's */
    put_u16(data + 16, 23);
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
    put_u16(data + 16, 0);
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
}

static void impossible_ipv6_headers_are_refused(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp6(5);
    struct frame f = frame_make(&s, data);
    data[14] = 0x45;
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
    f = frame_make(&s, data);
    f.len = f.wire_len = 14 + 39;
    assert_int_equal(parse(f, &p), PACKET_SHORT_IP);
}

static void jumbogram_is_refused(void **state)
{
    (void)state;
    static const uint8_t jumbo[8] = {IPPROTO_TCP, 0, 0xc2, 4, 0, 1, 0, 0};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame f = frame_extended(IPPROTO_HOPOPTS, jumbo, sizeof jumbo, data);
    assert_int_equal(parse(f, &p), PACKET_OK);
    put_u16(data + 18, 0);
    assert_int_equal(parse(f, &p), PACKET_BAD_IP);
}

static void ipv6_without_payload_is_whole(void **state)
{
    (void)state;
    struct packet p;
    struct frame_spec s = tcp6(0);
    s.protocol = IPPROTO_NONE;
    assert_int_equal(parse_spec(&s, &p), PACKET_OK);
    assert_int_equal(p.protocol, IPPROTO_NONE);
    assert_int_equal(p.payload_len, 0);
}

static void every_ipv4_fragment_keeps_addresses_and_has_no_ports(void **state)
{
    (void)state;
    static const uint16_t fields[] = {0x2000, 0x2001, 0x0001, 0x1fff};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(100);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct frame f = frame_make(&s, data);
        put_u16(data + 20, fields[i]);
        assert_int_equal(parse(f, &p), PACKET_OK);
        assert_true(p.is_fragment);
        assert_addr(&p.src, v4_src);
        assert_int_equal(p.protocol, IPPROTO_TCP);
        assert_int_equal(p.src_port | p.dst_port | p.tcp_flags, 0);
        assert_int_equal(p.seq | p.ack | p.tcp_window, 0);
        assert_int_equal(p.payload_len, 120);
    }
    struct frame f = frame_make(&s, data);
    put_u16(data + 20, 0x4000); /* don't fragment */
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_false(p.is_fragment);
    assert_int_equal(p.dst_port, 443);
}

static void short_last_fragment_is_no_malformed_tcp(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(0);
    struct frame f = frame_make(&s, data);
    put_u16(data + 16, 20 + 3);
    put_u16(data + 20, 0x0010);
    f.len = f.wire_len = 60;
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 3);
}

static void every_ipv6_fragment_keeps_addresses_and_has_no_ports(void **state)
{
    (void)state;
    static const uint16_t fields[] = {0x0001, 0x0008, 0xfff8, 0xfff9};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint8_t header[8] = {IPPROTO_TCP, 0};
        put_u16(header + 2, fields[i]);
        struct frame f = frame_extended(IPPROTO_FRAGMENT, header, sizeof header, data);
        assert_int_equal(parse(f, &p), PACKET_OK);
        assert_true(p.is_fragment);
        assert_addr(&p.dst, v6_dst);
        assert_int_equal(p.protocol, IPPROTO_TCP);
        assert_int_equal(p.src_port | p.dst_port | p.tcp_flags, 0);
        assert_int_equal(p.payload_len, 20);
    }
}

static void whole_packet_with_a_fragment_header_is_no_fragment(void **state)
{
    (void)state;
    /* the second byte is reserved and no length; of the field's low bits, two are reserved */
    static const uint8_t header[8] = {IPPROTO_TCP, 0xff, 0x00, 0x06, 1, 2, 3, 4};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame f = frame_extended(IPPROTO_FRAGMENT, header, sizeof header, data);
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_false(p.is_fragment);
    assert_int_equal(p.dst_port, 443);
    assert_int_equal(p.payload_len, 0);
}

static void extension_headers_are_walked(void **state)
{
    (void)state;
    static const uint8_t chain[] = {
        IPPROTO_DSTOPTS,
        0,
        1,
        4,
        0,
        0,
        0,
        0, /* hop-by-hop, 8 bytes */
        IPPROTO_ROUTING,
        1,
        1,
        12,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0, /* destination, 16 */
        IPPROTO_FRAGMENT,
        0,
        0,
        0,
        0,
        0,
        0,
        0, /* routing, 8 */
        IPPROTO_AH,
        0,
        0,
        0,
        0,
        0,
        0,
        1, /* atomic fragment */
        IPPROTO_TCP,
        4,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0, /* AH: (4 + 2) words */
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    };
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame f = frame_extended(IPPROTO_HOPOPTS, chain, sizeof chain, data);
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.protocol, IPPROTO_TCP);
    assert_int_equal(p.src_port, 40000);
    assert_int_equal(p.dst_port, 443);
    assert_int_equal(p.payload_len, 0);
}

static void extension_chain_is_bounded(void **state)
{
    (void)state;
    uint8_t chain[9 * 8] = {0}, data[FRAME_ROOM];
    struct packet p;
    for (size_t n = 1; n <= 9; n++) {
        for (size_t i = 0; i < n; i++)
            chain[8 * i] = i + 1 < n ? IPPROTO_DSTOPTS : IPPROTO_TCP;
        struct frame f = frame_extended(IPPROTO_DSTOPTS, chain, 8 * n, data);
        assert_int_equal(parse(f, &p), n <= 8 ? PACKET_OK : PACKET_SHORT_EXTENSION);
    }
}

static void extension_that_ends_too_early_is_refused(void **state)
{
    (void)state;
    static const uint8_t header[8] = {IPPROTO_TCP, 0};
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame f = frame_extended(IPPROTO_DSTOPTS, header, sizeof header, data);
    data[55] = 3; /* 32 bytes of 28 */
    assert_int_equal(parse(f, &p), PACKET_SHORT_EXTENSION);
    put_u16(data + 18, 7); /* IP ends within the header; what follows is padding */
    data[55] = 0;
    assert_int_equal(parse(f, &p), PACKET_SHORT_EXTENSION);
    f = frame_extended(IPPROTO_AH, header, sizeof header, data);
    data[55] = 255;
    assert_int_equal(parse(f, &p), PACKET_SHORT_EXTENSION);
}

static void impossible_tcp_offsets_are_refused(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = tcp4(8);
    struct frame f = frame_make(&s, data);
    data[34 + 12] = 0x40;
    assert_int_equal(parse(f, &p), PACKET_BAD_TCP);
    data[34 + 12] = 0x00;
    assert_int_equal(parse(f, &p), PACKET_BAD_TCP);
    data[34 + 12] = 0x80; /* 32 bytes of 28 */
    assert_int_equal(parse(f, &p), PACKET_BAD_TCP);
    data[34 + 12] = 0x70; /* all 28 are header */
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 0);
    assert_int_equal(p.src_port, 40000);
}

static void udp_payload_follows_its_own_length(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct packet p;
    struct frame_spec s = frame_udp(v4_src, v4_dst, 53, 5353, 30);
    struct frame f = frame_make(&s, data);
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.protocol, IPPROTO_UDP);
    assert_int_equal(p.src_port, 53);
    assert_int_equal(p.dst_port, 5353);
    assert_int_equal(p.payload_len, 30);
    put_u16(data + 38, 8 + 12); /* shorter than IP's: allowed (UDP options stand behind it) */
    assert_int_equal(parse(f, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 12);
    put_u16(data + 38, 7);
    assert_int_equal(parse(f, &p), PACKET_BAD_UDP);
    put_u16(data + 38, 39);
    assert_int_equal(parse(f, &p), PACKET_BAD_UDP);
    put_u16(data + 16, 27);
    assert_int_equal(parse(f, &p), PACKET_SHORT_TRANSPORT);
}

static void icmp_belongs_to_its_ip_version(void **state)
{
    (void)state;
    struct packet p;
    struct frame_spec four = frame_icmp(v4_src, v4_dst, 20), six = frame_icmp(v6_src, v6_dst, 20);
    assert_int_equal(parse_spec(&four, &p), PACKET_OK);
    assert_int_equal(p.protocol, IPPROTO_ICMP);
    assert_int_equal(p.payload_len, 20);
    assert_int_equal(parse_spec(&six, &p), PACKET_OK);
    assert_int_equal(p.protocol, IPPROTO_ICMPV6);
    assert_int_equal(p.payload_len, 20);

    six.protocol = IPPROTO_ICMP;
    assert_int_equal(parse_spec(&six, &p), PACKET_OK);
    assert_int_equal(p.payload_len, 28); /* just some protocol */

    uint8_t data[FRAME_ROOM];
    struct frame f = frame_make(&four, data);
    put_u16(data + 16, 20 + 7);
    assert_int_equal(parse(f, &p), PACKET_SHORT_TRANSPORT);
}

static void other_protocols_keep_their_addresses(void **state)
{
    (void)state;
    static const uint8_t protocols[] = {IPPROTO_ESP, IPPROTO_GRE, IPPROTO_SCTP, IPPROTO_IPIP, 255};
    struct packet p;
    for (size_t i = 0; i < sizeof protocols; i++) {
        struct frame_spec specs[] = {tcp4(3), tcp6(3)};
        for (int v = 0; v < 2; v++) {
            specs[v].protocol = protocols[i];
            assert_int_equal(parse_spec(&specs[v], &p), PACKET_OK);
            assert_int_equal(p.protocol, protocols[i]);
            assert_true(addr_equal(&p.src, &specs[v].src));
            assert_true(addr_equal(&p.dst, &specs[v].dst));
            assert_int_equal(p.src_port | p.dst_port, 0);
            assert_int_equal(p.payload_len, 3);
        }
    }
}

static void no_prefix_of_a_frame_is_read_past_its_end(void **state)
{
    (void)state;
    static const uint8_t chain[16] = {IPPROTO_DSTOPTS, 0, 0, 0, 0, 0, 0, 0, IPPROTO_TCP};
    uint8_t data[FRAME_ROOM];
    struct frame_spec specs[] = {tcp4(9), tcp6(9), frame_udp(v6_src, v6_dst, 1, 2, 9),
                                 frame_icmp(v4_src, v4_dst, 9)};
    for (int i = 0; i < 5; i++) {
        specs[i % 4].vlan_count = 2;
        struct frame f = i < 4 ? frame_make(&specs[i], data)
                               : frame_extended(IPPROTO_HOPOPTS, chain, sizeof chain, data);
        struct packet p;
        for (uint32_t len = 0; len < f.wire_len; len++) {
            struct frame cut = {.data = data, .len = len, .wire_len = f.wire_len};
            parse(cut, &p); /* the exact copy makes a wrong read visible */
            cut.wire_len = len;
            assert_int_not_equal(parse(cut, &p), PACKET_OK);
        }
        assert_int_equal(parse(f, &p), PACKET_OK);
    }
}

static void made_frames_have_right_checksums(void **state)
{
    (void)state;
    uint8_t data[FRAME_ROOM];
    struct frame_spec specs[] = {tcp4(11), tcp6(12), frame_udp(v6_src, v6_dst, 1, 2, 9),
                                 frame_icmp(v6_src, v6_dst, 9), frame_icmp(v4_src, v4_dst, 9)};
    for (int i = 0; i < 5; i++) {
        specs[i].vlan_count = (unsigned)i % 3;
        struct frame f = frame_make(&specs[i], data);
        assert_true(frame_checksums_right(f.data, f.len));
        data[f.len - 1] ^= 1;
        assert_false(frame_checksums_right(f.data, f.len));
    }
    /* RFC 1071's own example, so that the helper is not only checked against itself */
    static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(frame_checksum(example, sizeof example, 0), (uint16_t)~0xddf2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_tcp_gives_every_field),
        cmocka_unit_test(ipv6_tcp_gives_every_field),
        cmocka_unit_test(ethernet_padding_is_not_payload),
        cmocka_unit_test(padding_cannot_complete_a_tcp_header),
        cmocka_unit_test(options_move_the_payload),
        cmocka_unit_test(ecn_bits_do_not_hide_a_syn),
        cmocka_unit_test(frame_shorter_than_its_ip_length_is_refused),
        cmocka_unit_test(cut_capture_keeps_the_payload_length_of_the_wire),
        cmocka_unit_test(cut_capture_without_its_headers_is_refused),
        cmocka_unit_test(wire_length_not_given_means_the_frame_length),
        cmocka_unit_test(outermost_vlan_is_kept),
        cmocka_unit_test(priority_tag_is_no_vlan),
        cmocka_unit_test(fifth_tag_is_not_ip),
        cmocka_unit_test(cut_tag_is_a_short_ethernet),
        cmocka_unit_test(other_ethertypes_are_not_ip),
        cmocka_unit_test(impossible_ipv4_headers_are_refused),
        cmocka_unit_test(impossible_ipv6_headers_are_refused),
        cmocka_unit_test(jumbogram_is_refused),
        cmocka_unit_test(ipv6_without_payload_is_whole),
        cmocka_unit_test(every_ipv4_fragment_keeps_addresses_and_has_no_ports),
        cmocka_unit_test(short_last_fragment_is_no_malformed_tcp),
        cmocka_unit_test(every_ipv6_fragment_keeps_addresses_and_has_no_ports),
        cmocka_unit_test(whole_packet_with_a_fragment_header_is_no_fragment),
        cmocka_unit_test(extension_headers_are_walked),
        cmocka_unit_test(extension_chain_is_bounded),
        cmocka_unit_test(extension_that_ends_too_early_is_refused),
        cmocka_unit_test(impossible_tcp_offsets_are_refused),
        cmocka_unit_test(udp_payload_follows_its_own_length),
        cmocka_unit_test(icmp_belongs_to_its_ip_version),
        cmocka_unit_test(other_protocols_keep_their_addresses),
        cmocka_unit_test(no_prefix_of_a_frame_is_read_past_its_end),
        cmocka_unit_test(made_frames_have_right_checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

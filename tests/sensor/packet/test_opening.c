/* What an opening is, and when a UDP flow is one again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "sensor/packet/opening.h"
#include "shared/base/clock.h"

#define START (1000 * NS_PER_S)

static struct openings *table;

static struct packet packet(const char *src, uint8_t protocol)
{
    struct packet p = {.protocol = protocol, .src_port = 4000, .dst_port = 53};
    assert_int_equal(addr_parse(src, &p.src), 0);
    assert_int_equal(addr_parse(p.src.family == ADDR_V4 ? "192.0.2.1" : "2001:db8::1", &p.dst), 0);
    return p;
}

static enum opening tcp(uint8_t flags)
{
    struct packet p = packet("203.0.113.7", IPPROTO_TCP);
    p.tcp_flags = flags;
    return packet_opening(&p);
}

static enum opening icmp(const char *src, uint8_t protocol, uint8_t type)
{
    struct packet p = packet(src, protocol);
    p.icmp_type = type;
    return packet_opening(&p);
}

static enum opening udp(unsigned flow, uint64_t now)
{
    struct packet p = packet("203.0.113.7", IPPROTO_UDP);
    p.src_port = (uint16_t)flow;
    p.dst_port = (uint16_t)(flow >> 16);
    return openings_find(table, &p, now);
}

static void the_flags_say_which_kind_a_segment_is(void **state)
{
    (void)state;
    assert_int_equal(tcp(TCP_SYN), OPENING_SYN);
    assert_int_equal(tcp(TCP_SYN | TCP_FIN | TCP_URG), OPENING_SYN);
    assert_int_equal(tcp(TCP_FIN), OPENING_FIN);
    assert_int_equal(tcp(TCP_FIN | TCP_PSH), OPENING_FIN);
    assert_int_equal(tcp(0), OPENING_NULL);
    assert_int_equal(tcp(TCP_FIN | TCP_PSH | TCP_URG), OPENING_XMAS);
    assert_int_equal(tcp(TCP_SYN | TCP_ACK), OPENING_NONE);
    assert_int_equal(tcp(TCP_FIN | TCP_ACK), OPENING_NONE);
    assert_int_equal(tcp(TCP_FIN | TCP_RST), OPENING_NONE);
    assert_int_equal(tcp(TCP_ACK), OPENING_NONE);
    assert_int_equal(tcp(TCP_RST), OPENING_NONE);
    assert_int_equal(tcp(TCP_PSH | TCP_URG), OPENING_NONE);
}

static void requests_of_the_icmp_of_their_family_are_openings(void **state)
{
    (void)state;
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMP, 8), OPENING_ICMP);
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMP, 13), OPENING_ICMP);
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMP, 17), OPENING_ICMP);
    assert_int_equal(icmp("2001:db8::7", IPPROTO_ICMPV6, 128), OPENING_ICMP);
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMP, 0), OPENING_NONE);
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMP, 128), OPENING_NONE);
    assert_int_equal(icmp("2001:db8::7", IPPROTO_ICMPV6, 8), OPENING_NONE);
    assert_int_equal(icmp("203.0.113.7", IPPROTO_ICMPV6, 128), OPENING_NONE);
    assert_int_equal(icmp("2001:db8::7", IPPROTO_ICMP, 8), OPENING_NONE);
}

static void a_fragment_is_no_opening(void **state)
{
    (void)state;
    struct packet p = packet("203.0.113.7", IPPROTO_TCP);
    p.is_fragment = true; /* no flags in reach: that must not look like NULL */
    assert_int_equal(packet_opening(&p), OPENING_NONE);
    p.protocol = IPPROTO_UDP;
    assert_int_equal(packet_opening(&p), OPENING_NONE);
}

static void a_steady_udp_flow_is_one_opening_a_minute(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t now = START; now < START + 600 * NS_PER_S; now += NS_PER_S / 10)
        found += udp(1, now) == OPENING_UDP;
    assert_in_range(found, 9, 10);
}

static void each_new_udp_flow_is_an_opening_at_once(void **state)
{
    (void)state;
    for (unsigned flow = 1; flow <= 20000; flow++)
        assert_int_equal(udp(flow, START), OPENING_UDP);
    unsigned again = 0;
    for (unsigned flow = 1; flow <= 20000; flow++)
        again += udp(flow, START + 10 * NS_PER_S) == OPENING_UDP;
    assert_in_range(again, 0, 200); /* whose bucket was full: one in a hundred at most */
}

static void more_flows_than_the_table_holds_are_reported_more_often_and_never_less(void **state)
{
    (void)state;
    unsigned again = 0;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned flow = 1; flow <= 300000; flow++)
            again += udp(flow, START + round) == OPENING_UDP;
    assert_in_range(again, 500000, 600000);
    assert_int_equal(udp(300000, START), OPENING_NONE); /* the newest stay */
}

static void addresses_and_ports_make_the_flow(void **state)
{
    (void)state;
    struct packet a = packet("203.0.113.7", IPPROTO_UDP), b = packet("203.0.113.8", IPPROTO_UDP);
    struct packet c = packet("2001:db8::7", IPPROTO_UDP), d = a;
    d.dst.bytes[3] ^= 1;
    assert_int_equal(openings_find(table, &a, START), OPENING_UDP);
    assert_int_equal(openings_find(table, &b, START), OPENING_UDP);
    assert_int_equal(openings_find(table, &c, START), OPENING_UDP);
    assert_int_equal(openings_find(table, &d, START), OPENING_UDP);
    assert_int_equal(openings_find(table, &a, START), OPENING_NONE);
}

static int up(void **state)
{
    (void)state;
    return openings_new(7, &table);
}

static int down(void **state)
{
    (void)state;
    openings_free(table);
    table = NULL;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_flags_say_which_kind_a_segment_is),
        TEST(requests_of_the_icmp_of_their_family_are_openings),
        TEST(a_fragment_is_no_opening),
        TEST(a_steady_udp_flow_is_one_opening_a_minute),
        TEST(each_new_udp_flow_is_an_opening_at_once),
        TEST(more_flows_than_the_table_holds_are_reported_more_often_and_never_less),
        TEST(addresses_and_ports_make_the_flow),
    };
    return cmocka_run_group_tests_name("opening", tests, NULL, NULL);
}

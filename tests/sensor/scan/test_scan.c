#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sensor/packet/opening.h"
#include "sensor/scan/scan.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

static struct scan_conf conf;

static int setup(void **state)
{
    conf = (struct scan_conf){
        .enabled = true, .window_ns = 60 * SECOND, .bits = 1024, .bins = 16, .home_count = 2};
    assert_int_equal(prefix_parse("198.51.100.0/24", &conf.home[0]), 0);
    assert_int_equal(prefix_parse("2001:db8:1::/48", &conf.home[1]), 0);
    struct scan *s;
    assert_int_equal(scan_new(&conf, 1, &s), 0);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scan_free(*state);
    return 0;
}

static struct packet syn_to(const char *dst, unsigned port)
{
    struct packet p = {.protocol = IPPROTO_TCP, .tcp_flags = TCP_SYN, .dst_port = (uint16_t)port};
    assert_int_equal(addr_parse(dst, &p.dst), 0);
    assert_int_equal(addr_parse(strchr(dst, ':') ? "2001:db8:9::1" : "192.0.2.1", &p.src), 0);
    return p;
}

static void probe(struct scan *s, const char *dst, unsigned port, uint64_t now)
{
    struct packet p = syn_to(dst, port);
    scan_packet(s, &p, now);
}

/* Takes the two events of one window; false when there is none. */
static bool take_window(struct scan *s, struct event *server, struct event *client)
{
    if (!scan_take(s, server))
        return false;
    assert_true(scan_take(s, client));
    assert_int_equal(server->type, EVENT_scan_window);
    assert_int_equal(server->scan_window.direction, SCAN_SERVER);
    assert_int_equal(client->scan_window.direction, SCAN_CLIENT);
    assert_int_equal(server->scan_window.started_at, client->scan_window.started_at);
    assert_int_equal(server->scan_window.ended_at, client->scan_window.ended_at);
    return true;
}

static void openings_towards_home_are_server_and_others_client(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    probe(s, "198.51.100.7", 80, START);
    probe(s, "2001:db8:1::7", 80, START);
    probe(s, "203.0.113.1", 22, START);
    probe(s, "203.0.113.1", 443, START);
    probe(s, "2001:db8:2::7", 8080, START);
    scan_tick(s, START + 60 * SECOND - 1);
    assert_false(scan_take(s, &server));
    scan_tick(s, START + 60 * SECOND);
    assert_true(take_window(s, &server, &client));
    assert_int_equal(server.scan_window.probes, 2);
    assert_int_equal(client.scan_window.probes, 3);
    assert_true(fabs(server.scan_window.total_entropy - 0.007257) < 1e-6);
    assert_int_equal(server.scan_window.started_at, START);
    assert_int_equal(server.scan_window.ended_at, START + 60 * SECOND);
    assert_int_equal(server.scan_window.bin_entropy.count, 16);
    assert_false(scan_take(s, &server));
}

static void only_syn_without_ack_counts(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    struct packet p = syn_to("198.51.100.7", 80);
    p.tcp_flags = TCP_SYN | TCP_ACK;
    scan_packet(s, &p, START);
    p.tcp_flags = TCP_ACK;
    scan_packet(s, &p, START);
    p.tcp_flags = TCP_FIN;
    scan_packet(s, &p, START);
    p.tcp_flags = TCP_SYN;
    p.protocol = IPPROTO_UDP;
    scan_packet(s, &p, START);
    p.protocol = IPPROTO_TCP;
    p.is_fragment = true;
    scan_packet(s, &p, START);
    scan_tick(s, START);
    scan_finish(s, START + SECOND);
    assert_true(take_window(s, &server, &client));
    assert_int_equal(server.scan_window.probes + client.scan_window.probes, 0);
}

static void a_quiet_window_says_zero(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    scan_tick(s, START);
    scan_tick(s, START + 60 * SECOND);
    assert_true(take_window(s, &server, &client));
    assert_true(server.scan_window.total_entropy == 0 && client.scan_window.total_entropy == 0);
}

static void each_window_starts_empty(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    for (unsigned port = 1; port < 65536; port++)
        probe(s, "198.51.100.7", port, START);
    probe(s, "198.51.100.7", 80, START + 61 * SECOND);
    scan_tick(s, START + 120 * SECOND);
    assert_true(take_window(s, &server, &client));
    assert_true(server.scan_window.total_entropy == 2);
    assert_true(take_window(s, &server, &client));
    assert_int_equal(server.scan_window.probes, 1);
    assert_int_equal(server.scan_window.started_at, START + 60 * SECOND);
    assert_true(fabs(server.scan_window.total_entropy - 0.007257) < 1e-6);
}

static void a_long_pause_gives_a_bounded_number_of_empty_windows_and_keeps_the_grid(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    probe(s, "198.51.100.7", 80, START);
    probe(s, "198.51.100.7", 80, START + 6007 * SECOND);
    unsigned windows = 0;
    for (; take_window(s, &server, &client); windows++)
        assert_int_equal(server.scan_window.started_at, START + windows * 60 * SECOND);
    assert_int_equal(windows, 8);
    scan_tick(s, START + 6060 * SECOND);
    assert_true(take_window(s, &server, &client));
    assert_int_equal(server.scan_window.started_at, START + 6000 * SECOND);
    assert_int_equal(server.scan_window.probes, 1);
}

static void windows_that_are_not_taken_make_the_next_longer_and_lose_no_probe(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    for (unsigned second = 0; second < 3600; second++)
        probe(s, "198.51.100.7", second, START + second * SECOND);
    scan_finish(s, START + 3600 * SECOND);
    uint64_t probes = 0;
    int64_t end = START;
    unsigned windows = 0;
    for (; take_window(s, &server, &client); windows++) {
        probes += server.scan_window.probes;
        assert_int_equal(server.scan_window.started_at, end);
        end = server.scan_window.ended_at;
    }
    assert_int_equal(windows, 9);
    assert_int_equal(probes, 3600);
    assert_int_equal(end, START + 3600 * SECOND);
}

static void finish_closes_the_window_as_it_is(void **state)
{
    struct scan *s = *state;
    struct event server, client;
    probe(s, "198.51.100.7", 80, START);
    scan_finish(s, START + 7 * SECOND);
    assert_true(take_window(s, &server, &client));
    assert_int_equal(server.scan_window.ended_at, START + 7 * SECOND);
    assert_int_equal(server.scan_window.probes, 1);
    assert_false(scan_take(s, &server));
}

static void a_disabled_engine_says_nothing(void **state)
{
    struct scan *s = *state;
    struct event e;
    conf.enabled = false;
    probe(s, "198.51.100.7", 80, START);
    scan_tick(s, START + 600 * SECOND);
    scan_finish(s, START + 601 * SECOND);
    assert_false(scan_take(s, &e));
}

static void other_openings_are_counted_by_kind_and_mark_no_port(void **state)
{
    struct scan *s = *state;
    struct event e;
    struct packet p = syn_to("198.51.100.1", 53);
    static const uint8_t flags[] = {TCP_FIN, 0, 0, TCP_FIN | TCP_PSH | TCP_URG, TCP_ACK};
    for (size_t i = 0; i < sizeof flags; i++) {
        p.tcp_flags = flags[i];
        scan_packet(s, &p, 1);
    }
    p.protocol = IPPROTO_UDP;
    for (unsigned i = 0; i < 10; i++) {
        p.dst_port = (uint16_t)(53 + i / 2); /* five flows of two packets */
        scan_packet(s, &p, 1);
    }
    p.protocol = IPPROTO_ICMP;
    p.icmp_type = 8;
    scan_packet(s, &p, 1);
    scan_finish(s, 2);
    assert_true(scan_take(s, &e));
    assert_int_equal(e.scan_window.direction, SCAN_SERVER);
    assert_int_equal(e.scan_window.probes, 0);
    assert_int_equal(e.scan_window.probes_fin, 1);
    assert_int_equal(e.scan_window.probes_null, 2);
    assert_int_equal(e.scan_window.probes_xmas, 1);
    assert_int_equal(e.scan_window.probes_udp, 5);
    assert_int_equal(e.scan_window.probes_icmp, 1);
    assert_true(e.scan_window.total_entropy == 0);
    assert_true(scan_take(s, &e)); /* the other direction: nothing */
    assert_int_equal(e.scan_window.probes_null + e.scan_window.probes_udp, 0);
}

static void what_the_kernel_reported_counts_with_its_weight_and_is_not_asked_again(void **state)
{
    struct scan *s = *state;
    struct event e;
    struct packet udp = syn_to("198.51.100.1", 53), syn = syn_to("198.51.100.1", 80);
    udp.protocol = IPPROTO_UDP;
    udp.opening = OPENING_UDP;
    udp.weight = 1;
    syn.opening = OPENING_SYN;
    syn.weight = 64;
    scan_packet(s, &udp, 1);
    scan_packet(s, &udp, 1); /* the kernel's minute was over */
    scan_packet(s, &syn, 1);
    scan_finish(s, 2);
    assert_true(scan_take(s, &e));
    assert_int_equal(e.scan_window.probes_udp, 2);
    assert_int_equal(e.scan_window.probes, 64);
    assert_true(e.scan_window.total_entropy > 0);
}

static void bins_that_do_not_divide_are_a_configuration_error(void **state)
{
    (void)state;
    struct scan_conf bad = {.enabled = true, .window_ns = 1, .bits = 1000, .bins = 16};
    struct scan *s;
    assert_int_equal(scan_new(&bad, 1, &s), ERR_CONF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(openings_towards_home_are_server_and_others_client),
        TEST(only_syn_without_ack_counts),
        TEST(a_quiet_window_says_zero),
        TEST(other_openings_are_counted_by_kind_and_mark_no_port),
        TEST(what_the_kernel_reported_counts_with_its_weight_and_is_not_asked_again),
        TEST(each_window_starts_empty),
        TEST(a_long_pause_gives_a_bounded_number_of_empty_windows_and_keeps_the_grid),
        TEST(windows_that_are_not_taken_make_the_next_longer_and_lose_no_probe),
        TEST(finish_closes_the_window_as_it_is),
        TEST(a_disabled_engine_says_nothing),
        TEST(bins_that_do_not_divide_are_a_configuration_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

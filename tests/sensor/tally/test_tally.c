/* The tally against a plain list of the same packets: sums exact, flows within their error. */
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sensor/tally/tally.h"
#include "shared/base/hash.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

static const struct ingress_table ingress = {
    .count = 2, .row = {{.router = "ams1-r1", .vlan = 101}, {.router = "ams1-r2"}}};
static struct tally_conf conf;

static int setup(void **state)
{
    conf = (struct tally_conf){
        .interval_ns = 10 * SECOND, .v4_length = 24, .v6_length = 48, .max_cells = 1024};
    struct tally *t;
    assert_int_equal(tally_new(&conf, &ingress, 1, &t), 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    tally_free(*state);
    return 0;
}

static struct packet packet_from(const char *src, uint16_t at, uint16_t port)
{
    struct packet p = {
        .protocol = IPPROTO_TCP, .ingress = at, .src_port = port, .dst_port = 80, .frame_len = 100};
    assert_int_equal(addr_parse(src, &p.src), 0);
    assert_int_equal(addr_parse(strchr(src, ':') ? "2001:db8:9::1" : "192.0.2.1", &p.dst), 0);
    return p;
}

static void count(struct tally *t, const char *src, uint16_t at, uint64_t now)
{
    struct packet p = packet_from(src, at, 1234);
    tally_packet(t, &p, now);
}

static void sources_of_one_prefix_at_one_ingress_share_a_cell(void **state)
{
    struct tally *t = *state;
    struct event e;
    count(t, "203.0.113.1", 0, START);
    count(t, "203.0.113.200", 0, START + SECOND);
    tally_tick(t, START + 10 * SECOND - 1);
    assert_false(tally_take(t, &e));
    tally_tick(t, START + 10 * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.type, EVENT_tally);
    char text[PREFIX_TEXT];
    assert_string_equal(prefix_format(&e.tally.prefix, text), "203.0.113.0/24");
    assert_int_equal(e.tally.packets, 2);
    assert_int_equal(e.tally.bytes, 200);
    assert_int_equal(e.tally.flows, 2);
    assert_int_equal(e.tally.started_at, START);
    assert_int_equal(e.tally.ended_at, START + 10 * SECOND);
    assert_string_equal(e.tally.ingress.router, "ams1-r1");
    assert_int_equal(e.tally.ingress.vlan, 101);
    assert_false(tally_take(t, &e));
}

static void another_prefix_family_or_ingress_is_another_cell(void **state)
{
    struct tally *t = *state;
    struct event e;
    count(t, "203.0.113.1", 0, START);
    count(t, "203.0.113.1", 1, START);
    count(t, "203.0.114.1", 0, START);
    count(t, "2001:db8:1::1", 0, START);
    count(t, "2001:db8:1:ffff::1", 0, START);
    tally_finish(t, START + SECOND);
    unsigned cells = 0;
    uint64_t packets = 0;
    for (; tally_take(t, &e); cells++)
        packets += e.tally.packets;
    assert_int_equal(cells, 4);
    assert_int_equal(packets, 5);
}

struct row {
    struct prefix src;
    uint16_t at;
    uint64_t packets, bytes;
};

static struct row *model_row(struct row *rows, size_t *n, const struct prefix *src, uint16_t at)
{
    for (size_t i = 0; i < *n; i++)
        if (prefix_equal(&rows[i].src, src) && rows[i].at == at)
            return &rows[i];
    rows[*n] = (struct row){.src = *src, .at = at};
    return &rows[(*n)++];
}

static void take_against_model(struct tally *t, struct row *rows, size_t n)
{
    struct event e;
    size_t taken = 0;
    for (; tally_take(t, &e); taken++) {
        uint16_t at = ingress_equal(&e.tally.ingress, &ingress.row[0]) ? 0 : 1;
        size_t known = n;
        struct row *row = model_row(rows, &known, &e.tally.prefix, at);
        assert_int_equal(known, n);
        assert_int_equal(e.tally.packets, row->packets);
        assert_int_equal(e.tally.bytes, row->bytes);
        row->packets = row->bytes = 0;
    }
    assert_int_equal(taken, n);
}

static void random_packets_are_counted_exactly_as_a_plain_list_counts_them(void **state)
{
    struct tally *t = *state;
    struct prf prf = prf_init(7, 0);
    struct row *rows = calloc(1024, sizeof *rows);
    for (unsigned interval = 0; interval < 3; interval++) {
        uint64_t now = START + interval * 10 * SECOND;
        size_t n = 0;
        tally_tick(t, now);
        for (unsigned i = 0; i < 20000; i++) {
            struct packet p = packet_from("10.0.0.0", (uint16_t)prf_below(&prf, 2), 0);
            p.src.bytes[2] = (uint8_t)prf_below(&prf, 250);
            p.src.bytes[3] = (uint8_t)prf_next(&prf);
            p.src_port = (uint16_t)prf_next(&prf);
            p.frame_len = 60 + (uint32_t)prf_below(&prf, 1400);
            struct prefix src = prefix_of(&p.src, 24);
            struct row *row = model_row(rows, &n, &src, p.ingress);
            row->packets++;
            row->bytes += p.frame_len;
            tally_packet(t, &p, now + i);
        }
        tally_tick(t, now + 10 * SECOND);
        take_against_model(t, rows, n);
    }
    free(rows);
    assert_int_equal(tally_overflow(t), 0);
}

static void cells_that_are_not_taken_make_the_interval_longer_and_lose_nothing(void **state)
{
    struct tally *t = *state;
    struct event e;
    for (unsigned second = 0; second < 95; second++)
        count(t, "203.0.113.1", 0, START + second * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.packets, 10);
    assert_false(tally_take(t, &e));
    tally_tick(t, START + 95 * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.started_at, START + 10 * SECOND);
    assert_int_equal(e.tally.ended_at, START + 90 * SECOND);
    assert_int_equal(e.tally.packets, 85);
}

static void finish_gives_both_intervals_when_the_last_one_still_waits(void **state)
{
    struct tally *t = *state;
    struct event e;
    count(t, "203.0.113.1", 0, START);
    count(t, "203.0.113.1", 0, START + 11 * SECOND);
    count(t, "203.0.113.1", 0, START + 25 * SECOND);
    tally_finish(t, START + 26 * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.packets, 1);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.packets, 2);
    assert_int_equal(e.tally.ended_at, START + 26 * SECOND);
    assert_false(tally_take(t, &e));
}

static void an_interval_without_packets_says_nothing_and_keeps_the_grid(void **state)
{
    struct tally *t = *state;
    struct event e;
    count(t, "203.0.113.1", 0, START);
    count(t, "203.0.113.1", 0, START + 57 * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.ended_at, START + 10 * SECOND);
    assert_false(tally_take(t, &e));
    tally_tick(t, START + 60 * SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.started_at, START + 50 * SECOND);
}

static void a_full_table_counts_what_found_no_cell(void **state)
{
    struct tally *t = *state;
    struct event e;
    for (unsigned i = 0; i < 1100; i++) {
        struct packet p = packet_from("10.0.0.1", 0, 1);
        p.src.bytes[1] = (uint8_t)(i / 256);
        p.src.bytes[2] = (uint8_t)i;
        tally_packet(t, &p, START);
    }
    assert_int_equal(tally_overflow(t), 76);
    tally_finish(t, START + SECOND);
    unsigned cells = 0;
    while (tally_take(t, &e))
        cells++;
    assert_int_equal(cells, 1024);
}

static void counts_from_the_kernel_add_up_with_the_union_of_their_flows(void **state)
{
    struct tally *t = *state;
    struct event e;
    struct prefix src;
    assert_int_equal(prefix_parse("203.0.113.0/24", &src), 0);
    tally_add(t, &src, 1, 10, 1000, (uint64_t[4]){3}, START);
    tally_add(t, &src, 1, 5, 500, (uint64_t[4]){6, 1}, START);
    struct prefix quiet;
    assert_int_equal(prefix_parse("203.0.114.0/24", &quiet), 0);
    tally_add(t, &quiet, 1, 0, 0, (uint64_t[4]){0}, START);
    tally_finish(t, START + SECOND);
    assert_true(tally_take(t, &e));
    assert_int_equal(e.tally.packets, 15);
    assert_int_equal(e.tally.bytes, 1500);
    assert_int_equal(e.tally.flows, tally_flows((uint64_t[4]){7, 1}));
    assert_string_equal(e.tally.ingress.router, "ams1-r2");
    assert_false(tally_take(t, &e));
}

/* Root mean square of the relative error over 200 aggregates, per true number of flows. */
static void the_flow_estimate_keeps_its_stated_error(void **state)
{
    struct tally *t = *state;
    struct prf prf = prf_init(11, 0);
    static const unsigned sizes[] = {5, 20, 50, 100, 200};
    uint64_t now = START;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        double squares = 0;
        for (unsigned round = 0; round < 200; round++, now += SECOND) {
            for (unsigned i = 0; i < sizes[k]; i++) {
                struct packet p = packet_from("203.0.113.1", 0, (uint16_t)i);
                uint64_t dst = prf_next(&prf);
                memcpy(p.dst.bytes, &dst, 4);
                tally_packet(t, &p, now);
                tally_packet(t, &p, now);
            }
            struct event e;
            tally_finish(t, now);
            assert_true(tally_take(t, &e));
            double error = (double)e.tally.flows / sizes[k] - 1;
            squares += error * error;
        }
        double error = sqrt(squares / 200);
        if (error >= 0.08)
            fail_msg("%u flows: standard error %.3f", sizes[k], error);
    }
}

static void the_flow_estimate_saturates_where_the_header_says(void **state)
{
    (void)state;
    assert_int_equal(tally_flows((uint64_t[4]){0}), 0);
    assert_int_equal(tally_flows((uint64_t[4]){1}), 1);
    assert_int_equal(tally_flows((uint64_t[4]){~0ULL, ~0ULL, ~0ULL, ~0ULL}), 1419);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sources_of_one_prefix_at_one_ingress_share_a_cell),
        TEST(another_prefix_family_or_ingress_is_another_cell),
        TEST(random_packets_are_counted_exactly_as_a_plain_list_counts_them),
        TEST(cells_that_are_not_taken_make_the_interval_longer_and_lose_nothing),
        TEST(finish_gives_both_intervals_when_the_last_one_still_waits),
        TEST(an_interval_without_packets_says_nothing_and_keeps_the_grid),
        TEST(a_full_table_counts_what_found_no_cell),
        TEST(counts_from_the_kernel_add_up_with_the_union_of_their_flows),
        TEST(the_flow_estimate_keeps_its_stated_error),
        TEST(the_flow_estimate_saturates_where_the_header_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

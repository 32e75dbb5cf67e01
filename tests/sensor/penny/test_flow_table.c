/* The flow table and the sample of flows that it holds when there are more than it has room for. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/penny/engine.h"
#include "sensor/penny/sample.h"
#include "tests/sensor/penny/sim.h"

#define MS        UINT64_C(1000000)
#define CROWD_MAX 4096

/* Flows that send one segment each in turn; the first `genuine` send again what was withheld. */
struct crowd {
    struct penny_conf conf;
    struct penny *penny;
    uint64_t now_ns;
    unsigned flows, genuine;
    uint32_t seq[CROWD_MAX], again[CROWD_MAX]; /* again: 0, or the segment that is missing */
    struct event_test_ended ended;
    bool has_ended;
};

static struct crowd crowd;
static const struct ingress_table ingress = {.count = 1};

static void start(unsigned flows, unsigned genuine, unsigned room, uint64_t seed)
{
    crowd = (struct crowd){.now_ns = SIM_S, .flows = flows, .genuine = genuine};
    sim_conf(&crowd.conf);
    crowd.conf.max_flows = room;
    crowd.conf.retest_after_ns = 0; /* always under test */
    assert_int_equal(penny_new(&crowd.conf, &ingress, seed, &crowd.penny), 0);
    for (unsigned i = 0; i < flows; i++)
        crowd.seq[i] = i * 1000003 + 1;
}

static int stop(void **state)
{
    (void)state;
    penny_free(crowd.penny);
    crowd.penny = NULL;
    return 0;
}

static struct packet segment_of(uint32_t flow)
{
    return (struct packet){.protocol = IPPROTO_TCP,
                           .tcp_flags = TCP_ACK,
                           .src = addr_v4("\xcb\0\x71\x05"),
                           .dst = addr_v4((uint8_t[]){198, 51, (uint8_t)(flow >> 16), 9}),
                           .src_port = (uint16_t)flow,
                           .dst_port = 80,
                           .payload_len = 500};
}

static const struct flow *in_table(uint32_t flow, uint64_t *hash)
{
    struct packet p = segment_of(flow);
    struct flow_key key;
    flow_key_set(&key, &p);
    *hash = flow_table_hash(&crowd.penny->flows, &key);
    return flow_table_find(&crowd.penny->flows, &key, *hash);
}

static void send_one(uint32_t flow)
{
    struct packet p = segment_of(flow);
    p.seq = crowd.again[flow] != 0 ? crowd.again[flow] : crowd.seq[flow];
    bool is_withheld = penny_packet(crowd.penny, &p, crowd.now_ns) == FRAME_DROP;
    if (crowd.again[flow] == 0)
        crowd.seq[flow] += 500;
    crowd.again[flow] = is_withheld && flow < crowd.genuine ? p.seq : 0;
}

static void take_events(void)
{
    struct event e;
    penny_tick(crowd.penny, crowd.now_ns);
    while (penny_take(crowd.penny, &e))
        if (e.type == EVENT_test_ended && !crowd.has_ended) {
            crowd.has_ended = true;
            crowd.ended = e.test_ended;
        }
}

/* Each flow sends once per 100 ms, in an order of their own. */
static void round_of_all(void)
{
    for (uint32_t i = 0; i < crowd.flows; i++) {
        crowd.now_ns += 100 * MS / crowd.flows;
        send_one((uint32_t)(i * UINT64_C(2654435761) % crowd.flows));
        if (i % 64 == 0)
            take_events();
    }
}

static const struct aggregate *aggregate(void)
{
    return &crowd.penny->aggregates[0];
}

static void a_table_filled_to_the_brim_finds_room_for_every_flow(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct flow_table t;
        assert_int_equal(flow_table_init(&t, 1 << 15, 1000, (struct hash_key){seed, 7}), 0);
        for (uint32_t i = 0; i < 1 << 15; i++) {
            struct packet p = segment_of(i);
            struct flow_key key;
            flow_key_set(&key, &p);
            assert_non_null(flow_table_add(&t, &key, flow_table_hash_of(&t, &p), 5000));
        }
        flow_table_clear(&t);
    }
}

static void the_hash_of_a_packet_is_that_of_its_key_and_only_that_key_is_its_own(void **state)
{
    (void)state;
    struct flow_table t;
    assert_int_equal(flow_table_init(&t, 16, 1000, (struct hash_key){1, 7}), 0);
    struct packet p = segment_of(77);
    p.src = addr_v6("\x20\x01\x0d\xb8\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c");
    struct flow_key key, other;
    flow_key_set(&key, &p);
    assert_int_equal(key.src_port, 77);
    assert_int_equal(key.family, ADDR_V6);
    assert_true(flow_key_is_of(&key, &p));
    assert_true(flow_table_hash(&t, &key) == flow_table_hash_of(&t, &p));
    for (unsigned i = 0; i < sizeof key; i++) {
        memcpy(&other, &key, sizeof key);
        ((uint8_t *)&other)[i] ^= 1;
        assert_false(flow_key_is_of(&other, &p));
        assert_false(flow_key_equal(&other, &key));
        assert_true(flow_table_hash(&t, &other) != flow_table_hash(&t, &key));
    }
    flow_table_clear(&t);
}

static void ten_times_more_flows_than_room_leave_a_sample_that_only_the_secret_chooses(void **state)
{
    (void)state;
    unsigned held = 0, first_half = 0, wrong = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        start(4000, 0, 400, seed);
        for (unsigned i = 0; i < 60; i++)
            round_of_all();
        assert_in_range(aggregate()->thinning, 3, 5);
        for (uint32_t i = 0; i < 4000; i++) {
            uint64_t hash;
            bool is_held = in_table(i, &hash) != NULL;
            wrong += is_held != sample_holds(aggregate(), hash);
            held += is_held;
            first_half += is_held && i < 2000;
        }
        assert_true(crowd.penny->stats.not_sampled > 0);
        stop(NULL);
    }
    assert_true(held > 40 * 100);
    assert_true(wrong <=
                held / 100); /* those that wait for the hand, or for the window of a unit */
    double share = (double)first_half / held;
    assert_true(share > .47 && share < .53);
}

static void a_mixture_of_which_only_a_tenth_fits_is_estimated_without_bias(void **state)
{
    (void)state;
    double sum = 0;
    unsigned n = 0, inside = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        start(2000, 1000, 200, seed);
        for (unsigned i = 0; i < 600 && !crowd.has_ended; i++)
            round_of_all();
        assert_true(crowd.has_ended);
        assert_int_equal(crowd.ended.verdict, VERDICT_MIXED);
        sum += crowd.ended.genuine_fraction;
        inside += crowd.ended.genuine_low <= .5 && crowd.ended.genuine_high >= .5;
        n++;
        stop(NULL);
    }
    assert_true(sum / n > .42 && sum / n < .58);
    assert_true(inside >= n * 9 / 10);
}

static void a_flood_of_one_packet_flows_does_not_push_the_others_out(void **state)
{
    (void)state;
    start(1000, 1000, 4096, 3);
    uint32_t forged = CROWD_MAX;
    for (unsigned i = 0; i < 300 && !crowd.has_ended; i++)
        for (uint32_t f = 0; f < 1000; f++) {
            crowd.now_ns += MS / 10;
            send_one(f);
            struct packet p = segment_of(0);
            for (unsigned k = 0; k < 2; k++) { /* 20,000 new flows a second, twice the others */
                forged++;
                p.dst = addr_v4((uint8_t[]){10, (uint8_t)(forged >> 16), (uint8_t)(forged >> 8),
                                            (uint8_t)forged});
                assert_int_equal(penny_packet(crowd.penny, &p, crowd.now_ns), FRAME_FORWARD);
            }
            if (f % 64 == 0)
                take_events();
        }
    assert_true(crowd.has_ended);
    assert_int_equal(crowd.ended.verdict, VERDICT_GENUINE);
    unsigned held = 0, sampled = 0;
    for (uint32_t f = 0; f < 1000; f++) {
        uint64_t hash;
        held += in_table(f, &hash) != NULL;
        sampled += sample_holds(aggregate(), hash);
    }
    assert_true(sampled >= 20 && held >= sampled * 9 / 10);
}

static void a_small_aggregate_beside_a_large_one_keeps_all_its_flows(void **state)
{
    (void)state;
    start(4000, 0, 400, 9);
    for (unsigned i = 0; i < 60; i++) {
        round_of_all();
        for (uint16_t port = 1; port <= 5; port++) {
            struct packet p = {.protocol = IPPROTO_TCP,
                               .tcp_flags = TCP_ACK,
                               .src = addr_v6("\x20\x01\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\x01"),
                               .dst = addr_v6("\x20\x01\x0d\xb8\0\x78\0\0\0\0\0\0\0\0\0\x01"),
                               .src_port = port,
                               .dst_port = 80,
                               .seq = i * 500,
                               .payload_len = 500};
            penny_packet(crowd.penny, &p, crowd.now_ns);
        }
    }
    assert_true(crowd.penny->aggregates[0].thinning >= 3);
    assert_int_equal(crowd.penny->aggregates[1].thinning, 0);
}

static void when_there_is_room_again_the_sample_grows_back_to_all(void **state)
{
    (void)state;
    start(4000, 0, 400, 5);
    for (unsigned i = 0; i < 60; i++)
        round_of_all();
    assert_true(aggregate()->thinning >= 3);
    crowd.flows = 100;
    for (unsigned i = 0; i < 600; i++) /* a minute: the others are forgotten after 30 s */
        round_of_all();
    assert_int_equal(aggregate()->thinning, 0);
}

static void flows_that_do_not_fit_say_so_and_a_test_of_a_part_never_claims_all(void **state)
{
    (void)state;
    start(300, 300, 30, 2);
    for (unsigned i = 0; i < 20; i++)
        round_of_all();
    for (uint32_t i = 0; i < crowd.penny->test_max; i++)
        if (crowd.penny->tests[i].number != 0)
            assert_true(crowd.penny->tests[i].verdict.is_partial);
    struct penny_stats stats;
    penny_stats(crowd.penny, &stats);
    assert_true(stats.not_sampled > 0);
}

#define T(test) cmocka_unit_test_teardown(test, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_table_filled_to_the_brim_finds_room_for_every_flow),
        T(the_hash_of_a_packet_is_that_of_its_key_and_only_that_key_is_its_own),
        T(ten_times_more_flows_than_room_leave_a_sample_that_only_the_secret_chooses),
        T(a_mixture_of_which_only_a_tenth_fits_is_estimated_without_bias),
        T(a_flood_of_one_packet_flows_does_not_push_the_others_out),
        T(a_small_aggregate_beside_a_large_one_keeps_all_its_flows),
        T(when_there_is_room_again_the_sample_grows_back_to_all),
        T(flows_that_do_not_fit_say_so_and_a_test_of_a_part_never_claims_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The faults that were found by running OpenPenny 1.0.0, one test for each that
 * belongs to the engine: what happened there must not happen here. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sensor/penny/flow_table.h"
#include "tests/sensor/penny/engine.h"

static int up(void **state)
{
    (void)state;
    engine_conf(1);
    return 0;
}

static struct packet segment_of(uint16_t port, uint32_t n)
{
    return engine_segment(port, 1000 + n * 500);
}

static enum verdict_frame offer(struct packet p)
{
    return penny_packet(penny, &p, now_ns);
}

static unsigned drops_in_order(uint16_t port, uint32_t from, uint32_t count)
{
    unsigned drops = 0;
    for (uint32_t n = from; n < from + count; n++, now_ns += 10 * MS)
        drops += offer(segment_of(port, n)) == FRAME_DROP;
    return drops;
}

static bool next_event(uint8_t type, struct event *e)
{
    while (penny_take(penny, e))
        if (e->type == type)
            return true;
    return false;
}

/* How many of so many tests of this traffic end with this word. */
static unsigned words(const struct sim_case *c, unsigned runs, int word)
{
    unsigned n = 0;
    for (uint64_t seed = 1; seed <= runs; seed++) {
        struct sim_result r;
        sim_run(c, seed, &r);
        n += r.has_ended && r.ended.verdict == word;
    }
    return n;
}

static void a_flow_over_the_32_bit_wrap_is_booked_right(void **state)
{
    (void)state;
    struct sim_case genuine = {.senders = {{.flows = 1, .is_genuine = true, .rate = 1000}},
                               .first_seq = 0xfffff000};
    struct sim_case spoofed = {.senders = {{.flows = 1, .rate = 1000}}, .first_seq = 0xfffff000};
    assert_int_equal(words(&genuine, 20, VERDICT_GENUINE), 20);
    assert_int_equal(words(&spoofed, 20, VERDICT_SPOOFED), 20);
}

static void ipv6_is_tested_like_ipv4(void **state)
{
    (void)state;
    struct sim_case genuine = {.senders = {{.flows = 4, .is_genuine = true, .rate = 100}},
                               .is_v6 = true};
    struct sim_case spoofed = {.senders = {{.flows = 4, .rate = 100}}, .is_v6 = true};
    assert_int_equal(words(&genuine, 20, VERDICT_GENUINE), 20);
    assert_int_equal(words(&spoofed, 20, VERDICT_SPOOFED), 20);
}

static void udp_and_fragments_are_not_taken_for_tcp(void **state)
{
    (void)state;
    conf.drop_probability = .5;
    start();
    for (uint32_t n = 0; n < 2000; n++, now_ns += 10 * MS) {
        struct packet p = segment_of(4000, n);
        p.protocol = n % 2 == 0 ? IPPROTO_UDP : IPPROTO_TCP;
        p.is_fragment = n % 2 == 1;
        assert_int_equal(offer(p), FRAME_FORWARD);
    }
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.flows, 0);
    assert_int_equal(e.test_ended.droppable, 0);
}

static void jumbo_segments_are_tested_not_lost(void **state)
{
    (void)state;
    start();
    unsigned drops = 0;
    for (uint32_t n = 0; n < 500; n++, now_ns += 10 * MS) {
        struct packet p = segment_of(4000, 0);
        p.seq += n * 8948;
        p.payload_len = 8948;
        drops += offer(p) == FRAME_DROP;
    }
    assert_true(drops >= 1);
}

/* What was kept comes again only as keep-alives, what was withheld only coalesced. */
static void coalesced_retransmissions_answer_and_keep_alives_are_no_duplicates(void **state)
{
    (void)state;
    start();
    unsigned drops = 0;
    for (uint32_t n = 0; n < 200; n++, now_ns += 10 * MS) {
        struct packet p = segment_of(4000, n), probe = p, both = p;
        probe.seq += 499;
        probe.payload_len = 1;
        both.seq -= 100;
        both.payload_len = 600;
        bool is_withheld = offer(p) == FRAME_DROP;
        drops += is_withheld;
        now_ns += 5 * MS;
        assert_int_equal(offer(is_withheld ? both : probe), FRAME_FORWARD);
    }
    penny_finish(penny, now_ns + 4 * SIM_S);
    struct event e;
    assert_true(drops >= 2 && next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.retransmitted, e.test_ended.drops);
    assert_int_equal(e.test_ended.duplicates, 0);
}

static void a_syn_with_data_is_never_withheld_nor_its_repeat(void **state)
{
    (void)state;
    conf.drop_probability = .5;
    start();
    for (uint32_t i = 0; i < 2000; i++, now_ns += 50 * MS) {
        struct packet p = segment_of((uint16_t)(4000 + i / 4), 0);
        p.tcp_flags = TCP_SYN;
        assert_int_equal(offer(p), FRAME_FORWARD);
    }
}

/* A SYN takes a number of its own: what follows its data is in order, and tested. */
static void what_follows_a_syn_with_data_is_in_order(void **state)
{
    (void)state;
    start();
    struct packet syn = segment_of(4000, 0);
    syn.tcp_flags = TCP_SYN;
    syn.seq -= 1;
    offer(syn);
    uint32_t n = 1;
    while (n < 200 && offer(segment_of(4000, n)) == FRAME_FORWARD) {
        now_ns += 10 * MS;
        n++;
    }
    assert_in_range(n, 2, 199);
    struct packet again = segment_of(4000, n); /* with a FIN: its data count */
    again.tcp_flags = TCP_ACK | TCP_FIN;
    assert_int_equal(offer(again), FRAME_FORWARD);
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_RETRANSMITTED);
    assert_int_equal(e.drop.seq, 1000 + n * 500);
}

static void a_flow_first_seen_in_its_middle_is_tested(void **state)
{
    (void)state;
    start();
    assert_true(drops_in_order(4000, 1000000, 100) >= 1);
}

static void a_spoofer_does_not_escape_by_fin(void **state)
{
    (void)state;
    struct sim_case c = {.senders = {{.flows = 10, .rate = 100, .end = SIM_FIN, .segments = 30}}};
    assert_int_equal(words(&c, 20, VERDICT_SPOOFED), 20);
}

static void flows_that_end_by_reset_do_not_spend_the_budget_for_good(void **state)
{
    (void)state;
    conf.retest_after_ns = 10 * SIM_S;
    start();
    for (uint16_t port = 1; port < 400; port++) { /* each is reset after its first drop */
        for (uint32_t n = 0; n < 50 && offer(segment_of(port, n)) == FRAME_FORWARD; n++)
            now_ns += 10 * MS;
        struct packet reset = segment_of(port, 60);
        reset.tcp_flags = TCP_RST;
        offer(reset);
        penny_tick(penny, now_ns);
        for (struct event e; penny_take(penny, &e);)
            ;
    }
    now_ns += conf.max_duration_ns;
    penny_tick(penny, now_ns);
    now_ns += conf.retest_after_ns;
    assert_true(drops_in_order(5000, 0, 200) >= 1);
}

static void a_mixture_is_not_called_closed_loop(void **state)
{
    (void)state;
    struct sim_case c = {
        .senders = {{.flows = 5, .is_genuine = true, .rate = 100}, {.flows = 5, .rate = 100}}};
    assert_true(words(&c, 40, VERDICT_MIXED) >= 39);
}

static void who_repeats_everything_later_is_not_called_genuine(void **state)
{
    (void)state;
    static const uint64_t delays[] = {0, SIM_S / 10, SIM_S / 2, 2 * SIM_S, 5 * SIM_S};
    for (unsigned i = 0; i < sizeof delays / sizeof *delays; i++) {
        struct sim_case c = {
            .senders = {{.flows = 10, .rate = 100, .repeat = 1, .repeat_after_ns = delays[i]}}};
        assert_int_equal(words(&c, 20, VERDICT_GENUINE) + words(&c, 20, VERDICT_MIXED), 0);
    }
}

static void ten_and_a_hundred_spoofed_flows_are_judged(void **state)
{
    (void)state;
    struct sim_case ten = {.senders = {{.flows = 10, .rate = 100}}};
    struct sim_case hundred = {.senders = {{.flows = 100, .rate = 100}}};
    assert_int_equal(words(&ten, 20, VERDICT_SPOOFED), 20);
    assert_int_equal(words(&hundred, 20, VERDICT_SPOOFED), 20);
}

static void a_hole_costs_no_memory_and_a_flow_at_most_256_bytes(void **state)
{
    (void)state;
    struct flow_table t;
    assert_int_equal(flow_table_init(&t, 1 << 16, SIM_S, (struct hash_key){1, 2}), 0);
    size_t index = (t.bucket_mask + (size_t)1) * sizeof *t.buckets / t.max;
    assert_true(sizeof(struct flow) + index + sizeof *t.free <= 256);
    flow_table_clear(&t);
    start();
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (uint32_t n = 0; n < 500000; n++, now_ns += MS) /* every other segment is lost before us */
        offer(segment_of((uint16_t)(n % 10), n / 10 * 2));
    assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before);
}

static void a_hundred_thousand_new_flows_in_ten_seconds_are_all_admitted(void **state)
{
    (void)state;
    conf.max_flows = 131072;
    start();
    for (uint32_t i = 0; i < 100000; i++, now_ns += MS / 10) {
        struct packet p = segment_of((uint16_t)i, 0);
        p.dst_port = (uint16_t)(80 + (i >> 16));
        offer(p);
    }
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_int_equal(stats.flows_refused + stats.not_sampled, 0);
}

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SIM_S + (uint64_t)t.tv_nsec;
}

/* The least of ten: others may be at work here. */
static uint64_t cost_of_segments(uint32_t *n)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t begin = thread_ns();
        for (unsigned k = 0; k < 10000; k++, (*n)++) {
            now_ns += MS / 10;
            offer(segment_of((uint16_t)(*n % 50), *n / 50));
        }
        uint64_t took = thread_ns() - begin;
        least = took < least ? took : least;
        penny_tick(penny, now_ns);
        for (struct event e; penny_take(penny, &e);)
            ;
    }
    return least;
}

static void a_packet_costs_the_same_after_thousands_of_drops(void **state)
{
    (void)state;
    conf.retest_after_ns = 0;
    conf.drop_probability = .5;
    start();
    uint32_t n = 0;
    uint64_t early = cost_of_segments(&n);
    for (unsigned i = 0; i < 30; i++)
        cost_of_segments(&n);
    uint64_t late = cost_of_segments(&n);
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_true(stats.tests >= 10);
    assert_true(late < 4 * early);
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_flow_over_the_32_bit_wrap_is_booked_right),
        T(ipv6_is_tested_like_ipv4),
        T(udp_and_fragments_are_not_taken_for_tcp),
        T(jumbo_segments_are_tested_not_lost),
        T(coalesced_retransmissions_answer_and_keep_alives_are_no_duplicates),
        T(a_syn_with_data_is_never_withheld_nor_its_repeat),
        T(what_follows_a_syn_with_data_is_in_order),
        T(a_flow_first_seen_in_its_middle_is_tested),
        T(a_spoofer_does_not_escape_by_fin),
        T(flows_that_end_by_reset_do_not_spend_the_budget_for_good),
        T(a_mixture_is_not_called_closed_loop),
        T(who_repeats_everything_later_is_not_called_genuine),
        T(ten_and_a_hundred_spoofed_flows_are_judged),
        T(a_hole_costs_no_memory_and_a_flow_at_most_256_bytes),
        T(a_hundred_thousand_new_flows_in_ten_seconds_are_all_admitted),
        T(a_packet_costs_the_same_after_thousands_of_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

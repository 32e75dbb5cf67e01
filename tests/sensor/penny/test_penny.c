/* What the engine withholds, what it never withholds, and what it says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/flow_table.h"
#include "tests/sensor/penny/engine.h"

static struct packet segment; /* the next one in order of one flow */

static int up(void **state)
{
    (void)state;
    engine_conf(2);
    strcpy(ingress.row[1].router, "r1");
    segment = engine_segment(4000, 1000);
    return 0;
}

static enum verdict_frame offer(struct packet p)
{
    return penny_packet(penny, &p, now_ns);
}

/* Sends in order, 10 ms apart, until one is withheld; the withheld segment. */
static struct packet until_drop(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct packet p = segment;
        segment.seq += segment.payload_len;
        now_ns += 10 * MS;
        if (offer(p) == FRAME_DROP)
            return p;
    }
    fail_msg("nothing was withheld");
    return segment;
}

static bool next_event(uint8_t type, struct event *e)
{
    while (penny_take(penny, e))
        if (e->type == type)
            return true;
    return false;
}

static void wait_until_over(void)
{
    for (unsigned i = 0; i < 40; i++) {
        now_ns += 100 * MS;
        struct packet ack = segment;
        ack.payload_len = 0; /* alive, but no data */
        offer(ack);
    }
    penny_tick(penny, now_ns);
}

static void a_test_starts_with_its_first_packet_and_names_prefix_and_ingress(void **state)
{
    (void)state;
    start();
    segment.ingress = 1;
    offer(segment);
    struct event e;
    assert_true(penny_take(penny, &e));
    assert_int_equal(e.type, EVENT_test_started);
    assert_true(prefix_equal(&e.test_started.prefix, &conf.prefixes[0]));
    assert_string_equal(e.test_started.ingress.router, "r1");
    assert_string_equal(e.test_started.rule, "randomised");
    assert_int_equal(e.test_started.started_at, now_ns);
    assert_int_equal(e.test_started.test_id[6] >> 4, 4);
    assert_false(penny_take(penny, &e));
}

static void a_withheld_segment_that_comes_again_is_reported_with_its_delay(void **state)
{
    (void)state;
    start();
    struct packet lost = until_drop();
    now_ns += 70 * MS;
    assert_int_equal(offer(lost), FRAME_FORWARD); /* a repeat is never withheld */
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_RETRANSMITTED);
    assert_int_equal(e.drop.answered_after, 70 * MS);
    assert_int_equal(e.drop.seq, lost.seq);
    assert_int_equal(e.drop.length, 500);
    assert_int_equal(e.drop.src_port, 4000);
    assert_true(addr_equal(&e.drop.src, &lost.src));
}

static void parts_and_coalesced_segments_count_as_coming_again(void **state)
{
    (void)state;
    start();
    struct packet lost = until_drop(), part = lost;
    struct event e;
    part.seq -= 300;
    part.payload_len = 600; /* the end of the one before and 300 of its bytes */
    offer(part);
    assert_false(next_event(EVENT_drop, &e));
    part.seq += 600;
    part.payload_len = 1400;
    offer(part);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_RETRANSMITTED);
}

static void a_return_after_the_window_is_no_return(void **state)
{
    (void)state;
    start();
    struct packet lost = until_drop();
    now_ns += 2 * SIM_S;
    struct packet ack = segment;
    ack.payload_len = 0;
    offer(ack);
    now_ns += SIM_S; /* no tick in between */
    offer(lost);
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_UNANSWERED);
    assert_true(e.drop.answered_after == SPAN_NONE);
}

static void keep_alives_and_window_probes_are_no_returns(void **state)
{
    (void)state;
    start();
    struct packet lost = until_drop(), probe = lost;
    probe.payload_len = 1;
    for (uint32_t i = 0; i < 500; i++) {
        probe.seq = lost.seq + i;
        offer(probe);
    }
    wait_until_over();
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_UNANSWERED);
}

static uint8_t outcome_after(uint8_t flags)
{
    start();
    until_drop();
    struct packet end = segment;
    end.payload_len = 0;
    end.tcp_flags = flags;
    offer(end);
    now_ns += 4 * SIM_S;
    penny_tick(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    return e.drop.outcome;
}

static void a_reset_makes_a_drop_invalid(void **state)
{
    (void)state;
    assert_int_equal(outcome_after(TCP_RST), DROP_INVALID);
}

static void a_fin_does_not_excuse_a_missing_return(void **state)
{
    (void)state;
    assert_int_equal(outcome_after(TCP_FIN | TCP_ACK), DROP_UNANSWERED);
}

/* What is no evidence must not become some by inference: if the withheld unit is gone, the others
 * of its block were certainly kept. */
static void an_invalid_drop_leaves_its_block_without_evidence(void **state)
{
    (void)state;
    conf.open_blocks = 1; /* the next flow fills the rest of the same block */
    start();
    uint32_t first = segment.seq;
    struct packet lost = until_drop(), reset = segment;
    uint32_t drawn = (lost.seq - first) / segment.payload_len - 1;
    reset.tcp_flags = TCP_RST;
    offer(reset);
    segment.src_port++;
    now_ns += SIM_S;
    for (uint32_t i = 0; i < 2 + 20 - drawn; i++) {
        assert_int_equal(offer(segment), FRAME_FORWARD);
        segment.seq += segment.payload_len;
        now_ns += 10 * MS;
    }
    wait_until_over();
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.droppable, 20);
    assert_int_equal(e.test_ended.invalid, 1);
    assert_true(fabs(e.test_ended.genuine_evidence) < 1e-12);
}

static void a_flow_that_falls_silent_makes_its_drop_invalid(void **state)
{
    (void)state;
    assert_int_equal(outcome_after(TCP_ACK), DROP_INVALID);
}

static void only_new_data_in_order_is_ever_withheld(void **state)
{
    (void)state;
    conf.drop_probability = 0.5; /* every second unit */
    conf.budget = conf.max_drops = 200;
    conf.gap_ns = 1;
    conf.open_blocks = 32;
    start();
    until_drop();
    for (unsigned i = 0; i < 2000; i++) {
        struct packet p = segment;
        now_ns += 200 * MS; /* every segment could be withheld by its time */
        switch (i % 8) {
        case 0:
            p.tcp_flags = TCP_SYN;
            p.seq -= 5000;
            break;
        case 1:
            p.tcp_flags = TCP_ACK | TCP_URG;
            segment.seq += 500;
            break;
        case 2:
            p.payload_len = 0;
            break;
        case 3:
            p.is_fragment = true;
            break;
        case 4:
            p.protocol = IPPROTO_UDP;
            break;
        case 5:
            p.seq -= 1500; /* a repeat */
            break;
        case 6:
            p.seq += 5000; /* out of order */
            segment.seq = p.seq + 500;
            break;
        default:
            p.payload_len = 1;
            p.seq -= 1; /* keep-alive */
        }
        assert_int_equal(offer(p), FRAME_FORWARD);
    }
}

static void a_flow_seen_in_the_middle_is_tested_after_a_short_grace(void **state)
{
    (void)state;
    conf.drop_probability = 0.5;
    start();
    unsigned before = 0;
    struct event e;
    while (offer(segment) == FRAME_FORWARD) {
        segment.seq += 500;
        now_ns += 600 * MS;
        before++;
    }
    assert_in_range(before, 2, 4);
    assert_true(next_event(EVENT_test_started, &e));
}

static void udp_alone_ends_inconclusive_for_want_of_tcp(void **state)
{
    (void)state;
    start();
    segment.protocol = IPPROTO_UDP;
    offer(segment);
    now_ns += conf.max_duration_ns;
    penny_tick(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(e.test_ended.reason, "no TCP data");
    assert_true(e.test_ended.genuine_probability == 0.5);
}

static void too_little_traffic_is_said_in_words(void **state)
{
    (void)state;
    start();
    struct packet lost = until_drop();
    offer(lost);
    now_ns += conf.max_duration_ns;
    penny_tick(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(e.test_ended.reason, "too little traffic: 1 of 12 drops resolved");
}

static void after_a_test_the_aggregate_rests_and_is_tested_again(void **state)
{
    (void)state;
    start();
    offer(segment);
    now_ns += conf.max_duration_ns;
    penny_tick(penny, now_ns);
    offer(segment);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_false(next_event(EVENT_test_started, &e));
    now_ns += conf.retest_after_ns;
    offer(segment);
    assert_true(next_event(EVENT_test_started, &e));
}

static void finish_makes_pending_drops_invalid_and_ends_every_test(void **state)
{
    (void)state;
    start();
    until_drop();
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_INVALID);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(e.test_ended.reason, "sensor stopped");
    assert_int_equal(e.test_ended.drops, 1);
    assert_int_equal(e.test_ended.invalid, 1);
}

static void the_watch_list_changes_while_tests_run(void **state)
{
    (void)state;
    start();
    until_drop();
    struct event e;
    assert_true(next_event(EVENT_test_started, &e));
    struct prefix list[3] = {conf.prefixes[1], conf.prefixes[0]};
    prefix_parse("192.0.2.0/24", &list[2]);
    assert_int_equal(penny_watch(penny, list, 3), 0);
    offer(segment);
    assert_false(penny_take(penny, &e)); /* the test goes on */
    assert_int_equal(penny_watch(penny, list, 1), 0);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_string_equal(e.test_ended.reason, "no longer watched");
    offer(segment);
    assert_false(penny_take(penny, &e));
    assert_int_equal(penny_watch(penny, list, 2), 0);
    offer(segment);
    assert_true(next_event(EVENT_test_started, &e));
    assert_int_equal(penny_watch(penny, NULL, 0), 0);
    assert_int_equal(offer(segment), FRAME_FORWARD);
}

static void nothing_is_withheld_whose_event_has_no_room(void **state)
{
    (void)state;
    conf.max_tests = 1;
    conf.retest_after_ns = 0;
    conf.max_duration_ns = SIM_S;
    conf.gap_ns = 50 * MS;
    start();
    unsigned drops = 0;
    for (unsigned i = 0; i < 20000; i++, now_ns += 10 * MS) { /* nobody takes events */
        struct packet p = segment;
        segment.seq += 500;
        drops += offer(p) == FRAME_DROP;
        penny_tick(penny, now_ns);
    }
    penny_finish(penny, now_ns);
    unsigned told = 0, started = 0, ended = 0;
    struct event e;
    while (penny_take(penny, &e)) {
        told += e.type == EVENT_drop;
        started += e.type == EVENT_test_started;
        ended += e.type == EVENT_test_ended;
    }
    assert_true(drops > 0);
    assert_int_equal(told, drops);
    assert_int_equal(started, ended);
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_int_equal(stats.tests, started);
    assert_true(stats.no_room > 0);
}

static unsigned drops_of(unsigned flows, unsigned segments)
{
    unsigned drops = 0;
    for (unsigned i = 0; i < segments; i++, now_ns += MS) {
        struct packet p = segment;
        p.src_port = (uint16_t)(5000 + i % flows);
        p.seq += i / flows * p.payload_len;
        drops += offer(p) == FRAME_DROP;
    }
    return drops;
}

static void no_flow_loses_more_than_its_budget_in_one_test(void **state)
{
    (void)state;
    conf.flow_budget = 3;
    start();
    assert_in_range(drops_of(1, 20000), 2, 3);
}

static void no_more_is_withheld_in_a_second_than_the_rate_over_all_tests(void **state)
{
    (void)state;
    conf.drops_per_s = 2;
    start();
    unsigned drops = drops_of(200, 3000); /* nobody answers: ten times as many would be withheld */
    assert_in_range(drops, 4, 7);         /* three seconds, and a tenth of one at once */
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_true(stats.rate_limited > 0);
}

/* Sends every segment twice: a repeater, which is no return of what was withheld. */
static void the_repeat_of_a_withheld_segment_is_withheld_too_when_the_sender_repeats_all(void **s)
{
    (void)s;
    start();
    unsigned first = 0, again = 0;
    for (unsigned i = 0; i < 4000; i++, now_ns += 10 * MS) {
        struct packet p = segment;
        bool is_first = offer(p) == FRAME_DROP;
        bool is_again = offer(p) == FRAME_DROP;
        first += is_first;
        again += is_again;
        assert_true(is_first || !is_again); /* what arrived is let through as often as it comes */
        segment.seq += segment.payload_len;
    }
    assert_in_range(again, first / 5, first);
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_SPOOFED);
}

static void the_first_segments_after_ports_are_used_anew_are_never_withheld(void **state)
{
    (void)state;
    conf.drop_probability = 0.5;
    conf.gap_ns = 0;
    conf.budget = conf.max_drops = conf.flow_budget = 10000;
    start();
    for (unsigned i = 0; i < 500; i++, now_ns += 300 * MS) {
        struct packet syn = segment;
        syn.tcp_flags = TCP_SYN;
        syn.seq += 100000;
        syn.payload_len = 0;
        segment.seq = syn.seq + 1;
        offer(syn);
        for (unsigned j = 0; j < 6; j++, segment.seq += 500, now_ns += 10 * MS)
            assert_true(offer(segment) == FRAME_FORWARD || j >= 2);
    }
}

static void single_bytes_of_data_are_in_order_and_keep_alives_change_nothing(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 600; i++, now_ns += 10 * MS) {
        struct packet p = segment, alive = segment;
        p.payload_len = i % 2 == 0 ? 1 : 300;
        alive.payload_len = 1;
        alive.seq--;
        segment.seq += p.payload_len;
        offer(alive);
        assert_true(offer(p) == FRAME_FORWARD || p.payload_len == 300);
    }
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_true(e.test_ended.droppable >= 60);
    assert_null(strstr(e.test_ended.reason, "out of order"));
}

/* Everything is sent twice. Every tenth segment is lost before us, and comes with the one before.
 */
static void a_repeat_that_brings_new_bytes_is_never_withheld(void **state)
{
    (void)state;
    conf.retest_after_ns = 0;
    start();
    for (unsigned i = 0; i < 20000; i++, now_ns += 10 * MS) {
        struct packet p = segment, both = segment;
        segment.seq += 500;
        offer(p);
        if (i % 10 != 0) {
            offer(p);
            continue;
        }
        segment.seq += 500; /* never seen */
        offer(segment);
        segment.seq += 500;
        both.payload_len = 1000;
        assert_int_equal(offer(both), FRAME_FORWARD);
        struct event e;
        while (penny_take(penny, &e))
            ;
    }
}

static void where_most_segments_come_out_of_order_no_word_is_said(void **state)
{
    (void)state;
    start();
    until_drop();
    for (unsigned i = 0; i < 600; i++, now_ns += 10 * MS) {
        static const int32_t order[] = {3, 1, -1, -3}; /* 0 1 2 3 come as 3 2 1 0 */
        struct packet p = segment;
        p.seq += (uint32_t)(order[i % 4] * 500);
        segment.seq += 500;
        offer(p);
    }
    wait_until_over();
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(e.test_ended.reason, "out of order"));
}

static void a_full_flow_table_keeps_a_part_counts_the_rest_and_forgets_the_idle(void **state)
{
    (void)state;
    conf.max_flows = 100;
    conf.max_duration_ns = 1000 * SIM_S;
    start();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            segment.src_port = (uint16_t)(round * 1000 + i + 1);
            now_ns += MS;
            assert_int_equal(offer(segment), FRAME_FORWARD);
        }
        for (unsigned i = 0; i < 700; i++)
            penny_tick(penny, now_ns += 100 * MS);
    }
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_true(stats.flows_refused + stats.not_sampled >= 2000); /* sample.h */
    segment.src_port = 50000;
    until_drop(); /* there is room again */
}

static void the_flow_table_finds_what_was_added_and_nothing_else(void **state)
{
    (void)state;
    struct flow_table t;
    struct hash_key key = {1, 2};
    assert_int_equal(flow_table_init(&t, 1000, 1000, key), 0);
    static bool is_there[3000];
    struct prf prf = prf_init(1, 1);
    unsigned count = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t n = (uint32_t)prf_below(&prf, 3000);
        struct flow_key k = {.src_port = (uint16_t)n, .family = ADDR_V4};
        uint64_t hash = flow_table_hash(&t, &k);
        struct flow *flow = flow_table_find(&t, &k, hash);
        assert_true((flow != NULL) == is_there[n]);
        if (flow != NULL) {
            assert_int_equal(flow->key.src_port, n);
            flow_table_remove(&t, flow);
            is_there[n] = false;
            count--;
        } else {
            flow = flow_table_add(&t, &k, hash, 5000);
            assert_true((flow != NULL) == (count < 1000));
            is_there[n] = flow != NULL;
            count += flow != NULL;
        }
    }
    for (unsigned i = 0; i < 200; i++)
        flow_table_expire(&t, 6000 + i * 20, 64);
    assert_int_equal(t.free_count, 1000);
    flow_table_clear(&t);
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_test_starts_with_its_first_packet_and_names_prefix_and_ingress),
        T(a_withheld_segment_that_comes_again_is_reported_with_its_delay),
        T(parts_and_coalesced_segments_count_as_coming_again),
        T(a_return_after_the_window_is_no_return),
        T(keep_alives_and_window_probes_are_no_returns),
        T(a_reset_makes_a_drop_invalid),
        T(an_invalid_drop_leaves_its_block_without_evidence),
        T(a_fin_does_not_excuse_a_missing_return),
        T(a_flow_that_falls_silent_makes_its_drop_invalid),
        T(only_new_data_in_order_is_ever_withheld),
        T(a_flow_seen_in_the_middle_is_tested_after_a_short_grace),
        T(udp_alone_ends_inconclusive_for_want_of_tcp),
        T(too_little_traffic_is_said_in_words),
        T(after_a_test_the_aggregate_rests_and_is_tested_again),
        T(finish_makes_pending_drops_invalid_and_ends_every_test),
        T(the_watch_list_changes_while_tests_run),
        T(nothing_is_withheld_whose_event_has_no_room),
        T(no_flow_loses_more_than_its_budget_in_one_test),
        T(no_more_is_withheld_in_a_second_than_the_rate_over_all_tests),
        T(the_repeat_of_a_withheld_segment_is_withheld_too_when_the_sender_repeats_all),
        T(the_first_segments_after_ports_are_used_anew_are_never_withheld),
        T(single_bytes_of_data_are_in_order_and_keep_alives_change_nothing),
        T(a_repeat_that_brings_new_bytes_is_never_withheld),
        T(where_most_segments_come_out_of_order_no_word_is_said),
        T(a_full_flow_table_keeps_a_part_counts_the_rest_and_forgets_the_idle),
        T(the_flow_table_finds_what_was_added_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Half a sight: a sender's answers went past the sensor while it stood still, so nobody may
 * conclude that he gave none. Every test here plays the same genuine senders to all three kinds of
 * engine. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"
#include "tests/sensor/penny/engine.h"

#define FLOWS 20
#define BYTES 500

static uint32_t next_seq[FLOWS];
static struct packet withheld[64];
static unsigned withheld_count;

/* what was heard */
static unsigned started, ended, invalid, answered, unanswered;
static struct event_test_ended last;

static int up(void **state)
{
    (void)state;
    engine_conf(2);
    conf.drop_probability = .05;
    conf.retest_after_ns = 3600 * SIM_S;
    conf.passive_flows = 1000;
    conf.passive_rows = 1000;
    conf.passive_idle_ns = 60 * SIM_S;
    withheld_count = started = ended = invalid = answered = unanswered = 0;
    for (unsigned i = 0; i < FLOWS; i++)
        next_seq[i] = 1000;
    return 0;
}

static void hear(void)
{
    struct event e;
    while (penny_take(penny, &e)) {
        started += e.type == EVENT_test_started;
        if (e.type == EVENT_drop) {
            invalid += e.drop.outcome == DROP_INVALID;
            answered += e.drop.outcome == DROP_RETRANSMITTED;
            unanswered += e.drop.outcome == DROP_UNANSWERED;
        }
        if (e.type == EVENT_test_ended) {
            ended++;
            last = e.test_ended;
        }
    }
}

static struct packet segment_of(unsigned flow)
{
    struct packet p = engine_segment((uint16_t)(4000 + flow), next_seq[flow]);
    p.payload_len = BYTES;
    return p;
}

static enum verdict_frame offer(struct packet p)
{
    enum verdict_frame verdict = penny_packet(penny, &p, now_ns);
    hear();
    return verdict;
}

/* Everybody sends one segment in order; who finds his withheld repeats it, perhaps. */
static void round_of_all(void)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        struct packet p = segment_of(i);
        now_ns += MS;
        if (offer(p) == FRAME_DROP && withheld_count < 64)
            withheld[withheld_count++] = p;
        next_seq[i] += BYTES;
    }
    penny_tick(penny, now_ns);
    hear();
}

/* Until three drops are under way: their senders see the loss and repeat it, one round trip later.
 */
static void until_drops_are_pending(void)
{
    for (unsigned i = 0; i < 200 && withheld_count < 3; i++)
        round_of_all();
    assert_true(withheld_count >= 3);
    assert_int_equal(ended, 0);
}

/* The sensor stands still for so long; all that is sent meanwhile goes past it, repeats included.
 */
static void stand_still(uint64_t ns)
{
    now_ns += ns;
    for (unsigned i = 0; i < FLOWS; i++)
        next_seq[i] += 20 * BYTES;
    withheld_count = 0;
}

/* The senders go on, and answer what is withheld from now on: by fast retransmit. */
static void go_on(uint64_t ns)
{
    for (uint64_t end = now_ns + ns; now_ns < end;) {
        round_of_all();
        while (withheld_count > 0)
            assert_int_equal(offer(withheld[--withheld_count]), FRAME_FORWARD);
    }
}

/* A sensor that is starved of its processor: whenever it withheld something, it stands still for
 * two seconds, in which the sender answers. */
static void stop_and_go(bool is_told)
{
    start();
    until_drops_are_pending();
    stand_still(2 * SIM_S);
    for (unsigned i = 0; i < 400 && ended == 0; i++) {
        if (is_told)
            penny_lost_sight(penny, now_ns);
        round_of_all();
        if (withheld_count > 0)
            stand_still(2 * SIM_S);
    }
}

/* In the middle of a test. Returns how many drops were pending. */
static unsigned lose_sight_for(uint64_t ns)
{
    start();
    until_drops_are_pending();
    unsigned pending = withheld_count;
    stand_still(ns);
    penny_lost_sight(penny, now_ns);
    return pending;
}

/* The fault that penny_lost_sight() is for: these senders would show it. */
static void without_a_word_of_it_genuine_senders_would_be_called_spoofed(void **state)
{
    (void)state;
    stop_and_go(false);
    assert_int_equal(answered, 0);
    assert_true(unanswered > 0);
    assert_int_equal(ended, 1);
    assert_int_equal(last.verdict, VERDICT_SPOOFED);
}

static void who_answered_while_the_sensor_stood_still_is_not_spoofed(void **state)
{
    (void)state;
    stop_and_go(true);
    assert_int_equal(ended, 1);
    assert_int_equal(unanswered, 0);
    assert_int_equal(last.verdict, VERDICT_INCONCLUSIVE);
}

static void pending_drops_are_invalid_though_their_windows_are_over(void **state)
{
    (void)state;
    unsigned pending = lose_sight_for(10 * SIM_S);
    hear();
    assert_int_equal(invalid, pending);
    assert_int_equal(answered + unanswered, 0);
    assert_int_equal(ended, 1);
    assert_int_equal(last.verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(last.invalid, pending);
    assert_string_equal(last.reason, "the sensor did not see all of this prefix's packets");
    assert_int_equal(last.ended_at, now_ns);
}

static void what_stood_in_the_ring_is_forwarded_and_not_judged(void **state)
{
    (void)state;
    lose_sight_for(10 * SIM_S);
    for (unsigned i = 0; i < 2048; i++) {
        struct packet p = segment_of(i % FLOWS);
        next_seq[i % FLOWS] += BYTES;
        assert_int_equal(offer(p), FRAME_FORWARD);
    }
    assert_int_equal(started, 1);
    assert_int_equal(ended, 1);
}

static void the_prefix_is_tested_again_soon_and_then_rightly(void **state)
{
    (void)state;
    lose_sight_for(10 * SIM_S);
    go_on(conf.timeout_ns - 100 * MS);
    assert_int_equal(started, 1);
    go_on(60 * SIM_S);
    assert_int_equal(started, 2);
    assert_int_equal(ended, 2);
    assert_int_equal(last.verdict, VERDICT_GENUINE);
}

static void after_a_test_with_sight_the_pause_is_the_usual_one(void **state)
{
    (void)state;
    lose_sight_for(SIM_S);
    go_on(120 * SIM_S);
    assert_int_equal(ended, 2);
    assert_int_equal(started, 2); /* the second one had its word, and rests an hour */
}

/* Sight lost every five seconds for an hour: drops must not be a hundred times as many for it. */
static void sight_that_is_lost_again_and_again_costs_few_drops(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 720; i++) {
        round_of_all();
        withheld_count = 0;
        stand_still(5 * SIM_S);
        penny_lost_sight(penny, now_ns);
        hear();
    }
    assert_in_range(started, 2, 14); /* pauses double: 3 s, 6 s, … 51 min, an hour */
    assert_int_equal(unanswered, 0);
}

static void sight_is_lost_without_harm_when_nothing_runs(void **state)
{
    (void)state;
    start();
    penny_lost_sight(penny, now_ns);
    hear();
    assert_int_equal(started + ended, 0);
    round_of_all();
    assert_int_equal(started, 1); /* nothing was asked, so nothing has to be waited for */
}

static void the_papers_rule_is_as_careful(void **state)
{
    (void)state;
    conf.rule = PENNY_PAPER;
    unsigned pending = lose_sight_for(10 * SIM_S);
    hear();
    assert_int_equal(invalid, pending);
    assert_int_equal(answered + unanswered, 0);
    assert_int_equal(ended, 1);
    assert_int_equal(last.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(last.reason, "the sensor did not see all of this prefix's packets");
    go_on(60 * SIM_S);
    assert_true(started >= 2);
    assert_int_equal(last.verdict, VERDICT_GENUINE);
}

/* A gap, a FIN, and the missing segment goes past. */
static void a_gap_whose_end_nobody_saw_is_not_held_against_its_sender(void **state)
{
    (void)state;
    conf.mode = PENNY_PASSIVE;
    start();
    for (unsigned i = 0; i < 10; i++)
        round_of_all();
    next_seq[0] += BYTES;
    struct packet fin = segment_of(0);
    fin.tcp_flags = TCP_ACK | TCP_FIN;
    offer(fin);
    stand_still(10 * SIM_S);
    penny_lost_sight(penny, now_ns);
    struct event e;
    bool is_told = false;
    for (unsigned i = 0; i < 10; i++) {
        penny_tick(penny, now_ns += MS);
        while (penny_take(penny, &e)) {
            if (e.type == EVENT_passive_total)
                assert_int_equal(e.passive_total.gaps_unfilled, 0);
            if (e.type != EVENT_test_ended)
                continue;
            is_told = true;
            assert_non_null(strstr(e.test_ended.reason, "did not see all"));
            assert_null(strstr(e.test_ended.reason, "open loop"));
        }
    }
    assert_true(is_told);
    now_ns += conf.timeout_ns;
    round_of_all();
    assert_int_equal(started, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            without_a_word_of_it_genuine_senders_would_be_called_spoofed, up, down),
        cmocka_unit_test_setup_teardown(who_answered_while_the_sensor_stood_still_is_not_spoofed,
                                        up, down),
        cmocka_unit_test_setup_teardown(pending_drops_are_invalid_though_their_windows_are_over, up,
                                        down),
        cmocka_unit_test_setup_teardown(what_stood_in_the_ring_is_forwarded_and_not_judged, up,
                                        down),
        cmocka_unit_test_setup_teardown(the_prefix_is_tested_again_soon_and_then_rightly, up, down),
        cmocka_unit_test_setup_teardown(after_a_test_with_sight_the_pause_is_the_usual_one, up,
                                        down),
        cmocka_unit_test_setup_teardown(sight_that_is_lost_again_and_again_costs_few_drops, up,
                                        down),
        cmocka_unit_test_setup_teardown(sight_is_lost_without_harm_when_nothing_runs, up, down),
        cmocka_unit_test_setup_teardown(the_papers_rule_is_as_careful, up, down),
        cmocka_unit_test_setup_teardown(a_gap_whose_end_nobody_saw_is_not_held_against_its_sender,
                                        up, down),
    };
    return cmocka_run_group_tests_name("sight", tests, NULL, NULL);
}

/* The paper's rule: by hand, and against the numbers that its authors' own code reaches.
 *   test_paper            the tests
 *   test_paper --table    both tables of docs/penny-paper.md, which paper_table.sh compares */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"
#include "tests/sensor/penny/engine.h"

/* ---- what the rule reaches elsewhere: docs/penny-paper.md says where ---- */

enum { CLOSED, NOT, EXCEEDED, UNDECIDED, OUTCOMES };

/* Percent, from and to; to < 0: not said. */
struct reference {
    double from, to;
};
#define P(from, to) \
    {               \
        from, to    \
    }
#define UNSAID P(0, -1)

static int outcome_of(uint8_t word)
{
    switch (word) {
    case VERDICT_GENUINE:
        return CLOSED;
    case VERDICT_DUPLICATES_EXCEEDED:
        return EXCEEDED;
    case VERDICT_INCONCLUSIVE:
        return UNDECIDED;
    default: /* spoofed or mixed: the aggregate is not closed loop */
        return NOT;
    }
}

/* A share of n tests against the reference's percents, which are rounded: four standard errors. */
static bool agrees(unsigned count, unsigned n, struct reference want, double rounding)
{
    if (want.to < 0)
        return true;
    double from = (want.from - rounding) / 100, to = (want.to + rounding) / 100;
    double share = (double)count / n, least = 1.0 / n;
    double below = 4 * sqrt(fmax(from * (1 - from), least) / n);
    double above = 4 * sqrt(fmax(to * (1 - to), least) / n);
    return share >= from - below && share <= to + above;
}

static void say_reference(char *out, size_t room, const struct reference *p)
{
    static const char *const names[] = {"closed", "not", "dup.", "open"};
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < OUTCOMES; i++) {
        if (p[i].to < 0)
            continue;
        at += (size_t)snprintf(out + at, room - at, "%s%s %g", at > 0 ? ", " : "", names[i],
                               p[i].from);
        if (p[i].to > p[i].from)
            at += (size_t)snprintf(out + at, room - at, "–%g", p[i].to);
        at += (size_t)snprintf(out + at, room - at, " %%");
    }
}

static void print_shares(const char *name, unsigned n, const unsigned *count,
                         const struct reference *p)
{
    char want[128];
    say_reference(want, sizeof want, p);
    printf("| %s | %s | %u", name, want, n);
    for (int i = 0; i < OUTCOMES; i++)
        printf(" | %.1f %%", 100.0 * count[i] / n);
}

/* ---- traffic in virtual time, roughly as in the authors' ns-3 runs ---- */

#define RTT (70 * MS)
#define G(n, per_s, ...)                                                            \
    {                                                                               \
        .flows = n, .is_genuine = true, .rate = per_s, .rtt_ns = RTT, ##__VA_ARGS__ \
    }
#define S(n, per_s, ...)                         \
    {                                            \
        .flows = n, .rate = per_s, ##__VA_ARGS__ \
    }
#define OFTEN .repeat = .149, .repeat_after_ns = 1

static const struct sim_row {
    const char *name;
    struct sim_senders senders[2];
    struct reference reference[OUTCOMES];
} sim_rows[] = {
    {"10 genuine", {G(10, 50)}, {P(100, 100), P(0, 0), P(0, 0), P(0, 0)}},
    {"10 genuine, 3 % loss both ways",
     {G(10, 50, .loss_up = .03, .loss_down = .03)},
     {P(100, 100), P(0, 0), P(0, 0), P(0, 0)}},
    {"10 genuine, 12 % loss both ways",
     {G(10, 50, .loss_up = .12, .loss_down = .12)},
     {P(100, 100), P(0, 0), P(0, 0), P(0, 0)}},
    {"50:50", {G(10, 25), S(100, 2.5)}, {P(63, 83), P(0, 13), UNSAID, P(10, 23)}},
    {"50:50, spoofers repeat 14.9 %",
     {G(10, 25), S(100, 2.5, OFTEN)},
     {P(30, 57), P(10, 30), UNSAID, P(27, 53)}},
    {"20:80 of all packets, 17:83 of the droppable",
     {G(10, 8.5), S(100, 4.15)},
     {P(0, 3), P(70, 93), UNSAID, UNSAID}},
    {"10:90", {G(10, 5), S(100, 4.5)}, {UNSAID, P(97, 100), UNSAID, UNSAID}},
    {"100 spoofed, repeat 14.9 %", {S(100, 5, OFTEN)}, {UNSAID, P(47, 67), P(33, 53), UNSAID}},
    {"100 spoofed, repeat all 0.5 s later",
     {S(100, 5, .repeat = 1, .repeat_after_ns = 500 * MS)},
     {P(80, 80), UNSAID, UNSAID, UNSAID}},
    {"100 spoofed, repeat all 2 s later",
     {S(100, 5, .repeat = 1, .repeat_after_ns = 2000 * MS)},
     {P(100, 100), UNSAID, UNSAID, UNSAID}},
};
#define SIM_ROWS  (sizeof sim_rows / sizeof *sim_rows)
#define SIM_TESTS 300

struct tally {
    unsigned count[OUTCOMES];
    uint64_t drops, took_ms; /* means */
};

static struct tally run_sim_row(const struct sim_row *row)
{
    struct tally sum = {0};
    struct sim_case c = {.name = row->name,
                         .senders = {row->senders[0], row->senders[1]},
                         .rule = PENNY_PAPER,
                         .skip = 1,     /* so that all flows are known, as in ns-3 */
                         .budget = 12}; /* the aggregate's word: no flow is looked at alone */
    for (unsigned i = 0; i < SIM_TESTS; i++) {
        struct sim_result r;
        sim_run(&c, 900 + i, &r);
        assert_true(r.has_ended);
        assert_int_equal(r.ended.drops, 12);
        assert_int_equal(r.drop_events, 12);
        sum.count[outcome_of(r.ended.verdict)]++;
        sum.drops += r.ended.drops;
        sum.took_ms += r.took_ns / MS;
    }
    sum.drops /= SIM_TESTS;
    sum.took_ms /= SIM_TESTS;
    return sum;
}

static void it_says_what_it_said_in_its_authors_simulation(void **state)
{
    (void)state;
    unsigned broken = 0;
    for (size_t i = 0; i < SIM_ROWS; i++) {
        struct tally sum = run_sim_row(&sim_rows[i]);
        for (int o = 0; o < OUTCOMES; o++)
            if (!agrees(sum.count[o], SIM_TESTS, sim_rows[i].reference[o], 0)) {
                print_message("%s: outcome %d %u of %u\n", sim_rows[i].name, o, sum.count[o],
                              SIM_TESTS);
                broken++;
            }
    }
    assert_int_equal(broken, 0);
}

/* ---- independent coins and immediate feedback, through the whole engine ---- */

static const struct mc_row {
    const char *name;
    double genuine; /* share of the segments */
    double miss, genuine_repeat, spoofed_repeat;
    bool is_careful; /* spreads its repeats evenly, so that they stay below the limit */
    struct reference reference[OUTCOMES];
} mc_rows[] = {
    {"genuine, 1 % of returns missed", 1, .01, 0, 0, false, {P(100, 100), UNSAID, UNSAID, UNSAID}},
    {"genuine, 5 % missed, 6 % repeats",
     1,
     .05,
     .06,
     0,
     false,
     {P(99.98, 99.98), UNSAID, UNSAID, UNSAID}},
    {"genuine, 5 % missed, 20 % repeats",
     1,
     .05,
     .20,
     0,
     false,
     {P(3, 3), UNSAID, P(97, 97), UNSAID}},
    {"spoofed, no repeats", 0, 0, 0, 0, false, {UNSAID, P(100, 100), UNSAID, UNSAID}},
    {"spoofed, 14.9 % repeats", 0, 0, 0, .149, false, {UNSAID, P(53, 53), P(47, 47), UNSAID}},
    {"spoofed, 50 % repeats", 0, 0, 0, .5, false, {UNSAID, P(0, 0), P(100, 100), UNSAID}},
    {"spoofed, repeats 13.5 %, evenly",
     0,
     0,
     0,
     .135,
     true,
     {UNSAID, P(99.9, 99.9), UNSAID, UNSAID}},
    {"mixed 50:50, 1 % missed", .5, .01, 0, 0, false, {P(76, 76), P(9, 9), UNSAID, UNSAID}},
    {"mixed 20:80, 1 % missed", .2, .01, 0, 0, false, {P(6, 6), P(81, 81), UNSAID, UNSAID}},
    {"mixed 10:90, 1 % missed", .1, .01, 0, 0, false, {P(.4, .4), P(98, 98), UNSAID, UNSAID}},
};
#define MC_ROWS  (sizeof mc_rows / sizeof *mc_rows)
#define MC_TESTS 4000
#define MC_FLOWS 10 /* of each kind */

struct mc {
    const struct mc_row *row;
    struct penny *penny;
    struct prf prf;
    uint64_t now_ns;
    uint32_t next_seq[2 * MC_FLOWS];
    double owed; /* repeats of the careful sender */
    unsigned ended;
    struct tally sum;
};

static double chance(struct mc *m)
{
    return (double)(prf_next(&m->prf) >> 11) * 0x1p-53;
}

static bool repeats(struct mc *m, bool is_genuine)
{
    if (is_genuine)
        return chance(m) < m->row->genuine_repeat;
    if (!m->row->is_careful)
        return chance(m) < m->row->spoofed_repeat;
    m->owed += m->row->spoofed_repeat;
    if (m->owed < 1)
        return false;
    m->owed -= 1;
    return true;
}

/* One segment and what its sender makes of it: at once. Who gets no answer waits it out. */
static void mc_send(struct mc *m)
{
    bool is_genuine = chance(m) < m->row->genuine;
    unsigned flow = (unsigned)prf_below(&m->prf, MC_FLOWS) + (is_genuine ? 0 : MC_FLOWS);
    struct packet p = {.protocol = IPPROTO_TCP,
                       .tcp_flags = TCP_ACK,
                       .src = addr_v4("\xcb\0\x71\x05"),
                       .dst = addr_v4("\xc6\x33\x64\x09"),
                       .src_port = (uint16_t)(1024 + flow),
                       .dst_port = 80,
                       .seq = m->next_seq[flow],
                       .payload_len = 1000};
    m->next_seq[flow] += 1000;
    m->now_ns += MS;
    bool is_dropped = penny_packet(m->penny, &p, m->now_ns) == FRAME_DROP;
    bool comes_again =
        is_dropped && is_genuine ? chance(m) >= m->row->miss : repeats(m, is_genuine);
    if (comes_again)
        assert_int_equal(penny_packet(m->penny, &p, m->now_ns), FRAME_FORWARD);
    else if (is_dropped)
        m->now_ns += 7 * SIM_S;
}

static void mc_take(struct mc *m)
{
    struct event e;
    while (penny_take(m->penny, &e)) {
        if (e.type != EVENT_test_ended)
            continue;
        assert_int_equal(e.test_ended.drops, 12);
        m->sum.count[outcome_of(e.test_ended.verdict)]++;
        m->sum.drops += e.test_ended.drops;
        m->ended++;
    }
}

static struct tally run_mc_row(const struct mc_row *row)
{
    engine_conf(1);
    conf.rule = PENNY_PAPER;
    conf.budget = 12;
    conf.max_tests = 1;
    conf.max_flows = 64;
    conf.retest_after_ns = 0;
    conf.max_duration_ns = conf.flow_idle_ns = 10000 * SIM_S;
    struct mc m = {.row = row, .prf = prf_init((uint64_t)(row - mc_rows), 5), .now_ns = SIM_S};
    assert_int_equal(penny_new(&conf, &ingress, 11 + (uint64_t)(row - mc_rows), &m.penny), 0);
    while (m.ended < MC_TESTS) {
        mc_send(&m);
        penny_tick(m.penny, m.now_ns);
        mc_take(&m);
    }
    penny_free(m.penny);
    m.sum.drops /= MC_TESTS;
    return m.sum;
}

static void it_reaches_the_shares_of_the_rule_alone_with_independent_coins(void **state)
{
    (void)state;
    unsigned broken = 0;
    for (size_t i = 0; i < MC_ROWS; i++) {
        struct tally sum = run_mc_row(&mc_rows[i]);
        for (int o = 0; o < OUTCOMES; o++)
            if (!agrees(sum.count[o], MC_TESTS, mc_rows[i].reference[o], .5)) {
                print_message("%s: outcome %d %u of %u\n", mc_rows[i].name, o, sum.count[o],
                              MC_TESTS);
                broken++;
            }
    }
    assert_int_equal(broken, 0);
}

/* ---- by hand ---- */

static int up(void **state)
{
    (void)state;
    engine_conf(1);
    conf.rule = PENNY_PAPER;
    return 0;
}

static enum verdict_frame offer(struct packet p)
{
    return penny_packet(penny, &p, now_ns);
}

static enum verdict_frame offer_next(struct packet *flow)
{
    struct packet p = *flow;
    flow->seq += flow->payload_len;
    now_ns += MS;
    return offer(p);
}

/* Sends on until a segment is withheld: that one. */
static struct packet until_drop(struct packet *flow)
{
    for (unsigned i = 0; i < 2000; i++) {
        struct packet p = *flow;
        if (offer_next(flow) == FRAME_DROP)
            return p;
    }
    fail_msg("nothing was withheld");
    return *flow;
}

static void flag(const struct packet *flow, uint8_t flags)
{
    struct packet p = *flow;
    p.payload_len = 0;
    p.tcp_flags = flags;
    offer(p);
}

static bool next_event(uint8_t type, struct event *e)
{
    while (penny_take(penny, e))
        if (e->type == type)
            return true;
    return false;
}

static void wait_ns(uint64_t ns)
{
    now_ns += ns;
    penny_tick(penny, now_ns);
}

static void the_events_of_a_test_name_the_rule(void **state)
{
    (void)state;
    start();
    struct packet flow = engine_segment(4000, 1000);
    struct event e;
    offer_next(&flow);
    assert_true(next_event(EVENT_test_started, &e));
    assert_string_equal(e.test_started.rule, "paper");
    for (unsigned i = 0; i < 12; i++) {
        offer(until_drop(&flow));
        assert_true(next_event(EVENT_drop, &e));
        assert_int_equal(e.drop.outcome, DROP_RETRANSMITTED);
    }
    assert_true(next_event(EVENT_test_ended, &e));
    assert_string_equal(e.test_ended.rule, "paper");
    assert_int_equal(e.test_ended.verdict, VERDICT_GENUINE);
    assert_true(e.test_ended.genuine_low == 0 && e.test_ended.genuine_high == 1);
    assert_true(e.test_ended.genuine_evidence == 0 && e.test_ended.open_evidence == 0);
}

struct hand {
    uint64_t droppable, duplicates;
};

/* One flow: `returns` of its drops come again at once, and one of `every` kept segments. */
static struct hand drive(unsigned returns, unsigned every)
{
    struct packet flow = engine_segment(4000, 0xffff8000); /* over the wrap */
    struct hand h = {0};
    offer_next(&flow);
    offer_next(&flow);
    for (unsigned drops = 0; drops < 12;) {
        struct packet p = flow;
        bool is_dropped = offer_next(&flow) == FRAME_DROP;
        h.droppable++;
        if (is_dropped && drops < returns)
            offer(p);
        if (!is_dropped && every > 0 && h.droppable % every == 0) {
            offer(p);
            h.duplicates++;
        }
        drops += is_dropped;
    }
    for (unsigned i = 0; i < 100; i++) /* after the last drop: repeated or not, not counted */
        offer_next(&flow);
    wait_ns(3 * SIM_S);
    return h;
}

static void p_and_word_are_those_of_the_formula(void **state)
{
    (void)state;
    static const unsigned every[] = {0, 50, 8, 5};
    for (unsigned i = 0; i < 4 * 13; i++) {
        unsigned returns = i % 13;
        struct event e;
        conf.budget = 12;
        start();
        struct hand h = drive(returns, every[i / 13]);
        assert_true(next_event(EVENT_test_ended, &e));
        const struct event_test_ended *t = &e.test_ended;
        assert_int_equal(t->retransmitted, returns);
        assert_int_equal(t->unanswered, 12 - returns);
        assert_int_equal(t->droppable, h.droppable);
        assert_int_equal(t->controls, h.droppable - 12);
        assert_int_equal(t->duplicates, h.duplicates);
        double f = (h.duplicates > 0 ? (double)h.duplicates : 1) / (double)(h.droppable - 12);
        double h1 = pow(.05, 12 - returns), h2 = pow(f, returns), p = h1 / (h1 + h2);
        int word = f > .15   ? VERDICT_DUPLICATES_EXCEEDED
                   : p > .99 ? VERDICT_GENUINE
                   : p < .01 ? VERDICT_SPOOFED
                             : VERDICT_INCONCLUSIVE;
        assert_int_equal(t->verdict, word);
        assert_true(fabs(t->genuine_probability - (f > .15 ? .5 : p)) < 1e-12);
        down(NULL);
    }
}

static void a_drop_that_the_flow_sent_beyond_is_unanswered_after_the_timeout(void **state)
{
    (void)state;
    start();
    struct packet flow = engine_segment(4000, 1000);
    struct event e;
    until_drop(&flow);
    uint64_t dropped_ns = now_ns;
    offer_next(&flow);
    wait_ns(dropped_ns + 3 * SIM_S - 1 - now_ns);
    assert_false(next_event(EVENT_drop, &e));
    wait_ns(1);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_UNANSWERED);
    assert_int_equal(e.drop.dropped_at, dropped_ns);
}

static void a_drop_that_nothing_followed_has_twice_the_time(void **state)
{
    (void)state;
    for (unsigned comes = 0; comes < 2; comes++) {
        start();
        struct packet flow = engine_segment(4000, 1000);
        struct packet lost = until_drop(&flow);
        struct event e;
        wait_ns(6 * SIM_S - 1);
        assert_false(next_event(EVENT_drop, &e));
        if (comes)
            offer(lost);
        wait_ns(1);
        assert_true(next_event(EVENT_drop, &e));
        assert_int_equal(e.drop.outcome, comes ? DROP_RETRANSMITTED : DROP_UNANSWERED);
        down(NULL);
    }
}

/* OpenPenny: a FIN erases what is pending, and the spoofer escapes. */
static void a_fin_cancels_nothing(void **state)
{
    (void)state;
    for (unsigned comes = 0; comes < 2; comes++) {
        start();
        struct packet flow = engine_segment(4000, 1000);
        struct packet lost = until_drop(&flow);
        struct event e;
        flag(&flow, TCP_FIN | TCP_ACK);
        wait_ns(SIM_S);
        if (comes)
            offer(lost);
        wait_ns(5 * SIM_S);
        assert_true(next_event(EVENT_drop, &e));
        assert_int_equal(e.drop.outcome, comes ? DROP_RETRANSMITTED : DROP_UNANSWERED);
        down(NULL);
    }
}

/* OpenPenny: three flows that end by RST spend the budget for good. */
static void a_reset_makes_a_drop_invalid_and_another_one_is_drawn(void **state)
{
    (void)state;
    start();
    struct packet ender = engine_segment(3000, 1), flow = engine_segment(4000, 1000);
    struct event e;
    until_drop(&ender);
    flag(&ender, TCP_RST);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_INVALID);
    for (unsigned i = 0; i < 12; i++)
        offer(until_drop(&flow));
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_GENUINE);
    assert_int_equal(e.test_ended.drops, 13);
    assert_int_equal(e.test_ended.retransmitted, 12);
    assert_int_equal(e.test_ended.invalid, 1);
    uint32_t sent = (ender.seq - 1) / 500 + (flow.seq - 1000) / 500;
    assert_int_equal(e.test_ended.droppable, sent - 4); /* two of each flow are its grace */
}

static void resets_alone_end_inconclusive_and_cost_no_more_than_the_budget(void **state)
{
    (void)state;
    start();
    unsigned drops = 0;
    struct event e;
    for (uint16_t port = 1; !next_event(EVENT_test_ended, &e); port++) {
        assert_true(port < 5000);
        struct packet flow = engine_segment(port, 7);
        for (unsigned i = 0; i < 20; i++)
            drops += offer_next(&flow) == FRAME_DROP;
        flag(&flow, TCP_RST);
    }
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(e.test_ended.reason, "budget spent: 0 of 12 drops resolved");
    assert_int_equal(e.test_ended.drops, drops);
    assert_int_equal(e.test_ended.invalid, drops);
    assert_int_equal(drops, 60);
}

static void parts_and_coalesced_segments_are_answers_and_no_duplicates(void **state)
{
    (void)state;
    conf.max_drops = 1;
    conf.budget = 1;
    start();
    struct packet flow = engine_segment(4000, 1000);
    struct packet part = until_drop(&flow);
    struct event e;
    offer_next(&flow);
    part.seq -= 300;
    part.payload_len = 600; /* the end of the one before and 300 of its bytes */
    offer(part);
    assert_false(next_event(EVENT_drop, &e));
    part.seq += 600;
    part.payload_len = 1400; /* its rest, the one after, and some that is new */
    offer(part);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_RETRANSMITTED);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.duplicates, 0);
}

static void keep_alives_and_window_probes_are_neither_answers_nor_duplicates(void **state)
{
    (void)state;
    conf.max_drops = conf.budget = 1;
    start();
    struct packet flow = engine_segment(4000, 1000);
    struct packet probe = until_drop(&flow);
    struct event e;
    probe.payload_len = 1;
    for (unsigned i = 0; i < 500; i++, probe.seq++)
        offer(probe);
    wait_ns(6 * SIM_S);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_UNANSWERED);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.duplicates, 0);
}

/* The snapshot: what is repeated after the last drop counts only with the oldest pending one. */
static void late_duplicates_count_only_in_the_flow_of_the_oldest_pending_drop(void **state)
{
    (void)state;
    conf.max_drops = conf.budget = 1;
    for (unsigned i = 0; i < 3; i++) {
        start();
        struct packet other = engine_segment(3000, 1), flow = engine_segment(4000, 1000);
        for (unsigned j = 0; j < 5; j++)
            assert_int_equal(offer_next(&other), FRAME_FORWARD); /* with this seed */
        struct packet lost = until_drop(&flow), repeat = i == 0 ? other : lost;
        offer_next(&flow);
        if (i == 2)
            repeat = flow; /* beyond the drop */
        repeat.seq -= 500;
        offer(repeat);
        wait_ns(3 * SIM_S);
        struct event e;
        assert_true(next_event(EVENT_test_ended, &e));
        assert_int_equal(e.test_ended.duplicates, i == 1);
        down(NULL);
    }
}

static void finish_makes_pending_drops_invalid(void **state)
{
    (void)state;
    start();
    struct packet flow = engine_segment(4000, 1000);
    offer(until_drop(&flow));
    until_drop(&flow);
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_drop, &e));
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_INVALID);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_INCONCLUSIVE);
    assert_string_equal(e.test_ended.reason, "sensor stopped: 1 of 12 drops resolved");
    assert_true(e.test_ended.genuine_probability == .5);
}

static void what_comes_after_the_last_drop_takes_no_part(void **state)
{
    (void)state;
    start();
    struct packet flow = engine_segment(4000, 0);
    for (unsigned i = 0; i < 12; i++)
        until_drop(&flow);
    uint32_t sent = flow.seq / 500;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(offer_next(&flow), FRAME_FORWARD);
    penny_finish(penny, now_ns);
    struct event e;
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.invalid, 12);
    assert_int_equal(e.test_ended.droppable, sent - 2);
}

static void the_watch_list_changes_while_a_test_runs(void **state)
{
    (void)state;
    start();
    struct packet flow = engine_segment(4000, 1000);
    struct packet lost = until_drop(&flow);
    struct prefix list[2] = {conf.prefixes[0]};
    prefix_parse("203.0.113.0/28", &list[1]);
    struct event e;
    assert_int_equal(penny_watch(penny, list, 2), 0); /* the flow belongs to the narrow one now */
    offer(lost);
    wait_ns(6 * SIM_S);
    assert_true(next_event(EVENT_drop, &e));
    assert_int_equal(e.drop.outcome, DROP_INVALID);
    assert_int_equal(penny_watch(penny, list, 0), 0);
    assert_true(next_event(EVENT_test_ended, &e));
    assert_string_equal(e.test_ended.reason, "no longer watched");
}

static void no_more_is_withheld_per_second_than_allowed(void **state)
{
    (void)state;
    conf.drop_probability = .5;
    conf.drops_per_s = 2;
    start();
    struct packet flow = engine_segment(4000, 1000);
    unsigned drops = 0;
    for (unsigned i = 0; i < 2000; i++) /* 1 ms apart; each is answered at once */
        if (offer_next(&flow) == FRAME_DROP) {
            struct packet again = flow;
            again.seq -= 500;
            offer(again);
            drops++;
        }
    assert_in_range(drops, 4, 6); /* what one second's saving and two seconds allow */
    struct penny_stats stats;
    penny_stats(penny, &stats);
    assert_true(stats.rate_limited > 100);
}

static void nothing_is_withheld_whose_event_has_no_room(void **state)
{
    (void)state;
    conf.max_tests = 1;
    conf.retest_after_ns = 0;
    conf.max_duration_ns = 4 * SIM_S;
    start();
    struct packet flow = engine_segment(4000, 1000);
    unsigned drops = 0, told = 0, started = 0, ended = 0;
    for (unsigned i = 0; i < 20000; i++, now_ns += 10 * MS) { /* nobody takes events */
        drops += offer_next(&flow) == FRAME_DROP;
        penny_tick(penny, now_ns);
    }
    penny_finish(penny, now_ns);
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
    assert_true(stats.no_room > 0);
}

/* ---- flows one by one ---- */

struct crowd {
    struct packet flow[6];
    unsigned genuine;  /* the first so many answer */
    unsigned drops[6]; /* after the aggregate's twelve */
    uint16_t order[6]; /* ports in the order of their first drop then */
    unsigned seen, total;
    struct event_test_ended ended;
};

static bool crowd_send(struct crowd *c, unsigned i)
{
    struct packet p = c->flow[i];
    if (offer_next(&c->flow[i]) == FRAME_DROP) {
        c->total++;
        if (c->total > 12 && c->drops[i]++ == 0)
            c->order[c->seen++] = p.src_port;
        if (i < c->genuine)
            offer(p);
    }
    struct event e;
    penny_tick(penny, now_ns);
    if (!next_event(EVENT_test_ended, &e))
        return false;
    c->ended = e.test_ended;
    return true;
}

/* shares[i]: segments of flow i in a round. */
static struct crowd run_crowd(unsigned genuine, const unsigned *shares)
{
    struct crowd c = {.genuine = genuine};
    start();
    for (uint16_t i = 0; i < 6; i++)
        c.flow[i] = engine_segment((uint16_t)(4000 + i), 1000u * i);
    while (now_ns < 1000 * SIM_S)
        for (unsigned i = 0; i < 6; i++)
            for (unsigned j = 0; j < shares[i]; j++)
                if (crowd_send(&c, i))
                    return c;
    fail_msg("no end");
    return c;
}

static void a_genuine_flow_among_spoofed_ones_makes_it_mixed(void **state)
{
    (void)state;
    static const unsigned shares[6] = {1, 2, 2, 2, 2, 2};
    conf.budget = 84; /* room for each flow alone */
    conf.max_duration_ns = 900 * SIM_S;
    struct crowd c = run_crowd(1, shares);
    assert_int_equal(c.ended.verdict, VERDICT_MIXED);
    assert_true(c.ended.genuine_probability > .99);
    assert_int_equal(c.drops[0], 12);
    assert_int_equal(c.order[c.seen - 1], 4000);
    assert_int_equal(c.ended.drops, 12 + 12 * c.seen); /* each was looked at to its end */
    assert_true(strstr(c.ended.reason, "a flow alone is: 12 of 12") != NULL);
}

static void without_a_genuine_flow_it_is_spoofed_within_the_budget(void **state)
{
    (void)state;
    static const unsigned shares[6] = {1, 1, 1, 1, 1, 1};
    conf.max_duration_ns = 900 * SIM_S;
    struct crowd c = run_crowd(0, shares);
    assert_int_equal(c.ended.verdict, VERDICT_SPOOFED);
    assert_true(c.ended.genuine_probability < .01);
    assert_int_equal(c.ended.drops, 60);
    assert_int_equal(c.ended.unanswered, 60);
    assert_int_equal(c.seen, 4);
    assert_non_null(strstr(c.ended.reason, "flows alone: 0 of 4"));
}

static void a_flow_that_is_reset_while_it_is_looked_at_makes_room_for_the_next(void **state)
{
    (void)state;
    start();
    struct packet ender = engine_segment(3000, 1), flow = engine_segment(4000, 1000);
    struct event e;
    for (unsigned i = 0; i < 12; i++)
        until_drop(&ender);
    wait_ns(6 * SIM_S);
    until_drop(&ender);
    flag(&ender, TCP_RST);
    for (unsigned i = 0; i < 12; i++)
        offer(until_drop(&flow));
    assert_true(next_event(EVENT_test_ended, &e));
    assert_int_equal(e.test_ended.verdict, VERDICT_MIXED);
    assert_int_equal(e.test_ended.drops, 25);
    assert_int_equal(e.test_ended.invalid, 1);
}

/* What follows from the aggregate stands, however the looking at flows ends. */
static void a_stop_while_flows_are_looked_at_leaves_spoofed(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 2; how++) {
        start();
        struct packet flow = engine_segment(4000, 1000);
        struct event e;
        for (unsigned i = 0; i < 12; i++)
            until_drop(&flow);
        offer_next(&flow);
        wait_ns(3 * SIM_S);
        until_drop(&flow);
        assert_false(next_event(EVENT_test_ended, &e));
        if (how == 0)
            penny_finish(penny, now_ns);
        else
            for (unsigned i = 0; i < 3; i++)
                wait_ns(4 * SIM_S);
        assert_true(next_event(EVENT_test_ended, &e));
        assert_int_equal(e.test_ended.verdict, VERDICT_SPOOFED);
        assert_int_equal(e.test_ended.drops, 13);
        assert_int_equal(e.test_ended.invalid, how == 0);
        assert_memory_equal(e.test_ended.reason,
                            how == 0 ? "sensor stopped; not" : "traffic stopped; not", 19);
        down(NULL);
    }
}

static void the_same_traffic_and_seed_give_the_same_events(void **state)
{
    (void)state;
    struct sim_case c = {.name = "seed", .senders = {G(3, 50), S(5, 20)}, .rule = PENNY_PAPER};
    struct sim_result a, b, other;
    sim_run(&c, 7, &a);
    sim_run(&c, 7, &b);
    sim_run(&c, 8, &other);
    assert_true(a.hash == b.hash);
    assert_true(a.hash != other.hash);
}

/* Anything at all, on few ports, most of it in order or a repeat; each port wraps soon. */
static struct packet any_packet(struct prf *prf, uint32_t *next_seq)
{
    static const uint8_t odd[] = {TCP_SYN, TCP_RST, TCP_FIN | TCP_ACK, TCP_ACK | TCP_URG};
    uint16_t port = (uint16_t)prf_below(prf, 12);
    struct packet p = engine_segment(port, next_seq[port]);
    uint64_t what = prf_below(prf, 400);
    if (what < 4)
        p.tcp_flags = odd[what];
    else if (what == 4)
        p.seq = next_seq[port] = (uint32_t)prf_next(prf);
    else if (what < 120)
        p.seq -= 100 * (uint32_t)prf_below(prf, 14);
    else if (what < 130)
        p.seq += 100 * (uint32_t)prf_below(prf, 14);
    p.payload_len = what % 4 > 0 ? 500 : (uint16_t)prf_below(prf, 900);
    if ((int32_t)(p.seq + p.payload_len - next_seq[port]) > 0)
        next_seq[port] = p.seq + p.payload_len;
    return p;
}

static void whatever_packets_say_each_drop_is_told_once_and_within_the_budget(void **state)
{
    (void)state;
    conf.drop_probability = .5;
    conf.retest_after_ns = 0;
    conf.max_tests = 2;
    conf.max_flows = 16;
    conf.flow_idle_ns = 7 * SIM_S;
    start();
    struct prf prf = prf_init(3, 3);
    struct prefix lists[2][2] = {{conf.prefixes[0]}, {conf.prefixes[0]}};
    prefix_parse("203.0.113.0/28", &lists[1][1]);
    uint64_t drops = 0, told = 0, summed = 0;
    unsigned words[5] = {0};
    uint32_t next_seq[12] = {0xfffff000, 0xffff0000};
    for (unsigned i = 0; i <= 400000; i++) {
        struct event e;
        uint64_t rest = prf_below(&prf, 500);
        now_ns += rest == 0 ? 8 * SIM_S : rest < 20 ? SIM_S / 2 : MS;
        struct packet p = any_packet(&prf, next_seq);
        if (offer(p) == FRAME_DROP) {
            drops++;
            if (i / 50000 % 2 == 0 && p.src_port % 4 <= i / 100000) /* few answer, then all */
                offer(p);
        }
        if (rest < 60)
            penny_tick(penny, now_ns);
        if (prf_below(&prf, 5000) == 0)
            assert_int_equal(penny_watch(penny, lists[i % 2], 1 + i % 2), 0);
        if (i == 400000)
            penny_finish(penny, now_ns);
        while (penny_take(penny, &e)) {
            told += e.type == EVENT_drop;
            if (e.type != EVENT_test_ended)
                continue;
            const struct event_test_ended *t = &e.test_ended;
            summed += t->drops;
            words[t->verdict]++;
            assert_true(t->drops <= conf.budget);
            assert_int_equal(t->drops, t->retransmitted + t->unanswered + t->invalid);
            assert_int_equal(t->controls, t->droppable - t->drops);
            assert_true(t->droppable >= t->drops);
            assert_true(t->genuine_probability >= 0 && t->genuine_probability <= 1);
        }
    }
    assert_int_equal(told, drops);
    assert_int_equal(summed, drops);
    for (unsigned i = 0; i < 5; i++)
        assert_true(words[i] > 0);
}

static void print_tables(void)
{
    printf("| traffic | reference | tests | closed loop | not | dup. exceeded | undecided | mean "
           "time |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < SIM_ROWS; i++) {
        struct tally sum = run_sim_row(&sim_rows[i]);
        print_shares(sim_rows[i].name, SIM_TESTS, sum.count, sim_rows[i].reference);
        printf(" | %.1f s |\n", (double)sum.took_ms / 1000);
    }
    printf("\n| sender | reference | tests | closed loop | not | dup. exceeded | undecided |\n"
           "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < MC_ROWS; i++) {
        struct tally sum = run_mc_row(&mc_rows[i]);
        print_shares(mc_rows[i].name, MC_TESTS, sum.count, mc_rows[i].reference);
        printf(" |\n");
    }
}

#define T(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        print_tables();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        T(the_events_of_a_test_name_the_rule),
        T(p_and_word_are_those_of_the_formula),
        T(a_drop_that_the_flow_sent_beyond_is_unanswered_after_the_timeout),
        T(a_drop_that_nothing_followed_has_twice_the_time),
        T(a_fin_cancels_nothing),
        T(a_reset_makes_a_drop_invalid_and_another_one_is_drawn),
        T(resets_alone_end_inconclusive_and_cost_no_more_than_the_budget),
        T(parts_and_coalesced_segments_are_answers_and_no_duplicates),
        T(keep_alives_and_window_probes_are_neither_answers_nor_duplicates),
        T(late_duplicates_count_only_in_the_flow_of_the_oldest_pending_drop),
        T(finish_makes_pending_drops_invalid),
        T(what_comes_after_the_last_drop_takes_no_part),
        T(the_watch_list_changes_while_a_test_runs),
        T(no_more_is_withheld_per_second_than_allowed),
        T(nothing_is_withheld_whose_event_has_no_room),
        T(a_genuine_flow_among_spoofed_ones_makes_it_mixed),
        T(without_a_genuine_flow_it_is_spoofed_within_the_budget),
        T(a_flow_that_is_reset_while_it_is_looked_at_makes_room_for_the_next),
        T(a_stop_while_flows_are_looked_at_leaves_spoofed),
        T(the_same_traffic_and_seed_give_the_same_events),
        T(whatever_packets_say_each_drop_is_told_once_and_within_the_budget),
        cmocka_unit_test(it_says_what_it_said_in_its_authors_simulation),
        cmocka_unit_test(it_reaches_the_shares_of_the_rule_alone_with_independent_coins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

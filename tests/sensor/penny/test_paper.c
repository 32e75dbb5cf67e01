/* The paper's rule: by hand, and against the numbers that its authors' own code reaches.
 *   test_paper            the tests
 *   test_paper --table    both tables of docs/penny-paper.md, which paper_table.sh compares */
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/hash.h"
#include "tests/sensor/penny/sim.h"

#define MS UINT64_C(1000000)

/* ---- what the published rule reaches ---- */

enum { CLOSED, NOT, EXCEEDED, UNDECIDED, OUTCOMES };

/* Percent, from and to; to < 0: not published. */
struct published {
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

/* A share of n tests against the published percents, which are rounded: four standard errors. */
static bool agrees(unsigned count, unsigned n, struct published want, double rounding)
{
    if (want.to < 0)
        return true;
    double from = (want.from - rounding) / 100, to = (want.to + rounding) / 100;
    double share = (double)count / n, least = 1.0 / n;
    double below = 4 * sqrt(fmax(from * (1 - from), least) / n);
    double above = 4 * sqrt(fmax(to * (1 - to), least) / n);
    return share >= from - below && share <= to + above;
}

static void say_published(char *out, size_t room, const struct published *p)
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
                         const struct published *p)
{
    char want[128];
    say_published(want, sizeof want, p);
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
    struct published published[OUTCOMES];
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
    {"20:80", {G(10, 10), S(100, 4)}, {P(0, 3), P(70, 93), UNSAID, UNSAID}},
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
            if (!agrees(sum.count[o], SIM_TESTS, sim_rows[i].published[o], 0)) {
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
    struct published published[OUTCOMES];
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
    static struct penny_conf conf;
    static const struct ingress_table ingress = {.count = 1};
    sim_conf(&conf);
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

static void it_reaches_the_published_shares_with_independent_coins(void **state)
{
    (void)state;
    unsigned broken = 0;
    for (size_t i = 0; i < MC_ROWS; i++) {
        struct tally sum = run_mc_row(&mc_rows[i]);
        for (int o = 0; o < OUTCOMES; o++)
            if (!agrees(sum.count[o], MC_TESTS, mc_rows[i].published[o], .5)) {
                print_message("%s: outcome %d %u of %u\n", mc_rows[i].name, o, sum.count[o],
                              MC_TESTS);
                broken++;
            }
    }
    assert_int_equal(broken, 0);
}

static void print_tables(void)
{
    printf("| traffic | published | tests | closed loop | not | dup. exceeded | undecided | mean "
           "time |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < SIM_ROWS; i++) {
        struct tally sum = run_sim_row(&sim_rows[i]);
        print_shares(sim_rows[i].name, SIM_TESTS, sum.count, sim_rows[i].published);
        printf(" | %.1f s |\n", (double)sum.took_ms / 1000);
    }
    printf("\n| sender | published | tests | closed loop | not | dup. exceeded | undecided |\n"
           "| --- | --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < MC_ROWS; i++) {
        struct tally sum = run_mc_row(&mc_rows[i]);
        print_shares(mc_rows[i].name, MC_TESTS, sum.count, mc_rows[i].published);
        printf(" |\n");
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        print_tables();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_said_in_its_authors_simulation),
        cmocka_unit_test(it_reaches_the_published_shares_with_independent_coins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Input: six bytes of configuration, then records of four bytes: packets of a few flows (flags,
 * sequence numbers near the flow's own, lengths), time, ticks, events taken or left waiting,
 * changes of the watch list. The whole engine runs on it; whatever the input says,
 *   - withheld is only a TCP segment with data, in order for its flow, or old if repeats are being
 *     tested; without SYN, FIN, RST, URG; of a flow that was known before; never a fragment;
 *   - two first copies of one flow are withheld a gap apart; no test goes beyond its budget;
 *   - every withheld segment is told once, between the start and the end of its test, and the
 * counts of the test are those of its events;
 *   - at the end nothing is left: no test, no unit, no reserved room. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/engine.h"

#define FLOWS     16
#define TESTS_MAX 4096
#define NS_PER_MS UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct test_seen {
    uint8_t id[16];
    bool has_ended;
    uint64_t drops, outcomes[3];
};

struct run {
    struct penny_conf conf;
    struct penny *penny;
    uint64_t now_ns, withheld, told;
    uint32_t seq[FLOWS]; /* end of the highest segment sent */
    uint64_t drop_at_ns[FLOWS];
    bool has_dropped[FLOWS];
    unsigned test_count;
};

static struct test_seen tests[TESTS_MAX];

static void must(bool truth)
{
    if (!truth)
        abort();
}

/* ---- events ---- */

static struct test_seen *test_of(struct run *r, const uint8_t id[16])
{
    for (unsigned i = r->test_count; i-- > 0;)
        if (memcmp(tests[i].id, id, 16) == 0)
            return &tests[i];
    return NULL;
}

static void check_started(struct run *r, const struct event_test_started *e)
{
    must(test_of(r, e->test_id) == NULL && r->test_count < TESTS_MAX);
    tests[r->test_count] = (struct test_seen){0};
    memcpy(tests[r->test_count++].id, e->test_id, 16);
}

static void check_drop(struct run *r, const struct event_drop *e)
{
    struct test_seen *t = test_of(r, e->test_id);
    must(t != NULL && !t->has_ended && e->outcome < 3 && e->length >= 2);
    must(e->src.family == e->dst.family);
    must((e->outcome == DROP_RETRANSMITTED) == (e->answered_after != SPAN_NONE));
    t->drops++;
    t->outcomes[e->outcome]++;
    r->told++;
}

static void check_ended(struct run *r, const struct event_test_ended *e)
{
    struct test_seen *t = test_of(r, e->test_id);
    must(t != NULL && !t->has_ended);
    t->has_ended = true;
    must(e->drops == t->drops && e->retransmitted == t->outcomes[DROP_RETRANSMITTED]);
    must(e->unanswered == t->outcomes[DROP_UNANSWERED] && e->invalid == t->outcomes[DROP_INVALID]);
    must(e->drops <= (r->conf.budget > r->conf.max_drops ? r->conf.budget : r->conf.max_drops));
    must(e->genuine_probability >= 0 && e->genuine_probability <= 1);
    must(e->genuine_low >= 0 && e->genuine_low <= e->genuine_high && e->genuine_high <= 1);
    must(e->ended_at >= e->started_at && e->reason[0] != 0);
}

static void take_all(struct run *r)
{
    struct event e;
    while (penny_take(r->penny, &e)) {
        if (e.type == EVENT_test_started)
            check_started(r, &e.test_started);
        else if (e.type == EVENT_drop)
            check_drop(r, &e.drop);
        else {
            must(e.type == EVENT_test_ended);
            check_ended(r, &e.test_ended);
        }
    }
}

/* ---- packets ---- */

static const struct flow *known(struct run *r, const struct packet *p)
{
    struct flow_key key;
    flow_key_set(&key, p);
    return flow_table_find(&r->penny->flows, &key, flow_table_hash(&r->penny->flows, &key));
}

static struct packet packet_from(struct run *r, const uint8_t b[4])
{
    static const uint8_t flags[8] = {TCP_ACK,           TCP_ACK, TCP_ACK | TCP_PSH, TCP_SYN,
                                     TCP_FIN | TCP_ACK, TCP_RST, TCP_ACK | TCP_URG, TCP_ACK};
    static const uint16_t sizes[8] = {0, 1, 2, 100, 536, 1000, 1460, 9000};
    unsigned flow = b[0] % FLOWS;
    uint8_t src[16] = {203, 0, 113, (uint8_t)flow}, dst[16] = {198, 51, 100, 9};
    if (flow % 4 == 3)
        memcpy(src, "\x20\x01\x0d\xb8\0\x77", 6);
    struct packet p = {.src = flow % 4 == 3 ? addr_v6(src) : addr_v4(src),
                       .dst = flow % 4 == 3 ? addr_v6(dst) : addr_v4(dst),
                       .protocol = b[1] >> 6 == 3 && b[2] == 0xff ? IPPROTO_UDP : IPPROTO_TCP,
                       .tcp_flags = flags[b[1] & 7],
                       .is_fragment = b[2] == 0xfe,
                       .ingress = flow % 8 == 5,
                       .src_port = (uint16_t)(4000 + flow),
                       .dst_port = 80,
                       .payload_len = sizes[b[1] >> 3 & 7]};
    switch (b[1] >> 6) { /* in order, near, far back or far on */
    case 2:
        p.seq = r->seq[flow] + (uint32_t)((int)b[2] - 128) * (b[3] & 1 ? 100 : 7);
        break;
    case 3:
        p.seq = r->seq[flow] + ((uint32_t)b[2] << 24 | (uint32_t)b[3] << 12);
        break;
    default:
        p.seq = r->seq[flow];
    }
    uint32_t end = p.seq + p.payload_len;
    if (seq_diff(end, r->seq[flow]) > 0)
        r->seq[flow] = end;
    return p;
}

static void check_withheld(struct run *r, const struct packet *p, bool was_known, uint32_t next,
                           unsigned flow)
{
    must(p->protocol == IPPROTO_TCP && !p->is_fragment && p->payload_len >= 2 && was_known);
    must((p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)) == 0);
    if (seq_diff(p->seq, next) < 0) { /* a repeat: nothing of it is new */
        must(seq_diff(p->seq + p->payload_len, next) <= 0);
        return;
    }
    must(p->seq == next);
    must(!r->has_dropped[flow] || r->now_ns - r->drop_at_ns[flow] >= r->conf.gap_ns);
    r->has_dropped[flow] = true;
    r->drop_at_ns[flow] = r->now_ns;
}

static void offer(struct run *r, const uint8_t b[4])
{
    struct packet p = packet_from(r, b);
    const struct flow *flow = known(r, &p);
    bool was_known = flow != NULL;
    uint32_t next = was_known ? flow->track.next : 0;
    if (!was_known)
        r->has_dropped[b[0] % FLOWS] = false;
    if (b[0] & 0x80)
        penny_prefetch(r->penny, &p);
    enum verdict_frame verdict = penny_packet(r->penny, &p, r->now_ns);
    if (verdict == FRAME_FORWARD)
        return;
    r->withheld++;
    check_withheld(r, &p, was_known, next, b[0] % FLOWS);
}

/* A burst of 32 segments in order, as fast as a flow sends, so that short inputs get far. */
static void send_train(struct run *r, const uint8_t b[4])
{
    uint8_t record[4] = {b[1], 5 << 3, 0, 0};
    for (unsigned i = 0; i < 32; i++) {
        record[0] = (uint8_t)(b[3] & 1 ? b[1] : b[1] + i);
        r->now_ns += b[2] * NS_PER_MS / 4;
        offer(r, record);
    }
}

static void watch(struct run *r, uint8_t which)
{
    struct prefix list[3];
    prefix_parse("203.0.113.0/24", &list[0]);
    prefix_parse("2001:db8:77::/48", &list[1]);
    prefix_parse("203.0.113.8/29", &list[2]);
    must(penny_watch(r->penny, list + which % 3, which / 3 % (4 - which % 3)) == 0);
}

static void step(struct run *r, const uint8_t b[4])
{
    switch (b[0] >> 4 & 7) { /* the highest bit: announced before */
    case 4:
        send_train(r, b);
        break;
    case 5:
        r->now_ns += (uint64_t)(b[1] << 8 | b[2]) * NS_PER_MS / 16;
        break;
    case 6:
        penny_tick(r->penny, r->now_ns);
        if (b[1] & 1)
            take_all(r);
        break;
    case 7:
        if (b[1] < 16)
            watch(r, b[2]);
        else
            r->now_ns += b[2] * NS_PER_MS;
        break;
    default:
        offer(r, b);
    }
}

/* ---- whole runs ---- */

static void configure(struct penny_conf *conf, const uint8_t b[6])
{
    static const double probability[4] = {.05, .5, .2, .01};
    *conf = (struct penny_conf){.mode = PENNY_ACTIVE,
                                .prefix_count = 2,
                                .drop_probability = probability[b[0] & 3],
                                .max_drops = 1 + (b[1] & 15u),
                                .budget = 1 + (b[1] >> 4) * 4u,
                                .timeout_ns = (1 + (b[2] & 3)) * UINT64_C(1000000000),
                                .gap_ns = (b[2] >> 2) * 20 * NS_PER_MS,
                                .open_blocks = 1 + (b[3] & 7u),
                                .alpha = b[3] & 8 ? .05 : 1e-4,
                                .miss_max = .05,
                                .max_duration_ns = (1 + b[4]) * UINT64_C(1000000000),
                                .retest_after_ns = b[3] & 16 ? 0 : UINT64_C(1000000000),
                                .max_flows = 1 + (b[5] & 31u),
                                .max_tests = 1 + (b[5] >> 6),
                                .flow_idle_ns = (2 + (b[0] >> 2)) * UINT64_C(1000000000)};
    prefix_parse("203.0.113.0/24", &conf->prefixes[0]);
    prefix_parse("2001:db8:77::/48", &conf->prefixes[1]);
}

static void check_nothing_left(struct run *r)
{
    struct penny *p = r->penny;
    must(r->told == r->withheld && p->event_reserved == 0);
    must(p->free_test_count == p->test_max);
    for (unsigned i = 0; i < r->test_count; i++)
        must(tests[i].has_ended);
    uint32_t used = 0;
    for (uint32_t i = 0; i < p->flows.max; i++)
        used += p->flows.flows[i].is_used;
    must(used + p->flows.free_count == p->flows.max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    static const struct ingress_table ingress = {.count = 2};
    if (size < 6 || size > 6 + 4 * 4096)
        return 0;
    run = (struct run){.now_ns = UINT64_C(1000000000)};
    configure(&run.conf, data);
    for (unsigned i = 0; i < FLOWS; i++)
        run.seq[i] = i * UINT32_C(0x10000001) - 3000; /* one of them wraps at once */
    must(penny_new(&run.conf, &ingress, data[0] | (uint64_t)data[5] << 8, &run.penny) == 0);
    for (size_t i = 6; i + 4 <= size; i += 4)
        step(&run, data + i);
    penny_finish(run.penny, run.now_ns);
    take_all(&run);
    check_nothing_left(&run);
    penny_free(run.penny);
    return 0;
}

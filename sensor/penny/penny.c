#include "sensor/penny/penny.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/engine.h"
#include "sensor/penny/outbox.h"
#include "sensor/penny/paper.h"
#include "sensor/penny/passive.h"
#include "sensor/penny/sample.h"
#include "sensor/penny/test.h"
#include "sensor/penny/unit.h"

#define GRACE_SEGMENTS  1 /* beyond the first seen, whose place in the stream nobody knows */
#define PAYLOAD_MIN     2 /* one byte: a keep-alive or a zero-window probe */
#define NEVER_WITHHELD  (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)
#define UNITS_MAX       (1u << 20)
#define EVENTS_MAX      8192
#define TICK_FLOWS      4096 /* looked at per tick: 40,000 a second end at 100 ms */
#define TICK_TESTS      64
#define REST_NS         UINT64_C(1000000)
#define HEAVY           8
#define HEAVY_SINCE     64 /* segments, before any flow is called heavy */
#define BLOCKS_PER_TEST 4  /* remembered, in units of open_blocks, when all tests are busy */

/* ---- memory ---- */

static uint32_t power_of_two(uint64_t least, uint32_t most)
{
    uint32_t n = 16;
    while (n < least && n < most)
        n *= 2;
    return n;
}

static int tests_new(struct penny *p)
{
    const struct penny_conf *conf = p->conf;
    uint64_t block = conf->drop_probability > 0 ? (uint64_t)(1 / conf->drop_probability) + 1 : 250;
    uint64_t blocks = BLOCKS_PER_TEST * (uint64_t)conf->open_blocks;
    uint64_t units = p->test_max * blocks * block;
    uint64_t open = conf->rule == PENNY_PAPER ? PAPER_DROPS_MAX : blocks;
    uint32_t events = power_of_two(p->test_max * (open + 3), EVENTS_MAX);
    p->events = calloc(events, sizeof *p->events);
    p->tests = calloc(p->test_max, sizeof *p->tests);
    p->free_tests = calloc(p->test_max, sizeof *p->free_tests);
    if (p->events == NULL || p->tests == NULL || p->free_tests == NULL)
        return -ENOMEM;
    p->event_mask = events - 1;
    for (uint32_t i = 0; i < p->test_max; i++)
        p->free_tests[p->free_test_count++] = p->test_max - 1 - i;
    return units_init(p, units < UNITS_MAX ? (uint32_t)units : UNITS_MAX);
}

static struct hash_key table_key(uint64_t seed)
{
    struct prf prf = prf_init(seed, 2);
    uint64_t k0 = prf_next(&prf), k1 = prf_next(&prf);
    return (struct hash_key){k0, k1};
}

int penny_new(const struct penny_conf *conf, const struct ingress_table *ingress, uint64_t seed,
              struct penny **out)
{
    struct penny *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->conf = conf;
    p->ingress = ingress;
    p->seed = seed;
    p->ids = prf_init(seed, 1);
    p->test_max = conf->max_tests > 0 ? conf->max_tests : 1;
    int err = flow_table_init(&p->flows, conf->max_flows > 0 ? conf->max_flows : 1,
                              conf->flow_idle_ns, table_key(seed));
    if (err == 0)
        err = handshakes_init(&p->handshakes, p->flows.max);
    if (err == 0)
        err = tests_new(p);
    if (err == 0)
        err = paper_new(p);
    if (err == 0)
        err = passive_new(p);
    if (err == 0)
        err = penny_watch(p, conf->prefixes, conf->prefix_count);
    if (err != 0) {
        penny_free(p);
        return err;
    }
    *out = p;
    return 0;
}

void penny_free(struct penny *p)
{
    if (p == NULL)
        return;
    passive_free(p);
    lpm_clear(&p->watched);
    flow_table_clear(&p->flows);
    handshakes_clear(&p->handshakes);
    paper_free(p);
    free(p->prefixes);
    free(p->left);
    free(p->aggregates);
    free(p->units);
    free(p->events);
    free(p->tests);
    free(p->free_tests);
    free(p);
}

void penny_stats(const struct penny *p, struct penny_stats *out)
{
    *out = p->stats;
}

/* ---- packets ---- */

static uint32_t find_aggregate(const struct penny *p, const struct packet *packet)
{
    uint32_t prefix = lpm_find(&p->watched, &packet->src);
    if (prefix == LPM_NONE)
        return NONE;
    uint16_t last = (uint16_t)(p->ingress->count - 1);
    uint16_t ingress = packet->ingress < last ? packet->ingress : last;
    return prefix * p->ingress->count + ingress;
}

/* The aggregate's running test; starts one if its time has come. */
static struct test *aggregate_test(struct penny *p, uint32_t aggregate)
{
    struct aggregate *a = &p->aggregates[aggregate];
    if (a->test != NONE)
        return &p->tests[a->test];
    return p->now_ns >= a->not_before_ns ? test_start(p, aggregate) : NULL;
}

static struct announced *announced_at(struct penny *p, uint32_t position)
{
    return &p->announced[position % PREFETCHED_MAX];
}

/* The bucket of the oldest packet that waits for it should be there: on to its flow. */
static inline void lead_on(struct penny *p)
{
    struct announced *a = announced_at(p, p->announced_flows++);
    a->flow = flow_table_guess(&p->flows, a->hash);
    a->added = p->flows.added;
}

/* Packets are decided in the order in which they were announced. NULL for one that was not; who
 * does otherwise than announced pays for a second hash. */
static const struct announced *announcement_of(struct penny *p, const struct packet *packet)
{
    if (p->announced_head == p->announced_tail)
        return NULL;
    if (p->announced_flows != p->announced_tail)
        lead_on(p);
    const struct announced *a = announced_at(p, p->announced_head++);
    if (a->packet == packet)
        return a;
    p->announced_head = p->announced_flows = p->announced_tail;
    return NULL;
}

static struct flow *look_up(struct penny *p, const struct packet *packet, uint64_t *hash)
{
    const struct announced *a = announcement_of(p, packet);
    *hash = a != NULL ? a->hash : flow_table_hash_of(&p->flows, packet);
    if (a != NULL && a->flow != FLOW_NONE) {
        struct flow *flow = &p->flows.flows[a->flow];
        if (flow_key_is_of(&flow->key, packet) && flow->is_used)
            return flow;
    }
    if (a != NULL && a->flow == FLOW_NONE && a->added == p->flows.added)
        return NULL;
    struct flow_key key;
    flow_key_set(&key, packet);
    return flow_table_find(&p->flows, &key, *hash);
}

static inline struct flow *find_flow(struct penny *p, const struct packet *packet, uint64_t *hash)
{
    struct flow *flow = look_up(p, packet, hash);
    if (flow != NULL && flow->watch != p->watch) { /* the list changed: whose is it now? */
        flow->aggregate = find_aggregate(p, packet);
        flow->watch = p->watch;
    }
    return flow;
}

static bool is_data(const struct packet *packet)
{
    return packet->payload_len >= PAYLOAD_MIN && (packet->tcp_flags & TCP_RST) == 0;
}

/* Flows outside the sample leave no trace but a count. */
static bool is_taken_in(struct penny *p, const struct packet *packet, uint32_t aggregate,
                        uint64_t hash)
{
    struct aggregate *a = &p->aggregates[aggregate];
    if (sample_holds(a, hash))
        return true;
    if (is_data(packet)) {
        sample_missed(p, a);
        p->stats.not_sampled++;
    }
    return false;
}

static void add_flow(struct penny *p, struct test *t, const struct packet *packet,
                     uint32_t aggregate, uint64_t hash)
{
    sample_make_room(p);
    struct flow_key key;
    flow_key_set(&key, packet);
    struct flow *flow = flow_table_add(&p->flows, &key, hash, p->now_ns);
    if (flow == NULL) {
        t->verdict.is_partial = true;
        p->stats.flows_refused++;
        return;
    }
    flow->aggregate = aggregate;
    flow->watch = p->watch;
    flow->grace = GRACE_SEGMENTS;
    flow->window = window_of_trip(p, handshake_trip(&p->handshakes, hash));
    flow->flags = (packet->tcp_flags & TCP_FIN) != 0 ? FLOW_FIN : 0;
    seq_track_init(&flow->track, data_seq(packet) + packet->payload_len);
}

/* Lines of an earlier test are blank in this one. */
static void join_test(struct flow *flow, struct test *t)
{
    if (flow->test == t->number)
        return;
    flow->test = t->number;
    flow->flags &= FLOW_FIN;
    flow->turn = (struct turn){.at_ns = flow->turn.at_ns};
    flow->segments = 0;
}

static bool is_droppable(struct flow *flow, const struct packet *packet, enum seq_class class)
{
    if (class != SEQ_IN_ORDER || (packet->tcp_flags & NEVER_WITHHELD) != 0)
        return false;
    if ((flow->flags & FLOW_FIN) != 0)
        return false;
    if (flow->grace > 0) {
        flow->grace--;
        return false;
    }
    return true;
}

/* Of each flow by what is told of it; heavy: more than an eighth, and nothing is told. */
static void count_segment(struct test *t, struct flow *flow)
{
    struct verdict *v = &t->verdict;
    enum told told = flow_told(flow);
    flow->segments++;
    v->segments[told]++;
    v->all_segments++;
    if (told == TOLD_NOTHING && v->all_segments >= HEAVY_SINCE &&
        (uint64_t)flow->segments * HEAVY > v->all_segments)
        t->heavy_at = v->all_segments;
}

/* Room is asked for before anybody looks at the coin. */
static bool has_room(struct penny *p, const struct test *t, uint32_t serial)
{
    return units_have_room(p) && (serial != t->policy.next || outbox_room(p) > 0);
}

static void withhold(struct penny *p, struct test *t, struct flow *flow, const struct unit *u)
{
    struct block *b = drop_policy_block(&t->policy, u->block);
    b->drop_unit = (uint32_t)(u - p->units);
    b->drop_flow = u->flow;
    b->drop_order = t->drops++;
    t->fate[b->drop_order % FATES_MAX] = FATE_PENDING;
    b->is_flows_first = (flow->flags & FLOW_DROPPED) == 0;
    flow->flags |= FLOW_DROPPED;
}

static enum verdict_frame draw(struct penny *p, struct test *t, struct flow *flow,
                               const struct packet *packet)
{
    if (p->now_ns < t->rest_until_ns)
        return FRAME_FORWARD;
    struct bidder bidder = {&flow->turn, flow_index(&p->flows, flow), t->verdict.flows};
    uint32_t serial = drop_policy_offer(&t->policy, bidder, test_blocks_limit(p, t), p->now_ns);
    if (serial == 0) {
        bool is_nobodys_turn = t->policy.filling_count == 0;
        if (is_nobodys_turn) /* look again when something may be known */
            t->rest_until_ns = p->now_ns + REST_NS;
        return FRAME_FORWARD;
    }
    if (serial != flow->turn.block && test_flow_is_spent(p, flow))
        return FRAME_FORWARD;
    if (serial == t->policy.next && !test_rate_allows(p)) {
        p->stats.rate_limited++;
        return FRAME_FORWARD;
    }
    if (!has_room(p, t, serial)) {
        p->stats.no_room++;
        return FRAME_FORWARD;
    }
    if (serial == t->policy.next) {
        p->event_reserved++;
        test_rate_spend(p);
        test_limit_spend(p, t);
    }
    bool is_dropped = drop_policy_take(&t->policy, serial, &flow->turn, p->now_ns);
    struct unit *u = unit_new(p, t, flow, serial);
    seq_cover_init(&u->cover, packet->seq, packet->payload_len);
    u->is_dropped = is_dropped;
    verdict_draw(&t->verdict, 0, is_dropped);
    t->droppable++;
    t->last_unit_ns = p->now_ns;
    if (is_dropped)
        withhold(p, t, flow, u);
    return is_dropped ? FRAME_DROP : FRAME_FORWARD;
}

/* t: the test of its aggregate, or NULL. */
static enum verdict_frame flow_data(struct penny *p, struct flow *flow, struct test *t,
                                    const struct packet *packet)
{
    uint32_t seq = data_seq(packet);
    enum seq_class class = seq_track_add(&flow->track, seq, packet->payload_len);
    if (class != SEQ_IN_ORDER && class != SEQ_AHEAD && flow->unit_first != FLOW_NONE) {
        bool is_old = class == SEQ_REPEAT && (packet->tcp_flags & NEVER_WITHHELD) == 0;
        if (units_cover(p, flow, seq, packet->payload_len, is_old))
            return FRAME_DROP;
        t = aggregate_test(p, flow->aggregate); /* it may have ended by this */
    }
    if (t == NULL)
        return FRAME_FORWARD;
    join_test(flow, t);
    if (p->paper != NULL)
        return paper_data(p, t, flow, packet, class, is_droppable(flow, packet, class));
    t->data++;
    t->disordered += class == SEQ_AHEAD || class == SEQ_PARTIAL || class == SEQ_FILL;
    if (!is_droppable(flow, packet, class))
        return FRAME_FORWARD;
    if ((flow->flags & FLOW_DATA) == 0) {
        flow->flags |= FLOW_DATA;
        t->verdict.flows++;
    }
    count_segment(t, flow);
    return draw(p, t, flow, packet);
}

static enum verdict_frame flow_packet(struct penny *p, struct flow *flow, struct test *t,
                                      const struct packet *packet)
{
    flow->last_seen_ns = p->now_ns;
    if (packet->tcp_flags & TCP_RST) {
        units_reset(p, flow);
        paper_reset(p, flow);
        flow_table_remove(&p->flows, flow);
        return FRAME_FORWARD;
    }
    if ((packet->tcp_flags & TCP_SYN) != 0 &&
        ((flow->flags & FLOW_FIN) != 0 || seq_diff(data_seq(packet), flow->track.next) > 0)) {
        /* the ports are used anew; what is open stays open */
        seq_track_init(&flow->track, data_seq(packet));
        flow->grace = GRACE_SEGMENTS + 1; /* its first segment comes here, a new flow's does not */
        flow->flags &= (uint8_t)~FLOW_FIN;
    }
    if (packet->payload_len == 1 && packet->seq == flow->track.next) /* data, no keep-alive */
        seq_track_add(&flow->track, packet->seq, 1);
    enum verdict_frame verdict = is_data(packet) ? flow_data(p, flow, t, packet) : FRAME_FORWARD;
    if (packet->tcp_flags & TCP_FIN)
        flow->flags |= FLOW_FIN;
    return verdict;
}

void penny_prefetch(struct penny *p, const struct packet *packet)
{
    if (packet->protocol != IPPROTO_TCP || packet->is_fragment || p->prefix_count == 0)
        return;
    if (p->announced_tail - p->announced_head == PREFETCHED_MAX) /* nobody decides them */
        p->announced_head = p->announced_flows = p->announced_tail;
    struct announced *a = announced_at(p, p->announced_tail++);
    a->packet = packet;
    a->hash = flow_table_hash_of(&p->flows, packet);
    flow_table_prefetch(&p->flows, a->hash);
    if (p->announced_tail - p->announced_flows > PREFETCH_LAG)
        lead_on(p);
}

enum verdict_frame penny_packet(struct penny *p, const struct packet *packet, uint64_t now_ns)
{
    if (p->conf->mode == PENNY_OFF || p->prefix_count == 0)
        return FRAME_FORWARD;
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    if (p->now_ns >= p->next_due_ns)
        units_due(p);
    bool is_tcp = packet->protocol == IPPROTO_TCP && !packet->is_fragment;
    uint64_t hash = 0;
    struct flow *flow = is_tcp ? find_flow(p, packet, &hash) : NULL;
    uint32_t aggregate = flow != NULL ? flow->aggregate : find_aggregate(p, packet);
    if (aggregate == NONE)
        return FRAME_FORWARD;
    if (p->conf->mode == PENNY_PASSIVE) {
        if (is_tcp)
            passive_packet(p, flow, packet, aggregate, hash);
        return FRAME_FORWARD;
    }
    if (flow != NULL && sample_has_left(&p->aggregates[aggregate], flow, hash)) {
        flow_table_remove(&p->flows, flow);
        flow = NULL;
    }
    struct test *t = aggregate_test(p, aggregate);
    if (t != NULL) {
        t->packets_seen++;
        t->data_seen += is_tcp && is_data(packet);
    }
    if (flow != NULL)
        return flow_packet(p, flow, t, packet);
    if (t == NULL || !is_tcp || !is_taken_in(p, packet, aggregate, hash))
        return FRAME_FORWARD;
    if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        handshake_syn(&p->handshakes, hash, p->now_ns);
    else
        handshake_after(&p->handshakes, hash, p->now_ns);
    if (is_data(packet))
        add_flow(p, t, packet, aggregate, hash);
    return FRAME_FORWARD;
}

/* ---- time ---- */

static void test_time_over(struct penny *p, struct test *t)
{
    char why[64];
    const struct verdict *v = &t->verdict;
    if (t->droppable == 0 && v->flows == 0)
        test_end(p, t, VERDICT_INCONCLUSIVE, "no TCP data");
    else if (v->genuine < v->log_threshold && v->open < v->log_threshold &&
             t->policy.next - 1 < p->conf->max_drops) {
        snprintf(why, sizeof why, "too little traffic: %u of %u drops resolved",
                 v->drops.returns + v->drops.unanswered, p->conf->max_drops);
        test_end(p, t, VERDICT_INCONCLUSIVE, why);
    } else
        test_end_likeliest(p, t, "time is over");
}

/* Traffic stopped, every drop is known, and one evidence stands: no need to wait for the end. */
static bool is_quiet(const struct penny *p, const struct test *t)
{
    const struct verdict *v = &t->verdict;
    return p->now_ns - t->last_unit_ns > 2 * p->conf->timeout_ns && t->again == NONE &&
           (v->genuine >= v->log_threshold || v->open >= v->log_threshold);
}

static void tick_test(struct penny *p, struct test *t)
{
    if (t->number == 0)
        return;
    if (p->paper != NULL)
        paper_tick(p, t);
    else if (p->now_ns - t->started_ns >= p->conf->max_duration_ns)
        test_time_over(p, t);
    else if (is_quiet(p, t))
        test_end_likeliest(p, t, "traffic stopped");
}

void penny_tick(struct penny *p, uint64_t now_ns)
{
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    units_due(p);
    flow_table_expire(&p->flows, p->now_ns, TICK_FLOWS);
    if (p->passive != NULL) {
        passive_tick(p);
        return;
    }
    uint32_t most = p->test_max < TICK_TESTS ? p->test_max : TICK_TESTS;
    for (uint32_t i = 0; i < most; i++) {
        tick_test(p, &p->tests[p->tick_at]);
        p->tick_at = (p->tick_at + 1) % p->test_max;
    }
}

void penny_finish(struct penny *p, uint64_t now_ns)
{
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    units_due(p);
    if (p->passive != NULL) {
        passive_finish(p);
        return;
    }
    for (uint32_t i = 0; i < p->test_max; i++) {
        struct test *t = &p->tests[i];
        if (t->number == 0)
            continue;
        const struct verdict *v = &t->verdict;
        if (p->paper != NULL)
            paper_stop(p, t, "sensor stopped");
        else if (v->genuine >= v->log_threshold || v->open >= v->log_threshold)
            test_end_likeliest(p, t, "sensor stopped");
        else
            test_end(p, t, VERDICT_INCONCLUSIVE, "sensor stopped");
    }
}

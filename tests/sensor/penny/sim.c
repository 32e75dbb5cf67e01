#include "tests/sensor/penny/sim.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "shared/base/hash.h"

#define FLOWS_MAX  256
#define HEAP_MAX   65536
#define SEGMENT    1000
#define RTT_NS     UINT64_C(50000000)
#define ALIVE_NS   UINT64_C(500000000)
#define ALIVES     10
#define RTO_MIN_NS UINT64_C(200000000)

enum act { ACT_NEW, ACT_AGAIN, ACT_ALIVE, ACT_HELLO };

struct item {
    uint64_t at_ns;
    enum act act;
    uint32_t flow, seq, tries, life;
    uint16_t port;
};

struct sim_flow {
    const struct sim_senders *senders;
    uint16_t port;
    uint32_t next_seq, sent, life;
    uint64_t dropped_at_ns;
};

struct sim {
    struct penny *penny;
    const struct sim_case *c;
    struct prf prf;
    struct item heap[HEAP_MAX];
    unsigned heap_count, flow_count;
    struct sim_flow flows[FLOWS_MAX];
    uint16_t next_port;
    unsigned skip;
    struct sim_result *out;
};

static double chance(struct sim *s)
{
    return (double)(prf_next(&s->prf) >> 11) / 9007199254740992.0;
}

static void push(struct sim *s, struct item item)
{
    unsigned i = s->heap_count++;
    if (i >= HEAP_MAX)
        abort();
    for (; i > 0 && s->heap[(i - 1) / 2].at_ns > item.at_ns; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = item;
}

static struct item pop(struct sim *s)
{
    struct item top = s->heap[0], last = s->heap[--s->heap_count];
    unsigned i = 0;
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && s->heap[child + 1].at_ns < s->heap[child].at_ns)
            child++;
        if (s->heap[child].at_ns >= last.at_ns)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static enum verdict_frame offer(struct sim *s, uint16_t port, uint32_t seq, uint32_t len,
                                uint8_t flags, uint64_t now_ns)
{
    struct packet p = {.protocol = IPPROTO_TCP,
                       .tcp_flags = flags,
                       .src_port = port,
                       .dst_port = 80,
                       .seq = seq,
                       .payload_len = len};
    if (s->c->is_v6) {
        p.src = addr_v6("\x20\x01\x0d\xb8\0\x77\0\0\0\0\0\0\0\0\0\x05");
        p.dst = addr_v6("\x20\x01\x0d\xb8\0\x99\0\0\0\0\0\0\0\0\0\x09");
    } else {
        p.src = addr_v4("\xcb\0\x71\x05");
        p.dst = addr_v4("\xc6\x33\x64\x09");
    }
    return penny_packet(s->penny, &p, now_ns);
}

static void new_life(struct sim *s, struct sim_flow *f)
{
    if (f->life == 0 || !f->senders->is_reused)
        f->port = s->next_port++;
    f->next_seq = (uint32_t)prf_next(&s->prf);
    if (s->c->first_seq != 0)
        f->next_seq = s->c->first_seq + f->next_seq % 4096;
    f->sent = 0;
    f->life++;
}

static uint64_t rtt_of(const struct sim_senders *senders)
{
    return senders->rtt_ns != 0 ? senders->rtt_ns : RTT_NS;
}

/* The closed loop: what did not arrive is sent again, after three later segments or a timeout. */
static void after_loss(struct sim *s, struct sim_flow *f, struct item was, uint64_t now_ns)
{
    uint64_t rtt = rtt_of(f->senders);
    uint64_t rto = (RTO_MIN_NS + rtt) << (was.tries < 6 ? was.tries : 6);
    uint64_t fast = rtt + (uint64_t)(3 * (double)SIM_S / f->senders->rate);
    uint64_t wait = was.tries == 0 && fast < rto ? fast : rto;
    was.at_ns = now_ns + wait;
    was.act = ACT_AGAIN;
    was.tries++;
    push(s, was);
}

/* Arrives, but not through us. */
static bool is_elsewhere(struct sim *s, const struct sim_senders *senders, uint64_t now_ns)
{
    return (senders->elsewhere > 0 && chance(s) < senders->elsewhere) ||
           (senders->moves_at_ns != 0 && now_ns >= senders->moves_at_ns);
}

static void note_drop(struct sim *s, struct sim_flow *f, uint64_t now_ns)
{
    if (f->dropped_at_ns != 0 && now_ns - f->dropped_at_ns < s->out->least_gap_ns)
        s->out->least_gap_ns = now_ns - f->dropped_at_ns;
    f->dropped_at_ns = now_ns;
}

static void transmit(struct sim *s, struct item was, uint64_t now_ns)
{
    struct sim_flow *f = &s->flows[was.flow];
    bool is_genuine = f->senders->is_genuine;
    bool may_be_lost = is_genuine || f->senders->loss_up > 0;
    bool is_lost = may_be_lost && chance(s) < f->senders->loss_up;
    if (!is_lost && !is_elsewhere(s, f->senders, now_ns)) {
        bool is_dropped = offer(s, was.port, was.seq, SEGMENT, TCP_ACK, now_ns) == FRAME_DROP;
        if (is_dropped && was.act == ACT_NEW)
            note_drop(s, f, now_ns);
        s->out->repeats_dropped += is_dropped && was.act == ACT_AGAIN;
        is_lost = is_dropped || chance(s) < f->senders->loss_down;
    }
    if (is_genuine && is_lost)
        after_loss(s, f, was, now_ns);
    if (!is_genuine && was.act == ACT_NEW && chance(s) < f->senders->repeat)
        push(s, (struct item){now_ns + f->senders->repeat_after_ns, ACT_AGAIN, was.flow, was.seq, 1,
                              was.life, was.port});
}

static void end_life(struct sim *s, uint32_t flow, uint64_t now_ns)
{
    struct sim_flow *f = &s->flows[flow];
    if (f->senders->end == SIM_FIN)
        offer(s, f->port, f->next_seq, 0, TCP_FIN | TCP_ACK, now_ns);
    if (f->senders->end == SIM_RST)
        offer(s, f->port, f->next_seq, 0, TCP_RST, now_ns);
    for (unsigned i = 1; f->senders->keeps_alive && i <= ALIVES; i++)
        push(s, (struct item){.at_ns = now_ns + i * ALIVE_NS,
                              .act = ACT_ALIVE,
                              .flow = flow,
                              .seq = f->next_seq - 1,
                              .port = f->port});
    f->dropped_at_ns = 0;
    new_life(s, f);
}

/* From the last segment sent to the next one. */
static uint64_t wait_for_next(struct sim *s, struct sim_flow *f)
{
    const struct sim_senders *senders = f->senders;
    double wait = (double)SIM_S / senders->rate * (.5 + chance(s));
    if (senders->pause_every != 0 && f->sent % senders->pause_every == 0)
        wait += (double)senders->pause_ns;
    if (senders->is_reused && f->sent == 0)
        wait += (double)SIM_S;
    return (uint64_t)wait;
}

/* SYN now; ACK and data a round trip later. */
static void hello(struct sim *s, struct item item)
{
    struct sim_flow *f = &s->flows[item.flow];
    offer(s, f->port, f->next_seq - 1, 0, TCP_SYN, item.at_ns);
    item.at_ns += rtt_of(f->senders);
    item.act = ACT_NEW;
    push(s, item);
}

static void step(struct sim *s, struct item item)
{
    struct sim_flow *f = &s->flows[item.flow];
    if (item.act == ACT_HELLO)
        hello(s, item);
    if (item.act == ACT_ALIVE)
        offer(s, item.port, item.seq, 1, TCP_ACK, item.at_ns);
    if (item.act == ACT_AGAIN && (f->senders->is_genuine || item.life == f->life))
        transmit(s, item, item.at_ns);
    if (item.act != ACT_NEW)
        return;
    if (f->senders->is_reused && f->sent == 0)
        offer(s, f->port, f->next_seq - 1, 0, TCP_SYN, item.at_ns);
    if (f->senders->shakes_hands && f->sent == 0)
        offer(s, f->port, f->next_seq, 0, TCP_ACK, item.at_ns);
    item.seq = f->next_seq;
    item.life = f->life;
    item.port = f->port;
    item.tries = 0;
    f->next_seq += SEGMENT;
    f->sent++;
    transmit(s, item, item.at_ns);
    if (f->senders->end != SIM_ENDLESS && f->sent >= f->senders->segments)
        end_life(s, item.flow, item.at_ns + 1);
    push(s, (struct item){.at_ns = item.at_ns + wait_for_next(s, f), .flow = item.flow});
}

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void take(struct sim *s, uint64_t now_ns)
{
    struct event e;
    while (penny_take(s->penny, &e)) {
        s->out->hash = mix(s->out->hash, &e, sizeof e);
        s->out->drop_events += e.type == EVENT_drop;
        if (e.type == EVENT_test_ended && s->skip > 0) {
            s->skip--;
            s->out->drop_events = 0;
        } else if (e.type == EVENT_test_ended && !s->out->has_ended) {
            s->out->has_ended = true;
            s->out->ended = e.test_ended;
            s->out->took_ns = s->c->skip > 0
                                  ? (uint64_t)(e.test_ended.ended_at - e.test_ended.started_at)
                                  : now_ns - SIM_S;
        }
    }
}

void sim_conf(struct penny_conf *conf)
{
    *conf = (struct penny_conf){.mode = PENNY_ACTIVE,
                                .prefix_count = 2,
                                .drop_probability = 0.05,
                                .max_drops = 12,
                                .budget = 60,
                                .flow_budget = 60,
                                .drops_per_s = 1000,
                                .timeout_ns = 3 * SIM_S,
                                .timeout_min_ns = 3 * SIM_S / 2,
                                .gap_ns = SIM_S / 2,
                                .open_blocks = 5,
                                .alpha = 1e-4,
                                .miss_max = 0.05,
                                .reordering_max = .5,
                                .max_duration_ns = 120 * SIM_S,
                                .retest_after_ns = 3600 * SIM_S,
                                .max_flows = 4096,
                                .max_tests = 4,
                                .flow_idle_ns = 30 * SIM_S};
    prefix_parse("203.0.113.0/24", &conf->prefixes[0]);
    prefix_parse("2001:db8:77::/48", &conf->prefixes[1]);
}

static void start_flows(struct sim *s)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct sim_senders *senders = &s->c->senders[i];
        for (unsigned j = 0; j < senders->flows; j++) {
            struct sim_flow *f = &s->flows[s->flow_count];
            f->senders = senders;
            new_life(s, f);
            uint64_t at = SIM_S + (uint64_t)(chance(s) * (double)SIM_S / senders->rate);
            enum act act = senders->shakes_hands ? ACT_HELLO : ACT_NEW;
            push(s, (struct item){.at_ns = at, .act = act, .flow = s->flow_count++});
        }
    }
}

void sim_run(const struct sim_case *c, uint64_t seed, struct sim_result *out)
{
    struct sim *s = calloc(1, sizeof *s);
    static struct penny_conf conf;
    static const struct ingress_table ingress = {.count = 1};
    sim_conf(&conf);
    if (c->alpha > 0)
        conf.alpha = c->alpha;
    conf.rule = c->rule;
    if (c->skip > 0)
        conf.retest_after_ns = 0;
    if (c->budget > 0)
        conf.budget = c->budget;
    *out = (struct sim_result){.least_gap_ns = UINT64_MAX};
    if (s == NULL || penny_new(&conf, &ingress, seed, &s->penny) != 0)
        abort();
    s->c = c;
    s->prf = prf_init(seed, 77);
    s->next_port = 1024;
    s->skip = c->skip;
    s->out = out;
    start_flows(s);
    uint64_t stop_ns = SIM_S + (c->stop_ns != 0 ? c->stop_ns : 130 * SIM_S), tick_ns = SIM_S;
    while (!out->has_ended && tick_ns < 135 * SIM_S) {
        if (s->heap[0].at_ns > tick_ns || s->heap[0].at_ns > stop_ns) {
            penny_tick(s->penny, tick_ns);
            tick_ns += SIM_S / 10;
        } else {
            struct item item = pop(s);
            step(s, item);
        }
        take(s, s->heap[0].at_ns < tick_ns ? s->heap[0].at_ns : tick_ns);
    }
    penny_finish(s->penny, tick_ns);
    take(s, tick_ns);
    penny_free(s->penny);
    free(s);
}

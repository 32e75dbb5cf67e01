#include "sensor/penny/passive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/gap_track.h"
#include "sensor/penny/natural_loss.h"
#include "sensor/penny/outbox.h"
#include "sensor/penny/test.h"

#define MS                UINT64_C(1000000)
#define TICK_FLOWS        4096 /* ended per tick, by FIN and with their tests, each */
#define TICK_TESTS        64
#define EVENTS_AFTER_THAT 2 /* of a test that has started: its sums and its end */
#define LIKELY            0.9
#define UNLIKELY          0.2

enum {
    SAW_FIN = 1,
    SAW_RST = 2,
    SAW_MORE = 4, /* than SYN and RST */
    SAW_SYN_FIRST = 8
};

struct passive_flow {
    alignas(64) uint32_t test; /* slot */
    uint32_t flags;
    struct gap_track track;
    uint32_t pure_ack, keep_alives;
    uint64_t started_ns, fin_ns;
    uint32_t test_prev, test_next; /* the flows of its test */
    uint32_t fin_prev, fin_next;   /* the flows that wait for their end, by time of the FIN */
};
static_assert(sizeof(struct passive_flow) <= 256, "at most 256 bytes beside a flow");
static_assert(offsetof(struct passive_flow, track.filled) <= 64,
              "a segment in order needs one line of it");

/* Beside struct test, by slot. */
struct passive_test {
    const char *why;     /* it is to end, and why; NULL: it runs */
    uint32_t flow_first; /* index, FLOW_NONE */
    uint64_t stream;     /* bytes of all flows' streams, seen or not */
    uint64_t end_reason[PASSIVE_SHUTDOWN + 1];
    struct natural_loss loss;
    struct event_passive_total sums;
};

struct passive {
    struct passive_flow *flows; /* by the flow's index */
    struct passive_test *tests; /* by the test's slot */
    uint32_t fin_first, fin_last;
};

/* ---- memory ---- */

static void end_idle(void *arg, struct flow *flow);

int passive_new(struct penny *p)
{
    if (p->conf->mode != PENNY_PASSIVE)
        return 0;
    struct passive *v = p->passive = calloc(1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    v->fin_first = v->fin_last = FLOW_NONE;
    v->flows = aligned_alloc(alignof(struct passive_flow), p->flows.max * sizeof *v->flows);
    v->tests = calloc(p->test_max, sizeof *v->tests);
    if (v->flows == NULL || v->tests == NULL)
        return -ENOMEM;
    memset(v->flows, 0, p->flows.max * sizeof *v->flows);
    p->flows.on_idle = end_idle;
    p->flows.on_idle_arg = p;
    return 0;
}

void passive_free(struct penny *p)
{
    if (p->passive == NULL)
        return;
    free(p->passive->flows);
    free(p->passive->tests);
    free(p->passive);
}

static struct passive_flow *record_of(const struct penny *p, const struct flow *flow)
{
    return &p->passive->flows[flow_index(&p->flows, flow)];
}

static uint32_t now_ms(const struct penny *p)
{
    return (uint32_t)(p->now_ns / MS);
}

static uint32_t timeout_ms(const struct penny *p)
{
    return (uint32_t)(p->conf->timeout_ns / MS);
}

/* ---- lists ---- */

static void test_link(struct passive *v, struct passive_test *t, uint32_t index)
{
    struct passive_flow *f = &v->flows[index];
    f->test_prev = FLOW_NONE;
    f->test_next = t->flow_first;
    if (f->test_next != FLOW_NONE)
        v->flows[f->test_next].test_prev = index;
    t->flow_first = index;
}

static void test_unlink(struct passive *v, struct passive_test *t, const struct passive_flow *f)
{
    if (f->test_prev != FLOW_NONE)
        v->flows[f->test_prev].test_next = f->test_next;
    else
        t->flow_first = f->test_next;
    if (f->test_next != FLOW_NONE)
        v->flows[f->test_next].test_prev = f->test_prev;
}

/* Every flow waits equally long, so the order of the FINs is the order of the ends. */
static void fin_link(struct passive *v, uint32_t index)
{
    struct passive_flow *f = &v->flows[index];
    f->fin_prev = v->fin_last;
    f->fin_next = FLOW_NONE;
    if (v->fin_last != FLOW_NONE)
        v->flows[v->fin_last].fin_next = index;
    else
        v->fin_first = index;
    v->fin_last = index;
}

static void fin_unlink(struct passive *v, const struct passive_flow *f)
{
    if (f->fin_prev != FLOW_NONE)
        v->flows[f->fin_prev].fin_next = f->fin_next;
    else
        v->fin_first = f->fin_next;
    if (f->fin_next != FLOW_NONE)
        v->flows[f->fin_next].fin_prev = f->fin_prev;
    else
        v->fin_last = f->fin_prev;
}

/* ---- a flow's end ---- */

static bool is_syn_only(const struct passive_flow *f)
{
    return (f->flags & SAW_MORE) == 0;
}

static void add_to_sums(struct passive_test *t, const struct passive_flow *f, unsigned reason)
{
    struct event_passive_total *s = &t->sums;
    const struct gap_track *g = &f->track;
    s->flows++;
    s->flows_mid_stream += (f->flags & SAW_SYN_FIRST) == 0;
    s->flows_syn_only += is_syn_only(f);
    t->end_reason[reason]++;
    s->data += g->data;
    s->pure_ack += f->pure_ack;
    s->keep_alives += f->keep_alives;
    s->in_order += g->in_order;
    s->out_of_order += g->out_of_order;
    s->duplicates += g->duplicates;
    s->gaps += g->gaps;
    s->gaps_late += g->late;
    s->gaps_unfilled += g->unfilled;
    s->gaps_open += gap_track_open(g);
    s->gaps_forgotten += g->forgotten;
    s->bytes += g->bytes;
    s->unseen += g->unseen;
    t->stream += g->stream;
    natural_loss_flow(&t->loss, g);
}

static void set_counts(struct event_passive_flow *e, const struct passive_flow *f)
{
    const struct gap_track *g = &f->track;
    e->data = g->data;
    e->pure_ack = f->pure_ack;
    e->keep_alives = f->keep_alives;
    e->in_order = g->in_order;
    e->out_of_order = g->out_of_order;
    e->duplicates = g->duplicates;
    e->gaps = g->gaps;
    e->gaps_late = g->late;
    e->gaps_open = gap_track_open(g);
    e->gaps_forgotten = g->forgotten;
    e->bytes = g->bytes;
    e->unseen = g->unseen;
    e->coverage = gap_track_coverage(g);
    e->rst = (f->flags & SAW_RST) != 0;
    e->syn_only = is_syn_only(f);
}

/* A row is no reserved event: the sums have what finds no room. */
static void tell_flow(struct penny *p, struct passive_test *t, const struct flow *flow,
                      unsigned reason)
{
    const struct passive_flow *f = record_of(p, flow);
    if (t->sums.flows_listed >= p->conf->passive_rows || outbox_room(p) == 0)
        return;
    t->sums.flows_listed++;
    p->event_reserved++;
    struct event_passive_flow *e = &outbox_add(p, EVENT_passive_flow)->passive_flow;
    memcpy(e->test_id, p->tests[f->test].id, sizeof e->test_id);
    outbox_addresses(&flow->key, &e->src, &e->dst);
    e->src_port = flow->key.src_port;
    e->dst_port = flow->key.dst_port;
    set_counts(e, f);
    e->started_at = (int64_t)f->started_ns;
    e->ended_at = (int64_t)flow->last_seen_ns;
    e->start_reason = (f->flags & SAW_SYN_FIRST) != 0 ? PASSIVE_SYN : PASSIVE_MID_STREAM;
    e->end_reason = (uint8_t)reason;
}

static void end_flow(struct penny *p, struct flow *flow, unsigned reason)
{
    struct passive *v = p->passive;
    const struct passive_flow *f = record_of(p, flow);
    struct passive_test *t = &v->tests[f->test];
    if ((f->flags & SAW_FIN) != 0)
        fin_unlink(v, f);
    test_unlink(v, t, f);
    add_to_sums(t, f, reason);
    tell_flow(p, t, flow, reason);
    flow_table_remove(&p->flows, flow);
    if (t->why == NULL && t->sums.flows >= p->conf->passive_flows)
        t->why = "enough flows ended";
}

/* One that had said FIN ended by it, whatever came after. */
static unsigned end_reason(const struct passive_flow *f, unsigned reason)
{
    return (f->flags & SAW_FIN) != 0 ? PASSIVE_FIN : reason;
}

/* flow_table_expire() found it silent. */
static void end_idle(void *arg, struct flow *flow)
{
    struct penny *p = arg;
    end_flow(p, flow, end_reason(record_of(p, flow), PASSIVE_IDLE));
}

static void end_finished(struct penny *p)
{
    struct passive *v = p->passive;
    for (uint32_t i = 0; i < TICK_FLOWS && v->fin_first != FLOW_NONE; i++) {
        struct passive_flow *f = &v->flows[v->fin_first];
        if (p->now_ns - f->fin_ns < p->conf->timeout_ns)
            return;
        if (!p->tests[f->test].is_blind)
            gap_track_judge(&f->track, now_ms(p), timeout_ms(p));
        end_flow(p, &p->flows.flows[v->fin_first], PASSIVE_FIN);
    }
}

/* ---- tests ---- */

/* The aggregate's test, if it takes flows; starts one if its time has come. */
static struct test *running_test(struct penny *p, uint32_t aggregate)
{
    const struct aggregate *a = &p->aggregates[aggregate];
    if (a->test != NONE)
        return p->passive->tests[a->test].why == NULL ? &p->tests[a->test] : NULL;
    if (p->now_ns < a->not_before_ns || outbox_room(p) < 1 + EVENTS_AFTER_THAT)
        return NULL;
    struct test *t = test_start(p, aggregate); /* reserves its end, too */
    if (t == NULL)
        return NULL;
    p->event_reserved += EVENTS_AFTER_THAT - 1;
    p->passive->tests[t - p->tests] = (struct passive_test){.flow_first = FLOW_NONE};
    return t;
}

static void tell_total(struct penny *p, const struct test *t, const struct passive_test *pt,
                       double ratio)
{
    struct event_passive_total *e = &outbox_add(p, EVENT_passive_total)->passive_total;
    *e = pt->sums;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->started_at = (int64_t)t->started_ns;
    e->ended_at = (int64_t)p->now_ns;
    e->ended_fin = pt->end_reason[PASSIVE_FIN];
    e->ended_rst = pt->end_reason[PASSIVE_RST];
    e->ended_idle = pt->end_reason[PASSIVE_IDLE];
    e->ended_replaced = pt->end_reason[PASSIVE_REPLACED];
    e->ended_stopped = pt->end_reason[PASSIVE_STOPPED] + pt->end_reason[PASSIVE_SHUTDOWN];
    e->coverage = pt->stream > 0 ? 1 - (double)e->unseen / (double)pt->stream : 1;
    e->likelihood_ratio = ratio;
}

static const char *in_words(double probability)
{
    return probability >= LIKELY     ? "likely genuine"
           : probability <= UNLIKELY ? "likely open loop"
                                     : "undecided";
}

static void set_reason(char *out, size_t room, const struct passive_test *pt, double probability)
{
    uint64_t judged = pt->sums.gaps_late + pt->sums.gaps_unfilled;
    if (judged == 0)
        snprintf(out, room, "passive, %s: no gap to judge by", pt->why);
    else
        snprintf(out, room, "passive, %s: %llu of %llu gaps filled late: %s", pt->why,
                 (unsigned long long)pt->sums.gaps_late, (unsigned long long)judged,
                 in_words(probability));
}

static void tell_end(struct penny *p, const struct test *t, const struct passive_test *pt,
                     double ratio)
{
    struct event_test_ended *e = outbox_ended_add(p, t, VERDICT_INCONCLUSIVE, "");
    e->genuine_probability = natural_loss_probability(ratio);
    set_reason(e->reason, sizeof e->reason, pt, e->genuine_probability);
    e->genuine_fraction = .5; /* nothing is known of it */
    e->genuine_high = 1;
    e->flows = pt->sums.flows;
    e->duplicates = pt->sums.duplicates;
}

/* All its flows have ended. */
static void end_test(struct penny *p, struct test *t)
{
    struct passive_test *pt = &p->passive->tests[t - p->tests];
    double ratio = natural_loss_ratio(&pt->loss);
    tell_total(p, t, pt, ratio);
    tell_end(p, t, pt, ratio);
    test_release(p, t);
}

/* Ends no more than *most of its flows; true if that were all. */
static bool end_flows(struct penny *p, const struct passive_test *pt, unsigned reason,
                      uint32_t *most)
{
    for (; pt->flow_first != FLOW_NONE; --*most) {
        struct flow *flow = &p->flows.flows[pt->flow_first];
        if (*most == 0)
            return false;
        end_flow(p, flow, end_reason(record_of(p, flow), reason));
    }
    return true;
}

static void end_at_once(struct penny *p, struct test *t, const char *why, unsigned reason)
{
    struct passive_test *pt = &p->passive->tests[t - p->tests];
    uint32_t most = UINT32_MAX;
    if (pt->why == NULL)
        pt->why = why;
    end_flows(p, pt, reason, &most);
    end_test(p, t);
}

void passive_end_test(struct penny *p, struct test *t, const char *why)
{
    end_at_once(p, t, why, PASSIVE_STOPPED);
}

void passive_lost_sight(struct penny *p, const struct test *t, const char *why)
{
    struct passive_test *pt = &p->passive->tests[t - p->tests];
    if (pt->why == NULL)
        pt->why = why;
}

static void tick_test(struct penny *p, struct test *t, uint32_t *most)
{
    struct passive_test *pt = &p->passive->tests[t - p->tests];
    if (t->number == 0)
        return;
    if (pt->why == NULL && p->now_ns - t->started_ns >= p->conf->max_duration_ns)
        pt->why = "time is over";
    if (pt->why == NULL && p->now_ns - t->last_unit_ns >= p->conf->passive_idle_ns)
        pt->why = "traffic stopped";
    if (pt->why != NULL && end_flows(p, pt, PASSIVE_STOPPED, most))
        end_test(p, t);
}

void passive_tick(struct penny *p)
{
    uint32_t tests = p->test_max < TICK_TESTS ? p->test_max : TICK_TESTS, most = TICK_FLOWS;
    end_finished(p);
    for (uint32_t i = 0; i < tests; i++) {
        tick_test(p, &p->tests[p->tick_at], &most);
        p->tick_at = (p->tick_at + 1) % p->test_max;
    }
}

void passive_finish(struct penny *p)
{
    end_finished(p);
    for (uint32_t i = 0; i < p->test_max; i++)
        if (p->tests[i].number != 0)
            end_at_once(p, &p->tests[i], "sensor stopped", PASSIVE_SHUTDOWN);
}

/* ---- packets ---- */

/* The tail of a flow that has ended opens none. */
static bool may_begin(const struct packet *packet)
{
    return (packet->tcp_flags & TCP_RST) == 0 &&
           ((packet->tcp_flags & TCP_FIN) == 0 || packet->payload_len > 0);
}

static void init_record(struct penny *p, struct passive_flow *f, const struct test *t,
                        const struct packet *packet)
{
    *f = (struct passive_flow){.test = (uint32_t)(t - p->tests), .started_ns = p->now_ns};
    if ((packet->tcp_flags & TCP_SYN) == 0)
        return;
    f->flags = SAW_SYN_FIRST;
    gap_track_start(&f->track, data_seq(packet));
}

static struct flow *admit(struct penny *p, const struct packet *packet, uint32_t aggregate,
                          uint64_t hash)
{
    struct test *t = may_begin(packet) ? running_test(p, aggregate) : NULL;
    if (t == NULL)
        return NULL;
    struct passive_test *pt = &p->passive->tests[t - p->tests];
    struct flow_key key;
    flow_key_set(&key, packet);
    struct flow *flow = flow_table_add(&p->flows, &key, hash, p->now_ns);
    if (flow == NULL) {
        p->stats.flows_refused++;
        pt->sums.flows_refused++;
        t->last_unit_ns = p->now_ns; /* there is traffic */
        return NULL;
    }
    flow->aggregate = aggregate;
    flow->watch = p->watch;
    init_record(p, record_of(p, flow), t, packet);
    test_link(p->passive, pt, flow_index(&p->flows, flow));
    return flow;
}

static void take_data(struct penny *p, struct passive_flow *f, const struct packet *packet)
{
    uint32_t seq = data_seq(packet);
    f->flags |= SAW_MORE;
    if (gap_track_is_keep_alive(&f->track, seq, packet->payload_len))
        f->keep_alives++;
    else
        gap_track_add(&f->track, seq, packet->payload_len, now_ms(p), timeout_ms(p));
}

static void take_fin(struct penny *p, const struct flow *flow, const struct packet *packet)
{
    struct passive_flow *f = record_of(p, flow);
    gap_track_fin(&f->track, data_seq(packet) + packet->payload_len, now_ms(p));
    if ((f->flags & SAW_FIN) != 0)
        return;
    f->flags |= SAW_FIN | SAW_MORE;
    f->fin_ns = p->now_ns;
    fin_link(p->passive, flow_index(&p->flows, flow));
}

static void take(struct penny *p, struct flow *flow, const struct packet *packet)
{
    struct passive_flow *f = record_of(p, flow);
    flow->last_seen_ns = p->now_ns;
    if ((packet->tcp_flags & TCP_RST) != 0) {
        f->flags |= SAW_RST;
        end_flow(p, flow, end_reason(f, PASSIVE_RST));
        return;
    }
    if (packet->payload_len > 0)
        take_data(p, f, packet);
    else if ((packet->tcp_flags & (TCP_SYN | TCP_FIN)) == 0) {
        f->flags |= SAW_MORE;
        f->pure_ack++;
    }
    if ((packet->tcp_flags & TCP_FIN) != 0)
        take_fin(p, flow, packet);
}

/* A SYN that does not repeat the flow's own. */
static bool begins_anew(const struct passive_flow *f, const struct packet *packet)
{
    return (packet->tcp_flags & TCP_SYN) != 0 && (packet->tcp_flags & TCP_RST) == 0 &&
           ((f->flags & SAW_SYN_FIRST) == 0 || data_seq(packet) != f->track.first);
}

void passive_packet(struct penny *p, struct flow *flow, const struct packet *packet,
                    uint32_t aggregate, uint64_t hash)
{
    if (flow != NULL && begins_anew(record_of(p, flow), packet)) {
        end_flow(p, flow, end_reason(record_of(p, flow), PASSIVE_REPLACED));
        flow = NULL;
    }
    if (flow == NULL)
        flow = admit(p, packet, aggregate, hash);
    if (flow == NULL)
        return;
    uint32_t slot = record_of(p, flow)->test;
    if (p->passive->tests[slot].why != NULL)
        return; /* its flows are being ended */
    p->tests[slot].last_unit_ns = p->now_ns;
    take(p, flow, packet);
}

/* How it hangs together:
 *   aggregates   one small record per (watched prefix, ingress); points to its test, if one runs
 *   tests        drop policy, verdict and counters of one running test
 *   units        a ring, oldest first. Every window is equally long, so the order of drawing is the
 *                order of deadlines, and the ring is its own timer. A unit that resolved early
 *                stays until its window is over: that is also how long its block stays open.
 *   flows        flow_table; each links its open units, oldest first
 *   events       a ring; a test reserves the room of two events, a block that of one
 * Whatever is due is resolved before a packet is looked at, so a late tick changes nothing. */
#include "sensor/penny/penny.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "sensor/penny/drop_policy.h"
#include "sensor/penny/flow_table.h"
#include "sensor/penny/verdict.h"
#include "shared/base/lpm.h"

#define NONE            UINT32_MAX
#define GRACE_SEGMENTS  1 /* beyond the first seen, whose place in the stream nobody knows */
#define PAYLOAD_MIN     2 /* one byte: a keep-alive or a zero-window probe */
#define UNITS_MAX       (1u << 20)
#define EVENTS_MAX      8192
#define TICK_FLOWS      4096 /* looked at per tick: 40,000 a second end at 100 ms */
#define PREFETCH_LAG    8
#define TICK_TESTS      64
#define RULE            "randomised"
#define REPEATS_AGAINST 0.05 /* repeats of kept segments above it speak against genuine */

struct unit {
    uint64_t drawn_ns;
    uint32_t flow, next; /* FLOW_NONE: no longer linked */
    struct seq_cover cover;
    uint32_t test, test_number, block; /* slot, number against its reuse, block's serial number */
    bool is_dropped, is_resolved;
};

struct aggregate {
    uint32_t test; /* slot, NONE */
    uint64_t not_before_ns;
};

struct test {
    uint32_t number; /* 0: the slot is free */
    uint32_t aggregate;
    struct prefix prefix;
    uint16_t ingress;
    uint8_t id[16];
    uint64_t started_ns, last_unit_ns;
    struct drop_policy policy;
    struct verdict verdict;
    uint32_t settle; /* serial number of the next block whose drop goes to the verdict */
    uint64_t droppable, drops, invalid, kept, came;
};

struct penny {
    const struct penny_conf *conf;
    const struct ingress_table *ingress;
    uint64_t seed, now_ns;
    struct lpm watched;
    struct prefix *prefixes; /* sorted */
    uint32_t prefix_count, watch;
    struct aggregate *aggregates; /* prefix index times ingresses, plus ingress index */
    struct flow_table flows;
    struct unit *units;
    uint64_t unit_head, unit_tail; /* positions; the index is the low bits */
    uint32_t unit_mask;
    struct test *tests;
    uint32_t *free_tests;
    uint32_t free_test_count, test_max, tick_at, test_number;
    struct event *events;
    uint64_t event_head, event_tail;
    uint32_t event_mask, event_reserved;
    struct prf ids;
    uint64_t prefetched[PREFETCH_LAG]; /* hashes of the last packets given to penny_prefetch */
    uint32_t prefetch_at;
};

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
    uint32_t units = power_of_two((uint64_t)p->test_max * conf->open_blocks * block, UNITS_MAX);
    uint32_t events = power_of_two((uint64_t)p->test_max * (conf->open_blocks + 3), EVENTS_MAX);
    p->units = calloc(units, sizeof *p->units);
    p->events = calloc(events, sizeof *p->events);
    p->tests = calloc(p->test_max, sizeof *p->tests);
    p->free_tests = calloc(p->test_max, sizeof *p->free_tests);
    if (p->units == NULL || p->events == NULL || p->tests == NULL || p->free_tests == NULL)
        return -ENOMEM;
    p->unit_mask = units - 1;
    p->event_mask = events - 1;
    for (uint32_t i = 0; i < p->test_max; i++)
        p->free_tests[p->free_test_count++] = p->test_max - 1 - i;
    return 0;
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
        err = tests_new(p);
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
    lpm_clear(&p->watched);
    flow_table_clear(&p->flows);
    free(p->prefixes);
    free(p->aggregates);
    free(p->units);
    free(p->events);
    free(p->tests);
    free(p->free_tests);
    free(p);
}

/* ---- events ---- */

static uint32_t event_room(const struct penny *p)
{
    uint64_t used = p->event_tail - p->event_head;
    return (uint32_t)(p->event_mask + 1 - used) - p->event_reserved;
}

/* Room for it was reserved. */
static struct event *event_add(struct penny *p, uint8_t type)
{
    p->event_reserved--;
    struct event *e = &p->events[p->event_tail++ & p->event_mask];
    memset(e, 0, sizeof *e);
    e->type = type;
    return e;
}

bool penny_take(struct penny *p, struct event *out)
{
    if (p->event_head == p->event_tail)
        return false;
    *out = p->events[p->event_head++ & p->event_mask];
    return true;
}

static void emit_started(struct penny *p, const struct test *t)
{
    struct event_test_started *e = &event_add(p, EVENT_test_started)->test_started;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->mode = TEST_ACTIVE;
    memcpy(e->rule, RULE, sizeof RULE);
    e->started_at = (int64_t)t->started_ns;
}

static void emit_drop(struct penny *p, const struct test *t, const struct unit *u, uint8_t outcome,
                      uint64_t now_ns)
{
    struct event_drop *e = &event_add(p, EVENT_drop)->drop;
    const struct flow_key *key = &p->flows.flows[u->flow].key;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    memcpy(e->src.bytes, key->src, sizeof key->src);
    memcpy(e->dst.bytes, key->dst, sizeof key->dst);
    e->src.family = e->dst.family = (uint8_t)key->family;
    e->src_port = key->src_port;
    e->dst_port = key->dst_port;
    e->seq = u->cover.start;
    e->length = u->cover.len;
    e->dropped_at = (int64_t)u->drawn_ns;
    e->outcome = outcome;
    e->answered_after = outcome == DROP_RETRANSMITTED ? now_ns - u->drawn_ns : SPAN_NONE;
}

static void emit_ended(struct penny *p, const struct test *t, int word, const char *reason,
                       struct fraction f)
{
    struct event_test_ended *e = &event_add(p, EVENT_test_ended)->test_ended;
    const struct verdict *v = &t->verdict;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->mode = TEST_ACTIVE;
    memcpy(e->rule, RULE, sizeof RULE);
    e->started_at = (int64_t)t->started_ns;
    e->ended_at = (int64_t)p->now_ns;
    e->verdict = (uint8_t)word;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    e->genuine_probability = verdict_probability(v);
    e->genuine_fraction = f.value;
    e->genuine_low = f.low;
    e->genuine_high = f.high;
    e->genuine_evidence = v->genuine;
    e->open_evidence = v->open;
    e->flows = v->flows;
    e->droppable = t->droppable;
    e->drops = t->drops;
    e->retransmitted = v->returns;
    e->unanswered = v->unanswered;
    e->invalid = t->invalid;
    e->controls = v->controls;
    e->duplicates = v->repeats;
}

/* ---- tests ---- */

static struct unit *unit_at(struct penny *p, uint64_t position)
{
    return &p->units[position & p->unit_mask];
}

static void make_id(struct penny *p, uint8_t id[static 16])
{
    uint64_t words[2] = {prf_next(&p->ids), prf_next(&p->ids)};
    memcpy(id, words, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* version 4, variant 1: RFC 9562 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

static struct test *start_test(struct penny *p, uint32_t aggregate)
{
    if (p->free_test_count == 0 || event_room(p) < 2)
        return NULL; /* the aggregate waits for its turn */
    uint32_t slot = p->free_tests[--p->free_test_count];
    struct test *t = &p->tests[slot];
    *t = (struct test){.number = ++p->test_number,
                       .aggregate = aggregate,
                       .prefix = p->prefixes[aggregate / p->ingress->count],
                       .ingress = (uint16_t)(aggregate % p->ingress->count),
                       .started_ns = p->now_ns,
                       .last_unit_ns = p->now_ns,
                       .settle = 1};
    make_id(p, t->id);
    drop_policy_init(&t->policy, prf_init(p->seed, UINT64_C(1) << 32 | t->number),
                     p->conf->drop_probability, p->conf->open_blocks, p->conf->gap_ns);
    verdict_init(&t->verdict, p->conf->alpha, p->conf->miss_max);
    p->aggregates[aggregate].test = slot;
    p->event_reserved += 2;
    emit_started(p, t);
    return t;
}

/* The counts of a block as evidence for the fraction. */
static void add_cohort(struct verdict *v, const struct block *b, uint32_t kept)
{
    v->cohort_kept += kept;
    v->cohort_came += b->came;
    if (b->is_flows_first && (b->fate == FATE_RETURNED || b->fate == FATE_UNANSWERED)) {
        v->cohort_drops++;
        v->cohort_returns += b->fate == FATE_RETURNED;
    }
}

/* A verdict may fall long before any window is over; then the blocks whose drop is known in order
 * of drawing speak, with all their kept units, so that early repeats do not weigh too much. */
static struct fraction final_fraction(struct test *t, int word)
{
    struct verdict v = t->verdict;
    for (uint32_t s = t->policy.first; s < t->settle; s++) {
        const struct block *b = drop_policy_block(&t->policy, s);
        add_cohort(&v, b, b->kept_drawn);
    }
    return verdict_fraction(&v, word);
}

static void block_invalidate(struct penny *p, struct test *t, struct block *b)
{
    b->fate = FATE_INVALID;
    t->invalid++;
    emit_drop(p, t, unit_at(p, b->drop_unit), DROP_INVALID, p->now_ns);
}

static void end_test(struct penny *p, struct test *t, int word, const char *reason)
{
    struct fraction f = final_fraction(t, word);
    for (uint32_t s = t->policy.first; s < t->policy.next; s++) {
        struct block *b = drop_policy_block(&t->policy, s);
        if (b->fate == FATE_PENDING)
            block_invalidate(p, t, b);
        else if (b->fate == FATE_NONE)
            p->event_reserved--;
    }
    emit_ended(p, t, word, reason, f);
    struct aggregate *a = &p->aggregates[t->aggregate];
    a->test = NONE;
    a->not_before_ns = p->now_ns + p->conf->retest_after_ns;
    t->number = 0;
    p->free_tests[p->free_test_count++] = (uint32_t)(t - p->tests);
}

static bool is_nothing_against(const struct test *t)
{
    const struct verdict *v = &t->verdict;
    return v->missed == 0 && v->unanswered == 0 && t->invalid == 0 &&
           t->came <= REPEATS_AGAINST * (double)t->kept;
}

static uint32_t blocks_limit(const struct penny *p, const struct test *t)
{
    const struct penny_conf *c = p->conf;
    unsigned budget = c->budget > c->max_drops ? c->budget : c->max_drops;
    return is_nothing_against(t) ? c->max_drops : budget;
}

static void end_likeliest(struct penny *p, struct test *t, const char *why)
{
    char reason[96];
    int word = verdict_last(&t->verdict, why, reason, sizeof reason);
    end_test(p, t, word, reason);
}

static void end_with_word(struct penny *p, struct test *t, int word)
{
    char reason[96];
    const struct verdict *v = &t->verdict;
    snprintf(reason, sizeof reason, "%u of %u drops came again, %u of %u kept segments", v->returns,
             v->returns + v->unanswered, v->repeats, v->controls);
    end_test(p, t, word, reason);
}

/* True if the test ended. */
static bool judge(struct penny *p, struct test *t)
{
    int word = verdict_word(&t->verdict, p->conf->max_drops);
    if (word >= 0) {
        end_with_word(p, t, word);
        return true;
    }
    struct drop_policy *d = &t->policy;
    if (d->first == d->next && d->next - 1 >= blocks_limit(p, t)) {
        end_likeliest(p, t, "all drops spent");
        return true;
    }
    return false;
}

/* Drops go to the `half` evidence in order of drawing. */
static void settle_blocks(struct test *t)
{
    while (t->settle < t->policy.next) {
        struct block *b = drop_policy_block(&t->policy, t->settle);
        if (b->fate == FATE_NONE || b->fate == FATE_PENDING)
            return;
        verdict_settle(&t->verdict, b->fate == FATE_RETURNED, (uint32_t)t->kept, (uint32_t)t->came);
        t->settle++;
    }
}

static void close_blocks(struct test *t)
{
    struct drop_policy *d = &t->policy;
    while (d->first < d->next && block_is_over(d, drop_policy_block(d, d->first))) {
        const struct block *b = drop_policy_block(d, d->first);
        add_cohort(&t->verdict, b, b->kept);
        d->first++;
    }
}

/* ---- units ---- */

static struct test *unit_test(struct penny *p, const struct unit *u)
{
    struct test *t = &p->tests[u->test];
    return t->number == u->test_number ? t : NULL;
}

static void mark_flow(struct test *t, struct flow *flow, uint8_t outcome_flag)
{
    if (flow->test != t->number)
        return; /* the watch list changed: the flow's marks speak of another test by now */
    struct verdict *v = &t->verdict;
    bool was_cleared = (flow->flags & (FLOW_RETURNED | FLOW_UNANSWERED)) == FLOW_RETURNED;
    bool was_silent = (flow->flags & FLOW_UNANSWERED) != 0;
    flow->flags |= outcome_flag;
    bool is_cleared = (flow->flags & (FLOW_RETURNED | FLOW_UNANSWERED)) == FLOW_RETURNED;
    v->cleared += is_cleared;
    v->cleared -= was_cleared;
    v->silent += !was_silent && (flow->flags & FLOW_UNANSWERED) != 0;
}

static void resolve_drop(struct penny *p, struct test *t, struct block *b, struct unit *u,
                         bool came_again)
{
    b->is_known = true;
    b->fate = came_again ? FATE_RETURNED : FATE_UNANSWERED;
    mark_flow(t, &p->flows.flows[u->flow], came_again ? FLOW_RETURNED : FLOW_UNANSWERED);
    emit_drop(p, t, u, came_again ? DROP_RETRANSMITTED : DROP_UNANSWERED, p->now_ns);
}

/* The unit's value is known: reveal it. Does not judge. */
static void resolve(struct penny *p, struct test *t, struct unit *u, bool came_again)
{
    struct block *b = drop_policy_block(&t->policy, u->block);
    u->is_resolved = true;
    verdict_reveal(&t->verdict, block_chance(&t->policy, b), u->is_dropped, came_again,
                   seq_track_visible(&p->flows.flows[u->flow].track));
    b->revealed++;
    if (u->is_dropped) {
        resolve_drop(p, t, b, u, came_again);
        settle_blocks(t);
        return;
    }
    b->kept++;
    b->came += came_again;
    t->came += came_again;
}

/* No evidence either way, but no secret any more: `missed` and the limit of blocks depend on it, so
 * the chances of the others in its block must be those that know it. */
static void invalidate(struct penny *p, struct test *t, struct unit *u)
{
    u->is_resolved = true;
    struct block *b = drop_policy_block(&t->policy, u->block);
    if (u->is_dropped) {
        b->is_known = true;
        block_invalidate(p, t, b);
        settle_blocks(t);
    } else {
        b->revealed++;
        b->kept_drawn--;
    }
}

/* Sent nothing in the second half of the window, and did not say goodbye: it may have died or
 * taken another way. */
static bool fell_silent(const struct penny *p, const struct flow *flow, const struct unit *u)
{
    return (flow->flags & FLOW_FIN) == 0 &&
           flow->last_seen_ns < u->drawn_ns + p->conf->timeout_ns / 2;
}

static void unit_over(struct penny *p, struct unit *u)
{
    struct test *t = unit_test(p, u);
    struct flow *flow = u->flow != FLOW_NONE ? &p->flows.flows[u->flow] : NULL;
    if (t != NULL) {
        if (!u->is_resolved && fell_silent(p, flow, u))
            invalidate(p, t, u);
        else if (!u->is_resolved)
            resolve(p, t, u, false);
        drop_policy_block(&t->policy, u->block)->waiting--;
        close_blocks(t);
    }
    if (flow != NULL) { /* the oldest unit is the first of its flow */
        flow->unit_first = u->next;
        if (flow->unit_first == NONE)
            flow->unit_last = NONE;
    }
}

static void resolve_due(struct penny *p)
{
    while (p->unit_head != p->unit_tail) {
        struct unit *u = unit_at(p, p->unit_head);
        if (u->drawn_ns + p->conf->timeout_ns > p->now_ns)
            return;
        p->unit_head++;
        unit_over(p, u);
        struct test *t = unit_test(p, u);
        if (t != NULL)
            judge(p, t);
    }
}

/* This segment's bytes came: which open units do they complete? */
static void cover_units(struct penny *p, struct flow *flow, uint32_t seq, uint32_t len)
{
    for (uint32_t at = flow->unit_first; at != NONE; at = p->units[at].next) {
        struct unit *u = &p->units[at];
        if (u->is_resolved || !seq_cover_add(&u->cover, seq, len))
            continue;
        struct test *t = unit_test(p, u);
        if (t == NULL)
            continue;
        resolve(p, t, u, true);
        judge(p, t);
    }
}

/* RST: whatever is open is no evidence, in both arms. */
static void reset_units(struct penny *p, struct flow *flow)
{
    uint32_t next;
    for (uint32_t at = flow->unit_first; at != NONE; at = next) {
        struct unit *u = &p->units[at];
        struct test *t = unit_test(p, u);
        next = u->next;
        if (t != NULL && !u->is_resolved) {
            invalidate(p, t, u);
            judge(p, t);
        }
        u->is_resolved = true;
        u->flow = FLOW_NONE;
    }
    flow->unit_first = flow->unit_last = NONE;
}

static struct unit *unit_new(struct penny *p, struct test *t, struct flow *flow, uint32_t serial)
{
    uint32_t index = (uint32_t)(p->unit_tail++ & p->unit_mask);
    struct unit *u = &p->units[index];
    *u = (struct unit){.drawn_ns = p->now_ns,
                       .flow = flow_index(&p->flows, flow),
                       .next = NONE,
                       .test = (uint32_t)(t - p->tests),
                       .test_number = t->number,
                       .block = serial};
    if (flow->unit_last != NONE)
        p->units[flow->unit_last].next = index;
    else
        flow->unit_first = index;
    flow->unit_last = index;
    return u;
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
    return p->now_ns >= a->not_before_ns ? start_test(p, aggregate) : NULL;
}

static struct flow *find_flow(struct penny *p, const struct packet *packet, uint64_t *hash)
{
    struct flow_key key;
    flow_key_set(&key, packet);
    *hash = flow_table_hash(&p->flows, &key);
    struct flow *flow = flow_table_find(&p->flows, &key, *hash);
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

/* First byte of payload: a SYN takes a number of its own. */
static uint32_t data_seq(const struct packet *packet)
{
    return packet->seq + ((packet->tcp_flags & TCP_SYN) != 0);
}

static void add_flow(struct penny *p, struct test *t, const struct packet *packet,
                     uint32_t aggregate, uint64_t hash)
{
    struct flow_key key;
    flow_key_set(&key, packet);
    struct flow *flow = flow_table_add(&p->flows, &key, hash, p->now_ns);
    if (flow == NULL) {
        t->verdict.is_partial = true;
        return;
    }
    flow->aggregate = aggregate;
    flow->watch = p->watch;
    flow->grace = GRACE_SEGMENTS;
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
    flow->turn_block = flow->turn_units = 0;
}

static bool is_droppable(struct flow *flow, const struct packet *packet, enum seq_class class)
{
    if (class != SEQ_IN_ORDER || (packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)) != 0)
        return false;
    if ((flow->flags & FLOW_FIN) != 0)
        return false;
    if (flow->grace > 0) {
        flow->grace--;
        return false;
    }
    return true;
}

/* Room is asked for before anybody looks at the coin. */
static bool has_room(struct penny *p, struct test *t)
{
    return p->unit_tail - p->unit_head <= p->unit_mask &&
           (drop_policy_filling(&t->policy) != NULL || event_room(p) > 0);
}

static enum verdict_frame draw(struct penny *p, struct test *t, struct flow *flow,
                               const struct packet *packet)
{
    struct turn turn = {flow->turn_at_ns, flow->turn_block, flow->turn_units};
    if (!has_room(p, t) || !drop_policy_may_take(&t->policy, &turn, blocks_limit(p, t), p->now_ns))
        return FRAME_FORWARD;
    uint32_t serial;
    p->event_reserved += drop_policy_filling(&t->policy) == NULL;
    bool is_dropped = drop_policy_take(&t->policy, &turn, p->now_ns, &serial);
    flow->turn_at_ns = turn.at_ns;
    flow->turn_block = turn.block;
    flow->turn_units = turn.units;
    struct unit *u = unit_new(p, t, flow, serial);
    seq_cover_init(&u->cover, packet->seq, packet->payload_len);
    u->is_dropped = is_dropped;
    t->droppable++;
    t->last_unit_ns = p->now_ns;
    if (!is_dropped) {
        t->kept++;
        return FRAME_FORWARD;
    }
    t->drops++;
    struct block *b = drop_policy_block(&t->policy, serial);
    b->drop_unit = (uint32_t)(u - p->units);
    b->is_flows_first = (flow->flags & FLOW_DROPPED) == 0;
    flow->flags |= FLOW_DROPPED;
    return FRAME_DROP;
}

static enum verdict_frame flow_data(struct penny *p, struct flow *flow, const struct packet *packet)
{
    uint32_t seq = data_seq(packet);
    enum seq_class class = seq_track_add(&flow->track, seq, packet->payload_len);
    if (class != SEQ_IN_ORDER && class != SEQ_AHEAD)
        cover_units(p, flow, seq, packet->payload_len);
    struct test *t = aggregate_test(p, flow->aggregate);
    if (t == NULL)
        return FRAME_FORWARD;
    join_test(flow, t);
    if (!is_droppable(flow, packet, class))
        return FRAME_FORWARD;
    if ((flow->flags & FLOW_DATA) == 0) {
        flow->flags |= FLOW_DATA;
        t->verdict.flows++;
    }
    return draw(p, t, flow, packet);
}

static enum verdict_frame flow_packet(struct penny *p, struct flow *flow,
                                      const struct packet *packet)
{
    flow->last_seen_ns = p->now_ns;
    if (packet->tcp_flags & TCP_RST) {
        reset_units(p, flow);
        flow_table_remove(&p->flows, flow);
        return FRAME_FORWARD;
    }
    if ((packet->tcp_flags & TCP_SYN) != 0 &&
        ((flow->flags & FLOW_FIN) != 0 || seq_diff(data_seq(packet), flow->track.next) > 0)) {
        /* the ports are used anew; what is open stays open */
        seq_track_init(&flow->track, data_seq(packet));
        flow->flags &= (uint8_t)~FLOW_FIN;
    }
    enum verdict_frame verdict = is_data(packet) ? flow_data(p, flow, packet) : FRAME_FORWARD;
    if (packet->tcp_flags & TCP_FIN)
        flow->flags |= FLOW_FIN;
    return verdict;
}

void penny_prefetch(struct penny *p, const struct packet *packet)
{
    if (packet->protocol != IPPROTO_TCP || packet->is_fragment || p->prefix_count == 0)
        return;
    struct flow_key key;
    flow_key_set(&key, packet);
    uint64_t hash = flow_table_hash(&p->flows, &key);
    flow_table_prefetch(&p->flows, hash);
    /* the buckets of a few packets ago have arrived by now: on to their flows */
    uint64_t *slot = &p->prefetched[p->prefetch_at++ % PREFETCH_LAG];
    flow_table_prefetch_flow(&p->flows, *slot);
    *slot = hash;
}

enum verdict_frame penny_packet(struct penny *p, const struct packet *packet, uint64_t now_ns)
{
    if (p->conf->mode != PENNY_ACTIVE || p->prefix_count == 0)
        return FRAME_FORWARD;
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    resolve_due(p);
    bool is_tcp = packet->protocol == IPPROTO_TCP && !packet->is_fragment;
    uint64_t hash = 0;
    struct flow *flow = is_tcp ? find_flow(p, packet, &hash) : NULL;
    uint32_t aggregate = flow != NULL ? flow->aggregate : find_aggregate(p, packet);
    if (aggregate == NONE)
        return FRAME_FORWARD;
    struct test *t = aggregate_test(p, aggregate);
    if (flow != NULL)
        return flow_packet(p, flow, packet);
    if (t != NULL && is_tcp && is_data(packet))
        add_flow(p, t, packet, aggregate, hash);
    return FRAME_FORWARD;
}

/* ---- time ---- */

static void test_time_over(struct penny *p, struct test *t)
{
    char why[64];
    const struct verdict *v = &t->verdict;
    if (t->droppable == 0 && v->flows == 0)
        end_test(p, t, VERDICT_INCONCLUSIVE, "no TCP data");
    else if (v->genuine < v->log_threshold && v->open < v->log_threshold &&
             t->policy.next - 1 < p->conf->max_drops) {
        snprintf(why, sizeof why, "too little traffic: %u of %u drops resolved",
                 v->returns + v->unanswered, p->conf->max_drops);
        end_test(p, t, VERDICT_INCONCLUSIVE, why);
    } else
        end_likeliest(p, t, "time is over");
}

/* Traffic stopped, every window is over, and one evidence stands: no need to wait for the end. */
static bool is_quiet(const struct penny *p, const struct test *t)
{
    const struct verdict *v = &t->verdict;
    return p->now_ns - t->last_unit_ns > 2 * p->conf->timeout_ns &&
           (v->genuine >= v->log_threshold || v->open >= v->log_threshold);
}

static void tick_test(struct penny *p, struct test *t)
{
    if (t->number == 0)
        return;
    if (p->now_ns - t->started_ns >= p->conf->max_duration_ns)
        test_time_over(p, t);
    else if (is_quiet(p, t))
        end_likeliest(p, t, "traffic stopped");
}

void penny_tick(struct penny *p, uint64_t now_ns)
{
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    resolve_due(p);
    flow_table_expire(&p->flows, p->now_ns, TICK_FLOWS);
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
    resolve_due(p);
    for (uint32_t i = 0; i < p->test_max; i++) {
        struct test *t = &p->tests[i];
        if (t->number == 0)
            continue;
        const struct verdict *v = &t->verdict;
        if (v->genuine >= v->log_threshold || v->open >= v->log_threshold)
            end_likeliest(p, t, "sensor stopped");
        else
            end_test(p, t, VERDICT_INCONCLUSIVE, "sensor stopped");
    }
}

/* ---- the watch list ---- */

static int compare_prefixes(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

static uint32_t sort_prefixes(struct prefix *list, size_t n)
{
    if (n == 0)
        return 0;
    qsort(list, n, sizeof *list, compare_prefixes);
    uint32_t count = 1;
    for (size_t i = 1; i < n; i++)
        if (!prefix_equal(&list[i], &list[count - 1]))
            list[count++] = list[i];
    return count;
}

static int build_watch(struct penny *p, struct penny *next, const struct prefix *list, size_t n)
{
    *next = (struct penny){.prefixes = malloc((n + 1) * sizeof *next->prefixes)};
    next->aggregates = calloc((n + 1) * p->ingress->count, sizeof *next->aggregates);
    int err = lpm_init(&next->watched);
    if (next->prefixes == NULL || next->aggregates == NULL || err != 0)
        return -ENOMEM;
    if (n > 0)
        memcpy(next->prefixes, list, n * sizeof *list);
    next->prefix_count = sort_prefixes(next->prefixes, n);
    for (uint32_t i = 0; i < next->prefix_count && err == 0; i++)
        err = lpm_set(&next->watched, &next->prefixes[i], i);
    for (uint32_t i = 0; i < next->prefix_count * p->ingress->count; i++)
        next->aggregates[i].test = NONE;
    return err;
}

/* Both lists are sorted: what is in both keeps its aggregates, what is gone ends its tests. */
static void move_aggregates(struct penny *p, struct penny *next)
{
    uint32_t at = 0, ingresses = p->ingress->count;
    for (uint32_t i = 0; i < p->prefix_count; i++) {
        while (at < next->prefix_count && prefix_compare(&next->prefixes[at], &p->prefixes[i]) < 0)
            at++;
        bool stays = at < next->prefix_count && prefix_equal(&next->prefixes[at], &p->prefixes[i]);
        for (uint32_t j = 0; j < ingresses; j++) {
            struct aggregate *old = &p->aggregates[i * ingresses + j];
            if (old->test != NONE && !stays)
                end_test(p, &p->tests[old->test], VERDICT_INCONCLUSIVE, "no longer watched");
            if (!stays)
                continue;
            next->aggregates[at * ingresses + j] = *old;
            if (old->test != NONE)
                p->tests[old->test].aggregate = at * ingresses + j;
        }
    }
}

int penny_watch(struct penny *p, const struct prefix *prefixes, size_t n)
{
    struct penny next;
    int err = build_watch(p, &next, prefixes, n);
    if (err == 0) {
        move_aggregates(p, &next);
        struct penny old = *p;
        p->watched = next.watched;
        p->prefixes = next.prefixes;
        p->aggregates = next.aggregates;
        p->prefix_count = next.prefix_count;
        p->watch++;
        next = old;
    }
    lpm_clear(&next.watched);
    free(next.prefixes);
    free(next.aggregates);
    return err;
}

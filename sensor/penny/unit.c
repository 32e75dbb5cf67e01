#include "sensor/penny/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "sensor/penny/outbox.h"
#include "sensor/penny/test.h"

#define TRIPS_PER_WINDOW 4 /* beyond the least window: fast retransmit, lost once, and again */

/* ---- pool, queues, lists ---- */

int units_init(struct penny *p, uint32_t count)
{
    p->units = calloc(count, sizeof *p->units);
    if (p->units == NULL)
        return -ENOMEM;
    p->unit_count = count;
    for (uint32_t i = 0; i < count; i++)
        p->units[i].queue_next = i + 1 < count ? i + 1 : NONE;
    p->unit_free = 0;
    p->next_due_ns = UINT64_MAX;
    uint64_t most = p->conf->timeout_ns, least = p->conf->timeout_min_ns;
    if (least == 0 || least > most)
        least = most;
    for (unsigned i = 0; i < WINDOWS; i++) {
        uint64_t span = i < WINDOWS_BY_TRIP ? least + (most - least) * i / (WINDOWS_BY_TRIP - 1)
                                            : most << (i - WINDOWS_BY_TRIP + 1);
        p->queue[i] = (struct unit_queue){span, NONE, NONE};
    }
    return 0;
}

uint8_t window_of_trip(const struct penny *p, uint64_t trip_ns)
{
    uint8_t window = 0;
    if (trip_ns > p->conf->timeout_ns)
        return WINDOWS_BY_TRIP - 1;
    uint64_t span = p->queue[0].span_ns + TRIPS_PER_WINDOW * trip_ns;
    while (window < WINDOWS_BY_TRIP - 1 && p->queue[window].span_ns < span)
        window++;
    return window;
}

static uint32_t index_of(const struct penny *p, const struct unit *u)
{
    return (uint32_t)(u - p->units);
}

static void queue_push(struct penny *p, struct unit *u)
{
    struct unit_queue *q = &p->queue[u->window];
    uint32_t index = index_of(p, u);
    if (q->last != NONE)
        p->units[q->last].queue_next = index;
    else
        q->first = index;
    q->last = index;
    if (u->drawn_ns + q->span_ns < p->next_due_ns)
        p->next_due_ns = u->drawn_ns + q->span_ns;
}

static void flow_link(struct penny *p, struct flow *flow, struct unit *u)
{
    uint32_t index = index_of(p, u);
    u->flow = flow_index(&p->flows, flow);
    u->prev = flow->unit_last;
    u->next = NONE;
    if (flow->unit_last != NONE)
        p->units[flow->unit_last].next = index;
    else
        flow->unit_first = index;
    flow->unit_last = index;
}

static void flow_unlink(struct penny *p, struct unit *u)
{
    if (u->flow == FLOW_NONE)
        return;
    struct flow *flow = &p->flows.flows[u->flow];
    if (u->prev != NONE)
        p->units[u->prev].next = u->next;
    else
        flow->unit_first = u->next;
    if (u->next != NONE)
        p->units[u->next].prev = u->prev;
    else
        flow->unit_last = u->prev;
    u->flow = FLOW_NONE;
}

/* A withheld repeat is found by its test until it is known: a block finds its own drop. */
static void again_link(struct penny *p, struct test *t, struct unit *u)
{
    u->again_prev = NONE;
    u->again_next = t->again;
    if (t->again != NONE)
        p->units[t->again].again_prev = index_of(p, u);
    t->again = index_of(p, u);
}

static void again_unlink(struct penny *p, struct test *t, struct unit *u)
{
    if (u->again_prev != NONE)
        p->units[u->again_prev].again_next = u->again_next;
    else
        t->again = u->again_next;
    if (u->again_next != NONE)
        p->units[u->again_next].again_prev = u->again_prev;
}

static struct unit *unit_take(struct penny *p, struct test *t, struct flow *flow, uint8_t depth,
                              uint8_t window)
{
    struct unit *u = &p->units[p->unit_free];
    p->unit_free = u->queue_next;
    *u = (struct unit){.drawn_ns = p->now_ns,
                       .queue_next = NONE,
                       .test = (uint32_t)(t - p->tests),
                       .test_number = t->number,
                       .depth = depth,
                       .window = window};
    flow_link(p, flow, u);
    queue_push(p, u);
    return u;
}

struct unit *unit_new(struct penny *p, struct test *t, struct flow *flow, uint32_t serial)
{
    struct unit *u = unit_take(p, t, flow, 0, flow->window);
    u->block = serial;
    return u;
}

/* ---- what becomes of them ---- */

static struct test *unit_test(struct penny *p, const struct unit *u)
{
    struct test *t = &p->tests[u->test];
    return t->number == u->test_number ? t : NULL;
}

static void mark_flow(struct test *t, struct flow *flow, uint8_t outcome_flag)
{
    if (flow->test != t->number)
        return; /* the watch list changed: the flow's marks speak of another test by now */
    t->verdict.segments[flow_told(flow)] -= flow->segments;
    flow->flags |= outcome_flag;
    t->verdict.segments[flow_told(flow)] += flow->segments;
}

static void resolve_drop(struct penny *p, struct test *t, struct unit *u, bool came_again)
{
    mark_flow(t, &p->flows.flows[u->flow], came_again ? FLOW_RETURNED : FLOW_UNANSWERED);
    outbox_drop(p, t, u, came_again ? DROP_RETRANSMITTED : DROP_UNANSWERED, p->now_ns);
    if (u->depth > 0)
        again_unlink(p, t, u);
    else
        test_know(t, u, came_again ? FATE_RETURNED : FATE_UNANSWERED);
}

/* The unit's value is known: reveal it. Does not judge. */
static void resolve(struct penny *p, struct test *t, struct unit *u, bool came_again)
{
    struct block *b = drop_policy_block(&t->policy, u->block);
    double chance = u->depth == 0 ? block_chance(&t->policy, b) : REPEAT_CHANCE;
    u->is_resolved = true;
    verdict_reveal(&t->verdict, u->depth, chance, u->is_dropped, came_again,
                   seq_track_visible(&p->flows.flows[u->flow].track));
    b->revealed += u->depth == 0;
    if (u->is_dropped) {
        resolve_drop(p, t, u, came_again);
    } else if (u->depth == 0) {
        b->kept++;
        b->came += came_again;
        t->came += came_again;
    }
}

void unit_invalidate(struct penny *p, struct test *t, struct unit *u)
{
    u->is_resolved = true;
    if (u->is_dropped) {
        verdict_invalid(&t->verdict, u->depth);
        outbox_drop(p, t, u, DROP_INVALID, p->now_ns);
        if (u->depth > 0)
            again_unlink(p, t, u);
        else
            test_know(t, u, FATE_INVALID);
    } else if (u->depth == 0) {
        struct block *b = drop_policy_block(&t->policy, u->block);
        b->revealed++;
        b->kept_drawn--;
    }
}

/* Sent nothing in the second half of the window, and did not say goodbye: it may have died or
 * taken another way. */
static bool fell_silent(const struct penny *p, const struct unit *u)
{
    const struct flow *flow = &p->flows.flows[u->flow];
    return (flow->flags & FLOW_FIN) == 0 &&
           flow->last_seen_ns < u->drawn_ns + p->queue[u->window].span_ns / 2;
}

static void unit_over(struct penny *p, struct unit *u)
{
    struct test *t = unit_test(p, u);
    if (t != NULL) {
        if (!u->is_resolved && fell_silent(p, u))
            unit_invalidate(p, t, u);
        else if (!u->is_resolved)
            resolve(p, t, u, false);
        if (u->depth == 0) {
            drop_policy_block(&t->policy, u->block)->waiting--;
            test_close_blocks(t);
        }
    }
    p->event_reserved -= u->depth > 0 && !u->is_dropped;
    flow_unlink(p, u);
    u->queue_next = p->unit_free;
    p->unit_free = index_of(p, u);
    if (t != NULL)
        test_judge(p, t);
}

static void queue_due(struct penny *p, struct unit_queue *q)
{
    while (q->first != NONE) {
        struct unit *u = &p->units[q->first];
        uint64_t due_ns = u->drawn_ns + q->span_ns;
        if (due_ns > p->now_ns) {
            if (due_ns < p->next_due_ns)
                p->next_due_ns = due_ns;
            return;
        }
        q->first = u->queue_next;
        if (q->first == NONE)
            q->last = NONE;
        unit_over(p, u);
    }
}

void units_due(struct penny *p)
{
    if (p->now_ns < p->next_due_ns)
        return;
    p->next_due_ns = UINT64_MAX;
    for (unsigned i = 0; i < WINDOWS; i++)
        queue_due(p, &p->queue[i]);
}

/* ---- repeats ---- */

/* The sender repeats so much that the return of this drop says little: does its repeat take part in
 * a draw of its own? Nothing here depends on a coin that is not revealed. */
static bool is_repeat_drawn(const struct penny *p, const struct test *t, const struct flow *flow,
                            const struct unit *u)
{
    return u->is_dropped && !test_flow_is_spent(p, flow) && u->depth + 1 < VERDICT_DEPTHS &&
           verdict_repeats_much(&t->verdict, u->depth) && test_may_draw_repeat(p, t);
}

/* The part of the unit that this segment repeats is a unit of the next depth; true: withhold it. */
static bool draw_repeat(struct penny *p, struct test *t, struct flow *flow, const struct unit *of,
                        uint32_t seq, uint32_t len)
{
    uint8_t depth = of->depth + 1;
    struct seq_cover was = of->cover;
    int32_t from = seq_diff(seq, was.start), to = from + (int32_t)len;
    from = from > 0 ? from : 0;
    to = to < (int32_t)was.len ? to : (int32_t)was.len;
    uint8_t window = depth == 1 ? WINDOWS_BY_TRIP - 1 : WINDOWS_BY_TRIP + depth - 2;
    struct unit *u = unit_take(p, t, flow, depth, window);
    seq_cover_init(&u->cover, was.start + (uint32_t)from, (uint32_t)(to - from));
    u->is_dropped = prf_below(&t->repeats, REPEAT_DRAW) == 0;
    t->repeats_drawn++;
    flow->turn.draws++;
    test_rate_spend(p);
    test_limit_spend(p, t);
    t->droppable++;
    t->last_unit_ns = p->now_ns;
    verdict_draw(&t->verdict, depth, u->is_dropped);
    p->event_reserved++; /* for either coin: the room that is left must not tell it */
    if (u->is_dropped)
        again_link(p, t, u);
    return u->is_dropped;
}

bool units_cover(struct penny *p, struct flow *flow, uint32_t seq, uint32_t len, bool is_old)
{
    bool is_withheld = false, is_taken = false;
    uint32_t next, last = flow->unit_last; /* what is drawn below is not covered by this segment */
    for (uint32_t at = flow->unit_first; at != NONE; at = at == last ? NONE : next) {
        struct unit *u = &p->units[at];
        next = u->next;
        if (u->is_resolved || !seq_cover_add(&u->cover, seq, len))
            continue;
        struct test *t = unit_test(p, u);
        if (t == NULL)
            continue;
        resolve(p, t, u, true);
        if (test_judge(p, t))
            continue;
        if (is_old && !is_taken && is_repeat_drawn(p, t, flow, u)) {
            is_taken = true;
            is_withheld = draw_repeat(p, t, flow, u, seq, len);
        }
    }
    return is_withheld;
}

void units_reset(struct penny *p, struct flow *flow)
{
    while (flow->unit_first != NONE) {
        struct unit *u = &p->units[flow->unit_first];
        struct test *t = unit_test(p, u);
        if (t != NULL && !u->is_resolved) {
            unit_invalidate(p, t, u);
            test_judge(p, t);
        }
        u->is_resolved = true;
        flow_unlink(p, u);
    }
}

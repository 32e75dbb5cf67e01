#include "sensor/penny/unit.h"

#include "sensor/penny/outbox.h"
#include "sensor/penny/test.h"

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
    outbox_drop(p, t, u, came_again ? DROP_RETRANSMITTED : DROP_UNANSWERED, p->now_ns);
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
        test_settle(t);
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
        test_invalidate(p, t, b);
        test_settle(t);
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
        test_close_blocks(t);
    }
    if (flow != NULL) { /* the oldest unit is the first of its flow */
        flow->unit_first = u->next;
        if (flow->unit_first == NONE)
            flow->unit_last = NONE;
    }
}

void units_due(struct penny *p)
{
    while (p->unit_head != p->unit_tail) {
        struct unit *u = unit_at(p, p->unit_head);
        if (u->drawn_ns + p->conf->timeout_ns > p->now_ns)
            return;
        p->unit_head++;
        unit_over(p, u);
        struct test *t = unit_test(p, u);
        if (t != NULL)
            test_judge(p, t);
    }
}

/* This segment's bytes came: which open units do they complete? */
void units_cover(struct penny *p, struct flow *flow, uint32_t seq, uint32_t len)
{
    for (uint32_t at = flow->unit_first; at != NONE; at = p->units[at].next) {
        struct unit *u = &p->units[at];
        if (u->is_resolved || !seq_cover_add(&u->cover, seq, len))
            continue;
        struct test *t = unit_test(p, u);
        if (t == NULL)
            continue;
        resolve(p, t, u, true);
        test_judge(p, t);
    }
}

/* RST: whatever is open is no evidence, in both arms. */
void units_reset(struct penny *p, struct flow *flow)
{
    uint32_t next;
    for (uint32_t at = flow->unit_first; at != NONE; at = next) {
        struct unit *u = &p->units[at];
        struct test *t = unit_test(p, u);
        next = u->next;
        if (t != NULL && !u->is_resolved) {
            invalidate(p, t, u);
            test_judge(p, t);
        }
        u->is_resolved = true;
        u->flow = FLOW_NONE;
    }
    flow->unit_first = flow->unit_last = NONE;
}

struct unit *unit_new(struct penny *p, struct test *t, struct flow *flow, uint32_t serial)
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

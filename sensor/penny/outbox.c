#include "sensor/penny/outbox.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define RULE "randomised"

uint32_t outbox_room(const struct penny *p)
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

void outbox_started(struct penny *p, const struct test *t)
{
    struct event_test_started *e = &event_add(p, EVENT_test_started)->test_started;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->mode = TEST_ACTIVE;
    memcpy(e->rule, RULE, sizeof RULE);
    e->started_at = (int64_t)t->started_ns;
}

void outbox_drop(struct penny *p, const struct test *t, const struct unit *u, uint8_t outcome,
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

void outbox_ended(struct penny *p, const struct test *t, int word, const char *reason,
                  struct fraction f)
{
    struct event_test_ended *e = &event_add(p, EVENT_test_ended)->test_ended;
    const struct verdict *v = &t->verdict;
    struct drop_counts drops = verdict_drops(v);
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
    e->drops = drops.withheld;
    e->retransmitted = drops.returns;
    e->unanswered = drops.unanswered;
    e->invalid = drops.invalid;
    e->controls = v->trial[0].controls;
    e->duplicates = v->trial[0].repeats;
}

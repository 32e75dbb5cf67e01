#include "sensor/penny/outbox.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Both fields of an event have this room. */
static void say_rule(const struct penny *p, char *rule, size_t room)
{
    const char *name = p->conf->rule == PENNY_PAPER ? "paper" : "randomised";
    snprintf(rule, room, "%s", p->passive != NULL ? PASSIVE_RULE : name);
}

uint32_t outbox_room(const struct penny *p)
{
    uint64_t used = p->event_tail - p->event_head;
    return (uint32_t)(p->event_mask + 1 - used) - p->event_reserved;
}

/* Room for it was reserved. */
struct event *outbox_add(struct penny *p, uint8_t type)
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
    struct event_test_started *e = &outbox_add(p, EVENT_test_started)->test_started;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->mode = p->passive != NULL ? TEST_PASSIVE : TEST_ACTIVE;
    say_rule(p, e->rule, sizeof e->rule);
    e->started_at = (int64_t)t->started_ns;
}

void outbox_addresses(const struct flow_key *key, struct addr *src, struct addr *dst)
{
    memcpy(src->bytes, key->src, sizeof key->src);
    memcpy(dst->bytes, key->dst, sizeof key->dst);
    src->family = dst->family = (uint8_t)key->family;
}

static void drop_add(struct penny *p, const struct test *t, const struct flow_key *key,
                     const struct seq_cover *cover, uint64_t dropped_ns, uint8_t outcome,
                     uint64_t now_ns)
{
    struct event_drop *e = &outbox_add(p, EVENT_drop)->drop;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    outbox_addresses(key, &e->src, &e->dst);
    e->src_port = key->src_port;
    e->dst_port = key->dst_port;
    e->seq = cover->start;
    e->length = cover->len;
    e->dropped_at = (int64_t)dropped_ns;
    e->outcome = outcome;
    e->answered_after = outcome == DROP_RETRANSMITTED ? now_ns - dropped_ns : SPAN_NONE;
}

void outbox_drop(struct penny *p, const struct test *t, const struct unit *u, uint8_t outcome,
                 uint64_t now_ns)
{
    drop_add(p, t, &p->flows.flows[u->flow].key, &u->cover, u->drawn_ns, outcome, now_ns);
}

void outbox_paper_drop(struct penny *p, const struct test *t, const struct paper_drop *d,
                       uint8_t outcome)
{
    drop_add(p, t, &d->key, &d->cover, d->at_ns, outcome, p->now_ns);
}

struct event_test_ended *outbox_ended_add(struct penny *p, const struct test *t, int word,
                                          const char *reason)
{
    struct event_test_ended *e = &outbox_add(p, EVENT_test_ended)->test_ended;
    memcpy(e->test_id, t->id, sizeof e->test_id);
    e->prefix = t->prefix;
    e->ingress = p->ingress->row[t->ingress];
    e->mode = p->passive != NULL ? TEST_PASSIVE : TEST_ACTIVE;
    say_rule(p, e->rule, sizeof e->rule);
    e->started_at = (int64_t)t->started_ns;
    e->ended_at = (int64_t)p->now_ns;
    e->verdict = (uint8_t)word;
    e->packets = t->packets_seen;
    e->data = t->data_seen;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    return e;
}

void outbox_ended(struct penny *p, const struct test *t, int word, const char *reason,
                  struct fraction f)
{
    struct event_test_ended *e = outbox_ended_add(p, t, word, reason);
    const struct verdict *v = &t->verdict;
    e->genuine_probability = verdict_probability(v);
    e->genuine_fraction = f.value;
    e->genuine_low = f.low;
    e->genuine_high = f.high;
    e->genuine_evidence = v->genuine;
    e->open_evidence = v->open;
    e->flows = v->flows;
    e->droppable = t->droppable;
    e->drops = v->drops.withheld;
    e->retransmitted = v->drops.returns;
    e->unanswered = v->drops.unanswered;
    e->invalid = v->drops.invalid;
    e->controls = v->trial[0].controls;
    e->duplicates = v->trial[0].repeats;
}

void outbox_paper_ended(struct penny *p, const struct test *t, int word, const char *reason,
                        const struct paper_sum *sum)
{
    struct event_test_ended *e = outbox_ended_add(p, t, word, reason);
    e->genuine_probability = sum->probability;
    e->genuine_fraction = .5;
    e->genuine_high = 1;
    e->flows = sum->flows;
    e->droppable = sum->droppable;
    e->drops = sum->drops;
    e->retransmitted = sum->returned;
    e->unanswered = sum->unanswered;
    e->invalid = sum->invalid;
    e->controls = sum->droppable - sum->drops;
    e->duplicates = sum->duplicates;
}

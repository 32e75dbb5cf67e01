#include "collector/receive/pace.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t due_of(const struct pace *p)
{
    return p->paid_at > PACE_BURST_NS ? p->paid_at - PACE_BURST_NS : 0;
}

bool pace_hello(struct pace *p, uint64_t epoch, uint64_t now)
{
    if (p->hello_at > now + PACE_HELLO_BURST * PACE_HELLO_NS || due_of(p) > now)
        return false;
    p->hello_at = larger(p->hello_at, now) + PACE_HELLO_NS;
    p->epoch = epoch;
    p->committed = 0;
    p->first = p->count = 0;
    return true;
}

static void pay(struct pace *p, size_t bytes, uint64_t now)
{
    p->paid_at = larger(p->paid_at, now);
    if (p->rate > 0)
        p->paid_at += (uint64_t)((double)bytes * (double)NS_PER_S / (double)p->rate);
}

void pace_welcome(struct pace *p, uint64_t credit)
{
    p->credit = p->is_promised ? larger(p->credit, credit) : credit;
    p->is_promised = true;
}

bool pace_batch(struct pace *p, uint64_t last_seq, size_t bytes, uint64_t now)
{
    uint64_t credit = p->credit > 0 && p->credit < WIRE_CREDIT ? p->credit : WIRE_CREDIT;
    if (p->count >= credit)
        return false;
    p->is_promised = false;
    pay(p, bytes, now);
    unsigned at = (p->first + p->count++) % WIRE_CREDIT;
    p->batch[at].last_seq = last_seq;
    p->batch[at].due = due_of(p);
    return true;
}

/* A batch that is committed and waits for its acknowledgement to be due. */
static bool has_committed(const struct pace *p)
{
    return p->count > 0 && p->batch[p->first].last_seq <= p->committed;
}

bool pace_take_ack(struct pace *p, uint64_t now, uint64_t *say)
{
    bool any = false;
    while (has_committed(p) && p->batch[p->first].due <= now) {
        *say = p->batch[p->first].last_seq;
        p->first = (p->first + 1) % WIRE_CREDIT;
        p->count--;
        any = true;
    }
    if (any && !has_committed(p))
        *say = p->committed;
    return any;
}

bool pace_committed(struct pace *p, uint64_t epoch, uint64_t seq, uint64_t now, uint64_t *say)
{
    *say = seq;
    if (epoch != p->epoch)
        return true;
    p->committed = seq;
    return !has_committed(p) || pace_take_ack(p, now, say);
}

uint64_t pace_due(const struct pace *p)
{
    return has_committed(p) ? p->batch[p->first].due : UINT64_MAX;
}

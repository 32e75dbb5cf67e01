#include "sensor/penny/sample.h"

#define THINNING_MAX 31

/* What its test learns, it learns of a part of the flows. */
static void mark_partial(struct penny *p, const struct aggregate *a)
{
    if (a->test != NONE)
        p->tests[a->test].verdict.is_partial = true;
}

static bool is_stale(const struct penny *p, const struct flow *flow)
{
    if (flow->watch != p->watch) /* whose it is now, its next packet will tell */
        return false;
    if (flow->aggregate == NONE || !sample_holds(&p->aggregates[flow->aggregate], flow->hash))
        return true;
    return flow->grace > 0 && p->now_ns - flow->last_seen_ns > p->conf->timeout_ns / 2;
}

static void thin(struct penny *p, const struct flow *flow)
{
    if (flow->watch != p->watch || flow->aggregate == NONE)
        return;
    struct aggregate *a = &p->aggregates[flow->aggregate];
    if (a->thinning < THINNING_MAX)
        a->thinning++;
    a->thinned_ns = p->now_ns;
    mark_partial(p, a);
    p->sample_left = p->flows.max;
}

static void look(struct penny *p)
{
    struct flow *flow = &p->flows.flows[p->sample_hand];
    p->sample_hand = p->sample_hand + 1 < p->flows.max ? p->sample_hand + 1 : 0;
    if (p->sample_left > 0)
        p->sample_left--;
    if (!flow->is_used)
        return;
    if (p->sample_left == 0)
        thin(p, flow);
    if (flow->unit_first == FLOW_NONE && is_stale(p, flow))
        flow_table_remove(&p->flows, flow);
}

void sample_make_room(struct penny *p)
{
    if (p->paper != NULL) /* its drops hang on flows that nobody here can see */
        return;
    if (p->flows.free_count > p->flows.max / 8) {
        p->sample_left = p->flows.max;
        return;
    }
    for (unsigned i = 0; i < SAMPLE_LOOKS; i++)
        look(p);
}

void sample_missed(struct penny *p, struct aggregate *a)
{
    mark_partial(p, a);
    uint64_t used = p->flows.max - p->flows.free_count;
    if (used * 8 > (uint64_t)p->flows.max * 3 || p->now_ns - a->thinned_ns < SAMPLE_PAUSE_NS)
        return;
    a->thinning--;
    a->thinned_ns = p->now_ns;
}

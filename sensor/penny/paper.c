#include "sensor/penny/paper.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/outbox.h"
#include "sensor/penny/test.h"

#define MISS           0.05 /* chance that a genuine sender's answer is not seen */
#define DUPLICATES_MAX 0.15
#define SURE           0.99
#define NEVER          UINT64_MAX
#define FIRST_LAP      (UINT64_C(1) << 32) /* so that no position falls below 0 */

/* Positions are sequence numbers carried on to 64 bits: a test may outlast a wrap. */
struct paper_flow {
    uint64_t hash, next, from; /* from: the first droppable segment in this test, NEVER */
    uint32_t test;
    bool was_looked_at;
};

struct counts {
    uint32_t droppable, duplicates;
};

/* Twelve drops and the judgement over them. */
struct paper_trial {
    struct paper_drop drop[PAPER_DROPS_MAX]; /* oldest first */
    unsigned drops, pending;
    uint64_t due_ns; /* nothing is due before */
    struct counts now, snapshot;
    bool is_counted; /* its counts are in the sum */
};

struct paper_test {
    struct prf prf;
    struct paper_trial trial;
    bool is_one_by_one; /* the aggregate is not closed loop: its flows are looked at */
    uint32_t flow;      /* the one that is, FLOW_NONE */
    unsigned judged;    /* flows */
    uint64_t last_ns, flow_last_ns;
    struct paper_trial aggregate; /* as it was judged */
    struct paper_sum sum;
};

struct paper {
    struct paper_flow *flows; /* by the flow's index */
    struct paper_test *tests; /* by the test's slot */
};

static unsigned drops_limit(const struct penny *p)
{
    return p->conf->max_drops < PAPER_DROPS_MAX ? p->conf->max_drops : PAPER_DROPS_MAX;
}

static struct paper_test *own_test(struct penny *p, const struct test *t)
{
    return &p->paper->tests[t - p->tests];
}

/* ---- memory ---- */

int paper_new(struct penny *p)
{
    if (p->conf->rule != PENNY_PAPER)
        return 0;
    p->paper = calloc(1, sizeof *p->paper);
    if (p->paper == NULL)
        return -ENOMEM;
    p->paper->flows = calloc(p->flows.max, sizeof *p->paper->flows);
    p->paper->tests = calloc(p->test_max, sizeof *p->paper->tests);
    return p->paper->flows != NULL && p->paper->tests != NULL ? 0 : -ENOMEM;
}

void paper_free(struct penny *p)
{
    if (p->paper == NULL)
        return;
    free(p->paper->flows);
    free(p->paper->tests);
    free(p->paper);
}

void paper_start(struct penny *p, const struct test *t)
{
    *own_test(p, t) = (struct paper_test){.prf = prf_init(p->seed, UINT64_C(1) << 33 | t->number),
                                          .flow = FLOW_NONE,
                                          .last_ns = p->now_ns,
                                          .sum.probability = .5};
}

/* ---- ends ---- */

static unsigned count_fate(const struct paper_trial *r, enum paper_fate fate)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->drops; i++)
        n += r->drop[i].fate == fate;
    return n;
}

static unsigned kept(const struct paper_trial *r)
{
    return r->snapshot.droppable > r->drops ? r->snapshot.droppable - r->drops : 0;
}

/* After the last drop no segment takes part any more. */
static void add_counts(const struct penny *p, struct paper_test *pt)
{
    struct paper_trial *r = &pt->trial;
    const struct counts *c = r->drops == drops_limit(p) ? &r->snapshot : &r->now;
    pt->sum.droppable += r->is_counted ? 0 : c->droppable;
    pt->sum.duplicates += r->is_counted ? 0 : c->duplicates;
    r->is_counted = true;
}

static void invalidate(struct penny *p, const struct test *t, const struct paper_drop *d)
{
    own_test(p, t)->sum.invalid++;
    outbox_paper_drop(p, t, d, DROP_INVALID);
}

void paper_end(struct penny *p, struct test *t, int word, const char *reason)
{
    struct paper_test *pt = own_test(p, t);
    struct paper_trial *r = &pt->trial;
    for (unsigned i = 0; i < r->drops; i++)
        if (r->drop[i].fate == PAPER_PENDING)
            invalidate(p, t, &r->drop[i]);
    add_counts(p, pt);
    outbox_paper_ended(p, t, word, reason, &pt->sum);
}

static void say(char *out, size_t room, const struct paper_trial *r)
{
    snprintf(out, room, "%u of %u drops came again, %u of %u kept segments",
             count_fate(r, PAPER_RETURNED), r->drops, r->snapshot.duplicates, kept(r));
}

static void end_spoofed(struct penny *p, struct test *t, const char *why)
{
    char reason[96];
    const struct paper_test *pt = own_test(p, t);
    const struct paper_trial *r = &pt->aggregate;
    snprintf(reason, sizeof reason,
             "%snot closed loop: %u of %u came again, %u of %u kept; flows alone: 0 of %u", why,
             count_fate(r, PAPER_RETURNED), r->drops, r->snapshot.duplicates, kept(r), pt->judged);
    test_end(p, t, VERDICT_SPOOFED, reason);
}

void paper_stop(struct penny *p, struct test *t, const char *why)
{
    char reason[96];
    const struct paper_test *pt = own_test(p, t);
    const struct paper_trial *r = &pt->trial;
    if (pt->is_one_by_one) {
        snprintf(reason, sizeof reason, "%s; ", why);
        end_spoofed(p, t, reason);
        return;
    }
    snprintf(reason, sizeof reason, "%s: %u of %u drops resolved", why, r->drops - r->pending,
             drops_limit(p));
    test_end(p, t, VERDICT_INCONCLUSIVE, pt->sum.flows == 0 ? "no TCP data" : reason);
}

/* ---- judgement ---- */

/* The rule itself: a word, and P where it was asked for. */
static int word_of(const struct paper_trial *r, double *probability)
{
    double duplicates = r->snapshot.duplicates > 0 ? r->snapshot.duplicates : 1;
    double share = duplicates / (kept(r) > 0 ? kept(r) : 1);
    if (share > DUPLICATES_MAX)
        return VERDICT_DUPLICATES_EXCEEDED;
    double h1 = pow(MISS, count_fate(r, PAPER_UNANSWERED));
    double h2 = pow(share, count_fate(r, PAPER_RETURNED));
    *probability = h1 / (h1 + h2);
    if (*probability > SURE)
        return VERDICT_GENUINE;
    return *probability < 1 - SURE ? VERDICT_SPOOFED : VERDICT_INCONCLUSIVE;
}

/* True if the test ended: there is no room for another flow's drops. */
static bool go_on(struct penny *p, struct test *t)
{
    struct paper_test *pt = own_test(p, t);
    add_counts(p, pt);
    pt->trial = (struct paper_trial){0};
    pt->flow = FLOW_NONE;
    if (pt->sum.drops + drops_limit(p) <= p->conf->budget)
        return false;
    end_spoofed(p, t, "");
    return true;
}

static bool flow_judged(struct penny *p, struct test *t)
{
    struct paper_test *pt = own_test(p, t);
    char reason[96];
    double probability = 0;
    pt->judged++;
    add_counts(p, pt);
    if (word_of(&pt->trial, &probability) != VERDICT_GENUINE)
        return go_on(p, t);
    pt->sum.probability = probability;
    snprintf(reason, sizeof reason,
             "aggregate not closed loop: %u of %u drops came again; a flow alone is: %u of %u",
             count_fate(&pt->aggregate, PAPER_RETURNED), pt->aggregate.drops,
             count_fate(&pt->trial, PAPER_RETURNED), pt->trial.drops);
    test_end(p, t, VERDICT_MIXED, reason);
    return true;
}

static bool aggregate_judged(struct penny *p, struct test *t)
{
    struct paper_test *pt = own_test(p, t);
    char reason[96];
    int word = word_of(&pt->trial, &pt->sum.probability);
    add_counts(p, pt);
    say(reason, sizeof reason, &pt->trial);
    if (word == VERDICT_SPOOFED) {
        pt->is_one_by_one = true;
        pt->aggregate = pt->trial;
        return go_on(p, t);
    }
    test_end(p, t, word, reason);
    return true;
}

/* True if the test ended. */
static bool judge(struct penny *p, struct test *t)
{
    struct paper_test *pt = own_test(p, t);
    const struct paper_trial *r = &pt->trial;
    if (r->pending > 0)
        return false;
    if (r->drops == drops_limit(p))
        return pt->is_one_by_one ? flow_judged(p, t) : aggregate_judged(p, t);
    if (pt->sum.drops < p->conf->budget)
        return false;
    paper_stop(p, t, "budget spent");
    return true;
}

/* ---- outcomes ---- */

static void resolve(struct penny *p, const struct test *t, struct paper_drop *d, bool came_again)
{
    struct paper_test *pt = own_test(p, t);
    d->fate = came_again ? PAPER_RETURNED : PAPER_UNANSWERED;
    pt->trial.pending--;
    pt->sum.returned += came_again;
    pt->sum.unanswered += !came_again;
    outbox_paper_drop(p, t, d, came_again ? DROP_RETRANSMITTED : DROP_UNANSWERED);
}

/* No evidence: as if it had not been drawn. */
static void forget(struct penny *p, const struct test *t, struct paper_drop *d)
{
    struct paper_trial *r = &own_test(p, t)->trial;
    invalidate(p, t, d);
    r->pending--;
    r->drops--;
    r->now.droppable--;
    own_test(p, t)->sum.droppable++;
    for (struct paper_drop *at = d; at < &r->drop[r->drops]; at++)
        *at = at[1];
}

/* The watch list changed, and its flow belongs to another aggregate: what came again went there. */
static bool has_moved(const struct penny *p, const struct test *t, const struct paper_drop *d)
{
    const struct flow *flow = &p->flows.flows[d->flow];
    return flow->is_used && memcmp(&flow->key, &d->key, sizeof d->key) == 0 &&
           flow->watch == p->watch && flow->aggregate != t->aggregate;
}

static uint64_t due_at(const struct penny *p, const struct paper_drop *d)
{
    return d->at_ns + p->conf->timeout_ns * (d->is_passed ? 1 : 2);
}

static void resolve_due(struct penny *p, const struct test *t)
{
    struct paper_trial *r = &own_test(p, t)->trial;
    if (r->pending == 0 || p->now_ns < r->due_ns)
        return;
    r->due_ns = NEVER;
    for (unsigned i = 0; i < r->drops;) {
        struct paper_drop *d = &r->drop[i];
        bool is_due = d->fate == PAPER_PENDING && p->now_ns >= due_at(p, d);
        if (is_due && has_moved(p, t, d)) {
            forget(p, t, d);
            continue; /* the next one lies here now */
        }
        if (is_due)
            resolve(p, t, d, false);
        else if (d->fate == PAPER_PENDING && d->at_ns + p->conf->timeout_ns < r->due_ns)
            r->due_ns = d->at_ns + p->conf->timeout_ns;
        i++;
    }
}

static bool touches(const struct seq_cover *c, uint32_t seq, uint32_t len)
{
    return seq_diff(seq + len, c->start) > 0 && seq_diff(seq, c->start + c->len) < 0;
}

/* What this segment is to the flow's pending drops; true if it answers one, in whole or part. */
static bool answer(struct penny *p, const struct test *t, const struct flow *flow, uint32_t seq,
                   uint32_t len)
{
    struct paper_trial *r = &own_test(p, t)->trial;
    bool any = false;
    for (unsigned i = 0; r->pending > 0 && i < r->drops; i++) {
        struct paper_drop *d = &r->drop[i];
        if (d->fate != PAPER_PENDING || d->flow != flow_index(&p->flows, flow) ||
            memcmp(&d->key, &flow->key, sizeof d->key) != 0)
            continue;
        d->is_passed |= seq_diff(flow->track.next, d->cover.start + d->cover.len) > 0;
        if (!touches(&d->cover, seq, len))
            continue;
        any = true;
        if (seq_cover_add(&d->cover, seq, len))
            resolve(p, t, d, true);
    }
    return any;
}

void paper_reset(struct penny *p, const struct flow *flow)
{
    uint32_t slot = p->paper != NULL ? p->aggregates[flow->aggregate].test : NONE;
    if (slot == NONE)
        return;
    struct test *t = &p->tests[slot];
    struct paper_test *pt = own_test(p, t);
    struct paper_trial *r = &pt->trial;
    uint32_t index = flow_index(&p->flows, flow);
    resolve_due(p, t);
    for (unsigned i = 0; i < r->drops;)
        if (r->drop[i].fate == PAPER_PENDING && r->drop[i].flow == index &&
            memcmp(&r->drop[i].key, &flow->key, sizeof flow->key) == 0)
            forget(p, t, &r->drop[i]);
        else
            i++;
    if (judge(p, t))
        return;
    if (pt->is_one_by_one && pt->flow == index)
        go_on(p, t);
}

/* ---- the draw ---- */

/* Lines of an earlier test, or of an earlier flow in this place, are blank. */
static struct paper_flow *own_flow(struct penny *p, const struct test *t, const struct flow *flow)
{
    struct paper_flow *pf = &p->paper->flows[flow_index(&p->flows, flow)];
    if (pf->test != t->number || pf->hash != flow->hash)
        *pf = (struct paper_flow){.hash = flow->hash,
                                  .next = FIRST_LAP + flow->track.next,
                                  .from = NEVER,
                                  .test = t->number};
    return pf;
}

/* The segment's position; the flow's end moves on. */
static uint64_t advance(struct paper_flow *pf, const struct flow *flow, uint32_t seq, bool in_order)
{
    uint64_t at = pf->next + (uint64_t)(int64_t)seq_diff(seq, (uint32_t)pf->next);
    if (in_order && at != pf->next) /* its ports are used anew */
        pf->from = NEVER;
    pf->next += (uint64_t)(int64_t)seq_diff(flow->track.next, (uint32_t)pf->next);
    return at;
}

/* In the aggregate's trial all flows take part, then the one that is looked at: the first with
 * droppable data that was not looked at yet. */
static bool takes_part(struct penny *p, struct paper_test *pt, struct paper_flow *pf,
                       const struct flow *flow, bool is_droppable)
{
    if (!pt->is_one_by_one)
        return true;
    uint32_t index = flow_index(&p->flows, flow);
    if (is_droppable && pt->flow == FLOW_NONE && !pf->was_looked_at) {
        pt->flow = index;
        pf->was_looked_at = true;
        pf->from = NEVER;
    }
    if (pt->flow != index || !pf->was_looked_at) /* not marked: a new flow in its place */
        return false;
    if (is_droppable)
        pt->flow_last_ns = p->now_ns;
    return true;
}

static const struct paper_drop *oldest_pending(const struct paper_trial *r)
{
    for (unsigned i = 0; i < r->drops; i++)
        if (r->drop[i].fate == PAPER_PENDING)
            return &r->drop[i];
    return NULL;
}

static void count_repeat(struct penny *p, struct paper_trial *r, const struct flow *flow,
                         uint64_t at)
{
    r->now.duplicates++;
    const struct paper_drop *d = r->drops == drops_limit(p) ? oldest_pending(r) : NULL;
    if (d != NULL && d->flow == flow_index(&p->flows, flow) && at <= d->position)
        r->snapshot.duplicates++;
}

static enum verdict_frame draw(struct penny *p, struct test *t, const struct flow *flow,
                               const struct packet *packet, uint64_t at)
{
    struct paper_test *pt = own_test(p, t);
    struct paper_trial *r = &pt->trial;
    if (r->drops == drops_limit(p) || pt->sum.drops >= p->conf->budget)
        return FRAME_FORWARD;
    if ((double)(prf_next(&pt->prf) >> 11) >= p->conf->drop_probability * 0x1p53)
        return FRAME_FORWARD;
    struct paper_drop *d = &r->drop[r->drops++];
    *d = (struct paper_drop){
        .key = flow->key, .at_ns = p->now_ns, .position = at, .flow = flow_index(&p->flows, flow)};
    seq_cover_init(&d->cover, packet->seq, packet->payload_len);
    if (r->pending++ == 0 || r->due_ns == NEVER)
        r->due_ns = p->now_ns + p->conf->timeout_ns;
    r->snapshot = r->now;
    pt->sum.drops++;
    p->event_reserved++;
    test_rate_spend(p);
    return FRAME_DROP;
}

/* Asked before the coin: a segment that could not be withheld takes no part. */
static bool may_withhold(struct penny *p)
{
    bool has_room = outbox_room(p) > 0, is_slow = test_rate_allows(p);
    p->stats.no_room += !has_room;
    p->stats.rate_limited += has_room && !is_slow;
    return has_room && is_slow;
}

enum verdict_frame paper_data(struct penny *p, struct test *t, struct flow *flow,
                              const struct packet *packet, enum seq_class class, bool is_droppable)
{
    struct paper_test *pt = own_test(p, t);
    struct paper_flow *pf = own_flow(p, t, flow);
    uint32_t seq = data_seq(packet);
    uint64_t at = advance(pf, flow, seq, class == SEQ_IN_ORDER);
    resolve_due(p, t);
    bool is_answer = answer(p, t, flow, seq, packet->payload_len);
    if (judge(p, t))
        return FRAME_FORWARD;
    if (is_droppable) {
        pt->last_ns = p->now_ns;
        pt->sum.flows += (flow->flags & FLOW_DATA) == 0;
        flow->flags |= FLOW_DATA;
    }
    if (!takes_part(p, pt, pf, flow, is_droppable))
        return FRAME_FORWARD;
    if (class == SEQ_REPEAT && !is_answer && at >= pf->from)
        count_repeat(p, &pt->trial, flow, at);
    bool is_new = is_droppable || class == SEQ_AHEAD || class == SEQ_FILL;
    if (!is_new || flow->grace > 0)
        return FRAME_FORWARD;
    if (!may_withhold(p))
        return FRAME_FORWARD;
    if (pf->from == NEVER)
        pf->from = at;
    pt->trial.now.droppable++;
    return is_droppable ? draw(p, t, flow, packet, at) : FRAME_FORWARD;
}

/* ---- time ---- */

void paper_tick(struct penny *p, struct test *t)
{
    struct paper_test *pt = own_test(p, t);
    uint64_t silence_ns = 2 * p->conf->timeout_ns;
    resolve_due(p, t);
    if (judge(p, t))
        return;
    if (p->now_ns - t->started_ns >= p->conf->max_duration_ns)
        paper_stop(p, t, "time is over");
    else if (pt->is_one_by_one && p->now_ns - pt->last_ns > silence_ns)
        paper_stop(p, t, "traffic stopped");
    else if (pt->flow != FLOW_NONE && pt->trial.pending == 0 &&
             p->now_ns - pt->flow_last_ns > silence_ns)
        go_on(p, t);
}

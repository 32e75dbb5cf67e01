#include "sensor/penny/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sensor/penny/outbox.h"
#include "sensor/penny/paper.h"
#include "sensor/penny/unit.h"
#include "shared/base/clock.h"

#define WAIT_FOR        6  /* drops without an answer: if they stay so, the open evidence stands */
#define WAIT_FOR_ALL    28 /* the same where nothing came again: if they stay so, the word stands */
#define HEAVY_SENDS     32 /* segments, among which a flow with an eighth of the traffic has one */
#define RATE_AHEAD_NS   (NS_PER_S / 10) /* so much of a second may be spent at once */
#define DATA_TELLS      100             /* segments before their order is judged */
#define BLIND_MAX       10              /* doublings of a window */
#define REPEATS_AGAINST 0.05 /* repeats of kept segments above it speak against genuine */

static void make_id(struct penny *p, uint8_t id[static 16])
{
    uint64_t words[2] = {prf_next(&p->ids), prf_next(&p->ids)};
    memcpy(id, words, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* version 4, variant 1: RFC 9562 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

struct test *test_start(struct penny *p, uint32_t aggregate)
{
    if (p->free_test_count == 0 || outbox_room(p) < 2)
        return NULL; /* the aggregate waits for its turn */
    uint32_t slot = p->free_tests[--p->free_test_count];
    struct test *t = &p->tests[slot];
    *t = (struct test){.number = ++p->test_number,
                       .aggregate = aggregate,
                       .prefix = p->prefixes[aggregate / p->ingress->count],
                       .ingress = (uint16_t)(aggregate % p->ingress->count),
                       .started_ns = p->now_ns,
                       .last_unit_ns = p->now_ns,
                       .repeats = prf_init(p->seed, UINT64_C(3) << 32 | p->test_number),
                       .again = NONE};
    p->stats.tests++;
    make_id(p, t->id);
    drop_policy_init(&t->policy, prf_init(p->seed, UINT64_C(1) << 32 | t->number),
                     p->conf->drop_probability, p->conf->open_blocks, p->conf->gap_ns);
    verdict_init(&t->verdict, p->conf->alpha, p->conf->miss_max);
    p->aggregates[aggregate].test = slot;
    p->event_reserved += 2;
    if (p->paper != NULL)
        paper_start(p, t);
    outbox_started(p, t);
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

/* Is the fate of this block's drop part of what the verdict saw in order? */
static bool is_settled(const struct test *t, const struct block *b)
{
    return b->fate != FATE_NONE && b->drop_order < t->settle;
}

/* A verdict may fall long before any window is over; then the blocks whose drop is known in order
 * of drawing speak, with all their kept units, so that early repeats do not weigh too much. */
static struct fraction final_fraction(struct test *t, int word)
{
    struct verdict v = t->verdict;
    for (uint32_t s = t->policy.first; s < t->policy.next; s++) {
        const struct block *b = drop_policy_block(&t->policy, s);
        if (is_settled(t, b))
            add_cohort(&v, b, b->kept_drawn);
    }
    return verdict_fraction(&v, word);
}

static void end_pending(struct penny *p, struct test *t)
{
    for (uint32_t s = t->policy.first; s < t->policy.next; s++) {
        struct block *b = drop_policy_block(&t->policy, s);
        if (b->fate == FATE_PENDING)
            unit_invalidate(p, t, &p->units[b->drop_unit]);
        else if (b->fate == FATE_NONE)
            p->event_reserved--;
    }
    while (t->again != NONE)
        unit_invalidate(p, t, &p->units[t->again]);
}

static void end_randomised(struct penny *p, struct test *t, int word, const char *reason)
{
    struct fraction f = final_fraction(t, word);
    end_pending(p, t);
    outbox_ended(p, t, word, reason, f);
}

/* A test that lost its sight is made up for, when what it waited for has come or not: after a
 * window. Where that happens again and again, ever later, so that drops are no more than without.
 */
static uint64_t rest_of(const struct penny *p, struct aggregate *a, const struct test *t)
{
    uint64_t usual = p->conf->retest_after_ns, brief = p->conf->timeout_ns << a->blind;
    if (!t->is_blind) {
        a->blind = 0;
        return usual;
    }
    a->blind += a->blind < BLIND_MAX;
    return brief < usual ? brief : usual;
}

void test_release(struct penny *p, struct test *t)
{
    struct aggregate *a = &p->aggregates[t->aggregate];
    a->test = NONE;
    a->not_before_ns = p->now_ns + rest_of(p, a, t);
    t->number = 0;
    p->free_tests[p->free_test_count++] = (uint32_t)(t - p->tests);
}

void test_end(struct penny *p, struct test *t, int word, const char *reason)
{
    if (p->paper != NULL)
        paper_end(p, t, word, reason);
    else
        end_randomised(p, t, word, reason);
    test_release(p, t);
}

/* Only what is revealed, and the clock: a drop that nobody answered for 250 ms speaks, too. */
static bool is_nothing_against(const struct test *t)
{
    const struct drop_counts *drops = &t->verdict.drops;
    return drops->unanswered == 0 && drops->invalid == 0 && t->policy.old == 0 &&
           t->came <= REPEATS_AGAINST * (double)t->droppable;
}

static uint32_t budget_of(const struct penny_conf *c)
{
    return c->budget > c->max_drops ? c->budget : c->max_drops;
}

static struct penny_limit *limit_of(const struct penny *p, const struct test *t)
{
    return &p->left[t->aggregate / p->ingress->count];
}

/* What may still be withheld for its prefix. */
static uint32_t left_of(const struct penny *p, const struct test *t)
{
    const struct penny_limit *limit = limit_of(p, t);
    bool is_over = limit->until_ns != 0 && p->now_ns >= limit->until_ns;
    return is_over ? 0 : limit->drops;
}

void test_limit_spend(struct penny *p, const struct test *t)
{
    struct penny_limit *limit = limit_of(p, t);
    if (limit->drops != PENNY_NO_LIMIT && limit->drops > 0)
        limit->drops--;
}

/* A repeat that took part in a draw counts as a drop, whatever its coin: so the budget holds, and
 * its rest tells nothing. Where some drops are long unanswered, those will tell: no more are needed
 * until then. */
static uint32_t own_limit(const struct penny *p, const struct test *t)
{
    bool is_proven = t->verdict.genuine >= t->verdict.log_threshold;
    if (t->policy.old >= (is_proven ? WAIT_FOR : WAIT_FOR_ALL))
        return t->policy.next - 1;
    uint32_t limit = is_nothing_against(t) ? p->conf->max_drops : budget_of(p->conf);
    return limit > t->repeats_drawn ? limit - t->repeats_drawn : 0;
}

uint32_t test_blocks_limit(const struct penny *p, const struct test *t)
{
    uint32_t own = own_limit(p, t), left = left_of(p, t), drawn = t->policy.next - 1;
    return left < own - (own < drawn ? own : drawn) ? drawn + left : own;
}

bool test_rate_allows(const struct penny *p)
{
    return p->conf->drops_per_s == 0 || p->rate_at_ns < p->now_ns + RATE_AHEAD_NS;
}

void test_rate_spend(struct penny *p)
{
    if (p->conf->drops_per_s == 0)
        return;
    if (p->rate_at_ns < p->now_ns)
        p->rate_at_ns = p->now_ns;
    p->rate_at_ns += NS_PER_S / p->conf->drops_per_s;
}

bool test_may_draw_repeat(const struct penny *p, const struct test *t)
{
    return t->policy.next - 1 + t->repeats_drawn < budget_of(p->conf) && left_of(p, t) > 0 &&
           test_rate_allows(p) && units_have_room(p) && outbox_room(p) > 0;
}

/* It would have sent some of the last segments. */
static bool is_heavy_untold(const struct test *t)
{
    return t->heavy_at != 0 && t->verdict.all_segments - t->heavy_at < HEAVY_SENDS;
}

void test_end_likeliest(struct penny *p, struct test *t, const char *why)
{
    char reason[96];
    t->verdict.is_heavy_untold = is_heavy_untold(t);
    int word = verdict_last(&t->verdict, why, reason, sizeof reason);
    test_end(p, t, word, reason);
}

static bool is_spent(const struct penny *p, const struct test *t)
{
    const struct drop_policy *d = &t->policy;
    return d->first == d->next && t->again == NONE && d->next - 1 >= test_blocks_limit(p, t) &&
           d->old == 0;
}

/* Where so much arrives out of order, holes and repeats are not what they seem. */
static bool is_disordered(const struct penny *p, const struct test *t)
{
    return p->conf->reordering_max > 0 && t->data >= DATA_TELLS &&
           (double)t->disordered > p->conf->reordering_max * (double)t->data;
}

/* True if the test ended. */
bool test_judge(struct penny *p, struct test *t)
{
    if (t->number == 0)
        return true;
    if (is_disordered(p, t)) {
        char reason[96];
        snprintf(reason, sizeof reason, "%" PRIu64 " of %" PRIu64 " segments came out of order",
                 t->disordered, t->data);
        test_end(p, t, VERDICT_INCONCLUSIVE, reason);
        return true;
    }
    t->verdict.is_heavy_untold = is_heavy_untold(t);
    int word = verdict_word(&t->verdict, p->conf->max_drops);
    if (word >= 0) {
        char reason[96];
        verdict_reason(&t->verdict, reason, sizeof reason);
        test_end(p, t, word, reason);
        return true;
    }
    if (!is_spent(p, t))
        return false;
    test_end_likeliest(p, t, "all drops spent");
    return true;
}

/* In order of drawing, not of resolution: a return is known within a round trip, its absence after
 * the window, so the first drops known are the returned ones. */
static void settle(struct test *t)
{
    while (t->settle < t->drops) {
        uint8_t fate = t->fate[t->settle % FATES_MAX];
        if (fate == FATE_PENDING)
            return;
        verdict_settle(&t->verdict, fate == FATE_RETURNED);
        t->settle++;
    }
}

void test_know(struct test *t, const struct unit *u, enum block_fate fate)
{
    struct block *b = drop_policy_block(&t->policy, u->block);
    b->fate = (uint8_t)fate;
    t->fate[b->drop_order % FATES_MAX] = (uint8_t)fate;
    drop_policy_known(&t->policy, b);
    settle(t);
}

void test_close_blocks(struct test *t)
{
    struct drop_policy *d = &t->policy;
    while (d->first < d->next && block_is_over(d, drop_policy_block(d, d->first))) {
        const struct block *b = drop_policy_block(d, d->first);
        add_cohort(&t->verdict, b, b->kept);
        d->first++;
    }
}

#include "sensor/penny/test.h"

#include <stdio.h>
#include <string.h>

#include "sensor/penny/outbox.h"
#include "sensor/penny/paper.h"

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
                       .settle = 1};
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

void test_invalidate(struct penny *p, struct test *t, struct block *b)
{
    b->fate = FATE_INVALID;
    t->invalid++;
    outbox_drop(p, t, unit_at(p, b->drop_unit), DROP_INVALID, p->now_ns);
}

/* What is open becomes invalid, and the word is said. */
static void end_randomised(struct penny *p, struct test *t, int word, const char *reason)
{
    struct fraction f = final_fraction(t, word);
    for (uint32_t s = t->policy.first; s < t->policy.next; s++) {
        struct block *b = drop_policy_block(&t->policy, s);
        if (b->fate == FATE_PENDING)
            test_invalidate(p, t, b);
        else if (b->fate == FATE_NONE)
            p->event_reserved--;
    }
    outbox_ended(p, t, word, reason, f);
}

void test_end(struct penny *p, struct test *t, int word, const char *reason)
{
    if (p->paper != NULL)
        paper_end(p, t, word, reason);
    else
        end_randomised(p, t, word, reason);
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

uint32_t test_blocks_limit(const struct penny *p, const struct test *t)
{
    const struct penny_conf *c = p->conf;
    unsigned budget = c->budget > c->max_drops ? c->budget : c->max_drops;
    return is_nothing_against(t) ? c->max_drops : budget;
}

void test_end_likeliest(struct penny *p, struct test *t, const char *why)
{
    char reason[96];
    int word = verdict_last(&t->verdict, why, reason, sizeof reason);
    test_end(p, t, word, reason);
}

static void end_with_word(struct penny *p, struct test *t, int word)
{
    char reason[96];
    const struct verdict *v = &t->verdict;
    snprintf(reason, sizeof reason, "%u of %u drops came again, %u of %u kept segments", v->returns,
             v->returns + v->unanswered, v->repeats, v->controls);
    test_end(p, t, word, reason);
}

/* True if the test ended. */
bool test_judge(struct penny *p, struct test *t)
{
    int word = verdict_word(&t->verdict, p->conf->max_drops);
    if (word >= 0) {
        end_with_word(p, t, word);
        return true;
    }
    struct drop_policy *d = &t->policy;
    if (d->first == d->next && d->next - 1 >= test_blocks_limit(p, t)) {
        test_end_likeliest(p, t, "all drops spent");
        return true;
    }
    return false;
}

/* Drops go to the `half` evidence in order of drawing. */
void test_settle(struct test *t)
{
    while (t->settle < t->policy.next) {
        struct block *b = drop_policy_block(&t->policy, t->settle);
        if (b->fate == FATE_NONE || b->fate == FATE_PENDING)
            return;
        verdict_settle(&t->verdict, b->fate == FATE_RETURNED, (uint32_t)t->kept, (uint32_t)t->came);
        t->settle++;
    }
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

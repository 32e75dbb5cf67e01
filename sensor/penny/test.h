/* One aggregate's test from its start to its word. verdict.h says when a word stands, drop_policy.h
 * who takes part; here is what ties them to the engine's memory and events. */
#pragma once

#include "sensor/penny/engine.h"

#define REPEAT_DRAW   2 /* one of so many repeats is withheld, by independent coins */
#define REPEAT_CHANCE (1.0 / REPEAT_DRAW)

/* NULL if all tests are taken or there is no room for its events: the aggregate waits. */
struct test *test_start(struct penny *p, uint32_t aggregate);

/* Pending drops become invalid. */
void test_end(struct penny *p, struct test *t, int word, const char *reason);
void test_end_likeliest(struct penny *p, struct test *t, const char *why);

/* All was said: the slot is free, and the aggregate rests. */
void test_release(struct penny *p, struct test *t);

/* Ends the test if a word stands or nothing more can be withheld; true if it ended. */
bool test_judge(struct penny *p, struct test *t);

/* Most blocks that it may open, by what is known so far. */
uint32_t test_blocks_limit(const struct penny *p, const struct test *t);

/* The flow gave to as many draws as one flow may. */
static inline bool test_flow_is_spent(const struct penny *p, const struct flow *flow)
{
    return p->conf->flow_budget != 0 && flow->turn.draws >= p->conf->flow_budget;
}

/* A draw costs one drop of this second's. Whatever the coin: the rest must not tell it. */
bool test_rate_allows(const struct penny *p);
void test_rate_spend(struct penny *p);

/* A draw also costs one of what may be withheld for the prefix, where that is limited. */
void test_limit_spend(struct penny *p, const struct test *t);

/* Has the budget, and all memory, room for one more repeat that may be withheld? */
bool test_may_draw_repeat(const struct penny *p, const struct test *t);

/* What became of a block's withheld unit is known: reveals it, and gives fates that are next in
 * order of drawing to the verdict. */
void test_know(struct test *t, const struct unit *u, enum block_fate fate);

/* Blocks that are over become closed cohorts. */
void test_close_blocks(struct test *t);

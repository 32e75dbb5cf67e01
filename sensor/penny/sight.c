/* What becomes of tests when packets went past unseen. */
#include "sensor/penny/engine.h"
#include "sensor/penny/paper.h"
#include "sensor/penny/passive.h"
#include "sensor/penny/test.h"

#define LOST_SIGHT "the sensor did not see all of this prefix's packets"

static void end_blind(struct penny *p, struct test *t)
{
    t->is_blind = true;
    if (p->passive != NULL)
        passive_lost_sight(p, t, LOST_SIGHT);
    else
        test_end(p, t, VERDICT_INCONCLUSIVE, LOST_SIGHT);
}

/* Windows that are over by now are not looked at first: what they waited for may have gone past. */
void penny_lost_sight(struct penny *p, uint64_t now_ns)
{
    if (now_ns > p->now_ns)
        p->now_ns = now_ns;
    for (uint32_t i = 0; i < p->test_max; i++)
        if (p->tests[i].number != 0)
            end_blind(p, &p->tests[i]);
}

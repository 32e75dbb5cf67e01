#include "collector/evidence/evidence.h"

#include <string.h>

static bool is_conclusive(enum ingress_state state)
{
    return state == STATE_GENUINE || state == STATE_MIXED || state == STATE_SPOOFED;
}

static enum ingress_state state_of(uint8_t verdict)
{
    switch (verdict) {
    case VERDICT_GENUINE:
        return STATE_GENUINE;
    case VERDICT_SPOOFED:
        return STATE_SPOOFED;
    case VERDICT_MIXED:
        return STATE_MIXED;
    default: /* duplicates exceeded: the path, not the sender, decided; so nothing is proven */
        return STATE_INCONCLUSIVE;
    }
}

/* Comparisons with NaN are false, so NaN becomes 0: a claim without a number proves nothing. */
static double unit(double x)
{
    if (!(x > 0))
        return 0;
    return x < 1 ? x : 1;
}

void evidence_started(const struct evidence_conf *conf, struct ingress_row *row, const char *sensor,
                      const struct event_test_started *t)
{
    (void)conf, (void)t;
    if (is_conclusive(row->state))
        return;
    row->state = STATE_TESTING;
    memset(row->testing_by, 0, sizeof row->testing_by);
    memcpy(row->testing_by, sensor, strnlen(sensor, sizeof row->testing_by - 1));
}

static void become(struct ingress_row *row, enum ingress_state state)
{
    row->state = state;
    memset(row->testing_by, 0, sizeof row->testing_by);
}

/* Conclusive states are never replaced by `testing`, so that no other can have stood before. */
static void become_as_before(struct ingress_row *row)
{
    become(row, row->has_evidence ? STATE_INCONCLUSIVE : STATE_UNVERIFIED);
}

bool evidence_lost(struct ingress_row *row, const char *sensor)
{
    if (row->state != STATE_TESTING ||
        strncmp(row->testing_by, sensor, sizeof row->testing_by - 1) != 0)
        return false;
    become_as_before(row);
    return true;
}

/* Does what the row says already outweigh this test? */
static bool stands(const struct evidence_conf *conf, const struct ingress_row *row,
                   enum ingress_state state, int64_t ended_at)
{
    if (is_conclusive(state) || !is_conclusive(row->state))
        /* Same rank: the newer one wins; a conclusive one always beats what is not. */
        return is_conclusive(state) == is_conclusive(row->state) && ended_at < row->last_test_at;
    return ended_at < row->last_test_at ||
           (uint64_t)ended_at - (uint64_t)row->last_test_at < conf->half_life_ns;
}

void evidence_ended(const struct evidence_conf *conf, struct ingress_row *row,
                    const struct event_test_ended *t)
{
    enum ingress_state state = state_of(t->verdict);
    row->tests++;
    if (stands(conf, row, state, t->ended_at)) {
        if (row->state == STATE_TESTING)
            become_as_before(row);
        return;
    }
    become(row, state);
    row->has_evidence = true;
    row->genuine_probability = unit(t->genuine_probability);
    row->genuine_fraction = unit(t->genuine_fraction);
    row->genuine_low = unit(t->genuine_low);
    row->genuine_high = unit(t->genuine_high);
    row->last_test_at = t->ended_at;
}

void evidence_inherit(struct ingress_row *row, const struct ingress_row *from)
{
    row->state = from->state;
    memcpy(row->testing_by, from->testing_by, sizeof row->testing_by);
    row->has_evidence = from->has_evidence;
    row->genuine_probability = from->genuine_probability;
    row->genuine_fraction = from->genuine_fraction;
    row->genuine_low = from->genuine_low;
    row->genuine_high = from->genuine_high;
    row->tests = from->tests;
    row->last_test_at = from->last_test_at;
}

#include "sensor/penny/drop_policy.h"

#include <math.h>

void drop_policy_init(struct drop_policy *d, struct prf prf, double drop_probability,
                      unsigned open_blocks, uint64_t gap_ns)
{
    double size = drop_probability > 0 ? round(1 / drop_probability) : BLOCK_SIZE_MAX;
    *d = (struct drop_policy){.prf = prf, .gap_ns = gap_ns, .first = 1, .next = 1};
    d->size = (uint8_t)fmin(fmax(size, BLOCK_SIZE_MIN), BLOCK_SIZE_MAX);
    d->open_max = (uint8_t)(open_blocks > BLOCKS_OPEN_MAX ? BLOCKS_OPEN_MAX : open_blocks);
    if (d->open_max == 0)
        d->open_max = 1;
}

struct block *drop_policy_filling(struct drop_policy *d)
{
    if (d->first == d->next)
        return NULL;
    struct block *last = drop_policy_block(d, d->next - 1);
    return last->drawn < d->size ? last : NULL;
}

bool drop_policy_may_take(struct drop_policy *d, const struct turn *turn, uint32_t blocks_limit,
                          uint64_t now_ns)
{
    const struct block *filling = drop_policy_filling(d);
    if (filling == NULL && (d->next - d->first >= d->open_max || d->next - 1 >= blocks_limit))
        return false;
    if (turn->block == 0 && turn->at_ns == 0)
        return true;
    if (filling != NULL && turn->block == d->next - 1)
        return now_ns - filling->opened_ns >= turn->units * SPREAD_NS;
    return now_ns - turn->at_ns >= d->gap_ns;
}

static void open_block(struct drop_policy *d, uint64_t now_ns)
{
    uint8_t place = (uint8_t)prf_below(&d->prf, d->size);
    *drop_policy_block(d, d->next) = (struct block){.opened_ns = now_ns, .place = place};
    d->next++;
}

bool drop_policy_take(struct drop_policy *d, struct turn *turn, uint64_t now_ns, uint32_t *serial)
{
    if (drop_policy_filling(d) == NULL)
        open_block(d, now_ns);
    *serial = d->next - 1;
    turn->units = turn->block == *serial ? turn->units + 1 : 1;
    turn->block = *serial;
    turn->at_ns = now_ns;
    struct block *b = drop_policy_block(d, *serial);
    bool is_dropped = b->drawn == b->place;
    b->drawn++;
    b->waiting++;
    b->kept_drawn += !is_dropped;
    if (is_dropped)
        b->fate = FATE_PENDING;
    return is_dropped;
}

double block_chance(const struct drop_policy *d, const struct block *b)
{
    return b->is_known ? 0.0 : 1.0 / (d->size - b->revealed);
}

bool block_is_over(const struct drop_policy *d, const struct block *b)
{
    return b->drawn == d->size && b->waiting == 0;
}

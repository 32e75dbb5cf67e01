#include "sensor/penny/drop_policy.h"

#include <math.h>

void drop_policy_init(struct drop_policy *d, struct prf prf, double drop_probability,
                      unsigned open_blocks, uint64_t gap_ns)
{
    double size = drop_probability > 0 ? round(1 / drop_probability) : BLOCK_SIZE_MAX;
    *d = (struct drop_policy){.prf = prf, .gap_ns = gap_ns, .first = 1, .next = 1};
    d->size = (uint8_t)fmin(fmax(size, BLOCK_SIZE_MIN), BLOCK_SIZE_MAX);
    d->open_max = (uint8_t)(open_blocks > BLOCKS_MAX ? BLOCKS_MAX : open_blocks);
    if (d->open_max == 0)
        d->open_max = 1;
}

static bool is_remembered(const struct drop_policy *d, uint32_t serial)
{
    return serial >= d->first && serial < d->next;
}

static void grow_old(struct drop_policy *d, uint64_t now_ns)
{
    for (; d->full_head != d->full_tail; d->full_head++) {
        uint32_t serial = d->full[d->full_head % (2 * BLOCKS_MAX)];
        struct block *b = drop_policy_block(d, serial);
        if (!is_remembered(d, serial) || !b->is_young)
            continue;
        if (now_ns - b->full_ns < PATIENCE_NS)
            return;
        b->is_young = false;
        b->is_old = true;
        d->young--;
        d->old++;
    }
}

/* It gave to a block of which it is not known that it was spared, less than a gap ago. */
static bool must_wait(struct drop_policy *d, struct bidder bidder, uint64_t now_ns)
{
    const struct turn *turn = bidder.turn;
    if (turn->at_ns == 0 || now_ns - turn->at_ns >= d->gap_ns)
        return false;
    if (!is_remembered(d, turn->block))
        return true;
    const struct block *b = drop_policy_block(d, turn->block);
    return !b->is_known || b->drop_flow == bidder.flow;
}

static bool may_open(const struct drop_policy *d, uint32_t blocks_limit)
{
    return d->filling_count + d->young < d->open_max && d->next - 1 < blocks_limit &&
           d->next - d->first < BLOCKS_MAX;
}

/* A filling block that others may join, or 0. */
static uint32_t joinable(struct drop_policy *d, uint32_t flows, uint64_t now_ns)
{
    for (unsigned i = 0; i < d->filling_count; i++) {
        uint32_t serial = d->filling[d->next_joined++ % d->filling_count];
        if (flows > FLOWS_FEW || now_ns - drop_policy_block(d, serial)->opened_ns >= ALONE_NS)
            return serial;
    }
    return 0;
}

uint32_t drop_policy_offer(struct drop_policy *d, struct bidder bidder, uint32_t blocks_limit,
                           uint64_t now_ns)
{
    const struct turn *turn = bidder.turn;
    if (is_remembered(d, turn->block)) {
        const struct block *own = drop_policy_block(d, turn->block);
        if (own->drawn < d->size)
            return now_ns - own->opened_ns >= turn->units * SPREAD_NS ? turn->block : 0;
    }
    if (must_wait(d, bidder, now_ns))
        return 0;
    grow_old(d, now_ns);
    return may_open(d, blocks_limit) ? d->next : joinable(d, bidder.flows, now_ns);
}

static void open_block(struct drop_policy *d, uint64_t now_ns)
{
    uint8_t place = (uint8_t)prf_below(&d->prf, d->size);
    *drop_policy_block(d, d->next) = (struct block){.opened_ns = now_ns, .place = place};
    d->filling[d->filling_count++] = d->next++;
}

static void close_filling(struct drop_policy *d, uint32_t serial, uint64_t now_ns)
{
    for (unsigned i = 0; i < d->filling_count; i++)
        if (d->filling[i] == serial) {
            d->filling[i] = d->filling[--d->filling_count];
            break;
        }
    struct block *b = drop_policy_block(d, serial);
    b->full_ns = now_ns;
    if (b->is_known)
        return;
    grow_old(d, now_ns); /* makes room in the ring */
    b->is_young = true;
    d->young++;
    d->full[d->full_tail++ % (2 * BLOCKS_MAX)] = serial;
}

bool drop_policy_take(struct drop_policy *d, uint32_t serial, struct turn *turn, uint64_t now_ns)
{
    if (serial == d->next)
        open_block(d, now_ns);
    if (turn->block != serial) {
        turn->block = serial;
        turn->units = 0;
        turn->draws++;
    }
    turn->units++;
    turn->at_ns = now_ns;
    struct block *b = drop_policy_block(d, serial);
    bool is_dropped = b->drawn == b->place;
    b->drawn++;
    b->waiting++;
    b->kept_drawn += !is_dropped;
    if (is_dropped)
        b->fate = FATE_PENDING;
    if (b->drawn == d->size)
        close_filling(d, serial, now_ns);
    return is_dropped;
}

void drop_policy_known(struct drop_policy *d, struct block *b)
{
    b->is_known = true;
    d->young -= b->is_young;
    d->old -= b->is_old;
    b->is_young = b->is_old = false;
}

double block_chance(const struct drop_policy *d, const struct block *b)
{
    return b->is_known ? 0.0 : 1.0 / (d->size - b->revealed);
}

bool block_is_over(const struct drop_policy *d, const struct block *b)
{
    return b->drawn == d->size && b->waiting == 0;
}

/* Which segments take part in the draw, and which one of a block is withheld.
 *
 * Source: docs/penny.md, "The draw". A block is B = round(1/p) droppable segments of the aggregate;
 * one of its places, drawn uniformly from a keyed generator when the block is opened, is withheld.
 * So B units cost exactly one segment, and given what is revealed the chance that a resolving unit
 * is the withheld one is 1 / (B - revealed), also when the block never fills. A unit that becomes
 * invalid is revealed too, without being evidence: what the engine goes by must all be part of what
 * is revealed.
 *
 * Several blocks fill side by side. A flow that belongs to none opens one while that is allowed.
 * Else it joins one of those that fill, if flows are many (more than 24) or that block is a second
 * old: so few fast flows get a block each, many or slow ones share. A flow gives its (n+1)th
 * segment to its block only once that is n * 5 ms old.
 *
 * Pace. A block counts as open while it fills, and then until its drop is revealed, but no longer
 * than 250 ms: a genuine sender has mostly answered by then. At most `open_blocks` are open. So
 * genuine traffic is tested as fast as it answers, and traffic that does not answer at 20 drops a
 * second at the most.
 *
 * Harm. Two drops of one flow lie at least a gap apart. A flow that gave to a block gives to
 * another one after a gap, or at once when it is revealed that the block's drop was not its own.
 *
 * Nothing here looks at a coin that is not revealed: blocks, traffic, the clock and what is known
 * decide who takes part. A gate that depended on pending drops would tell the sender's pattern
 * about the coin.
 *
 * Blocks get serial numbers in the order of opening; those in [first, next) are remembered. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/hash.h"

#define BLOCKS_MAX     64 /* remembered at once, per test; a configured open_blocks is cut here */
#define BLOCK_SIZE_MIN 2
#define BLOCK_SIZE_MAX 250
#define SPREAD_NS      UINT64_C(5000000)
#define PATIENCE_NS    UINT64_C(250000000)
#define FLOWS_FEW      24
#define ALONE_NS       UINT64_C(1000000000)

enum block_fate { FATE_NONE, FATE_PENDING, FATE_RETURNED, FATE_UNANSWERED, FATE_INVALID };

struct block {
    uint64_t opened_ns, full_ns;
    uint32_t drop_unit;  /* the withheld unit, once there is one */
    uint32_t drop_flow;  /* its flow */
    uint32_t drop_order; /* how many of the test were withheld before it */
    uint8_t place;       /* which place is withheld */
    uint8_t drawn;       /* places given away */
    uint8_t revealed;    /* units of which it is known whether they were withheld */
    uint8_t waiting;     /* units whose window is not over */
    uint8_t kept, came;  /* kept units with a value; those of them that came again */
    uint8_t kept_drawn;  /* kept units, resolved or not */
    uint8_t fate;        /* enum block_fate, of the withheld unit */
    bool is_known;       /* the withheld unit was revealed */
    bool is_young;       /* full, not known, and counted as open */
    bool is_old;         /* full, not known, and no longer counted as open */
    bool is_flows_first; /* the withheld unit was its flow's first in this test */
};

struct drop_policy {
    struct prf prf;
    uint64_t gap_ns;
    uint32_t first, next; /* serial numbers: [first, next) are remembered */
    uint8_t size, open_max;
    uint8_t filling_count, next_joined;
    uint32_t filling[BLOCKS_MAX];
    uint32_t full[2 * BLOCKS_MAX]; /* full blocks in order of time: a ring */
    uint32_t full_head, full_tail;
    uint32_t young, old; /* how many are */
    struct block ring[BLOCKS_MAX];
};

/* A flow's memory of its turns; block counts from 1, 0: never. */
struct turn {
    uint64_t at_ns; /* its last unit, also one of an earlier test */
    uint32_t block;
    uint16_t units, draws; /* given to that block; blocks and repeats given */
};

void drop_policy_init(struct drop_policy *d, struct prf prf, double drop_probability,
                      unsigned open_blocks, uint64_t gap_ns);

static inline struct block *drop_policy_block(struct drop_policy *d, uint32_t serial)
{
    return &d->ring[serial % BLOCKS_MAX];
}

/* Who asks for a place. */
struct bidder {
    const struct turn *turn;
    uint32_t flow;  /* index */
    uint32_t flows; /* of this aggregate: so many may ask */
};

/* The serial number of the block that takes a segment of this flow now; 0: none does. It may be
 * d->next, which is then opened by drop_policy_take. No more than blocks_limit are ever opened. */
uint32_t drop_policy_offer(struct drop_policy *d, struct bidder bidder, uint32_t blocks_limit,
                           uint64_t now_ns);

/* Takes a segment into the block that was offered. True: withhold it. */
bool drop_policy_take(struct drop_policy *d, uint32_t serial, struct turn *turn, uint64_t now_ns);

/* The block's withheld unit is revealed. */
void drop_policy_known(struct drop_policy *d, struct block *b);

/* Chance that a unit of this block that resolves now is the withheld one; 0 once that is known. */
double block_chance(const struct drop_policy *d, const struct block *b);

/* Full, and every window over. */
bool block_is_over(const struct drop_policy *d, const struct block *b);

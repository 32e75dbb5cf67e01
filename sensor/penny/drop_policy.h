/* Which segments take part in the draw, and which one of a block is withheld.
 *
 * Source: docs/penny.md section 2, "draw in blocks". A block is the next B = round(1/p) droppable
 * segments of the aggregate; one of its places, drawn uniformly from a keyed generator when the
 * block is opened, is withheld. So every B units cost exactly one segment, and given what is
 * revealed the chance that a resolving unit is the withheld one is 1 / (B - revealed), also when
 * the block never fills. A unit that becomes invalid is revealed too, without being evidence: what
 * the engine goes by must all be part of what is revealed.
 *
 * Spread. A flow gives its (n+1)th segment to a block only once the block is n * 5 ms old: with
 * many flows each gives one, a single fast flow fills a block of 20 within 95 ms, a slow one is
 * never held up. A flow that gave to an earlier block gives again only a gap after its last unit:
 * so two drops of one flow lie at least a gap apart, since a block has one drop.
 *
 * Limits. At most `open_blocks` blocks are open, that is, not full or with a window not yet over.
 * Nothing here looks at the coin: blocks, traffic and the clock decide who takes part, for a gate
 * that depended on pending drops would tell the sender's pattern about the coin.
 *
 * Blocks open and close in order; the oldest is `first`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/hash.h"

#define BLOCKS_OPEN_MAX 32 /* a configured open_blocks is cut here */
#define BLOCK_SIZE_MIN  2
#define BLOCK_SIZE_MAX  250
#define SPREAD_NS       UINT64_C(5000000)

enum block_fate { FATE_NONE, FATE_PENDING, FATE_RETURNED, FATE_UNANSWERED, FATE_INVALID };

struct block {
    uint64_t opened_ns;
    uint32_t drop_unit;  /* the withheld unit, once there is one */
    uint8_t place;       /* which place is withheld */
    uint8_t drawn;       /* places given away */
    uint8_t revealed;    /* units of which it is known whether they were withheld */
    uint8_t waiting;     /* units whose window is not over */
    uint8_t kept, came;  /* kept units with a value; those of them that came again */
    uint8_t kept_drawn;  /* kept units, resolved or not */
    uint8_t fate;        /* enum block_fate, of the withheld unit */
    bool is_known;       /* the withheld unit was revealed */
    bool is_settled;     /* its fate was given to the verdict, in order of drawing */
    bool is_flows_first; /* the withheld unit was its flow's first in this test */
};

struct drop_policy {
    struct prf prf;
    uint64_t gap_ns;
    uint32_t first, next; /* serial numbers: [first, next) are open */
    uint8_t size, open_max;
    struct block ring[BLOCKS_OPEN_MAX];
};

/* A flow's memory of its turns; block counts from 1, 0: never. */
struct turn {
    uint64_t at_ns;
    uint32_t block, units;
};

void drop_policy_init(struct drop_policy *d, struct prf prf, double drop_probability,
                      unsigned open_blocks, uint64_t gap_ns);

static inline struct block *drop_policy_block(struct drop_policy *d, uint32_t serial)
{
    return &d->ring[serial % BLOCKS_OPEN_MAX];
}

/* The block that still has places, or NULL. */
struct block *drop_policy_filling(struct drop_policy *d);

/* May the flow with this turn give a segment now? False too when a block would have to be opened
 * and `open_max` are, or `blocks_limit` were opened. */
bool drop_policy_may_take(struct drop_policy *d, const struct turn *turn, uint32_t blocks_limit,
                          uint64_t now_ns);

/* Takes a segment: opens a block if none is filling. *serial: its block. True: withhold it. Only
 * after drop_policy_may_take said yes. */
bool drop_policy_take(struct drop_policy *d, struct turn *turn, uint64_t now_ns, uint32_t *serial);

/* Chance that a unit of this block that resolves now is the withheld one; 0 once that is known. */
double block_chance(const struct drop_policy *d, const struct block *b);

/* Full, and every window over. */
bool block_is_over(const struct drop_policy *d, const struct block *b);

/* Which flows the table takes in when there are more than it holds: a uniform sample.
 *
 * Each aggregate has a thinning k, at first 0: of its flows the table takes those whose rank, a
 * number made from the keyed hash, lies in the lowest 2^-k of its range. So who is watched depends
 * on a secret alone, not on who came first or sends fastest, and what is measured on the sample
 * speaks of all; a small aggregate beside a large one keeps all its flows. The others are forwarded
 * without any state.
 *
 * Room. A flow that is no longer in the sample is let go with its next packet. When less than an
 * eighth of the table is free, each admission also looks at the next SAMPLE_LOOKS flows (a hand
 * goes round) and lets go those that
 *   - are no longer in their aggregate's sample, or no longer watched;
 *   - sent one segment with data and then nothing for half a window (timeout / 2): a flood of
 *     forged one-packet flows holds places only so long, and a flow that sends so seldom could
 *     not be judged anyway (unit.h: it fell silent).
 * Flows with open units stay until these are known. When the hand has gone round and the table is
 * still short, the aggregate of the next flow that it finds is thinned by half: a random flow's
 * aggregate is most likely a large one. While less than three eighths are used, an aggregate's
 * sample may double again, at most every SAMPLE_PAUSE_NS. Nothing walks: the work per packet is
 * bounded, and none is done while there is room.
 *
 * Limits. Until a first round is over after a sudden flood, flows that find
 * the table full are refused (counted), whoever they are. */
#pragma once

#include "sensor/penny/engine.h"

#define SAMPLE_LOOKS    16
#define SAMPLE_PAUSE_NS UINT64_C(1000000000) /* between two changes towards more flows */

/* Other bits than those that choose the bucket and the tag. */
static inline uint32_t sample_rank(uint64_t hash)
{
    return (uint32_t)(hash * UINT64_C(0xd6e8feb86659fd93) >> 32);
}

/* Is the flow with this hash in the aggregate's sample? */
static inline bool sample_holds(const struct aggregate *a, uint64_t hash)
{
    return a->thinning == 0 || sample_rank(hash) >> (32 - a->thinning) == 0;
}

/* Is the flow to go, because its aggregate was thinned? */
static inline bool sample_has_left(const struct aggregate *a, const struct flow *flow,
                                   uint64_t hash)
{
    return a->thinning != 0 && !sample_holds(a, hash) && flow->unit_first == FLOW_NONE;
}

/* A segment with data came of a flow that is not: its test goes by a part of the flows, and there
 * may be room for more by now. */
void sample_missed(struct penny *p, struct aggregate *a);

/* Before a flow is taken in. */
void sample_make_room(struct penny *p);

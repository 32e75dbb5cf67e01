/* Units: segments that took part in a draw, until it is known whether they came again. */
#pragma once

#include "sensor/penny/engine.h"

/* 0 or -ENOMEM; the queues' lengths follow from the configuration. */
int units_init(struct penny *p, uint32_t count);

/* The class of window for a flow with this round-trip time; TRIP_UNKNOWN: the longest. */
uint8_t window_of_trip(const struct penny *p, uint64_t trip_ns);

static inline bool units_have_room(const struct penny *p)
{
    return p->unit_free != NONE;
}

/* A unit of depth 0 of this flow in the block with this serial number, drawn now; the caller sets
 * what it covers and whether it was withheld. There must be room. */
struct unit *unit_new(struct penny *p, struct test *t, struct flow *flow, uint32_t serial);

/* The unit is no evidence. It is revealed all the same: the limits of blocks depend on it, so the
 * chances of the others in its block must be those that know it. */
void unit_invalidate(struct penny *p, struct test *t, struct unit *u);

/* Resolves all units whose window is over. */
void units_due(struct penny *p);

/* This segment's bytes came, and all of them had come before if it is_old: resolves the open units
 * that they complete. True: withhold it, for it repeats a withheld one and so did the coin say. */
bool units_cover(struct penny *p, struct flow *flow, uint32_t seq, uint32_t len, bool is_old);

/* RST: whatever is open is no evidence, in both arms. */
void units_reset(struct penny *p, struct flow *flow);

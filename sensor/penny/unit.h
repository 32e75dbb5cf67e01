/* Units: segments that took part in the draw, until it is known whether they came again. */
#pragma once

#include "sensor/penny/engine.h"

/* A unit of this flow in the block with this serial number, drawn now; the caller sets what it
 * covers and whether it was withheld. There must be room in the ring. */
struct unit *unit_new(struct penny *p, struct test *t, struct flow *flow, uint32_t serial);

/* Resolves all units whose window is over. */
void units_due(struct penny *p);

/* This segment's bytes came: resolves the open units that they complete. */
void units_cover(struct penny *p, struct flow *flow, uint32_t seq, uint32_t len);

/* RST: whatever is open is no evidence, in both arms. */
void units_reset(struct penny *p, struct flow *flow);

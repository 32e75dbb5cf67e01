/* The loop's clock, and what is due by it: the tick once a second, and what is too old to keep. */
#pragma once

#include "collector/loop/loop.h"

/* At the first load: between the clock and the latest time that the database knows. */
void loop_clock_start(struct loop *l, int64_t latest);
/* The time; without a look at what became of the clock. */
int64_t loop_now(const struct loop *l);
/* The time. When somebody set the clock since the last look, what is held is told. */
int64_t loop_clock(struct loop *l);

bool loop_is_tick_due(const struct loop *l, int64_t now);
/* Silence, hold-downs, ends and what there was no room for; when it is due. */
void loop_tick(struct loop *l);

/* Once an hour: alerts that ended long ago. */
int loop_forget_alerts(struct loop *l, int64_t now, struct note *note);
/* Between transactions: months that are too old go, one of each table at a time. That it did not
 * work is no reason to read the database again. */
void loop_forget_months(struct loop *l);

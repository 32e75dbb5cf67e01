/* A batch in doubt is shown to the database before anything is made of it: its events are put into
 * a transaction that is rolled back. Memory is not touched, so an event that is refused is found by
 * halving, nine transactions of 512 events, and nothing has to be read again. What is refused only
 * because of what an event makes of the map, an alert or an order shows in the trial itself
 * (collector/loop/doubt.h), as ever. */
#pragma once

#include "collector/loop/loop.h"

/* Before the trial of that batch, of which something is new; no transaction is open. Sets
 * doubt->room. ERR_DATABASE; ERR_DATA when not even a transaction without events can begin. */
int loop_rehearse(struct loop *l, const char *sensor, const struct wire_message *m,
                  struct doubt *doubt, struct note *note);

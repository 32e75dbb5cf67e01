/* The second half of a turn: what changed goes to the database. Each core is asked for what it
 * queued, and hears what the others' changes mean to it on the way. */
#pragma once

#include "collector/loop/loop.h"

/* The transaction: opened by the first thing that must be written; nothing to commit without. */
int loop_put_begin(struct loop *l, struct note *note);
int loop_put_commit(struct loop *l, struct note *note);

/* In this order: alerts and orders hear of the rows before them. */
int loop_put_roster(struct loop *l, int64_t now, struct note *note);
int loop_put_map(struct loop *l, int64_t now, struct note *note);
int loop_put_learned(struct loop *l, struct note *note);
int loop_put_alerts(struct loop *l, struct note *note);
int loop_put_orders(struct loop *l, struct note *note);
/* After all that this transaction folds: the counters are as of it. */
int loop_put_cells(struct loop *l, int64_t now, struct note *note);

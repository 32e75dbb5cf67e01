/* How memory comes out of the database: at the start, and again whenever something failed. */
#pragma once

#include "collector/loop/loop.h"

int loop_load(struct loop *l, struct note *note);

/* A turn failed: memory is thrown away with its transaction, and no answer goes out. */
void loop_forget(struct loop *l, const struct note *note);

/* A first failure is tried again at once (a connection that broke); from the second on, with a
 * pause, so that a database that cannot write is not stormed. */
void loop_recover(struct loop *l);

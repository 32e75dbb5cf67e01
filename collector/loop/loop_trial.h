/* A turn whose batch was tried alone (collector/loop/doubt.h), and a turn that failed because the
 * database refused a value: whose? */
#pragma once

#include "collector/loop/loop.h"

/* The turn was committed. */
void loop_trial_passed(struct loop *l);
/* It failed with ERR_DATA; note: what the database said. */
void loop_trial_blame(struct loop *l, const struct note *note);

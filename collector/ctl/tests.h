/* penstockctl tests, test start, test stop, test approve. */
#pragma once

#include "collector/ctl/command.h"

int tests_list(const struct call *call);
int test_start(const struct call *call);
int test_stop(const struct call *call);
int test_approve(const struct call *call);

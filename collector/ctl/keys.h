/* penstockctl keys: certificates are made, shown and checked (shared/curve/curve.h). */
#pragma once

#include "collector/ctl/command.h"

int keys_new(const struct call *call);
int keys_show(const struct call *call);
int keys_check(const struct call *call);

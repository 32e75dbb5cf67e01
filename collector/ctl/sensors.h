/* penstockctl sensors: who reports. */
#pragma once

#include "collector/ctl/command.h"

int sensors_list(const struct call *call);

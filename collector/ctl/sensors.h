/* penstockctl sensors: who reports; penstockctl scans: how even the ports are that are probed. */
#pragma once

#include "collector/ctl/command.h"

int sensors_list(const struct call *call);
int scans_list(const struct call *call);

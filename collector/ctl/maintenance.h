/* penstockctl maintenance …: windows in which alerts are expected. */
#pragma once

#include "collector/ctl/command.h"

int maintenance_add(const struct call *call);
int maintenance_list(const struct call *call);
int maintenance_remove(const struct call *call);

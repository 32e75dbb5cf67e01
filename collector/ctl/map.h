/* penstockctl map: where traffic enters. */
#pragma once

#include "collector/ctl/command.h"
#include "collector/ctl/show.h"

int map_list(const struct call *call);

/* The entries of the map as a table. */
void map_table(const struct look_rows *rows);

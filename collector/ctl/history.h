/* penstockctl history: when the ingress of a prefix changed. */
#pragma once

#include "collector/ctl/command.h"
#include "collector/store/look.h"

int history_list(const struct call *call);

/* The changes as a table. */
void history_table(const struct look_rows *rows);

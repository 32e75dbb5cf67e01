/* penstockctl expect …: what operators say is expected, in SQL table expectation. */
#pragma once

#include "collector/ctl/command.h"

int expect_add_command(const struct call *call);
int expect_remove_command(const struct call *call);
int expect_list_command(const struct call *call);
int expect_import_command(const struct call *call);

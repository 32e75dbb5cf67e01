/* What the database says, as the cores know it. */
#pragma once

#include "collector/expect/expect.h"
#include "collector/store/look.h"

/* One row of penstock.ingress_map. Words that this release does not know read as unknown. */
struct ingress_row stored_entry(const struct look_rows *rows, unsigned row);

/* Prefix and place of a row of any table whose columns are named like that. */
void stored_place(const struct look_rows *rows, unsigned row, struct prefix *prefix,
                  char pop[static 32], struct ingress *at);

/* The rows of penstock.expectation of that source, added to out. -ENOMEM. */
int stored_expectation(const struct look_rows *rows, const char *source, struct expect_list *out);

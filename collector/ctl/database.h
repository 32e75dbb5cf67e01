/* The database of a command: from --dsn, else database.dsn of -c FILE, else PENSTOCK_DSN, else the
 * default of database.dsn. */
#pragma once

#include "collector/ctl/command.h"
#include "collector/store/look.h"

/* For the row in main.c of every command that asks the database. */
#define TAKES_DATABASE (TAKES(OPTION_DSN) | TAKES(OPTION_CONF))

/* Connects. The exit status: 0, or 1 or 2 after a complaint on standard error. */
int database_open(const struct call *call, struct look **out);

/* A failed question: complains; 2 when what was asked for is to blame, else 1. */
int database_fail(int err, const struct note *note);

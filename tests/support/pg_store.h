/* A private PostgreSQL with the schema in it, and a store that is connected to it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/store/store.h"
#include "shared/base/log.h"
#include "tests/support/pg.h"

/* 0, or -1: there is no PostgreSQL. Fails the test when the schema cannot be made. */
static inline int pg_store_open(struct pg *pg, struct store **store)
{
    unsigned applied;
    struct note note = {0};
    struct store_conf where = {0};
    log_level_set(LOG_LEVEL_ERROR);
    if (pg_start(pg) != 0)
        return -1;
    snprintf(where.dsn, sizeof where.dsn, "%s", pg->dsn);
    if (store_open(&where, store, &note) != 0 || store_migrate(*store, &applied, &note) != 0)
        fail_msg("%s", note.text);
    return 0;
}

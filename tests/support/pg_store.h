/* A private PostgreSQL with the schema in it, a store that is connected to it, and a superuser's
 * client to look with: one of each for a test program. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/store/store.h"
#include "tests/support/pg.h"

extern struct pg pg;
extern struct store *store;
extern PGconn *client;
extern struct note note;

/* 0, else the note is the failure's message. */
#define ok(call)                                  \
    do {                                          \
        note.text[0] = '\0';                      \
        int err_ = (call);                        \
        if (err_ != 0)                            \
            fail_msg("%s: %s", #call, note.text); \
    } while (0)

/* For cmocka's groups. -1: there is no PostgreSQL. Fails the test when the schema cannot be made.
 */
int pg_store_up(void **state);
int pg_store_down(void **state);

/* The client says it; it must not be refused. */
void sql(const char *text);
/* What it answers: one row, its first column as text (until the next call), or as a number. */
const char *answer(const char *text);
long number(const char *text);

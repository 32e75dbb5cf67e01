/* Inside the store: how a named question or order of people is put to the database. Not for others:
 * they call the named functions of look.h and its like. */
#pragma once

#include "collector/store/look.h"

/* Whether the alert a was ever more than pending. */
#define LOOK_HAS_FIRED                                                                  \
    "EXISTS (SELECT FROM penstock.alert_event AS told WHERE told.alert_id = a.alert_id" \
    " AND told.state NOT IN ('pending', 'resolved')) AS has_fired"

/* Runs one statement; values stand for $1, $2, … (NULL: SQL's NULL), as text. what says in the note
 * what was attempted. out may be NULL when no rows are wanted. ERR_DATA when the values are to
 * blame (also a constraint, or a trigger that refused), else ERR_DATABASE. */
int look_ask(struct look *l, const char *sql, const char *what, const char *const *values,
             unsigned count, struct look_rows **out, struct note *note);

/* The same with one value, and a limit as $2 (0: none). */
int look_ask_some(struct look *l, const char *sql, const char *what, const char *value,
                  unsigned limit, struct look_rows **out, struct note *note);

/* A limit as PostgreSQL takes it: NULL is no limit. */
const char *look_limit(unsigned limit, char text[static 16]);

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

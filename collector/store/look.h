/* What people ask the database, for penstockctl: a session of its own, beside the collector's, and
 * one named function per question. A reader's role suffices for what only looks.
 *
 * Answers are rows of text as PostgreSQL writes it, each column with the kind of its values, so
 * that a table and JSON can be printed from the same rows. Not safe for several threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

struct look;
struct look_rows;

/* Connects, and checks that the schema is this version's. ERR_CONF: dsn is no connection string;
 * ERR_VERSION; ERR_DATABASE. */
int look_open(const char *dsn, struct look **out, struct note *note);
void look_close(struct look *l); /* NULL: nothing */

/* ---- rows ---- */

enum look_kind {
    LOOK_TEXT,
    LOOK_NUMBER,
    LOOK_BOOLEAN, /* "t" or "f" */
    LOOK_TIME,    /* UTC, "2026-11-22 11:49:02.123456+00" */
    LOOK_JSON,
    LOOK_NUMBERS /* "{1,2.5,NULL}" */
};

void look_rows_free(struct look_rows *rows); /* NULL: nothing */
unsigned look_count(const struct look_rows *rows);
unsigned look_columns(const struct look_rows *rows);
const char *look_name(const struct look_rows *rows, unsigned column);
enum look_kind look_kind_of(const struct look_rows *rows, unsigned column);
/* NULL: SQL's NULL. Good until the rows are freed. */
const char *look_value(const struct look_rows *rows, unsigned row, unsigned column);
/* By the column's name; NULL also when there is no such column. */
const char *look_get(const struct look_rows *rows, unsigned row, const char *name);
/* The same as a number; 0 for NULL. */
double look_number(const struct look_rows *rows, unsigned row, const char *name);
bool look_is_true(const struct look_rows *rows, unsigned row, const char *name);

/* ---- questions ----
 *
 * Each gives its rows in *out, which the caller frees. ERR_DATA: what was asked for is no prefix,
 * no number, no time; ERR_DATABASE. On failure *out is NULL. */

/* Every sensor: columns of penstock.sensor, and its gaps and status of late. */
int look_sensors(struct look *l, struct look_rows **out, struct note *note);

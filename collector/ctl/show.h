/* Rows on standard output: as a table for people, or as JSON with the SQL columns' names.
 *
 * A table's lines are cut to the width of the terminal, if there is one; nothing is cut else. There
 * are no colours. Control characters from the database are shown as '?'. */
#pragma once

#include <stdbool.h>

#include "collector/store/look.h"

struct show {
    const char *name, *head; /* of the SQL column; above it */
};

/* What the table does not say, on standard error: the reason why there is no row (not beside JSON),
 * and that there may be more than limit rows (0: all were asked for). */
void show_told(const struct look_rows *rows, unsigned limit, bool json, const char *none);

/* The columns named as a table, or all columns as a JSON array of objects. */
void show_rows(const struct look_rows *rows, const struct show *columns, unsigned count, bool json);

void show_table(const struct look_rows *rows, const struct show *columns, unsigned count);

/* All rows as a JSON array, without a newline behind it; rows may be NULL: null. */
void show_json(const struct look_rows *rows);
/* One row as an object. */
void show_json_row(const struct look_rows *rows, unsigned row);
/* One value. */
void show_json_value(const struct look_rows *rows, unsigned row, unsigned column);

#define SHOW_TEXT 128

/* A value as tables show it: "-" for NULL, yes and no, times to the second with a Z for UTC, reals
 * to three digits behind the point. Returns text. */
const char *show_text(enum look_kind kind, const char *value, char text[static SHOW_TEXT]);

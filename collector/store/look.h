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
    LOOK_NUMBER,  /* whole */
    LOOK_REAL,    /* also NaN and Infinity */
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

/* Every sensor: columns of penstock.sensor, and how many gaps it has. */
int look_sensors(struct look *l, struct look_rows **out, struct note *note);
/* Scan windows that ended within the last day, summed up by sensor and direction. */
int look_scan_windows(struct look *l, struct look_rows **out, struct note *note);

/* Which entries of the map: all that is given must hold. Texts are as people type them. */
struct look_entries {
    const char *prefix; /* a prefix: what overlaps it; an address: its longest match; NULL: all */
    const char *pop, *state; /* NULL: any */
    bool is_unexpected;
    unsigned limit; /* at most so many rows; 0: all */
};
/* All columns of penstock.ingress_map, in order of prefix, the largest share first. */
int look_entries(struct look *l, const struct look_entries *which, struct look_rows **out,
                 struct note *note);

/* Entries that an alert may be about, the same columns: genuine, mixed or under test, or with an
 * alert that has no end. prefix: only what overlaps it; NULL: all. */
int look_entries_alarming(struct look *l, const char *prefix, struct look_rows **out,
                          struct note *note);

/* An alert: all columns; expected_places, the places it says as one text; has_fired, whether it was
 * ever more than pending. No row: no such. */
int look_alert(struct look *l, const char *alert_id, struct look_rows **out, struct note *note);
/* Alerts without an end whose prefix overlaps this one. */
int look_alerts_of(struct look *l, const char *prefix, struct look_rows **out, struct note *note);
/* Alerts without an end. */
int look_alerts_open(struct look *l, struct look_rows **out, struct note *note);

/* Tests, newest first, whose prefix overlaps this one; pop, router and interface NULL: any. */
struct look_place {
    const char *prefix, *pop, *router, *interface;
};
int look_tests_of(struct look *l, const struct look_place *at, unsigned limit,
                  struct look_rows **out, struct note *note);
/* The first segments that each of these tests (a PostgreSQL array of their ids) withheld. */
int look_drops_of(struct look *l, const char *test_ids, unsigned limit, struct look_rows **out,
                  struct note *note);
/* Orders of tests of prefixes that overlap this one, newest first. */
int look_orders_of(struct look *l, const char *prefix, unsigned limit, struct look_rows **out,
                   struct note *note);
/* When the ingress of prefixes that overlap this one changed, newest first. */
int look_changes_of(struct look *l, const char *prefix, unsigned limit, struct look_rows **out,
                    struct note *note);
/* One sensor, and what is missing from it, newest first. */
int look_sensor(struct look *l, const char *name, struct look_rows **out, struct note *note);
int look_gaps_of(struct look *l, const char *name, unsigned limit, struct look_rows **out,
                 struct note *note);

/* ---- orders of tests (look_orders.c); those that say something need penstock_operator ---- */

struct look_tests {
    const char *prefix, *pop; /* what overlaps it; NULL: all */
    unsigned limit;           /* 0: all */
};
/* All columns of penstock.test_order, those that are not over first, then newest first; of
 * penstock.penny_test, newest first. */
int look_orders(struct look *l, const struct look_tests *which, struct look_rows **out,
                struct note *note);
int look_tests(struct look *l, const struct look_tests *which, struct look_rows **out,
               struct note *note);
/* One order, as it is now. No row: no such. */
int look_order(struct look *l, const char *order_id, struct look_rows **out, struct note *note);
/* Orders a test: its row. pop and reason may be NULL. From then on look_wait hears of orders. */
int look_order_test(struct look *l, const char *prefix, const char *pop, const char *reason,
                    struct look_rows **out, struct note *note);
/* The order as it is then. No row: it is over, is not proposed, or there is no such. */
int look_order_cancel(struct look *l, const char *order_id, struct look_rows **out,
                      struct note *note);
int look_order_approve(struct look *l, const char *order_id, struct look_rows **out,
                       struct note *note);
/* Waits for word of what this session listens to, at most so long; true: some came. */
bool look_wait(struct look *l, unsigned milliseconds);

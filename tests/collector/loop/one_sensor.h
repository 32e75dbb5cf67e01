/* The loop under test between scripted doors, with one sensor, ams1, that sends one event at a
 * time, each in a turn of its own; and what the database says then. */
#pragma once

#include "tests/collector/loop/scripted_doors.h"

extern int64_t now;  /* wall and steady clock; a test moves it */
extern uint64_t seq; /* of the event that was sent last */
extern struct counters counters;
extern struct expect policy;
extern struct loop loop;

/* For cmocka: an empty database, and a loop that knows the sensor. */
int setup(void **state);
int teardown(void **state);

/* A loop on what the database has; and the sensor says hello, in a turn. */
void start_loop(void);
void say_hello(void);
void start(void);

struct prefix prefix(const char *text);

/* It saw traffic of that prefix; a test of it ended. */
void seen(const char *text);
void seen_bytes(const char *text, uint64_t bytes);
void tested(const char *text, uint8_t verdict);

/* The row of that prefix in the database. */
const struct ingress_row *row(const char *text);
void assert_row(const char *text, enum expected expected, const char *by);

/* As INSERT into penstock.expectation, and its NOTIFY: heard in a turn. */
void say(struct expect_row said);

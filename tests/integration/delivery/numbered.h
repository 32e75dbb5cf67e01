/* Events that carry a number v, for the proof that each of them is stored exactly once.
 *
 * What event v is follows from v alone, so that compare.sql can tell from the tables which numbers
 * are there. A column of its kind's table holds v:
 *
 *     v mod 100     event           v stands in
 *     0             scan_window     scan_window_entry.probes
 *     1             sensor_status   sensor_status.packets
 *     10            test_started    penny_test_entry.test_id
 *     11 … 15       drop            penny_drop_entry.seq
 *     20            test_ended      penny_test_entry.flows (of the test that began with v - 10)
 *     all others    tally           ingress_tally.flows
 *
 * A row of penny_test_entry is one test: its rule is `begun` when test_started was there first, and
 * `ended` when only test_ended came. */
#pragma once

#include "shared/wire/event.h"

/* Prefixes 10.0.n.0/24 of the tallies; the tests take the first NUMBERED_TESTED of them. */
#define NUMBERED_PREFIXES 61
#define NUMBERED_TESTED   7

/* at: wall ns. */
void numbered_event(uint64_t v, int64_t at, struct event *e);

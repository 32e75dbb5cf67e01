/* Expectation over the whole map: what is said in SQL, looking at every row again when a source
 * changed, and learning. */
#pragma once

#include "collector/loop/fold.h"

/* Rows judged in a turn after a start or when a source changed: some 40 ms with a table of a
 * million prefixes (tests/bench/bench_rib.c). */
#define FOLD_EXPECT_SLICE 5000
/* Rows looked at per tick for what can be learned: a million in four minutes. */
#define FOLD_LEARN_SLICE 4096
/* Learned in one tick at most; the rest waits. */
#define FOLD_LEARN_MAX 256

/* Reads the entries in SQL again; those held before stay when it fails. */
int fold_expect_load(struct fold *f, struct store *store, struct note *note);

/* A source changed, or the map was loaded: the next calls of fold_expect_some look at every row, a
 * slice each. Meanwhile nothing is told by half a judgement:
 *
 *   - rows with an alert are looked at first, here: none fires by what was expected before
 *   - a row that changes is judged on its way to the database (fold_expect_late)
 *   - after a load nothing fires or ends by time, and no link's spoofed traffic is summed, until
 *     every row was looked at once (fold_tick)
 *   - what is learned is asked of the sources, not of the row */
void fold_expect_begin(struct fold *f, int64_t now);
void fold_expect_start(struct fold *f, int64_t now); /* loaded */
void fold_expect_some(struct fold *f, int64_t now);
/* row: taken from the map; it and its entry say what the sources say now. */
void fold_expect_late(struct fold *f, struct ingress_row *row);

/* Learns: a place where a prefix has been genuine for learn_after, was seen until then, and about
 * which nobody says anything, is expected from now on. */
void fold_expect_tick(struct fold *f, int64_t now);

/* What was learned, to be stored in this turn. */
bool fold_expect_take(struct fold *f, struct expect_row *out);

/* All sources, those in SQL included. The pointers are good until the fold changes. */
struct expect fold_expect(const struct fold *f);

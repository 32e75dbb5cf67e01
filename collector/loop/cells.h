/* The map's cells on their way into the database, and back at a start: a fuzzy checkpoint
 * (docs/decisions/0023-a-fuzzy-checkpoint.md).
 *
 * A tally changes a cell in memory and is a row of penstock.ingress_tally, marked with the turn
 * (transaction) that stored it. The cell itself is not written then, for there may be millions.
 * Instead each turn writes down a few cells, one after the other, each with the turn in which it
 * was written: its counters hold what was tallied until then. When all were met the generation is
 * complete, and the next one goes into the other table. A start reads the newest complete
 * generation and then the tallies stored since: those later than their cell's turn are folded once
 * more. So nothing is learned anew, no tally counts twice, and a kill at any moment costs nothing
 * but the generation that was under way.
 *
 * What a start has to read is bounded by work, not by time: for every two tallies one cell is
 * written, and a generation begins when twice as many tallies came as there are cells. So a start
 * folds at most about four tallies per cell (and some 0.2 M), whatever the traffic. */
#pragma once

#include "collector/ingress/ingress.h"
#include "collector/store/store.h"

/* A generation begins after so many tallies, or after twice as many as there are cells. */
#define CELLS_TALLIES 100000
/* Or after so long, if any came: months of tallies must not be kept for a map that is small. */
#define CELLS_NS ((int64_t)(3600 * NS_PER_S))
/* A slice: written once a second, or when as many tallies came as pay for it. */
#define CELLS_LEAST 2000
#define CELLS_MOST  20000

struct cells {
    bool is_under_way;
    uint32_t cursor;  /* of ingress_map_cell_next */
    uint64_t written; /* of the generation under way */
    uint64_t tallies; /* since the last generation began: not all of them are in its cells */
    uint64_t due;     /* since the last slice */
    int64_t began_at, looked_at;
    uint64_t refused; /* at the last load: tallies for which the map had no room */
};

/* Reads the newest generation, and folds what was tallied since; times after now are taken for now.
 * seed: keys the table that this needs. ERR_DATABASE, ERR_CONF (more than the map may hold),
 * -ENOMEM. */
int cells_load(struct cells *c, struct ingress_map *m, struct store *s, uint64_t seed, int64_t now,
               struct note *note);

/* A tally was folded. */
static inline void cells_tally(struct cells *c)
{
    c->tallies++;
    c->due++;
}

/* Shall this turn write a slice? */
bool cells_want(const struct cells *c, const struct ingress_map *m, int64_t now);
/* Within a transaction, after all that it folds: the next slice. */
int cells_write(struct cells *c, const struct ingress_map *m, struct store *s, int64_t now,
                struct note *note);

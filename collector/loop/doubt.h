/* Looking for an event that the database refuses. Pure.
 *
 * A transaction that failed because of the data held events of some sensors: each of these is in
 * doubt. From then on its batches are tried alone, each in a transaction of its own, of which
 * `limit` events are taken. When such a trial fails, it is done again with a small part of them,
 * until one event alone fails: that one is poisoned, and will be set aside. Then the size grows
 * back, and the doubt ends. Sensors that are not in doubt go on as ever.
 *
 * A trial that fails is dear. So before it the batch is rehearsed (collector/loop/loop_rehearse.h):
 * an event that the database refuses by itself is found so, and the trials that follow, of those
 * before it and of it alone, pass. */
#pragma once

#include <stdbool.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

/* As many sensors as one transaction may have events of. Beyond them the oldest doubt is let go:
 * if it was right, it comes again. */
#define DOUBTS_MAX 256

struct doubt {
    char sensor[WIRE_NAME];
    uint64_t epoch;
    uint64_t to;        /* last event that is in doubt */
    uint64_t rehearsed; /* up to here the database takes them by themselves */
    uint64_t found;     /* the next one that it does not; 0: not known */
    uint32_t limit;     /* so many are tried at once */
    uint32_t room;      /* and so many in the trial under way */
    bool is_sure;       /* a trial failed: one of them is it */
    bool is_poisoned;   /* it is `seq` */
    uint64_t seq;       /* the event to set aside */
    char reason[1024];  /* and what the database said */
};

struct doubts {
    struct doubt list[DOUBTS_MAX];
    unsigned count;
};

/* NULL: no doubt. Borrowed until the next call. A doubt of another epoch of that sensor ends. */
struct doubt *doubts_of(struct doubts *d, const char *sensor, uint64_t epoch);

/* Events up to `to` were in a transaction that failed, and others may have been, too. */
void doubts_add(struct doubts *d, const char *sensor, uint64_t epoch, uint64_t to);

/* Shall the database be asked about the events from first to last? They are new. */
bool doubt_wants_rehearsal(const struct doubt *one, uint64_t first, uint64_t last);
/* It takes all up to that one; or it refuses that one, and takes those before. */
void doubt_rehearsed(struct doubt *one, uint64_t to);
void doubt_found(struct doubt *one, uint64_t seq, const char *reason);

/* How many to try, from that one on: those before the one that was found; then it, to be set aside.
 */
void doubt_choose(struct doubt *one, uint64_t first);

/* A trial of `count` (> 0) events, the last of them `to`, failed. */
void doubt_failed(struct doubt *one, uint64_t to, uint64_t count, const char *reason);

/* A trial was committed; mark: the sensor's last event that is done with. The doubt may end. */
void doubt_passed(struct doubts *d, struct doubt *one, uint64_t mark);

void doubt_end(struct doubts *d, struct doubt *one);

/* What a driver did, in a small file that is mapped, so that it survives kill -9 of the driver (not
 * a crash of the machine: nothing is synced).
 *
 * A run that was killed leaves numbers in doubt: pushed into the ring, and not yet known to be on
 * disk. They may be stored later or not; every other number must be. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* A test kills a driver so often at most. */
#define JOURNAL_DOUBTS 4096

struct journal_range {
    uint64_t from, to;
};

struct journal {
    _Atomic uint64_t pushed;  /* last number given to the publisher's ring */
    _Atomic uint64_t durable; /* last number that the publisher is known to have on disk */
    _Atomic uint64_t runs;    /* times that a driver began */
    _Atomic uint64_t stops;   /* of these, ended by themselves */
    _Atomic uint32_t doubts;
    _Atomic uint32_t is_open; /* a driver is at work, or was killed at it */
    struct journal_range doubt[JOURNAL_DOUBTS];
};

/* Makes the file if needed and maps it. -errno. */
int journal_open(const char *path, struct journal **out);

/* A run begins: what the one before it left in doubt is noted, if that one was killed. -ENOSPC:
 * more kills than there is room for. */
int journal_begin(struct journal *j);

/* The run ended by itself; what is pushed and not durable is in doubt. -ENOSPC. */
int journal_end(struct journal *j);

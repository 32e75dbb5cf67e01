/* Looking at a spool without changing it: what is in it, and whether it is sound.
 *
 * LMDB trusts its file: a damaged page can make it read anywhere, or abort. So the look happens in
 * a child process. If that dies, the spool is damaged; nobody else is hurt.
 *
 * What is seen: every record against its checksum, the order of numbers, the list of free pages
 * (each within the file, none twice, no more than there are), the file's length. What is not: a
 * page that both the tree and the list of free pages name. Its record will fail its checksum when
 * it is sent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sensor/publish/record.h"
#include "shared/base/err.h"

struct spool_summary {
    bool exists; /* false: there is no spool, or nothing was ever committed to it */
    uint32_t format;
    char sensor[64];
    uint64_t epoch, base; /* base: a position in the spool less the number on the wire */
    uint64_t acked;       /* numbers, as on the wire */
    uint64_t first, next; /* of the oldest event held, of the next one */
    uint64_t records;
    uint64_t events[CLASS_COUNT], bytes[CLASS_COUNT]; /* held */
    uint64_t holes;                                   /* numbers given up, after acked */
    int64_t oldest_at;                                /* wall ns of the oldest event; 0: none */
    uint64_t used, file;                              /* bytes: taken by records, of the file */
};

/* A child looks at state_dir/spool. 0 with *out; ERR_FORMAT: it is damaged; ERR_VERSION: a newer
 * program's; -errno: this cannot be known. note: why. */
int spool_look(const char *state_dir, struct spool_summary *out, struct note *note);

/* The command: penstock-sensor --spool WHAT, on standard output. Works beside a running sensor.
 *   show    the summary, for humans
 *   check   looks at everything; 0 if it is sound
 *   export  every event as a JSON line, as --capture prints them
 * Exit status: 0; 1 for a spool that is damaged, missing or unreadable; 2 for another word. */
int spool_command(const char *what, const char *state_dir);

/* The spool: every event that the collector has not committed yet, on disk, in LMDB.
 *
 *     state_dir/spool/data.mdb   one B-tree: 0 -> what the spool knows of itself,
 *                                first position of a batch -> its record (record.h)
 *     state_dir/spool.lock       held by the one process that writes; its text says who
 *
 *     given up      on the way        waiting         committed | not yet
 *     ~~~~~~~~  [41..97] [98..140]  [141..180] [190..222]       | 223, 224, …
 *               acked + 1                     \ a hole          | in memory, linger at most
 *
 * Events get their numbers here, and keep them: numbers go on after a restart, a kill -9, a power
 * loss. All batches that were closed since the last commit go into one transaction, with the
 * deletion of what was acknowledged meanwhile. LMDB writes changed pages to free places, one
 * fdatasync makes them durable, one synchronous write of a meta page makes them valid: whenever the
 * power fails, one of two whole trees is there. MDB_NOSYNC and MDB_NOMETASYNC would give up just
 * that for a batch that was sent already, whose number a second event could then get;
 * MDB_WRITEMAP would make a full disk a SIGBUS.
 *
 * Numbers. A position counts from 1 for the spool's whole life; a number on the wire is a position
 * less `base`, which is 0 until an epoch ends before the spool does (spool_begin_epoch). The
 * functions below speak of numbers.
 *
 * Full. The file never grows beyond the limit. When its records take nearly all of it, the oldest
 * events of the least class go (record.h): tallies, then windows, then status, evidence last. The
 * holes that stay in the numbers are the gaps. A full disk
 * is a lower limit: the file is allocated ahead, so that there is always room for the transaction
 * that gives something up.
 *
 * A spool without state_dir is the process's own: it stands in /tmp under no name, needs no
 * fdatasync, and gives nothing up; a full one takes no more. For replays and tests.
 *
 * One thread at a time; spool_open may be called by another than the rest. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sensor/publish/record.h"
#include "shared/base/err.h"

#define SPOOL_MIN (UINT64_C(8) << 20) /* least limit, and room that a start insists on */

struct spool_conf {
    const char *state_dir; /* exists; "": a spool of the process's own */
    const char *sensor;
    uint64_t limit; /* bytes of file; less than SPOOL_MIN counts as that */
};

struct spool;

/* Takes the lock, has a child process look at what is there (spool_look.h), sets a damaged spool
 * aside and makes one where none is. ERR_BUSY: another process has it; ERR_CONF: it is another
 * sensor's; ERR_VERSION: a newer program's; -ENOSPC; -errno. All with a note. */
int spool_open(const struct spool_conf *conf, struct spool **out, struct note *note);

/* Events that were added and not committed are lost. NULL is fine. */
void spool_close(struct spool *s);

/* Why the numbers begin anew though a spool was there (it was damaged, or older than what the
 * collector has); "" if they go on. Static storage. */
const char *spool_break(const struct spool *s);

uint64_t spool_epoch(const struct spool *s);
uint64_t spool_next(const struct spool *s); /* number of the next event */
uint64_t
spool_committed(const struct spool *s);        /* the same, if what is not committed is left out */
uint64_t spool_acked(const struct spool *s);   /* everything up to here needs no sending */
uint64_t spool_held(const struct spool *s);    /* events that are committed and not acknowledged */
uint64_t spool_waiting(const struct spool *s); /* events that are not committed yet */

/* ---- writing ---- */

/* Is there room for one more event of any length, before the next commit? */
bool spool_has_room(const struct spool *s);

/* Numbers the event; only after spool_has_room. ERR_FORMAT: it cannot be said on the wire; then no
 * number was used. */
int spool_add(struct spool *s, const struct event *e, uint64_t now);

/* Is there something to commit: an event that waited for linger_ns, no room for more, or
 * acknowledged records for a while? Not during the pause after a failure. */
bool spool_commit_due(const struct spool *s, uint64_t now, uint64_t linger_ns);

/* Makes everything durable that was added. on_the_way: what is sent up to this number is not given
 * up. After an error all is as before, and a pause begins (logged here, once): ERR_FULL in a spool
 * that gives nothing up; ERR_DATABASE; -errno. */
int spool_commit(struct spool *s, uint64_t now, uint64_t on_the_way);

/* Did the last commit fail? */
bool spool_has_failed(const struct spool *s);

/* ---- sending ---- */

/* From now on (not) everything that is committed may have been sent. The spool remembers up to
 * where, on disk and before it is sent. Until it is turned on for the first time after spool_open
 * nobody knows whether this spool is a copy of one that went on elsewhere: then everything that was
 * in it may have been sent, by the other. A number beyond, that the collector has nonetheless, is
 * not of this spool's making (spool_is_older). Turning it on commits; 0 or as spool_commit. */
int spool_let_out(struct spool *s, bool on, uint64_t now);

/* May that number have been sent? What was not, cannot have been acknowledged. */
bool spool_was_let_out(const struct spool *s, uint64_t seq);

/* The batch with that event, or the next one after it: 1; 0: there is none. Borrowed until the next
 * call of any function. A record that is not sound any more becomes a hole, and the next is taken.
 * ERR_DATABASE. */
int spool_read(struct spool *s, uint64_t seq, struct record *out);

/* Number of the oldest event that is held; the next committed one's if there is none. 0, or
 * ERR_DATABASE: it cannot be known now, so no hello may be said. */
int spool_first(struct spool *s, uint64_t *out);

/* Why there are holes, in words; static or the spool's storage. */
const char *spool_why(struct spool *s);

/* ---- what the collector has ---- */

/* Everything up to seq is committed there, or was given up here and the collector knows. How many
 * numbers that newly are. ERR_FORMAT: the number is not committed here, so it was not sent. */
int64_t spool_ack(struct spool *s, uint64_t seq, uint64_t now);

/* The collector has this number of our epoch, after a hello that said `first`. True: this spool is
 * older than what was sent under its epoch (restored from a backup). */
bool spool_is_older(const struct spool *s, uint64_t seq, uint64_t first);

/* Then: a new epoch, in one transaction. What may have been sent is the collector's already and is
 * dropped; the events after it are numbered from 1. 0 or as spool_commit. */
int spool_begin_epoch(struct spool *s, uint64_t now);

/* ---- counts, since spool_open ---- */

struct spool_stats {
    uint64_t events; /* committed */
    uint64_t commits;
    uint64_t given_up[CLASS_COUNT];
    uint64_t damaged; /* records */
    uint64_t bytes;   /* that the records take now */
};
const struct spool_stats *spool_stats(const struct spool *s);

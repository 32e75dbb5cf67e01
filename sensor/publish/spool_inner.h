/* Inside the spool: what its files share. Not for others: they call spool.h.
 *
 *   spool_work.c    what one transaction does: batches in, acknowledged records out, room made
 *   spool_commit.c  when, and what a transaction that failed leaves
 *   spool_read.c    records for sending, damaged ones passed by
 *   spool_open.c    the environment, and the checks before it
 *   spool.c         what the collector has, and questions */
#pragma once

#include <errno.h>

#include "sensor/publish/spool.h"
#include "sensor/publish/spool_meta.h"
#include "sensor/publish/spool_place.h"

/* Closed batches that wait for one commit: half a MiB, some 70 ms of 50,000 events/s. */
enum { BATCHES = 32 };
/* A transaction writes at most BATCHES records, REWRITE_MOST, and the path to both; what it frees
 * can be used again two transactions later. So 3 MiB beyond the records are never missing; the file
 * is allocated that far ahead, in steps. */
#define ROOM  (UINT64_C(3) << 20)
#define AHEAD (UINT64_C(4) << 20)
/* Bit of spool_meta.why beside those of the classes. */
#define DAMAGED   (1u << CLASS_COUNT)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* What changes with a transaction: a copy is changed, and becomes ours when it is committed. All
 * are positions. */
struct books {
    struct spool_meta meta;
    uint64_t held[CLASS_COUNT];   /* events */
    uint64_t cursor[CLASS_COUNT]; /* no event of that class stands before it, */
    uint64_t spared;              /* but for those that were on the way, up to here */
    struct spool_stats stats;
};

struct spool {
    MDB_env *env;
    MDB_txn *read; /* between two uses: reset */
    MDB_cursor *at;
    MDB_dbi dbi;
    int fd; /* LMDB's, of data.mdb */
    bool is_reading, gives_up, may_be_sent;
    bool has_met;       /* the collector, since it was opened */
    uint64_t opened_at; /* position of the first event since it was opened */
    struct spool_place place;
    const char *broken;
    struct books books; /* as committed */
    uint64_t acked;     /* position; books.meta.acked follows */
    uint64_t acked_at;  /* mono ns of the last that was news */
    /* what is not committed; batch[count - 1] is being filled */
    struct batch *batch;
    unsigned count;
    uint64_t waiting;
    uint64_t since; /* mono ns of the first of them */
    /* of these, what the last transaction that failed held: it may have reached the disk */
    unsigned tried;
    uint64_t tried_events;
    /* room: bytes of the file */
    uint64_t page, limit, allocated;
    uint64_t ceiling; /* for records, as failed transactions taught; 0: none */
    bool disk_is_full, is_full;
    int trouble; /* of the last commit */
    uint64_t retry_at;
    char why[128];
    struct batch scratch; /* a record that is written anew */
};

/* A transaction under way. */
struct work {
    struct spool *s;
    MDB_txn *txn;
    MDB_cursor *at;
    struct books books;
    uint64_t rewritten; /* bytes */
    bool is_unfinished; /* more is to be given up than one transaction may */
};

static inline uint64_t spool_sum(const uint64_t count[static CLASS_COUNT])
{
    uint64_t n = 0;
    for (int c = 0; c < CLASS_COUNT; c++)
        n += count[c];
    return n;
}

/* LMDB's own errors are one of ours; errno's are errno's. */
static inline int spool_error_of(int rc)
{
    return rc > 0 ? -rc : rc == 0 ? 0 : ERR_DATABASE;
}

/* ---- spool_work.c; int: LMDB's answer, if nothing else is said ---- */

void spool_count_in(struct books *b, const struct record *r);
void spool_count_out(struct books *b, const struct record *r);

/* The first record at or after that position: 1, 0, or LMDB's error. A record whose shape is wrong
 * has a count of 0. */
int spool_record_at(MDB_cursor *at, uint64_t position, MDB_cursor_op op, struct record *out,
                    const void **data);
int spool_put_meta(struct work *w);
int spool_records_bytes(struct work *w, uint64_t *bytes);

/* What the records may take: of the limit, a part stays for LMDB's free pages; a full disk is a
 * lower limit. */
uint64_t spool_budget(const struct spool *s);

int spool_work_begin(struct spool *s, struct work *w);
/* All of a commit's. */
int spool_work(struct work *w, bool with_batches, uint64_t on_the_way);
/* Commits when rc is 0, and takes the books over. */
int spool_work_end(struct work *w, int rc);

/* ---- spool_commit.c ---- */

/* At once, and whether batches shall go with it. 0 or as spool_commit. */
int spool_commit_now(struct spool *s, bool with_batches, uint64_t now, uint64_t on_the_way);
/* Whether this is the spool that ran last or a copy of it, nobody can say before it meets the
 * collector. What is in it is common to both; what comes from here on may be ours alone. A spool
 * that was made by this process is no copy. */
void spool_begin_alone(struct spool *s);
/* Logs LMDB's answer when it is another one than before; after a failure a pause begins. */
void spool_tell_trouble(struct spool *s, int rc, uint64_t now);

/* ---- spool_read.c ---- */

/* Counts what is held from what is there. */
int spool_recount(struct spool *s);
/* What was read is borrowed no longer. */
void spool_stop_reading(struct spool *s);

/* ---- spool_open.c ---- */

int spool_open_env(struct spool *s);
void spool_close_env(struct spool *s);

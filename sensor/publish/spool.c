#include "sensor/publish/spool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/publish/spool_look.h"
#include "sensor/publish/spool_meta.h"
#include "sensor/publish/spool_place.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* Closed batches that wait for one commit: half a MiB, some 70 ms of 50,000 events/s. */
enum { BATCHES = 32 };
/* Acknowledged records that one transaction deletes at most. */
enum { DELETE_MOST = 1024 };
/* Acknowledged events that are worth a transaction of their own; fewer wait for the next commit, or
 * for a second without one. */
enum { DELETE_SOON = 16384, DELETE_WAIT_S = 1 };
/* After a failure. */
enum { PAUSE_S = 1 };
/* Written anew by one transaction at most, to give up one class of several. */
enum { REWRITE_MOST = 256 << 10 };
/* A transaction writes at most BATCHES records, REWRITE_MOST, and the path to both; what it frees
 * can be used again two transactions later. So 3 MiB beyond the records are never missing; the file
 * is allocated that far ahead, in steps. */
#define ROOM  (UINT64_C(3) << 20)
#define AHEAD (UINT64_C(4) << 20)
/* Given up at once when a transaction failed for want of room; the ceiling rises again after it. */
#define STEP (UINT64_C(1) << 20)
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

/* LMDB's own errors are one of ours; errno's are errno's. */
static int error_of(int rc)
{
    return rc > 0 ? -rc : rc == 0 ? 0 : ERR_DATABASE;
}

static bool is_no_room(int rc)
{
    return rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
}

/* ---- books ---- */

static uint64_t sum(const uint64_t count[static CLASS_COUNT])
{
    uint64_t n = 0;
    for (int c = 0; c < CLASS_COUNT; c++)
        n += count[c];
    return n;
}

static void count_in(struct books *b, const struct record *r)
{
    record_count(r, b->held);
}

static void count_out(struct books *b, const struct record *r)
{
    uint64_t count[CLASS_COUNT] = {0};
    record_count(r, count);
    for (int c = 0; c < CLASS_COUNT; c++)
        b->held[c] -= MIN(b->held[c], count[c]);
}

/* ---- records ---- */

/* The first record at or after that position: 1, 0, or LMDB's error. A record whose shape is wrong
 * has a count of 0. */
static int record_at(MDB_cursor *at, uint64_t position, MDB_cursor_op op, struct record *out,
                     const void **data)
{
    struct spool_key key = spool_key(MAX(position, 1));
    MDB_val k = spool_key_val(&key), v;
    uint64_t first;
    int rc = mdb_cursor_get(at, &k, &v, op);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return rc < 0 ? rc : -EIO;
    if (!spool_key_read(&k, &first))
        return MDB_CORRUPTED;
    if (first == 0) /* before the first record stands what the spool knows of itself */
        return 0;
    if (record_read(first, v.mv_data, v.mv_size, out) != 0)
        *out = (struct record){.first = first};
    *data = v.mv_data;
    return 1;
}

static int put_record(struct work *w, const struct record *r, unsigned flags)
{
    struct spool_key key = spool_key(r->first);
    MDB_val k = spool_key_val(&key), v = {.mv_size = record_size(r)};
    int rc = mdb_put(w->txn, w->s->dbi, &k, &v, MDB_RESERVE | MDB_NOOVERWRITE | flags);
    if (rc == 0)
        record_write(r, v.mv_data);
    return rc;
}

static int put_meta(struct work *w)
{
    struct spool_key key = spool_key(0);
    struct spool_meta *m = &w->books.meta;
    m->check = spool_meta_check(m);
    MDB_val k = spool_key_val(&key), v = {.mv_size = sizeof *m, .mv_data = m};
    return mdb_put(w->txn, w->s->dbi, &k, &v, 0);
}

static int records_bytes(struct work *w, uint64_t *bytes)
{
    MDB_stat st;
    int rc = mdb_stat(w->txn, w->s->dbi, &st);
    if (rc == 0)
        *bytes = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * w->s->page;
    return rc;
}

/* ---- what one transaction does ---- */

static int put_batches(struct work *w)
{
    struct spool *s = w->s;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->batch[i].count == 0)
            continue;
        struct record r = record_of(&s->batch[i], w->books.meta.next);
        int rc = put_record(w, &r, MDB_APPEND);
        if (rc != 0)
            return rc;
        count_in(&w->books, &r);
        w->books.meta.next += r.count;
        w->books.stats.events += r.count;
    }
    return 0;
}

static int delete_acked(struct work *w)
{
    struct record r;
    const void *data;
    w->books.meta.acked = MAX(w->books.meta.acked, w->s->acked);
    for (int i = 0; i < DELETE_MOST; i++) {
        int rc = record_at(w->at, 1, MDB_SET_RANGE, &r, &data);
        if (rc <= 0)
            return rc;
        if (r.first + MAX(r.count, 1) - 1 > w->books.meta.acked)
            return 0;
        count_out(&w->books, &r);
        rc = mdb_cursor_del(w->at, 0);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Takes a class, of which the record holds n, out of the record at the cursor. */
static int thin_out(struct work *w, const struct record *r, enum event_class class, uint64_t n)
{
    struct batch *b = &w->s->scratch;
    uint32_t left = record_without(r, class, b);
    struct record thin = record_of(b, r->first);
    int rc = mdb_cursor_del(w->at, 0);
    if (rc == 0 && left > 0) {
        rc = put_record(w, &thin, 0);
        w->rewritten += record_size(&thin);
    }
    w->books.held[class] -= MIN(w->books.held[class], n);
    w->books.stats.given_up[class] += n;
    w->books.meta.why |= 1u << class;
    return rc;
}

/* Gives up the class's events, oldest first, until the records take no more than target, or the
 * transaction becomes too large. */
static int give_up_class(struct work *w, enum event_class class, uint64_t from, uint64_t target,
                         uint64_t *bytes)
{
    struct record r;
    const void *data;
    uint64_t position = MAX(w->books.cursor[class], from);
    int rc = 0;
    while (*bytes > target && w->books.held[class] > 0 && !w->is_unfinished) {
        rc = record_at(w->at, position, MDB_SET_RANGE, &r, &data);
        if (rc <= 0)
            break;
        uint64_t count[CLASS_COUNT] = {0};
        if (r.count > 0)
            record_count(&r, count);
        rc = count[class] > 0 ? thin_out(w, &r, class, count[class]) : 0;
        if (rc == 0)
            rc = records_bytes(w, bytes);
        if (rc != 0)
            break;
        position = r.first + MAX(r.count, 1);
        w->is_unfinished = w->rewritten >= REWRITE_MOST;
    }
    w->books.cursor[class] = MAX(w->books.cursor[class], position);
    return rc;
}

/* What the records may take: of the limit, a part stays for LMDB's free pages; a full disk is a
 * lower limit. */
static uint64_t budget(const struct spool *s)
{
    uint64_t most = s->limit - MAX(s->limit / 4, ROOM);
    if (s->disk_is_full)
        most = MIN(most, s->allocated - MIN(s->allocated, ROOM));
    return s->ceiling > 0 ? MIN(most, s->ceiling) : most;
}

/* The cursors pass by what is on the way. When it is not any more, and came to nothing, it is the
 * oldest again. */
static void spare(struct work *w, uint64_t on_the_way)
{
    struct books *b = &w->books;
    if (on_the_way < b->spared && b->meta.acked < b->spared)
        memset(b->cursor, 0, sizeof b->cursor);
    b->spared = on_the_way;
}

static int make_room(struct work *w, uint64_t on_the_way)
{
    struct spool *s = w->s;
    uint64_t most = budget(s), bytes = 0;
    int rc = records_bytes(w, &bytes);
    if (rc != 0 || bytes <= most || !s->gives_up) {
        w->books.stats.bytes = bytes;
        return rc;
    }
    /* a little more than needed, so that not every commit has to */
    uint64_t target = most - MIN(MIN(most / 128, AHEAD), most);
    uint64_t from = MAX(MAX(s->acked, w->books.meta.acked), on_the_way) + 1;
    spare(w, on_the_way);
    for (int c = 0; rc == 0 && c < CLASS_COUNT; c++)
        rc = give_up_class(w, (enum event_class)c, from, target, &bytes);
    w->books.stats.bytes = bytes;
    return rc;
}

/* No number is missing any more: the next hole will have reasons of its own. */
static void forget_why(struct books *b)
{
    if (b->meta.acked + 1 >= b->meta.next)
        b->meta.why = 0;
}

static int do_work(struct work *w, bool with_batches, uint64_t on_the_way)
{
    int rc = with_batches ? put_batches(w) : 0;
    if (rc == 0)
        rc = delete_acked(w);
    if (rc == 0)
        rc = make_room(w, on_the_way);
    if (w->s->may_be_sent) {
        w->books.meta.unsent = w->books.meta.next;
        w->books.meta.is_alone = 0;
    }
    forget_why(&w->books);
    return rc == 0 ? put_meta(w) : rc;
}

static void stop_reading(struct spool *s)
{
    if (s->is_reading)
        mdb_txn_reset(s->read);
    s->is_reading = false;
}

static int work_begin(struct spool *s, struct work *w)
{
    stop_reading(s);
    *w = (struct work){.s = s, .books = s->books};
    if (s->env == NULL) /* could not be opened again */
        return MDB_PANIC;
    int rc = mdb_txn_begin(s->env, NULL, 0, &w->txn);
    if (rc == 0 && (rc = mdb_cursor_open(w->txn, s->dbi, &w->at)) != 0)
        mdb_txn_abort(w->txn);
    return rc;
}

/* Commits when rc is 0, and takes the books over. LMDB's answer. */
static int work_end(struct work *w, int rc)
{
    mdb_cursor_close(w->at);
    if (rc != 0) {
        mdb_txn_abort(w->txn);
        return rc;
    }
    rc = mdb_txn_commit(w->txn);
    if (rc == 0)
        w->s->books = w->books;
    return rc;
}

/* ---- room on the disk ---- */

/* Has the file allocated ahead of its last page, so that a commit finds its pages there. */
static void reserve(struct spool *s)
{
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    uint64_t end = (info.me_last_pgno + 1) * s->page, want = MIN(end + AHEAD, s->limit);
    if (s->allocated >= MIN(end + ROOM, s->limit)) {
        s->disk_is_full = false;
        return;
    }
    int dead; /* who looked at the spool and was killed holds no pages any more */
    mdb_reader_check(s->env, &dead);
    s->disk_is_full = spool_place_reserve(s->fd, want, &s->allocated) == -ENOSPC;
}

static void tell_full(struct spool *s, const struct spool_stats *before)
{
    bool gave = sum(s->books.stats.given_up) > sum(before->given_up);
    if (gave && !s->is_full)
        log_warn("event=spool_full bytes=%" PRIu64 " limit=%" PRIu64 " reason=\"%s\"",
                 s->books.stats.bytes, s->limit,
                 s->disk_is_full ? "the disk is full" : "publish.keep is reached");
    if (!gave && s->is_full && s->books.stats.bytes < budget(s) / 2)
        log_info("event=spool_has_room given_up=%" PRIu64, sum(s->books.stats.given_up));
    if (gave || s->books.stats.bytes < budget(s) / 2)
        s->is_full = gave;
}

/* ---- writing ---- */

/* What the last transaction took needs no writing any more. */
static void drop_tried(struct spool *s)
{
    s->count -= s->tried;
    s->waiting -= s->tried_events;
    memmove(s->batch, s->batch + s->tried, s->count * sizeof *s->batch);
    s->tried = 0;
    s->tried_events = 0;
}

static int commit_part(struct spool *s, bool with_batches, uint64_t on_the_way, bool *is_unfinished)
{
    struct spool_stats before = s->books.stats;
    struct work w;
    reserve(s);
    int rc = work_begin(s, &w);
    if (rc != 0)
        return rc;
    s->tried = with_batches ? s->count : 0;
    s->tried_events = with_batches ? s->waiting : 0;
    rc = work_end(&w, do_work(&w, with_batches, on_the_way));
    if (rc != 0)
        return rc;
    s->books.stats.commits++;
    *is_unfinished = w.is_unfinished;
    drop_tried(s);
    if (s->ceiling > 0)
        s->ceiling = s->ceiling + STEP < s->limit ? s->ceiling + STEP : 0;
    tell_full(s, &before);
    return 0;
}

static int commit_once(struct spool *s, bool with_batches, uint64_t on_the_way)
{
    bool is_unfinished;
    int rc = commit_part(s, with_batches, on_the_way, &is_unfinished);
    while (rc == 0 && is_unfinished)
        rc = commit_part(s, false, on_the_way, &is_unfinished);
    return rc;
}

/* Pages that a transaction gives up can be written two transactions later: so twice nothing but
 * giving up, then once more. */
static int commit_squeezed(struct spool *s, uint64_t on_the_way)
{
    int rc = MDB_MAP_FULL;
    for (int i = 0; i < 4 && is_no_room(rc); i++) {
        uint64_t bytes = s->books.stats.bytes;
        s->ceiling = MAX(bytes - MIN(bytes, STEP), 1);
        rc = commit_once(s, false, on_the_way);
        if (rc == 0)
            rc = commit_once(s, false, on_the_way);
        if (rc == 0)
            rc = commit_once(s, true, on_the_way);
    }
    return rc;
}

/* Whether this is the spool that ran last or a copy of it, nobody can say before it meets the
 * collector. What is in it is common to both; what comes from here on may be ours alone. A spool
 * that was made by this process is no copy. */
static void begin_alone(struct spool *s)
{
    struct spool_meta *m = &s->books.meta;
    if (s->has_met || m->is_alone || s->opened_at == 1)
        return;
    m->unsent = s->opened_at;
    m->is_alone = 1;
}

/* A failed write of a meta page leaves LMDB's environment unusable until it is opened again. */
static int open_env(struct spool *s);
static void close_env(struct spool *s);
static int recount(struct spool *s);

static int reopen(struct spool *s)
{
    uint64_t next = s->books.meta.next;
    close_env(s);
    int rc = open_env(s);
    if (rc != 0)
        return rc;
    /* the write may have come through: then what it held is committed, and nothing that was added
     * since */
    if (s->books.meta.next != next) {
        s->books.stats.events += s->tried_events;
        drop_tried(s);
    }
    s->acked = MAX(s->acked, s->books.meta.acked);
    begin_alone(s);
    return recount(s);
}

static void tell_trouble(struct spool *s, int rc, uint64_t now)
{
    char reason[256];
    int err = error_of(rc);
    if (err != 0)
        s->retry_at = now + PAUSE_S * NS_PER_S;
    if (err != 0 && err != s->trouble)
        log_error("event=spool_failed error=%s reason=\"%s\" hint=\"events wait in memory; it is "
                  "tried again\"",
                  err_name(err), log_quotable(mdb_strerror(rc), reason, sizeof reason));
    if (err == 0 && s->trouble != 0)
        log_info("event=spool_recovered");
    s->trouble = err;
}

static bool finds_no_place(const struct spool *s)
{
    uint64_t need = s->count * (uint64_t)(RECORD_MAX + s->page);
    return !s->gives_up && s->books.stats.bytes + need > budget(s);
}

static int commit(struct spool *s, bool with_batches, uint64_t now, uint64_t on_the_way)
{
    uint64_t way = s->books.meta.base + on_the_way;
    int rc = s->env == NULL ? MDB_PANIC : commit_once(s, with_batches, way);
    if (is_no_room(rc) && s->gives_up)
        rc = commit_squeezed(s, way);
    /* a file without a name cannot be opened again: it stays as it is, and nothing is taken */
    if (rc == MDB_PANIC && !s->place.is_own && (rc = reopen(s)) == 0)
        rc = commit_once(s, with_batches, way);
    tell_trouble(s, rc, now);
    return error_of(rc);
}

int spool_commit(struct spool *s, uint64_t now, uint64_t on_the_way)
{
    bool is_late = finds_no_place(s);
    int err = commit(s, !is_late, now, on_the_way);
    return err == 0 && is_late ? ERR_FULL : err;
}

bool spool_has_failed(const struct spool *s)
{
    return s->trouble != 0;
}

/* Does no batch take one more event? What a transaction took stays as it was then: it may be on
 * the disk. */
static bool is_closed(const struct spool *s)
{
    return s->count == s->tried || batch_is_full(&s->batch[s->count - 1]);
}

bool spool_has_room(const struct spool *s)
{
    return s->count < BATCHES || !is_closed(s);
}

int spool_add(struct spool *s, const struct event *e, uint64_t now)
{
    if (is_closed(s)) {
        s->batch[s->count].count = s->batch[s->count].len = 0;
        s->count++;
    }
    int err = batch_add(&s->batch[s->count - 1], e);
    if (err != 0)
        return err;
    if (s->waiting++ == 0)
        s->since = now;
    return 0;
}

/* Records that are acknowledged and still there; for long, or many. */
static bool delete_due(const struct spool *s, uint64_t now)
{
    uint64_t deletable = s->acked - MIN(s->acked, s->books.meta.acked);
    return deletable >= DELETE_SOON ||
           (deletable > 0 && now - s->acked_at >= DELETE_WAIT_S * NS_PER_S);
}

bool spool_commit_due(const struct spool *s, uint64_t now, uint64_t linger_ns)
{
    if (s->trouble != 0 && now < s->retry_at)
        return false;
    if (finds_no_place(s) && s->acked == s->books.meta.acked)
        return false;
    if (s->waiting > 0 && (!spool_has_room(s) || now - s->since >= linger_ns))
        return true;
    return delete_due(s, now);
}

/* ---- sending ---- */

int spool_let_out(struct spool *s, bool on, uint64_t now)
{
    s->may_be_sent = on;
    s->has_met |= on;
    if (!on || s->books.meta.unsent == s->books.meta.next)
        return 0;
    return s->trouble != 0 && now < s->retry_at ? s->trouble : commit(s, false, now, 0);
}

bool spool_was_let_out(const struct spool *s, uint64_t seq)
{
    return s->books.meta.base + seq < s->books.meta.unsent;
}

static int begin_reading(struct spool *s)
{
    stop_reading(s);
    if (s->env == NULL)
        return MDB_PANIC;
    int rc = mdb_txn_renew(s->read);
    if (rc != 0)
        return rc;
    s->is_reading = true;
    return mdb_cursor_renew(s->read, s->at);
}

/* The record that reaches to that position, or the next one. */
static int find(struct spool *s, uint64_t position, struct record *out, const void **data)
{
    int rc = begin_reading(s);
    if (rc != 0)
        return rc < 0 ? rc : -EIO;
    struct record before;
    const void *its_data;
    int found = record_at(s->at, position, MDB_SET_RANGE, out, data);
    if (found < 0 || (found == 1 && out->first == position))
        return found;
    rc = record_at(s->at, 0, found == 1 ? MDB_PREV : MDB_LAST, &before, &its_data);
    if (rc == 1 && before.first + before.count > position) {
        *out = before;
        *data = its_data;
    }
    return rc < 0 ? rc : rc == 1 && before.first + before.count > position ? 1 : found;
}

/* Counts what is held from what is there. */
static int recount(struct spool *s)
{
    struct record r;
    const void *data;
    int got, rc = begin_reading(s);
    memset(s->books.held, 0, sizeof s->books.held);
    for (uint64_t position = 1; rc == 0; position = r.first + MAX(r.count, 1)) {
        got = record_at(s->at, position, MDB_SET_RANGE, &r, &data);
        if (got <= 0)
            return got;
        if (r.count > 0)
            count_in(&s->books, &r);
    }
    return rc;
}

/* A record that is not what it was: no event of it is believed, and its numbers become a hole. */
static int drop_damaged(struct spool *s, const struct record *r)
{
    struct spool_key key = spool_key(r->first);
    MDB_val k = spool_key_val(&key);
    struct work w;
    int rc = work_begin(s, &w);
    if (rc != 0)
        return rc;
    if (r->count > 0)
        count_out(&w.books, r);
    w.books.meta.why |= DAMAGED;
    w.books.stats.damaged++;
    rc = mdb_del(w.txn, s->dbi, &k, NULL);
    rc = work_end(&w, rc == 0 ? put_meta(&w) : rc);
    if (rc == 0)
        log_error("event=record_damaged position=%" PRIu64 " count=%" PRIu32, r->first, r->count);
    return rc;
}

/* The record that reaches to that position and is sound: 1, 0, ERR_DATABASE. */
static int find_sound(struct spool *s, uint64_t position, struct record *out)
{
    const void *data;
    for (;;) {
        int rc = find(s, position, out, &data);
        if (rc <= 0)
            return rc == 0 ? 0 : ERR_DATABASE;
        if (out->count > 0 && record_is_sound(out, data))
            return 1;
        /* the view is of a page that the deletion leaves alone until it is committed */
        struct record bad = *out;
        uint8_t table[2 * WIRE_BATCH_EVENTS];
        memcpy(table, out->table, 2 * out->count);
        bad.table = table;
        if (drop_damaged(s, &bad) != 0)
            return ERR_DATABASE;
    }
}

int spool_read(struct spool *s, uint64_t seq, struct record *out)
{
    uint64_t position = s->books.meta.base + seq;
    struct record r;
    int got;
    while ((got = find_sound(s, position, &r)) == 1) {
        if (record_run(&r, position, out)) {
            out->first -= s->books.meta.base;
            return 1;
        }
        position = r.first + r.count; /* what is left of it lies before */
    }
    return got;
}

int spool_first(struct spool *s, uint64_t *out)
{
    struct record r;
    int got = spool_read(s, spool_acked(s) + 1, &r);
    *out = got == 1 ? r.first : spool_committed(s);
    return got < 0 ? got : 0;
}

const char *spool_why(struct spool *s)
{
    static const char *const words[CLASS_COUNT] = {"tallies", "windows and flows", "status",
                                                   "tests and drops"};
    uint32_t why = s->books.meta.why;
    if (why == 0)
        return "the sensor no longer holds these events";
    size_t used = 0;
    const char *between = "the spool was full, given up: ";
    s->why[0] = '\0';
    for (int c = 0; c < CLASS_COUNT; c++)
        if (why & 1u << c) {
            used +=
                (size_t)snprintf(s->why + used, sizeof s->why - used, "%s%s", between, words[c]);
            between = ", ";
        }
    if (why & DAMAGED)
        snprintf(s->why + used, sizeof s->why - used, "%srecords of the spool were damaged",
                 used > 0 ? "; " : "");
    return s->why;
}

/* ---- what the collector has ---- */

int64_t spool_ack(struct spool *s, uint64_t seq, uint64_t now)
{
    if (seq >= spool_committed(s))
        return ERR_FORMAT;
    uint64_t position = s->books.meta.base + seq;
    if (position <= s->acked)
        return 0;
    int64_t fresh = (int64_t)(position - s->acked);
    s->acked = position;
    s->acked_at = now;
    return fresh;
}

bool spool_is_older(const struct spool *s, uint64_t seq, uint64_t first)
{
    return seq >= first && !spool_was_let_out(s, seq);
}

int spool_begin_epoch(struct spool *s, uint64_t now)
{
    struct work w;
    int rc = work_begin(s, &w);
    if (rc == 0) {
        struct spool_meta *m = &w.books.meta;
        uint64_t wall = (uint64_t)clock_wall_ns();
        m->epoch = MAX(wall, m->epoch + 1);
        m->base = m->unsent - 1;
        m->is_alone = 0; /* a copy that is made from now on has all of this in common with us */
        m->acked = MAX(MAX(m->acked, s->acked), m->base);
        rc = work_end(&w, put_meta(&w));
    }
    tell_trouble(s, rc, now);
    if (rc == 0)
        s->acked = s->books.meta.acked;
    if (rc == 0)
        s->broken = "the sensor's spool was older than what the collector has";
    return error_of(rc);
}

/* ---- opening ---- */

static void close_env(struct spool *s)
{
    if (s->env == NULL)
        return;
    stop_reading(s);
    if (s->at != NULL)
        mdb_cursor_close(s->at);
    if (s->read != NULL)
        mdb_txn_abort(s->read);
    mdb_env_close(s->env);
    s->env = NULL;
    s->at = NULL;
    s->read = NULL;
}

static void begin_books(struct books *b, const char *sensor)
{
    struct spool_meta *m = &b->meta;
    memset(m, 0, sizeof *m);
    m->format = SPOOL_FORMAT;
    m->epoch = (uint64_t)MAX(clock_wall_ns(), 1);
    m->next = m->unsent = 1;
    snprintf(m->sensor, sizeof m->sensor, "%s", sensor);
}

/* A spool that was never committed to gets its first books. */
static int read_books(struct spool *s, const char *sensor)
{
    struct spool_key key = spool_key(0);
    MDB_val k = spool_key_val(&key), v;
    struct work w;
    int rc = work_begin(s, &w);
    if (rc != 0)
        return rc;
    rc = mdb_get(w.txn, s->dbi, &k, &v);
    if (rc == 0 && v.mv_size == sizeof w.books.meta) {
        memcpy(&w.books.meta, v.mv_data, sizeof w.books.meta);
        if (w.books.meta.check != spool_meta_check(&w.books.meta))
            rc = MDB_CORRUPTED;
    } else if (rc == MDB_NOTFOUND && sensor != NULL) {
        begin_books(&w.books, sensor);
        rc = put_meta(&w);
    } else if (rc == 0) {
        rc = MDB_CORRUPTED;
    }
    if (rc == 0)
        rc = records_bytes(&w, &w.books.stats.bytes);
    return work_end(&w, rc);
}

static int open_database(struct spool *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->read);
    if (rc == 0)
        rc = mdb_cursor_open(s->read, s->dbi, &s->at);
    if (rc == 0)
        mdb_txn_reset(s->read);
    return rc;
}

static int open_env(struct spool *s)
{
    MDB_stat st;
    int dead, rc = mdb_env_create(&s->env);
    if (rc != 0) {
        s->env = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(s->env, s->limit);
    /* MDB_NOTLS: the reading transaction is the thread's that uses it, not the opener's */
    if (rc == 0)
        rc = mdb_env_open(s->env, s->place.folder,
                          MDB_NOTLS | (s->place.is_own ? MDB_NOSYNC | MDB_NOLOCK : 0), 0600);
    if (rc == 0)
        rc = mdb_reader_check(s->env, &dead);
    if (rc == 0)
        rc = mdb_env_stat(s->env, &st);
    if (rc == 0)
        rc = mdb_env_get_fd(s->env, &s->fd);
    if (rc == 0)
        rc = open_database(s);
    if (rc == 0) {
        s->page = st.ms_psize;
        rc = read_books(s, NULL);
    }
    if (rc != 0 && rc != MDB_NOTFOUND)
        close_env(s);
    return rc;
}

static int wrong_sensor(const struct spool_conf *conf, const char *other, struct note *note)
{
    return note_set(note, ERR_CONF,
                    "sensor.state_dir: %s/spool belongs to sensor \"%s\", this one is \"%s\": name "
                    "another folder; or, if that sensor got a new name, let it deliver under the "
                    "old one first, then move %s/spool away",
                    conf->state_dir, other, conf->sensor, conf->state_dir);
}

/* What stands there already: sound and ours, or set aside. */
static int inspect(struct spool *s, const struct spool_conf *conf, struct note *note)
{
    struct spool_summary seen;
    struct note why = {0};
    if (s->place.is_own || !spool_place_has_data(&s->place))
        return 0;
    int err = spool_look(conf->state_dir, &seen, &why);
    if (err == ERR_FORMAT) {
        s->broken = "the sensor's spool was damaged and is set aside";
        return spool_place_set_aside(&s->place, conf->state_dir, why.text, note);
    }
    if (err != 0)
        return note_set(note, err, "sensor.state_dir: the spool in %s: %s", s->place.folder,
                        why.text);
    if (!seen.exists)
        return 0;
    if (strcmp(seen.sensor, conf->sensor) != 0)
        return wrong_sensor(conf, seen.sensor, note);
    memcpy(s->books.held, seen.events, sizeof s->books.held);
    if (sum(seen.events) > 0)
        log_info("event=spool epoch=%" PRIu64 " first_seq=%" PRIu64 " next_seq=%" PRIu64
                 " events=%" PRIu64,
                 seen.epoch, seen.first, seen.next, sum(seen.events));
    return 0;
}

static int open_files(struct spool *s, const struct spool_conf *conf, struct note *note)
{
    int rc = open_env(s);
    if (rc == MDB_NOTFOUND)
        rc = read_books(s, conf->sensor);
    if (rc != 0)
        return note_set(note, error_of(rc),
                        "sensor.state_dir: the spool in %s cannot be opened: %s", s->place.folder,
                        mdb_strerror(rc));
    int err = spool_place_settle(&s->place, conf->state_dir);
    if (err != 0)
        return note_set(note, err, "sensor.state_dir: %s cannot be made durable: %s",
                        s->place.folder, strerror(-err));
    if (spool_place_reserve(s->fd, SPOOL_MIN, &s->allocated) == -ENOSPC)
        return note_set(note, -ENOSPC,
                        "sensor.state_dir: the disk of %s has no room for a spool: it takes %u MiB "
                        "at least",
                        conf->state_dir[0] != '\0' ? conf->state_dir : "/tmp",
                        (unsigned)(SPOOL_MIN >> 20));
    s->acked = s->books.meta.acked;
    s->opened_at = s->books.meta.next;
    begin_alone(s);
    return 0;
}

int spool_open(const struct spool_conf *conf, struct spool **out, struct note *note)
{
    *out = NULL;
    struct spool *s = calloc(1, sizeof *s);
    struct batch *batch = calloc(BATCHES, sizeof *batch);
    if (s == NULL || batch == NULL) {
        free(s);
        free(batch);
        return note_set(note, -ENOMEM, "no memory for the spool");
    }
    s->batch = batch;
    s->limit = MAX(conf->limit, SPOOL_MIN) >> 20 << 20; /* whole pages */
    s->broken = "";
    s->gives_up = conf->state_dir[0] != '\0';
    int err = spool_place_open(conf->state_dir, conf->sensor, &s->place, note);
    if (err == 0)
        err = inspect(s, conf, note);
    if (err == 0)
        err = open_files(s, conf, note);
    if (err != 0) {
        spool_close(s);
        return err;
    }
    *out = s;
    return 0;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    close_env(s);
    spool_place_close(&s->place);
    free(s->batch);
    free(s);
}

/* ---- questions ---- */

const char *spool_break(const struct spool *s)
{
    return s->broken;
}

uint64_t spool_epoch(const struct spool *s)
{
    return s->books.meta.epoch;
}

uint64_t spool_committed(const struct spool *s)
{
    return s->books.meta.next - s->books.meta.base;
}

uint64_t spool_next(const struct spool *s)
{
    return spool_committed(s) + s->waiting;
}

uint64_t spool_acked(const struct spool *s)
{
    return s->acked - s->books.meta.base;
}

uint64_t spool_held(const struct spool *s)
{
    return sum(s->books.held);
}

uint64_t spool_waiting(const struct spool *s)
{
    return s->waiting;
}

const struct spool_stats *spool_stats(const struct spool *s)
{
    return &s->books.stats;
}

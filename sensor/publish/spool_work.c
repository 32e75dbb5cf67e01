#include "sensor/publish/spool_inner.h"

#include <string.h>

/* Acknowledged records that one transaction deletes at most. */
enum { DELETE_MOST = 1024 };
/* Written anew by one transaction at most, to give up one class of several. */
enum { REWRITE_MOST = 256 << 10 };

/* ---- books ---- */

void spool_count_in(struct books *b, const struct record *r)
{
    record_count(r, b->held);
}

void spool_count_out(struct books *b, const struct record *r)
{
    uint64_t count[CLASS_COUNT] = {0};
    record_count(r, count);
    for (int c = 0; c < CLASS_COUNT; c++)
        b->held[c] -= MIN(b->held[c], count[c]);
}

/* ---- records ---- */

int spool_record_at(MDB_cursor *at, uint64_t position, MDB_cursor_op op, struct record *out,
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

int spool_put_meta(struct work *w)
{
    struct spool_key key = spool_key(0);
    struct spool_meta *m = &w->books.meta;
    m->check = spool_meta_check(m);
    MDB_val k = spool_key_val(&key), v = {.mv_size = sizeof *m, .mv_data = m};
    return mdb_put(w->txn, w->s->dbi, &k, &v, 0);
}

int spool_records_bytes(struct work *w, uint64_t *bytes)
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
        spool_count_in(&w->books, &r);
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
        int rc = spool_record_at(w->at, 1, MDB_SET_RANGE, &r, &data);
        if (rc <= 0)
            return rc;
        if (r.first + MAX(r.count, 1) - 1 > w->books.meta.acked)
            return 0;
        spool_count_out(&w->books, &r);
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
        rc = spool_record_at(w->at, position, MDB_SET_RANGE, &r, &data);
        if (rc <= 0)
            break;
        uint64_t count[CLASS_COUNT] = {0};
        if (r.count > 0)
            record_count(&r, count);
        rc = count[class] > 0 ? thin_out(w, &r, class, count[class]) : 0;
        if (rc == 0)
            rc = spool_records_bytes(w, bytes);
        if (rc != 0)
            break;
        position = r.first + MAX(r.count, 1);
        w->is_unfinished = w->rewritten >= REWRITE_MOST;
    }
    w->books.cursor[class] = MAX(w->books.cursor[class], position);
    return rc;
}

uint64_t spool_budget(const struct spool *s)
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
    uint64_t most = spool_budget(s), bytes = 0;
    int rc = spool_records_bytes(w, &bytes);
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

int spool_work(struct work *w, bool with_batches, uint64_t on_the_way)
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
    return rc == 0 ? spool_put_meta(w) : rc;
}

int spool_work_begin(struct spool *s, struct work *w)
{
    spool_stop_reading(s);
    *w = (struct work){.s = s, .books = s->books};
    if (s->env == NULL) /* could not be opened again */
        return MDB_PANIC;
    int rc = mdb_txn_begin(s->env, NULL, 0, &w->txn);
    if (rc == 0 && (rc = mdb_cursor_open(w->txn, s->dbi, &w->at)) != 0)
        mdb_txn_abort(w->txn);
    return rc;
}

int spool_work_end(struct work *w, int rc)
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

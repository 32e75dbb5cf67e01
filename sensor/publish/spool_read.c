#include "sensor/publish/spool_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"

void spool_stop_reading(struct spool *s)
{
    if (s->is_reading)
        mdb_txn_reset(s->read);
    s->is_reading = false;
}

static int begin_reading(struct spool *s)
{
    spool_stop_reading(s);
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
    int found = spool_record_at(s->at, position, MDB_SET_RANGE, out, data);
    if (found < 0 || (found == 1 && out->first == position))
        return found;
    rc = spool_record_at(s->at, 0, found == 1 ? MDB_PREV : MDB_LAST, &before, &its_data);
    if (rc == 1 && before.first + before.count > position) {
        *out = before;
        *data = its_data;
    }
    return rc < 0 ? rc : rc == 1 && before.first + before.count > position ? 1 : found;
}

int spool_recount(struct spool *s)
{
    struct record r;
    const void *data;
    int got, rc = begin_reading(s);
    memset(s->books.held, 0, sizeof s->books.held);
    for (uint64_t position = 1; rc == 0; position = r.first + MAX(r.count, 1)) {
        got = spool_record_at(s->at, position, MDB_SET_RANGE, &r, &data);
        if (got <= 0)
            return got;
        if (r.count > 0)
            spool_count_in(&s->books, &r);
    }
    return rc;
}

/* A record that is not what it was: no event of it is believed, and its numbers become a hole. */
static int drop_damaged(struct spool *s, const struct record *r)
{
    struct spool_key key = spool_key(r->first);
    MDB_val k = spool_key_val(&key);
    struct work w;
    int rc = spool_work_begin(s, &w);
    if (rc != 0)
        return rc;
    if (r->count > 0)
        spool_count_out(&w.books, r);
    w.books.meta.why |= DAMAGED;
    w.books.stats.damaged++;
    rc = mdb_del(w.txn, s->dbi, &k, NULL);
    rc = spool_work_end(&w, rc == 0 ? spool_put_meta(&w) : rc);
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

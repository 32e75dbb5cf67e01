#include "sensor/publish/spool_inner.h"

#include <inttypes.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

/* Acknowledged events that are worth a transaction of their own; fewer wait for the next commit, or
 * for a second without one. */
enum { DELETE_SOON = 16384, DELETE_WAIT_S = 1 };
/* After a failure. */
enum { PAUSE_S = 1 };
/* Given up at once when a transaction failed for want of room; the ceiling rises again after it. */
#define STEP (UINT64_C(1) << 20)

static bool is_no_room(int rc)
{
    return rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT || rc == EFBIG;
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
    bool gave = spool_sum(s->books.stats.given_up) > spool_sum(before->given_up);
    if (gave && !s->is_full)
        log_warn("event=spool_full bytes=%" PRIu64 " limit=%" PRIu64 " reason=\"%s\"",
                 s->books.stats.bytes, s->limit,
                 s->disk_is_full ? "the disk is full" : "publish.keep is reached");
    if (!gave && s->is_full && s->books.stats.bytes < spool_budget(s) / 2)
        log_info("event=spool_has_room given_up=%" PRIu64, spool_sum(s->books.stats.given_up));
    if (gave || s->books.stats.bytes < spool_budget(s) / 2)
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
    int rc = spool_work_begin(s, &w);
    if (rc != 0)
        return rc;
    s->tried = with_batches ? s->count : 0;
    s->tried_events = with_batches ? s->waiting : 0;
    rc = spool_work_end(&w, spool_work(&w, with_batches, on_the_way));
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

void spool_begin_alone(struct spool *s)
{
    struct spool_meta *m = &s->books.meta;
    if (s->has_met || m->is_alone || s->opened_at == 1)
        return;
    m->unsent = s->opened_at;
    m->is_alone = 1;
}

/* A failed write of a meta page leaves LMDB's environment unusable until it is opened again. */
static int reopen(struct spool *s)
{
    uint64_t next = s->books.meta.next;
    spool_close_env(s);
    int rc = spool_open_env(s);
    if (rc != 0)
        return rc;
    /* the write may have come through: then what it held is committed, and nothing that was added
     * since */
    if (s->books.meta.next != next) {
        s->books.stats.events += s->tried_events;
        drop_tried(s);
    }
    s->acked = MAX(s->acked, s->books.meta.acked);
    spool_begin_alone(s);
    return spool_recount(s);
}

void spool_tell_trouble(struct spool *s, int rc, uint64_t now)
{
    char reason[256];
    int err = spool_error_of(rc);
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
    return !s->gives_up && s->books.stats.bytes + need > spool_budget(s);
}

int spool_commit_now(struct spool *s, bool with_batches, uint64_t now, uint64_t on_the_way)
{
    uint64_t way = s->books.meta.base + on_the_way;
    int rc = s->env == NULL ? MDB_PANIC : commit_once(s, with_batches, way);
    if (is_no_room(rc) && s->gives_up)
        rc = commit_squeezed(s, way);
    /* a file without a name cannot be opened again: it stays as it is, and nothing is taken */
    if (rc == MDB_PANIC && !s->place.is_own && (rc = reopen(s)) == 0)
        rc = commit_once(s, with_batches, way);
    spool_tell_trouble(s, rc, now);
    return spool_error_of(rc);
}

int spool_commit(struct spool *s, uint64_t now, uint64_t on_the_way)
{
    bool is_late = finds_no_place(s);
    int err = spool_commit_now(s, !is_late, now, on_the_way);
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

#include "sensor/publish/spool_inner.h"

#include "shared/base/clock.h"

/* ---- what may have been sent ---- */

int spool_let_out(struct spool *s, bool on, uint64_t now)
{
    s->may_be_sent = on;
    s->has_met |= on;
    if (!on || s->books.meta.unsent == s->books.meta.next)
        return 0;
    return s->trouble != 0 && now < s->retry_at ? s->trouble : spool_commit_now(s, false, now, 0);
}

bool spool_was_let_out(const struct spool *s, uint64_t seq)
{
    return s->books.meta.base + seq < s->books.meta.unsent;
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
    int rc = spool_work_begin(s, &w);
    if (rc == 0) {
        struct spool_meta *m = &w.books.meta;
        uint64_t wall = (uint64_t)clock_wall_ns();
        m->epoch = MAX(wall, m->epoch + 1);
        m->base = m->unsent - 1;
        m->is_alone = 0; /* a copy that is made from now on has all of this in common with us */
        m->acked = MAX(MAX(m->acked, s->acked), m->base);
        rc = spool_work_end(&w, spool_put_meta(&w));
    }
    spool_tell_trouble(s, rc, now);
    if (rc == 0)
        s->acked = s->books.meta.acked;
    if (rc == 0)
        s->broken = "the sensor's spool was older than what the collector has";
    return spool_error_of(rc);
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
    return spool_sum(s->books.held);
}

uint64_t spool_waiting(const struct spool *s)
{
    return s->waiting;
}

const struct spool_stats *spool_stats(const struct spool *s)
{
    return &s->books.stats;
}

#include "collector/notify/feed.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

/* ---- what waits ---- */

static void forget_waiting(struct feed *f)
{
    for (size_t i = f->first; i < f->count; i++)
        notice_clear(&f->waiting[i]);
    f->first = f->count = 0;
    f->tries = 0;
}

static void take_off(struct feed *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct notice *told = &f->waiting[f->first++];
        f->cursor = told->event_id;
        notice_clear(told);
    }
    if (n > 0)
        f->tries = 0;
    if (f->first == f->count) {
        forget_waiting(f);
        f->cursor = f->read_up_to;
    }
}

/* ---- the journal ---- */

static int journal_broke(struct feed *f, int err)
{
    if (f->journal != NULL)
        f->journal_ops.close(f->journal);
    f->journal = NULL;
    forget_waiting(f); /* what the database says next time is right */
    return err;
}

static int ready_journal(struct feed *f, struct note *note)
{
    if (f->journal != NULL)
        return 0;
    int err = f->journal_ops.open(f->journal_ops.ctx, &f->conf, &f->journal, &f->cursor, note);
    if (err != 0) {
        f->journal = NULL;
        return err;
    }
    f->saved = f->read_up_to = f->cursor;
    f->sent = f->skipped = 0;
    f->has_more = true;
    return 0;
}

static int stand(void *arg, const struct notice_row *row)
{
    struct feed *f = arg;
    struct notice n;
    int err = notice_init(&n, row);
    if (err == 0 && !notice_is_end(&n) && notice_is_wanted(&n, &f->conf))
        err = f->sink_ops->standing(f->sink, &n);
    notice_clear(&n);
    return err;
}

static int ready_sink(struct feed *f, struct note *note)
{
    if (f->sink != NULL)
        return 0;
    int err = f->sink_ops->open(&f->conf, &f->stop, &f->past, &f->sink, note);
    if (err != 0) {
        f->sink = NULL;
        return err;
    }
    if (f->sink_ops->standing == NULL)
        return 0;
    err = f->journal_ops.standing(f->journal, f->cursor, stand, f, note);
    if (err != 0) {
        f->sink_ops->close(f->sink);
        f->sink = NULL;
        return journal_broke(f, err);
    }
    return 0;
}

static int keep(void *arg, const struct notice_row *row)
{
    struct feed *f = arg;
    struct notice *n = &f->waiting[f->count];
    int err = notice_init(n, row);
    if (err != 0)
        return err;
    f->read_up_to = row->event_id;
    if (notice_is_wanted(n, &f->conf))
        f->count++;
    else
        notice_clear(n);
    return 0;
}

static int fill(struct feed *f, struct note *note)
{
    uint64_t before = f->read_up_to;
    if (f->first < f->count)
        return 0;
    f->has_more = false; /* a NOTIFY from here on says so again */
    int err = f->journal_ops.next(f->journal, f->cursor, FEED_BATCH, keep, f, note);
    if (err != 0)
        return journal_broke(f, err);
    f->has_more = f->read_up_to != before;
    if (f->first == f->count)
        f->cursor = f->read_up_to; /* nothing of it is wanted */
    return 0;
}

static int save(struct feed *f, bool works, struct note *note)
{
    if (f->journal == NULL || (f->cursor == f->saved && !(works && f->is_down)))
        return 0;
    int err = f->journal_ops.save(f->journal, f->cursor, f->sent, f->skipped, works, note);
    if (err != 0)
        return journal_broke(f, err);
    f->saved = f->cursor;
    f->sent = f->skipped = 0;
    return 0;
}

/* ---- telling ---- */

static void skip(struct feed *f, const struct note *why)
{
    struct note text;
    const struct notice *n = &f->waiting[f->first];
    log_error("event=feed_skipped feed=%s event_id=%" PRIu64 " alert_id=%" PRIu64
              " state=%s reason=\"%s\"",
              f->conf.name, n->event_id, n->alert_id, n->state,
              log_quotable(why->text, text.text, sizeof text.text));
    counter_add(&f->counters, COUNTER_feed_skipped, 1);
    f->skipped++;
    take_off(f, 1);
}

/* What is refused is tried alone, so that it is the one that is skipped. */
static int deliver(struct feed *f, struct note *note)
{
    size_t n = f->count - f->first, done = 0;
    if (n > f->sink_ops->batch)
        n = f->sink_ops->batch;
    if (n > 1 && f->tries > 0)
        n = 1;
    int err = n == 0 ? 0 : f->sink_ops->send(f->sink, &f->waiting[f->first], n, &done, note);
    counter_add(&f->counters, COUNTER_feed_sent, done);
    f->sent += done;
    take_off(f, done);
    if (err == 0)
        return 0;
    counter_add(&f->counters, COUNTER_feed_failed, 1);
    if (err == ERR_DATA && ++f->tries >= FEED_TRIES) {
        skip(f, note);
        return 0;
    }
    return err;
}

/* ---- outages ---- */

static int pause_after(struct feed *f)
{
    f->pause_ms = f->pause_ms == 0 ? FEED_RETRY_MS : 2 * f->pause_ms;
    if (f->pause_ms > FEED_RETRY_MOST_MS)
        f->pause_ms = FEED_RETRY_MOST_MS;
    return (int)f->pause_ms;
}

static void tell_down(struct feed *f, int err, const struct note *why)
{
    struct note text, ignored;
    const char *reason = why->text[0] != '\0' ? why->text : err_text(err);
    bool is_news = strncmp(f->reason, reason, sizeof f->reason - 1) != 0;
    if (f->is_down && !is_news)
        return;
    snprintf(f->reason, sizeof f->reason, "%s", reason);
    if (!f->is_down)
        log_warn("event=feed_down feed=%s told_up_to=%" PRIu64 " reason=\"%s\"", f->conf.name,
                 f->cursor, log_quotable(reason, text.text, sizeof text.text));
    f->is_down = true;
    atomic_store(&f->is_up, false);
    if (f->journal != NULL && f->journal_ops.failing(f->journal, reason, &ignored) != 0)
        journal_broke(f, ERR_DATABASE);
}

static void tell_up(struct feed *f)
{
    f->pause_ms = 0;
    if (f->is_down)
        log_info("event=feed_up feed=%s told_up_to=%" PRIu64, f->conf.name, f->cursor);
    f->is_down = false;
    f->reason[0] = '\0';
    atomic_store(&f->is_up, true);
}

/* ---- the thread ---- */

static int turn(struct feed *f, int *wait_ms, struct note *note)
{
    int err = ready_journal(f, note);
    if (err == 0)
        err = ready_sink(f, note);
    if (err == 0 && atomic_exchange(&f->shall_reopen, false) && f->sink_ops->reopen != NULL)
        f->sink_ops->reopen(f->sink);
    if (err == 0)
        err = fill(f, note);
    if (err == 0)
        err = deliver(f, note);
    if (err == 0 && f->sink_ops->tick != NULL)
        err = f->sink_ops->tick(f->sink, clock_mono_ns(), wait_ms, note);
    struct note ignored = {0};
    int saving =
        save(f, err == 0, err == 0 ? note : &ignored); /* also what went well before a failure */
    atomic_store(&f->told, f->cursor);
    if (f->first < f->count || f->has_more)
        *wait_ms = 0;
    return err != 0 ? err : saving;
}

static void drain(int fd)
{
    uint64_t n;
    while (read(fd, &n, sizeof n) > 0)
        ;
}

/* Until a timeout, or news. In an outage news are taken notice of, but end no pause: the receiver
 * that is away is not asked more often because more happens. */
static void wait_for_news(struct feed *f, int wait_ms, bool is_pause)
{
    uint64_t now = clock_mono_ns(), end = now + (uint64_t)wait_ms * NS_PER_MS;
    for (bool is_over = false; !is_over && !stop_is_set(&f->stop); now = clock_mono_ns()) {
        int sink_fd =
            is_pause || f->sink == NULL || f->sink_ops->fd == NULL ? -1 : f->sink_ops->fd(f->sink);
        struct pollfd fds[] = {
            {.fd = f->stop.fd, .events = POLLIN},
            {.fd = f->wake, .events = POLLIN},
            {.fd = sink_fd, .events = POLLIN},
            {.fd = f->journal != NULL ? f->journal_ops.fd(f->journal) : -1, .events = POLLIN}};
        int left = now >= end ? 0 : (int)((end - now) / NS_PER_MS) + 1;
        int n = poll(fds, sizeof fds / sizeof fds[0], left);
        struct note ignored = {0};
        if (n > 0 && fds[1].revents != 0)
            drain(f->wake);
        if (n > 0 && fds[3].revents != 0) {
            f->has_more = true;
            if (f->journal_ops.heard(f->journal, &ignored) != 0)
                journal_broke(f, ERR_DATABASE);
        }
        is_over = n == 0 || (n < 0 && errno != EINTR) || !is_pause;
    }
}

static void *run(void *arg)
{
    struct feed *f = arg;
    while (!stop_is_set(&f->stop)) {
        struct note note = {0};
        int wait_ms = FEED_LOOK_MS;
        int err = turn(f, &wait_ms, &note);
        if (stop_is_set(&f->stop))
            break;
        if (err == 0)
            tell_up(f);
        else if (err != ERR_DATA)
            tell_down(f, err, &note);
        if (err != 0)
            wait_ms = pause_after(f);
        wait_for_news(f, wait_ms, err != 0);
    }
    if (f->sink != NULL)
        f->sink_ops->close(f->sink);
    f->sink = NULL;
    journal_broke(f, 0);
    atomic_store(&f->is_ended, true);
    return NULL;
}

/* ---- the past, for the sink that is asked for it ---- */

struct past_reader {
    struct feed *f;
    int (*each)(void *arg, const struct notice *n);
    void *arg;
    uint64_t last;
};

static int read_past_row(void *arg, const struct notice_row *row)
{
    struct past_reader *r = arg;
    struct notice n;
    int err = notice_init(&n, row);
    if (err == 0 && notice_is_wanted(&n, &r->f->conf))
        err = r->each(r->arg, &n);
    notice_clear(&n);
    r->last = row->event_id;
    return err;
}

static int read_past(void *ctx, uint64_t since, unsigned limit,
                     int (*each)(void *arg, const struct notice *n), void *arg,
                     struct past_answer *out, struct note *note)
{
    struct feed *f = ctx;
    struct past_reader r = {f, each, arg, since};
    if (f->journal == NULL)
        return note_set(note, ERR_DATABASE, "the journal is away");
    int err = f->journal_ops.next(f->journal, since, limit, read_past_row, &r, note);
    if (err == 0)
        err = f->journal_ops.ends(f->journal, &out->oldest, &out->newest, note);
    out->last = r.last;
    return err == 0 ? 0 : journal_broke(f, err);
}

/* ---- from outside ---- */

static const struct sink_ops *sink_of(enum feed_type type)
{
    static const struct sink_ops *const all[] = {[FEED_JSONL] = &sink_jsonl,
                                                 [FEED_WEBHOOK] = &sink_webhook,
                                                 [FEED_SYSLOG] = &sink_syslog,
                                                 [FEED_ZEROMQ] = &sink_zeromq};
    return all[type];
}

void feed_free(struct feed *f)
{
    if (f->stop.fd >= 0)
        close(f->stop.fd);
    if (f->wake >= 0)
        close(f->wake);
    free(f);
}

int feed_open(const struct feed_conf *conf, const struct journal_ops *journal, struct feed **out,
              struct note *note)
{
    struct feed *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    if (f == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    memset(f, 0, sizeof *f);
    memcpy(&f->conf, conf, sizeof f->conf); /* byte for byte: it is compared so */
    f->journal_ops = *journal;
    f->sink_ops = sink_of(conf->type);
    f->past = (struct past){.ctx = f, .read = read_past};
    f->stop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int err = f->stop.fd < 0 || f->wake < 0 ? errno : pthread_create(&f->thread, NULL, run, f);
    if (err != 0) {
        feed_free(f);
        return note_set(note, -err, "starting feed %s: %s", conf->name, err_text(-err));
    }
    char name[16]; /* what the kernel keeps */
    snprintf(name, sizeof name, "feed %.10s", conf->name);
    pthread_setname_np(f->thread, name);
    *out = f;
    return 0;
}

void feed_reopen(struct feed *f)
{
    atomic_store(&f->shall_reopen, true);
    eventfd_write(f->wake, 1);
}

void feed_stop(struct feed *f)
{
    atomic_store_explicit(&f->stop.is_set, true, memory_order_release);
    eventfd_write(f->stop.fd, 1);
}

#include "collector/notify/notify.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/notify/feed.h"
#include "shared/base/log.h"

/* Those that run, and as many that are about to end. */
#define SLOTS (2 * FEEDS_MAX)

struct notify {
    struct journal_ops journal;
    pthread_mutex_t lock; /* feeds and count, for who prints */
    struct feed *feeds[SLOTS];
    bool is_leaving[SLOTS];
    struct counters past; /* of those that are gone */
};

static const enum counter own[] = {COUNTER_feed_sent, COUNTER_feed_failed, COUNTER_feed_skipped};

static void add(struct counters *sum, const struct counters *of)
{
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        counter_add(sum, own[i], counter_get(of, own[i]));
}

/* The thread has ended, or is waited for; nobody prints it any more. */
static void remove_slot(struct notify *n, size_t i)
{
    struct feed *f = n->feeds[i];
    pthread_mutex_lock(&n->lock);
    n->feeds[i] = NULL;
    n->is_leaving[i] = false;
    pthread_mutex_unlock(&n->lock);
    feed_stop(f);
    pthread_join(f->thread, NULL);
    pthread_mutex_lock(&n->lock);
    add(&n->past, &f->counters);
    pthread_mutex_unlock(&n->lock);
    feed_free(f);
}

static bool is_wanted(const struct feed *f, const struct feed_conf *feeds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&f->conf, &feeds[i], sizeof feeds[i]) == 0)
            return true;
    return false;
}

static void let_go(struct notify *n, const struct feed_conf *feeds, size_t count)
{
    for (size_t i = 0; i < SLOTS; i++) {
        struct feed *f = n->feeds[i];
        if (f == NULL)
            continue;
        if (n->is_leaving[i] && atomic_load(&f->is_ended)) {
            remove_slot(n, i);
        } else if (!n->is_leaving[i] && !is_wanted(f, feeds, count)) {
            log_info("event=feed_ends feed=%s", f->conf.name);
            feed_stop(f);
            n->is_leaving[i] = true;
        }
    }
}

static bool runs(const struct notify *n, const struct feed_conf *feed)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL && !n->is_leaving[i] &&
            memcmp(&n->feeds[i]->conf, feed, sizeof *feed) == 0)
            return true;
    return false;
}

static int begin(struct notify *n, const struct feed_conf *feed, struct note *note)
{
    struct feed *f = NULL;
    size_t slot = 0;
    while (slot < SLOTS && n->feeds[slot] != NULL)
        slot++;
    if (slot == SLOTS)
        return note_set(note, ERR_FULL, "feed %s: too many are about to end; try again later",
                        feed->name);
    int err = feed_open(feed, &n->journal, &f, note);
    if (err < 0)
        return err;
    log_info("event=feed_starts feed=%s type=%s", feed->name, feed_type_words[feed->type]);
    pthread_mutex_lock(&n->lock);
    n->feeds[slot] = f;
    pthread_mutex_unlock(&n->lock);
    return 0;
}

int notify_change(struct notify *n, const struct feed_conf *feeds, size_t count, struct note *note)
{
    int err = 0;
    let_go(n, feeds, count);
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL && !n->is_leaving[i])
            feed_reopen(n->feeds[i]);
    for (size_t i = 0; i < count && err == 0; i++)
        if (!runs(n, &feeds[i]))
            err = begin(n, &feeds[i], note);
    return err;
}

int notify_open(const struct journal_ops *journal, struct notify **out, struct note *note)
{
    /* before the threads that use it */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return note_set(note, ERR_UNSUPPORTED, "libcurl cannot be used");
    struct notify *n = aligned_alloc(64, (sizeof *n + 63) / 64 * 64);
    if (n == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    memset(n, 0, sizeof *n);
    n->journal = *journal;
    pthread_mutex_init(&n->lock, NULL);
    *out = n;
    return 0;
}

void notify_stop(struct notify *n)
{
    for (size_t i = 0; i < SLOTS; i++) /* all at once, then one after the other */
        if (n->feeds[i] != NULL)
            feed_stop(n->feeds[i]);
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL)
            remove_slot(n, i);
}

void notify_close(struct notify *n)
{
    if (n == NULL)
        return;
    notify_stop(n);
    pthread_mutex_destroy(&n->lock);
    free(n);
    curl_global_cleanup();
}

void notify_count(struct notify *n, struct counters *sum)
{
    pthread_mutex_lock(&n->lock);
    add(sum, &n->past);
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL)
            add(sum, &n->feeds[i]->counters);
    pthread_mutex_unlock(&n->lock);
}

void notify_print(struct notify *n, FILE *out, const char *program)
{
    pthread_mutex_lock(&n->lock);
    fputs("# HELP penstock_feed_up whether the feed's receiver takes what it is told\n"
          "# TYPE penstock_feed_up gauge\n",
          out);
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL && !n->is_leaving[i])
            fprintf(out, "penstock_feed_up{program=\"%s\",feed=\"%s\"} %d\n", program,
                    n->feeds[i]->conf.name, atomic_load(&n->feeds[i]->is_up));
    fputs(
        "# HELP penstock_feed_event_id the last announced alert state that the feed is done with\n"
        "# TYPE penstock_feed_event_id gauge\n",
        out);
    for (size_t i = 0; i < SLOTS; i++)
        if (n->feeds[i] != NULL && !n->is_leaving[i])
            fprintf(out, "penstock_feed_event_id{program=\"%s\",feed=\"%s\"} %" PRIu64 "\n",
                    program, n->feeds[i]->conf.name, atomic_load(&n->feeds[i]->told));
    pthread_mutex_unlock(&n->lock);
}

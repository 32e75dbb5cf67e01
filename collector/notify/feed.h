/* A feed: a thread that reads the journal of alert states beyond its cursor, and tells them to one
 * receiver, in order.
 *
 * So nothing that a receiver does can hold the collector up, or another feed: who is away, slow or
 * silent only falls behind in a table, and catches up from there. The cursor is saved after the
 * receiver has taken something: at least once, and after a crash perhaps twice; event_id tells. A
 * state that the receiver refuses for good is tried FEED_TRIES times, then counted and skipped.
 *
 * An outage is one line in the log when it begins and one when it ends; its row in the database
 * tells of the latest attempt. */
#pragma once

#include <pthread.h>

#include "collector/notify/journal_ops.h"
#include "collector/notify/sink.h"
#include "shared/base/metrics.h"

#define FEED_BATCH         64    /* rows read at once */
#define FEED_TRIES         4     /* of a state that is refused */
#define FEED_RETRY_MS      250   /* the first pause of an outage, doubled up to the longest */
#define FEED_RETRY_MOST_MS 30000 /* what a receiver that is back may wait for */
#define FEED_LOOK_MS       10000 /* also without a NOTIFY */

struct feed {
    struct feed_conf conf;
    struct journal_ops journal_ops;
    const struct sink_ops *sink_ops;
    struct past past;
    struct stop stop;
    int wake; /* eventfd */
    pthread_t thread;
    /* others read these */
    struct counters counters;
    _Atomic bool is_up, is_ended, shall_reopen;
    _Atomic uint64_t told; /* event_id */
    /* the thread's own */
    void *journal;     /* NULL: to be opened */
    struct sink *sink; /* NULL: to be opened */
    struct notice waiting[FEED_BATCH];
    size_t count, first; /* of those that wait */
    uint64_t read_up_to; /* event_id: what waits ends here */
    uint64_t cursor, saved;
    uint64_t sent, skipped; /* not saved yet */
    unsigned tries;         /* of the first that waits */
    bool has_more;          /* in the journal */
    bool is_down;
    char reason[sizeof(((struct note *)0)->text)]; /* of the outage, as its row says */
    unsigned pause_ms;                             /* of the last failure; 0: none */
};

/* Starts the thread; nothing is waited for. -errno with a note. */
int feed_open(const struct feed_conf *conf, const struct journal_ops *journal, struct feed **out,
              struct note *note);
void feed_reopen(struct feed *f);
/* Tells it to end. */
void feed_stop(struct feed *f);
/* After its thread was joined. */
void feed_free(struct feed *f);

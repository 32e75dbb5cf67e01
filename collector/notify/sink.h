/* What a feed tells its notices to: one table per kind (jsonl.c, syslog.c, webhook.c, zeromq.c).
 * A sink belongs to its feed's thread; it may wait, but not longer than its timeout, and not once
 * stop is set. What it has to keep open it opens again by itself. */
#pragma once

#include <stdatomic.h>

#include "collector/notify/notice.h"

/* Whether a feed shall end: fd becomes readable, and stays so. */
struct stop {
    _Atomic bool is_set;
    int fd;
};

static inline bool stop_is_set(const struct stop *s)
{
    return atomic_load_explicit(&s->is_set, memory_order_acquire);
}

/* A look at the journal, for who missed something. */
struct past_answer {
    uint64_t oldest, newest; /* of the journal */
    uint64_t last;           /* up to here it was looked at */
};
struct past {
    void *ctx;
    /* The states after since that the feed wants, in order, from the next so many of the journal.
     */
    int (*read)(void *ctx, uint64_t since, unsigned limit,
                int (*each)(void *arg, const struct notice *n), void *arg, struct past_answer *out,
                struct note *note);
};

struct sink;

struct sink_ops {
    /* conf, stop and past are borrowed until close. -errno or ERR_*, with a note: tried again. */
    int (*open)(const struct feed_conf *conf, const struct stop *stop, const struct past *past,
                struct sink **out, struct note *note);
    /* Before the first send: an alert that has no end yet, in the state that was told last. NULL:
     * of no interest. 0 or -ENOMEM. */
    int (*standing)(struct sink *s, const struct notice *n);
    /* Tells n notices, in order; *done: how many of them have arrived. 0: all. ERR_DATA: the
     * receiver refuses the next one, or one of those that follow; others may pass. Any other error:
     * the receiver is away. Both with a note. */
    int (*send)(struct sink *s, const struct notice *list, size_t n, size_t *done,
                struct note *note);
    /* What is due by itself: repeats, heartbeats, questions. *wait_ms is lowered to when it wants
     * to be called again. NULL: nothing is. Errors as of send. */
    int (*tick)(struct sink *s, uint64_t now_ns, int *wait_ms, struct note *note);
    int (*fd)(struct sink *s);      /* wakes the feed when readable; NULL: none */
    void (*reopen)(struct sink *s); /* SIGHUP: somebody may have moved the file; NULL: no matter */
    void (*close)(struct sink *s);
    size_t batch; /* most notices per send */
};

extern const struct sink_ops sink_jsonl, sink_syslog, sink_webhook, sink_zeromq;

/* The publisher: one thread that numbers events, keeps them until the collector has committed them,
 * and sends them in batches over one DEALER connection (shared/wire/wire.h).
 *
 * It reads one ring per worker. What is not acknowledged stays in memory, bounded by keep_bytes;
 * when that is full it stops reading the rings, the rings fill, and the engines hold their events
 * back: nothing is lost while the collector is away, intervals only get longer. (A spool on disk
 * comes with a later release; the protocol is already its.) */
#pragma once

#include "shared/base/err.h"
#include "shared/base/metrics.h"
#include "shared/base/ring.h"

struct publish_conf {
    char endpoint[256];
    char certificate[256]; /* CURVE: this sensor's key, with its secret */
    char server[256];      /* the collector's public key */
    bool insecure;
    char sensor[64], pop[32];
    char driver[16];
    char state_dir[256];   /* the spool of unacknowledged events stands in it */
    uint64_t keep_bytes;   /* memory for unacknowledged events, encoded */
    uint64_t linger_ns;    /* oldest event waits so long for its batch to fill */
    uint64_t stop_wait_ns; /* on stop: wait so long for the last acknowledgement */
    uint64_t ping_ns;      /* silence after which the collector is asked for a sign; 0: 1 s */
    uint64_t dead_ns;      /* silence after which the connection is made anew; 0: 15 s */
};

struct publish;

/* rings: n rings of struct event, borrowed until publish_close; this becomes their reader.
 * counters: written by the publisher's thread. Says sensor_started as event 1. Never waits for the
 * collector. ERR_CONF, ERR_NETWORK, -errno with a note. */
int publish_open(const struct publish_conf *conf, struct ring *const *rings, size_t n,
                 struct counters *counters, struct publish **out, struct note *note);

/* Reads the certificates and no more: ERR_CONF, as publish_open would find. */
int publish_check(const struct publish_conf *conf, struct note *note);

/* Drains the rings (their writers must have ended), says sensor_stopped, waits up to stop_wait_ns
 * for the last acknowledgement and ends the thread. 0, or the number of events that are lost with
 * this process (unacknowledged). NULL is fine. */
uint64_t publish_close(struct publish *p, const char *reason);

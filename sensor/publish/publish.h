/* The publisher: one thread that numbers events, keeps them in a spool on disk until the collector
 * has committed them (spool.h), and sends them in batches over one DEALER connection
 * (shared/wire/wire.h).
 *
 * It reads one ring per worker. A batch is sent only after it is durable here: whatever was sent
 * under a number is under that number for ever. A full spool gives up its least important events
 * and says so; while nothing can be written at all (a disk that fails, a spool that gives nothing
 * up) it stops reading the rings, the rings fill, and the engines hold their events back: nothing
 * is lost silently, intervals only get longer. */
#pragma once

#include "sensor/control/control.h"
#include "sensor/publish/credentials.h"
#include "shared/base/err.h"
#include "shared/base/metrics.h"
#include "shared/base/ring.h"

struct publish_conf {
    char endpoint[256];
    char certificate[256]; /* CURVE: this sensor's key, with its secret */
    char server[256];      /* the collector's public key */
    bool insecure;
    const struct credentials *credentials; /* read beforehand, borrowed; NULL: publish_open does */
    char sensor[64], pop[32];
    char driver[16];
    char state_dir[256];   /* the spool of unacknowledged events stands in it; "": it is this
                              process's own, ends with it, and gives nothing up (replays, tests) */
    uint64_t keep_bytes;   /* limit of the spool's file; SPOOL_MIN at least */
    uint64_t linger_ns;    /* oldest event waits so long to be committed and sent */
    uint64_t stop_wait_ns; /* on stop: wait so long for the last acknowledgement */
    uint64_t ping_ns;      /* silence after which the collector is asked for a sign; 0: 1 s */
    uint64_t dead_ns;      /* silence after which the connection is made anew; 0: 15 s */
    const struct control_conf *control; /* borrowed until publish_open returns; NULL: no orders */
    uint64_t seed;                      /* for control_new */
};

struct publish;

/* rings: n rings of struct event, borrowed until publish_close; this becomes their reader.
 * counters: written by the publisher's thread. Numbers and epoch go on from the spool's;
 * sensor_started is the first of this run. COUNTER_events_spooled is how many events of this run
 * are durable, in the order in which they came. Never waits for the collector. Forks a child for a
 * moment, if there is a spool to look at: to be called before memory is pinned for a device.
 * ERR_CONF, ERR_BUSY, ERR_NETWORK, -errno with a note. */
int publish_open(const struct publish_conf *conf, struct ring *const *rings, size_t n,
                 struct counters *counters, struct publish **out, struct note *note);

/* The collector's orders (sensor/control/). Any thread; none of these waits for the network.
 * publish_home: the configuration's prefixes changed. publish_ordered: what is to be watched
 * besides, until_ns by the mono clock; *version tells whether that changed, or publish_home_free:
 * those of the configuration's prefixes that may be tested now. publish_watched: these lists are in
 * force; publish_not_watched: they cannot be. */
int publish_home(struct publish *p, const struct prefix *prefixes, size_t n);
size_t publish_home_free(struct publish *p, struct prefix *out, size_t room);
size_t publish_ordered(struct publish *p, struct control_watch out[static CONTROL_ORDERS_MAX],
                       uint64_t *version);
void publish_watched(struct publish *p, uint64_t version);
void publish_not_watched(struct publish *p, uint64_t version);

/* Drains the rings (their writers must have ended), says sensor_stopped, waits up to stop_wait_ns
 * for the last acknowledgement and ends the thread. What is not acknowledged stays in the spool,
 * and the log says how much (event=spooled). 0, or the number of events that are lost with this
 * process: what could not be committed, and with a spool of the process's own, what is not
 * acknowledged. NULL is fine. */
uint64_t publish_close(struct publish *p, const char *reason);

/* The worker: one RX queue, one thread, its own engines. Steps 2 to 6 of a packet's walk.
 *
 *   receive   the source lends a burst
 *   tick      windows and intervals end; events leave through the ring (once per millisecond)
 *   look      parse all, find where they entered, prefetch what the Penny test will touch
 *   decide    scan, tally, Penny: state changes, and a verdict per frame
 *   give back the source forwards or drops by verdict
 *
 * Nothing but the ring and the counters is shared with other threads. An event leaves its engine
 * only when the ring has room: a full ring holds events back inside the engines, intervals get
 * longer, nothing is lost.
 *
 * Time. Engines run on one line: the steady clock, or for a capture the frames' own time. Where
 * events enter the ring they are moved to wall-clock time (a capture's time is that already). A
 * capture's time is walked in small steps, so that what was due between two packets happens when it
 * was due; with the same seed the same capture gives the same events, byte for byte.
 *
 * Stop. First the source lets go: what comes from then on is forwarded by the kernel. What is here
 * goes its way untested; then the engines end and their events leave, which may take seconds.
 *
 * One scan engine sees all openings, worker 0's: from the kernel's reports where the source has
 * them, else from the frames; the other workers then hand theirs over, through a ring each.
 *
 * Worker 0 also reads connection openings and the kernel's tally, where the source has them, and
 * tells sensor_status for all workers, once per tally interval. (sensor_started and sensor_stopped
 * frame everything; who numbers events says them.) */
#pragma once

#include "sensor/penny/penny.h"
#include "sensor/scan/scan.h"
#include "sensor/source/source.h"
#include "sensor/tally/tally.h"
#include "shared/base/metrics.h"
#include "shared/base/ring.h"

struct worker;

/* All pointers are borrowed until worker_free. */
struct worker_conf {
    const struct source_ops *ops;
    struct source_group *group;
    unsigned queue;
    const struct penny_conf *penny;
    const struct scan_conf *scan;
    const struct tally_conf *tally;
    const struct ingress_table *ingress;
    uint64_t seed;   /* the engines' seeds derive from it and the queue */
    bool is_capture; /* time comes with the frames */
    /* All workers of this sensor, this one among them; filled before the first worker_start. */
    struct worker *const *workers;
    unsigned worker_count;
};

/* Makes the engines and the ring. -ENOMEM, ERR_CONF. */
int worker_new(const struct worker_conf *conf, struct worker **out, struct note *note);
void worker_free(struct worker *w); /* NULL is fine; its thread must have been joined */

/* Starts the thread; returns when its source is open. Once open failed, the error and its note. */
int worker_start(struct worker *w, struct note *note);
void worker_stop(struct worker *w);            /* asks it to end; any thread */
bool worker_has_ended(const struct worker *w); /* by itself or because asked */
/* Waits for the end. 0, or the error that ended the source (the end of a capture is none). */
int worker_join(struct worker *w);

/* The same without a thread, for captures and tests: open once, step until it is not 0 (ERR_END at
 * the end), then call finish until it says that every event is in the ring. Somebody must empty
 * the ring in between. */
int worker_open(struct worker *w, struct note *note);
int worker_step(struct worker *w);
bool worker_finish(struct worker *w);
uint64_t worker_now(const struct worker *w); /* the engines' time */

/* Hands over a new list of watched prefixes (copied); the worker takes it at its next tick. Any
 * thread. 0 or -ENOMEM. limits: what this worker may withhold for each while it is watched,
 * and until when (penny_limit); drops 0: no limit of its own; NULL: none has. */
int worker_watch(struct worker *w, const struct prefix *prefixes, const struct penny_limit *limits,
                 size_t n);
/* Has it taken the last list? Any thread. One that has ended takes no more. */
bool worker_has_watch(const struct worker *w);
/* It had no memory for the last list: it goes by a former one, until it is handed over again. */
bool worker_lacks_watch(const struct worker *w);

struct ring *worker_ring(struct worker *w); /* of struct event; has one reader */
struct counters *worker_counters(struct worker *w);

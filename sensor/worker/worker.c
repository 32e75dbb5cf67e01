#include "sensor/worker/worker.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/packet/opening.h"
#include "sensor/worker/kernel_reader.h"
#include "sensor/worker/status.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"

/* Events between this core and the publisher: one of the publisher's polls at the rate at which a
 * full tally leaves. 4096 of 700 bytes are 3 MB per queue. */
#define RING_EVENTS 4096

/* Ticks cost a few calls per engine; per burst of 64 that would show, per millisecond it does not,
 * and it is far finer than any deadline that engines keep. */
#define TICK_NS NS_PER_MS

/* Longest sleep when nothing comes: bounds the time to a tick (penny.h wants 100 ms) and to a stop.
 */
#define WAIT_MS 50

/* A capture's pause is walked in steps as long as a live sensor would sleep at most, up to this
 * long a pause; beyond, nothing is under way any more, and time jumps. */
#define WALK_STEP_NS (WAIT_MS * NS_PER_MS)
#define WALK_NS      (600 * NS_PER_S)

/* A step that comes so late after the last one finds frames that waited as long: as long as the
 * kernel goes on handing over to a worker that stands still. */
#define AWAY_NS (200 * NS_PER_MS)

/* Reading the source's statistics takes system calls. */
#define STATS_NS (100 * NS_PER_MS)

/* Openings between two workers: what comes in a millisecond when every eighth of 4 Mpps opens. */
#define OPENINGS 512

/* Kernel cells added per tick: some 20 us of work between two bursts, 65,536 cells in 0.3 s. */
#define CELLS_PER_TICK 256

/* On stop: frames that were on their way to us when the kernel let go come within one poll of the
 * port, microseconds; on a busy machine its turn may come a few milliseconds later. What had piled
 * up takes longer, but not without end. */
#define QUIET_NS  (20 * NS_PER_MS)
#define LET_GO_NS (500 * NS_PER_MS)
#define LET_GO_MS 5

/* On stop: wait so long for the publisher to make room. */
#define DRAIN_NS (2 * NS_PER_S)

struct watch {
    unsigned number;
    size_t count;
    struct prefix *prefixes;     /* behind the limits, in the same memory */
    struct penny_limit limits[]; /* of each prefix */
};

struct worker {
    /* read every burst, fixed after the start */
    const struct source_ops *ops;
    struct source *source;
    struct penny *penny;          /* NULL: off */
    struct scan *scan;            /* NULL: off, or worker 0 does it */
    struct tally *tally;          /* NULL: the kernel counts, and worker 0 reads it */
    struct scan *frame_scan;      /* scan, if it is fed with frames; else NULL */
    struct tally *frame_tally;    /* tally, if it is fed with frames; else NULL */
    struct kernel_reader *reader; /* of the kernel's tally; NULL: not ours, or there is none */
    struct worker_conf conf;
    /* written by this core only */
    alignas(64) struct frame frames[BURST];
    struct packet packets[BURST];
    uint8_t reasons[BURST]; /* enum packet_reason */
    uint8_t verdicts[BURST];
    bool may_judge[BURST];             /* what the source's sift said; all true where it has none */
    unsigned lent;                     /* frames of the source that we hold */
    uint64_t now, ticked_at, frame_at; /* frame_at: time of the last frame; captures only */
    uint64_t stats_at, interval_start, interval_due;
    uint64_t cells_at; /* inside the interval that the kernel's cells belong to; 0: none awaited */
    struct status status; /* worker 0 tells for all */
    uint64_t passed;      /* watched frames that went past us, as the source says */
    uint64_t beat_at;     /* the last one */
    uint64_t let_go_at;   /* since then the kernel forwards what comes; 0: not yet */
    bool is_running, has_finished;
    struct ring out;
    struct ring openings;  /* of struct packet, for worker 0; without slots: not handed over */
    struct openings *seen; /* which of them are; NULL: not handed over */
    struct counters counters;
    /* shared with the thread that started us */
    alignas(64) struct watch *_Atomic watch;                  /* the next list; NULL: taken */
    atomic_uint watches_given, watches_taken, watches_failed; /* their numbers */
    atomic_bool must_stop, has_ended;
    pthread_t thread;
    sem_t opened;
    int open_result, result; /* each written once: before opened is posted, before the end */
    struct note note;
};

static bool is_first(const struct worker *w)
{
    return w->conf.queue == 0;
}

/* ---- receive ---- */

/* 1 when frames are lent, 0 when none came, or how the source ended. */
static int receive(struct worker *w)
{
    if (w->lent != 0)
        return 1;
    /* A capture goes frame by frame, for each has a time of its own. */
    int n = w->ops->recv(w->source, w->frames, w->conf.is_capture ? 1 : BURST);
    if (n < 0)
        return n;
    w->lent = (unsigned)n;
    return n != 0;
}

/* One step towards the lent frame's time; true when it is reached. */
static bool walk(struct worker *w)
{
    if (w->lent == 0)
        return false;
    uint64_t at = w->frames[0].at_ns;
    if (w->now == 0)
        w->now = w->frame_at = at; /* a capture's first frame starts its time */
    if (at > w->now + WALK_STEP_NS && w->now - w->frame_at < WALK_NS) {
        w->now += WALK_STEP_NS;
        return false;
    }
    if (at > w->now) /* frames out of order do not turn time back */
        w->now = at;
    w->frame_at = w->now;
    return true;
}

static bool move_time(struct worker *w)
{
    if (w->conf.is_capture)
        return walk(w);
    w->now = clock_mono_ns();
    return true;
}

/* Says that we are here, and asks what went past while we were not. Time first, then the answer:
 * whatever went past before now is known, so Penny never waits for what it cannot see. What waits
 * in the ring it cannot see either: after a long stop, windows that are over would be judged before
 * the answers that came in time. */
static void beat(struct worker *w, bool may_have_waited)
{
    if (w->ops->beat == NULL)
        return;
    bool was_away = may_have_waited && w->now - w->beat_at > AWAY_NS;
    uint64_t passed = w->ops->beat(w->source, w->now);
    if ((passed != w->passed || was_away) && w->penny != NULL && w->let_go_at == 0)
        penny_lost_sight(w->penny, w->now);
    w->passed = passed;
    w->beat_at = w->now;
}

/* ---- look ---- */

/* A source that lends all traffic knows what is watched: the rest costs no look-up in Penny. */
static void sift(struct worker *w)
{
    w->ops->sift(w->source, w->packets, w->lent, w->may_judge);
    for (unsigned i = 0; i < w->lent; i++)
        if (w->may_judge[i] && w->reasons[i] == PACKET_OK)
            penny_prefetch(w->penny, &w->packets[i]);
}

static void look(struct worker *w)
{
    for (unsigned i = 0; i < w->lent; i++) {
        struct packet *p = &w->packets[i];
        w->reasons[i] = (uint8_t)packet_parse(&w->frames[i], p);
        if (p->src.family == 0)
            continue;
        p->ingress = ingress_table_find(w->conf.ingress, p->vlan, p->src_mac);
        if (w->reasons[i] == PACKET_OK && w->penny != NULL && w->ops->sift == NULL)
            penny_prefetch(w->penny, p);
    }
    if (w->ops->sift != NULL && w->penny != NULL)
        sift(w);
}

/* ---- decide ---- */

static const enum counter reason_counter[] = {
    COUNTER_COUNT, /* PACKET_OK has none */
#define REASON(name, counter, help) COUNTER_##counter,
#include "shared/base/reasons.def"
#undef REASON
};

/* One scan engine sees the openings of all queues: worker 0 has it, the others hand over. */
static void hand_opening(struct worker *w, const struct packet *p)
{
    enum opening kind = w->seen != NULL ? openings_find(w->seen, p, w->now) : OPENING_NONE;
    if (kind == OPENING_NONE)
        return;
    struct packet *slot = ring_claim(&w->openings);
    if (slot == NULL) {
        counter_add(&w->counters, COUNTER_openings_lost, 1);
        return;
    }
    *slot = *p;
    slot->opening = kind;
    slot->weight = 1;
    ring_publish(&w->openings);
}

static uint8_t judge(struct worker *w, unsigned i)
{
    const struct packet *p = &w->packets[i];
    if (w->frame_scan != NULL)
        scan_packet(w->frame_scan, p, w->now);
    else
        hand_opening(w, p);
    if (w->frame_tally != NULL)
        tally_packet(w->frame_tally, p, w->now);
    /* At the end nobody would wait for what a segment withheld now has to tell. */
    if (w->penny == NULL || w->let_go_at != 0 || !w->may_judge[i])
        return FRAME_FORWARD;
    return penny_packet(w->penny, p, w->now);
}

/* What we do not understand is not ours to withhold. It came from somewhere all the same: like the
 * kernel, the tally counts every packet whose IP header was sound. */
static uint8_t pass_on(struct worker *w, unsigned i)
{
    counter_add(&w->counters, reason_counter[w->reasons[i]], 1);
    if (w->frame_tally != NULL && w->packets[i].src.family != 0)
        tally_packet(w->frame_tally, &w->packets[i], w->now);
    return FRAME_FORWARD;
}

static void decide(struct worker *w)
{
    for (unsigned i = 0; i < w->lent; i++)
        w->verdicts[i] = w->reasons[i] == PACKET_OK ? judge(w, i) : pass_on(w, i);
}

/* ---- give back ---- */

static void give_back(struct worker *w)
{
    uint64_t bytes = 0, dropped = 0;
    for (unsigned i = 0; i < w->lent; i++) {
        bytes += w->frames[i].wire_len;
        dropped += w->verdicts[i] == FRAME_DROP;
    }
    w->ops->done(w->source, w->frames, w->verdicts, w->lent);
    counter_add(&w->counters, COUNTER_packets, w->lent);
    counter_add(&w->counters, COUNTER_bytes, bytes);
    counter_add(&w->counters, COUNTER_dropped, dropped);
    counter_add(&w->counters, COUNTER_forwarded, w->lent - dropped);
    w->lent = 0;
}

/* Connection openings of all traffic, where the kernel reports them. They are taken though nobody
 * may want them (scan off): a source with probes left has nothing to wait for. */
static bool take_probes(struct worker *w)
{
    if (w->ops->probes == NULL || !is_first(w))
        return false;
    int n = w->ops->probes(w->source, w->packets, BURST);
    for (int i = 0; i < n && w->scan != NULL; i++)
        scan_packet(w->scan, &w->packets[i], w->now);
    if (n > 0)
        counter_add(&w->counters, COUNTER_probes, (uint64_t)n);
    return n > 0;
}

/* Worker 0: the openings that the others have seen, at most a burst of each. */
static bool take_openings(struct worker *w)
{
    uint64_t taken = 0;
    if (w->frame_scan == NULL)
        return false;
    for (unsigned i = 1; i < w->conf.worker_count; i++) {
        struct ring *from = &w->conf.workers[i]->openings;
        const struct packet *p;
        for (unsigned n = 0; n < BURST && (p = ring_front(from)) != NULL; n++, taken++) {
            scan_packet(w->frame_scan, p, w->now);
            ring_release(from);
        }
    }
    return taken != 0;
}

/* ---- tick ---- */

/* Both sides fail: the caller at a list, the worker at the one before it. The last counts. */
static void has_failed(struct worker *w, unsigned number)
{
    unsigned last = atomic_load(&w->watches_failed);
    while ((int)(number - last) > 0 &&
           !atomic_compare_exchange_weak(&w->watches_failed, &last, number)) {
    }
}

static void take_watch(struct worker *w)
{
    struct watch *next = atomic_exchange(&w->watch, NULL);
    if (next == NULL)
        return;
    if (w->penny != NULL && penny_watch(w->penny, next->prefixes, next->count) != 0) {
        has_failed(w, next->number);
        free(next);
        return;
    }
    for (size_t i = 0; w->penny != NULL && i < next->count; i++)
        penny_limit(w->penny, &next->prefixes[i], next->limits[i]);
    atomic_store(&w->watches_taken, next->number);
    free(next);
}

/* Counts that somebody else keeps. What cannot be read just now comes as 0; differences of counters
 * become events, so none may fall. */
static void raise_to(struct worker *w, enum counter which, uint64_t value)
{
    if (value > counter_get(&w->counters, which))
        counter_set(&w->counters, which, value);
}

static void read_penny_stats(struct worker *w)
{
    struct penny_stats stats;
    penny_stats(w->penny, &stats);
    counter_set(&w->counters, COUNTER_penny_tests, stats.tests);
    counter_set(&w->counters, COUNTER_penny_flows_refused, stats.flows_refused);
    counter_set(&w->counters, COUNTER_penny_not_sampled, stats.not_sampled);
    counter_set(&w->counters, COUNTER_penny_rate_limited, stats.rate_limited);
    counter_set(&w->counters, COUNTER_penny_no_room, stats.no_room);
}

static void read_stats(struct worker *w)
{
    struct source_stats stats = {0};
    w->ops->stats(w->source, &stats);
    w->stats_at = w->now;
    uint64_t overflow = w->tally != NULL ? tally_overflow(w->tally) : 0;
    if (w->reader != NULL)
        overflow += kernel_reader_lost(w->reader);
    if (w->penny != NULL)
        read_penny_stats(w);
    raise_to(w, COUNTER_source_missed, stats.missed);
    raise_to(w, COUNTER_transmit_refused, stats.transmit_refused);
    raise_to(w, COUNTER_source_reopened, stats.reopened);
    raise_to(w, COUNTER_moved_back, stats.moved_back);
    raise_to(w, COUNTER_tally_overflow, overflow);
#define KERNEL(name, help) raise_to(w, COUNTER_kernel_##name, stats.kernel_##name);
#include "shared/base/kernel.def"
#undef KERNEL
}

/* The interval of status and kernel tally; the tally engine's own starts with the same tick and has
 * the same length. A reading that is not through by the next end of an interval is not asked for
 * again: the kernel goes on counting, and the next one takes it all. */
static void interval_tick(struct worker *w)
{
    uint64_t length = w->conf.tally->interval_ns;
    if (!w->is_running) {
        w->is_running = true;
        w->interval_start = w->status.start = w->now;
        w->interval_due = w->now + length;
        return;
    }
    if (w->now < w->interval_due)
        return;
    if (w->reader != NULL && w->cells_at == 0) {
        w->cells_at = w->interval_due - 1;
        kernel_reader_ask(w->reader);
    }
    read_stats(w);
    w->interval_start = w->now - (w->now - w->interval_start) % length;
    w->interval_due = w->interval_start + length;
    w->status.end = w->interval_start;
}

/* Adds the cells that were read to the interval that they belong to. The engine learns that this
 * interval is over only after the last of them: until then its time stands still. */
static void add_kernel_cells(struct worker *w, unsigned max)
{
    const struct source_tally *cell;
    while (max-- > 0 && (cell = kernel_reader_next(w->reader)) != NULL)
        tally_add(w->tally, &cell->src, cell->ingress, cell->packets, cell->bytes, cell->flow_bits,
                  w->cells_at);
    if (!kernel_reader_is_busy(w->reader)) {
        w->cells_at = 0;
        tally_tick(w->tally, w->interval_start);
    }
}

static void tally_time(struct worker *w)
{
    if (w->tally == NULL)
        return;
    if (w->cells_at != 0)
        add_kernel_cells(w, CELLS_PER_TICK);
    else
        tally_tick(w->tally, w->now);
}

/* ---- emit ---- */

/* Verdicts before tallies: the few that matter most do not wait behind the many. */
static bool take(struct worker *w, struct event *out)
{
    return (is_first(w) && status_take(&w->status, w->conf.workers, w->conf.worker_count, out)) ||
           (w->penny != NULL && penny_take(w->penny, out)) ||
           (w->scan != NULL && scan_take(w->scan, out)) ||
           (w->tally != NULL && tally_take(w->tally, out));
}

/* Moves events into the ring, and their times to the wall clock. True when none is left. */
static bool emit(struct worker *w)
{
    int64_t offset = w->conf.is_capture ? 0 : clock_wall_ns() - (int64_t)clock_mono_ns();
    uint64_t n = 0;
    struct event *slot;
    while ((slot = ring_claim(&w->out)) != NULL && take(w, slot)) {
        slot->at = (int64_t)w->now;
        event_shift(slot, offset);
        ring_publish(&w->out);
        n++;
    }
    counter_add(&w->counters, COUNTER_events, n);
    if (slot == NULL)
        counter_add(&w->counters, COUNTER_events_held, 1);
    return slot != NULL;
}

static void tick(struct worker *w)
{
    w->ticked_at = w->now;
    take_watch(w);
    if (w->now - w->stats_at >= STATS_NS)
        read_stats(w);
    interval_tick(w);
    if (w->penny != NULL && w->let_go_at == 0)
        penny_tick(w->penny, w->now);
    if (w->scan != NULL)
        scan_tick(w->scan, w->now);
    tally_time(w);
    emit(w);
}

/* ---- the loop ---- */

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int step(struct worker *w, unsigned wait_ms)
{
    /* A capture can wait for room, and then its windows are as long as they should be. */
    if (w->conf.is_capture && ring_claim(&w->out) == NULL) {
        pause_briefly();
        return 0;
    }
    int got = receive(w);
    if (got < 0)
        return got;
    bool is_time = move_time(w);
    beat(w, w->lent != 0); /* before anything is judged */
    if (w->now != 0 && (w->now - w->ticked_at >= TICK_NS || !w->is_running))
        tick(w); /* first: what was due before these frames happens without them */
    if (is_time) {
        look(w);
        decide(w);
        give_back(w);
    }
    bool is_busy = take_probes(w);
    if (!take_openings(w) && !is_busy && got == 0)
        w->ops->wait(w->source, wait_ms);
    return 0;
}

int worker_step(struct worker *w)
{
    return step(w, WAIT_MS);
}

/* Before anything that takes time: frames that come from now on are the kernel's, and those that
 * are here go their way. */
static void let_go(struct worker *w)
{
    uint64_t start = clock_mono_ns(), now = start, last = start;
    if (w->ops->release == NULL)
        return;
    if (!w->conf.is_capture)
        w->now = start;
    beat(w, true); /* what waits now is not going to be judged */
    w->let_go_at = start;
    w->ops->release(w->source);
    while (now - last < QUIET_NS && now - start < LET_GO_NS) {
        uint64_t before = counter_get(&w->counters, COUNTER_packets);
        if (step(w, LET_GO_MS) != 0)
            return;
        now = clock_mono_ns();
        if (counter_get(&w->counters, COUNTER_packets) != before)
            last = now;
    }
}

/* What was asked for, and then the rest: nothing that the kernel counted may stay behind. */
static void take_all_kernel_cells(struct worker *w)
{
    if (w->cells_at != 0) {
        kernel_reader_wait(w->reader);
        add_kernel_cells(w, UINT_MAX);
    }
    w->cells_at = w->now;
    kernel_reader_ask(w->reader);
    kernel_reader_wait(w->reader);
    add_kernel_cells(w, UINT_MAX);
}

static void end_engines(struct worker *w)
{
    w->has_finished = true;
    if (!w->conf.is_capture)
        w->now = clock_mono_ns();
    tick(w);
    read_stats(w);
    if (w->reader != NULL)
        take_all_kernel_cells(w);
    if (w->now > w->status.start ||
        status_is_behind(&w->status, w->conf.workers, w->conf.worker_count))
        w->status.end = w->now;
    /* Penny's time ends where its sight did: what came back later was not seen, so it was not
     * missing. */
    if (w->penny != NULL)
        penny_finish(w->penny, w->let_go_at != 0 ? w->let_go_at : w->now);
    while (take_openings(w)) /* the other workers have ended: there is an end of it */
        ;
    if (w->scan != NULL)
        scan_finish(w->scan, w->now);
    if (w->tally != NULL)
        tally_finish(w->tally, w->now);
}

bool worker_finish(struct worker *w)
{
    if (!w->has_finished)
        end_engines(w);
    return emit(w);
}

/* ---- thread ---- */

static void drain(struct worker *w)
{
    uint64_t patience = clock_mono_ns() + DRAIN_NS;
    while (!worker_finish(w)) {
        if (clock_mono_ns() >= patience) {
            log_warn("event=drain_gave_up queue=%u reason=\"the publisher makes no room\"",
                     w->conf.queue);
            return;
        }
        pause_briefly();
    }
}

static void *run(void *arg)
{
    struct worker *w = arg;
    int err = w->open_result = worker_open(w, &w->note);
    sem_post(&w->opened);
    if (err != 0)
        return NULL;
    while (err == 0 && !atomic_load_explicit(&w->must_stop, memory_order_relaxed))
        err = worker_step(w);
    let_go(w);
    drain(w);
    w->ops->close(w->source);
    w->source = NULL;
    w->result = err == ERR_END ? 0 : err;
    atomic_store(&w->has_ended, true);
    return NULL;
}

int worker_open(struct worker *w, struct note *note)
{
    int err = w->ops->open(w->conf.group, w->conf.queue, &w->source, note);
    if (err == 0 && w->ops->beat != NULL) {
        w->beat_at = clock_mono_ns();
        w->passed = w->ops->beat(w->source, w->beat_at);
    }
    return err;
}

int worker_start(struct worker *w, struct note *note)
{
    int err = pthread_create(&w->thread, NULL, run, w);
    if (err != 0)
        return note_set(note, -err, "no thread for queue %u: %s", w->conf.queue, err_text(-err));
    while (sem_wait(&w->opened) != 0 && errno == EINTR)
        ;
    if (w->open_result == 0)
        return 0;
    pthread_join(w->thread, NULL);
    if (w->note.text[0] != '\0') /* a source's sentences name the queue themselves */
        return note_set(note, w->open_result, "%s", w->note.text);
    return note_set(note, w->open_result, "queue %u: %s", w->conf.queue, err_text(w->open_result));
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->must_stop, true);
}

bool worker_has_ended(const struct worker *w)
{
    return atomic_load(&w->has_ended);
}

int worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    return w->result;
}

int worker_watch(struct worker *w, const struct prefix *prefixes, const struct penny_limit *limits,
                 size_t n)
{
    unsigned number = atomic_fetch_add(&w->watches_given, 1) + 1;
    struct watch *next = calloc(1, sizeof *next + n * (sizeof *prefixes + sizeof *limits));
    if (next == NULL) {
        has_failed(w, number);
        return -ENOMEM;
    }
    next->count = n;
    next->prefixes = (struct prefix *)(void *)&next->limits[n];
    if (n != 0)
        memcpy(next->prefixes, prefixes, n * sizeof *prefixes);
    for (size_t i = 0; i < n; i++)
        if (limits != NULL && limits[i].drops != 0)
            next->limits[i] = limits[i];
        else
            next->limits[i].drops = PENNY_NO_LIMIT;
    next->number = number;
    free(atomic_exchange(&w->watch, next)); /* one that was never taken is out of date */
    return 0;
}

bool worker_has_watch(const struct worker *w)
{
    return atomic_load(&w->watches_taken) == atomic_load(&w->watches_given);
}

bool worker_lacks_watch(const struct worker *w)
{
    unsigned given = atomic_load(&w->watches_given);
    return given != 0 && atomic_load(&w->watches_failed) == given;
}

/* ---- life ---- */

static int hand_over_openings(struct worker *w, uint64_t seed)
{
    int err = ring_init(&w->openings, sizeof(struct packet), OPENINGS);
    return err == 0 ? openings_new(seed, &w->seen) : err;
}

/* Engines that this worker does not have are no error: scan belongs to worker 0, tally, too, when
 * the kernel counts. */
static int make_engines(struct worker *w, struct note *note)
{
    const struct worker_conf *c = &w->conf;
    struct hash_key key = {c->seed, 0x776f726b6572 + c->queue};
    int err = 0;
    if (c->penny->mode != PENNY_OFF)
        err = penny_new(c->penny, c->ingress, prf_word(key, 0), &w->penny);
    if (err == 0 && c->scan->enabled && is_first(w))
        err = scan_new(c->scan, prf_word(key, 2), &w->scan);
    if (err == 0 && c->scan->enabled && !is_first(w) && c->ops->probes == NULL)
        err = hand_over_openings(w, prf_word(key, 2));
    if (err == 0 && (c->ops->tally == NULL || is_first(w)))
        err = tally_new(c->tally, c->ingress, prf_word(key, 1), &w->tally);
    if (err == 0 && c->ops->tally != NULL && is_first(w))
        err = kernel_reader_new(c->ops, c->group, &w->reader);
    w->frame_scan = c->ops->probes == NULL ? w->scan : NULL;
    w->frame_tally = c->ops->tally == NULL ? w->tally : NULL;
    return err == 0 ? 0 : note_set(note, err, "engines of queue %u: %s", c->queue, err_text(err));
}

int worker_new(const struct worker_conf *conf, struct worker **out, struct note *note)
{
    struct worker *w = aligned_alloc(alignof(struct worker), sizeof *w);
    if (w == NULL)
        return note_set(note, -ENOMEM, "no memory for queue %u", conf->queue);
    memset(w, 0, sizeof *w);
    w->conf = *conf;
    w->ops = conf->ops;
    memset(w->may_judge, true, sizeof w->may_judge);
    sem_init(&w->opened, 0, 0);
    int err = ring_init(&w->out, sizeof(struct event), RING_EVENTS);
    if (err == 0)
        err = make_engines(w, note);
    if (err != 0) {
        worker_free(w);
        return err;
    }
    *out = w;
    return 0;
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    if (w->source != NULL)
        w->ops->close(w->source);
    kernel_reader_free(w->reader);
    penny_free(w->penny);
    scan_free(w->scan);
    tally_free(w->tally);
    ring_clear(&w->out);
    ring_clear(&w->openings);
    openings_free(w->seen);
    free(atomic_exchange(&w->watch, NULL));
    sem_destroy(&w->opened);
    free(w);
}

uint64_t worker_now(const struct worker *w)
{
    return w->now;
}

struct ring *worker_ring(struct worker *w)
{
    return &w->out;
}

struct counters *worker_counters(struct worker *w)
{
    return &w->counters;
}

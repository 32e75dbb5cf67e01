#include "sensor/publish/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/publish/keep.h"
#include "sensor/publish/link.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* A ring has no wake-up: that would cost the worker a system call per event. So the thread looks
 * at the rings every few ms, whatever the socket does; linger is longer than this anyway. */
enum { POLL_MS = 5 };
/* From one ring before the next one's turn, and before the socket's. */
enum { TAKE_AT_ONCE = 256 };
/* A second of silence is worth a question; fifteen outlast a slow commit and a lost TCP segment. */
enum { PING_S = 1, DEAD_S = 15 };

struct publish {
    /* fixed after publish_open */
    struct publish_conf conf;
    struct ring **rings;
    size_t ring_count;
    struct counters *counters;
    uint64_t epoch;
    pthread_t thread;
    /* the thread's own */
    struct keep keep;
    struct link_keys keys;
    struct link link;
    bool said_goodbye;
    /* set by publish_close, read by the thread: the rest is written before `stopping` is */
    uint64_t stop_before;
    char stop_reason[64];
    _Atomic bool stopping;
};

/* ---- events: rings -> keep ---- */

static void keep_event(struct publish *p, const struct event *e, uint64_t now)
{
    if (keep_add(&p->keep, e, now) < 0) {
        counter_add(p->counters, COUNTER_events_malformed, 1);
        log_warn("event=unsendable type=%u", e->type);
    }
}

static bool take_from(struct publish *p, struct ring *ring, uint64_t now)
{
    const struct event *e;
    unsigned taken = 0;
    while (taken < TAKE_AT_ONCE && keep_has_room(&p->keep) && (e = ring_front(ring)) != NULL) {
        keep_event(p, e, now);
        ring_release(ring);
        taken++;
    }
    return taken > 0;
}

static bool take_events(struct publish *p, uint64_t now)
{
    bool any = false;
    for (size_t i = 0; i < p->ring_count; i++)
        any |= take_from(p, p->rings[i], now);
    struct keep *k = &p->keep;
    if (k->filled_count > 0 && now - k->filled_since >= p->conf.linger_ns)
        keep_close(k);
    return any;
}

static void say_started(struct publish *p, uint64_t now)
{
    struct event e = {.type = EVENT_sensor_started, .at = (int64_t)p->epoch};
    snprintf(e.sensor_started.version, sizeof e.sensor_started.version, "%s", PENSTOCK_VERSION);
    snprintf(e.sensor_started.pop, sizeof e.sensor_started.pop, "%s", p->conf.pop);
    snprintf(e.sensor_started.driver, sizeof e.sensor_started.driver, "%s", p->conf.driver);
    keep_event(p, &e, now);
}

static void say_stopped(struct publish *p, uint64_t now)
{
    struct event e = {.type = EVENT_sensor_stopped, .at = clock_wall_ns()};
    memcpy(e.sensor_stopped.reason, p->stop_reason, sizeof e.sensor_stopped.reason);
    keep_event(p, &e, now);
    keep_close(&p->keep);
    p->said_goodbye = true;
}

/* ---- messages from the collector ---- */

static void take_ack(struct publish *p, uint64_t seq, uint64_t now)
{
    int64_t fresh = keep_ack(&p->keep, seq);
    if (fresh < 0) {
        counter_add(p->counters, COUNTER_messages_malformed, 1);
        return;
    }
    counter_add(p->counters, COUNTER_events_acknowledged, (uint64_t)fresh);
    if (fresh > 0)
        p->link.moved_at = now;
}

static void take_welcome(struct publish *p, const struct wire_message *m, uint64_t now)
{
    if (p->link.state != LINK_WAIT)
        return; /* the answer to an earlier hello; acknowledgements say more by now */
    if (m->version != WIRE_VERSION) {
        log_warn("event=version collector=%" PRIu64 " sensor=%d", m->version, WIRE_VERSION);
        link_set(&p->link, LINK_REFUSED, now);
        return;
    }
    if (m->epoch == p->epoch)
        take_ack(p, m->seq, now);
    keep_go_back(&p->keep);
    p->link.credit = m->credit > 0 ? m->credit : 1;
    link_set(&p->link, LINK_OPEN, now);
    log_info("event=connected endpoint=%s from_seq=%" PRIu64 " unacknowledged=%" PRIu64,
             p->conf.endpoint, keep_first_seq(&p->keep), keep_unacked(&p->keep));
}

/* The reason is the other side's text: it must not end our log line, nor its own quotes. */
static void log_refused(const struct publish *p, const struct wire_message *m)
{
    char reason[sizeof m->reason];
    log_warn("event=refused endpoint=%s reason=\"%s\"", p->conf.endpoint,
             log_quotable(m->reason, reason, sizeof reason));
}

static void take_refuse(struct publish *p, const struct wire_message *m, uint64_t now)
{
    if (p->link.state != LINK_REFUSED)
        log_refused(p, m);
    link_set(&p->link, LINK_REFUSED, now);
}

static void take_message(struct publish *p, const struct wire_message *m, uint64_t now)
{
    switch (m->kind) {
    case WIRE_WELCOME:
        take_welcome(p, m, now);
        return;
    case WIRE_ACK:
        if (m->epoch == p->epoch)
            take_ack(p, m->seq, now);
        return;
    case WIRE_AGAIN:
        link_greet_again(&p->link, now);
        return;
    case WIRE_PING:
        link_send(&p->link, &(struct wire_message){.kind = WIRE_PONG});
        return;
    case WIRE_PONG:
        return;
    case WIRE_REFUSE:
        take_refuse(p, m, now);
        return;
    case WIRE_HELLO:
    case WIRE_BATCH:
        break; /* ours to say, not the collector's */
    }
    counter_add(p->counters, COUNTER_messages_malformed, 1);
}

static void take_messages(struct publish *p, uint64_t now)
{
    struct wire_message m;
    /* bounded, so that a chatty peer cannot keep us from the rings */
    for (unsigned i = 0; i < TAKE_AT_ONCE; i++) {
        int got = link_receive(&p->link, &m, now);
        if (got == 0)
            return;
        if (got < 0)
            counter_add(p->counters, COUNTER_messages_malformed, 1);
        else
            take_message(p, &m, now);
    }
}

/* ---- messages to the collector ---- */

static void say_hello(struct publish *p, uint64_t now)
{
    struct wire_message m = {.kind = WIRE_HELLO,
                             .version = WIRE_VERSION,
                             .epoch = p->epoch,
                             .first_seq = keep_first_seq(&p->keep),
                             .next_seq = p->keep.next_seq};
    snprintf(m.name, sizeof m.name, "%s", p->conf.sensor);
    snprintf(m.pop, sizeof m.pop, "%s", p->conf.pop);
    snprintf(m.release, sizeof m.release, "%s", PENSTOCK_VERSION);
    if (link_send(&p->link, &m))
        link_greeted(&p->link, now);
}

/* Answers to pings while an acknowledgement stays away: it may have been lost on its way (the
 * collector's queue to us is bounded). A hello asks for it. Twice the time after which we would
 * have given up a silent collector: a slow database alone is no reason. */
static bool ack_is_lost(struct publish *p, uint64_t now)
{
    if (p->link.state != LINK_OPEN || p->keep.on_the_way == 0)
        p->link.moved_at = now;
    return now - p->link.moved_at > 2 * p->link.dead_ns;
}

/* false: there is no socket now; a later round tries again. */
static bool tend_link(struct publish *p, uint64_t now)
{
    struct link *l = &p->link;
    if (link_renew_due(l, now)) {
        counter_add(p->counters, COUNTER_reconnects, 1);
        log_info("event=reconnect endpoint=%s", p->conf.endpoint);
        link_renew(l, now);
    }
    if (l->socket == NULL)
        return false;
    if (ack_is_lost(p, now))
        link_greet_again(l, now);
    if (link_hello_due(l, now))
        say_hello(p, now);
    if (link_ping_due(l, now) && link_send(l, &(struct wire_message){.kind = WIRE_PING}))
        l->pinged_at = now;
    return true;
}

static void send_batches(struct publish *p)
{
    const struct keep_batch *b;
    while (p->link.state == LINK_OPEN && p->keep.on_the_way < p->link.credit &&
           (b = keep_unsent(&p->keep)) != NULL) {
        struct wire_message m = {.kind = WIRE_BATCH,
                                 .epoch = p->epoch,
                                 .first_seq = b->first_seq,
                                 .count = b->count,
                                 .events = b->events,
                                 .events_len = b->len};
        if (!link_send(&p->link, &m))
            return;
        keep_sent(&p->keep);
        counter_add(p->counters, COUNTER_events_sent, b->count);
    }
}

/* ---- the thread ---- */

/* The last words come after everything that the rings held. */
static bool is_finished(struct publish *p, bool rings_empty, uint64_t now)
{
    if (!atomic_load_explicit(&p->stopping, memory_order_acquire))
        return false;
    if (rings_empty && !p->said_goodbye && keep_has_room(&p->keep))
        say_stopped(p, now);
    return (p->said_goodbye && keep_unacked(&p->keep) == 0) || now >= p->stop_before;
}

static bool rings_are_empty(struct publish *p)
{
    for (size_t i = 0; i < p->ring_count; i++)
        if (ring_front(p->rings[i]) != NULL)
            return false;
    return true;
}

static void *publish_main(void *arg)
{
    struct publish *p = arg;
    for (;;) {
        uint64_t now = clock_mono_ns();
        if (p->link.socket != NULL) /* first: what waits there may say that all is well */
            take_messages(p, now);
        bool connected = tend_link(p, now);
        bool busy = take_events(p, now);
        if (is_finished(p, !busy && rings_are_empty(p), now))
            return NULL;
        if (connected)
            send_batches(p);
        if (connected)
            link_poll(&p->link, busy ? 0 : POLL_MS);
        else
            nanosleep(&(struct timespec){.tv_nsec = (long)(POLL_MS * NS_PER_MS)}, NULL);
    }
}

/* Signals belong to main(): this thread, and ZeroMQ's, take none. */
static int start_thread(struct publish *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&p->thread, NULL, publish_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

static int check_conf(const struct publish_conf *conf, struct note *note)
{
    if (conf->sensor[0] == '\0')
        return note_set(note, ERR_CONF, "sensor.name is empty: events need a sender");
    if (conf->keep_bytes < 2 * WIRE_MESSAGE_MAX)
        return note_set(note, ERR_CONF,
                        "the memory for unacknowledged events is %" PRIu64
                        " bytes: give it %d at least, room for some batches",
                        conf->keep_bytes, 2 * WIRE_MESSAGE_MAX);
    return 0;
}

/* The collector goes by the certificate's name, whatever the configuration says. */
static int load_keys(const struct publish_conf *conf, struct link_keys *keys, struct note *note)
{
    int err = link_keys_load(keys, conf->insecure, conf->certificate, conf->server, note);
    char name[CURVE_NAME];
    if (err == 0 && !conf->insecure && strcmp(keys->own.name, conf->sensor) != 0)
        log_warn("event=other_name sensor=%s certificate=\"%s\" hint=\"the collector goes by the "
                 "certificate's name, not by sensor.name\"",
                 conf->sensor, log_quotable(keys->own.name, name, sizeof name));
    return err;
}

int publish_check(const struct publish_conf *conf, struct note *note)
{
    struct link_keys keys;
    int err = load_keys(conf, &keys, note);
    curve_forget(&keys.own);
    return err;
}

static void publish_free(struct publish *p)
{
    link_close(&p->link);
    curve_forget(&p->keys.own);
    keep_clear(&p->keep);
    free(p->rings);
    free(p);
}

static int publish_new(const struct publish_conf *conf, struct ring *const *rings, size_t n,
                       struct counters *counters, struct publish **out)
{
    struct publish *p = calloc(1, sizeof *p);
    struct ring **copy = calloc(n > 0 ? n : 1, sizeof(struct ring *));
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        copy[i] = rings[i];
    p->conf = *conf;
    p->rings = copy;
    p->ring_count = n;
    p->counters = counters;
    p->epoch = (uint64_t)clock_wall_ns();
    p->link.ping_ns = conf->ping_ns > 0 ? conf->ping_ns : PING_S * NS_PER_S;
    p->link.dead_ns = conf->dead_ns > 0 ? conf->dead_ns : DEAD_S * NS_PER_S;
    keep_init(&p->keep, conf->keep_bytes);
    *out = p;
    return 0;
}

int publish_open(const struct publish_conf *conf, struct ring *const *rings, size_t n,
                 struct counters *counters, struct publish **out, struct note *note)
{
    *out = NULL;
    int err = check_conf(conf, note);
    if (err < 0)
        return err;
    struct publish *p;
    err = publish_new(conf, rings, n, counters, &p);
    if (err < 0)
        return note_set(note, err, "no memory for the publisher");
    err = load_keys(conf, &p->keys, note);
    if (err < 0) {
        publish_free(p);
        return err;
    }
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM for itself */
    uint64_t now = clock_mono_ns();
    err = link_open(&p->link, p->conf.endpoint, &p->keys, now);
    if (err < 0) {
        publish_free(p);
        return note_set(note, err, "publish.endpoint \"%s\" cannot be used: %s", conf->endpoint,
                        zmq_strerror(zmq_errno()));
    }
    say_started(p, now);
    err = start_thread(p);
    if (err < 0) {
        publish_free(p);
        return note_set(note, err, "the publisher's thread cannot be started");
    }
    *out = p;
    return 0;
}

/* What the rings still hold when the time is up. */
static uint64_t count_left(struct publish *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->ring_count; i++)
        for (; ring_front(p->rings[i]) != NULL; n++)
            ring_release(p->rings[i]);
    return n;
}

uint64_t publish_close(struct publish *p, const char *reason)
{
    if (p == NULL)
        return 0;
    snprintf(p->stop_reason, sizeof p->stop_reason, "%s", reason);
    p->stop_before = clock_mono_ns() + p->conf.stop_wait_ns;
    atomic_store_explicit(&p->stopping, true, memory_order_release);
    pthread_join(p->thread, NULL);
    uint64_t lost = keep_unacked(&p->keep) + count_left(p);
    publish_free(p);
    return lost;
}

#include "sensor/publish/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/publish/link.h"
#include "sensor/publish/spool.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/zip.h"

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
    int64_t started_at; /* wall ns */
    pthread_t thread;
    /* the thread's own */
    struct credentials credentials;
    struct spool *spool;
    struct link link;
    struct wire_zip *zip;
    bool may_zip;      /* this collector takes compressed batches: its welcome said so */
    uint64_t send_seq; /* number of the next event to send */
    /* last numbers of the batches on the way, oldest first */
    uint64_t way[WIRE_CREDIT];
    unsigned on_the_way;
    uint64_t greeted_seq; /* first_seq of our last hello */
    bool said_goodbye;
    /* the collector's orders: this thread feeds them, main() watches for them */
    pthread_mutex_t ordering;
    struct control *control; /* NULL: none are taken */
    /* set by publish_close, read by the thread: the rest is written before `stopping` is */
    uint64_t stop_before;
    char stop_reason[64];
    _Atomic bool stopping;
};

/* ---- events: rings -> spool ---- */

static void spool_event(struct publish *p, const struct event *e, uint64_t now)
{
    if (spool_add(p->spool, e, now) < 0) {
        counter_add(p->counters, COUNTER_events_malformed, 1);
        log_warn("event=unsendable type=%u", e->type);
    }
}

/* Tests of ordered prefixes get their order's number. The many other events need no lock. */
static const struct event *ordered_event(struct publish *p, const struct event *e,
                                         struct event *copy)
{
    if (p->control == NULL || (e->type != EVENT_test_started && e->type != EVENT_test_ended))
        return e;
    *copy = *e;
    pthread_mutex_lock(&p->ordering);
    control_event(p->control, copy, clock_boot_ns());
    pthread_mutex_unlock(&p->ordering);
    return copy;
}

/* Orders that are over are told behind the ends of their tests. */
static void tend_orders(struct publish *p, bool is_end, uint64_t now)
{
    struct event e;
    if (p->control == NULL)
        return;
    struct control_watch list[CONTROL_ORDERS_MAX];
    uint64_t version;
    pthread_mutex_lock(&p->ordering);
    control_tick(p->control, clock_boot_ns());
    counter_set(p->counters, COUNTER_orders, control_watch(p->control, list, &version));
    if (is_end)
        control_finish(p->control);
    while (spool_has_room(p->spool) && control_take(p->control, &e)) {
        e.at = clock_wall_ns();
        spool_event(p, &e, now);
        counter_add(p->counters, COUNTER_orders_ended, 1);
        log_info("event=order_ended order=%" PRIu64 " reason=%s", e.order_ended.order_id,
                 event_word("order_reason", e.order_ended.reason));
    }
    pthread_mutex_unlock(&p->ordering);
}

static void take_order(struct publish *p, const struct wire_message *m)
{
    char prefix[PREFIX_TEXT] = "-";
    if (p->control == NULL || p->said_goodbye)
        return;
    if (m->kind != WIRE_STOP)
        prefix_format(&m->prefix, prefix);
    log_debug("event=%s order=%" PRIu64 " prefix=%s",
              m->kind == WIRE_ORDER  ? "order"
              : m->kind == WIRE_STOP ? "stop"
                                     : "hold",
              m->order_id, prefix);
    pthread_mutex_lock(&p->ordering);
    control_message(p->control, m, clock_boot_ns());
    pthread_mutex_unlock(&p->ordering);
}

/* Fixed after publish_open, as the scale of the stamps is: no lock. */
static uint64_t stamp(const struct publish *p)
{
    return p->control == NULL ? 0 : control_stamp(p->control, clock_boot_ns());
}

static bool take_from(struct publish *p, struct ring *ring, uint64_t now)
{
    const struct event *e;
    struct event copy;
    unsigned taken = 0;
    while (taken < TAKE_AT_ONCE && spool_has_room(p->spool) && (e = ring_front(ring)) != NULL) {
        spool_event(p, ordered_event(p, e, &copy), now);
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
    return any;
}

static void count(struct publish *p)
{
    const struct spool_stats *s = spool_stats(p->spool);
    counter_set(p->counters, COUNTER_events_spooled, s->events);
    counter_set(p->counters, COUNTER_spool_commits, s->commits);
    counter_set(p->counters, COUNTER_spool_bytes, s->bytes);
    counter_set(p->counters, COUNTER_spool_damaged, s->damaged);
    counter_set(p->counters, COUNTER_given_up_tallies, s->given_up[CLASS_TALLY]);
    counter_set(p->counters, COUNTER_given_up_windows, s->given_up[CLASS_WINDOW]);
    counter_set(p->counters, COUNTER_given_up_status, s->given_up[CLASS_STATUS]);
    counter_set(p->counters, COUNTER_given_up_evidence, s->given_up[CLASS_EVIDENCE]);
}

/* What is on the way is not given up: the collector may have it already. */
static void commit(struct publish *p, uint64_t now)
{
    if (!spool_commit_due(p->spool, now, p->said_goodbye ? 0 : p->conf.linger_ns))
        return;
    spool_commit(p->spool, now, p->on_the_way > 0 ? p->way[p->on_the_way - 1] : 0);
    count(p);
}

static void say_started(struct publish *p, uint64_t now)
{
    struct event e = {.type = EVENT_sensor_started, .at = p->started_at};
    snprintf(e.sensor_started.version, sizeof e.sensor_started.version, "%s", PENSTOCK_VERSION);
    snprintf(e.sensor_started.pop, sizeof e.sensor_started.pop, "%s", p->conf.pop);
    snprintf(e.sensor_started.driver, sizeof e.sensor_started.driver, "%s", p->conf.driver);
    spool_event(p, &e, now);
}

/* Numbers that nobody can name are missing: those of a spool that is not this one. */
static void say_break(struct publish *p, uint64_t now)
{
    struct event e = {.type = EVENT_gap, .at = clock_wall_ns()};
    snprintf(e.gap.reason, sizeof e.gap.reason, "%s", spool_break(p->spool));
    spool_event(p, &e, now);
}

static void say_stopped(struct publish *p, uint64_t now)
{
    struct event e = {.type = EVENT_sensor_stopped, .at = clock_wall_ns()};
    memcpy(e.sensor_stopped.reason, p->stop_reason, sizeof e.sensor_stopped.reason);
    spool_event(p, &e, now);
    p->said_goodbye = true;
}

/* ---- messages from the collector ---- */

/* What came in is on the way no more. */
static void arrive(struct publish *p, uint64_t seq)
{
    unsigned n = 0;
    while (n < p->on_the_way && p->way[n] <= seq)
        n++;
    p->on_the_way -= n;
    memmove(p->way, p->way + n, p->on_the_way * sizeof p->way[0]);
}

static void take_ack(struct publish *p, uint64_t seq, uint64_t now)
{
    int64_t fresh = spool_ack(p->spool, seq, now);
    if (fresh < 0) {
        counter_add(p->counters, COUNTER_messages_malformed, 1);
        return;
    }
    counter_add(p->counters, COUNTER_events_acknowledged, (uint64_t)fresh);
    arrive(p, seq);
    if (fresh > 0)
        p->link.moved_at = now;
}

/* The collector has numbers that this spool never let out: it is an older copy of one that went on
 * elsewhere. Ours are other events, so they get an epoch of their own. */
static void begin_epoch(struct publish *p, uint64_t seq, uint64_t now)
{
    uint64_t before = spool_epoch(p->spool);
    if (spool_begin_epoch(p->spool, now) < 0)
        return; /* says hello again after a while */
    log_error(
        "event=spool_older epoch=%" PRIu64 " has=%" PRIu64 " new_epoch=%" PRIu64
        " reason=\"the collector has later events of this sensor: the spool was restored from "
        "a copy, or is in use twice\"",
        before, seq, spool_epoch(p->spool));
    if (spool_has_room(p->spool) && !p->said_goodbye) /* nothing comes after that one */
        say_break(p, now);
    link_greet_anew(&p->link, now);
}

static void go_back(struct publish *p)
{
    p->on_the_way = 0;
    p->send_seq = spool_acked(p->spool) + 1;
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
    if (m->epoch == spool_epoch(p->spool)) {
        if (spool_is_older(p->spool, m->seq, p->greeted_seq)) {
            begin_epoch(p, m->seq, now);
            return;
        }
        take_ack(p, m->seq, now);
    }
    go_back(p);
    p->link.credit = m->credit > 0 ? m->credit : 1;
    p->may_zip = m->zstd > 0;
    link_set(&p->link, LINK_OPEN, now);
    log_info("event=connected endpoint=%s from_seq=%" PRIu64 " unacknowledged=%" PRIu64,
             p->conf.endpoint, p->send_seq, spool_held(p->spool) + spool_waiting(p->spool));
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
        if (m->epoch != spool_epoch(p->spool))
            return;
        if (spool_was_let_out(p->spool, m->seq)) {
            take_ack(p, m->seq, now);
            return;
        }
        break; /* for another's events: a copy of this spool is in use, too */
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
    case WIRE_ORDER:
    case WIRE_STOP:
    case WIRE_HOLD:
        take_order(p, m);
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
                             .epoch = spool_epoch(p->spool),
                             .next_seq = spool_next(p->spool),
                             .orders = p->control == NULL ? 0 : control_number(p->control),
                             .stamp = stamp(p)};
    if (spool_first(p->spool, &m.first_seq) < 0)
        return;
    snprintf(m.name, sizeof m.name, "%s", p->conf.sensor);
    snprintf(m.pop, sizeof m.pop, "%s", p->conf.pop);
    snprintf(m.release, sizeof m.release, "%s", PENSTOCK_VERSION);
    if (m.first_seq > spool_acked(p->spool) + 1)
        snprintf(m.reason, sizeof m.reason, "%s", spool_why(p->spool));
    if (!link_send(&p->link, &m))
        return;
    p->greeted_seq = m.first_seq;
    link_greeted(&p->link, now);
}

/* Answers to pings while an acknowledgement stays away: it may have been lost on its way (the
 * collector's queue to us is bounded). A hello asks for it. Twice the time after which we would
 * have given up a silent collector: a slow database alone is no reason. */
static bool ack_is_lost(struct publish *p, uint64_t now)
{
    if (p->link.state != LINK_OPEN || p->on_the_way == 0)
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

static bool send_batch(struct publish *p, const struct record *r)
{
    struct wire_message m = {.kind = WIRE_BATCH,
                             .epoch = spool_epoch(p->spool),
                             .first_seq = r->first,
                             .count = r->count,
                             .stamp = stamp(p),
                             .events = r->events,
                             .events_len = r->len};
    if (p->may_zip)
        wire_zip(p->zip, &m);
    if (r->first > p->send_seq) { /* what a full spool gave up, or a damaged record, is missing */
        m.after = p->send_seq - 1;
        snprintf(m.reason, sizeof m.reason, "%s", spool_why(p->spool));
    }
    if (!link_send(&p->link, &m))
        return false;
    p->send_seq = r->first + r->count;
    p->way[p->on_the_way++] = p->send_seq - 1;
    counter_add(p->counters, COUNTER_events_sent, r->count);
    return true;
}

static void send_batches(struct publish *p)
{
    struct record r;
    unsigned credit = p->link.credit < WIRE_CREDIT ? (unsigned)p->link.credit : WIRE_CREDIT;
    while (p->on_the_way < credit && p->send_seq < spool_committed(p->spool) &&
           spool_read(p->spool, p->send_seq, &r) == 1) {
        if (!send_batch(p, &r))
            return;
    }
}

/* ---- the thread ---- */

/* Is there nothing that the collector could still acknowledge? */
static bool is_delivered(struct publish *p)
{
    struct record r;
    return spool_waiting(p->spool) == 0 && spool_read(p->spool, spool_acked(p->spool) + 1, &r) == 0;
}

/* The last words come after everything that the rings held. What is in the spool by then outlives
 * us; a spool of the process's own does not, so it waits for the collector alone. */
static bool is_finished(struct publish *p, bool rings_empty, uint64_t now)
{
    if (!atomic_load_explicit(&p->stopping, memory_order_acquire))
        return false;
    if (rings_empty && !p->said_goodbye && spool_has_room(p->spool)) {
        tend_orders(p, true, now);
        say_stopped(p, now);
    }
    if (p->said_goodbye && is_delivered(p))
        return true;
    if (now < p->stop_before)
        return false;
    bool is_moving = !spool_has_failed(p->spool) && spool_has_room(p->spool);
    return !is_moving || p->conf.state_dir[0] == '\0' ||
           (p->said_goodbye && spool_waiting(p->spool) == 0);
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
        bool is_open = connected && p->link.state == LINK_OPEN;
        bool may_send = spool_let_out(p->spool, is_open, now) == 0 && is_open;
        bool busy = take_events(p, now);
        if (!p->said_goodbye)
            tend_orders(p, false, now);
        commit(p, now);
        if (is_finished(p, !busy && rings_are_empty(p), now))
            return NULL;
        if (may_send)
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
    return 0;
}

static void publish_free(struct publish *p)
{
    link_close(&p->link);
    credentials_forget(&p->credentials);
    spool_close(p->spool);
    wire_zip_free(p->zip);
    control_free(p->control);
    pthread_mutex_destroy(&p->ordering);
    free(p->rings);
    free(p);
}

static int publish_new(const struct publish_conf *conf, struct ring *const *rings, size_t n,
                       struct counters *counters, struct publish **out)
{
    struct publish *p = calloc(1, sizeof *p);
    struct ring **copy = calloc(n > 0 ? n : 1, sizeof(struct ring *));
    if (p == NULL || copy == NULL || wire_zip_new(&p->zip) < 0) {
        free(p);
        free(copy);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        copy[i] = rings[i];
    pthread_mutex_init(&p->ordering, NULL);
    p->conf = *conf;
    p->rings = copy;
    p->ring_count = n;
    p->counters = counters;
    p->started_at = clock_wall_ns();
    p->link.ping_ns = conf->ping_ns > 0 ? conf->ping_ns : PING_S * NS_PER_S;
    p->link.dead_ns = conf->dead_ns > 0 ? conf->dead_ns : DEAD_S * NS_PER_S;
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
    if (conf->control != NULL)
        err = control_new(conf->control, conf->seed, clock_boot_ns(), &p->control);
    if (err < 0) {
        publish_free(p);
        return note_set(note, err, "no memory for orders");
    }
    if (conf->credentials != NULL)
        p->credentials = *conf->credentials;
    else
        err = credentials_load(&p->credentials, conf, note);
    if (err == 0) {
        const struct spool_conf spool = {p->conf.state_dir, p->conf.sensor, p->conf.keep_bytes};
        err = spool_open(&spool, &p->spool, note);
    }
    if (err < 0) {
        publish_free(p);
        return err;
    }
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM for itself */
    uint64_t now = clock_mono_ns();
    err = link_open(&p->link, p->conf.endpoint, &p->credentials, now);
    if (err < 0) {
        publish_free(p);
        return note_set(note, err, "publish.endpoint \"%s\" cannot be used: %s", conf->endpoint,
                        zmq_strerror(zmq_errno()));
    }
    say_started(p, now);
    if (spool_break(p->spool)[0] != '\0')
        say_break(p, now);
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

/* The last acknowledged events leave the spool. How many are left in it. */
static uint64_t settle(struct publish *p)
{
    uint64_t now = clock_mono_ns();
    if (spool_commit_due(p->spool, now + 2 * NS_PER_S, 0))
        spool_commit(p->spool, now, 0);
    count(p);
    return spool_held(p->spool);
}

uint64_t publish_close(struct publish *p, const char *reason)
{
    if (p == NULL)
        return 0;
    snprintf(p->stop_reason, sizeof p->stop_reason, "%s", reason);
    p->stop_before = clock_mono_ns() + p->conf.stop_wait_ns;
    atomic_store_explicit(&p->stopping, true, memory_order_release);
    pthread_join(p->thread, NULL);
    uint64_t lost = spool_waiting(p->spool) + count_left(p), held = settle(p);
    if (p->conf.state_dir[0] == '\0')
        lost += held;
    else if (held > 0)
        log_info("event=spooled count=%" PRIu64 " reason=\"not acknowledged yet\"", held);
    publish_free(p);
    return lost;
}

int publish_home(struct publish *p, const struct prefix *prefixes, size_t n)
{
    if (p->control == NULL)
        return 0;
    pthread_mutex_lock(&p->ordering);
    int err = control_home(p->control, prefixes, n, clock_boot_ns());
    pthread_mutex_unlock(&p->ordering);
    return err;
}

size_t publish_home_free(struct publish *p, struct prefix *out, size_t room)
{
    if (p->control == NULL)
        return 0;
    pthread_mutex_lock(&p->ordering);
    size_t n = control_home_free(p->control, out, room);
    pthread_mutex_unlock(&p->ordering);
    return n;
}

/* Leases go by the boot clock, which the collector's agrees with; who watches has the mono one. */
static uint64_t mono_of(uint64_t until, uint64_t boot, uint64_t mono)
{
    return until > boot ? mono + (until - boot) : mono;
}

size_t publish_ordered(struct publish *p, struct control_watch out[static CONTROL_ORDERS_MAX],
                       uint64_t *version)
{
    *version = 0;
    if (p->control == NULL)
        return 0;
    pthread_mutex_lock(&p->ordering);
    size_t n = control_watch(p->control, out, version);
    pthread_mutex_unlock(&p->ordering);
    uint64_t boot = clock_boot_ns(), mono = clock_mono_ns();
    for (size_t i = 0; i < n; i++)
        out[i].until_ns = mono_of(out[i].until_ns, boot, mono);
    return n;
}

void publish_watched(struct publish *p, uint64_t version)
{
    if (p->control == NULL)
        return;
    pthread_mutex_lock(&p->ordering);
    control_watched(p->control, version, clock_boot_ns());
    pthread_mutex_unlock(&p->ordering);
}

void publish_not_watched(struct publish *p, uint64_t version)
{
    if (p->control == NULL)
        return;
    pthread_mutex_lock(&p->ordering);
    control_not_watched(p->control, version, clock_boot_ns());
    pthread_mutex_unlock(&p->ordering);
}

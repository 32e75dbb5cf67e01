/* ZeroMQ: a PUB socket, and beside it a ROUTER for those who missed something.
 *
 *   PUB     [kind] [the state as JSON, with "previous": the event_id published before it]
 *           ["heartbeat"] [{"event_id": the last published, "at"}]     when idle for a while
 *   ROUTER  see since.h
 *
 * PUB drops what a subscriber does not take in time, and keeps nothing for one that is away. So a
 * subscriber compares "previous" (or a heartbeat's event_id) with what it had last, and asks for
 * what is missing; "previous" is 0 on the first after a start, when nobody knows.
 *
 * Both sockets live in a context of their own: in czmq's the door for sensors asks its list of keys
 * for every CURVE connection, and subscribers do not stand there. With `subscribers` this context
 * has a guard of its own (shared/curve/guard.h), whose questions are answered here, in the feed's
 * thread. During an outage they wait, as all else does: nothing is published then. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "collector/notify/since.h"
#include "collector/notify/sink.h"
#include "shared/base/clock.h"
#include "shared/curve/guard.h"

#define QUEUE        10000 /* messages per subscriber; beyond, it must catch up */
#define QUESTIONS    16    /* answered in a row, before what is new is told */
#define FRAMES_MAX   8     /* of a question */
#define ENVELOPE_MAX 256   /* a routing id has 255 bytes at most */
#define QUESTION_MAX 64
#define MESSAGE_MAX  1024 /* longer ones are not ours: libzmq ends that connection */
#define LOOK_MS      1000 /* at who may subscribe */

struct sink {
    const struct feed_conf *conf;
    const struct past *past;
    void *context, *publisher, *router;
    struct guard guard; /* zeroed: whoever knows the collector's key may subscribe */
    int fds;            /* epoll: of what wakes the feed */
    uint64_t previous;
    uint64_t heartbeat_at; /* mono */
};

static int renew(struct sink *s, struct note *note);

/* ---- publishing ---- */

static int publish(struct sink *s, const char *topic, const char *text, struct note *note)
{
    if (zmq_send(s->publisher, topic, strlen(topic), ZMQ_SNDMORE) >= 0 &&
        zmq_send(s->publisher, text, strlen(text), 0) >= 0)
        return 0;
    return note_set(note, ERR_NETWORK, "publishing: %s", zmq_strerror(zmq_errno()));
}

static int zeromq_send(struct sink *s, const struct notice *list, size_t n, size_t *done,
                       struct note *note)
{
    int err = s->publisher != NULL ? 0 : renew(s, note);
    for (*done = 0; err == 0 && *done < n; *done += err == 0) {
        const struct notice *one = &list[*done];
        int set =
            json_object_set_new(one->alert, "previous", json_integer((json_int_t)s->previous));
        char *text = set == 0 ? notice_json(one) : NULL;
        err = text == NULL ? note_set(note, -ENOMEM, "out of memory")
                           : publish(s, one->kind[0] != '\0' ? one->kind : "alert", text, note);
        free(text);
        if (err == 0)
            s->previous = one->event_id;
    }
    s->heartbeat_at = clock_mono_ns() + s->conf->heartbeat_ns;
    return err;
}

static int beat(struct sink *s, struct note *note)
{
    char text[96], at[NOTICE_TIME];
    snprintf(text, sizeof text, "{\"event_id\":%" PRIu64 ",\"at\":\"%s\"}", s->previous,
             notice_time(clock_wall_ns(), at));
    return publish(s, "heartbeat", text, note);
}

/* ---- answering ---- */

struct answer {
    char *states[SINCE_LIMIT];
    unsigned count;
};

static int keep_state(void *arg, const struct notice *n)
{
    struct answer *a = arg;
    if (a->count == SINCE_LIMIT)
        return ERR_FULL;
    a->states[a->count] = notice_json(n);
    return a->states[a->count] == NULL ? -ENOMEM : (a->count++, 0);
}

/* Who is gone, or does not read, misses its answer: the socket drops it. */
static void answer(struct sink *s, const char *head, const struct answer *a)
{
    unsigned count = a != NULL ? a->count : 0;
    zmq_send(s->router, head, strlen(head), count > 0 ? ZMQ_SNDMORE : 0);
    for (unsigned i = 0; i < count; i++)
        zmq_send(s->router, a->states[i], strlen(a->states[i]), i + 1 < count ? ZMQ_SNDMORE : 0);
}

static int answer_since(struct sink *s, const struct since *q, struct note *note)
{
    char head[200];
    struct answer a = {.count = 0};
    struct past_answer told = {0};
    int err = s->past->read(s->past->ctx, q->event_id, q->limit, keep_state, &a, &told, note);
    if (err == 0) {
        snprintf(head, sizeof head,
                 "{\"since\":%" PRIu64 ",\"last\":%" PRIu64 ",\"oldest\":%" PRIu64
                 ",\"newest\":%" PRIu64 ",\"count\":%u,\"more\":%s}",
                 q->event_id, told.last, told.oldest, told.newest, a.count,
                 told.last < told.newest ? "true" : "false");
        answer(s, head, &a);
    } else {
        answer(s, "{\"error\":\"the journal is away; ask again later\"}", NULL);
    }
    for (unsigned i = 0; i < a.count; i++)
        free(a.states[i]);
    return err;
}

struct question {
    char frames[FRAMES_MAX][ENVELOPE_MAX];
    size_t len[FRAMES_MAX];
    unsigned count; /* more than FRAMES_MAX: not kept */
};

/* true: one was there. */
static bool take_question(struct sink *s, struct question *q)
{
    int more = 1;
    for (q->count = 0; more; q->count++) {
        char frame[ENVELOPE_MAX];
        int len = zmq_recv(s->router, frame, sizeof frame, ZMQ_DONTWAIT);
        size_t size = sizeof more;
        if (len < 0)
            return false;
        zmq_getsockopt(s->router, ZMQ_RCVMORE, &more, &size);
        if (q->count >= FRAMES_MAX)
            continue;
        /* a frame that was cut is longer than any that we understand */
        q->len[q->count] = (size_t)len;
        memcpy(q->frames[q->count], frame, (size_t)len < sizeof frame ? (size_t)len : sizeof frame);
    }
    return true;
}

/* The envelope goes back as it came: the asker's routing id, and the empty frame of a REQ. */
static int reply(struct sink *s, const struct question *q, struct note *note)
{
    struct since since;
    if (q->count < 2 || q->count > FRAMES_MAX)
        return 0;
    for (unsigned i = 0; i + 1 < q->count; i++)
        if (q->len[i] > ENVELOPE_MAX ||
            zmq_send(s->router, q->frames[i], q->len[i], ZMQ_SNDMORE) < 0)
            return 0;
    unsigned last = q->count - 1;
    if (q->len[last] <= QUESTION_MAX && since_parse(q->frames[last], q->len[last], &since))
        return answer_since(s, &since, note);
    answer(s, "{\"error\":\"expected: since EVENT_ID [limit COUNT]\"}", NULL);
    return 0;
}

/* *wait_ms 0: more may wait. The descriptor of a socket tells changes only, so it is drained. */
static int answer_all(struct sink *s, int *wait_ms, struct note *note)
{
    struct question q;
    for (unsigned i = 0; i < QUESTIONS; i++) {
        if (!take_question(s, &q))
            return 0;
        int err = reply(s, &q, note);
        if (err != 0)
            return err;
    }
    *wait_ms = 0;
    return 0;
}

/* ---- its sockets ---- */

static void set_number(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void *bind_socket(struct sink *s, int type, const char *endpoint,
                         const struct curve_key *key, struct note *note)
{
    int64_t most = MESSAGE_MAX;
    void *socket = zmq_socket(s->context, type);
    if (socket == NULL)
        return NULL;
    set_number(socket, ZMQ_LINGER, 0);
    set_number(socket, ZMQ_SNDHWM, QUEUE);
    set_number(socket, ZMQ_RCVHWM, QUESTIONS);
    set_number(socket, ZMQ_IPV6, 1);
    set_number(socket, ZMQ_HEARTBEAT_IVL, 5000);
    set_number(socket, ZMQ_HEARTBEAT_TIMEOUT, 15000);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if (key != NULL) {
        set_number(socket, ZMQ_CURVE_SERVER, 1);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key->secret_key, sizeof key->secret_key);
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "penstock", strlen("penstock"));
    }
    if (zmq_bind(socket, endpoint) == 0)
        return socket;
    note_set(note, ERR_NETWORK, "binding %s: %s", endpoint, zmq_strerror(zmq_errno()));
    zmq_close(socket);
    return NULL;
}

static int bind_all(struct sink *s, struct note *note)
{
    struct curve_key key = {0};
    const struct feed_conf *conf = s->conf;
    int err = conf->curve ? curve_load_secret(conf->certificate, &key, note) : 0;
    const struct curve_key *own = conf->curve ? &key : NULL;
    if (err == 0) {
        s->publisher = bind_socket(s, ZMQ_PUB, conf->listen, own, note);
        err = s->publisher != NULL ? 0 : ERR_NETWORK;
    }
    if (err == 0 && conf->catch_up[0] != '\0') {
        s->router = bind_socket(s, ZMQ_ROUTER, conf->catch_up, own, note);
        err = s->router != NULL ? 0 : ERR_NETWORK;
    }
    curve_forget(&key);
    return err;
}

/* A descriptor that is closed leaves the set by itself. */
static void watch(struct sink *s, void *socket)
{
    struct epoll_event readable = {.events = EPOLLIN};
    int fd = -1;
    size_t size = sizeof fd;
    if (socket != NULL && zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0)
        epoll_ctl(s->fds, EPOLL_CTL_ADD, fd, &readable);
}

static int set_guard(struct sink *s, struct note *note)
{
    const struct guard_conf guard = {.folder = s->conf->subscribers,
                                     .key = "subscribers",
                                     .who = "subscriber",
                                     .kind = ALLOWED_SUBSCRIBERS};
    return s->conf->subscribers[0] == '\0' ? 0 : guard_open(&s->guard, &guard, s->context, note);
}

/* The guard falls after the sockets. When the context has ended, so have all connections, and its
 * addresses are free: sockets alone would close some time later, and take an ipc file along that
 * their successors made. */
static void close_all(struct sink *s)
{
    if (s->publisher != NULL)
        zmq_close(s->publisher);
    if (s->router != NULL)
        zmq_close(s->router);
    guard_close(&s->guard);
    if (s->context != NULL)
        zmq_ctx_term(s->context);
    s->context = s->publisher = s->router = NULL;
}

static int open_all(struct sink *s, struct note *note)
{
    s->context = zmq_ctx_new();
    int err = s->context != NULL ? set_guard(s, note) : note_set(note, -ENOMEM, "out of memory");
    if (err == 0)
        err = bind_all(s, note);
    if (err != 0) {
        close_all(s);
        return err;
    }
    watch(s, s->router);
    watch(s, s->guard.zap);
    return 0;
}

/* All connections end, and are made anew by who still may; what is published meanwhile they ask
 * for. */
static int renew(struct sink *s, struct note *note)
{
    close_all(s);
    return open_all(s, note);
}

/* ---- what is due by itself ---- */

static int zeromq_tick(struct sink *s, uint64_t now, int *wait_ms, struct note *note)
{
    bool is_out = guard_tend(&s->guard, now);
    int err = is_out || s->publisher == NULL ? renew(s, note) : 0;
    if (err != 0)
        return err;
    if (s->guard.zap != NULL && *wait_ms > LOOK_MS)
        *wait_ms = LOOK_MS;
    if (now >= s->heartbeat_at) {
        err = beat(s, note);
        s->heartbeat_at = now + s->conf->heartbeat_ns;
    }
    if ((s->heartbeat_at - now) / NS_PER_MS < (uint64_t)*wait_ms)
        *wait_ms = (int)((s->heartbeat_at - now) / NS_PER_MS) + 1;
    return err == 0 && s->router != NULL ? answer_all(s, wait_ms, note) : err;
}

static int zeromq_fd(struct sink *s)
{
    return s->fds;
}

/* ---- open and close ---- */

static void zeromq_close(struct sink *s)
{
    close_all(s);
    if (s->fds >= 0)
        close(s->fds);
    free(s);
}

static int zeromq_open(const struct feed_conf *conf, const struct stop *stop,
                       const struct past *past, struct sink **out, struct note *note)
{
    (void)stop;
    struct sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    *s = (struct sink){.conf = conf, .past = past, .fds = epoll_create1(EPOLL_CLOEXEC)};
    int err = s->fds >= 0 ? open_all(s, note) : note_set(note, -errno, "epoll_create1");
    if (err != 0) {
        zeromq_close(s);
        return err;
    }
    s->heartbeat_at = clock_mono_ns() + conf->heartbeat_ns;
    *out = s;
    return 0;
}

const struct sink_ops sink_zeromq = {.open = zeromq_open,
                                     .send = zeromq_send,
                                     .tick = zeromq_tick,
                                     .fd = zeromq_fd,
                                     .close = zeromq_close,
                                     .batch = FEEDS_MAX};

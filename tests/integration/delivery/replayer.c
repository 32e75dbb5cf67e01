/* A sensor that repeats itself: between its new batches it sends old ones again, in every way that
 * a network, a restored disk or a listener could: the same batch, an old beginning with a new end,
 * a batch from the future, one of an earlier epoch, that epoch's hello with all of its batches, and
 * all of that on new connections. What it makes are numbered events, each once.
 *
 *   replayer --journal FILE --endpoint ENDPOINT --name NAME --pop POP --total N --seed S --seconds
 * S
 *
 * New batches go one at a time: the next one after the acknowledgement. Prints how often it
 * repeated. Exit status 0: all N are acknowledged. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <czmq.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/curve/curve.h"
#include "shared/wire/wire.h"
#include "tests/integration/delivery/journal.h"
#include "tests/integration/delivery/numbered.h"

#define EPOCHS      3
#define BATCH       50 /* events; all but sensor_started are numbered */
#define BATCHES_MAX 4096
#define SILENT_NS   (2 * NS_PER_S)
#define AGAIN_NS    (300 * NS_PER_MS) /* no acknowledgement: says hello once more */

struct batch {
    uint64_t first_seq;
    uint32_t count;
    size_t len;
    uint8_t *events;
};

struct epoch {
    uint64_t number, next_seq, acked;
    struct batch batches[BATCHES_MAX];
    size_t count;
};

struct replayer {
    const char *endpoint, *name, *pop, *journal_path;
    const char *certificate, *server; /* NULL: in the clear */
    struct curve_key own, other;
    uint64_t total, seconds, deadline;
    uint64_t heard_at; /* or connected */
    struct prf prf;
    zsock_t *socket;
    struct journal *journal;
    struct epoch epochs[EPOCHS], *now; /* now: the latest */
    uint64_t repeats;
    uint8_t in[WIRE_MESSAGE_MAX], out[WIRE_MESSAGE_MAX], events[WIRE_MESSAGE_MAX];
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "replayer: %s: %s\n", what, why);
    exit(1);
}

static void load_keys(struct replayer *r)
{
    struct note note = {0};
    if (r->certificate != NULL && (curve_load_secret(r->certificate, &r->own, &note) < 0 ||
                                   curve_load_public(r->server, &r->other, &note) < 0))
        die("keys", note.text);
}

/* ---- messages ---- */

static void connect_anew(struct replayer *r)
{
    r->heard_at = clock_mono_ns();
    zsock_destroy(&r->socket);
    r->socket = zsock_new(ZMQ_DEALER);
    if (r->socket == NULL)
        die("a socket", zmq_strerror(zmq_errno()));
    zsock_set_linger(r->socket, 0);
    if (r->certificate != NULL) {
        zsock_set_curve_serverkey(r->socket, r->other.public_key);
        zsock_set_curve_publickey(r->socket, r->own.public_key);
        zsock_set_curve_secretkey(r->socket, r->own.secret_key);
    }
    if (zsock_connect(r->socket, "%s", r->endpoint) < 0)
        die(r->endpoint, zmq_strerror(zmq_errno()));
}

static void send_message(struct replayer *r, const struct wire_message *m)
{
    int len = wire_encode(m, r->out, sizeof r->out);
    if (len < 0)
        die("encoding", err_text(len));
    zmq_send(zsock_resolve(r->socket), r->out, (size_t)len, ZMQ_DONTWAIT);
}

static void say_hello(struct replayer *r, const struct epoch *e)
{
    struct wire_message m = {.kind = WIRE_HELLO,
                             .version = WIRE_VERSION,
                             .epoch = e->number,
                             .first_seq = 1,
                             .next_seq = e->next_seq};
    snprintf(m.name, sizeof m.name, "%s", r->name);
    snprintf(m.pop, sizeof m.pop, "%s", r->pop);
    snprintf(m.release, sizeof m.release, "replayer");
    send_message(r, &m);
}

static void send_batch(struct replayer *r, const struct epoch *e, const struct batch *b)
{
    send_message(r, &(struct wire_message){.kind = WIRE_BATCH,
                                           .epoch = e->number,
                                           .first_seq = b->first_seq,
                                           .count = b->count,
                                           .events = b->events,
                                           .events_len = b->len});
}

/* Takes one message, waiting so long at most. True: the latest epoch's hello is asked for. */
static bool take_message(struct replayer *r, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(r->socket), .events = ZMQ_POLLIN};
    struct wire_message m;
    if (zmq_poll(&item, 1, timeout_ms) <= 0)
        return false;
    int len = zmq_recv(item.socket, r->in, sizeof r->in, ZMQ_DONTWAIT);
    r->heard_at = clock_mono_ns();
    if (len < 0 || wire_decode(r->in, (size_t)len, &m) < 0)
        return false;
    for (struct epoch *e = r->epochs; e <= r->now; e++)
        if ((m.kind == WIRE_ACK || m.kind == WIRE_WELCOME) && m.epoch == e->number &&
            m.seq > e->acked)
            e->acked = m.seq;
    /* a welcome is the word to send what follows; batches of ours may have been passed over */
    return m.kind == WIRE_AGAIN || m.kind == WIRE_REFUSE;
}

/* ---- new events ---- */

static void add_event(struct batch *b, uint8_t *events, const struct event *e)
{
    int len = wire_event_encode(e, events + b->len, WIRE_MESSAGE_MAX - b->len);
    if (len < 0)
        die("encoding", err_text(len));
    b->len += (size_t)len;
    b->count++;
}

static void add_started(struct replayer *r, struct batch *b)
{
    struct event e = {.type = EVENT_sensor_started, .at = clock_wall_ns()};
    snprintf(e.sensor_started.version, sizeof e.sensor_started.version, "replayer");
    snprintf(e.sensor_started.pop, sizeof e.sensor_started.pop, "%s", r->pop);
    snprintf(e.sensor_started.driver, sizeof e.sensor_started.driver, "pcap");
    add_event(b, r->events, &e);
}

/* Makes the latest epoch's next batch and keeps it. */
static struct batch *new_batch(struct replayer *r)
{
    struct epoch *e = r->now;
    struct batch *b = &e->batches[e->count];
    if (e->count == BATCHES_MAX)
        die("batches", "too many");
    *b = (struct batch){.first_seq = e->next_seq};
    if (e->count == 0)
        add_started(r, b);
    while (b->count < BATCH && r->journal->pushed < r->total) {
        struct event event;
        r->journal->pushed++;
        numbered_event(r->journal->pushed, clock_wall_ns(), &event);
        add_event(b, r->events, &event);
    }
    b->events = malloc(b->len);
    if (b->events == NULL)
        die("a batch", "no memory");
    memcpy(b->events, r->events, b->len);
    e->next_seq += b->count;
    e->count++;
    return b;
}

/* Until the whole latest epoch is acknowledged: hello, and what follows the mark. */
static void deliver(struct replayer *r)
{
    struct epoch *e = r->now;
    uint64_t again_at = clock_mono_ns() + AGAIN_NS;
    while (e->acked + 1 < e->next_seq) {
        uint64_t now = clock_mono_ns();
        if (now > r->deadline)
            die(r->name, "the time is up");
        if (take_message(r, 20)) /* what was asked for again follows after a while */
            again_at = again_at < now + 50 * NS_PER_MS ? again_at : now + 50 * NS_PER_MS;
        if (clock_mono_ns() < again_at)
            continue;
        if (now - r->heard_at > SILENT_NS) /* ZeroMQ gives up a connection that was not allowed */
            connect_anew(r);
        say_hello(r, e);
        for (size_t i = 0; i < e->count; i++)
            if (e->batches[i].first_seq + e->batches[i].count > e->acked + 1)
                send_batch(r, e, &e->batches[i]);
        again_at = clock_mono_ns() + AGAIN_NS;
    }
}

/* ---- repeats ---- */

static void repeat_any(struct replayer *r, const struct epoch *e)
{
    send_batch(r, e, &e->batches[prf_below(&r->prf, e->count)]);
}

/* Some batches up to the newest as one message: an old beginning with a new end. */
static void repeat_joined(struct replayer *r)
{
    const struct epoch *e = r->now;
    size_t back = 1 + prf_below(&r->prf, 4), first = e->count > back ? e->count - back : 0;
    struct batch joined = {.first_seq = e->batches[first].first_seq, .events = r->events};
    for (size_t i = first; i < e->count; i++) {
        const struct batch *b = &e->batches[i];
        if (joined.len + b->len > WIRE_MESSAGE_MAX / 2)
            break;
        memcpy(r->events + joined.len, b->events, b->len);
        joined.len += b->len;
        joined.count += b->count;
    }
    send_batch(r, e, &joined);
}

/* The newest batch under numbers that leave some out before it. */
static void send_future(struct replayer *r)
{
    struct batch b = r->now->batches[r->now->count - 1];
    b.first_seq = r->now->next_seq + prf_below(&r->prf, 100) + 1;
    send_batch(r, r->now, &b);
}

static void repeat_epoch(struct replayer *r, const struct epoch *e)
{
    say_hello(r, e);
    for (size_t i = 0; i < e->count && i < 8; i++)
        repeat_any(r, e);
}

static void repeat_something(struct replayer *r)
{
    const struct epoch *e = &r->epochs[prf_below(&r->prf, (uint64_t)(r->now - r->epochs) + 1)];
    switch (prf_below(&r->prf, 6)) {
    case 0:
        repeat_any(r, r->now);
        break;
    case 1:
        repeat_joined(r);
        break;
    case 2:
        send_future(r);
        break;
    case 3:
        repeat_any(r, e);
        break;
    case 4:
        repeat_epoch(r, e);
        break;
    default:
        connect_anew(r);
        repeat_epoch(r, e);
        break;
    }
    r->repeats++;
}

/* ---- the run ---- */

static void begin_epoch(struct replayer *r)
{
    r->now = r->now == NULL ? r->epochs : r->now + 1;
    r->now->number = (uint64_t)clock_wall_ns();
    r->now->next_seq = 1;
    r->journal->runs++;
    say_hello(r, r->now);
}

static void run(struct replayer *r)
{
    connect_anew(r);
    for (uint64_t i = 1; i <= EPOCHS; i++) {
        begin_epoch(r);
        while (r->journal->pushed < r->total * i / EPOCHS) {
            struct batch *b = new_batch(r);
            for (uint64_t n = prf_below(&r->prf, 3); n > 0; n--)
                repeat_something(r);
            send_batch(r, r->now, b);
            deliver(r);
        }
    }
    r->journal->durable = (uint64_t)r->journal->pushed;
}

static const struct option options[] = {
    {"journal", required_argument, NULL, 'j'}, {"endpoint", required_argument, NULL, 'e'},
    {"name", required_argument, NULL, 'n'},    {"pop", required_argument, NULL, 'p'},
    {"total", required_argument, NULL, 't'},   {"seed", required_argument, NULL, 's'},
    {"seconds", required_argument, NULL, 'S'}, {"certificate", required_argument, NULL, 'c'},
    {"server", required_argument, NULL, 'k'},  {NULL, 0, NULL, 0}};

static void take_option(struct replayer *r, int which)
{
    switch (which) {
    case 'j':
        r->journal_path = optarg;
        return;
    case 'e':
        r->endpoint = optarg;
        return;
    case 'n':
        r->name = optarg;
        return;
    case 'p':
        r->pop = optarg;
        return;
    case 'c':
        r->certificate = optarg;
        return;
    case 'k':
        r->server = optarg;
        return;
    case 't':
        r->total = strtoull(optarg, NULL, 10);
        return;
    case 's':
        r->prf = prf_init(strtoull(optarg, NULL, 10), 1);
        return;
    case 'S':
        r->seconds = strtoull(optarg, NULL, 10);
        return;
    default:
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct replayer r;
    int which;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(&r, which);
    if (r.journal_path == NULL || r.endpoint == NULL || r.name == NULL || r.pop == NULL ||
        (r.certificate != NULL) != (r.server != NULL))
        die("usage", "see the beginning of replayer.c");
    int err = journal_open(r.journal_path, &r.journal);
    if (err < 0)
        die(r.journal_path, err_text(err));
    r.deadline = clock_mono_ns() + r.seconds * NS_PER_S;
    load_keys(&r);
    run(&r);
    printf("%" PRIu64 "\n", r.repeats);
    zsock_destroy(&r.socket);
    return 0;
}

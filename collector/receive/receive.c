#include "collector/receive/receive.h"

#include <czmq.h>
#include <errno.h>
#include <inttypes.h>

#include "collector/receive/door.h"
#include "collector/receive/peers.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/zip.h"

/* Longest message that the collector says: texts of a hello at most. */
enum { SAY_MAX = 1024 };
/* Messages that are not for the caller, read beyond its deadline: pings of a few hundred sensors */
enum { SMALL_TALK = 256 };

struct receive {
    struct door door;
    struct counters *counters;
    struct peers peers;
    uint64_t due_at;           /* when the next acknowledgement that waits may go out */
    struct peer_id from;       /* of the message in `in` */
    char from_key[CURVE_TEXT]; /* of its connection; "": plain */
    zmq_msg_t in;
    struct wire_zip *zip; /* and its events, if they came compressed */
    struct quiet said_beyond;
};

int receive_open(const struct receive_conf *conf, struct counters *counters, struct receive **out,
                 struct note *note)
{
    *out = NULL;
    struct receive *r = calloc(1, sizeof *r);
    if (r == NULL)
        return note_set(note, -ENOMEM, "no memory for the door of the sensors");
    r->counters = counters;
    r->due_at = UINT64_MAX;
    zmq_msg_init(&r->in);
    int err = wire_zip_new(&r->zip) < 0 ? note_set(note, -ENOMEM, "no memory for batches")
                                        : door_open(&r->door, conf, counters, note);
    if (err == 0)
        *out = r;
    else
        receive_close(r);
    return err;
}

void receive_close(struct receive *r)
{
    if (r == NULL)
        return;
    zmq_msg_close(&r->in);
    door_close(&r->door);
    peers_clear(&r->peers);
    wire_zip_free(r->zip);
    free(r);
}

const char *receive_endpoint(const struct receive *r)
{
    return r->door.endpoint;
}

/* Never waits. What does not go out (the sensor is gone, its queue is full, the door is closed just
 * now) is not missed: it asks again, and acknowledgements are cumulative. */
static void say(struct receive *r, const struct peer_id *to, const struct wire_message *m)
{
    uint8_t bytes[SAY_MAX];
    if (r->door.socket == NULL || to->len == 0)
        return;
    int len = wire_encode(m, bytes, sizeof bytes);
    void *socket = zsock_resolve(r->door.socket);
    if (len >= 0 && zmq_send(socket, to->bytes, to->len, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
        zmq_send(socket, bytes, (size_t)len, ZMQ_DONTWAIT);
}

static void say_reason(struct receive *r, const struct peer_id *to, enum wire_kind kind,
                       const char *reason)
{
    struct wire_message m = {.kind = kind};
    snprintf(m.reason, sizeof m.reason, "%s", reason);
    say(r, to, &m);
}

/* ---- hello ---- */

/* Whose connection is it? NULL: it may come in no more (the door will close in a moment). */
static const struct allowed_key *certified(struct receive *r)
{
    return r->from_key[0] != '\0' ? allowed_find(&r->door.guard.allowed, r->from_key) : NULL;
}

/* What the certificate says stands in place of what hello claims. */
static void certify(const struct allowed_key *who, struct wire_message *m, bool *differs)
{
    *differs = strcmp(m->name, who->name) != 0 || strcmp(m->pop, who->pop) != 0;
    snprintf(m->name, sizeof m->name, "%s", who->name);
    snprintf(m->pop, sizeof m->pop, "%s", who->pop);
}

static void log_claim(const struct wire_message *claimed, const struct wire_message *m)
{
    char name[sizeof m->name], pop[sizeof m->pop];
    log_warn("event=claim_ignored sensor=%s pop=%s claimed_name=\"%s\" claimed_pop=\"%s\" "
             "hint=\"the certificate's stand; set sensor.name and sensor.pop alike\"",
             m->name, m->pop, log_quotable(claimed->name, name, sizeof name),
             log_quotable(claimed->pop, pop, sizeof pop));
}

/* NULL: it may go on; else why not. */
static const char *why_refused(const struct wire_message *m, char *text, size_t size)
{
    if (m->version == WIRE_VERSION)
        return wire_name_is_sound(m->name)
                   ? NULL
                   : "a sensor needs a name without spaces, quotes and control characters";
    snprintf(text, size, "version %" PRIu64 " is not spoken here, %d is", m->version, WIRE_VERSION);
    return text;
}

/* The peer that says hello, bound to this connection; NULL: refused, or too often. */
static struct peer *bind_peer(struct receive *r, const struct wire_message *m)
{
    struct peer_id displaced;
    uint64_t now = clock_mono_ns();
    struct peer *peer = peers_by_name(&r->peers, m->name);
    if (peer != NULL && !pace_hello(&peer->pace, m->epoch, now)) {
        counter_add(r->counters, COUNTER_hellos_ignored, 1);
        return NULL;
    }
    if (peers_bind(&r->peers, &r->from, m->name, r->from_key, &displaced) < 0) {
        say_reason(r, &r->from, WIRE_REFUSE, "no room for one more sensor");
        return NULL;
    }
    /* Mostly that connection is dead and nobody hears this. If a second sensor was given the same
     * name, refusing keeps the two from taking it from each other all the time. */
    if (displaced.len > 0)
        say_reason(r, &displaced, WIRE_REFUSE, "another connection took this sensor's name");
    bool is_new = peer == NULL;
    peer = peers_by_name(&r->peers, m->name); /* a bind may have moved it */
    if (is_new)
        pace_hello(&peer->pace, m->epoch, now);
    peer->pace.rate = r->door.conf.rate;
    peer->is_refused = false;
    return peer;
}

/* 1: the sensor may go on; 0: it was refused, or ignored. */
static int greet(struct receive *r, struct wire_message *m)
{
    char text[128];
    bool differs = false;
    const struct wire_message claimed = *m;
    const struct allowed_key *who = certified(r);
    if (who != NULL)
        certify(who, m, &differs);
    const char *why = who == NULL && !r->door.conf.insecure ? "this key is not allowed any more"
                                                            : why_refused(m, text, sizeof text);
    if (why != NULL) {
        say_reason(r, &r->from, WIRE_REFUSE, why);
        return 0;
    }
    struct peer *peer = bind_peer(r, m);
    if (peer == NULL)
        return 0;
    if (differs && !peer->told_claim)
        log_claim(&claimed, m);
    peer->told_claim = differs;
    return 1;
}

/* ---- all else ---- */

/* A routing id is the other side's to choose, so it must have come by the same key, too. Who is not
 * known is asked for a hello, on a ping too: after a restart of the collector an idle sensor would
 * else wait for an acknowledgement that was lost with it. */
static struct peer *known(struct receive *r)
{
    struct peer *peer = peers_by_id(&r->peers, &r->from);
    if (peer != NULL && strcmp(peer->key, r->from_key) == 0)
        return peer;
    say_reason(r, &r->from, WIRE_AGAIN, "say hello first");
    return NULL;
}

static void refuse_beyond(struct receive *r, struct peer *peer, uint64_t now)
{
    unsigned more;
    counter_add(r->counters, COUNTER_batches_beyond_credit, 1);
    if (!peer->is_refused)
        say_reason(r, &r->from, WIRE_REFUSE, "more batches than its credit allows");
    peer->is_refused = true;
    if (quiet_ends(&r->said_beyond, now, &more))
        log_warn("event=beyond_credit sensor=%s more=%u hint=\"not read; this is no sensor of "
                 "ours, or a broken one\"",
                 peer->name, more);
}

/* Events that are not what the batch says are left out: the caller sets the batch aside and moves
 * on, where a message that counted as malformed would be sent again for ever. */
static void unzip(struct receive *r, struct wire_message *m)
{
    if (wire_unzip(r->zip, m) == 0)
        return;
    counter_add(r->counters, COUNTER_messages_malformed, 1);
    m->zstd = m->events_len = 0;
}

/* What a batch costs of its sensor's rate: its bytes as they are once its events are decompressed.
 * They are the work; what comes may be a hundredth of them. */
static size_t cost_of(const struct receive *r, const struct wire_message *m)
{
    size_t len = zmq_msg_size(&r->in);
    return m->zstd > m->events_len ? len + (m->zstd - m->events_len) : len;
}

/* 1: the batch is within what this sensor may send. */
static int take_batch(struct receive *r, struct wire_message *m, char sensor[static WIRE_NAME])
{
    uint64_t now = clock_mono_ns();
    struct peer *peer = known(r);
    if (peer == NULL)
        return 0;
    if (peer->is_refused ||
        !pace_batch(&peer->pace, m->first_seq + m->count - 1, cost_of(r, m), now)) {
        refuse_beyond(r, peer, now);
        return 0;
    }
    unzip(r, m);
    memcpy(sensor, peer->name, WIRE_NAME);
    return 1;
}

/* 1: the message is for our caller, sensor is filled. */
static int take(struct receive *r, struct wire_message *m, char sensor[static WIRE_NAME])
{
    switch (m->kind) {
    case WIRE_HELLO:
        if (!greet(r, m))
            return 0;
        memcpy(sensor, m->name, WIRE_NAME);
        return 1;
    case WIRE_BATCH:
        return take_batch(r, m, sensor);
    case WIRE_PING:
        if (known(r) != NULL)
            say(r, &r->from, &(struct wire_message){.kind = WIRE_PONG});
        return 0;
    case WIRE_PONG:
        return 0;
    case WIRE_WELCOME:
    case WIRE_ACK:
    case WIRE_AGAIN:
    case WIRE_REFUSE:
    case WIRE_ORDER:
    case WIRE_STOP:
    case WIRE_HOLD:
        break; /* ours to say, not a sensor's */
    }
    counter_add(r->counters, COUNTER_messages_malformed, 1);
    return 0;
}

/* ---- reading ---- */

static bool more_follows(void *socket)
{
    int more = 0;
    size_t len = sizeof more;
    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &len) == 0 && more != 0;
}

static void skip_frames(void *socket)
{
    while (more_follows(socket) && zmq_recv(socket, NULL, 0, ZMQ_DONTWAIT) >= 0) {
    }
}

/* The key that the door keeper wrote on the connection; what the other side says there of itself
 * does not count beside it. Without one nothing is read: then nobody let it in. */
static bool read_key(struct receive *r)
{
    r->from_key[0] = '\0';
    if (r->door.conf.insecure)
        return true;
    const char *key = zmq_msg_gets(&r->in, "User-Id");
    if (key == NULL || strlen(key) != CURVE_TEXT - 1)
        return false;
    strcpy(r->from_key, key);
    return true;
}

/* One ZeroMQ message: routing id and one frame. 1; 0 none there; ERR_* it is not of that form. m
 * borrows from r->in. */
static int read_message(struct receive *r, struct wire_message *m)
{
    if (r->door.socket == NULL)
        return 0;
    void *socket = zsock_resolve(r->door.socket);
    int len = zmq_recv(socket, r->from.bytes, sizeof r->from.bytes, ZMQ_DONTWAIT);
    if (len < 0)
        return 0;
    r->from.len = (uint8_t)len;
    if (!more_follows(socket))
        return ERR_FORMAT;
    len = zmq_msg_recv(&r->in, socket, ZMQ_DONTWAIT);
    if (len < 0 || more_follows(socket)) {
        skip_frames(socket);
        return ERR_FORMAT;
    }
    if (!read_key(r))
        return ERR_FORMAT;
    if (len > WIRE_MESSAGE_MAX)
        return ERR_TOO_LONG;
    int err = wire_decode(zmq_msg_data(&r->in), (size_t)len, m);
    return err < 0 ? err : 1;
}

/* ---- acknowledgements ---- */

static void say_ack(struct receive *r, const struct peer *peer, uint64_t epoch, uint64_t seq)
{
    say(r, &peer->id, &(struct wire_message){.kind = WIRE_ACK, .epoch = epoch, .seq = seq});
}

static void note_due(struct receive *r, const struct peer *peer)
{
    uint64_t due = pace_due(&peer->pace);
    if (due < r->due_at)
        r->due_at = due;
}

static void acknowledge(struct receive *r, struct peer *peer, const struct wire_message *m)
{
    uint64_t seq;
    if (pace_committed(&peer->pace, m->epoch, m->seq, clock_mono_ns(), &seq))
        say_ack(r, peer, m->epoch, seq);
    else
        counter_add(r->counters, COUNTER_acks_delayed, 1);
    note_due(r, peer);
}

static void acknowledge_due(struct receive *r, uint64_t now)
{
    if (now < r->due_at)
        return;
    r->due_at = UINT64_MAX;
    for (size_t i = 0; i < r->peers.count; i++) {
        struct peer *peer = &r->peers.list[i];
        uint64_t seq;
        if (pace_take_ack(&peer->pace, now, &seq))
            say_ack(r, peer, peer->pace.epoch, seq);
        note_due(r, peer);
    }
}

/* ---- */

static void wait_for(struct receive *r, uint64_t until, uint64_t now)
{
    if (r->due_at < until)
        until = r->due_at;
    if (until > now)
        door_wait(&r->door, (int)((until - now + NS_PER_MS - 1) / NS_PER_MS));
}

static void tend(struct receive *r, uint64_t now)
{
    if (door_tend(&r->door, now))
        peers_disconnect(&r->peers);
    acknowledge_due(r, now);
}

/* Small talk is handled in here, a bounded amount of it once the time is up. */
int receive_next(struct receive *r, int timeout_ms, char sensor[static WIRE_NAME],
                 struct wire_message *m)
{
    uint64_t now = clock_mono_ns();
    uint64_t until = now + (timeout_ms > 0 ? (uint64_t)timeout_ms * NS_PER_MS : 0);
    for (unsigned small_talk = 0;; small_talk++) {
        if (small_talk % SMALL_TALK == 0 || now < until)
            tend(r, now);
        int got = read_message(r, m);
        if (got == 1 && take(r, m, sensor))
            return 1;
        if (got < 0)
            counter_add(r->counters, COUNTER_messages_malformed, 1);
        now = clock_mono_ns();
        if (now >= until && (got == 0 || small_talk >= SMALL_TALK))
            return 0;
        if (got == 0)
            wait_for(r, until, now);
    }
}

void receive_send(struct receive *r, const char *sensor, const struct wire_message *m)
{
    struct peer *peer = peers_by_name(&r->peers, sensor);
    if (peer == NULL)
        return;
    if (m->kind == WIRE_ACK) {
        acknowledge(r, peer, m);
        return;
    }
    if (m->kind == WIRE_WELCOME)
        pace_welcome(&peer->pace, m->credit);
    say(r, &peer->id, m);
}

void receive_send_all(struct receive *r, const struct wire_message *m)
{
    for (size_t i = 0; i < r->peers.count; i++)
        say(r, &r->peers.list[i].id, m);
}

int receive_check(const struct receive_conf *conf, struct note *note)
{
    return conf->insecure ? 0 : door_check(conf, note);
}

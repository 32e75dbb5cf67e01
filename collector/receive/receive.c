#include "collector/receive/receive.h"

#include <czmq.h>
#include <errno.h>
#include <inttypes.h>

#include "collector/receive/peers.h"
#include "shared/base/clock.h"

/* To and from each sensor: its credit window and the small talk beside it. */
enum { QUEUE = 2 * WIRE_CREDIT };
/* After so long without a sign ZeroMQ closes a TCP connection whose other end is gone. */
enum { HEARTBEAT_MS = 5000, DEAD_MS = 15000 };
/* Longest message that the collector says: texts of a hello at most. */
enum { SAY_MAX = 1024 };
/* Messages that are not for the caller, read beyond its deadline: pings of a few hundred sensors */
enum { SMALL_TALK = 256 };

struct receive {
    zsock_t *socket;
    char *endpoint;
    struct counters *counters;
    struct peers peers;
    struct peer_id from; /* of the message in `in` */
    uint8_t in[WIRE_MESSAGE_MAX];
};

static int check_conf(const struct receive_conf *conf, struct note *note)
{
    if (!conf->insecure)
        return note_set(note, ERR_CONF,
                        "collector.insecure is false: encrypted connections (CURVE) come with a "
                        "later release; say collector.insecure: true to believe every sensor its "
                        "name, in a network that you trust");
    return 0;
}

/* Every option before bind: ZeroMQ ignores most of them afterwards. Handover stays off: a routing
 * id that is taken is not given to the last comer; who speaks for a name is decided by hello. */
static void set_options(zsock_t *s)
{
    zsock_set_linger(s, 0);
    zsock_set_router_mandatory(s,
                               1); /* a message to a sensor that is gone: an error, not silence */
    zsock_set_sndhwm(s, QUEUE);
    zsock_set_rcvhwm(s, QUEUE);
    zsock_set_maxmsgsize(s, WIRE_MESSAGE_MAX);
    zsock_set_ipv6(s, 1);
    zsock_set_heartbeat_ivl(s, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(s, DEAD_MS);
}

int receive_open(const struct receive_conf *conf, struct counters *counters, struct receive **out,
                 struct note *note)
{
    *out = NULL;
    int err = check_conf(conf, note);
    if (err < 0)
        return err;
    struct receive *r = calloc(1, sizeof *r);
    if (r == NULL)
        return note_set(note, -ENOMEM, "no memory for the door of the sensors");
    r->counters = counters;
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM for itself */
    r->socket = zsock_new(ZMQ_ROUTER);
    if (r->socket == NULL) {
        free(r);
        return note_set(note, ERR_NETWORK, "no ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
    }
    set_options(r->socket);
    if (zsock_bind(r->socket, "%s", conf->listen) < 0) {
        err = zmq_errno() == EINVAL || zmq_errno() == EPROTONOSUPPORT ? ERR_CONF : ERR_NETWORK;
        note_set(note, err, "collector.listen \"%s\" cannot be used: %s", conf->listen,
                 zmq_strerror(zmq_errno()));
        receive_close(r);
        return err;
    }
    r->endpoint = zsock_last_endpoint(r->socket);
    *out = r;
    return 0;
}

void receive_close(struct receive *r)
{
    if (r == NULL)
        return;
    zsock_destroy(&r->socket);
    peers_clear(&r->peers);
    zstr_free(&r->endpoint);
    free(r);
}

const char *receive_endpoint(const struct receive *r)
{
    return r->endpoint;
}

/* Never waits. What does not go out (the sensor is gone, its queue is full) is not missed: it asks
 * again, and acknowledgements are cumulative. */
static void say(struct receive *r, const struct peer_id *to, const struct wire_message *m)
{
    uint8_t bytes[SAY_MAX];
    int len = wire_encode(m, bytes, sizeof bytes);
    void *socket = zsock_resolve(r->socket);
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

/* 1: the sensor may go on; 0: it was refused. */
static int greet(struct receive *r, const struct wire_message *m)
{
    char reason[128];
    struct peer_id displaced;
    if (m->version != WIRE_VERSION) {
        snprintf(reason, sizeof reason, "version %" PRIu64 " is not spoken here, %d is", m->version,
                 WIRE_VERSION);
        say_reason(r, &r->from, WIRE_REFUSE, reason);
        return 0;
    }
    if (!wire_name_is_sound(m->name)) {
        say_reason(r, &r->from, WIRE_REFUSE,
                   "a sensor needs a name without spaces, quotes and control characters");
        return 0;
    }
    if (peers_bind(&r->peers, &r->from, m->name, &displaced) < 0) {
        say_reason(r, &r->from, WIRE_REFUSE, "no room for one more sensor");
        return 0;
    }
    /* Mostly that connection is dead and nobody hears this. If a second sensor was given the same
     * name, refusing keeps the two from taking it from each other all the time. */
    if (displaced.len > 0)
        say_reason(r, &displaced, WIRE_REFUSE, "another connection took this sensor's name");
    return 1;
}

/* Who is not known is asked for a hello, on a ping too: after a restart of the collector an idle
 * sensor would else wait for an acknowledgement that was lost with it. */
static const struct peer *known(struct receive *r)
{
    const struct peer *peer = peers_by_id(&r->peers, &r->from);
    if (peer == NULL)
        say_reason(r, &r->from, WIRE_AGAIN, "say hello first");
    return peer;
}

/* 1: the message is for our caller, sensor is filled. */
static int take(struct receive *r, const struct wire_message *m, char sensor[static WIRE_NAME])
{
    const struct peer *peer;
    switch (m->kind) {
    case WIRE_HELLO:
        if (!greet(r, m))
            return 0;
        memcpy(sensor, m->name, WIRE_NAME);
        return 1;
    case WIRE_BATCH:
        if ((peer = known(r)) == NULL)
            return 0;
        memcpy(sensor, peer->name, WIRE_NAME);
        return 1;
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
        break; /* ours to say, not a sensor's */
    }
    counter_add(r->counters, COUNTER_messages_malformed, 1);
    return 0;
}

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

/* One ZeroMQ message: routing id and one frame. 1; 0 none there; ERR_* it is not of that form. */
static int read_message(struct receive *r, struct wire_message *m)
{
    void *socket = zsock_resolve(r->socket);
    int len = zmq_recv(socket, r->from.bytes, sizeof r->from.bytes, ZMQ_DONTWAIT);
    if (len < 0)
        return 0;
    r->from.len = (uint8_t)len;
    if (!more_follows(socket))
        return ERR_FORMAT;
    len = zmq_recv(socket, r->in, sizeof r->in, ZMQ_DONTWAIT);
    if (len < 0 || more_follows(socket)) {
        skip_frames(socket);
        return ERR_FORMAT;
    }
    if ((size_t)len > sizeof r->in)
        return ERR_TOO_LONG;
    int err = wire_decode(r->in, (size_t)len, m);
    return err < 0 ? err : 1;
}

static void wait_for(struct receive *r, uint64_t until, uint64_t now)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(r->socket), .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, (long)((until - now + NS_PER_MS - 1) / NS_PER_MS));
}

/* Small talk is handled in here, a bounded amount of it once the time is up. */
int receive_next(struct receive *r, int timeout_ms, char sensor[static WIRE_NAME],
                 struct wire_message *m)
{
    uint64_t now = clock_mono_ns();
    uint64_t until = now + (timeout_ms > 0 ? (uint64_t)timeout_ms * NS_PER_MS : 0);
    for (unsigned small_talk = 0;; small_talk++) {
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
    const struct peer *peer = peers_by_name(&r->peers, sensor);
    if (peer != NULL)
        say(r, &peer->id, m);
}

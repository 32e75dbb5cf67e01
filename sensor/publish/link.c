#include "sensor/publish/link.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

/* What may queue in our own socket: a full credit window and the small talk beside it. */
enum { QUEUE = 2 * WIRE_CREDIT };
/* Twice a round trip around the globe: two who disagree say hello at most so often. */
enum { GREET_PAUSE_MS = 200 };
/* A collector that is being stopped closes connections in their handshake, too: once is no sign. */
enum { CLOSED_OFTEN = 3 };

/* Every option before connect: ZeroMQ ignores most of them afterwards. */
static void set_options(const struct link *l)
{
    zsock_t *s = l->socket;
    int dead_ms = (int)(l->dead_ns / NS_PER_MS);
    zsock_set_linger(s, 0); /* what matters is kept and sent again; closing must not wait */
    zsock_set_sndhwm(s, QUEUE);
    zsock_set_rcvhwm(s, QUEUE);
    zsock_set_maxmsgsize(s, WIRE_MESSAGE_MAX);
    zsock_set_ipv6(s, 1);
    zsock_set_reconnect_ivl(s, 100);
    zsock_set_reconnect_ivl_max(s, 2000);
    /* ZeroMQ's own heartbeat closes half-open TCP connections; ours, above it, finds a collector
     * that is there and does not answer. */
    zsock_set_heartbeat_ivl(s, dead_ms / 3 > 0 ? dead_ms / 3 : 1);
    zsock_set_heartbeat_timeout(s, dead_ms);
    if (l->by->is_plain)
        return;
    zsock_set_curve_publickey(s, l->by->own.public_key);
    zsock_set_curve_secretkey(s, l->by->own.secret_key);
    zsock_set_curve_serverkey(s, l->by->server.public_key);
}

static void warn_of_plain(const struct link *l)
{
    if (l->by->is_plain)
        log_warn(
            "event=insecure endpoint=%s hint=\"publish.insecure is true: nothing is encrypted, "
            "and whoever answers there is taken for the collector\"",
            l->endpoint);
}

static int connect_now(struct link *l, uint64_t now)
{
    l->socket = zsock_new(ZMQ_DEALER);
    if (l->socket == NULL)
        return ERR_NETWORK;
    set_options(l);
    l->monitor = handshake_open(l->socket);
    if (zsock_connect(l->socket, "%s", l->endpoint) < 0) {
        link_close(l);
        return ERR_CONF;
    }
    warn_of_plain(l);
    l->greet_at = now;
    link_set(l, LINK_GREET, now);
    return 0;
}

int link_open(struct link *l, const char *endpoint, const struct credentials *by, uint64_t now)
{
    l->endpoint = endpoint;
    l->by = by;
    l->credit = 1;
    return connect_now(l, now);
}

void link_close(struct link *l)
{
    handshake_close(&l->monitor, l->socket);
    zsock_destroy(&l->socket);
}

int link_renew(struct link *l, uint64_t now)
{
    link_close(l);
    l->since = now;
    return connect_now(l, now);
}

void link_set(struct link *l, enum link_state state, uint64_t now)
{
    l->state = state;
    l->since = l->heard_at = l->pinged_at = l->moved_at = now;
    if (state == LINK_OPEN) {
        l->told = 0;
        l->closed = 0;
    }
}

void link_greet_anew(struct link *l, uint64_t now)
{
    link_set(l, LINK_GREET, now);
    l->greet_at = now + GREET_PAUSE_MS * NS_PER_MS;
}

void link_greet_again(struct link *l, uint64_t now)
{
    uint64_t soon = now + GREET_PAUSE_MS * NS_PER_MS;
    if (l->state == LINK_OPEN) {
        link_greet_anew(l, now);
    } else if (l->state == LINK_WAIT && soon < l->greet_at) {
        l->greet_at = soon;
    }
}

void link_greeted(struct link *l, uint64_t now)
{
    if (l->state == LINK_GREET)
        link_set(l, LINK_WAIT, now);
    l->greet_at = now + l->ping_ns;
}

bool link_hello_due(const struct link *l, uint64_t now)
{
    return (l->state == LINK_GREET || l->state == LINK_WAIT) && now >= l->greet_at;
}

bool link_renew_due(const struct link *l, uint64_t now)
{
    if (l->socket == NULL)
        return now - l->since >= l->ping_ns;
    return now - (l->state == LINK_OPEN ? l->heard_at : l->since) > l->dead_ns;
}

bool link_ping_due(const struct link *l, uint64_t now)
{
    return l->state == LINK_OPEN && now - l->heard_at >= l->ping_ns &&
           now - l->pinged_at >= l->ping_ns;
}

bool link_send(struct link *l, const struct wire_message *m)
{
    int len = wire_encode(m, l->out, sizeof l->out);
    return len >= 0 && zmq_send(zsock_resolve(l->socket), l->out, (size_t)len, ZMQ_DONTWAIT) == len;
}

int link_receive(struct link *l, struct wire_message *m, uint64_t now)
{
    int len = zmq_recv(zsock_resolve(l->socket), l->in, sizeof l->in, ZMQ_DONTWAIT);
    if (len < 0)
        return 0;
    l->heard_at = now;
    if ((size_t)len > sizeof l->in)
        return ERR_TOO_LONG;
    int err = wire_decode(l->in, (size_t)len, m);
    return err < 0 ? err : 1;
}

static const char *reason_of(const struct link *l, enum handshake_failure failure)
{
    switch (failure) {
    case HANDSHAKE_KEY:
        return "the collector does not accept this sensor's key";
    case HANDSHAKE_MISMATCH:
        return l->by->is_plain ? "the collector wants CURVE, this sensor is plain"
                               : "the collector is plain, this sensor wants CURVE";
    case HANDSHAKE_CLOSED:
        return l->by->is_plain ? "the collector ends the handshake: it wants CURVE and this sensor "
                                 "is plain, or it is too busy to answer"
                               : "the collector ends the handshake: publish.server is not its key, "
                                 "or it is plain, or too busy to answer";
    default:
        return "whoever answers there does not speak our protocol";
    }
}

static const char *hint_of(const struct link *l, enum handshake_failure failure)
{
    switch (failure) {
    case HANDSHAKE_KEY:
        return "put this sensor's .pub file into the collector's collector.sensors";
    case HANDSHAKE_MISMATCH:
        return l->by->is_plain ? "set publish.certificate and publish.server, leave out "
                                 "publish.insecure"
                               : "collector.insecure is true there";
    case HANDSHAKE_CLOSED:
        return l->by->is_plain ? "the collector's log may know why"
                               : "compare penstockctl keys show on both machines; the collector's "
                                 "log may know why";
    default:
        return "check publish.endpoint";
    }
}

/* Each reason once per outage: one failure has several faces. Whichever end finds first that the
 * other is encrypted and it is not, or the other way about, closes without a word, so to the other
 * end the same try is CLOSED. */
static void note_failures(struct link *l)
{
    enum handshake_failure failure;
    while ((failure = handshake_next(l->monitor)) != HANDSHAKE_NONE) {
        if (failure == HANDSHAKE_CLOSED && ++l->closed < CLOSED_OFTEN)
            continue;
        if ((l->told & 1u << failure) != 0)
            continue;
        l->told |= 1u << failure;
        log_error("event=handshake_failed endpoint=%s reason=\"%s\" hint=\"%s\"", l->endpoint,
                  reason_of(l, failure), hint_of(l, failure));
    }
}

void link_poll(struct link *l, int timeout_ms)
{
    zmq_pollitem_t items[2] = {{.socket = zsock_resolve(l->socket), .events = ZMQ_POLLIN}};
    int n = 1;
    if (l->monitor != NULL)
        items[n++] = (zmq_pollitem_t){.socket = zsock_resolve(l->monitor), .events = ZMQ_POLLIN};
    zmq_poll(items, n, timeout_ms);
    note_failures(l);
}

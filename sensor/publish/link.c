#include "sensor/publish/link.h"

#include "shared/base/clock.h"

/* What may queue in our own socket: a full credit window and the small talk beside it. */
enum { QUEUE = 2 * WIRE_CREDIT };
/* Twice a round trip around the globe: two who disagree say hello at most so often. */
enum { GREET_PAUSE_MS = 200 };

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
}

static int connect_now(struct link *l, uint64_t now)
{
    l->socket = zsock_new(ZMQ_DEALER);
    if (l->socket == NULL)
        return ERR_NETWORK;
    set_options(l);
    if (zsock_connect(l->socket, "%s", l->endpoint) < 0) {
        zsock_destroy(&l->socket);
        return ERR_CONF;
    }
    l->greet_at = now;
    link_set(l, LINK_GREET, now);
    return 0;
}

int link_open(struct link *l, const char *endpoint, uint64_t now)
{
    l->endpoint = endpoint;
    l->credit = 1;
    return connect_now(l, now);
}

void link_close(struct link *l)
{
    zsock_destroy(&l->socket);
}

int link_renew(struct link *l, uint64_t now)
{
    zsock_destroy(&l->socket);
    l->since = now;
    return connect_now(l, now);
}

void link_set(struct link *l, enum link_state state, uint64_t now)
{
    l->state = state;
    l->since = l->heard_at = l->pinged_at = l->moved_at = now;
}

void link_greet_again(struct link *l, uint64_t now)
{
    uint64_t soon = now + GREET_PAUSE_MS * NS_PER_MS;
    if (l->state == LINK_OPEN) {
        link_set(l, LINK_GREET, now);
        l->greet_at = soon;
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

void link_poll(struct link *l, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(l->socket), .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, timeout_ms);
}

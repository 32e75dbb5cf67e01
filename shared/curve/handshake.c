#include "shared/curve/handshake.h"

#include <inttypes.h>
#include <stdatomic.h>

#define FAILURES                                                             \
    (ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)

zsock_t *handshake_open(void *socket)
{
    static atomic_uint made; /* each needs a name of its own within the process */
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://handshake-%u", atomic_fetch_add(&made, 1));
    if (zmq_socket_monitor(zsock_resolve(socket), endpoint, FAILURES) != 0)
        return NULL;
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    if (monitor == NULL || zsock_connect(monitor, "%s", endpoint) != 0) {
        zsock_destroy(&monitor);
        zmq_socket_monitor(zsock_resolve(socket), NULL, 0);
        return NULL;
    }
    return monitor;
}

void handshake_close(zsock_t **monitor, void *socket)
{
    if (*monitor != NULL && socket != NULL)
        zmq_socket_monitor(zsock_resolve(socket), NULL, 0);
    zsock_destroy(monitor);
}

static enum handshake_failure failure_of(uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return HANDSHAKE_KEY;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return HANDSHAKE_CLOSED;
    default:
        return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? HANDSHAKE_MISMATCH
               : value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC    ? HANDSHAKE_CRYPT
                                                                   : HANDSHAKE_OTHER;
    }
}

/* Two frames: the event's number (16 bits) and value (32 bits), and an endpoint. */
enum handshake_failure handshake_next(zsock_t *monitor)
{
    struct __attribute__((packed)) {
        uint16_t event;
        uint32_t value;
    } what;
    static_assert(sizeof what == 6, "as ZeroMQ writes it");
    if (monitor == NULL)
        return HANDSHAKE_NONE;
    void *socket = zsock_resolve(monitor);
    if (zmq_recv(socket, &what, sizeof what, ZMQ_DONTWAIT) != (int)sizeof what)
        return HANDSHAKE_NONE;
    zmq_recv(socket, NULL, 0, ZMQ_DONTWAIT);
    return failure_of(what.event, what.value);
}

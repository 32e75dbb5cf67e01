/* Why a connection does not come about. ZeroMQ tries again for ever and says nothing; its monitor
 * knows the reason. Used by both ends, in the thread of the socket. */
#pragma once

#include <czmq.h>

enum handshake_failure {
    HANDSHAKE_NONE,     /* nothing happened since the last question */
    HANDSHAKE_KEY,      /* the other side does not allow our key, or we not theirs */
    HANDSHAKE_MISMATCH, /* one side is encrypted and the other is not */
    HANDSHAKE_CRYPT,    /* the key of the server that the client was given is not the server's */
    HANDSHAKE_CLOSED,   /* the other side closed the connection in the middle of it */
    HANDSHAKE_OTHER,    /* no ZeroMQ, or a version of it that is not understood */
    HANDSHAKE_FAILURES,
};

/* Starts listening to what happens to the socket (a zsock_t or a ZeroMQ socket). NULL: no memory or
 * no descriptor is left; then nothing is known, and all else works. */
zsock_t *handshake_open(void *socket);

/* Before the socket is closed. NULL is fine. */
void handshake_close(zsock_t **monitor, void *socket);

/* The next failure, without waiting; HANDSHAKE_NONE: no more. monitor may be NULL. */
enum handshake_failure handshake_next(zsock_t *monitor);

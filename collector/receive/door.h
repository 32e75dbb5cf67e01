/* The socket that sensors connect to, and who gets in.
 *
 * With CURVE (the normal case) a connection comes about only when the sensor knows the collector's
 * public key and its own key is in the list (shared/curve/guard.h), and of a stranger not one byte
 * of a message is read. With insecure: true nothing is asked and nothing encrypted.
 *
 * When a key that was let in is revoked, or becomes another sensor's, the socket is closed and
 * opened again: everybody connects anew, and who is not allowed any more does not. Nothing is lost
 * by that, for what was not acknowledged is sent again; it costs the others about a second. */
#pragma once

#include <czmq.h>

#include "collector/receive/receive.h"
#include "shared/curve/guard.h"
#include "shared/curve/handshake.h"

struct door {
    struct receive_conf conf;
    struct counters *counters; /* borrowed */
    struct curve_key own;
    char *endpoint;  /* as bound */
    zsock_t *socket; /* NULL: closed, to be opened again */
    zsock_t *monitor;
    struct guard guard; /* zeroed: plain */
    uint64_t open_at;   /* of the next try to open */
    uint64_t closed_at;
    struct quiet said_handshake[HANDSHAKE_FAILURES];
};

/* conf is copied. ERR_CONF, ERR_NETWORK with a note. *d is cleared on failure. */
int door_open(struct door *d, const struct receive_conf *conf, struct counters *counters,
              struct note *note);
void door_close(struct door *d);

/* Reads the certificates and opens nothing; those of sensors that are not usable are logged. */
int door_check(const struct receive_conf *conf, struct note *note);

/* Answers who asks to come in, looks at the list once a second, opens the socket again. To be
 * called often. true: all connections were closed, the socket is another one or NULL. */
bool door_tend(struct door *d, uint64_t now);

/* Waits for a message, a question or a failure; at most so long. */
void door_wait(struct door *d, int timeout_ms);

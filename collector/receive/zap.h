/* ZeroMQ's question whether a key may connect (ZAP, rfc.zeromq.org/spec/27): it is asked in the
 * middle of a handshake, through a socket in this process, and the connection waits for the answer
 * without holding up anybody else.
 *
 * Not zauth: that actor keeps a list of its own in a thread of its own, and tells a message's
 * receiver what the certificate said when the connection was made. We ask who may connect in the
 * thread that receives, from the list that is used for all else.
 *
 * ZeroMQ asks whoever holds one name in a process, so there can be one secured door per process. */
#pragma once

#include <czmq.h>

#include "shared/base/err.h"
#include "shared/curve/curve.h"

struct zap_question {
    char id[256]; /* of the question; bytes */
    size_t id_len;
    char address[64];     /* the other side's, as text */
    char key[CURVE_TEXT]; /* its public key; "": it showed none, so it is refused */
};

/* Takes the name. -errno: somebody has it. To be done before the door is opened: while nobody has
 * it ZeroMQ lets everybody in. */
int zap_open(zsock_t **out);
void zap_close(zsock_t **zap);

/* The next question, without waiting. Each must be answered before the next one is taken. */
bool zap_next(zsock_t *zap, struct zap_question *q);

/* yes: every message of that connection has its key as the property "User-Id". */
void zap_answer(zsock_t *zap, const struct zap_question *q, bool yes);

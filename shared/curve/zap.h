/* ZeroMQ's question whether a key may connect (ZAP, rfc.zeromq.org/spec/27): it is asked in the
 * middle of a handshake, through a socket in this process, and the connection waits for the answer
 * without holding up anybody else.
 *
 * Not zauth: that actor keeps a list of its own in a thread of its own, and tells a message's
 * receiver what the certificate said when the connection was made. We ask who may connect in the
 * thread that receives, from the list that is used for all else.
 *
 * ZeroMQ asks whoever holds one name in a context: one list for all secured sockets of a context.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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
int zap_open(void *context, void **out);
void zap_close(void *zap); /* NULL is fine */

/* The next question, without waiting. Each must be answered before the next one is taken. */
bool zap_next(void *zap, struct zap_question *q);

/* yes: every message of that connection has its key as the property "User-Id". */
void zap_answer(void *zap, const struct zap_question *q, bool yes);

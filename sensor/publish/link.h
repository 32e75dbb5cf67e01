/* The connection to the collector: a DEALER socket and where the delivery protocol stands on it.
 * Decides when to say hello, when the other side is dead, what may be sent; knows no events.
 *
 * The connection is encrypted with CURVE: it comes about only with a collector that has the secret
 * of the key that we were given, and that allows ours. In plain mode (insecure: true) neither is
 * asked. */
#pragma once

#include <czmq.h>

#include "sensor/publish/credentials.h"
#include "shared/base/err.h"
#include "shared/curve/handshake.h"
#include "shared/wire/wire.h"

enum link_state {
    LINK_GREET,   /* a hello is to be said */
    LINK_WAIT,    /* it was said; no welcome yet */
    LINK_OPEN,    /* batches may pass */
    LINK_REFUSED, /* the collector does not want us; tried again later, with a new connection */
};

struct link {
    const char *endpoint;         /* borrowed */
    const struct credentials *by; /* borrowed */
    uint64_t ping_ns, dead_ns;
    zsock_t *socket, *monitor;
    unsigned told;   /* why there is no connection, as it was logged: a bit a reason; until OPEN */
    unsigned closed; /* handshakes that the other side ended, until OPEN */
    enum link_state state;
    uint64_t greet_at;  /* GREET: not before; WAIT: then once more */
    uint64_t since;     /* mono ns at which the state began */
    uint64_t heard_at;  /* last message of any kind */
    uint64_t pinged_at; /* last ping of ours */
    uint64_t moved_at;  /* last time that an acknowledgement was news, or that nothing was due */
    uint64_t credit;
    uint8_t in[WIRE_MESSAGE_MAX], out[WIRE_MESSAGE_MAX];
};

/* Makes the socket and starts connecting; does not wait. ERR_CONF: no such kind of endpoint. */
int link_open(struct link *l, const char *endpoint, const struct credentials *by, uint64_t now);
void link_close(struct link *l);

/* Throws the socket away and starts afresh: a new identity, nothing queued. When that fails (no
 * file descriptor is left), there is no socket until the next try. */
int link_renew(struct link *l, uint64_t now);

void link_set(struct link *l, enum link_state state, uint64_t now);

/* A hello is wanted. Soon, not at once: two who disagree must not spin. While one is unanswered it
 * is only said again sooner: that one may have been swallowed, or its welcome may be on the way. */
void link_greet_again(struct link *l, uint64_t now);

/* Another hello is to be said, whatever was said before. After the same pause. */
void link_greet_anew(struct link *l, uint64_t now);

/* A hello was said: waits for the welcome, and says it again when none comes. Repeats leave alone
 * the clock after which the connection counts as dead. */
void link_greeted(struct link *l, uint64_t now);

/* Is it time to start afresh: silent for too long, or a pause since that failed? */
bool link_renew_due(const struct link *l, uint64_t now);

/* Should a hello go out now; is a ping due? */
bool link_hello_due(const struct link *l, uint64_t now);
bool link_ping_due(const struct link *l, uint64_t now);

/* False when the socket takes no more just now; the caller tries again later. */
bool link_send(struct link *l, const struct wire_message *m);

/* Next message, without waiting: 1; 0 none; ERR_* malformed. m borrows from l. */
int link_receive(struct link *l, struct wire_message *m, uint64_t now);

/* Waits until a message is there, at most so long. Logs why a connection does not come about, once
 * per outage and reason. */
void link_poll(struct link *l, int timeout_ms);

/* What comes from sensors: messages with the name of the sensor that sent them.
 *
 * With CURVE the name and the pop are those of the certificate by whose key the connection was made
 * (door.h); what a hello claims is overwritten, and each message is taken for the connection that
 * it came by, never for its routing id. In plain mode (insecure: true) the name is what hello
 * claimed and is bound to the routing id. Only a connection that said hello may send batches;
 * others are asked to with `again`. Pings are answered here, limits per sensor kept here (pace.h).
 */
#pragma once

#include "shared/base/err.h"
#include "shared/base/metrics.h"
#include "shared/wire/wire.h"

struct receive_conf {
    char listen[256];
    char certificate[256]; /* ours, with its secret key */
    char sensors[256];     /* folder of the certificates that may connect */
    uint64_t rate;         /* bytes/s that a sensor may send; 0: any */
    bool insecure;
};

struct receive;

/* Reads the certificates and opens. ERR_CONF, ERR_NETWORK, -ENOMEM with a note. */
int receive_open(const struct receive_conf *conf, struct counters *counters, struct receive **out,
                 struct note *note);
void receive_close(struct receive *r);

/* Reads the certificates and no more: what receive_open would find wrong with them. Unusable ones
 * of sensors are told in the log. */
int receive_check(const struct receive_conf *conf, struct note *note);

/* The endpoint as bound, for listen addresses with a wildcard port. Borrowed. */
const char *receive_endpoint(const struct receive *r);

/* Next hello or batch: 1 and m, sensor filled (m->events borrowed until the next call on r); 0 when
 * none came within timeout_ms. sensor: WIRE_NAME bytes. */
int receive_next(struct receive *r, int timeout_ms, char sensor[static WIRE_NAME],
                 struct wire_message *m);

/* To the latest connection of that sensor; a sensor that is gone is no error. */
void receive_send(struct receive *r, const char *sensor, const struct wire_message *m);

/* To every sensor that said hello: again or refuse. */
void receive_send_all(struct receive *r, const struct wire_message *m);

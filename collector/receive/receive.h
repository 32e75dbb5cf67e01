/* The door for sensors: a ROUTER socket. Gives messages with the name of the sensor that sent them.
 *
 * In plain mode (insecure: true) the name is what hello claimed and is bound to the connection's
 * routing id; with CURVE (later release) it comes from the certificate. Only a connection that said
 * hello may send batches; others are asked to with `again`. Pings are answered here. */
#pragma once

#include "shared/base/err.h"
#include "shared/base/metrics.h"
#include "shared/wire/wire.h"

struct receive_conf {
    char listen[256];
    char certificate[256];
    char sensors[256];
    bool insecure;
};

struct receive;

int receive_open(const struct receive_conf *conf, struct counters *counters, struct receive **out,
                 struct note *note);
void receive_close(struct receive *r);

/* The endpoint as bound, for listen addresses with a wildcard port. Borrowed. */
const char *receive_endpoint(const struct receive *r);

/* Next hello or batch: 1 and m, sensor filled (m->events borrowed until the next call on r); 0 when
 * none came within timeout_ms. sensor: WIRE_NAME bytes. */
int receive_next(struct receive *r, int timeout_ms, char sensor[static WIRE_NAME],
                 struct wire_message *m);

/* To the latest connection of that sensor; a sensor that is gone is no error. */
void receive_send(struct receive *r, const char *sensor, const struct wire_message *m);

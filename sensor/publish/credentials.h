/* By what the sensor and the collector know each other. Read once, while the process still may read
 * all that its starter may: the secret can then stay a file that sensor.user cannot open. */
#pragma once

#include <stdbool.h>

#include "shared/curve/curve.h"

struct publish_conf;

struct credentials {
    bool is_plain; /* publish.insecure: there are none */
    struct curve_key own, server;
};

/* Reads publish.certificate and publish.server; with publish.insecure nothing. A certificate of
 * another name than the sensor's is logged: the collector goes by the certificate. ERR_CONF or
 * -errno with key, file, reason and what to do. */
int credentials_load(struct credentials *c, const struct publish_conf *conf, struct note *note);

/* Overwrites the secret. */
void credentials_forget(struct credentials *c);

/* The door for monitoring: a small HTTP server with two pages, the only libmicrohttpd.
 *
 *   GET /metrics   what metrics() prints, in Prometheus' text format
 *   GET /healthz   200 "ok" or 503 and the reason
 *
 * One thread of its own answers; the callbacks run there, so they may only read what other threads
 * write atomically. Everything else is 404 or 405. No secrets leave here: bind it to loopback. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/base/err.h"

struct http_conf {
    const char *listen; /* "127.0.0.1:9559", "[::1]:9559"; port 0: any free one */
    void (*metrics)(void *ctx, FILE *out);
    bool (*is_healthy)(void *ctx, char *reason, size_t size); /* reason: why not */
    void *ctx;
};

struct http;

/* Can the address be understood? 0, or ERR_CONF with a note; touches nothing of the machine. */
int http_check(const char *listen, struct note *note);

/* ERR_CONF for an address that cannot be understood, ERR_NETWORK for one that cannot be bound; both
 * with a note. conf is copied. */
int http_open(const struct http_conf *conf, struct http **out, struct note *note);
void http_close(struct http *h); /* NULL is fine */

uint16_t http_port(const struct http *h); /* as bound */

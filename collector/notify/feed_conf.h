/* What an operator says about one feed (alerts.feeds, read by collector/conf/feeds_conf.c). Plain
 * memory without pointers: two are the same when their bytes are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEEDS_MAX       16
#define FEED_STATES_MAX 5
#define FEED_KINDS_MAX  16

enum feed_type { FEED_JSONL, FEED_WEBHOOK, FEED_SYSLOG, FEED_ZEROMQ };
enum feed_format { FEED_PLAIN, FEED_ALERTMANAGER };
enum feed_from { FEED_FROM_NOW, FEED_FROM_START };
enum feed_severity { FEED_INFO, FEED_WARNING, FEED_CRITICAL };

extern const char *const feed_type_words[], *const feed_severity_words[];

struct feed_conf {
    char name[64]; /* its row in penstock.alert_feed; unique */
    enum feed_type type;
    enum feed_from from;         /* where a feed begins that has no cursor yet */
    enum feed_severity severity; /* the least that an alert must have had */
    char states[FEED_STATES_MAX][16];
    size_t state_count; /* 0: all but pending */
    char kinds[FEED_KINDS_MAX][32];
    size_t kind_count; /* 0: all */
    /* jsonl */
    char path[256];
    bool fsync;
    /* syslog */
    char address[256];
    unsigned facility; /* as RFC 5424 numbers them */
    /* webhook */
    char url[512];
    enum feed_format format;
    uint64_t timeout_ns, repeat_ns;
    char ca[256], headers[256]; /* files; "": the system's authorities, none */
    char link[256], runbook[256];
    /* zeromq */
    char listen[128], catch_up[128];
    bool curve;
    char certificate[256]; /* the collector's; filled in when curve is set */
    char subscribers[256]; /* folder with the keys of those who may; "": all */
    uint64_t heartbeat_ns;
};

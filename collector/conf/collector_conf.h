/* The collector's whole configuration: each module's own struct, side by side. */
#pragma once

#include "collector/alert/alert.h"
#include "collector/conf/tables.h"
#include "collector/evidence/evidence.h"
#include "collector/ingress/ingress.h"
#include "collector/notify/feed_conf.h"
#include "collector/order/order.h"
#include "collector/receive/receive.h"
#include "collector/roster/roster.h"
#include "collector/store/store.h"
#include "shared/base/log.h"

struct collector_conf {
    char name[64];
    struct receive_conf receive;
    struct store_conf store;
    struct store_keep keep;
    struct roster_conf roster;
    struct ingress_conf ingress;
    struct evidence_conf evidence;
    struct alert_conf alert;
    uint64_t alert_keep_ns; /* alerts that ended are kept for so long */
    struct order_conf order;
    size_t feed_count;
    struct feed_conf feeds[FEEDS_MAX];
    char policy_file[256]; /* "": no policy */
    struct tables_conf tables;
    uint64_t learn_after_ns; /* 0: nothing is learned */
    unsigned max_learned;
    char http_listen[128]; /* "": none */
    enum log_level log_level;
};

/* As sensor_conf_load. */
int collector_conf_load(const char *path, const char *const *settings, size_t n,
                        struct collector_conf *out, struct note *note);
void collector_conf_explain(FILE *out);

/* Configuration of the alerts: what the operator says of their kinds, and what is ordinary. The
 * rows stand in alerts_rows.def, which collector_conf.c takes into its table. */
#pragma once

#include "collector/alert/alert.h"
#include "shared/conf/conf_table.h"

/* One entry of alerts.rules. */
struct alert_rule_conf {
    unsigned kind; /* enum alert_kind */
    bool is_enabled;
    unsigned severity;     /* index; 0: the rule's own */
    uint64_t hold_down_ns; /* 0: the rule's own */
};

struct alerts_conf {
    struct alert_rule_conf rules[KIND_COUNT];
    size_t rule_count;
};

#define ALERTS_CONF_RULE_ROWS 4
extern const struct conf_row alerts_conf_rule_rows[ALERTS_CONF_RULE_ROWS];

/* What was read of the rules, into what the core wants; half_life_ns: map.half_life. Complains of a
 * kind that stands there twice. */
void alerts_conf_finish(struct conf *c, const struct alerts_conf *from, uint64_t half_life_ns,
                        struct alert_conf *out);

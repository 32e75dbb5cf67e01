#include "collector/conf/alerts_conf.h"

#include <assert.h>
#include <string.h>

#define KEY          "alerts.rules"
#define RULE(member) CONF_AT(struct alert_rule_conf, member)
#define DAY          ((double)86400 * 1e9)

/* in the order of enum alert_kind */
static const char *const kind_words[] = {
    "hijack_suspected",   "policy_violation", "ingress_moved",
    "ingress_unexpected", "path_anomaly",     "spoofing_source",
    "sensor_silent",      "sensor_gap",       NULL};
static const char *const severity_words[] = {"rule", "info", "warning", "critical", NULL};
static_assert(sizeof kind_words / sizeof *kind_words == KIND_COUNT + 1, "a word for each kind");

/* clang-format off */
const struct conf_row alerts_conf_rule_rows[ALERTS_CONF_RULE_ROWS] = {
    {"kind", CONF_WORD, RULE(kind), .words = kind_words, .is_required = true, .help = "Kind of alert; docs/alerts has a page for each."},
    {"enabled", CONF_BOOL, RULE(is_enabled), .value = "true", .help = "Whether this kind is raised at all."},
    {"severity", CONF_WORD, RULE(severity), .value = "rule", .words = severity_words, .help = "In place of what its rule says."},
    {"hold_down", CONF_DURATION, RULE(hold_down_ns), .value = "rule", .zero = "rule", .min = 1e6, .max = DAY,
     .help = "In place of alerts.hold_down, or of none for kinds that fire at once; 1ms for at once."},
};
/* clang-format on */

void alerts_conf_finish(struct conf *c, const struct alerts_conf *from, uint64_t half_life_ns,
                        struct alert_conf *out)
{
    unsigned seen = 0;
    out->half_life_ns = half_life_ns;
    for (size_t i = 0; i < from->rule_count; i++) {
        const struct alert_rule_conf *rule = &from->rules[i];
        struct alert_kind_conf *kind = &out->rules.kinds[rule->kind];
        if ((seen & 1u << rule->kind) != 0)
            conf_wrong(c, KEY, "entry %zu: %s stands there twice", i + 1, kind_words[rule->kind]);
        seen |= 1u << rule->kind;
        kind->is_off = !rule->is_enabled;
        kind->has_hold_down = rule->hold_down_ns != 0;
        kind->hold_down_ns = rule->hold_down_ns;
        if (rule->severity != 0)
            memcpy(kind->severity, severity_words[rule->severity],
                   strlen(severity_words[rule->severity]) + 1);
    }
}

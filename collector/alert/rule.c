#include "collector/alert/rule.h"

#include <math.h>
#include <string.h>

/* ---- of a map entry ---- */

bool alert_is_allowed(const struct ingress_row *row)
{
    return row->expected == EXPECTED_YES &&
           (strcmp(row->expected_by, "policy") == 0 || strcmp(row->expected_by, "learned") == 0);
}

bool alert_is_routed(const struct alert_rules *rules, const struct ingress_row *row)
{
    return rules->is_routing_heard && row->rpki == RPKI_VALID &&
           (row->bgp == BGP_BEST || row->bgp == BGP_ALTERNATIVE);
}

/* Is what enters here genuine, at least in part? What is proven spoofed, or not proven, never
 * raises a routing alert: that is the point. But an alert that stands does not end because a test
 * runs, or said nothing, or because its proof grew old: no word is no proof of the opposite. */
static enum alert_says is_genuine(const struct ingress_row *row)
{
    switch (row->state) {
    case STATE_GENUINE:
    case STATE_MIXED:
        return SAYS_YES;
    case STATE_UNVERIFIED:
    case STATE_TESTING:
    case STATE_INCONCLUSIVE:
        return SAYS_NOTHING;
    default:
        return SAYS_NO;
    }
}

static enum alert_says genuine_and(const struct alert_case *c, bool condition)
{
    return condition ? is_genuine(c->row) : SAYS_NO;
}

/* Genuine at a link whose peer has no valid path for it, or of an origin that RPKI calls invalid,
 * and nobody said that it may. Where the operator knows the peer's cone, "no path" is his matter
 * (policy_violation): he knows more of that peer than a table of routes does. */
static enum alert_says hijack_condition(const struct alert_case *c)
{
    bool is_outside = c->answer != NULL && c->answer->outside_cone;
    bool is_invalid = c->row->rpki == RPKI_INVALID;
    bool has_no_path = c->row->bgp == BGP_NONE && !is_outside;
    return genuine_and(c, !alert_is_allowed(c->row) && (is_invalid || has_no_path));
}

static enum alert_says violation_condition(const struct alert_case *c)
{
    bool is_outside = c->answer != NULL && c->answer->outside_cone;
    return genuine_and(c, !alert_is_allowed(c->row) && is_outside);
}

static enum alert_says moved_condition(const struct alert_case *c)
{
    return genuine_and(c, c->is_moved_to);
}

static enum alert_says unexpected_condition(const struct alert_case *c)
{
    return genuine_and(c, c->row->expected == EXPECTED_NO);
}

static const char *by_proof(const struct alert_case *c)
{
    return c->row->state == STATE_GENUINE ? "critical" : "warning";
}

/* Many networks send over links where they do not announce: with a valid origin it is likelier
 * that than a hijack. */
static const char *hijack_severity(const struct alert_case *c)
{
    return c->row->rpki == RPKI_VALID ? "warning" : by_proof(c);
}

static const char *moved_severity(const struct alert_case *c)
{
    return c->row->expected == EXPECTED_YES ? "info" : "warning";
}

static double by_posterior(const struct alert_case *c)
{
    double p = c->row->genuine_probability;
    return p >= 0 && p <= 1 ? p : 0;
}

/* ---- of a passive test's sums ---- */

/* How sure it is that the share behind n segments is more than the ordinary one: the normal
 * approximation of a binomial. */
static double surely_more(uint64_t hits, uint64_t n, double ordinary)
{
    if (n == 0 || (double)hits <= ordinary * (double)n)
        return 0;
    double spread = sqrt((double)n * ordinary * (1 - ordinary));
    double above = (double)hits - ordinary * (double)n;
    return spread > 0 ? 0.5 * erfc(-above / spread / sqrt(2)) : 1;
}

static double path_confidence(const struct alert_case *c)
{
    const struct event_passive_total *t = c->total;
    double gaps = surely_more(t->gaps, t->data, c->rules->path_gaps);
    double disorder = surely_more(t->out_of_order, t->data, c->rules->path_out_of_order);
    double duplicates = surely_more(t->duplicates, t->data, c->rules->path_duplicates);
    return fmax(gaps, fmax(disorder, duplicates));
}

#define PATH_SURE 0.99

static enum alert_says path_condition(const struct alert_case *c)
{
    if (c->rules->path_segments == 0)
        return SAYS_NO;
    if (c->total->data < c->rules->path_segments)
        return SAYS_NOTHING;
    return path_confidence(c) >= PATH_SURE ? SAYS_YES : SAYS_NO;
}

/* ---- of a link ---- */

/* Lets go at half of what it takes to grip, so that it does not flap around its threshold. */
static enum alert_says spoofing_condition(const struct alert_case *c)
{
    double enough = (double)c->rules->spoofing_rate * (c->is_alerted ? 0.5 : 1);
    unsigned prefixes = c->is_alerted ? 1 : c->rules->spoofing_prefixes;
    bool is_much = c->link->rate >= enough && c->link->prefixes >= prefixes;
    return c->rules->spoofing_rate != 0 && c->link->prefixes > 0 && is_much ? SAYS_YES : SAYS_NO;
}

/* ---- of a sensor ---- */

static enum alert_says silent_condition(const struct alert_case *c)
{
    return c->is_silent ? SAYS_YES : SAYS_NO;
}

/* What is lost stays lost: a gap has no condition that goes away, it ends by itself. */
static enum alert_says gap_condition(const struct alert_case *c)
{
    return c->has_gap ? SAYS_YES : SAYS_NOTHING;
}

static const char *info(const struct alert_case *c)
{
    (void)c;
    return "info";
}

static const char *warning(const struct alert_case *c)
{
    (void)c;
    return "warning";
}

static double certain(const struct alert_case *c)
{
    (void)c;
    return 1;
}

/* clang-format off */
/* kind, about, when it holds, how severe, how sure, held down, its end besides, what it says */
const struct alert_rule alert_rules[KIND_COUNT] = {
    [KIND_HIJACK_SUSPECTED] = {
        "hijack_suspected", "entry", hijack_condition, hijack_severity, by_posterior, true, END_SILENCE,
        "genuine traffic at a link whose peer has no valid path for it, or of an invalid origin"},
    [KIND_POLICY_VIOLATION] = {
        "policy_violation", "entry", violation_condition, by_proof, by_posterior, true, END_SILENCE,
        "a peer sends genuine traffic that lies outside its cone"},
    [KIND_INGRESS_MOVED] = {
        "ingress_moved", "entry", moved_condition, moved_severity, by_posterior, true, END_SILENCE,
        "the genuine bulk of a prefix left one place for another"},
    [KIND_INGRESS_UNEXPECTED] = {
        "ingress_unexpected", "entry", unexpected_condition, by_proof, by_posterior, true, END_SILENCE,
        "genuine traffic enters where it is not expected"},
    [KIND_PATH_ANOMALY] = {
        "path_anomaly", "entry", path_condition, warning, path_confidence, false, END_ITSELF,
        "gaps, reordering or duplicates out of the ordinary on a prefix's path"},
    [KIND_SPOOFING_SOURCE] = {
        "spoofing_source", "link", spoofing_condition, info, certain, true, END_SILENCE,
        "a link delivers much traffic that is proven spoofed"},
    [KIND_SENSOR_SILENT] = {
        "sensor_silent", "sensor", silent_condition, warning, certain, true, END_NEVER,
        "a sensor is not heard of"},
    [KIND_SENSOR_GAP] = {
        "sensor_gap", "sensor", gap_condition, warning, certain, false, END_ITSELF,
        "events of a sensor are lost"},
};
/* clang-format on */

enum alert_kind alert_kind_of(const char *word)
{
    for (unsigned i = 0; i < KIND_COUNT; i++)
        if (strcmp(alert_rules[i].kind, word) == 0)
            return i;
    return KIND_NONE;
}

enum alert_kind alert_judge(const struct alert_rules *rules, const struct ingress_row *row,
                            const struct alert_answer *answer, bool is_moved,
                            unsigned *nothing_said)
{
    const struct alert_case c = {
        .rules = rules, .row = row, .answer = answer, .is_moved_to = is_moved};
    enum alert_kind found = KIND_NONE;
    unsigned nothing = 0;
    for (unsigned i = 0; i < KIND_ENTRIES && found == KIND_NONE; i++) {
        if (rules->kinds[i].is_off)
            continue;
        enum alert_says says = alert_rules[i].condition(&c);
        if (says == SAYS_YES)
            found = i;
        else if (says == SAYS_NOTHING)
            nothing |= 1u << i;
    }
    if (nothing_said != NULL)
        *nothing_said = nothing;
    return found;
}

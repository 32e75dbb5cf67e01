/* What an alert says: its sentence and its evidence. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/alert/book.h"
#include "collector/alert/document.h"
#include "collector/alert/spoof.h"

static const char *const verdict_word[] = {"genuine", "spoofed", "mixed", "duplicates_exceeded",
                                           "inconclusive"};

/* ---- places ---- */

static void place_text(const char *pop, const struct ingress *at, char *out, size_t size)
{
    static const uint8_t no_mac[6];
    char mac[MAC_TEXT];
    int n = snprintf(out, size, "%.31s %.31s %.31s", pop, at->router, at->interface);
    if (at->vlan != 0)
        n += snprintf(out + n, size - (size_t)n, " vlan %" PRIu64, at->vlan);
    if (memcmp(at->mac, no_mac, 6) != 0)
        snprintf(out + n, size - (size_t)n, " mac %s", mac_format(at->mac, mac));
}

#define PLACE_TEXT 160

/* ---- the tests that prove it ---- */

static void uuid_text(const uint8_t id[16], char out[static 37])
{
    int n = 0;
    for (unsigned i = 0; i < 16; i++)
        n += snprintf(out + n, 37 - (size_t)n, "%s%02x",
                      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

static void test_text(const struct tested *t, char *out, size_t size)
{
    struct document d;
    char id[37];
    uuid_text(t->test_id, id);
    document_open(&d, out, size);
    document_text(&d, "test_id", id);
    if (t->verdict < sizeof verdict_word / sizeof *verdict_word)
        document_text(&d, "verdict", verdict_word[t->verdict]);
    document_count(&d, "drops", t->drops);
    document_count(&d, "retransmitted", t->retransmitted);
    if (t->order_id != 0)
        document_count(&d, "order_id", t->order_id);
    document_close(&d);
}

static bool is_of(const struct tested *t, const struct alert_row *row)
{
    return t->prefix.addr.family == row->prefix.addr.family &&
           t->prefix.length <= row->prefix.length &&
           prefix_contains(&t->prefix, &row->prefix.addr) && strcmp(t->pop, row->pop) == 0 &&
           ingress_equal(&t->at, &row->at);
}

/* The newest first, as many as fit. None there: what is known from before stays. */
void describe_tests(const struct alert *a, struct entry *e)
{
    char list[sizeof e->tests - 2], one[256];
    size_t len = 0;
    uint64_t kept = a->test_count < TESTS_KEPT ? a->test_count : TESTS_KEPT;
    for (uint64_t i = 1; i <= kept; i++) {
        const struct tested *t = &a->tests[(a->test_count - i) % TESTS_KEPT];
        if (!is_of(t, &e->row))
            continue;
        test_text(t, one, sizeof one);
        if (len + strlen(one) + 3 > sizeof list)
            break;
        len += (size_t)sprintf(list + len, "%s%s", len == 0 ? "[" : ",", one);
    }
    if (len > 0)
        snprintf(e->tests, sizeof e->tests, "%s]", list);
}

/* ---- of a map entry ---- */

static void entry_posterior(struct document *d, const struct ingress_row *row)
{
    document_text(d, "state", ingress_state_word[row->state]);
    document_real(d, "genuine_probability", row->genuine_probability);
    document_real(d, "genuine_fraction", row->genuine_fraction);
    document_real(d, "genuine_low", row->genuine_low);
    document_real(d, "genuine_high", row->genuine_high);
    document_count(d, "tests", row->tests);
}

static void entry_expectation(struct document *d, const struct alert_case *c)
{
    const struct ingress_row *row = c->row;
    if (row->expected != EXPECTED_UNKNOWN)
        document_boolean(d, "expected", row->expected == EXPECTED_YES);
    if (row->expected_by[0] != '\0')
        document_text(d, "expected_by", row->expected_by);
    if (row->bgp != BGP_UNKNOWN)
        document_text(d, "bgp", bgp_state_word[row->bgp]);
    if (row->rpki != RPKI_UNKNOWN)
        document_text(d, "rpki", rpki_state_word[row->rpki]);
    if (row->origin_as != 0)
        document_count(d, "origin_as", row->origin_as);
    if (c->answer != NULL && c->answer->outside_cone)
        document_count(d, "outside_cone_of", c->answer->cone_as);
}

/* Shares to a tenth: else they would rewrite the alert with every tally. */
static double tenth(double share)
{
    return (double)(int)(share * 10 + 0.5) / 10;
}

static bool waits(const struct entry *e)
{
    return e->waits_for_table && !e->has_fired;
}

static void entry_evidence(struct document *d, const struct entry *e, const struct alert_case *c)
{
    const struct ingress_row *row = c->row;
    entry_posterior(d, row);
    entry_expectation(d, c);
    if (waits(e)) {
        document_text(d, "waits_for", "a routing table that was written after the first proof");
        document_time(d, "rib_written_at", c->answer->rib_written_at);
    }
    document_raw(d, "moved", e->moved);
    document_real(d, "share", tenth(row->share));
    document_real(d, "genuine_share", tenth(row->genuine_share));
    if (row->last_test_at != 0)
        document_time(d, "last_test_at", row->last_test_at);
    if (row->genuine_since != 0)
        document_time(d, "genuine_since", row->genuine_since);
    if (row->first_seen != 0)
        document_time(d, "first_seen", row->first_seen);
    if (row->bundle[0] != '\0')
        document_text(d, "bundle", row->bundle);
    document_raw(d, "test_list", e->tests);
}

static const char *proof_word(const struct ingress_row *row)
{
    return row->state == STATE_GENUINE ? "Genuine" : "Partly genuine";
}

static void hijack_sentence(const struct alert_case *c, const char *prefix, const char *place,
                            char *out, size_t size)
{
    if (c->row->rpki == RPKI_INVALID)
        snprintf(out, size,
                 "%s traffic from %s enters at %s; RPKI says that AS%" PRIu32
                 " may not originate it",
                 proof_word(c->row), prefix, place, c->row->origin_as);
    else
        snprintf(out, size,
                 "%s traffic from %s enters at %s, whose peer AS%" PRIu64
                 " has no valid path for it",
                 proof_word(c->row), prefix, place, c->row->at.peer_as);
}

static void entry_sentence(struct entry *e, const struct alert_case *c, char *out, size_t size)
{
    char prefix[PREFIX_TEXT], place[PLACE_TEXT];
    prefix_format(&c->row->prefix, prefix);
    place_text(c->row->pop, &c->row->at, place, sizeof place);
    switch (e->kind) {
    case KIND_HIJACK_SUSPECTED:
        hijack_sentence(c, prefix, place, out, size);
        return;
    case KIND_POLICY_VIOLATION:
        snprintf(out, size,
                 "%s traffic from %s enters at %s, outside the cone of its peer AS%" PRIu32,
                 proof_word(c->row), prefix, place, c->answer->cone_as);
        return;
    case KIND_INGRESS_MOVED:
        snprintf(out, size, "The genuine bulk of %s moved to %s", prefix, place);
        return;
    default:
        snprintf(out, size, "%s traffic from %s enters at %s, where it is not expected",
                 proof_word(c->row), prefix, place);
    }
}

/* The place that it left, when that is known. */
static void moved_sentence(const struct move *m, const struct alert_case *c, char *out, size_t size)
{
    char prefix[PREFIX_TEXT], from[PLACE_TEXT], to[PLACE_TEXT];
    if (m == NULL || !m->change.from.is_there)
        return;
    place_text(m->change.from.pop, &m->change.from.at, from, sizeof from);
    place_text(c->row->pop, &c->row->at, to, sizeof to);
    snprintf(out, size, "The genuine bulk of %s moved from %s to %s",
             prefix_format(&c->row->prefix, prefix), from, to);
}

/* ---- of the others ---- */

static void path_evidence(struct document *d, const struct alert_case *c, const char *place,
                          char *out, size_t size)
{
    const struct event_passive_total *t = c->total;
    char prefix[PREFIX_TEXT], id[37];
    double n = t->data > 0 ? (double)t->data : 1;
    uuid_text(t->test_id, id);
    document_text(d, "test_id", id);
    document_count(d, "data", t->data);
    document_count(d, "gaps", t->gaps);
    document_count(d, "out_of_order", t->out_of_order);
    document_count(d, "duplicates", t->duplicates);
    document_real(d, "ordinary_gaps", c->rules->path_gaps);
    document_real(d, "ordinary_out_of_order", c->rules->path_out_of_order);
    document_real(d, "ordinary_duplicates", c->rules->path_duplicates);
    document_real(d, "coverage", t->coverage);
    document_time(d, "ended_at", t->ended_at);
    snprintf(out, size,
             "The path of %s at %s is out of order: %.1f %% gaps, %.1f %% reordered, %.1f %% "
             "duplicates",
             prefix_format(&t->prefix, prefix), place, 100 * (double)t->gaps / n,
             100 * (double)t->out_of_order / n, 100 * (double)t->duplicates / n);
}

static const char *rate_text(double bytes_per_second, char *out, size_t size)
{
    double bits = bytes_per_second * 8;
    snprintf(out, size, "%.1f %s", bits >= 1e6 ? bits / 1e6 : bits / 1e3,
             bits >= 1e6 ? "Mbit/s" : "kbit/s");
    return out;
}

static void link_evidence(struct document *d, const struct spoof_link *l, const char *place,
                          char *out, size_t size)
{
    char list[SPOOF_TOP * (PREFIX_TEXT + 4)], prefix[PREFIX_TEXT], rate[48];
    size_t len = 0;
    for (uint32_t i = 0; i < l->top_count; i++)
        len += (size_t)sprintf(list + len, "%s\"%s\"", i == 0 ? "[" : ",",
                               prefix_format(&l->top[i].prefix, prefix));
    document_real(d, "bytes_per_second", l->rate);
    document_count(d, "prefixes", l->prefixes);
    if (len > 0) {
        memcpy(list + len, "]", 2);
        document_raw(d, "largest", list);
    }
    snprintf(out, size, "%s delivers proven-spoofed traffic of %" PRIu32 " prefixes, some %s",
             place, l->prefixes, rate_text(l->rate, rate, sizeof rate));
}

static void sensor_evidence(struct document *d, const struct entry *e, const struct described *what,
                            char *out, size_t size)
{
    const struct alert_sensor *sensor = what->sensor;
    document_text(d, "sensor", e->row.sensor);
    document_time(d, "last_seen", sensor->last_seen);
    snprintf(out, size, "Sensor %.63s at %.31s is silent: no alert there may mean no data",
             e->row.sensor, e->row.pop);
}

static void gap_evidence(struct document *d, const struct entry *e, const struct alert_gap *gap,
                         char *out, size_t size)
{
    uint64_t lost = gap->to_seq >= gap->from_seq ? gap->to_seq - gap->from_seq + 1 : 0;
    uint64_t gaps = document_find_count(e->row.evidence, "gaps") + 1;
    lost += document_find_count(e->row.evidence, "events_lost");
    document_text(d, "sensor", e->row.sensor);
    document_count(d, "gaps", gaps);
    document_count(d, "events_lost", lost);
    document_count(d, "epoch", gap->epoch);
    document_count(d, "from_seq", gap->from_seq);
    if (gap->to_seq != 0)
        document_count(d, "to_seq", gap->to_seq);
    document_text(d, "reason", gap->reason);
    snprintf(out, size, "Events of sensor %.63s are lost: %.127s", e->row.sensor, gap->reason);
}

/* ---- all together ---- */

struct said {
    char summary[sizeof((struct alert_row *)0)->summary];
    char evidence[sizeof((struct alert_row *)0)->evidence];
    char severity[sizeof((struct alert_row *)0)->severity];
    const char *expected;
};

static void append(char *out, size_t size, const char *text)
{
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s", text);
}

static void say(const struct alert *a, struct entry *e, const struct described *what,
                struct document *d, struct said *said)
{
    char place[PLACE_TEXT];
    place_text(e->row.pop, &e->row.at, place, sizeof place);
    if (what->c->row != NULL) {
        entry_sentence(e, what->c, said->summary, sizeof said->summary);
        if (e->kind == KIND_INGRESS_MOVED)
            moved_sentence(move_find(a, e->subject, &e->row.prefix, e->row.pop, &e->row.at),
                           what->c, said->summary, sizeof said->summary);
        if (waits(e))
            append(said->summary, sizeof said->summary, "; it waits for a newer routing table");
        entry_evidence(d, e, what->c);
    } else if (what->c->total != NULL) {
        path_evidence(d, what->c, place, said->summary, sizeof said->summary);
    } else if (what->link != NULL) {
        link_evidence(d, what->link, place, said->summary, sizeof said->summary);
    } else if (what->gap != NULL) {
        gap_evidence(d, e, what->gap, said->summary, sizeof said->summary);
    } else {
        sensor_evidence(d, e, what, said->summary, sizeof said->summary);
    }
}

static void copy(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

bool describe(const struct alert *a, struct entry *e, const struct described *what)
{
    const struct alert_rule *rule = &alert_rules[e->kind];
    const struct alert_kind_conf *own = &a->conf.rules.kinds[e->kind];
    const struct alert_answer *answer = what->c->answer;
    struct said said = {.expected = "[]"};
    struct document d;
    if (answer != NULL && answer->expected_json != NULL)
        said.expected = answer->expected_json;
    document_open(&d, said.evidence, sizeof said.evidence);
    document_text(&d, "rule", rule->kind);
    say(a, e, what, &d, &said);
    if (e->row.flaps > 0)
        document_count(&d, "flaps", e->row.flaps);
    document_close(&d);
    copy(said.severity, sizeof said.severity,
         own->severity[0] != '\0' ? own->severity : rule->severity(what->c));
    if (e->kind == KIND_INGRESS_MOVED && e->row.summary[0] != '\0' && e->moved[0] != '\0' &&
        strstr(said.summary, " from ") == NULL)
        copy(said.summary, sizeof said.summary, e->row.summary); /* loaded: it knows where from */
    if (strcmp(said.severity, e->row.severity) == 0 &&
        strcmp(said.expected, e->row.expected) == 0 && strcmp(said.summary, e->row.summary) == 0 &&
        strcmp(said.evidence, e->row.evidence) == 0)
        return false;
    e->row.confidence = rule->confidence(what->c);
    copy(e->row.severity, sizeof e->row.severity, said.severity);
    copy(e->row.expected, sizeof e->row.expected, said.expected);
    copy(e->row.summary, sizeof e->row.summary, said.summary);
    copy(e->row.evidence, sizeof e->row.evidence, said.evidence);
    return true;
}

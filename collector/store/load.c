/* What the database knows, read at start. */
#include <string.h>

#include "collector/store/session.h"
#include "collector/store/words.h"

/* Index of the column's word; 0 if a later release wrote a word that we do not have. */
static unsigned column_word(struct columns *c, const char *const *words, size_t n)
{
    char text[32];
    column_text(c, text, sizeof text);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return 0;
}

struct sensor_load {
    int (*each)(void *arg, const struct sensor_row *row);
    void *arg;
};

static int load_sensor(void *arg, struct columns *c)
{
    const struct sensor_load *load = arg;
    struct sensor_row row = {0};
    column_text(c, row.name, sizeof row.name);
    column_text(c, row.pop, sizeof row.pop);
    column_text(c, row.version, sizeof row.version);
    row.first_seen = column_time(c);
    row.last_seen = column_time(c);
    row.epoch = column_bigint(c);
    row.last_seq = column_bigint(c);
    row.state = column_word(c, sensor_state_words, WORD_COUNT(sensor_state_words));
    return load->each(load->arg, &row);
}

int store_load_sensors(struct store *s, int (*each)(void *arg, const struct sensor_row *row),
                       void *arg, struct note *note)
{
    struct sensor_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(s,
                        "SELECT name, pop, version, first_seen, last_seen, epoch, last_seq, state"
                        " FROM penstock.sensor ORDER BY name",
                        "reading the sensors", load_sensor, &load, note);
}

struct ingress_load {
    int (*each)(void *arg, const struct ingress_row *row);
    void *arg;
};

static void load_ingress_point(struct columns *c, struct ingress *at)
{
    column_text(c, at->router, sizeof at->router);
    column_text(c, at->interface, sizeof at->interface);
    at->vlan = column_integer(c);
    column_mac(c, at->mac);
    at->peer_as = column_bigint(c);
}

static enum expected load_expected(struct columns *c)
{
    if (column_is_null(c)) {
        c->next++;
        return EXPECTED_UNKNOWN;
    }
    return column_boolean(c) ? EXPECTED_YES : EXPECTED_NO;
}

static void load_ingress_more(struct columns *c, struct ingress_row *row)
{
    row->bgp = column_word(c, bgp_state_words, WORD_COUNT(bgp_state_words));
    row->rpki = column_word(c, rpki_state_words, WORD_COUNT(rpki_state_words));
    row->origin_as = (uint32_t)column_bigint(c);
    row->evidence_genuine = column_real(c);
    row->evidence_spoofed = column_real(c);
    row->evidence_at = column_time(c);
    row->untestable_at = column_time(c);
    row->genuine_since = column_time(c);
    row->genuine_share = column_real(c);
    column_text(c, row->bundle, sizeof row->bundle);
    row->is_main = column_boolean(c);
    row->is_present = column_boolean(c);
}

static int load_ingress(void *arg, struct columns *c)
{
    const struct ingress_load *load = arg;
    struct ingress_row row = {.prefix = column_prefix(c)};
    column_text(c, row.pop, sizeof row.pop);
    load_ingress_point(c, &row.at);
    row.state = column_word(c, ingress_state_words, WORD_COUNT(ingress_state_words));
    row.has_evidence = !column_is_null(c);
    row.genuine_probability = column_real(c);
    row.genuine_fraction = column_real(c);
    row.genuine_low = column_real(c);
    row.genuine_high = column_real(c);
    row.share = column_real(c);
    row.weight = column_real(c);
    row.weight_at = column_time(c);
    row.packets = column_bigint(c);
    row.bytes = column_bigint(c);
    row.expected = load_expected(c);
    column_text(c, row.expected_by, sizeof row.expected_by);
    row.tests = column_bigint(c);
    row.first_seen = column_time(c);
    row.last_seen = column_time(c);
    row.last_test_at = column_time(c);
    column_text(c, row.testing_by, sizeof row.testing_by);
    load_ingress_more(c, &row);
    return load->each(load->arg, &row);
}

static int load_entries(struct store *s, struct ingress_load *load, struct note *note)
{
    session_parameters(s);
    return session_each_of_many(
        s,
        SESSION_CURSOR
        "SELECT prefix, pop, router, interface, vlan, mac, peer_as, state,"
        " genuine_probability, genuine_fraction, genuine_low, genuine_high, share,"
        " weight, weight_at, packets, bytes, expected, expected_by, tests,"
        " first_seen, last_seen, last_test_at, testing_by, bgp, rpki, origin_as,"
        " evidence_genuine, evidence_spoofed, evidence_at, untestable_at, genuine_since,"
        " genuine_share, bundle, is_main, is_present FROM penstock.ingress_entry",
        "reading the map", load_ingress, load, note);
}

/* Without a limit in time: tens of millions of rows take longer than a statement may, and a
 * collector that never gets through could never start. */
int store_load_ingress(struct store *s, int (*each)(void *arg, const struct ingress_row *row),
                       void *arg, struct note *note)
{
    struct ingress_load load = {each, arg};
    int err = session_ready(s, note);
    if (err == 0)
        err = session_script(s, "SET statement_timeout = 0", "reading the map", note);
    if (err != 0)
        return err;
    err = load_entries(s, &load, note);
    int restored =
        session_script(s, SESSION_STATEMENT_TIMEOUT, "reading the map", err == 0 ? note : NULL);
    return err != 0 ? err : restored;
}

struct alert_load {
    int (*each)(void *arg, const struct alert_row *row);
    void *arg;
};

static int load_alert(void *arg, struct columns *c)
{
    const struct alert_load *load = arg;
    struct alert_row row = {.alert_id = column_bigint(c)};
    column_text(c, row.fingerprint, sizeof row.fingerprint);
    column_text(c, row.kind, sizeof row.kind);
    column_text(c, row.severity, sizeof row.severity);
    row.confidence = column_real(c);
    row.state = column_word(c, alert_state_words, WORD_COUNT(alert_state_words));
    row.prefix = column_prefix(c);
    column_text(c, row.pop, sizeof row.pop);
    load_ingress_point(c, &row.at);
    column_text(c, row.summary, sizeof row.summary);
    column_text(c, row.expected, sizeof row.expected);
    column_text(c, row.evidence, sizeof row.evidence);
    row.started_at = column_time(c);
    row.updated_at = column_time(c);
    row.resolved_at = column_time(c);
    column_text(c, row.acknowledged_by, sizeof row.acknowledged_by);
    column_text(c, row.sensor, sizeof row.sensor);
    row.is_standing = column_boolean(c);
    row.flaps = (uint32_t)column_integer(c);
    column_text(c, row.suppressed_by, sizeof row.suppressed_by);
    column_text(c, row.runbook, sizeof row.runbook);
    row.words = column_bigint(c);
    return load->each(load->arg, &row);
}

static int load_open_alerts(struct store *s, struct alert_load *load, struct note *note)
{
    return session_each(s,
                        "SELECT alert_id, fingerprint, kind, severity, confidence, state, prefix,"
                        " pop, router, interface, vlan, mac, peer_as, summary, expected::text,"
                        " evidence::text, started_at, updated_at, resolved_at, acknowledged_by,"
                        " sensor, is_standing, flaps, suppressed_by, runbook, words"
                        " FROM penstock.alert WHERE resolved_at IS NULL ORDER BY alert_id",
                        "reading the alerts", load_alert, load, note);
}

struct end_load {
    void (*each)(void *arg, const struct alert_row *ended);
    void *arg;
};

static int load_end(void *arg, struct columns *c)
{
    const struct end_load *load = arg;
    struct alert_row ended = {.resolved_at = column_time(c)};
    column_text(c, ended.kind, sizeof ended.kind);
    ended.prefix = column_prefix(c);
    column_text(c, ended.pop, sizeof ended.pop);
    load_ingress_point(c, &ended.at);
    column_text(c, ended.sensor, sizeof ended.sensor);
    load->each(load->arg, &ended);
    return 0;
}

int store_load_ends(struct store *s, void (*each)(void *arg, const struct alert_row *ended),
                    void *arg, struct note *note)
{
    struct end_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(s,
                        "SELECT resolved_at, kind, prefix, pop, router, interface, vlan, mac,"
                        " peer_as, sensor FROM penstock.alert"
                        " WHERE resolved_at > now() - interval '1 day' ORDER BY resolved_at",
                        "reading how alerts ended", load_end, &load, note);
}

static int load_number(void *arg, struct columns *c)
{
    *(uint64_t *)arg = column_bigint(c);
    return 0;
}

static int load_next_alert_id(struct store *s, uint64_t *next_id, struct note *note)
{
    return session_each(s, "SELECT coalesce(max(alert_id), 0) + 1 FROM penstock.alert",
                        "reading the next alert_id", load_number, next_id, note);
}

int store_load_alerts(struct store *s, int (*each)(void *arg, const struct alert_row *row),
                      void *arg, uint64_t *next_id, struct note *note)
{
    struct alert_load load = {each, arg};
    int err = session_ready(s, note);
    if (err == 0)
        err = load_open_alerts(s, &load, note);
    if (err == 0)
        err = load_next_alert_id(s, next_id, note);
    return err;
}

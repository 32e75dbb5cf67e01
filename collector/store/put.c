/* Statements that write one row each: gaps, tests, alerts, what is set aside. */
#include "collector/store/session.h"
#include "collector/store/words.h"

int store_put_gap(struct store *s, const struct gap_row *row, struct note *note)
{
    int err = session_in_transaction(s, "writing a gap", note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_text(p, row->sensor);
    field_bigint(p, row->epoch);
    field_bigint(p, row->from_seq);
    field_bigint_or_null(p, row->to_seq);
    field_text(p, row->reason);
    field_instant(p, row->at);
    return session_run(s,
                       "INSERT INTO penstock.sensor_gap_entry"
                       " (sensor, epoch, from_seq, to_seq, reason, at)"
                       " VALUES ($1, $2, $3, $4, $5, $6)"
                       " ON CONFLICT (sensor, epoch, from_seq) DO UPDATE"
                       " SET to_seq = excluded.to_seq, reason = excluded.reason",
                       "writing a gap", note);
}

static void test_ingress(struct record *p, const struct ingress *at)
{
    field_text(p, at->router);
    field_text(p, at->interface);
    field_integer_or_null(p, at->vlan);
    field_mac_or_null(p, at->mac);
    field_bigint_or_null(p, at->peer_as);
}

/* The same test never begins twice, but its end may be known already after a sensor's restart. */
static int put_test_started(struct store *s, const char *sensor, const char *pop,
                            const struct event_test_started *t, struct note *note)
{
    struct record *p = session_parameters(s);
    field_uuid(p, t->test_id);
    field_text(p, sensor);
    field_text(p, pop);
    field_prefix(p, &t->prefix);
    test_ingress(p, &t->ingress);
    field_text_or_null(p, WORD_OF(test_mode_words, t->mode));
    field_text(p, t->rule);
    field_time(p, t->started_at);
    field_bigint_or_null(p, t->order_id);
    return session_run(s,
                       "INSERT INTO penstock.penny_test_entry"
                       " (test_id, sensor, pop, prefix, router, interface, vlan, mac, peer_as,"
                       " mode, rule, started_at, order_id)"
                       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
                       " ON CONFLICT (sensor, test_id) DO NOTHING",
                       "writing a test that began", note);
}

static void test_numbers(struct record *p, const struct event_test_ended *t)
{
    field_probability(p, t->genuine_probability);
    field_probability(p, t->genuine_fraction);
    field_probability(p, t->genuine_low);
    field_probability(p, t->genuine_high);
    field_real(p, t->genuine_evidence);
    field_real(p, t->open_evidence);
    field_bigint(p, t->flows);
    field_bigint(p, t->droppable);
    field_bigint(p, t->drops);
    field_bigint(p, t->retransmitted);
    field_bigint(p, t->unanswered);
    field_bigint(p, t->invalid);
    field_bigint(p, t->controls);
    field_bigint(p, t->duplicates);
    field_bigint_or_null(p, t->packets);
    field_bigint_or_null(p, t->data);
    field_bigint_or_null(p, t->order_id);
}

/* Stands on its own: the event of its beginning may be among those that a sensor gave up. */
static int put_test_ended(struct store *s, const char *sensor, const char *pop,
                          const struct event_test_ended *t, struct note *note)
{
    struct record *p = session_parameters(s);
    field_uuid(p, t->test_id);
    field_text(p, sensor);
    field_text(p, pop);
    field_prefix(p, &t->prefix);
    test_ingress(p, &t->ingress);
    field_text_or_null(p, WORD_OF(test_mode_words, t->mode));
    field_text(p, t->rule);
    field_time(p, t->started_at);
    field_time(p, t->ended_at);
    field_text_or_null(p, WORD_OF(verdict_words, t->verdict));
    field_text(p, t->reason);
    test_numbers(p, t);
    return session_run(
        s,
        "INSERT INTO penstock.penny_test_entry"
        " (test_id, sensor, pop, prefix, router, interface, vlan, mac, peer_as, mode, rule,"
        " started_at, ended_at, verdict, reason, genuine_probability, genuine_fraction,"
        " genuine_low, genuine_high, genuine_evidence, open_evidence, flows, droppable, drops,"
        " retransmitted, unanswered, invalid, controls, duplicates, packets, data, order_id)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
        " $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)"
        " ON CONFLICT (sensor, test_id) DO UPDATE SET"
        " ended_at = excluded.ended_at, verdict = excluded.verdict, reason = excluded.reason,"
        " genuine_probability = excluded.genuine_probability,"
        " genuine_fraction = excluded.genuine_fraction, genuine_low = excluded.genuine_low,"
        " genuine_high = excluded.genuine_high, genuine_evidence = excluded.genuine_evidence,"
        " open_evidence = excluded.open_evidence, flows = excluded.flows,"
        " droppable = excluded.droppable, drops = excluded.drops,"
        " retransmitted = excluded.retransmitted, unanswered = excluded.unanswered,"
        " invalid = excluded.invalid, controls = excluded.controls,"
        " duplicates = excluded.duplicates, packets = excluded.packets, data = excluded.data,"
        " order_id = excluded.order_id",
        "writing a test that ended", note);
}

int store_put_event(struct store *s, const char *sensor, const char *pop, const struct event *e,
                    struct note *note)
{
    int err = session_in_transaction(s, "writing an event", note);
    bool taken = false;
    if (err == 0)
        err = copy_event(s, sensor, pop, e, &taken, note);
    if (err != 0 || taken)
        return err;
    if (e->type == EVENT_test_started)
        return put_test_started(s, sensor, pop, &e->test_started, note);
    if (e->type == EVENT_test_ended)
        return put_test_ended(s, sensor, pop, &e->test_ended, note);
    return 0; /* the roster keeps what the others say */
}

/* The parameters of an alert's row, in the order of its statement. */
static void alert_fields(struct record *p, const struct alert_row *row)
{
    field_bigint(p, row->alert_id);
    field_text(p, row->fingerprint);
    field_text(p, row->kind);
    field_text(p, row->severity);
    field_probability(p, row->confidence == row->confidence ? row->confidence : 0);
    field_text_or_null(p, WORD_OF(alert_state_words, row->state));
    field_prefix(p, &row->prefix);
    field_text_or_null(p, row->pop);
    field_text_or_null(p, row->at.router);
    field_text_or_null(p, row->at.interface);
    field_bigint_or_null(p, row->at.peer_as);
    field_text(p, row->summary);
    field_text_or_null(p, row->expected);
    field_text_or_null(p, row->evidence);
    field_instant(p, row->started_at);
    field_instant(p, row->updated_at);
    field_time(p, row->resolved_at);
    field_text_or_null(p, row->acknowledged_by);
    field_integer_or_null(p, row->at.vlan);
    field_mac_or_null(p, row->at.mac);
    field_text_or_null(p, row->sensor);
    field_boolean(p, row->is_standing);
    field_integer(p, row->flaps);
    field_text_or_null(p, row->suppressed_by);
    field_text_or_null(p, row->runbook);
    field_bigint(p, row->words);
}

/* What a person said or took back meanwhile stands until the collector has heard it (words), or the
 * alert ends; who said it is a person's column altogether. *state_kept: it stands against the new
 * state. */
static int put_alert_row(struct store *s, const struct alert_row *row, bool *state_kept,
                         struct note *note)
{
    PGresult *res;
    alert_fields(session_parameters(s), row);
    int err = session_ask(
        s,
        "INSERT INTO penstock.alert AS a (alert_id, fingerprint, kind, severity, confidence,"
        " state, prefix, pop, router, interface, peer_as, summary, expected, evidence,"
        " started_at, updated_at, resolved_at, acknowledged_by, vlan, mac, sensor, is_standing,"
        " flaps, suppressed_by, runbook, words)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, penstock.jsonb_of($13),"
        " penstock.jsonb_of($14), $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)"
        " ON CONFLICT (alert_id) DO UPDATE SET severity = excluded.severity,"
        " confidence = excluded.confidence,"
        " state = CASE WHEN excluded.state <> 'resolved' AND a.words <> excluded.words"
        " THEN a.state ELSE excluded.state END,"
        " summary = excluded.summary, sensor = excluded.sensor,"
        " expected = excluded.expected, evidence = excluded.evidence,"
        " updated_at = excluded.updated_at, resolved_at = excluded.resolved_at,"
        " is_standing = excluded.is_standing, flaps = excluded.flaps,"
        " suppressed_by = excluded.suppressed_by, runbook = excluded.runbook"
        " RETURNING a.state <> $6",
        "writing an alert", &res, note);
    if (err != 0)
        return err;
    *state_kept = column_boolean(&(struct columns){.result = res});
    PQclear(res);
    return 0;
}

/* Into the journal, and to who listens. */
static int announce_alert(struct store *s, uint64_t alert_id, struct note *note)
{
    struct record *p = session_parameters(s);
    field_bigint(p, alert_id);
    return session_run(s,
                       "WITH told AS (INSERT INTO penstock.alert_event"
                       " (alert_id, at, state, document)"
                       " SELECT a.alert_id, a.updated_at, a.state, to_jsonb(a) - 'words'"
                       " FROM penstock.alert AS a WHERE a.alert_id = $1::bigint"
                       " RETURNING alert_id)"
                       " SELECT pg_catalog.pg_notify('penstock_alert', alert_id::text) FROM told",
                       "announcing an alert", note);
}

int store_put_alert(struct store *s, const struct alert_row *row, bool announce, struct note *note)
{
    bool state_kept = false;
    int err = session_in_transaction(s, "writing an alert", note);
    if (err == 0)
        err = put_alert_row(s, row, &state_kept, note);
    if (err == 0 && announce && !state_kept)
        err = announce_alert(s, row->alert_id, note);
    return err;
}

int store_put_malformed(struct store *s, const char *sensor, uint64_t epoch, uint64_t seq,
                        const char *reason, const uint8_t *bytes, size_t len, struct note *note)
{
    int err = session_in_transaction(s, "setting an event aside", note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_text(p, sensor);
    field_bigint(p, epoch);
    field_bigint(p, seq);
    field_text(p, reason);
    field_bytea(p, bytes, len);
    return session_run(s,
                       "INSERT INTO penstock.malformed_event (sensor, epoch, seq, reason, bytes)"
                       " VALUES ($1, $2, $3, $4, $5)",
                       "setting an event aside", note);
}

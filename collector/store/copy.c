/* Event rows by COPY BINARY.
 *
 * They are on their way to the database while the next are still decoded: what a table
 * gathered is sent into its open COPY once there is STREAM_BYTES of it, and whether the database
 * took it is asked when the COPY ends: when another statement is due, another table's rows, or the
 * commit. So this thread and the database work at the same time (docs/benchmarks.md, "Delivery").
 */
#include <time.h>

#include "collector/store/session.h"
#include "collector/store/words.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* Rows of the table whose COPY is open are sent when there are so many bytes of them: less than a
 * socket's buffer, so that sending mostly does not wait, and much more than a system call costs. */
#define STREAM_BYTES (64u << 10)
/* Another table's rows wait longer, for one COPY must end, and the database have taken all of it,
 * before the next begins. */
#define SWITCH_BYTES (256u << 10)

static void row_ingress(struct record *r, const struct ingress *at)
{
    field_text(r, at->router);
    field_text(r, at->interface);
    field_integer_or_null(r, at->vlan);
    field_mac_or_null(r, at->mac);
    field_bigint_or_null(r, at->peer_as);
}

static void row_status(struct record *r, const struct event *e)
{
    const struct event_sensor_status *x = &e->sensor_status;
    field_time(r, x->started_at);
    field_time(r, x->ended_at);
    field_bigint(r, x->packets);
    field_bigint(r, x->bytes);
    field_bigint(r, x->forwarded);
    field_bigint(r, x->dropped);
    field_bigint(r, x->malformed);
    field_bigint(r, x->missed);
}

static void row_tally(struct record *r, const struct event *e)
{
    const struct event_tally *x = &e->tally;
    field_time(r, x->started_at);
    field_time(r, x->ended_at);
    field_prefix(r, &x->prefix);
    row_ingress(r, &x->ingress);
    field_bigint(r, x->packets);
    field_bigint(r, x->bytes);
    field_bigint(r, x->flows);
}

static void row_drop(struct record *r, const struct event *e)
{
    const struct event_drop *x = &e->drop;
    field_uuid(r, x->test_id);
    field_addr(r, &x->src);
    field_addr(r, &x->dst);
    field_integer(r, x->src_port);
    field_integer(r, x->dst_port);
    field_bigint(r, x->seq);
    field_bigint(r, x->length);
    field_time(r, x->dropped_at);
    field_text_or_null(r, WORD_OF(drop_outcome_words, x->outcome));
    field_span(r, x->answered_after);
}

static void row_scan_window(struct record *r, const struct event *e)
{
    const struct event_scan_window *x = &e->scan_window;
    field_time(r, x->started_at);
    field_time(r, x->ended_at);
    field_text_or_null(r, WORD_OF(scan_direction_words, x->direction));
    field_real(r, x->total_entropy);
    field_reals(r, &x->bin_entropy);
    field_bigint(r, x->probes);
    field_bigint(r, x->probes_fin);
    field_bigint(r, x->probes_null);
    field_bigint(r, x->probes_xmas);
    field_bigint(r, x->probes_udp);
    field_bigint(r, x->probes_icmp);
}

static void row_passive_flow(struct record *r, const struct event *e)
{
    const struct event_passive_flow *x = &e->passive_flow;
    field_uuid(r, x->test_id);
    field_addr(r, &x->src);
    field_addr(r, &x->dst);
    field_integer(r, x->src_port);
    field_integer(r, x->dst_port);
    field_time(r, x->started_at);
    field_time(r, x->ended_at);
    field_text_or_null(r, WORD_OF(passive_start_words, x->start_reason));
    field_text_or_null(r, WORD_OF(passive_end_words, x->end_reason));
    field_bigint(r, x->data);
    field_bigint(r, x->pure_ack);
    field_bigint(r, x->keep_alives);
    field_bigint(r, x->in_order);
    field_bigint(r, x->out_of_order);
    field_bigint(r, x->duplicates);
    field_bigint(r, x->gaps);
    field_bigint(r, x->gaps_late);
    field_bigint(r, x->gaps_open);
    field_bigint(r, x->gaps_forgotten);
    field_bigint(r, x->bytes);
    field_bigint(r, x->unseen);
    field_probability(r, x->coverage);
    field_boolean(r, x->rst);
    field_boolean(r, x->syn_only);
}

static void row_passive_total(struct record *r, const struct event *e)
{
    const struct event_passive_total *x = &e->passive_total;
    field_uuid(r, x->test_id);
    field_prefix(r, &x->prefix);
    row_ingress(r, &x->ingress);
    field_time(r, x->started_at);
    field_time(r, x->ended_at);
    field_bigint(r, x->flows);
    field_bigint(r, x->flows_listed);
    field_bigint(r, x->flows_refused);
    field_bigint(r, x->flows_mid_stream);
    field_bigint(r, x->flows_syn_only);
    field_bigint(r, x->ended_fin);
    field_bigint(r, x->ended_rst);
    field_bigint(r, x->ended_idle);
    field_bigint(r, x->ended_replaced);
    field_bigint(r, x->ended_stopped);
    field_bigint(r, x->data);
    field_bigint(r, x->pure_ack);
    field_bigint(r, x->keep_alives);
    field_bigint(r, x->in_order);
    field_bigint(r, x->out_of_order);
    field_bigint(r, x->duplicates);
    field_bigint(r, x->gaps);
    field_bigint(r, x->gaps_late);
    field_bigint(r, x->gaps_unfilled);
    field_bigint(r, x->gaps_open);
    field_bigint(r, x->gaps_forgotten);
    field_bigint(r, x->bytes);
    field_bigint(r, x->unseen);
    field_probability(r, x->coverage);
    field_real(r, x->likelihood_ratio);
}

/* Every event table begins with these five. */
#define EVENT_COLUMNS      "sensor, epoch, event_seq, at, pop, "
#define EVENT_COLUMN_COUNT 5

#define SIDE_COLUMNS(side)                                                                   \
    " " side "_pop, " side "_router, " side "_interface, " side "_vlan, " side "_mac, " side \
    "_peer_as, " side "_state, " side "_share_before, " side "_share_after, " side           \
    "_probability_before, " side "_probability_after"
#define COPY_CELL(number)                                                                        \
    "COPY penstock.ingress_cell_" number " (prefix, pop, router, interface, vlan, mac, peer_as," \
    " weight, recent, first_seen, last_seen, packets, bytes, turn) FROM STDIN (FORMAT binary)"

static const struct copy_table {
    unsigned event_type;
    const char *name;
    const char *copy_sql;
    int16_t columns; /* beyond the five */
    void (*row)(struct record *r, const struct event *e);
} tables[TABLE_COUNT] = {
    [TABLE_STATUS] = {EVENT_sensor_status, "sensor_status",
                      "COPY penstock.sensor_status (" EVENT_COLUMNS
                      "started_at, ended_at, packets, bytes, forwarded, dropped, malformed, missed)"
                      " FROM STDIN (FORMAT binary)",
                      8, row_status},
    [TABLE_TALLY] = {EVENT_tally, "ingress_tally",
                     "COPY penstock.ingress_tally (" EVENT_COLUMNS
                     "started_at, ended_at, prefix, router, interface, vlan, mac, peer_as,"
                     " packets, bytes, flows, turn) FROM STDIN (FORMAT binary)",
                     12, row_tally},
    [TABLE_DROP] = {EVENT_drop, "penny_drop_entry",
                    "COPY penstock.penny_drop_entry (" EVENT_COLUMNS
                    "test_id, src, dst, src_port, dst_port, seq, length, dropped_at, outcome,"
                    " answered_after) FROM STDIN (FORMAT binary)",
                    10, row_drop},
    [TABLE_SCAN_WINDOW] = {EVENT_scan_window, "scan_window_entry",
                           "COPY penstock.scan_window_entry (" EVENT_COLUMNS
                           "started_at, ended_at, direction, total_entropy, bin_entropy, probes,"
                           " probes_fin, probes_null, probes_xmas, probes_udp, probes_icmp)"
                           " FROM STDIN (FORMAT binary)",
                           11, row_scan_window},
    [TABLE_PASSIVE_FLOW] =
        {EVENT_passive_flow, "passive_flow_entry",
         "COPY penstock.passive_flow_entry (" EVENT_COLUMNS
         "test_id, src, dst, src_port, dst_port, started_at, ended_at,"
         " start_reason, end_reason, data, pure_ack, keep_alives, in_order,"
         " out_of_order, duplicates, gaps, gaps_late, gaps_open,"
         " gaps_forgotten, bytes, unseen, coverage, rst, syn_only) FROM STDIN (FORMAT binary)",
         24, row_passive_flow},
    [TABLE_PASSIVE_TOTAL] = {EVENT_passive_total, "passive_total_entry",
                             "COPY penstock.passive_total_entry (" EVENT_COLUMNS
                             "test_id, prefix, router, interface, vlan, mac, peer_as,"
                             " started_at, ended_at, flows, flows_listed, flows_refused,"
                             " flows_mid_stream, flows_syn_only, ended_fin, ended_rst,"
                             " ended_idle, ended_replaced, ended_stopped, data, pure_ack,"
                             " keep_alives, in_order, out_of_order, duplicates, gaps, gaps_late,"
                             " gaps_unfilled, gaps_open, gaps_forgotten, bytes, unseen, coverage,"
                             " likelihood_ratio) FROM STDIN (FORMAT binary)",
                             34, row_passive_total},
    [TABLE_CHANGE] = {0, "ingress_change_entry",
                      "COPY penstock.ingress_change_entry (at, prefix, other, kind," SIDE_COLUMNS(
                          "from") "," SIDE_COLUMNS("to") ") FROM STDIN (FORMAT binary)",
                      26, NULL},
    [TABLE_CELL_0] = {0, "ingress_cell_0", COPY_CELL("0"), 14, NULL},
    [TABLE_CELL_1] = {0, "ingress_cell_1", COPY_CELL("1"), 14, NULL},
};

/* Which partition holds that time: as penstock.partition_add() cuts them. */
static unsigned partition_of(int64_t at)
{
    time_t second = (time_t)(at / (int64_t)NS_PER_S);
    struct tm utc = {0};
    if (at >= 0)
        gmtime_r(&second, &utc);
    if (utc.tm_year < 2026 - 1900)
        return 0;
    if (utc.tm_year >= 2051 - 1900)
        return PARTITION_COUNT - 1;
    return 1 + (unsigned)(utc.tm_year - (2026 - 1900)) * 12 + (unsigned)utc.tm_mon;
}

static int put_partition(struct store *s, enum event_table t, int64_t at, struct note *note)
{
    struct record *p = session_parameters(s);
    field_text(p, tables[t].name);
    field_instant(p, at);
    return session_run(s, "SELECT penstock.partition_add($1, $2)", "making a partition", note);
}

static int partition_ensure(struct store *s, enum event_table t, int64_t at, struct note *note)
{
    bool *known = &s->partitions[t][partition_of(at)];
    int err = *known ? 0 : put_partition(s, t, at, note);
    if (err == 0)
        *known = true;
    return err;
}

/* Sends what waits for that table into its COPY, which stays open. */
static int stream_events(struct store *s, enum event_table t, struct note *note)
{
    struct record *rows = &s->events[t];
    if (rows->len == 0 && !rows->failed)
        return 0;
    int err = session_copy_open(s, tables[t].copy_sql, tables[t].name, note);
    if (err == 0)
        err = session_copy_rows(s, rows, note);
    record_empty(rows);
    return err;
}

int copy_flush(struct store *s, struct note *note)
{
    int err = 0;
    for (enum event_table t = 0; err == 0 && t < TABLE_COUNT; t++)
        err = stream_events(s, t, note);
    return err == 0 ? session_copy_close(s, note) : err;
}

static int row_added(struct store *s, enum event_table t, struct note *note)
{
    bool is_open = s->copying == NULL || s->copying == tables[t].name;
    return s->events[t].len >= (is_open ? STREAM_BYTES : SWITCH_BYTES) ? stream_events(s, t, note)
                                                                       : 0;
}

int copy_event(struct store *s, const char *sensor, const char *pop, const struct event *e,
               bool *taken, struct note *note)
{
    enum event_table t = 0;
    while (t < TABLE_COUNT && tables[t].event_type != e->type)
        t++;
    *taken = t < TABLE_COUNT && tables[t].row != NULL;
    if (!*taken)
        return 0;
    int err = partition_ensure(s, t, e->at, note);
    if (err != 0)
        return err;
    struct record *r = &s->events[t];
    record_count(r, (int16_t)(EVENT_COLUMN_COUNT + tables[t].columns));
    field_text(r, sensor);
    field_bigint(r, e->epoch);
    field_bigint(r, e->seq);
    field_instant(r, e->at);
    field_text(r, pop);
    tables[t].row(r, e);
    if (t == TABLE_TALLY)
        field_bigint(r, s->next.count);
    return row_added(s, t, note);
}

static void change_side(struct record *r, const struct ingress_side *x)
{
    if (!x->is_there) {
        for (int i = 0; i < 11; i++)
            field_null(r);
        return;
    }
    field_text(r, x->pop);
    field_text_or_null(r, x->at.router);
    field_text_or_null(r, x->at.interface);
    field_integer_or_null(r, x->at.vlan);
    field_mac_or_null(r, x->at.mac);
    field_bigint_or_null(r, x->at.peer_as);
    field_text_or_null(r, WORD_OF(ingress_state_words, x->state));
    field_probability(r, x->share_before);
    field_probability(r, x->share_after);
    const double probabilities[] = {x->probability_before, x->probability_after};
    for (size_t i = 0; i < 2; i++) {
        if (x->has_evidence)
            field_probability(r, probabilities[i]);
        else
            field_null(r);
    }
}

int copy_change(struct store *s, const struct ingress_change *c, struct note *note)
{
    struct record *r = &s->events[TABLE_CHANGE];
    int err = partition_ensure(s, TABLE_CHANGE, c->at, note);
    if (err != 0)
        return err;
    record_count(r, tables[TABLE_CHANGE].columns);
    field_instant(r, c->at);
    field_prefix(r, &c->prefix);
    if (c->other.addr.family == 0)
        field_null(r);
    else
        field_prefix(r, &c->other);
    field_text_or_null(r, WORD_OF(ingress_change_words, c->kind));
    change_side(r, &c->from);
    change_side(r, &c->to);
    return row_added(s, TABLE_CHANGE, note);
}

int copy_cell(struct store *s, const struct ingress_cell *c, struct note *note)
{
    enum event_table t = s->generation == 0 ? TABLE_CELL_0 : TABLE_CELL_1;
    struct record *r = &s->events[t];
    record_count(r, tables[t].columns);
    field_prefix(r, &c->prefix);
    field_text(r, c->pop);
    field_text(r, c->at.router);
    field_text(r, c->at.interface);
    field_integer(r, c->at.vlan);
    field_mac(r, c->at.mac);
    field_bigint(r, c->at.peer_as);
    field_real(r, c->weight);
    field_real(r, c->recent);
    field_time(r, c->first_seen);
    field_time(r, c->last_seen);
    field_bigint(r, c->packets);
    field_bigint(r, c->bytes);
    field_bigint(r, s->next.count);
    return row_added(s, t, note);
}

void copy_forget(struct store *s)
{
    for (enum event_table t = 0; t < TABLE_COUNT; t++)
        record_empty(&s->events[t]);
    s->copying = NULL; /* a rollback ends it */
}

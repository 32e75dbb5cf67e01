/* Orders: table test_order, which people write, too. What they may say is a new row and a state;
 * all else is the collector's, and a state that they said stands against the collector's. */
#include <stdio.h>
#include <string.h>

#include "collector/store/session.h"
#include "collector/store/words.h"

struct order_load {
    int (*each)(void *arg, const struct order_row *row);
    void *arg;
};

static void load_uuid(struct columns *c, uint8_t out[static 16])
{
    char text[UUID_TEXT];
    column_text(c, text, sizeof text);
    unsigned at = 0;
    for (const char *t = text; t[0] != '\0' && t[1] != '\0' && at < 16; t += 2) {
        unsigned byte;
        if (*t == '-')
            t++;
        if (sscanf(t, "%2x", &byte) != 1)
            return;
        out[at++] = (uint8_t)byte;
    }
}

static int load_verdict(struct columns *c)
{
    char text[32];
    column_text(c, text, sizeof text);
    for (unsigned i = 0; i < WORD_COUNT(verdict_words); i++)
        if (strcmp(verdict_words[i], text) == 0)
            return (int)i;
    return -1;
}

static enum order_status load_state(struct columns *c)
{
    char text[16];
    column_text(c, text, sizeof text);
    for (unsigned i = 0; i <= STATUS_CANCELLED; i++)
        if (strcmp(order_status_word[i], text) == 0)
            return (enum order_status)i;
    return STATUS_FAILED;
}

static int load_order(void *arg, struct columns *c)
{
    const struct order_load *load = arg;
    struct order_row row = {.order_id = column_bigint(c), .prefix = column_prefix(c)};
    column_text(c, row.pop, sizeof row.pop);
    column_text(c, row.sensor, sizeof row.sensor);
    column_text(c, row.requested_by, sizeof row.requested_by);
    column_text(c, row.reason, sizeof row.reason);
    row.state = load_state(c);
    row.requested_at = column_time(c);
    row.started_at = column_time(c);
    row.ended_at = column_time(c);
    load_uuid(c, row.test_id);
    row.verdict = load_verdict(c);
    column_text(c, row.result, sizeof row.result);
    column_text(c, row.detail, sizeof row.detail);
    row.max_drops = column_bigint(c);
    row.drops = column_bigint(c);
    row.packets = column_bigint(c);
    row.data = column_bigint(c);
    row.lease_until = column_time(c);
    row.process = column_bigint(c);
    return load->each(load->arg, &row);
}

#define ORDER_COLUMNS                                                                          \
    "SELECT order_id, prefix, pop, sensor, requested_by, reason, state, requested_at,"         \
    " started_at, ended_at, test_id::text, verdict, result, detail, max_drops::bigint, drops," \
    " packets, data, lease_until, process FROM penstock.test_order"

int store_load_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note)
{
    struct order_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(
        s,
        "SELECT * FROM (" ORDER_COLUMNS " WHERE ended_at IS NULL OR lease_until IS NOT NULL"
        " UNION ALL " ORDER_COLUMNS " WHERE started_at > now() - interval '25 hours'"
        " AND ended_at IS NOT NULL AND lease_until IS NULL) o"
        " ORDER BY lease_until IS NULL, ended_at NULLS LAST, order_id",
        "reading the orders", load_order, &load, note);
}

int store_open_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note)
{
    struct order_load load = {each, arg};
    return session_each(s, ORDER_COLUMNS " WHERE ended_at IS NULL ORDER BY order_id LIMIT 10000",
                        "reading open orders", load_order, &load, note);
}

static void uuid_or_null(struct record *p, const uint8_t id[static 16])
{
    static const uint8_t none[16];
    if (memcmp(id, none, 16) == 0)
        field_null(p);
    else
        field_uuid(p, id);
}

static void order_fields(struct record *p, const struct order_row *row)
{
    field_text_or_null(p, row->pop);
    field_text_or_null(p, row->sensor);
    field_text(p, order_status_word[row->state]);
    field_time(p, row->started_at);
    field_time(p, row->ended_at);
    uuid_or_null(p, row->test_id);
    field_text_or_null(p, row->verdict < 0 ? NULL : WORD_OF(verdict_words, row->verdict));
    field_text_or_null(p, row->result);
    field_text(p, row->detail);
    field_integer_or_null(p, row->max_drops);
    field_bigint_or_null(p, row->drops);
    field_bigint_or_null(p, row->packets);
    field_bigint_or_null(p, row->data);
    field_time(p, row->lease_until);
    field_bigint_or_null(p, row->process);
}

static int number_order(struct store *s, const struct order_row *row, uint64_t *order_id,
                        struct note *note)
{
    struct record *p = session_parameters(s);
    order_fields(p, row);
    field_prefix(p, &row->prefix);
    field_text(p, row->requested_by);
    field_text(p, row->reason);
    field_instant(p, row->requested_at);
    PGresult *res;
    int err = session_ask(s,
                          "INSERT INTO penstock.test_order"
                          " (pop, sensor, state, started_at, ended_at, test_id, verdict, result,"
                          " detail, max_drops, drops, packets, data, lease_until, process, prefix,"
                          " requested_by, reason, requested_at)"
                          " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
                          " $15, $16, $17, $18, $19) RETURNING order_id",
                          "writing a new order", &res, note);
    if (err != 0)
        return err;
    *order_id = column_bigint(&(struct columns){.result = res});
    PQclear(res);
    return 0;
}

/* A person's transaction that was left open may hold the row for hours: it is not waited for. One
 * that somebody deleted is as good as written. */
static int write_order(struct store *s, const struct order_row *row, struct note *note)
{
    struct record *p = session_parameters(s);
    order_fields(p, row);
    field_bigint(p, row->order_id);
    PGresult *res;
    int err = session_ask(
        s,
        "WITH free AS (SELECT order_id FROM penstock.test_order WHERE order_id = $16"
        " FOR NO KEY UPDATE SKIP LOCKED),"
        " written AS (UPDATE penstock.test_order o SET pop = $1, sensor = $2,"
        " state = CASE WHEN o.state = 'cancelled' THEN o.state ELSE $3 END,"
        " started_at = $4, ended_at = $5, test_id = $6, verdict = $7, result = $8,"
        " detail = $9, max_drops = $10, drops = $11, packets = $12, data = $13,"
        " lease_until = $14, process = $15 FROM free WHERE o.order_id = free.order_id RETURNING 1)"
        " SELECT EXISTS (SELECT FROM written)"
        " OR NOT EXISTS (SELECT FROM penstock.test_order WHERE order_id = $16)",
        "writing an order", &res, note);
    if (err != 0)
        return err;
    bool is_done = column_boolean(&(struct columns){.result = res});
    PQclear(res);
    return is_done ? 0 : 1;
}

int store_put_order(struct store *s, const struct order_row *row, uint64_t *order_id,
                    struct note *note)
{
    int err = session_in_transaction(s, "writing an order", note);
    *order_id = row->order_id;
    if (err != 0)
        return err;
    if (row->order_id == 0)
        return number_order(s, row, order_id, note);
    return write_order(s, row, note);
}

/* Orders in SQL: what is written is read, people's words stand, and who may say them. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "shared/base/clock.h"
#include "tests/support/pg_store.h"

#define NOV2026 (INT64_C(1795251600) * (int64_t)NS_PER_S) /* 2026-11-21 09:00 UTC */

static struct order_row read_rows[8];
static unsigned read_count;

static int begin(void **state)
{
    (void)state;
    PQclear(PQexec(client, "RESET ROLE; TRUNCATE penstock.test_order RESTART IDENTITY"));
    read_count = 0;
    return store_load_begin(store, &note);
}

/* The first value; or the SQLSTATE of a refusal. */
static const char *ask(const char *sql)
{
    static char out[256];
    PGresult *r = PQexec(client, sql);
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    snprintf(out, sizeof out, "%s",
             state != NULL      ? state
             : PQntuples(r) > 0 ? PQgetvalue(r, 0, 0)
                                : "");
    PQclear(r);
    return out;
}

static int keep(void *arg, const struct order_row *row)
{
    (void)arg;
    if (read_count < 8)
        read_rows[read_count++] = *row;
    return 0;
}

static struct order_row full_row(void)
{
    struct order_row row = {.pop = "AMS",
                            .sensor = "ams1",
                            .requested_by = "penstock",
                            .reason = "because",
                            .state = STATUS_RUNNING,
                            .requested_at = NOV2026,
                            .started_at = NOV2026 + 1000,
                            .test_id = {0xab, [7] = 7, [15] = 1},
                            .verdict = VERDICT_MIXED,
                            .max_drops = 60,
                            .drops = 12,
                            .packets = 1000,
                            .data = 900,
                            .lease_until = NOV2026 + 190 * (int64_t)NS_PER_S,
                            .process = INT64_MAX};
    assert_int_equal(prefix_parse("2001:db8:77::/48", &row.prefix), 0);
    return row;
}

static uint64_t put(const struct order_row *row)
{
    uint64_t id;
    ok(store_begin(store, &note));
    ok(store_put_order(store, row, &id, &note));
    ok(store_commit(store, &note));
    return id;
}

static void assert_same(const struct order_row *a, const struct order_row *b)
{
    assert_true(a->order_id == b->order_id && prefix_equal(&a->prefix, &b->prefix));
    assert_string_equal(a->pop, b->pop);
    assert_string_equal(a->sensor, b->sensor);
    assert_string_equal(a->requested_by, b->requested_by);
    assert_string_equal(a->reason, b->reason);
    assert_true(a->state == b->state && a->verdict == b->verdict && a->drops == b->drops);
    assert_true(a->requested_at == b->requested_at && a->started_at == b->started_at);
    assert_true(a->ended_at == b->ended_at && a->lease_until == b->lease_until);
    assert_memory_equal(a->test_id, b->test_id, 16);
    assert_string_equal(a->result, b->result);
    assert_string_equal(a->detail, b->detail);
    assert_true(a->max_drops == b->max_drops && a->packets == b->packets && a->data == b->data);
    assert_true(a->process == b->process);
}

/* ---- promises ---- */

static void an_order_is_numbered_by_the_database_and_read_as_it_was_written(void **state)
{
    (void)state;
    struct order_row row = full_row();
    assert_int_equal(put(&row), 1);
    row.order_id = 1;
    ok(store_load_orders(store, keep, NULL, &note));
    assert_int_equal(read_count, 1);
    assert_same(&read_rows[0], &row);
    row.state = STATUS_ENDED;
    row.ended_at = NOV2026 + 5000;
    row.lease_until = 0;
    strcpy(row.result, "ended");
    strcpy(row.detail, "in words");
    put(&row);
    read_count = 0;
    ok(store_open_orders(store, keep, NULL, &note));
    assert_int_equal(read_count, 0);
    assert_string_equal(ask("SELECT state || ' ' || result || ' ' || ended_at - requested_at"
                            " FROM penstock.test_order"),
                        "ended ended 00:00:00.000005");
}

static void what_was_never_said_is_null_and_reads_as_nothing(void **state)
{
    (void)state;
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix) VALUES ('203.0.113.0/24')"
                            " RETURNING state || ' ' || (requested_by = session_user)::text"),
                        "requested true");
    ok(store_open_orders(store, keep, NULL, &note));
    assert_int_equal(read_count, 1);
    assert_true(read_rows[0].verdict == -1 && read_rows[0].max_drops == 0);
    assert_true(read_rows[0].pop[0] == '\0' && read_rows[0].lease_until == 0);
    put(&read_rows[0]);
    assert_string_equal(ask("SELECT num_nulls(pop, sensor, started_at, ended_at, test_id, verdict,"
                            " result, max_drops, drops, packets, data, lease_until, process)"
                            " FROM penstock.test_order"),
                        "13");
}

static void who_cancelled_an_order_has_the_last_word(void **state)
{
    (void)state;
    struct order_row row = full_row();
    row.order_id = put(&row);
    ask("UPDATE penstock.test_order SET state = 'cancelled'");
    row.drops = 13;
    put(&row); /* the collector did not know yet */
    assert_string_equal(ask("SELECT state || drops FROM penstock.test_order"), "cancelled13");
    ok(store_open_orders(store, keep, NULL, &note));
    assert_int_equal(read_rows[0].state, STATUS_CANCELLED);
}

static void every_word_about_an_order_is_told_to_listeners(void **state)
{
    (void)state;
    unsigned what = 0;
    ok(store_listen(store, &note));
    ok(store_heard(store, &what, &note));
    ask("INSERT INTO penstock.test_order (prefix) VALUES ('203.0.113.0/24')");
    for (unsigned i = 0; i < 100 && (what & HEARD_ORDER) == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        ok(store_heard(store, &what, &note));
    }
    assert_true((what & HEARD_ORDER) != 0);
}

static void leases_and_late_orders_are_loaded_and_old_ones_are_not(void **state)
{
    (void)state;
    ask("INSERT INTO penstock.test_order (prefix, state, started_at, ended_at, lease_until) VALUES"
        " ('10.0.0.0/24', 'failed', now() - interval '3 days', now() - interval '3 days', now()),"
        " ('10.0.1.0/24', 'ended', now() - interval '2 hours', now() - interval '2 hours', NULL),"
        " ('10.0.2.0/24', 'ended', now() - interval '3 days', now() - interval '3 days', NULL),"
        " ('10.0.3.0/24', 'requested', NULL, NULL, NULL)");
    ok(store_load_orders(store, keep, NULL, &note));
    assert_int_equal(read_count, 3);
    assert_true(read_rows[0].prefix.addr.bytes[2] == 0 && read_rows[1].prefix.addr.bytes[2] == 1);
    assert_true(read_rows[2].prefix.addr.bytes[2] == 3); /* those that are over first */
}

static void operators_order_readers_look_and_nobody_writes_nonsense(void **state)
{
    (void)state;
    assert_string_equal(ask("SET ROLE penstock_operator"), "");
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix) VALUES ('10.0.0.0/24')"
                            " RETURNING order_id"),
                        "1");
    assert_string_equal(ask("UPDATE penstock.test_order SET state = 'cancelled' RETURNING state"),
                        "cancelled");
    assert_string_equal(ask("DELETE FROM penstock.test_order"), "42501");
    assert_string_equal(ask("UPDATE penstock.test_order SET state = 'done'"), "23514");
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix, max_drops)"
                            " VALUES ('10.0.0.0/24', 0)"),
                        "23514");
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix, mode)"
                            " VALUES ('10.0.0.0/24', 'passive')"),
                        "23514");
    /* a lease, and who asked, are not theirs to say */
    assert_string_equal(ask("UPDATE penstock.test_order SET lease_until = 'infinity'"), "42501");
    assert_string_equal(ask("UPDATE penstock.test_order SET prefix = '10.0.1.0/24'"), "42501");
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix, requested_by)"
                            " VALUES ('10.0.0.0/24', 'penstock')"),
                        "42501");
    assert_string_equal(ask("RESET ROLE; SET ROLE penstock_reader"), "");
    assert_string_equal(ask("SELECT count(*) FROM penstock.test_order"), "1");
    assert_string_equal(ask("INSERT INTO penstock.test_order (prefix) VALUES ('10.0.0.0/24')"),
                        "42501");
}

static void a_text_that_is_cut_stays_text_that_the_database_takes(void **state)
{
    (void)state;
    /* 30 bytes, and a letter of two: the cut goes through it */
    ask("INSERT INTO penstock.test_order (prefix, pop, sensor, detail) VALUES ('10.0.0.0/24',"
        " repeat('a', 30) || 'ü', repeat('a', 62) || 'ü', repeat('a', 93) || '€')");
    ok(store_open_orders(store, keep, NULL, &note));
    assert_int_equal(strlen(read_rows[0].pop), 30);
    put(&read_rows[0]);
    assert_string_equal(ask("SELECT pop = repeat('a', 30) FROM penstock.test_order"), "t");
}

static void a_row_that_somebody_holds_is_not_waited_for_and_one_deleted_is_done(void **state)
{
    (void)state;
    struct order_row row = full_row();
    uint64_t id = row.order_id = put(&row);
    ask("BEGIN");
    ask("UPDATE penstock.test_order SET state = 'cancelled'"); /* and then a phone call */
    ok(store_begin(store, &note));
    row.drops = 13;
    assert_int_equal(store_put_order(store, &row, &id, &note), 1);
    ok(store_commit(store, &note));
    ask("COMMIT");
    put(&row);
    assert_string_equal(ask("SELECT state || drops FROM penstock.test_order"), "cancelled13");
    ask("TRUNCATE penstock.test_order");
    put(&row);
}

static void old_orders_are_forgotten_but_no_lease_and_none_that_is_open(void **state)
{
    (void)state;
    const struct store_keep keep_days = {.events_ns = 10 * 86400 * NS_PER_S};
    unsigned dropped;
    ask("INSERT INTO penstock.test_order (prefix, requested_at, ended_at, lease_until) VALUES"
        " ('10.0.0.0/24', '2026-11-01', '2026-11-01', NULL),"
        " ('10.0.1.0/24', '2026-11-01', '2026-11-01', '2026-11-01'),"
        " ('10.0.2.0/24', '2026-11-01', NULL, NULL),"
        " ('10.0.3.0/24', '2026-11-20', '2026-11-20', NULL)");
    ok(store_forget(store, &keep_days, NOV2026, &dropped, &note));
    assert_string_equal(ask("SELECT string_agg(host(prefix), ' ' ORDER BY order_id)"
                            " FROM penstock.test_order"),
                        "10.0.1.0 10.0.2.0 10.0.3.0");
}

#define test(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_order_is_numbered_by_the_database_and_read_as_it_was_written),
        test(what_was_never_said_is_null_and_reads_as_nothing),
        test(who_cancelled_an_order_has_the_last_word),
        test(every_word_about_an_order_is_told_to_listeners),
        test(leases_and_late_orders_are_loaded_and_old_ones_are_not),
        test(operators_order_readers_look_and_nobody_writes_nonsense),
        test(a_text_that_is_cut_stays_text_that_the_database_takes),
        test(a_row_that_somebody_holds_is_not_waited_for_and_one_deleted_is_done),
        test(old_orders_are_forgotten_but_no_lease_and_none_that_is_open),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}

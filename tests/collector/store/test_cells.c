/* The map's cells, its history, and how long events are kept, against a real PostgreSQL and with
 * the rights of the collector's role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/store/store.h"
#include "shared/base/clock.h"
#include "tests/support/pg_store.h"

#define NOW INT64_C(1795251600000000000) /* 2026-11-21 09:00 UTC */
#define DAY ((int64_t)(86400 * NS_PER_S))

/* The first column of the rows, joined by commas; a failure's SQLSTATE. */
static const char *ask(const char *text)
{
    static char out[1 << 16];
    size_t n = 0;
    PGresult *res = PQexec(client, text);
    out[0] = '\0';
    if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK)
        snprintf(out, sizeof out, "%s", PQresultErrorField(res, PG_DIAG_SQLSTATE));
    for (int row = 0; row < PQntuples(res); row++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", row > 0 ? "," : "",
                              PQgetvalue(res, row, 0));
    PQclear(res);
    return out;
}

static int set_up_all(void **state)
{
    struct store_conf conf = {0};
    if (pg_store_up(state) != 0)
        return -1;
    store_close(store);
    snprintf(conf.dsn, sizeof conf.dsn, "%s options='-c role=penstock_collector'", pg.dsn);
    ok(store_open(&conf, &store, &note));
    sql("SET client_min_messages = warning; SET TimeZone = 'UTC'");
    return 0;
}

/* Each test begins with a database that knows nothing. */
static int set_up(void **state)
{
    (void)state;
    struct store_generation from;
    store_rollback(store);
    sql("TRUNCATE penstock.ingress_cell_0, penstock.ingress_cell_1, penstock.ingress_tally,"
        " penstock.ingress_change_entry;"
        "UPDATE penstock.ingress_generation SET is_complete = number = 0, first_turn = 0");
    ok(store_load_begin(store, &note));
    ok(store_load_generation(store, &from, &note));
    return 0;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static const struct ingress place = {.router = "r1",
                                     .interface = "xe-0",
                                     .vlan = 7,
                                     .peer_as = UINT32_MAX,
                                     .mac = {2, 0, 0, 0, 0, 9}};

static struct ingress_cell cell(const char *leaf, uint64_t packets)
{
    return (struct ingress_cell){.prefix = prefix(leaf),
                                 .pop = "AMS",
                                 .at = place,
                                 .weight = 1234.5,
                                 .recent = 0.25,
                                 .first_seen = NOW - DAY,
                                 .last_seen = NOW,
                                 .packets = packets,
                                 .bytes = INT64_MAX};
}

struct kept {
    struct ingress_cell cells[8];
    uint64_t turns[8];
    size_t count;
};

static int keep_cell(void *arg, const struct ingress_cell *c, uint64_t turn)
{
    struct kept *k = arg;
    k->cells[k->count] = *c;
    k->turns[k->count++] = turn;
    return 0;
}

static struct kept load(struct store_generation *from)
{
    struct kept k = {0};
    ok(store_load_generation(store, from, &note));
    ok(store_load_cells(store, from, keep_cell, &k, &note));
    return k;
}

static void same_cell(const struct ingress_cell *a, const struct ingress_cell *b)
{
    assert_true(prefix_equal(&a->prefix, &b->prefix));
    assert_string_equal(a->pop, b->pop);
    assert_memory_equal(&a->at, &b->at, sizeof a->at);
    assert_true(a->weight == b->weight && a->recent == b->recent);
    assert_true(a->first_seen == b->first_seen && a->last_seen == b->last_seen);
    assert_true(a->packets == b->packets && a->bytes == b->bytes);
}

static uint64_t begin_generation(void)
{
    bool is_begun = false;
    ok(store_begin(store, &note));
    ok(store_cells_begin(store, &is_begun, &note));
    assert_true(is_begun);
    return store_turn(store);
}

static void cells_of_a_generation_come_back_each_with_the_turn_that_wrote_it(void **state)
{
    (void)state;
    struct store_generation from;
    struct ingress_cell v4 = cell("192.0.2.0/24", 1), v6 = cell("2001:db8::/48", INT64_MAX);
    uint64_t first = begin_generation();
    ok(store_put_cell(store, &v4, &note));
    ok(store_commit(store, &note));
    assert_int_equal(load(&from).count, 0); /* it is not complete */
    assert_int_equal(from.number, 0);
    ok(store_load_begin(store, &note)); /* a load takes a turn, too */
    ok(store_begin(store, &note));
    uint64_t second = store_turn(store);
    ok(store_put_cell(store, &v6, &note));
    ok(store_cells_end(store, 2, &note));
    ok(store_commit(store, &note));
    struct kept k = load(&from);
    assert_true(from.number == 1 && from.first_turn == first && from.cells == 2);
    assert_int_equal(k.count, 2);
    assert_true(k.turns[0] == first && k.turns[1] == second && second > first);
    same_cell(&k.cells[0], &v4);
    same_cell(&k.cells[1], &v6);
}

static void generations_take_turns_and_the_newest_complete_one_is_read(void **state)
{
    (void)state;
    struct store_generation from;
    for (uint64_t i = 1; i <= 3; i++) {
        struct ingress_cell c = cell("192.0.2.0/24", i);
        begin_generation();
        ok(store_put_cell(store, &c, &note));
        ok(store_cells_end(store, 1, &note));
        ok(store_commit(store, &note));
        struct kept k = load(&from);
        assert_true(k.count == 1 && k.cells[0].packets == i && from.number == i % 2);
    }
    begin_generation(); /* the fourth never ends: its table is emptied, the third stands */
    ok(store_commit(store, &note));
    struct kept k = load(&from);
    assert_true(k.count == 1 && k.cells[0].packets == 3);
}

static void a_generation_does_not_wait_for_who_reads_its_table(void **state)
{
    (void)state;
    bool is_begun = true;
    sql("BEGIN; SELECT count(*) FROM penstock.ingress_cell_1"); /* a backup, say */
    ok(store_load_begin(store, &note));
    struct store_generation from;
    ok(store_load_generation(store, &from, &note));
    ok(store_begin(store, &note));
    ok(store_cells_begin(store, &is_begun, &note));
    assert_false(is_begun);
    ok(store_commit(store, &note)); /* and what else was to be written is */
    sql("COMMIT");
    begin_generation();
    ok(store_commit(store, &note));
}

static struct event tally(const char *leaf, int64_t at, uint64_t packets)
{
    struct event e = {.epoch = 1, .seq = packets, .at = at, .type = EVENT_tally};
    e.tally = (struct event_tally){.started_at = at - 1000,
                                   .ended_at = at,
                                   .prefix = prefix(leaf),
                                   .ingress = place,
                                   .packets = packets,
                                   .bytes = 100 * packets};
    return e;
}

static uint64_t put_tally(const struct event *e)
{
    ok(store_begin(store, &note));
    ok(store_put_event(store, "ams1", "AMS", e, &note));
    uint64_t turn = store_turn(store);
    ok(store_commit(store, &note));
    return turn;
}

struct tallies {
    uint64_t packets, last_turn;
    struct event_tally last;
};

static int keep_tally(void *arg, const char *pop, const struct event_tally *t, uint64_t turn)
{
    struct tallies *k = arg;
    assert_string_equal(pop, "AMS");
    k->packets += t->packets;
    k->last = *t;
    k->last_turn = turn;
    return 0;
}

static uint64_t packets_after(uint64_t turn, struct tallies *k)
{
    *k = (struct tallies){0};
    ok(store_load_tallies(store, turn, keep_tally, k, &note));
    return k->packets;
}

static void tallies_are_read_from_a_turn_on_whatever_time_they_tell_of(void **state)
{
    (void)state;
    struct tallies k;
    struct event old = tally("192.0.2.0/24", NOW - 400 * DAY, 1);
    struct event now = tally("2001:db8::/48", NOW, 2), late = tally("192.0.2.0/24", NOW - DAY, 4);
    uint64_t first = put_tally(&old), second = put_tally(&now), third = put_tally(&late);
    assert_int_equal(packets_after(first - 1, &k), 7);
    assert_int_equal(packets_after(first, &k), 6);
    assert_int_equal(packets_after(second, &k), 4);
    assert_true(k.last_turn == third && k.last.bytes == 400 && k.last.ended_at == NOW - DAY);
    assert_true(prefix_equal(&k.last.prefix, &late.tally.prefix));
    assert_memory_equal(&k.last.ingress, &place, sizeof place);
    assert_int_equal(packets_after(third, &k), 0);
}

/* ---- history ---- */

static struct ingress_change change(int64_t at, const char *range)
{
    struct ingress_change c = {.at = at, .kind = CHANGE_MOVED, .prefix = prefix(range)};
    c.from = (struct ingress_side){.is_there = true,
                                   .pop = "AMS",
                                   .at = place,
                                   .share_before = 1,
                                   .share_after = 0.25,
                                   .has_evidence = true,
                                   .probability_before = 0.5,
                                   .probability_after = 0.75,
                                   .state = STATE_GENUINE};
    c.to = (struct ingress_side){.is_there = true, .pop = "FRA", .share_after = 0.75};
    return c;
}

static void a_change_says_both_sides_before_and_after(void **state)
{
    (void)state;
    struct ingress_change moved = change(NOW, "192.0.2.0/24"), left = moved;
    left.kind = CHANGE_LEFT;
    left.to = (struct ingress_side){0};
    left.other = prefix("192.0.0.0/16");
    left.at = NOW + 1000;
    ok(store_begin(store, &note));
    ok(store_put_change(store, &moved, &note));
    ok(store_put_change(store, &left, &note));
    ok(store_commit(store, &note));
    assert_string_equal(
        ask("SELECT c FROM penstock.ingress_change c ORDER BY at LIMIT 1"),
        "(\"2026-11-21 09:00:00+00\",192.0.2.0/24,moved,AMS,r1,xe-0,4294967295,FRA,,,,1,0.25,0,"
        "0.75,0.5,0.75,,,genuine,unverified,,7,02:00:00:00:00:09,,)");
    assert_string_equal(ask("SELECT concat_ws(' ', kind, from_pop, to_pop, to_state, other)"
                            " FROM penstock.ingress_change ORDER BY at DESC LIMIT 1"),
                        "left AMS 192.0.0.0/16");
}

static void a_year_of_history_is_asked_for_an_address_or_a_prefix(void **state)
{
    (void)state;
    static const char *const ranges[] = {"192.0.2.0/24", "192.0.0.0/16", "198.51.100.0/24"};
    ok(store_begin(store, &note));
    for (int month = 0; month < 12; month++) {
        struct ingress_change c = change(NOW - month * 30 * DAY, ranges[month % 3]);
        ok(store_put_change(store, &c, &note));
    }
    ok(store_commit(store, &note));
    assert_string_equal(ask("SELECT count(*) FROM penstock.ingress_history('192.0.2.77')"), "8");
    assert_string_equal(ask("SELECT count(*) FROM penstock.ingress_history('192.0.77.1')"), "4");
    assert_string_equal(ask("SELECT count(*) FROM penstock.ingress_history('198.51.0.0/16')"), "4");
    assert_string_equal(ask("SELECT count(*) FROM penstock.ingress_history('192.0.2.77',"
                            " '2026-08-01')"),
                        "3");
    assert_string_equal(ask("SELECT prefix FROM penstock.ingress_history('192.0.2.77') LIMIT 2"),
                        "192.0.0.0/16,192.0.2.0/24"); /* oldest first */
    sql("SET enable_seqscan = off");
    assert_non_null(
        strstr(ask("EXPLAIN SELECT * FROM penstock.ingress_history('192.0.2.77')"), "_prefix_idx"));
    sql("RESET enable_seqscan");
    assert_string_equal(
        ask("SELECT count(*) FROM pg_inherits WHERE inhparent ="
            " 'penstock.ingress_change_entry'::regclass AND inhrelid::regclass::text !~ '_y2'"),
        "2"); /* what was before Penstock, and what is far in the future; no DEFAULT partition */
}

/* ---- how long events are kept ---- */

static const char *tallies_there(void)
{
    return ask("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
               " WHERE inhparent = 'penstock.ingress_tally'::regclass"
               " AND relname ~ '_past|_y2026m0[1-4]' ORDER BY 1");
}

/* As the loop: again until nothing is left to do. */
static unsigned forget(uint64_t keep_ns)
{
    const struct store_keep keep = {.tallies_ns = keep_ns};
    unsigned calls = 0, dropped = 1;
    for (; dropped > 0; calls += dropped)
        ok(store_forget(store, &keep, NOW, &dropped, &note));
    return calls;
}

static void make_months(void)
{
    sql("SELECT penstock.partition_add('ingress_tally', ('2026-0' || m || '-15')::timestamptz)"
        " FROM generate_series(1, 4) m");
    assert_string_equal(tallies_there(), "ingress_tally_past,ingress_tally_y2026m01,"
                                         "ingress_tally_y2026m02,ingress_tally_y2026m03,"
                                         "ingress_tally_y2026m04");
}

static void months_that_are_too_old_go_one_by_one_and_young_ones_stay(void **state)
{
    (void)state;
    make_months();
    assert_int_equal(forget(0), 0); /* for ever */
    /* 2026-11-21 minus 250 days: 2026-03-16 */
    assert_int_equal(forget(250 * DAY), 2);
    assert_string_equal(tallies_there(),
                        "ingress_tally_past,ingress_tally_y2026m03,ingress_tally_y2026m04");
    assert_int_equal(forget(250 * DAY), 0);
    struct event late = tally("192.0.2.0/24", NOW - 300 * DAY, 1); /* what comes late has a place */
    put_tally(&late);
    assert_string_equal(ask("SELECT packets FROM penstock.ingress_tally"), "1");
}

static void tallies_that_the_next_start_needs_are_kept_however_old(void **state)
{
    (void)state;
    make_months();
    struct event late = tally("192.0.2.0/24", NOW - 300 * DAY, 1); /* of January */
    put_tally(&late);
    assert_int_equal(forget(200 * DAY), 3);
    assert_string_equal(tallies_there(), "ingress_tally_past,ingress_tally_y2026m01");
    begin_generation();
    ok(store_cells_end(store, 0, &note));
    ok(store_commit(store, &note));
    assert_int_equal(forget(200 * DAY), 1);
    assert_string_equal(tallies_there(), "ingress_tally_past");
}

static void keep_plan(void *arg, const char *message)
{
    char *plan = arg;
    strncat(plan, message, 8000 - strlen(plan));
}

/* A month of a large network is more than a statement may read in its minute. */
static void tallies_are_looked_for_by_index_before_they_are_dropped(void **state)
{
    (void)state;
    static char plan[8192];
    plan[0] = '\0';
    make_months();
    sql("LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;"
        " SET auto_explain.log_nested_statements = on; SET client_min_messages = log");
    PQnoticeProcessor before = PQsetNoticeProcessor(client, keep_plan, plan);
    assert_string_equal(ask("SELECT penstock.partition_drop_before('ingress_tally', '2026-02-15',"
                            " 1)"),
                        "ingress_tally_y2026m01");
    PQsetNoticeProcessor(client, before, NULL);
    sql("SET auto_explain.log_min_duration = -1; SET client_min_messages = warning");
    assert_non_null(strstr(plan, "ingress_tally_y2026m01_at_turn_idx"));
    assert_null(strstr(plan, "Seq Scan on ingress_tally_y2026m01"));
    assert_int_equal(forget(200 * DAY), 3);
}

static void a_month_that_cannot_go_keeps_no_other_table_s(void **state)
{
    (void)state;
    const struct store_keep keep = {.tallies_ns = 200 * DAY, .events_ns = 200 * DAY};
    unsigned dropped = 0;
    sql("SELECT penstock.partition_add('ingress_tally', '2026-01-15'),"
        " penstock.partition_add('sensor_status', '2026-01-15');"
        "CREATE VIEW public.january AS SELECT * FROM penstock.ingress_tally_y2026m01");
    assert_int_equal(store_forget(store, &keep, NOW, &dropped, &note), ERR_DATABASE);
    assert_int_equal(dropped, 1);
    assert_string_equal(ask("SELECT to_regclass('penstock.sensor_status_y2026m01')::text IS NULL"),
                        "t");
    sql("DROP VIEW public.january");
    assert_int_equal(forget(200 * DAY), 1);
}

static void a_month_that_was_detached_is_left_alone(void **state)
{
    (void)state;
    make_months();
    sql("ALTER TABLE penstock.ingress_tally DETACH PARTITION penstock.ingress_tally_y2026m02");
    assert_int_equal(forget(200 * DAY), 3);
    assert_string_equal(ask("SELECT relname FROM pg_class WHERE relname ~ '^ingress_tally_y2026m0'"
                            " AND relkind = 'r'"),
                        "ingress_tally_y2026m02");
    sql("DROP TABLE penstock.ingress_tally_y2026m02");
}

static void who_reads_a_month_is_not_waited_for(void **state)
{
    (void)state;
    make_months();
    sql("BEGIN; SELECT count(*) FROM penstock.ingress_tally_y2026m01");
    assert_int_equal(forget(200 * DAY), 0);
    sql("COMMIT");
    assert_int_equal(forget(200 * DAY), 4);
}

static void nothing_but_old_months_of_event_tables_can_be_dropped(void **state)
{
    (void)state;
    static const char *const refused[][2] = {
        {"'sensor', '2026-01-01'", "42P01"},
        {"'ingress_tally_past', '2026-01-01'", "42P01"},
        {"'pg_class', '2026-01-01'", "42P01"},
        {"'sensor; DROP TABLE penstock.sensor', '2026-01-01'", "42P01"},
        {"NULL, '2026-01-01'", "42P01"},
        {"'ingress_tally', NULL", "22023"},
        {"'ingress_tally', now()", "22023"},
        {"'ingress_tally', 'infinity'", "22023"},
    };
    sql("SET ROLE penstock_collector");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char call[160];
        snprintf(call, sizeof call, "SELECT penstock.partition_drop_before(%s, 9)", refused[i][0]);
        assert_string_equal(ask(call), refused[i][1]);
    }
    assert_string_equal(ask("DROP TABLE penstock.ingress_tally_past"), "42501");
    sql("SET ROLE penstock_reader");
    assert_string_equal(ask("SELECT penstock.partition_drop_before('ingress_tally', '2026-01-01',"
                            " 1)"),
                        "42501");
    sql("RESET ROLE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(cells_of_a_generation_come_back_each_with_the_turn_that_wrote_it,
                               set_up),
        cmocka_unit_test_setup(generations_take_turns_and_the_newest_complete_one_is_read, set_up),
        cmocka_unit_test_setup(a_generation_does_not_wait_for_who_reads_its_table, set_up),
        cmocka_unit_test_setup(tallies_are_read_from_a_turn_on_whatever_time_they_tell_of, set_up),
        cmocka_unit_test_setup(a_change_says_both_sides_before_and_after, set_up),
        cmocka_unit_test_setup(a_year_of_history_is_asked_for_an_address_or_a_prefix, set_up),
        cmocka_unit_test_setup(months_that_are_too_old_go_one_by_one_and_young_ones_stay, set_up),
        cmocka_unit_test_setup(tallies_that_the_next_start_needs_are_kept_however_old, set_up),
        cmocka_unit_test_setup(tallies_are_looked_for_by_index_before_they_are_dropped, set_up),
        cmocka_unit_test_setup(a_month_that_cannot_go_keeps_no_other_table_s, set_up),
        cmocka_unit_test_setup(a_month_that_was_detached_is_left_alone, set_up),
        cmocka_unit_test_setup(who_reads_a_month_is_not_waited_for, set_up),
        cmocka_unit_test_setup(nothing_but_old_months_of_event_tables_can_be_dropped, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_all, pg_store_down);
}

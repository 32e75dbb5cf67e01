/* A collector is killed again and again, at any moment of its turns: before a commit, after it, in
 * the middle of a generation of cells, between two. What the next one reads from a real PostgreSQL
 * must be what a naive model of the committed tallies says: every counter exactly, none learned
 * anew. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/loop/fold.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "tests/support/pg_store.h"

#define START INT64_C(1795251600000000000) /* 2026-11-21 09:00 UTC */

/* More leaves than a slice takes, so that generations take several turns. */
enum { LEAVES = 9000, PLACES = 2, TURNS = 240, TALLIES = 60 };

static struct expect policy;
static struct fold fold;
static int64_t now;
static uint64_t seq;

static const struct fold_conf conf = {
    .roster = {.silent_after_ns = 60 * NS_PER_S},
    .ingress = {.half_life_ns = 3600 * NS_PER_S,
                .write_interval_ns = 5 * NS_PER_S,
                .max_rows = 4 * LEAVES,
                .seed = 1},
    .evidence = {.half_life_ns = 86400 * NS_PER_S},
    .alert = {.resolve_after_ns = 600 * NS_PER_S, .max_alerts = 100, .seed = 1}};

/* What a cell must say. */
struct count {
    uint64_t packets, bytes;
    int64_t first, last;
    double weight; /* at last */
};
struct model {
    struct count cells[LEAVES][PLACES];
};
static struct model committed, working;

/* Half of them stand side by side and join, half stand alone. */
static struct prefix leaf(unsigned i)
{
    unsigned n = i < LEAVES / 2 ? i : LEAVES / 2 + 3 * i;
    struct addr a = {.family = ADDR_V4, .bytes = {11, (uint8_t)(n >> 8), (uint8_t)n}};
    return prefix_of(&a, 24);
}

static unsigned leaf_number(const struct prefix *p)
{
    unsigned n = (unsigned)p->addr.bytes[1] << 8 | p->addr.bytes[2];
    unsigned i = n < LEAVES / 2 ? n : (n - LEAVES / 2) / 3;
    struct prefix same = leaf(i);
    assert_true(prefix_equal(p, &same));
    return i;
}

static void model_add(struct count *c, const struct event_tally *t)
{
    double half = 3600.0 * (double)NS_PER_S;
    if (c->packets == 0)
        *c = (struct count){.first = t->started_at, .last = t->ended_at};
    int64_t newest = t->ended_at > c->last ? t->ended_at : c->last;
    c->weight = c->weight * exp2(-(double)(newest - c->last) / half) +
                (double)t->bytes * exp2(-(double)(newest - t->ended_at) / half);
    c->last = newest;
    c->first = t->started_at < c->first ? t->started_at : c->first;
    c->packets += t->packets;
    c->bytes += t->bytes;
}

static void fold_random_tally(struct prf *coin)
{
    struct event e = {.epoch = 5, .seq = ++seq, .at = now, .type = EVENT_tally};
    unsigned i = (unsigned)prf_below(coin, LEAVES), place = prf_below(coin, 8) == 0;
    /* whole microseconds, as the database keeps; some come late */
    e.tally.ended_at = now - (int64_t)prf_below(coin, 3) * 30 * (int64_t)NS_PER_S;
    e.tally.started_at = e.tally.ended_at - 10 * (int64_t)NS_PER_S;
    e.tally.prefix = leaf(i);
    e.tally.packets = 1 + prf_below(coin, 1000);
    e.tally.bytes = 100 * e.tally.packets;
    snprintf(e.tally.ingress.interface, sizeof e.tally.ingress.interface, "xe-%u", place);
    assert_int_equal(fold_event(&fold, "ams1", &e, now), 0);
    ok(store_put_event(store, "ams1", "AMS", &e, &note));
    model_add(&working.cells[i][place], &e.tally);
}

/* As the loop does, and in its order. */
static void put_changes(void)
{
    struct ingress_row row;
    struct ingress_change change;
    while (ingress_map_take_change(fold.map, &change))
        if (change.kind != CHANGE_REFUSED) /* that is only told */
            ok(store_put_change(store, &change, &note));
    while (ingress_map_take(fold.map, &row))
        ok(row.is_gone ? store_drop_ingress(store, &row, &note)
                       : store_put_ingress(store, &row, &note));
    if (cells_want(&fold.cells, fold.map, now))
        ok(cells_write(&fold.cells, fold.map, store, now, &note));
}

static void greet(void)
{
    struct wire_message hello = {.epoch = 5, .first_seq = 1, .pop = "AMS"};
    uint64_t last;
    assert_int_equal(fold_hello(&fold, "ams1", &hello, now, &last), 0);
}

static void load(void)
{
    ok(fold_load(&fold, &conf, &policy, store, now, &note));
    greet();
}

static bool near_to(double a, double b)
{
    return fabs(a - b) <= 1e-4 * (fabs(a) + fabs(b));
}

static void compare_cell(void *seen, const struct ingress_cell *cell)
{
    unsigned i = leaf_number(&cell->prefix), place = cell->at.interface[3] == '1';
    const struct count *c = &working.cells[i][place];
    ++*(unsigned *)seen;
    assert_true(cell->packets == c->packets && cell->bytes == c->bytes);
    assert_true(cell->first_seen == c->first && cell->last_seen == c->last);
    assert_true(near_to(cell->weight, c->weight));
}

static void memory_is_what_the_model_says(void)
{
    unsigned seen = 0, there = 0;
    uint32_t cursor = 0;
    while (ingress_map_cell_next(fold.map, &cursor, compare_cell, &seen))
        continue;
    for (unsigned i = 0; i < LEAVES * PLACES; i++)
        there += working.cells[i / PLACES][i % PLACES].packets > 0;
    assert_int_equal(seen, there);
}

static void add_row(void *sum, struct ingress_row *row)
{
    *(uint64_t *)sum += row->packets;
}

static uint64_t packets_of(const struct model *m)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < LEAVES * PLACES; i++)
        sum += m->cells[i / PLACES][i % PLACES].packets;
    return sum;
}

static void kill_and_load(void)
{
    uint64_t sum = 0;
    fold_clear(&fold);
    store_rollback(store);
    memcpy(&working, &committed, sizeof working);
    load();
    memory_is_what_the_model_says();
    ingress_map_all(fold.map, add_row, &sum); /* rows tell the sums of their cells */
    assert_true(sum == packets_of(&working));
}

static void turn(struct prf *coin, bool dies_before_commit)
{
    ok(store_begin(store, &note));
    for (unsigned i = 0; i < TALLIES; i++)
        fold_random_tally(coin);
    fold_tick(&fold, now);
    put_changes();
    if (dies_before_commit)
        return;
    ok(store_commit(store, &note));
    memcpy(&committed, &working, sizeof committed);
}

static uint64_t number_of(const char *query)
{
    PGconn *c = PQconnectdb(pg.dsn);
    PGresult *res = PQexec(c, query);
    assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
    uint64_t n = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    PQfinish(c);
    return n;
}

static void whenever_it_is_killed_the_next_one_knows_each_committed_tally_once(void **state)
{
    (void)state;
    struct prf coin = prf_init(11, 0);
    unsigned kills = 0, kills_midway = 0, complete = 0;
    bool was_under_way = false;
    now = START;
    load();
    for (unsigned i = 0; i < TURNS; i++) {
        bool dies = prf_below(&coin, 8) == 0, dies_before_commit = dies && prf_below(&coin, 2) == 0;
        now += (int64_t)(1 + prf_below(&coin, 600)) * (int64_t)NS_PER_S;
        turn(&coin, dies_before_commit);
        complete += was_under_way && !fold.cells.is_under_way;
        was_under_way = fold.cells.is_under_way;
        kills += dies;
        kills_midway += dies && was_under_way;
        if (!dies)
            continue;
        kill_and_load();
        was_under_way = false;
    }
    assert_true(kills > 15 && kills_midway > 2 && complete > 2);
    kill_and_load();
    ok(store_begin(store, &note));
    ingress_map_hurry(fold.map); /* as at a clean end: rows that only counted are written, too */
    put_changes();
    ok(store_commit(store, &note));
    assert_true(number_of("SELECT sum(packets) FROM penstock.ingress_map") ==
                packets_of(&committed));
    assert_true(number_of("SELECT sum(packets) FROM penstock.ingress_tally") ==
                packets_of(&committed));
    fold_clear(&fold);
}

static void a_second_load_reads_a_new_generation_and_few_tallies(void **state)
{
    (void)state;
    struct prf coin = prf_init(12, 0);
    now += 2 * 3600 * (int64_t)NS_PER_S;
    load();
    do {
        now += (int64_t)NS_PER_S;
        turn(&coin, false);
    } while (fold.cells.is_under_way);
    assert_true(fold.cells.written > LEAVES / 2);
    uint64_t tallies = fold.cells.tallies; /* those since it began */
    kill_and_load();
    assert_true(fold.cells.tallies == tallies && tallies > 0 && tallies <= 10 * TALLIES);
    fold_clear(&fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whenever_it_is_killed_the_next_one_knows_each_committed_tally_once),
        cmocka_unit_test(a_second_load_reads_a_new_generation_and_few_tallies),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}

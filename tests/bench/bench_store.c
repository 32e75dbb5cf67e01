/* The ingress map in PostgreSQL: how long a generation of cells takes, a restart, how many entries
 * are upserted in a second beside bare upserts of the same shape, and how long ingress_of() takes.
 * Makes the schema in an empty database and fills it. Prints "NAME NUMBER" lines.
 *
 *   bench_store DSN PREFIXES PLACES */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "collector/loop/cells.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define NOW INT64_C(1795251600000000000)

enum { GROUP = 1000, UPSERTS = 100000, LOOKUPS = 2000 };

static struct store *store;
static PGconn *client;
static struct note note;
static unsigned prefixes, places;

static void check(int err, const char *what)
{
    if (err == 0)
        return;
    fprintf(stderr, "bench_store: %s: %s %s\n", what, err_text(err), note.text);
    exit(1);
}

static void sql(const char *text)
{
    PGresult *res = PQexec(client, text);
    if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK) {
        fprintf(stderr, "bench_store: %s: %s", text, PQerrorMessage(client));
        exit(1);
    }
    PQclear(res);
}

static double since(uint64_t began)
{
    return (double)(clock_mono_ns() - began) / (double)NS_PER_S;
}

/* ---- a map: /24s that stand apart, each at so many places ---- */

static struct prefix prefix_number(uint32_t n)
{
    uint32_t at = n * 2 + (11u << 16); /* every other /24 from 11.0.0.0 on */
    struct addr a = {.family = ADDR_V4,
                     .bytes = {(uint8_t)(at >> 16), (uint8_t)(at >> 8), (uint8_t)at}};
    return prefix_of(&a, 24);
}

static struct event_tally tally_number(uint32_t n, uint32_t place, int64_t at)
{
    struct event_tally t = {.started_at = at - (int64_t)NS_PER_S,
                            .ended_at = at,
                            .prefix = prefix_number(n),
                            .packets = 10,
                            .bytes = 10000,
                            .flows = 1};
    snprintf(t.ingress.router, sizeof t.ingress.router, "r%u", place);
    snprintf(t.ingress.interface, sizeof t.ingress.interface, "xe-0/0/%u", place);
    t.ingress.peer_as = 64500 + place;
    return t;
}

static struct ingress_map *map_new(void)
{
    const struct ingress_conf conf = {.half_life_ns = 3600 * NS_PER_S,
                                      .max_rows = prefixes * places + 1000,
                                      .max_cells = prefixes * places + 1000,
                                      .crowd = prefixes * places + 1000, /* nothing is gathered */
                                      .seed = 1};
    struct ingress_map *m;
    check(ingress_map_new(&conf, &m), "the map");
    return m;
}

static struct ingress_map *map_filled(void)
{
    struct ingress_map *m = map_new();
    uint64_t began = clock_mono_ns();
    for (uint32_t n = 0; n < prefixes; n++)
        for (uint32_t place = 0; place < places; place++) {
            struct ingress_row *row;
            bool is_new;
            struct event_tally t = tally_number(n, place, NOW);
            check(ingress_map_tally(m, "AMS", &t, &row, &is_new), "a tally");
        }
    printf("folded %.0f\n", (double)prefixes * places / since(began));
    return m;
}

/* ---- entries ---- */

/* All, in transactions of a thousand. */
static void put_rows(struct ingress_map *m)
{
    struct ingress_row row;
    uint64_t count = 0, began = clock_mono_ns();
    bool is_left = true;
    while (is_left) {
        check(store_begin(store, &note), "begin");
        for (unsigned i = 0; i < GROUP && (is_left = ingress_map_take(m, &row)); i++, count++)
            check(store_put_ingress(store, &row, &note), "an entry");
        check(store_commit(store, &note), "commit");
    }
    if (count != (uint64_t)prefixes * places) {
        fprintf(stderr, "bench_store: %" PRIu64 " entries, not one for each prefix and place\n",
                count);
        exit(1);
    }
    printf("rows %.0f\ninserts %.0f\n", (double)count, (double)count / since(began));
}

struct sample {
    struct ingress_row *rows;
    uint32_t count, seen, step;
};

static int sample_row(void *arg, const struct ingress_row *row)
{
    struct sample *s = arg;
    if (s->seen++ % s->step == 0 && s->count < UPSERTS)
        s->rows[s->count++] = *row;
    return 0;
}

static void upsert_ours(struct sample *s)
{
    uint64_t began = clock_mono_ns();
    for (uint32_t i = 0; i < s->count;) {
        check(store_begin(store, &note), "begin");
        for (unsigned n = 0; n < GROUP && i < s->count; n++, i++) {
            s->rows[i].packets++;
            check(store_put_ingress(store, &s->rows[i], &note), "an entry");
        }
        check(store_commit(store, &note), "commit");
    }
    printf("upserts %.0f\n", s->count / since(began));
}

/* What anybody would write: one INSERT of many VALUES, as text, of the same columns. */
static void upsert_bare(const struct sample *s)
{
    enum { ROOM = GROUP * 400 + 4000 };
    static char text[ROOM];
    uint64_t began = clock_mono_ns();
    for (uint32_t i = 0; i < s->count;) {
        size_t n = (size_t)snprintf(
            text, ROOM,
            "INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, vlan, mac, "
            "peer_as,"
            " state, share, weight, weight_at, packets, bytes, tests, first_seen, last_seen)"
            " VALUES ");
        for (unsigned k = 0; k < GROUP && i < s->count; k++, i++) {
            char p[PREFIX_TEXT];
            const struct ingress_row *r = &s->rows[i];
            n += (size_t)snprintf(text + n, ROOM - n,
                                  "%s('%s','%s','%s','%s',%" PRIu64 ",'00:00:00:00:00:00',%" PRIu64
                                  ",'unverified',%.6f,%.1f,'2026-11-21 09:00:00+00',%" PRIu64
                                  ",%" PRIu64
                                  ",0,'2026-11-21 08:59:59+00','2026-11-21 09:00:00+00')",
                                  k > 0 ? "," : "", prefix_format(&r->prefix, p), r->pop,
                                  r->at.router, r->at.interface, r->at.vlan, r->at.peer_as,
                                  r->share, r->weight, r->packets + 1, r->bytes);
        }
        snprintf(text + n, ROOM - n,
                 " ON CONFLICT (prefix, pop, router, interface, vlan, mac, peer_as) DO UPDATE SET"
                 " state = excluded.state, share = excluded.share, weight = excluded.weight,"
                 " weight_at = excluded.weight_at, packets = excluded.packets,"
                 " bytes = excluded.bytes, tests = excluded.tests,"
                 " first_seen = excluded.first_seen, last_seen = excluded.last_seen");
        sql(text);
    }
    printf("bare_upserts %.0f\n", s->count / since(began));
}

static void bench_upserts(void)
{
    struct sample s = {.rows = calloc(UPSERTS, sizeof *s.rows)};
    s.step = prefixes * places / UPSERTS + 1;
    check(store_load_ingress(store, sample_row, &s, &note), "reading entries");
    upsert_bare(&s);
    upsert_ours(&s);
    free(s.rows);
}

/* ---- cells ---- */

static void bench_generation(struct ingress_map *m)
{
    struct cells cells = {.tallies = UINT32_MAX};
    int64_t now = NOW;
    unsigned turns = 0;
    double longest = 0;
    uint64_t began = clock_mono_ns();
    do {
        uint64_t turn_began = clock_mono_ns();
        now += (int64_t)NS_PER_S;
        cells.due = 2 * CELLS_MOST;
        check(store_begin(store, &note), "begin");
        check(cells_write(&cells, m, store, now, &note), "cells");
        check(store_commit(store, &note), "commit");
        longest = since(turn_began) > longest ? since(turn_began) : longest;
        turns++;
    } while (cells.is_under_way);
    printf("cells %" PRIu64 "\ngeneration_s %.3f\ngeneration %.0f\nslice_ms %.3f\n", cells.written,
           since(began), (double)cells.written / since(began), longest * 1000);
}

/* As many tallies as a start reads at most: four per cell would be, of these a quarter here. */
static void put_tallies(void)
{
    uint64_t count = 0;
    for (uint32_t n = 0; n < prefixes;) {
        check(store_begin(store, &note), "begin");
        for (unsigned i = 0; i < 20000 && n < prefixes; i++, n++) {
            struct event e = {.epoch = 1, .seq = ++count, .at = NOW, .type = EVENT_tally};
            e.tally = tally_number(n, n % places, NOW + (int64_t)NS_PER_S);
            check(store_put_event(store, "ams1", "AMS", &e, &note), "a tally");
        }
        check(store_commit(store, &note), "commit");
    }
    printf("tallies %" PRIu64 "\n", count);
}

static int load_row(void *m, const struct ingress_row *row)
{
    return ingress_map_load(m, row);
}

static void bench_restart(void)
{
    struct ingress_map *m = map_new();
    struct cells cells;
    uint64_t began = clock_mono_ns();
    check(store_load_begin(store, &note), "load");
    check(store_load_ingress(store, load_row, m, &note), "entries");
    printf("restart_rows_s %.3f\n", since(began));
    check(cells_load(&cells, m, store, 1, NOW + 2 * (int64_t)NS_PER_S, &note), "cells");
    printf("restart_s %.3f\n", since(began));
    ingress_map_free(m);
}

/* ---- ingress_of() ---- */

static int is_longer(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The question: an address between two texts. The median of all, and the tenth percentile: of those
 * that nothing else on the machine delayed. */
static void lookups(const char *name, const char *before, const char *head, const char *tail,
                    const char *after)
{
    enum { FIRST = 50 }; /* they fill caches */
    static double took[LOOKUPS];
    char query[256];
    sql(before);
    for (unsigned i = 0; i < LOOKUPS + FIRST; i++) {
        char p[PREFIX_TEXT];
        struct prefix at = prefix_number((uint32_t)((uint64_t)i * 7919 % prefixes));
        prefix_format(&at, p);
        *strchr(p, '/') = '\0';
        snprintf(query, sizeof query, "%s%s%s", head, p, tail);
        uint64_t began = clock_mono_ns();
        sql(query);
        if (i >= FIRST)
            took[i - FIRST] = since(began) * 1e6;
    }
    qsort(took, LOOKUPS, sizeof *took, is_longer);
    printf("%s %.2f\n%s_p10 %.2f\n", name, took[LOOKUPS / 2], name, took[LOOKUPS / 10]);
    sql(after);
}

static void bench_lookups(void)
{
    char many[256];
    lookups("round_trip_us", "SELECT 1", "SELECT '", "'::inet", "SELECT 1");
    lookups("ingress_of_us", "SELECT 1", "SELECT * FROM penstock.ingress_of('", "')", "SELECT 1");
    lookups("ingress_of_prepared_us",
            "SET plan_cache_mode = force_generic_plan;"
            "PREPARE p (inet) AS SELECT * FROM penstock.ingress_of($1)",
            "EXECUTE p ('", "')", "DEALLOCATE p; RESET plan_cache_mode");
    snprintf(many, sizeof many,
             "SELECT count(*) FROM generate_series(0, %d) n, LATERAL penstock.ingress_of("
             "'11.0.0.7'::inet + (n::bigint * 7919 %% %u) * 512)",
             LOOKUPS - 1, prefixes);
    sql(many);
    uint64_t began = clock_mono_ns();
    sql(many);
    printf("ingress_of_joined_us %.2f\n", since(began) * 1e6 / LOOKUPS);
}

int main(int argc, char **argv)
{
    struct store_conf conf = {0};
    struct store_generation from;
    unsigned applied;
    if (argc != 4)
        return 2;
    log_level_set(LOG_LEVEL_ERROR);
    prefixes = (unsigned)strtoul(argv[2], NULL, 10);
    places = (unsigned)strtoul(argv[3], NULL, 10);
    snprintf(conf.dsn, sizeof conf.dsn, "%s", argv[1]);
    check(store_open(&conf, &store, &note), "connecting");
    check(store_migrate(store, &applied, &note), "migrating");
    client = PQconnectdb(argv[1]);
    check(store_load_begin(store, &note), "load");
    check(store_load_generation(store, &from, &note), "generation");
    struct ingress_map *m = map_filled();
    put_rows(m);
    bench_generation(m);
    ingress_map_free(m);
    put_tallies();
    sql("VACUUM ANALYZE penstock.ingress_entry");
    sql("CHECKPOINT");
    bench_restart();
    bench_lookups();
    bench_upserts();
    PQfinish(client);
    store_close(store);
    return 0;
}

/* The ingress map at full size: a million leaves, 50 PoPs with 4 ports each, three places a leaf.
 *
 *     bench_map [--leaves N] [--rounds N]       lines "NAME NUMBER UNIT"; medians of the rounds
 *
 * Beside it, in the same rounds, the floor: a bare hash table of as many pairs of leaf and place,
 * of which a tally adds packets and bytes. Tallies come in an order that no cache likes. Twice:
 * with prefixes that never join (each enters elsewhere than its neighbour), which makes as many
 * rows as there are pairs, and with blocks of 64 that enter alike, as most of the Internet does. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingress/ingress.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

#define T0       INT64_C(1700000000000000000)
#define POPS     50u
#define PORTS    4u
#define PER_LEAF 3u
#define ROUNDS   9

struct floor_slot {
    uint64_t key, packets, bytes;
};

struct bench {
    struct ingress_map *map;
    struct floor_slot *floor;
    uint64_t mask;
    struct hash_key key;
    unsigned leaves, block;
    int64_t now;
    uint64_t step; /* odd and coprime to the pairs: visits all, in no order */
};

static void *need(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return p;
}

static double mib_in_use(void)
{
    FILE *f = need(fopen("/proc/self/statm", "r"));
    unsigned long size, resident;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (double)resident * 4096 / (1 << 20);
}

static unsigned place_of(const struct bench *b, unsigned leaf, unsigned nth)
{
    return (leaf / b->block * 7 + nth * 61) % (POPS * PORTS);
}

static struct event_tally tally_of(const struct bench *b, uint64_t pair, char pop[static 32])
{
    unsigned leaf = (unsigned)(pair / PER_LEAF), nth = (unsigned)(pair % PER_LEAF);
    unsigned place = place_of(b, leaf, nth);
    uint8_t bytes[4] = {(uint8_t)(1 + (leaf >> 16)), (uint8_t)(leaf >> 8), (uint8_t)leaf, 0};
    struct addr a = addr_v4(bytes);
    struct event_tally t = {.started_at = b->now - (int64_t)NS_PER_S,
                            .ended_at = b->now,
                            .prefix = prefix_of(&a, 24),
                            .packets = 10,
                            .bytes = 100000u >> 2 * nth};
    snprintf(pop, 32, "P%u", place / PORTS);
    t.ingress.peer_as = 64500 + place;
    memcpy(t.ingress.router, pop, 8);
    t.ingress.interface[0] = (char)('a' + place % PORTS);
    return t;
}

/* Tallies are made outside the clock, so many at a time. */
enum { BATCH = 4096 };
static struct event_tally batch[BATCH];
static char pops[BATCH][32];

static uint64_t clock_ns(void)
{
    return clock_mono_ns();
}

static void floor_add(struct bench *b, const struct event_tally *t, const char *pop)
{
    uint64_t words[3];
    memcpy(words, t->prefix.addr.bytes, 16);
    words[2] = t->ingress.peer_as << 32 | (uint64_t)(unsigned char)pop[1];
    uint64_t h = hash_words(b->key, words, 3) | 1, i = h & b->mask;
    while (b->floor[i].key != 0 && b->floor[i].key != h)
        i = (i + 1) & b->mask;
    b->floor[i].key = h;
    b->floor[i].packets += t->packets;
    b->floor[i].bytes += t->bytes;
}

static double pass(struct bench *b, bool is_floor)
{
    uint64_t pairs = (uint64_t)b->leaves * PER_LEAF, spent = 0, at = 0;
    for (uint64_t done = 0; done < pairs;) {
        unsigned n = 0;
        for (; n < BATCH && done < pairs; n++, done++, at = (at + b->step) % pairs)
            batch[n] = tally_of(b, at, pops[n]);
        uint64_t from = clock_ns();
        for (unsigned i = 0; i < n; i++) {
            struct ingress_row *row;
            bool is_new;
            if (is_floor)
                floor_add(b, &batch[i], pops[i]);
            else if (ingress_map_tally(b->map, pops[i], &batch[i], &row, &is_new) != 0)
                exit(1);
        }
        spent += clock_ns() - from;
    }
    return (double)pairs / (double)spent * 1e3; /* M/s */
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of, unsigned n)
{
    qsort(of, n, sizeof *of, by_size);
    return of[n / 2];
}

static void drain(struct bench *b)
{
    struct ingress_row row;
    struct ingress_change change;
    while (ingress_map_take(b->map, &row))
        continue;
    while (ingress_map_take_change(b->map, &change))
        continue;
}

/* The worst of so many ticks, in ms, and all of them until nothing joins any more. */
static void ticks(struct bench *b, double *worst, double *mean)
{
    unsigned n = 0;
    double all = 0;
    *worst = 0;
    for (uint64_t joins = UINT64_MAX; n < 3000;) {
        if (n % 400 == 0 && joins == ingress_map_counts(b->map).joins)
            break;
        joins = n % 400 == 0 ? ingress_map_counts(b->map).joins : joins;
        uint64_t from = clock_ns();
        ingress_map_tick(b->map, b->now += (int64_t)NS_PER_S / 100);
        double ms = (double)(clock_ns() - from) / 1e6;
        all += ms;
        n++;
        *worst = ms > *worst ? ms : *worst;
        drain(b);
    }
    *mean = all / n;
}

static void run(const char *name, unsigned leaves, unsigned block, unsigned rounds)
{
    double map_rate[ROUNDS], floor_rate[ROUNDS], ratio[ROUNDS], worst, mean;
    struct ingress_conf conf = {.half_life_ns = 3600 * NS_PER_S,
                                .max_rows = leaves * PER_LEAF + 1000,
                                .max_cells = leaves * PER_LEAF + 1000,
                                .crowd = UINT32_MAX,
                                .seed = 1};
    struct bench b = {.leaves = leaves, .block = block, .now = T0, .step = 1000003};
    for (b.mask = 15; b.mask < (uint64_t)leaves * PER_LEAF * 2; b.mask = b.mask * 2 + 1)
        continue;
    double before = mib_in_use();
    if (ingress_map_new(&conf, &b.map) != 0)
        exit(1);
    printf("%s_first %.2f M/s\n", name, pass(&b, false));
    drain(&b);
    printf("%s_memory_unjoined %.0f MiB\n", name, mib_in_use() - before);
    ticks(&b, &worst, &mean);
    struct ingress_counts counts = ingress_map_counts(b.map);
    printf("%s_rows %u rows\n%s_cells %u cells\n", name, counts.rows, name, counts.cells);
    printf("%s_tick_mean %.2f ms\n%s_tick_worst %.2f ms\n", name, mean, name, worst);
    b.floor = need(calloc(b.mask + 1, sizeof *b.floor));
    pass(&b, true);
    for (unsigned i = 0; i < rounds; i++) {
        b.now += 10 * (int64_t)NS_PER_S;
        floor_rate[i] = pass(&b, true);
        map_rate[i] = pass(&b, false);
        ratio[i] = floor_rate[i] / map_rate[i];
        drain(&b);
    }
    printf("%s_floor %.2f M/s\n", name, median(floor_rate, rounds));
    printf("%s_tallies %.2f M/s\n", name, median(map_rate, rounds));
    printf("%s_ratio %.2f\n", name, median(ratio, rounds));
    ingress_map_free(b.map);
    free(b.floor);
    malloc_trim(0);
}

int main(int argc, char **argv)
{
    unsigned leaves = 1000000, rounds = 5;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--leaves") == 0)
            leaves = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (leaves == 0 || rounds == 0 || rounds > ROUNDS)
        return 2;
    run("alike", leaves, 64, rounds);
    run("apart", leaves, 1, rounds);
    return 0;
}

/* Random streams of tallies, tests, ticks and restarts, against plain arrays in which everything is
 * counted again: whatever splits and joins did, rows are the sums of what was tallied. */
#include "tests/collector/ingress/stream.h"

#include <stdio.h>
#include <string.h>

enum { LEAVES = 64, PLACES = 6, ROWS_MAX = 4096, STREAMS = 1500, STEPS = 50 };

struct count {
    uint64_t packets, bytes;
    int64_t first, last;
};

struct model {
    struct count cell[2][LEAVES][PLACES]; /* IPv4, IPv6 */
    struct ingress_map *map;
    struct ingress_conf conf;
    struct prf prf;
    int64_t now;
    unsigned spread, strength; /* of the stream: how many leaves, how evenly places are used */
};

static uint64_t seed; /* told when something fails */

#define same(what, a, b)                                                                          \
    do {                                                                                          \
        if ((a) != (b))                                                                           \
            fail_msg("seed %lu: %s is %ld, expected %ld", (unsigned long)seed, (what), (long)(a), \
                     (long)(b));                                                                  \
    } while (0)

static unsigned below(struct model *x, unsigned n)
{
    return (unsigned)prf_below(&x->prf, n);
}

static struct prefix leaf_prefix(unsigned family, unsigned leaf)
{
    if (family == 0)
        return net(leaf);
    struct addr a = {.family = ADDR_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)leaf}};
    return prefix_of(&a, 48);
}

static const char *pop_of(unsigned place)
{
    return place % 2 == 0 ? "AMS" : "FRA";
}

static struct ingress at_of(unsigned place)
{
    char name[4] = {(char)('a' + place / 2), 0};
    return place_at(name);
}

static unsigned place_of(const char *pop, const struct ingress *at)
{
    return (unsigned)(at->interface[0] - 'a') * 2 + (strcmp(pop, "FRA") == 0);
}

static void tally(struct model *x)
{
    unsigned family = below(x, 4) == 0, leaf = below(x, x->spread);
    unsigned place = below(x, 10) < x->strength ? leaf / 16 % PLACES : below(x, PLACES);
    struct event_tally t = {.started_at = x->now - below(x, 10) * SECOND,
                            .ended_at = x->now - (below(x, 8) == 0 ? MINUTE : 0),
                            .prefix = leaf_prefix(family, leaf),
                            .ingress = at_of(place),
                            .packets = 1 + below(x, 100),
                            .bytes = 1000 + below(x, 200000)};
    struct ingress_row *row;
    bool is_new;
    same("tally", ingress_map_tally(x->map, pop_of(place), &t, &row, &is_new), 0);
    if (!prefix_covers(&row->prefix, &t.prefix))
        fail_msg("seed %lu: the row does not cover what was tallied", (unsigned long)seed);
    struct count *c = &x->cell[family][leaf][place];
    if (c->packets == 0) {
        c->first = t.ended_at;
        c->last = t.ended_at;
    }
    c->packets += t.packets;
    c->bytes += t.bytes;
    c->first = t.started_at < c->first ? t.started_at : c->first;
    c->first = t.ended_at < c->first ? t.ended_at : c->first;
    c->last = t.ended_at > c->last ? t.ended_at : c->last;
}

static void verdict(void *arg, struct ingress_row *row)
{
    struct model *x = arg;
    const enum ingress_state states[] = {STATE_GENUINE, STATE_SPOOFED, STATE_MIXED};
    row->state = states[below(x, 3)];
    row->has_evidence = true;
    row->tests++;
    row->genuine_fraction = row->genuine_probability = row->state == STATE_GENUINE   ? 0.99
                                                       : row->state == STATE_SPOOFED ? 0.01
                                                                                     : 0.5;
    ingress_map_changed(x->map, row);
}

/* A test of one leaf, or of all in a wider prefix that was seen before. */
static void test(struct model *x)
{
    struct prefix p = leaf_prefix(0, below(x, x->spread));
    if (below(x, 4) == 0)
        p = prefix_of(&p.addr, 20 + below(x, 4));
    unsigned place = below(x, PLACES);
    struct ingress at = at_of(place);
    struct ingress_row *row;
    bool is_new;
    if (below(x, 2) == 0)
        same("touch", ingress_map_touch(x->map, &p, pop_of(place), &at, x->now, &row, &is_new), 0);
    ingress_map_each(x->map, &p, pop_of(place), &at, verdict, x);
}

struct rows {
    struct ingress_row row[ROWS_MAX];
    unsigned count;
};

static void keep(void *arg, struct ingress_row *row)
{
    struct rows *r = arg;
    r->row[r->count++] = *row;
}

static int by_key(const void *a, const void *b)
{
    const struct ingress_row *x = a, *y = b;
    int d = prefix_compare(&x->prefix, &y->prefix);
    return d != 0 ? d : (int)place_of(x->pop, &x->at) - (int)place_of(y->pop, &y->at);
}

static struct rows *rows_of(struct ingress_map *m)
{
    static struct rows rooms[2];
    static unsigned turn;
    struct rows *r = &rooms[turn++ % 2];
    r->count = 0;
    ingress_map_all(m, keep, r);
    qsort(r->row, r->count, sizeof *r->row, by_key);
    return r;
}

static void check_sums(const struct model *x, const struct rows *r)
{
    uint64_t packets[2][PLACES] = {0}, bytes[2][PLACES] = {0};
    for (unsigned i = 0; i < r->count; i++) {
        unsigned family = r->row[i].prefix.addr.family == ADDR_V6;
        packets[family][place_of(r->row[i].pop, &r->row[i].at)] += r->row[i].packets;
        bytes[family][place_of(r->row[i].pop, &r->row[i].at)] += r->row[i].bytes;
    }
    for (unsigned f = 0; f < 2; f++)
        for (unsigned p = 0; p < PLACES; p++) {
            uint64_t all = 0, sum = 0;
            for (unsigned l = 0; l < LEAVES; l++) {
                all += x->cell[f][l][p].packets;
                sum += x->cell[f][l][p].bytes;
            }
            same("packets of a place", packets[f][p], all);
            same("bytes of a place", bytes[f][p], sum);
        }
}

/* The narrowest range that has counters: the leaf's. */
static int range_of(const struct rows *r, const struct prefix *leaf)
{
    int best = -1;
    for (unsigned i = 0; i < r->count; i++)
        if (r->row[i].packets > 0 && prefix_covers(&r->row[i].prefix, leaf) &&
            (best < 0 || r->row[i].prefix.length > r->row[best].prefix.length))
            best = (int)i;
    return best;
}

/* Each row's numbers, of the leaves whose range it is. */
static void check_rows(const struct model *x, const struct rows *r)
{
    static struct count sums[ROWS_MAX];
    memset(sums, 0, r->count * sizeof *sums);
    for (unsigned f = 0; f < 2; f++)
        for (unsigned l = 0; l < LEAVES; l++) {
            struct prefix p = leaf_prefix(f, l);
            int at = range_of(r, &p);
            for (unsigned place = 0; place < PLACES; place++) {
                const struct count *c = &x->cell[f][l][place];
                unsigned i = 0;
                if (c->packets == 0)
                    continue;
                while (i < r->count && !(prefix_equal(&r->row[i].prefix, &r->row[at].prefix) &&
                                         place_of(r->row[i].pop, &r->row[i].at) == place))
                    i++;
                same("a row for each cell", i < r->count, true);
                sums[i].packets += c->packets;
                sums[i].bytes += c->bytes;
                sums[i].last = c->last > sums[i].last ? c->last : sums[i].last;
                if (c->first < r->row[i].first_seen || c->last > r->row[i].last_seen)
                    fail_msg("seed %lu: seen outside the row's time", (unsigned long)seed);
            }
        }
    for (unsigned i = 0; i < r->count; i++) {
        same("packets", r->row[i].packets, sums[i].packets);
        same("bytes", r->row[i].bytes, sums[i].bytes);
    }
}

static void check_shares(const struct rows *r)
{
    for (unsigned i = 0, end; i < r->count; i = end) {
        double share = 0, genuine = 0, weight = 0;
        for (end = i; end < r->count && prefix_equal(&r->row[end].prefix, &r->row[i].prefix);
             end++) {
            share += r->row[end].share;
            genuine += r->row[end].genuine_share;
            weight += r->row[end].weight;
        }
        if (weight > 0 && (fabs(share - 1) > 1e-6 || fabs(genuine - 1) > 1e-6))
            fail_msg("seed %lu: shares sum to %g and %g", (unsigned long)seed, share, genuine);
    }
}

static void check(struct model *x)
{
    const struct rows *r = rows_of(x->map);
    check_sums(x, r);
    check_rows(x, r);
    check_shares(r);
}

/* ---- a restart: rows and cells go to another map ---- */

static void load_cell(void *arg, const struct ingress_cell *cell)
{
    assert_int_equal(ingress_map_load_cell(arg, cell), 0);
}

/* With five places and more there may be a background; how loud each is, is learned again. */
static unsigned same_places(const struct rows *r, unsigned row)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->count; i++)
        n += prefix_equal(&r->row[i].prefix, &r->row[row].prefix);
    return n;
}

static void same_rows(const struct rows *a, const struct rows *b)
{
    same("rows after a restart", b->count, a->count);
    for (unsigned i = 0; i < a->count; i++) {
        const struct ingress_row *x = &a->row[i], *y = &b->row[i];
        same("the row", by_key(x, y), 0);
        same("its packets", y->packets, x->packets);
        same("its bytes", y->bytes, x->bytes);
        same("its state", y->state, x->state);
        same("its tests", y->tests, x->tests);
        same("its first_seen", y->first_seen, x->first_seen);
        same("its last_seen", y->last_seen, x->last_seen);
        bool is_same = same_places(a, i) >= 5 || fabs(x->genuine_share - y->genuine_share) <= 1e-5;
        if (fabs(x->share - y->share) > 1e-5 || !is_same)
            fail_msg("seed %lu: share %g, was %g", (unsigned long)seed, y->share, x->share);
    }
}

static void restart(struct model *x)
{
    const struct rows *before = rows_of(x->map);
    struct ingress_map *again = map_of(&x->conf);
    struct ingress_row row;
    struct ingress_change change;
    uint32_t cursor = 0;
    for (unsigned i = 0; i < before->count; i++)
        same("load", ingress_map_load(again, &before->row[i]), 0);
    while (ingress_map_cell_next(x->map, &cursor, load_cell, again))
        continue;
    same("load's end", ingress_map_load_end(again), 0);
    same("a row is taken after a load", ingress_map_take(again, &row), false);
    same("a change is told of after a load", ingress_map_take_change(again, &change), false);
    ingress_map_free(x->map);
    x->map = again;
    same_rows(before, rows_of(again));
}

static void take_all(struct model *x)
{
    struct ingress_row row;
    struct ingress_change change;
    while (ingress_map_take(x->map, &row))
        continue;
    while (ingress_map_take_change(x->map, &change))
        continue;
}

static void stream(struct model *x, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        for (unsigned n = below(x, 30); n > 0; n--)
            tally(x);
        x->now += (1 + below(x, 20)) * SECOND;
        if (below(x, 6) == 0)
            test(x);
        if (below(x, 2) == 0)
            ingress_map_tick(x->map, x->now);
        if (below(x, 3) == 0)
            take_all(x);
    }
}

static struct model *model_new(void)
{
    static struct model x;
    memset(&x, 0, sizeof x);
    x.conf = usual_conf();
    x.conf.max_rows = ROWS_MAX;
    x.prf = prf_init(seed, 2);
    x.conf.trickle = below(&x, 2) == 0 ? 1000 : 300000;
    x.conf.crowd = below(&x, 3) == 0 ? 10 : 0;
    x.conf.half_life_ns = below(&x, 8) == 0 ? 0 : 600 * NS_PER_S;
    x.spread = 1 + below(&x, LEAVES);
    x.strength = below(&x, 11);
    x.map = map_of(&x.conf);
    x.now = T0;
    return &x;
}

static void rows_are_the_sums_of_what_was_tallied_whatever_happened(void **state)
{
    (void)state;
    uint64_t splits = 0, joins = 0, gathered = 0, moves = 0;
    for (seed = 1; seed <= STREAMS; seed++) {
        struct model *x = model_new();
        for (unsigned i = 0; i < 5; i++) {
            stream(x, STEPS / 5);
            check(x);
        }
        struct ingress_counts counts = ingress_map_counts(x->map);
        splits += counts.splits;
        joins += counts.joins;
        gathered += counts.gathered;
        moves += counts.moves;
        ingress_map_free(x->map);
    }
    print_message("%lu splits, %lu joins, %lu gathered, %lu moves\n", splits, joins, gathered,
                  moves);
    /* the streams do reach what they are to reach */
    assert_true(splits > STREAMS && joins > STREAMS && moves > STREAMS && gathered > STREAMS / 10);
}

static void a_restart_gives_the_same_rows_and_goes_on(void **state)
{
    (void)state;
    for (seed = 1; seed <= STREAMS / 2; seed++) {
        struct model *x = model_new();
        for (unsigned i = 0; i < 4; i++) {
            stream(x, STEPS / 5);
            take_all(x);
            restart(x);
            check(x);
        }
        ingress_map_free(x->map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_sums_of_what_was_tallied_whatever_happened),
        cmocka_unit_test(a_restart_gives_the_same_rows_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

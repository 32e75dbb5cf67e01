/* The ingress map against IPD's rules, on the same samples of flows.
 *
 *     sim_ingress [--quick] [--noise P] [--seeds N] [--minutes N] [--uneven | --aimed] [--blind]
 *                 [--late] [--factor F] [--q Q]
 *
 * A world of 240 blocks of prefixes (/18 to /24, some 2,000 /24s) whose traffic is distributed by
 * Zipf's law over blocks; each enters at one of 20 places (5 PoPs with 4 ports each), one in six
 * over two PoPs. At known times a block moves elsewhere. Noise is spoofed, P percent of all samples
 * (else 0, 10, 50 and 90): half of it claims addresses of the world, half any address. It enters
 * anywhere alike; or unevenly, at the second place half as often as at the first, and so on; or
 * aimed: what claims a block enters at one place. Late: it begins when the warm-up is over. Both
 * see the same samples.
 *
 * The map gets them as tallies of ten seconds, and verdicts as a collector's orders would bring
 * them: at most so many tests at once, each for the heaviest row without a verdict, with an answer
 * two minutes later: the genuine fraction of what that row saw meanwhile. None is repeated; blind:
 * none is made. IPD has no such thing; F scales its n, Q is its q.
 *
 * Accuracy: of the next minute's genuine samples from blocks with one place, how many enter where
 * the answer says (no answer is a wrong one). Noticed: seconds from a move until the answer is the
 * new place. Rows: those of the map that tell of an entry; classified ranges of IPD. Each number is
 * the median over the seeds. --quick has assertions on a short run; its status says whether they
 * hold. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/ingress/ingress.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "tests/sim/ipd.h"

#define SECOND INT64_C(1000000000)
#define T0     INT64_C(1700000000000000000)

enum {
    BLOCKS = 240,
    PLACES = 20,
    LEAVES_MAX = 8192,
    PER_STEP = 3400, /* genuine samples in ten seconds */
    TESTS = 16,
    TEST_STEPS = 12,
    SEEDS_MAX = 16,
    WARM_UP = 45, /* minutes: IPD's trie grows by one bit a minute */
    BYTES = 1000, /* of a sample */
    CROWD = 3000  /* rows of the map above which it gathers what trickles */
};

struct block {
    uint32_t addr;
    unsigned length, place, second; /* second: of a mixture; PLACES: none */
    double upto;                    /* cumulated part of all traffic */
    unsigned was;
    int64_t moved_at;  /* 0: never */
    double noticed[2]; /* by the map, by IPD; seconds; < 0: not yet */
};

struct count {
    uint32_t genuine, spoofed;
};

struct test {
    bool is_used;
    struct prefix prefix;
    char pop[32];
    struct ingress at;
    unsigned place, ends;
};

/* Where the noise enters. */
enum kind {
    EVEN,   /* anywhere alike */
    UNEVEN, /* anywhere, but at the second place half as often as at the first, and so on */
    AIMED   /* what claims a block enters at one place of that block's, for ever */
};

struct sim {
    struct prf prf;
    enum kind kind;
    bool is_blind; /* nothing is tested */
    struct block blocks[BLOCKS];
    double noise; /* part of all samples */
    struct ingress_map *map;
    struct ipd *ipd;
    int64_t now;
    unsigned step;
    struct test tests[TESTS];
    struct count
        *seen; /* [leaf of the world][place] of the last steps, halved at each test's length */
    uint32_t *tally; /* [leaf][place] of this step */
    struct {
        uint32_t src;
        uint8_t place;
    } * foreign;
    size_t foreign_count;
    uint64_t right[2], asked, mixed_right, mixed_asked;
    double rows[2], share_error;
    unsigned measured, shares;
};

static double unit(struct sim *s)
{
    return (double)(prf_next(&s->prf) >> 11) / (double)(UINT64_C(1) << 53);
}

/* The world lies in 10.0.0.0/11: one leaf for each /24 there. */
static unsigned leaf_of(uint32_t src)
{
    return src >> 8 & (LEAVES_MAX - 1);
}

static void world_new(struct sim *s)
{
    uint32_t at = 0;
    double sum = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct block *b = &s->blocks[i];
        b->length = 20 + (unsigned)prf_below(&s->prf, 5);
        if (prf_below(&s->prf, 20) == 0)
            b->length = 18;
        uint32_t size = UINT32_C(1) << (32 - b->length);
        at = (at + size - 1) / size * size + (uint32_t)prf_below(&s->prf, 3) * size;
        b->addr = 0x0a000000 + at;
        at += size;
        b->place = b->was = (unsigned)prf_below(&s->prf, PLACES);
        b->second = PLACES;
        if (i % 6 == 5)
            b->second = (b->place + 4 + (unsigned)prf_below(&s->prf, 12)) % PLACES;
        b->noticed[0] = b->noticed[1] = -1;
    }
    if (at > LEAVES_MAX * 256)
        abort();
    for (unsigned i = 0; i < BLOCKS; i++)
        sum += 1.0 / (1 + (i * 89) % BLOCKS); /* the heavy ones anywhere */
    double upto = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        upto += 1.0 / (1 + (i * 89) % BLOCKS) / sum;
        s->blocks[i].upto = upto;
    }
}

static struct ingress at_of(unsigned place)
{
    struct ingress at = {.peer_as = 64500 + place};
    snprintf(at.router, sizeof at.router, "r%u", place / 4);
    snprintf(at.interface, sizeof at.interface, "if%u", place % 4);
    return at;
}

static const char *pop_of(unsigned place)
{
    static const char *const pops[] = {"AMS", "FRA", "LON", "PAR", "VIE"};
    return pops[place / 4];
}

static unsigned place_of(const struct ingress_row *row)
{
    return (unsigned)row->at.peer_as - 64500;
}

/* ---- samples ---- */

static const struct block *draw_block(struct sim *s)
{
    double u = unit(s);
    unsigned low = 0, high = BLOCKS - 1;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (s->blocks[mid].upto < u)
            low = mid + 1;
        else
            high = mid;
    }
    return &s->blocks[low];
}

static uint32_t draw_src(struct sim *s, const struct block *b)
{
    return b->addr + (uint32_t)prf_below(&s->prf, UINT64_C(1) << (32 - b->length));
}

static bool is_world(uint32_t src)
{
    return src >> 21 == 0x0a000000 >> 21;
}

static void see(struct sim *s, uint32_t src, unsigned place, bool is_genuine)
{
    ipd_sample(s->ipd, src, place);
    if (!is_world(src)) {
        s->foreign[s->foreign_count].src = src;
        s->foreign[s->foreign_count++].place = (uint8_t)place;
        return;
    }
    size_t cell = (size_t)leaf_of(src) * PLACES + place;
    s->tally[cell]++;
    s->seen[cell].genuine += is_genuine;
    s->seen[cell].spoofed += !is_genuine;
}

/* Is what each says right about this sample? Asked before they see it. */
static void ask(struct sim *s, const struct block *b, uint32_t src, unsigned place)
{
    uint8_t bytes[4] = {(uint8_t)(src >> 24), (uint8_t)(src >> 16), (uint8_t)(src >> 8),
                        (uint8_t)src};
    struct addr a = addr_v4(bytes);
    const struct ingress_row *row = ingress_map_main(s->map, &a);
    bool is_right = row != NULL && place_of(row) == place;
    if (b->second != PLACES) {
        s->mixed_asked++;
        s->mixed_right += ipd_find(s->ipd, src) == (int)place;
        return;
    }
    s->asked++;
    s->right[0] += is_right;
    s->right[1] += ipd_find(s->ipd, src) == (int)place;
}

static void genuine(struct sim *s, bool is_measured)
{
    const struct block *b = draw_block(s);
    uint32_t src = draw_src(s, b);
    unsigned place = b->second != PLACES && prf_below(&s->prf, 2) == 0 ? b->second : b->place;
    if (is_measured)
        ask(s, b, src, place);
    see(s, src, place, true);
}

static unsigned noisy_place(struct sim *s, unsigned block)
{
    if (s->kind == AIMED && block < BLOCKS)
        return block * 7 % PLACES;
    if (s->kind != UNEVEN)
        return (unsigned)prf_below(&s->prf, PLACES);
    double sum = 0, u;
    for (unsigned i = 0; i < PLACES; i++)
        sum += 1.0 / (i + 1);
    unsigned place = 0;
    for (u = unit(s) * sum - 1; u > 0 && place < PLACES - 1; u -= 1.0 / (place + 1))
        place++;
    return place;
}

static void spoofed(struct sim *s)
{
    uint32_t src = (uint32_t)prf_next(&s->prf);
    unsigned block = BLOCKS;
    if (prf_below(&s->prf, 2) == 0) {
        block = (unsigned)prf_below(&s->prf, BLOCKS);
        src = draw_src(s, &s->blocks[block]);
    }
    see(s, src, noisy_place(s, block), false);
}

/* ---- the map's side: tallies and verdicts ---- */

static void tally(struct sim *s, uint32_t src, unsigned place, uint32_t samples)
{
    uint8_t bytes[4] = {(uint8_t)(src >> 24), (uint8_t)(src >> 16), (uint8_t)(src >> 8), 0};
    struct addr a = addr_v4(bytes);
    struct event_tally t = {.started_at = s->now - 10 * SECOND,
                            .ended_at = s->now,
                            .prefix = prefix_of(&a, 24),
                            .ingress = at_of(place),
                            .packets = samples,
                            .bytes = (uint64_t)samples * BYTES};
    struct ingress_row *row;
    bool is_new;
    if (ingress_map_tally(s->map, pop_of(place), &t, &row, &is_new) != 0)
        abort();
}

static void tallies(struct sim *s)
{
    for (unsigned leaf = 0; leaf < LEAVES_MAX; leaf++)
        for (unsigned place = 0; place < PLACES; place++) {
            uint32_t *n = &s->tally[(size_t)leaf * PLACES + place];
            if (*n > 0)
                tally(s, 0x0a000000 + (leaf << 8), place, *n);
            *n = 0;
        }
    for (size_t i = 0; i < s->foreign_count; i++)
        tally(s, s->foreign[i].src & 0xffffff00, s->foreign[i].place, 1);
    s->foreign_count = 0;
}

struct choice {
    struct sim *s;
    const struct ingress_row *best;
    double most;
};

static bool is_under_way(const struct sim *s, const struct ingress_row *row)
{
    for (unsigned i = 0; i < TESTS; i++)
        if (s->tests[i].is_used && prefix_equal(&s->tests[i].prefix, &row->prefix))
            return true; /* never one prefix at two places at once */
    return false;
}

static void choose(void *arg, struct ingress_row *row)
{
    struct choice *c = arg;
    if (row->state == STATE_UNVERIFIED && row->prefix.length >= 16 && row->weight > 20 * BYTES &&
        (c->best == NULL || row->weight > c->best->weight) && !is_under_way(c->s, row))
        c->best = row;
}

static void order(struct sim *s)
{
    for (unsigned i = 0; i < TESTS; i++) {
        struct choice c = {.s = s};
        if (s->tests[i].is_used)
            continue;
        ingress_map_all(s->map, choose, &c);
        if (c.best == NULL)
            return;
        s->tests[i] = (struct test){.is_used = true,
                                    .prefix = c.best->prefix,
                                    .at = c.best->at,
                                    .place = place_of(c.best),
                                    .ends = s->step + TEST_STEPS};
        memcpy(s->tests[i].pop, c.best->pop, sizeof s->tests[i].pop);
    }
}

struct verdict {
    struct sim *s;
    double fraction;
};

static void write_verdict(void *arg, struct ingress_row *row)
{
    const struct verdict *v = arg;
    row->has_evidence = true;
    row->tests++;
    row->last_test_at = v->s->now;
    row->genuine_fraction = v->fraction;
    row->genuine_probability = v->fraction > 0.05 ? 0.99 : 0.01;
    row->state = v->fraction > 0.9    ? STATE_GENUINE
                 : v->fraction < 0.05 ? STATE_SPOOFED
                                      : STATE_MIXED;
    ingress_map_changed(v->s->map, row);
}

static void verdict(struct sim *s, struct test *t)
{
    uint32_t first = (uint32_t)t->prefix.addr.bytes[1] << 8 | t->prefix.addr.bytes[2];
    double genuine_seen = 0, all = 0;
    for (uint32_t i = 0; i < UINT32_C(1) << (24 - (t->prefix.length < 24 ? t->prefix.length : 24));
         i++) {
        const struct count *c =
            &s->seen[(size_t)((first + i) & (LEAVES_MAX - 1)) * PLACES + t->place];
        genuine_seen += c->genuine;
        all += c->genuine + c->spoofed;
    }
    t->is_used = false;
    if (t->prefix.addr.bytes[0] != 10) /* nobody is there */
        genuine_seen = 0, all = 1;
    if (all == 0)
        return;
    struct verdict v = {.s = s, .fraction = genuine_seen / all};
    ingress_map_each(s->map, &t->prefix, t->pop, &t->at, write_verdict, &v);
}

static void verdicts(struct sim *s)
{
    for (unsigned i = 0; i < TESTS; i++)
        if (s->tests[i].is_used && s->tests[i].ends <= s->step)
            verdict(s, &s->tests[i]);
    if (s->step % TEST_STEPS == 0)
        for (size_t i = 0; i < (size_t)LEAVES_MAX * PLACES; i++) {
            s->seen[i].genuine /= 2;
            s->seen[i].spoofed /= 2;
        }
    if (!s->is_blind)
        order(s);
}

/* ---- time ---- */

static void move_one(struct sim *s)
{
    struct block *b = &s->blocks[prf_below(&s->prf, BLOCKS)];
    if (b->second != PLACES || b->moved_at != 0)
        return;
    b->was = b->place;
    b->place = (b->place + 1 + (unsigned)prf_below(&s->prf, PLACES - 1)) % PLACES;
    b->moved_at = s->now;
}

static void look_for_moves(struct sim *s)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct block *b = &s->blocks[i];
        if (b->moved_at == 0)
            continue;
        uint8_t bytes[4] = {(uint8_t)(b->addr >> 24), (uint8_t)(b->addr >> 16),
                            (uint8_t)(b->addr >> 8), 1};
        struct addr a = addr_v4(bytes);
        const struct ingress_row *row = ingress_map_main(s->map, &a);
        double after = (double)(s->now - b->moved_at) / (double)SECOND;
        if (b->noticed[0] < 0 && row != NULL && place_of(row) == b->place)
            b->noticed[0] = after;
        if (b->noticed[1] < 0 && ipd_find(s->ipd, b->addr + 1) == (int)b->place)
            b->noticed[1] = after;
    }
}

static void count_row(void *arg, struct ingress_row *row)
{
    *(unsigned *)arg += row->genuine_share >= 0.05;
}

static void measure(struct sim *s)
{
    unsigned rows = 0;
    ingress_map_all(s->map, count_row, &rows);
    s->rows[0] += rows;
    s->rows[1] += ipd_ranges(s->ipd);
    s->measured++;
}

static void ten_seconds(struct sim *s, bool is_measured)
{
    unsigned noisy = (unsigned)(PER_STEP * s->noise / (1 - s->noise));
    for (unsigned i = 0; i < PER_STEP; i++)
        genuine(s, is_measured);
    for (unsigned i = 0; i < noisy; i++)
        spoofed(s);
    s->now += 10 * SECOND;
    s->step++;
    tallies(s);
    verdicts(s);
    for (int i = 8; i >= 0; i -= 4)
        ingress_map_tick(s->map, s->now - i * SECOND);
    struct ingress_change change;
    struct ingress_row row;
    while (ingress_map_take_change(s->map, &change))
        continue;
    while (ingress_map_take(s->map, &row))
        continue;
    if (s->step % 6 == 0) {
        ipd_minute(s->ipd);
        if (is_measured)
            measure(s);
    }
    look_for_moves(s);
}

/* ---- what came out ---- */

struct result {
    double right[2], noticed[2], unnoticed[2], rows[2], splits;
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void result_moves(const struct sim *s, int who, struct result *r)
{
    double times[BLOCKS];
    unsigned noticed = 0, moves = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        const struct block *b = &s->blocks[i];
        bool is_seen = b->upto - (i > 0 ? s->blocks[i - 1].upto : 0) > 0.001;
        if (b->moved_at == 0 || !is_seen)
            continue;
        moves++;
        if (b->noticed[who] >= 0)
            times[noticed++] = b->noticed[who];
    }
    qsort(times, noticed, sizeof *times, by_size);
    r->noticed[who] = noticed > 0 ? times[noticed / 2] : NAN;
    r->unnoticed[who] = moves > 0 ? (double)(moves - noticed) / moves : 0;
}

struct wish {
    bool is_quick;
    unsigned minutes, seeds;
    double noise, factor, q; /* noise < 0: each of them */
    enum kind kind;
    bool is_blind;
    bool is_late; /* noise begins after the warm-up */
};

static struct result run(double noise, const struct wish *w, uint64_t seed)
{
    static struct sim s;
    memset(&s, 0, sizeof s);
    struct ingress_conf conf = {.half_life_ns = 600 * NS_PER_S,
                                .recent_ns = 60 * NS_PER_S,
                                .forget_after_ns = 86400 * NS_PER_S,
                                .join_after_ns = 300 * NS_PER_S,
                                .max_rows = 3000000,
                                .crowd = CROWD,
                                .trickle = 16 * BYTES,
                                .seed = seed};
    s.prf = prf_init(seed, 4);
    s.noise = w->is_late ? 0 : noise;
    s.kind = w->kind;
    s.is_blind = w->is_blind;
    s.ipd = ipd_new(w->factor, w->q);
    s.now = T0;
    s.seen = calloc((size_t)LEAVES_MAX * PLACES, sizeof *s.seen);
    s.tally = calloc((size_t)LEAVES_MAX * PLACES, sizeof *s.tally);
    s.foreign = calloc(PER_STEP * 12, sizeof *s.foreign);
    if (s.seen == NULL || s.tally == NULL || s.foreign == NULL ||
        ingress_map_new(&conf, &s.map) != 0)
        abort();
    world_new(&s);
    for (unsigned i = 0; i < WARM_UP * 6; i++)
        ten_seconds(&s, false);
    s.noise = noise;
    for (unsigned i = 0; i < w->minutes * 6; i++) {
        if (i % 3 == 0 && i < w->minutes * 4)
            move_one(&s);
        ten_seconds(&s, true);
    }
    struct result r = {.splits = (double)ingress_map_counts(s.map).splits};
    for (int who = 0; who < 2; who++) {
        r.right[who] = (double)s.right[who] / (double)s.asked;
        r.rows[who] = s.rows[who] / s.measured;
        result_moves(&s, who, &r);
    }
    ingress_map_free(s.map);
    ipd_free(s.ipd);
    free(s.seen);
    free(s.tally);
    free(s.foreign);
    return r;
}

static void print(double noise, const struct result *r)
{
    printf("| %2.0f %% | %.1f %% / %.1f %% | %.0f s / %.0f s | %.0f %% / %.0f %% | %.0f / %.0f |\n",
           noise * 100, r->right[0] * 100, r->right[1] * 100, r->noticed[0], r->noticed[1],
           r->unnoticed[0] * 100, r->unnoticed[1] * 100, r->rows[0], r->rows[1]);
    fflush(stdout);
}

static bool holds(const char *what, bool is_true)
{
    if (!is_true)
        printf("does not hold: %s\n", what);
    return is_true;
}

static bool parse(int argc, char **argv, struct wish *w)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0) {
            w->is_quick = true;
            continue;
        }
        if (strcmp(argv[i], "--blind") == 0) {
            w->is_blind = true;
            continue;
        }
        if (strcmp(argv[i], "--late") == 0) {
            w->is_late = true;
            continue;
        }
        if (strcmp(argv[i], "--uneven") == 0 || strcmp(argv[i], "--aimed") == 0) {
            w->kind = argv[i][2] == 'u' ? UNEVEN : AIMED;
            continue;
        }
        if (strcmp(argv[i], "--minutes") == 0)
            w->minutes = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            w->seeds = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--noise") == 0)
            w->noise = strtod(value, NULL) / 100;
        else if (strcmp(argv[i], "--factor") == 0)
            w->factor = strtod(value, NULL);
        else if (strcmp(argv[i], "--q") == 0)
            w->q = strtod(value, NULL);
        else
            return false;
        i++;
    }
    return w->seeds >= 1 && w->seeds <= SEEDS_MAX && w->minutes > 0 && w->noise < 1;
}

/* Number by number the median over the seeds. */
static struct result median(const struct result *of, unsigned seeds)
{
    struct result r;
    for (size_t k = 0; k < sizeof r / sizeof(double); k++) {
        double all[SEEDS_MAX];
        for (unsigned i = 0; i < seeds; i++)
            all[i] = ((const double *)&of[i])[k];
        qsort(all, seeds, sizeof *all, by_size);
        ((double *)&r)[k] = all[seeds / 2];
    }
    return r;
}

static struct result level(const struct wish *w, double noise)
{
    struct result of[SEEDS_MAX];
    for (unsigned i = 0; i < w->seeds; i++)
        of[i] = run(noise, w, i + 1);
    struct result r = median(of, w->seeds);
    print(noise, &r);
    return r;
}

static bool quick(struct wish *w)
{
    bool is_good = true;
    w->minutes = 12;
    struct result clean = level(w, 0), noisy = level(w, 0.5);
    is_good &= holds("clean: right", clean.right[0] >= 0.98);
    is_good &= holds("clean: as often right as IPD", clean.right[0] >= clean.right[1]);
    is_good &= holds("clean: moves are noticed as soon", clean.noticed[0] <= clean.noticed[1]);
    is_good &= holds("clean: no more rows than IPD", clean.rows[0] <= clean.rows[1]);
    is_good &= holds("noise: right", noisy.right[0] >= 0.98);
    is_good &= holds("noise: moves are noticed", noisy.unnoticed[0] == 0);
    is_good &= holds("noise: as soon as by IPD", noisy.noticed[0] <= noisy.noticed[1]);
    is_good &= holds("noise: no more rows than IPD", noisy.rows[0] <= noisy.rows[1]);
    return is_good;
}

int main(int argc, char **argv)
{
    static const double noises[] = {0, 0.1, 0.5, 0.9};
    struct wish w = {.minutes = 20, .seeds = 1, .noise = -1, .factor = 0.12, .q = 0.95};
    if (!parse(argc, argv, &w))
        return 2;
    printf("| noise | right: map / IPD | move noticed (median) | not noticed | rows |\n"
           "| --- | --- | --- | --- | --- |\n");
    if (w.is_quick)
        return !quick(&w);
    for (unsigned i = 0; i < 4 && w.noise < 0; i++)
        level(&w, noises[i]);
    if (w.noise >= 0)
        level(&w, w.noise);
    return 0;
}

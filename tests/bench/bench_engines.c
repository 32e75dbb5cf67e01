/* What a packet costs: ns per packet of the whole Penny engine (parse, track, decide), fed from
 * memory, beside a floor measured in the same run: the same parsing, the same key and hash, one
 * prefetched line of a table of four lines per flow, one comparison, one count. The floor resolves
 * no collisions (who comes second into a line is not counted): with probing it was slower than the
 * engine from 100,000 flows on, because the second line is not prefetched. Its table lies in huge
 * pages like the engine's.
 *
 * Frames are made before the clock runs, a ring of them at a time, as a card would leave them. Both
 * sides then work in bursts of 64 like the worker: parse all and prefetch, then decide all. The
 * flows come in an order that no hardware prefetcher follows. Floor and engine alternate; shown are
 * the medians of seven rounds and the median of the seven ratios, of this thread's own processor
 * time: others may be at work here. Virtual time goes on by 1 us a packet, or by less where there
 * are so many flows that each would send less than once a second.
 *
 *   in order   every segment continues its flow; one aggregate is under test all the time
 *   reordered  1 % of the segments come before their predecessor
 *   lost       1 % never came here at first, and come ten segments late: holes, and their fillers
 *   quiet      in order, between two tests: flows are known and followed, nothing is drawn
 *   strangers  between two tests, flows that the table does not know
 *   sampled    ten times as many flows as the table has room for, under test
 *
 *     bench_engines [--small-pages] [--mix NAME] [flows…]      default: 10 1000 10000 100000
 * 1000000
 *
 * Then, where no flows were named: memory per flow, and new flows admitted per second. */
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "sensor/penny/flow_table.h"
#include "sensor/penny/penny.h"
#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define PACKETS   400000u /* a round */
#define ROUNDS    7
#define RING      2048u /* frames that wait */
#define PAYLOAD   100
#define HEADERS   64               /* bytes of a frame that are there: Ethernet, IPv4, TCP */
#define GAP_NS    1000             /* at least one million packets a second */
#define STEP      UINT64_C(618033) /* odd, without the factor 5: reaches every flow */
#define SOURCE_AT 26
#define PORTS_AT  34
#define SEQ_AT    38
#define HUGE_PAGE (UINT64_C(1) << 21)
#define CROWD     10 /* flows per place of the table, where there are too many */

enum mix { IN_ORDER, REORDERED, LOST, QUIET, STRANGERS, SAMPLED, MIXES };
static const char *const mix_name[MIXES] = {"in order", "reordered", "lost",
                                            "quiet",    "strangers", "sampled"};

struct floor_entry {
    alignas(64) struct flow_key key;
    uint64_t packets;
};

struct bench {
    enum mix mix;
    uint32_t flows; /* that send */
    uint32_t dst_port;
    uint64_t at;      /* packets made */
    uint64_t forward; /* and decided upon */
    struct packet packet[BURST];
    struct floor_entry *entries;
    uint64_t slot_mask;
    struct flow_table hash; /* only its key is used */
    struct penny *penny;
    uint64_t now_ns, gap_ns, drops;
};

static uint8_t ring[RING][HEADERS];

/* ---- frames ---- */

static void put_u32(uint8_t *at, uint32_t value)
{
    uint32_t wire = htonl(value);
    memcpy(at, &wire, sizeof wire);
}

static uint32_t scramble(uint32_t x)
{
    return (uint32_t)((x + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* Which segment a flow sends as its n-th. */
static uint32_t segment_of(enum mix mix, uint32_t flow, uint32_t n)
{
    if (mix == REORDERED && scramble(flow ^ n / 2 << 20) % 50 == 0)
        return n ^ 1;
    if (mix != LOST)
        return n;
    uint32_t from = scramble(flow) % 100, at = (n + from) % 100, first = n + from - at;
    if (at < 50 || at > 60)
        return n + from;
    return first + (at == 60 ? 50 : at + 1);
}

/* Lets the next frames arrive. */
static void arrive(struct bench *b)
{
    for (unsigned i = 0; i < RING; i++) {
        bool is_new = b->at < 2 * (uint64_t)b->flows; /* admitted in another order than walked */
        uint32_t flow = (uint32_t)(b->at * (is_new ? 1 : STEP) % b->flows);
        uint32_t n = (uint32_t)(b->at / b->flows);
        put_u32(ring[i] + SOURCE_AT, 0x0a000000 + (flow & 0xff));
        put_u32(ring[i] + PORTS_AT, flow >> 8 << 16 | b->dst_port);
        put_u32(ring[i] + SEQ_AT, segment_of(b->mix, flow, n) * PAYLOAD);
        b->at++;
    }
}

static void parse(uint8_t *bytes, struct packet *out)
{
    struct frame frame = {bytes, HEADERS, HEADERS + PAYLOAD, 0, 0};
    if (packet_parse(&frame, out) != PACKET_OK)
        abort();
}

/* ---- the two sides ---- */

static void floor_burst(struct bench *b, uint8_t (*frames)[HEADERS])
{
    struct floor_entry *slot[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        parse(frames[i], &b->packet[i]);
        slot[i] = &b->entries[flow_table_hash_of(&b->hash, &b->packet[i]) & b->slot_mask];
        __builtin_prefetch(slot[i], 1);
    }
    for (unsigned i = 0; i < BURST; i++) {
        struct floor_entry *e = slot[i];
        if (e->packets == 0) {
            flow_key_set(&e->key, &b->packet[i]);
            e->packets = 1;
        }
        e->packets += flow_key_is_of(&e->key, &b->packet[i]);
    }
}

static void engine_burst(struct bench *b, uint8_t (*frames)[HEADERS])
{
    for (unsigned i = 0; i < BURST; i++) {
        parse(frames[i], &b->packet[i]);
        penny_prefetch(b->penny, &b->packet[i]);
    }
    b->now_ns += BURST * b->gap_ns;
    for (unsigned i = 0; i < BURST; i++)
        b->drops += penny_packet(b->penny, &b->packet[i], b->now_ns) == FRAME_DROP;
}

/* As often as the worker does, in virtual time: every 10 ms. */
static void tick(struct bench *b)
{
    struct event e;
    penny_tick(b->penny, b->now_ns);
    while (penny_take(b->penny, &e))
        ;
}

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static double measure(struct bench *b, bool is_engine, uint64_t packets)
{
    uint64_t spent = 0, done = 0;
    for (; done < packets; done += RING) {
        arrive(b);
        uint64_t start = thread_ns();
        for (unsigned i = 0; i < RING; i += BURST)
            (is_engine ? engine_burst : floor_burst)(b, ring + i);
        if (is_engine && done / RING % 5 == 0)
            tick(b);
        spent += thread_ns() - start;
    }
    return (double)spent / (double)done;
}

/* ---- preparation ---- */

static void *huge(size_t bytes)
{
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *memory = aligned_alloc(HUGE_PAGE, bytes);
    if (memory == NULL)
        abort();
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memset(memory, 0, bytes);
}

static struct penny_conf conf_of(enum mix mix, uint32_t flows)
{
    bool rests = mix == QUIET || mix == STRANGERS;
    struct penny_conf conf = {.mode = PENNY_ACTIVE,
                              .prefix_count = 1,
                              .drop_probability = 0.05,
                              .max_drops = 12,
                              .budget = 60,
                              .timeout_ns = 3 * NS_PER_S,
                              .gap_ns = NS_PER_S / 2,
                              .open_blocks = 5,
                              .alpha = 1e-4,
                              .miss_max = 0.05,
                              .max_duration_ns = rests ? 100 : 1000 * NS_PER_S,
                              .retest_after_ns = rests ? 3600 * NS_PER_S : 0,
                              .max_tests = 16,
                              .max_flows = mix == SAMPLED ? flows : flows + flows / 4 + 64,
                              .flow_idle_ns = 60 * NS_PER_S};
    prefix_parse("10.0.0.0/24", &conf.prefixes[0]);
    return conf;
}

static void make_ring(void)
{
    uint8_t room[FRAME_ROOM];
    struct frame_spec spec = frame_tcp4("10.0.0.1", "192.0.2.1", 4000, 80, 0, TCP_ACK, PAYLOAD);
    frame_make(&spec, room);
    for (unsigned i = 0; i < RING; i++)
        memcpy(ring[i], room, HEADERS);
}

static void prepare(struct bench *b, enum mix mix, uint32_t flows, struct penny_conf *conf)
{
    static const struct ingress_table ingress = {.count = 1};
    uint64_t slots = 64;
    while (slots < 4 * (uint64_t)flows)
        slots *= 2;
    *b = (struct bench){.mix = mix,
                        .flows = mix == SAMPLED ? CROWD * flows : flows,
                        .slot_mask = slots - 1,
                        .dst_port = 80,
                        .now_ns = NS_PER_S};
    if (flow_table_init(&b->hash, 16, NS_PER_S, (struct hash_key){17, 23}) != 0)
        abort();
    b->entries = huge(slots * sizeof *b->entries);
    b->gap_ns = b->flows > NS_PER_S / GAP_NS ? NS_PER_S / b->flows : GAP_NS;
    *conf = conf_of(mix, flows);
    if (penny_new(conf, &ingress, 42, &b->penny) != 0)
        abort();
}

static void forget(struct bench *b)
{
    free(b->entries);
    flow_table_clear(&b->hash);
    penny_free(b->penny);
}

/* Every flow is known before the clock counts: under test the table takes them in; between tests
 * it would take none. */
static void warm(struct bench *floor, struct bench *engine)
{
    uint64_t known = 3 * (uint64_t)floor->flows;
    if (engine->mix == STRANGERS)
        measure(engine, true, 10 * RING); /* starts the test, and a tick ends it */
    if (engine->mix == QUIET)
        while (engine->at < known) { /* the first tick ends the test */
            arrive(engine);
            for (unsigned i = 0; i < RING; i += BURST)
                engine_burst(engine, ring + i);
        }
    else if (engine->mix != STRANGERS)
        measure(engine, true, known);
    if (floor->mix == SAMPLED) {
        floor->flows /= CROWD;
        known /= CROWD;
    }
    measure(floor, false, known);
    engine->dst_port += engine->mix == STRANGERS;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void bench(enum mix mix, uint32_t flows)
{
    static struct bench floor, engine;
    static struct penny_conf conf[2];
    double floor_ns[ROUNDS], engine_ns[ROUNDS], ratio[ROUNDS];
    prepare(&floor, mix, flows, &conf[0]);
    prepare(&engine, mix, flows, &conf[1]);
    warm(&floor, &engine);
    for (unsigned i = 0; i < ROUNDS; i++) {
        floor_ns[i] = measure(&floor, false, PACKETS);
        engine_ns[i] = measure(&engine, true, PACKETS);
        ratio[i] = engine_ns[i] / floor_ns[i];
    }
    double f = median(floor_ns), e = median(engine_ns);
    printf("| %s | %u | %.1f | %.1f | %.2f | %lu |\n", mix_name[mix], flows, f, e, median(ratio),
           (unsigned long)engine.drops);
    fflush(stdout);
    forget(&floor);
    forget(&engine);
}

/* ---- what a flow costs ---- */

static void bench_memory(void)
{
    uint32_t max = 1000000;
    struct flow_table t;
    if (flow_table_init(&t, max, NS_PER_S, (struct hash_key){1, 2}) != 0)
        abort();
    double index = (double)((t.bucket_mask + UINT64_C(1)) * sizeof *t.buckets) / max;
    printf("memory per flow: %zu bytes, and %.1f of index and %zu of free list (%u flows)\n",
           sizeof(struct flow), index, sizeof *t.free, max);
    flow_table_clear(&t);
}

static void bench_admission(uint32_t flows)
{
    static struct bench b;
    static struct penny_conf conf;
    double per_second[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        prepare(&b, IN_ORDER, flows, &conf);
        per_second[i] = 1e3 / measure(&b, true, flows / RING * RING);
        forget(&b);
    }
    printf("admission, %u flows into an empty table: %.1f million new flows per second\n", flows,
           median(per_second));
}

int main(int argc, char **argv)
{
    static const uint32_t usual[] = {10, 1000, 10000, 100000, 1000000};
    int only = -1, at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--small-pages") == 0)
            prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        for (int m = 0; strcmp(argv[at], "--mix") == 0 && at + 1 < argc && m < MIXES; m++)
            if (strcmp(argv[at + 1], mix_name[m]) == 0)
                only = m;
        at += strcmp(argv[at], "--mix") == 0;
    }
    make_ring();
    printf("| traffic | flows | floor ns | engine ns | ratio | drops |\n");
    printf("| --- | --- | --- | --- | --- | --- |\n");
    for (int m = 0; m < MIXES; m++) {
        if (only >= 0 && m != only)
            continue;
        for (int i = at; i < argc; i++)
            bench((enum mix)m, (uint32_t)atoi(argv[i]));
        for (unsigned i = 0; at >= argc && i < sizeof usual / sizeof *usual; i++)
            bench((enum mix)m, usual[i]);
    }
    if (at < argc)
        return 0;
    bench_memory();
    bench_admission(100000);
    bench_admission(1000000);
    return 0;
}

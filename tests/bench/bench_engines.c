/* What a packet costs: ns per packet of the Penny engine, in order, over a table of so many flows,
 * beside a floor measured in the same run: parsing and one prefetched look-up, with one count, in
 * a table of that size (one line per flow, nothing else).
 *
 * Both walk all flows in turn, in an order that no hardware prefetcher follows, in bursts of 64 as
 * the worker does: parse all and prefetch, then decide all. One aggregate is under test all the
 * time. The two alternate five times; shown are the medians and the median of the ratios, of this
 * thread's own processor time: others may be at work here.
 *
 *     bench_engines [flows…]      default: 10 1000 10000 100000 1000000 */
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor/penny/flow_table.h"
#include "sensor/penny/penny.h"
#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define PACKETS   2000000u
#define ROUNDS    5
#define PAYLOAD   100
#define HEADERS   64               /* bytes of a frame that are copied: Ethernet, IPv4, TCP */
#define GAP_NS    100              /* ten million packets a second */
#define STEP      UINT64_C(618033) /* an odd number without the factor 5: reaches every flow */
#define SOURCE_AT 26
#define SEQ_AT    38

struct floor_entry {
    alignas(64) struct flow_key key;
    uint64_t packets;
};

struct bench {
    uint32_t flows;
    uint64_t at; /* packets made */
    uint64_t drops;
    uint8_t frame[BURST][HEADERS];
    struct packet packet[BURST];
    struct hash_key hash_key;
    struct floor_entry *entries;
    uint64_t slot_mask;
    struct floor_entry *slot[BURST];
    struct penny *penny;
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Lets the next burst of frames arrive and parses it. */
static void arrive(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++) {
        bool is_new = b->at < 2 * (uint64_t)b->flows; /* admitted in another order than walked */
        uint32_t flow = (uint32_t)(b->at * (is_new ? 1 : STEP) % b->flows);
        put_u32(b->frame[i] + SOURCE_AT, 0x0a000000 + flow);
        put_u32(b->frame[i] + SEQ_AT, (uint32_t)(b->at / b->flows) * PAYLOAD);
        struct frame frame = {b->frame[i], HEADERS, HEADERS + PAYLOAD, 0, 0};
        if (packet_parse(&frame, &b->packet[i]) != PACKET_OK)
            abort();
        b->at++;
    }
}

static void floor_burst(struct bench *b)
{
    struct flow_key key[BURST];
    arrive(b);
    for (unsigned i = 0; i < BURST; i++) {
        uint64_t words[5];
        flow_key_set(&key[i], &b->packet[i]);
        memcpy(words, &key[i], sizeof words);
        b->slot[i] = &b->entries[hash_words(b->hash_key, words, 5) & b->slot_mask];
        __builtin_prefetch(b->slot[i], 1);
    }
    for (unsigned i = 0; i < BURST; i++) {
        struct floor_entry *e = b->slot[i];
        while (e->packets != 0 && memcmp(&e->key, &key[i], sizeof e->key) != 0)
            e = e == &b->entries[b->slot_mask] ? b->entries : e + 1;
        e->key = key[i];
        e->packets++;
    }
}

static void engine_burst(struct bench *b)
{
    arrive(b);
    for (unsigned i = 0; i < BURST; i++)
        penny_prefetch(b->penny, &b->packet[i]);
    uint64_t now_ns = NS_PER_S + b->at * GAP_NS;
    for (unsigned i = 0; i < BURST; i++)
        b->drops += penny_packet(b->penny, &b->packet[i], now_ns) == FRAME_DROP;
    struct event e;
    if (b->at % (64 * BURST) == 0) {
        penny_tick(b->penny, now_ns);
        while (penny_take(b->penny, &e))
            ;
    }
}

static uint64_t thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static double measure(struct bench *b, void (*burst)(struct bench *), uint64_t packets)
{
    uint64_t start = thread_ns();
    for (uint64_t i = 0; i < packets; i += BURST)
        burst(b);
    return (double)(thread_ns() - start) / (double)packets;
}

static void *lines(size_t bytes)
{
    void *memory = aligned_alloc(64, bytes);
    if (memory == NULL)
        abort();
    return memset(memory, 0, bytes);
}

static void prepare(struct bench *b, uint32_t flows)
{
    static struct penny_conf conf = {.mode = PENNY_ACTIVE,
                                     .prefix_count = 1,
                                     .drop_probability = 0.05,
                                     .max_drops = 12,
                                     .budget = 60,
                                     .timeout_ns = 3 * NS_PER_S,
                                     .gap_ns = NS_PER_S / 2,
                                     .open_blocks = 5,
                                     .alpha = 1e-4,
                                     .miss_max = 0.05,
                                     .max_duration_ns = 120 * NS_PER_S,
                                     .max_tests = 16,
                                     .flow_idle_ns = 60 * NS_PER_S};
    static const struct ingress_table ingress = {.count = 1};
    prefix_parse("10.0.0.0/8", &conf.prefixes[0]);
    conf.max_flows = flows < 1024 ? 1024 : flows;
    uint64_t slots = 64;
    while (slots < 2 * (uint64_t)flows)
        slots *= 2;
    uint8_t room[FRAME_ROOM];
    struct frame_spec spec = frame_tcp4("10.0.0.1", "192.0.2.1", 4000, 80, 0, TCP_ACK, PAYLOAD);
    frame_make(&spec, room);
    *b = (struct bench){.flows = flows, .slot_mask = slots - 1, .hash_key = {17, 23}};
    for (unsigned i = 0; i < BURST; i++)
        memcpy(b->frame[i], room, HEADERS);
    b->entries = lines(slots * sizeof *b->entries);
    if (penny_new(&conf, &ingress, 42, &b->penny) != 0)
        abort();
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

static void bench(uint32_t flows)
{
    static struct bench floor, engine;
    double floor_ns[ROUNDS], engine_ns[ROUNDS], ratio[ROUNDS];
    prepare(&floor, flows);
    prepare(&engine, flows);
    measure(&floor, floor_burst, 2 * (uint64_t)flows); /* admits every flow */
    measure(&engine, engine_burst, 2 * (uint64_t)flows);
    for (unsigned i = 0; i < ROUNDS; i++) {
        floor_ns[i] = measure(&floor, floor_burst, PACKETS);
        engine_ns[i] = measure(&engine, engine_burst, PACKETS);
        ratio[i] = engine_ns[i] / floor_ns[i];
    }
    double f = median(floor_ns), e = median(engine_ns);
    printf("%9u %9.1f %9.1f %7.2f   %lu\n", flows, f, e, median(ratio),
           (unsigned long)engine.drops);
    fflush(stdout);
    free(floor.entries);
    free(engine.entries);
    penny_free(floor.penny);
    penny_free(engine.penny);
}

int main(int argc, char **argv)
{
    static const uint32_t usual[] = {10, 1000, 10000, 100000, 1000000};
    printf("    flows  floor ns engine ns   ratio   drops\n");
    for (int i = 1; i < argc; i++)
        if (atoi(argv[i]) > 0)
            bench((uint32_t)atoi(argv[i]));
    for (unsigned i = 0; argc == 1 && i < sizeof usual / sizeof *usual; i++)
        bench(usual[i]);
    return 0;
}

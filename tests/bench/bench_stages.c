/* What a packet costs in each of the worker's stages, in nanoseconds: the same calls in the same
 * order and bursts as sensor/worker/worker.c makes them, with a clock read between stages instead
 * of between packets (half a nanosecond a packet and stage). Frames lie in memory as in a UMEM, one
 * in each chunk of 4,096 bytes; 1,024 flows of 64 /24s, each in order, all watched.
 *
 *     bench_stages PACKETS      one line per stage, "NAME NANOSECONDS"; tests/bench/run takes
 * medians
 *
 *   parse     packet_parse        tally   tally_packet (sources without a tally in the kernel)
 *   ingress   ingress_table_find  scan    scan_packet (sources without probes)
 *   prefetch  penny_prefetch      passive, active   penny_packet in that mode
 *
 * What a source itself costs (recv and done) is not here: rows (a) and (b) have it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/packet/ingress_table.h"
#include "sensor/penny/penny.h"
#include "sensor/scan/scan.h"
#include "sensor/tally/tally.h"
#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define RING       2048u
#define CHUNK      4096u
#define FLOWS      1024u
#define NETS       64u
#define PAYLOAD    200
#define GAP_NS     500 /* two million packets a second */
#define SOURCE_AT  26
#define SEQ_AT     38
#define TICK_EVERY 32 /* bursts: a millisecond */

enum stage { PARSE, INGRESS, PREFETCH, TALLY, SCAN, DECIDE, STAGES };

struct bench {
    struct penny *penny;
    struct scan *scan;
    struct tally *tally;
    struct ingress_table ingress;
    struct frame frames[BURST];
    struct packet packets[BURST];
    uint64_t spent[STAGES], made, now_ns;
    unsigned drops;
};

static uint8_t memory[RING][CHUNK];

/* ---- frames ---- */

static void put_u32(uint8_t *at, uint32_t value)
{
    uint32_t wire = htonl(value);
    memcpy(at, &wire, sizeof wire);
}

static void make_frames(void)
{
    uint8_t room[FRAME_ROOM];
    struct frame_spec spec = frame_tcp4("198.18.0.0", "198.19.0.1", 1024, 80, 0, 0x10, PAYLOAD);
    struct frame made = frame_make(&spec, room);
    for (unsigned i = 0; i < RING; i++)
        memcpy(memory[i], room, made.len);
}

static void arrive(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++) {
        uint32_t flow = (uint32_t)(b->made % FLOWS), round = (uint32_t)(b->made / FLOWS);
        uint8_t *frame = memory[b->made++ % RING];
        put_u32(frame + SOURCE_AT, 0xc6120000 + flow % NETS * 256 + flow / NETS);
        put_u32(frame + SEQ_AT, round * PAYLOAD);
        b->frames[i] = (struct frame){.data = frame, .len = 54 + PAYLOAD, .wire_len = 54 + PAYLOAD};
    }
    b->now_ns += BURST * GAP_NS;
}

/* ---- stages ---- */

static void parse(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++)
        if (packet_parse(&b->frames[i], &b->packets[i]) != PACKET_OK)
            abort();
}

static void find_ingress(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++) {
        struct packet *p = &b->packets[i];
        p->ingress = ingress_table_find(&b->ingress, p->vlan, p->src_mac);
    }
}

static void prefetch(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++)
        penny_prefetch(b->penny, &b->packets[i]);
}

static void tally(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++)
        tally_packet(b->tally, &b->packets[i], b->now_ns);
}

static void scan(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++)
        scan_packet(b->scan, &b->packets[i], b->now_ns);
}

static void decide(struct bench *b)
{
    for (unsigned i = 0; i < BURST; i++)
        b->drops += penny_packet(b->penny, &b->packets[i], b->now_ns) == FRAME_DROP;
}

static void (*const stages[STAGES])(struct bench *) = {parse, find_ingress, prefetch,
                                                       tally, scan,         decide};

static void burst(struct bench *b)
{
    arrive(b);
    uint64_t last = clock_mono_ns();
    for (unsigned i = 0; i < STAGES; i++) {
        stages[i](b);
        uint64_t now = clock_mono_ns();
        b->spent[i] += now - last;
        last = now;
    }
}

/* As the worker does between bursts; its cost is no packet's. */
static void tick(struct bench *b)
{
    struct event e;
    penny_tick(b->penny, b->now_ns);
    tally_tick(b->tally, b->now_ns);
    scan_tick(b->scan, b->now_ns);
    while (penny_take(b->penny, &e) || tally_take(b->tally, &e) || scan_take(b->scan, &e))
        ;
}

/* ---- preparation ---- */

static struct penny_conf conf_of(enum penny_mode mode)
{
    struct penny_conf conf = {.mode = mode,
                              .prefix_count = NETS,
                              .drop_probability = 0.05,
                              .max_drops = 12,
                              .budget = 60,
                              .flow_budget = 60,
                              .drops_per_s = 1000,
                              .timeout_ns = 3 * NS_PER_S,
                              .timeout_min_ns = 1500 * NS_PER_MS,
                              .gap_ns = NS_PER_S / 2,
                              .open_blocks = 5,
                              .alpha = 1e-4,
                              .miss_max = 0.05,
                              .reordering_max = 0.5,
                              .max_duration_ns = 120 * NS_PER_S,
                              .max_tests = 1024,
                              .max_flows = 65536,
                              .flow_idle_ns = 30 * NS_PER_S,
                              .passive_flows = 1000,
                              .passive_idle_ns = 60 * NS_PER_S,
                              .passive_rows = 1000};
    for (unsigned i = 0; i < NETS; i++) {
        struct addr net = addr_v4(&(uint32_t){htonl(0xc6120000 + i * 256)});
        conf.prefixes[i] = prefix_of(&net, 24);
    }
    return conf;
}

static void prepare(struct bench *b, const struct penny_conf *penny)
{
    static const struct scan_conf scan_conf = {
        .enabled = true, .window_ns = 60 * NS_PER_S, .bits = 1024, .bins = 16};
    static const struct tally_conf tally_conf = {
        .interval_ns = 10 * NS_PER_S, .v4_length = 24, .v6_length = 48, .max_cells = 65536};
    *b = (struct bench){.now_ns = NS_PER_S, .ingress = {.count = 1}};
    if (penny_new(penny, &b->ingress, 42, &b->penny) != 0 ||
        scan_new(&scan_conf, 1, &b->scan) != 0 ||
        tally_new(&tally_conf, &b->ingress, 43, &b->tally) != 0)
        abort();
}

static void walk(struct bench *b, uint64_t packets)
{
    for (uint64_t n = 0; n < packets / BURST; n++) {
        burst(b);
        if (n % TICK_EVERY == 0)
            tick(b);
    }
}

static void measure(enum penny_mode mode, uint64_t packets, double ns[static STAGES])
{
    static struct bench b;
    static struct penny_conf conf;
    conf = conf_of(mode);
    prepare(&b, &conf);
    walk(&b, 8 * FLOWS); /* every flow is known */
    memset(b.spent, 0, sizeof b.spent);
    uint64_t before = b.made;
    walk(&b, packets);
    for (unsigned i = 0; i < STAGES; i++)
        ns[i] = (double)b.spent[i] / (double)(b.made - before);
    penny_free(b.penny);
    scan_free(b.scan);
    tally_free(b.tally);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"parse", "ingress", "prefetch", "tally", "scan", "passive"};
    uint64_t packets = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double ns[STAGES];
    if (packets < BURST)
        return 2;
    make_frames();
    measure(PENNY_PASSIVE, packets, ns);
    for (unsigned i = 0; i < STAGES; i++)
        printf("%s %.2f\n", names[i], ns[i]);
    measure(PENNY_ACTIVE, packets, ns);
    printf("active %.2f\n", ns[DECIDE]);
    return 0;
}

/* The worker with real engines and a source that plays a script. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/worker/worker.h"
#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define START      (1700000000 * NS_PER_S)
#define SCRIPT_MAX 512

/* ---- memory that can be out (--wrap) ---- */

static bool is_memory_out;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
    return is_memory_out ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_memory_out ? NULL : __real_calloc(n, size);
}

/* ---- the scripted source ---- */

struct source_group {
    struct frame frames[SCRIPT_MAX];
    uint8_t data[SCRIPT_MAX][256];
    unsigned count;
    unsigned burst; /* frames per recv; 0: as many as the worker takes */
    unsigned held;  /* of them, so many come only after release */
    int end;        /* what recv says after the last; 0: nothing comes any more */
    int open_error;
    bool is_mute;           /* statistics can be read once, and then no more */
    unsigned cells;         /* the kernel's tally: cells per read-out */
    unsigned cell_reads;    /* readings so far */
    _Atomic unsigned steps; /* while one is under way */
    unsigned tally_steps;   /* how many it takes */
    _Atomic bool is_reading;
    struct packet probes[SCRIPT_MAX];
    unsigned probe_count;
    /* what the worker did */
    unsigned next, given_back, next_probe, stat_reads;
    uint8_t verdicts[SCRIPT_MAX];
    bool is_out_of_order, is_released, is_closed, is_passing_after_release;
    uint64_t passed, beats, beat_at; /* frames that went past; how often it beat, and when last */
};

struct source {
    struct source_group *script;
    unsigned lent;
};

static int script_open(struct source_group *g, unsigned queue, struct source **out,
                       struct note *note)
{
    if (g->open_error != 0)
        return note_set(note, g->open_error, "the script has no queue %u", queue);
    *out = calloc(1, sizeof **out);
    (*out)->script = g;
    return 0;
}

static int script_recv(struct source *s, struct frame *frames, unsigned max)
{
    struct source_group *g = s->script;
    if (s->lent != 0)
        g->is_out_of_order = true; /* lent again before the last burst came back */
    unsigned n = g->count - g->next - (g->is_released ? 0 : g->held);
    if (n == 0)
        return g->end;
    n = n > max ? max : n;
    n = g->burst != 0 && n > g->burst ? g->burst : n;
    for (unsigned i = 0; i < n; i++) {
        frames[i] = g->frames[g->next];
        frames[i].token = g->next++;
    }
    s->lent = n;
    return (int)n;
}

static void script_done(struct source *s, const struct frame *frames, const uint8_t *verdicts,
                        unsigned n)
{
    struct source_group *g = s->script;
    for (unsigned i = 0; i < n; i++) {
        if (frames[i].token != g->given_back)
            g->is_out_of_order = true;
        g->verdicts[g->given_back++] = verdicts[i];
    }
    s->lent -= n;
}

static void script_wait(struct source *s, unsigned timeout_ms)
{
    (void)s, (void)timeout_ms;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void script_stats(struct source *s, struct source_stats *out)
{
    if (s->script->is_mute && s->script->stat_reads++ != 0)
        return; /* the worker passes zeros */
    *out = (struct source_stats){.missed = 3,
                                 .transmit_refused = 2,
                                 .kernel_seen = 9,
                                 .kernel_malformed_bad_tcp = 4,
                                 .kernel_not_ip = 5};
}

static uint64_t script_beat(struct source *s, uint64_t now_ns)
{
    s->script->beats++;
    s->script->beat_at = now_ns;
    s->script->passed += s->script->is_released && s->script->is_passing_after_release;
    return s->script->passed;
}

static void script_release(struct source *s)
{
    s->script->is_released = true;
}

static void script_close(struct source *s)
{
    if (s == NULL)
        return;
    s->script->is_closed = true;
    free(s);
}

static int script_tally(struct source_group *g,
                        void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    g->is_reading = true; /* for ever, if the worker waits for it; the test ends with that */
    while (g->steps < g->tally_steps)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    g->is_reading = false;
    if (g->cell_reads++ != 0)
        return 0;
    for (unsigned i = 0; i < g->cells; i++) {
        struct source_tally cell = {.packets = 2, .bytes = 200, .flow_bits = {1}};
        uint8_t bytes[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, 0};
        cell.src = (struct prefix){addr_v4(bytes), 24};
        each(arg, &cell);
    }
    return 0;
}

static int script_probes(struct source *s, struct packet *out, unsigned max)
{
    struct source_group *g = s->script;
    unsigned n = 0;
    while (n < max && g->next_probe < g->probe_count)
        out[n++] = g->probes[g->next_probe++];
    return (int)n;
}

static const struct source_ops plain = {
    .name = "script",
    .open = script_open,
    .recv = script_recv,
    .done = script_done,
    .wait = script_wait,
    .stats = script_stats,
    .close = script_close,
};

/* Only even source ports are watched. */
static void script_sift(struct source *s, const struct packet *packets, unsigned n, bool *may_judge)
{
    (void)s;
    for (unsigned i = 0; i < n; i++)
        may_judge[i] = packets[i].src_port % 2 == 0;
}

static const struct source_ops sifting = {
    .name = "script",
    .open = script_open,
    .recv = script_recv,
    .sift = script_sift,
    .done = script_done,
    .wait = script_wait,
    .stats = script_stats,
    .close = script_close,
};

static const struct source_ops kernel_like = {
    .name = "script",
    .tally = script_tally,
    .open = script_open,
    .recv = script_recv,
    .done = script_done,
    .wait = script_wait,
    .probes = script_probes,
    .stats = script_stats,
    .release = script_release,
    .close = script_close,
};

static const struct source_ops beating = {
    .name = "script",
    .open = script_open,
    .recv = script_recv,
    .done = script_done,
    .wait = script_wait,
    .stats = script_stats,
    .beat = script_beat,
    .release = script_release,
    .close = script_close,
};

/* ---- one sensor of one worker ---- */

struct bench {
    struct source_group script;
    struct penny_conf penny;
    struct scan_conf scan;
    struct tally_conf tally;
    struct ingress_table ingress;
    struct worker *worker;
    struct event *events; /* in the order of the ring */
    size_t count, room;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    b->penny = (struct penny_conf){
        .mode = PENNY_OFF,
        .drop_probability = 0.25,
        .max_drops = 12,
        .budget = 60,
        .timeout_ns = 3 * NS_PER_S,
        .gap_ns = 0,
        .open_blocks = 5,
        .alpha = 1e-4,
        .miss_max = 0.05,
        .max_duration_ns = 120 * NS_PER_S,
        .retest_after_ns = 3600 * NS_PER_S,
        .max_flows = 1024,
        .max_tests = 64,
        .flow_idle_ns = 30 * NS_PER_S,
    };
    b->scan = (struct scan_conf){
        .enabled = true, .window_ns = 60 * NS_PER_S, .bits = 1024, .bins = 16, .home_count = 1};
    assert_int_equal(prefix_parse("192.0.2.0/24", &b->scan.home[0]), 0);
    b->tally = (struct tally_conf){
        .interval_ns = 10 * NS_PER_S, .v4_length = 24, .v6_length = 48, .max_cells = 65536};
    b->ingress = (struct ingress_table){
        .count = 2, .row = {{.router = "r1", .interface = "xe0", .vlan = 101}, {.router = "r2"}}};
    b->script.end = ERR_END;
    *state = b;
    return 0;
}

static void bench_free(struct bench *b)
{
    worker_free(b->worker);
    free(b->events);
    free(b);
}

static int teardown(void **state)
{
    bench_free(*state);
    return 0;
}

static void add(struct bench *b, const struct frame_spec *spec, uint64_t at)
{
    uint8_t room[FRAME_ROOM];
    struct frame f = frame_make(spec, room);
    struct source_group *g = &b->script;
    assert_true(g->count < SCRIPT_MAX && f.len <= sizeof g->data[0]);
    memcpy(g->data[g->count], room, f.len);
    f.data = g->data[g->count];
    f.at_ns = at;
    g->frames[g->count++] = f;
}

static void add_tcp(struct bench *b, uint16_t src_port, uint16_t dst_port, uint32_t seq,
                    uint8_t flags, size_t len, uint64_t at)
{
    struct frame_spec spec =
        frame_tcp4("198.51.100.1", "192.0.2.1", src_port, dst_port, seq, flags, len);
    add(b, &spec, at);
}

static void make(struct bench *b, const struct source_ops *ops, bool is_capture)
{
    struct worker_conf conf = {
        .ops = ops,
        .group = &b->script,
        .penny = &b->penny,
        .scan = &b->scan,
        .tally = &b->tally,
        .ingress = &b->ingress,
        .seed = 1,
        .is_capture = is_capture,
        .workers = &b->worker,
        .worker_count = 1,
    };
    struct note note = {0};
    assert_int_equal(worker_new(&conf, &b->worker, &note), 0);
}

static void drain(struct bench *b)
{
    struct event *e;
    while ((e = ring_front(worker_ring(b->worker))) != NULL) {
        if (b->count == b->room) {
            b->room = b->room != 0 ? 2 * b->room : 256;
            b->events = realloc(b->events, b->room * sizeof *b->events);
        }
        b->events[b->count++] = *e;
        ring_release(worker_ring(b->worker));
    }
}

/* Runs the script in this thread, as --capture does. */
static void play(struct bench *b, const struct source_ops *ops)
{
    struct note note = {0};
    make(b, ops, true);
    assert_int_equal(worker_open(b->worker, &note), 0);
    int err;
    while ((err = worker_step(b->worker)) == 0)
        drain(b);
    assert_int_equal(err, b->script.end);
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
}

static const struct event *find(const struct bench *b, unsigned type, size_t nth)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->events[i].type == type && nth-- == 0)
            return &b->events[i];
    return NULL;
}

static size_t count_of(const struct bench *b, unsigned type)
{
    size_t n = 0;
    while (find(b, type, n) != NULL)
        n++;
    return n;
}

static uint64_t counter(const struct bench *b, enum counter which)
{
    return counter_get(worker_counters(b->worker), which);
}

/* ---- promises ---- */

static void every_frame_comes_back_once_and_in_order(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 300; i++)
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, START);
    play(b, &plain);
    assert_int_equal(b->script.given_back, 300);
    assert_false(b->script.is_out_of_order);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(b->script.verdicts[i], FRAME_FORWARD);
    assert_int_equal(counter(b, COUNTER_packets), 300);
    assert_int_equal(counter(b, COUNTER_forwarded), 300);
}

static void what_cannot_be_parsed_is_forwarded_and_counted_by_its_reason(void **state)
{
    struct bench *b = *state;
    add_tcp(b, 4000, 80, 1, TCP_ACK, 0, START);
    add_tcp(b, 4000, 80, 1, TCP_ACK, 0, START);
    b->script.frames[0].len = b->script.frames[0].wire_len = 9;
    add_tcp(b, 4000, 80, 1, TCP_ACK, 0, START);
    b->script.data[2][12] = 0x08, b->script.data[2][13] = 0x06; /* ARP */
    play(b, &plain);
    assert_int_equal(b->script.given_back, 3);
    assert_int_equal(b->script.verdicts[0], FRAME_FORWARD);
    assert_int_equal(counter(b, COUNTER_malformed_short_ethernet), 1);
    assert_int_equal(counter(b, COUNTER_not_ip), 1);
    assert_int_equal(find(b, EVENT_tally, 0)->tally.packets, 1);
    assert_int_equal(find(b, EVENT_sensor_status, 0)->sensor_status.malformed, 1 + 4);
}

static void a_packet_with_a_broken_tcp_header_is_still_tallied_where_it_entered(void **state)
{
    struct bench *b = *state;
    struct frame_spec spec = frame_tcp4("203.0.113.9", "192.0.2.1", 4000, 80, 1, TCP_SYN, 10);
    spec.vlan[0] = 101, spec.vlan_count = 1;
    add(b, &spec, START);
    b->script.data[0][frame_transport_at(&spec) + 12] = 0x10;
    play(b, &plain);
    assert_int_equal(counter(b, COUNTER_malformed_bad_tcp), 1);
    assert_int_equal(count_of(b, EVENT_tally), 1);
    assert_int_equal(find(b, EVENT_tally, 0)->tally.packets, 1);
    assert_string_equal(find(b, EVENT_tally, 0)->tally.ingress.router, "r1");
    assert_int_equal(count_of(b, EVENT_scan_window), 0); /* but no opening */
}

static void what_the_kernel_counts_is_exported(void **state)
{
    struct bench *b = *state;
    add_tcp(b, 4000, 80, 1, TCP_ACK, 0, START);
    play(b, &plain);
    assert_int_equal(counter(b, COUNTER_kernel_seen), 9);
    assert_int_equal(counter(b, COUNTER_kernel_malformed_bad_tcp), 4);
    assert_int_equal(counter(b, COUNTER_kernel_not_ip), 5);
}

static void packets_are_tallied_where_they_entered(void **state)
{
    struct bench *b = *state;
    struct frame_spec tagged = frame_tcp4("203.0.113.9", "192.0.2.1", 4000, 80, 1, TCP_ACK, 10);
    tagged.vlan[0] = 101, tagged.vlan_count = 1;
    add(b, &tagged, START);
    add_tcp(b, 4000, 80, 1, TCP_ACK, 10, START);
    play(b, &plain);
    assert_int_equal(count_of(b, EVENT_tally), 2);
    assert_string_equal(find(b, EVENT_tally, 0)->tally.ingress.router, "r1");
    assert_string_equal(find(b, EVENT_tally, 1)->tally.ingress.router, "r2");
}

static void openings_in_frames_reach_the_scan_windows(void **state)
{
    struct bench *b = *state;
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, START);
    add_tcp(b, 4000, 80, 1, TCP_SYN | TCP_ACK, 0, START + NS_PER_S);
    play(b, &plain);
    const struct event *e = find(b, EVENT_scan_window, 0);
    assert_int_equal(e->scan_window.direction, SCAN_SERVER);
    assert_int_equal(e->scan_window.probes, 1);
    assert_int_equal(e->scan_window.ended_at, START + NS_PER_S);
    assert_int_equal(count_of(b, EVENT_scan_window), 2);
}

static void a_pause_in_a_capture_is_walked_so_that_windows_end_when_due(void **state)
{
    struct bench *b = *state;
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, START);
    add_tcp(b, 4000, 81, 1, TCP_SYN, 0, START + 301 * NS_PER_S);
    play(b, &plain);
    assert_int_equal(count_of(b, EVENT_scan_window), 2 * 6);
    int64_t end = START;
    for (size_t i = 0; i < 12; i += 2) {
        const struct event *e = find(b, EVENT_scan_window, i);
        assert_int_equal(e->scan_window.started_at, end);
        end = e->scan_window.ended_at;
        assert_true(e->at >= end && e->at <= end + (int64_t)(100 * NS_PER_MS));
    }
    assert_int_equal(end, START + 301 * NS_PER_S);
}

static void a_status_comes_every_interval_and_its_sums_are_whole(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 101; i++)
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, START + i * NS_PER_S / 2);
    play(b, &plain);
    assert_int_equal(count_of(b, EVENT_sensor_status), 6);
    uint64_t packets = 0, tallied = 0;
    for (size_t i = 0; i < 5; i++) {
        const struct event_sensor_status *s = &find(b, EVENT_sensor_status, i)->sensor_status;
        assert_int_equal(s->started_at, START + i * 10 * NS_PER_S);
        assert_int_equal(s->ended_at, START + (i + 1) * 10 * NS_PER_S);
        assert_int_equal(s->packets, s->forwarded + s->dropped);
        assert_int_equal(s->missed, i == 0 ? 3 : 0);
        assert_int_equal(s->malformed, i == 0 ? 4 : 0); /* the kernel's, once; ARP is no damage */
        packets += s->packets;
    }
    for (size_t i = 0; i < count_of(b, EVENT_tally); i++)
        tallied += find(b, EVENT_tally, i)->tally.packets;
    assert_int_equal(find(b, EVENT_sensor_status, 0)->sensor_status.packets, 20);
    assert_int_equal(tallied, 101);
    /* The last frame came in the very instant in which the fifth interval ended. */
    assert_int_equal(packets, 100);
    assert_int_equal(find(b, EVENT_sensor_status, 5)->sensor_status.packets, 1);
}

static void statistics_that_cannot_be_read_again_turn_nothing_back(void **state)
{
    struct bench *b = *state;
    b->script.is_mute = true;
    for (unsigned i = 0; i < 30; i++)
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, START + i * NS_PER_S);
    play(b, &plain);
    assert_true(b->script.stat_reads > 2);
    assert_int_equal(counter(b, COUNTER_source_missed), 3);
    assert_int_equal(counter(b, COUNTER_kernel_seen), 9);
    for (size_t i = 1; i < count_of(b, EVENT_sensor_status); i++)
        assert_int_equal(find(b, EVENT_sensor_status, i)->sensor_status.missed, 0);
}

static void play_a_test(struct bench *b, enum penny_mode mode)
{
    b->penny.mode = mode;
    b->penny.prefix_count = 1;
    assert_int_equal(prefix_parse("198.51.100.0/24", &b->penny.prefixes[0]), 0);
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 4), 80, 1000 + i / 4 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    play(b, &plain);
}

static void the_penny_test_withholds_segments_of_watched_prefixes(void **state)
{
    struct bench *b = *state;
    play_a_test(b, PENNY_ACTIVE);
    uint64_t dropped = 0;
    for (unsigned i = 0; i < b->script.given_back; i++)
        dropped += b->script.verdicts[i] == FRAME_DROP;
    assert_true(dropped > 0);
    assert_int_equal(counter(b, COUNTER_dropped), dropped);
    assert_int_equal(counter(b, COUNTER_forwarded), SCRIPT_MAX - dropped);
    assert_int_equal(count_of(b, EVENT_drop), dropped);
    assert_int_equal(count_of(b, EVENT_test_started), 1);
    assert_int_equal(count_of(b, EVENT_test_ended), 1);
}

static void passive_mode_withholds_nothing_and_tells_of_flows(void **state)
{
    struct bench *b = *state;
    b->penny.passive_flows = b->penny.passive_rows = 100;
    b->penny.passive_idle_ns = 60 * NS_PER_S;
    play_a_test(b, PENNY_PASSIVE);
    assert_int_equal(counter(b, COUNTER_dropped), 0);
    assert_int_equal(counter(b, COUNTER_forwarded), SCRIPT_MAX);
    assert_int_equal(count_of(b, EVENT_drop), 0);
    assert_int_equal(count_of(b, EVENT_test_started), 1);
    assert_int_equal(count_of(b, EVENT_passive_flow), 4);
    assert_int_equal(count_of(b, EVENT_passive_total), 1);
    assert_int_equal(count_of(b, EVENT_test_ended), 1);
}

static void the_same_capture_gives_the_same_events(void **state)
{
    struct bench *b = *state;
    void *again;
    setup(&again);
    play_a_test(b, PENNY_ACTIVE);
    play_a_test(again, PENNY_ACTIVE);
    struct bench *c = again;
    assert_int_equal(b->count, c->count);
    for (size_t i = 0; i < b->count; i++) {
        char *text[2];
        size_t size[2];
        const struct event *events[2] = {&b->events[i], &c->events[i]};
        for (unsigned j = 0; j < 2; j++) {
            FILE *out = open_memstream(&text[j], &size[j]);
            event_print(out, events[j]);
            fclose(out);
        }
        assert_string_equal(text[0], text[1]);
        free(text[0]);
        free(text[1]);
    }
    teardown(&again);
}

static void where_the_kernel_counts_frames_are_not_counted_again(void **state)
{
    struct bench *b = *state;
    b->script.cells = 3;
    b->script.probe_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct packet *p = &b->script.probes[i];
        *p = (struct packet){.protocol = 6, .tcp_flags = TCP_SYN, .dst_port = (uint16_t)i};
        assert_int_equal(addr_parse("192.0.2.7", &p->dst), 0);
    }
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, START);
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, START + NS_PER_S);
    play(b, &kernel_like);
    assert_int_equal(count_of(b, EVENT_tally), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(find(b, EVENT_tally, i)->tally.packets, 2);
    assert_int_equal(find(b, EVENT_scan_window, 0)->scan_window.probes, 2);
    assert_int_equal(counter(b, COUNTER_probes), 2);
}

static void openings_are_taken_though_nobody_looks_for_scans(void **state)
{
    struct bench *b = *state;
    b->scan.enabled = false;
    b->script.probe_count = 200; /* left there, they would wake a sleeping worker for ever */
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, START);
    for (unsigned i = 1; i < 10; i++)
        add_tcp(b, 4000, 80, 1, TCP_ACK, 0, START + i);
    play(b, &kernel_like);
    assert_int_equal(b->script.next_probe, 200);
    assert_int_equal(count_of(b, EVENT_scan_window), 0);
}

static void packets_go_on_while_the_kernels_counts_are_read(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = 0;
    b->script.cells = 1000;
    b->script.tally_steps = 100;
    b->script.burst = 1;
    b->tally.interval_ns = 50 * NS_PER_MS;
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, 0);
    make(b, &kernel_like, false);
    assert_int_equal(worker_open(b->worker, &note), 0);
    while (count_of(b, EVENT_tally) < 1000) {
        bool was_reading = b->script.is_reading;
        assert_int_equal(worker_step(b->worker), 0);
        b->script.steps += was_reading;
        drain(b);
    }
    assert_int_equal(count_of(b, EVENT_tally), 1000);
    assert_true(b->script.steps >= 100);
    const struct event_tally *t = &find(b, EVENT_tally, 0)->tally;
    assert_int_equal(t->ended_at - t->started_at, 50 * NS_PER_MS);
    while (!worker_finish(b->worker))
        drain(b);
}

static void a_full_ring_holds_events_back_and_loses_none(void **state)
{
    struct bench *b = *state;
    b->script.cells = 10000;
    b->script.end = 0;
    make(b, &kernel_like, false);
    struct note note = {0};
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_int_equal(worker_step(b->worker), 0);
    assert_false(worker_finish(b->worker));
    assert_false(worker_finish(b->worker));
    assert_true(counter(b, COUNTER_events_held) >= 2);
    unsigned rounds = 0;
    do
        drain(b);
    while (!worker_finish(b->worker) && rounds++ < 10);
    drain(b);
    assert_int_equal(count_of(b, EVENT_tally), 10000);
    assert_int_equal(counter(b, COUNTER_events), b->count);
}

static void live_events_carry_wall_clock_time(void **state)
{
    struct bench *b = *state;
    b->script.end = 0;
    int64_t before = clock_wall_ns();
    make(b, &plain, false);
    struct note note = {0};
    assert_int_equal(worker_open(b->worker, &note), 0);
    add_tcp(b, 4000, 80, 1, TCP_SYN, 0, 0);
    assert_int_equal(worker_step(b->worker), 0);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    assert_true(worker_finish(b->worker));
    drain(b);
    /* The two clocks are read a moment apart. */
    int64_t slack = NS_PER_MS, after = clock_wall_ns();
    const struct event *scan = find(b, EVENT_scan_window, 0);
    assert_non_null(scan);
    assert_true(scan->at >= before - slack && scan->at <= after + slack);
    assert_true(scan->scan_window.started_at >= before - slack);
    assert_true(scan->scan_window.ended_at <= after + slack);
    assert_true(scan->scan_window.ended_at > scan->scan_window.started_at);
}

static void a_worker_ends_when_asked_and_gives_everything_back(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = 0;
    for (unsigned i = 0; i < 200; i++)
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, 0);
    make(b, &plain, false);
    assert_int_equal(worker_start(b->worker, &note), 0);
    while (counter(b, COUNTER_packets) < 200)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_false(worker_has_ended(b->worker));
    worker_stop(b->worker);
    assert_int_equal(worker_join(b->worker), 0);
    assert_true(worker_has_ended(b->worker));
    assert_true(b->script.is_closed);
    drain(b);
    assert_int_equal(find(b, EVENT_tally, 0)->tally.packets, 200);
    assert_int_equal(b->script.given_back, 200);
    assert_false(b->script.is_out_of_order);
}

static void frames_under_way_when_the_worker_stops_go_on_and_are_not_tested(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = 0;
    b->script.held = 400;
    b->penny.mode = PENNY_ACTIVE;
    b->penny.drop_probability = 0.9;
    b->penny.prefix_count = 1;
    assert_int_equal(prefix_parse("198.51.100.0/24", &b->penny.prefixes[0]), 0);
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, 4000, 80, 1000 + i * 100, TCP_ACK, 100, 0);
    make(b, &kernel_like, false);
    assert_int_equal(worker_start(b->worker, &note), 0);
    while (counter(b, COUNTER_packets) < SCRIPT_MAX - 400)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    worker_stop(b->worker);
    assert_int_equal(worker_join(b->worker), 0);
    assert_int_equal(b->script.given_back, SCRIPT_MAX);
    for (unsigned i = SCRIPT_MAX - 400; i < SCRIPT_MAX; i++)
        assert_int_equal(b->script.verdicts[i], FRAME_FORWARD);
    drain(b);
    assert_int_equal(find(b, EVENT_sensor_status, 0)->sensor_status.packets, SCRIPT_MAX);
}

/* A live sensor under test by hand: 256 segments are in, and some of them withheld. */
static void begin_to_withhold(struct bench *b)
{
    struct note note = {0};
    b->script.end = 0;
    b->script.burst = 16;
    b->penny.mode = PENNY_ACTIVE;
    b->penny.prefix_count = 1;
    assert_int_equal(prefix_parse("198.51.100.0/24", &b->penny.prefixes[0]), 0);
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, 4000, 80, 1000 + i * 100, TCP_ACK, 100, 0);
    b->script.passed = 7; /* before this sensor was there: not its loss */
    make(b, &beating, false);
    assert_int_equal(worker_open(b->worker, &note), 0);
    while (b->script.next < 256)
        assert_int_equal(worker_step(b->worker), 0);
    drain(b);
    assert_true(counter(b, COUNTER_dropped) > 0);
    assert_int_equal(count_of(b, EVENT_test_ended), 0);
}

static void a_worker_beats_in_every_step_by_the_steady_clock(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = 0;
    make(b, &beating, false);
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_int_equal(b->script.beats, 1); /* from the start on it can be missed */
    for (unsigned i = 2; i < 12; i++) {
        uint64_t before = clock_mono_ns();
        assert_int_equal(worker_step(b->worker), 0);
        assert_int_equal(b->script.beats, i);
        assert_true(b->script.beat_at >= before && b->script.beat_at <= clock_mono_ns());
    }
}

static void when_frames_went_past_the_burst_that_is_here_is_not_judged(void **state)
{
    struct bench *b = *state;
    begin_to_withhold(b);
    unsigned from = b->script.next;
    b->script.passed += 3;
    while (b->script.next < SCRIPT_MAX)
        assert_int_equal(worker_step(b->worker), 0);
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    for (unsigned i = from; i < SCRIPT_MAX; i++)
        assert_int_equal(b->script.verdicts[i], FRAME_FORWARD);
    assert_int_equal(count_of(b, EVENT_test_ended), 1);
    const struct event_test_ended *e = &find(b, EVENT_test_ended, 0)->test_ended;
    assert_int_equal(e->verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(e->reason, "did not see all"));
    for (size_t i = 0; i < count_of(b, EVENT_drop); i++)
        assert_int_equal(find(b, EVENT_drop, i)->drop.outcome, DROP_INVALID);
}

/* Nothing went past, but answers may stand in the ring since before their windows were over. */
static void after_a_long_stop_what_waited_in_the_ring_is_not_judged(void **state)
{
    struct bench *b = *state;
    begin_to_withhold(b);
    unsigned from = b->script.next;
    nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
    while (b->script.next < SCRIPT_MAX)
        assert_int_equal(worker_step(b->worker), 0);
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    for (unsigned i = from; i < SCRIPT_MAX; i++)
        assert_int_equal(b->script.verdicts[i], FRAME_FORWARD);
    assert_int_equal(count_of(b, EVENT_test_ended), 1);
    assert_non_null(strstr(find(b, EVENT_test_ended, 0)->test_ended.reason, "did not see all"));
}

/* Nobody sent anything meanwhile, so nothing was missed. */
static void a_long_stop_in_silence_ends_no_test(void **state)
{
    struct bench *b = *state;
    begin_to_withhold(b);
    size_t count = b->script.count;
    b->script.count = b->script.next;
    nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
    assert_int_equal(worker_step(b->worker), 0);
    b->script.count = count;
    assert_int_equal(worker_step(b->worker), 0);
    drain(b);
    assert_int_equal(count_of(b, EVENT_test_ended), 0);
}

static void what_goes_past_a_worker_that_lets_go_is_no_loss_of_sight(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = 0;
    b->script.is_passing_after_release = true;
    b->penny.mode = PENNY_ACTIVE;
    b->penny.prefix_count = 1;
    assert_int_equal(prefix_parse("198.51.100.0/24", &b->penny.prefixes[0]), 0);
    for (unsigned i = 0; i < 100; i++)
        add_tcp(b, 4000, 80, 1000 + i * 100, TCP_ACK, 100, 0);
    make(b, &beating, false);
    assert_int_equal(worker_start(b->worker, &note), 0);
    while (counter(b, COUNTER_packets) < 100)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    worker_stop(b->worker);
    assert_int_equal(worker_join(b->worker), 0);
    drain(b);
    assert_int_equal(count_of(b, EVENT_test_ended), 1);
    assert_null(strstr(find(b, EVENT_test_ended, 0)->test_ended.reason, "did not see all"));
}

static struct bench *second_bench(void)
{
    void *bench;
    assert_int_equal(setup(&bench), 0);
    return bench;
}

/* Two queues, b's script on the first and c's on the second. */
static void make_two(struct bench *b, struct bench *c, struct worker *all[2])
{
    struct worker_conf conf = {
        .ops = &plain,
        .penny = &b->penny,
        .scan = &b->scan,
        .tally = &b->tally,
        .ingress = &b->ingress,
        .workers = all,
        .worker_count = 2,
    };
    struct note note = {0};
    for (conf.queue = 0; conf.queue < 2; conf.queue++) {
        struct bench *of = conf.queue == 0 ? b : c;
        of->script.end = 0;
        conf.group = &of->script;
        assert_int_equal(worker_new(&conf, &of->worker, &note), 0);
        all[conf.queue] = of->worker;
    }
}

/* Until so many packets were seen; then both end, worker 0 last, as in the sensor. */
static void run_two(struct bench *b, struct bench *c, unsigned packets)
{
    struct worker *all[2] = {b->worker, c->worker};
    struct note note = {0};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(worker_start(all[i], &note), 0);
    while (counter(b, COUNTER_packets) + counter(c, COUNTER_packets) < packets)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (unsigned i = 2; i-- > 0;) {
        worker_stop(all[i]);
        assert_int_equal(worker_join(all[i]), 0);
    }
    drain(b);
    drain(c);
}

static void the_status_of_worker_0_counts_what_all_workers_did(void **state)
{
    struct bench *b = *state, *c = second_bench();
    struct worker *all[2];
    for (unsigned i = 0; i < 100; i++) {
        add_tcp(b, 4000, 80, i, TCP_ACK, 0, 0);
        add_tcp(c, 4000, 80, i, TCP_ACK, 0, 0);
    }
    make_two(b, c, all);
    run_two(b, c, 200);
    assert_int_equal(count_of(b, EVENT_sensor_status), 1);
    assert_int_equal(find(b, EVENT_sensor_status, 0)->sensor_status.packets, 200);
    assert_int_equal(find(b, EVENT_sensor_status, 0)->sensor_status.missed, 6);
    assert_int_equal(count_of(c, EVENT_sensor_status), 0);
    assert_int_equal(find(b, EVENT_tally, 0)->tally.packets, 100);
    assert_int_equal(find(c, EVENT_tally, 0)->tally.packets, 100);
    bench_free(c);
}

static void one_scan_engine_sees_the_openings_of_all_queues(void **state)
{
    struct bench *b = *state, *c = second_bench();
    struct worker *all[2];
    for (unsigned i = 0; i < 100; i++) {
        add_tcp(b, 4000, (uint16_t)i, 1, TCP_SYN, 0, 0);
        add_tcp(c, 4000, (uint16_t)i, 1, i % 2 == 0 ? TCP_SYN : TCP_ACK, 0, 0);
    }
    make_two(b, c, all);
    run_two(b, c, 200);
    assert_int_equal(find(b, EVENT_scan_window, 0)->scan_window.direction, SCAN_SERVER);
    assert_int_equal(find(b, EVENT_scan_window, 0)->scan_window.probes, 150);
    assert_int_equal(count_of(c, EVENT_scan_window), 0);
    assert_int_equal(counter(c, COUNTER_openings_lost), 0);
    bench_free(c);
}

/* Worker 0 stands still. Its packets go on all the same. */
static void openings_that_worker_0_does_not_take_are_counted(void **state)
{
    struct bench *b = *state, *c = second_bench();
    struct worker *all[2];
    struct note note = {0};
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(c, 4000, (uint16_t)i, 1, TCP_SYN, 0, 0);
    make_two(b, c, all);
    assert_int_equal(worker_open(c->worker, &note), 0);
    for (unsigned round = 0; round < 2; round++) {
        c->script.next = c->script.given_back = 0;
        while (c->script.given_back < SCRIPT_MAX)
            assert_int_equal(worker_step(c->worker), 0);
    }
    uint64_t lost = counter(c, COUNTER_openings_lost);
    assert_in_range(lost, 1, 2 * SCRIPT_MAX - 1);
    assert_int_equal(counter(c, COUNTER_forwarded), 2 * SCRIPT_MAX);
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_true(worker_finish(b->worker));
    drain(b);
    assert_int_equal(find(b, EVENT_scan_window, 0)->scan_window.probes, 2 * SCRIPT_MAX - lost);
    bench_free(c);
}

static void only_what_the_source_says_is_watched_is_judged(void **state)
{
    struct bench *b = *state;
    b->penny.mode = PENNY_ACTIVE;
    b->penny.drop_probability = 0.9;
    b->penny.prefix_count = 1;
    assert_int_equal(prefix_parse("198.51.100.0/24", &b->penny.prefixes[0]), 0);
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 2), 80, 1000 + i / 2 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    play(b, &sifting);
    assert_true(counter(b, COUNTER_dropped) > 0);
    for (unsigned i = 1; i < SCRIPT_MAX; i += 2)
        assert_int_equal(b->script.verdicts[i], FRAME_FORWARD);
    assert_int_equal(find(b, EVENT_tally, 0)->tally.packets > 0, 1);
}

static void a_source_that_does_not_open_is_explained(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.open_error = ERR_KERNEL;
    make(b, &plain, false);
    assert_int_equal(worker_start(b->worker, &note), ERR_KERNEL);
    assert_non_null(strstr(note.text, "the script has no queue 0"));
}

static void a_source_that_fails_ends_its_worker_with_that_error(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    b->script.end = ERR_FORMAT;
    make(b, &plain, false);
    assert_int_equal(worker_start(b->worker, &note), 0);
    assert_int_equal(worker_join(b->worker), ERR_FORMAT);
    assert_true(b->script.is_closed);
}

static void watched_prefixes_can_be_replaced_while_the_worker_runs(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    struct prefix watched;
    assert_int_equal(prefix_parse("198.51.100.0/24", &watched), 0);
    b->penny.mode = PENNY_ACTIVE;
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 4), 80, 1000 + i / 4 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    make(b, &plain, true);
    assert_int_equal(worker_open(b->worker, &note), 0);
    while (b->script.given_back < SCRIPT_MAX / 2 && worker_step(b->worker) == 0)
        drain(b);
    assert_int_equal(counter(b, COUNTER_dropped), 0);
    assert_int_equal(count_of(b, EVENT_test_started), 0);
    /* The first list is never taken: the second replaces it. */
    assert_int_equal(worker_watch(b->worker, NULL, NULL, 0), 0);
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), 0);
    while (worker_step(b->worker) == 0)
        drain(b);
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    assert_int_equal(count_of(b, EVENT_test_started), 1);
    assert_true(counter(b, COUNTER_dropped) > 0);
}

static void a_watched_prefix_with_a_limit_loses_no_more_than_that(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    struct prefix watched;
    const struct penny_limit limit = {.drops = 3};
    assert_int_equal(prefix_parse("198.51.100.0/24", &watched), 0);
    b->penny.mode = PENNY_ACTIVE;
    b->penny.retest_after_ns = 0; /* test after test would go on withholding */
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 4), 80, 1000 + i / 4 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    make(b, &plain, true);
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_int_equal(worker_watch(b->worker, &watched, &limit, 1), 0);
    assert_false(worker_has_watch(b->worker));
    while (worker_step(b->worker) == 0)
        drain(b);
    assert_true(worker_has_watch(b->worker));
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    assert_true(counter(b, COUNTER_dropped) > 0);
    assert_true(counter(b, COUNTER_dropped) <= limit.drops);
}

static void nothing_is_withheld_from_the_end_of_a_limit_on(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    struct prefix watched;
    const struct penny_limit over = {.drops = 1000, .until_ns = START};
    assert_int_equal(prefix_parse("198.51.100.0/24", &watched), 0);
    b->penny.mode = PENNY_ACTIVE;
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 4), 80, 1000 + i / 4 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    make(b, &plain, true);
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_int_equal(worker_watch(b->worker, &watched, &over, 1), 0); /* it was long on its way */
    while (worker_step(b->worker) == 0)
        drain(b);
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    assert_true(worker_has_watch(b->worker));
    assert_int_equal(counter(b, COUNTER_dropped), 0);
}

static void a_list_that_finds_no_memory_is_not_taken_and_can_be_handed_over_again(void **state)
{
    struct bench *b = *state;
    struct note note = {0};
    struct prefix watched;
    assert_int_equal(prefix_parse("198.51.100.0/24", &watched), 0);
    b->penny.mode = PENNY_ACTIVE;
    for (unsigned i = 0; i < SCRIPT_MAX; i++)
        add_tcp(b, (uint16_t)(4000 + i % 4), 80, 1000 + i / 4 * 100, TCP_ACK, 100,
                START + i * 50 * NS_PER_MS);
    make(b, &plain, true);
    assert_int_equal(worker_open(b->worker, &note), 0);
    assert_false(worker_lacks_watch(b->worker));
    is_memory_out = true; /* for the caller's copy */
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), -ENOMEM);
    is_memory_out = false;
    assert_true(worker_lacks_watch(b->worker));
    assert_false(worker_has_watch(b->worker));
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), 0);
    is_memory_out = true; /* for the caller's copy of the next, and then for Penny's of this one */
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), -ENOMEM);
    assert_int_equal(worker_step(b->worker), 0);
    is_memory_out = false;
    drain(b);
    assert_true(worker_lacks_watch(b->worker));
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), 0);
    assert_false(worker_lacks_watch(b->worker)); /* not yet */
    while (b->script.given_back < SCRIPT_MAX / 2) {
        is_memory_out = true; /* for Penny's */
        assert_int_equal(worker_step(b->worker), 0);
        is_memory_out = false;
        drain(b);
    }
    assert_true(worker_lacks_watch(b->worker));
    assert_false(worker_has_watch(b->worker));
    assert_int_equal(counter(b, COUNTER_dropped), 0);
    assert_int_equal(worker_watch(b->worker, &watched, NULL, 1), 0);
    while (worker_step(b->worker) == 0)
        drain(b);
    assert_true(worker_has_watch(b->worker));
    assert_false(worker_lacks_watch(b->worker));
    while (!worker_finish(b->worker))
        drain(b);
    drain(b);
    assert_true(counter(b, COUNTER_dropped) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_frame_comes_back_once_and_in_order),
        TEST(what_cannot_be_parsed_is_forwarded_and_counted_by_its_reason),
        TEST(a_packet_with_a_broken_tcp_header_is_still_tallied_where_it_entered),
        TEST(what_the_kernel_counts_is_exported),
        TEST(packets_are_tallied_where_they_entered),
        TEST(openings_in_frames_reach_the_scan_windows),
        TEST(a_pause_in_a_capture_is_walked_so_that_windows_end_when_due),
        TEST(a_status_comes_every_interval_and_its_sums_are_whole),
        TEST(statistics_that_cannot_be_read_again_turn_nothing_back),
        TEST(the_penny_test_withholds_segments_of_watched_prefixes),
        TEST(passive_mode_withholds_nothing_and_tells_of_flows),
        TEST(the_same_capture_gives_the_same_events),
        TEST(where_the_kernel_counts_frames_are_not_counted_again),
        TEST(openings_are_taken_though_nobody_looks_for_scans),
        TEST(packets_go_on_while_the_kernels_counts_are_read),
        TEST(a_full_ring_holds_events_back_and_loses_none),
        TEST(live_events_carry_wall_clock_time),
        TEST(a_worker_ends_when_asked_and_gives_everything_back),
        TEST(frames_under_way_when_the_worker_stops_go_on_and_are_not_tested),
        TEST(a_worker_beats_in_every_step_by_the_steady_clock),
        TEST(when_frames_went_past_the_burst_that_is_here_is_not_judged),
        TEST(after_a_long_stop_what_waited_in_the_ring_is_not_judged),
        TEST(a_long_stop_in_silence_ends_no_test),
        TEST(what_goes_past_a_worker_that_lets_go_is_no_loss_of_sight),
        TEST(the_status_of_worker_0_counts_what_all_workers_did),
        TEST(one_scan_engine_sees_the_openings_of_all_queues),
        TEST(openings_that_worker_0_does_not_take_are_counted),
        TEST(only_what_the_source_says_is_watched_is_judged),
        TEST(a_source_that_does_not_open_is_explained),
        TEST(a_source_that_fails_ends_its_worker_with_that_error),
        TEST(watched_prefixes_can_be_replaced_while_the_worker_runs),
        TEST(a_watched_prefix_with_a_limit_loses_no_more_than_that),
        TEST(nothing_is_withheld_from_the_end_of_a_limit_on),
        TEST(a_list_that_finds_no_memory_is_not_taken_and_can_be_handed_over_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

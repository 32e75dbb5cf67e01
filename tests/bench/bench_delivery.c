/* Sensors without packets: events go through rings to real publishers, and from there to a real
 * collector. Prints one "NAME NUMBER" per line.
 *
 *   bench_delivery load ENDPOINT KEYS STATE KIND SENSORS EVENTS    as fast as they are taken
 *   bench_delivery pace ENDPOINT KEYS STATE KIND RATE SECONDS      at a steady rate, by one sensor
 *
 * KEYS: a folder with collector.pub and bench1.cert, bench2.cert, … STATE: a folder for the spools.
 *
 * Latency is from the push into the ring, whose wall time is the event's `at`, to the moment at
 * which this thread sees that the publisher counted the collector's acknowledgement. That comes
 * after the COMMIT and travels back, so the row was committed before: what is shown is never too
 * short, and too long by the way back and by LOOK_US at most. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sensor/publish/publish.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/bench/delivery_events.h"

enum {
    RING_EVENTS = 4096, /* as a worker's */
    SENSORS_MAX = 64,
    LOOK_US = 200,
    PATIENCE_S = 120
};

struct sensor {
    struct ring ring;
    struct counters counters;
    struct publish *publish;
};

static struct sensor sensors[SENSORS_MAX];
static struct event events[DELIVERY_EVENTS];
static uint64_t give_up_at;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_delivery: %s\n", what);
    exit(1);
}

/* Also what ends a run that does not come to its end. */
static void look_later(void)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(LOOK_US * NS_PER_US)}, NULL);
    if (clock_mono_ns() > give_up_at)
        die("the events were not acknowledged in time");
}

/* False: it does not fit. */
static __attribute__((format(printf, 3, 4))) bool text(char *out, size_t size, const char *form,
                                                       ...)
{
    va_list args;
    va_start(args, form);
    int len = vsnprintf(out, size, form, args);
    va_end(args);
    return len >= 0 && (size_t)len < size;
}

struct place {
    const char *endpoint, *keys, *state;
};

static void start_sensor(struct sensor *s, unsigned number, const struct place *at)
{
    struct ring *rings[] = {&s->ring};
    struct note note = {0};
    struct publish_conf conf = {.driver = "pcap",
                                .keep_bytes = 64 << 20,
                                .linger_ns = 20 * NS_PER_MS,
                                .stop_wait_ns = 10 * NS_PER_S};
    bool fits =
        text(conf.endpoint, sizeof conf.endpoint, "%s", at->endpoint) &&
        text(conf.sensor, sizeof conf.sensor, "bench%u", number) &&
        text(conf.pop, sizeof conf.pop, "BEN") &&
        text(conf.server, sizeof conf.server, "%s/collector.pub", at->keys) &&
        text(conf.certificate, sizeof conf.certificate, "%s/%s.cert", at->keys, conf.sensor) &&
        text(conf.state_dir, sizeof conf.state_dir, "%s/%s", at->state, conf.sensor);
    if (!fits || mkdir(conf.state_dir, 0700) != 0)
        die("no folder for a sensor's state");
    if (ring_init(&s->ring, sizeof(struct event), RING_EVENTS) < 0)
        die("no memory");
    if (publish_open(&conf, rings, 1, &s->counters, &s->publish, &note) < 0)
        die(note.text);
}

static uint64_t acknowledged(unsigned n)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += counter_get(&sensors[i].counters, COUNTER_events_acknowledged);
    return sum;
}

static void start_sensors(unsigned n, const struct place *at)
{
    for (unsigned i = 0; i < n; i++)
        start_sensor(&sensors[i], i + 1, at);
    while (acknowledged(n) < n) /* each its sensor_started: it is connected */
        look_later();
}

static void stop_sensors(unsigned n)
{
    uint64_t lost = 0;
    for (unsigned i = 0; i < n; i++) {
        lost += publish_close(sensors[i].publish, "end of the measurement");
        ring_clear(&sensors[i].ring);
    }
    if (lost > 0)
        die("a sensor ended with events that nobody acknowledged");
}

/* False: the ring is full. */
static bool push(struct sensor *s, uint64_t number)
{
    struct event *slot = ring_claim(&s->ring);
    if (slot == NULL)
        return false;
    *slot = events[number % DELIVERY_EVENTS];
    event_shift(slot, clock_wall_ns() - slot->at);
    ring_publish(&s->ring);
    return true;
}

/* ---- as fast as they are taken ---- */

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Round the sensors, a few events each time: as if each had its own traffic. */
static void push_all(unsigned n, uint64_t total)
{
    enum { AT_ONCE = 64 };
    for (uint64_t pushed = 0; pushed < total;) {
        uint64_t before = pushed;
        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; k < AT_ONCE && pushed < total && push(&sensors[i], pushed); k++)
                pushed++;
        if (pushed == before)
            look_later();
    }
}

/* Bytes of the first count events as they travel, the messages' heads left out. */
static double bytes_of(uint64_t count)
{
    uint8_t out[WIRE_EVENT_MAX];
    double sum = 0;
    for (size_t i = 0; i < DELIVERY_EVENTS; i++) {
        struct event e = events[i];
        event_shift(&e, clock_wall_ns());
        sum += wire_event_encode(&e, out, sizeof out);
    }
    return sum / DELIVERY_EVENTS * (double)count;
}

static void load(unsigned n, uint64_t total)
{
    uint64_t first = acknowledged(n), from = clock_mono_ns();
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), own = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    push_all(n, total);
    while (acknowledged(n) - first < total)
        look_later();
    double seconds = (double)(clock_mono_ns() - from) / 1e9;
    own = seconds_of(CLOCK_THREAD_CPUTIME_ID) - own;
    printf("seconds %.4f\n", seconds);
    printf("rate %.2f\n", (double)total / seconds / 1e3);
    printf("bytes_rate %.3f\n", bytes_of(total) / seconds / 1e6);
    printf("publisher_cpu %.4f\n", seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu - own);
    printf("feeder_cpu %.4f\n", own);
}

/* ---- at a steady rate ---- */

struct pace {
    uint64_t rate, total, from;
    uint64_t pushed, seen, first;
    uint64_t *pushed_at; /* mono ns by event */
    float *latency;      /* ms */
};

static void pace_push(struct pace *p)
{
    uint64_t now = clock_mono_ns(), due = (now - p->from) * p->rate / NS_PER_S;
    while (p->pushed < due && p->pushed < p->total && push(&sensors[0], p->pushed))
        p->pushed_at[p->pushed++] = clock_mono_ns();
}

static void pace_look(struct pace *p)
{
    uint64_t upto = acknowledged(1) - p->first, now = clock_mono_ns();
    for (; p->seen < upto; p->seen++)
        p->latency[p->seen] = (float)(now - p->pushed_at[p->seen]) / 1e6f;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* An event that finds its ring full waits outside, and its clock only starts then: so a rate that
 * was not held has no latency. */
static void pace(uint64_t rate, uint64_t seconds)
{
    struct pace p = {.rate = rate, .total = rate * seconds, .first = acknowledged(1)};
    p.pushed_at = calloc(p.total, sizeof *p.pushed_at);
    p.latency = calloc(p.total, sizeof *p.latency);
    if (p.pushed_at == NULL || p.latency == NULL)
        die("no memory");
    p.from = clock_mono_ns();
    uint64_t pushed_by = 0;
    while (p.seen < p.total) {
        pace_push(&p);
        pace_look(&p);
        if (p.pushed == p.total && pushed_by == 0)
            pushed_by = clock_mono_ns();
        look_later();
    }
    double took = (double)(pushed_by - p.from) / 1e9;
    qsort(p.latency, p.total, sizeof *p.latency, by_size);
    printf("held %.4f\n", (double)p.total / took / (double)rate);
    printf("p50 %.3f\n", (double)p.latency[p.total / 2]);
    printf("p99 %.3f\n", (double)p.latency[p.total * 99 / 100]);
    printf("max %.3f\n", (double)p.latency[p.total - 1]);
    free(p.pushed_at);
    free(p.latency);
}

int main(int argc, char **argv)
{
    bool is_load = argc == 8 && strcmp(argv[1], "load") == 0;
    if (argc != 8 || (!is_load && strcmp(argv[1], "pace") != 0)) {
        fprintf(stderr, "usage: bench_delivery load ENDPOINT KEYS STATE KIND SENSORS EVENTS\n"
                        "       bench_delivery pace ENDPOINT KEYS STATE KIND RATE SECONDS\n");
        return 2;
    }
    struct place at = {argv[2], argv[3], argv[4]};
    uint64_t a = strtoull(argv[6], NULL, 10), b = strtoull(argv[7], NULL, 10);
    unsigned n = is_load ? (unsigned)a : 1;
    if (!delivery_events(argv[5], events) || a == 0 || b == 0 || n > SENSORS_MAX)
        die("no such kind of events, or a number out of range");
    log_level_set(LOG_LEVEL_ERROR);
    give_up_at = clock_mono_ns() + PATIENCE_S * NS_PER_S;
    start_sensors(n, &at);
    if (is_load)
        load(n, b);
    else
        pace(a, b);
    stop_sensors(n);
    return 0;
}

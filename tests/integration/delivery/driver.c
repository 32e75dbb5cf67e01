/* A sensor without packets: numbered events at a chosen rate, through a real ring and the real
 * publisher. May be killed at any moment; the next run goes on behind the last number pushed.
 *
 *   driver --journal FILE --endpoint ENDPOINT --name NAME --pop POP --state FOLDER
 *          --total N       numbers 1 … N over all runs; then it ends
 *          --rate R        events a second
 *          --seconds S     it ends after so long, whatever it has done
 *          --wait S        at the end it waits so long for the last acknowledgement
 *          --keep BYTES    publish.keep
 *          --certificate FILE --server FILE      CURVE; without them in the clear
 *   driver --journal FILE --report               pushed, runs, stops; then the numbers in doubt
 *
 * Exit status: 0 all numbers are pushed and acknowledged; 3 not yet; 1 it cannot run. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sensor/publish/publish.h"
#include "sensor/publish/spool_look.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/integration/delivery/journal.h"
#include "tests/integration/delivery/numbered.h"

/* Small: what it holds is lost by kill -9, as a worker's ring is. */
#define RING_EVENTS 256
/* What the publisher says by itself in one run, beside sensor_stopped: at most so much. */
#define OWN_EVENTS 3

struct driver {
    struct publish_conf conf;
    const char *journal_path;
    uint64_t total, rate, seconds;
    bool is_report;
    struct journal *journal;
    struct ring ring;
    struct counters counters;
    struct publish *publish;
    uint64_t base; /* last number pushed by the runs before this one */
};

static volatile sig_atomic_t must_stop;

static void on_signal(int signal)
{
    (void)signal;
    must_stop = 1;
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "driver: %s: %s\n", what, why);
    exit(1);
}

/* ---- command line ---- */

static const struct option options[] = {{"journal", required_argument, NULL, 'j'},
                                        {"endpoint", required_argument, NULL, 'e'},
                                        {"name", required_argument, NULL, 'n'},
                                        {"pop", required_argument, NULL, 'p'},
                                        {"state", required_argument, NULL, 'd'},
                                        {"total", required_argument, NULL, 't'},
                                        {"rate", required_argument, NULL, 'r'},
                                        {"seconds", required_argument, NULL, 's'},
                                        {"wait", required_argument, NULL, 'w'},
                                        {"keep", required_argument, NULL, 'k'},
                                        {"certificate", required_argument, NULL, 'c'},
                                        {"server", required_argument, NULL, 'S'},
                                        {"report", no_argument, NULL, 'R'},
                                        {NULL, 0, NULL, 0}};

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0')
        die(text, "is no number");
    return n;
}

#define COPY(to, from) snprintf((to), sizeof(to), "%s", (from))

static void take_option(struct driver *d, int which)
{
    switch (which) {
    case 'j':
        d->journal_path = optarg;
        return;
    case 'e':
        COPY(d->conf.endpoint, optarg);
        return;
    case 'n':
        COPY(d->conf.sensor, optarg);
        return;
    case 'p':
        COPY(d->conf.pop, optarg);
        return;
    case 'd':
        COPY(d->conf.state_dir, optarg);
        return;
    case 'c':
        COPY(d->conf.certificate, optarg);
        d->conf.insecure = false;
        return;
    case 'S':
        COPY(d->conf.server, optarg);
        return;
    case 't':
        d->total = number(optarg);
        return;
    case 'r':
        d->rate = number(optarg);
        return;
    case 's':
        d->seconds = number(optarg);
        return;
    case 'w':
        d->conf.stop_wait_ns = number(optarg) * NS_PER_S;
        return;
    case 'k':
        d->conf.keep_bytes = number(optarg);
        return;
    case 'R':
        d->is_report = true;
        return;
    default:
        exit(1);
    }
}

/* The silences are shorter than a sensor's, so that a fault is over in seconds. */
static void parse(struct driver *d, int argc, char **argv)
{
    int which;
    d->conf = (struct publish_conf){.insecure = true,
                                    .driver = "pcap",
                                    .keep_bytes = 64 << 20,
                                    .linger_ns = 20 * NS_PER_MS,
                                    .stop_wait_ns = 10 * NS_PER_S,
                                    .ping_ns = 300 * NS_PER_MS,
                                    .dead_ns = 1500 * NS_PER_MS};
    d->rate = 1000;
    d->seconds = 60;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(d, which);
    if (optind != argc || d->journal_path == NULL || d->rate == 0)
        die("usage", "see the beginning of driver.c");
}

/* ---- the run ---- */

/* The publisher's own events count as well, and nobody says when they came: sensor_started, and a
 * gap after a spool that was damaged or older than the collector. So the mark may be too low by
 * some, and is never too high. */
static void note_durable(struct driver *d)
{
    uint64_t n = counter_get(&d->counters, COUNTER_events_spooled);
    if (n > OWN_EVENTS && d->base + n - OWN_EVENTS > d->journal->durable)
        d->journal->durable = d->base + n - OWN_EVENTS;
}

/* False: the ring is full. */
static bool push(struct driver *d)
{
    struct event *slot = ring_claim(&d->ring);
    if (slot == NULL)
        return false;
    uint64_t v = d->journal->pushed + 1;
    numbered_event(v, clock_wall_ns(), slot);
    d->journal->pushed = v; /* before the publisher can see it */
    ring_publish(&d->ring);
    return true;
}

static void run(struct driver *d)
{
    uint64_t began = clock_mono_ns(), now = began, made = 0;
    while (!must_stop && now - began < d->seconds * NS_PER_S && d->journal->pushed < d->total) {
        uint64_t due = (now - began) / NS_PER_MS * d->rate / 1000;
        while (made < due && d->journal->pushed < d->total && push(d))
            made++;
        note_durable(d);
        nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
        now = clock_mono_ns();
    }
}

static void open_publisher(struct driver *d)
{
    struct ring *rings[] = {&d->ring};
    struct note note = {0};
    if (ring_init(&d->ring, sizeof(struct event), RING_EVENTS) < 0)
        die("the ring", "no memory");
    if (publish_open(&d->conf, rings, 1, &d->counters, &d->publish, &note) < 0)
        die("the publisher", note.text);
}

/* What is in the spool for the next run. */
static uint64_t events_left(const struct driver *d)
{
    struct spool_summary s;
    struct note note = {0};
    uint64_t n = 0;
    if (spool_look(d->conf.state_dir, &s, &note) < 0)
        die("the spool", note.text);
    for (int i = 0; i < CLASS_COUNT; i++)
        n += s.events[i];
    return n;
}

static int drive(struct driver *d)
{
    int err = journal_begin(d->journal);
    if (err < 0)
        die("the journal", err_text(err));
    d->base = d->journal->pushed;
    open_publisher(d);
    run(d);
    uint64_t lost = publish_close(d->publish, must_stop ? "SIGTERM" : "done");
    note_durable(d);
    if (lost == 0)
        d->journal->durable = (uint64_t)d->journal->pushed;
    err = journal_end(d->journal);
    if (err < 0)
        die("the journal", err_text(err));
    uint64_t left = events_left(d);
    printf("pushed=%" PRIu64 " lost=%" PRIu64 " left=%" PRIu64 " reconnects=%" PRIu64 "\n",
           d->journal->pushed, lost, left, counter_get(&d->counters, COUNTER_reconnects));
    ring_clear(&d->ring);
    return lost == 0 && left == 0 && d->journal->pushed >= d->total ? 0 : 3;
}

static int report(const struct journal *j)
{
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", j->pushed, j->runs, j->stops);
    for (uint32_t i = 0; i < j->doubts; i++)
        printf("%" PRIu64 " %" PRIu64 "\n", j->doubt[i].from, j->doubt[i].to);
    return 0;
}

int main(int argc, char **argv)
{
    static struct driver d;
    parse(&d, argc, argv);
    int err = journal_open(d.journal_path, &d.journal);
    if (err < 0)
        die(d.journal_path, err_text(err));
    if (d.is_report)
        return report(d.journal);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
    return drive(&d);
}

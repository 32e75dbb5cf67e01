/* The sensor's AF_XDP source alone: its XDP program, its socket and its rings, without a worker or
 * an engine behind them. Between the minimal program and the sensor it tells where the difference
 * arises.
 *
 *     bench_source IF PIN_DIR [--busy]
 *
 * Watches 198.18.0.0/24 to 198.18.63.0/24, as the sensor of tests/bench/run does, and gives every
 * frame back. Says "ready" and runs until SIGTERM; then prints how many frames it received. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define PREFIXES 64
#define WAIT_MS  50

static volatile sig_atomic_t must_stop;

static void stop(int signal)
{
    (void)signal;
    must_stop = 1;
}

static _Noreturn void die(const struct note *note)
{
    fprintf(stderr, "bench_source: %s\n", note->text);
    exit(1);
}

static uint64_t receive(struct source *s)
{
    static const uint8_t forward[BURST];
    struct frame frames[BURST];
    uint64_t packets = 0;
    while (!must_stop) {
        int n = source_afxdp.recv(s, frames, BURST);
        if (n < 0)
            break;
        source_afxdp.beat(s, clock_mono_ns());
        if (n == 0)
            source_afxdp.wait(s, WAIT_MS);
        else
            source_afxdp.done(s, frames, forward, (unsigned)n);
        packets += (uint64_t)n;
    }
    return packets;
}

static struct source_conf conf_of(int argc, char **argv, struct prefix watched[static PREFIXES])
{
    struct source_conf conf = {
        .driver = SOURCE_AF_XDP,
        .forward = FORWARD_NONE,
        .busy_poll = argc > 3 && strcmp(argv[3], "--busy") == 0,
        .tally_v4_length = 24,
        .tally_v6_length = 48,
        .watched = watched,
        .watched_count = PREFIXES,
    };
    snprintf(conf.interface, sizeof conf.interface, "%s", argv[1]);
    snprintf(conf.pin_dir, sizeof conf.pin_dir, "%s", argv[2]);
    for (unsigned i = 0; i < PREFIXES; i++) {
        struct addr net = addr_v4((const uint8_t[]){198, 18, (uint8_t)i, 0});
        watched[i] = prefix_of(&net, 24);
    }
    return conf;
}

int main(int argc, char **argv)
{
    struct prefix watched[PREFIXES];
    struct source_group *group;
    struct source *source;
    struct note note = {0};
    if (argc < 3) {
        fputs("bench_source IF PIN_DIR [--busy]\n", stderr);
        return 2;
    }
    struct source_conf conf = conf_of(argc, argv, watched);
    log_level_set(LOG_LEVEL_ERROR);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    if (source_afxdp.attach(&conf, &group, &note) != 0)
        die(&note);
    if (source_afxdp.open(group, 0, &source, &note) != 0)
        die(&note);
    puts("ready");
    fflush(stdout);
    uint64_t packets = receive(source);
    source_afxdp.close(source);
    source_afxdp.detach(group);
    if (source_afxdp_remove(&conf, &note) != 0)
        die(&note);
    printf("%llu\n", (unsigned long long)packets);
    return 0;
}

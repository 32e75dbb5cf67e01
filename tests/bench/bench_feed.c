/* A generator that is faster than what it feeds: frames of TCP segments, in order, of many flows,
 * made inside the kernel by feed.bpf.c and sent out of one port (a veth end; its peer's receive
 * work runs on this CPU, too).
 *
 *     bench_feed INTERFACE MILLISECONDS [--flows BITS] [--to MAC] [--length BYTES]
 *
 * 2^BITS flows (10) from 64 /24s of 198.18.0.0/18 to 198.19.0.1 port 80, frames of 254 bytes.
 * Prints frames sent and nanoseconds taken. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "feed.skel.h"
#include "shared/base/clock.h"

#define BATCH      64 /* frames that go to the port at once, as a card's poll takes them */
#define LENGTH_MAX 1514

struct headers {
    struct ethhdr eth;
    struct iphdr ip;
    struct tcphdr tcp;
} __attribute__((packed));

struct job {
    const char *interface;
    uint64_t length_ns;
    unsigned flow_bits, frame_len;
    uint8_t to[ETH_ALEN];
};

static int usage(void)
{
    fputs("bench_feed INTERFACE MILLISECONDS [--flows BITS] [--to MAC] [--length BYTES]\n", stderr);
    return 2;
}

static bool read_mac(const char *text, uint8_t mac[static ETH_ALEN])
{
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
                  &mac[4], &mac[5]) == ETH_ALEN;
}

static bool read_option(struct job *job, const char *name, const char *value)
{
    if (strcmp(name, "--flows") == 0)
        job->flow_bits = (unsigned)atoi(value);
    else if (strcmp(name, "--length") == 0)
        job->frame_len = (unsigned)atoi(value);
    else
        return strcmp(name, "--to") == 0 && read_mac(value, job->to);
    return job->flow_bits <= 24 && job->frame_len >= sizeof(struct headers) &&
           job->frame_len <= LENGTH_MAX;
}

static bool read_job(struct job *job, int argc, char **argv)
{
    *job = (struct job){.flow_bits = 10, .frame_len = 254, .to = {2, 0, 0, 0, 0, 9}};
    if (argc < 3 || argc % 2 == 0)
        return false;
    job->interface = argv[1];
    job->length_ns = (uint64_t)atoi(argv[2]) * NS_PER_MS;
    for (int i = 3; i < argc; i += 2)
        if (!read_option(job, argv[i], argv[i + 1]))
            return false;
    return job->length_ns > 0;
}

static void make_frame(const struct job *job, struct headers *h)
{
    static const uint8_t from[ETH_ALEN] = {2, 0, 0, 0, 0, 8};
    memcpy(h->eth.h_dest, job->to, ETH_ALEN);
    memcpy(h->eth.h_source, from, ETH_ALEN);
    h->eth.h_proto = htons(ETH_P_IP);
    h->ip = (struct iphdr){
        .version = 4,
        .ihl = 5,
        .tot_len = htons((uint16_t)(job->frame_len - sizeof h->eth)),
        .frag_off = htons(0x4000),
        .ttl = 64,
        .protocol = IPPROTO_TCP,
        .daddr = htonl(0xc6130001),
    };
    h->tcp = (struct tcphdr){.dest = htons(80), .doff = 5, .ack = 1, .window = htons(1024)};
}

static uint32_t sum_of(const uint8_t *at)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < sizeof(struct iphdr); i += 2)
        sum += (uint32_t)at[i] << 8 | at[i + 1];
    return sum;
}

static struct feed_bpf *load(const struct job *job, const struct headers *h)
{
    struct feed_bpf *f = feed_bpf__open();
    uint32_t zero = 0, port = if_nametoindex(job->interface);
    if (f == NULL)
        return NULL;
    memcpy(f->bss->to, h->eth.h_dest, ETH_ALEN);
    memcpy(f->bss->from, h->eth.h_source, ETH_ALEN);
    f->rodata->ttl = h->ip.ttl;
    f->rodata->flow_bits = job->flow_bits;
    f->rodata->payload = job->frame_len - (uint32_t)sizeof *h;
    f->rodata->header_sum = sum_of((const uint8_t *)h + sizeof h->eth);
    if (feed_bpf__load(f) == 0 &&
        bpf_map_update_elem(bpf_map__fd(f->maps.out), &zero, &port, BPF_ANY) == 0)
        return f;
    feed_bpf__destroy(f);
    return NULL;
}

static void stop(int signal)
{
    (void)signal; /* that it came ends the system call */
}

static void ring_after(uint64_t ns)
{
    const struct itimerval alarm = {.it_value = {.tv_sec = (time_t)(ns / NS_PER_S),
                                                 .tv_usec = (suseconds_t)(ns % NS_PER_S / 1000)}};
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = stop}, NULL);
    setitimer(ITIMER_REAL, &alarm, NULL);
}

/* One call: setting one up and taking it down sleeps for 20 ms. A signal ends it after the batch
 * that is under way. */
static int run(const struct job *job, const struct feed_bpf *f, void *frame)
{
    struct xdp_md where = {.data_end = job->frame_len};
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = job->frame_len,
                .ctx_in = &where, .ctx_size_in = sizeof where, .repeat = INT_MAX,
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
    uint64_t end = clock_mono_ns() + job->length_ns;
    ring_after(job->length_ns);
    int err = bpf_prog_test_run_opts(bpf_program__fd(f->progs.feed), &opts);
    if (err != -EINTR || f->bss->sent == 0) {
        fprintf(stderr, "bench_feed: %s: %s\n", job->interface, strerror(-err));
        return 1;
    }
    printf("%llu %llu\n", (unsigned long long)f->bss->sent,
           (unsigned long long)(end - f->bss->first_at_ns));
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t frame[LENGTH_MAX];
    struct job job;
    if (!read_job(&job, argc, argv))
        return usage();
    make_frame(&job, (struct headers *)frame);
    struct feed_bpf *f = load(&job, (struct headers *)frame);
    if (f == NULL) {
        fprintf(stderr, "bench_feed: cannot load for %s: %s\n", job.interface, strerror(errno));
        return 1;
    }
    int result = run(&job, f, frame);
    feed_bpf__destroy(f);
    return result;
}

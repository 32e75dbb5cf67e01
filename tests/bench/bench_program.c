/* Nanoseconds that the XDP program takes for a packet nobody watches, by the kernel's test-run
 * call: one line per measurement, "NAME NANOSECONDS". tests/bench/run takes the medians.
 *
 *   empty, parse, tally, whole   the program cut off after that step (whole: nothing cut off); each
 *                                contains the one before it; 1,000 watched prefixes
 *   opening                      whole, but every packet opens a connection: one more probe each
 *   watched-N                    whole, with N watched prefixes: 1, 1,000, 100,000 or as many as
 *                                the program takes (XDP_WATCHED_MAX)
 *   many-watched-N               the same with 65,536 sources from 4,096 /24s in place of one
 *
 * The test-run call's own work, some nanoseconds, is in every number. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/xdp_abi.h"
#include "program.skel.h"
#include "sensor/source/watched.h"
#include "tests/bpf/frames.h"

#define REPEAT    1000000
#define FRAME_LEN 254
#define MANY_BITS 16

static void die(const char *what, int err)
{
    fprintf(stderr, "bench_program: %s: %s\n", what, strerror(err < 0 ? -err : err));
    exit(1);
}

/* /24s all over the address space, but none inside 10.0.0.0/8. */
static struct prefix nth_prefix(uint32_t i)
{
    uint32_t net = (i + 1) * 2654435761u & 0xffffff00;
    if (net >> 24 == 10)
        net ^= 0x80000000;
    net = htonl(net);
    struct addr addr = addr_v4((const uint8_t *)&net);
    return prefix_of(&addr, 24);
}

static void watch(struct program_bpf *p, uint32_t count)
{
    struct watched watched = {.v4_fd = bpf_map__fd(p->maps.watched4),
                              .v6_fd = bpf_map__fd(p->maps.watched6),
                              .filter = &p->bss->filter};
    struct note note = {0};
    struct prefix *prefixes = calloc(count, sizeof *prefixes);
    if (prefixes == NULL)
        die("prefixes", ENOMEM);
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = nth_prefix(i);
    if (watched_set(&watched, prefixes, count, &note) != 0)
        die(note.text, EINVAL);
    watched_clear(&watched);
    free(prefixes);
}

static struct program_bpf *load(uint32_t prefixes, unsigned source_bits)
{
    struct program_bpf *p = program_bpf__open();
    if (p == NULL)
        die("open", errno);
    p->rodata->is_wire = true;
    p->rodata->tally_v4_mask = htonl(0xffffff00);
    p->rodata->source_bits = source_bits;
    for (unsigned i = 0; i < XDP_VLANS; i++)
        p->rodata->ingress_by_vlan[i] = XDP_NO_ROW;
    int err = program_bpf__load(p);
    uint32_t inner = XDP_PORT_INNER, loopback = 1;
    if (err == 0)
        err = bpf_map_update_elem(bpf_map__fd(p->maps.ports), &inner, &loopback, BPF_ANY);
    if (err != 0)
        die("load", err);
    watch(p, prefixes);
    return p;
}

static struct bytes frame_of(unsigned flags)
{
    struct bytes f = {0};
    put_ethernet(&f, ETH_P_IP);
    put_ipv4(&f, "10.0.0.1", "198.19.0.1", IPPROTO_TCP, FRAME_LEN - 14 - 20);
    put_tcp(&f, 1234, 80, flags);
    put_zero(&f, FRAME_LEN - f.len);
    return f;
}

static void time_of(const struct program_bpf *p, const char *name,
                    const struct bpf_program *program, unsigned flags)
{
    struct bytes f = frame_of(flags);
    uint32_t zero = 0;
    int fd = bpf_program__fd(program);
    if (bpf_map_update_elem(bpf_map__fd(p->maps.tested), &zero, &fd, BPF_ANY) != 0)
        die(name, errno);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f.data, .data_size_in = (uint32_t)f.len,
                .repeat = REPEAT);
    int err = bpf_prog_test_run_opts(bpf_program__fd(p->progs.bench_vary), &opts);
    if (err != 0)
        die(name, err);
    if (opts.retval == XDP_ABORTED)
        die(name, EPROTO);
    printf("%s %u\n", name, opts.duration);
}

static void steps(void)
{
    struct program_bpf *p = load(1000, 0);
    time_of(p, "empty", p->progs.bench_empty, FLAG_ACK);
    time_of(p, "parse", p->progs.bench_parse, FLAG_ACK);
    time_of(p, "tally", p->progs.bench_tally, FLAG_ACK);
    time_of(p, "whole", p->progs.ingress, FLAG_ACK);
    time_of(p, "opening", p->progs.ingress, FLAG_SYN);
    program_bpf__destroy(p);
}

static void growth(const char *prefix, unsigned source_bits)
{
    static const uint32_t counts[] = {1, 1000, 100000};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        char name[64];
        uint32_t count = counts[i] < XDP_WATCHED_MAX ? counts[i] : XDP_WATCHED_MAX;
        struct program_bpf *p = load(count, source_bits);
        snprintf(name, sizeof name, "%swatched-%u", prefix, count);
        time_of(p, name, p->progs.ingress, FLAG_ACK);
        program_bpf__destroy(p);
    }
}

int main(void)
{
    steps();
    growth("", 0);
    growth("many-", MANY_BITS);
    return 0;
}

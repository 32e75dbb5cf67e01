/* The XDP programs, loaded but attached to nothing, for the kernel's test-run call: one frame in,
 * the verdict, the counters and the maps out. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/xdp_abi.h"
#include "sensor/source/kernel_tally.h"
#include "sensor/source/watched.h"
#include "tests/bpf/frames.h"
#include "xdp_ingress.skel.h"

struct lab {
    struct xdp_ingress *x;
    struct kernel_tally tally;
    struct watched watched;
    int socket_fd;
    bool is_wire;
};

struct options {
    bool is_wire, has_socket, has_coarse_clock;
    uint32_t tally_cells; /* 0: as built */
};

/* Rows: 0 vlan 101; 1 mac …07; 2 vlan 102 and mac …08; 3 vlan 102; 4 matches all. */
static inline void set_ingress(struct xdp_ingress *x)
{
    for (unsigned i = 0; i < XDP_VLANS; i++)
        x->rodata->ingress_by_vlan[i] = XDP_NO_ROW;
    x->rodata->ingress_by_vlan[101] = 0;
    x->rodata->ingress_by_vlan[102] = 3;
    x->rodata->ingress_default = 4;
    x->rodata->has_macs = true;
}

static inline void fill_macs(const struct xdp_ingress *x)
{
    struct xdp_mac_key any = {.mac = {2, 0, 0, 0, 0, 7}};
    struct xdp_mac_key tagged = {.mac = {2, 0, 0, 0, 0, 8}, .vlan = 102};
    uint16_t one = 1, two = 2;
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(x->maps.macs), &any, &one, BPF_ANY), 0);
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(x->maps.macs), &tagged, &two, BPF_ANY), 0);
}

/* The same way as the sensor: filter and tries. */
static inline void watch(struct lab *lab, const char *const *texts, size_t n)
{
    struct prefix list[16];
    assert_true(n <= sizeof list / sizeof list[0]);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(prefix_parse(texts[i], &list[i]), 0);
    assert_int_equal(watched_set(&lab->watched, list, n, NULL), 0);
}

static inline void fill_ports(const struct xdp_ingress *x)
{
    uint32_t loopback = 1;
    for (uint32_t port = 0; port < XDP_PORTS; port++)
        assert_int_equal(bpf_map_update_elem(bpf_map__fd(x->maps.ports), &port, &loopback, 0), 0);
}

static inline void list_socket(struct lab *lab)
{
    uint32_t queue = 0;
    lab->socket_fd = socket(AF_XDP, SOCK_RAW, 0);
    assert_true(lab->socket_fd >= 0);
    assert_int_equal(
        bpf_map_update_elem(bpf_map__fd(lab->x->maps.xsks), &queue, &lab->socket_fd, 0), 0);
}

static inline struct lab lab_open(struct options options)
{
    struct lab lab = {.x = xdp_ingress__open(), .socket_fd = -1, .is_wire = options.is_wire};
    assert_non_null(lab.x);
    lab.x->rodata->is_wire = options.is_wire;
    lab.x->rodata->has_coarse_clock = options.has_coarse_clock;
    lab.x->rodata->tally_v4_mask = htonl(0xffffff00);
    memset((void *)lab.x->rodata->tally_v6_mask, 0xff, 6);
    set_ingress(lab.x);
    if (options.tally_cells != 0) {
        bpf_map__set_max_entries(lab.x->maps.tally_a, options.tally_cells);
        bpf_map__set_max_entries(lab.x->maps.tally_b, options.tally_cells);
    }
    assert_int_equal(xdp_ingress__load(lab.x), 0);
    fill_macs(lab.x);
    lab.watched = (struct watched){.v4_fd = bpf_map__fd(lab.x->maps.watched4),
                                   .v6_fd = bpf_map__fd(lab.x->maps.watched6),
                                   .filter = &lab.x->bss->filter};
    watch(&lab, (const char *const[]){"203.0.113.0/24", "2001:db8:77::/48"}, 2);
    fill_ports(lab.x);
    if (options.has_socket)
        list_socket(&lab);
    lab.tally = (struct kernel_tally){
        .slot_fd = bpf_map__fd(lab.x->maps.tally),
        .cells_fd = {bpf_map__fd(lab.x->maps.tally_a), bpf_map__fd(lab.x->maps.tally_b)},
        .caches_fd = bpf_map__fd(lab.x->maps.caches),
        .turn = &lab.x->bss->cache_turn,
        .v4_length = 24,
        .v6_length = 48,
    };
    assert_int_equal(kernel_tally_init(&lab.tally), 0);
    return lab;
}

static inline void lab_close(struct lab *lab)
{
    kernel_tally_clear(&lab->tally);
    watched_clear(&lab->watched);
    if (lab->socket_fd >= 0)
        close(lab->socket_fd);
    xdp_ingress__destroy(lab->x);
}

static inline uint64_t stat(const struct lab *lab, uint32_t which)
{
    uint64_t values[1024] = {0}, sum = 0;
    assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(lab->x->maps.stats), &which, values), 0);
    for (int i = 0; i < libbpf_num_possible_cpus(); i++)
        sum += values[i];
    return sum;
}

static inline int run_program(const struct bpf_program *program, const struct bytes *f, int repeat)
{
    uint8_t out[4096];
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->data, .data_size_in = (uint32_t)f->len,
                .data_out = out, .data_size_out = sizeof out, .repeat = repeat);
    assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0);
    assert_int_equal(opts.data_size_out, f->len);
    assert_memory_equal(out, f->data, f->len); /* frames are never changed */
    return (int)opts.retval;
}

static inline int run(const struct lab *lab, const struct bytes *f)
{
    return run_program(lab->x->progs.ingress, f, 1);
}

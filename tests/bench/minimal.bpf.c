/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The least that a kernel program can do for each of the jobs that the bench compares with. Used by
 * bench_minimal.c. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 dropped = 0; /* one CPU runs this */

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u32);
} xsks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} outer SEC(".maps");

SEC("xdp")
int pass(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_PASS;
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
    (void)ctx;
    dropped++;
    return XDP_DROP;
}

SEC("xdp")
int to_socket(struct xdp_md *ctx)
{
    return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_DROP);
}

SEC("xdp")
int way_back(struct xdp_md *ctx)
{
    (void)ctx;
    return bpf_redirect_map(&outer, 0, XDP_DROP);
}

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* For tests/bpf/cost_xdp.c: gives every run of a repeated test-run another source address, then
 * goes on with the program under test. Without it a hundred thousand runs would look up one
 * address, from warm caches, in whatever table. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define SOURCES    4096
#define SOURCE_LEN 16
#define V4_SOURCE  26 /* from the Ethernet header on */
#define V6_SOURCE  22

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 sources[SOURCES][2];
__u32 turn;

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} next SEC(".maps");

SEC("xdp")
int vary4(struct xdp_md *ctx)
{
    char *at = (void *)(long)ctx->data;
    __u64 *source = sources[turn++ % SOURCES];
    if (at + V4_SOURCE + 4 <= (char *)(long)ctx->data_end)
        __builtin_memcpy(at + V4_SOURCE, source, 4);
    bpf_tail_call(ctx, &next, 0);
    return XDP_ABORTED;
}

SEC("xdp")
int vary6(struct xdp_md *ctx)
{
    char *at = (void *)(long)ctx->data;
    __u64 *source = sources[turn++ % SOURCES];
    if (at + V6_SOURCE + SOURCE_LEN <= (char *)(long)ctx->data_end)
        __builtin_memcpy(at + V6_SOURCE, source, SOURCE_LEN);
    bpf_tail_call(ctx, &next, 0);
    return XDP_ABORTED;
}

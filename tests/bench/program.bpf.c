/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The sensor's XDP program, and the same code cut off after each of its steps, so that the kernel's
 * test-run call can tell what a step costs. bench_vary writes another source address into the frame
 * (source_bits: how many there are; with one address for ever, every look-up would find its memory
 * in the nearest cache) and goes on with the program under test. Used by bench_program.c. */
#include "bpf/xdp_ingress.bpf.c"

const volatile __u32 source_bits = 0;
__u32 runs = 0; /* one CPU runs this */

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} tested SEC(".maps");

#define SOURCE_AT 26

/* 10.0.0.0 onwards, neighbours in time far apart in number; 16 addresses of each /24. */
SEC("xdp")
int bench_vary(struct xdp_md *ctx)
{
    __u8 *frame = (void *)(long)ctx->data;
    if (frame + 64 > (__u8 *)(long)ctx->data_end)
        return XDP_ABORTED;
    __u32 n = runs++ * 2654435761u >> 8 & ((1u << source_bits) - 1);
    __u32 source = bpf_htonl(0x0a000001 + ((n >> 4) << 8) + (n & 15));
    __builtin_memcpy(frame + SOURCE_AT, &source, sizeof source);
    bpf_tail_call(ctx, &tested, 0);
    return XDP_ABORTED;
}

SEC("xdp")
int bench_empty(struct xdp_md *ctx)
{
    (void)ctx;
    return onward();
}

/* With what is counted of every frame. */
SEC("xdp")
int bench_parse(struct xdp_md *ctx)
{
    struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
    struct view v = {0};
    enum parsed parsed = parse_frame(&c, &v);
    count(XDP_STAT_seen);
    /* what the rest of the program would use may not be thought away */
    return parsed == PARSED && v.src_port + v.tcp_flags + v.payload_len + v.src.v4 != 0
               ? onward()
               : XDP_ABORTED;
}

SEC("xdp")
int bench_tally(struct xdp_md *ctx)
{
    struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
    struct view v = {0};
    __u32 frame_len = c.end - c.at;
    enum parsed parsed = parse_frame(&c, &v);
    count(XDP_STAT_seen);
    tally_packet(&v, ingress_of(&v), flow_hash(&v), frame_len);
    return parsed == PARSED ? onward() : XDP_ABORTED;
}

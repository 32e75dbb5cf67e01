/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The generator's program: each run of it is one frame on its way. It writes another flow's
 * address, ports and next sequence number into the frame that user space made, mends the IP
 * checksum, and sends it out of one port. The kernel's test-run call runs it in batches with live
 * frames; what one core makes that way is several times of what sockets can send. Used by
 * bench_feed.c. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 flow_bits = 10;
const volatile __u32 payload = 200;
const volatile __u32 first_source = 0xc6120000; /* 198.18.0.0 */
__u8 to[6] = {0}, from[6] = {0}; /* not const: constants are folded when they are copied */
const volatile __u8 ttl = 64;
const volatile __u32 header_sum = 0; /* of the IP header without source and checksum */
__u64 sent = 0, first_at_ns = 0;     /* one CPU runs this */

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} out SEC(".maps");

struct headers {
    struct ethhdr eth;
    struct iphdr ip;
    struct tcphdr tcp;
} __attribute__((packed));

/* 64 neighbouring /24s, then hosts in them, then ports. */
static __always_inline __u32 source_of(__u32 flow)
{
    return first_source + ((flow & 63) << 8) + (flow >> 6 & 255);
}

static __always_inline __u16 checksum_of(__u32 source)
{
    __u32 sum = header_sum + (source >> 16) + (source & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

SEC("xdp")
int feed(struct xdp_md *ctx)
{
    struct headers *h = (void *)(long)ctx->data;
    if ((void *)(h + 1) > (void *)(long)ctx->data_end)
        return XDP_ABORTED;
    __u64 n = sent++;
    if (n == 0)
        first_at_ns = bpf_ktime_get_ns();
    __u32 flow = n & ((1u << flow_bits) - 1), source = source_of(flow);
    /* Frames come round again, and a router on their way has changed these. */
    __builtin_memcpy(h->eth.h_dest, to, sizeof to);
    __builtin_memcpy(h->eth.h_source, from, sizeof from);
    h->ip.ttl = ttl;
    h->ip.saddr = bpf_htonl(source);
    h->ip.check = bpf_htons(checksum_of(source));
    h->tcp.source = bpf_htons(1024 + (flow >> 14));
    h->tcp.seq = bpf_htonl((__u32)(n >> flow_bits) * payload);
    return bpf_redirect_map(&out, 0, XDP_DROP);
}

/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A lossy wire: each TCP segment is lost by chance. As a tc program for what leaves an interface,
 * and as an XDP program for what arrives (before GRO, which would make one packet of many). What is
 * not lost and carries data is counted by its source: the lab's forged sources have the top bit of
 * the address's last byte set, its genuine hosts have not. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32); /* chance in 2^-32 */
} loss SEC(".maps");

enum count { COUNT_LOST, COUNT_GENUINE, COUNT_FORGED, COUNTS };

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, COUNTS);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what)
{
    __u64 *n = bpf_map_lookup_elem(&counts, &what);
    if (n != NULL)
        __sync_fetch_and_add(n, 1);
}

/* The TCP header, the bytes behind the IP header and the last byte of the source address. */
static __always_inline struct tcphdr *find_tcp(void *at, void *end, __u32 *length, __u8 *host)
{
    struct ethhdr *eth = at;
    void *tcp;
    if ((void *)(eth + 1) > end)
        return NULL;
    if (eth->h_proto == bpf_htons(ETH_P_IP)) {
        struct iphdr *ip = (void *)(eth + 1);
        if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
            return NULL;
        *length = bpf_ntohs(ip->tot_len) - sizeof *ip;
        *host = ((__u8 *)&ip->saddr)[3];
        tcp = ip + 1;
    } else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr *ip = (void *)(eth + 1);
        if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_TCP)
            return NULL;
        *length = bpf_ntohs(ip->payload_len);
        *host = ip->saddr.in6_u.u6_addr8[15];
        tcp = ip + 1;
    } else {
        return NULL;
    }
    return tcp + sizeof(struct tcphdr) <= end ? tcp : NULL;
}

static __always_inline bool is_lost(void *at, void *end)
{
    __u32 zero = 0, length = 0;
    __u8 host = 0;
    struct tcphdr *tcp = find_tcp(at, end, &length, &host);
    __u32 *chance = bpf_map_lookup_elem(&loss, &zero);
    if (tcp == NULL || chance == NULL)
        return false;
    if (bpf_get_prandom_u32() < *chance) {
        count(COUNT_LOST);
        return true;
    }
    if (length > 4u * tcp->doff)
        count(host & 0x80 ? COUNT_FORGED : COUNT_GENUINE);
    return false;
}

SEC("tc")
int lossy_out(struct __sk_buff *skb)
{
    void *at = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    return is_lost(at, end) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("xdp")
int lossy_in(struct xdp_md *frame)
{
    void *at = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
    return is_lost(at, end) ? XDP_DROP : XDP_PASS;
}

char licence[] SEC("license") = "Dual BSD/GPL";

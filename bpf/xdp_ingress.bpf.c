/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The kernel's half of the sensor: a wire that counts.
 *
 *        outer port ──ingress──▶ count, probe ──▶ watched, and a socket there? ──▶ sensor
 *                                                          │ no
 *                                                          ▼
 *        outer port ◀──wire_back── inner port      inner port (wire) or the host (mirror, router)
 *
 * Everything goes its way here at kernel speed; the sensor gets only frames whose source prefix is
 * being watched, and only while its socket is in the map and its heart beats: a sensor that ended,
 * crashed, was killed or stands still leaves a plain wire behind. Never given to the sensor:
 *
 *   TCP port 22      the operator's way in must not hang on our process
 *   fragments        they have no ports in reach, so nobody can judge them as TCP; the test would
 *                    only add delay
 *   malformed        what we cannot parse might be any of the above
 *
 * Nothing is ever dropped here, except a frame for a port that no longer exists. */
#include "bpf/xdp_abi.h"

#include "bpf/parse.bpf.h"

#define PORT_SSH 22

/* As in sensor/packet/opening.c: 1.07 s, and 60.1 s of them. */
#define UNIT_SHIFT 30
#define QUIET      56

#define LINE_FULL  0xffffffffu

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Options, fixed at load. */
const volatile bool is_wire = false;
const volatile bool is_routed = false;       /* the host routes what the sensor has looked at */
const volatile __u8 own_mac[6] = {0};        /* then: the outer port's */
const volatile __u32 tally_v4_mask = 0;      /* network order */
const volatile __u64 tally_v6_mask[2] = {0}; /* network order */
const volatile __u64 hash_seed = 0;
const volatile bool has_coarse_clock = false; /* the kernel has the helper: Linux 5.11 */
const volatile bool has_macs = false;
const volatile __u16 ingress_default = 0;              /* the row that matches all, or the last */
const volatile __u16 ingress_by_vlan[XDP_VLANS] = {0}; /* XDP_NO_ROW: none */

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, XDP_WATCHED_MAX);
    __type(key, struct xdp_watched4_key);
    __type(value, __u8);
} watched4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, XDP_WATCHED_MAX);
    __type(key, struct xdp_watched6_key);
    __type(value, __u8);
} watched6 SEC(".maps");

/* Globals are a map, too (.bss), which user space maps into its memory; the program reads them
 * without a look-up. */
struct xdp_filter filter;

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, XDP_QUEUES_MAX);
    __type(key, __u32);
    __type(value, __u32);
} xsks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, XDP_QUEUES_MAX);
    __type(key, __u32);
    __type(value, struct xdp_beat);
} beats SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, XDP_PORTS);
    __type(key, __u32);
    __type(value, __u32);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, struct xdp_mac_key);
    __type(value, __u16);
} macs SEC(".maps");

/* Preallocated: a burst of new prefixes must not wait for, or miss, an allocation. */
struct tally_cells {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, XDP_TALLY_CELLS);
    __type(key, struct xdp_tally_key);
    __type(value, struct xdp_tally_cell);
} tally_a SEC(".maps"), tally_b SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, struct tally_cells);
} tally SEC(".maps") = {.values = {&tally_a}};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct xdp_tally_cache);
} caches SEC(".maps");

/* Which of the caches is being counted into; user space writes it. */
volatile __u32 cache_turn;

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, XDP_PROBES_SIZE);
} probes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, XDP_SEEN_BUCKETS);
    __type(key, __u32);
    __type(value, struct xdp_seen);
} seen_udp SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct xdp_pressure);
} pressure SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, XDP_STAT_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} stats SEC(".maps");

static __always_inline void count_all(__u32 stat, __u32 n)
{
    __u64 *value = bpf_map_lookup_elem(&stats, &stat);
    if (value)
        *value += n;
}

static __always_inline void count(__u32 stat)
{
    count_all(stat, 1);
}

/* The other end of the wire, or the host's own stack when there is no wire. */
static __always_inline int onward(void)
{
    return is_wire ? bpf_redirect_map(&ports, XDP_PORT_INNER, XDP_DROP) : XDP_PASS;
}

static __always_inline __u16 lower(__u16 a, __u16 b)
{
    return a < b ? a : b;
}

static __always_inline __u16 row_by_mac(const struct view *v, __u16 vlan)
{
    struct xdp_mac_key key = {.vlan = vlan};
    __builtin_memcpy(key.mac, v->src_mac, sizeof key.mac);
    __u16 *row = bpf_map_lookup_elem(&macs, &key);
    return row ? *row : XDP_NO_ROW;
}

/* The first row that matches, without walking the table: each kind of row has an index that gives
 * its lowest, and the lowest of those is the first. Same answer as ingress_table_find(). */
static __always_inline __u16 ingress_of(const struct view *v)
{
    __u16 row = lower(ingress_default, ingress_by_vlan[v->vlan & (XDP_VLANS - 1)]);
    if (!has_macs)
        return row;
    row = lower(row, row_by_mac(v, 0));
    return v->vlan != 0 ? lower(row, row_by_mac(v, v->vlan)) : row;
}

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

/* Serves the tally's flow bits, the choice of openings under pressure and the UDP flows seen. */
static __always_inline __u64 flow_hash(const struct view *v)
{
    __u64 hash = hash_seed;
    if (v->family == 4) {
        hash = mix(hash, (__u64)v->src.v4 << 32 | v->dst.v4);
    } else {
        hash = mix(hash, v->src.words[0]);
        hash = mix(hash, v->src.words[1]);
        hash = mix(hash, v->dst.words[0]);
        hash = mix(hash, v->dst.words[1]);
    }
    hash = mix(hash, (__u64)v->src_port << 32 | (__u64)v->dst_port << 16 | v->protocol);
    return mix(hash, hash_seed);
}

/* The cell of this CPU, made if need be; another CPU may make it at the same time (EEXIST). */
static __always_inline struct xdp_tally_cell *tally_cell(void *cells, struct xdp_tally_key *key)
{
    static const struct xdp_tally_cell empty;
    struct xdp_tally_cell *cell = bpf_map_lookup_elem(cells, key);
    if (cell)
        return cell;
    bpf_map_update_elem(cells, key, &empty, BPF_NOEXIST);
    return bpf_map_lookup_elem(cells, key);
}

static __always_inline void add_to_cell(const struct xdp_tally_line *line)
{
    __u32 zero = 0;
    struct xdp_tally_key key = {.ingress = line->tag, .family = line->tag >> 16};
    __builtin_memcpy(key.addr, line->addr, sizeof key.addr);
    void *cells = bpf_map_lookup_elem(&tally, &zero);
    struct xdp_tally_cell *cell = cells ? tally_cell(cells, &key) : NULL;
    if (!cell) {
        count_all(XDP_STAT_tally_overflow, line->packets);
        return;
    }
    cell->packets += line->packets;
    cell->bytes += line->bytes;
#pragma unroll
    for (__u32 i = 0; i < 4; i++)
        cell->flow_bits[i] |= line->flow_bits[i];
}

/* A line's counts move to the cells, and it is free. A global function, as is_first() is. */
__noinline int free_line(__u32 turn, __u32 at)
{
    struct xdp_tally_cache *cache = bpf_map_lookup_elem(&caches, &turn);
    if (!cache)
        return 0;
    struct xdp_tally_line *line = &cache->line[at & (XDP_TALLY_LINES - 1)];
    if (line->packets != 0)
        add_to_cell(line);
    __builtin_memset(line, 0, sizeof *line);
    return 1;
}

static __always_inline bool is_line(const struct xdp_tally_line *line, __u64 first, __u64 second,
                                    __u32 tag)
{
    return line->addr[0] == first && line->addr[1] == second && line->tag == tag;
}

static __always_inline void count_in(struct xdp_tally_line *line, __u32 bit, __u32 bytes)
{
    line->packets++;
    line->bytes += bytes;
    line->flow_bits[bit >> 6 & 3] |= 1ull << (bit & 63);
}

/* The first of a prefix's two lines; for consecutive prefixes others. */
static __always_inline __u32 line_of(__u64 first, __u64 second, __u32 tag)
{
    __u64 hash = (first ^ second ^ (__u64)tag << 32) * 0x9e3779b97f4a7c15ull;
    return hash >> 55 & (XDP_TALLY_LINES - 2);
}

/* Of the two lines from `at` on the prefix's own, or the one that is to make room for it. */
static __always_inline __u32 choose_line(const struct xdp_tally_line *pair, __u32 at, __u64 first,
                                         __u64 second, __u32 tag)
{
    if (is_line(&pair[0], first, second, tag))
        return at;
    return is_line(&pair[1], first, second, tag) || pair[1].packets < pair[0].packets ? at + 1 : at;
}

/* first, second: the address, masked. Inline: where the CPU's mitigations are on, a call costs more
 * than all of this. A line that can count no further makes room, too. */
static __always_inline void tally_address(__u64 first, __u64 second, __u32 tag, __u32 bit,
                                          __u32 bytes)
{
    __u32 turn = cache_turn, at = line_of(first, second, tag);
    struct xdp_tally_cache *cache = bpf_map_lookup_elem(&caches, &turn);
    if (!cache)
        return;
    at = choose_line(&cache->line[at & (XDP_TALLY_LINES - 2)], at, first, second, tag);
    struct xdp_tally_line *line = &cache->line[at & (XDP_TALLY_LINES - 1)];
    if (!is_line(line, first, second, tag) || line->packets == LINE_FULL) {
        free_line(turn, at);
        line->addr[0] = first;
        line->addr[1] = second;
        line->tag = tag;
    }
    count_in(line, bit, bytes);
}

static __always_inline void tally_packet(const struct view *v, __u16 ingress, __u64 hash,
                                         __u32 bytes)
{
    __u32 tag = (__u32)v->family << 16 | ingress;
    if (v->family == 4)
        tally_address(v->src.v4 & tally_v4_mask, 0, tag, hash & 255, bytes);
    else
        tally_address(v->src.words[0] & tally_v6_mask[0], v->src.words[1] & tally_v6_mask[1], tag,
                      hash & 255, bytes);
}

/* The coarse clock is up to a tick late, and far cheaper
 * (docs/decisions/0010-a-heartbeat-per-queue.md has the measurement). Kernels before 5.11 have only
 * the exact one. */
static __always_inline __u64 clock_ns(void)
{
    return has_coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

static __always_inline __u16 coarse_time(void)
{
    return clock_ns() >> UNIT_SHIFT;
}

/* Whether this UDP flow was not reported lately; from now on it was. One that is due takes its own
 * place, a new one the oldest's. A global function: the verifier looks at it once, and not once for
 * every way in which a frame may have been parsed. */
__noinline int is_first(__u64 hash)
{
    __u32 bucket = hash & (XDP_SEEN_BUCKETS - 1), at = 0;
    struct xdp_seen *seen = bpf_map_lookup_elem(&seen_udp, &bucket);
    if (!seen)
        return 0;
    __u16 now = coarse_time(), most = 0;
#pragma unroll
    for (__u32 i = 0; i < XDP_SEEN_ENTRIES; i++) {
        __u64 entry = seen->entry[i];
        __u16 age = entry == 0 ? 0xffff : (__u16)(now - entry);
        bool is_same = entry != 0 && entry >> 16 == hash >> 16;
        if (is_same && age < QUIET)
            return 0;
        if (is_same)
            age = 0xffff;
        if (age > most) {
            most = age;
            at = i;
        }
    }
    seen->entry[at & (XDP_SEEN_ENTRIES - 1)] = (hash & ~0xffffull) | now;
    return 1;
}

static __always_inline __u32 weight_at(__u64 used)
{
    if (used > XDP_PROBES_SIZE / 8 * 7)
        return XDP_SAMPLE_FULL;
    return used > XDP_PROBES_SIZE / 2 ? XDP_SAMPLE_HALF : 1;
}

/* For how many openings one reported now stands. */
__noinline int weight_now(void)
{
    __u32 zero = 0;
    struct xdp_pressure *p = bpf_map_lookup_elem(&pressure, &zero);
    if (!p)
        return 1;
    if (p->weight == 0 || ++p->openings >= XDP_PRESSURE_EVERY) {
        p->openings = 0;
        p->weight = weight_at(bpf_ringbuf_query(&probes, BPF_RB_AVAIL_DATA));
    }
    return p->weight;
}

static __always_inline void report(const struct view *v, enum xdp_opening opening, __u32 weight,
                                   __u16 ingress, __u32 frame_len)
{
    struct xdp_probe *p = bpf_ringbuf_reserve(&probes, sizeof *p, 0);
    if (!p) {
        count(XDP_STAT_probes_lost);
        return;
    }
    __builtin_memset(p, 0, sizeof *p);
    __builtin_memcpy(p->src, v->src.bytes, sizeof p->src);
    __builtin_memcpy(p->dst, v->dst.bytes, sizeof p->dst);
    __builtin_memcpy(p->src_mac, v->src_mac, sizeof p->src_mac);
    p->seq = v->seq;
    p->ack = v->ack;
    p->payload_len = v->payload_len;
    p->frame_len = frame_len;
    p->src_port = v->src_port;
    p->dst_port = v->dst_port;
    p->window = v->window;
    p->vlan = v->vlan;
    p->ingress = ingress;
    p->family = v->family;
    p->protocol = v->protocol;
    p->tcp_flags = v->tcp_flags;
    p->icmp_type = v->icmp_type;
    p->opening = opening;
    p->weight = weight;
    bpf_ringbuf_submit(p, 0);
    count(XDP_STAT_probes);
}

static __always_inline void probe(const struct view *v, __u64 hash, __u16 ingress, __u32 frame_len)
{
    enum xdp_opening opening = opening_of(v);
    if (opening == XDP_OPENING_NONE || (opening == XDP_OPENING_UDP && !is_first(hash)))
        return;
    __u32 weight = weight_now();
    if (hash >> 32 & (weight - 1))
        count(XDP_STAT_probes_sampled_out);
    else
        report(v, opening, weight, ingress, frame_len);
}

static __always_inline bool filter4_has(__u32 bit)
{
    return filter.v4[bit >> 6 & (XDP_FILTER4_BITS / 64 - 1)] >> (bit & 63) & 1;
}

static __always_inline bool filter4_is_sure(__u32 bit)
{
    return filter.sure4[bit >> 6 & (XDP_FILTER4_BITS / 64 - 1)] >> (bit & 63) & 1;
}

static __always_inline bool filter6_has(__u32 bit)
{
    return filter.v6[bit >> 6 & (XDP_FILTER6_BITS / 64 - 1)] >> (bit & 63) & 1;
}

static __always_inline bool filter_wide_has(__u32 bit)
{
    return filter.wide[bit >> 6 & (XDP_FILTER_WIDE / 64 - 1)] >> (bit & 63) & 1;
}

/* The bits before the trie, whose cost grows with what is in it, spare nearly all packets of
 * IPv4 from asking it (docs/decisions/0013-a-filter-before-the-trie.md). */
static __always_inline bool is_watched4(const struct view *v)
{
    __u32 bit = bpf_ntohl(v->src.v4) >> 8;
    if (!filter4_has(bit))
        return false;
    if (filter4_is_sure(bit))
        return true;
    struct xdp_watched4_key key = {.length = 32};
    __builtin_memcpy(key.addr, v->src.bytes, sizeof key.addr);
    return bpf_map_lookup_elem(&watched4, &key) != NULL;
}

static __always_inline bool may_be_watched6(const struct view *v)
{
    __u64 word = bpf_be64_to_cpu(v->src.words[0]);
    return filter_wide_has(word >> 48) || filter6_has(xdp_filter6_bit(word, 32)) ||
           filter6_has(xdp_filter6_bit(word, 48));
}

static __always_inline bool is_watched(const struct view *v)
{
    if (v->family == 4)
        return is_watched4(v);
    if (!may_be_watched6(v))
        return false;
    struct xdp_watched6_key key = {.length = 128};
    __builtin_memcpy(key.addr, v->src.bytes, sizeof key.addr);
    return bpf_map_lookup_elem(&watched6, &key) != NULL;
}

static __always_inline bool is_spared(const struct view *v)
{
    return v->is_fragment ||
           (v->protocol == IPPROTO_TCP && (v->src_port == PORT_SSH || v->dst_port == PORT_SSH));
}

static __always_inline bool is_late(const struct xdp_beat *beat)
{
    __u64 at = *(const volatile __u64 *)&beat->at_ns;
    return at != 0 && clock_ns() > at + XDP_BEAT_MAX_NS;
}

static __always_inline int pass_by(struct xdp_beat *beat, __u32 why)
{
    count(why);
    if (beat)
        __sync_fetch_and_add(&beat->passed, 1);
    return onward();
}

/* To this queue's socket, if its worker is there. The look-up and the redirect are one call, so
 * that a socket which disappears in between cannot make a hole: no socket, and the frame goes
 * onward. */
static __always_inline int hand_over(__u32 queue)
{
    struct xdp_beat *beat = bpf_map_lookup_elem(&beats, &queue);
    if (beat && is_late(beat))
        return pass_by(beat, XDP_STAT_stalled);
    if (bpf_redirect_map(&xsks, queue, XDP_ABORTED) != XDP_REDIRECT)
        return pass_by(beat, XDP_STAT_unserved);
    count(XDP_STAT_handed);
    if (beat)
        beat->handed++;
    return XDP_REDIRECT;
}

/* The sensor strips the Ethernet header before the host routes: of what is not addressed to this
 * host (flooded frames, another router's), the host must go on deciding by itself. */
static __always_inline bool is_for_host(struct xdp_md *ctx)
{
    struct ethhdr *eth = (void *)(long)ctx->data;
    if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
        return false;
    for (int i = 0; i < 6; i++)
        if (eth->h_dest[i] != own_mac[i])
            return false;
    return true;
}

static __always_inline int decide(const struct view *v, __u32 queue)
{
    if (!is_watched(v))
        return onward();
    if (is_spared(v)) {
        count(XDP_STAT_spared);
        return onward();
    }
    return hand_over(queue);
}

SEC("xdp")
int ingress(struct xdp_md *ctx)
{
    struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
    struct view v = {0};
    __u32 frame_len = c.end - c.at;
    enum parsed parsed = parse_frame(&c, &v);
    __u16 row = ingress_of(&v);

    __u64 hash = flow_hash(&v);

    count(XDP_STAT_seen);
    if (v.has_address)
        tally_packet(&v, row, hash, frame_len);
    if (parsed != PARSED) {
        count(parsed);
        return onward();
    }
    probe(&v, hash, row, frame_len);
    if (is_routed && !is_for_host(ctx))
        return onward();
    return decide(&v, ctx->rx_queue_index);
}

/* The way back is not looked at: Penny judges who sends into the network, not out of it. */
SEC("xdp")
int wire_back(struct xdp_md *ctx)
{
    (void)ctx;
    count(XDP_STAT_back);
    return bpf_redirect_map(&ports, XDP_PORT_OUTER, XDP_DROP);
}

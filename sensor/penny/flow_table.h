/* The flow table: five-tuple and ingress -> flow, all memory taken once.
 *
 * A bucket is one cache line with twelve tags (a byte of the hash) and twelve indices. A flow lies
 * in its first bucket, or, where that is full, in its second; the first remembers that one did. At
 * the most four flows come to a bucket on average, so one in a thousand finds its first full, one
 * in a million both (then it is not admitted). So a look-up reads one line and the flow, however
 * many flows there are, and no branch depends on the flow. The hash is keyed: a sender cannot aim
 * at a bucket.
 *
 * Whoever knows a burst of packets beforehand looks them up in two steps, each a few packets ahead
 * of the next: flow_table_prefetch (the bucket), flow_table_guess (the tag picks a flow; its lines
 * are fetched). A guess is checked against the whole key (flow_key_is_of).
 *
 * The memory is asked for in huge pages: with small ones a look-up among a million flows costs a
 * walk through the page tables (docs/benchmarks.md).
 *
 * Idle flows are found by a wheel: a flow hangs in the slot of the time at which it would expire;
 * when that comes it is freed, or hung on again if it was seen meanwhile. A packet only writes
 * last_seen. Each look at a flow happens at most once per idle time: no walks.
 *
 * When the table is full a new flow is not admitted; the caller counts that. */
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sensor/packet/packet.h"
#include "sensor/penny/drop_policy.h"
#include "sensor/penny/seq_track.h"
#include "shared/base/hash.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define FLOW_NONE   UINT32_MAX
#define FLOW_BUCKET 12
#define FLOW_FILL   4 /* flows per bucket, at the most, on average */
#define FLOW_WHEEL  64
#define FLOW_WHEEL_STEPS                                                     \
    60 /* slots per idle time; fewer than FLOW_WHEEL, so that none is lapped \
        */

struct flow_key {
    uint8_t src[16], dst[16];
    uint16_t src_port, dst_port;
    uint16_t ingress;
    uint16_t family;
};
static_assert(sizeof(struct flow_key) == 40, "hashed and compared as five words without padding");

enum {
    FLOW_FIN = 1,        /* the sender said that it is done: silence is no excuse any more */
    FLOW_DATA = 2,       /* counted as a flow with data in this test */
    FLOW_RETURNED = 4,   /* a withheld segment of this flow came again in this test */
    FLOW_UNANSWERED = 8, /* one did not */
    FLOW_DROPPED = 16    /* had a segment withheld in this test */
};

struct flow {
    /* read by every packet of the flow */
    alignas(64) struct flow_key key;
    uint64_t last_seen_ns;
    uint32_t aggregate, watch; /* index, and the watch list's edition that it belongs to */
    uint32_t test;             /* number of the test that the lines below speak of */
    uint32_t unit_first;       /* open units, oldest first; FLOW_NONE */
    /* second line: read by every segment with data */
    struct turn turn;  /* what it gave to the draw */
    uint32_t segments; /* droppable ones in this test */
    uint32_t unit_last;
    uint8_t flags;
    uint8_t grace;  /* in-order segments still to come before the flow is admitted */
    uint8_t window; /* class of its units' windows, by its handshake: fixed for its life */
    bool is_used;
    struct seq_track track; /* its last hole lies in the third line */
    /* third line: when the flow comes and goes */
    uint32_t wheel_next, wheel_prev, wheel_slot;
    uint64_t hash;
};
static_assert(sizeof(struct flow) <= 256, "at most 256 bytes per flow");
static_assert(offsetof(struct flow, turn) == 64 &&
                  offsetof(struct flow, track.hole) + sizeof(struct seq_hole) <= 128,
              "a segment in order needs two cache lines");

struct flow_bucket {
    alignas(64) uint8_t tag[FLOW_BUCKET]; /* of the hash; 0: empty */
    uint32_t elsewhere;                   /* flows that this bucket had no room for */
    uint32_t flow[FLOW_BUCKET];
};
static_assert(sizeof(struct flow_bucket) == 64, "a bucket is one cache line");
static_assert(offsetof(struct flow_bucket, elsewhere) == 12, "its first 16 bytes are compared");

struct flow_table {
    struct flow *flows;
    struct flow_bucket *buckets;
    uint32_t *free;
    uint32_t free_count, max, bucket_mask;
    uint32_t added; /* how often; a look-up that found nothing holds as long as it stays */
    struct hash_lanes hash_lanes;
    uint64_t idle_ns, step_ns, hand; /* hand: number of the next slot to look at */
    uint32_t wheel[FLOW_WHEEL];
    /* NULL, or who removes a flow that was idle */
    void (*on_idle)(void *arg, struct flow *flow);
    void *on_idle_arg;
};

/* 0 or -ENOMEM; takes all memory. */
int flow_table_init(struct flow_table *t, uint32_t max, uint64_t idle_ns, struct hash_key key);
void flow_table_clear(struct flow_table *t); /* zeroed is fine */

/* The last word of a packet's key, as it lies in memory, built in a register: what is read as one
 * word must not have been stored in smaller pieces right before. */
static inline uint64_t flow_key_ports(const struct packet *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint64_t)p->src_port | (uint64_t)p->dst_port << 16 | (uint64_t)p->ingress << 32 |
           (uint64_t)p->src.family << 48;
#else
    return (uint64_t)p->src_port << 48 | (uint64_t)p->dst_port << 32 | (uint64_t)p->ingress << 16 |
           (uint64_t)p->src.family;
#endif
}

static inline void flow_key_set(struct flow_key *key, const struct packet *p)
{
    uint64_t ports = flow_key_ports(p);
    memcpy(key->src, p->src.bytes, sizeof key->src);
    memcpy(key->dst, p->dst.bytes, sizeof key->dst);
    memcpy(&key->src_port, &ports, sizeof ports);
}

/* Is this the packet's key? The same as building that and comparing, without building it. */
static inline bool flow_key_is_of(const struct flow_key *key, const struct packet *p)
{
    uint64_t ports;
    memcpy(&ports, &key->src_port, sizeof ports);
    return ports == flow_key_ports(p) && memcmp(key->src, p->src.bytes, sizeof key->src) == 0 &&
           memcmp(key->dst, p->dst.bytes, sizeof key->dst) == 0;
}

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
    uint64_t x[5], y[5];
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
}

static inline uint64_t flow_table_hash(const struct flow_table *t, const struct flow_key *key)
{
    uint64_t words[5];
    memcpy(words, key, sizeof words);
    return hash_five(&t->hash_lanes, words);
}

/* The hash of the packet's key. */
static inline uint64_t flow_table_hash_of(const struct flow_table *t, const struct packet *p)
{
    uint64_t words[5];
    memcpy(&words[0], p->src.bytes, 8);
    memcpy(&words[1], p->src.bytes + 8, 8);
    memcpy(&words[2], p->dst.bytes, 8);
    memcpy(&words[3], p->dst.bytes + 8, 8);
    words[4] = flow_key_ports(p);
    return hash_five(&t->hash_lanes, words);
}

static inline struct flow_bucket *flow_bucket_first(const struct flow_table *t, uint64_t hash)
{
    return &t->buckets[hash & t->bucket_mask];
}

static inline struct flow_bucket *flow_bucket_second(const struct flow_table *t, uint64_t hash)
{
    return &t->buckets[(hash ^ (hash >> 24 | 1)) & t->bucket_mask]; /* never the first again */
}

static inline uint8_t flow_tag(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 56);
    return (uint8_t)(tag + (tag == 0));
}

/* One bit for each slot with this tag. */
static inline unsigned flow_bucket_match(const struct flow_bucket *b, uint8_t tag)
{
#ifdef __SSE2__
    __m128i tags = _mm_load_si128((const __m128i *)b);
    unsigned match = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
    return match & ((1u << FLOW_BUCKET) - 1);
#else
    unsigned match = 0;
    for (unsigned i = 0; i < FLOW_BUCKET; i++)
        match |= (unsigned)(b->tag[i] == tag) << i;
    return match;
#endif
}

static inline void flow_table_prefetch(const struct flow_table *t, uint64_t hash)
{
    __builtin_prefetch(flow_bucket_first(t, hash));
}

/* The flow that it probably is, whose lines are fetched; FLOW_NONE if it is not there. */
static inline uint32_t flow_table_guess(const struct flow_table *t, uint64_t hash)
{
    const struct flow_bucket *b = flow_bucket_first(t, hash);
    unsigned match = flow_bucket_match(b, flow_tag(hash));
    if (match == 0 && b->elsewhere != 0) {
        b = flow_bucket_second(t, hash);
        match = flow_bucket_match(b, flow_tag(hash));
    }
    if (match == 0)
        return FLOW_NONE;
    uint32_t index = b->flow[__builtin_ctz(match)];
    const char *line = (const char *)&t->flows[index];
    __builtin_prefetch(line, 1);
    __builtin_prefetch(line + 64, 1);
    return index;
}

/* NULL if it is not there. */
struct flow *flow_table_find(struct flow_table *t, const struct flow_key *key, uint64_t hash);

/* A zeroed flow with this key, which must not be there yet; NULL if the table is full. */
struct flow *flow_table_add(struct flow_table *t, const struct flow_key *key, uint64_t hash,
                            uint64_t now_ns);
void flow_table_remove(struct flow_table *t, struct flow *flow);

/* Frees flows that were idle for idle_ns and have no open units; looks at no more than `most`. */
void flow_table_expire(struct flow_table *t, uint64_t now_ns, uint32_t most);

static inline uint32_t flow_index(const struct flow_table *t, const struct flow *flow)
{
    return (uint32_t)(flow - t->flows);
}

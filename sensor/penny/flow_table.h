/* The flow table: five-tuple and ingress -> flow, all memory taken once.
 *
 * A bucket is one cache line with eight tags and eight indices; a key has two buckets and goes to
 * the emptier one (two-choice hashing: Azar, Broder, Karlin, Upfal 1999). At the most half of the
 * slots are used, so both buckets full is next to impossible, and a look-up reads two lines and one
 * flow, however many flows there are. The hash is keyed: a sender cannot aim at a bucket.
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

#include "sensor/packet/packet.h"
#include "sensor/penny/drop_policy.h"
#include "sensor/penny/seq_track.h"
#include "shared/base/hash.h"

#define FLOW_NONE   UINT32_MAX
#define FLOW_BUCKET 8
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
    struct turn turn; /* what it gave to the draw */
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
    alignas(64) uint32_t flow[FLOW_BUCKET]; /* index + 1; 0: empty */
    uint16_t tag[FLOW_BUCKET];
};
static_assert(sizeof(struct flow_bucket) == 64, "a bucket is one cache line");

struct flow_table {
    struct flow *flows;
    struct flow_bucket *buckets;
    uint32_t *free;
    uint32_t free_count, max, bucket_mask;
    struct hash_key hash_key;
    uint64_t idle_ns, step_ns, hand; /* hand: number of the next slot to look at */
    uint32_t wheel[FLOW_WHEEL];
    /* NULL, or who removes a flow that was idle */
    void (*on_idle)(void *arg, struct flow *flow);
    void *on_idle_arg;
};

/* 0 or -ENOMEM; takes all memory. */
int flow_table_init(struct flow_table *t, uint32_t max, uint64_t idle_ns, struct hash_key key);
void flow_table_clear(struct flow_table *t); /* zeroed is fine */

void flow_key_set(struct flow_key *key, const struct packet *p);
uint64_t flow_table_hash(const struct flow_table *t, const struct flow_key *key);

/* First the buckets; once those are there, the flows that they point to. */
void flow_table_prefetch(const struct flow_table *t, uint64_t hash);
void flow_table_prefetch_flow(const struct flow_table *t, uint64_t hash);

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

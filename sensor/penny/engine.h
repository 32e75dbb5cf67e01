/* What the parts of the engine share; nobody outside this folder includes it.
 *
 *   aggregates   one small record per (watched prefix, ingress); points to its test, if one runs
 *   tests        test.h: drop policy, verdict and counters of one running test
 *   units        unit.h: a ring, oldest first. Every window is equally long, so the order of
 *                drawing is the order of deadlines, and the ring is its own timer. A unit that
 *                resolved early stays until its window is over: so long its block stays open.
 *   flows        flow_table.h; each links its open units, oldest first
 *   events       outbox.h: a ring; a test reserves the room of two events, a block that of one
 *
 * Whatever is due is resolved before a packet is looked at, so a late tick changes nothing. */
#pragma once

#include "sensor/penny/drop_policy.h"
#include "sensor/penny/flow_table.h"
#include "sensor/penny/penny.h"
#include "sensor/penny/verdict.h"
#include "shared/base/lpm.h"

#define NONE           UINT32_MAX
#define PREFETCH_LAG   8  /* packets until a bucket has arrived and leads on to its flow */
#define PREFETCHED_MAX 64 /* a burst */

/* A packet that was announced by penny_prefetch: its hash need not be made twice. */
struct announced {
    struct flow_key key;
    uint64_t hash;
};

struct unit {
    uint64_t drawn_ns;
    uint32_t flow, next; /* FLOW_NONE: no longer linked */
    struct seq_cover cover;
    uint32_t test, test_number, block; /* slot, number against its reuse, block's serial number */
    bool is_dropped, is_resolved;
};

struct aggregate {
    uint32_t test; /* slot, NONE */
    uint64_t not_before_ns;
};

struct test {
    uint32_t number; /* 0: the slot is free */
    uint32_t aggregate;
    struct prefix prefix;
    uint16_t ingress;
    uint8_t id[16];
    uint64_t started_ns, last_unit_ns;
    struct drop_policy policy;
    struct verdict verdict;
    uint32_t settle; /* serial number of the next block whose drop goes to the verdict */
    uint64_t droppable, drops, invalid, kept, came;
};

struct penny {
    const struct penny_conf *conf;
    const struct ingress_table *ingress;
    uint64_t seed, now_ns;
    struct lpm watched;
    struct prefix *prefixes; /* sorted */
    uint32_t prefix_count, watch;
    struct aggregate *aggregates; /* prefix index times ingresses, plus ingress index */
    struct flow_table flows;
    struct unit *units;
    uint64_t unit_head, unit_tail; /* positions; the index is the low bits */
    uint32_t unit_mask;
    struct test *tests;
    uint32_t *free_tests;
    uint32_t free_test_count, test_max, tick_at, test_number;
    struct event *events;
    uint64_t event_head, event_tail;
    uint32_t event_mask, event_reserved;
    struct prf ids;
    struct announced announced[PREFETCHED_MAX];
    uint32_t announced_tail, announced_flows, announced_head; /* in; led on to its flow; decided */
    struct penny_stats stats;
    struct passive *passive; /* NULL in active mode */
};

static inline struct unit *unit_at(struct penny *p, uint64_t position)
{
    return &p->units[position & p->unit_mask];
}

/* What the parts of the engine share; nobody outside this folder includes it.
 *
 *   aggregates   one small record per (watched prefix, ingress); points to its test, if one runs
 *   tests        test.h: drop policy, verdict and counters of one running test
 *   units        unit.h: a pool. Windows have one of a few lengths; the units of each length form
 *                a queue, oldest first, which is its own timer. A unit that resolved early stays
 *                until its window is over: so long its block is remembered.
 *   handshakes   handshake.h: when the SYN of a flow not yet known came, for its round-trip time
 *   flows        flow_table.h; each links its open units, oldest first; sample.h: which ones
 *   events       outbox.h: a ring; a test reserves the room of two events, a block that of one
 *
 * Whatever is due is resolved before a packet is looked at, so a late tick changes nothing. */
#pragma once

#include "sensor/penny/drop_policy.h"
#include "sensor/penny/flow_table.h"
#include "sensor/penny/handshake.h"
#include "sensor/penny/penny.h"
#include "sensor/penny/verdict.h"
#include "shared/base/lpm.h"

#define NONE           UINT32_MAX
#define FATES_MAX      256 /* drops that wait for an earlier one: blocks remembered now or then */
#define PREFETCH_LAG   16  /* packets until a bucket has arrived and leads on to its flow */
#define PREFETCHED_MAX 64  /* a burst */

/* A packet that was announced by penny_prefetch: where its flow probably is. */
struct announced {
    const struct packet *packet; /* only compared */
    uint64_t hash;
    uint32_t flow;  /* guessed; FLOW_NONE: there was none … */
    uint32_t added; /* … when the table had taken in so many */
};

/* Lengths of windows: by the round-trip time of the flow's handshake, and for repeats that are
 * withheld again, whose senders have backed off. */
#define WINDOWS_BY_TRIP 6
#define WINDOWS         (WINDOWS_BY_TRIP + VERDICT_DEPTHS - 2)

struct unit {
    uint64_t drawn_ns;
    struct seq_cover cover;
    uint32_t flow;                     /* FLOW_NONE: no longer linked */
    uint32_t prev, next;               /* of this flow */
    uint32_t queue_next;               /* of this window, or of the free ones */
    uint32_t again_prev, again_next;   /* withheld repeats of this test that are not known */
    uint32_t test, test_number, block; /* slot, number against its reuse, block's serial number */
    uint8_t depth, window;
    bool is_dropped, is_resolved;
};

struct unit_queue {
    uint64_t span_ns;
    uint32_t first, last;
};

struct aggregate {
    uint32_t test;    /* slot, NONE */
    uint8_t thinning; /* sample.h: of its flows the table takes one in 2^thinning */
    uint8_t blind;    /* tests in a row that ended because sight was lost */
    uint64_t not_before_ns, thinned_ns;
};

struct test {
    uint32_t number; /* 0: the slot is free */
    uint32_t aggregate;
    struct prefix prefix;
    uint16_t ingress;
    uint8_t id[16];
    uint64_t started_ns, last_unit_ns;
    struct drop_policy policy;
    struct prf repeats; /* the coins of depth 1 and beyond */
    struct verdict verdict;
    uint32_t settle, drops;  /* first copies withheld in order: given to the verdict; all */
    uint8_t fate[FATES_MAX]; /* of those in between */
    uint32_t again;          /* first withheld repeat that is not known */
    uint32_t repeats_drawn;  /* units of depth 1 and beyond */
    uint64_t droppable, came;
    uint64_t heavy_at; /* verdict.all_segments when a heavy flow, not tested yet, sent its last */
    uint64_t rest_until_ns;           /* no flow is asked for a segment before */
    uint64_t packets_seen, data_seen; /* all that came, and of it TCP with payload */
    uint64_t data, disordered; /* segments with data; of those, not at the end of what was seen */
    bool is_blind;             /* packets went past unseen: it ends for that */
};

struct penny {
    const struct penny_conf *conf;
    const struct ingress_table *ingress;
    uint64_t seed, now_ns;
    uint64_t rate_at_ns; /* draws of the past take up the time until then */
    struct lpm watched;
    struct prefix *prefixes; /* sorted */
    uint32_t prefix_count, watch;
    struct penny_limit
        *left; /* of each prefix: what may still be withheld for it, and until when */
    struct aggregate *aggregates; /* prefix index times ingresses, plus ingress index */
    struct flow_table flows;
    uint32_t sample_hand, sample_left; /* next flow to look at; looks until the round is over */
    struct handshakes handshakes;
    struct unit *units;
    uint32_t unit_count, unit_free; /* in the pool; first free one */
    struct unit_queue queue[WINDOWS];
    uint64_t next_due_ns; /* no window is over before */
    struct test *tests;
    uint32_t *free_tests;
    uint32_t free_test_count, test_max, tick_at, test_number;
    struct event *events;
    uint64_t event_head, event_tail;
    uint32_t event_mask, event_reserved;
    struct prf ids;
    struct announced announced[PREFETCHED_MAX];
    uint32_t announced_tail, announced_flows, announced_head; /* in; led on to its flow; decided */
    struct paper *paper; /* paper.h; NULL unless that is the rule */
    struct penny_stats stats;
    struct passive *passive; /* NULL in active mode */
};

static inline enum told flow_told(const struct flow *flow)
{
    return (enum told)(flow->flags / FLOW_RETURNED & 3);
}

/* First byte of payload: a SYN takes a number of its own. */
static inline uint32_t data_seq(const struct packet *packet)
{
    return packet->seq + ((packet->tcp_flags & TCP_SYN) != 0);
}

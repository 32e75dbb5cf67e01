/* The Penny test: is what enters here, claiming to come from P, sent by somebody who
 * listens to the answers? Withhold a few TCP segments; a closed-loop (genuine) sender sends them
 * again, an open-loop (spoofing) one does not.
 *
 * Sources: Gigis, Handley, Vissicchio, "Bad Packets Come Back, Worse Ones Don't", SIGCOMM'24; the
 * randomised rule of docs/penny.md (the segments that were drawn for but not withheld are the
 * control group of a randomised trial).
 *
 * One aggregate = one watched prefix at one ingress; one test per aggregate at a time. Pure: time
 * and seed are arguments. All memory is taken in penny_new and penny_watch.
 *
 * What is withheld: new data in order (no SYN, FIN, RST, URG, no fragment, at least two bytes) of a
 * flow of which one segment in order was seen before; and the repeat of what was withheld, when its
 * sender repeats much of what was not. drop_policy.h says which of these take part in the draw,
 * verdict.h what follows from their coming again. What counts as coming again: payload of at least
 * two bytes (one byte is a keep-alive or a zero-window probe), in whatever parts. A reset makes the
 * flow's open units invalid; so does silence in the whole second half of the window, unless a FIN
 * was seen.
 * Harm: one of 20 units; gap_ns apart within a flow; flow_budget, budget and drops_per_s bound what
 * a flow, a test and all tests lose.
 *
 * All this is the default rule, `randomised`; PENNY_PAPER is in paper.h. Passive mode (passive.h)
 * watches the same aggregates and withholds nothing, whatever the rule; with PENNY_OFF nothing is
 * said either.
 *
 * Limits. Inconclusive end: flows of fewer than three segments, spoofers whose flows all end by RST
 * or fall silent within half a window, flows of which the most pass elsewhere (balanced per packet:
 * seq_track.h), senders of three and more copies of everything. The window must exceed the senders'
 * retransmission timeout: a genuine flow that retransmits only after it (round trips of seconds)
 * and sends on meanwhile counts as not reacting, and enough of these are called spoofed. Nothing
 * tells an attacker on the path who sees the acknowledgements, or whose receiver behind us reports
 * to him: that is a closed loop. */
#pragma once

#include "sensor/packet/ingress_table.h"
#include "sensor/packet/packet.h"
#include "shared/base/err.h"
#include "shared/wire/event.h"

enum penny_mode { PENNY_ACTIVE, PENNY_PASSIVE, PENNY_OFF };
enum penny_rule { PENNY_RANDOMISED, PENNY_PAPER };

#define PENNY_PREFIXES_MAX 1024
#define PAPER_DROPS_MAX    12 /* the paper's rule judges over as many */
#define PENNY_NO_LIMIT     UINT32_MAX

struct penny_conf {
    enum penny_mode mode;
    enum penny_rule rule;
    struct prefix prefixes[PENNY_PREFIXES_MAX]; /* watched from the start */
    size_t prefix_count;
    double drop_probability;  /* (0, 0.5]; a block has round(1/p) segments, one is withheld */
    unsigned max_drops;       /* per test while nothing speaks against genuine; paper: <= 12 */
    unsigned budget;          /* per test while the word is open: the most that is ever withheld */
    unsigned flow_budget;     /* blocks and repeats that one flow gives to, per test; 0: no bound */
    unsigned drops_per_s;     /* over all tests; 0: no bound */
    uint64_t timeout_ns;      /* window of a unit; of a repeat that is withheld again, or longer */
    uint64_t timeout_min_ns;  /* least window where the round-trip time is known; 0: timeout_ns */
    uint64_t gap_ns;          /* least time between a flow's turns */
    unsigned open_blocks;     /* most blocks open at once, per test */
    double alpha;             /* bound on a wrong word */
    double miss_max;          /* m0: most that a wholly genuine aggregate leaves unanswered */
    double reordering_max;    /* share of data out of order beyond which no word is said; 0: none */
    uint64_t max_duration_ns; /* a test without a word by then ends inconclusive */
    uint64_t retest_after_ns; /* pause between two tests of one aggregate */
    unsigned max_flows;       /* size of the flow table */
    unsigned max_tests;       /* aggregates under test at once */
    uint64_t flow_idle_ns;    /* a flow silent for so long is forgotten */
    /* passive mode: a test ends when so many flows have ended, or after so long without a packet */
    unsigned passive_flows;
    uint64_t passive_idle_ns;
    unsigned passive_rows; /* flows per test that are told one by one; the sums have all */
};

struct penny;

/* conf and ingress are borrowed until penny_free. -ENOMEM or 0. */
int penny_new(const struct penny_conf *conf, const struct ingress_table *ingress, uint64_t seed,
              struct penny **out);
void penny_free(struct penny *p); /* NULL is fine */

/* Replaces the watched prefixes; tests of prefixes that are gone end as inconclusive. 0 or -ENOMEM.
 */
int penny_watch(struct penny *p, const struct prefix *prefixes, size_t n);

/* At most so many segments are withheld for that watched prefix, by all its tests together, while
 * it stays watched, and none from until_ns on (0: no end); each test keeps penny_conf's limits as
 * well. Drops count from the first call: another for a prefix that has a limit changes nothing,
 * except PENNY_NO_LIMIT, which takes it away. Not for PENNY_PAPER, which counts for itself. */
struct penny_limit {
    uint32_t drops;
    uint64_t until_ns;
};
void penny_limit(struct penny *p, const struct prefix *prefix, struct penny_limit limit);

/* Touches the cache lines that penny_packet will need; for the first pass over a burst. The packet
 * stays where and as it is until it is decided; packets are decided in this order. */
void penny_prefetch(struct penny *p, const struct packet *packet);

/* What to do with this packet: FRAME_FORWARD or FRAME_DROP. */
enum verdict_frame penny_packet(struct penny *p, const struct packet *packet, uint64_t now_ns);

/* Windows, ends, idle flows; bounded work per call. Call at least every 100 ms. */
void penny_tick(struct penny *p, uint64_t now_ns);

/* Packets of watched prefixes went past until now, and nobody saw them: whoever was asked may have
 * answered. Drops that are not known are invalid, tests end inconclusive, whatever they knew. Their
 * prefixes may be tested again after `timeout_ns`; where sight is lost again and again, ever later.
 */
void penny_lost_sight(struct penny *p, uint64_t now_ns);

/* Ends all tests now: pending drops become invalid; tests end inconclusive ("sensor stopped"),
 * except where one evidence already stands: those end with the likeliest word (verdict_last). */
void penny_finish(struct penny *p, uint64_t now_ns);

/* Since penny_new. Drops are the worker's own counter: it counts what it did not forward. */
struct penny_stats {
    uint64_t tests;         /* started */
    uint64_t flows_refused; /* segments with data whose flow found the table full */
    uint64_t not_sampled;   /* segments with data whose flow lies outside the sample */
    uint64_t rate_limited;  /* droppable segments that found this second's drops spent */
    uint64_t no_room;       /* droppable segments that found no room for a unit or its event */
};
void penny_stats(const struct penny *p, struct penny_stats *out);

/* Next event, if any. Events that are not taken wait inside, and no new drop is made while there is
 * no room for its event: nothing is lost. */
bool penny_take(struct penny *p, struct event *out);

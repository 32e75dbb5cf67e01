/* The paper's own rule, `penny.rule: paper`: for comparison, not for use (docs/penny-paper.md).
 *
 * Source: Gigis, Handley, Vissicchio, "Bad Packets Come Back, Worse Ones Don't", SIGCOMM'24, and
 * its published ns-3 code.
 *
 *   draw       each droppable segment of the aggregate is withheld with probability 0.05
 *              (penny.drop_probability), until 12 (penny.max_drops) drops are made
 *   outcome    returned, or unanswered after 3 s (penny.timeout); after twice that if the flow sent
 *              nothing beyond the drop since. RST: invalid, and another one is drawn. FIN: nothing.
 *   snapshot   droppable segments and duplicates are counted up to the last drop; a duplicate that
 *              comes later counts only if it belongs to the flow of the oldest pending drop and
 *              does not lie beyond that
 *   judgement  once all 12 are known. f = max(duplicates, 1) / (droppable - drops);
 *              f > 0.15 -> duplicates_exceeded. H1 = 0.05^unanswered, H2 = f^returned,
 *              P = H1 / (H1 + H2): > 0.99 genuine, < 0.01 not closed loop, else inconclusive
 *   flows      of an aggregate that is not closed loop, one after the other: the same trial with
 *              the drops of one flow alone. One that is closed loop -> mixed; none within
 *              penny.budget and penny.max_duration -> spoofed
 *
 * What differs from the published code, and why. It withholds without bound while it looks at
 * flows, all at once, and never uses what it finds; here it is one flow at a time within the
 * budget. It doubles the wait for every flow's latest drop; here as the paper says, only if
 * nothing higher was sent. Its expiry waits for a packet of the same flow; here for the clock. It
 * draws on segments beyond a hole; here, as everywhere in this engine, only on those in order, but
 * both count as droppable. Parts and coalesced retransmissions count as answers, and the segments
 * of a flow's first seconds of grace neither as droppable nor, when repeated, as duplicates.
 *
 * Limits. The bound that the randomised rule has does not hold here: a sender that repeats
 * everything a second later passes as genuine. There is no least gap between two drops of a flow,
 * and no budget of its own for it; drops_per_s holds.
 *
 * A test's drops and counts and a flow's marks lie beside struct test and struct flow, and are
 * there only when this rule is configured: it costs the other rule nothing. */
#pragma once

#include "sensor/penny/engine.h"

enum paper_fate { PAPER_PENDING, PAPER_RETURNED, PAPER_UNANSWERED };

struct paper_drop {
    struct flow_key key; /* the flow may be forgotten before the test is over */
    struct seq_cover cover;
    uint64_t at_ns, position;
    uint32_t flow;
    enum paper_fate fate;
    bool is_passed; /* the flow sent something higher since */
};

/* Over all trials of a test. */
struct paper_sum {
    double probability; /* P */
    uint64_t flows, droppable, drops, returned, unanswered, invalid, duplicates;
};

/* Memory for the rule if it is configured: p->paper. 0 or -ENOMEM. */
int paper_new(struct penny *p);
void paper_free(struct penny *p);

void paper_start(struct penny *p, const struct test *t);

/* A segment with data that the flow's track took in as `class`. is_droppable: it may be withheld,
 * if the draw says so. May end the test. */
enum verdict_frame paper_data(struct penny *p, struct test *t, struct flow *flow,
                              const struct packet *packet, enum seq_class class, bool is_droppable);

void paper_reset(struct penny *p, const struct flow *flow);
void paper_tick(struct penny *p, struct test *t);

/* No more drops will come: ends the test with what stands. */
void paper_stop(struct penny *p, struct test *t, const char *why);

/* test_end() for this rule: pending drops become invalid, and the word is said. */
void paper_end(struct penny *p, struct test *t, int word, const char *reason);

/* One row of the table: traffic, and what is promised about the words.
 *
 * The right word follows from the senders: all closed-loop, genuine; none, spoofed; else mixed.
 * Wrong words:
 *   all genuine    spoofed and mixed (both claim traffic that does not react)
 *   none genuine   genuine and mixed (both claim traffic that reacts)
 *   mixture        genuine and spoofed (each denies a part)
 * inconclusive and duplicates_exceeded are no answers: never wrong, never right. Nor is a test that
 * did not begin, because nothing that could start it came. */
#pragma once

#include <stddef.h>

#include "tests/sim/senders.h"

#define ROW_GROUPS 3

enum layer { FULL, ENGINE };

struct row {
    enum layer layer;
    const char *name;
    const char *reference; /* what docs/penny-paper.md says of the paper's rule; NULL: nothing */
    unsigned tests, quick; /* quick: tests in the quick run; 0: left out */
    double wrong_most;     /* rate; 0 stands for the bound alpha */
    double right_least;    /* share; 0: nothing is promised */
    double inside_least;   /* share of tests whose interval holds the truth; 0: nothing promised */
    bool is_v6;
    double bottleneck_mbps;    /* full layer; shared by the genuine senders; 0: 10 */
    bool is_bottleneck_behind; /* the sensor, then shared by all */
    struct senders groups[ROW_GROUPS];
};

extern const struct row rows[];
extern const size_t row_count;

/* VERDICT_GENUINE, _SPOOFED or _MIXED. */
int row_right_word(const struct row *row);

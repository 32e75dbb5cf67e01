/* From the outcomes of a row's tests to one line of the table, and to broken promises. */
#pragma once

#include "tests/sim/rows.h"
#include "tests/sim/tap.h"

#define REPORT_WORDS 6 /* VERDICT_*, and none */

struct summary {
    size_t tests, words[REPORT_WORDS], right, wrong, inside, judged, broken;
    double wrong_low, wrong_high;                /* 95 %, Clopper and Pearson (1934) */
    double width;                                /* median of the intervals */
    double truth, fraction;                      /* means */
    uint32_t drops[3], ms[3];                    /* resolved drops: median, 90th percentile, most */
    uint32_t gap_ms, withheld, repeats_withheld; /* of the withheld: the most */
};

struct summary report_sum(const struct row *row, const struct outcome *outcomes, size_t n);

/* Exact 95 % interval of k of n. */
void report_exact(size_t k, size_t n, double *low, double *high);

void report_head(bool is_markdown);
void report_line(const struct row *row, const struct summary *s, bool is_markdown);

/* Prints one line for each promise that was broken; how many. */
unsigned report_broken(const struct row *row, const struct summary *s, double alpha);

/* The reasons that came with words other than the right one, most frequent first. */
void report_reasons(const struct row *row, const struct outcome *outcomes, size_t n);

#include "tests/sim/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BISECTIONS   60
#define REASONS_MAX  64
#define REASONS_SHOW 6

/* ---- statistics ---- */

/* P(X <= k) of n trials at p. */
static double binomial_below(size_t k, size_t n, double p)
{
    if (p <= 0 || k >= n)
        return 1;
    if (p >= 1)
        return 0;
    double sum = 0, nn = (double)n;
    for (size_t i = 0; i <= k; i++) {
        double x = (double)i;
        sum += exp(lgamma(nn + 1) - lgamma(x + 1) - lgamma(nn - x + 1) + x * log(p) +
                   (nn - x) * log1p(-p));
    }
    return fmin(1, sum);
}

/* Where P(X <= k) falls to this level. */
static double solve(size_t k, size_t n, double level)
{
    double low = 0, high = 1;
    for (unsigned i = 0; i < BISECTIONS; i++) {
        double p = (low + high) / 2;
        if (binomial_below(k, n, p) > level)
            low = p;
        else
            high = p;
    }
    return (low + high) / 2;
}

void report_exact(size_t k, size_t n, double *low, double *high)
{
    *low = k > 0 ? solve(k - 1, n, .975) : 0;
    *high = k < n ? solve(k, n, .025) : 1;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles(uint32_t *values, size_t n, uint32_t out[3])
{
    qsort(values, n, sizeof *values, compare_u32);
    out[0] = values[n / 2];
    out[1] = values[(n * 9) / 10];
    out[2] = values[n - 1];
}

/* ---- one row ---- */

static bool is_wrong(int right, int word)
{
    bool is_answer = word == VERDICT_GENUINE || word == VERDICT_SPOOFED || word == VERDICT_MIXED;
    return is_answer && word != right;
}

static void count(struct summary *s, const struct outcome *o, int right)
{
    s->words[o->word < REPORT_WORDS - 1 ? o->word : REPORT_WORDS - 1]++;
    s->right += o->word == right;
    s->wrong += is_wrong(right, o->word);
    s->broken += o->is_broken;
    if (o->gap_ms < s->gap_ms)
        s->gap_ms = o->gap_ms;
    if (o->withheld > s->withheld)
        s->withheld = o->withheld;
    if (o->repeats_withheld > s->repeats_withheld)
        s->repeats_withheld = o->repeats_withheld;
    if (o->word == TAP_NONE || o->truth < 0)
        return;
    s->judged++;
    s->inside += o->low <= o->truth + 1e-6f && o->truth <= o->high + 1e-6f;
    s->truth += o->truth;
    s->fraction += o->fraction;
}

struct summary report_sum(const struct row *row, const struct outcome *outcomes, size_t n)
{
    struct summary s = {.tests = n, .gap_ms = UINT32_MAX};
    uint32_t *drops = calloc(3 * n, sizeof *drops), *ms = drops + n, *width = ms + n, width_of[3];
    if (drops == NULL)
        abort();
    for (size_t i = 0; i < n; i++) {
        count(&s, &outcomes[i], row_right_word(row));
        drops[i] = outcomes[i].drops;
        ms[i] = outcomes[i].took_ms;
        width[i] = (uint32_t)(1000 * (outcomes[i].high - outcomes[i].low));
    }
    quantiles(drops, n, s.drops);
    quantiles(ms, n, s.ms);
    quantiles(width, n, width_of);
    s.width = width_of[0] / 1000.;
    free(drops);
    if (s.judged > 0) {
        s.truth /= (double)s.judged;
        s.fraction /= (double)s.judged;
    }
    report_exact(s.wrong, n, &s.wrong_low, &s.wrong_high);
    return s;
}

/* ---- printing ---- */

void report_head(bool is_markdown)
{
    if (is_markdown)
        printf("| traffic | tests | g / s / m / i / d | wrong (95 %%) | right | drops | withheld | "
               "time, s | "
               "true, told | inside, width | gap | paper's rule, reference |\n"
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    else
        printf("%-56s %6s %6s %6s %6s %6s %5s %23s %6s %9s %14s %9s %10s %5s\n", "traffic", "tests",
               "gen", "spoof", "mixed", "inc", "dup", "wrong 95 %", "right", "drops", "time, s",
               "true told", "in, width", "gap");
}

static void gap_text(char *text, size_t room, const struct summary *s)
{
    if (s->gap_ms == UINT32_MAX)
        snprintf(text, room, "-");
    else
        snprintf(text, room, "%.2f", s->gap_ms / 1000.);
}

static double percent(size_t k, size_t n)
{
    return n > 0 ? 100. * (double)k / (double)n : 0;
}

/* Rounded down, so that 100 means all. */
static double percent_down(size_t k, size_t n)
{
    return floor(percent(k, n) * 100) / 100;
}

static void markdown(const struct row *row, const struct summary *s, const char *gap)
{
    size_t none = s->words[REPORT_WORDS - 1];
    printf("| %s | %zu | %zu / %zu / %zu / %zu / %zu | %zu (%.1e..%.1e) | %.4g %% | %u, %u | "
           "%u | %.1f, %.1f | %.2f, %.2f | %.1f %%, %.2f | %s | %s |\n",
           row->name, s->tests, s->words[VERDICT_GENUINE], s->words[VERDICT_SPOOFED],
           s->words[VERDICT_MIXED], s->words[VERDICT_INCONCLUSIVE] + none,
           s->words[VERDICT_DUPLICATES_EXCEEDED], s->wrong, s->wrong_low, s->wrong_high,
           percent_down(s->right, s->tests), s->drops[0], s->drops[1], s->withheld,
           s->ms[0] / 1000., s->ms[1] / 1000., s->truth, s->fraction, percent(s->inside, s->judged),
           s->width, gap, row->reference != NULL ? row->reference : "");
}

static void plain(const struct row *row, const struct summary *s, const char *gap)
{
    size_t none = s->words[REPORT_WORDS - 1];
    printf("%-56s %6zu %6zu %6zu %6zu %6zu %5zu %5zu %8.1e..%.1e %6.2f %2u %2u %3u %6.1f %6.1f "
           "%4.2f %4.2f %5.1f %4.2f %5s\n",
           row->name, s->tests, s->words[VERDICT_GENUINE], s->words[VERDICT_SPOOFED],
           s->words[VERDICT_MIXED], s->words[VERDICT_INCONCLUSIVE] + none,
           s->words[VERDICT_DUPLICATES_EXCEEDED], s->wrong, s->wrong_low, s->wrong_high,
           percent_down(s->right, s->tests), s->drops[0], s->drops[1], s->withheld,
           s->ms[0] / 1000., s->ms[1] / 1000., s->truth, s->fraction, percent(s->inside, s->judged),
           s->width, gap);
}

void report_line(const struct row *row, const struct summary *s, bool is_markdown)
{
    char gap[16];
    gap_text(gap, sizeof gap, s);
    if (is_markdown)
        markdown(row, s, gap);
    else
        plain(row, s, gap);
    fflush(stdout);
}

static unsigned complain(const struct row *row, const char *what, size_t k, size_t n,
                         double promise)
{
    fprintf(stderr, "BROKEN: %s: %zu of %zu %s; promised: %s %g %%\n", row->name, k, n, what,
            what[0] == 'w' ? "at most" : "at least", 100 * promise);
    return 1;
}

/* Is the true rate above (below) this, with 95 % confidence? */
static bool is_above(size_t k, size_t n, double rate)
{
    double low, high;
    report_exact(k, n, &low, &high);
    return low > rate;
}

static bool is_below(size_t k, size_t n, double rate)
{
    double low, high;
    report_exact(k, n, &low, &high);
    return n > 0 && high < rate;
}

unsigned report_broken(const struct row *row, const struct summary *s, double alpha)
{
    unsigned broken = 0;
    if (row->wrong_most <= 0 && (double)s->wrong > floor(alpha * (double)s->tests + 1e-9))
        broken += complain(row, "words are wrong", s->wrong, s->tests, alpha);
    if (row->wrong_most > 0 && is_above(s->wrong, s->tests, row->wrong_most))
        broken += complain(row, "words are wrong", s->wrong, s->tests, row->wrong_most);
    if (is_below(s->right, s->tests, row->right_least))
        broken += complain(row, "tests are right", s->right, s->tests, row->right_least);
    if (is_below(s->inside, s->judged, row->inside_least))
        broken +=
            complain(row, "intervals hold the truth", s->inside, s->judged, row->inside_least);
    if (s->broken > 0)
        broken +=
            complain(row, "tests keep budget, gap and counts", s->tests - s->broken, s->tests, 1);
    return broken;
}

/* ---- reasons ---- */

struct reason {
    uint8_t word;
    char text[TAP_REASON];
    size_t count;
};

/* Numbers in a reason differ from test to test. */
static void without_numbers(char *to, const char *from)
{
    size_t n = 0;
    for (; *from != '\0' && n + 1 < TAP_REASON; from++)
        if (*from < '0' || *from > '9')
            to[n++] = *from;
        else if (n == 0 || to[n - 1] != '#')
            to[n++] = '#';
    to[n] = '\0';
}

static int compare_reasons(const void *a, const void *b)
{
    size_t x = ((const struct reason *)a)->count, y = ((const struct reason *)b)->count;
    return x > y ? -1 : x < y;
}

void report_reasons(const struct row *row, const struct outcome *outcomes, size_t n)
{
    struct reason list[REASONS_MAX];
    size_t used = 0, i;
    for (size_t at = 0; at < n; at++) {
        char text[TAP_REASON];
        if (outcomes[at].word == row_right_word(row))
            continue;
        without_numbers(text, outcomes[at].reason);
        for (i = 0; i < used; i++)
            if (list[i].word == outcomes[at].word && strcmp(list[i].text, text) == 0)
                break;
        if (i == used && used < REASONS_MAX) {
            list[used] = (struct reason){.word = outcomes[at].word};
            memcpy(list[used++].text, text, sizeof text);
        }
        if (i < used)
            list[i].count++;
    }
    qsort(list, used, sizeof *list, compare_reasons);
    static const char *const words[] = {"genuine", "spoofed", "mixed", "duplicates_exceeded",
                                        "inconclusive"};
    for (i = 0; i < used && i < REASONS_SHOW; i++)
        printf("    %6zu  %s: %s\n", list[i].count,
               list[i].word <= VERDICT_INCONCLUSIVE ? words[list[i].word] : "no word",
               list[i].text);
}

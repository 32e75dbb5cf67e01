/* Measures the Penny test in virtual time, against senders that know nothing of the engine: see
 * docs/penny-simulation.md. */
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/crowd.h"
#include "tests/sim/report.h"
#include "tests/sim/world.h"

#define JOBS_MAX 64

struct options {
    const char *rows;
    unsigned tests, jobs;
    uint64_t seed;
    enum penny_rule rule;
    bool is_quick, is_markdown, has_layer, is_list, is_senders, shows_reasons, shows_tests;
    enum layer layer;
    double alpha;
};

static const char usage[] =
    "Usage: sim_penny [options]\n"
    "\n"
    "Runs the rows of tests/sim/rows.def in virtual time and prints a table. Exit status: 0, or 1\n"
    "if a promise of a row is broken, or 2 if it was called wrongly.\n"
    "\n"
    "  --rows GLOB     only rows whose name matches, e.g. '10 spoofed*'\n"
    "  --layer LAYER   full (packet by packet, with TCP) or engine (stochastic, cheap)\n"
    "  --tests N       tests per row, instead of the row's own number\n"
    "  --seed N        default 1; the same seed gives the same table, whatever -j\n"
    "  --rule RULE     randomised (default) or paper; of the latter nothing is promised\n"
    "  --alpha A       the engine's bound on a wrong word, default 1e-4\n"
    "  --quick         the rows and numbers of tests that ctest runs\n"
    "  --markdown      the table as in docs/penny-simulation.md\n"
    "  --reasons       what the engine said with words that are not the right one\n"
    "  --each          one line per test\n"
    "  --senders       instead: what the rows' closed loops do when no sensor is there\n"
    "  --list          names of the rows, without running them\n"
    "  -j N            processes, default 1\n"
    "  --help\n";

enum {
    ROWS = 256,
    LAYER,
    TESTS,
    SEED,
    RULE,
    ALPHA,
    QUICK,
    MARKDOWN,
    REASONS,
    EACH,
    LIST,
    SENDERS,
    HELP
};

static const struct option long_options[] = {
    {"rows", required_argument, NULL, ROWS},   {"layer", required_argument, NULL, LAYER},
    {"tests", required_argument, NULL, TESTS}, {"seed", required_argument, NULL, SEED},
    {"rule", required_argument, NULL, RULE},   {"alpha", required_argument, NULL, ALPHA},
    {"quick", no_argument, NULL, QUICK},       {"markdown", no_argument, NULL, MARKDOWN},
    {"reasons", no_argument, NULL, REASONS},   {"each", no_argument, NULL, EACH},
    {"list", no_argument, NULL, LIST},         {"senders", no_argument, NULL, SENDERS},
    {"help", no_argument, NULL, HELP},         {NULL, 0, NULL, 0}};

_Noreturn static void misused(const char *what)
{
    fprintf(stderr, "sim_penny: %s\n%s", what, usage);
    exit(2);
}

/* Which of two words it is: 0 or 1. */
static bool second_of(const char *text, const char *first, const char *second, const char *what)
{
    if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
        misused(what);
    return strcmp(text, second) == 0;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0' || end == text || *text == '-')
        misused("this is not a number");
    return n;
}

static void take_flag(struct options *o, int option)
{
    o->is_quick |= option == QUICK;
    o->is_markdown |= option == MARKDOWN;
    o->shows_reasons |= option == REASONS;
    o->shows_tests |= option == EACH;
    o->is_list |= option == LIST;
    o->is_senders |= option == SENDERS;
    if (option == HELP) {
        fputs(usage, stdout);
        exit(0);
    }
    if (option == '?')
        misused("unknown option");
}

static void take_option(struct options *o, int option)
{
    if (option == ROWS)
        o->rows = optarg;
    else if (option == LAYER) {
        o->has_layer = true;
        o->layer = second_of(optarg, "full", "engine", "no such layer") ? ENGINE : FULL;
    } else if (option == TESTS)
        o->tests = (unsigned)number(optarg);
    else if (option == SEED)
        o->seed = number(optarg);
    else if (option == RULE)
        o->rule = second_of(optarg, "randomised", "paper", "no such rule") ? PENNY_PAPER
                                                                           : PENNY_RANDOMISED;
    else if (option == ALPHA)
        o->alpha = strtod(optarg, NULL);
    else if (option == 'j')
        o->jobs = (unsigned)number(optarg);
    else
        take_flag(o, option);
}

static struct options options(int argc, char **argv)
{
    struct options o = {.rows = "*", .jobs = 1, .seed = 1, .alpha = 1e-4};
    for (int c; (c = getopt_long(argc, argv, "j:", long_options, NULL)) != -1;)
        take_option(&o, c);
    if (optind != argc)
        misused("there are no arguments but options");
    if (o.jobs == 0 || o.jobs > JOBS_MAX)
        misused("-j wants 1 to 64");
    if (!(o.alpha > 0 && o.alpha < .5))
        misused("--alpha wants a number between 0 and 0.5");
    return o;
}

/* The name is part of the seed: a row's numbers do not change when other rows come or go. */
static uint64_t seed_of(const struct options *o, const struct row *row, size_t test)
{
    uint64_t state = o->seed;
    for (const char *c = row->name; *c != '\0'; c++) {
        state ^= (uint8_t)*c;
        dice_mix(&state);
    }
    state += test * UINT64_C(0x632be59bd9b4e019);
    return dice_mix(&state);
}

static void run_share(const struct options *o, const struct row *row, struct outcome *out, size_t n,
                      size_t first, size_t step)
{
    static struct penny_conf conf;
    tap_conf(&conf);
    conf.rule = o->rule;
    conf.alpha = o->alpha;
    for (size_t i = first; i < n; i += step)
        if (row->layer == ENGINE)
            crowd_run(row->groups, &conf, row->is_v6, seed_of(o, row, i), &out[i]);
        else
            world_run(row, &conf, seed_of(o, row, i), &out[i]);
}

/* Outcomes are in memory that the processes share, each at its test's place. */
static bool run_tests(const struct options *o, const struct row *row, struct outcome *out, size_t n)
{
    pid_t children[JOBS_MAX];
    bool is_fine = true;
    if (o->jobs == 1) {
        run_share(o, row, out, n, 0, 1);
        return true;
    }
    for (unsigned j = 0; j < o->jobs; j++) {
        children[j] = fork();
        if (children[j] == 0) {
            run_share(o, row, out, n, j, o->jobs);
            _exit(0);
        }
    }
    for (unsigned j = 0; j < o->jobs; j++) {
        int status = 1;
        is_fine &= children[j] > 0 && waitpid(children[j], &status, 0) > 0 && status == 0;
    }
    return is_fine;
}

static void show_tests(const struct outcome *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf(
            "    %zu word %u drops %u of %u repeats %u ms %u fraction %.3f [%.3f, %.3f] true %.3f "
            "of drops %.3f gap %u%s: %s\n",
            i, out[i].word, out[i].drops, out[i].withheld, out[i].repeats_withheld, out[i].took_ms,
            (double)out[i].fraction, (double)out[i].low, (double)out[i].high, (double)out[i].truth,
            (double)out[i].truth_drops, out[i].gap_ms, out[i].is_broken ? " BROKEN" : "",
            out[i].reason);
}

static unsigned run_row(const struct options *o, const struct row *row)
{
    size_t n = o->tests != 0 ? o->tests : o->is_quick ? row->quick : row->tests;
    size_t bytes = n * sizeof(struct outcome);
    struct outcome *out =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out == MAP_FAILED)
        abort();
    unsigned broken = 0;
    if (!run_tests(o, row, out, n)) {
        fprintf(stderr, "BROKEN: %s: a test crashed\n", row->name);
        broken = 1;
    } else {
        struct summary s = report_sum(row, out, n);
        report_line(row, &s, o->is_markdown);
        if (o->shows_reasons)
            report_reasons(row, out, n);
        if (o->shows_tests)
            show_tests(out, n);
        if (o->rule == PENNY_RANDOMISED)
            broken = report_broken(row, &s, o->alpha);
    }
    munmap(out, bytes);
    return broken;
}

static void show_senders(const struct options *o, const struct row *row)
{
    struct measured m;
    if (row->layer != FULL || row_right_word(row) != VERDICT_GENUINE)
        return;
    world_measure(row, 60, o->seed, &m);
    double sent = m.sent > 0 ? (double)m.sent : 1;
    printf("%-60s %8.1f segments/s, again %5.2f %%, spurious %5.2f %%, timeouts %6.2f/s, ends "
           "%6.2f/s\n",
           row->name, (double)m.arrived / m.seconds, 100 * (double)m.again / sent,
           100 * (double)m.spurious / sent, (double)m.timeouts / m.seconds,
           (double)m.over / m.seconds);
}

static bool is_wanted(const struct options *o, const struct row *row)
{
    if (o->has_layer && row->layer != o->layer)
        return false;
    if (o->is_quick && row->quick == 0)
        return false;
    return fnmatch(o->rows, row->name, 0) == 0;
}

int main(int argc, char **argv)
{
    struct options o = options(argc, argv);
    unsigned broken = 0, seen = 0;
    if (!o.is_list && !o.is_senders)
        report_head(o.is_markdown);
    for (size_t i = 0; i < row_count; i++) {
        if (!is_wanted(&o, &rows[i]))
            continue;
        seen++;
        if (o.is_list)
            printf("%-6s %s\n", rows[i].layer == FULL ? "full" : "engine", rows[i].name);
        else if (o.is_senders)
            show_senders(&o, &rows[i]);
        else
            broken += run_row(&o, &rows[i]);
    }
    if (seen == 0)
        misused("no row has such a name");
    if (broken > 0)
        fprintf(stderr, "sim_penny: %u broken promises in %u rows\n", broken, seen);
    return broken > 0;
}

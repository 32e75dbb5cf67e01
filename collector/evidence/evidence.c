#include "collector/evidence/evidence.h"

#include <math.h>
#include <string.h>

#include "collector/evidence/beta.h"

/* What a test weighs at least, in drops. Penny concludes with three returns and more; a test that
 * ends without a word is remembered for one half-life, one with a word for two and more. */
#define CONCLUSIVE_WEIGHT   4.0
#define INCONCLUSIVE_WEIGHT 2.0

/* Drops that a genuine sender may leave unanswered: penny.miss_max of the sensors. */
#define MISS_MAX 0.05

/* What is kept of older counts when a newer test contradicts them: the mixture has changed, but one
 * test need not have seen all of it. */
#define CONTRADICTED 0.25

/* Where a mixture counts as one-sided, as in the words of a single test (docs/penny.md). */
#define NEARLY_ALL  0.9
#define NEARLY_NONE 0.1

#define ODDS_MAX    20.0 /* ln; what no sum of tests goes beyond */
#define PASSIVE_MIN 1.0  /* ln; less says nothing */
#define PASSIVE_SUM                                                                              \
    0.5                /* in drops: what passive evidence alone weighs, less than EVIDENCE_WORTH \
                        */
#define STALE_TIMES  2 /* half-lives until `unverifiable` is asked again */
#define INTERVAL_LOW 0.025

/* ---- the rules ---- */

/* How a newer test meets what the row says. */
enum meeting {
    ALONE,    /* the test counts alone; what was known before is forgotten */
    TOGETHER, /* both are summed */
    AGAINST,  /* both are summed, the older counts shrunk (CONTRADICTED) */
    STAYS,    /* as AGAINST, and the mixture is left only when the sum is one-sided */
    FADES     /* nothing while what is known is younger than the half-life; then ALONE */
};

/* Rows: what the row says. Columns: what the test says. One wrong word in ten thousand is the bound
 * of a single conclusive test, so the newest of them decides at once; but a mixture with little of
 * one kind ends now and then with the other kind's word alone, so `mixed` wants to hear that again.
 */
static const enum meeting rules[][4] = {
    /*                       genuine   mixed     spoofed   inconclusive */
    [STATE_UNVERIFIED] = {ALONE, ALONE, ALONE, ALONE},
    [STATE_TESTING] = {TOGETHER, TOGETHER, TOGETHER, TOGETHER},
    [STATE_GENUINE] = {TOGETHER, AGAINST, ALONE, FADES},
    [STATE_MIXED] = {STAYS, TOGETHER, STAYS, FADES},
    [STATE_SPOOFED] = {ALONE, AGAINST, TOGETHER, FADES},
    [STATE_INCONCLUSIVE] = {TOGETHER, TOGETHER, TOGETHER, TOGETHER},
    [STATE_UNVERIFIABLE] = {TOGETHER, TOGETHER, TOGETHER, TOGETHER},
};

static bool is_conclusive(enum ingress_state state)
{
    return state == STATE_GENUINE || state == STATE_MIXED || state == STATE_SPOOFED;
}

static enum ingress_state state_of(uint8_t verdict)
{
    switch (verdict) {
    case VERDICT_GENUINE:
        return STATE_GENUINE;
    case VERDICT_SPOOFED:
        return STATE_SPOOFED;
    case VERDICT_MIXED:
        return STATE_MIXED;
    default: /* duplicates exceeded: the path, not the sender, decided; so nothing is proven */
        return STATE_INCONCLUSIVE;
    }
}

static enum meeting rule_for(enum ingress_state held, enum ingress_state said)
{
    static const unsigned column[] = {
        [STATE_GENUINE] = 0, [STATE_MIXED] = 1, [STATE_SPOOFED] = 2, [STATE_INCONCLUSIVE] = 3};
    return rules[held][column[said]];
}

/* ---- numbers ---- */

/* Comparisons with NaN are false, so NaN becomes 0: a claim without a number proves nothing. */
static double unit(double x)
{
    if (!(x > 0))
        return 0;
    return x < 1 ? x : 1;
}

static double bounded(double x, double most)
{
    if (!(x > -most))
        return -most;
    return x < most ? x : most;
}

/* What is no probability says nothing either way. */
static double odds_of(double p)
{
    if (!(p >= 0 && p <= 1))
        return 0;
    return bounded(log(p) - log1p(-p), ODDS_MAX);
}

static double probability_of(double odds)
{
    return 1 / (1 + exp(-odds));
}

/* What is left of one after that time; times that go backwards leave all of it. */
static double left_after(const struct evidence_conf *conf, int64_t from, int64_t to)
{
    if (conf->half_life_ns == 0 || to <= from)
        return 1;
    return exp2(-((double)((uint64_t)to - (uint64_t)from) / (double)conf->half_life_ns));
}

/* Answered and unanswered drops that a test is worth. */
struct counts {
    double genuine, spoofed;
};

static double sum_of(struct counts c)
{
    return c.genuine + c.spoofed;
}

/* How many drops would give an interval as wide as the test's own: it knows more of its flows than
 * the counts say. Infinite where the test gives no interval. */
static double drops_behind(double low, double high)
{
    double half = (high - low) / 2, middle = (low + high) / 2;
    if (!(half > 0))
        return INFINITY;
    double deviation = half / 1.96;
    double n = middle * (1 - middle) / (deviation * deviation) - 1;
    return n > 0 ? n : 0;
}

/* How many drops of a sender that repeats nothing would say as much: of the drops that came again,
 * as many did so by chance as kept segments did (Fisher's information about the fraction). */
static double drops_corrected(const struct event_test_ended *t)
{
    double drops = (double)t->retransmitted + (double)t->unanswered;
    double repeats = t->controls > 0 ? unit((double)t->duplicates / (double)t->controls) : 0;
    double fraction = (unit(t->genuine_fraction) * drops + 0.5) / (drops + 1);
    double returns = fraction + (1 - fraction) * repeats;
    if (!(returns < 1))
        return 0;
    return drops * (1 - repeats) * (1 - repeats) * fraction * (1 - fraction) /
           (returns * (1 - returns));
}

/* A test's counts: centred on its own fraction, weighing what its drops or its interval allow. What
 * a word weighs at least goes to the side of the word. */
static struct counts counts_of(const struct event_test_ended *t, enum ingress_state said)
{
    double fraction = unit(t->genuine_fraction);
    double least = is_conclusive(said) ? CONCLUSIVE_WEIGHT : INCONCLUSIVE_WEIGHT;
    double side = said == STATE_GENUINE ? 1 : said == STATE_SPOOFED ? 0 : 0.5;
    double weight = drops_corrected(t);
    double behind = drops_behind(unit(t->genuine_low), unit(t->genuine_high));
    if (behind < weight)
        weight = behind;
    double missing = weight < least ? least - weight : 0;
    return (struct counts){.genuine = weight * fraction + missing * side,
                           .spoofed = weight * (1 - fraction) + missing * (1 - side)};
}

/* What the row's own evidence is worth. Rows of a release that did not count it: what a word weighs
 * at least. */
static struct counts counts_at(const struct evidence_conf *conf, const struct ingress_row *row,
                               int64_t now)
{
    struct counts c = {row->evidence_genuine, row->evidence_spoofed};
    int64_t from = row->evidence_at;
    if (!row->has_evidence)
        return (struct counts){0, 0};
    if (!(sum_of(c) > 0) || !isfinite(sum_of(c))) {
        double weight = is_conclusive(row->state) ? CONCLUSIVE_WEIGHT : INCONCLUSIVE_WEIGHT;
        c.genuine = weight * unit(row->genuine_fraction);
        c.spoofed = weight - c.genuine;
        from = row->last_test_at;
    }
    double left = left_after(conf, from, now);
    return (struct counts){c.genuine * left, c.spoofed * left};
}

double evidence_weight(const struct evidence_conf *conf, const struct ingress_row *row, int64_t now)
{
    return sum_of(counts_at(conf, row, now));
}

static void write_counts(struct ingress_row *row, struct counts c, int64_t at)
{
    row->evidence_genuine = c.genuine;
    row->evidence_spoofed = c.spoofed;
    row->evidence_at = at;
    row->has_evidence = true;
}

/* The Beta posterior. A genuine sender may leave some drops unanswered, in every test anew: no
 * number of tests makes up for that, so the high end allows for it. */
static void write_fraction(struct ingress_row *row, struct counts c)
{
    double a = c.genuine + 0.5, b = c.spoofed + 0.5;
    row->genuine_fraction = sum_of(c) > 0 ? c.genuine / sum_of(c) : 0.5;
    row->genuine_low = fmin(beta_quantile(a, b, INTERVAL_LOW), row->genuine_fraction);
    double high = beta_quantile(a, b, 1 - INTERVAL_LOW) / (1 - MISS_MAX);
    row->genuine_high = unit(fmax(high, row->genuine_fraction));
}

static void forget(struct ingress_row *row)
{
    row->has_evidence = false;
    row->genuine_probability = row->genuine_fraction = row->genuine_low = row->genuine_high = 0;
    row->evidence_genuine = row->evidence_spoofed = 0;
}

/* ---- states ---- */

static void become(struct ingress_row *row, enum ingress_state state, int64_t at)
{
    if (state != STATE_GENUINE)
        row->genuine_since = 0;
    else if (row->state != STATE_GENUINE || row->genuine_since == 0)
        row->genuine_since = at;
    row->state = state;
    memset(row->testing_by, 0, sizeof row->testing_by);
}

/* Conclusive states are never replaced by `testing`, so that no other can have stood before. */
static void become_as_before(struct ingress_row *row)
{
    bool has_tested = row->has_evidence && row->last_test_at != 0;
    if (row->untestable_at != 0 && row->untestable_at >= row->last_test_at)
        become(row, STATE_UNVERIFIABLE, 0);
    else
        become(row, has_tested ? STATE_INCONCLUSIVE : STATE_UNVERIFIED, 0);
}

void evidence_started(const struct evidence_conf *conf, struct ingress_row *row, const char *sensor,
                      const struct event_test_started *t)
{
    (void)conf, (void)t;
    if (is_conclusive(row->state))
        return;
    become(row, STATE_TESTING, 0);
    memcpy(row->testing_by, sensor, strnlen(sensor, sizeof row->testing_by - 1));
}

bool evidence_lost(struct ingress_row *row, const char *sensor)
{
    if (row->state != STATE_TESTING ||
        strncmp(row->testing_by, sensor, sizeof row->testing_by - 1) != 0)
        return false;
    become_as_before(row);
    return true;
}

bool evidence_untestable(struct ingress_row *row, int64_t at)
{
    struct ingress_row before = *row;
    if (at > row->untestable_at)
        row->untestable_at = at;
    if (!is_conclusive(row->state))
        become(row, STATE_UNVERIFIABLE, at);
    return row->state != before.state || row->untestable_at != before.untestable_at;
}

/* ---- a test ---- */

/* Does what the row says already outweigh this test? */
static bool stands(const struct evidence_conf *conf, const struct ingress_row *row,
                   enum ingress_state said, int64_t ended_at)
{
    if (is_conclusive(said) == is_conclusive(row->state))
        return ended_at < row->last_test_at; /* same rank: the newer one wins */
    if (rule_for(row->state, said) != FADES)
        return false;
    return ended_at < row->last_test_at ||
           (uint64_t)ended_at - (uint64_t)row->last_test_at < conf->half_life_ns;
}

static void write_test(struct ingress_row *row, const struct event_test_ended *t,
                       enum ingress_state said)
{
    write_counts(row, counts_of(t, said), t->ended_at);
    row->genuine_probability = unit(t->genuine_probability);
    row->genuine_fraction = unit(t->genuine_fraction);
    row->genuine_low = unit(t->genuine_low);
    row->genuine_high = unit(t->genuine_high);
}

/* Composition has changed where the intervals have nothing in common. */
static bool is_apart(const struct ingress_row *row, const struct event_test_ended *t)
{
    return row->genuine_low > unit(t->genuine_high) || row->genuine_high < unit(t->genuine_low);
}

/* A mixture stays one until the sum, all of it, is one-sided. */
static enum ingress_state state_after(enum meeting how, enum ingress_state said, struct counts all)
{
    double fraction = all.genuine / sum_of(all);
    bool is_enough = said == STATE_GENUINE ? fraction >= NEARLY_ALL : fraction <= NEARLY_NONE;
    return how == STAYS && !is_enough ? STATE_MIXED : said;
}

/* Where nothing proves genuine traffic, there may be none; where nothing proves traffic that does
 * not react, all may be genuine. Repeats by chance must not say otherwise, however many tests are
 * summed.
 */
static void open_ends(struct ingress_row *row, enum ingress_state state)
{
    if (state == STATE_SPOOFED)
        row->genuine_low = 0;
    if (state == STATE_GENUINE)
        row->genuine_high = 1;
}

/* Returns the state after. */
static enum ingress_state write_sum(const struct evidence_conf *conf, struct ingress_row *row,
                                    const struct event_test_ended *t, enum ingress_state said,
                                    enum meeting how)
{
    struct counts old = counts_at(conf, row, t->ended_at), new = counts_of(t, said);
    double keep = how == AGAINST || how == STAYS || is_apart(row, t) ? CONTRADICTED : 1;
    struct counts all = {old.genuine + new.genuine, old.spoofed + new.spoofed};
    struct counts sum = {old.genuine * keep + new.genuine, old.spoofed *keep + new.spoofed};
    enum ingress_state state = state_after(how, said, all);
    double left = left_after(conf, row->evidence_at, t->ended_at);
    double odds = odds_of(row->genuine_probability) * left + odds_of(t->genuine_probability);
    write_counts(row, sum, t->ended_at);
    write_fraction(row, sum);
    open_ends(row, state);
    row->genuine_probability = probability_of(bounded(odds, ODDS_MAX));
    return state;
}

/* The test found packets, but nothing that can be tested; a sensor that does not count them yet
 * says so in words (sensor/penny/penny.c). */
static bool is_untestable(const struct event_test_ended *t)
{
    if (t->verdict != VERDICT_INCONCLUSIVE || t->droppable > 0 || t->flows > 0)
        return false;
    return t->packets > 0 ? t->data == 0 : strcmp(t->reason, "no TCP data") == 0;
}

void evidence_ended(const struct evidence_conf *conf, struct ingress_row *row,
                    const struct event_test_ended *t)
{
    enum ingress_state said = state_of(t->verdict);
    row->tests++;
    if (is_untestable(t)) {
        evidence_untestable(row, t->ended_at);
        return;
    }
    if (stands(conf, row, said, t->ended_at)) {
        if (row->state == STATE_TESTING)
            become_as_before(row);
        return;
    }
    enum meeting how = rule_for(row->state, said);
    if (how == ALONE || how == FADES || evidence_weight(conf, row, t->ended_at) < EVIDENCE_WORTH)
        write_test(row, t, said);
    else
        said = write_sum(conf, row, t, said, how);
    become(row, said, t->ended_at);
    row->last_test_at = t->ended_at;
}

/* ---- passive mode ---- */

bool evidence_passive(const struct evidence_conf *conf, struct ingress_row *row,
                      const struct event_passive_total *t)
{
    double most = odds_of(EVIDENCE_PASSIVE_MAX), said = bounded(t->likelihood_ratio, most);
    if (isnan(t->likelihood_ratio) || fabs(said) < PASSIVE_MIN || is_conclusive(row->state))
        return false;
    struct counts held = counts_at(conf, row, t->ended_at);
    double before = !row->has_evidence ? 0
                                       : odds_of(row->genuine_probability) *
                                             left_after(conf, row->evidence_at, t->ended_at);
    if (fabs(before) > most)
        return false;
    row->genuine_probability = probability_of(bounded(before + said, most));
    if (sum_of(held) >= EVIDENCE_WORTH)
        return true; /* a test's fraction and age stay as they are */
    double share = row->genuine_probability;
    struct counts weak = {PASSIVE_SUM * share, PASSIVE_SUM * (1 - share)};
    write_counts(row, weak, t->ended_at);
    write_fraction(row, weak);
    return true;
}

/* ---- time ---- */

static bool is_older(const struct evidence_conf *conf, int64_t at, int64_t now, uint64_t times)
{
    return conf->half_life_ns > 0 && now > at &&
           ((uint64_t)now - (uint64_t)at) / times >= conf->half_life_ns;
}

static bool forget_untestable(const struct evidence_conf *conf, struct ingress_row *row,
                              int64_t now)
{
    if (row->state != STATE_UNVERIFIABLE || !is_older(conf, row->untestable_at, now, STALE_TIMES))
        return false;
    become(row, row->has_evidence && row->last_test_at != 0 ? STATE_INCONCLUSIVE : STATE_UNVERIFIED,
           0);
    return true;
}

bool evidence_age(const struct evidence_conf *conf, struct ingress_row *row, int64_t now)
{
    bool is_changed = forget_untestable(conf, row, now);
    if (!row->has_evidence)
        return is_changed;
    bool is_passive = sum_of((struct counts){row->evidence_genuine, row->evidence_spoofed}) > 0 &&
                      row->evidence_genuine + row->evidence_spoofed < EVIDENCE_WORTH;
    if (is_passive ? !is_older(conf, row->evidence_at, now, STALE_TIMES)
                   : evidence_weight(conf, row, now) >= EVIDENCE_WORTH)
        return is_changed;
    forget(row);
    if (row->state == STATE_TESTING || row->state == STATE_UNVERIFIABLE)
        return true;
    if (row->untestable_at > row->last_test_at &&
        !is_older(conf, row->untestable_at, now, STALE_TIMES))
        become(row, STATE_UNVERIFIABLE, 0);
    else
        become(row, STATE_UNVERIFIED, 0);
    return true;
}

/* ---- rows that come and go ---- */

void evidence_inherit(struct ingress_row *row, const struct ingress_row *from)
{
    row->state = from->state;
    memcpy(row->testing_by, from->testing_by, sizeof row->testing_by);
    row->has_evidence = from->has_evidence;
    row->genuine_probability = from->genuine_probability;
    row->genuine_fraction = from->genuine_fraction;
    row->genuine_low = from->genuine_low;
    row->genuine_high = from->genuine_high;
    row->evidence_genuine = from->evidence_genuine;
    row->evidence_spoofed = from->evidence_spoofed;
    row->evidence_at = from->evidence_at;
    row->untestable_at = from->untestable_at;
    row->genuine_since = from->genuine_since;
    row->tests = from->tests;
    row->last_test_at = from->last_test_at;
}

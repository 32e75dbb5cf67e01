/* From resolved units to a word. Source: docs/penny.md, "The evidence" and "The rule".
 *
 * Depths. A unit of depth 0 is a segment sent for the first time, one of a block was withheld. A
 * sender that repeats much of what was kept (more than 30 %) answers drops by habit: then the
 * repeat of a withheld segment becomes a unit of depth 1, withheld by a fresh coin with probability
 * 1/2; if such repeats, too, come again unasked, theirs become units of depth 2, and so on. Each
 * depth is a trial of its own with its own control group.
 *
 * Three running evidences, all logarithms of e-values; by Ville's inequality an e-value exceeds 1/a
 * with probability at most a when its hypothesis is true, whenever one looks. Each is a mean over
 * the depths with fixed weights (.9, .07, .03), again an e-value:
 *
 * `genuine`: against "wholly open loop". A mixture of eight alternatives, over units in order of
 * resolution; exact for every open-loop sender.
 *
 * `open`: against "wholly genuine, a drop stays unanswered with probability at most m0"; where a
 * share v of its flow passes here, m = 1 - (1 - m0) v instead: the rest of the retransmissions took
 * the other path, as every other byte of the flow did. Drops in
 * order of resolution (returns resolve first, which only lowers it: no rate is below m), a mixture
 * of unanswered rates: 1 - q (the sender repeats kept segments at rate q, by what came again of all
 * of them so far; weight .5), .5 (.3) and .25 (.2). With the first one alone a
 * 50:50 mixture drifts away from its own detection (a return costs log(q/(1-m0)), about -4.5, an
 * unanswered drop brings 3).
 *
 * `half`: against "half of the drops meet senders that do not react". Drops in order of *drawing*
 * (a return resolves within a round trip, its absence after T: in order of resolution the first
 * drops known are the returned ones). A return comes with probability at most .5 + r, where r is
 * the share of kept segments that came again (see "The fraction": (1 - f) s <= k/C): it brings log
 * (.95 / (.5 + r)), 0.64 without repeats and nothing from r = .45 on; a miss log (.05 / (.5 - r)).
 * r is what was seen so far, so repeats that come late weigh late; the bound holds as far as r is
 * known. An invalid drop (RST, silence) counts as a miss here and as nothing elsewhere: who
 * withdraws from the test can spoil the word, not earn it. At depth 1 and beyond, a drop not known
 * yet counts as a miss, too: that is below the e-value in order of drawing, whatever it becomes.
 *
 * Words, with A = log(1/alpha), H = log(150):
 *   mixed    genuine >= A, at least 3 returns, open >= A
 *   genuine  genuine >= A, at least 3 returns, and one of
 *              half >= H            9 drops without a miss, 13 with one
 *              cleared >= 0.95      share of the traffic in flows of which a drop came again and
 *                                   none stayed away: one flow is decided after 4 drops;
 *                                   only where r <= .05: who repeats by habit clears himself
 *              no miss in max_drops drops, r <= .15, and half >= log 20
 *   spoofed  open >= A, genuine < A, the posterior of some genuine traffic < .5, and one of
 *              high end <= 0.1      one-sided 95 % bound of the fraction: 25 drops without a return
 *              silent >= 0.95       share of the traffic in flows with an unanswered drop
 * The draw weighs a flow by how often it may take part, not by what it sends. So neither
 * `genuine` nor `spoofed` stands while a flow with more than an eighth of the traffic was not
 * tested; `genuine` not while flows with more than 15 % of it only left drops unanswered;
 * `spoofed` not (where few repeat) while as much only came again. When the budget, the time or the
 * traffic is over: the likeliest word, see verdict_last().
 *
 * Why not at once at 4 drops: 4 of 4 come again in 6 % of 50:50 mixtures, none of 5 in 33 % of
 * 20:80 ones. The targets (docs/penny.md, "Where the targets are not met") are at most 5 (genuine)
 * or 7 (spoofed) drops, and 99 % and 98 % right in those mixtures; the outcome of a drop is the
 * only thing that tells them apart, so both cannot hold where many flows are about. Where the flows
 * are few each is tested itself and the early answer is safe. Being right was preferred: P(50:50
 * called genuine) <= 1/150 by `half` at any time, <= 1/20 at the end of the budget or by twelve
 * drops without a miss (in truth .65^12 < 1/150 up to r = .15). By cleared flows it is no running
 * bound: with half of the flows open loop each of those was cleared with probability at most 2 r <=
 * .1 per drop. P(20:80 called spoofed for want of a return) = 0.8^25 = 0.4 %, P(10:90 the same) = 7
 * %.
 *
 * The fraction. R/D = f (1 - m) + (1 - f) s and k/C = f g + (1 - f) s, where g and s are the rates
 * at which genuine and spoofing senders repeat kept segments. (R/D - k/C) / (1 - m) is
 * right for g = 0, but says 0.88 of a wholly genuine aggregate on a path with 12 % loss (g = 0.12).
 * With g = s it is (R/D - k/C) / (1 - m - k/C): 1 if all is genuine, 0 if nothing is. That is the
 * value, and scales the high end; the low end keeps the larger scale 1 - m. m = 0.003 (about the
 * most that ns-3 runs of the authors' code showed) for value and low end, m0 for the high end;
 * where a share v of the flows' bytes passes here, 1 - m is multiplied by v for value and high end.
 * The interval of R/D - k/C is Newcombe's hybrid score interval (1998, method 10) from Wilson's
 * intervals, z = 1.96, over closed blocks and each flow's first drop.
 * tests/sensor/penny/test_penny_sim.c prints how often the truth lies inside.
 * Where a deeper trial speaks, its fraction is one of the drops that came again at the depths
 * before, and is multiplied by their rates, ends by ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/wire/event.h"

#define VERDICT_ALTERNATIVES      8
#define VERDICT_OPEN_ALTERNATIVES 3
#define VERDICT_DEPTHS            3

/* One depth. */
struct trial {
    double genuine_log[VERDICT_ALTERNATIVES];
    double open_log[VERDICT_OPEN_ALTERNATIVES];
    double genuine, open;         /* ln, of this depth alone */
    uint32_t drawn, withheld;     /* units so far; of those, withheld */
    uint32_t controls, repeats;   /* kept and resolved; of those, came again */
    uint32_t returns, unanswered; /* withheld and resolved, in order of resolution */
    uint32_t invalid;             /* withheld, and nobody can tell */
};

/* All drops: of every depth. */
struct drop_counts {
    uint32_t withheld, returns, unanswered, invalid;
};

/* What became of a flow's drops in this test. */
enum told { TOLD_NOTHING, TOLD_RETURNED, TOLD_UNANSWERED, TOLD_BOTH, TOLD };

struct verdict {
    double log_threshold; /* A */
    double miss_max;
    struct trial trial[VERDICT_DEPTHS];
    struct drop_counts drops;
    double genuine, open;     /* ln, over all depths */
    double visible;           /* of drops of depth 0 with a value: sum of what passes here */
    uint32_t settled, missed; /* withheld, in order of drawing; not returned, or invalid */
    /* closed blocks: each flow's first drop, and all kept units */
    uint32_t cohort_drops, cohort_returns, cohort_kept, cohort_came;
    /* the aggregate's flows with data in this test: how many; and their droppable segments, by
     * what is told of the flow. is_partial: some flows are not known for want of room */
    uint32_t flows;
    uint64_t segments[TOLD], all_segments;
    bool is_heavy_untold; /* a flow with an eighth of them has not been tested yet */
    bool is_partial;
};

struct fraction {
    double value, low, high;
};

/* Share of a genuine sender's withheld segments that are seen again. */
struct reach {
    double least, likely, most;
};

void verdict_init(struct verdict *v, double alpha, double miss_max);

/* A unit was drawn. */
static inline void verdict_draw(struct verdict *v, unsigned depth, bool is_withheld)
{
    v->trial[depth].drawn++;
    v->trial[depth].withheld += is_withheld;
    v->drops.withheld += is_withheld;
}

/* A withheld unit is no evidence. */
static inline void verdict_invalid(struct verdict *v, unsigned depth)
{
    v->trial[depth].invalid++;
    v->drops.invalid++;
}

/* A unit resolved with a value. chance: that it is a withheld one, by what was revealed before.
 * visible: share of its flow that passes here (seq_track_visible). */
void verdict_reveal(struct verdict *v, unsigned depth, double chance, bool was_withheld,
                    bool came_again, double visible);

/* The next drop of depth 0 in order of drawing is known. */
void verdict_settle(struct verdict *v, bool returned);

/* Units of this depth come again unasked so often that their repeats must be tested, too. Looks at
 * nothing that would tell of a coin. */
bool verdict_repeats_much(const struct verdict *v, unsigned depth);

/* Wilson's interval of k successes in n at z; n = 0 gives [0, 1]. */
void wilson(double k, double n, double z, double *low, double *high);

struct fraction fraction_of(double returns, double drops, double came, double kept, double z,
                            struct reach reach);

/* VERDICT_GENUINE, _SPOOFED or _MIXED once it stands, else -1. max_drops: see above. */
int verdict_word(const struct verdict *v, uint32_t max_drops);

/* How the word came about, in words: counts of the trial that spoke (at most 95 characters). */
void verdict_reason(const struct verdict *v, char *reason, size_t room);

/* The likeliest word when no more drops will come, with a reason in words (at most 95 characters).
 * Both evidences -> mixed; open alone -> spoofed, or mixed if genuine >= log 1000 and at least 3
 * drops of the depth that speaks came again, or inconclusive if above log 100; genuine alone ->
 * genuine if half >= log 20; else inconclusive. why: "budget spent", "time is over", … */
int verdict_last(const struct verdict *v, const char *why, char *reason, size_t room);

/* Posterior that the aggregate contains genuine traffic, at prior odds 1:1. The odds are the
 * smaller of two: the e-value, which no open-loop sender can drive up; and the Bayes factor of "a
 * share of the drops is genuine, uniform in [0, 1]" against "drops come again as often as kept
 * segments do", at the depth that speaks. The second is what makes it fall when drop after drop
 * stays unanswered, of which the e-value, being conditional on what came again, learns nothing. In
 * [0, 1], never NaN; 1/2 without data. */
double verdict_probability(const struct verdict *v);

/* Fraction to report: closed cohorts plus what the caller adds from blocks whose drop is settled;
 * where flows with at least 95 % of the traffic were themselves tested, their share bounds it as
 * well. */
struct fraction verdict_fraction(const struct verdict *v, int word);

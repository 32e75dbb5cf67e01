/* Evidence: what the Penny tests say about an aggregate (prefix at one ingress), as numbers that
 * a map entry carries, summed over tests and getting old. Pure: time is an argument.
 *
 *   weight        evidence_genuine + evidence_spoofed: how many answered and unanswered drops the
 *                 entry's evidence is worth, at evidence_at; it halves every half_life
 *   probability   that some of the traffic is genuine: the tests' odds multiplied, older ones drawn
 *                 towards 1:1 as they age
 *   fraction      of the traffic that is genuine: of one test its own numbers, of several the Beta
 *                 posterior (Jeffreys' prior) of the counts, with its central 95 % interval
 *
 * How a test moves an entry is a table in evidence.c, told in docs/ingress.md. Passive mode is
 * weaker: it moves the probability within bounds, never the state. Sources: shared words of penny
 * (docs/ penny.md): returns of dropped segments less those of kept ones, corrected for misses. */
#pragma once

#include "collector/ingress/ingress.h"

struct evidence_conf {
    uint64_t half_life_ns; /* of old tests */
};

/* A test of that sensor began. The state becomes `testing` only where nothing conclusive (genuine,
 * mixed, spoofed) is known: a retest must not make the map forget. */
void evidence_started(const struct evidence_conf *conf, struct ingress_row *row, const char *sensor,
                      const struct event_test_started *t);

/* The tests of that sensor are lost: nothing says any more that they run, or that their ends will
 * come. A row that is `testing` because of that sensor says again what it said before: inconclusive
 * or unverifiable if a test said so, else unverified. True if that changed the row. */
bool evidence_lost(struct ingress_row *row, const char *sensor);

/* A test ended: writes state, probability, fraction and its interval, weight, tests, genuine_since
 * and last_test_at. A conclusive test that ended before the one that the state tells of only counts
 * in tests; so does an inconclusive one beside conclusive evidence younger than the half-life. So
 * last_test_at is the end of the newest test that the state tells of. Numbers that are no numbers,
 * or outside [0, 1], are drawn into it. */
void evidence_ended(const struct evidence_conf *conf, struct ingress_row *row,
                    const struct event_test_ended *t);

/* An active test found packets but no TCP data, so nothing that can be tested. The state becomes
 * `unverifiable`, unless something conclusive is known. Left by a test that had something to test,
 * and by age. True if that changed the row. */
bool evidence_untestable(struct ingress_row *row, int64_t at);

/* Passive mode's sums: moves the probability to EVIDENCE_PASSIVE_MAX at most, and never the state,
 * tests or genuine_since; where a test has said more than that, it moves nothing. True if that
 * changed the row. */
#define EVIDENCE_PASSIVE_MAX 0.9
bool evidence_passive(const struct evidence_conf *conf, struct ingress_row *row,
                      const struct event_passive_total *t);

/* Time passes. When what is left of the evidence weighs less than EVIDENCE_WORTH, the state goes
 * back to `unverified` and the numbers are forgotten; tests and last_test_at stay. Until then
 * nothing in the row changes: its numbers are those of evidence_at. True if that changed the row.
 */
#define EVIDENCE_WORTH 1.0
bool evidence_age(const struct evidence_conf *conf, struct ingress_row *row, int64_t now);

/* What the row's evidence is worth at that time. */
double evidence_weight(const struct evidence_conf *conf, const struct ingress_row *row,
                       int64_t now);

/* A row that is made out of a wider one at the same place (or below a tested one) begins with its
 * evidence: the test spoke for all of it. */
void evidence_inherit(struct ingress_row *row, const struct ingress_row *from);

/* Evidence: what the Penny tests say about an aggregate (prefix at one ingress), as numbers that
 * a map entry carries. Pure. Passive tests are no proof; nobody shows them to it (fold.c). */
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
 * if a test said so, else unverified. True if that changed the row. */
bool evidence_lost(struct ingress_row *row, const char *sensor);

/* A test ended: writes state, probability, fraction and its interval, tests and last_test_at. The
 * newest conclusive test wins; an inconclusive one does not overwrite a conclusive one that is
 * younger than the half-life (then only tests counts it). So last_test_at is the end of the test
 * that the state tells of. Numbers that are no numbers, or outside [0, 1], are drawn into it. */
void evidence_ended(const struct evidence_conf *conf, struct ingress_row *row,
                    const struct event_test_ended *t);

/* A new row below a tested one (same place, longer prefix) begins with its evidence. */
void evidence_inherit(struct ingress_row *row, const struct ingress_row *from);

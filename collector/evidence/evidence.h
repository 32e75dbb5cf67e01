/* Evidence: what the Penny tests say about an aggregate (prefix at one ingress), as numbers that
 * a map entry carries. Pure. */
#pragma once

#include "collector/ingress/ingress.h"

struct evidence_conf {
    uint64_t half_life_ns; /* of old tests */
};

/* A test began, or ended: writes state, probability, fraction and its interval, tests and
 * last_test_at into the row. The newest conclusive test wins; an inconclusive one does not
 * overwrite a conclusive one that is younger than the half-life. */
void evidence_started(const struct evidence_conf *conf, struct ingress_row *row,
                      const struct event_test_started *t);
void evidence_ended(const struct evidence_conf *conf, struct ingress_row *row,
                    const struct event_test_ended *t);

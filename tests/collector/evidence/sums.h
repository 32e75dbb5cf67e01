/* Penny tests of traffic whose truth is known, in outline: each drop comes again if its sender is
 * genuine and it is not missed, or if a spoofer repeats it anyway; fraction and interval as
 * docs/penny.md describes them. */
#pragma once

#include "shared/base/hash.h"
#include "shared/wire/event.h"

struct traffic {
    double genuine;  /* fraction of the segments */
    double missed;   /* of the returns of genuine ones */
    double repeated; /* of the spoofed ones, unasked */
};

struct event_test_ended a_test_of(struct prf *coin, const struct traffic *traffic, uint64_t drops,
                                  int64_t at);

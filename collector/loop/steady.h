/* The collector's time: the system's clock, but not wherever it leads.
 *
 * Evidence ages, traffic is forgotten, old months are dropped, all by the clock on the wall. A
 * clock that is wrong for five minutes (a time server gone mad, a machine started without a
 * battery, a snapshot restored) must not undo what took days to learn. So the clock on the wall is
 * measured against the steady one:
 *
 *   moved by STEADY_BOUND at most, within STEADY_TRUST   followed at once
 *   moved back by more                                   not followed: time goes on as it went
 *   moved ahead by more                                  followed, for it may really be that late
 * (the machine slept) and what comes from the sensors must not be drawn back; but while it is in
 *                                                        doubt nothing may grow old by it
 *
 * A doubt ends when the clock comes back to where it was, when it has stood where it is for
 * STEADY_TRUST, or when a person says that it is right. The same holds at the start, between the
 * clock and the latest time that the database knows. Decision 31 says why. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/clock.h"

/* What an hour more or less does to evidence that halves in a day, nobody notices. */
#define STEADY_BOUND ((int64_t)(3600 * NS_PER_S))
#define STEADY_TRUST ((uint64_t)(3600 * NS_PER_S))

/* All distances are wall - mono. */
struct steady {
    bool is_known;
    bool is_in_doubt;
    int64_t ahead;  /* in use */
    int64_t anchor; /* in use STEADY_TRUST ago, or a little less: what a move is measured from */
    int64_t good;   /* the last that was in no doubt */
    int64_t doubted;
    uint64_t anchored_at, doubted_since; /* mono */
};

/* At the first start. latest: a time that this clock showed before, or somebody's who was right; 0:
 * none is known. */
void steady_start(struct steady *s, int64_t wall, uint64_t mono, int64_t latest);

/* Looks at both clocks; the first look of a zeroed one believes them. Returns by how much the time
 * in use moved against the steady one. */
int64_t steady_look(struct steady *s, int64_t wall, uint64_t mono);

/* The clock on the wall is right: from the next look on. */
void steady_believe(struct steady *s);

/* The time in use, and the one that would be if the clock had not moved. */
int64_t steady_now(const struct steady *s, uint64_t mono);
int64_t steady_undoubted(const struct steady *s, uint64_t mono);

/* By how much the clock on the wall is off from what is believed; 0: no doubt. */
int64_t steady_doubt(const struct steady *s);
/* May things grow old by the time in use? Not when it was moved ahead and is in doubt. */
bool steady_may_age(const struct steady *s);

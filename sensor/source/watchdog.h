/* The watchdog of one queue: does its socket still give what the kernel puts in?
 *
 * Some drivers stop for good once their fill ring ran empty, and a socket may be left behind when
 * its port was reconfigured. From outside it looks the same: the XDP program hands frames over, and
 * none comes. Three counts tell, all cumulative:
 *
 *   handed   frames that the program gave to this queue's socket
 *   taken    frames that the worker got from it
 *   refused  frames that the socket turned away for what they are (too long); a new socket would,
 * too
 *
 * A queue is stalled when for a second handed grew by more than refused, and taken did not grow.
 * The worker reads its ring all the time, so a full ring is no excuse. When opening the socket anew
 * did not help, the next try waits twice as long, up to a minute.
 *
 * Pure: time is an argument. Two comparisons while frames come. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct watchdog {
    uint64_t handed, taken, refused; /* when something came last, or nothing was owed */
    uint64_t since_ns;               /* frames are owed since then; 0: none */
    unsigned tries;                  /* since something came last */
};

/* Must the socket be opened anew? Asked once per step; true is said once per stall and patience. */
bool watchdog_is_stalled(struct watchdog *w, uint64_t now_ns, uint64_t handed, uint64_t taken,
                         uint64_t refused);

/* Round-trip times of flows that are not known yet: the time from a SYN to the sender's first
 * segment after it, seen at one place, is one trip from here to the receiver and back by way of the
 * sender. A sender that does not listen can make it as it likes: it only chooses its own window,
 * which is never longer than the configured one.
 *
 * A small table without chains, keyed by the flow's hash: one entry a place, the newer one wins, so
 * a flood of SYNs costs one cache line each and no memory. An entry lost means "not known". */
#pragma once

#include <stdint.h>

#define TRIP_UNKNOWN UINT64_MAX

struct handshake {
    uint64_t hash, syn_ns, trip_ns; /* trip_ns 0: not over */
};

struct handshakes {
    struct handshake *entries;
    uint32_t mask;
};

/* 0 or -ENOMEM. About one place for each flow, a power of two. */
int handshakes_init(struct handshakes *h, uint32_t flows);
void handshakes_clear(struct handshakes *h); /* zeroed is fine */

/* A repeated SYN within 10 s does not start anew: the trip is then too long rather than too short.
 */
void handshake_syn(struct handshakes *h, uint64_t hash, uint64_t now_ns);

/* Any later segment of the same flow. */
void handshake_after(struct handshakes *h, uint64_t hash, uint64_t now_ns);

/* The trip's length, or TRIP_UNKNOWN. */
uint64_t handshake_trip(const struct handshakes *h, uint64_t hash);

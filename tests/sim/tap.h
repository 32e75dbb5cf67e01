/* The sensor of a simulated test: one engine, what it is shown, and what it says.
 *
 * Everything that the row is judged by is observed here, at the packets and at the engine's
 * events; nothing is read from inside the engine. */
#pragma once

#include "sensor/penny/penny.h"
#include "tests/sim/random.h"

#define SECOND_NS      UINT64_C(1000000000)
#define MILLISECOND_NS 1e6

#define TAP_REASON     72

/* What one test came to. */
struct outcome {
    uint8_t word;              /* VERDICT_*, or TAP_NONE */
    bool is_broken;            /* a promise that every test must keep: see tap_check */
    uint16_t drops;            /* that are resolved; the other ones were open at the end */
    uint16_t withheld;         /* all, as the sensor did it */
    uint16_t repeats_withheld; /* of those, what had come before */
    uint32_t took_ms;          /* from the first packet to the word */
    uint32_t gap_ms;           /* least between two first drops of one flow; UINT32_MAX: no two */
    float fraction, low, high;
    float truth;       /* genuine share of the new segments that passed during the test */
    float truth_drops; /* and of the first drops */
    char reason[TAP_REASON];
};
#define TAP_NONE 255

/* One flow as the sensor sees it. */
struct tap_flow {
    uint32_t number; /* gives address and port: never used twice within a test */
    uint32_t top;    /* end of the highest payload seen */
    bool has_top, is_genuine, was_dropped;
    uint64_t dropped_ns;
};

struct tap {
    struct penny *penny;
    const struct penny_conf *conf;
    bool is_v6, has_ended, has_begun;
    uint64_t begun_ns, ticked_ns;
    uint64_t fresh[2], fresh_drops[2], withheld; /* [is_genuine] */
    struct outcome *out;
};

/* The product's defaults, as docs/configuration.md has them, with one prefix of each family. */
void tap_conf(struct penny_conf *conf);

void tap_open(struct tap *t, const struct penny_conf *conf, bool is_v6, uint64_t seed,
              struct outcome *out);
void tap_close(struct tap *t, uint64_t now_ns); /* ends the test if it still runs */

/* True: withheld. Times must not go back. */
bool tap_packet(struct tap *t, struct tap_flow *f, uint32_t seq, uint32_t len, uint8_t flags,
                uint64_t now_ns);

/* Ticks that are due before this time. */
void tap_advance(struct tap *t, uint64_t now_ns);

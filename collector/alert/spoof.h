/* How much proven-spoofed traffic each link delivers: accounts of entries whose state is spoofed,
 * by link. Bounded, pure. Weights decay as the map's do, also while nothing comes. Not for others.
 */
#pragma once

#include <stdint.h>

#include "collector/ingress/ingress.h"

#define SPOOF_ENTRIES 16384
#define SPOOF_LINKS   1024
#define SPOOF_TOP     8

struct spoof_link {
    char pop[32];
    struct ingress at;
    double bytes; /* decayed; of the last spoof_sum() */
    double rate;  /* the same per second, as if it came evenly */
    uint32_t prefixes;
    int64_t last_seen;
    uint32_t top_count;
    struct {
        struct prefix prefix;
        double bytes;
    } top[SPOOF_TOP]; /* the largest, largest first */
};

struct spoof;

struct spoof *spoof_new(uint64_t seed); /* NULL: no memory */
void spoof_free(struct spoof *s);

/* A row changed, or is gone. 0, or ERR_FULL when it is spoofed and there is no room for it. */
int spoof_note(struct spoof *s, const struct ingress_row *row);

/* Sums up at now, for every link that ever had an entry. */
void spoof_sum(struct spoof *s, uint64_t half_life_ns, int64_t now);
const struct spoof_link *spoof_links(const struct spoof *s, uint32_t *count);

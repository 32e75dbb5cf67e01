/* The simulator's own dice: xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. Not the
 * engine's generator: senders and engine must share nothing but the packets. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t s[4];
};

static inline uint64_t dice_mix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline struct dice dice_init(uint64_t seed)
{
    struct dice d;
    for (unsigned i = 0; i < 4; i++)
        d.s[i] = dice_mix(&seed);
    return d;
}

static inline uint64_t dice_turn(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline uint64_t dice_next(struct dice *d)
{
    uint64_t result = dice_turn(d->s[1] * 5, 7) * 9, t = d->s[1] << 17;
    d->s[2] ^= d->s[0];
    d->s[3] ^= d->s[1];
    d->s[1] ^= d->s[2];
    d->s[0] ^= d->s[3];
    d->s[2] ^= t;
    d->s[3] = dice_turn(d->s[3], 45);
    return result;
}

/* In [0, 1). */
static inline double dice_unit(struct dice *d)
{
    return (double)(dice_next(d) >> 11) * 0x1p-53;
}

/* True with this probability. */
static inline bool dice_hits(struct dice *d, double probability)
{
    return probability > 0 && dice_unit(d) < probability;
}

static inline double dice_between(struct dice *d, double low, double high)
{
    return low + (high - low) * dice_unit(d);
}

/* Exponential with this mean. */
static inline double dice_wait(struct dice *d, double mean)
{
    return -mean * log(1 - dice_unit(d));
}

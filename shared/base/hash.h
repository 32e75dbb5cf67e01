/* Hashing and random numbers for the cores.
 *
 * Everything here is keyed. Who sends us packets chooses their addresses and ports, so a table
 * indexed by an unkeyed hash could be driven into one bucket; and who could predict our coin
 * could pass the Penny test. hash_words() is a multiply-fold mixer (the construction of wyhash,
 * W. Yi, 2019), fast and good enough for tables. prf_* is SipHash-2-4 (Aumasson and Bernstein,
 * 2012) over a counter: a pseudo-random function, for draws that a sender must not predict. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hash_key {
    uint64_t k0, k1;
};

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Hash of n 64-bit words. */
static inline uint64_t hash_words(struct hash_key key, const uint64_t *words, size_t n)
{
    uint64_t h = key.k0 ^ (n * UINT64_C(0x9e3779b97f4a7c15));
    for (size_t i = 0; i < n; i++)
        h = hash_fold(h ^ words[i] ^ UINT64_C(0xa0761d6478bd642f),
                      key.k1 ^ UINT64_C(0xe7037ed1a0b428db));
    return hash_fold(h ^ key.k1, UINT64_C(0x8ebc6af09c88c6e3));
}

/* A stream of unpredictable numbers: SipHash-2-4 of 0, 1, 2, … under the key. */
struct prf {
    struct hash_key key;
    uint64_t counter;
};

static inline struct prf prf_init(uint64_t seed, uint64_t stream)
{
    return (struct prf){.key = {seed, stream ^ UINT64_C(0x736565642d6b6579)}};
}

static inline uint64_t prf_rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* Hash of five words, in lanes that do not wait for each other: 5 instead of 9 ns a packet
 * (docs/benchmarks.md). Every factor of a product holds a secret, so nobody can make one zero. */
struct hash_lanes {
    uint64_t k[6];
};

static inline struct hash_lanes hash_lanes_of(struct hash_key key)
{
    struct hash_lanes lanes;
    for (uint64_t i = 0; i < 6; i++)
        lanes.k[i] = hash_words(key, &i, 1);
    return lanes;
}

static inline uint64_t hash_five(const struct hash_lanes *lanes, const uint64_t w[static 5])
{
    const uint64_t *k = lanes->k;
    uint64_t a = hash_fold(w[0] ^ k[0], w[1] ^ k[1]), b = hash_fold(w[2] ^ k[2], w[3] ^ k[3]);
    uint64_t h = hash_fold(a ^ prf_rotate(b, 32) ^ k[4], w[4] ^ k[5]);
    return hash_fold(h ^ k[0], UINT64_C(0x8ebc6af09c88c6e3)); /* low bits that know all others */
}

#define PRF_ROUND(v)                                                                   \
    do {                                                                               \
        v[0] += v[1], v[1] = prf_rotate(v[1], 13) ^ v[0], v[0] = prf_rotate(v[0], 32); \
        v[2] += v[3], v[3] = prf_rotate(v[3], 16) ^ v[2];                              \
        v[0] += v[3], v[3] = prf_rotate(v[3], 21) ^ v[0];                              \
        v[2] += v[1], v[1] = prf_rotate(v[1], 17) ^ v[2], v[2] = prf_rotate(v[2], 32); \
    } while (0)

/* SipHash-2-4 of one 64-bit word. */
static inline uint64_t prf_word(struct hash_key key, uint64_t word)
{
    uint64_t v[4] = {key.k0 ^ UINT64_C(0x736f6d6570736575), key.k1 ^ UINT64_C(0x646f72616e646f6d),
                     key.k0 ^ UINT64_C(0x6c7967656e657261), key.k1 ^ UINT64_C(0x7465646279746573)};
    v[3] ^= word;
    PRF_ROUND(v);
    PRF_ROUND(v);
    v[0] ^= word;
    uint64_t last = UINT64_C(8) << 56;
    v[3] ^= last;
    PRF_ROUND(v);
    PRF_ROUND(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    PRF_ROUND(v);
    PRF_ROUND(v);
    PRF_ROUND(v);
    PRF_ROUND(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t prf_next(struct prf *prf)
{
    return prf_word(prf->key, prf->counter++);
}

/* Uniform in [0, n), n > 0, without modulo bias worth naming (Lemire's multiply-shift: bias
 * below n / 2^64). */
static inline uint64_t prf_below(struct prf *prf, uint64_t n)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)prf_next(prf) * n) >> 64);
}

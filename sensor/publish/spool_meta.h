/* What a spool knows of itself: the value of key 0. Between spool.c and spool_look.c. */
#pragma once

#include <assert.h>
#include <endian.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/hash.h"

#define SPOOL_FORMAT 1

struct spool_meta {
    uint32_t format;
    uint32_t why;      /* bit per class that was given up since there was last no hole; DAMAGED */
    uint64_t epoch;    /* wall ns */
    uint64_t base;     /* position - base = number on the wire */
    uint64_t next;     /* position after the last that was ever committed */
    uint64_t acked;    /* last position that needs no sending */
    uint64_t unsent;   /* none from here on was ever sent; if is_alone: by a copy of this spool */
    uint64_t is_alone; /* 1: it has not met the collector since it was opened at `unsent` */
    char sensor[64];
    uint64_t check;
};

static_assert(sizeof(struct spool_meta) == 128, "as it stands on disks");

static inline uint64_t spool_meta_check(const struct spool_meta *m)
{
    uint64_t words[offsetof(struct spool_meta, check) / 8];
    memcpy(words, m, sizeof words);
    return hash_words((struct hash_key){0}, words, sizeof words / 8);
}

/* Keys are big-endian, so that LMDB's order of bytes is the order of numbers. */
struct spool_key {
    uint64_t big;
};

static inline struct spool_key spool_key(uint64_t position)
{
    return (struct spool_key){htobe64(position)};
}

static inline MDB_val spool_key_val(struct spool_key *k)
{
    return (MDB_val){.mv_size = sizeof k->big, .mv_data = &k->big};
}

/* False: this is no key of ours. */
static inline bool spool_key_read(const MDB_val *v, uint64_t *position)
{
    uint64_t big;
    if (v->mv_size != sizeof big)
        return false;
    memcpy(&big, v->mv_data, sizeof big);
    *position = be64toh(big);
    return true;
}

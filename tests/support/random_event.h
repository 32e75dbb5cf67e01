/* Random events of every kind, made from the same rows as the codec, so that a new field is tested
 * the day it is added. Events are clean: they survive the wire unchanged. */
#pragma once

#include <math.h>
#include <string.h>

#include "shared/base/hash.h"
#include "shared/wire/event.h"
#include "shared/wire/fields.h"

static inline uint64_t random_number(struct prf *prf)
{
    /* of every length, the ends included */
    return (prf_next(prf) >> 1) >> prf_below(prf, 64);
}

static inline void random_text(struct prf *prf, char *out, size_t limit)
{
    static const char *const parts[] = {"a",  "Z",  "0", " ", "\"",
                                        "\\", "\n", "é", "€", "\U0001F300"};
    size_t used = 0, want = prf_below(prf, limit);
    memset(out, 0, limit);
    for (;;) {
        const char *part = parts[prf_below(prf, sizeof parts / sizeof parts[0])];
        if (used + strlen(part) > want)
            return;
        memcpy(out + used, part, strlen(part));
        used += strlen(part);
    }
}

static inline struct addr random_addr(struct prf *prf)
{
    uint64_t words[2] = {prf_next(prf), prf_next(prf)};
    return prf_below(prf, 2) ? addr_v4(words) : addr_v6(words);
}

static inline double random_real(struct prf *prf)
{
    return ((double)prf_next(prf) - 9e18) / (double)(1 + (prf_next(prf) >> prf_below(prf, 64)));
}

static inline void random_bytes(struct prf *prf, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)prf_next(prf);
}

static inline void random_field(struct prf *prf, const struct field *f, void *value)
{
    bool none = prf_below(prf, 4) == 0;
    struct addr a = random_addr(prf);
    switch (f->type) {
    case FIELD_U64:
    case FIELD_OPT:
        *(uint64_t *)value = none ? 0 : random_number(prf);
        break;
    case FIELD_SPAN:
        *(uint64_t *)value = none ? SPAN_NONE : random_number(prf);
        break;
    case FIELD_TIME:
        *(int64_t *)value = none ? 0 : (int64_t)prf_next(prf);
        break;
    case FIELD_REAL:
        *(double *)value = random_real(prf);
        break;
    case FIELD_TEXT:
        random_text(prf, value, f->limit);
        break;
    case FIELD_ADDR:
        if (!none)
            *(struct addr *)value = a;
        break;
    case FIELD_PREFIX:
        if (!none)
            *(struct prefix *)value =
                prefix_of(&a, (unsigned)prf_below(prf, addr_bits(a.family) + 1));
        break;
    case FIELD_MAC:
        if (!none)
            random_bytes(prf, value, 6);
        break;
    case FIELD_UUID:
        random_bytes(prf, value, 16);
        break;
    case FIELD_BOOL:
        *(bool *)value = prf_below(prf, 2) == 1;
        break;
    case FIELD_WORD: {
        unsigned words = 0;
        while (event_word(f->list, words) != NULL)
            words++;
        *(uint8_t *)value = (uint8_t)prf_below(prf, words);
        break;
    }
    case FIELD_REALS: {
        struct reals *r = value;
        r->count = (uint32_t)prf_below(prf, f->limit + 1);
        for (uint32_t i = 0; i < r->count; i++)
            r->value[i] = random_real(prf);
        break;
    }
    }
}

static inline void random_event(struct prf *prf, const struct event_kind *kind, struct event *e)
{
    memset(e, 0, sizeof *e);
    e->type = (uint8_t)kind->number;
    e->at = (int64_t)prf_next(prf);
    for (size_t i = 0; i < kind->count; i++)
        random_field(prf, &kind->fields[i], (char *)e + kind->fields[i].offset);
}

/* The event whose encoding is longest. */
static inline void longest_event(const struct event_kind *kind, struct event *e)
{
    memset(e, 0, sizeof *e);
    e->type = (uint8_t)kind->number;
    e->at = INT64_MAX;
    for (size_t i = 0; i < kind->count; i++) {
        const struct field *f = &kind->fields[i];
        char *value = (char *)e + f->offset;
        if (f->type == FIELD_TEXT)
            memset(value, 'x', f->limit - 1);
        else if (f->type == FIELD_TIME)
            *(int64_t *)(void *)value = INT64_MIN;
        else if (f->type == FIELD_U64 || f->type == FIELD_OPT || f->type == FIELD_SPAN)
            *(uint64_t *)(void *)value = INT64_MAX;
        else if (f->type == FIELD_REALS)
            ((struct reals *)(void *)value)->count = (uint32_t)f->limit;
        else if (f->type == FIELD_ADDR || f->type == FIELD_PREFIX)
            ((struct addr *)(void *)value)->family = ADDR_V6;
        else if (f->type == FIELD_MAC)
            memset(value, 1, 6);
    }
}

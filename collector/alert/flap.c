/* How often a matter ended lately. Of those that share a few places of the table the one that ended
 * longest ago is forgotten: then it may be told once more than it should. */
#include "collector/alert/book.h"

#define FLAP_PLACES 8

static uint64_t key_of(const struct alert *a, const char *matter)
{
    uint64_t words[4];
    memcpy(words, matter, sizeof words);
    return hash_words(a->key, words, 4) | 1;
}

static int64_t newest(const struct flap *f)
{
    return f->count == 0 ? INT64_MIN : f->ends[(f->count - 1) % FLAPS_KEPT];
}

/* Its place, or else the one to be given up. */
static struct flap *place_of(const struct alert *a, uint64_t matter)
{
    struct flap *oldest = NULL;
    for (uint32_t i = 0; i < FLAP_PLACES; i++) {
        struct flap *f = &a->flaps[((uint32_t)(matter >> 32) + i) & a->mask];
        if (f->matter == matter)
            return f;
        if (oldest == NULL || newest(f) < newest(oldest))
            oldest = f;
    }
    return oldest;
}

static uint32_t within(const struct alert *a, const struct flap *f, int64_t now)
{
    uint32_t kept = f->count < FLAPS_KEPT ? f->count : FLAPS_KEPT, n = 0;
    for (uint32_t i = 0; i < kept; i++)
        n += f->ends[i] <= now && (uint64_t)now - (uint64_t)f->ends[i] <= a->conf.flap_window_ns;
    return n;
}

uint32_t flap_count(const struct alert *a, const char *name, int64_t now)
{
    uint64_t matter = key_of(a, name);
    const struct flap *f = place_of(a, matter);
    return f->matter == matter ? within(a, f, now) : 0;
}

uint32_t flap_note(struct alert *a, const char *name, int64_t at)
{
    uint64_t matter = key_of(a, name);
    struct flap *f = place_of(a, matter);
    if (f->matter != matter)
        *f = (struct flap){.matter = matter};
    f->ends[f->count++ % FLAPS_KEPT] = at;
    return within(a, f, at);
}

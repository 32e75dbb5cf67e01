#include "collector/alert/spoof.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"

#define NONE UINT32_MAX

struct account {
    struct prefix prefix;
    uint32_t link; /* index */
    double bytes;  /* at `at` */
    int64_t at, last_seen;
    uint32_t next; /* in its bucket, or among the free */
    bool is_used;
};

struct spoof {
    struct hash_key key;
    struct account *accounts; /* SPOOF_ENTRIES */
    uint32_t first_free, used;
    uint32_t buckets[SPOOF_ENTRIES];
    struct spoof_link links[SPOOF_LINKS];
    uint32_t link_count;
};

struct spoof *spoof_new(uint64_t seed)
{
    struct spoof *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->accounts = calloc(SPOOF_ENTRIES, sizeof *s->accounts);
    if (s->accounts == NULL) {
        free(s);
        return NULL;
    }
    struct prf prf = prf_init(seed, 5);
    s->key = (struct hash_key){prf_next(&prf), prf_next(&prf)};
    memset(s->buckets, 0xff, sizeof s->buckets);
    for (uint32_t i = 0; i < SPOOF_ENTRIES; i++)
        s->accounts[i].next = i + 1 < SPOOF_ENTRIES ? i + 1 : NONE;
    return s;
}

void spoof_free(struct spoof *s)
{
    if (s == NULL)
        return;
    free(s->accounts);
    free(s);
}

/* Few, so one after the other. */
static uint32_t link_of(struct spoof *s, const struct ingress_row *row, bool make)
{
    for (uint32_t i = 0; i < s->link_count; i++)
        if (ingress_equal(&s->links[i].at, &row->at) && strcmp(s->links[i].pop, row->pop) == 0)
            return i;
    if (!make || s->link_count == SPOOF_LINKS)
        return NONE;
    struct spoof_link *l = &s->links[s->link_count];
    *l = (struct spoof_link){.at = row->at};
    memcpy(l->pop, row->pop, sizeof l->pop);
    return s->link_count++;
}

static uint32_t *bucket_of(struct spoof *s, const struct prefix *p, uint32_t link)
{
    uint64_t words[4] = {0};
    memcpy(words, p->addr.bytes, sizeof p->addr.bytes);
    words[2] = (uint64_t)p->addr.family << 8 | p->length;
    words[3] = link;
    return &s->buckets[hash_words(s->key, words, 4) % SPOOF_ENTRIES];
}

/* The link that leads to the account, or to NONE. */
static uint32_t *place_of(struct spoof *s, const struct prefix *p, uint32_t link)
{
    uint32_t *at = bucket_of(s, p, link);
    while (*at != NONE &&
           (s->accounts[*at].link != link || !prefix_equal(&s->accounts[*at].prefix, p)))
        at = &s->accounts[*at].next;
    return at;
}

static void forget(struct spoof *s, uint32_t *place)
{
    uint32_t i = *place;
    *place = s->accounts[i].next;
    s->accounts[i] = (struct account){.next = s->first_free};
    s->first_free = i;
    s->used--;
}

static void write_account(struct account *c, const struct ingress_row *row)
{
    double spoofed = 1 - row->genuine_fraction;
    c->bytes = row->weight * (spoofed >= 0 && spoofed <= 1 ? spoofed : 1);
    c->at = row->weight_at;
    c->last_seen = row->last_seen;
}

int spoof_note(struct spoof *s, const struct ingress_row *row)
{
    bool is_spoofed = row->state == STATE_SPOOFED && !row->is_gone;
    if (!is_spoofed && s->used == 0)
        return 0; /* by far the most common */
    uint32_t link = link_of(s, row, is_spoofed);
    if (link == NONE)
        return is_spoofed ? ERR_FULL : 0;
    uint32_t *place = place_of(s, &row->prefix, link), i = *place;
    if (i != NONE && is_spoofed)
        write_account(&s->accounts[i], row);
    else if (i != NONE && row->state != STATE_TESTING)
        forget(s, place);
    if (i != NONE || !is_spoofed)
        return 0;
    if (s->first_free == NONE)
        return ERR_FULL;
    i = s->first_free;
    s->first_free = s->accounts[i].next;
    uint32_t *bucket = bucket_of(s, &row->prefix, link);
    s->accounts[i] =
        (struct account){.prefix = row->prefix, .link = link, .next = *bucket, .is_used = true};
    *bucket = i;
    s->used++;
    write_account(&s->accounts[i], row);
    return 0;
}

static void rank(struct spoof_link *l, const struct prefix *prefix, double bytes)
{
    uint32_t i = l->top_count < SPOOF_TOP ? l->top_count++ : SPOOF_TOP;
    if (i == SPOOF_TOP && bytes <= l->top[SPOOF_TOP - 1].bytes)
        return;
    if (i == SPOOF_TOP)
        i--;
    for (; i > 0 && l->top[i - 1].bytes < bytes; i--)
        l->top[i] = l->top[i - 1];
    l->top[i].prefix = *prefix;
    l->top[i].bytes = bytes;
}

static double decayed(const struct account *c, uint64_t half_life_ns, int64_t now)
{
    if (half_life_ns == 0 || now <= c->at)
        return c->bytes;
    return c->bytes * exp2(-(double)((uint64_t)now - (uint64_t)c->at) / (double)half_life_ns);
}

void spoof_sum(struct spoof *s, uint64_t half_life_ns, int64_t now)
{
    for (uint32_t i = 0; i < s->link_count; i++) {
        s->links[i].bytes = 0;
        s->links[i].prefixes = s->links[i].top_count = 0;
    }
    for (uint32_t i = 0; s->used > 0 && i < SPOOF_ENTRIES; i++) {
        const struct account *c = &s->accounts[i];
        if (!c->is_used)
            continue;
        struct spoof_link *l = &s->links[c->link];
        double bytes = decayed(c, half_life_ns, now);
        l->bytes += bytes;
        l->prefixes++;
        if (c->last_seen > l->last_seen)
            l->last_seen = c->last_seen;
        rank(l, &c->prefix, bytes);
    }
    /* What comes evenly with a rate r weighs r * half_life / ln 2 in the long run. */
    double span = half_life_ns == 0 ? 3600 : (double)half_life_ns / 1e9 / log(2);
    for (uint32_t i = 0; i < s->link_count; i++)
        s->links[i].rate = s->links[i].bytes / span;
}

const struct spoof_link *spoof_links(const struct spoof *s, uint32_t *count)
{
    *count = s->link_count;
    return s->links;
}

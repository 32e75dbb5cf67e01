/* Candidates: what traffic shows and no verdict covers. A table of buckets, in each of which the
 * least of eight makes room: what matters most stays, and memory does not grow. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

/* A candidate that no tally told of for so long has no traffic: six intervals of a usual sensor,
 * and three of one that tallies more rarely. */
#define LITTLE                                                                        \
    10 /* of min_rate a tenth is too little to be remembered even for people's orders \
        */
#define FADES \
    .95 /* per tally: so that another leaf, or silence, may take the busiest one's place */
#define FRESH_NS (60 * (int64_t)NS_PER_S)

/* How much more the unexpected matters than what nobody spoke of, and that than the expected. */
static double score(const struct candidate *c)
{
    static const double weight[] = {
        [EXPECTED_UNKNOWN] = 10, [EXPECTED_NO] = 1000, [EXPECTED_YES] = 1};
    return c->is_wanted ? c->rate * weight[c->expected] : c->rate * 1e-9;
}

/* FNV-1a: the table is small, and bounds its work whatever falls where. */
static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

static uint64_t place_of(const struct ingress *at)
{
    uint64_t h = hash_bytes(UINT64_C(14695981039346656037), at->router, strlen(at->router));
    h = hash_bytes(h, at->interface, strlen(at->interface));
    h = hash_bytes(h, &at->vlan, sizeof at->vlan);
    return hash_bytes(h, at->mac, sizeof at->mac);
}

static bool is_same(const struct candidate *a, const struct candidate *b)
{
    return prefix_equal(&a->prefix, &b->prefix) && a->place == b->place &&
           strcmp(a->sensor, b->sensor) == 0;
}

static bool is_fresh(const struct candidate *c, int64_t now)
{
    return c->seen_at != 0 && now < c->fresh_until;
}

static struct candidate *slot_of(struct orders *o, const struct candidate *of, int64_t now)
{
    uint64_t hash = hash_bytes(of->place, &of->prefix, sizeof of->prefix);
    hash = hash_bytes(hash, of->sensor, strlen(of->sensor));
    struct candidate *bucket = o->candidates[hash % CANDIDATE_BUCKETS], *least = &bucket[0];
    for (unsigned i = 0; i < CANDIDATE_WAYS; i++) {
        struct candidate *c = &bucket[i];
        if (is_same(c, of))
            return c;
        if (!is_fresh(c, now))
            c->rate = c->is_wanted = 0;
        if (score(c) < score(least))
            least = c;
    }
    return least;
}

/* Is a test wanted there? `testing` is under way; what has no TCP data is tried again in time. */
static bool is_wanted(const struct order_conf *conf, const struct ingress_row *row, int64_t now)
{
    bool rests =
        row->untestable_at != 0 && now - row->untestable_at < (int64_t)conf->unverifiable_ns;
    switch (row->state) {
    case STATE_UNVERIFIED:
    case STATE_INCONCLUSIVE:
    case STATE_UNVERIFIABLE:
        return !rests;
    default:
        return false;
    }
}

/* A clock may say anything: nothing overflows. */
static double span_of(const struct event_tally *t)
{
    return (double)t->ended_at - (double)t->started_at;
}

static int64_t fresh_for(const struct event_tally *t)
{
    double span = span_of(t);
    return 3 * span > FRESH_NS && span < DAY_NS ? (int64_t)(3 * span) : FRESH_NS;
}

void candidate_add(struct orders *o, const char *sensor, const struct ingress_row *row,
                   const struct event_tally *t, int64_t now)
{
    double span = span_of(t) / (double)NS_PER_S;
    struct candidate new = {.prefix = row->prefix,
                            .leaf = t->prefix,
                            .rate = (double)t->packets / (span > 0.1 ? span : 0.1),
                            .expected = row->expected,
                            .seen_at = now,
                            .fresh_until = now + fresh_for(t)};
    if (new.rate < o->conf->min_rate / LITTLE)
        return;
    new.is_wanted = new.rate >= o->conf->min_rate &&is_wanted(o->conf, row, now);
    new.leaf_rate = new.rate;
    new.place = place_of(&row->at);
    snprintf(new.sensor, sizeof new.sensor, "%s", sensor);
    memcpy(new.pop, row->pop, sizeof new.pop);
    struct candidate *c = slot_of(o, &new, now);
    bool is_known = is_same(c, &new) && is_fresh(c, now);
    new.rests_until = is_known ? c->rests_until : 0;
    if (!is_known && is_fresh(c, now) && score(&new) <= score(c))
        return;
    if (is_known && c->leaf_rate > new.rate) { /* a busier leaf of the same row */
        new.leaf = c->leaf;
        new.leaf_rate = c->leaf_rate *FADES;
        new.rate = c->rate > new.rate ? c->rate *FADES : new.rate;
    }
    new.by_prefix = c->by_prefix;
    *c = new;
    struct tree_key key = tree_prefix_key(0, &c->prefix, (unsigned)(c - o->candidates[0]));
    if (!c->by_prefix.is_in || memcmp(&c->by_prefix.key, &key, sizeof key) != 0)
        tree_put(&o->candidates_by_prefix, &c->by_prefix, &key);
}

void candidates_moved(struct orders *o, int64_t by)
{
    for (unsigned i = 0; i < CANDIDATE_BUCKETS * CANDIDATE_WAYS; i++) {
        struct candidate *c = &o->candidates[i / CANDIDATE_WAYS][i % CANDIDATE_WAYS];
        if (c->seen_at == 0)
            continue;
        c->seen_at += by;
        c->fresh_until += by;
        c->rests_until += by;
    }
}

struct prefix candidate_prefix(struct orders *o, const struct candidate *c)
{
    unsigned least = c->prefix.addr.family == ADDR_V4 ? o->conf->min_v4 : o->conf->min_v6;
    return c->prefix.length >= least && orders_never(o, &c->prefix) == NULL ? c->prefix : c->leaf;
}

unsigned candidates_best(struct orders *o, struct candidate **out, unsigned max, int64_t now)
{
    unsigned n = 0;
    for (unsigned b = 0; b < CANDIDATE_BUCKETS; b++)
        for (unsigned w = 0; w < CANDIDATE_WAYS; w++) {
            struct candidate *c = &o->candidates[b][w];
            if (!is_fresh(c, now) || !c->is_wanted || now < c->rests_until)
                continue;
            unsigned at = n < max ? n : max - 1;
            if (n >= max && score(c) <= score(out[at]))
                continue;
            for (; at > 0 && score(out[at - 1]) < score(c); at--)
                out[at] = out[at - 1];
            out[at] = c;
            n += n < max;
        }
    return n;
}

const struct candidate *candidate_of(struct orders *o, const struct prefix *p, const char *pop,
                                     int64_t now)
{
    struct tree_overlap over = tree_overlapping(&o->candidates_by_prefix, 0, p);
    const struct candidate *best = NULL;
    int64_t at;
    while ((at = tree_overlap_next(&over)) >= 0) {
        const struct candidate *c = &o->candidates[at / CANDIDATE_WAYS][at % CANDIDATE_WAYS];
        if (is_fresh(c, now) && (pop[0] == '\0' || strcmp(c->pop, pop) == 0) &&
            (best == NULL || c->rate > best->rate))
            best = c;
    }
    return best;
}

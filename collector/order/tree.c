#include "collector/order/tree.h"

/* ---- the treap ---- */

static bool is_below(const struct tree_key *a, const struct tree_key *b)
{
    for (unsigned i = 0; i < 3; i++)
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i];
    return a->word[3] < b->word[3];
}

/* xorshift32 (Marsaglia, 2003) */
static uint32_t draw(struct tree *t)
{
    uint32_t x = t->drawn != 0 ? t->drawn : UINT32_C(2463534242);
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return t->drawn = x;
}

static void split(struct tree *t, struct tree_node *n, const struct tree_key *key,
                  struct tree_node *out[static 2])
{
    struct tree_node **end[2] = {&out[0], &out[1]};
    for (; n != NULL; t->steps++) {
        unsigned is_high = !is_below(&n->key, key);
        *end[is_high] = n;
        end[is_high] = &n->side[!is_high];
        n = n->side[!is_high];
    }
    *end[0] = *end[1] = NULL;
}

static void join(struct tree *t, struct tree_node **at, struct tree_node *low,
                 struct tree_node *high)
{
    for (; low != NULL && high != NULL; t->steps++) {
        unsigned is_low = low->weight > high->weight;
        struct tree_node **from = is_low ? &low : &high;
        *at = *from;
        at = &(*from)->side[is_low];
        *from = *at;
    }
    *at = low != NULL ? low : high;
}

void tree_out(struct tree *t, struct tree_node *n)
{
    if (!n->is_in)
        return;
    struct tree_node **at = &t->root;
    for (; *at != n; t->steps++)
        at = &(*at)->side[is_below(&(*at)->key, &n->key)];
    join(t, at, n->side[0], n->side[1]);
    n->is_in = false;
    t->count--;
}

void tree_put(struct tree *t, struct tree_node *n, const struct tree_key *key)
{
    tree_out(t, n);
    *n = (struct tree_node){.key = *key, .weight = draw(t), .is_in = true};
    struct tree_node **at = &t->root;
    for (; *at != NULL && (*at)->weight >= n->weight; t->steps++)
        at = &(*at)->side[is_below(&(*at)->key, key)];
    split(t, *at, key, n->side);
    *at = n;
    t->count++;
}

const struct tree_node *tree_from(struct tree *t, const struct tree_key *key)
{
    const struct tree_node *found = NULL;
    for (const struct tree_node *n = t->root; n != NULL; t->steps++) {
        bool is_before = is_below(&n->key, key);
        found = is_before ? found : n;
        n = n->side[is_before];
    }
    return found;
}

const struct tree_node *tree_upto(struct tree *t, const struct tree_key *key)
{
    const struct tree_node *found = NULL;
    for (const struct tree_node *n = t->root; n != NULL; t->steps++) {
        bool is_after = is_below(key, &n->key);
        found = is_after ? found : n;
        n = n->side[!is_after];
    }
    return found;
}

static struct tree_key above(const struct tree_key *key)
{
    struct tree_key next = *key;
    for (unsigned i = 4; i-- > 0 && ++next.word[i] == 0;) {
    }
    return next;
}

const struct tree_node *tree_after(struct tree *t, const struct tree_node *n)
{
    struct tree_key next = above(&n->key);
    return tree_from(t, &next);
}

/* ---- prefixes ----
 *
 * In order of family, first address and length a prefix stands before all that it covers, and they
 * stand together. So what p covers is one run. What covers p stands before it, and whatever stands
 * between the two is covered by the wider one: so we go back from p, and where we meet a prefix
 * that does not cover p, all that may still come is no longer than what the two have in common. */

#define LENGTH_SHIFT 32

static uint64_t word_of(const uint8_t *bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word = word << 8 | bytes[i];
    return word;
}

struct tree_key tree_prefix_key(uint64_t group, const struct prefix *p, unsigned number)
{
    return (struct tree_key){{group << 8 | p->addr.family, word_of(p->addr.bytes),
                              word_of(p->addr.bytes + 8),
                              (uint64_t)p->length << LENGTH_SHIFT | number}};
}

static unsigned length_of(const struct tree_key *key)
{
    return (unsigned)(key->word[3] >> LENGTH_SHIFT);
}

/* Leading bits that two keys' addresses have in common. */
static unsigned in_common(const struct tree_key *a, const struct tree_key *b)
{
    uint64_t high = a->word[1] ^ b->word[1], low = a->word[2] ^ b->word[2];
    if (high != 0)
        return (unsigned)__builtin_clzll(high);
    return low != 0 ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

struct tree_overlap tree_overlapping(struct tree *t, uint64_t group, const struct prefix *p)
{
    struct tree_overlap o = {.tree = t, .prefix = *p, .group = group};
    o.at = tree_prefix_key(group, p, 0); /* what covers p stands before that */
    o.is_wider_done = p->length == 0;
    if (!o.is_wider_done)
        o.at.word[3]--;
    return o;
}

/* The next that is wider than p; from at on backwards. */
static int64_t next_wider(struct tree_overlap *o)
{
    struct tree_key p = tree_prefix_key(o->group, &o->prefix, 0);
    const struct tree_node *n;
    while ((n = tree_upto(o->tree, &o->at)) != NULL && n->key.word[0] == p.word[0]) {
        unsigned common = in_common(&n->key, &p);
        if (length_of(&n->key) <= common) {
            o->at = n->key;
            for (unsigned i = 4; i-- > 0 && o->at.word[i]-- == 0;) {
            }
            return tree_number(n);
        }
        struct prefix wider = prefix_of(&o->prefix.addr, common);
        o->at = tree_prefix_key(o->group, &wider, UINT32_MAX);
    }
    return -1;
}

/* The next that p covers; from at on. */
static int64_t next_covered(struct tree_overlap *o)
{
    struct tree_key p = tree_prefix_key(o->group, &o->prefix, 0);
    const struct tree_node *n = tree_from(o->tree, &o->at);
    if (n == NULL || n->key.word[0] != p.word[0] || in_common(&n->key, &p) < o->prefix.length)
        return -1;
    o->at = above(&n->key);
    return tree_number(n);
}

int64_t tree_overlap_next(struct tree_overlap *o)
{
    int64_t found = o->is_wider_done ? -1 : next_wider(o);
    if (found >= 0)
        return found;
    if (!o->is_wider_done) {
        o->is_wider_done = true;
        o->at = tree_prefix_key(o->group, &o->prefix, 0);
    }
    if (!o->is_done)
        found = next_covered(o);
    o->is_done = found < 0;
    return found;
}

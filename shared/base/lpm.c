#include "shared/base/lpm.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct lpm_node empty = {.value = LPM_NONE};

static uint32_t root_of(uint8_t family)
{
    return family == ADDR_V4 ? 0 : 1;
}

struct key {
    uint64_t high, low; /* the first bit highest */
    unsigned length;
};

static inline struct key key_of(const struct addr *a, unsigned length)
{
    struct key k = {.length = length};
    memcpy(&k.high, a->bytes, sizeof k.high);
    memcpy(&k.low, a->bytes + 8, sizeof k.low);
    k.high = be64toh(k.high);
    k.low = be64toh(k.low);
    return k;
}

static inline unsigned bit_at(uint64_t high, uint64_t low, unsigned i)
{
    return (unsigned)((i < 64 ? high << i : low << (i - 64)) >> 63);
}

/* Leading bits that both have alike, at most `most`. */
static unsigned common(const struct lpm_node *node, struct key k, unsigned most)
{
    uint64_t high = node->bits[0] ^ k.high, low = node->bits[1] ^ k.low;
    unsigned n = high != 0 ? (unsigned)__builtin_clzll(high)
                           : 64 + (low != 0 ? (unsigned)__builtin_clzll(low) : 64);
    return n < most ? n : most;
}

static inline bool is_within(const struct lpm_node *node, struct key k)
{
    if (node->length > k.length)
        return false;
    if (node->length <= 64)
        return ((node->bits[0] ^ k.high) & node->mask) == 0;
    return node->bits[0] == k.high && ((node->bits[1] ^ k.low) & node->mask) == 0;
}

/* The other way round: is the node's prefix inside k? */
static bool is_inside(const struct lpm_node *node, struct key k)
{
    return node->length >= k.length && common(node, k, k.length) == k.length;
}

int lpm_init(struct lpm *l)
{
    *l = (struct lpm){.nodes = malloc(64 * sizeof *l->nodes), .used = 2, .room = 64};
    if (l->nodes == NULL)
        return -ENOMEM;
    l->nodes[0] = l->nodes[1] = empty;
    return 0;
}

void lpm_clear(struct lpm *l)
{
    free(l->nodes);
    *l = (struct lpm){0};
}

static struct lpm_node node_of(struct key k, unsigned length)
{
    unsigned rest = length > 64 ? length - 64 : length;
    struct lpm_node n = {.value = LPM_NONE, .length = (uint8_t)length};
    n.mask = rest > 0 ? ~UINT64_C(0) << (64 - rest) : 0;
    n.bits[0] = length > 64 ? k.high : k.high & n.mask;
    n.bits[1] = length > 64 ? k.low & n.mask : 0;
    return n;
}

/* Room for the two nodes that one prefix may need. */
static int reserve(struct lpm *l)
{
    if (l->room - l->used >= 2)
        return 0;
    if (l->room > UINT32_MAX / 2) /* nodes have 32-bit names */
        return -ENOMEM;
    struct lpm_node *nodes = realloc(l->nodes, 2 * (size_t)l->room * sizeof *nodes);
    if (nodes == NULL)
        return -ENOMEM;
    l->nodes = nodes;
    l->room *= 2;
    return 0;
}

static uint32_t add(struct lpm *l, struct lpm_node node)
{
    uint32_t at = l->spare;
    if (at != 0)
        l->spare = l->nodes[at].child[0];
    else
        at = l->used++;
    l->nodes[at] = node;
    return at;
}

/* The child leaves the path of k somewhere: a node in between, where they part (or k ends). */
static uint32_t part(struct lpm *l, uint32_t child, struct key k)
{
    const struct lpm_node *c = &l->nodes[child];
    unsigned shared = common(c, k, c->length < k.length ? c->length : k.length);
    struct lpm_node between = node_of(k, shared);
    between.child[bit_at(c->bits[0], c->bits[1], shared)] = child;
    return add(l, between);
}

int lpm_set(struct lpm *l, const struct prefix *p, uint32_t value)
{
    if (reserve(l) != 0)
        return -ENOMEM;
    struct key k = key_of(&p->addr, p->length);
    uint32_t at = root_of(p->addr.family);
    while (l->nodes[at].length < k.length) {
        unsigned side = bit_at(k.high, k.low, l->nodes[at].length);
        uint32_t child = l->nodes[at].child[side];
        if (child == 0)
            child = add(l, node_of(k, k.length));
        else if (!is_within(&l->nodes[child], k))
            child = part(l, child, k);
        l->nodes[at].child[side] = child;
        at = child;
    }
    l->nodes[at].value = value;
    return 0;
}

/* The next node on the path of k below this one; 0: none. */
static inline uint32_t step(const struct lpm *l, const struct lpm_node *node, struct key k)
{
    if (node->length >= k.length)
        return 0;
    uint32_t next = node->child[bit_at(k.high, k.low, node->length)];
    return next != 0 && is_within(&l->nodes[next], k) ? next : 0;
}

static inline uint32_t best_of(const struct lpm *l, uint8_t family, struct key k)
{
    const struct lpm_node *node = &l->nodes[root_of(family)];
    uint32_t best = node->value;
    for (uint32_t next; (next = step(l, node, k)) != 0;) {
        node = &l->nodes[next];
        best = node->value != LPM_NONE ? node->value : best;
    }
    return best;
}

/* A node that is no value and parts nothing is taken out of the way from its parent. */
static bool prune(struct lpm *l, uint32_t parent, uint32_t at)
{
    struct lpm_node *node = &l->nodes[at];
    if (at <= 1 || node->value != LPM_NONE || (node->child[0] != 0 && node->child[1] != 0))
        return false;
    uint32_t *link = l->nodes[parent].child;
    link += link[1] == at;
    *link = node->child[0] != 0 ? node->child[0] : node->child[1];
    node->child[0] = l->spare;
    l->spare = at;
    return true;
}

void lpm_remove(struct lpm *l, const struct prefix *p)
{
    struct key k = key_of(&p->addr, p->length);
    uint32_t at = root_of(p->addr.family), parent = at, above = at;
    for (uint32_t next; (next = step(l, &l->nodes[at], k)) != 0; at = next) {
        above = parent;
        parent = at;
    }
    if (l->nodes[at].length != p->length)
        return;
    l->nodes[at].value = LPM_NONE;
    if (prune(l, parent, at))
        prune(l, above, parent);
}

uint32_t lpm_find(const struct lpm *l, const struct addr *a)
{
    struct key k = key_of(a, addr_bits(a->family));
    return best_of(l, a->family, k);
}

uint32_t lpm_find_cover(const struct lpm *l, const struct prefix *p)
{
    struct key k = key_of(&p->addr, p->length);
    return best_of(l, p->addr.family, k);
}

uint32_t lpm_below(const struct lpm *l, const struct prefix *p)
{
    struct key k = key_of(&p->addr, p->length);
    uint32_t at = root_of(p->addr.family);
    for (uint32_t next; (next = step(l, &l->nodes[at], k)) != 0;)
        at = next;
    if (l->nodes[at].length == p->length)
        return at;
    at = l->nodes[at].child[bit_at(k.high, k.low, l->nodes[at].length)]; /* may end beyond p */
    return at != 0 && is_inside(&l->nodes[at], k) ? at : LPM_NONE;
}

unsigned lpm_covers(const struct lpm *l, const struct prefix *p,
                    uint32_t nodes[static LPM_COVERS_MAX])
{
    struct key k = key_of(&p->addr, p->length);
    unsigned count = 0;
    for (uint32_t at = root_of(p->addr.family);;) {
        if (l->nodes[at].value != LPM_NONE)
            nodes[count++] = at;
        uint32_t next = step(l, &l->nodes[at], k);
        if (next == 0)
            break;
        at = next;
    }
    for (unsigned i = 0; i < count / 2; i++) {
        uint32_t swapped = nodes[i];
        nodes[i] = nodes[count - 1 - i];
        nodes[count - 1 - i] = swapped;
    }
    return count;
}

bool lpm_divides(const struct lpm *l, const struct prefix *p)
{
    uint32_t at = lpm_below(l, p);
    if (at == LPM_NONE)
        return false;
    const struct lpm_node *node = &l->nodes[at];
    return node->length > p->length || node->child[0] != 0 || node->child[1] != 0;
}

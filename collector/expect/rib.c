#include <stdlib.h>

#include "collector/expect/rib_pool.h"

struct rib {
    struct lpm lpm; /* prefix -> offset of its set in the pool */
    struct rib_path *pool;
    size_t sets;
    size_t prefixes;
};

void rib_free(struct rib *r)
{
    if (r == NULL)
        return;
    lpm_clear(&r->lpm);
    free(r->pool);
    free(r);
}

size_t rib_prefixes(const struct rib *r)
{
    return r->prefixes;
}

size_t rib_sets(const struct rib *r)
{
    return r->sets;
}

unsigned rib_covers(const struct rib *r, const struct prefix *p,
                    struct rib_route routes[static LPM_COVERS_MAX])
{
    uint32_t nodes[LPM_COVERS_MAX];
    unsigned count = lpm_covers(&r->lpm, p, nodes);
    for (unsigned i = 0; i < count; i++) {
        const struct lpm_node *node = &r->lpm.nodes[nodes[i]];
        const struct rib_path *set = &r->pool[node->value];
        routes[i] = (struct rib_route){
            .length = node->length, .count = set_count_of(set), .paths = set + 1};
    }
    return count;
}

bool rib_divides(const struct rib *r, const struct prefix *p)
{
    return lpm_divides(&r->lpm, p);
}

struct rib *rib_of(struct lpm *lpm, struct rib_path *pool, size_t sets, size_t prefixes)
{
    struct rib *r = calloc(1, sizeof *r);
    if (r != NULL) {
        *r = (struct rib){.lpm = *lpm, .pool = pool, .sets = sets, .prefixes = prefixes};
        *lpm = (struct lpm){0};
    }
    return r;
}

#include "shared/base/lpm.h"

#include <errno.h>
#include <stdlib.h>

static const struct lpm_node empty = {.value = LPM_NONE};

static uint32_t root_of(uint8_t family)
{
    return family == ADDR_V4 ? 0 : 1;
}

static unsigned bit_at(const struct addr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
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

int lpm_set(struct lpm *l, const struct prefix *p, uint32_t value)
{
    if (l->room - l->used < p->length) {
        if (l->room > (UINT32_MAX - p->length) / 2) /* nodes have 32-bit names */
            return -ENOMEM;
        uint32_t room = l->room * 2 + p->length;
        struct lpm_node *nodes = realloc(l->nodes, room * sizeof *nodes);
        if (nodes == NULL)
            return -ENOMEM;
        l->nodes = nodes;
        l->room = room;
    }
    uint32_t at = root_of(p->addr.family);
    for (unsigned i = 0; i < p->length; i++) {
        uint32_t *child = &l->nodes[at].child[bit_at(&p->addr, i)];
        if (*child == 0) {
            l->nodes[l->used] = empty;
            *child = l->used++;
        }
        at = *child;
    }
    l->nodes[at].value = value;
    return 0;
}

void lpm_remove(struct lpm *l, const struct prefix *p)
{
    uint32_t at = root_of(p->addr.family);
    for (unsigned i = 0; i < p->length; i++) {
        at = l->nodes[at].child[bit_at(&p->addr, i)];
        if (at == 0)
            return;
    }
    l->nodes[at].value = LPM_NONE;
}

static uint32_t walk(const struct lpm *l, const struct addr *a, unsigned length)
{
    uint32_t at = root_of(a->family), best = l->nodes[at].value;
    for (unsigned i = 0; i < length; i++) {
        at = l->nodes[at].child[bit_at(a, i)];
        if (at == 0)
            break;
        if (l->nodes[at].value != LPM_NONE)
            best = l->nodes[at].value;
    }
    return best;
}

uint32_t lpm_find(const struct lpm *l, const struct addr *a)
{
    return walk(l, a, addr_bits(a->family));
}

uint32_t lpm_find_cover(const struct lpm *l, const struct prefix *p)
{
    return walk(l, &p->addr, p->length);
}

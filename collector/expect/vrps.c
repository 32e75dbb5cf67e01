#include "collector/expect/vrps.h"

#include <errno.h>
#include <stdlib.h>

struct vrp {
    uint32_t asn;
    uint32_t next; /* of the same prefix; LPM_NONE: none */
    uint8_t max_length;
};

struct vrps {
    struct lpm lpm; /* prefix -> its first VRP */
    struct vrp *list;
    uint32_t count, room;
};

int vrps_new(struct vrps **out)
{
    struct vrps *v = calloc(1, sizeof *v);
    if (v == NULL || lpm_init(&v->lpm) < 0) {
        free(v);
        return -ENOMEM;
    }
    *out = v;
    return 0;
}

void vrps_free(struct vrps *v)
{
    if (v == NULL)
        return;
    lpm_clear(&v->lpm);
    free(v->list);
    free(v);
}

size_t vrps_count(const struct vrps *v)
{
    return v->count;
}

static int reserve(struct vrps *v)
{
    if (v->count < v->room)
        return 0;
    uint32_t room = v->room > 0 ? 2 * v->room : 64;
    struct vrp *list = reallocarray(v->list, room, sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    v->list = list;
    v->room = room;
    return 0;
}

/* The first VRP of exactly that prefix. */
static uint32_t first_of(const struct vrps *v, const struct prefix *prefix)
{
    uint32_t nodes[LPM_COVERS_MAX];
    if (lpm_covers(&v->lpm, prefix, nodes) == 0 || v->lpm.nodes[nodes[0]].length != prefix->length)
        return LPM_NONE;
    return v->lpm.nodes[nodes[0]].value;
}

int vrps_add(struct vrps *v, const struct prefix *prefix, unsigned max_length, uint32_t asn)
{
    uint32_t first = first_of(v, prefix);
    for (uint32_t i = first; i != LPM_NONE; i = v->list[i].next)
        if (v->list[i].asn == asn && v->list[i].max_length == max_length)
            return 0;
    if (v->count >= VRPS_MAX)
        return ERR_FULL;
    if (reserve(v) < 0 || lpm_set(&v->lpm, prefix, v->count) < 0)
        return -ENOMEM;
    v->list[v->count++] =
        (struct vrp){.asn = asn, .next = first, .max_length = (uint8_t)max_length};
    return 0;
}

enum rpki_state vrps_validate(const struct vrps *v, const struct prefix *route, uint32_t origin)
{
    uint32_t nodes[LPM_COVERS_MAX];
    unsigned covers = lpm_covers(&v->lpm, route, nodes);
    for (unsigned c = 0; c < covers; c++)
        for (uint32_t i = v->lpm.nodes[nodes[c]].value; i != LPM_NONE; i = v->list[i].next)
            if (origin != 0 && v->list[i].asn == origin && route->length <= v->list[i].max_length)
                return RPKI_VALID;
    return covers > 0 ? RPKI_INVALID : RPKI_NOT_FOUND;
}

bool vrps_authorises(const struct vrps *v, const struct prefix *src, uint64_t asn)
{
    uint32_t nodes[LPM_COVERS_MAX];
    unsigned covers = lpm_covers(&v->lpm, src, nodes);
    for (unsigned c = 0; asn != 0 && c < covers; c++)
        for (uint32_t i = v->lpm.nodes[nodes[c]].value; i != LPM_NONE; i = v->list[i].next)
            if (v->list[i].asn == asn)
                return true;
    return false;
}

bool vrps_divides(const struct vrps *v, const struct prefix *p)
{
    return lpm_divides(&v->lpm, p);
}

#include "collector/expect/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` elements behind `count`; *room doubles. */
static int grow(void **array, size_t count, size_t *room, size_t more, size_t size)
{
    if (more <= *room - count)
        return 0;
    size_t wanted = *room > 0 ? *room : 8;
    while (wanted - count < more)
        if (__builtin_mul_overflow(wanted, 2, &wanted))
            return -ENOMEM;
    void *grown = reallocarray(*array, wanted, size);
    if (grown == NULL)
        return -ENOMEM;
    *array = grown;
    *room = wanted;
    return 0;
}

static int lpm_ready(struct lpm *l)
{
    return l->nodes == NULL ? lpm_init(l) : 0;
}

static uint32_t first_of(const struct expect_list *l, const struct prefix *prefix)
{
    uint32_t i = l->lpm.nodes == NULL ? LPM_NONE : lpm_find_cover(&l->lpm, prefix);
    return i != LPM_NONE && prefix_equal(&l->entries[i].prefix, prefix) ? i : LPM_NONE;
}

bool expect_list_has(const struct expect_list *l, const struct prefix *prefix)
{
    return first_of(l, prefix) != LPM_NONE;
}

int expect_list_add(struct expect_list *l, const struct prefix *prefix,
                    const struct expect_place *places, size_t count)
{
    if (lpm_ready(&l->lpm) < 0 || l->entry_count >= LPM_NONE ||
        grow((void **)&l->entries, l->entry_count, &l->entry_room, 1, sizeof *l->entries) < 0 ||
        grow((void **)&l->places, l->place_count, &l->place_room, count, sizeof *l->places) < 0)
        return -ENOMEM;
    uint32_t first = first_of(l, prefix);
    struct expect_entry entry = {.prefix = *prefix, .first = l->place_count, .count = count};
    if (first == LPM_NONE) {
        if (lpm_set(&l->lpm, prefix, (uint32_t)l->entry_count) < 0)
            return -ENOMEM;
    } else {
        entry.more = l->entries[first].more;
        l->entries[first].more = l->entry_count + 1;
    }
    l->entries[l->entry_count++] = entry;
    if (count > 0)
        memcpy(l->places + l->place_count, places, count * sizeof *places);
    l->place_count += count;
    return 0;
}

/* Where the cone of peer_as stands, or would stand. */
static size_t cone_at(const struct expect_list *l, uint64_t peer_as)
{
    size_t low = 0, high = l->cone_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->cones[middle].peer_as < peer_as)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct expect_cone *expect_list_cone_of(const struct expect_list *l, uint64_t peer_as)
{
    size_t at = cone_at(l, peer_as);
    return at < l->cone_count && l->cones[at].peer_as == peer_as ? &l->cones[at] : NULL;
}

int expect_list_cone_add(struct expect_list *l, uint32_t peer_as, const struct prefix *prefixes,
                         size_t count)
{
    size_t at = cone_at(l, peer_as);
    if (at == l->cone_count || l->cones[at].peer_as != peer_as) {
        struct expect_cone cone = {.peer_as = peer_as};
        if (grow((void **)&l->cones, l->cone_count, &l->cone_room, 1, sizeof *l->cones) < 0 ||
            lpm_init(&cone.lpm) < 0)
            return -ENOMEM;
        memmove(l->cones + at + 1, l->cones + at, (l->cone_count - at) * sizeof *l->cones);
        l->cones[at] = cone;
        l->cone_count++;
    }
    for (size_t i = 0; i < count; i++)
        if (lpm_set(&l->cones[at].lpm, &prefixes[i], prefixes[i].length) < 0)
            return -ENOMEM;
    l->cone_prefixes += count;
    return 0;
}

int expect_list_take(struct expect_list *l, const struct expect_row *row)
{
    if (row->cone_as != 0)
        return expect_list_cone_add(l, row->cone_as, &row->prefix, row->prefix.addr.family != 0);
    return expect_list_add(l, &row->prefix, &row->place, !row->is_nowhere);
}

const struct expect_entry *expect_list_find(const struct expect_list *l, const struct prefix *src)
{
    uint32_t i = l->lpm.nodes == NULL ? LPM_NONE : lpm_find_cover(&l->lpm, src);
    return i == LPM_NONE ? NULL : &l->entries[i];
}

static bool text_fits(const char *wanted, const char *is)
{
    return wanted[0] == '\0' || strncmp(wanted, is, 32) == 0;
}

static bool place_fits(const struct expect_place *p, const struct ingress_row *row)
{
    static const uint8_t any[6];
    const struct ingress *at = &row->at;
    return text_fits(p->pop, row->pop) && text_fits(p->router, at->router) &&
           text_fits(p->interface, at->interface) && (p->vlan == 0 || p->vlan == at->vlan) &&
           (p->peer_as == 0 || p->peer_as == at->peer_as) &&
           (memcmp(p->mac, any, 6) == 0 || memcmp(p->mac, at->mac, 6) == 0);
}

bool expect_list_allows(const struct expect_list *l, const struct expect_entry *entry,
                        const struct ingress_row *row)
{
    for (;;) {
        for (size_t i = 0; i < entry->count; i++)
            if (place_fits(&l->places[entry->first + i], row))
                return true;
        if (entry->more == 0)
            return false;
        entry = &l->entries[entry->more - 1];
    }
}

void expect_list_clear(struct expect_list *l)
{
    for (size_t i = 0; i < l->cone_count; i++)
        lpm_clear(&l->cones[i].lpm);
    free(l->cones);
    lpm_clear(&l->lpm);
    free(l->entries);
    free(l->places);
    *l = (struct expect_list){0};
}

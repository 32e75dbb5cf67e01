/* Places: what an operator can point at, as a small number. There are as many as the sensors are
 * configured with, so none is ever forgotten. */
#include <string.h>

#include "collector/ingress/map.h"

#define KEY_WORDS 15

static unsigned char *put(unsigned char *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static unsigned char *put_text(unsigned char *at, const char *text)
{
    memcpy(at, text, strnlen(text, 31));
    return at + 32;
}

/* Without padding, or bytes behind a text's end. */
static uint32_t slot_of(const struct ingress_map *m, const char *pop, const struct ingress *in)
{
    uint64_t words[KEY_WORDS] = {0};
    unsigned char *at = (unsigned char *)words;
    at = put_text(at, pop);
    at = put_text(at, in->router);
    at = put_text(at, in->interface);
    at = put(at, &in->vlan, 8);
    at = put(at, &in->peer_as, 8);
    put(at, in->mac, 6);
    return (uint32_t)hash_words(m->key, words, KEY_WORDS) & m->place_mask;
}

static bool is_same(const struct place *p, const char *pop, const struct ingress *at)
{
    return strncmp(p->pop, pop, 31) == 0 && strncmp(p->at.router, at->router, 31) == 0 &&
           strncmp(p->at.interface, at->interface, 31) == 0 && p->at.vlan == at->vlan &&
           memcmp(p->at.mac, at->mac, 6) == 0 && p->at.peer_as == at->peer_as;
}

static uint32_t find_in(const struct ingress_map *m, uint32_t slot, const char *pop,
                        const struct ingress *at)
{
    uint32_t id = m->place_slots[slot];
    while (id != NONE && !is_same(&m->places[id], pop, at))
        id = m->places[id].hash_next;
    return id;
}

uint32_t place_find(const struct ingress_map *m, const char *pop, const struct ingress *at)
{
    return find_in(m, slot_of(m, pop, at), pop, at);
}

static void copy_text(char out[static 32], const char *text)
{
    memcpy(out, text, strnlen(text, 31));
}

uint32_t place_get(struct ingress_map *m, const char *pop, const struct ingress *at)
{
    uint32_t slot = slot_of(m, pop, at), id = find_in(m, slot, pop, at);
    if (id != NONE || m->place_pool.count == m->place_pool.max)
        return id;
    id = m->place_pool.count++;
    struct place *p = &m->places[id];
    *p = (struct place){.at = {.vlan = at->vlan, .peer_as = at->peer_as},
                        .hash_next = m->place_slots[slot]};
    copy_text(p->pop, pop);
    copy_text(p->at.router, at->router);
    copy_text(p->at.interface, at->interface);
    memcpy(p->at.mac, at->mac, 6);
    m->place_slots[slot] = id;
    noise_place(m, p);
    return id;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/expect/rib_pool.h"
#include "shared/base/hash.h"

#define NONE      LPM_NONE
#define PEERS_MAX 65535

/* Who announces is not a stranger: these keys need no secret. */
static const struct hash_key key = {1, 2};

struct path {
    uint32_t next; /* of the same prefix, or among the free */
    uint32_t at, told, neighbour_as, origin_as, local_pref;
    uint16_t peer, length;
    uint8_t origin;
};

struct peer {
    struct addr addr;
    uint32_t as;
    uint32_t down; /* what was told before this is gone */
};

struct rib_builder {
    struct lpm lpm; /* prefix -> its path told last */
    struct path *paths;
    uint32_t used, room, first_free;
    size_t max_paths;
    struct peer *peers;
    unsigned peer_count;
    uint16_t *peer_slots; /* 1 + index; open addressing, twice as many as peers */
    uint32_t told;        /* entries so far */
    uint32_t dump_at;     /* when the last dump began that told a path again; 0: only one dump */
};

#define PEER_SLOTS (2u * (PEERS_MAX + 1))

int rib_builder_new(size_t max_paths, struct rib_builder **out)
{
    struct rib_builder *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->max_paths = max_paths < NONE ? max_paths : NONE - 1;
    b->first_free = NONE;
    b->peer_slots = calloc(PEER_SLOTS, sizeof *b->peer_slots);
    if (b->peer_slots == NULL || lpm_init(&b->lpm) < 0) {
        rib_builder_free(b);
        return -ENOMEM;
    }
    *out = b;
    return 0;
}

void rib_builder_free(struct rib_builder *b)
{
    if (b == NULL)
        return;
    lpm_clear(&b->lpm);
    free(b->paths);
    free(b->peers);
    free(b->peer_slots);
    free(b);
}

/* ---- peers: by number, so that a path is short ---- */

static int peer_make(struct rib_builder *b, const struct rib_entry *e)
{
    if (b->peer_count == PEERS_MAX)
        return ERR_FULL;
    if ((b->peer_count & (b->peer_count - 1)) == 0) { /* a power of two: full */
        size_t room = b->peer_count > 0 ? 2 * (size_t)b->peer_count : 1;
        struct peer *peers = reallocarray(b->peers, room, sizeof *peers);
        if (peers == NULL)
            return -ENOMEM;
        b->peers = peers;
    }
    b->peers[b->peer_count] = (struct peer){.addr = e->peer, .as = e->peer_as};
    return (int)b->peer_count++;
}

static int peer_of(struct rib_builder *b, const struct rib_entry *e)
{
    uint64_t words[4] = {e->peer_as, e->peer.family};
    memcpy(&words[2], e->peer.bytes, 16);
    uint32_t slot = (uint32_t)(hash_words(key, words, 4) % PEER_SLOTS);
    for (; b->peer_slots[slot] != 0; slot = (slot + 1) % PEER_SLOTS) {
        const struct peer *peer = &b->peers[b->peer_slots[slot] - 1];
        if (peer->as == e->peer_as && addr_equal(&peer->addr, &e->peer))
            return b->peer_slots[slot] - 1;
    }
    int made = peer_make(b, e);
    if (made >= 0)
        b->peer_slots[slot] = (uint16_t)(made + 1);
    return made;
}

/* ---- paths ---- */

static int path_make(struct rib_builder *b, uint32_t *out)
{
    if (b->first_free != NONE) {
        *out = b->first_free;
        b->first_free = b->paths[*out].next;
        return 0;
    }
    if (b->used >= b->max_paths)
        return ERR_FULL;
    if (b->used == b->room) {
        size_t room = b->room > 0 ? 2 * (size_t)b->room : 1024;
        if (room > b->max_paths)
            room = b->max_paths;
        struct path *paths = reallocarray(b->paths, room, sizeof *paths);
        if (paths == NULL)
            return -ENOMEM;
        b->paths = paths;
        b->room = (uint32_t)room;
    }
    *out = b->used++;
    return 0;
}

/* The value that stands at exactly that prefix, or NULL. */
static uint32_t *head_of(struct rib_builder *b, const struct prefix *prefix)
{
    uint32_t at = lpm_below(&b->lpm, prefix);
    if (at == NONE || b->lpm.nodes[at].length != prefix->length ||
        b->lpm.nodes[at].value == LPM_NONE)
        return NULL;
    return &b->lpm.nodes[at].value;
}

/* Forgets the paths of that peer that e replaces. In a dump a path that was told before, earlier,
 * means that another dump has begun. */
static void forget(struct rib_builder *b, uint32_t *link, unsigned peer, const struct rib_entry *e)
{
    while (*link != NONE) {
        uint32_t i = *link;
        struct path *path = &b->paths[i];
        bool is_earlier = path->at < e->at;
        if (path->peer != peer || (e->kind == RIB_ENTRY && !is_earlier)) {
            link = &path->next;
            continue;
        }
        if (e->kind == RIB_ENTRY && path->at >= b->dump_at)
            b->dump_at = e->at;
        *link = path->next;
        path->next = b->first_free;
        b->first_free = i;
    }
}

static int keep(struct rib_builder *b, uint32_t *head, unsigned peer, const struct rib_entry *e)
{
    uint32_t i = 0, next = head != NULL ? *head : NONE;
    int err = path_make(b, &i);
    if (err == 0 && head == NULL)
        err = lpm_set(&b->lpm, &e->prefix, i);
    else if (err == 0)
        *head = i;
    if (err == 0)
        b->paths[i] = (struct path){.next = next,
                                    .at = e->at,
                                    .told = b->told,
                                    .neighbour_as = e->neighbour_as,
                                    .origin_as = e->origin_as,
                                    .local_pref = e->local_pref,
                                    .peer = (uint16_t)peer,
                                    .length = e->path_length,
                                    .origin = e->origin};
    return err;
}

int rib_builder_add(struct rib_builder *b, const struct rib_entry *e)
{
    int peer = peer_of(b, e);
    if (peer < 0)
        return peer;
    b->told += b->told < UINT32_MAX;
    if (e->kind == RIB_DOWN) {
        b->peers[peer].down = b->told;
        return 0;
    }
    uint32_t *head = head_of(b, &e->prefix);
    if (head != NULL)
        forget(b, head, (unsigned)peer, e);
    if (e->kind != RIB_WITHDRAW)
        return keep(b, head, (unsigned)peer, e);
    return 0;
}

/* ---- the table ---- */

struct making {
    struct rib_builder *b;
    struct path *chain; /* of the prefix at hand, the best first */
    size_t chain_room;
    struct rib_path *pool;
    size_t used, room, sets;
    uint32_t *slots; /* 1 + offset in the pool; open addressing */
    size_t slot_count;
};

static bool is_better(const struct path *a, const struct path *b)
{
    if (a->local_pref != b->local_pref)
        return a->local_pref > b->local_pref;
    if (a->length != b->length)
        return a->length < b->length;
    return a->origin < b->origin;
}

/* Puts the paths of a prefix in order. They are chained the other way round as they were told; so
 * of equals the one met later goes first. */
static int chain_read(struct making *m, uint32_t head, size_t *count)
{
    size_t n = 0;
    for (uint32_t i = head; i != NONE; i = m->b->paths[i].next) {
        const struct path *path = &m->b->paths[i];
        if (path->at < m->b->dump_at || path->told < m->b->peers[path->peer].down)
            continue;
        if (n == m->chain_room) {
            size_t room = n > 0 ? 2 * n : 64;
            struct path *chain = reallocarray(m->chain, room, sizeof *chain);
            if (chain == NULL)
                return -ENOMEM;
            m->chain = chain;
            m->chain_room = room;
        }
        size_t at = n++;
        for (; at > 0 && !is_better(&m->chain[at - 1], path); at--)
            m->chain[at] = m->chain[at - 1];
        m->chain[at] = *path;
    }
    *count = n;
    return 0;
}

static bool is_among(const struct rib_path *set, unsigned n, const struct path *path)
{
    for (unsigned i = 1; i <= n; i++)
        if (set[i].neighbour_as == path->neighbour_as && set[i].origin_as == path->origin_as)
            return true;
    return false;
}

/* Writes the set behind the pool's end; *n: how many paths it has. */
static int set_write(struct making *m, size_t count, unsigned *n)
{
    if (m->room - m->used < count + 1) {
        size_t room = 2 * m->room + count + 1024;
        struct rib_path *pool = reallocarray(m->pool, room, sizeof *pool);
        if (pool == NULL || room > UINT32_MAX / 2) {
            m->pool = pool != NULL ? pool : m->pool;
            return -ENOMEM;
        }
        m->pool = pool;
        m->room = room;
    }
    struct rib_path *set = m->pool + m->used;
    *n = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_among(set, *n, &m->chain[i]))
            set[++*n] = (struct rib_path){m->chain[i].neighbour_as, m->chain[i].origin_as};
    set[0] = (struct rib_path){.neighbour_as = *n};
    return 0;
}

static uint32_t *slot_of(struct making *m, const struct rib_path *set)
{
    size_t words = set_count_of(set) + 1;
    uint64_t h = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t pair[2] = {h, (uint64_t)set[i].neighbour_as << 32 | set[i].origin_as};
        h = hash_words(key, pair, 2);
    }
    size_t slot = h & (m->slot_count - 1);
    for (; m->slots[slot] != 0; slot = (slot + 1) & (m->slot_count - 1)) {
        const struct rib_path *other = m->pool + (m->slots[slot] - 1);
        if (set_count_of(other) + 1 == words && memcmp(other, set, words * sizeof *set) == 0)
            break;
    }
    return &m->slots[slot];
}

/* Twice as many slots, when they are half full. */
static int slots_grow(struct making *m)
{
    if (2 * (m->sets + 1) <= m->slot_count)
        return 0;
    uint32_t *old = m->slots;
    size_t old_count = m->slot_count;
    uint32_t *slots = calloc(old_count > 0 ? 2 * old_count : 1024, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    m->slots = slots;
    m->slot_count = old_count > 0 ? 2 * old_count : 1024;
    for (size_t i = 0; i < old_count; i++)
        if (old[i] != 0)
            *slot_of(m, m->pool + (old[i] - 1)) = old[i];
    free(old);
    return 0;
}

/* The paths of one prefix become the offset of their set; LPM_NONE when none of them counts. */
static int settle(struct making *m, uint32_t *value)
{
    size_t count = 0;
    unsigned n = 0;
    int err = chain_read(m, *value, &count);
    if (err == 0 && count == 0)
        *value = LPM_NONE;
    if (err < 0 || count == 0)
        return err;
    if ((err = slots_grow(m)) < 0 || (err = set_write(m, count, &n)) < 0)
        return err;
    uint32_t *slot = slot_of(m, m->pool + m->used);
    if (*slot == 0) {
        *slot = (uint32_t)m->used + 1;
        m->used += n + 1u;
        m->sets++;
    }
    *value = *slot - 1;
    return 0;
}

int rib_builder_finish(struct rib_builder *b, struct rib **out)
{
    struct making m = {.b = b};
    size_t prefixes = 0;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < b->lpm.used; i++) {
        uint32_t *value = &b->lpm.nodes[i].value;
        if (*value != LPM_NONE)
            err = settle(&m, value);
        prefixes += *value != LPM_NONE;
    }
    struct rib *rib = err == 0 ? rib_of(&b->lpm, m.pool, m.sets, prefixes) : NULL;
    if (rib == NULL)
        free(m.pool);
    free(m.slots);
    free(m.chain);
    *out = rib;
    return rib == NULL ? -ENOMEM : 0;
}

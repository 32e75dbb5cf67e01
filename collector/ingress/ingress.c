#include "collector/ingress/ingress.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"
#include "shared/base/lpm.h"

/* Rows stand in one array and never move. Three ways lead to a row:
 *   slots  open addressing by (prefix, pop, ingress): every tally
 *   trie   prefix -> first row of that prefix; its rows are chained by next (the group whose
 *          shares sum to 1): new rows, and what a test's prefix covers
 *   queue  ids of rows that changed, oldest first; a row is in it at most once */

#define NONE      UINT32_MAX
#define KEY_WORDS 17

const char *const ingress_state_word[] = {
    [STATE_UNVERIFIED] = "unverified",     [STATE_TESTING] = "testing",
    [STATE_GENUINE] = "genuine",           [STATE_MIXED] = "mixed",
    [STATE_SPOOFED] = "spoofed",           [STATE_INCONCLUSIVE] = "inconclusive",
    [STATE_UNVERIFIABLE] = "unverifiable",
};

const char *const bgp_state_word[] = {
    [BGP_UNKNOWN] = "",
    [BGP_BEST] = "best",
    [BGP_ALTERNATIVE] = "alternative",
    [BGP_NONE] = "none",
};

const char *const rpki_state_word[] = {
    [RPKI_UNKNOWN] = "",
    [RPKI_VALID] = "valid",
    [RPKI_INVALID] = "invalid",
    [RPKI_NOT_FOUND] = "not_found",
};

const char *const ingress_change_word[] = {
    [CHANGE_APPEARED] = "appeared", [CHANGE_LEFT] = "left",     [CHANGE_MOVED] = "moved",
    [CHANGE_SPLIT] = "split",       [CHANGE_JOINED] = "joined",
};

struct node {
    struct ingress_row row;
    uint32_t next; /* in its prefix's group */
    bool is_changed;
};

struct ingress_map {
    struct ingress_conf conf;
    struct hash_key key;
    struct node *nodes;
    uint32_t used;
    uint32_t *slots;
    uint32_t mask;
    struct lpm trie;
    uint32_t *queue;
    uint32_t queue_at, queue_len;
};

/* What makes a row the one it is, without padding or bytes behind a text's end. */
struct key {
    uint64_t words[KEY_WORDS];
};

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

static struct key key_of(const struct prefix *prefix, const char *pop, const struct ingress *in)
{
    unsigned char bytes[KEY_WORDS * 8] = {0}, *at = bytes;
    at = put(at, prefix->addr.bytes, 16);
    *at++ = prefix->addr.family;
    *at++ = prefix->length;
    at = put_text(at, pop);
    at = put_text(at, in->router);
    at = put_text(at, in->interface);
    at = put(at, &in->vlan, 8);
    at = put(at, in->mac, 6);
    put(at, &in->peer_as, 8);
    struct key key;
    memcpy(key.words, bytes, sizeof key.words);
    return key;
}

static bool same_place(const struct ingress_row *row, const char *pop, const struct ingress *at)
{
    return strncmp(row->pop, pop, 31) == 0 && strncmp(row->at.router, at->router, 31) == 0 &&
           strncmp(row->at.interface, at->interface, 31) == 0 && row->at.vlan == at->vlan &&
           memcmp(row->at.mac, at->mac, 6) == 0 && row->at.peer_as == at->peer_as;
}

int ingress_map_new(const struct ingress_conf *conf, struct ingress_map **out)
{
    struct ingress_map *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    uint32_t rows = conf->max_rows > 0 ? conf->max_rows : 1, slots = 16;
    while (slots < 2 * (uint64_t)rows && slots < UINT32_C(1) << 31)
        slots *= 2;
    struct prf prf = prf_init(conf->seed, 1);
    m->conf = *conf;
    m->conf.max_rows = rows;
    m->key.k0 = prf_next(&prf);
    m->key.k1 = prf_next(&prf);
    m->mask = slots - 1;
    /* calloc: pages that no row touches cost nothing, so max_rows may be generous. */
    m->nodes = calloc(rows, sizeof *m->nodes);
    m->slots = calloc(slots, sizeof *m->slots);
    m->queue = calloc(rows, sizeof *m->queue);
    if (m->nodes == NULL || m->slots == NULL || m->queue == NULL || lpm_init(&m->trie) < 0) {
        ingress_map_free(m);
        return -ENOMEM;
    }
    *out = m;
    return 0;
}

void ingress_map_free(struct ingress_map *m)
{
    if (m == NULL)
        return;
    lpm_clear(&m->trie);
    free(m->queue);
    free(m->slots);
    free(m->nodes);
    free(m);
}

/* The slot of that key, or the free one where it belongs. A slot holds id + 1; 0 is free. At most
 * half of them are taken, so the walk ends. */
static uint32_t *slot_find(struct ingress_map *m, const struct prefix *prefix, const char *pop,
                           const struct ingress *at)
{
    struct key key = key_of(prefix, pop, at);
    uint32_t i = (uint32_t)hash_words(m->key, key.words, KEY_WORDS) & m->mask;
    for (; m->slots[i] != 0; i = (i + 1) & m->mask) {
        const struct ingress_row *row = &m->nodes[m->slots[i] - 1].row;
        if (prefix_equal(&row->prefix, prefix) && same_place(row, pop, at))
            break;
    }
    return &m->slots[i];
}

/* First row of exactly that prefix, or NONE (which is LPM_NONE, too). */
static uint32_t group_of(const struct ingress_map *m, const struct prefix *p)
{
    uint32_t at = lpm_below(&m->trie, p);
    return at != LPM_NONE && m->trie.nodes[at].length == p->length ? m->trie.nodes[at].value : NONE;
}

static int row_make(struct ingress_map *m, const struct ingress_row *row, uint32_t *slot,
                    struct node **out)
{
    if (m->used == m->conf.max_rows)
        return ERR_FULL;
    uint32_t first = group_of(m, &row->prefix);
    int err = lpm_set(&m->trie, &row->prefix, m->used);
    if (err < 0)
        return err;
    struct node *node = &m->nodes[m->used];
    *node = (struct node){.row = *row, .next = first};
    node->row.id = m->used++;
    *slot = node->row.id + 1;
    *out = node;
    return 0;
}

int ingress_map_load(struct ingress_map *m, const struct ingress_row *row)
{
    uint32_t *slot = slot_find(m, &row->prefix, row->pop, &row->at);
    struct node *node;
    if (*slot == 0)
        return row_make(m, row, slot, &node);
    node = &m->nodes[*slot - 1];
    uint32_t id = node->row.id;
    node->row = *row;
    node->row.id = id;
    return 0;
}

void ingress_map_changed(struct ingress_map *m, struct ingress_row *row)
{
    struct node *node = &m->nodes[row->id];
    if (node->is_changed)
        return;
    node->is_changed = true;
    m->queue[(m->queue_at + (uint64_t)m->queue_len++) % m->conf.max_rows] = row->id;
}

bool ingress_map_take(struct ingress_map *m, struct ingress_row *out)
{
    if (m->queue_len == 0)
        return false;
    struct node *node = &m->nodes[m->queue[m->queue_at]];
    m->queue_at = (uint32_t)((m->queue_at + UINT64_C(1)) % m->conf.max_rows);
    m->queue_len--;
    node->is_changed = false;
    *out = node->row;
    return true;
}

static void copy_text(char out[static 32], const char *text)
{
    memcpy(out, text, strnlen(text, 31));
}

static struct ingress_row row_blank(const struct prefix *prefix, const char *pop,
                                    const struct ingress *at, int64_t now)
{
    struct ingress_row row = {.prefix = *prefix,
                              .at = {.vlan = at->vlan, .peer_as = at->peer_as},
                              .weight_at = now,
                              .first_seen = now,
                              .last_seen = now};
    copy_text(row.pop, pop);
    copy_text(row.at.router, at->router);
    copy_text(row.at.interface, at->interface);
    memcpy(row.at.mac, at->mac, 6);
    return row;
}

int ingress_map_touch(struct ingress_map *m, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, int64_t now, struct ingress_row **out, bool *is_new)
{
    uint32_t *slot = slot_find(m, prefix, pop, at);
    *is_new = *slot == 0;
    if (*is_new) {
        struct ingress_row blank = row_blank(prefix, pop, at, now);
        struct node *node;
        int err = row_make(m, &blank, slot, &node);
        if (err < 0)
            return err;
        ingress_map_changed(m, &node->row);
        *out = &node->row;
        return 0;
    }
    *out = &m->nodes[*slot - 1].row;
    if (now > (*out)->last_seen) {
        (*out)->last_seen = now;
        ingress_map_changed(m, *out);
    }
    return 0;
}

/* What is left of a weight after that time. */
static double decay(const struct ingress_map *m, int64_t from, int64_t to)
{
    if (m->conf.half_life_ns == 0 || to <= from)
        return 1;
    return exp2(-((double)to - (double)from) / (double)m->conf.half_life_ns);
}

/* Adds bytes that were seen until `at`; what comes late has aged already. */
static void weigh(const struct ingress_map *m, struct ingress_row *row, uint64_t bytes, int64_t at)
{
    int64_t newest = at > row->weight_at ? at : row->weight_at;
    row->weight =
        row->weight * decay(m, row->weight_at, newest) + (double)bytes * decay(m, at, newest);
    row->weight_at = newest;
}

/* Shares of all rows of a prefix, weighed at the newest of their times. */
static void share_again(struct ingress_map *m, uint32_t first)
{
    int64_t newest = INT64_MIN;
    for (uint32_t i = first; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].row.weight > 0 && m->nodes[i].row.weight_at > newest)
            newest = m->nodes[i].row.weight_at;
    double total = 0;
    for (uint32_t i = first; i != NONE; i = m->nodes[i].next)
        total += m->nodes[i].row.weight * decay(m, m->nodes[i].row.weight_at, newest);
    for (uint32_t i = first; i != NONE; i = m->nodes[i].next) {
        struct ingress_row *row = &m->nodes[i].row;
        double part = row->weight * decay(m, row->weight_at, newest);
        double share = total > 0 ? part / total : 0;
        if (share == row->share)
            continue;
        row->share = share;
        ingress_map_changed(m, row);
    }
}

/* Sums stop where SQL's bigint ends, so that a restart reads what was held. */
static uint64_t sum(uint64_t a, uint64_t b)
{
    const uint64_t most = INT64_MAX;
    return b > most || a > most - b ? most : a + b;
}

int ingress_map_tally(struct ingress_map *m, const char *pop, const struct event_tally *t,
                      struct ingress_row **out, bool *is_new)
{
    int err = ingress_map_touch(m, &t->prefix, pop, &t->ingress, t->ended_at, out, is_new);
    if (err < 0)
        return err;
    struct ingress_row *row = *out;
    if (t->started_at != 0 && t->started_at < row->first_seen)
        row->first_seen = t->started_at;
    row->packets = sum(row->packets, t->packets);
    row->bytes = sum(row->bytes, t->bytes);
    weigh(m, row, t->bytes, t->ended_at);
    ingress_map_changed(m, row);
    share_again(m, group_of(m, &t->prefix));
    return 0;
}

struct visit {
    struct ingress_map *m;
    const char *pop;
    const struct ingress *at;
    void (*each)(void *arg, struct ingress_row *row);
    void *arg;
};

/* At most 128 deep: each level has a longer prefix. */
static void visit_below(const struct visit *v, uint32_t at)
{
    for (uint32_t i = v->m->trie.nodes[at].value; i != NONE; i = v->m->nodes[i].next)
        if (same_place(&v->m->nodes[i].row, v->pop, v->at))
            v->each(v->arg, &v->m->nodes[i].row);
    for (int bit = 0; bit < 2; bit++)
        if (v->m->trie.nodes[at].child[bit] != 0)
            visit_below(v, v->m->trie.nodes[at].child[bit]);
}

void ingress_map_each(struct ingress_map *m, const struct prefix *p, const char *pop,
                      const struct ingress *at, void (*each)(void *arg, struct ingress_row *row),
                      void *arg)
{
    uint32_t top = lpm_below(&m->trie, p);
    if (top == LPM_NONE)
        return;
    struct visit v = {.m = m, .pop = pop, .at = at, .each = each, .arg = arg};
    visit_below(&v, top);
}

void ingress_map_all(struct ingress_map *m, void (*each)(void *arg, struct ingress_row *row),
                     void *arg)
{
    for (uint32_t i = 0; i < m->used; i++)
        each(arg, &m->nodes[i].row);
}

void ingress_map_some(struct ingress_map *m, uint32_t *cursor, uint32_t most,
                      void (*each)(void *arg, struct ingress_row *row), void *arg)
{
    for (; most > 0 && *cursor < m->used; most--)
        each(arg, &m->nodes[(*cursor)++].row);
    if (*cursor >= m->used)
        *cursor = 0;
}

const struct ingress_row *ingress_map_cover(const struct ingress_map *m, const struct prefix *p,
                                            const char *pop, const struct ingress *at)
{
    for (unsigned length = p->length; length-- > 0;) {
        struct prefix wider = prefix_of(&p->addr, length);
        for (uint32_t i = group_of(m, &wider); i != NONE; i = m->nodes[i].next)
            if (m->nodes[i].row.tests > 0 && same_place(&m->nodes[i].row, pop, at))
                return &m->nodes[i].row;
    }
    return NULL;
}

void ingress_map_expecting(struct ingress_map *m,
                           void (*expect)(void *arg, struct ingress_row *row), void *arg)
{
    (void)m, (void)expect, (void)arg;
}

struct ingress_counts ingress_map_counts(const struct ingress_map *m)
{
    return (struct ingress_counts){
        .rows = m->used, .ranges = m->used, .leaves = m->used, .cells = m->used};
}

int ingress_map_load_cell(struct ingress_map *m, const struct ingress_cell *cell)
{
    uint32_t *slot = slot_find(m, &cell->prefix, cell->pop, &cell->at);
    struct node *node;
    if (*slot == 0) {
        struct ingress_row row = row_blank(&cell->prefix, cell->pop, &cell->at, cell->last_seen);
        int err = row_make(m, &row, slot, &node);
        if (err < 0)
            return err;
    }
    struct ingress_row *row = &m->nodes[*slot - 1].row;
    row->weight = cell->weight;
    row->weight_at = cell->last_seen;
    row->packets = cell->packets;
    row->bytes = cell->bytes;
    row->first_seen = cell->first_seen;
    row->last_seen = cell->last_seen;
    return 0;
}

int ingress_map_replay(struct ingress_map *m, const char *pop, const struct event_tally *t)
{
    struct ingress_row *row;
    bool is_new;
    return ingress_map_tally(m, pop, t, &row, &is_new);
}

int ingress_map_load_end(struct ingress_map *m)
{
    for (uint32_t i = 0; i < m->used; i++)
        if (group_of(m, &m->nodes[i].row.prefix) == i)
            share_again(m, i);
    return 0;
}

bool ingress_map_cell_next(const struct ingress_map *m, uint32_t *cursor,
                           void (*each)(void *arg, const struct ingress_cell *cell), void *arg)
{
    if (*cursor >= m->used)
        return false;
    const struct ingress_row *row = &m->nodes[(*cursor)++].row;
    struct ingress_cell cell = {.prefix = row->prefix,
                                .at = row->at,
                                .weight = row->weight,
                                .first_seen = row->first_seen,
                                .last_seen = row->last_seen,
                                .packets = row->packets,
                                .bytes = row->bytes};
    copy_text(cell.pop, row->pop);
    each(arg, &cell);
    return true;
}

struct ingress_row *ingress_map_find(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at)
{
    uint32_t slot = *slot_find(m, prefix, pop, at);
    return slot == 0 ? NULL : &m->nodes[slot - 1].row;
}

struct ingress_row *ingress_map_over(struct ingress_map *m, const struct prefix *prefix,
                                     const char *pop, const struct ingress *at)
{
    for (unsigned length = prefix->length + 1u; length-- > 0;) {
        struct prefix wider = prefix_of(&prefix->addr, length);
        struct ingress_row *row = ingress_map_find(m, &wider, pop, at);
        if (row != NULL)
            return row;
    }
    return NULL;
}

void ingress_map_pin(struct ingress_map *m, struct ingress_row *row, enum ingress_pin pin,
                     bool is_held)
{
    (void)m, (void)row, (void)pin, (void)is_held;
}

void ingress_map_tick(struct ingress_map *m, int64_t now)
{
    (void)m, (void)now;
}

static void not_after(struct ingress_map *m, struct ingress_row *row, int64_t now)
{
    int64_t *const times[] = {&row->first_seen, &row->last_seen, &row->weight_at,
                              &row->last_test_at};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (*times[i] > now) {
            *times[i] = now;
            ingress_map_changed(m, row);
        }
}

void ingress_map_not_after(struct ingress_map *m, int64_t now)
{
    for (uint32_t i = 0; i < m->used; i++)
        not_after(m, &m->nodes[i].row, now);
}

void ingress_map_places(struct ingress_map *m, const struct prefix *p,
                        void (*each)(void *arg, struct ingress_row *row), void *arg)
{
    for (uint32_t i = group_of(m, p); i != NONE; i = m->nodes[i].next)
        each(arg, &m->nodes[i].row);
}

bool ingress_map_take_change(struct ingress_map *m, struct ingress_change *out)
{
    (void)m, (void)out;
    return false;
}

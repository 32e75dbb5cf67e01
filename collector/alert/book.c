#include "collector/alert/book.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alert/spoof.h"

int book_init(struct alert *a)
{
    uint32_t n = a->conf.max_alerts, buckets = 16;
    while (buckets < n && buckets < UINT32_C(1) << 31)
        buckets *= 2;
    struct prf prf = prf_init(a->conf.seed, 2);
    a->key.k0 = prf_next(&prf);
    a->key.k1 = prf_next(&prf);
    a->mask = buckets - 1;
    a->entries = calloc(n, sizeof *a->entries);
    a->buckets = malloc(buckets * sizeof *a->buckets);
    a->queue = calloc(n, sizeof *a->queue);
    a->flaps = calloc(buckets, sizeof *a->flaps);
    a->moves = calloc(MOVES_MAX, sizeof *a->moves);
    a->tests = calloc(TESTS_KEPT, sizeof *a->tests);
    a->spoof = spoof_new(prf_next(&prf));
    if (a->entries == NULL || a->buckets == NULL || a->queue == NULL || a->flaps == NULL ||
        a->moves == NULL || a->tests == NULL || a->spoof == NULL)
        return -ENOMEM;
    memset(a->buckets, 0xff, buckets * sizeof *a->buckets);
    for (uint32_t i = 0; i < n; i++)
        a->entries[i].next = i + 1 < n ? i + 1 : BOOK_NONE;
    return 0;
}

void book_clear(struct alert *a)
{
    spoof_free(a->spoof);
    free(a->windows);
    free(a->tests);
    free(a->moves);
    free(a->flaps);
    free(a->queue);
    free(a->buckets);
    free(a->entries);
}

static void put_name(uint64_t *words, size_t room, const char *name)
{
    memcpy(words, name, strnlen(name, room * 8));
}

/* Never 0. A sensor is one wherever it stands: it may be taken to another point of presence. */
uint64_t book_subject(const struct alert *a, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, const char *sensor)
{
    uint64_t words[27] = {0};
    memcpy(words, prefix->addr.bytes, sizeof prefix->addr.bytes);
    words[2] = (uint64_t)prefix->addr.family << 8 | prefix->length;
    put_name(words + 3, 4, sensor[0] == '\0' ? pop : "");
    put_name(words + 7, 4, at->router);
    put_name(words + 11, 4, at->interface);
    put_name(words + 15, 8, sensor);
    words[23] = at->vlan;
    memcpy(words + 24, at->mac, sizeof at->mac);
    words[25] = at->peer_as;
    return hash_words(a->key, words, 27) | 1;
}

static bool same_text(const char *a, const char *b, size_t size)
{
    return strncmp(a, b, size) == 0;
}

bool book_is_about(const struct entry *e, const struct prefix *prefix, const char *pop,
                   const struct ingress *at, const char *sensor)
{
    return prefix_equal(&e->row.prefix, prefix) && same_text(e->row.sensor, sensor, 63) &&
           (sensor[0] != '\0' || same_text(e->row.pop, pop, 31)) && ingress_equal(&e->row.at, at);
}

struct entry *book_first(const struct alert *a, uint64_t subject)
{
    uint32_t i = a->buckets[(uint32_t)subject & a->mask];
    return i == BOOK_NONE ? NULL : &a->entries[i];
}

struct entry *book_next(const struct alert *a, const struct entry *e)
{
    return e->next == BOOK_NONE ? NULL : &a->entries[e->next];
}

struct entry *book_find(const struct alert *a, uint64_t subject, enum alert_kind kind,
                        const struct alert_row *like)
{
    for (struct entry *e = book_first(a, subject); e != NULL; e = book_next(a, e))
        if (e->subject == subject && e->kind == kind &&
            book_is_about(e, &like->prefix, like->pop, &like->at, like->sensor))
            return e;
    return NULL;
}

struct entry *book_add(struct alert *a, const struct alert_row *row, enum alert_kind kind,
                       uint64_t subject)
{
    if (a->first_free == BOOK_NONE)
        return NULL;
    uint32_t i = a->first_free, *bucket = &a->buckets[(uint32_t)subject & a->mask];
    struct entry *e = &a->entries[i];
    a->first_free = e->next;
    *e = (struct entry){
        .row = *row, .kind = kind, .subject = subject, .next = *bucket, .is_used = true};
    *bucket = i;
    a->live++;
    return e;
}

void book_end(struct alert *a, struct entry *e)
{
    uint32_t *link = &a->buckets[(uint32_t)e->subject & a->mask], i = (uint32_t)(e - a->entries);
    while (*link != i)
        link = &a->entries[*link].next;
    *link = e->next;
    a->live--;
}

void book_changed(struct alert *a, struct entry *e)
{
    if (e->is_changed)
        return;
    e->is_changed = true;
    a->queue[(a->queue_at + (uint64_t)a->queue_len++) % a->conf.max_alerts] =
        (uint32_t)(e - a->entries);
}

static void give_back(struct alert *a, uint32_t i)
{
    a->entries[i].is_used = false;
    a->entries[i].next = a->first_free;
    a->first_free = i;
}

/* What ended before anybody was told of it is not told of. */
bool alert_take(struct alert *a, struct alert_row *out, bool *announce)
{
    while (a->queue_len > 0) {
        uint32_t i = a->queue[a->queue_at];
        struct entry *e = &a->entries[i];
        a->queue_at = (uint32_t)((a->queue_at + UINT64_C(1)) % a->conf.max_alerts);
        a->queue_len--;
        bool is_known = e->was_taken || e->row.state != ALERT_RESOLVED;
        *out = e->row;
        *announce = e->is_new_state;
        e->is_changed = e->is_new_state = false;
        e->was_taken = true;
        if (e->row.state == ALERT_RESOLVED)
            give_back(a, i);
        if (is_known)
            return true;
    }
    return false;
}

bool alert_holds(const struct alert *a, const struct prefix *prefix, const char *pop,
                 const struct ingress *at)
{
    if (a->live == 0)
        return false;
    uint64_t subject = book_subject(a, prefix, pop, at, "");
    for (const struct entry *e = book_first(a, subject); e != NULL; e = book_next(a, e))
        if (e->subject == subject && book_is_about(e, prefix, pop, at, ""))
            return true;
    return false;
}

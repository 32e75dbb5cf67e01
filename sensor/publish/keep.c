#include "sensor/publish/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void keep_init(struct keep *k, uint64_t limit)
{
    memset(k, 0, sizeof *k);
    k->limit = limit;
    k->next_seq = 1;
}

static void free_oldest(struct keep *k)
{
    struct keep_batch *b = k->oldest;
    if (k->unsent == b) /* committed through another connection before it was sent again */
        k->unsent = b->next;
    else
        k->on_the_way--;
    k->oldest = b->next;
    if (k->oldest == NULL)
        k->newest = NULL;
    k->bytes -= sizeof *b + b->len;
    free(b);
}

void keep_clear(struct keep *k)
{
    while (k->oldest != NULL)
        free_oldest(k);
}

static bool fill_is_full(const struct keep *k)
{
    return k->filled >= WIRE_BATCH_BYTES || k->filled_count >= WIRE_BATCH_EVENTS;
}

bool keep_has_room(struct keep *k)
{
    if (fill_is_full(k) && keep_close(k) < 0)
        return false;
    return k->bytes + k->filled + sizeof(struct keep_batch) + WIRE_EVENT_MAX <= k->limit;
}

int keep_add(struct keep *k, const struct event *e, uint64_t now_ns)
{
    int len = wire_event_encode(e, k->fill + k->filled, sizeof k->fill - k->filled);
    if (len < 0)
        return len;
    if (k->filled_count == 0)
        k->filled_since = now_ns;
    k->filled += (size_t)len;
    k->filled_count++;
    k->next_seq++;
    return 0;
}

int keep_close(struct keep *k)
{
    if (k->filled_count == 0)
        return 0;
    struct keep_batch *b = malloc(sizeof *b + k->filled);
    if (b == NULL)
        return -ENOMEM;
    *b = (struct keep_batch){
        .first_seq = k->next_seq - k->filled_count, .count = k->filled_count, .len = k->filled};
    memcpy(b->events, k->fill, k->filled);
    if (k->newest != NULL)
        k->newest->next = b;
    else
        k->oldest = b;
    k->newest = b;
    if (k->unsent == NULL)
        k->unsent = b;
    k->bytes += sizeof *b + b->len;
    k->filled = 0;
    k->filled_count = 0;
    return 0;
}

const struct keep_batch *keep_unsent(const struct keep *k)
{
    return k->unsent;
}

void keep_sent(struct keep *k)
{
    k->unsent = k->unsent->next;
    k->on_the_way++;
}

int64_t keep_ack(struct keep *k, uint64_t seq)
{
    if (seq >= k->next_seq - k->filled_count)
        return ERR_FORMAT; /* never closed, so never sent */
    if (seq <= k->acked)
        return 0;
    int64_t fresh = (int64_t)(seq - k->acked);
    k->acked = seq;
    while (k->oldest != NULL && k->oldest->first_seq + k->oldest->count - 1 <= seq)
        free_oldest(k);
    return fresh;
}

void keep_go_back(struct keep *k)
{
    k->unsent = k->oldest;
    k->on_the_way = 0;
}

uint64_t keep_first_seq(const struct keep *k)
{
    return k->oldest != NULL ? k->oldest->first_seq : k->next_seq - k->filled_count;
}

uint64_t keep_unacked(const struct keep *k)
{
    return k->next_seq - 1 - k->acked;
}

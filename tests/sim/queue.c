#include "tests/sim/queue.h"

#include <stdlib.h>

static void *grown(void *old, size_t n, size_t size)
{
    void *p = realloc(old, n * size);
    if (p == NULL)
        abort();
    return p;
}

static void grow(struct queue *q, uint32_t room)
{
    q->heap = grown(q->heap, room, sizeof *q->heap);
    q->pool = grown(q->pool, room, sizeof *q->pool);
    q->free = grown(q->free, room, sizeof *q->free);
    for (uint32_t i = room; i > q->room; i--)
        q->free[q->free_count++] = i - 1;
    q->room = room;
}

void queue_init(struct queue *q)
{
    *q = (struct queue){0};
    grow(q, 1024);
}

void queue_clear(struct queue *q)
{
    free(q->heap);
    free(q->pool);
    free(q->free);
    *q = (struct queue){0};
}

void queue_empty(struct queue *q)
{
    q->count = q->free_count = q->order = 0;
    for (uint32_t i = q->room; i > 0; i--)
        q->free[q->free_count++] = i - 1;
}

static bool is_before(const struct queue_entry *a, const struct queue_entry *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void queue_push(struct queue *q, const struct happening *h)
{
    if (q->free_count == 0)
        grow(q, 2 * q->room);
    struct queue_entry e = {h->at_ns, q->order++, q->free[--q->free_count]};
    q->pool[e.slot] = *h;
    uint32_t i = q->count++;
    for (; i > 0 && is_before(&e, &q->heap[(i - 1) / 4]); i = (i - 1) / 4)
        q->heap[i] = q->heap[(i - 1) / 4];
    q->heap[i] = e;
}

/* Of the four below i the first; 0: none. */
static uint32_t first_child(const struct queue *q, uint32_t i)
{
    uint32_t best = 4 * i + 1;
    if (best >= q->count)
        return 0;
    for (uint32_t j = best + 1; j < 4 * i + 5 && j < q->count; j++)
        if (is_before(&q->heap[j], &q->heap[best]))
            best = j;
    return best;
}

struct happening queue_pop(struct queue *q)
{
    uint32_t slot = q->heap[0].slot, i = 0;
    q->free[q->free_count++] = slot;
    struct queue_entry last = q->heap[--q->count];
    for (;;) {
        uint32_t child = first_child(q, i);
        if (child == 0 || !is_before(&q->heap[child], &last))
            break;
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = last;
    return q->pool[slot];
}

/* Events of the simulated world in order of time; of equal times the one that was pushed first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SACKS 3

struct happening {
    uint64_t at_ns;
    uint8_t what;          /* the owner's enum */
    uint8_t flags;         /* TCP flags, or the owner's */
    uint16_t flow;         /* the owner's index */
    uint32_t life;         /* which of the flow's lives it belongs to */
    uint32_t seq, len;     /* of a packet: payload; else the owner's */
    uint32_t first, count; /* segments of the sender's own numbering; of an acknowledgement: next */
    uint32_t from[QUEUE_SACKS], to[QUEUE_SACKS];
};

struct queue_entry {
    uint64_t at_ns;
    uint32_t order, slot;
};

struct queue {
    struct queue_entry *heap;
    struct happening *pool;
    uint32_t *free;
    uint32_t count, free_count, room, order;
};

void queue_init(struct queue *q); /* aborts without memory, as all here: it is a test program */
void queue_clear(struct queue *q);
void queue_empty(struct queue *q); /* keeps the memory */
void queue_push(struct queue *q, const struct happening *h);
struct happening queue_pop(struct queue *q); /* not from an empty one */

/* When the next one is; UINT64_MAX: none. */
static inline uint64_t queue_next_ns(const struct queue *q)
{
    return q->count > 0 ? q->heap[0].at_ns : UINT64_MAX;
}

/* A ring with one writer thread and one reader thread, of fixed-size slots in one allocation.
 *
 * Each side's position stands on its own cache line beside a cached copy of the other's, so that
 * in the common case neither touches the other's line (the design of the AF_XDP rings and of
 * Firedancer's tango). A full ring refuses (ring_claim gives NULL): the writer keeps what it has
 * and nothing is lost. Slots are written and read in place.
 *
 *     writer: slot = ring_claim(r); fill *slot; ring_publish(r);
 *     reader: slot = ring_front(r); use *slot;  ring_release(r);  */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct ring {
    /* fixed after ring_init */
    unsigned char *slots;
    size_t slot_size;
    uint64_t mask;
    /* writer's line */
    alignas(64) _Atomic uint64_t head;
    uint64_t tail_seen;
    /* reader's line */
    alignas(64) _Atomic uint64_t tail;
    uint64_t head_seen;
};

/* count is rounded up to a power of two. -ENOMEM, or 0. */
int ring_init(struct ring *r, size_t slot_size, size_t count);
void ring_clear(struct ring *r);

/* Writer: the next free slot, or NULL when full. Claiming twice gives the same slot. */
static inline void *ring_claim(struct ring *r)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - r->tail_seen > r->mask) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head - r->tail_seen > r->mask)
            return NULL;
    }
    return r->slots + (head & r->mask) * r->slot_size;
}

static inline void ring_publish(struct ring *r)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

/* Reader: the oldest slot, or NULL when empty. */
static inline void *ring_front(struct ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == r->head_seen) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail == r->head_seen)
            return NULL;
    }
    return r->slots + (tail & r->mask) * r->slot_size;
}

static inline void ring_release(struct ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

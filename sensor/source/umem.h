/* UMEM: the memory that frames live in, and the stack of those that nobody has.
 *
 *                        ┌────────────── free stack (here) ◀─────────────┐
 *                        ▼                                               │
 *        outer fill ring ──kernel──▶ outer RX ring ──▶ worker ──drop─────┤
 *                                                        │               │
 *                                                     forward            │
 *                                                        ▼               │
 *                                    inner TX ring ──kernel──▶ inner completion ring
 *
 * A frame is in exactly one of these places. Chunks are 4,096 bytes: one page, the only size that
 * holds every frame of an MTU up to 3,498 (2,048 loses frames above 1,792 bytes without a word). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <xdp/xsk.h>

#include "shared/base/err.h"

#define UMEM_CHUNK 4096

/* Huge pages spare the core misses of its address cache, one for nearly every frame of 4 KiB pages.
 * UMEM_TRANSPARENT: they were asked for; the kernel gives them if it has them. */
enum umem_pages { UMEM_SMALL, UMEM_TRANSPARENT, UMEM_HUGE };

struct umem {
    uint8_t *area;
    uint64_t *free; /* addresses of chunks */
    uint32_t free_count, chunks;
    enum umem_pages pages;
    struct xsk_umem *xsk;
    struct xsk_ring_prod fill; /* of the port that receives */
    struct xsk_ring_cons completion;
};

/* Memory and registration; chunks all free. 0 or -errno. */
int umem_open(struct umem *u, uint32_t chunks, uint32_t ring_size);
void umem_close(struct umem *u); /* after its sockets; a zeroed struct is fine */

/* Gives a frame back; addr is anywhere in its chunk. */
static inline void umem_give(struct umem *u, uint64_t addr)
{
    u->free[u->free_count++] = addr & ~(uint64_t)(UMEM_CHUNK - 1);
}

/* Moves free frames into a fill ring, up to its room. */
void umem_feed(struct umem *u, struct xsk_ring_prod *fill);

/* Takes sent frames out of a completion ring. Returns how many. */
unsigned umem_reap(struct umem *u, struct xsk_ring_cons *completion);

#include "sensor/source/umem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define REAP_MAX  256
#define HUGE_PAGE (UINT64_C(2) << 20)

/* At a multiple of a huge page, or huge pages would not fit in; the rest goes back. */
static void *map_aligned(size_t size)
{
    size_t with_rest = size + HUGE_PAGE;
    uint8_t *all =
        mmap(NULL, with_rest, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return MAP_FAILED;
    size_t before = (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(all, before);
    munmap(all + before + size, with_rest - before - size);
    return all + before;
}

/* From the machine's pool of huge pages; else as the kernel gives them. All of it is touched now:
 * on this worker's core, and not when frames come. */
static void *map_area(size_t size, enum umem_pages *pages)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_HUGETLB;
    void *area = MAP_FAILED;
    *pages = UMEM_HUGE;
    if (size % HUGE_PAGE == 0)
        area = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (area != MAP_FAILED)
        return area;
    area = map_aligned(size);
    if (area == MAP_FAILED)
        return MAP_FAILED;
    *pages = madvise(area, size, MADV_HUGEPAGE) == 0 ? UMEM_TRANSPARENT : UMEM_SMALL;
    for (size_t at = 0; at < size; at += UMEM_CHUNK)
        ((volatile uint8_t *)area)[at] = 0;
    return area;
}

int umem_open(struct umem *u, uint32_t chunks, uint32_t ring_size)
{
    *u = (struct umem){.chunks = chunks};
    size_t size = (size_t)chunks * UMEM_CHUNK;
    struct xsk_umem_config config = {
        .fill_size = ring_size,
        .comp_size = ring_size,
        .frame_size = UMEM_CHUNK,
    };
    u->free = calloc(chunks, sizeof *u->free);
    if (u->free == NULL)
        return -ENOMEM;
    void *area = map_area(size, &u->pages);
    if (area == MAP_FAILED) {
        umem_close(u);
        return -ENOMEM;
    }
    u->area = area;
    int err = xsk_umem__create(&u->xsk, area, size, &u->fill, &u->completion, &config);
    if (err < 0) {
        u->xsk = NULL;
        umem_close(u);
        return err;
    }
    for (uint32_t i = chunks; i-- > 0;)
        umem_give(u, (uint64_t)i * UMEM_CHUNK);
    return 0;
}

void umem_close(struct umem *u)
{
    if (u->xsk != NULL)
        xsk_umem__delete(u->xsk);
    if (u->area != NULL)
        munmap(u->area, (size_t)u->chunks * UMEM_CHUNK);
    free(u->free);
    *u = (struct umem){0};
}

void umem_feed(struct umem *u, struct xsk_ring_prod *fill)
{
    if (u->free_count == 0)
        return;
    uint32_t first = 0, n = xsk_prod_nb_free(fill, u->free_count);
    if (n > u->free_count)
        n = u->free_count;
    if (n == 0 || xsk_ring_prod__reserve(fill, n, &first) != n)
        return;
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__fill_addr(fill, first + i) = u->free[--u->free_count];
    xsk_ring_prod__submit(fill, n);
}

unsigned umem_reap(struct umem *u, struct xsk_ring_cons *completion)
{
    uint32_t first = 0, n = xsk_ring_cons__peek(completion, REAP_MAX, &first);
    for (uint32_t i = 0; i < n; i++)
        umem_give(u, *xsk_ring_cons__comp_addr(completion, first + i));
    if (n > 0)
        xsk_ring_cons__release(completion, n);
    return n;
}

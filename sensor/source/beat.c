#include "sensor/source/beat.h"

#include <assert.h>
#include <sys/mman.h>
#include <time.h>

#include "shared/base/clock.h"

#define BEATS_SIZE (XDP_QUEUES_MAX * sizeof(struct xdp_beat))

static_assert(sizeof(struct xdp_beat) == 64, "one cache line per queue");
static_assert(BEATS_SIZE % 4096 == 0, "the kernel maps whole pages");

struct xdp_beat *beats_map(int fd)
{
    void *beats = mmap(NULL, BEATS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return beats != MAP_FAILED ? beats : NULL;
}

void beats_unmap(struct xdp_beat *beats)
{
    if (beats != NULL)
        munmap(beats, BEATS_SIZE);
}

uint64_t beat(struct xdp_beat *b, uint64_t now_ns)
{
    uint64_t before = b->at_ns; /* nobody else writes it */
    /* The kernel names its own types; both sides are 64 bits and aligned. */
    __atomic_store_n(&b->at_ns, now_ns, __ATOMIC_RELAXED);
    if (before != 0 && now_ns > before + XDP_BEAT_MAX_NS)
        nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
    return __atomic_load_n(&b->passed, __ATOMIC_RELAXED);
}

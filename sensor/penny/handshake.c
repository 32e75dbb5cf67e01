#include "sensor/penny/handshake.h"

#include <errno.h>
#include <stdlib.h>

#define STALE_NS    UINT64_C(10000000000)
#define ENTRIES_MAX (1u << 16)

int handshakes_init(struct handshakes *h, uint32_t flows)
{
    uint32_t entries = 64;
    while (entries < flows && entries < ENTRIES_MAX)
        entries *= 2;
    *h = (struct handshakes){calloc(entries, sizeof *h->entries), entries - 1};
    return h->entries != NULL ? 0 : -ENOMEM;
}

void handshakes_clear(struct handshakes *h)
{
    free(h->entries);
    *h = (struct handshakes){0};
}

static struct handshake *entry_of(const struct handshakes *h, uint64_t hash)
{
    return &h->entries[hash & h->mask];
}

void handshake_syn(struct handshakes *h, uint64_t hash, uint64_t now_ns)
{
    struct handshake *e = entry_of(h, hash);
    if (e->hash == hash && e->trip_ns == 0 && now_ns - e->syn_ns < STALE_NS)
        return;
    *e = (struct handshake){.hash = hash, .syn_ns = now_ns};
}

void handshake_after(struct handshakes *h, uint64_t hash, uint64_t now_ns)
{
    struct handshake *e = entry_of(h, hash);
    if (e->hash == hash && e->syn_ns != 0 && e->trip_ns == 0 && now_ns - e->syn_ns < STALE_NS)
        e->trip_ns = now_ns > e->syn_ns ? now_ns - e->syn_ns : 1;
}

uint64_t handshake_trip(const struct handshakes *h, uint64_t hash)
{
    const struct handshake *e = entry_of(h, hash);
    return e->hash == hash && e->trip_ns != 0 ? e->trip_ns : TRIP_UNKNOWN;
}

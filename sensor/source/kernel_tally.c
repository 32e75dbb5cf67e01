#include "sensor/source/kernel_tally.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "bpf/xdp_abi.h"

/* Cells per system call: far more than one hash bucket ever holds, which is the kernel's minimum.
 */
#define CELLS_PER_BATCH 1024

int kernel_tally_init(struct kernel_tally *t)
{
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        return cpus;
    t->cpus = (unsigned)cpus;
    t->keys = calloc(CELLS_PER_BATCH, sizeof(struct xdp_tally_key));
    t->values = calloc((size_t)CELLS_PER_BATCH * t->cpus, sizeof(struct xdp_tally_cell));
    t->cache = calloc(t->cpus, sizeof(struct xdp_tally_cache));
    t->cached = calloc((size_t)XDP_TALLY_LINES * t->cpus, sizeof *t->cached);
    if (t->keys != NULL && t->values != NULL && t->cache != NULL && t->cached != NULL)
        return 0;
    kernel_tally_clear(t);
    return -ENOMEM;
}

void kernel_tally_clear(struct kernel_tally *t)
{
    free(t->keys);
    free(t->values);
    free(t->cache);
    free(t->cached);
    t->keys = t->values = t->cache = NULL;
    t->cached = NULL;
}

static struct prefix prefix_from(const struct kernel_tally *t, uint8_t family, const void *bytes)
{
    struct addr a = family == ADDR_V4 ? addr_v4(bytes) : addr_v6(bytes);
    return prefix_of(&a, family == ADDR_V4 ? t->v4_length : t->v6_length);
}

static struct source_tally sum_cell(const struct kernel_tally *t, const struct xdp_tally_key *key,
                                    const struct xdp_tally_cell *per_cpu)
{
    struct source_tally out = {
        .src = prefix_from(t, key->family, key->addr),
        .ingress = key->ingress,
    };
    for (unsigned cpu = 0; cpu < t->cpus; cpu++) {
        out.packets += per_cpu[cpu].packets;
        out.bytes += per_cpu[cpu].bytes;
        for (unsigned i = 0; i < 4; i++)
            out.flow_bits[i] |= per_cpu[cpu].flow_bits[i];
    }
    return out;
}

/* ---- the cache */

static struct source_tally cell_of(const struct kernel_tally *t, const struct xdp_tally_line *line)
{
    struct source_tally out = {
        .src = prefix_from(t, (uint8_t)(line->tag >> 16), line->addr),
        .ingress = (uint16_t)line->tag,
        .packets = line->packets,
        .bytes = line->bytes,
    };
    for (unsigned i = 0; i < 4; i++)
        out.flow_bits[i] = line->flow_bits[i];
    return out;
}

static void add(struct source_tally *to, const struct source_tally *from)
{
    to->packets += from->packets;
    to->bytes += from->bytes;
    for (unsigned i = 0; i < 4; i++)
        to->flow_bits[i] |= from->flow_bits[i];
}

static int compare(const void *a, const void *b)
{
    const struct source_tally *x = a, *y = b;
    int order = prefix_compare(&x->src, &y->src);
    return order != 0 ? order : (x->ingress > y->ingress) - (x->ingress < y->ingress);
}

/* Of equal neighbours, which several CPUs have counted, one is left. */
static size_t merge(struct source_tally *cells, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && compare(&cells[kept - 1], &cells[i]) == 0)
            add(&cells[kept - 1], &cells[i]);
        else
            cells[kept++] = cells[i];
    }
    return kept;
}

/* Not kept unless it is sure that it is cleared: better late than twice. */
static int take_cache(struct kernel_tally *t, uint32_t which)
{
    struct xdp_tally_cache *cache = t->cache;
    size_t n = 0;
    t->cached_count = 0;
    int err = bpf_map_lookup_elem(t->caches_fd, &which, cache);
    if (err < 0)
        return err;
    for (size_t i = 0; i < (size_t)XDP_TALLY_LINES * t->cpus; i++) {
        const struct xdp_tally_line *line = &cache[i / XDP_TALLY_LINES].line[i % XDP_TALLY_LINES];
        if (line->packets != 0)
            t->cached[n++] = cell_of(t, line);
    }
    memset(cache, 0, t->cpus * sizeof *cache);
    err = bpf_map_update_elem(t->caches_fd, &which, cache, BPF_ANY);
    if (err < 0)
        return err;
    qsort(t->cached, n, sizeof *t->cached, compare);
    t->cached_count = merge(t->cached, n);
    return 0;
}

/* What the cache held of this cell's prefix joins it. */
static void join_cached(const struct kernel_tally *t, struct source_tally *cell)
{
    struct source_tally *line =
        bsearch(cell, t->cached, t->cached_count, sizeof *t->cached, compare);
    if (line == NULL)
        return;
    add(cell, line);
    line->packets = 0;
}

/* ---- both */

static void hand_out(const struct kernel_tally *t, unsigned count,
                     void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    const struct xdp_tally_key *keys = t->keys;
    const struct xdp_tally_cell *values = t->values;
    for (unsigned i = 0; i < count; i++) {
        struct source_tally cell = sum_cell(t, &keys[i], &values[(size_t)i * t->cpus]);
        join_cached(t, &cell);
        each(arg, &cell);
    }
}

static int hand_out_cells(const struct kernel_tally *t, int cells_fd,
                          void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    uint32_t position = 0;
    void *from = NULL;
    int err;
    do {
        uint32_t count = CELLS_PER_BATCH;
        err = bpf_map_lookup_and_delete_batch(cells_fd, from, &position, t->keys, t->values, &count,
                                              NULL);
        if (err == 0 || err == -ENOENT)
            hand_out(t, count, each, arg);
        from = &position;
    } while (err == 0);
    return err == -ENOENT ? 0 : err; /* ENOENT: that was the last batch */
}

static void hand_out_cached(const struct kernel_tally *t,
                            void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    for (size_t i = 0; i < t->cached_count; i++)
        if (t->cached[i].packets != 0)
            each(arg, &t->cached[i]);
}

/* The word first, so that the system call waits for who read it before. */
static int change_generation(struct kernel_tally *t)
{
    uint32_t zero = 0, next = 1 - t->active;
    __atomic_store_n(t->turn, next, __ATOMIC_SEQ_CST);
    int err = bpf_map_update_elem(t->slot_fd, &zero, &t->cells_fd[next], BPF_ANY);
    if (err < 0)
        __atomic_store_n(t->turn, t->active, __ATOMIC_SEQ_CST);
    else
        t->active = next;
    return err;
}

int kernel_tally_take(struct kernel_tally *t,
                      void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    int err = change_generation(t);
    if (err < 0)
        return err;
    unsigned old = 1 - t->active;
    int cache_err = take_cache(t, old);
    err = hand_out_cells(t, t->cells_fd[old], each, arg);
    hand_out_cached(t, each, arg);
    return err < 0 ? err : cache_err;
}

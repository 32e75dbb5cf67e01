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
    if (t->keys != NULL && t->values != NULL)
        return 0;
    kernel_tally_clear(t);
    return -ENOMEM;
}

void kernel_tally_clear(struct kernel_tally *t)
{
    free(t->keys);
    free(t->values);
    t->keys = t->values = NULL;
}

static struct source_tally sum_cell(const struct kernel_tally *t, const struct xdp_tally_key *key,
                                    const struct xdp_tally_cell *per_cpu)
{
    struct addr a = key->family == ADDR_V4 ? addr_v4(key->addr) : addr_v6(key->addr);
    struct source_tally out = {
        .src = prefix_of(&a, key->family == ADDR_V4 ? t->v4_length : t->v6_length),
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

static void hand_out(const struct kernel_tally *t, unsigned count,
                     void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    const struct xdp_tally_key *keys = t->keys;
    const struct xdp_tally_cell *values = t->values;
    for (unsigned i = 0; i < count; i++) {
        struct source_tally cell = sum_cell(t, &keys[i], &values[(size_t)i * t->cpus]);
        each(arg, &cell);
    }
}

int kernel_tally_take(struct kernel_tally *t,
                      void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    uint32_t zero = 0, position = 0;
    int old = t->cells_fd[t->active], next = t->cells_fd[1 - t->active];
    int err = bpf_map_update_elem(t->slot_fd, &zero, &next, BPF_ANY);
    if (err < 0)
        return err;
    t->active = 1 - t->active;
    void *from = NULL;
    do {
        uint32_t count = CELLS_PER_BATCH;
        err =
            bpf_map_lookup_and_delete_batch(old, from, &position, t->keys, t->values, &count, NULL);
        if (err == 0 || err == -ENOENT)
            hand_out(t, count, each, arg);
        from = &position;
    } while (err == 0);
    return err == -ENOENT ? 0 : err; /* ENOENT: that was the last batch */
}

/* Kernel tally: takes the counts out of the XDP program's cells and the cache before them, and
 * loses none.
 *
 * There are two generations of both. Which cache is counted into, a word says that the program
 * reads; which cells, a map of maps: putting the others there is a system call that returns only
 * when no running program can still hold the first ones, or have read the word before it changed.
 * From then on they are ours alone: read, delete, done. In between a program may hold the one's
 * cache and the other's cells: then a line moves to the other generation, and is counted there. */
#pragma once

#include "sensor/source/source.h"

struct kernel_tally {
    int slot_fd, cells_fd[2], caches_fd; /* borrowed */
    volatile uint32_t *turn;             /* borrowed: the program's own memory */
    unsigned active;                     /* which cells and cache are being counted into */
    unsigned v4_length, v6_length;
    unsigned cpus;
    void *keys, *values;         /* one batch of cells */
    void *cache;                 /* all CPUs' */
    struct source_tally *cached; /* what it held, sorted, one per prefix and ingress */
    size_t cached_count;
};

/* The descriptors, turn, lengths and active are set by the caller. 0 or -ENOMEM. */
int kernel_tally_init(struct kernel_tally *t);
void kernel_tally_clear(struct kernel_tally *t);

/* Each prefix and ingress comes once. 0 or -errno; what could not be read stays for the next call
 * but one. */
int kernel_tally_take(struct kernel_tally *t,
                      void (*each)(void *arg, const struct source_tally *cell), void *arg);

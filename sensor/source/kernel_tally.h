/* Kernel tally: takes the counts out of the XDP program's cells, and loses none.
 *
 * There are two generations of cells. The program counts into the one that stands in a map of maps;
 * putting the other there is a system call that returns only when no running program can still hold
 * the first. From then on it is ours alone: read, delete, done. */
#pragma once

#include "sensor/source/source.h"

struct kernel_tally {
    int slot_fd, cells_fd[2]; /* borrowed */
    unsigned active;          /* which cells are being counted into */
    unsigned v4_length, v6_length;
    unsigned cpus;
    void *keys, *values; /* one batch */
};

/* The descriptors, lengths and active are set by the caller. 0 or -ENOMEM. */
int kernel_tally_init(struct kernel_tally *t);
void kernel_tally_clear(struct kernel_tally *t);

/* 0 or -errno; what could not be read stays for the next call but one. */
int kernel_tally_take(struct kernel_tally *t,
                      void (*each)(void *arg, const struct source_tally *cell), void *arg);

/* Reads the kernel's tally on a thread of its own.
 *
 * Taking the counts out of the kernel waits for running programs to let go of them, and copies up
 * to tens of thousands of cells: tens of milliseconds, in which a queue of watched packets would
 * run over. So worker 0 asks here, goes on with its packets, and adds the cells in small portions
 * once they are there. All calls are worker 0's; the cells belong to the thread while it reads,
 * and to the worker else. */
#pragma once

#include "sensor/source/source.h"

struct kernel_reader;

/* ops and group are borrowed. 0 or -errno. */
int kernel_reader_new(const struct source_ops *ops, struct source_group *group,
                      struct kernel_reader **out);
void kernel_reader_free(struct kernel_reader *r); /* waits for a reading under way; NULL is fine */

/* Begins a reading; the last one's cells must all be taken. */
void kernel_reader_ask(struct kernel_reader *r);
void kernel_reader_wait(struct kernel_reader *r); /* until the reading is done */

/* Is a reading under way, or are there cells of it to take? */
bool kernel_reader_is_busy(const struct kernel_reader *r);

/* The next cell, or NULL: none left, or none yet. Borrowed until the next call. */
const struct source_tally *kernel_reader_next(struct kernel_reader *r);

uint64_t kernel_reader_lost(const struct kernel_reader *r); /* packets for which memory failed */

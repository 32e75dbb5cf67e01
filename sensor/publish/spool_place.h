/* Where a spool stands: its folder, who holds it, room on the disk. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

struct spool_place {
    char folder[PATH_MAX]; /* of LMDB's files */
    int lock_fd;           /* -1: a place of the process's own */
    bool is_own;
};

/* Makes the folder (0700) and takes the lock; state_dir "" makes a place in /tmp. ERR_BUSY, -errno,
 * with a note. */
int spool_place_open(const char *state_dir, const char *sensor, struct spool_place *out,
                     struct note *note);
void spool_place_close(struct spool_place *p);

bool spool_place_has_data(const struct spool_place *p);

/* Renames the folder to spool.corrupt-TIME and makes an empty one; logs it. -errno with a note. */
int spool_place_set_aside(struct spool_place *p, const char *state_dir, const char *why,
                          struct note *note);

/* Once LMDB has its files open: a place of the process's own loses its name, so that nothing is
 * left however the process ends; another's names are made durable. */
int spool_place_settle(struct spool_place *p, const char *state_dir);

/* Has the disk set aside the first `want` bytes of the file. 0; -ENOSPC: it has no room (a quota
 * and a file size limit are such, too). A file system that cannot say is believed. *have: length of
 * the file, at least. */
int spool_place_reserve(int fd, uint64_t want, uint64_t *have);

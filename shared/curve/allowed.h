/* Who may connect: the certificates in a folder (collector.sensors, alerts.feeds: subscribers), one
 * file each.
 *
 * A file allows the key that is in it to be who its metadata name; a sensor at the pop that they
 * name, too. Names and keys are unique; of two files that claim the same one the first in the order
 * of their names stands. A file that is not usable allows nobody, is told with its reason, and
 * harms no other. Hidden files are skipped (that is how a file is written before it has its name).
 *
 * The folder is looked at, not watched: a stat of each file, a millisecond for five hundred, finds
 * every change, also those that a descriptor of inotify would lose (another file system, a folder
 * that was moved away). */
#pragma once

#include <stdint.h>

#include "shared/base/err.h"
#include "shared/curve/curve.h"

#define ALLOWED_MAX 4096
#define ALLOWED_POP 31 /* as in sensor_started */

enum allowed_who { ALLOWED_SENSORS, ALLOWED_SUBSCRIBERS };

struct allowed_key {
    char key[CURVE_TEXT]; /* public */
    char name[CURVE_NAME], pop[CURVE_NAME];
    char file[256];    /* without its folder */
    bool is_connected; /* let in since the door was opened */
};

struct allowed {
    struct allowed_key *list;
    size_t count, room;
};

void allowed_clear(struct allowed *a);

/* NULL: nobody. Borrowed until the next allowed_read. */
struct allowed_key *allowed_find(const struct allowed *a, const char *key);

/* Told of each file that allows nobody, and why. */
typedef void allowed_complain(void *ctx, const char *file, const char *reason);

/* Reads the folder into *a, which is empty. ERR_CONF: there is no such folder; else -errno, -ENOMEM
 * or ERR_FULL: nothing can be said about who may connect, *a is empty. complain may be NULL. */
int allowed_read(struct allowed *a, const char *folder, enum allowed_who kind,
                 allowed_complain *complain, void *ctx, struct note *note);

/* A number that differs when any file of the folder was written, replaced, added or taken away.
 * *is_settled: false when the last change is so young that another one within the same tick of the
 * file system's clock would not show. 0 or -errno. */
int allowed_print(const char *folder, uint64_t *print, bool *is_settled);

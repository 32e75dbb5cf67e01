/* Pins: what keeps our programs attached when our process is not there.
 *
 *   pin_dir/4026531840-eth1/link-outer  link-inner  map-stats  map-watched4  …
 *           │          └ the outer port
 *           └ inode of the network namespace: two sensors in two namespaces share one bpffs, and
 *             their interfaces may have equal names
 *
 * A pinned link stays attached until its pin is removed. Its folder is therefore what a restart
 * takes over, and what source_afxdp_remove() takes away. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

#define PIN_PATH 320

/* The folder's path for this interface in this thread's network namespace. 0 or -errno. */
int pin_folder(const char *pin_dir, const char *interface, char path[static PIN_PATH],
               struct note *note);

/* Makes dir a mounted bpffs if it is none, and the folder in it. 0, or an error with a note. */
int pin_prepare(const char *pin_dir, const char *folder, struct note *note);

/* Pins fd as folder/name, replacing what was there. 0 or an error with a note. */
int pin_put(const char *folder, const char *name, int fd, struct note *note);

/* The pinned object's descriptor, or -errno. */
int pin_get(const char *folder, const char *name);

void pin_drop(const char *folder, const char *name);

/* Removes all pins in the folder and the folder; links are detached at once. 0 also when there is
 * no such folder. */
int pin_clear(const char *folder, struct note *note);

/* A word beside the pins (as a symbolic link, which is all that a bpffs can hold besides pins).
 * pin_named: 0 and text, or -errno when there is none. */
int pin_name(const char *folder, const char *name, const char *text, struct note *note);
int pin_named(const char *folder, const char *name, char *text, size_t room);

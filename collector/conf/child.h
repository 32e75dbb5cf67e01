/* Runs a program, without a shell, and reads what it prints. Private to this folder. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define CHILD_SAID 200

/* argv[0] is looked for in PATH. What it writes to its output goes to each, in pieces; the first
 * line of its complaints that has `word` (or else the first of all) stands in said. It is killed
 * when each fails, after timeout_ns, and when *stop becomes true.
 *
 * 0 when it ended with status 0; else a note and each's error, ERR_CONF (it is not there, it
 * failed, it took too long), ERR_END (stopped), -ENOMEM, -errno. Good from any thread. */
int child_read(const char *const argv[], uint64_t timeout_ns, const atomic_bool *stop,
               const char *word, int (*each)(void *arg, const char *bytes, size_t len), void *arg,
               char said[static CHILD_SAID], struct note *note);

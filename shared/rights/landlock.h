/* Landlock through raw system calls: the C library has no names for them, and the headers of the
 * oldest supported system know fewer rights than its kernel may have. */
#pragma once

#include "shared/rights/rights.h"

/* A ruleset that allows the paths and nothing else: a descriptor to close, or -errno (-ENOSYS,
 * -EOPNOTSUPP: this kernel has no Landlock, or has it switched off). */
int landlock_make(const struct rights_path *paths, size_t n);

/* Binds the calling thread to it, for ever; no_new_privs must be set. Safe in a signal handler. 0
 * or -errno. */
int landlock_bind(int ruleset);

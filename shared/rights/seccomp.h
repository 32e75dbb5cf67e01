/* A list of system calls that answer EPERM from now on, in all threads (SECCOMP_FILTER_FLAG_TSYNC).
 * A deny list: a forgotten entry is a door left open, where an allow list would be a sensor that
 * dies of the next C library. */
#pragma once

#include <stdbool.h>

/* Needs no_new_privs; gives it to all threads. may_execute: other programs may be run, under the
 * same list. 0 or -errno (-EOPNOTSUPP: no list for this machine).
 */
int seccomp_deny(bool may_execute);

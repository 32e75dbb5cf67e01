/* Rights: what a process gives up once it has what it needs.
 *
 * Four things, in every thread that there is; threads that start later inherit them:
 *
 *   capabilities  all but a few go; the bounding and ambient sets are emptied (libcap-ng)
 *   user          another one, if asked for; the kept capabilities stay
 *   files         Landlock: nothing but the listed paths can be opened, nothing can be executed
 *   system calls  seccomp: what neither program ever does (exec, mount, modules, tracing, new
 *                 namespaces, BPF programs) answers EPERM
 *
 * and no_new_privs, so that none of it ever comes back. What is open stays open and works.
 *
 * Call it early, while there are few threads: threads that are not our own (DPDK's, say) are
 * reduced through a signal, lose every capability, and must not block it. A kernel without Landlock
 * or seccomp is logged and no error; capabilities that cannot be given up are one.
 *
 * Landlock: Documentation/userspace-api/landlock.rst of the kernel; used as far as ABI 5. */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define RIGHTS_BIT(capability) (UINT64_C(1) << (capability))

enum rights_access {
    RIGHTS_READ,   /* files and folders under it */
    RIGHTS_WRITE,  /* the same; and make, change and remove them */
    RIGHTS_DEVICE, /* read, write and control devices under it */
};

struct rights_path {
    const char *path; /* a file, or a folder with all under it; one that is not there is skipped */
    enum rights_access access;
};

struct rights {
    uint64_t keep;    /* RIGHTS_BIT()s; kept where the process has them */
    const char *user; /* name of the user to become; NULL or "": stay */
    const struct rights_path *paths;
    size_t path_count; /* 0: Landlock is not used */
    bool may_execute;  /* programs may be run, which inherit all the rest */
};

/* 0, or with a note -EPERM: this process may not become that user; ERR_CONF: there is no such user;
 * ERR_KERNEL. After an error the process may have lost some rights already: end it. */
int rights_reduce(const struct rights *rights, struct note *note);

/* Those of the wanted capabilities that this thread cannot use, as " CAP_A CAP_B"; "" for none.
 * Returns text. */
const char *rights_missing(uint64_t wanted, char *text, size_t size);

#include "shared/rights/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Younger than the oldest headers that we build with. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* ABI 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#endif

#define FIRST (LANDLOCK_ACCESS_FS_REFER - 1) /* ABI 1: every bit below */
#define READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define DEVICE                                                                                    \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE | \
     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
#define WRITE                                                                                  \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |                      \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER)
/* What a rule about a file, not a folder, may name. */
#define OF_FILE                                                                                   \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | \
     LANDLOCK_ACCESS_FS_IOCTL_DEV)

/* All that this kernel can forbid. */
static uint64_t known(int abi)
{
    uint64_t rights = FIRST;
    if (abi >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    return rights;
}

static uint64_t allowed(enum rights_access access)
{
    switch (access) {
    case RIGHTS_READ:
        return READ;
    case RIGHTS_WRITE:
        return WRITE;
    case RIGHTS_DEVICE:
        return DEVICE;
    }
    return 0;
}

static int add(int ruleset, const struct rights_path *p, uint64_t handled)
{
    struct stat s;
    int fd = open(p->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    uint64_t rights = allowed(p->access) & handled;
    if (fstat(fd, &s) == 0 && !S_ISDIR(s.st_mode))
        rights &= OF_FILE;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    int err = 0;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        err = -errno;
    close(fd);
    return err;
}

int landlock_make(const struct rights_path *paths, size_t n)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0)
        return -errno;
    struct landlock_ruleset_attr handled = {.handled_access_fs = known(abi)};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; i < n; i++) {
        int err = add(ruleset, &paths[i], handled.handled_access_fs);
        if (err < 0) {
            close(ruleset);
            return err;
        }
    }
    return ruleset;
}

int landlock_bind(int ruleset)
{
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : -errno;
}

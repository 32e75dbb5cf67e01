#include "sensor/publish/spool_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/log.h"

/* ---- the lock ---- */

static int busy(int fd, const char *state_dir, struct note *note)
{
    char who[128] = "";
    ssize_t n = pread(fd, who, sizeof who - 1, 0);
    who[n > 0 ? n : 0] = '\0';
    who[strcspn(who, "\n")] = '\0';
    return note_set(note, ERR_BUSY,
                    "sensor.state_dir: %s/spool is held by %s: one sensor per folder; stop that "
                    "one, or name another folder",
                    state_dir, who[0] != '\0' ? who : "another process");
}

/* A process that was killed may take a moment to end. */
static int wait_for_lock(int fd)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    for (int i = 0; i < 50; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return -EWOULDBLOCK;
}

/* flock() and not fcntl(): it belongs to the open file, so that no other close ends it. */
static int take_lock(const char *state_dir, const char *sensor, int *out, struct note *note)
{
    char path[PATH_MAX], who[128];
    snprintf(path, sizeof path, "%.4000s/spool.lock", state_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return note_set(note, -errno, "sensor.state_dir: user %u cannot open %s: %s (chown -R)",
                        (unsigned)geteuid(), path, strerror(errno));
    int err = wait_for_lock(fd);
    if (err != 0) {
        err = err == -EWOULDBLOCK ? busy(fd, state_dir, note)
                                  : note_set(note, err, "sensor.state_dir: cannot lock %s: %s",
                                             path, strerror(-err));
        close(fd);
        return err;
    }
    int len = snprintf(who, sizeof who, "process %ld (sensor %s)\n", (long)getpid(), sensor);
    /* who cannot write this on a full disk has the lock all the same */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, who, (size_t)len, 0) != len)
        log_debug("event=lock_unsigned file=%s", path);
    *out = fd;
    return 0;
}

/* ---- the folder ---- */

static int make_own(struct spool_place *p, struct note *note)
{
    strcpy(p->folder, "/tmp/penstock-spool-XXXXXX");
    p->is_own = true;
    if (mkdtemp(p->folder) != NULL)
        return 0;
    int err = -errno;
    p->folder[0] = '\0';
    return note_set(note, err, "cannot make a folder for the spool in /tmp: %s", strerror(-err));
}

static int make_folder(const struct spool_place *p, struct note *note)
{
    if (mkdir(p->folder, 0700) == 0 || errno == EEXIST)
        return 0;
    return note_set(note, -errno, "sensor.state_dir: cannot make %s: %s", p->folder,
                    strerror(errno));
}

int spool_place_open(const char *state_dir, const char *sensor, struct spool_place *out,
                     struct note *note)
{
    *out = (struct spool_place){.lock_fd = -1};
    if (state_dir[0] == '\0')
        return make_own(out, note);
    snprintf(out->folder, sizeof out->folder, "%.4000s/spool", state_dir);
    int err = take_lock(state_dir, sensor, &out->lock_fd, note);
    if (err == 0)
        err = make_folder(out, note);
    if (err != 0)
        spool_place_close(out);
    return err;
}

static void remove_own(const struct spool_place *p)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    char path[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%.4000s/%s", p->folder, files[i]);
        unlink(path);
    }
    rmdir(p->folder);
}

void spool_place_close(struct spool_place *p)
{
    if (p->is_own && p->folder[0] != '\0')
        remove_own(p);
    if (!p->is_own && p->lock_fd >= 0)
        close(p->lock_fd);
    p->lock_fd = -1;
}

bool spool_place_has_data(const struct spool_place *p)
{
    char path[PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%.4000s/data.mdb", p->folder);
    return stat(path, &s) == 0;
}

/* ---- damage ---- */

int spool_place_set_aside(struct spool_place *p, const char *state_dir, const char *why,
                          struct note *note)
{
    char aside[PATH_MAX], when[32], quoted[sizeof note->text];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    int err = -EEXIST;
    for (int i = 0; i < 100 && (err == -EEXIST || err == -ENOTEMPTY); i++) {
        snprintf(aside, sizeof aside, "%.4000s/spool.corrupt-%s%s%.0d", state_dir, when,
                 i > 0 ? "-" : "", i);
        err = rename(p->folder, aside) == 0 ? 0 : -errno;
    }
    if (err != 0)
        return note_set(note, err, "the spool is damaged (%s), and cannot be set aside as %s: %s",
                        why, aside, strerror(-err));
    log_error("event=spool_damaged folder=%s reason=\"%s\" hint=\"what it held and the collector "
              "has not is lost; penstock-sensor goes on with an empty one\"",
              aside, log_quotable(why, quoted, sizeof quoted));
    return make_folder(p, note);
}

/* ---- names and room ---- */

/* A file's name is durable when its folder is. */
static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
    close(fd);
    return err;
}

int spool_place_settle(struct spool_place *p, const char *state_dir)
{
    if (p->is_own) {
        remove_own(p);
        p->folder[0] = '\0';
        return 0;
    }
    int err = sync_folder(p->folder);
    return err == 0 ? sync_folder(state_dir) : err;
}

int spool_place_reserve(int fd, uint64_t want, uint64_t *have)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return -errno;
    *have = (uint64_t)s.st_size;
    if (*have >= want)
        return 0;
    int err = fallocate(fd, 0, (off_t)*have, (off_t)(want - *have)) == 0 ? 0 : -errno;
    if (fstat(fd, &s) == 0)
        *have = (uint64_t)s.st_size; /* a part may have been given */
    if (err == -ENOSPC || err == -EDQUOT || err == -EFBIG)
        return -ENOSPC;
    if (err != 0)
        *have = want;
    return 0;
}

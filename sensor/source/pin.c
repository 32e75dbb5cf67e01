#include "sensor/source/pin.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS_MAGIC 0xcafe4a11

/* bpffs reserves the dot, which interface names may contain (eth1.101). */
static void escape(const char *interface, char *out, size_t room)
{
    size_t n = 0;
    for (; *interface != '\0' && n + 4 < room; interface++)
        n += (size_t)snprintf(out + n, room - n, *interface == '.' ? "%%2e" : "%c", *interface);
    out[n] = '\0';
}

int pin_folder(const char *pin_dir, const char *interface, char path[static PIN_PATH],
               struct note *note)
{
    struct stat ns;
    char name[64];
    if (stat("/proc/thread-self/ns/net", &ns) != 0)
        return note_set(note, -errno, "cannot tell the network namespace: /proc: %s",
                        strerror(errno));
    escape(interface, name, sizeof name);
    snprintf(path, PIN_PATH, "%s/%lu-%s", pin_dir, (unsigned long)ns.st_ino, name);
    return 0;
}

static int make_folders(const char *path)
{
    char part[PIN_PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1;; slash++) {
        slash = strchr(slash, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return -errno;
        if (slash == NULL)
            return 0;
        *slash = '/';
    }
}

static bool is_bpffs(const char *dir)
{
    struct statfs fs;
    return statfs(dir, &fs) == 0 && (unsigned long)fs.f_type == BPFFS_MAGIC;
}

static int mount_bpffs(const char *dir, struct note *note)
{
    int err = make_folders(dir);
    if (err < 0)
        return note_set(note, err, "source.pin_dir: cannot make %s: %s", dir, strerror(-err));
    if (is_bpffs(dir) ||
        mount("bpf", dir, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
        return 0;
    return note_set(note, -errno,
                    "source.pin_dir: cannot mount a bpffs at %s: %s: start as root once, or let "
                    "root do `mount -t bpf bpf %s`",
                    dir, strerror(errno), dir);
}

int pin_prepare(const char *pin_dir, const char *folder, struct note *note)
{
    int err = mount_bpffs(pin_dir, note);
    if (err < 0)
        return err;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return note_set(note, -errno,
                        "source.pin_dir: cannot make %s: %s: %s must belong to user %u, who runs "
                        "this sensor (chown)",
                        folder, strerror(errno), pin_dir, (unsigned)geteuid());
    return 0;
}

static const char *join(char path[static PIN_PATH], const char *folder, const char *name)
{
    snprintf(path, PIN_PATH, "%.250s/%.60s", folder, name);
    return path;
}

int pin_put(const char *folder, const char *name, int fd, struct note *note)
{
    char path[PIN_PATH];
    unlink(join(path, folder, name));
    int err = bpf_obj_pin(fd, path);
    if (err < 0)
        return note_set(note, ERR_KERNEL, "cannot pin %s: %s", path, strerror(-err));
    return 0;
}

int pin_get(const char *folder, const char *name)
{
    char path[PIN_PATH];
    return bpf_obj_get(join(path, folder, name));
}

void pin_drop(const char *folder, const char *name)
{
    char path[PIN_PATH];
    int fd = bpf_obj_get(join(path, folder, name));
    if (fd >= 0) {
        if (strncmp(name, "link-", 5) == 0)
            bpf_link_detach(fd); /* at once, even if somebody else holds it open */
        close(fd);
    }
    unlink(path);
}

int pin_name(const char *folder, const char *name, const char *text, struct note *note)
{
    char path[PIN_PATH];
    unlink(join(path, folder, name));
    if (symlink(text, path) != 0)
        return note_set(note, -errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

int pin_named(const char *folder, const char *name, char *text, size_t room)
{
    char path[PIN_PATH];
    ssize_t len = readlink(join(path, folder, name), text, room - 1);
    if (len < 0)
        return -errno;
    text[len] = '\0';
    return 0;
}

int pin_clear(const char *folder, struct note *note)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return errno == ENOENT
                   ? 0
                   : note_set(note, -errno, "cannot read %s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            pin_drop(folder, entry->d_name);
    closedir(dir);
    if (rmdir(folder) != 0)
        return note_set(note, -errno, "cannot remove %s: %s", folder, strerror(errno));
    return 0;
}

#include "sensor/reduce.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shared/rights/rights.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define PATHS_MAX   32

/* AF_XDP sockets ask for CAP_NET_RAW, their send buffer and busy polling for CAP_NET_ADMIN; memory
 * for frames counts against a limit without CAP_IPC_LOCK. */
#define SOCKETS (RIGHTS_BIT(CAP_NET_RAW) | RIGHTS_BIT(CAP_NET_ADMIN) | RIGHTS_BIT(CAP_IPC_LOCK))

static const struct rights_path no_paths[] = {{NULL, RIGHTS_READ}};

/* A replay's spool has no name and no folder of its own. */
static const struct rights_path pcap_paths[] = {{"/tmp", RIGHTS_WRITE}, {NULL, RIGHTS_READ}};

/* Devices and memory of DPDK; where a path is not there, it is skipped. */
static const struct rights_path dpdk_paths[] = {
    {"/dev/hugepages", RIGHTS_DEVICE},
    {"/dev/vfio", RIGHTS_DEVICE},
    {"/dev/net", RIGHTS_DEVICE},
    {"/sys", RIGHTS_READ},
    {"/proc", RIGHTS_READ},
    {NULL, RIGHTS_READ},
};

/* The device, and what the kernel is told about it. */
static const struct rights_path tun_paths[] = {
    {"/dev/net", RIGHTS_DEVICE},
    {"/proc/sys/net", RIGHTS_WRITE},
    {NULL, RIGHTS_READ},
};

/* Looking up a host's name, which a connection that is made anew does again. */
static const struct rights_path name_paths[] = {
    {"/etc", RIGHTS_READ},         {"/run/systemd/resolve", RIGHTS_READ},
    {"/usr/lib", RIGHTS_READ},     {"/lib", RIGHTS_READ},
    {"/lib64", RIGHTS_READ},       {"/run/resolvconf", RIGHTS_READ},
    {"/dev/urandom", RIGHTS_READ}, {"/run/NetworkManager", RIGHTS_READ},
    {NULL, RIGHTS_READ},
};

static const struct {
    uint64_t keep;
    bool needs_bpf; /* reads and writes maps while it runs */
    const struct rights_path *paths;
} by_driver[] = {
    [SOURCE_AF_XDP] = {SOCKETS, true, no_paths},
    [SOURCE_DPDK] = {SOCKETS, true, dpdk_paths},
    [SOURCE_PCAP] = {0, false, pcap_paths},
};

static const struct rights_path *const by_forward[] = {
    [FORWARD_AF_XDP] = no_paths, [FORWARD_DPDK] = dpdk_paths, [FORWARD_TUN] = tun_paths,
    [FORWARD_RAW] = no_paths,    [FORWARD_NONE] = no_paths,
};

/* Since Linux 6.0 the kernel asks for CAP_BPF where something is made, no longer for each use. */
static bool maps_ask_for_capability(void)
{
    struct utsname kernel;
    unsigned major;
    return uname(&kernel) != 0 || sscanf(kernel.release, "%u", &major) != 1 || major < 6;
}

/* tcp://192.0.2.10:5560 and tcp://[2001:db8::1]:5560 need nobody to look them up. */
static bool is_name(const char *endpoint)
{
    const char *host = endpoint + 6;
    if (strncmp(endpoint, "tcp://", 6) != 0 || host[0] == '[')
        return false;
    return strspn(host, "0123456789.:") != strlen(host);
}

struct list {
    struct rights_path path[PATHS_MAX];
    size_t count;
};

static void add(struct list *l, const char *path, enum rights_access access)
{
    if (path[0] != '\0' && l->count < PATHS_MAX)
        l->path[l->count++] = (struct rights_path){path, access};
}

static void add_all(struct list *l, const struct rights_path *p)
{
    for (; p->path != NULL; p++)
        add(l, p->path, p->access);
}

/* The file's folder: an editor writes another file and gives it the old one's name. */
static void folder_of(const char *file, char *folder, size_t size)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL)
        snprintf(folder, size, ".");
    else
        snprintf(folder, size, "%.*s", slash == file ? 1 : (int)(slash - file), file);
}

/* Where it stands when it is a link: Landlock asks for that place, too. */
static void real_folder_of(const char *file, char *folder, size_t size)
{
    char real[PATH_MAX];
    folder_of(realpath(file, real) != NULL ? real : file, folder, size);
}

static void list_paths(const struct sensor_conf *conf, const char *folder, const char *real,
                       struct list *l)
{
    add(l, folder, RIGHTS_READ);
    add(l, real, RIGHTS_READ);
    add(l, conf->state_dir, RIGHTS_WRITE);
    add_all(l, by_driver[conf->source.driver].paths);
    add_all(l, by_forward[conf->source.forward]);
    if (is_name(conf->publish.endpoint))
        add_all(l, name_paths);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    add(l, "/", RIGHTS_READ); /* they read their own maps and symbols when they report */
#endif
}

/* Not through a link that was put in its place meanwhile: the folder above may be the user's. */
static int give_to(const char *path, const struct passwd *user)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fchown(fd, user->pw_uid, user->pw_gid) == 0 ? 0 : -errno;
    close(fd);
    return err;
}

/* Before the rights go: to make it may need them. */
static int make_state_dir(const struct sensor_conf *conf, struct note *note)
{
    const char *path = conf->state_dir;
    const struct passwd *user = conf->user[0] != '\0' ? getpwnam(conf->user) : NULL;
    if (path[0] == '\0' || conf->source.driver == SOURCE_PCAP) /* a replay leaves nothing */
        return 0;
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? 0
                               : note_set(note, -errno,
                                          "sensor.state_dir: cannot make %s: %s: make it, or name "
                                          "another",
                                          path, strerror(errno));
    int err = user != NULL ? give_to(path, user) : 0;
    return err == 0 ? 0
                    : note_set(note, err, "sensor.state_dir: cannot give %s to %s: %s", path,
                               conf->user, strerror(-err));
}

/* What would else fail in the middle of the night. */
static int try_files(const struct sensor_conf *conf, const char *config, struct note *note)
{
    const char *dir = conf->state_dir;
    int fd = open(config, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return note_set(note, -errno,
                        "%s: user %u cannot read it: %s: SIGHUP could not read it again (chown, "
                        "chmod, or sensor.rights: as_started)",
                        config, (unsigned)geteuid(), strerror(errno));
    close(fd);
    if (dir[0] != '\0' && conf->source.driver != SOURCE_PCAP && access(dir, W_OK | X_OK) != 0)
        return note_set(note, -errno,
                        "sensor.state_dir: user %u cannot write to %s: %s (chown, or name another)",
                        (unsigned)geteuid(), dir, strerror(errno));
    return 0;
}

int reduce(const struct sensor_conf *conf, const char *config, struct note *note)
{
    char folder[PATH_MAX], real[PATH_MAX];
    struct list list = {.count = 0};
    int err = make_state_dir(conf, note);
    if (err != 0 || conf->rights == RIGHTS_AS_STARTED)
        return err;
    folder_of(config, folder, sizeof folder);
    real_folder_of(config, real, sizeof real);
    list_paths(conf, folder, real, &list);
    struct rights rights = {
        .keep = by_driver[conf->source.driver].keep,
        .user = conf->user,
        .paths = list.path,
        .path_count = list.count,
    };
    if (by_driver[conf->source.driver].needs_bpf && maps_ask_for_capability())
        rights.keep |= RIGHTS_BIT(CAP_BPF);
    err = rights_reduce(&rights, note);
    return err != 0 ? err : try_files(conf, config, note);
}

#include "shared/rights/rights.h"

#include <cap-ng.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/rights/landlock.h"
#include "shared/rights/seccomp.h"

#define CAPABILITIES 64 /* as many as a set has bits */
#define ANSWER_S     5  /* a thread that takes no signal for so long blocks it */

/* ---- capabilities by name ---- */

/* Appends " CAP_X". */
static void add_name(char *text, size_t size, unsigned capability)
{
    const char *name = capng_capability_to_name(capability);
    size_t n = strlen(text);
    n += (size_t)snprintf(text + n, size - n, " CAP_");
    for (name = name != NULL ? name : "?"; *name != '\0' && n + 1 < size; name++)
        text[n++] = (char)toupper((unsigned char)*name);
    if (n < size)
        text[n] = '\0';
}

static uint64_t read_set(capng_type_t which)
{
    uint64_t set = 0;
    capng_get_caps_process();
    for (unsigned i = 0; i < CAPABILITIES && capng_capability_to_name(i) != NULL; i++)
        if (capng_have_capability(which, i) == 1)
            set |= RIGHTS_BIT(i);
    return set;
}

static const char *name_set(uint64_t set, char *text, size_t size)
{
    text[0] = '\0';
    for (unsigned i = 0; i < CAPABILITIES; i++)
        if (set & RIGHTS_BIT(i))
            add_name(text, size, i);
    return text;
}

const char *rights_missing(uint64_t wanted, char *text, size_t size)
{
    return name_set(wanted & ~read_set(CAPNG_EFFECTIVE), text, size);
}

/* ---- in the other threads ---- */

static struct {
    void (*act)(void); /* system calls only: it runs in a signal handler */
    sem_t done;
    int ruleset; /* -1: none */
} others;

static void on_signal(int number)
{
    int before = errno;
    (void)number;
    others.act();
    sem_post(&others.done);
    errno = before;
}

static void empty_bounding(void)
{
    for (unsigned long i = 0; i < CAPABILITIES; i++)
        prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

static void lose_all(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    syscall(SYS_capset, &header, none);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (others.ruleset >= 0)
        landlock_bind(others.ruleset);
}

static int ask_thread(pid_t thread, struct note *note)
{
    struct timespec end;
    if (syscall(SYS_tgkill, getpid(), thread, SIGRTMAX) != 0)
        return errno == ESRCH ? 0 : note_set(note, -errno, "no signal: %s", strerror(errno));
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ANSWER_S;
    while (sem_timedwait(&others.done, &end) != 0)
        if (errno != EINTR)
            return note_set(note, ERR_KERNEL,
                            "thread %d does not take signals, so that its rights cannot be "
                            "reduced: set sensor.rights to as_started, and report it",
                            (int)thread);
    return 0;
}

static int ask_all(struct note *note)
{
    int err = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return note_set(note, -errno, "cannot list this process's threads: /proc/self/task: %s",
                        strerror(errno));
    for (struct dirent *d; err == 0 && (d = readdir(tasks)) != NULL;) {
        pid_t thread = (pid_t)strtol(d->d_name, NULL, 10);
        if (thread > 0 && thread != gettid())
            err = ask_thread(thread, note);
    }
    closedir(tasks);
    return err;
}

static int in_other_threads(void (*act)(void), struct note *note)
{
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
#ifdef __SANITIZE_THREAD__
    return 0; /* ThreadSanitizer's own thread takes no signals */
#endif
    others.act = act;
    sem_init(&others.done, 0, 0);
    sigaction(SIGRTMAX, &ours, &before);
    int err = ask_all(note);
    if (err == 0) { /* else a late answer would find neither */
        sigaction(SIGRTMAX, &before, NULL);
        sem_destroy(&others.done);
    }
    return err;
}

/* ---- the steps ---- */

static int find_user(const char *name, const struct passwd **out, struct note *note)
{
    char missing[64];
    uint64_t needed = RIGHTS_BIT(CAP_SETUID) | RIGHTS_BIT(CAP_SETGID);
    *out = NULL;
    if (name == NULL || name[0] == '\0')
        return 0;
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return note_set(note, ERR_CONF, "sensor.user: there is no user %s", name);
    if (user->pw_uid == geteuid() && user->pw_gid == getegid())
        return 0;
    if (rights_missing(needed, missing, sizeof missing)[0] != '\0')
        return note_set(note, -EPERM,
                        "sensor.user: to become %s this process lacks%s: start it as root, or as "
                        "%s with sensor.user left empty",
                        name, missing, name);
    *out = user;
    return 0;
}

/* Where Landlock is wanted and there is none, the rest is done all the same. */
static int make_ruleset(const struct rights *r, int *ruleset, struct note *note)
{
    *ruleset = -1;
    if (r->path_count == 0)
        return 0;
    int fd = landlock_make(r->paths, r->path_count);
    if (fd >= 0)
        *ruleset = fd;
    else if (fd == -ENOSYS || fd == -EOPNOTSUPP)
        log_warn("event=rights_partial without=landlock reason=\"this kernel has none, or it is "
                 "switched off\"");
    else
        return note_set(note, fd, "cannot restrict files by Landlock: %s", err_text(fd));
    return 0;
}

static int reduce_capabilities(uint64_t keep, const struct passwd *user, struct note *note)
{
    bool may_empty = (read_set(CAPNG_EFFECTIVE) & RIGHTS_BIT(CAP_SETPCAP)) != 0;
    capng_clear(CAPNG_SELECT_ALL);
    for (unsigned i = 0; i < CAPABILITIES; i++)
        if (keep & RIGHTS_BIT(i))
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
    int err = 0;
    if (user != NULL) {
        capng_flags_t flags = CAPNG_INIT_SUPP_GRP | (may_empty ? CAPNG_CLEAR_BOUNDING : 0);
        err = capng_change_id((int)user->pw_uid, (int)user->pw_gid, flags);
        if (err != 0)
            return note_set(note, ERR_KERNEL, "sensor.user: cannot become %s (step %d): %s",
                            user->pw_name, -err, strerror(errno));
    } else {
        if (may_empty)
            err = capng_apply(CAPNG_SELECT_BOUNDS);
        if (err == 0)
            err = capng_apply(CAPNG_SELECT_CAPS);
    }
    if (err != 0)
        return note_set(note, ERR_KERNEL, "cannot give up capabilities: %s", strerror(errno));
    return 0;
}

static int bind_threads(int ruleset, struct note *note)
{
    others.ruleset = ruleset;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return note_set(note, -errno, "no_new_privs: %s", strerror(errno));
    int err = in_other_threads(lose_all, note); /* reads /proc, so before we are bound */
    if (err == 0 && ruleset >= 0)
        err = landlock_bind(ruleset);
    return err;
}

static bool deny_calls(bool may_execute)
{
    int err = seccomp_deny(may_execute);
    if (err < 0)
        log_warn("event=rights_partial without=seccomp reason=\"%s\"", err_text(err));
    return err == 0;
}

static int reduce(const struct rights *r, const struct passwd *user, int ruleset, struct note *note)
{
    char names[1024];
    uint64_t keep = r->keep & read_set(CAPNG_PERMITTED);
    int err = in_other_threads(empty_bounding, note);
    if (err == 0)
        err = reduce_capabilities(keep, user, note);
    if (err == 0)
        err = bind_threads(ruleset, note);
    if (err != 0)
        return err;
    bool is_filtered = deny_calls(r->may_execute);
    name_set(keep, names, sizeof names);
    log_info("event=rights uid=%u capabilities=\"%s\" landlock=%s seccomp=%s", (unsigned)geteuid(),
             names[0] != '\0' ? names + 1 : "none", ruleset >= 0 ? "yes" : "no",
             is_filtered ? "yes" : "no");
    return 0;
}

int rights_reduce(const struct rights *rights, struct note *note)
{
    const struct passwd *user;
    int ruleset;
    int err = find_user(rights->user, &user, note);
    if (err == 0)
        err = make_ruleset(rights, &ruleset, note);
    if (err != 0)
        return err;
    err = reduce(rights, user, ruleset, note);
    if (ruleset >= 0)
        close(ruleset);
    return err;
}

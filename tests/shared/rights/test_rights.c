/* What a process cannot do any more once it is reduced. It cannot be undone, so that every case is
 * a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/rights/rights.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static char dir[64]; /* dir/in is allowed, dir/out is not */

#define MUST(condition)                                                     \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
            return 1;                                                       \
        }                                                                   \
    } while (0)

static int up(void **state)
{
    char command[512];
    (void)state;
    strcpy(dir, "/tmp/penstock-rights-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(command, sizeof command,
             "chmod 755 %s && mkdir -m 777 %s/in %s/out && echo a > %s/in/file && echo b > "
             "%s/out/file && chmod 644 %s/*/file",
             dir, dir, dir, dir, dir, dir);
    return system(command) == 0 ? 0 : -1;
}

static int down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static int in_child(int (*act)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(act()); /* at once: no search for leaks, which may not look any more */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int open_of(const char *name, int flags)
{
    int fd = open(in(name), flags | O_CLOEXEC, 0600);
    return fd >= 0 ? close(fd) : -errno;
}

static int reduce_to(uint64_t keep, enum rights_access access, struct note *note)
{
    char allowed[128];
    snprintf(allowed, sizeof allowed, "%s/in", dir);
    const struct rights_path paths[] = {{allowed, access},
                                        {"/nowhere/at/all", RIGHTS_WRITE},
                                        {"/proc", RIGHTS_READ}}; /* for the test's own questions */
    const struct rights rights = {.keep = keep, .paths = paths, .path_count = 3};
    return rights_reduce(&rights, note);
}

/* The word after "Key:" in the status of one of our threads. */
static const char *status_of(pid_t thread, const char *key)
{
    static char word[64];
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
    FILE *file = fopen(path, "re");
    word[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            sscanf(line + strlen(key) + 1, "%63s", word);
    if (file != NULL)
        fclose(file);
    return word;
}

static bool is_reduced(pid_t thread, const char *capabilities)
{
    return strcmp(status_of(thread, "CapEff"), capabilities) == 0 &&
           strcmp(status_of(thread, "CapPrm"), capabilities) == 0 &&
           strcmp(status_of(thread, "CapBnd"), "0000000000000000") == 0 &&
           strcmp(status_of(thread, "CapAmb"), "0000000000000000") == 0 &&
           strcmp(status_of(thread, "CapInh"), "0000000000000000") == 0 &&
           strcmp(status_of(thread, "NoNewPrivs"), "1") == 0 &&
           strcmp(status_of(thread, "Seccomp"), "2") == 0;
}

/* ---- capabilities */

static int keeps_only_net_raw(void)
{
    MUST(reduce_to(RIGHTS_BIT(CAP_NET_RAW), RIGHTS_READ, NULL) == 0);
    MUST(is_reduced((pid_t)syscall(SYS_gettid), "0000000000002000"));
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    MUST(fd >= 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){1 << 20}, sizeof(int)) < 0);
    return 0;
}

static void what_is_kept_works_and_the_rest_is_gone_for_good(void **state)
{
    (void)state;
    assert_int_equal(in_child(keeps_only_net_raw), 0);
}

static int keeps_what_it_never_had(void)
{
    char missing[64];
    const struct rights first = {.keep = RIGHTS_BIT(CAP_NET_RAW)};
    MUST(rights_reduce(&first, NULL) == 0);
    MUST(strcmp(
             rights_missing(RIGHTS_BIT(CAP_NET_RAW) | RIGHTS_BIT(CAP_BPF), missing, sizeof missing),
             " CAP_BPF") == 0);
    const struct rights second = {.keep = RIGHTS_BIT(CAP_NET_RAW) | RIGHTS_BIT(CAP_BPF)};
    MUST(rights_reduce(&second, NULL) == 0); /* and twice is fine */
    MUST(is_reduced((pid_t)syscall(SYS_gettid), "0000000000002000"));
    return 0;
}

static void to_keep_what_one_has_not_is_no_error_and_gives_nothing(void **state)
{
    (void)state;
    assert_int_equal(in_child(keeps_what_it_never_had), 0);
}

/* ---- files */

static int reads_only_there(void)
{
    MUST(reduce_to(0, RIGHTS_READ, NULL) == 0);
    MUST(open_of("in/file", O_RDONLY) == 0);
    MUST(open_of("in/file", O_WRONLY) == -EACCES);
    MUST(open_of("in/new", O_WRONLY | O_CREAT) == -EACCES);
    MUST(open_of("out/file", O_RDONLY) == -EACCES);
    MUST(truncate(in("in/file"), 0) < 0 && errno == EACCES);
    return 0;
}

static int writes_only_there(void)
{
    char from[128];
    MUST(reduce_to(0, RIGHTS_WRITE, NULL) == 0);
    MUST(open_of("in/new", O_WRONLY | O_CREAT) == 0);
    snprintf(from, sizeof from, "%s", in("in/new"));
    MUST(rename(from, in("in/other")) == 0);
    MUST(unlink(in("in/other")) == 0);
    MUST(mkdir(in("in/folder"), 0700) == 0 && rmdir(in("in/folder")) == 0);
    MUST(open_of("out/new", O_WRONLY | O_CREAT) == -EACCES);
    MUST(open_of("out/file", O_WRONLY) == -EACCES);
    return 0;
}

static int uses_what_is_open(void)
{
    int fd = open(in("out/file"), O_RDWR | O_CLOEXEC);
    MUST(fd >= 0);
    MUST(reduce_to(0, RIGHTS_READ, NULL) == 0);
    char c;
    MUST(read(fd, &c, 1) == 1 && c == 'b');
    return 0;
}

static int open_tun(const struct rights *rights)
{
    unsigned features;
    int fd = rights_reduce(rights, NULL) == 0 ? open("/dev/net/tun", O_RDWR | O_CLOEXEC) : -1;
    return fd >= 0 && ioctl(fd, TUNGETFEATURES, &features) == 0 ? 0 : -errno;
}

static int controls_devices(void)
{
    static const struct rights_path path = {"/dev/net", RIGHTS_DEVICE};
    return open_tun(&(struct rights){.paths = &path, .path_count = 1});
}

static int only_writes_devices(void)
{
    static const struct rights_path path = {"/dev/net", RIGHTS_WRITE};
    MUST(open_tun(&(struct rights){.paths = &path, .path_count = 1}) == -EACCES);
    return 0;
}

/* As a TUN device's settings are made, by root and by others. */
static int sets(const char *user)
{
    static const struct rights_path path = {"/proc/sys/net", RIGHTS_WRITE};
    const struct rights rights = {
        .keep = RIGHTS_BIT(CAP_NET_ADMIN), .user = user, .paths = &path, .path_count = 1};
    MUST(unshare(CLONE_NEWNET) == 0);
    MUST(rights_reduce(&rights, NULL) == 0);
    int fd = open("/proc/sys/net/ipv4/conf/lo/rp_filter", O_WRONLY | O_CLOEXEC);
    MUST(fd >= 0 && write(fd, "0", 1) == 1);
    MUST(open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC) < 0);
    return 0;
}

static int sets_as_root(void)
{
    return sets(NULL);
}

static int sets_as_nobody(void)
{
    return sets("nobody");
}

static void settings_of_the_network_can_be_made_and_no_others(void **state)
{
    (void)state;
    assert_int_equal(in_child(sets_as_root), 0);
    assert_int_equal(in_child(sets_as_nobody), 0);
}

static void a_listed_device_can_be_controlled_and_no_other(void **state)
{
    (void)state;
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    assert_int_equal(in_child(controls_devices), 0);
    if (abi >= 5) /* before, Landlock knows nothing of ioctl */
        assert_int_equal(in_child(only_writes_devices), 0);
}

static void only_the_listed_folders_can_be_read(void **state)
{
    (void)state;
    assert_int_equal(in_child(reads_only_there), 0);
}

static void only_the_listed_folders_can_be_written(void **state)
{
    (void)state;
    assert_int_equal(in_child(writes_only_there), 0);
}

static void what_is_open_stays_open(void **state)
{
    (void)state;
    assert_int_equal(in_child(uses_what_is_open), 0);
}

/* ---- system calls */

static void *nothing(void *arg)
{
    return arg;
}

static int is_refused(void)
{
    char name[] = "true", *const arguments[] = {name, NULL};
    pthread_t thread;
    const struct rights rights = {.keep = ~UINT64_C(0)}; /* so that it is the filter that refuses */
    MUST(rights_reduce(&rights, NULL) == 0);
    MUST(execv("/bin/true", arguments) < 0 && errno == EPERM);
    MUST(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
    MUST(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL) < 0 && errno == EPERM);
    MUST(mount("none", in("in"), "tmpfs", 0, NULL) < 0 && errno == EPERM);
    MUST(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) < 0 && errno == EPERM);
    MUST(syscall(SYS_bpf, 5, NULL, 0) < 0 && errno == EPERM);  /* BPF_PROG_LOAD */
    MUST(syscall(SYS_bpf, 1, NULL, 0) < 0 && errno == EINVAL); /* a map's cell: goes on */
    MUST(IS_SANITIZED || (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM));
    MUST(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    MUST(child > 0 && waitpid(child, NULL, 0) == child);
    return 0;
}

static void what_a_sensor_never_does_is_refused_and_threads_still_start(void **state)
{
    (void)state;
    assert_int_equal(in_child(is_refused), 0);
}

/* ---- threads */

struct witness {
    pthread_t thread;
    sem_t ready, go;
    pid_t id;
    int opened; /* what opening dir/out/file gave, when asked */
};

static void *look(void *arg)
{
    struct witness *w = arg;
    w->id = (pid_t)syscall(SYS_gettid);
    sem_post(&w->ready);
    while (sem_wait(&w->go) != 0) /* a signal, too, may end the waiting */
        ;
    int fd = open(in("out/file"), O_RDONLY | O_CLOEXEC);
    w->opened = fd >= 0 ? 0 : -errno;
    return NULL;
}

static bool start(struct witness *w)
{
    sem_init(&w->ready, 0, 0);
    sem_init(&w->go, 0, 0);
    if (pthread_create(&w->thread, NULL, look, w) != 0)
        return false;
    while (sem_wait(&w->ready) != 0)
        ;
    return true;
}

static void finish(struct witness *w)
{
    sem_post(&w->go);
    pthread_join(w->thread, NULL);
}

static int older_and_younger(void)
{
    static struct witness older, younger;
    MUST(start(&older));
    MUST(reduce_to(RIGHTS_BIT(CAP_NET_RAW), RIGHTS_READ, NULL) == 0);
    MUST(start(&younger));
    MUST(is_reduced(older.id, "0000000000000000")); /* not ours: it gets nothing */
    MUST(is_reduced(younger.id, "0000000000002000"));
    finish(&older);
    finish(&younger);
    MUST(older.opened == -EACCES);
    MUST(younger.opened == -EACCES);
    return 0;
}

static void threads_that_are_there_already_are_reduced_too(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* its own thread takes no signals, so that none is asked */
#endif
    assert_int_equal(in_child(older_and_younger), 0);
}

static int deaf_thread(void)
{
    static struct witness deaf;
    struct note note = {0};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* it inherits */
    MUST(start(&deaf));
    MUST(reduce_to(0, RIGHTS_READ, &note) == ERR_KERNEL);
    MUST(strstr(note.text, "does not take signals") != NULL);
    return 0;
}

static void a_thread_that_cannot_be_reduced_is_an_error_and_not_a_hole(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip();
#endif
    assert_int_equal(in_child(deaf_thread), 0);
}

/* ---- the user */

static int becomes_nobody(void)
{
    static struct witness older;
    const struct rights rights = {.keep = RIGHTS_BIT(CAP_NET_RAW), .user = "nobody"};
    MUST(start(&older));
    MUST(rights_reduce(&rights, NULL) == 0);
    MUST(getuid() == 65534 && geteuid() == 65534 && getgid() == 65534);
    MUST(setuid(0) < 0);
    MUST(is_reduced((pid_t)syscall(SYS_gettid), "0000000000002000"));
#ifndef __SANITIZE_THREAD__
    MUST(is_reduced(older.id, "0000000000000000"));
    MUST(strcmp(status_of(older.id, "Uid"), "65534") == 0);
#endif
    finish(&older);
    return 0;
}

static int becomes_no_one(void)
{
    struct note note = {0};
    const struct rights rights = {.user = "penstock-nobody"};
    MUST(rights_reduce(&rights, &note) == ERR_CONF);
    MUST(strcmp(note.text, "sensor.user: there is no user penstock-nobody") == 0);
    return 0;
}

static int may_not_become(void)
{
    struct note note = {0};
    const struct rights none = {.keep = 0}, rights = {.user = "nobody"};
    MUST(rights_reduce(&none, NULL) == 0);
    MUST(rights_reduce(&rights, &note) == -EPERM);
    MUST(strstr(note.text, "lacks CAP_SETGID CAP_SETUID") != NULL);
    return 0;
}

static void another_user_keeps_the_capabilities_and_never_comes_back(void **state)
{
    (void)state;
    assert_int_equal(in_child(becomes_nobody), 0);
}

static void a_user_that_is_none_or_not_allowed_is_named(void **state)
{
    (void)state;
    assert_int_equal(in_child(becomes_no_one), 0);
    assert_int_equal(in_child(may_not_become), 0);
}

/* ---- older kernels */

/* From now on these two calls are unknown, as on a kernel without Landlock. */
static bool forget_landlock(void)
{
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

static int goes_on_without(void)
{
    MUST(forget_landlock());
    MUST(reduce_to(0, RIGHTS_READ, NULL) == 0);
    MUST(open_of("out/file", O_RDONLY) == 0);
    MUST(is_reduced((pid_t)syscall(SYS_gettid), "0000000000000000"));
    return 0;
}

static void a_kernel_without_landlock_is_no_reason_to_stop(void **state)
{
    (void)state;
    assert_int_equal(in_child(goes_on_without), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_works_and_the_rest_is_gone_for_good),
        cmocka_unit_test(to_keep_what_one_has_not_is_no_error_and_gives_nothing),
        cmocka_unit_test(only_the_listed_folders_can_be_read),
        cmocka_unit_test(only_the_listed_folders_can_be_written),
        cmocka_unit_test(settings_of_the_network_can_be_made_and_no_others),
        cmocka_unit_test(a_listed_device_can_be_controlled_and_no_other),
        cmocka_unit_test(what_is_open_stays_open),
        cmocka_unit_test(what_a_sensor_never_does_is_refused_and_threads_still_start),
        cmocka_unit_test(threads_that_are_there_already_are_reduced_too),
        cmocka_unit_test(a_thread_that_cannot_be_reduced_is_an_error_and_not_a_hole),
        cmocka_unit_test(another_user_keeps_the_capabilities_and_never_comes_back),
        cmocka_unit_test(a_user_that_is_none_or_not_allowed_is_named),
        cmocka_unit_test(a_kernel_without_landlock_is_no_reason_to_stop),
    };
    return cmocka_run_group_tests(tests, up, down);
}

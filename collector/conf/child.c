#include "collector/conf/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"

#define LOOK_MS 100 /* how late a stop is heard */

enum { OUT, COMPLAINTS, PIPES };

struct child {
    pid_t pid;
    int read[PIPES];
    char line[CHILD_SAID]; /* of its complaints, begun */
    size_t line_len;
    const char *word;
    char *said;
    bool is_said; /* a line with the word: it stays */
};

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* What it inherits: nothing of ours but the two pipes; signals as any program expects them. */
static int prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *how, const int *write)
{
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    int err = posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    err = err != 0 ? err : posix_spawnattr_setsigmask(how, &none);
    err = err != 0 ? err : posix_spawnattr_setsigdefault(how, &usual);
    err = err != 0 ? err : posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
    err = err != 0 ? err : posix_spawn_file_actions_adddup2(files, write[OUT], 1);
    err = err != 0 ? err : posix_spawn_file_actions_adddup2(files, write[COMPLAINTS], 2);
    return err != 0 ? err : posix_spawn_file_actions_addclosefrom_np(files, 3);
}

static int spawn(struct child *c, const char *const argv[], const int *write)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    if (posix_spawn_file_actions_init(&files) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&how) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -ENOMEM;
    }
    int err = prepare(&files, &how, write);
    if (err == 0)
        err = posix_spawnp(&c->pid, argv[0], &files, &how, (char *const *)argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return -err;
}

static int start(struct child *c, const char *const argv[])
{
    int out[2] = {-1, -1}, complaints[2] = {-1, -1};
    int err = pipe2(out, O_CLOEXEC) < 0 || pipe2(complaints, O_CLOEXEC) < 0 ? -errno : 0;
    int write[PIPES] = {out[1], complaints[1]};
    if (err == 0)
        err = spawn(c, argv, write);
    close_one(&out[1]);
    close_one(&complaints[1]);
    c->read[OUT] = out[0];
    c->read[COMPLAINTS] = complaints[0];
    return err;
}

static void complaint_ends(struct child *c)
{
    c->line[c->line_len] = '\0';
    c->line_len = 0;
    bool has_word = strstr(c->line, c->word) != NULL;
    if (c->line[0] == '\0' || c->is_said || (c->said[0] != '\0' && !has_word))
        return;
    memcpy(c->said, c->line, sizeof c->line);
    c->is_said = has_word;
}

static void complaints_read(struct child *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] == '\n')
            complaint_ends(c);
        else if (c->line_len < sizeof c->line - 1)
            c->line[c->line_len++] = bytes[i];
}

/* Reads from those pipes that have something; closes those that end. */
static int pipes_read(struct child *c, int (*each)(void *arg, const char *bytes, size_t len),
                      void *arg)
{
    char bytes[65536];
    struct pollfd polls[PIPES];
    for (unsigned i = 0; i < PIPES; i++)
        polls[i] = (struct pollfd){.fd = c->read[i], .events = POLLIN};
    if (poll(polls, PIPES, LOOK_MS) < 0)
        return errno == EINTR ? 0 : -errno;
    for (unsigned i = 0; i < PIPES; i++) {
        if (polls[i].revents == 0)
            continue;
        ssize_t len = read(c->read[i], bytes, sizeof bytes);
        if (len < 0 && errno != EINTR)
            return -errno;
        if (len == 0)
            close_one(&c->read[i]);
        else if (len > 0 && i == COMPLAINTS)
            complaints_read(c, bytes, (size_t)len);
        int err = len > 0 && i == OUT ? each(arg, bytes, (size_t)len) : 0;
        if (err < 0)
            return err;
    }
    return 0;
}

static int end(struct child *c, const char *program, int err, struct note *note)
{
    int status = 0;
    close_one(&c->read[OUT]);
    close_one(&c->read[COMPLAINTS]);
    if (err < 0)
        kill(c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    complaint_ends(c);
    if (err < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return err;
    return note_set(note, ERR_CONF, "%s failed%s%s", program, c->said[0] != '\0' ? ": " : "",
                    c->said);
}

int child_read(const char *const argv[], uint64_t timeout_ns, const atomic_bool *stop,
               const char *word, int (*each)(void *arg, const char *bytes, size_t len), void *arg,
               char said[static CHILD_SAID], struct note *note)
{
    struct child c = {.word = word, .said = said};
    uint64_t until = clock_mono_ns() + timeout_ns;
    said[0] = '\0';
    int err = start(&c, argv);
    if (err < 0) {
        close_one(&c.read[OUT]);
        close_one(&c.read[COMPLAINTS]);
        return note_set(note, ERR_CONF, "cannot run %s: %s", argv[0], err_text(err));
    }
    while (err == 0 && (c.read[OUT] >= 0 || c.read[COMPLAINTS] >= 0)) {
        err = pipes_read(&c, each, arg);
        if (err == 0 && clock_mono_ns() >= until)
            err = note_set(note, ERR_CONF, "%s took longer than it may", argv[0]);
        if (err == 0 && stop != NULL && atomic_load(stop))
            err = ERR_END;
    }
    return end(&c, argv[0], err, note);
}

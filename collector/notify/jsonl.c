/* JSON lines appended to a file: whole lines only. What a full disk or a crash left of a line is
 * taken away before the next is written; its state is written again, for the feed's cursor stands
 * before it. A file that was moved away (logrotate) is noticed by its number before each write. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collector/notify/sink.h"

/* No line of ours is longer, so what has no newline in so many bytes is not our file. */
#define LINE_MAX_BYTES (1 << 20)

struct sink {
    const struct feed_conf *conf;
    int fd; /* -1: to be opened */
};

static int fail(struct sink *s, const char *what, struct note *note)
{
    int err = errno;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    return note_set(note, -err, "%s %s: %s", what, s->conf->path, err_text(-err));
}

/* Where the last whole line ends; -1 with errno: cannot be read, or is no file of lines. */
static off_t end_of_lines(int fd, off_t size)
{
    char bytes[4096];
    off_t at = size;
    while (at > 0) {
        size_t n = at < (off_t)sizeof bytes ? (size_t)at : sizeof bytes;
        ssize_t got = pread(fd, bytes, n, at - (off_t)n);
        if (got != (ssize_t)n) {
            errno = got < 0 ? errno : EIO;
            return -1;
        }
        const char *newline = memrchr(bytes, '\n', n);
        at -= (off_t)n;
        if (newline != NULL)
            return at + (newline - bytes) + 1;
        if (size - at > LINE_MAX_BYTES) {
            errno = EINVAL;
            return -1;
        }
    }
    return 0;
}

static int open_file(struct sink *s, struct note *note)
{
    struct stat is;
    s->fd =
        open(s->conf->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (s->fd < 0 || fstat(s->fd, &is) != 0)
        return fail(s, "opening", note);
    if (!S_ISREG(is.st_mode)) { /* a pipe nobody reads would hold the thread */
        errno = EINVAL;
        return fail(s, "not a regular file:", note);
    }
    off_t end = end_of_lines(s->fd, is.st_size);
    if (end < 0 || (end < is.st_size && ftruncate(s->fd, end) != 0))
        return fail(s, "repairing the last line of", note);
    return 0;
}

static bool was_moved(const struct sink *s)
{
    struct stat named, held;
    return stat(s->conf->path, &named) != 0 || fstat(s->fd, &held) != 0 ||
           named.st_ino != held.st_ino || named.st_dev != held.st_dev;
}

/* All or nothing: what a full disk took of it is given back. */
static int append(struct sink *s, const char *text, size_t len, struct note *note)
{
    struct stat before;
    if (fstat(s->fd, &before) != 0)
        return fail(s, "looking at", note);
    ssize_t n = write(s->fd, text, len);
    if (n == (ssize_t)len && (!s->conf->fsync || fdatasync(s->fd) == 0))
        return 0;
    int err = n >= 0 && n < (ssize_t)len ? ENOSPC : errno;
    if (n > 0 && ftruncate(s->fd, before.st_size) != 0)
        err = errno; /* the next open takes it away */
    errno = err;
    return fail(s, "writing", note);
}

static int lines_of(const struct notice *list, size_t n, char **text, size_t *len)
{
    FILE *out = open_memstream(text, len);
    if (out == NULL)
        return -ENOMEM;
    int err = 0;
    for (size_t i = 0; err == 0 && i < n; i++) {
        char *line = notice_json(&list[i]);
        err = line == NULL || fprintf(out, "%s\n", line) < 0 ? -ENOMEM : 0;
        free(line);
    }
    if (fclose(out) != 0)
        err = -ENOMEM;
    return err;
}

static int jsonl_send(struct sink *s, const struct notice *list, size_t n, size_t *done,
                      struct note *note)
{
    char *text = NULL;
    size_t len = 0;
    if (s->fd >= 0 && was_moved(s)) {
        close(s->fd);
        s->fd = -1;
    }
    int err = s->fd >= 0 ? 0 : open_file(s, note);
    if (err == 0) {
        err = lines_of(list, n, &text, &len);
        if (err == 0)
            err = append(s, text, len, note);
    }
    free(text);
    if (err == 0)
        *done = n;
    return err;
}

static int jsonl_open(const struct feed_conf *conf, const struct stop *stop,
                      const struct past *past, struct sink **out, struct note *note)
{
    (void)stop;
    (void)past;
    struct sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    *s = (struct sink){.conf = conf, .fd = -1};
    int err = open_file(s, note); /* so that a wrong path is told at the start */
    if (err < 0) {
        free(s);
        return err;
    }
    *out = s;
    return 0;
}

static void jsonl_reopen(struct sink *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void jsonl_close(struct sink *s)
{
    jsonl_reopen(s);
    free(s);
}

const struct sink_ops sink_jsonl = {
    .open = jsonl_open,
    .send = jsonl_send,
    .reopen = jsonl_reopen,
    .close = jsonl_close,
    .batch = 64,
};

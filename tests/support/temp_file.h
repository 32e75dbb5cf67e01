/* A file with given text that is there while a test reads it. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct temp_file {
    char path[40];
};

static inline int temp_file_open(struct temp_file *t, const char *text)
{
    strcpy(t->path, "/tmp/penstock-test-XXXXXX");
    int fd = mkstemp(t->path);
    if (fd < 0)
        return -1;
    ssize_t len = (ssize_t)strlen(text), written = write(fd, text, (size_t)len);
    close(fd);
    return written == len ? 0 : -1;
}

static inline void temp_file_close(struct temp_file *t)
{
    unlink(t->path);
}

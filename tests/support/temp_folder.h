/* A folder of a test's own, and files in it. */
#pragma once

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_folder {
    char path[64];
    char file[512]; /* of the latest temp_folder_file() */
};

static inline void temp_folder_open(struct temp_folder *f)
{
    strcpy(f->path, "/tmp/penstock-test.XXXXXX");
    if (mkdtemp(f->path) == NULL)
        abort();
}

/* The path of a name in it; valid until the next call. */
static inline const char *temp_folder_file(struct temp_folder *f, const char *name)
{
    snprintf(f->file, sizeof f->file, "%s/%s", f->path, name);
    return f->file;
}

static inline void temp_folder_write(struct temp_folder *f, const char *name, const char *text,
                                     mode_t mode)
{
    int fd = open(temp_folder_file(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) != 0)
        abort();
    close(fd);
}

/* With all that is in it, one level of folders deep. */
static inline void temp_folder_close(struct temp_folder *f)
{
    DIR *dir = opendir(f->path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            remove(temp_folder_file(f, e->d_name)) != 0) {
            struct temp_folder inner;
            snprintf(inner.path, sizeof inner.path, "%.40s/%.20s", f->path, e->d_name);
            temp_folder_close(&inner);
        }
    if (dir != NULL)
        closedir(dir);
    rmdir(f->path);
}

/* Preloaded into a program, makes its disk slow: each fsync, fdatasync and msync takes as many ms
 * more as the file named by SLOW_DISK_FILE says (decimal; no file, or empty: none). The file may
 * change while the program runs. Each slow call appends one byte to SLOW_DISK_FILE.count. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static long delay_ms(const char *path)
{
    char text[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static void count_one(const char *path)
{
    char name[512];
    snprintf(name, sizeof name, "%s.count", path);
    int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    if (write(fd, ".", 1) != 1)
        (void)0;
    close(fd);
}

static void be_slow(void)
{
    const char *path = getenv("SLOW_DISK_FILE");
    long ms = path != NULL ? delay_ms(path) : 0;
    if (ms <= 0)
        return;
    count_one(path);
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (f == NULL)
        abort();
    return f;
}

EXPORT int fsync(int fd)
{
    int (*real)(int);
    *(void **)&real = next("fsync");
    be_slow();
    return real(fd);
}

EXPORT int fdatasync(int fd)
{
    int (*real)(int);
    *(void **)&real = next("fdatasync");
    be_slow();
    return real(fd);
}

EXPORT int msync(void *at, size_t len, int flags)
{
    int (*real)(void *, size_t, int);
    *(void **)&real = next("msync");
    be_slow();
    return real(at, len, flags);
}

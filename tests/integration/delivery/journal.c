#include "tests/integration/delivery/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int journal_open(const char *path, struct journal **out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    void *at = MAP_FAILED;
    if (ftruncate(fd, sizeof **out) == 0)
        at = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int err = at == MAP_FAILED ? -errno : 0;
    close(fd);
    if (err == 0)
        *out = at;
    return err;
}

static int note_doubt(struct journal *j)
{
    if (j->durable >= j->pushed)
        return 0;
    if (j->doubts == JOURNAL_DOUBTS)
        return -ENOSPC;
    j->doubt[j->doubts] = (struct journal_range){.from = j->durable + 1, .to = j->pushed};
    j->doubts++;
    j->durable = (uint64_t)j->pushed;
    return 0;
}

int journal_begin(struct journal *j)
{
    int err = j->is_open ? note_doubt(j) : 0;
    if (err < 0)
        return err;
    j->runs++;
    j->is_open = 1;
    return 0;
}

int journal_end(struct journal *j)
{
    int err = note_doubt(j);
    if (err < 0)
        return err;
    j->stops++;
    j->is_open = 0;
    return 0;
}

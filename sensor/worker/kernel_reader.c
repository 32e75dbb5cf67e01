#include "sensor/worker/kernel_reader.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "shared/base/log.h"

struct kernel_reader {
    const struct source_ops *ops;
    struct source_group *group;
    pthread_t thread;
    sem_t asked, done;
    bool must_end; /* set before asked is posted */
    bool is_asked; /* worker's: asked, and done not yet seen */
    struct source_tally *cells;
    size_t count, room, taken;
    _Atomic uint64_t lost;
};

static bool grow(struct kernel_reader *r)
{
    size_t room = r->room != 0 ? 2 * r->room : 1024;
    struct source_tally *cells = realloc(r->cells, room * sizeof *cells);
    if (cells == NULL)
        return false;
    r->cells = cells;
    r->room = room;
    return true;
}

static void keep(void *arg, const struct source_tally *cell)
{
    struct kernel_reader *r = arg;
    if (r->count == r->room && !grow(r)) {
        r->lost += cell->packets;
        return;
    }
    r->cells[r->count++] = *cell;
}

static void wait_on(sem_t *sem)
{
    while (sem_wait(sem) != 0 && errno == EINTR)
        ;
}

static void *read_on(void *arg)
{
    struct kernel_reader *r = arg;
    for (;;) {
        wait_on(&r->asked);
        if (r->must_end)
            return NULL;
        r->count = r->taken = 0;
        int err = r->ops->tally(r->group, keep, r);
        if (err < 0)
            log_error("event=tally_unreadable error=%s reason=\"%s\"", err_name(err),
                      err_text(err));
        sem_post(&r->done);
    }
}

int kernel_reader_new(const struct source_ops *ops, struct source_group *group,
                      struct kernel_reader **out)
{
    struct kernel_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->ops = ops;
    r->group = group;
    sem_init(&r->asked, 0, 0);
    sem_init(&r->done, 0, 0);
    int err = pthread_create(&r->thread, NULL, read_on, r);
    if (err != 0) {
        sem_destroy(&r->asked);
        sem_destroy(&r->done);
        free(r);
        return -err;
    }
    *out = r;
    return 0;
}

void kernel_reader_free(struct kernel_reader *r)
{
    if (r == NULL)
        return;
    kernel_reader_wait(r);
    r->must_end = true;
    sem_post(&r->asked);
    pthread_join(r->thread, NULL);
    sem_destroy(&r->asked);
    sem_destroy(&r->done);
    free(r->cells);
    free(r);
}

void kernel_reader_ask(struct kernel_reader *r)
{
    r->is_asked = true;
    sem_post(&r->asked);
}

void kernel_reader_wait(struct kernel_reader *r)
{
    if (r->is_asked)
        wait_on(&r->done);
    r->is_asked = false;
}

bool kernel_reader_is_busy(const struct kernel_reader *r)
{
    return r->is_asked || r->taken < r->count;
}

const struct source_tally *kernel_reader_next(struct kernel_reader *r)
{
    if (r->is_asked) {
        if (sem_trywait(&r->done) != 0)
            return NULL;
        r->is_asked = false;
    }
    return r->taken < r->count ? &r->cells[r->taken++] : NULL;
}

uint64_t kernel_reader_lost(const struct kernel_reader *r)
{
    return r->lost;
}

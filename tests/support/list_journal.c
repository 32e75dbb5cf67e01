#include "tests/support/list_journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

void list_journal_init(struct list_journal *l)
{
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
}

void list_journal_add(struct list_journal *l, uint64_t alert_id, const char *state,
                      const char *document)
{
    pthread_mutex_lock(&l->lock);
    struct list_row *row = &l->rows[l->count++];
    row->alert_id = alert_id;
    row->peak = FEED_CRITICAL;
    snprintf(row->state, sizeof row->state, "%s", state);
    snprintf(row->document, sizeof row->document, "%s",
             document != NULL ? document
                              : "{\"kind\":\"ingress_moved\",\"severity\":\"critical\","
                                "\"fingerprint\":\"0a\",\"summary\":\"It moved\"}");
    for (size_t i = 0; i < LIST_READERS; i++)
        if (l->readers[i].is_open)
            eventfd_write(l->readers[i].fd, 1);
    pthread_mutex_unlock(&l->lock);
}

void list_journal_set_away(struct list_journal *l, bool is_away)
{
    pthread_mutex_lock(&l->lock);
    l->is_away = is_away;
    for (size_t i = 0; i < LIST_READERS; i++)
        if (l->readers[i].is_open)
            eventfd_write(l->readers[i].fd, 1);
    pthread_mutex_unlock(&l->lock);
}

static struct list_reader *find(struct list_journal *l, const char *feed)
{
    for (size_t i = 0; i < LIST_READERS; i++)
        if (l->readers[i].list == NULL || strcmp(l->readers[i].feed, feed) == 0)
            return &l->readers[i];
    return NULL;
}

struct list_reader list_journal_saved(struct list_journal *l, const char *feed)
{
    pthread_mutex_lock(&l->lock);
    struct list_reader copy = *find(l, feed);
    pthread_mutex_unlock(&l->lock);
    return copy;
}

bool list_journal_wait(struct list_journal *l, const char *feed, uint64_t cursor)
{
    for (int i = 0; i < 6000; i++) {
        if (list_journal_saved(l, feed).cursor == cursor)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static int open_list(void *ctx, const struct feed_conf *feed, void **journal, uint64_t *cursor,
                     struct note *note)
{
    struct list_journal *l = ctx;
    pthread_mutex_lock(&l->lock);
    struct list_reader *r = find(l, feed->name);
    int err = 0;
    if (l->is_away)
        err = note_set(note, ERR_DATABASE, "the list is away");
    else if (r->is_open)
        err = note_set(note, ERR_BUSY, "another one tells feed %s", feed->name);
    else {
        if (r->list == NULL)
            r->cursor = feed->from == FEED_FROM_START ? 0 : l->count;
        r->list = l;
        snprintf(r->feed, sizeof r->feed, "%s", feed->name);
        r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r->is_open = true;
        *journal = r;
        *cursor = r->cursor;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

/* The row as it stands under the lock; looked at without it, for each() may wait for a receiver. */
static bool copy_row(struct list_reader *r, size_t i, struct list_row *out)
{
    pthread_mutex_lock(&r->list->lock);
    bool is_there = i < r->list->count;
    if (is_there)
        *out = r->list->rows[i];
    pthread_mutex_unlock(&r->list->lock);
    return is_there;
}

static bool is_away(struct list_reader *r)
{
    pthread_mutex_lock(&r->list->lock);
    bool away = r->list->is_away;
    pthread_mutex_unlock(&r->list->lock);
    return away;
}

static int show(size_t i, const struct list_row *row,
                int (*each)(void *arg, const struct notice_row *row), void *arg)
{
    return each(arg, &(struct notice_row){.event_id = i + 1,
                                          .alert_id = row->alert_id,
                                          .at = INT64_C(1795341661000000000) + (int64_t)i,
                                          .state = row->state,
                                          .document = row->document,
                                          .document_len = strlen(row->document),
                                          .peak = row->peak});
}

static int next(void *journal, uint64_t since, unsigned limit,
                int (*each)(void *arg, const struct notice_row *row), void *arg, struct note *note)
{
    struct list_row row;
    int err = is_away(journal) ? note_set(note, ERR_DATABASE, "the list is away") : 0;
    for (size_t i = since; err == 0 && i < since + limit && copy_row(journal, i, &row); i++)
        err = show(i, &row, each, arg);
    return err;
}

static int standing(void *journal, uint64_t up_to,
                    int (*each)(void *arg, const struct notice_row *row), void *arg,
                    struct note *note)
{
    struct list_row row, later;
    int err = 0;
    (void)note;
    for (size_t i = 0; err == 0 && i < up_to && copy_row(journal, i, &row); i++) {
        bool is_last = true;
        for (size_t j = i + 1; j < up_to && copy_row(journal, j, &later); j++)
            is_last = is_last && later.alert_id != row.alert_id;
        if (is_last)
            err = show(i, &row, each, arg);
    }
    return err;
}

static int ends(void *journal, uint64_t *oldest, uint64_t *newest, struct note *note)
{
    struct list_reader *r = journal;
    (void)note;
    pthread_mutex_lock(&r->list->lock);
    *oldest = r->list->count > 0;
    *newest = r->list->count;
    pthread_mutex_unlock(&r->list->lock);
    return 0;
}

static int save(void *journal, uint64_t cursor, uint64_t sent, uint64_t skipped, bool works,
                struct note *note)
{
    struct list_reader *r = journal;
    if (is_away(r))
        return note_set(note, ERR_DATABASE, "the list is away");
    pthread_mutex_lock(&r->list->lock);
    r->cursor = cursor;
    r->sent += sent;
    r->skipped += skipped;
    if (works)
        r->failure[0] = '\0';
    pthread_mutex_unlock(&r->list->lock);
    return 0;
}

static int failing(void *journal, const char *reason, struct note *note)
{
    struct list_reader *r = journal;
    (void)note;
    pthread_mutex_lock(&r->list->lock);
    snprintf(r->failure, sizeof r->failure, "%s", reason);
    pthread_mutex_unlock(&r->list->lock);
    return 0;
}

static int fd(void *journal)
{
    return ((struct list_reader *)journal)->fd;
}

static int heard(void *journal, struct note *note)
{
    eventfd_t n;
    eventfd_read(fd(journal), &n);
    return is_away(journal) ? note_set(note, ERR_DATABASE, "the list is away") : 0;
}

static void close_list(void *journal)
{
    struct list_reader *r = journal;
    pthread_mutex_lock(&r->list->lock);
    close(r->fd);
    r->is_open = false;
    pthread_mutex_unlock(&r->list->lock);
}

struct journal_ops list_journal_ops(struct list_journal *l)
{
    return (struct journal_ops){.ctx = l,
                                .open = open_list,
                                .next = next,
                                .standing = standing,
                                .ends = ends,
                                .save = save,
                                .failing = failing,
                                .fd = fd,
                                .heard = heard,
                                .close = close_list};
}

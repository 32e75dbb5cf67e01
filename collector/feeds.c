#include "collector/feeds.h"

#include "collector/store/journal.h"

struct look {
    int (*each)(void *arg, const struct notice_row *row);
    void *arg;
};

static int show(void *arg, const struct journal_row *row)
{
    const struct look *look = arg;
    const struct notice_row shown = {.event_id = row->event_id,
                                     .alert_id = row->alert_id,
                                     .at = row->at,
                                     .state = row->state,
                                     .document = row->document,
                                     .document_len = row->document_len,
                                     .peak = row->peak};
    return look->each(look->arg, &shown);
}

static int open_journal(void *ctx, const struct feed_conf *feed, void **journal, uint64_t *cursor,
                        struct note *note)
{
    struct journal *j = NULL;
    int err = journal_open(ctx, feed->name, feed_type_words[feed->type],
                           feed->from == FEED_FROM_START, &j, cursor, note);
    *journal = j;
    return err;
}

static int next(void *journal, uint64_t since, unsigned limit,
                int (*each)(void *arg, const struct notice_row *row), void *arg, struct note *note)
{
    return journal_next(journal, since, limit, show, &(struct look){each, arg}, note);
}

static int standing(void *journal, uint64_t up_to,
                    int (*each)(void *arg, const struct notice_row *row), void *arg,
                    struct note *note)
{
    return journal_standing(journal, up_to, show, &(struct look){each, arg}, note);
}

static int ends(void *journal, uint64_t *oldest, uint64_t *newest, struct note *note)
{
    return journal_ends(journal, oldest, newest, note);
}

static int save(void *journal, uint64_t cursor, uint64_t sent, uint64_t skipped, bool works,
                struct note *note)
{
    return journal_save(journal, cursor, sent, skipped, works, note);
}

static int failing(void *journal, const char *reason, struct note *note)
{
    return journal_failing(journal, reason, note);
}

static int fd(void *journal)
{
    return journal_fd(journal);
}

static int heard(void *journal, struct note *note)
{
    return journal_heard(journal, note);
}

static void close_journal(void *journal)
{
    journal_close(journal);
}

struct journal_ops feeds_journal(const struct store_conf *where)
{
    return (struct journal_ops){.ctx = (void *)where,
                                .open = open_journal,
                                .next = next,
                                .standing = standing,
                                .ends = ends,
                                .save = save,
                                .failing = failing,
                                .fd = fd,
                                .heard = heard,
                                .close = close_journal};
}

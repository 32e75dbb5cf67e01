/* The journal of announced alert states, as a feed sees it: collector/feeds.c joins it to the
 * store, tests to a list. Each feed has its own, in its own thread. All functions may wait for the
 * database; when one fails (with a note) the feed closes the journal and opens it again later. */
#pragma once

#include "collector/notify/notice.h"

struct journal_ops {
    void *ctx;
    /* *cursor: the last event_id that this feed is done with. ERR_BUSY: another process has it. */
    int (*open)(void *ctx, const struct feed_conf *feed, void **journal, uint64_t *cursor,
                struct note *note);
    /* Up to limit rows beyond since, in order, borrowed while each looks; stops at its first
     * non-zero answer and returns that. */
    int (*next)(void *journal, uint64_t since, unsigned limit,
                int (*each)(void *arg, const struct notice_row *row), void *arg, struct note *note);
    /* Of each alert that has no end the newest row up to that event. */
    int (*standing)(void *journal, uint64_t up_to,
                    int (*each)(void *arg, const struct notice_row *row), void *arg,
                    struct note *note);
    /* Its first and last event_id; 0 when it is empty. */
    int (*ends)(void *journal, uint64_t *oldest, uint64_t *newest, struct note *note);
    /* Moves the cursor, and adds to what it told and skipped; works: there is no outage (any more).
     */
    int (*save)(void *journal, uint64_t cursor, uint64_t sent, uint64_t skipped, bool works,
                struct note *note);
    /* That it does not work, and why. */
    int (*failing)(void *journal, const char *reason, struct note *note);
    int (*fd)(void *journal);                       /* readable when there may be news */
    int (*heard)(void *journal, struct note *note); /* reads them; does not wait */
    void (*close)(void *journal);
};

/* A journal of alert states in memory, for feeds without a database; several threads may use it. */
#pragma once

#include <pthread.h>

#include "collector/notify/journal_ops.h"

#define LIST_ROWS    1024
#define LIST_READERS 4

struct list_row {
    uint64_t alert_id;
    char state[16], document[256];
    unsigned peak;
};

struct list_journal {
    pthread_mutex_t lock;
    struct list_row rows[LIST_ROWS]; /* event_id is the place, from 1 */
    size_t count;
    struct list_reader {
        struct list_journal *list;
        char feed[64];
        bool is_open;
        int fd;
        uint64_t cursor, sent, skipped;
        char failure[256];
    } readers[LIST_READERS];
    bool is_away; /* every call fails */
};

void list_journal_init(struct list_journal *l);
struct journal_ops list_journal_ops(struct list_journal *l);

/* Announces a state: document is the alert's JSON object, or NULL for a plain one of kind
 * ingress_moved and severity critical. */
void list_journal_add(struct list_journal *l, uint64_t alert_id, const char *state,
                      const char *document);
void list_journal_set_away(struct list_journal *l, bool is_away);

/* What that feed has saved; zeroed when there is none. */
struct list_reader list_journal_saved(struct list_journal *l, const char *feed);

/* Until the feed's saved cursor is there; false after ten seconds. */
bool list_journal_wait(struct list_journal *l, const char *feed, uint64_t cursor);

/* A feed's way to the journal of announced alert states (penstock.alert_event): a session of its
 * own, so that it never waits for the collector's, nor the collector for it; beside the collector's
 * rights it needs no other. It listens to penstock_alert, and holds an advisory lock of the feed's
 * name, so that one process tells a feed. COMMITs here do not wait for the disk (a cursor that a
 * crash forgets is a repeat, not a loss).
 *
 * Rows come in the order of event_id, which is that of their commits, for one collector writes.
 * After any error: journal_close. One thread. */
#pragma once

#include "collector/store/store.h"

struct journal;

struct journal_row {
    uint64_t event_id, alert_id;
    int64_t at; /* wall ns */
    const char *state;
    const char *document; /* JSON */
    size_t document_len;
    unsigned peak; /* the alert's highest severity up to here: 0 info, 1 warning, 2 critical */
};

/* Borrowed while each looks. A non-zero answer ends the reading, and is returned. */
typedef int journal_each(void *arg, const struct journal_row *row);

/* A feed without a row begins at the newest state, or at the start. *cursor: the event_id it is
 * done with. ERR_BUSY: another process tells this feed; ERR_DATABASE. */
int journal_open(const struct store_conf *conf, const char *feed, const char *type, bool from_start,
                 struct journal **out, uint64_t *cursor, struct note *note);
void journal_close(struct journal *j);

/* Up to limit rows beyond since. */
int journal_next(struct journal *j, uint64_t since, unsigned limit, journal_each *each, void *arg,
                 struct note *note);
/* Of each alert that has no end in the database the newest row up to that one. */
int journal_standing(struct journal *j, uint64_t up_to, journal_each *each, void *arg,
                     struct note *note);
/* The first and last event_id; 0: it is empty. */
int journal_ends(struct journal *j, uint64_t *oldest, uint64_t *newest, struct note *note);

/* The cursor; adds to what was sent and skipped. works: no failure is under way. */
int journal_save(struct journal *j, uint64_t cursor, uint64_t sent, uint64_t skipped, bool works,
                 struct note *note);
int journal_failing(struct journal *j, const char *reason, struct note *note);

/* Readable when something was announced; journal_heard reads that. ERR_DATABASE: the connection is
 * gone. */
int journal_fd(struct journal *j);
int journal_heard(struct journal *j, struct note *note);

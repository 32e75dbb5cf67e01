/* The database: the only libpq. One named function per statement, no general query; parameters
 * always, never pasted text. Schema: schema/NNNN_*.sql, compiled in, applied under an advisory
 * lock.
 *
 * A unit of work: store_begin, any of the puts, store_commit. When anything fails the connection's
 * transaction is rolled back and ERR_DATABASE is returned with a note, or ERR_DATA when what was
 * put is to blame and would fail again (collector/store/sqlstate.h); the caller throws away what it
 * folded in memory, loads again, and lets the sensors send again. Puts and the commit are
 * refused until the next store_begin, which connects again (once) when the connection is broken; so
 * do the loads. A statement that takes longer than a minute is a failure,
 * except reading the map.
 *
 * One collector writes to a database: it holds an advisory lock (claim.c), and while another holds
 * it store_load_begin and store_begin say ERR_BUSY. Behind it stands a second guard: nobody may
 * write between a load and a transaction, or between two transactions; store_begin says
 * ERR_DATABASE if somebody did (who has not that lock; or a COMMIT of this collector that broke
 * off, and took place after all), and then the caller loads again. While such a COMMIT is under way
 * store_begin waits for it.
 *
 * What a sensor may say never makes a put fail: values that PostgreSQL would refuse are bent
 * (collector/store/field.h), and any time finds a partition. Times are kept in microseconds. Not
 * safe for several threads. */
#pragma once

#include "collector/alert/alert.h"
#include "collector/expect/list.h"
#include "collector/ingress/ingress.h"
#include "collector/order/order.h"
#include "collector/roster/roster.h"
#include "shared/base/err.h"
#include "shared/wire/event.h"

struct store_conf {
    char dsn[1024];       /* libpq connection string; passwords in it are never logged */
    char owner_dsn[1024]; /* the schema's owner, for migrations by hand; "": dsn. Not for store_open
                           */
};

struct store;

/* Is it a connection string? 0, or ERR_CONF with a note that says why not, and not what it is. */
int store_check_dsn(const char *dsn, struct note *note);

/* Connects to conf->dsn. ERR_CONF, ERR_DATABASE. */
int store_open(const struct store_conf *conf, struct store **out, struct note *note);
void store_close(struct store *s);

/* After a failure: whether it was the connection's or the server's (away, shutting down, out of
 * room, a statement that was cancelled), so that waiting may heal it. */
bool store_is_away(const struct store *s);

/* Becomes the one writer of this database, until the connection ends; store_load_begin and
 * store_begin do the same on a new one. ERR_BUSY: another is; the note says who. ERR_DATABASE. */
int store_claim(struct store *s, struct note *note);

/* What was said in SQL, on the channel of that name. */
enum store_heard {
    HEARD_ORDER = 1,       /* penstock_order: penstock.test_order changed */
    HEARD_EXPECTATION = 2, /* penstock_expectation: penstock.expectation changed */
    HEARD_ALERT_WORD = 4   /* penstock_alert_word: somebody said a word on an alert */
};
/* Listens from now on, also after the connection was made again. The first store_heard after either
 * says all three, for nobody knows what was said before. ERR_DATABASE. */
int store_listen(struct store *s, struct note *note);
/* What others said since it was asked last (a set of store_heard); never waits. ERR_DATABASE: the
 * session ended, and this is how a collector with nothing to write finds out. */
int store_heard(struct store *s, unsigned *what, struct note *note);

/* Brings the schema to this version, as its owner; several at once are serialised. *applied: steps
 * done. */
int store_migrate(struct store *s, unsigned *applied, struct note *note);

/* Before the loads: migrates if this role is the owner (or none has made the schema, and it may),
 * else as store_check_version. */
int store_prepare(struct store *s, unsigned *applied, struct note *note);

/* 0 if the schema is this version's; ERR_VERSION with a note that says what to do. */
int store_check_version(struct store *s, struct note *note);

/* Before the four loads: from here on, what another writer does is noticed by store_begin.
 * ERR_BUSY, ERR_VERSION, ERR_DATABASE. */
int store_load_begin(struct store *s, struct note *note);
/* Every row goes to each; stops at the first non-zero answer and returns it. */
int store_load_sensors(struct store *s, int (*each)(void *arg, const struct sensor_row *row),
                       void *arg, struct note *note);
/* The epochs of all sensors, those heard of longest ago first. */
int store_load_epochs(struct store *s, int (*each)(void *arg, const struct epoch_row *row),
                      void *arg, struct note *note);
int store_load_ingress(struct store *s, int (*each)(void *arg, const struct ingress_row *row),
                       void *arg, struct note *note);
int store_load_expectation(struct store *s, int (*each)(void *arg, const struct expect_row *row),
                           void *arg, struct note *note);
int store_load_alerts(struct store *s, int (*each)(void *arg, const struct alert_row *row),
                      void *arg, uint64_t *next_id, struct note *note);
/* Alerts that ended within the last day, oldest first: what alert_load_end asks for. */
int store_load_ends(struct store *s, void (*each)(void *arg, const struct alert_row *ended),
                    void *arg, struct note *note);
/* Of alerts without an end those of which a person said something: the state that stands in the
 * database, who said it, and after how many words. */
struct alert_said {
    uint64_t alert_id, words;
    enum alert_state state;
    char by[64];
};
int store_load_words(struct store *s, void (*each)(void *arg, const struct alert_said *said),
                     void *arg, struct note *note);
/* Windows of maintenance that are not over, those that begin first. */
int store_load_windows(struct store *s, int (*each)(void *arg, const struct alert_window *w),
                       void *arg, struct note *note);

/* The map's cells, as the newest complete generation has them, and what was tallied since it began:
 * a cell was written in turn `turn`, and holds what was tallied until then, that turn's own
 * included.
 */
struct store_generation {
    unsigned number;
    uint64_t first_turn; /* what was tallied later may be missing in it */
    uint64_t cells;
    int64_t began_at;
};
int store_load_generation(struct store *s, struct store_generation *out, struct note *note);
int store_load_cells(struct store *s, const struct store_generation *from,
                     int (*each)(void *arg, const struct ingress_cell *cell, uint64_t turn),
                     void *arg, struct note *note);
int store_load_tallies(struct store *s, uint64_t after_turn,
                       int (*each)(void *arg, const char *pop, const struct event_tally *t,
                                   uint64_t turn),
                       void *arg, struct note *note);
/* Orders that are not over, still have a lease, or began in the last day; those that are over
 * first. store_open_orders: those that are not over, as they are now, people's words with them;
 * within a transaction or not. */
int store_load_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note);
int store_open_orders(struct store *s, int (*each)(void *arg, const struct order_row *row),
                      void *arg, struct note *note);

int store_begin(struct store *s, struct note *note);
int store_commit(struct store *s, struct note *note);
/* Would it commit? All that was put is sent, and constraints that wait for the end are asked. To be
 * followed by a rollback. */
int store_try(struct store *s, struct note *note);
void store_rollback(struct store *s);

/* Events of one sensor, any types, in order: kept for COPY at store_commit, or upserted (tests).
 * Copied, not borrowed. Event types without a table are ignored. */
int store_put_event(struct store *s, const char *sensor, const char *pop, const struct event *e,
                    struct note *note);
/* These three are kept, and upserted in bulk at store_commit; the last of several rows of one key
 * wins. An epoch that is forgotten is deleted. A map entry without a prefix is logged and ignored.
 */
int store_put_sensor(struct store *s, const struct sensor_row *row, struct note *note);
int store_put_epoch(struct store *s, const struct epoch_row *row, struct note *note);
int store_put_ingress(struct store *s, const struct ingress_row *row, struct note *note);
/* A map entry that is no more is deleted; before the entries that are put in the same transaction,
 * so that one that ended and came again is there. */
int store_drop_ingress(struct store *s, const struct ingress_row *row, struct note *note);
int store_put_change(struct store *s, const struct ingress_change *change, struct note *note);
int store_put_gap(struct store *s, const struct gap_row *row, struct note *note);
/* announce: also a row of the journal penstock.alert_event, and NOTIFY penstock_alert with the
 * alert_id, seen by listeners when this commits; not if a person's word that the collector has not
 * heard (row->words) stands against the new state. */
int store_put_alert(struct store *s, const struct alert_row *row, bool announce, struct note *note);
/* Deletes alerts that ended, and rows of their journal, before that time. */
int store_forget_alerts(struct store *s, int64_t before, struct note *note);
/* What was learned; nothing happens when it is there. */
int store_put_expectation(struct store *s, const struct expect_row *row, struct note *note);
/* *order_id: the row's, or the number that a new one (0) got. That somebody cancelled it stands
 * against its new state. 1: somebody holds the row (an open transaction), so it is not written. */
int store_put_order(struct store *s, const struct order_row *row, uint64_t *order_id,
                    struct note *note);
/* An event or batch that could not be decoded, set aside with its bytes and reason. */
int store_put_malformed(struct store *s, const char *sensor, uint64_t epoch, uint64_t seq,
                        const char *reason, const uint8_t *bytes, size_t len, struct note *note);

/* ---- the map's cells, on their way into a generation: over as many transactions as it takes ----
 */

/* The number of the transaction under way. */
uint64_t store_turn(const struct store *s);
/* Empties the table that is not the newest complete one. *is_begun: false when somebody holds it
 * just now, as a backup does. */
int store_cells_begin(struct store *s, bool *is_begun, struct note *note);
int store_put_cell(struct store *s, const struct ingress_cell *cell, struct note *note);
/* It has so many cells, and is complete. */
int store_cells_end(struct store *s, uint64_t cells, struct note *note);

/* How long events are kept, in ns; 0: for ever. */
struct store_keep {
    uint64_t events_ns, tallies_ns, history_ns;
};

/* Drops a month that is too old, of each table that has one: *dropped; and some orders that are
 * over as long as events are kept. Not in a transaction, each is one of its own. Tallies that the
 * next load needs stay. */
int store_forget(struct store *s, const struct store_keep *keep, int64_t now, unsigned *dropped,
                 struct note *note);

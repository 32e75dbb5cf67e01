/* Inside the store: the connection, its transaction, and how a statement is run. Not for others. */
#pragma once

#include "collector/store/field.h"
#include "collector/store/store.h"

/* Tables that are filled by COPY. */
enum event_table {
    TABLE_STATUS,
    TABLE_TALLY,
    TABLE_DROP,
    TABLE_SCAN_WINDOW,
    TABLE_PASSIVE_FLOW,
    TABLE_PASSIVE_TOTAL,
    TABLE_CHANGE, /* these three hold no events */
    TABLE_CELL_0,
    TABLE_CELL_1,
    TABLE_COUNT
};

/* Partitions per table: one for all that is before 2026, 300 months, one for all that is after. */
#define PARTITION_COUNT 302

/* What is upserted in bulk, in the order in which it is: rows that wait as columns, count elements
 * each. */
enum bulk_kind { BULK_SENSOR, BULK_EPOCH, BULK_GONE, BULK_ENTRY, BULK_COUNT };

#define BULK_COLUMNS 36 /* of a map entry; others have fewer */

struct bulk {
    struct record columns[BULK_COLUMNS];
    uint32_t count;
};

/* Which server process a session is: its number may be another's later, its birth may not. */
struct backend {
    uint64_t pid;  /* 0: none */
    int64_t birth; /* as PostgreSQL counts, by its clock */
};

/* The row of collector_turn. The time, too: after a failover that lost the last turns, as many of
 * somebody else's may follow. */
struct turn {
    uint64_t count;
    int64_t at;
};

struct store {
    PGconn *conn;
    bool in_transaction;
    bool is_writer;         /* this connection holds the lock of claim.c */
    bool was_warned;        /* the server sent a warning; store.c clears it */
    char failure[6];        /* SQLSTATE of the last failure; "": none, or the connection's */
    struct backend claimed; /* the session that took the lock last: this one, or a former one */
    bool is_listening;   /* to the channels of listen.c, on this connection and every later one */
    unsigned heard;      /* there, and not told yet: a set of store_heard */
    bool is_turn_known;  /* else whatever store_begin finds is right */
    struct turn turn;    /* when the last of our transactions committed */
    struct turn next;    /* when the one under way will have */
    const char *copying; /* what the open COPY writes; NULL: none is open */
    /* what waits for the next flush */
    struct record events[TABLE_COUNT]; /* COPY BINARY rows */
    struct bulk bulks[BULK_COUNT];
    unsigned generation;     /* 0 or 1: of cells; the one that is written, or will be next */
    struct record statement; /* parameters of the statement at hand */
    /* partitions known to be there; forgotten with every rollback, which may undo one */
    bool partitions[TABLE_COUNT][PARTITION_COUNT];
};

/* claim.c: takes the lock of the one writer, if this connection does not hold it. 0, ERR_BUSY with
 * who holds it, ERR_DATABASE. */
int session_claim(struct store *s, struct note *note);

/* listen.c: listens on this connection. */
int session_listen(struct store *s, struct note *note);

#define SESSION_STATEMENT_TIMEOUT "SET statement_timeout = '60s';"

/* Checks the connection and sets the session up. */
int session_set_up(struct store *s, struct note *note);

/* Connects again, once, if the connection is known to be broken; not within a transaction. */
int session_ready(struct store *s, struct note *note);

/* A transaction that takes no turn: for migrations (the schema may not be there), and to take one.
 */
int session_begin(struct store *s, struct note *note);

/* The statement's parameters, empty: fill them with field_…() in order. */
struct record *session_parameters(struct store *s);

/* Runs one statement with the parameters filled since session_parameters(), binary both ways; what
 * says in the note what was attempted. On failure the transaction is rolled back: ERR_DATABASE. */
int session_run(struct store *s, const char *sql, const char *what, struct note *note);
/* The same, and gives the result; the caller clears it with PQclear. */
int session_ask(struct store *s, const char *sql, const char *what, PGresult **out,
                struct note *note);
/* Several statements without parameters. */
int session_script(struct store *s, const char *sql, const char *what, struct note *note);
/* Rows one by one, so that a large table needs no memory here. Stops at each's first non-zero
 * answer and returns it. */
int session_each(struct store *s, const char *sql, const char *what,
                 int (*each)(void *arg, struct columns *row), void *arg, struct note *note);
/* The same, with the parameters filled since session_parameters(). */
int session_each_of(struct store *s, const char *sql, const char *what,
                    int (*each)(void *arg, struct columns *row), void *arg, struct note *note);
/* The same for many rows, by a cursor in a transaction of its own: some thousand with each answer.
 * One by one each is a result by itself, with a copy of what its columns are. sql: SESSION_CURSOR
 * "SELECT …". */
#define SESSION_CURSOR "DECLARE loading NO SCROLL CURSOR FOR "
int session_each_of_many(struct store *s, const char *sql, const char *what,
                         int (*each)(void *arg, struct columns *row), void *arg, struct note *note);
/* One boolean, without parameters. */
int session_boolean(struct store *s, const char *sql, const char *what, bool *out,
                    struct note *note);
/* COPY … FROM STDIN (FORMAT binary), open while rows come. what: static text, and the COPY's name:
 * when it is open already nothing is done. Any other statement, and another COPY, closes it first.
 */
int session_copy_open(struct store *s, const char *sql, const char *what, struct note *note);
/* Sends rows; does not wait for the database to take them, unless the socket is full. */
int session_copy_rows(struct store *s, const struct record *rows, struct note *note);
/* Ends the open COPY, if there is one: only now it is known whether the rows were taken. */
int session_copy_close(struct store *s, struct note *note);

/* Fills the note from res (may be NULL) or the connection, rolls back; ERR_DATA when the values are
 * to blame, else ERR_DATABASE. */
int session_fail(struct store *s, const PGresult *res, const char *what, struct note *note);

/* 0, or ERR_DATABASE when the caller has no transaction open (the last failure ended it). */
int session_in_transaction(struct store *s, const char *what, struct note *note);

/* bulk.c: upserts all that waits; forgets it; frees it. */
int bulk_flush(struct store *s, struct note *note);
void bulk_forget(struct store *s);
void bulk_clear(struct store *s);

/* copy.c: sends the events that wait, and closes the COPY. */
int copy_flush(struct store *s, struct note *note);
/* copy.c: a row that is no event: change or cell. */
int copy_change(struct store *s, const struct ingress_change *c, struct note *note);
int copy_cell(struct store *s, const struct ingress_cell *c, struct note *note);
/* copy.c: forgets the events that wait. */
void copy_forget(struct store *s);
/* copy.c: keeps the event for COPY if its type has a table there; *taken tells. */
int copy_event(struct store *s, const char *sensor, const char *pop, const struct event *e,
               bool *taken, struct note *note);

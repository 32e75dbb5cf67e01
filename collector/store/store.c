/* The connection and the transaction. Statements: put.c, copy.c, load.c, migrate.c. */
#include "collector/store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/session.h"
#include "shared/base/log.h"

/* What every session is set to:
 *  - names are always written in full, so nobody's search_path can put another table in front;
 *  - a statement that hangs for a minute is an error that the caller hears of;
 *  - a transaction whose collector is gone without a word (its machine, the network) ends after a
 *    minute, too, and with it the locks that the next transaction waits for;
 *  - COMMIT must mean that the rows are on disk, for acknowledgements rest on it: a database set to
 *    synchronous_commit=off is overruled, stricter settings are left. */
static const char session_setup[] =
    "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET client_min_messages = "
    "warning;" SESSION_STATEMENT_TIMEOUT "SET lock_timeout = '30s';"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET default_transaction_isolation = 'read committed';"
    "SET default_transaction_read_only = off;"
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

static void log_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug("event=database_notice text=\"%.*s\"", (int)strcspn(message, "\n"), message);
}

int session_set_up(struct store *s, struct note *note)
{
    if (PQstatus(s->conn) != CONNECTION_OK)
        return session_fail(s, NULL, "connecting", note);
    return session_script(s, session_setup, "setting up the session", note);
}

/* A parse error of libpq quotes the string, and with it a password: say less. */
static int dsn_check(const char *dsn, struct note *note)
{
    PQconninfoOption *options = PQconninfoParse(dsn, NULL);
    if (options == NULL)
        return note_set(note, ERR_DATABASE,
                        "database: the DSN is not a libpq connection string"
                        " (like \"host=/run/postgresql dbname=penstock\")");
    PQconninfoFree(options);
    return 0;
}

static PGconn *session_connect(const char *dsn)
{
    /* what comes before dbname are defaults that the DSN may change, what comes after is not */
    const char *const keywords[] = {"connect_timeout",
                                    "keepalives_idle",
                                    "tcp_user_timeout",
                                    "fallback_application_name",
                                    "dbname",
                                    "client_encoding",
                                    NULL};
    const char *const values[] = {"10", "30", "30000", "penstock-collector", dsn, "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

int store_open(const struct store_conf *conf, struct store **out, struct note *note)
{
    int err = dsn_check(conf->dsn, note);
    if (err != 0)
        return err;
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "database: out of memory");
    s->conn = session_connect(conf->dsn);
    if (s->conn != NULL)
        PQsetNoticeProcessor(s->conn, log_notice, NULL);
    err = session_set_up(s, note);
    if (err != 0) {
        store_close(s);
        return err;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    PQfinish(s->conn);
    for (unsigned t = 0; t < TABLE_COUNT; t++)
        record_clear(&s->events[t]);
    for (unsigned i = 0; i < ENTRY_COLUMN_COUNT; i++)
        record_clear(&s->entries[i]);
    record_clear(&s->statement);
    free(s);
}

static int session_reconnect(struct store *s, struct note *note)
{
    store_rollback(s);
    PQreset(s->conn);
    int err = session_set_up(s, note);
    if (err == 0)
        log_info("event=database_reconnected");
    return err;
}

int session_ready(struct store *s, struct note *note)
{
    return PQstatus(s->conn) == CONNECTION_OK ? 0 : session_reconnect(s, note);
}

struct turn {
    uint64_t turns;
    bool is_there, may_write;
};

static int keep_turn(void *arg, struct columns *c)
{
    struct turn *t = arg;
    t->turns = column_bigint(c);
    t->may_write = column_boolean(c);
    t->is_there = true;
    return 0;
}

static int load_turn(struct store *s, struct note *note)
{
    struct turn t = {0};
    s->is_turn_known = false;
    int err = session_each(s,
                           "SELECT turns, has_table_privilege('penstock.collector_turn', 'UPDATE')"
                           " FROM penstock.collector_turn",
                           "reading the turn", keep_turn, &t, note);
    if (err != 0)
        return err;
    if (!t.is_there)
        return note_set(note, ERR_DATABASE,
                        "database, reading the turn: penstock.collector_turn has lost its row");
    if (!t.may_write) /* else a start would look well, and each batch fail */
        return note_set(note, ERR_DATABASE,
                        "database: this role may read, but not write: database.dsn must name the"
                        " role that owns the schema penstock");
    s->turn = t.turns;
    s->is_turn_known = true;
    return 0;
}

int store_load_begin(struct store *s, struct note *note)
{
    int err = session_ready(s, note);
    return err == 0 ? load_turn(s, note) : err;
}

/* Waits for a writer that is not done yet (at most lock_timeout). */
static int take_turn(struct store *s, struct note *note)
{
    PGresult *res;
    struct record *p = session_parameters(s);
    field_bigint(p, s->turn);
    int err = session_ask(s,
                          "UPDATE penstock.collector_turn SET turns = turns + 1, at = now()"
                          " WHERE turns = $1",
                          "beginning a transaction", &res, note);
    if (err != 0)
        return err;
    bool is_ours = strcmp(PQcmdTuples(res), "1") == 0;
    PQclear(res);
    if (is_ours)
        return 0;
    store_rollback(s);
    return note_set(note, ERR_DATABASE,
                    "database, beginning a transaction: somebody else wrote since it was read: a"
                    " second collector, or a COMMIT of ours that was in doubt and took place");
}

int session_begin(struct store *s, struct note *note)
{
    int err = session_script(s, "BEGIN", "beginning a transaction", note);
    s->in_transaction = err == 0;
    s->is_turn_known = false;
    return err;
}

static int begin(struct store *s, struct note *note)
{
    int err = s->is_turn_known ? 0 : load_turn(s, note);
    if (err == 0)
        err = session_script(s, "BEGIN", "beginning a transaction", note);
    return err == 0 ? take_turn(s, note) : err;
}

int store_begin(struct store *s, struct note *note)
{
    assert(!s->in_transaction);
    copy_forget(s);
    int err = PQstatus(s->conn) == CONNECTION_OK ? begin(s, note) : ERR_DATABASE;
    /* a connection that died while idle shows only now */
    if (err != 0 && PQstatus(s->conn) != CONNECTION_OK) {
        err = session_reconnect(s, note);
        if (err == 0)
            err = begin(s, note);
    }
    s->in_transaction = err == 0;
    return err;
}

int store_commit(struct store *s, struct note *note)
{
    int err = session_in_transaction(s, "committing", note);
    if (err == 0)
        err = copy_flush(s, note);
    if (err != 0)
        return err;
    PGresult *res = PQexec(s->conn, "COMMIT");
    /* COMMIT of a failed transaction succeeds, and answers ROLLBACK */
    bool committed =
        PQresultStatus(res) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(res), "COMMIT") == 0;
    if (committed) {
        s->in_transaction = false;
        s->turn++;
    } else {
        err = session_fail(s, res, "committing", note);
    }
    PQclear(res);
    return err;
}

void store_rollback(struct store *s)
{
    copy_forget(s);
    memset(s->partitions, 0, sizeof s->partitions);
    s->in_transaction = false;
    if (PQstatus(s->conn) != CONNECTION_OK || PQtransactionStatus(s->conn) == PQTRANS_IDLE)
        return;
    PQclear(PQexec(s->conn, "ROLLBACK")); /* ends a COPY or a query that is under way, too */
}

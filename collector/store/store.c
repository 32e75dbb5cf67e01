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
 *  - a collector that has nothing to write keeps its session, and with it the right to write;
 *  - COMMIT must mean that the rows are on disk, for acknowledgements rest on it: a database set to
 *    synchronous_commit=off is overruled, stricter settings are left;
 *  - a session whose collector's machine is gone ends within half a minute, also over TCP, and with
 *    it the lock that lets one collector write (claim.c). */
static const char session_setup[] =
    "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET client_min_messages = "
    "warning;" SESSION_STATEMENT_TIMEOUT "SET lock_timeout = '30s';"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET idle_session_timeout = 0;"
    "SET default_transaction_isolation = 'read committed';"
    "SET default_transaction_read_only = off;"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '25s'; SET client_connection_check_interval = '5s';"
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

static void take_notice(void *arg, const PGresult *res)
{
    struct store *s = arg;
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    char text[256];
    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        s->was_warned = true;
    log_debug("event=database_notice text=\"%s\"",
              log_quotable(primary != NULL ? primary : "", text, sizeof text));
}

int session_set_up(struct store *s, struct note *note)
{
    if (PQstatus(s->conn) != CONNECTION_OK)
        return session_fail(s, NULL, "connecting", note);
    int err = session_script(s, session_setup, "setting up the session", note);
    return err == 0 && s->is_listening ? session_listen(s, note) : err;
}

/* A password with '@' or '/' in a URL must be written %40, %2F; else what follows is taken for the
 * host's name, and told as such when it is not found. So where there are two ways to read it, it is
 * refused. */
static bool is_url_ambiguous(const char *dsn)
{
    const char *rest = strstr(dsn, "://");
    if (rest == NULL || (strncmp(dsn, "postgresql:", 11) != 0 && strncmp(dsn, "postgres:", 9) != 0))
        return false;
    rest += 3;
    const char *at = strchr(rest, '@'), *path = strchr(rest, '/');
    return at != NULL && ((path != NULL && path < at) || strchr(at + 1, '@') != NULL);
}

int store_check_dsn(const char *dsn, struct note *note)
{
    /* a parse error of libpq quotes the string, and with it a password: say less */
    PQconninfoOption *options = PQconninfoParse(dsn, NULL);
    if (options == NULL)
        return note_set(note, ERR_CONF,
                        "not a libpq connection string"
                        " (like \"host=/run/postgresql dbname=penstock\")");
    PQconninfoFree(options);
    if (is_url_ambiguous(dsn))
        return note_set(note, ERR_CONF,
                        "cannot be read in one way only: within a URL, @ and / of a name or a"
                        " password are written %%40 and %%2F");
    return 0;
}

/* A server that is gone without a word is noticed in less than half a minute. */
static PGconn *session_connect(const char *dsn)
{
    /* what comes before dbname are defaults that the DSN may change, what comes after is not */
    static const char *const options[][2] = {{"connect_timeout", "10"},
                                             {"keepalives_idle", "10"},
                                             {"keepalives_interval", "5"},
                                             {"keepalives_count", "3"},
                                             {"tcp_user_timeout", "25000"},
                                             {"fallback_application_name", "penstock-collector"},
                                             {"dbname", NULL},
                                             {"client_encoding", "UTF8"}};
    enum { COUNT = sizeof options / sizeof options[0] };
    const char *keywords[COUNT + 1] = {0}, *values[COUNT + 1] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        keywords[i] = options[i][0];
        values[i] = options[i][1] != NULL ? options[i][1] : dsn;
    }
    return PQconnectdbParams(keywords, values, 1);
}

int store_open(const struct store_conf *conf, struct store **out, struct note *note)
{
    struct note why;
    int err = store_check_dsn(conf->dsn, &why);
    if (err != 0)
        return note_set(note, err, "database: the DSN is %s", why.text);
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "database: out of memory");
    s->conn = session_connect(conf->dsn);
    if (s->conn != NULL)
        PQsetNoticeReceiver(s->conn, take_notice, s);
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
    bulk_clear(s);
    record_clear(&s->statement);
    free(s);
}

static int session_reconnect(struct store *s, struct note *note)
{
    store_rollback(s);
    s->is_writer = false;
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

bool store_is_away(const struct store *s)
{
    /* 08 connection, 40 rolled back, 53 resources, 55 not in the right state, 57 operator, 58
     * system */
    static const char heals[][3] = {"08", "40", "53", "55", "57", "58"};
    if (PQstatus(s->conn) != CONNECTION_OK)
        return true;
    for (size_t i = 0; i < sizeof heals / sizeof heals[0]; i++)
        if (strncmp(s->failure, heals[i], 2) == 0)
            return true;
    return false;
}

/* COMMIT, and nothing less. A warning says that the server stopped waiting for its standby: the
 * rows are here, but not where a synchronous standby was to have them. */
static int end_transaction(struct store *s, struct note *note)
{
    int err = 0;
    s->was_warned = false;
    PGresult *res = PQexec(s->conn, "COMMIT");
    /* COMMIT of a failed transaction succeeds, and answers ROLLBACK */
    bool committed =
        PQresultStatus(res) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(res), "COMMIT") == 0;
    if (!committed)
        err = session_fail(s, res, "committing", note);
    else if (s->was_warned)
        err = note_set(note, ERR_DATABASE,
                       "database, committing: the server gave up waiting for its standby");
    s->in_transaction = false;
    if (err == 0)
        s->turn = s->next;
    PQclear(res);
    return err;
}

/* Else a start would look well, and each batch fail. */
static int check_may_write(struct store *s, struct note *note)
{
    bool may = false;
    int err = session_boolean(s,
                              "SELECT has_table_privilege('penstock.collector_turn', 'SELECT')"
                              " AND has_table_privilege('penstock.collector_turn', 'UPDATE')",
                              "asking for rights", &may, note);
    if (err != 0 || may)
        return err;
    return note_set(note, ERR_DATABASE,
                    "database: this role may read, but not write: database.dsn must name a member"
                    " of penstock_collector, or the owner of the schema penstock");
}

/* Runs that UPDATE; *taken: whether it found its row. */
static int update_turn(struct store *s, const char *sql, bool *taken, struct note *note)
{
    PGresult *res;
    int err = session_ask(s, sql, "taking the turn", &res, note);
    if (err != 0)
        return err;
    struct columns c = {.result = res};
    *taken = PQntuples(res) == 1;
    if (*taken)
        s->next = (struct turn){.count = column_bigint(&c), .at = column_time(&c)};
    PQclear(res);
    return 0;
}

#define COUNT_TURN  "UPDATE penstock.collector_turn SET turns = turns + 1, at = clock_timestamp()"
#define RETURN_TURN " RETURNING turns, at"

static int count_turn(struct store *s, struct note *note)
{
    bool taken = false;
    session_parameters(s);
    int err = update_turn(s, COUNT_TURN RETURN_TURN, &taken, note);
    if (err != 0 || taken)
        return err;
    store_rollback(s);
    return note_set(note, ERR_DATABASE,
                    "database, taking the turn: penstock.collector_turn has lost its row");
}

/* A transaction of its own, not just a look: it shows that this session can write. And when its
 * COMMIT is on a synchronous standby, all that was committed before is there, too, also what a
 * former session of ours committed without living to hear so. What is read from here on may be
 * acknowledged. */
static int open_turn(struct store *s, struct note *note)
{
    int err = check_may_write(s, note);
    if (err == 0)
        err = session_begin(s, note);
    if (err == 0)
        err = count_turn(s, note);
    if (err == 0)
        err = end_transaction(s, note);
    s->is_turn_known = err == 0;
    return err;
}

int store_load_begin(struct store *s, struct note *note)
{
    s->is_turn_known = false;
    int err = session_ready(s, note);
    if (err == 0)
        err = session_claim(s, note);
    if (err == 0)
        err = store_check_version(s, note);
    if (err == 0)
        err = store_listen(s, note);
    return err == 0 ? open_turn(s, note) : err;
}

/* Waits for a writer that is not done yet (at most lock_timeout). */
static int take_turn(struct store *s, struct note *note)
{
    bool taken = false;
    struct record *p = session_parameters(s);
    field_bigint(p, s->turn.count);
    field_instant(p, s->turn.at);
    int err = update_turn(s, COUNT_TURN " WHERE turns = $1 AND at = $2" RETURN_TURN, &taken, note);
    if (err != 0 || taken)
        return err;
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
    int err = session_claim(s, note);
    if (err == 0 && !s->is_turn_known)
        err = open_turn(s, note);
    if (err == 0)
        err = session_script(s, "BEGIN", "beginning a transaction", note);
    return err == 0 ? take_turn(s, note) : err;
}

int store_begin(struct store *s, struct note *note)
{
    assert(!s->in_transaction);
    copy_forget(s);
    bulk_forget(s);
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

static int flush(struct store *s, const char *what, struct note *note)
{
    int err = session_in_transaction(s, what, note);
    if (err == 0)
        err = copy_flush(s, note);
    return err == 0 ? bulk_flush(s, note) : err;
}

int store_commit(struct store *s, struct note *note)
{
    int err = flush(s, "committing", note);
    return err == 0 ? end_transaction(s, note) : err;
}

int store_try(struct store *s, struct note *note)
{
    static const char what[] = "trying events";
    int err = flush(s, what, note);
    return err == 0 ? session_script(s, "SET CONSTRAINTS ALL IMMEDIATE", what, note) : err;
}

void store_rollback(struct store *s)
{
    copy_forget(s);
    bulk_forget(s);
    memset(s->partitions, 0, sizeof s->partitions);
    s->in_transaction = false;
    if (PQstatus(s->conn) != CONNECTION_OK || PQtransactionStatus(s->conn) == PQTRANS_IDLE)
        return;
    PQclear(PQexec(s->conn, "ROLLBACK")); /* ends a COPY or a query that is under way, too */
}

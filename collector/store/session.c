#include "collector/store/session.h"
#include "collector/store/sqlstate.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

enum { PARAMETERS_MAX = 40, BINARY = 1 };

struct record *session_parameters(struct store *s)
{
    record_empty(&s->statement);
    return &s->statement;
}

/* Cuts the record into what libpq wants. Number of parameters. */
static int parameters_cut(const struct record *r, const char *values[static PARAMETERS_MAX],
                          int lengths[static PARAMETERS_MAX], int formats[static PARAMETERS_MAX])
{
    int n = 0;
    for (size_t at = 0; at < r->len && n < PARAMETERS_MAX; n++) {
        uint32_t be;
        memcpy(&be, r->data + at, sizeof be);
        int32_t len = (int32_t)be32toh(be);
        at += sizeof be;
        /* an empty value must still be a pointer: NULL means NULL */
        values[n] = len < 0 ? NULL : len == 0 ? "" : (const char *)r->data + at;
        lengths[n] = len < 0 ? 0 : len;
        formats[n] = BINARY;
        at += len < 0 ? 0 : (size_t)len;
    }
    return n;
}

/* libpq's messages end with a newline and may have several lines; a note is one sentence. */
static void one_line(const char *message, char out[static 512])
{
    size_t n = 0;
    for (const char *c = message; *c != '\0' && n < 511; c++)
        out[n++] = *c == '\n' || *c == '\t' ? ' ' : *c;
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* No message of libpq has a password in it that was said as one; this is for the day one has. */
static void hide(char *message, const char *secret)
{
    size_t len = secret != NULL ? strlen(secret) : 0;
    if (len == 0)
        return;
    for (char *at = message; (at = strstr(at, secret)) != NULL; at += len)
        memset(at, '*', len);
}

static const char *hint_of(const char *state)
{
    return strcmp(state, "42501") == 0 ? "; is the role a member of penstock_collector, and did the"
                                         " owner call penstock.grant_roles()?"
                                       : "";
}

int session_fail(struct store *s, const PGresult *res, const char *what, struct note *note)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    char message[512];
    one_line(primary != NULL ? primary : PQerrorMessage(s->conn), message);
    hide(message, PQpass(s->conn));
    if (message[0] == '\0')
        memcpy(message, "no answer", sizeof "no answer");
    snprintf(s->failure, sizeof s->failure, "%s", state != NULL ? state : "");
    note_set(note, ERR_DATABASE, "database, %s: %s%s%s%s%s", what, message,
             state != NULL ? " (SQLSTATE " : "", s->failure, state != NULL ? ")" : "",
             hint_of(s->failure));
    store_rollback(s);
    return sqlstate_is_of_data(state) ? ERR_DATA : ERR_DATABASE;
}

static int out_of_memory(struct store *s, const char *what, struct note *note)
{
    note_set(note, ERR_DATABASE, "database, %s: out of memory", what);
    store_rollback(s);
    return ERR_DATABASE;
}

static bool is_good(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Before any other statement while a COPY is open: what waits for it goes with it, so that it need
 * not be opened once more for the rest. */
static int finish_rows(struct store *s, struct note *note)
{
    return s->copying == NULL ? 0 : copy_flush(s, note);
}

int session_ask(struct store *s, const char *sql, const char *what, PGresult **out,
                struct note *note)
{
    const char *values[PARAMETERS_MAX];
    int lengths[PARAMETERS_MAX], formats[PARAMETERS_MAX];
    if (s->statement.failed)
        return out_of_memory(s, what, note);
    int err = finish_rows(s, note);
    if (err != 0)
        return err;
    int n = parameters_cut(&s->statement, values, lengths, formats);
    PGresult *res = PQexecParams(s->conn, sql, n, NULL, values, lengths, formats, BINARY);
    if (is_good(res)) {
        *out = res;
        return 0;
    }
    err = session_fail(s, res, what, note);
    PQclear(res);
    return err;
}

int session_run(struct store *s, const char *sql, const char *what, struct note *note)
{
    PGresult *res;
    int err = session_ask(s, sql, what, &res, note);
    if (err == 0)
        PQclear(res);
    return err;
}

int session_script(struct store *s, const char *sql, const char *what, struct note *note)
{
    int err = finish_rows(s, note);
    if (err != 0)
        return err;
    PGresult *res = PQexec(s->conn, sql);
    err = is_good(res) ? 0 : session_fail(s, res, what, note);
    PQclear(res);
    return err;
}

/* After an early stop: the rest is read and thrown away, so that the connection is usable. */
static void drain(struct store *s)
{
    for (PGresult *res; (res = PQgetResult(s->conn)) != NULL;)
        PQclear(res);
}

int session_each(struct store *s, const char *sql, const char *what,
                 int (*each)(void *arg, struct columns *row), void *arg, struct note *note)
{
    session_parameters(s);
    return session_each_of(s, sql, what, each, arg, note);
}

int session_each_of(struct store *s, const char *sql, const char *what,
                    int (*each)(void *arg, struct columns *row), void *arg, struct note *note)
{
    const char *values[PARAMETERS_MAX];
    int lengths[PARAMETERS_MAX], formats[PARAMETERS_MAX];
    if (s->statement.failed)
        return out_of_memory(s, what, note);
    int err = finish_rows(s, note);
    if (err != 0)
        return err;
    int n = parameters_cut(&s->statement, values, lengths, formats);
    if (PQsendQueryParams(s->conn, sql, n, NULL, values, lengths, formats, BINARY) != 1)
        return session_fail(s, NULL, what, note);
    PQsetSingleRowMode(s->conn);
    bool ended = false; /* the server said that there are no more rows */
    for (PGresult *res; err == 0 && (res = PQgetResult(s->conn)) != NULL; PQclear(res)) {
        if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
            err = each(arg, &(struct columns){.result = res});
        else if (PQresultStatus(res) == PGRES_TUPLES_OK)
            ended = true;
        else
            err = session_fail(s, res, what, note);
    }
    drain(s);
    return err == 0 && !ended ? session_fail(s, NULL, what, note) : err;
}

static int each_fetched(struct store *s, const char *what, unsigned *rows,
                        int (*each)(void *arg, struct columns *row), void *arg, struct note *note)
{
    PGresult *res;
    session_parameters(s);
    int err = session_ask(s, "FETCH 4000 FROM loading", what, &res, note);
    *rows = 0;
    if (err != 0)
        return err;
    *rows = (unsigned)PQntuples(res);
    for (unsigned i = 0; err == 0 && i < *rows; i++)
        err = each(arg, &(struct columns){.result = res, .row = (int)i});
    PQclear(res);
    return err;
}

int session_each_of_many(struct store *s, const char *sql, const char *what,
                         int (*each)(void *arg, struct columns *row), void *arg, struct note *note)
{
    unsigned rows = 1;
    int err = session_script(s, "BEGIN READ ONLY", what, note);
    if (err == 0)
        err = session_run(s, sql, what, note);
    while (err == 0 && rows > 0)
        err = each_fetched(s, what, &rows, each, arg, note);
    if (err == 0)
        return session_script(s, "COMMIT", what, note);
    store_rollback(s); /* also when each said to stop */
    return err;
}

static int keep_boolean(void *arg, struct columns *c)
{
    *(bool *)arg = column_boolean(c);
    return 0;
}

int session_boolean(struct store *s, const char *sql, const char *what, bool *out,
                    struct note *note)
{
    return session_each(s, sql, what, keep_boolean, out, note);
}

static int copy_broke(struct store *s, const PGresult *res, struct note *note)
{
    const char *what = s->copying;
    s->copying = NULL;
    return session_fail(s, res, what, note);
}

static bool copy_send(struct store *s, const void *bytes, size_t len)
{
    enum { CHUNK = 1 << 16 };
    bool sent = true;
    for (size_t at = 0; sent && at < len; at += CHUNK)
        sent = PQputCopyData(s->conn, (const char *)bytes + at,
                             (int)(len - at < CHUNK ? len - at : CHUNK)) == 1;
    return sent;
}

int session_copy_open(struct store *s, const char *sql, const char *what, struct note *note)
{
    static const char head[19] = "PGCOPY\n\377\r\n"; /* NUL, flags and extension length follow: 0 */
    if (s->copying == what)
        return 0;
    int err = session_copy_close(s, note);
    if (err != 0)
        return err;
    PGresult *res = PQexec(s->conn, sql);
    if (PQresultStatus(res) != PGRES_COPY_IN)
        err = session_fail(s, res, what, note);
    PQclear(res);
    if (err != 0)
        return err;
    s->copying = what;
    return copy_send(s, head, sizeof head) ? 0 : copy_broke(s, NULL, note);
}

int session_copy_rows(struct store *s, const struct record *rows, struct note *note)
{
    if (rows->failed)
        return out_of_memory(s, s->copying, note);
    return copy_send(s, rows->data, rows->len) ? 0 : copy_broke(s, NULL, note);
}

int session_copy_close(struct store *s, struct note *note)
{
    static const char end[2] = "\377\377";
    if (s->copying == NULL)
        return 0;
    if (!copy_send(s, end, sizeof end) || PQputCopyEnd(s->conn, NULL) != 1)
        return copy_broke(s, NULL, note);
    PGresult *res = PQgetResult(s->conn);
    int err = is_good(res) ? 0 : copy_broke(s, res, note);
    PQclear(res);
    drain(s);
    s->copying = NULL;
    return err;
}

int session_in_transaction(struct store *s, const char *what, struct note *note)
{
    if (s->in_transaction)
        return 0;
    return note_set(note, ERR_DATABASE, "database, %s: no transaction is open", what);
}

/* The session of people's questions: text both ways, one statement at a time. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/look_ask.h"
#include "collector/store/sqlstate.h"
#include "collector/store/store.h"
#include "schema/schema.h"

struct look {
    PGconn *conn;
};

/* Names are always written in full, and times are told in UTC, whatever the role is set to. */
static const char setup[] =
    "SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET DateStyle = 'ISO';"
    "SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex';"
    "SET client_min_messages = warning; SET statement_timeout = '60s'; SET lock_timeout = '30s'";

static void one_line(const char *message, char out[static 512])
{
    size_t n = 0;
    for (const char *c = message; *c != '\0' && n < 511; c++)
        out[n++] = *c == '\n' || *c == '\t' ? ' ' : *c;
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static const char *hint_of(const char *state)
{
    if (strcmp(state, "42501") == 0)
        return "; is the role a member of penstock_reader (to change things: of penstock_operator),"
               " and did the owner call penstock.grant_roles()?";
    if (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0)
        return "; is it Penstock's database, and was penstock-collector --migrate run?";
    return "";
}

static int fail(struct look *l, const PGresult *res, const char *what, struct note *note)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    char message[512];
    one_line(primary != NULL ? primary : PQerrorMessage(l->conn), message);
    note_set(note, ERR_DATABASE, "database, %s: %s%s", what, message,
             hint_of(state != NULL ? state : ""));
    return sqlstate_is_of_data(state) ? ERR_DATA : ERR_DATABASE;
}

int look_ask(struct look *l, const char *sql, const char *what, const char *const *values,
             unsigned count, struct look_rows **out, struct note *note)
{
    PGresult *res = PQexecParams(l->conn, sql, (int)count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(res);
    if (out != NULL)
        *out = NULL;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        int err = fail(l, res, what, note);
        PQclear(res);
        return err;
    }
    if (out != NULL)
        *out = (struct look_rows *)res;
    else
        PQclear(res);
    return 0;
}

const char *look_limit(unsigned limit, char text[static 16])
{
    if (limit == 0)
        return NULL;
    snprintf(text, 16, "%u", limit);
    return text;
}

int look_ask_some(struct look *l, const char *sql, const char *what, const char *value,
                  unsigned limit, struct look_rows **out, struct note *note)
{
    char text[16];
    const char *values[] = {value, look_limit(limit, text)};
    return look_ask(l, sql, what, values, COUNT_OF(values), out, note);
}

bool look_wait(struct look *l, unsigned milliseconds)
{
    PGnotify *heard = PQnotifies(l->conn);
    struct pollfd fd = {.fd = PQsocket(l->conn), .events = POLLIN};
    if (heard == NULL && poll(&fd, 1, (int)milliseconds) > 0 && PQconsumeInput(l->conn) == 1)
        heard = PQnotifies(l->conn);
    bool is_heard = heard != NULL;
    for (; heard != NULL; heard = PQnotifies(l->conn))
        PQfreemem(heard);
    return is_heard;
}

static int check_version(struct look *l, struct note *note)
{
    struct look_rows *rows;
    int err = look_ask(l, "SELECT coalesce(max(number), 0) AS step FROM penstock.schema_version",
                       "reading the schema's version", NULL, 0, &rows, note);
    if (err != 0)
        return err;
    double step = look_number(rows, 0, "step");
    look_rows_free(rows);
    if (step >= (double)schema_step_count)
        return 0;
    return note_set(note, ERR_VERSION,
                    "the database is at schema step %.0f, this program needs %zu: run"
                    " penstock-collector --migrate with the owner's DSN (database.owner_dsn)",
                    step, schema_step_count);
}

static PGconn *connect_to(const char *dsn)
{
    static const char *const keywords[] = {"connect_timeout", "fallback_application_name", "dbname",
                                           "client_encoding", NULL};
    const char *values[] = {"10", "penstockctl", dsn, "UTF8", NULL};
    return PQconnectdbParams(keywords, values, 1);
}

int look_open(const char *dsn, struct look **out, struct note *note)
{
    struct note why;
    *out = NULL;
    int err = store_check_dsn(dsn, &why);
    if (err != 0)
        return note_set(note, err, "database: the DSN is %s", why.text);
    struct look *l = calloc(1, sizeof *l);
    if (l == NULL)
        return note_set(note, ERR_DATABASE, "database: out of memory");
    l->conn = connect_to(dsn);
    if (PQstatus(l->conn) != CONNECTION_OK)
        err = fail(l, NULL, "connecting", note);
    if (err == 0) {
        PGresult *res = PQexec(l->conn, setup);
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
            err = fail(l, res, "setting up the session", note);
        PQclear(res);
    }
    if (err == 0)
        err = check_version(l, note);
    if (err == 0)
        *out = l;
    else
        look_close(l);
    return err;
}

void look_close(struct look *l)
{
    if (l == NULL)
        return;
    PQfinish(l->conn);
    free(l);
}

/* ---- rows: a struct look_rows is libpq's result ---- */

static const PGresult *result_of(const struct look_rows *rows)
{
    return (const PGresult *)rows;
}

void look_rows_free(struct look_rows *rows)
{
    PQclear((PGresult *)rows);
}

unsigned look_count(const struct look_rows *rows)
{
    return (unsigned)PQntuples(result_of(rows));
}

unsigned look_columns(const struct look_rows *rows)
{
    return (unsigned)PQnfields(result_of(rows));
}

const char *look_name(const struct look_rows *rows, unsigned column)
{
    return PQfname(result_of(rows), (int)column);
}

/* Numbers of pg_type.dat, which PostgreSQL never changes. */
enum look_kind look_kind_of(const struct look_rows *rows, unsigned column)
{
    switch (PQftype(result_of(rows), (int)column)) {
    case 16:
        return LOOK_BOOLEAN;
    case 20: /* bigint, smallint, integer */
    case 21:
    case 23:
        return LOOK_NUMBER;
    case 700: /* real, double precision, numeric */
    case 701:
    case 1700:
        return LOOK_REAL;
    case 1184:
        return LOOK_TIME;
    case 114: /* json, jsonb */
    case 3802:
        return LOOK_JSON;
    case 1022: /* double precision[], bigint[] */
    case 1016:
        return LOOK_NUMBERS;
    default:
        return LOOK_TEXT;
    }
}

const char *look_value(const struct look_rows *rows, unsigned row, unsigned column)
{
    const PGresult *res = result_of(rows);
    if (PQgetisnull(res, (int)row, (int)column))
        return NULL;
    return PQgetvalue(res, (int)row, (int)column);
}

const char *look_get(const struct look_rows *rows, unsigned row, const char *name)
{
    int column = PQfnumber(result_of(rows), name);
    return column < 0 ? NULL : look_value(rows, row, (unsigned)column);
}

double look_number(const struct look_rows *rows, unsigned row, const char *name)
{
    const char *text = look_get(rows, row, name);
    return text == NULL ? 0 : strtod(text, NULL);
}

bool look_is_true(const struct look_rows *rows, unsigned row, const char *name)
{
    const char *text = look_get(rows, row, name);
    return text != NULL && text[0] == 't';
}

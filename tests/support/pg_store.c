#include "tests/support/pg_store.h"

#include <stdlib.h>

#include "shared/base/log.h"

struct pg pg;
struct store *store;
PGconn *client;
struct note note;

int pg_store_up(void **state)
{
    (void)state;
    unsigned applied;
    struct store_conf where = {0};
    log_level_set(LOG_LEVEL_ERROR);
    if (pg_start(&pg) != 0)
        return -1;
    snprintf(where.dsn, sizeof where.dsn, "%s", pg.dsn);
    ok(store_open(&where, &store, &note));
    ok(store_migrate(store, &applied, &note));
    client = PQconnectdb(pg.dsn);
    return PQstatus(client) == CONNECTION_OK ? 0 : -1;
}

int pg_store_down(void **state)
{
    (void)state;
    PQfinish(client);
    store_close(store);
    pg_stop(&pg);
    return 0;
}

void sql(const char *text)
{
    PGresult *res = PQexec(client, text);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(client));
    PQclear(res);
}

const char *answer(const char *text)
{
    static char out[512];
    PGresult *res = PQexec(client, text);
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
        fail_msg("%s: %s", text, PQerrorMessage(client));
    snprintf(out, sizeof out, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
    return out;
}

long number(const char *text)
{
    return atol(answer(text));
}

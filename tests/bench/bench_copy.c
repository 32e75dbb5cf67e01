/* The least that writes the same rows: COPY BINARY from memory. Reads all rows of some tables,
 * empties the tables, writes the same rows into them again, in transactions of a given number of
 * rows, each table's share by one COPY. Prints "NAME NUMBER" lines.
 *
 *   bench_copy DSN ROWS_PER_TRANSACTION TABLE… */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "shared/base/clock.h"

enum { TABLES_MAX = 8, CHUNK = 1 << 16 };

static const char head[19] = "PGCOPY\n\377\r\n";
static const char end[2] = "\377\377";

struct rows {
    const char *table;
    char *data;
    size_t len, room, at; /* at: of the next row */
    uint64_t count, sent;
};

static PGconn *sql;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_copy: %s: %s\n", what, PQerrorMessage(sql));
    exit(1);
}

static void run(const char *command, ExecStatusType expected)
{
    PGresult *res = PQexec(sql, command);
    if (PQresultStatus(res) != expected)
        die(command);
    PQclear(res);
}

static void keep_bytes(struct rows *r, const char *bytes, size_t len)
{
    if (r->room - r->len < len) {
        r->room = (r->room + len) * 2;
        r->data = realloc(r->data, r->room);
        if (r->data == NULL)
            die("no memory");
    }
    memcpy(r->data + r->len, bytes, len);
    r->len += len;
}

/* libpq hands out row by row; the first comes with the head before it, the end is a row of its own.
 */
static void read_rows(struct rows *r)
{
    char command[256], *row;
    snprintf(command, sizeof command, "COPY (SELECT * FROM penstock.%s) TO STDOUT (FORMAT binary)",
             r->table);
    run(command, PGRES_COPY_OUT);
    for (int len; (len = PQgetCopyData(sql, &row, 0)) > 0; PQfreemem(row)) {
        size_t skip = r->len == 0 && r->count == 0 && len >= (int)sizeof head ? sizeof head : 0;
        if ((size_t)len - skip <= sizeof end)
            continue; /* the head alone, or the end */
        keep_bytes(r, row + skip, (size_t)len - skip);
        r->count++;
    }
    for (PGresult *res; (res = PQgetResult(sql)) != NULL; PQclear(res))
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
            die(command);
}

static size_t row_length(const char *row)
{
    uint16_t columns;
    memcpy(&columns, row, sizeof columns);
    size_t at = sizeof columns;
    for (unsigned i = 0; i < be16toh(columns); i++) {
        uint32_t len;
        memcpy(&len, row + at, sizeof len);
        len = be32toh(len);
        at += sizeof len + (len == UINT32_MAX ? 0 : len);
    }
    return at;
}

static void put(const char *bytes, size_t len)
{
    for (size_t at = 0; at < len; at += CHUNK)
        if (PQputCopyData(sql, bytes + at, (int)(len - at < CHUNK ? len - at : CHUNK)) != 1)
            die("sending");
}

/* Row ends are looked for outside the clock: lengths[i] is where the i-th transaction's share ends.
 */
struct plan {
    size_t *ends;
    uint64_t transactions;
};

static struct plan plan_of(const struct rows *r, uint64_t transactions)
{
    struct plan p = {calloc(transactions, sizeof *p.ends), transactions};
    if (p.ends == NULL)
        die("no memory");
    size_t at = 0;
    uint64_t done = 0;
    for (uint64_t t = 0; t < transactions; t++) {
        for (; done < r->count * (t + 1) / transactions; done++)
            at += row_length(r->data + at);
        p.ends[t] = at;
    }
    return p;
}

static void copy(const struct rows *r, size_t from, size_t to)
{
    char command[256];
    if (from == to)
        return;
    snprintf(command, sizeof command, "COPY penstock.%s FROM STDIN (FORMAT binary)", r->table);
    run(command, PGRES_COPY_IN);
    put(head, sizeof head);
    put(r->data + from, to - from);
    put(end, sizeof end);
    if (PQputCopyEnd(sql, NULL) != 1)
        die("ending");
    for (PGresult *res; (res = PQgetResult(sql)) != NULL; PQclear(res))
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
            die(command);
}

static void write_rows(const struct rows *tables, const struct plan *plans, int n)
{
    for (uint64_t t = 0; t < plans[0].transactions; t++) {
        run("BEGIN", PGRES_COMMAND_OK);
        for (int i = 0; i < n; i++)
            copy(&tables[i], t > 0 ? plans[i].ends[t - 1] : 0, plans[i].ends[t]);
        run("COMMIT", PGRES_COMMAND_OK);
    }
}

int main(int argc, char **argv)
{
    struct rows tables[TABLES_MAX] = {0};
    struct plan plans[TABLES_MAX];
    int n = argc - 3;
    uint64_t per = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, count = 0, bytes = 0;
    if (n < 1 || n > TABLES_MAX || per == 0) {
        fprintf(stderr, "usage: bench_copy DSN ROWS_PER_TRANSACTION TABLE…\n");
        return 2;
    }
    sql = PQconnectdb(argv[1]);
    if (PQstatus(sql) != CONNECTION_OK)
        die("connecting");
    for (int i = 0; i < n; i++) {
        char command[256];
        tables[i].table = argv[3 + i];
        read_rows(&tables[i]);
        snprintf(command, sizeof command, "TRUNCATE penstock.%s", tables[i].table);
        run(command, PGRES_COMMAND_OK);
        count += tables[i].count;
        bytes += tables[i].len;
    }
    uint64_t transactions = count > per ? count / per : 1;
    for (int i = 0; i < n; i++)
        plans[i] = plan_of(&tables[i], transactions);
    run("CHECKPOINT", PGRES_COMMAND_OK);
    printf("backend %d\n", PQbackendPID(sql));
    fflush(stdout);
    uint64_t from = clock_mono_ns();
    write_rows(tables, plans, n);
    double seconds = (double)(clock_mono_ns() - from) / 1e9;
    printf("rows %" PRIu64 "\n", count);
    printf("rate %.2f\n", (double)count / seconds / 1e3);
    printf("bytes_rate %.3f\n", (double)bytes / seconds / 1e6);
    PQfinish(sql);
    for (int i = 0; i < n; i++) {
        free(tables[i].data);
        free(plans[i].ends);
    }
    return 0;
}

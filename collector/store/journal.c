#include "collector/store/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/session.h"

struct journal {
    struct store *store;
    char feed[64];
};

/* What a row is made of; e is penstock.alert_event. */
#define RANK(document) \
    "CASE " document "->>'severity' WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END"
#define ROW                                                                                    \
    "SELECT e.event_id, e.alert_id, e.at, e.state, e.document::text, (SELECT max(" RANK(       \
        "p.document") ")::bigint FROM penstock.alert_event AS p WHERE p.alert_id = e.alert_id" \
                      " AND p.event_id <= e.event_id)"

static int claim(struct journal *j, struct note *note)
{
    PGresult *res;
    field_text(session_parameters(j->store), j->feed);
    int err = session_ask(
        j->store, "SELECT pg_try_advisory_lock(hashtextextended('penstock.feed.' || $1, 0))",
        "claiming a feed", &res, note);
    if (err != 0)
        return err;
    bool is_ours = column_boolean(&(struct columns){.result = res});
    PQclear(res);
    return is_ours ? 0 : note_set(note, ERR_BUSY, "another process tells feed %s", j->feed);
}

/* The row, made when it is not there. */
static int begin(struct journal *j, const char *type, bool from_start, uint64_t *cursor,
                 struct note *note)
{
    PGresult *res;
    struct record *p = session_parameters(j->store);
    field_text(p, j->feed);
    field_text(p, type);
    field_boolean(p, from_start);
    int err = session_ask(
        j->store,
        "INSERT INTO penstock.alert_feed AS f (name, type, event_id) VALUES ($1, $2,"
        " CASE WHEN $3 THEN 0 ELSE (SELECT coalesce(max(event_id), 0) FROM penstock.alert_event)"
        " END) ON CONFLICT (name) DO UPDATE SET type = excluded.type RETURNING f.event_id",
        "opening a feed", &res, note);
    if (err != 0)
        return err;
    *cursor = column_bigint(&(struct columns){.result = res});
    PQclear(res);
    return 0;
}

int journal_open(const struct store_conf *conf, const char *feed, const char *type, bool from_start,
                 struct journal **out, uint64_t *cursor, struct note *note)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    snprintf(j->feed, sizeof j->feed, "%s", feed);
    int err = store_open(conf, &j->store, note);
    if (err == 0)
        err = session_script(j->store,
                             "SET synchronous_commit = off; SET application_name = 'penstock-feed';"
                             " LISTEN penstock_alert",
                             "listening", note);
    if (err == 0)
        err = claim(j, note);
    if (err == 0)
        err = begin(j, type, from_start, cursor, note);
    if (err != 0) {
        journal_close(j);
        return err;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    store_close(j->store);
    free(j);
}

static int each_row(PGresult *res, journal_each *each, void *arg)
{
    int err = 0;
    for (int i = 0; err == 0 && i < PQntuples(res); i++) {
        struct columns c = {.result = res, .row = i};
        struct journal_row row = {.event_id = column_bigint(&c), .alert_id = column_bigint(&c)};
        row.at = column_time(&c);
        row.state = PQgetvalue(res, i, c.next++);
        row.document = PQgetvalue(res, i, c.next);
        row.document_len = (size_t)PQgetlength(res, i, c.next++);
        row.peak = (unsigned)column_bigint(&c);
        err = each(arg, &row);
    }
    PQclear(res);
    return err;
}

int journal_next(struct journal *j, uint64_t since, unsigned limit, journal_each *each, void *arg,
                 struct note *note)
{
    PGresult *res;
    struct record *p = session_parameters(j->store);
    field_bigint(p, since);
    field_bigint(p, limit);
    int err = session_ask(j->store,
                          ROW " FROM penstock.alert_event AS e WHERE e.event_id > $1"
                              " ORDER BY e.event_id LIMIT $2",
                          "reading the journal of alerts", &res, note);
    return err == 0 ? each_row(res, each, arg) : err;
}

int journal_standing(struct journal *j, uint64_t up_to, journal_each *each, void *arg,
                     struct note *note)
{
    PGresult *res;
    field_bigint(session_parameters(j->store), up_to);
    int err = session_ask(
        j->store,
        ROW " FROM penstock.alert AS a CROSS JOIN LATERAL (SELECT * FROM penstock.alert_event AS l"
            " WHERE l.alert_id = a.alert_id AND l.event_id <= $1 ORDER BY l.event_id DESC LIMIT 1)"
            " AS e WHERE a.resolved_at IS NULL ORDER BY e.event_id",
        "reading the alerts without an end", &res, note);
    return err == 0 ? each_row(res, each, arg) : err;
}

int journal_ends(struct journal *j, uint64_t *oldest, uint64_t *newest, struct note *note)
{
    PGresult *res;
    session_parameters(j->store);
    int err = session_ask(j->store, "SELECT min(event_id), max(event_id) FROM penstock.alert_event",
                          "looking at the journal of alerts", &res, note);
    if (err != 0)
        return err;
    struct columns c = {.result = res};
    *oldest = column_bigint(&c);
    *newest = column_bigint(&c);
    PQclear(res);
    return 0;
}

int journal_save(struct journal *j, uint64_t cursor, uint64_t sent, uint64_t skipped, bool works,
                 struct note *note)
{
    struct record *p = session_parameters(j->store);
    field_text(p, j->feed);
    field_bigint(p, cursor);
    field_bigint(p, sent);
    field_bigint(p, skipped);
    field_boolean(p, works);
    return session_run(j->store,
                       "UPDATE penstock.alert_feed AS f SET event_id = $2, updated_at = "
                       "clock_timestamp(), sent = f.sent + $3,"
                       " skipped = f.skipped + $4, failing_since = CASE WHEN $5 THEN NULL ELSE"
                       " f.failing_since END WHERE name = $1",
                       "saving a feed's cursor", note);
}

int journal_failing(struct journal *j, const char *reason, struct note *note)
{
    struct record *p = session_parameters(j->store);
    field_text(p, j->feed);
    field_text(p, reason);
    return session_run(j->store,
                       "UPDATE penstock.alert_feed SET updated_at = clock_timestamp(),"
                       " failing_since = coalesce(failing_since, clock_timestamp()),"
                       " last_error = $2 WHERE name = $1",
                       "noting a feed's failure", note);
}

int journal_fd(struct journal *j)
{
    return PQsocket(j->store->conn);
}

int journal_heard(struct journal *j, struct note *note)
{
    if (PQconsumeInput(j->store->conn) != 1)
        return session_fail(j->store, NULL, "listening", note);
    for (PGnotify *n; (n = PQnotifies(j->store->conn)) != NULL;)
        PQfreemem(n);
    return 0;
}

/* One collector per database: a session-level advisory lock, which the server gives back when the
 * session ends, however it ends. It is held by the connection that writes, so that it cannot be
 * held by one that is alive while the other is not.
 *
 * A connection that broke between us and the server may live on there until the server's TCP
 * notices (some 25 s, session_setup in store.c), and with it the lock: then it is we who hold it.
 * That session is ended: we know its server process and that process's birth, and the server lets a
 * role end its own sessions. */
#include <inttypes.h>

#include "collector/store/session.h"
#include "shared/base/log.h"

/* In pg_locks a lock of one 64-bit key shows as two halves. */
#define KEY "hashtextextended('penstock.collector', 0)"
#define HOLDER                                                                           \
    " FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)"                    \
    " WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"                    \
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())" \
    " AND l.classid = ((" KEY " >> 32) & 4294967295)::oid"                               \
    " AND l.objid = (" KEY " & 4294967295)::oid"

static int try_lock(struct store *s, struct note *note)
{
    return session_boolean(s, "SELECT pg_try_advisory_lock(" KEY ")", "claiming it", &s->is_writer,
                           note);
}

static int keep_backend(void *arg, struct columns *c)
{
    struct backend *b = arg;
    b->pid = column_bigint(c);
    b->birth = column_time(c);
    return 0;
}

/* Which session it is; and triggers shall know the collector's writes from people's. */
static int remember(struct store *s, struct note *note)
{
    return session_each(s,
                        "SELECT pid::bigint, backend_start,"
                        " set_config('penstock.is_writer', 'on', false) FROM pg_stat_activity"
                        " WHERE pid = pg_backend_pid()",
                        "claiming it", keep_backend, &s->claimed, note);
}

/* On another server that process is somebody else, or nobody: its birth tells. */
static int end_former(struct store *s, struct note *note)
{
    struct record *p = session_parameters(s);
    field_bigint(p, s->claimed.pid);
    field_instant(p, s->claimed.birth);
    int err = session_run(s,
                          "SELECT pg_terminate_backend(a.pid, 5000)" HOLDER
                          " AND a.pid = $1::bigint AND a.backend_start = $2::timestamptz AND "
                          "a.usename = current_user",
                          "ending our former session", note);
    s->claimed = (struct backend){0};
    return err;
}

struct holder {
    char name[64], from[64];
    uint64_t pid;
};

static int keep_holder(void *arg, struct columns *c)
{
    struct holder *h = arg;
    h->pid = column_bigint(c);
    column_text(c, h->name, sizeof h->name);
    column_text(c, h->from, sizeof h->from);
    return 0;
}

/* Where somebody else's session comes from, a server tells its own role and monitors only. */
static int tell_holder(struct store *s, struct note *note)
{
    struct holder h = {.name = "somebody", .from = "a host that is not told"};
    int err =
        session_each(s,
                     "SELECT l.pid::bigint, coalesce(nullif(a.application_name, ''), 'no"
                     " name'), CASE WHEN a.client_port = -1 THEN 'the server''s host'"
                     " ELSE coalesce(host(a.client_addr), 'a host that is not told') END" HOLDER,
                     "asking who writes", keep_holder, &h, note);
    if (err != 0)
        return err;
    return note_set(note, ERR_BUSY,
                    "another collector writes to this database: %s, server process %" PRIu64
                    ", from %s",
                    h.name, h.pid, h.from);
}

int session_claim(struct store *s, struct note *note)
{
    if (s->is_writer)
        return 0;
    int err = try_lock(s, note);
    if (err == 0 && !s->is_writer && s->claimed.pid != 0) {
        err = end_former(s, note);
        if (err == 0)
            err = try_lock(s, note);
    }
    if (err != 0)
        return err;
    return s->is_writer ? remember(s, note) : tell_holder(s, note);
}

int store_claim(struct store *s, struct note *note)
{
    int err = session_ready(s, note);
    return err == 0 ? session_claim(s, note) : err;
}

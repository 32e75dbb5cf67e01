/* The store against a real PostgreSQL: what it writes is read back with a plain client, what it
 * promises about transactions is tried by killing its connection. Each test has a database of its
 * own, closed to the public. Its schema belongs to role owner; the store under test is role
 * collector, which is a member of penstock_collector and nothing else. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/store/store.h"
#include "schema/schema.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/support/pg.h"

#define SECOND  INT64_C(1000000000)
#define NOV2026 (INT64_C(1795251600) * SECOND) /* 2026-11-21 09:00 UTC */

static struct note note;

/* 0, else the note is the failure's message. */
#define ok(call)                                  \
    do {                                          \
        note.text[0] = '\0';                      \
        int err_ = (call);                        \
        if (err_ != 0)                            \
            fail_msg("%s: %s", #call, note.text); \
    } while (0)

static struct pg pg;

/* What shall go wrong in libpq; see below. */
static struct {
    PGconn *onlooker; /* armed when set; also the one that kills */
    unsigned calls;
    unsigned kill_before; /* the connection dies before this call, counted from 1; 0: never */
    bool refuse_copy_data;
    bool commit_rolls_back;
    PGconn *seen; /* the last connection that called */
} fault;

/* One test's own: a database, the store under test and a client to look with, which is superuser.
 */
struct fixture {
    char database[32];
    struct store_conf conf;
    struct store *store;
    PGconn *client;
};

static void sql(PGconn *c, const char *text)
{
    PGresult *res = PQexec(c, text);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(c));
    PQclear(res);
}

/* The result as text: fields joined by '|', rows by newlines, NULL as "~". */
static const char *ask(PGconn *c, const char *text)
{
    static char out[1 << 16];
    size_t n = 0;
    PGresult *res = PQexec(c, text);
    if (PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(c));
    out[0] = '\0';
    for (int row = 0; row < PQntuples(res); row++)
        for (int col = 0; col < PQnfields(res); col++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%s",
                                  col > 0   ? "|"
                                  : row > 0 ? "\n"
                                            : "",
                                  PQgetisnull(res, row, col) ? "~" : PQgetvalue(res, row, col));
    PQclear(res);
    return out;
}

static PGconn *client_open(const char *database)
{
    char dsn[512];
    snprintf(dsn, sizeof dsn, "%s dbname=%s options='-c TimeZone=UTC -c IntervalStyle=postgres'",
             pg.dsn, database);
    PGconn *c = PQconnectdb(dsn);
    assert_int_equal(PQstatus(c), CONNECTION_OK);
    return c;
}

static struct store_conf conf_of(const struct fixture *f, const char *role)
{
    struct store_conf conf = {0};
    snprintf(conf.dsn, sizeof conf.dsn, "%s dbname=%s user=%s", pg.dsn, f->database, role);
    return conf;
}

static struct store *store_of(const struct fixture *f, const char *role)
{
    struct store *s;
    struct store_conf conf = conf_of(f, role);
    ok(store_open(&conf, &s, &note));
    return s;
}

/* An empty database, and the store as its owner. */
static int empty_setup(void **state)
{
    static unsigned number;
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->database, sizeof f->database, "t%u", number++);
    char create[96], close[96];
    snprintf(create, sizeof create, "CREATE DATABASE %s OWNER owner", f->database);
    snprintf(close, sizeof close, "REVOKE ALL ON DATABASE %s FROM PUBLIC", f->database);
    PGconn *c = client_open("postgres");
    sql(c, create);
    sql(c, close);
    PQfinish(c);
    f->conf = conf_of(f, "owner");
    f->store = store_of(f, "owner");
    f->client = client_open(f->database);
    *state = f;
    return 0;
}

/* The schema, and the store as the collector's role. */
static int setup(void **state)
{
    unsigned applied;
    empty_setup(state);
    struct fixture *f = *state;
    ok(store_migrate(f->store, &applied, &note));
    store_close(f->store);
    sql(f->client, "SET client_min_messages = warning;"
                   "GRANT penstock_collector TO collector; GRANT penstock_reader TO reader");
    f->conf = conf_of(f, "collector");
    f->store = store_of(f, "collector");
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memset(&fault, 0, sizeof fault); /* a test that failed left it armed */
    store_close(f->store);
    PQfinish(f->client);
    free(f);
    return 0;
}

/* ---- libpq with faults ----
 * Every call of the store goes through here (the linker wraps it), to the real libpq unless a fault
 * is armed. Calls of the client that looks on are not counted. */

PGresult *__real_PQexec(PGconn *c, const char *text);
PGresult *__wrap_PQexec(PGconn *c, const char *text);
PGresult *__real_PQexecParams(PGconn *c, const char *text, int n, const Oid *types,
                              const char *const *values, const int *lengths, const int *formats,
                              int result_format);
PGresult *__wrap_PQexecParams(PGconn *c, const char *text, int n, const Oid *types,
                              const char *const *values, const int *lengths, const int *formats,
                              int result_format);
int __real_PQsendQueryParams(PGconn *c, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format);
int __wrap_PQsendQueryParams(PGconn *c, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format);
int __real_PQputCopyData(PGconn *c, const char *data, int len);
int __wrap_PQputCopyData(PGconn *c, const char *data, int len);
int __real_PQputCopyEnd(PGconn *c, const char *error);
int __wrap_PQputCopyEnd(PGconn *c, const char *error);
PGresult *__real_PQgetResult(PGconn *c);
PGresult *__wrap_PQgetResult(PGconn *c);

static const char kill_others[] =
    "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'";

static void fault_point(PGconn *c)
{
    fault.seen = c;
    if (fault.onlooker == NULL || c == fault.onlooker)
        return;
    if (++fault.calls == fault.kill_before)
        PQclear(__real_PQexec(fault.onlooker, kill_others));
}

PGresult *__wrap_PQexec(PGconn *c, const char *text)
{
    fault_point(c);
    if (fault.commit_rolls_back && strcmp(text, "COMMIT") == 0)
        text = "ROLLBACK";
    return __real_PQexec(c, text);
}

PGresult *__wrap_PQexecParams(PGconn *c, const char *text, int n, const Oid *types,
                              const char *const *values, const int *lengths, const int *formats,
                              int result_format)
{
    fault_point(c);
    return __real_PQexecParams(c, text, n, types, values, lengths, formats, result_format);
}

int __wrap_PQsendQueryParams(PGconn *c, const char *text, int n, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format)
{
    fault_point(c);
    return __real_PQsendQueryParams(c, text, n, types, values, lengths, formats, result_format);
}

int __wrap_PQputCopyData(PGconn *c, const char *data, int len)
{
    fault_point(c);
    return fault.refuse_copy_data ? -1 : __real_PQputCopyData(c, data, len);
}

int __wrap_PQputCopyEnd(PGconn *c, const char *error)
{
    fault_point(c);
    return __real_PQputCopyEnd(c, error);
}

PGresult *__wrap_PQgetResult(PGconn *c)
{
    fault_point(c);
    return __real_PQgetResult(c);
}

/* ---- migrations ---- */

static void migrations_apply_once_and_record_themselves(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    assert_int_equal(store_check_version(f->store, &note), ERR_VERSION);
    assert_non_null(strstr(note.text, "--migrate"));
    ok(store_migrate(f->store, &applied, &note));
    assert_int_equal(applied, schema_step_count);
    ok(store_check_version(f->store, &note));
    assert_string_equal(
        ask(f->client, "SELECT string_agg(number || name, ' ' ORDER BY number)"
                       " FROM penstock.schema_version"),
        "1sensors 2ingress 3penny 4scan 5alerts 6passive 7openings"
        " 8epochs 9roles 10map_room "
        "11operator 12map 13expectation 14orders 15evidence 16alerts 17feeds 18lookup");
    ok(store_migrate(f->store, &applied, &note));
    assert_int_equal(applied, 0);
}

static _Noreturn void migrate_and_exit(const struct store_conf *conf)
{
    struct store *s;
    unsigned applied = 0;
    int err = store_open(conf, &s, NULL);
    if (err == 0)
        err = store_migrate(s, &applied, NULL);
    _exit(err != 0 ? 100 : (int)applied);
}

static void concurrent_migrations_apply_each_step_once(void **state)
{
    enum { PROCESSES = 4 };
    struct fixture *f = *state;
    pid_t pids[PROCESSES];
    int applied = 0;
    for (int i = 0; i < PROCESSES; i++)
        if ((pids[i] = fork()) == 0)
            migrate_and_exit(&f->conf);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 100);
        applied += WEXITSTATUS(status);
    }
    assert_int_equal(applied, schema_step_count);
    ok(store_check_version(f->store, &note));
}

static void a_newer_database_is_refused(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    sql(f->client, "INSERT INTO penstock.schema_version VALUES (999, 'later', now(), 'x')");
    assert_int_equal(store_check_version(f->store, &note), ERR_VERSION);
    assert_non_null(strstr(note.text, "newer"));
    assert_int_equal(store_load_begin(f->store, &note), ERR_VERSION);
    struct store *owner = store_of(f, "owner");
    assert_int_equal(store_migrate(owner, &applied, &note), ERR_VERSION);
    store_close(owner);
}

static void an_edited_step_is_noticed(void **state)
{
    struct fixture *f = *state;
    sql(f->client, "UPDATE penstock.schema_version SET checksum = 'edited' WHERE number = 2");
    assert_int_equal(store_check_version(f->store, &note), ERR_VERSION);
    assert_non_null(strstr(note.text, "ingress"));
}

static void a_failed_step_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    /* step 1 wants to make this schema itself */
    sql(f->client, "CREATE SCHEMA penstock AUTHORIZATION owner");
    assert_int_equal(store_migrate(f->store, &applied, &note), ERR_DATABASE);
    assert_non_null(strstr(note.text, "42P06"));
    assert_string_equal(
        ask(f->client,
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'penstock'::regnamespace"),
        "0");
    sql(f->client, "DROP SCHEMA penstock");
    ok(store_migrate(f->store, &applied, &note));
    assert_int_equal(applied, schema_step_count);
}

/* ---- passwords ---- */

static const char *const unreachable[] = {
    "host=/nonexistent dbname=penstock password=hunter2",
    "host=/nonexistent,/nowhere dbname=penstock password=hunter2 target_session_attrs=read-write",
    "host=127.0.0.1,127.0.0.1 port=1,2 password=hunter2 target_session_attrs=read-write",
    "postgresql://ann:hunter2@127.0.0.1:1,127.0.0.1:2/penstock?connect_timeout=2",
    "postgresql://ann:x%40hunter2?@127.0.0.1:1/penstock",
    /* and those that cannot be read, or not in one way only */
    "dbname=penstock password=a hunter2",
    "dbname=penstock passwort=hunter2",
    "host=/nonexistent password='hunter2",
    "postgresql://ann:hunter2%zz@127.0.0.1/penstock",
    "postgresql://ann:x@hunter2@127.0.0.1/penstock",
    "postgresql://ann:x/hunter2@127.0.0.1/penstock",
    "postgresql://ann:x?hu@hunter2@127.0.0.1/penstock",
    "postgres://ann:x/hunter2:y@127.0.0.1/penstock",
};

static void no_error_of_connecting_shows_a_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unreachable / sizeof *unreachable; i++) {
        struct store *s;
        struct store_conf conf = {0};
        struct note why = {0};
        snprintf(conf.dsn, sizeof conf.dsn, "%s", unreachable[i]);
        int err = store_open(&conf, &s, &why);
        assert_int_equal(err, i < 5 ? ERR_DATABASE : ERR_CONF);
        assert_true(strlen(why.text) > 20);
        assert_null(strstr(why.text, "hunter2"));
        assert_int_equal(store_check_dsn(unreachable[i], &why), i < 5 ? 0 : ERR_CONF);
        assert_null(strstr(why.text, "hunter2"));
    }
}

static void a_password_that_the_server_refuses_is_not_shown(void **state)
{
    struct fixture *f = *state;
    struct store *s;
    struct store_conf conf = conf_of(f, "nobody_at_all password=hunter2");
    struct note why = {0};
    assert_int_equal(store_open(&conf, &s, &why), ERR_DATABASE);
    assert_non_null(strstr(why.text, "nobody_at_all"));
    assert_null(strstr(why.text, "hunter2"));
}

/* ---- the contract ---- */

/* Name and columns, in order, as the contract lists them. */
static const char *const contract[][2] = {
    {"ingress_map",
     "prefix pop router interface vlan mac peer_as state genuine_probability genuine_fraction"
     " genuine_low genuine_high share packets bytes expected expected_by tests first_seen last_seen"
     " last_test_at bgp rpki origin_as genuine_share genuine_since bundle"},
    {"penny_test",
     "test_id sensor pop prefix router interface mode started_at ended_at verdict"
     " genuine_probability genuine_fraction genuine_low genuine_high flows droppable drops"
     " retransmitted unanswered duplicates reason order_id packets data"},
    {"penny_drop",
     "test_id src dst src_port dst_port seq length dropped_at outcome answered_after"},
    {"scan_window", "sensor pop started_at ended_at direction total_entropy bin_entropy probes "
                    "probes_fin probes_null probes_xmas probes_udp probes_icmp"},
    {"passive_flow",
     "test_id sensor pop src dst src_port dst_port started_at ended_at start_reason end_reason data"
     " pure_ack keep_alives in_order out_of_order duplicates gaps gaps_late gaps_open"
     " gaps_forgotten bytes unseen coverage rst syn_only"},
    {"test_order",
     "order_id prefix pop sensor mode requested_by reason state requested_at started_at ended_at"
     " test_id verdict result detail max_drops drops packets data lease_until process"},
    {"sensor", "name pop version first_seen last_seen epoch last_seq state"},
    {"sensor_gap", "sensor from_seq to_seq reason at"},
    {"alert",
     "alert_id fingerprint kind severity confidence state prefix pop router interface peer_as"
     " summary expected evidence started_at updated_at resolved_at acknowledged_by vlan mac sensor"
     " is_standing flaps suppressed_by runbook words said_at"},
    {"alert_event", "event_id alert_id at state document"},
    {"maintenance", "maintenance_id starts_at ends_at kind pop router interface peer_as prefix"
                    " sensor who why created_at"},
};

static void every_contract_relation_has_exactly_its_columns(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof contract / sizeof *contract; i++) {
        char query[256];
        snprintf(query, sizeof query,
                 "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position)"
                 " FROM information_schema.columns"
                 " WHERE table_schema = 'penstock' AND table_name = '%s'",
                 contract[i][0]);
        assert_string_equal(ask(f->client, query), contract[i][1]);
    }
}

static void contract_columns_have_the_contract_s_types(void **state)
{
    struct fixture *f = *state;
    /* times timestamptz, prefixes cidr, addresses inet, AS numbers bigint, probabilities double */
    assert_string_equal(
        ask(f->client,
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'penstock' AND data_type <> CASE"
            " WHEN column_name ~ '(_at|_seen|_since)$|^at$' THEN 'timestamp with time zone'"
            " WHEN column_name = 'prefix' THEN 'cidr'"
            " WHEN column_name IN ('src', 'dst') THEN 'inet'"
            " WHEN column_name IN ('peer_as', 'epoch', 'last_seq', 'seq') THEN 'bigint'"
            " WHEN column_name ~ '^genuine_|^share$|^confidence$|^coverage$' THEN 'double "
            "precision'"
            " WHEN column_name = 'answered_after' THEN 'interval'"
            " WHEN column_name = 'bin_entropy' THEN 'ARRAY'"
            " WHEN column_name IN ('expected', 'evidence') AND table_name = 'alert' THEN 'jsonb'"
            " ELSE data_type END"),
        "");
}

static void every_object_and_column_has_a_comment(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(
        ask(f->client,
            "SELECT c.oid::regclass FROM pg_class c"
            " WHERE relnamespace = 'penstock'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
            " AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''"),
        "");
    assert_string_equal(
        ask(f->client,
            "SELECT c.oid::regclass || '.' || attname FROM pg_class c"
            " JOIN pg_attribute a ON attrelid = c.oid"
            " WHERE relnamespace = 'penstock'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
            " AND attnum > 0 AND NOT attisdropped"
            " AND coalesce(col_description(c.oid, attnum), '') = ''"),
        "");
    assert_string_equal(ask(f->client, "SELECT oid::regprocedure FROM pg_proc"
                                       " WHERE pronamespace = 'penstock'::regnamespace"
                                       " AND coalesce(obj_description(oid, 'pg_proc'), '') = ''"),
                        "");
    assert_string_equal(
        ask(f->client, "SELECT obj_description('penstock'::regnamespace, 'pg_namespace') <> ''"),
        "t");
}

static void event_tables_have_brin_but_no_unique_index_and_no_default_partition(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(ask(f->client,
                            "SELECT relname FROM pg_class WHERE relkind = 'p' AND relnamespace ="
                            " 'penstock'::regnamespace ORDER BY 1"),
                        "ingress_change_entry\ningress_tally\npassive_flow_entry\npassive_total_"
                        "entry\npenny_drop_entry\n"
                        "scan_window_entry\nsensor_status");
    assert_string_equal(
        ask(f->client,
            "SELECT relname FROM pg_class t JOIN pg_partitioned_table p ON p.partrelid = t.oid"
            " WHERE partdefid <> 0 OR NOT EXISTS (SELECT FROM pg_index i"
            " JOIN pg_class x ON x.oid = indexrelid JOIN pg_am a ON a.oid = x.relam"
            " WHERE indrelid = t.oid AND amname = 'brin')"
            " OR EXISTS (SELECT FROM pg_index WHERE indrelid = t.oid AND indisunique)"),
        "");
}

/* ---- rows ---- */

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static const struct ingress place = {.router = "ams1-r1",
                                     .interface = "xe-0/0/1",
                                     .vlan = 101,
                                     .mac = {2, 0, 0, 0, 0, 7},
                                     .peer_as = 4294967295};

static struct event event(uint8_t type, uint64_t seq)
{
    return (struct event){.epoch = 1795000000000000000, .seq = seq, .at = NOV2026, .type = type};
}

static struct event tally(uint64_t seq, const char *src)
{
    struct event e = event(EVENT_tally, seq);
    e.tally = (struct event_tally){.started_at = NOV2026 - 10 * SECOND,
                                   .ended_at = NOV2026,
                                   .prefix = prefix(src),
                                   .ingress = place,
                                   .packets = 10,
                                   .bytes = 15000,
                                   .flows = 3};
    return e;
}

/* One event in a transaction of its own. */
static void store_event(struct fixture *f, const struct event *e)
{
    ok(store_begin(f->store, &note));
    ok(store_put_event(f->store, "ams1", "AMS", e, &note));
    ok(store_commit(f->store, &note));
}

static void tallies_of_both_families_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct event v4 = tally(1, "203.0.113.0/24"), v6 = tally(2, "2001:db8:77::/48");
    v6.tally.ingress = (struct ingress){.router = "r"};
    store_event(f, &v4);
    store_event(f, &v6);
    assert_string_equal(
        ask(f->client, "SELECT sensor, epoch, event_seq, at, pop, started_at, ended_at, prefix,"
                       " router, interface, vlan, mac, peer_as, packets, bytes, flows"
                       " FROM penstock.ingress_tally ORDER BY event_seq"),
        "ams1|1795000000000000000|1|2026-11-21 09:00:00+00|AMS|2026-11-21 08:59:50+00"
        "|2026-11-21 09:00:00+00|203.0.113.0/24|ams1-r1|xe-0/0/1|101|02:00:00:00:00:07|4294967295"
        "|10|15000|3\n"
        "ams1|1795000000000000000|2|2026-11-21 09:00:00+00|AMS|2026-11-21 08:59:50+00"
        "|2026-11-21 09:00:00+00|2001:db8:77::/48|r||~|~|~|10|15000|3");
}

static void sensor_status_comes_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct event e = event(EVENT_sensor_status, 3);
    e.sensor_status = (struct event_sensor_status){.started_at = NOV2026 - SECOND,
                                                   .ended_at = NOV2026,
                                                   .packets = 1,
                                                   .bytes = 2,
                                                   .forwarded = 3,
                                                   .dropped = 4,
                                                   .malformed = 5,
                                                   .missed = 6};
    store_event(f, &e);
    assert_string_equal(ask(f->client, "SELECT sensor, started_at, packets, bytes, forwarded,"
                                       " dropped, malformed, missed FROM penstock.sensor_status"),
                        "ams1|2026-11-21 08:59:59+00|1|2|3|4|5|6");
}

static struct event drop(uint64_t seq, const char *src, const char *dst)
{
    struct event e = event(EVENT_drop, seq);
    e.drop = (struct event_drop){.test_id = {0x12, [15] = 0x34},
                                 .src = addr(src),
                                 .dst = addr(dst),
                                 .src_port = 443,
                                 .dst_port = 65535,
                                 .seq = 4294967295,
                                 .length = 1448,
                                 .dropped_at = NOV2026 + 123456789,
                                 .outcome = DROP_RETRANSMITTED,
                                 .answered_after = 203456789};
    return e;
}

static void drops_of_both_families_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct event v4 = drop(1, "203.0.113.9", "198.51.100.1");
    struct event v6 = drop(2, "2001:db8:77::9", "2001:db8::1");
    v6.drop.outcome = DROP_UNANSWERED;
    v6.drop.answered_after = SPAN_NONE;
    store_event(f, &v4);
    store_event(f, &v6);
    assert_string_equal(ask(f->client, "SELECT * FROM penstock.penny_drop ORDER BY src"),
                        "12000000-0000-0000-0000-000000000034|203.0.113.9|198.51.100.1|443|65535"
                        "|4294967295|1448|2026-11-21 09:00:00.123456+00|retransmitted"
                        "|00:00:00.203456\n"
                        "12000000-0000-0000-0000-000000000034|2001:db8:77::9|2001:db8::1|443|65535"
                        "|4294967295|1448|2026-11-21 09:00:00.123456+00|unanswered|~");
}

static void scan_windows_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct event e = event(EVENT_scan_window, 4);
    e.scan_window = (struct event_scan_window){.started_at = NOV2026 - 60 * SECOND,
                                               .ended_at = NOV2026,
                                               .direction = SCAN_CLIENT,
                                               .total_entropy = 1.0 / 3,
                                               .bin_entropy = {.count = 3, .value = {0, 0.125, 2}},
                                               .probes = 77,
                                               .probes_fin = 1,
                                               .probes_null = 2,
                                               .probes_xmas = 3,
                                               .probes_udp = 4,
                                               .probes_icmp = 5};
    store_event(f, &e);
    e.scan_window.bin_entropy.count = 0;
    e.scan_window.direction = SCAN_SERVER;
    store_event(f, &e);
    assert_string_equal(ask(f->client, "SELECT * FROM penstock.scan_window ORDER BY direction"),
                        "ams1|AMS|2026-11-21 08:59:00+00|2026-11-21 09:00:00+00|client"
                        "|0.3333333333333333|{0,0.125,2}|77|1|2|3|4|5\n"
                        "ams1|AMS|2026-11-21 08:59:00+00|2026-11-21 09:00:00+00|server"
                        "|0.3333333333333333|{}|77|1|2|3|4|5");
}

static struct event passive_flow(uint64_t seq, const char *src, const char *dst)
{
    struct event e = event(EVENT_passive_flow, seq);
    e.passive_flow = (struct event_passive_flow){.test_id = {0x12, [15] = 0x34},
                                                 .src = addr(src),
                                                 .dst = addr(dst),
                                                 .src_port = 443,
                                                 .dst_port = 65535,
                                                 .started_at = NOV2026 - SECOND,
                                                 .ended_at = NOV2026,
                                                 .start_reason = PASSIVE_MID_STREAM,
                                                 .end_reason = PASSIVE_REPLACED,
                                                 .data = 1,
                                                 .pure_ack = 2,
                                                 .keep_alives = 3,
                                                 .in_order = 4,
                                                 .out_of_order = 5,
                                                 .duplicates = 6,
                                                 .gaps = 7,
                                                 .gaps_late = 8,
                                                 .gaps_open = 9,
                                                 .gaps_forgotten = 10,
                                                 .bytes = 11,
                                                 .unseen = 12,
                                                 .coverage = .25,
                                                 .rst = true};
    return e;
}

static void passive_flows_of_both_families_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct event v4 = passive_flow(1, "203.0.113.9", "198.51.100.1");
    struct event v6 = passive_flow(2, "2001:db8:77::9", "2001:db8::1");
    v6.passive_flow.rst = false;
    v6.passive_flow.syn_only = true;
    v6.passive_flow.start_reason = PASSIVE_SYN;
    v6.passive_flow.end_reason = PASSIVE_IDLE;
    store_event(f, &v4);
    store_event(f, &v6);
    assert_string_equal(
        ask(f->client, "SELECT * FROM penstock.passive_flow ORDER BY src"),
        "12000000-0000-0000-0000-000000000034|ams1|AMS|203.0.113.9|198.51.100.1|443|65535"
        "|2026-11-21 08:59:59+00|2026-11-21 09:00:00+00|mid_stream|replaced"
        "|1|2|3|4|5|6|7|8|9|10|11|12|0.25|t|f\n"
        "12000000-0000-0000-0000-000000000034|ams1|AMS|2001:db8:77::9|2001:db8::1|443|65535"
        "|2026-11-21 08:59:59+00|2026-11-21 09:00:00+00|syn|idle"
        "|1|2|3|4|5|6|7|8|9|10|11|12|0.25|f|t");
}

static void the_sums_of_a_passive_test_come_back_as_they_were(void **state)
{
    struct fixture *f = *state;
    struct event e = event(EVENT_passive_total, 1);
    e.passive_total = (struct event_passive_total){.test_id = {0x12, [15] = 0x34},
                                                   .prefix = prefix("203.0.113.0/24"),
                                                   .ingress = place,
                                                   .started_at = NOV2026 - SECOND,
                                                   .ended_at = NOV2026,
                                                   .flows = 1,
                                                   .flows_listed = 2,
                                                   .flows_refused = 3,
                                                   .flows_mid_stream = 4,
                                                   .flows_syn_only = 5,
                                                   .ended_fin = 6,
                                                   .ended_rst = 7,
                                                   .ended_idle = 8,
                                                   .ended_replaced = 9,
                                                   .ended_stopped = 10,
                                                   .data = 11,
                                                   .pure_ack = 12,
                                                   .keep_alives = 13,
                                                   .in_order = 14,
                                                   .out_of_order = 15,
                                                   .duplicates = 16,
                                                   .gaps = 17,
                                                   .gaps_late = 18,
                                                   .gaps_unfilled = 19,
                                                   .gaps_open = 20,
                                                   .gaps_forgotten = 21,
                                                   .bytes = 22,
                                                   .unseen = 23,
                                                   .coverage = .5,
                                                   .likelihood_ratio = -1.5};
    store_event(f, &e);
    assert_string_equal(
        ask(f->client, "SELECT * FROM penstock.passive_total"),
        "12000000-0000-0000-0000-000000000034|ams1|AMS|203.0.113.0/24|ams1-r1|xe-0/0/1|101"
        "|02:00:00:00:00:07|4294967295|2026-11-21 08:59:59+00|2026-11-21 09:00:00+00"
        "|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|0.5|-1.5");
}

static void a_flow_that_a_sensor_sends_again_after_a_rollback_is_one_row(void **state)
{
    struct fixture *f = *state;
    struct event e = passive_flow(1, "203.0.113.9", "198.51.100.1");
    ok(store_begin(f->store, &note));
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    store_rollback(f->store);
    store_event(f, &e);
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.passive_flow"), "1");
}

static struct event test_started(uint64_t seq, const char *src)
{
    struct event e = event(EVENT_test_started, seq);
    e.test_started = (struct event_test_started){.test_id = {0xab, [15] = 1},
                                                 .prefix = prefix(src),
                                                 .ingress = place,
                                                 .mode = TEST_ACTIVE,
                                                 .rule = "sequential",
                                                 .started_at = NOV2026};
    return e;
}

static struct event test_ended(uint64_t seq, const char *src)
{
    struct event e = event(EVENT_test_ended, seq);
    e.test_ended = (struct event_test_ended){.test_id = {0xab, [15] = 1},
                                             .prefix = prefix(src),
                                             .ingress = place,
                                             .mode = TEST_ACTIVE,
                                             .rule = "sequential",
                                             .started_at = NOV2026,
                                             .ended_at = NOV2026 + 5 * SECOND,
                                             .verdict = VERDICT_MIXED,
                                             .reason = "7 of 12",
                                             .genuine_probability = 0.999,
                                             .genuine_fraction = 0.5,
                                             .genuine_low = 0.25,
                                             .genuine_high = 0.75,
                                             .genuine_evidence = 7.5,
                                             .open_evidence = -2.5,
                                             .flows = 4,
                                             .droppable = 240,
                                             .drops = 12,
                                             .retransmitted = 7,
                                             .unanswered = 4,
                                             .invalid = 1,
                                             .controls = 228,
                                             .duplicates = 2,
                                             .packets = 900,
                                             .data = 800,
                                             .order_id = 7};
    return e;
}

static void a_test_is_one_row_from_its_beginning_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct event begin = test_started(1, "2001:db8:77::/48"),
                 end = test_ended(2, "2001:db8:77::/48");
    store_event(f, &begin);
    assert_string_equal(ask(f->client,
                            "SELECT test_id, sensor, pop, prefix, router, interface, mode,"
                            " started_at, ended_at, verdict, drops"
                            " FROM penstock.penny_test"),
                        "ab000000-0000-0000-0000-000000000001|ams1|AMS|2001:db8:77::/48|ams1-r1"
                        "|xe-0/0/1|active|2026-11-21 09:00:00+00|~|~|~");
    store_event(f, &end);
    assert_string_equal(
        ask(f->client, "SELECT * FROM penstock.penny_test"),
        "ab000000-0000-0000-0000-000000000001|ams1|AMS|2001:db8:77::/48|ams1-r1|xe-0/0/1|active"
        "|2026-11-21 09:00:00+00|2026-11-21 09:00:05+00|mixed|0.999|0.5|0.25|0.75|4|240|12|7|4|2"
        "|7 of 12|7|900|800");
    assert_string_equal(ask(f->client, "SELECT vlan, mac, peer_as, rule, genuine_evidence,"
                                       " open_evidence, invalid, controls"
                                       " FROM penstock.penny_test_entry"),
                        "101|02:00:00:00:00:07|4294967295|sequential|7.5|-2.5|1|228");
}

static void a_test_whose_beginning_was_lost_is_stored_by_its_end(void **state)
{
    struct fixture *f = *state;
    struct event end = test_ended(2, "203.0.113.0/24");
    store_event(f, &end);
    assert_string_equal(ask(f->client, "SELECT prefix, verdict FROM penstock.penny_test"),
                        "203.0.113.0/24|mixed");
}

static void what_a_sensor_may_say_never_fails_a_batch(void **state)
{
    struct fixture *f = *state;
    ok(store_begin(f->store, &note));
    for (uint8_t type = 0; type < 16; type++) { /* every type, and some that do not exist: zeroed */
        struct event e = event(type, type);
        e.at = 0;
        ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    }
    struct event e = tally(UINT64_MAX, "203.0.113.0/24");
    e.at = INT64_MIN;
    e.epoch = e.tally.packets = e.tally.bytes = e.tally.flows = UINT64_MAX;
    e.tally.ingress.vlan = e.tally.ingress.peer_as = UINT64_MAX;
    e.tally.started_at = INT64_MIN;
    e.tally.ended_at = INT64_MAX;
    e.tally.prefix.addr.bytes[3] = 1;
    memcpy(e.tally.ingress.router, "\xff\xc3", 3);
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    e = drop(2, "203.0.113.9", "198.51.100.1");
    e.at = INT64_MAX;
    e.drop.src_port = e.drop.seq = e.drop.length = UINT64_MAX;
    e.drop.outcome = 200;
    e.drop.answered_after = UINT64_MAX - 1;
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    e = test_ended(3, "203.0.113.0/24");
    e.test_ended.genuine_probability = 1.5;
    e.test_ended.genuine_low = 0.0 / (double)(e.seq - 3);
    e.test_ended.genuine_evidence = 1e308 * 10;
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    e = passive_flow(4, "203.0.113.9", "198.51.100.1");
    e.passive_flow.start_reason = e.passive_flow.end_reason = 200;
    e.passive_flow.src_port = e.passive_flow.bytes = UINT64_MAX;
    e.passive_flow.started_at = INT64_MIN;
    e.passive_flow.coverage = -1e300 * 1e300;
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    struct ingress_row nowhere = {.pop = "AMS"};
    ok(store_put_ingress(f->store, &nowhere, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.ingress_tally"), "2");
    assert_string_equal(ask(f->client, "SELECT router FROM penstock.ingress_tally"
                                       " WHERE prefix = '203.0.113.0/24'"),
                        "??");
}

static void events_of_any_time_land_in_a_partition(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t second;
        const char *partition;
    } times[] = {
        {-1, "past"},
        {0, "past"},
        {1767225599, "past"},     /* 2025-12-31 23:59:59 */
        {1767225600, "y2026m01"}, /* 2026-01-01 */
        {1795254000, "y2026m11"}, /* 2026-11-21 */
        {1796083199, "y2026m11"}, /* 2026-11-30 23:59:59 */
        {1796083200, "y2026m12"}, /* 2026-12-01 */
        {1814400000, "y2027m07"}, /* next year */
        {2556143999, "y2050m12"}, /* 2050-12-31 23:59:59 */
        {2556144000, "future"},   /* 2051-01-01 */
        {9223372036, "future"},   /* 2262 */
    };
    char expected[512] = "";
    ok(store_begin(f->store, &note));
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct event e = tally(i + 1, "203.0.113.0/24");
        e.at = times[i].second * SECOND;
        ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                 "%spenstock.ingress_tally_%s", i > 0 ? "\n" : "", times[i].partition);
    }
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT tableoid::regclass FROM penstock.ingress_tally"
                                       " ORDER BY event_seq"),
                        expected);
    every_object_and_column_has_a_comment(state); /* partitions, too */
}

static void a_partition_that_a_rollback_undid_is_made_again(void **state)
{
    struct fixture *f = *state;
    struct event e = tally(1, "203.0.113.0/24");
    e.at = INT64_C(1900000000) * SECOND;
    ok(store_begin(f->store, &note));
    ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    store_rollback(f->store);
    store_event(f, &e);
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.ingress_tally"), "1");
}

/* Late events of that month would else be refused one by one, as if they were to blame. */
static void a_month_that_was_taken_away_and_kept_is_made_again_beside_it(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 3; i++) {
        struct event e = tally(i, "203.0.113.0/24");
        char detach[128];
        e.at = INT64_C(1900000000) * SECOND;
        store_event(f, &e);
        snprintf(
            detach, sizeof detach,
            "ALTER TABLE penstock.ingress_tally DETACH PARTITION penstock.ingress_tally_y2030m03%s"
            " CONCURRENTLY",
            i == 1   ? ""
            : i == 2 ? "_2"
                     : "_3");
        sql(f->client, detach);
        ok(store_begin(f->store, &note)); /* it is known to be there, and is not */
        ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
        assert_int_equal(store_commit(f->store, &note), ERR_DATA);
    }
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.ingress_tally"), "0");
    assert_string_equal(ask(f->client, "SELECT event_seq FROM penstock.ingress_tally_y2030m03"),
                        "1");
    assert_string_equal(ask(f->client, "SELECT event_seq FROM penstock.ingress_tally_y2030m03_3"),
                        "3");
}

static void partitions_of_this_month_and_the_next_are_made_ahead(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(
        ask(f->client, "SELECT bool_and(to_regclass('penstock.' || t || to_char(now() AT TIME ZONE"
                       " 'UTC' + n * interval '1 month', '\"_y\"YYYY\"m\"MM')) IS NOT NULL)"
                       " FROM unnest(ARRAY['sensor_status', 'ingress_tally', 'penny_drop_entry',"
                       " 'scan_window_entry', 'passive_flow_entry', 'passive_total_entry']) t, "
                       "generate_series(0, 1) n"),
        "t");
}

static void ten_thousand_events_in_one_transaction_all_arrive(void **state)
{
    struct fixture *f = *state;
    uint64_t began = clock_mono_ns();
    ok(store_begin(f->store, &note));
    for (uint64_t i = 1; i <= 10000; i++) {
        struct event e = tally(i, "203.0.113.0/24");
        ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    }
    ok(store_commit(f->store, &note));
    printf("10,000 tallies stored in %.1f ms\n", (double)(clock_mono_ns() - began) / 1e6);
    assert_string_equal(ask(f->client, "SELECT count(*), count(DISTINCT event_seq), sum(packets)"
                                       " FROM penstock.ingress_tally"),
                        "10000|10000|100000");
}

static void more_rows_than_the_buffer_holds_are_still_one_transaction(void **state)
{
    struct fixture *f = *state;
    ok(store_begin(f->store, &note));
    for (uint64_t i = 1; i <= 40000; i++) { /* about 7 MB: sent before the commit */
        struct event e = tally(i, "203.0.113.0/24");
        ok(store_put_event(f->store, "ams1", "AMS", &e, &note));
    }
    store_rollback(f->store);
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.ingress_tally"), "0");
}

/* ---- rows that are loaded again ---- */

struct loaded {
    size_t count;
    struct sensor_row sensors[4];
    struct ingress_row entries[8];
    struct alert_row alerts[4];
    int answer; /* of the callback, at the first row */
};

static int keep_sensor(void *arg, const struct sensor_row *row)
{
    struct loaded *l = arg;
    l->sensors[l->count++] = *row;
    return l->answer;
}

static int keep_entry(void *arg, const struct ingress_row *row)
{
    struct loaded *l = arg;
    l->entries[l->count++] = *row;
    return l->answer;
}

static int keep_alert(void *arg, const struct alert_row *row)
{
    struct loaded *l = arg;
    l->alerts[l->count++] = *row;
    return l->answer;
}

static void same_sensor(const struct sensor_row *a, const struct sensor_row *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->pop, b->pop);
    assert_string_equal(a->version, b->version);
    assert_true(a->first_seen == b->first_seen && a->last_seen == b->last_seen);
    assert_true(a->epoch == b->epoch && a->last_seq == b->last_seq);
    assert_int_equal(a->state, b->state);
}

static void same_place(const struct ingress *a, const struct ingress *b)
{
    assert_string_equal(a->router, b->router);
    assert_string_equal(a->interface, b->interface);
    assert_true(a->vlan == b->vlan && a->peer_as == b->peer_as);
    assert_memory_equal(a->mac, b->mac, sizeof a->mac);
}

static void same_entry(const struct ingress_row *a, const struct ingress_row *b)
{
    assert_true(prefix_equal(&a->prefix, &b->prefix));
    assert_string_equal(a->pop, b->pop);
    same_place(&a->at, &b->at);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->testing_by, b->testing_by);
    assert_int_equal(a->has_evidence, b->has_evidence);
    assert_true(a->genuine_probability == b->genuine_probability);
    assert_true(a->genuine_fraction == b->genuine_fraction);
    assert_true(a->genuine_low == b->genuine_low && a->genuine_high == b->genuine_high);
    assert_true(a->share == b->share && a->weight == b->weight);
    assert_true(a->weight_at == b->weight_at);
    assert_true(a->packets == b->packets && a->bytes == b->bytes && a->tests == b->tests);
    assert_int_equal(a->expected, b->expected);
    assert_string_equal(a->expected_by, b->expected_by);
    assert_true(a->first_seen == b->first_seen && a->last_seen == b->last_seen);
    assert_true(a->last_test_at == b->last_test_at);
    assert_int_equal(a->bgp, b->bgp);
    assert_int_equal(a->rpki, b->rpki);
    assert_int_equal(a->origin_as, b->origin_as);
    assert_true(a->evidence_genuine == b->evidence_genuine);
    assert_true(a->evidence_spoofed == b->evidence_spoofed);
    assert_true(a->evidence_at == b->evidence_at && a->untestable_at == b->untestable_at);
    assert_true(a->genuine_since == b->genuine_since && a->genuine_share == b->genuine_share);
    assert_string_equal(a->bundle, b->bundle);
    assert_true(a->is_main == b->is_main && a->is_present == b->is_present);
}

static void same_alert(const struct alert_row *a, const struct alert_row *b)
{
    assert_int_equal(a->alert_id, b->alert_id);
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_string_equal(a->kind, b->kind);
    assert_string_equal(a->severity, b->severity);
    assert_true(a->confidence == b->confidence);
    assert_int_equal(a->state, b->state);
    assert_true(prefix_equal(&a->prefix, &b->prefix));
    assert_string_equal(a->pop, b->pop);
    same_place(&a->at, &b->at);
    assert_string_equal(a->summary, b->summary);
    assert_string_equal(a->expected, b->expected);
    assert_string_equal(a->evidence, b->evidence);
    assert_true(a->started_at == b->started_at && a->updated_at == b->updated_at);
    assert_true(a->resolved_at == b->resolved_at);
    assert_string_equal(a->acknowledged_by, b->acknowledged_by);
}

static struct sensor_row sensor_row(const char *name, uint64_t last_seq)
{
    struct sensor_row row = {.pop = "AMS",
                             .version = "0.1.0",
                             .first_seen = NOV2026 - 1000,
                             .last_seen = NOV2026 + 7000,
                             .epoch = 1795000000000000123,
                             .last_seq = last_seq,
                             .state = SENSOR_SILENT};
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

static void put_sensor(struct fixture *f, const struct sensor_row *row)
{
    ok(store_begin(f->store, &note));
    ok(store_put_sensor(f->store, row, &note));
    ok(store_commit(f->store, &note));
}

static void a_sensor_is_loaded_as_it_was_put_last(void **state)
{
    struct fixture *f = *state;
    struct sensor_row first = sensor_row("ams1", 5), then = sensor_row("ams1", 9);
    then.state = SENSOR_STOPPED;
    put_sensor(f, &first);
    put_sensor(f, &then);
    struct loaded l = {0};
    ok(store_load_sensors(f->store, keep_sensor, &l, &note));
    assert_int_equal(l.count, 1);
    same_sensor(&l.sensors[0], &then);
    assert_string_equal(ask(f->client, "SELECT * FROM penstock.sensor"),
                        "ams1|AMS|0.1.0|2026-11-21 08:59:59.999999+00|2026-11-21 09:00:00.000007+00"
                        "|1795000000000000123|9|stopped");
}

static void a_load_stops_at_the_first_refusal_and_the_store_stays_usable(void **state)
{
    struct fixture *f = *state;
    struct sensor_row a = sensor_row("ams1", 5), b = sensor_row("fra1", 9);
    put_sensor(f, &a);
    put_sensor(f, &b);
    struct loaded l = {.answer = ERR_FULL};
    assert_int_equal(store_load_sensors(f->store, keep_sensor, &l, &note), ERR_FULL);
    assert_int_equal(l.count, 1);
    l = (struct loaded){0};
    ok(store_load_sensors(f->store, keep_sensor, &l, &note));
    assert_int_equal(l.count, 2);
}

static void gaps_show_and_an_unknown_end_is_null(void **state)
{
    struct fixture *f = *state;
    struct gap_row known = {.sensor = "ams1",
                            .epoch = 1,
                            .from_seq = 5,
                            .to_seq = 9,
                            .reason = "spool full",
                            .at = NOV2026};
    struct gap_row open = {
        .sensor = "ams1", .epoch = 2, .from_seq = 7, .reason = "no goodbye", .at = NOV2026};
    ok(store_begin(f->store, &note));
    ok(store_put_gap(f->store, &known, &note));
    ok(store_put_gap(f->store, &open, &note));
    ok(store_put_gap(f->store, &open, &note)); /* noticed again: still one gap */
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT * FROM penstock.sensor_gap ORDER BY from_seq"),
                        "ams1|5|9|spool full|2026-11-21 09:00:00+00\n"
                        "ams1|7|~|no goodbye|2026-11-21 09:00:00+00");
}

static struct ingress_row entry(const char *src, const struct ingress *at)
{
    return (struct ingress_row){.prefix = prefix(src),
                                .pop = "AMS",
                                .at = *at,
                                .state = STATE_MIXED,
                                .has_evidence = true,
                                .genuine_probability = 0.9375,
                                .genuine_fraction = 0.5,
                                .genuine_low = 0.25,
                                .genuine_high = 0.75,
                                .share = 0.125,
                                .weight = 123456.75,
                                .weight_at = NOV2026 + 3000,
                                .packets = 1234567890123,
                                .bytes = INT64_MAX,
                                .expected = EXPECTED_NO,
                                .expected_by = "policy",
                                .tests = 3,
                                .first_seen = NOV2026 - SECOND,
                                .last_seen = NOV2026,
                                .last_test_at = NOV2026 - 1000,
                                .bgp = BGP_ALTERNATIVE,
                                .rpki = RPKI_NOT_FOUND,
                                .origin_as = UINT32_MAX,
                                .evidence_genuine = 11.5,
                                .evidence_spoofed = 0.25,
                                .evidence_at = NOV2026 - 2000,
                                .untestable_at = NOV2026 - 3000,
                                .genuine_since = NOV2026 - 4000,
                                .genuine_share = 0.0625,
                                .bundle = "ams1-r1 ae0",
                                .is_main = true,
                                .is_present = true};
}

static void put_entry(struct fixture *f, const struct ingress_row *row)
{
    ok(store_begin(f->store, &note));
    ok(store_put_ingress(f->store, row, &note));
    ok(store_commit(f->store, &note));
}

static void map_entries_of_both_families_are_loaded_as_they_were_put(void **state)
{
    struct fixture *f = *state;
    struct ingress_row v4 = entry("203.0.113.0/24", &place);
    struct ingress_row v6 = entry("2001:db8:77::/48", &(struct ingress){.router = "r"});
    v6.has_evidence = false;
    v6.genuine_probability = v6.genuine_fraction = v6.genuine_low = v6.genuine_high = 0;
    v6.expected = EXPECTED_UNKNOWN;
    memset(v6.expected_by, 0, sizeof v6.expected_by);
    v6.last_test_at = 0;
    v6.state = STATE_TESTING;
    snprintf(v6.testing_by, sizeof v6.testing_by, "ams1");
    v6.bgp = BGP_UNKNOWN;
    v6.rpki = RPKI_UNKNOWN;
    v6.origin_as = 0;
    v6.evidence_at = v6.untestable_at = v6.genuine_since = 0;
    memset(v6.bundle, 0, sizeof v6.bundle);
    v6.is_main = false;
    put_entry(f, &v4);
    put_entry(f, &v6);
    struct loaded l = {0};
    ok(store_load_ingress(f->store, keep_entry, &l, &note));
    assert_int_equal(l.count, 2);
    same_entry(&l.entries[0], &v4);
    same_entry(&l.entries[1], &v6);
    assert_string_equal(
        ask(f->client, "SELECT * FROM penstock.ingress_map ORDER BY prefix"),
        "203.0.113.0/24|AMS|ams1-r1|xe-0/0/1|101|02:00:00:00:00:07|4294967295|mixed|0.9375|0.5|0.25"
        "|0.75|0.125|1234567890123|9223372036854775807|f|policy|3|2026-11-21 08:59:59+00"
        "|2026-11-21 09:00:00+00|2026-11-21 08:59:59.999999+00"
        "|alternative|not_found|4294967295|0.0625|2026-11-21 08:59:59.999996+00|ams1-r1 ae0\n"
        "2001:db8:77::/"
        "48|AMS|r|~|~|~|~|testing|~|~|~|~|0.125|1234567890123|9223372036854775807|~|~|3"
        "|2026-11-21 08:59:59+00|2026-11-21 09:00:00+00|~|~|~|~|0.0625|~|~");
}

static const char *prefixes_in_the_map(struct fixture *f)
{
    return ask(f->client, "SELECT string_agg(prefix || ' ' || tests, ',' ORDER BY prefix)"
                          " FROM penstock.ingress_map");
}

static void an_entry_that_ended_is_deleted_and_its_neighbours_are_not(void **state)
{
    struct fixture *f = *state;
    struct ingress_row wide = entry("203.0.112.0/23", &place);
    struct ingress_row half = entry("203.0.112.0/24", &place);
    struct ingress_row other = entry("203.0.112.0/23", &(struct ingress){.router = "r"});
    put_entry(f, &wide);
    put_entry(f, &other);
    other.tests = 7;
    ok(store_begin(f->store, &note));
    ok(store_put_ingress(f->store, &half, &note));
    ok(store_drop_ingress(f->store, &wide, &note));
    ok(store_put_ingress(f->store, &other, &note));
    ok(store_drop_ingress(f->store, &(struct ingress_row){.pop = "no prefix"}, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(prefixes_in_the_map(f), "203.0.112.0/23 7,203.0.112.0/24 3");
    ok(store_begin(f->store, &note)); /* one that was never there */
    ok(store_drop_ingress(f->store, &wide, &note));
    ok(store_drop_ingress(f->store, &half, &note));
    ok(store_put_ingress(f->store, &half, &note)); /* and one that comes again */
    ok(store_commit(f->store, &note));
    assert_string_equal(prefixes_in_the_map(f), "203.0.112.0/23 7,203.0.112.0/24 3");
}

static void the_last_of_several_rows_of_one_entry_wins(void **state)
{
    struct fixture *f = *state;
    struct ingress_row row = entry("203.0.113.0/24", &place);
    ok(store_begin(f->store, &note));
    for (row.tests = 1; row.tests <= 5; row.tests++)
        ok(store_put_ingress(f->store, &row, &note));
    ok(store_commit(f->store, &note));
    row.tests = 70;
    row.at.mac[5] = 8; /* another peer on the same port is another entry */
    put_entry(f, &row);
    assert_string_equal(ask(f->client, "SELECT tests FROM penstock.ingress_map ORDER BY tests"),
                        "5\n70");
}

static void an_entry_changes_in_place_over_transactions(void **state)
{
    struct fixture *f = *state;
    struct ingress_row row = entry("203.0.113.0/24", &place);
    put_entry(f, &row);
    row.state = STATE_GENUINE;
    row.has_evidence = false;
    row.expected = EXPECTED_YES;
    put_entry(f, &row);
    assert_string_equal(ask(f->client, "SELECT state, genuine_probability, expected"
                                       " FROM penstock.ingress_map"),
                        "genuine|~|t");
}

static struct alert_row alert(uint64_t id)
{
    return (struct alert_row){.alert_id = id,
                              .fingerprint = "00112233445566778899aabbccddeeff",
                              .kind = "ingress_unexpected",
                              .severity = "warning",
                              .confidence = 0.75,
                              .state = ALERT_FIRING,
                              .prefix = prefix("2001:db8:77::/48"),
                              .pop = "AMS",
                              .at = place,
                              .summary = "genuine traffic at an unexpected ingress",
                              .expected = "[]",
                              .evidence = "{\"drops\": 12}",
                              .started_at = NOV2026,
                              .updated_at = NOV2026 + SECOND,
                              .is_standing = true,
                              .flaps = 2,
                              .suppressed_by = "routing",
                              .runbook = "docs/alerts/ingress_unexpected.md"};
}

static void open_alerts_are_loaded_and_ended_ones_only_counted(void **state)
{
    struct fixture *f = *state;
    struct alert_row open = alert(41), ended = alert(42);
    ended.state = ALERT_RESOLVED;
    ended.resolved_at = NOV2026 + 2 * SECOND;
    uint64_t next = 0;
    struct loaded l = {0};
    ok(store_load_alerts(f->store, keep_alert, &l, &next, &note));
    assert_int_equal(next, 1);
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &open, false, &note));
    ok(store_put_alert(f->store, &ended, false, &note));
    ok(store_commit(f->store, &note));
    ok(store_load_alerts(f->store, keep_alert, &l, &next, &note));
    assert_int_equal(l.count, 1);
    assert_int_equal(next, 43);
    same_alert(&l.alerts[0], &open);
    assert_string_equal(
        ask(f->client, "SELECT * FROM penstock.alert WHERE alert_id = 42"),
        "42|00112233445566778899aabbccddeeff|ingress_unexpected|warning|0.75|resolved"
        "|2001:db8:77::/48|AMS|ams1-r1|xe-0/0/1|4294967295|genuine traffic at an unexpected ingress"
        "|[]|{\"drops\": 12}|2026-11-21 09:00:00+00|2026-11-21 09:00:01+00|2026-11-21 09:00:02+00|~"
        "|101|02:00:00:00:00:07|~|t|2|routing|docs/alerts/ingress_unexpected.md|0|~");
}

static void an_acknowledgement_by_sql_is_not_wiped_out(void **state)
{
    struct fixture *f = *state;
    struct alert_row row = alert(1);
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, false, &note));
    ok(store_commit(f->store, &note));
    sql(f->client, "UPDATE penstock.alert SET acknowledged_by = 'noc'");
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, false, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT acknowledged_by FROM penstock.alert"), "noc");
}

static void alert_details_that_are_no_json_are_kept_as_a_string(void **state)
{
    struct fixture *f = *state;
    struct alert_row row = alert(1);
    snprintf(row.evidence, sizeof row.evidence, "{\"rule\": \"cut");
    snprintf(row.expected, sizeof row.expected, "[\"\\u0000\"]"); /* jsonb cannot hold it */
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, false, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT evidence #>> '{}', jsonb_typeof(expected)"
                                       " FROM penstock.alert"),
                        "{\"rule\": \"cut|string");
}

static void malformed_events_are_set_aside_with_their_bytes(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[] = {0x00, 0xff, 0x27, 0x5c};
    ok(store_begin(f->store, &note));
    ok(store_put_malformed(f->store, "ams1", 7, 8, "no msgpack", bytes, sizeof bytes, &note));
    ok(store_put_malformed(f->store, "ams1", 7, 9, "empty", NULL, 0, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT sensor, epoch, seq, reason, bytes,"
                                       " now() - at < '1 min' FROM penstock.malformed_event"
                                       " ORDER BY seq"),
                        "ams1|7|8|no msgpack|\\x00ff275c|t\nams1|7|9|empty|\\x|t");
}

/* ---- roles ---- */

static void who_does_not_own_the_schema_is_told_who_must_migrate(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    char text[96];
    snprintf(text, sizeof text, "GRANT CONNECT ON DATABASE %s TO collector", f->database);
    sql(f->client, text);
    struct store *s = store_of(f, "collector");
    ok(store_claim(s, &note));
    assert_int_equal(store_prepare(s, &applied, &note), ERR_VERSION);
    assert_non_null(strstr(note.text, "penstock-collector --migrate with the owner's DSN"));
    assert_int_equal(store_migrate(s, &applied, &note), ERR_DATABASE);
    assert_non_null(strstr(note.text, "42501"));
    assert_false(store_is_away(s));
    store_close(s);
    ok(store_prepare(f->store, &applied, &note)); /* the owner makes it, as ever */
    assert_int_equal(applied, schema_step_count);
}

static void who_does_not_own_the_schema_makes_partitions_ahead_nevertheless(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    char drop[128];
    snprintf(drop, sizeof drop, "DROP TABLE penstock.ingress_tally_%s",
             ask(f->client, "SELECT to_char(now() AT TIME ZONE 'UTC', '\"y\"YYYY\"m\"MM')"));
    sql(f->client, drop);
    ok(store_prepare(f->store, &applied, &note));
    assert_int_equal(applied, 0);
    assert_string_equal(ask(f->client, "SELECT count(*), string_agg(DISTINCT tableowner, ' ')"
                                       " FROM pg_tables WHERE schemaname = 'penstock'"
                                       " AND tablename ~ '^ingress_tally_y'"),
                        "2|owner");
}

/* SQLSTATE of the statement's failure. */
static const char *refusal(PGconn *c, const char *text)
{
    static char state[6];
    PGresult *res = PQexec(c, text);
    const char *said = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    snprintf(state, sizeof state, "%s", said != NULL ? said : "none");
    PQclear(res);
    return state;
}

static PGconn *client_of(const struct fixture *f, const char *role)
{
    struct store_conf conf = conf_of(f, role);
    PGconn *c = PQconnectdb(conf.dsn);
    assert_int_equal(PQstatus(c), CONNECTION_OK);
    return c;
}

/* Each kind of right, and where the role has it. */
static const char *rights_of(struct fixture *f, const char *role, const char *privilege)
{
    char query[512];
    snprintf(query, sizeof query,
             "SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class"
             " WHERE relnamespace = 'penstock'::regnamespace AND relkind IN ('r', 'p', 'v')"
             " AND has_table_privilege('%s', oid, '%s')",
             role, privilege);
    return ask(f->client, query);
}

static void the_collector_s_role_has_what_it_needs_and_no_more(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(rights_of(f, "collector", "DELETE"),
                        "alert alert_event ingress_entry sensor_epoch test_order");
    assert_string_equal(rights_of(f, "collector", "TRUNCATE"), "ingress_cell_0 ingress_cell_1");
    assert_string_equal(rights_of(f, "collector", "REFERENCES"), "");
    assert_string_equal(rights_of(f, "collector", "TRIGGER"), "");
    assert_null(strstr(rights_of(f, "collector", "UPDATE"), "schema_version"));
    assert_null(strstr(rights_of(f, "collector", "UPDATE"), "role_grant"));
    assert_null(strstr(rights_of(f, "collector", "INSERT"), "schema_version"));
    assert_null(strstr(rights_of(f, "collector", "INSERT"), "collector_turn"));
    PGconn *c = client_of(f, "collector");
    assert_string_equal(refusal(c, "CREATE TABLE penstock.mine (x int)"), "42501");
    assert_string_equal(refusal(c, "CREATE TABLE public.mine (x int)"), "42501");
    assert_string_equal(refusal(c, "CREATE TABLE pg_temp.mine (x int)"), "42501");
    assert_string_equal(refusal(c, "DROP TABLE penstock.ingress_tally"), "42501");
    assert_string_equal(refusal(c, "ALTER TABLE penstock.alert ADD COLUMN x int"), "42501");
    assert_string_equal(refusal(c, "SELECT * FROM penstock.sensor_status"), "42501");
    assert_string_equal(refusal(c, "SELECT penstock.grant_roles()"), "42501");
    PQfinish(c);
}

static void partitions_are_made_of_event_tables_only(void **state)
{
    struct fixture *f = *state;
    char grant[96];
    snprintf(grant, sizeof grant, "GRANT TEMPORARY ON DATABASE %s TO collector", f->database);
    sql(f->client, grant); /* a DBA may, for all */
    PGconn *c = client_of(f, "collector");
    static const char *const refused[] = {"'sensor'",   "'sensor; DROP TABLE penstock.sensor'",
                                          "'pg_class'", "'ingress_tally_past'",
                                          "''",         "NULL"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char call[128];
        snprintf(call, sizeof call, "SELECT penstock.partition_add(%s, now())", refused[i]);
        assert_string_equal(refusal(c, call), "42P01");
    }
    assert_string_equal(refusal(c, "SELECT penstock.partition_add('ingress_tally', NULL)"),
                        "42P01");
    /* a type of the caller's own must not be taken for the real one */
    sql(c, "CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (false)");
    assert_string_equal(
        ask(c, "SELECT penstock.partition_add('ingress_tally'::pg_catalog.text, '2031-05-01')"),
        "t");
    PQfinish(c);
    assert_string_equal(ask(f->client, "SELECT tableowner FROM pg_tables"
                                       " WHERE tablename = 'ingress_tally_y2031m05'"),
                        "owner");
}

static void a_reader_reads_what_is_for_reports_and_writes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const reports[] = {
        "ingress_map",     "ingress_tally",  "penny_test",  "penny_drop", "passive_flow",  "sensor",
        "sensor_epoch",    "passive_total",  "scan_window", "sensor_gap", "sensor_status", "alert",
        "malformed_event", "schema_version", "alert_event", "maintenance"};
    static const char *const writes[] = {"INSERT", "UPDATE", "DELETE", "TRUNCATE"};
    struct ingress_row row = entry("203.0.113.0/24", &place);
    ok(store_begin(f->store, &note));
    ok(store_put_ingress(f->store, &row, &note));
    ok(store_commit(f->store, &note));
    PGconn *c = client_of(f, "reader");
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        char query[128];
        snprintf(query, sizeof query, "SELECT count(*) >= 0 FROM penstock.%s", reports[i]);
        assert_string_equal(ask(c, query), "t");
    }
    assert_string_equal(ask(c, "SELECT prefix FROM penstock.ingress_of('203.0.113.9')"),
                        "203.0.113.0/24");
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++)
        assert_string_equal(rights_of(f, "reader", writes[i]), "");
    assert_string_equal(refusal(c, "SELECT testing_by FROM penstock.ingress_entry"), "42501");
    assert_string_equal(refusal(c, "UPDATE penstock.alert SET state = 'resolved'"), "42501");
    assert_string_equal(refusal(c, "CREATE TABLE penstock.mine (x int)"), "42501");
    assert_string_equal(refusal(c, "SELECT penstock.partition_add('ingress_tally', now())"),
                        "42501");
    PQfinish(c);
}

static void roles_that_are_made_later_are_granted_their_rights_by_the_owner(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    sql(f->client, "ALTER ROLE penstock_reader RENAME TO set_aside");
    struct store *s = store_of(f, "owner");
    int err = store_migrate(s, &applied, &note); /* goes well without it */
    PGconn *c = client_of(f, "owner");
    char said[128];
    snprintf(said, sizeof said, "%s", ask(c, "SELECT * FROM penstock.grant_roles() ORDER BY 1"));
    sql(f->client, "ALTER ROLE set_aside RENAME TO penstock_reader");
    sql(f->client, "REVOKE ALL ON penstock.ingress_map FROM penstock_reader");
    assert_int_equal(err, 0);
    assert_string_equal(said, "penstock_collector|t\npenstock_operator|t\npenstock_reader|f");
    assert_null(strstr(rights_of(f, "reader", "SELECT"), "ingress_map"));
    sql(c, "SELECT penstock.grant_roles()");
    assert_non_null(strstr(rights_of(f, "reader", "SELECT"), "ingress_map"));
    PQfinish(c);
    store_close(s);
}

/* The schema as it was before there were roles, made by its owner. */
static void back_to_step_8(PGconn *c)
{
    char applied[4096];
    snprintf(applied, sizeof applied, "INSERT INTO penstock.schema_version VALUES %s",
             ask(c, "SELECT string_agg(format('(%s, %L, now(), %L)', number, name, checksum), ', ')"
                    " FROM penstock.schema_version WHERE number <= 8"));
    sql(c, "DROP SCHEMA penstock CASCADE; SET ROLE owner");
    for (size_t i = 0; i < 8; i++)
        sql(c, schema_steps[i].sql);
    sql(c, applied);
    sql(c, "RESET ROLE");
}

static void what_a_superuser_migrates_belongs_to_the_schema_s_owner(void **state)
{
    struct fixture *f = *state;
    unsigned applied;
    sql(f->client, "CREATE SCHEMA penstock AUTHORIZATION owner");
    struct store *s = store_of(f, "postgres");
    assert_int_equal(store_migrate(s, &applied, &note), ERR_DATABASE); /* step 1 makes the schema */
    assert_non_null(strstr(note.text, "42P06"));
    sql(f->client, "DROP SCHEMA penstock");
    store_close(s);
    ok(store_migrate(f->store, &applied, &note));
    back_to_step_8(f->client);
    s = store_of(f, "postgres");
    ok(store_migrate(s, &applied, &note));
    assert_int_equal(applied, schema_step_count - 8);
    store_close(s);
    assert_string_equal(ask(f->client, "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
                                       " WHERE relnamespace = 'penstock'::regnamespace"),
                        "owner");
}

/* ---- the longest prefix ---- */

static void ingress_of_gives_all_places_of_the_longest_prefix(void **state)
{
    struct fixture *f = *state;
    static const char *const prefixes[] = {"0.0.0.0/0",        "203.0.0.0/16",  "203.0.113.0/24",
                                           "203.0.113.128/32", "2001:db8::/32", "2001:db8:77::/48"};
    ok(store_begin(f->store, &note));
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        struct ingress_row row = entry(prefixes[i], &place);
        ok(store_put_ingress(f->store, &row, &note));
    }
    struct ingress_row second = entry("203.0.113.0/24", &(struct ingress){.router = "fra1-r1"});
    ok(store_put_ingress(f->store, &second, &note));
    ok(store_commit(f->store, &note));
    static const char *const questions[][2] = {
        {"203.0.113.7", "203.0.113.0/24 ams1-r1,203.0.113.0/24 fra1-r1"},
        {"203.0.113.128", "203.0.113.128/32 ams1-r1"},
        {"203.0.7.1", "203.0.0.0/16 ams1-r1"},
        {"192.0.2.1", "0.0.0.0/0 ams1-r1"},
        {"2001:db8:77::1", "2001:db8:77::/48 ams1-r1"},
        {"2001:db8:78::1", "2001:db8::/32 ams1-r1"},
        {"2001:db9::1", "~"},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        char query[256];
        snprintf(query, sizeof query,
                 "SELECT string_agg(prefix || ' ' || router, ',' ORDER BY router)"
                 " FROM penstock.ingress_of('%s')",
                 questions[i][0]);
        assert_string_equal(ask(f->client, query), questions[i][1]);
    }
}

/* Prefixes within prefixes, side by side and with holes, and what is asked: addresses among them,
 * also with a length, each prefix, its last address and the ones beside it, and the ends of both
 * families. */
#define NESTED                                                                                    \
    "SELECT setseed(0.25);"                                                                       \
    "CREATE TEMP TABLE nested AS SELECT DISTINCT network(set_masklen("                            \
    "CASE WHEN n % 2 = 0 THEN '10.0.0.0'::inet + (random() * 65535)::bigint"                      \
    " ELSE '2001:db8::'::inet + ((random() * 1048575)::bigint << 40) END,"                        \
    " CASE WHEN n % 2 = 0 THEN 8 + (random() * 24)::int ELSE 20 + (random() * 108)::int END))"    \
    " AS prefix FROM generate_series(1, 600) n;"                                                  \
    "INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, state, share, weight,"   \
    " packets, bytes, tests) SELECT prefix, 'AMS', 'r' || place, '', 'unverified', 1, 1, 1, 1, 0" \
    " FROM nested, generate_series(1, 1 + masklen(prefix) % 3) place"
#define ASKED                                                                  \
    "WITH asked (address) AS (SELECT prefix::inet FROM nested"                 \
    " UNION SELECT host(broadcast(prefix))::inet FROM nested"                  \
    " UNION SELECT host(broadcast(prefix))::inet + 1 FROM nested"              \
    " UNION SELECT host(prefix)::inet - 1 FROM nested"                         \
    " UNION SELECT set_masklen('10.0.0.0'::inet + (random() * 70000)::bigint," \
    " 4 + (random() * 28)::int) FROM generate_series(1, 600)"                  \
    " UNION SELECT '2001:db8::'::inet + ((random() * 1100000)::bigint << 40)"  \
    " FROM generate_series(1, 600)"                                            \
    " UNION SELECT unnest(ARRAY[NULL, '0.0.0.0', '255.255.255.255', '::', 'ffff::']::inet[]))"

/* In the order of the key, and by SP-GiST when that is not it: the answer is that of the
 * definition.
 */
static void ingress_of_answers_as_its_definition_does(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.ingress_of('192.0.2.1')"),
                        "0"); /* an empty map */
    sql(f->client, NESTED);
    assert_string_equal(ask(f->client, ASKED
                            " SELECT count(*) FILTER (WHERE found IS DISTINCT FROM plain) || ' '"
                            " || (count(*) > 2000) || ' ' || (count(plain) > 1000)"
                            " FROM asked, LATERAL (SELECT array_agg(o ORDER BY o.router) AS found"
                            " FROM penstock.ingress_of(address) o) o,"
                            " LATERAL (SELECT array_agg(m ORDER BY m.router) AS plain"
                            " FROM penstock.ingress_map m WHERE m.prefix = (SELECT e.prefix"
                            " FROM penstock.ingress_entry e WHERE e.prefix >>= address"
                            " ORDER BY masklen(e.prefix) DESC LIMIT 1)) m"),
                        "0 true true");
}

/* Half the addresses have an entry: both what is found and what is not must be quick. */
static void print_lookup_time(PGconn *c)
{
    static const char lookups[] =
        "SELECT count(*) FROM generate_series(0, 9999) n,"
        " LATERAL penstock.ingress_of('11.0.0.7'::inet + n::bigint * 20 * 256)";
    ask(c, lookups);
    uint64_t began = clock_mono_ns();
    assert_string_equal(ask(c, lookups), "5000");
    printf("ingress_of among 100,000 entries: %.1f us each in one statement",
           (double)(clock_mono_ns() - began) / 1e3 / 10000);
    began = clock_mono_ns();
    for (int i = 0; i < 1000; i++)
        ask(c, "SELECT prefix FROM penstock.ingress_of('11.0.7.7')");
    printf(", %.1f us as statements of their own\n",
           (double)(clock_mono_ns() - began) / 1e3 / 1000);
}

static void keep_plan(void *arg, const char *message)
{
    char *plan = arg;
    strncat(plan, message, 8000 - strlen(plan));
}

/* What is done within a function, too. */
static const char *plan_of(PGconn *c, const char *text)
{
    static char plan[8192];
    plan[0] = '\0';
    sql(c, "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;"
           " SET auto_explain.log_nested_statements = on; SET client_min_messages = log");
    PQnoticeProcessor before = PQsetNoticeProcessor(c, keep_plan, plan);
    ask(c, text);
    PQsetNoticeProcessor(c, before, NULL);
    sql(c, "SET auto_explain.log_min_duration = -1; SET client_min_messages = warning");
    return plan;
}

static void ingress_of_looks_up_in_the_key_s_order_and_else_in_the_sp_gist_index(void **state)
{
    struct fixture *f = *state;
    sql(f->client,
        "INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, state, share,"
        " weight, packets, bytes, tests) SELECT set_masklen(('11.0.0.0'::inet + n * 256),"
        " 24)::cidr, 'AMS', 'r', 'i', 'unverified', 1, 1, 1, 1, 0"
        " FROM generate_series(0, 99999) n");
    sql(f->client, "ANALYZE penstock.ingress_entry");
    const char *plan = plan_of(f->client, "SELECT * FROM penstock.ingress_of('11.0.7.7')");
    assert_non_null(strstr(plan, "Index Only Scan Backward using ingress_entry_pkey"));
    assert_null(strstr(plan, "prefix >>="));
    assert_null(strstr(plan, "Seq Scan"));
    plan = plan_of(f->client, "SELECT * FROM penstock.ingress_of('15.0.7.7')"); /* none has it */
    assert_non_null(strstr(plan, "using ingress_entry_prefix"));
    assert_non_null(strstr(plan, "prefix >>= '15.0.7.7'::inet"));
    assert_null(strstr(plan, "Seq Scan"));
    assert_string_equal(ask(f->client, "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam"
                                       " WHERE relname = 'ingress_entry_prefix'"),
                        "spgist");
    assert_string_equal(ask(f->client, "SELECT prefix FROM penstock.ingress_of('11.0.7.7')"),
                        "11.0.7.0/24");
    print_lookup_time(f->client);
}

/* ---- what others say in SQL ---- */

static unsigned heard(struct fixture *f)
{
    unsigned what;
    ok(store_heard(f->store, &what, &note));
    return what;
}

/* What the server says may take a moment to come. */
static unsigned heard_in_time(struct fixture *f)
{
    unsigned what = 0;
    for (int i = 0; i < 500 && what == 0; i++) {
        what = heard(f);
        poll(NULL, 0, 10);
    }
    return what;
}

static void a_notification_is_heard_once_and_only_on_our_channels(void **state)
{
    struct fixture *f = *state;
    ok(store_listen(f->store, &note));
    assert_int_equal(heard(f), HEARD_ORDER | HEARD_EXPECTATION | HEARD_ALERT_WORD);
    assert_int_equal(heard(f), 0);
    sql(f->client, "NOTIFY somebody_else; NOTIFY penstock_alert, '7'; NOTIFY penstock_order, '7'");
    assert_int_equal(heard_in_time(f), HEARD_ORDER);
    sql(f->client, "BEGIN; NOTIFY penstock_alert_word; NOTIFY penstock_expectation; COMMIT");
    assert_int_equal(heard_in_time(f), HEARD_EXPECTATION | HEARD_ALERT_WORD);
    assert_int_equal(heard(f), 0);
    ok(store_begin(f->store, &note)); /* one that comes between statements is kept */
    sql(f->client, "NOTIFY penstock_order");
    ok(store_commit(f->store, &note));
    assert_int_equal(heard_in_time(f), HEARD_ORDER);
}

static void a_session_that_ended_while_idle_is_noticed_by_listening(void **state)
{
    struct fixture *f = *state;
    ok(store_load_begin(f->store, &note));
    assert_int_equal(heard(f), HEARD_ORDER | HEARD_EXPECTATION | HEARD_ALERT_WORD);
    sql(f->client, kill_others);
    int err = 0;
    for (int i = 0; i < 500 && err == 0; i++) {
        unsigned what;
        err = store_heard(f->store, &what, &note);
        poll(NULL, 0, 10);
    }
    assert_int_equal(err, ERR_DATABASE);
    assert_true(store_is_away(f->store));
    ok(store_load_begin(f->store, &note));
    assert_int_equal(heard(f), HEARD_ORDER | HEARD_EXPECTATION | HEARD_ALERT_WORD);
    sql(f->client, "NOTIFY penstock_order");
    assert_int_equal(heard_in_time(f), HEARD_ORDER);
}

/* ---- transactions ---- */

static const char all_rows[] =
    "SELECT (SELECT count(*) FROM penstock.ingress_tally),"
    " (SELECT count(*) FROM penstock.penny_test), (SELECT count(*) FROM penstock.sensor),"
    " (SELECT count(*) FROM penstock.sensor_gap), (SELECT count(*) FROM penstock.ingress_map),"
    " (SELECT count(*) FROM penstock.alert), (SELECT count(*) FROM penstock.malformed_event)";

/* One of everything, up to but without the commit. 0, or the first failure. */
static int try_everything(struct store *s)
{
    struct event t = tally(1, "203.0.113.0/24"), begin = test_started(2, "203.0.113.0/24");
    struct sensor_row sensor = sensor_row("ams1", 2);
    struct gap_row gap = {.sensor = "ams1", .epoch = 1, .from_seq = 5, .at = NOV2026};
    struct ingress_row row = entry("203.0.113.0/24", &place);
    struct alert_row a = alert(1);
    int err = store_begin(s, &note);
    if (err == 0)
        err = store_put_event(s, "ams1", "AMS", &t, &note);
    if (err == 0)
        err = store_put_event(s, "ams1", "AMS", &begin, &note);
    if (err == 0)
        err = store_put_sensor(s, &sensor, &note);
    if (err == 0)
        err = store_put_gap(s, &gap, &note);
    if (err == 0)
        err = store_put_ingress(s, &row, &note);
    if (err == 0)
        err = store_put_alert(s, &a, true, &note);
    if (err == 0)
        err = store_put_malformed(s, "ams1", 1, 2, "bad", (const uint8_t *)"x", 1, &note);
    return err;
}

static void put_everything(struct fixture *f)
{
    ok(try_everything(f->store));
}

static void nothing_is_seen_before_the_commit_and_all_after_it(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void a_rollback_leaves_nothing_and_forgets_what_waited(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    store_rollback(f->store);
    ok(store_begin(f->store, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
}

static void kill_the_store_s_connection(struct fixture *f)
{
    assert_string_equal(ask(f->client, kill_others), "t");
}

static void a_connection_killed_midway_leaves_nothing_and_the_next_try_works(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    kill_the_store_s_connection(f);
    assert_int_equal(store_commit(f->store, &note), ERR_DATABASE);
    assert_non_null(strstr(note.text, "database"));
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
    put_everything(f);
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void a_connection_killed_while_idle_is_made_again_unseen(void **state)
{
    struct fixture *f = *state;
    kill_the_store_s_connection(f);
    put_everything(f);
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void clear_all_rows(struct fixture *f)
{
    sql(f->client, "TRUNCATE penstock.ingress_tally, penstock.penny_test_entry, penstock.sensor,"
                   " penstock.sensor_gap_entry, penstock.ingress_entry, penstock.alert,"
                   " penstock.malformed_event");
}

static void a_connection_killed_before_any_call_never_leaves_half_a_transaction(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        fault.onlooker = f->client;
        fault.calls = 0;
        fault.kill_before = n;
        int err = try_everything(f->store);
        if (err == 0)
            err = store_commit(f->store, &note);
        bool killed = fault.calls >= n;
        memset(&fault, 0, sizeof fault);
        if (err != 0) {
            assert_int_equal(err, ERR_DATABASE);
            assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
            put_everything(f); /* and the next try works */
            ok(store_commit(f->store, &note));
            failures++;
        }
        assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
        clear_all_rows(f);
        if (!killed)
            break;
    }
    assert_true(failures >= 15); /* else the faults did not reach the store */
}

static void updating_the_whole_map_again_and_again_makes_it_hardly_larger(void **state)
{
    struct fixture *f = *state;
    unsigned long sizes[2];
    struct ingress_row row = entry("203.0.113.0/24", &place);
    for (unsigned round = 0; round < 40; round++) {
        ok(store_begin(f->store, &note));
        for (unsigned i = 0; i < 1000; i++) {
            row.prefix.addr.bytes[0] = (uint8_t)(1 + i / 250);
            row.prefix.addr.bytes[1] = (uint8_t)(i % 250);
            row.packets = round;
            ok(store_put_ingress(f->store, &row, &note));
        }
        ok(store_commit(f->store, &note));
        if (round == 0 || round == 39)
            sizes[round > 0] =
                strtoul(ask(f->client, "SELECT pg_total_relation_size('penstock.ingress_entry')"),
                        NULL, 10);
    }
    /* Not by each round: forty times. Somebody's snapshot, autovacuum's too, keeps a round or two.
     */
    assert_in_range(sizes[1], sizes[0], 4 * sizes[0]);
    assert_string_equal(ask(f->client, "SELECT count(*), min(packets) FROM penstock.ingress_entry"),
                        "1000|39");
}

/* Rows that go to the database before the commit: some hundred KiB of two tables, with statements
 * in between. 0, or the first failure. */
static int try_a_stream(struct store *s, uint64_t events)
{
    int err = store_begin(s, &note);
    for (uint64_t i = 1; err == 0 && i <= events; i++) {
        struct event e =
            i % 4 == 0 ? drop(i, "203.0.113.9", "198.51.100.1") : tally(i, "203.0.113.0/24");
        struct sensor_row sensor = sensor_row("ams1", i);
        err = store_put_event(s, "ams1", "AMS", &e, &note);
        if (err == 0 && i % 1500 == 0)
            err = store_put_sensor(s, &sensor, &note);
    }
    return err;
}

static const char streamed[] = "SELECT count(*), count(DISTINCT event_seq), max(event_seq) FROM"
                               " (SELECT event_seq FROM penstock.ingress_tally UNION ALL"
                               "  SELECT event_seq FROM penstock.penny_drop_entry) AS rows";

#define STREAM_EVENTS 10000
#define STREAM_ALL    "10000|10000|10000"

static void rows_on_their_way_before_the_commit_are_seen_with_it_and_each_once(void **state)
{
    struct fixture *f = *state;
    ok(try_a_stream(f->store, STREAM_EVENTS));
    assert_string_equal(ask(f->client, streamed), "0|0|~");
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, streamed), STREAM_ALL);
}

static void rows_on_their_way_are_taken_back_by_a_rollback(void **state)
{
    struct fixture *f = *state;
    ok(try_a_stream(f->store, STREAM_EVENTS));
    store_rollback(f->store);
    assert_string_equal(ask(f->client, streamed), "0|0|~");
    ok(try_a_stream(f->store, STREAM_EVENTS));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, streamed), STREAM_ALL);
}

static void a_connection_killed_while_rows_are_on_their_way_leaves_none(void **state)
{
    struct fixture *f = *state;
    for (uint64_t events = 500; events <= STREAM_EVENTS; events += 1900) {
        ok(try_a_stream(f->store, events));
        kill_the_store_s_connection(f);
        assert_int_equal(store_commit(f->store, &note), ERR_DATABASE);
        assert_string_equal(ask(f->client, streamed), "0|0|~");
    }
    ok(try_a_stream(f->store, STREAM_EVENTS));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, streamed), STREAM_ALL);
}

/* The database's word comes late, and must still fail the transaction that the row is in. */
static void a_row_that_the_database_refuses_on_its_way_fails_the_transaction(void **state)
{
    struct fixture *f = *state;
    for (uint64_t refused = 1; refused <= STREAM_EVENTS; refused += 3332) {
        char constraint[160];
        snprintf(constraint, sizeof constraint,
                 "ALTER TABLE penstock.ingress_tally ADD CONSTRAINT refuse CHECK (event_seq <> %d)",
                 (int)refused);
        sql(f->client, constraint);
        int err = try_a_stream(f->store, STREAM_EVENTS);
        if (err == 0)
            err = store_commit(f->store, &note);
        assert_int_equal(err, ERR_DATA);
        assert_non_null(strstr(note.text, "refuse"));
        assert_string_equal(ask(f->client, streamed), "0|0|~");
        sql(f->client, "ALTER TABLE penstock.ingress_tally DROP CONSTRAINT refuse");
    }
    ok(try_a_stream(f->store, STREAM_EVENTS));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, streamed), STREAM_ALL);
}

static void a_load_over_a_dying_connection_fails_and_the_next_works(void **state)
{
    struct fixture *f = *state;
    struct sensor_row row = sensor_row("ams1", 1);
    struct loaded l = {0};
    put_sensor(f, &row);
    fault.onlooker = f->client;
    fault.kill_before = 1;
    int err = store_load_sensors(f->store, keep_sensor, &l, &note);
    memset(&fault, 0, sizeof fault);
    assert_int_equal(err, ERR_DATABASE);
    assert_int_equal(l.count, 0);
    ok(store_load_sensors(f->store, keep_sensor, &l, &note));
    assert_int_equal(l.count, 1);
}

/* ---- one writer ---- */

/* That setting of the store's session, as a statement of it meets it. */
static const char *setting_of_the_session(struct fixture *f, const char *name)
{
    char text[512];
    snprintf(text, sizeof text,
             "CREATE TABLE seen (setting text); GRANT INSERT ON seen TO PUBLIC;"
             "CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             " INSERT INTO public.seen VALUES (current_setting('%s'));"
             " RETURN NEW; END $$;"
             "CREATE TRIGGER t BEFORE INSERT ON penstock.sensor FOR EACH ROW"
             " EXECUTE FUNCTION note_setting()",
             name);
    sql(f->client, text);
    struct sensor_row row = sensor_row("ams1", 1);
    put_sensor(f, &row);
    return ask(f->client, "SELECT setting FROM seen");
}

static void one_collector_writes_and_the_next_takes_over_when_its_session_ends(void **state)
{
    struct fixture *f = *state;
    struct store *other = store_of(f, "collector");
    char holder[64];
    ok(store_load_begin(f->store, &note));
    snprintf(holder, sizeof holder, "server process %d,", PQbackendPID(fault.seen));
    assert_int_equal(store_claim(other, &note), ERR_BUSY);
    assert_non_null(strstr(note.text, "penstock-collector, "));
    assert_non_null(strstr(note.text, holder));
    assert_int_equal(store_load_begin(other, &note), ERR_BUSY);
    assert_int_equal(store_begin(other, &note), ERR_BUSY);
    ok(store_begin(f->store, &note)); /* who holds it is not disturbed */
    ok(store_commit(f->store, &note));
    store_close(f->store);
    f->store = other;
    for (int i = 0; store_claim(other, &note) == ERR_BUSY && i < 500; i++)
        poll(NULL, 0, 10); /* until the server has noticed the other's end */
    ok(store_load_begin(other, &note));
    ok(store_begin(other, &note));
    ok(store_commit(other, &note));
}

static void who_lost_its_session_to_another_collector_writes_nothing(void **state)
{
    struct fixture *f = *state;
    struct sensor_row row = sensor_row("ams1", 5);
    put_sensor(f, &row);
    kill_the_store_s_connection(f);
    struct store *other = store_of(f, "collector");
    ok(store_load_begin(other, &note));
    assert_int_equal(store_begin(f->store, &note), ERR_BUSY);
    store_close(other);
    for (int i = 0; store_claim(f->store, &note) == ERR_BUSY && i < 500; i++)
        poll(NULL, 0, 10);
    assert_int_equal(store_begin(f->store, &note), ERR_DATABASE); /* the other took a turn */
    ok(store_load_begin(f->store, &note));
    put_sensor(f, &row);
}

/* The network between is gone: the server's end of the connection lives on, ours is broken. */
static void a_former_session_of_ours_that_the_server_holds_for_alive_is_ended(void **state)
{
    struct fixture *f = *state;
    struct sensor_row row = sensor_row("ams1", 5);
    int dead[2];
    put_sensor(f, &row);
    int ours = PQsocket(fault.seen), servers = dup(ours);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, dead), 0);
    close(dead[1]);
    assert_int_equal(dup2(dead[0], ours), ours);
    close(dead[0]);
    put_sensor(f, &row);
    assert_string_equal(ask(f->client, "SELECT count(*) FROM pg_stat_activity WHERE"
                                       " usename = 'collector' AND datname = current_database()"),
                        "1");
    close(servers);
}

static void a_statement_of_a_collector_that_is_gone_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(setting_of_the_session(f, "client_connection_check_interval"), "5s");
}

static void a_role_that_may_only_read_is_refused_before_anything_is_loaded(void **state)
{
    struct fixture *f = *state;
    struct note why = {0};
    struct store *s = store_of(f, "reader");
    assert_int_equal(store_load_begin(s, &why), ERR_DATABASE);
    assert_non_null(strstr(why.text, "may read, but not write"));
    assert_non_null(strstr(why.text, "penstock_collector"));
    assert_false(store_is_away(s));
    store_close(s);
}

/* As a member of pg_read_all_data may. */
static void so_is_one_that_may_read_the_collector_s_own_tables(void **state)
{
    struct fixture *f = *state;
    sql(f->client, "GRANT SELECT ON penstock.collector_turn TO reader");
    a_role_that_may_only_read_is_refused_before_anything_is_loaded(state);
}

static void wait_until_somebody_waits_for_a_lock(PGconn *c)
{
    for (int i = 0; i < 1000; i++) {
        if (strcmp(ask(c, "SELECT count(*) FROM pg_locks WHERE NOT granted"), "0") != 0)
            return;
        poll(NULL, 0, 10);
    }
    fail_msg("nobody waits");
}

/* In a process of its own: begins; exits with 0 when that was refused because of the other. */
static _Noreturn void expect_refusal(const struct store_conf *conf, int ready, int go)
{
    struct store *s;
    struct note why = {0};
    char byte;
    if (store_open(conf, &s, NULL) != 0 || store_load_begin(s, NULL) != 0 ||
        write(ready, "r", 1) != 1 || read(go, &byte, 1) != 1)
        _exit(1);
    if (store_begin(s, &why) != ERR_DATABASE || strstr(why.text, "somebody else wrote") == NULL)
        _exit(2);
    if (store_begin(s, &why) != ERR_DATABASE) /* not before it has loaded again */
        _exit(3);
    if (store_load_begin(s, NULL) != 0 || store_begin(s, &why) != 0 || store_commit(s, &why) != 0)
        _exit(4);
    _exit(0);
}

/* The guard behind the lock: a COMMIT of a former session may still be under way. */
static void who_read_before_another_s_commit_waits_and_must_read_again(void **state)
{
    struct fixture *f = *state;
    int ready[2], go[2], status;
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0)
        expect_refusal(&f->conf, ready[1], go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    sql(f->client, "BEGIN; UPDATE penstock.collector_turn SET turns = turns + 1");
    assert_int_equal(write(go[1], "g", 1), 1);
    PGconn *onlooker = client_open(f->database);
    wait_until_somebody_waits_for_a_lock(onlooker);
    sql(f->client, "COMMIT");
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    PQfinish(onlooker);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
}

/* As after a failover to a standby that had not the last turn, and one of another collector. */
static void as_many_turns_of_somebody_else_are_not_taken_for_ours(void **state)
{
    struct fixture *f = *state;
    struct sensor_row row = sensor_row("ams1", 5);
    put_sensor(f, &row);
    sql(f->client, "UPDATE penstock.collector_turn SET at = at - interval '1 s'");
    assert_int_equal(store_begin(f->store, &note), ERR_DATABASE);
    assert_non_null(strstr(note.text, "somebody else wrote"));
    ok(store_load_begin(f->store, &note));
    put_sensor(f, &row);
}

/* In a process of its own: runs the statement until it finds something; exits with 0 then. */
static pid_t repeat_until_true(struct fixture *f, const char *query, const char *then)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    PGconn *c = client_open(f->database);
    for (int i = 0; i < 1000; i++) {
        PGresult *res = PQexec(c, query);
        bool found = PQntuples(res) > 0;
        PQclear(res);
        if (found) {
            PQclear(PQexec(c, then));
            PQclear(PQexec(c, "SELECT pg_reload_conf()"));
            _exit(0);
        }
        poll(NULL, 0, 10);
    }
    _exit(1);
}

static void child_ended_well(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* statement_timeout cancels in the same way, after a minute. */
static void a_statement_that_is_cancelled_fails_the_transaction_and_the_next_works(void **state)
{
    struct fixture *f = *state;
    ok(store_load_begin(f->store, &note));
    sql(f->client, "BEGIN; UPDATE penstock.collector_turn SET at = at");
    pid_t child = repeat_until_true(
        f, "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted", "SELECT 1");
    assert_int_equal(store_begin(f->store, &note), ERR_DATABASE);
    assert_non_null(strstr(note.text, "57014"));
    assert_true(store_is_away(f->store));
    child_ended_well(child);
    sql(f->client, "ROLLBACK");
    put_everything(f);
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

#define WAITS_FOR_STANDBY "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

/* The rows are here, but an acknowledgement would promise that the standby has them. */
static void a_commit_that_did_not_wait_for_its_standby_is_a_failure(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    sql(f->client, "ALTER SYSTEM SET synchronous_standby_names = 'a_standby'");
    sql(f->client, "SELECT pg_reload_conf()");
    poll(NULL, 0, 300); /* all processes read it */
    pid_t child =
        repeat_until_true(f, "SELECT pg_cancel_backend(pid) " WAITS_FOR_STANDBY, "SELECT 1");
    int err = store_commit(f->store, &note);
    child_ended_well(child);
    assert_int_equal(err, ERR_DATABASE);
    assert_non_null(strstr(note.text, "standby"));
    /* nor is it read again, to be told to a sensor, before a standby has it */
    child = repeat_until_true(f, "SELECT 1 " WAITS_FOR_STANDBY,
                              "ALTER SYSTEM RESET synchronous_standby_names");
    err = store_load_begin(f->store, &note);
    child_ended_well(child);
    assert_int_equal(err, 0);
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void a_writer_that_rolled_back_leaves_the_turn_as_it_was(void **state)
{
    struct fixture *f = *state;
    ok(store_load_begin(f->store, &note));
    ok(store_begin(f->store, &note));
    store_rollback(f->store);
    ok(store_begin(f->store, &note));
    ok(store_commit(f->store, &note)); /* its own commits are no surprise to it */
    ok(store_begin(f->store, &note));
    ok(store_commit(f->store, &note));
}

static void rows_that_libpq_does_not_take_fail_the_transaction(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    fault.refuse_copy_data = true;
    int err = store_commit(f->store, &note);
    memset(&fault, 0, sizeof fault);
    assert_int_equal(err, ERR_DATABASE);
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
    put_everything(f);
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void a_commit_that_the_server_answers_with_rollback_is_a_failure(void **state)
{
    struct fixture *f = *state;
    put_everything(f);
    fault.commit_rolls_back = true;
    int err = store_commit(f->store, &note);
    memset(&fault, 0, sizeof fault);
    assert_int_equal(err, ERR_DATABASE);
    put_everything(f);
    ok(store_commit(f->store, &note));
}

static void after_a_failure_puts_and_commit_are_refused_until_the_next_begin(void **state)
{
    struct fixture *f = *state;
    struct sensor_row row = sensor_row("ams1", 1);
    ok(store_begin(f->store, &note));
    ok(store_put_sensor(f->store, &row, &note));
    struct alert_row bad = alert(1);
    snprintf(bad.severity, sizeof bad.severity, "panic"); /* the CHECK refuses it */
    assert_int_equal(store_put_alert(f->store, &bad, true, &note), ERR_DATA);
    assert_non_null(strstr(note.text, "23514"));
    assert_int_equal(store_put_sensor(f->store, &row, &note), ERR_DATABASE);
    assert_int_equal(store_commit(f->store, &note), ERR_DATABASE);
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
    ok(store_begin(f->store, &note));
    ok(store_put_sensor(f->store, &row, &note));
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, "SELECT count(*) FROM penstock.sensor"), "1");
}

static void a_copy_that_fails_takes_the_whole_transaction_with_it(void **state)
{
    struct fixture *f = *state;
    sql(f->client, "ALTER TABLE penstock.ingress_tally ADD CHECK (packets < 10)");
    put_everything(f);
    assert_int_equal(store_commit(f->store, &note), ERR_DATA);
    assert_non_null(strstr(note.text, "23514"));
    assert_string_equal(ask(f->client, all_rows), "0|0|0|0|0|0|0");
    sql(f->client,
        "ALTER TABLE penstock.ingress_tally DROP CONSTRAINT ingress_tally_packets_check");
    put_everything(f);
    ok(store_commit(f->store, &note));
    assert_string_equal(ask(f->client, all_rows), "1|1|1|1|1|1|1");
}

static void the_session_commits_to_disk_even_where_the_server_s_default_does_not(void **state)
{
    struct fixture *f = *state; /* the cluster runs with synchronous_commit=off */
    assert_string_equal(ask(f->client, "SHOW synchronous_commit"), "off");
    assert_string_equal(setting_of_the_session(f, "synchronous_commit"), "on");
}

static void after_the_map_was_read_statements_have_their_limit_again(void **state)
{
    struct fixture *f = *state;
    struct loaded l = {0};
    ok(store_load_ingress(f->store, keep_entry, &l, &note));
    assert_string_equal(setting_of_the_session(f, "statement_timeout"), "1min");
}

/* ---- notifications ---- */

/* Notifications on the channel within wait_ms; the last payload is copied. */
static unsigned notifications(PGconn *c, int wait_ms, char payload[static 32])
{
    unsigned n = 0;
    struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
    while (poll(&p, 1, n == 0 ? wait_ms : 200) > 0 && PQconsumeInput(c) == 1)
        for (PGnotify *got; (got = PQnotifies(c)) != NULL; n++, PQfreemem(got))
            snprintf(payload, 32, "%s", got->extra);
    return n;
}

static void an_announced_alert_notifies_once_after_the_commit(void **state)
{
    struct fixture *f = *state;
    char payload[32] = "";
    struct alert_row row = alert(77);
    sql(f->client, "LISTEN penstock_alert");
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, true, &note));
    assert_int_equal(notifications(f->client, 300, payload), 0);
    ok(store_commit(f->store, &note));
    assert_int_equal(notifications(f->client, 5000, payload), 1);
    assert_string_equal(payload, "77");
}

static void neither_a_rollback_nor_an_unannounced_alert_notifies(void **state)
{
    struct fixture *f = *state;
    char payload[32] = "";
    struct alert_row row = alert(78);
    sql(f->client, "LISTEN penstock_alert");
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, true, &note));
    store_rollback(f->store);
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, &row, false, &note));
    ok(store_commit(f->store, &note));
    assert_int_equal(notifications(f->client, 300, payload), 0);
}

static void put_alert(struct fixture *f, const struct alert_row *row, bool announce)
{
    ok(store_begin(f->store, &note));
    ok(store_put_alert(f->store, row, announce, &note));
    ok(store_commit(f->store, &note));
}

static void what_a_human_says_stands_until_the_alert_s_end_and_is_not_announced(void **state)
{
    struct fixture *f = *state;
    static const char said[] = "SELECT state, acknowledged_by FROM penstock.alert";
    char payload[32] = "";
    struct alert_row row = alert(79);
    row.state = ALERT_PENDING;
    put_alert(f, &row, true);
    sql(f->client, "UPDATE penstock.alert SET state = 'acknowledged', acknowledged_by = 'ann'");
    sql(f->client, "LISTEN penstock_alert");
    row.state = ALERT_FIRING; /* the hold-down passed; the collector knows of no human */
    put_alert(f, &row, true);
    assert_int_equal(notifications(f->client, 300, payload), 0);
    assert_string_equal(ask(f->client, said), "acknowledged|ann");
    row.state = ALERT_ACKNOWLEDGED; /* as loaded after a restart */
    row.words = 1;
    snprintf(row.acknowledged_by, sizeof row.acknowledged_by, "ann");
    sql(f->client, "UPDATE penstock.alert SET state = 'firing', acknowledged_by = NULL");
    put_alert(f, &row, false);
    assert_string_equal(ask(f->client, said), "firing|~");
    sql(f->client, "UPDATE penstock.alert SET state = 'suppressed', acknowledged_by = 'bob'");
    row.state = ALERT_RESOLVED;
    row.resolved_at = NOV2026 + 2 * SECOND;
    put_alert(f, &row, true);
    assert_int_equal(notifications(f->client, 5000, payload), 1);
    assert_string_equal(ask(f->client, said), "resolved|bob");
}

static void an_announced_state_stands_in_the_journal_with_the_whole_alert(void **state)
{
    struct fixture *f = *state;
    struct alert_row row = alert(80);
    put_alert(f, &row, true);
    put_alert(f, &row, false); /* new evidence, no new state */
    row.state = ALERT_RESOLVED;
    row.updated_at = row.resolved_at = NOV2026 + 2 * SECOND;
    put_alert(f, &row, true);
    assert_string_equal(
        ask(f->client, "SELECT alert_id, at, state, document->>'state', document->>'prefix',"
                       " document->'evidence'->>'drops', document->>'resolved_at'"
                       " FROM penstock.alert_event ORDER BY event_id"),
        "80|2026-11-21 09:00:01+00|firing|firing|2001:db8:77::/48|12|~\n"
        "80|2026-11-21 "
        "09:00:02+00|resolved|resolved|2001:db8:77::/48|12|2026-11-21T09:00:02+00:00");
    assert_string_equal(ask(f->client, "SELECT (SELECT array_agg(k ORDER BY k) FROM"
                                       " jsonb_object_keys(document) AS k) ="
                                       " (SELECT array_agg(column_name::text ORDER BY"
                                       " column_name::text) FROM information_schema.columns"
                                       " WHERE table_schema = 'penstock' AND table_name = 'alert'"
                                       " AND column_name <> 'words')"
                                       " FROM penstock.alert_event LIMIT 1"),
                        "t");
}

static void the_collector_s_state_is_written_once_it_heard_the_word(void **state)
{
    struct fixture *f = *state;
    static const char said[] = "SELECT state, words FROM penstock.alert";
    struct alert_row row = alert(81);
    row.state = ALERT_SUPPRESSED; /* by a window: no word of a person */
    put_alert(f, &row, true);
    row.state = ALERT_FIRING; /* the window is over */
    put_alert(f, &row, true);
    assert_string_equal(ask(f->client, said), "firing|0");
    sql(f->client, "UPDATE penstock.alert SET state = 'acknowledged', acknowledged_by = 'ann'");
    row.state = ALERT_SUPPRESSED;
    put_alert(f, &row, true);
    assert_string_equal(ask(f->client, said), "acknowledged|1");
    row.words = 1;
    put_alert(f, &row, true);
    assert_string_equal(ask(f->client, said), "suppressed|1");
}

static void people_s_words_and_windows_are_told_the_collector_s_own_are_not(void **state)
{
    struct fixture *f = *state;
    char payload[32] = "";
    PGconn *person = client_open(f->database);
    struct alert_row row = alert(82);
    sql(f->client, "LISTEN penstock_alert_word");
    row.state = ALERT_PENDING;
    put_alert(f, &row, true);
    row.state = ALERT_FIRING;
    put_alert(f, &row, true);
    assert_int_equal(notifications(f->client, 300, payload), 0);
    sql(person, "UPDATE penstock.alert SET state = 'suppressed', acknowledged_by = 'ann'");
    assert_int_equal(notifications(f->client, 5000, payload), 1);
    assert_string_equal(payload, "82");
    sql(person, "INSERT INTO penstock.maintenance (starts_at, ends_at, pop, why)"
                " VALUES (now(), now() + interval '1 h', 'AMS', 'new line card')");
    assert_int_equal(notifications(f->client, 5000, payload), 1);
    assert_string_equal(payload, "maintenance");
    PQfinish(person);
}

static void a_person_neither_ends_an_alert_nor_wakes_one_that_is_over(void **state)
{
    struct fixture *f = *state;
    struct alert_row row = alert(83);
    put_alert(f, &row, true);
    assert_string_equal(refusal(f->client, "UPDATE penstock.alert SET state = 'resolved'"),
                        "23514");
    row.state = ALERT_RESOLVED;
    row.resolved_at = NOV2026 + 2 * SECOND;
    put_alert(f, &row, true);
    assert_string_equal(refusal(f->client, "UPDATE penstock.alert SET state = 'firing'"), "23514");
}

static int cluster_up(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_WARN); /* each test applies the schema: no line for each step */
    if (pg_start(&pg) != 0)
        return -1;
    PGconn *c = client_open("postgres");
    sql(c, "ALTER SYSTEM SET autovacuum = off"); /* 85 databases would keep it busy */
    sql(c, "SELECT pg_reload_conf()");
    sql(c, "CREATE ROLE owner LOGIN CREATEROLE; CREATE ROLE collector LOGIN;"
           "CREATE ROLE reader LOGIN");
    PQfinish(c);
    return 0;
}

static int cluster_down(void **state)
{
    (void)state;
    pg_stop(&pg);
    return access(pg.dir, F_OK) != 0 ? 0 : -1; /* it must be gone */
}

#define on_empty(test)  cmocka_unit_test_setup_teardown(test, empty_setup, teardown)
#define on_schema(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_empty(migrations_apply_once_and_record_themselves),
        on_empty(concurrent_migrations_apply_each_step_once),
        on_schema(a_newer_database_is_refused),
        on_schema(an_edited_step_is_noticed),
        on_empty(a_failed_step_leaves_nothing_behind),
        cmocka_unit_test(no_error_of_connecting_shows_a_password),
        on_empty(a_password_that_the_server_refuses_is_not_shown),
        on_empty(who_does_not_own_the_schema_is_told_who_must_migrate),
        on_schema(who_does_not_own_the_schema_makes_partitions_ahead_nevertheless),
        on_schema(the_collector_s_role_has_what_it_needs_and_no_more),
        on_schema(partitions_are_made_of_event_tables_only),
        on_schema(a_reader_reads_what_is_for_reports_and_writes_nothing),
        on_schema(roles_that_are_made_later_are_granted_their_rights_by_the_owner),
        on_empty(what_a_superuser_migrates_belongs_to_the_schema_s_owner),
        on_schema(every_contract_relation_has_exactly_its_columns),
        on_schema(contract_columns_have_the_contract_s_types),
        on_schema(every_object_and_column_has_a_comment),
        on_schema(event_tables_have_brin_but_no_unique_index_and_no_default_partition),
        on_schema(tallies_of_both_families_come_back_as_they_were),
        on_schema(sensor_status_comes_back_as_it_was),
        on_schema(drops_of_both_families_come_back_as_they_were),
        on_schema(scan_windows_come_back_as_they_were),
        on_schema(passive_flows_of_both_families_come_back_as_they_were),
        on_schema(the_sums_of_a_passive_test_come_back_as_they_were),
        on_schema(a_flow_that_a_sensor_sends_again_after_a_rollback_is_one_row),
        on_schema(a_test_is_one_row_from_its_beginning_to_its_end),
        on_schema(a_test_whose_beginning_was_lost_is_stored_by_its_end),
        on_schema(what_a_sensor_may_say_never_fails_a_batch),
        on_schema(events_of_any_time_land_in_a_partition),
        on_schema(a_partition_that_a_rollback_undid_is_made_again),
        on_schema(a_month_that_was_taken_away_and_kept_is_made_again_beside_it),
        on_schema(partitions_of_this_month_and_the_next_are_made_ahead),
        on_schema(ten_thousand_events_in_one_transaction_all_arrive),
        on_schema(more_rows_than_the_buffer_holds_are_still_one_transaction),
        on_schema(a_sensor_is_loaded_as_it_was_put_last),
        on_schema(a_load_stops_at_the_first_refusal_and_the_store_stays_usable),
        on_schema(gaps_show_and_an_unknown_end_is_null),
        on_schema(map_entries_of_both_families_are_loaded_as_they_were_put),
        on_schema(a_notification_is_heard_once_and_only_on_our_channels),
        on_schema(a_session_that_ended_while_idle_is_noticed_by_listening),
        on_schema(an_entry_that_ended_is_deleted_and_its_neighbours_are_not),
        on_schema(the_last_of_several_rows_of_one_entry_wins),
        on_schema(an_entry_changes_in_place_over_transactions),
        on_schema(open_alerts_are_loaded_and_ended_ones_only_counted),
        on_schema(an_acknowledgement_by_sql_is_not_wiped_out),
        on_schema(alert_details_that_are_no_json_are_kept_as_a_string),
        on_schema(malformed_events_are_set_aside_with_their_bytes),
        on_schema(ingress_of_gives_all_places_of_the_longest_prefix),
        on_schema(ingress_of_answers_as_its_definition_does),
        on_schema(ingress_of_looks_up_in_the_key_s_order_and_else_in_the_sp_gist_index),
        on_schema(nothing_is_seen_before_the_commit_and_all_after_it),
        on_schema(a_rollback_leaves_nothing_and_forgets_what_waited),
        on_schema(a_connection_killed_midway_leaves_nothing_and_the_next_try_works),
        on_schema(a_connection_killed_while_idle_is_made_again_unseen),
        on_schema(a_connection_killed_before_any_call_never_leaves_half_a_transaction),
        on_schema(updating_the_whole_map_again_and_again_makes_it_hardly_larger),
        on_schema(rows_on_their_way_before_the_commit_are_seen_with_it_and_each_once),
        on_schema(rows_on_their_way_are_taken_back_by_a_rollback),
        on_schema(a_connection_killed_while_rows_are_on_their_way_leaves_none),
        on_schema(a_row_that_the_database_refuses_on_its_way_fails_the_transaction),
        on_schema(a_load_over_a_dying_connection_fails_and_the_next_works),
        on_schema(who_read_before_another_s_commit_waits_and_must_read_again),
        on_schema(one_collector_writes_and_the_next_takes_over_when_its_session_ends),
        on_schema(who_lost_its_session_to_another_collector_writes_nothing),
        on_schema(a_former_session_of_ours_that_the_server_holds_for_alive_is_ended),
        on_schema(a_statement_of_a_collector_that_is_gone_is_not_waited_for),
        on_schema(as_many_turns_of_somebody_else_are_not_taken_for_ours),
        on_schema(a_statement_that_is_cancelled_fails_the_transaction_and_the_next_works),
        on_schema(a_commit_that_did_not_wait_for_its_standby_is_a_failure),
        on_schema(a_writer_that_rolled_back_leaves_the_turn_as_it_was),
        on_schema(a_role_that_may_only_read_is_refused_before_anything_is_loaded),
        on_schema(so_is_one_that_may_read_the_collector_s_own_tables),
        on_schema(rows_that_libpq_does_not_take_fail_the_transaction),
        on_schema(a_commit_that_the_server_answers_with_rollback_is_a_failure),
        on_schema(after_a_failure_puts_and_commit_are_refused_until_the_next_begin),
        on_schema(a_copy_that_fails_takes_the_whole_transaction_with_it),
        on_schema(after_the_map_was_read_statements_have_their_limit_again),
        on_schema(the_session_commits_to_disk_even_where_the_server_s_default_does_not),
        on_schema(an_announced_alert_notifies_once_after_the_commit),
        on_schema(an_announced_state_stands_in_the_journal_with_the_whole_alert),
        on_schema(the_collector_s_state_is_written_once_it_heard_the_word),
        on_schema(people_s_words_and_windows_are_told_the_collector_s_own_are_not),
        on_schema(a_person_neither_ends_an_alert_nor_wakes_one_that_is_over),
        on_schema(what_a_human_says_stands_until_the_alert_s_end_and_is_not_announced),
        on_schema(neither_a_rollback_nor_an_unannounced_alert_notifies),
    };
    return cmocka_run_group_tests(tests, cluster_up, cluster_down);
}

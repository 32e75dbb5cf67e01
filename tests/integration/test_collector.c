/* The collector as a process, with a real PostgreSQL and a real publisher; whatever is killed in
 * between, each event counts exactly once. It runs as a role that is a member of
 * penstock_collector; the schema is another's. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "sensor/publish/publish.h"
#include "shared/base/clock.h"
#include "shared/wire/event.h"
#include "tests/support/keyring.h"
#include "tests/support/pg.h"

static struct pg pg;
static PGconn *sql;
static char folder[] = "/tmp/penstock-test-XXXXXX", conf_path[128], policy_path[128], endpoint[64];
static char told_path[128]; /* of a feed */
static pid_t collector;
static struct keyring keyring;
static struct ring ring;
static struct counters counters;
static struct publish *publish;

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static long number(const char *query)
{
    PGresult *res = PQexec(sql, query);
    if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
        fail_msg("%s: %s", query, PQerrorMessage(sql));
    long value = atol(PQgetvalue(res, 0, 0));
    PQclear(res);
    return value;
}

/* Waits until the query gives that number: at most two minutes. */
static void wait_for(const char *query, long value)
{
    long is = 0;
    for (int i = 0; i < 2400; i++) {
        is = number(query);
        if (is == value)
            return;
        sleep_ms(50);
    }
    fail_msg("%s: %ld, not %ld", query, is, value);
}

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void start_collector(void)
{
    collector = fork();
    if (collector == 0) {
        execl(PENSTOCK_COLLECTOR, "penstock-collector", "-c", conf_path, (char *)NULL);
        _exit(127);
    }
    assert_true(collector > 0);
}

static int stop_collector(int signal)
{
    int status = 0;
    kill(collector, signal);
    assert_int_equal(waitpid(collector, &status, 0), collector);
    collector = 0;
    return status;
}

/* Runs the program to its end with up to three arguments, silently; its exit status. */
static int exit_of(const char *a, const char *b, const char *c)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execl(PENSTOCK_COLLECTOR, "penstock-collector", a, b, c, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A port that nobody has: the collector must come back at the same one. */
static void choose_endpoint(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", ntohs(in.sin_port));
}

static int set_up_all(void **state)
{
    (void)state;
    if (pg_start(&pg) != 0 || mkdtemp(folder) == NULL)
        return -1;
    snprintf(conf_path, sizeof conf_path, "%s/collector.yaml", folder);
    snprintf(policy_path, sizeof policy_path, "%s/expected.yaml", folder);
    snprintf(told_path, sizeof told_path, "%s/told.jsonl", folder);
    choose_endpoint();
    keyring_open(&keyring);
    char text[2048];
    snprintf(text, sizeof text,
             "collector: {listen: \"%s\", certificate: %s, sensors: %s}\n"
             "database: {dsn: \"%s user=collector\", owner_dsn: \"%s user=owner\"}\n"
             "policy: {file: %s}\n"
             "alerts: {hold_down: 1s, feeds: [{type: jsonl, path: %s, from: start}]}\n"
             "roster: {silent_after: 2s}\n"
             "http: {listen: \"\"}\n"
             "log: {level: error}\n",
             endpoint, keyring.certificate, keyring.sensors, pg.dsn, pg.dsn, policy_path,
             told_path);
    write_file(conf_path, text);
    write_file(policy_path, "- {prefix: 203.0.113.0/24, ingress: [{pop: FRA}]}\n"
                            "- {prefix: 198.51.100.0/24, ingress: [{pop: FRA}]}\n");
    sql = PQconnectdb(pg.dsn);
    PQclear(PQexec(sql, "CREATE ROLE owner LOGIN CREATEROLE; CREATE ROLE collector LOGIN;"
                        "GRANT CREATE ON DATABASE penstock TO owner"));
    return PQstatus(sql) == CONNECTION_OK ? 0 : -1;
}

static int tear_down_all(void **state)
{
    (void)state;
    if (collector > 0)
        stop_collector(SIGKILL);
    keyring_close(&keyring);
    PQfinish(sql);
    pg_stop(&pg);
    unlink(conf_path);
    unlink(policy_path);
    unlink(told_path);
    return rmdir(folder);
}

static void start_publisher_of(const char *sensor, const char *pop)
{
    static struct ring *rings[] = {&ring};
    struct publish_conf conf = {.driver = "pcap",
                                .keep_bytes = 16 << 20,
                                .linger_ns = 5 * NS_PER_MS,
                                .stop_wait_ns = 20 * NS_PER_S};
    struct note note = {0};
    snprintf(conf.endpoint, sizeof conf.endpoint, "%s", endpoint);
    snprintf(conf.sensor, sizeof conf.sensor, "%s", sensor);
    snprintf(conf.pop, sizeof conf.pop, "%s", pop);
    snprintf(conf.certificate, sizeof conf.certificate, "%.255s",
             keyring_sensor(&keyring, sensor, pop));
    snprintf(conf.server, sizeof conf.server, "%s", keyring.server);
    assert_int_equal(ring_init(&ring, sizeof(struct event), 1024), 0);
    assert_int_equal(publish_open(&conf, rings, 1, &counters, &publish, &note), 0);
}

static void push(const struct event *e)
{
    struct event *slot;
    while ((slot = ring_claim(&ring)) == NULL)
        sleep_ms(1);
    *slot = *e;
    slot->at = clock_wall_ns();
    ring_publish(&ring);
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void push_tally(const char *src)
{
    struct event e = {.type = EVENT_tally};
    e.tally.ended_at = clock_wall_ns();
    e.tally.started_at = e.tally.ended_at - (int64_t)NS_PER_S;
    e.tally.prefix = prefix(src);
    e.tally.packets = 1;
    e.tally.bytes = 100;
    push(&e);
}

static void push_verdict(const char *src, uint8_t verdict, double probability, uint8_t id)
{
    struct event e = {.type = EVENT_test_ended};
    e.test_ended.test_id[0] = id;
    e.test_ended.ended_at = clock_wall_ns();
    e.test_ended.started_at = e.test_ended.ended_at - (int64_t)NS_PER_S;
    e.test_ended.prefix = prefix(src);
    e.test_ended.verdict = verdict;
    e.test_ended.genuine_probability = probability;
    push(&e);
}

/* A sensor in a process of its own, with a test under way; to be killed. Only before this process
 * has a publisher: its threads would not be in the child. */
static pid_t start_sensor(const char *sensor, const char *pop)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    struct event e = {.type = EVENT_test_started};
    e.test_started.prefix = prefix("192.0.2.0/24");
    start_publisher_of(sensor, pop);
    push_tally("192.0.2.0/24");
    push(&e);
    pause();
    _exit(0);
}

static void kill_sensor(pid_t sensor)
{
    kill(sensor, SIGKILL);
    assert_int_equal(waitpid(sensor, NULL, 0), sensor);
}

#define SENSORS(where) "SELECT count(*) FROM penstock.sensor WHERE name = 'fra1' AND " where
#define TESTING        "SELECT count(*) FROM penstock.ingress_of('192.0.2.1') WHERE state = 'testing'"

static void a_killed_sensor_is_silent_and_its_next_run_notes_the_gap(void **state)
{
    (void)state;
    start_collector();
    pid_t sensor = start_sensor("fra1", "FRA");
    wait_for(SENSORS("state = 'up' AND last_seq = 3"), 1);
    assert_int_equal(number(TESTING), 1);
    kill_sensor(sensor);
    wait_for(SENSORS("state = 'silent'"), 1);
    assert_int_equal(number(TESTING), 0);
    assert_int_equal(number("SELECT count(*) FROM penstock.sensor_gap"), 0); /* it may be back */
    sensor = start_sensor("fra1", "FRA");
    wait_for(SENSORS("state = 'up' AND last_seq = 3"), 1);
    assert_int_equal(number("SELECT count(*) FROM penstock.sensor_gap WHERE sensor = 'fra1' AND"
                            " from_seq = 4 AND to_seq IS NULL"),
                     1);
    assert_int_equal(number("SELECT sum(packets) FROM penstock.ingress_map"), 2);
    kill_sensor(sensor);
    stop_collector(SIGTERM);
    PQclear(PQexec(sql, "TRUNCATE penstock.sensor, penstock.sensor_gap_entry,"
                        " penstock.ingress_entry, penstock.ingress_tally,"
                        " penstock.penny_test_entry"));
}

/* Until it takes events: a collector that cannot even start ends, and who started it starts it
 * again; that is not what is tested here. */
static void wait_for_progress(void)
{
    long before = number("SELECT coalesce(max(last_seq), 0) FROM penstock.sensor");
    char query[128];
    snprintf(query, sizeof query,
             "SELECT (coalesce(max(last_seq), 0) > %ld)::int FROM penstock.sensor", before);
    push_tally("192.0.2.0/24");
    wait_for(query, 1);
}

static void break_something(int round)
{
    wait_for_progress();
    if (round % 2 == 0) {
        stop_collector(SIGKILL);
        start_collector();
        return;
    }
    for (int i = 0; i < 100; i++) { /* some of them in the middle of a transaction */
        push_tally("192.0.2.0/24");
        number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
               " WHERE application_name = 'penstock-collector' AND state <> 'idle'");
    }
}

static void the_exit_status_tells_who_must_act(void **state)
{
    (void)state;
    char conf[160];
    snprintf(conf, sizeof conf, "--config=%s", conf_path);
    assert_int_equal(exit_of("--explain", NULL, NULL), 0);
    assert_int_equal(exit_of("--help", NULL, NULL), 0);
    assert_int_equal(exit_of("--version", NULL, NULL), 0);
    assert_int_equal(exit_of(conf, "--check", NULL), 0);
    assert_int_equal(exit_of(NULL, NULL, NULL), 2);
    assert_int_equal(exit_of("--no-such-option", NULL, NULL), 2);
    assert_int_equal(exit_of(conf, "--check", "--set=map.max_rows=none"), 2);
    assert_int_equal(exit_of(conf, "--check", "--set=policy.file=/nowhere/expected.yaml"), 2);
    assert_int_equal(exit_of(conf, "--check", "--set=database.dsn=not a DSN"), 2);
    assert_int_equal(exit_of(conf, "--migrate", "--set=database.owner_dsn=host=/nowhere"), 1);
    assert_int_equal(exit_of(conf, NULL, NULL), 1); /* it may not make the schema */
}

/* What the file has so far; nothing before it is there. */
static void read_start(const char *path, char *out, size_t room)
{
    FILE *in = fopen(path, "r");
    size_t len = in != NULL ? fread(out, 1, room - 1, in) : 0;
    if (in != NULL)
        fclose(in);
    out[len] = '\0';
}

static void without_a_database_it_waits_and_ends_cleanly_when_told_to(void **state)
{
    (void)state;
    int status;
    char log[160], line[1024] = "";
    snprintf(log, sizeof log, "%s/log", folder);
    collector = fork();
    if (collector == 0) {
        dup2(open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        execl(PENSTOCK_COLLECTOR, "penstock-collector", "-c", conf_path, "--set=log.level=info",
              "--set=database.dsn=host=/nowhere password=hunter2", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1200 && strstr(line, "event=waiting") == NULL; i++, sleep_ms(50))
        read_start(log, line, sizeof line);
    sleep_ms(2500); /* more than two attempts */
    assert_int_equal(waitpid(collector, &status, WNOHANG), 0);
    status = stop_collector(SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    read_start(log, line, sizeof line);
    unlink(log);
    const char *said = strstr(line, "event=waiting for=database reason=");
    assert_non_null(said);
    assert_null(strstr(said + 1, "event=waiting")); /* once, not every second */
    assert_non_null(strstr(line, "event=stopped reason=SIGTERM"));
    assert_null(strstr(line, "hunter2"));
}

static void migrating_twice_is_migrating_once(void **state)
{
    (void)state;
    assert_int_equal(exit_of("-c", conf_path, "--migrate"), 0);
    long steps = number("SELECT count(*) FROM penstock.schema_version");
    assert_int_equal(exit_of("-c", conf_path, "--migrate"), 0);
    assert_int_equal(number("SELECT count(*) FROM penstock.schema_version"), steps);
    PQclear(PQexec(sql, "GRANT penstock_collector TO collector"));
}

#define BREAKS  8
#define STREAM  20000
#define TALLIES (STREAM + BREAKS + BREAKS / 2 * 100) /* and what is pushed while it breaks */

static void each_event_counts_once_whatever_is_killed(void **state)
{
    (void)state;
    start_publisher_of("ams1", "AMS"); /* before there is a collector: it waits */
    start_collector();
    wait_for("SELECT count(*) FROM pg_class WHERE oid = to_regclass('penstock.alert')", 1);
    for (int i = 0; i < STREAM; i++) {
        push_tally(i % 3 == 0 ? "2001:db8::/48" : "192.0.2.0/24");
        if (i % 2500 == 2499)
            break_something(i / 2500);
    }
    wait_for("SELECT count(*) FROM penstock.ingress_tally", TALLIES);
    assert_int_equal(number("SELECT count(DISTINCT event_seq) FROM penstock.ingress_tally"),
                     TALLIES);
    wait_for("SELECT sum(packets) FROM penstock.ingress_map", TALLIES); /* written a little later */
    assert_int_equal(number("SELECT sum(bytes) FROM penstock.ingress_map"), 100 * TALLIES);
    assert_int_equal(number("SELECT count(*) FROM penstock.sensor_gap"), 0);
    assert_int_equal(number("SELECT last_seq FROM penstock.sensor"), TALLIES + 1);
}

#define SESSIONS                            \
    "SELECT count(*) FROM pg_stat_activity" \
    " WHERE application_name = 'penstock-collector'"

static void a_second_collector_stands_by_and_takes_over_when_the_first_is_killed(void **state)
{
    (void)state;
    pid_t first = collector;
    start_collector();
    pid_t second = collector;
    wait_for(SESSIONS, 2);
    start_collector(); /* a third one, to be ended while it waits */
    wait_for(SESSIONS, 3);
    int status = stop_collector(SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    wait_for_progress(); /* nobody who waits disturbs the one who writes */
    collector = first;
    stop_collector(SIGKILL);
    collector = second;
    wait_for_progress();
    wait_for(SESSIONS, 1);
    long tallies = number("SELECT count(*) FROM penstock.ingress_tally");
    assert_int_equal(number("SELECT count(DISTINCT event_seq) FROM penstock.ingress_tally"),
                     tallies);
    wait_for("SELECT sum(packets) FROM penstock.ingress_map", tallies);
}

/* Of the kind that these tests are about: that a killed sensor was silent is an alert, too. */
#define THIS_KIND     "kind = 'ingress_unexpected'"
#define ALERTS(where) "SELECT count(*) FROM penstock.alert WHERE " THIS_KIND " AND " where

static void genuine_traffic_at_the_wrong_place_is_told_and_spoofed_is_not(void **state)
{
    (void)state;
    push_verdict("203.0.113.0/24", VERDICT_GENUINE, 0.99, 1);
    push_verdict("198.51.100.0/24", VERDICT_SPOOFED, 0.01, 2);
    wait_for(ALERTS("state = 'firing' AND prefix = '203.0.113.0/24' AND pop = 'AMS'"), 1);
    assert_int_equal(number(ALERTS("true")), 1);
    assert_int_equal(number("SELECT count(*) FROM penstock.ingress_of('198.51.100.7')"
                            " WHERE state = 'spoofed' AND NOT expected"),
                     1);
}

static void exceeded_duplicates_are_kept_as_a_verdict_and_shown_as_inconclusive(void **state)
{
    (void)state;
    push_verdict("198.18.7.0/24", VERDICT_DUPLICATES_EXCEEDED, 0.5, 9);
    wait_for("SELECT count(*) FROM penstock.penny_test"
             " WHERE prefix = '198.18.7.0/24' AND verdict = 'duplicates_exceeded'",
             1);
    wait_for("SELECT count(*) FROM penstock.ingress_of('198.18.7.1')"
             " WHERE state = 'inconclusive' AND genuine_probability = 0.5",
             1);
    assert_int_equal(number(ALERTS("true")), 1);
}

/* How many of that alert come until none came for 200 ms; the first one may take first_ms. The
 * server sends them when the session that listens is idle: a moment after the row is to be seen. */
static unsigned notifications(int first_ms)
{
    unsigned n = 0;
    long alert_id = number("SELECT alert_id FROM penstock.alert WHERE " THIS_KIND);
    struct pollfd p = {.fd = PQsocket(sql), .events = POLLIN};
    do {
        PQconsumeInput(sql);
        for (PGnotify *got; (got = PQnotifies(sql)) != NULL; PQfreemem(got))
            n += atol(got->extra) == alert_id;
    } while (poll(&p, 1, n == 0 ? first_ms : 200) > 0);
    return n;
}

static void an_acknowledgement_outlives_new_evidence_and_a_restart(void **state)
{
    (void)state;
    PQclear(PQexec(sql, "LISTEN penstock_alert"));
    PQclear(PQexec(sql, "UPDATE penstock.alert SET state = 'acknowledged', acknowledged_by = 'ann' "
                        "WHERE " THIS_KIND));
    push_verdict("203.0.113.0/24", VERDICT_MIXED, 0.7, 3);
    wait_for(ALERTS("severity = 'warning'"), 1);
    assert_int_equal(number(ALERTS("state = 'acknowledged' AND acknowledged_by = 'ann'")), 1);
    stop_collector(SIGTERM);
    start_collector();
    for (uint8_t i = 0; i < 30; i++) /* evidence adds up: one word does not turn it */
        push_verdict("203.0.113.0/24", VERDICT_GENUINE, 0.98, (uint8_t)(4 + i));
    wait_for(ALERTS("severity = 'critical'"), 1);
    assert_int_equal(number(ALERTS("state = 'acknowledged' AND acknowledged_by = 'ann'")), 1);
    assert_int_equal(number(ALERTS("true")), 1);
    assert_int_equal(notifications(200), 1); /* the word itself, told once */
}

static void a_policy_read_again_ends_the_alert(void **state)
{
    (void)state;
    write_file(policy_path, "- {prefix: 203.0.113.0/24, ingress: [{pop: AMS}]}\n");
    kill(collector, SIGHUP);
    wait_for(ALERTS("state = 'resolved' AND acknowledged_by = 'ann' AND resolved_at IS NOT NULL"),
             1);
    assert_int_equal(notifications(5000), 1);
    assert_int_equal(number("SELECT count(*) FROM penstock.ingress_of('203.0.113.9')"
                            " WHERE expected AND expected_by = 'policy'"),
                     1);
}

/* The event_ids in the feed's file, each once, in order; a collector that was killed may repeat
 * some.
 */
static const char *told(void)
{
    static char ids[4096];
    char line[8192];
    long last = 0, id;
    ids[0] = '\0';
    FILE *in = fopen(told_path, "r");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        size_t len = strlen(ids);
        if (sscanf(line, "{\"event_id\":%ld,", &id) == 1 && id > last)
            snprintf(ids + len, sizeof ids - len, " %ld", last = id);
    }
    if (in != NULL)
        fclose(in);
    return ids;
}

static void all_that_was_announced_was_told_to_the_feed_in_order(void **state)
{
    (void)state;
    wait_for("SELECT count(*) FROM penstock.alert_feed_lag WHERE waiting = 0", 1);
    PGresult *res = PQexec(sql, "SELECT string_agg(' ' || event_id, '' ORDER BY event_id) FROM"
                                " penstock.alert_event WHERE state <> 'pending'");
    assert_string_equal(told(), PQgetvalue(res, 0, 0));
    assert_true(strlen(told()) > 2);
    PQclear(res);
}

static void both_sides_end_cleanly_and_without_a_gap(void **state)
{
    (void)state;
    assert_true(publish_close(publish, "end of test") == 0);
    ring_clear(&ring);
    wait_for("SELECT count(*) FROM penstock.sensor WHERE state = 'stopped'", 1);
    int status = stop_collector(SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(number("SELECT count(*) FROM penstock.sensor_gap"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_status_tells_who_must_act),
        cmocka_unit_test(without_a_database_it_waits_and_ends_cleanly_when_told_to),
        cmocka_unit_test(migrating_twice_is_migrating_once),
        cmocka_unit_test(a_killed_sensor_is_silent_and_its_next_run_notes_the_gap),
        cmocka_unit_test(each_event_counts_once_whatever_is_killed),
        cmocka_unit_test(a_second_collector_stands_by_and_takes_over_when_the_first_is_killed),
        cmocka_unit_test(genuine_traffic_at_the_wrong_place_is_told_and_spoofed_is_not),
        cmocka_unit_test(exceeded_duplicates_are_kept_as_a_verdict_and_shown_as_inconclusive),
        cmocka_unit_test(an_acknowledgement_outlives_new_evidence_and_a_restart),
        cmocka_unit_test(a_policy_read_again_ends_the_alert),
        cmocka_unit_test(all_that_was_announced_was_told_to_the_feed_in_order),
        cmocka_unit_test(both_sides_end_cleanly_and_without_a_gap),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}

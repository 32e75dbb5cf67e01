/* The journal of alert states in PostgreSQL: cursors, what stands, news, one reader per feed. */
#include "collector/store/journal.h"
#include "tests/support/pg_store.h"

#include <libpq-fe.h>
#include <poll.h>
#include <string.h>

static struct store_conf where;

static int up(void **state)
{
    int err = pg_store_up(state);
    snprintf(where.dsn, sizeof where.dsn, "%s", pg.dsn);
    return err;
}

static int set_up(void **state)
{
    (void)state;
    sql("TRUNCATE penstock.alert_event, penstock.alert, penstock.alert_feed RESTART IDENTITY");
    return 0;
}

static void announce(unsigned alert_id, const char *state, const char *severity)
{
    char text[512];
    snprintf(text, sizeof text,
             "INSERT INTO penstock.alert_event (alert_id, at, state, document) VALUES (%u,"
             " '2026-11-22 10:01:01.5+00', '%s', '{\"severity\": \"%s\"}');"
             " NOTIFY penstock_alert, '%u'",
             alert_id, state, severity, alert_id);
    sql(text);
}

static struct journal *opened(const char *feed, bool from_start, uint64_t *cursor)
{
    struct journal *j = NULL;
    if (journal_open(&where, feed, "jsonl", from_start, &j, cursor, &note) != 0)
        fail_msg("%s", note.text);
    return j;
}

/* "1firing:2 …": event_id, state and peak. */
static int list(void *arg, const struct journal_row *row)
{
    char *out = arg;
    size_t len = strlen(out);
    assert_true(row->at == INT64_C(1795341661500000000));
    assert_int_equal(strlen(row->document), row->document_len);
    snprintf(out + len, 512 - len, "%s%u%s:%u", len > 0 ? " " : "", (unsigned)row->event_id,
             row->state, row->peak);
    return 0;
}

static void a_feed_begins_at_the_newest_or_at_the_start(void **state)
{
    (void)state;
    uint64_t now = 9, start = 9, again = 9;
    announce(1, "firing", "warning");
    announce(1, "resolved", "info");
    journal_close(opened("now", false, &now));
    journal_close(opened("start", true, &start));
    assert_int_equal(now, 2);
    assert_int_equal(start, 0);
    announce(2, "firing", "info");
    journal_close(opened("now", false, &again));
    assert_int_equal(again, 2);
}

static void rows_come_in_order_with_the_highest_severity_so_far(void **state)
{
    (void)state;
    uint64_t cursor;
    char text[512] = "";
    announce(1, "firing", "warning");
    announce(2, "firing", "info");
    announce(1, "firing", "critical");
    announce(1, "resolved", "info");
    struct journal *j = opened("a", true, &cursor);
    assert_int_equal(journal_next(j, 0, 3, list, text, &note), 0);
    assert_string_equal(text, "1firing:1 2firing:0 3firing:2");
    text[0] = '\0';
    assert_int_equal(journal_next(j, 3, 3, list, text, &note), 0);
    assert_string_equal(text, "4resolved:2");
    uint64_t oldest, newest;
    assert_int_equal(journal_ends(j, &oldest, &newest, &note), 0);
    assert_int_equal(oldest, 1);
    assert_int_equal(newest, 4);
    journal_close(j);
}

static void
what_stands_is_the_newest_row_up_to_the_cursor_of_each_alert_without_an_end(void **state)
{
    (void)state;
    uint64_t cursor;
    char text[512] = "";
    for (unsigned i = 1; i <= 3; i++) {
        snprintf(text, sizeof text,
                 "INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence,"
                 " state, summary, started_at, updated_at, resolved_at) VALUES (%u, 'f', 'k',"
                 " 'info', 1, 'firing', 's', now(), now(), %s)",
                 i, i == 3 ? "now()" : "NULL");
        sql(text);
    }
    announce(1, "firing", "info");
    announce(2, "firing", "info");
    announce(3, "firing", "info");
    announce(1, "acknowledged", "info");
    announce(2, "acknowledged", "info");
    struct journal *j = opened("a", true, &cursor);
    text[0] = '\0';
    assert_int_equal(journal_standing(j, 4, list, text, &note), 0);
    assert_string_equal(text, "2firing:0 4acknowledged:0");
    journal_close(j);
}

static void the_cursor_is_saved_and_sums_grow(void **state)
{
    (void)state;
    uint64_t cursor;
    struct journal *j = opened("a", true, &cursor);
    assert_int_equal(journal_failing(j, "it is away", &note), 0);
    assert_int_equal(journal_save(j, 5, 3, 1, false, &note), 0);
    assert_string_equal(answer("SELECT event_id || ' ' || sent || ' ' || skipped || ' ' ||"
                               " (failing_since IS NULL) || last_error FROM penstock.alert_feed"),
                        "5 3 1 falseit is away");
    assert_int_equal(journal_save(j, 7, 2, 0, true, &note), 0);
    assert_string_equal(answer("SELECT event_id || ' ' || sent || ' ' || skipped || ' ' ||"
                               " (failing_since IS NULL) FROM penstock.alert_feed"),
                        "7 5 1 true");
    journal_close(j);
    journal_close(opened("a", false, &cursor));
    assert_int_equal(cursor, 7);
}

static void one_process_tells_a_feed(void **state)
{
    (void)state;
    uint64_t cursor;
    struct journal *j = opened("a", true, &cursor), *second = NULL;
    assert_int_equal(journal_open(&where, "a", "jsonl", true, &second, &cursor, &note), ERR_BUSY);
    assert_string_equal(note.text, "another process tells feed a");
    journal_close(opened("b", true, &cursor));
    journal_close(j);
}

static void news_wake_who_listens(void **state)
{
    (void)state;
    uint64_t cursor;
    struct journal *j = opened("a", true, &cursor);
    struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    announce(1, "firing", "info");
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(journal_heard(j, &note), 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    journal_close(j);
}

static void a_session_that_ended_is_noticed_while_idle(void **state)
{
    (void)state;
    uint64_t cursor;
    struct journal *j = opened("a", true, &cursor);
    struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
    sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name ="
        " 'penstock-feed'");
    int err = 0; /* the server says why first, and then closes */
    for (int i = 0; i < 10 && err == 0; i++) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        err = journal_heard(j, &note);
    }
    assert_int_equal(err, ERR_DATABASE);
    journal_close(j);
    journal_close(opened("a", true, &cursor)); /* its lock is free again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_feed_begins_at_the_newest_or_at_the_start, set_up),
        cmocka_unit_test_setup(rows_come_in_order_with_the_highest_severity_so_far, set_up),
        cmocka_unit_test_setup(
            what_stands_is_the_newest_row_up_to_the_cursor_of_each_alert_without_an_end, set_up),
        cmocka_unit_test_setup(the_cursor_is_saved_and_sums_grow, set_up),
        cmocka_unit_test_setup(one_process_tells_a_feed, set_up),
        cmocka_unit_test_setup(news_wake_who_listens, set_up),
        cmocka_unit_test_setup(a_session_that_ended_is_noticed_while_idle, set_up),
    };
    return cmocka_run_group_tests(tests, up, pg_store_down);
}

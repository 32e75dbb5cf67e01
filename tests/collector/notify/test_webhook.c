/* Webhooks against an HTTP server: retries, refusals, silence; Alertmanager's repeats. */
#include "tests/support/feed_lab.h"
#include "tests/support/http_receiver.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static struct http_receiver receiver;

static struct feed_conf webhook(uint16_t port, enum feed_format format)
{
    struct feed_conf f = {.type = FEED_WEBHOOK,
                          .name = "w",
                          .from = FEED_FROM_START,
                          .format = format,
                          .timeout_ns = 2 * NS_PER_S,
                          .repeat_ns = 60 * NS_PER_S};
    snprintf(f.url, sizeof f.url, "http://127.0.0.1:%u/alerts", port);
    return f;
}

static struct feed_conf started(unsigned status, enum feed_format format)
{
    assert_int_equal(http_receiver_open(&receiver, 0), 0);
    http_receiver_answer(&receiver, status);
    return webhook(receiver.port, format);
}

static int tear_down(void **state)
{
    struct feed_lab *lab = *state;
    notify_stop(lab->notify);
    if (receiver.daemon != NULL)
        http_receiver_close(&receiver);
    http_receiver_clear(&receiver);
    return feed_lab_close(state);
}

/* The event_ids of what was taken, in order. */
static const char *ids(void)
{
    static char text[2048];
    text[0] = '\0';
    for (unsigned i = 0; i < receiver.count; i++) {
        json_t *json = json_loads(receiver.posts[i], 0, NULL);
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%lld", i > 0 ? " " : "",
                 json_integer_value(json_object_get(json, "event_id")));
        json_decref(json);
    }
    return text;
}

static void plain_posts_one_object_per_state_in_order(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_PLAIN);
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "w", 2));
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "w", 3));
    assert_string_equal(ids(), "1 2 3");
}

static void a_receiver_that_was_down_hears_all_in_order(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_PLAIN);
    http_receiver_close(&receiver);
    for (unsigned i = 1; i <= 5; i++)
        list_journal_add(&lab->list, i, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(list_journal_saved(&lab->list, "w").failure[0] != '\0');
    assert_int_equal(http_receiver_open(&receiver, receiver.port), 0);
    assert_true(list_journal_wait(&lab->list, "w", 5));
    assert_string_equal(ids(), "1 2 3 4 5");
    assert_true(feed_lab_counted(lab, COUNTER_feed_failed) > 0);
}

static void one_that_is_refused_for_good_is_skipped_and_stops_nothing(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_PLAIN);
    strcpy(receiver.refused, "\"event_id\":2,");
    for (unsigned i = 1; i <= 4; i++)
        list_journal_add(&lab->list, i, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "w", 4));
    assert_string_equal(ids(), "1 3 4");
    assert_int_equal(receiver.refusals, 4);
    assert_int_equal(list_journal_saved(&lab->list, "w").skipped, 1);
    assert_int_equal(feed_lab_counted(lab, COUNTER_feed_skipped), 1);
}

static void a_wrong_token_or_address_skips_nothing(void **state)
{
    struct feed_lab *lab = *state;
    static const unsigned answers[] = {401, 403, 404, 429, 302, 500};
    struct feed_conf f = started(401, FEED_PLAIN);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0] && i < 3; i++) {
        unsigned asked = http_receiver_asked(&receiver);
        http_receiver_answer(&receiver, answers[i]);
        WAIT_UNTIL(http_receiver_asked(&receiver) > asked);
    }
    assert_non_null(strstr(list_journal_saved(&lab->list, "w").failure, "answers 401: so"));
    http_receiver_answer(&receiver, 200);
    assert_true(list_journal_wait(&lab->list, "w", 1));
    assert_int_equal(feed_lab_counted(lab, COUNTER_feed_skipped), 0);
}

static void headers_come_from_a_file_of_ones_own(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_PLAIN);
    temp_folder_write(&lab->folder, "h", "# token\nAuthorization: Bearer x\n", 0644);
    snprintf(f.headers, sizeof f.headers, "%s/h", lab->folder.path);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(strstr(list_journal_saved(&lab->list, "w").failure, "0600") != NULL);
    temp_folder_write(&lab->folder, "h", "# token\nAuthorization: Bearer x\n", 0600);
    assert_true(list_journal_wait(&lab->list, "w", 1));
    assert_string_equal(receiver.header, "Bearer x");
}

/* A listening socket that nobody accepts from: the kernel takes the connection, and all is silence.
 */
static int silent(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static void a_receiver_that_never_answers_delays_no_other_feed_and_no_end(void **state)
{
    struct feed_lab *lab = *state;
    uint16_t port;
    int fd = silent(&port);
    struct feed_conf feeds[] = {webhook(port, FEED_PLAIN),
                                {.type = FEED_JSONL, .name = "j", .from = FEED_FROM_START}};
    feeds[0].timeout_ns = 300 * NS_PER_S;
    snprintf(feeds[1].path, sizeof feeds[1].path, "%s/j", lab->folder.path);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, feeds, 2);
    assert_true(list_journal_wait(&lab->list, "j", 1));
    assert_int_equal(list_journal_saved(&lab->list, "w").cursor, 0);
    notify_stop(lab->notify); /* would take the timeout, which is longer than this test may */
    close(fd);
}

/* ---- Alertmanager ---- */

static const char *part(const json_t *alert, const char *one, const char *key)
{
    return json_string_value(json_object_get(json_object_get(alert, one), key));
}

static json_t *post(unsigned i)
{
    json_t *json = json_loads(receiver.posts[i], 0, NULL);
    assert_true(json_is_array(json));
    return json;
}

static void alertmanager_is_told_again_what_has_not_ended(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_ALERTMANAGER);
    f.repeat_ns = NS_PER_S / 5;
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "firing", NULL);
    list_journal_add(&lab->list, 2, "resolved", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(http_receiver_wait(&receiver, 3));
    json_t *first = post(0), *repeat = post(2);
    assert_int_equal(json_array_size(first), 3);
    assert_non_null(json_object_get(json_array_get(first, 2), "endsAt"));
    assert_int_equal(json_array_size(repeat), 1);
    assert_string_equal(part(json_array_get(repeat, 0), "annotations", "alert_id"), "1");
    json_decref(first);
    json_decref(repeat);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    assert_true(list_journal_wait(&lab->list, "w", 4));
    unsigned count = http_receiver_count(&receiver);
    sleep_ms(500);
    assert_int_equal(http_receiver_count(&receiver), count);
}

static void after_a_restart_alerts_without_an_end_are_told_again(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_ALERTMANAGER);
    f.from = FEED_FROM_NOW; /* as if its cursor was there already */
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "firing", NULL);
    list_journal_add(&lab->list, 2, "resolved", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(http_receiver_wait(&receiver, 1));
    json_t *first = post(0);
    assert_int_equal(json_array_size(first), 1);
    assert_string_equal(part(json_array_get(first, 0), "annotations", "alert_id"), "1");
    json_decref(first);
}

static void a_label_that_changes_ends_the_alert_it_was_known_as(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = started(200, FEED_ALERTMANAGER);
    list_journal_add(&lab->list, 1, "firing", "{\"kind\":\"k\",\"severity\":\"warning\"}");
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "w", 1));
    unsigned before = http_receiver_count(&receiver);
    list_journal_add(&lab->list, 1, "firing", "{\"kind\":\"k\",\"severity\":\"critical\"}");
    assert_true(http_receiver_wait(&receiver, before + 1));
    json_t *last = post(before);
    assert_int_equal(json_array_size(last), 2);
    assert_string_equal(part(json_array_get(last, 0), "labels", "severity"), "warning");
    assert_non_null(json_object_get(json_array_get(last, 0), "endsAt"));
    assert_string_equal(part(json_array_get(last, 1), "labels", "severity"), "critical");
    assert_null(json_object_get(json_array_get(last, 1), "endsAt"));
    json_decref(last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_lab_open, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_posts_one_object_per_state_in_order),
        TEST(a_receiver_that_was_down_hears_all_in_order),
        TEST(one_that_is_refused_for_good_is_skipped_and_stops_nothing),
        TEST(a_wrong_token_or_address_skips_nothing),
        TEST(headers_come_from_a_file_of_ones_own),
        TEST(a_receiver_that_never_answers_delays_no_other_feed_and_no_end),
        TEST(alertmanager_is_told_again_what_has_not_ended),
        TEST(after_a_restart_alerts_without_an_end_are_told_again),
        TEST(a_label_that_changes_ends_the_alert_it_was_known_as),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

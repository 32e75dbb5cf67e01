/* Webhooks against an HTTP server: retries, refusals, silence; Alertmanager's repeats. */
#include "tests/support/feed_lab.h"
#include "tests/support/http_receiver.h"
#include "tests/support/read_file.h"

#include <arpa/inet.h>
#include <sched.h>
#include <sys/mount.h>
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
    WAIT_UNTIL(strstr(list_journal_saved(&lab->list, "w").failure, "answers 404: so") != NULL);
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

/* ---- TLS ---- */

static const char *pem(struct feed_lab *lab, const char *name)
{
    return temp_folder_file(&lab->folder, name);
}

/* A new certificate for the receiver, as after a restart of it. */
static void certified(struct feed_lab *lab, const char *certificate)
{
    char key[sizeof lab->folder.file];
    snprintf(key, sizeof key, "%s", pem(lab, "key.pem"));
    http_receiver_secure(&receiver, pem(lab, certificate), key);
    if (receiver.daemon != NULL)
        http_receiver_close(&receiver);
    assert_int_equal(http_receiver_open(&receiver, receiver.port), 0);
}

static struct feed_conf secured(struct feed_lab *lab, const char *certificate, const char *ca)
{
    char command[256];
    snprintf(command, sizeof command, "%s %s", CERTIFICATES, lab->folder.path);
    assert_int_equal(system(command), 0);
    certified(lab, certificate);
    http_receiver_answer(&receiver, 200);
    struct feed_conf f = webhook(receiver.port, FEED_PLAIN);
    snprintf(f.url, sizeof f.url, "https://127.0.0.1:%u/alerts", receiver.port);
    snprintf(f.ca, sizeof f.ca, "%s/%s", lab->folder.path, ca);
    return f;
}

static void trust(struct feed_lab *lab, const char *authority)
{
    char *text = read_file(pem(lab, authority));
    assert_non_null(text);
    temp_folder_write(&lab->folder, "trusted.pem", text, 0644);
    free(text);
}

static bool fails_by(struct feed_lab *lab, const char *feed, const char *reason)
{
    return strstr(list_journal_saved(&lab->list, feed).failure, reason) != NULL;
}

static void only_who_the_ca_vouches_for_is_told_and_a_mended_ca_needs_no_restart(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = secured(lab, "good.pem", "trusted.pem");
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(fails_by(lab, "w", "trusted.pem")); /* is not there yet */
    trust(lab, "other-ca.pem");
    WAIT_UNTIL(fails_by(lab, "w", "is not trusted"));
    list_journal_add(&lab->list, 2, "firing", NULL);
    assert_int_equal(http_receiver_asked(&receiver), 0);
    trust(lab, "ca.pem");
    assert_true(list_journal_wait(&lab->list, "w", 2));
    assert_string_equal(ids(), "1 2");
    assert_int_equal(feed_lab_counted(lab, COUNTER_feed_skipped), 0);
}

static void an_expired_certificate_and_another_hosts_are_refused_by_their_names(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf feeds[2] = {secured(lab, "elsewhere.pem", "ca.pem")};
    feeds[1] = feeds[0]; /* whom no authority of the system knows */
    strcpy(feeds[1].name, "system");
    memset(feeds[1].ca, 0, sizeof feeds[1].ca);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, feeds, 2);
    WAIT_UNTIL(fails_by(lab, "w", "is not trusted") && fails_by(lab, "w", "127.0.0.1"));
    WAIT_UNTIL(fails_by(lab, "system", "is not trusted") ||
               fails_by(lab, "system", "(ca-certificates)")); /* a machine without the package */
    certified(lab, "old.pem");
    WAIT_UNTIL(fails_by(lab, "w", "expired")); /* the status tells of the latest attempt */
    assert_int_equal(http_receiver_asked(&receiver), 0);
    certified(lab, "good.pem");
    assert_true(list_journal_wait(&lab->list, "w", 1));
    assert_string_equal(ids(), "1");
    assert_int_equal(list_journal_saved(&lab->list, "system").cursor, 0);
}

/* For this process alone the receiver's authority is one of the system's. False: it may not. */
static bool system_trusts(struct feed_lab *lab)
{
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && mkdir system && cp ca.pem system/ca-certificates.crt &&"
             " cp ca.pem system/$(openssl x509 -hash -noout -in ca.pem).0",
             lab->folder.path);
    return system(command) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(pem(lab, "system"), "/etc/ssl/certs", NULL, MS_BIND, NULL) == 0;
}

static void where_a_ca_is_given_the_systems_authorities_do_not_count(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf feeds[2] = {secured(lab, "good.pem", "other-ca.pem")};
    feeds[1] = feeds[0];
    strcpy(feeds[1].name, "system");
    memset(feeds[1].ca, 0, sizeof feeds[1].ca);
    if (!system_trusts(lab))
        skip(); /* mounts need root */
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, feeds, 2);
    assert_true(list_journal_wait(&lab->list, "system", 1));
    WAIT_UNTIL(fails_by(lab, "w", "is not trusted"));
    assert_int_equal(http_receiver_asked(&receiver), 1);
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
        TEST(only_who_the_ca_vouches_for_is_told_and_a_mended_ca_needs_no_restart),
        TEST(an_expired_certificate_and_another_hosts_are_refused_by_their_names),
        TEST(where_a_ca_is_given_the_systems_authorities_do_not_count),
        TEST(alertmanager_is_told_again_what_has_not_ended),
        TEST(after_a_restart_alerts_without_an_end_are_told_again),
        TEST(a_label_that_changes_ends_the_alert_it_was_known_as),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What leaves: JSON, syslog, Alertmanager's shape; and who is told at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/notify/alertmanager.h"
#include "collector/notify/rfc5424.h"
#include "collector/notify/since.h"

#define DOCUMENT                                                                                 \
    "{\"kind\": \"ingress_moved\", \"severity\": \"critical\", \"fingerprint\": \"0a\", "        \
    "\"prefix\": \"203.0.113.0/24\", \"pop\": \"FRA\", \"router\": \"fra1-r1\", \"interface\": " \
    "\"xe-0/0/1\", \"peer_as\": 64501, \"confidence\": 0.97, \"mac\": null, \"summary\": "       \
    "\"It moved\", \"started_at\": \"2026-11-22T10:00:00.5+00:00\", \"runbook\": "               \
    "\"docs/alerts/ingress_moved.md\", \"event_id\": 99}"

static struct notice made(const char *state, const char *document)
{
    struct notice n;
    const struct notice_row row = {.event_id = 7,
                                   .alert_id = 3,
                                   .at = INT64_C(1795341661123456789),
                                   .state = state,
                                   .document = document,
                                   .document_len = strlen(document),
                                   .peak = FEED_CRITICAL};
    assert_int_equal(notice_init(&n, &row), 0);
    return n;
}

static void times_are_rfc_3339_also_before_1970(void **state)
{
    (void)state;
    char out[NOTICE_TIME];
    assert_string_equal(notice_time(INT64_C(1795341661123456789), out),
                        "2026-11-22T10:01:01.123456Z");
    assert_string_equal(notice_time(-1000, out), "1969-12-31T23:59:59.999999Z");
}

static void json_says_first_which_state_it_is_and_then_all_of_the_alert(void **state)
{
    (void)state;
    struct notice n = made("firing", DOCUMENT);
    char *text = notice_json(&n);
    const char *head = "{\"event_id\":7,\"alert_id\":3,\"at\":\"2026-11-22T10:01:01.123456Z\","
                       "\"state\":\"firing\",\"kind\":\"ingress_moved\"";
    assert_memory_equal(text, head, strlen(head));
    assert_non_null(strstr(text, "\"confidence\":0.97,"));
    assert_null(strchr(text, '\n'));
    free(text);
    notice_clear(&n);
}

static void a_document_that_is_no_object_is_told_all_the_same(void **state)
{
    (void)state;
    static const char *const documents[] = {"[1]", "7", "{broken", "\"text\"", "\xff\xfe", ""};
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct notice n = made("firing", documents[i]);
        char *text = notice_json(&n);
        json_t *back = json_loads(text, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(back, "event_id")), 7);
        assert_non_null(json_object_get(back, "document"));
        assert_string_equal(n.kind, "");
        json_decref(back);
        free(text);
        notice_clear(&n);
    }
}

static void pending_is_not_told_unless_asked_for(void **state)
{
    (void)state;
    struct feed_conf all = {0}, some = {.state_count = 1, .states = {"pending"}};
    struct notice pending = made("pending", DOCUMENT), firing = made("firing", DOCUMENT);
    assert_false(notice_is_wanted(&pending, &all));
    assert_true(notice_is_wanted(&firing, &all));
    assert_true(notice_is_wanted(&pending, &some));
    assert_false(notice_is_wanted(&firing, &some));
    notice_clear(&pending);
    notice_clear(&firing);
}

static void an_end_is_told_when_the_alert_ever_was_severe_enough(void **state)
{
    (void)state;
    struct feed_conf critical = {.severity = FEED_CRITICAL};
    struct feed_conf other = {.kind_count = 1, .kinds = {"sensor_silent"}};
    struct notice n = made("resolved", "{\"kind\": \"ingress_moved\", \"severity\": \"info\"}");
    assert_true(notice_is_wanted(&n, &critical));
    n.peak = FEED_WARNING;
    assert_false(notice_is_wanted(&n, &critical));
    assert_false(notice_is_wanted(&n, &other));
    notice_clear(&n);
}

static void syslog_has_all_parts_of_rfc_5424(void **state)
{
    (void)state;
    const struct rfc5424_sender from = {.host = "core 1", .pid = 42, .facility = 3};
    struct notice n = made("firing", DOCUMENT);
    size_t len;
    char *text = rfc5424_message(&n, &from, &len);
    assert_string_equal(
        text, "<26>1 2026-11-22T10:01:01.123456Z core_1 penstock-collector 42 ingress_moved "
              "[penstock@32473 event_id=\"7\" alert_id=\"3\" kind=\"ingress_moved\" "
              "severity=\"critical\" state=\"firing\" fingerprint=\"0a\" "
              "prefix=\"203.0.113.0/24\" pop=\"FRA\" router=\"fra1-r1\" interface=\"xe-0/0/1\" "
              "peer_as=\"64501\" confidence=\"0.97\"] firing: It moved");
    assert_int_equal(len, strlen(text));
    free(text);
    notice_clear(&n);
}

static void syslog_escapes_what_could_end_a_value_and_has_one_line(void **state)
{
    (void)state;
    const struct rfc5424_sender from = {.host = "", .pid = 1, .facility = 16};
    struct notice n = made("resolved", "{\"kind\": \"a]\\\" b\", \"pop\": \"q\\\"b\\\\c]d\\ne\", "
                                       "\"summary\": \"one\\ntwo] \\\"é\\\"\"}");
    size_t len;
    char *text = rfc5424_message(&n, &from, &len);
    assert_non_null(strstr(text, "<133>1 "));
    assert_non_null(strstr(text, "Z - penstock-collector 1 a]\"_b [penstock@32473 "));
    assert_non_null(strstr(text, " pop=\"q\\\"b\\\\c\\]d e\""));
    assert_non_null(strstr(text, "] resolved: one two] \"é\""));
    assert_null(strchr(text, '\n'));
    free(text);
    notice_clear(&n);
}

static const char *at(const json_t *alert, const char *part, const char *key)
{
    return json_string_value(json_object_get(json_object_get(alert, part), key));
}

static void alertmanagers_shape_has_labels_annotations_and_a_start(void **state)
{
    (void)state;
    const struct feed_conf feed = {.link = "https://noc/alert/", .runbook = "https://git/"};
    struct notice n = made("firing", DOCUMENT);
    json_t *alert = alertmanager_alert(&n, &feed);
    assert_string_equal(at(alert, "labels", "alertname"), "ingress_moved");
    assert_string_equal(at(alert, "labels", "severity"), "critical");
    assert_string_equal(at(alert, "labels", "prefix"), "203.0.113.0/24");
    assert_string_equal(at(alert, "labels", "peer_as"), "64501");
    assert_string_equal(at(alert, "labels", "fingerprint"), "0a");
    assert_null(at(alert, "labels", "mac"));
    assert_string_equal(at(alert, "annotations", "summary"), "It moved");
    assert_string_equal(at(alert, "annotations", "runbook"),
                        "https://git/docs/alerts/ingress_moved.md");
    assert_string_equal(at(alert, "annotations", "alert_id"), "3");
    assert_string_equal(json_string_value(json_object_get(alert, "startsAt")),
                        "2026-11-22T10:00:00.5+00:00");
    assert_string_equal(json_string_value(json_object_get(alert, "generatorURL")),
                        "https://noc/alert/3");
    assert_null(json_object_get(alert, "endsAt"));
    json_decref(alert);
    notice_clear(&n);
}

static void what_is_resolved_or_suppressed_has_an_end_there(void **state)
{
    (void)state;
    const struct feed_conf feed = {.link = ""};
    static const char *const ends[] = {"resolved", "suppressed"};
    for (size_t i = 0; i < 2; i++) {
        struct notice n = made(ends[i], "{\"kind\": \"sensor_silent\"}");
        json_t *alert = alertmanager_alert(&n, &feed);
        assert_string_equal(json_string_value(json_object_get(alert, "endsAt")),
                            "2026-11-22T10:01:01.123456Z");
        assert_string_equal(json_string_value(json_object_get(alert, "startsAt")),
                            "2026-11-22T10:01:01.123456Z");
        assert_null(json_object_get(alert, "generatorURL"));
        json_decref(alert);
        notice_clear(&n);
    }
}

static void who_asks_for_the_past_is_understood_or_not(void **state)
{
    (void)state;
    struct since s;
    assert_true(since_parse("since 0", 7, &s));
    assert_int_equal(s.limit, SINCE_LIMIT);
    assert_true(since_parse("since 9223372036854775807 limit 5", 33, &s));
    assert_true(s.event_id == INT64_MAX && s.limit == 5);
    assert_true(since_parse("since 1 limit 99999", 19, &s));
    assert_int_equal(s.limit, SINCE_LIMIT);
    static const char *const wrong[] = {"",
                                        "since",
                                        "since ",
                                        "since -1",
                                        "since 1 ",
                                        "since 1 limit",
                                        "since 1 limit 0",
                                        "SINCE 1",
                                        "since 9223372036854775808",
                                        "since 1\n",
                                        "since 0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(since_parse(wrong[i], strlen(wrong[i]), &s));
    assert_false(since_parse("since 1", 8, &s)); /* a NUL behind it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_rfc_3339_also_before_1970),
        cmocka_unit_test(json_says_first_which_state_it_is_and_then_all_of_the_alert),
        cmocka_unit_test(a_document_that_is_no_object_is_told_all_the_same),
        cmocka_unit_test(pending_is_not_told_unless_asked_for),
        cmocka_unit_test(an_end_is_told_when_the_alert_ever_was_severe_enough),
        cmocka_unit_test(syslog_has_all_parts_of_rfc_5424),
        cmocka_unit_test(syslog_escapes_what_could_end_a_value_and_has_one_line),
        cmocka_unit_test(alertmanagers_shape_has_labels_annotations_and_a_start),
        cmocka_unit_test(what_is_resolved_or_suppressed_has_an_end_there),
        cmocka_unit_test(who_asks_for_the_past_is_understood_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

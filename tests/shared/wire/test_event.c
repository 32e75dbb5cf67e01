/* Names, words, times and the JSON line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/random_event.h"

/* The line that event_print writes; to be freed. */
static char *print(const struct event *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    event_print(out, e);
    fclose(out);
    return text;
}

static void assert_prints(const struct event *e, const char *want)
{
    char *got = print(e);
    assert_string_equal(got, want);
    free(got);
}

static void a_drop_prints_as_one_line_of_json_in_full_words(void **state)
{
    (void)state;
    struct event e = {.epoch = 7, .seq = 3, .at = 1795305600123456789, .type = EVENT_drop};
    memset(e.drop.test_id, 0xab, 16);
    addr_parse("192.0.2.1", &e.drop.src);
    addr_parse("2001:db8::1", &e.drop.dst);
    e.drop.src_port = 443;
    e.drop.length = 1460;
    e.drop.dropped_at = 1;
    e.drop.outcome = DROP_UNANSWERED;
    e.drop.answered_after = SPAN_NONE;
    assert_prints(&e, "{\"epoch\":7,\"sequence\":3,\"at\":\"2026-11-22T00:00:00.123456789Z\","
                      "\"event\":\"drop\",\"test_id\":\"abababab-abab-abab-abab-abababababab\","
                      "\"src\":\"192.0.2.1\",\"dst\":\"2001:db8::1\",\"src_port\":443,"
                      "\"dst_port\":0,\"seq\":0,\"length\":1460,"
                      "\"dropped_at\":\"1970-01-01T00:00:00.000000001Z\","
                      "\"outcome\":\"unanswered\",\"answered_after\":null}\n");
}

static void what_is_not_there_prints_as_null(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_tally};
    strcpy(e.tally.ingress.router, "r1");
    assert_prints(&e, "{\"epoch\":0,\"sequence\":0,\"at\":null,\"event\":\"tally\","
                      "\"started_at\":null,\"ended_at\":null,\"prefix\":null,\"router\":\"r1\","
                      "\"interface\":\"\",\"vlan\":null,\"mac\":null,\"peer_as\":null,"
                      "\"packets\":0,\"bytes\":0,\"flows\":0}\n");
    e.tally.ingress.mac[0] = 2;
    e.tally.ingress.vlan = 101;
    prefix_parse("203.0.113.0/24", &e.tally.prefix);
    char *line = print(&e);
    assert_non_null(strstr(line, "\"prefix\":\"203.0.113.0/24\""));
    assert_non_null(strstr(line, "\"vlan\":101,\"mac\":\"02:00:00:00:00:00\""));
    free(line);
}

static void text_of_any_bytes_stays_one_line_of_json(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_sensor_stopped};
    strcpy(e.sensor_stopped.reason, "\"\\\n\x01\x7f\xff€");
    assert_prints(&e, "{\"epoch\":0,\"sequence\":0,\"at\":null,\"event\":\"sensor_stopped\","
                      "\"reason\":\"\\\"\\\\\\u000a\\u0001\\u007f\\ufffd€\"}\n");
}

static void numbers_print_with_twelve_digits_and_infinity_is_null(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_scan_window};
    e.scan_window.total_entropy = 0.1;
    e.scan_window.bin_entropy =
        (struct reals){.count = 4, .value = {1.0 / 3, (double)NAN, (double)-INFINITY, 2}};
    char *line = print(&e);
    assert_non_null(strstr(line, "\"total_entropy\":0.1,"
                                 "\"bin_entropy\":[0.333333333333,null,null,2]"));
    free(line);
}

static void spans_are_seconds(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_drop, .drop.answered_after = 1250000001};
    char *line = print(&e);
    assert_non_null(strstr(line, "\"answered_after\":1.250000001}"));
    free(line);
}

static void booleans_are_true_and_false(void **state)
{
    (void)state;
    struct event e = {.type = EVENT_passive_flow, .passive_flow.syn_only = true};
    char *line = print(&e);
    assert_non_null(strstr(line, "\"rst\":false,\"syn_only\":true}"));
    free(line);
}

static void an_unknown_type_or_word_prints_as_null(void **state)
{
    (void)state;
    struct event e = {.type = 250};
    assert_prints(&e, "{\"epoch\":0,\"sequence\":0,\"at\":null,\"event\":null}\n");
    e = (struct event){.type = EVENT_drop, .drop.outcome = 99};
    char *line = print(&e);
    assert_non_null(strstr(line, "\"outcome\":null"));
    free(line);
}

static void times_print_over_the_whole_range(void **state)
{
    (void)state;
    char text[TIME_TEXT];
    assert_string_equal(time_format(0, text), "1970-01-01T00:00:00.000000000Z");
    assert_string_equal(time_format(-1, text), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(time_format(-1000000000, text), "1969-12-31T23:59:59.000000000Z");
    assert_string_equal(time_format(INT64_MAX, text), "2262-04-11T23:47:16.854775807Z");
    assert_string_equal(time_format(INT64_MIN, text), "1677-09-21T00:12:43.145224192Z");
}

static void shifting_moves_every_time_that_is_set_and_nothing_else(void **state)
{
    (void)state;
    struct prf prf = prf_init(9, 9);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        struct event before, after;
        random_event(&prf, &kinds[k], &before);
        before.at = 50;
        for (size_t i = 0; i < kinds[k].count; i++)
            if (kinds[k].fields[i].type == FIELD_TIME)
                *(int64_t *)(void *)((char *)&before + kinds[k].fields[i].offset) =
                    (i % 2) ? 0 : 70;
        after = before;
        event_shift(&after, 1000);
        assert_int_equal(after.at, 1050);
        for (size_t i = 0; i < kinds[k].count; i++) {
            int64_t *t = (int64_t *)(void *)((char *)&after + kinds[k].fields[i].offset);
            if (kinds[k].fields[i].type != FIELD_TIME)
                continue;
            assert_int_equal(*t, (i % 2) ? 0 : 1070);
            *t = (i % 2) ? 0 : 70;
        }
        after.at = 50;
        assert_memory_equal(&after, &before, sizeof after);
    }
}

static void words_and_names_go_both_ways(void **state)
{
    (void)state;
    assert_string_equal(event_word("verdict", VERDICT_INCONCLUSIVE), "inconclusive");
    assert_string_equal(event_word("drop_outcome", DROP_INVALID), "invalid");
    assert_string_equal(event_word("test_mode", TEST_PASSIVE), "passive");
    assert_string_equal(event_word("scan_direction", SCAN_CLIENT), "client");
    assert_null(event_word("verdict", VERDICT_INCONCLUSIVE + 1));
    assert_null(event_word("nothing", 0));
    assert_int_equal(event_word_find("verdict", "duplicates_exceeded"),
                     VERDICT_DUPLICATES_EXCEEDED);
    assert_int_equal(event_word_find("verdict", "client"), ERR_FORMAT);
    assert_string_equal(event_name(EVENT_tally), "tally");
    assert_null(event_name(0));
}

static void every_word_field_has_a_list_and_every_number_and_key_is_used_once(void **state)
{
    (void)state;
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        assert_true(kinds[k].number > 0 && kinds[k].number <= UINT8_MAX);
        assert_ptr_equal(event_kind(kinds[k].number), &kinds[k]);
        for (size_t i = 0; i < kinds[k].count; i++) {
            const struct field *f = &kinds[k].fields[i];
            assert_true(strcmp(f->key, "t") != 0 && strcmp(f->key, "at") != 0);
            if (f->type == FIELD_WORD)
                assert_non_null(event_word(f->list, 0));
            if (f->type == FIELD_REALS)
                assert_true(f->limit <= REALS_MAX);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(f->key, kinds[k].fields[j].key);
        }
    }
}

static void two_ingresses_are_equal_only_in_all_five(void **state)
{
    (void)state;
    struct ingress a = {.router = "r", .interface = "i", .vlan = 1, .mac = {2}, .peer_as = 3},
                   b = a;
    assert_true(ingress_equal(&a, &b));
    b.router[5] = 'x'; /* behind the NUL: not part of the name */
    assert_true(ingress_equal(&a, &b));
    b.peer_as = 4;
    assert_false(ingress_equal(&a, &b));
    b = a, b.vlan = 2;
    assert_false(ingress_equal(&a, &b));
    b = a, b.mac[5] = 1;
    assert_false(ingress_equal(&a, &b));
    b = a, b.interface[0] = 'j';
    assert_false(ingress_equal(&a, &b));
    b = a, b.router[0] = 's';
    assert_false(ingress_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_prints_as_one_line_of_json_in_full_words),
        cmocka_unit_test(what_is_not_there_prints_as_null),
        cmocka_unit_test(text_of_any_bytes_stays_one_line_of_json),
        cmocka_unit_test(numbers_print_with_twelve_digits_and_infinity_is_null),
        cmocka_unit_test(spans_are_seconds),
        cmocka_unit_test(booleans_are_true_and_false),
        cmocka_unit_test(an_unknown_type_or_word_prints_as_null),
        cmocka_unit_test(times_print_over_the_whole_range),
        cmocka_unit_test(shifting_moves_every_time_that_is_set_and_nothing_else),
        cmocka_unit_test(words_and_names_go_both_ways),
        cmocka_unit_test(every_word_field_has_a_list_and_every_number_and_key_is_used_once),
        cmocka_unit_test(two_ingresses_are_equal_only_in_all_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

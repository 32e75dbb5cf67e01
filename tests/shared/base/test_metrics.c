#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/metrics.h"

static void counters_are_summed_over_their_sets_in_prometheus_text(void **state)
{
    (void)state;
    static struct counters a, b;
    const struct counters *const sets[] = {&a, &b};
    counter_add(&a, COUNTER_packets, 5);
    counter_add(&a, COUNTER_packets, 2);
    counter_add(&b, COUNTER_packets, 10);
    counter_set(&b, COUNTER_source_missed, 9);
    counter_set(&b, COUNTER_source_missed, 4);
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    metrics_print(out, "penstock-sensor", sets, 2);
    fclose(out);
    assert_non_null(strstr(text, "# HELP penstock_packets_total packets that the source lent to a "
                                 "worker\n# TYPE penstock_packets_total counter\n"
                                 "penstock_packets_total{program=\"penstock-sensor\"} 17\n"));
    assert_non_null(
        strstr(text, "\npenstock_source_missed_total{program=\"penstock-sensor\"} 4\n"));
    assert_int_equal(counter_get(&a, COUNTER_packets), 7);
    free(text);
}

static char *page_of(const char *program)
{
    static struct counters none;
    const struct counters *const sets[] = {&none};
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    metrics_print(out, program, sets, 1);
    fclose(out);
    return text;
}

static void a_program_s_page_shows_what_it_counts_and_nothing_else(void **state)
{
    (void)state;
    char *sensor = page_of("penstock-sensor"), *collector = page_of("penstock-collector");
    assert_non_null(strstr(sensor, "\npenstock_packets_total{"));
    assert_non_null(strstr(collector, "\npenstock_transactions_total{"));
    assert_null(strstr(sensor, "penstock_transactions_total"));
    assert_null(strstr(collector, "penstock_packets_total"));
    assert_non_null(strstr(sensor, "\npenstock_messages_malformed_total{"));
    assert_non_null(strstr(collector, "\npenstock_messages_malformed_total{"));
    free(sensor);
    free(collector);
}

static void every_counter_is_on_somebody_s_page(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        assert_true(counter_is_of(i, "penstock-sensor") || counter_is_of(i, "penstock-collector"));
}

static bool is_metric_name(const char *name)
{
    return name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static void every_counter_has_its_own_name_and_help_on_one_line(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        assert_true(is_metric_name(counter_name(i)));
        assert_true(strlen(counter_help(i)) > 0);
        assert_null(strpbrk(counter_help(i), "\n\\"));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(counter_name(i), counter_name(j));
    }
}

static void no_two_threads_counters_share_a_cache_line(void **state)
{
    (void)state;
    assert_int_equal(_Alignof(struct counters) % 64, 0);
    assert_int_equal(sizeof(struct counters) % 64, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_summed_over_their_sets_in_prometheus_text),
        cmocka_unit_test(a_program_s_page_shows_what_it_counts_and_nothing_else),
        cmocka_unit_test(every_counter_is_on_somebody_s_page),
        cmocka_unit_test(every_counter_has_its_own_name_and_help_on_one_line),
        cmocka_unit_test(no_two_threads_counters_share_a_cache_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conf/collector_conf.h"
#include "tests/support/read_file.h"
#include "tests/support/temp_file.h"

static struct collector_conf conf;
static struct note note;

#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static int load(const char *const *settings)
{
    size_t n = 0;
    while (settings[n] != NULL)
        n++;
    memset(&conf, 0xa5, sizeof conf); /* loading must not trust what stood there */
    memset(&note, 0, sizeof note);
    return collector_conf_load(NULL, settings, n, &conf, &note);
}

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    assert_int_equal(LOAD("collector.insecure=true"), 0);
    assert_string_equal(conf.name, "core");
    assert_string_equal(conf.receive.listen, "tcp://*:5560");
    assert_string_equal(conf.store.dsn, "host=/run/postgresql dbname=penstock");
    assert_true(conf.roster.silent_after_ns == UINT64_C(60000000000));
    assert_true(conf.ingress.half_life_ns == UINT64_C(3600000000000));
    assert_int_equal(conf.ingress.max_rows, 1000000);
    assert_true(conf.evidence.half_life_ns == UINT64_C(86400000000000));
    assert_true(conf.alert.hold_down_ns == UINT64_C(5000000000));
    assert_true(conf.alert.resolve_after_ns == UINT64_C(600000000000));
    assert_int_equal(conf.alert.max_alerts, 10000);
    assert_string_equal(conf.policy_file, "");
    assert_string_equal(conf.http_listen, "127.0.0.1:9560");
    assert_int_equal(conf.log_level, LOG_LEVEL_INFO);
}

static void an_order_s_margin_covers_clocks_that_run_unevenly(void **state)
{
    (void)state;
    assert_int_equal(LOAD("collector.insecure=true"), 0);
    assert_int_equal(conf.order.mode, ORDERS_OFF);
    assert_int_equal(LOAD("collector.insecure=true", "orders.mode=auto"), 0);
    assert_int_equal(conf.order.mode, ORDERS_AUTO);
    assert_int_equal(LOAD("collector.insecure=true", "orders.lease=2h", "orders.margin=7s"),
                     ERR_CONF);
    assert_string_equal(
        note.text,
        "--set: orders.margin: shorter than a thousandth of orders.lease: clocks may run "
        "apart by more");
}

static void what_must_never_be_tested_is_a_list_of_prefixes(void **state)
{
    (void)state;
    struct prefix p;
    assert_int_equal(LOAD("collector.insecure=true"), 0);
    assert_int_equal(conf.order.never_count, 0);
    assert_int_equal(
        LOAD("collector.insecure=true", "orders.never=[198.51.100.0/24, 2001:db8::/32]"), 0);
    assert_int_equal(conf.order.never_count, 2);
    assert_int_equal(prefix_parse("2001:db8::/32", &p), 0);
    assert_true(prefix_equal(&conf.order.never[1], &p));
    assert_int_equal(LOAD("collector.insecure=true", "orders.never=[198.51.100.1/24]"), ERR_CONF);
}

static void a_door_needs_certificates_unless_it_is_said_to_be_insecure(void **state)
{
    (void)state;
    assert_int_equal(LOAD("collector.name=core"), ERR_CONF);
    assert_string_equal(note.text, "collector.certificate: required, but empty\n"
                                   "collector.sensors: required, but empty");
    assert_int_equal(LOAD("collector.certificate=/c.cert", "collector.sensors=/s.d"), 0);
    assert_string_equal(conf.receive.certificate, "/c.cert");
    assert_string_equal(conf.receive.sensors, "/s.d");
    assert_false(conf.receive.insecure);
}

static void a_rate_is_none_or_large_enough_that_no_sensor_waits_in_vain(void **state)
{
    (void)state;
    assert_int_equal(LOAD("collector.insecure=true"), 0);
    assert_int_equal(conf.receive.rate, 64 << 20);
    assert_int_equal(LOAD("collector.insecure=true", "collector.rate=0"), 0);
    assert_int_equal(LOAD("collector.insecure=true", "collector.rate=1MiB"), 0);
    assert_int_equal(LOAD("collector.insecure=true", "collector.rate=1023KiB"), ERR_CONF);
    assert_string_equal(note.text, "--set: collector.rate: expected 0, or 1MiB and more");
}

static void what_is_empty_but_needed_is_told(void **state)
{
    (void)state;
    assert_int_equal(LOAD("collector.insecure=true", "collector.listen=", "collector.name="),
                     ERR_CONF);
    assert_string_equal(note.text, "--set: collector.name: required, but empty\n"
                                   "--set: collector.listen: required, but empty");
}

static char *explained(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    collector_conf_explain(out);
    fclose(out);
    return text;
}

static void what_explain_prints_can_be_loaded(void **state)
{
    (void)state;
    struct temp_file file;
    char *text = explained();
    assert_int_equal(temp_file_open(&file, text), 0);
    int err = collector_conf_load(file.path, NULL, 0, &conf, &note);
    assert_string_equal(note.text, "");
    assert_int_equal(err, 0);
    temp_file_close(&file);
    free(text);
}

static void the_shipped_file_is_what_explain_prints(void **state)
{
    (void)state;
    char *text = explained(), *shipped = read_file(CONFIGS "/collector.yaml");
    assert_non_null(shipped);
    assert_string_equal(shipped, text);
    free(shipped);
    free(text);
}

static void refused_without_the_password(int err)
{
    assert_int_equal(err, ERR_CONF);
    assert_non_null(strstr(note.text, "database"));
    assert_null(strstr(note.text, "hunter2"));
}

static void no_mistake_in_a_connection_string_shows_its_password(void **state)
{
    (void)state;
    char long_one[1200] = "database.dsn=password=hunter2 application_name=";
    size_t len = strlen(long_one);
    memset(long_one + len, 'x', sizeof long_one - len - 1);
    refused_without_the_password(LOAD("collector.insecure=true", long_one));
    refused_without_the_password(
        LOAD("collector.insecure=true", "database.dsn=password=a hunter2"));
    refused_without_the_password(
        LOAD("collector.insecure=true", "database.owner_dsn=postgresql://ann:a@hunter2@h/db"));
    refused_without_the_password(
        LOAD("collector.insecure=true", "database.dsn:postgresql://ann:hunter2@h/db"));
    refused_without_the_password(LOAD("collector.insecure=true", "database=password=hunter2"));
    static const char *const files[] = {
        "database: \"host=x password=hunter2\"\n",
        "database: {dsn: [\"password=hunter2\"]}\n",
        "database: {owner_dsn: \"host=x password='hunter2\"}\n",
        "database: {dsn: \"password=hunter2\", dsn: \"password=hunter2\"}\n",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct temp_file file;
        const char *const insecure = "collector.insecure=true";
        assert_int_equal(temp_file_open(&file, files[i]), 0);
        memset(&note, 0, sizeof note);
        int err = collector_conf_load(file.path, &insecure, 1, &conf, &note);
        temp_file_close(&file);
        refused_without_the_password(err);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(an_order_s_margin_covers_clocks_that_run_unevenly),
        cmocka_unit_test(what_must_never_be_tested_is_a_list_of_prefixes),
        cmocka_unit_test(a_door_needs_certificates_unless_it_is_said_to_be_insecure),
        cmocka_unit_test(a_rate_is_none_or_large_enough_that_no_sensor_waits_in_vain),
        cmocka_unit_test(what_is_empty_but_needed_is_told),
        cmocka_unit_test(no_mistake_in_a_connection_string_shows_its_password),
        cmocka_unit_test(what_explain_prints_can_be_loaded),
        cmocka_unit_test(the_shipped_file_is_what_explain_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* alerts.feeds: what is taken, what is filled in, what is refused and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/conf/collector_conf.h"

static struct collector_conf conf;
static struct note note;

static int load(const char *feeds)
{
    char setting[2048];
    snprintf(setting, sizeof setting, "alerts.feeds=%s", feeds);
    const char *settings[] = {"collector.certificate=/c.cert", "collector.sensors=/s.d", setting};
    note = (struct note){0};
    return collector_conf_load(NULL, settings, 3, &conf, &note);
}

static void the_contracts_four_feeds_are_taken(void **state)
{
    (void)state;
    assert_int_equal(
        load("[{type: jsonl, path: /var/log/penstock/alerts.jsonl}, {type: webhook, url: "
             "\"http://127.0.0.1:9093/api/v2/alerts\", format: alertmanager}, {type: syslog}, "
             "{type: zeromq, listen: \"tcp://127.0.0.1:5561\"}]"),
        0);
    assert_int_equal(conf.feed_count, 4);
    assert_string_equal(conf.feeds[0].name, "jsonl");
    assert_true(conf.feeds[0].fsync);
    assert_int_equal(conf.feeds[0].from, FEED_FROM_NOW);
    assert_int_equal(conf.feeds[1].format, FEED_ALERTMANAGER);
    assert_true(conf.feeds[1].repeat_ns == UINT64_C(60000000000));
    assert_string_equal(conf.feeds[2].address, "/dev/log");
    assert_int_equal(conf.feeds[2].facility, 3);
    assert_string_equal(conf.feeds[3].listen, "tcp://127.0.0.1:5561");
    assert_string_equal(conf.feeds[3].certificate, "");
}

static void curve_uses_the_collectors_certificate(void **state)
{
    (void)state;
    assert_int_equal(load("[{type: zeromq, listen: \"tcp://*:1\", curve: true}]"), 0);
    assert_string_equal(conf.feeds[0].certificate, "/c.cert");
}

static void a_feed_says_which_states_kinds_and_severity_it_wants(void **state)
{
    (void)state;
    assert_int_equal(load("[{type: syslog, name: noc, states: [firing, resolved], kinds: "
                          "[ingress_moved], severity: critical, facility: local3, from: start}]"),
                     0);
    const struct feed_conf *f = &conf.feeds[0];
    assert_string_equal(f->name, "noc");
    assert_int_equal(f->state_count, 2);
    assert_string_equal(f->states[1], "resolved");
    assert_int_equal(f->kind_count, 1);
    assert_int_equal(f->severity, FEED_CRITICAL);
    assert_int_equal(f->facility, 19);
    assert_int_equal(f->from, FEED_FROM_START);
}

static void what_a_feed_lacks_or_cannot_use_is_told_with_its_key(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"[{type: webhook}]",
         "entry 1 (webhook): url: missing; a webhook must say where to post to"},
        {"[{type: webhook, url: \"ftp://h/\"}]",
         "entry 1 (webhook): url: expected http://… or https://…"},
        {"[{type: jsonl}]", "entry 1 (jsonl): path: missing; jsonl must say which file"},
        {"[{type: jsonl, path: a.jsonl}]", "entry 1 (jsonl): path: expected an absolute path"},
        {"[{type: syslog, address: \"udp://host\"}]",
         "entry 1 (syslog): address: expected a path, udp://HOST:PORT or tcp://HOST:PORT"},
        {"[{type: syslog}, {type: zeromq}]",
         "entry 2 (zeromq): listen: missing; zeromq must say where to publish"},
        {"[{type: zeromq, listen: \"tcp://*:1\", catch_up: \"tcp://*:1\"}]",
         "entry 1 (zeromq): catch_up: expected another endpoint than listen"},
        {"[{type: zeromq, listen: \"tcp://*:1\", subscribers: /etc/penstock/subscribers.d}]",
         "entry 1 (zeromq): subscribers: needs curve: true; without it nobody has a key"},
        {"[{type: jsonl, path: /a, subscribers: /b}]",
         "entry 1 (jsonl): subscribers: not a key of this kind of feed"},
        {"[{type: syslog}, {type: syslog, address: /run/log}]",
         "entry 2 (syslog): name: \"syslog\" is entry 1's; say another"},
        {"[{type: syslog, name: \"a b\"}]",
         "entry 1 (syslog): name: expected letters, digits, \".\", \"_\" and \"-\""},
        {"[{type: syslog, states: [fireing]}]",
         "entry 1 (syslog): states: expected pending, firing, acknowledged, resolved, suppressed"},
        {"[{type: syslog, url: \"http://h/\"}]",
         "entry 1 (syslog): url: not a key of this kind of feed"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(load(pairs[i][0]), ERR_CONF);
        const char *said = strstr(note.text, "entry");
        assert_non_null(said);
        assert_string_equal(said, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_contracts_four_feeds_are_taken),
        cmocka_unit_test(curve_uses_the_collectors_certificate),
        cmocka_unit_test(a_feed_says_which_states_kinds_and_severity_it_wants),
        cmocka_unit_test(what_a_feed_lacks_or_cannot_use_is_told_with_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

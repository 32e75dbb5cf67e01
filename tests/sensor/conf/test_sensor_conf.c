#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/conf/sensor_conf.h"
#include "tests/support/read_file.h"
#include "tests/support/temp_file.h"

static struct sensor_conf conf;
static struct note note;

/* A wire with everything that is required. */
#define NEEDED                                                                               \
    "sensor.name=ams1", "sensor.pop=AMS", "source.interface=eth1", "forward.interface=eth2", \
        "publish.endpoint=tcp://192.0.2.10:5560", "publish.insecure=true"

#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL}, false)

static int load(const char *const *settings, bool is_capture)
{
    size_t n = 0;
    while (settings[n] != NULL)
        n++;
    memset(&conf, 0xa5, sizeof conf); /* loading must not trust what stood there */
    memset(&note, 0, sizeof note);
    return sensor_conf_load(NULL, settings, n, is_capture, &conf, &note);
}

static void assert_says(int err, const char *sentence)
{
    assert_int_equal(err, ERR_CONF);
    assert_string_equal(note.text, sentence);
}

static void the_required_keys_are_all_named_at_once(void **state)
{
    (void)state;
    assert_int_equal(load((const char *const[]){NULL}, false), ERR_CONF);
    static const char *const keys[] = {
        "sensor.name: required",      "sensor.pop: required",
        "source.interface: required", "forward.interface: required",
        "publish.endpoint: required", "publish.certificate: required",
        "publish.server: required"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_non_null(strstr(note.text, keys[i]));
}

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED), 0);
    assert_int_equal(conf.source.driver, SOURCE_AF_XDP);
    assert_int_equal(conf.source.queues, 0);
    assert_int_equal(conf.source.xdp_mode, XDP_MODE_AUTO);
    assert_int_equal(conf.source.zero_copy, ZERO_COPY_AUTO);
    assert_string_equal(conf.source.pin_dir, "/run/penstock/bpf");
    assert_int_equal(conf.source.forward, FORWARD_AF_XDP);
    assert_int_equal(conf.penny.mode, PENNY_ACTIVE);
    assert_true(conf.penny.drop_probability == 0.05);
    assert_int_equal(conf.penny.max_drops, 12);
    assert_int_equal(conf.penny.budget, 60);
    assert_true(conf.penny.timeout_ns == UINT64_C(3000000000));
    assert_true(conf.penny.gap_ns == UINT64_C(500000000));
    assert_int_equal(conf.penny.open_blocks, 5);
    assert_true(conf.penny.alpha == 1e-4);
    assert_true(conf.penny.miss_max == 0.05);
    assert_true(conf.penny.max_duration_ns == UINT64_C(120000000000));
    assert_true(conf.penny.retest_after_ns == UINT64_C(3600000000000));
    assert_int_equal(conf.penny.max_flows, 65536);
    assert_int_equal(conf.penny.max_tests, 1024);
    assert_true(conf.penny.flow_idle_ns == UINT64_C(30000000000));
    assert_true(conf.scan.enabled);
    assert_true(conf.scan.window_ns == UINT64_C(60000000000));
    assert_int_equal(conf.scan.bits, 1024);
    assert_int_equal(conf.scan.bins, 16);
    assert_int_equal(conf.scan.home_count, 0);
    assert_true(conf.tally.interval_ns == UINT64_C(10000000000));
    assert_int_equal(conf.tally.v4_length, 24);
    assert_int_equal(conf.tally.v6_length, 48);
    assert_int_equal(conf.tally.max_cells, 65536);
    assert_int_equal(conf.publish.keep_bytes, 1 << 30);
    assert_int_equal(conf.publish.linger_ns, 20000000);
    assert_true(conf.publish.stop_wait_ns == UINT64_C(3000000000));
    assert_string_equal(conf.metrics_listen, "127.0.0.1:9559");
    assert_int_equal(conf.log_level, LOG_LEVEL_INFO);
}

static void modules_get_what_follows_from_other_sections(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "tally.v4_length=20", "tally.v6_length=40",
                          "penny.prefixes=[203.0.113.0/24, 2001:db8:77::/48]"),
                     0);
    assert_ptr_equal(conf.source.ingress, &conf.ingress);
    assert_ptr_equal(conf.source.watched, conf.penny.prefixes);
    assert_int_equal(conf.source.watched_count, 2);
    assert_int_equal(conf.source.tally_v4_length, 20);
    assert_int_equal(conf.source.tally_v6_length, 40);
    assert_string_equal(conf.publish.sensor, "ams1");
    assert_string_equal(conf.publish.pop, "AMS");
    assert_string_equal(conf.publish.driver, "af_xdp");
}

static void with_penny_off_nothing_is_watched(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "penny.mode=off", "penny.prefixes=[203.0.113.0/24]"), 0);
    assert_int_equal(conf.source.watched_count, 0);
}

static void a_capture_needs_no_configuration_at_all(void **state)
{
    (void)state;
    assert_int_equal(load((const char *const[]){NULL}, true), 0);
    assert_int_equal(conf.source.driver, SOURCE_PCAP);
    assert_int_equal(conf.source.forward, FORWARD_NONE);
    assert_string_equal(conf.name, "capture");
    assert_int_equal(conf.ingress.count, 1);
    assert_string_equal(conf.ingress.row[0].router, "capture");
}

static void a_capture_s_settings_are_checked_all_the_same(void **state)
{
    (void)state;
    assert_says(load((const char *const[]){"scan.bins=3", NULL}, true),
                "--set: scan.bins: 3 does not divide scan.bits, 1024");
    assert_says(load((const char *const[]){"scan.bin=4", NULL}, true),
                "--set: unknown key \"scan.bin\"; did you mean scan.bins?");
}

static void the_ingress_list_ends_with_a_row_that_matches_everything(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED), 0);
    assert_int_equal(conf.ingress.count, 1);
    assert_string_equal(conf.ingress.row[0].router, "ams1");
    assert_string_equal(conf.ingress.row[0].interface, "eth1");

    assert_int_equal(LOAD(NEEDED,
                          "ingress=[{vlan: 101, router: r1, interface: xe-0/0/1, peer_as: 64501},"
                          "{mac: \"02:00:00:00:00:07\", router: r1, interface: ixp0}]"),
                     0);
    assert_int_equal(conf.ingress.count, 3);
    assert_int_equal(conf.ingress.row[0].vlan, 101);
    assert_int_equal(conf.ingress.row[0].peer_as, 64501);
    assert_int_equal(conf.ingress.row[1].mac[0], 2);
    assert_string_equal(conf.ingress.row[2].router, "ams1");
}

static void the_operator_s_own_last_row_is_kept(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "ingress=[{vlan: 1, router: r1, interface: a},"
                                  "{router: r1, interface: b}]"),
                     0);
    assert_int_equal(conf.ingress.count, 2);
    assert_string_equal(conf.ingress.row[1].interface, "b");
}

static void ingress_rows_that_never_match_are_refused(void **state)
{
    (void)state;
    assert_says(LOAD(NEEDED, "ingress=[{router: r1, interface: b},"
                             "{vlan: 1, router: r1, interface: a}]"),
                "--set: ingress: row 1 matches everything, so the rows after it never match");
}

static void at_most_63_ingress_rows_are_taken(void **state)
{
    (void)state;
    char text[8000] = "ingress=[";
    for (unsigned i = 1; i <= 63; i++)
        sprintf(text + strlen(text), "{vlan: %u, router: r, interface: i},", i);
    size_t len = strlen(text);
    strcpy(text + len, "]");
    assert_int_equal(LOAD(NEEDED, text), 0);
    assert_int_equal(conf.ingress.count, 64);
    strcpy(text + len, "{vlan: 64, router: r, interface: i}]");
    assert_int_equal(LOAD(NEEDED, text), ERR_CONF);
    assert_non_null(strstr(note.text, "expected at most 63 entries"));
}

static void what_does_not_fit_together_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *sentence;
    } cases[] = {
        {"forward.driver=none", "penny.mode: active needs a wire to withhold segments from, but "
                                "forward.driver is none; use passive or off"},
        {"sensor.name=ams 1",
         "--set: sensor.name: a name must be UTF-8 without spaces, quotes and backslashes"},
        {"sensor.name=ams\xff",
         "--set: sensor.name: a name must be UTF-8 without spaces, quotes and backslashes"},
        {"penny.prefixes=[10.0.0.0/8",
         "--set: penny.prefixes: this is not YAML: while parsing a flow sequence, did not find "
         "expected ',' or ']'"},
        {"penny.mode=passive", ""},
        {"source.eal=[--no-pci]", "--set: source.eal: only for source.driver dpdk; leave it out"},
        {"source.mtu=9000", "--set: source.mtu: only for source.driver dpdk; else: ip link set dev "
                            "eth1 mtu 9000"},
        {"source.eal=[]", ""},
        {"forward.driver=raw", ""},
        {"forward.driver=tun", ""},
        {"forward.driver=teleport",
         "--set: forward.driver: expected one of af_xdp, dpdk, tun, raw, none, got \"teleport\""},
        {"forward.interface=longer-than-a-name",
         "--set: forward.interface: \"longer-than-a-name\" is longer than an interface name can be "
         "(15)"},
        {"forward.driver=dpdk",
         "--set: forward.driver: dpdk is for source.driver dpdk; use af_xdp, raw, tun or none"},
#ifdef PENSTOCK_DPDK
        {"source.driver=dpdk", "forward.driver: source.driver dpdk forwards with dpdk, not with "
                               "af_xdp; use dpdk, or none"},
#else
        {"source.driver=dpdk",
         "--set: source.driver: this build has no DPDK source: libdpdk was not there when it was "
         "built, or WITH_DPDK was off; use af_xdp\nforward.driver: source.driver dpdk forwards "
         "with dpdk, not with af_xdp; use dpdk, or none"},
#endif
        {"source.driver=pcap", "forward.driver: source.driver pcap cannot forward; use none"},
        {"forward.interface=eth1",
         "--set: forward.interface: \"eth1\" is source.interface too; traffic would turn back"},
        {"source.interface=longer-than-a-name",
         "--set: source.interface: \"longer-than-a-name\" is longer than an interface name can be "
         "(15)"},
        {"scan.bins=64", ""},
        {"scan.bins=65", "--set: scan.bins: expected a whole number from 1 to 64, got \"65\""},
        {"scan.bins=48", "--set: scan.bins: 48 does not divide scan.bits, 1024"},
        {"penny.budget=11", "--set: penny.budget: 11 is less than penny.max_drops, 12"},
        {"penny.flow_idle=2s", "--set: penny.flow_idle: must be longer than penny.timeout"},
        {"source.ring=16384", ""},
        {"source.ring=3000", "--set: source.ring: 3000 is no power of two"},
        {"penny.passive_idle=30s", ""},
        {"penny.rule=fair", "--set: penny.rule: expected one of randomised, paper, got \"fair\""},
        {"penny.rule=paper", ""},
        {"penny.never=[198.51.100.0/24]", ""},
        {"penny.max_duration=3s", "--set: penny.max_duration: must be longer than penny.timeout"},
        {"penny.prefixes=[10.0.0.0/8, 10.0.0.0/8]",
         "--set: penny.prefixes[2]: 10.0.0.0/8 stands twice in the list"},
        {"ingress=[{vlan: 0, router: r, interface: i}]",
         "--set: ingress[1].vlan: expected a whole number from 1 to 4094, got \"0\""},
        {"ingress=[{mac: 02-00, router: r, interface: i}]",
         "--set: ingress[1].mac: expected a MAC address, written like \"02:00:00:00:00:07\", got "
         "\"02-00\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int err = LOAD(NEEDED, cases[i].setting);
        assert_string_equal(note.text, cases[i].sentence);
        assert_int_equal(err, cases[i].sentence[0] == '\0' ? 0 : ERR_CONF);
    }
}

static void a_connection_needs_certificates_unless_it_is_said_to_be_insecure(void **state)
{
    (void)state;
    assert_says(LOAD(NEEDED, "publish.insecure=false"),
                "publish.certificate: required, but not given\n"
                "publish.server: required, but not given");
    assert_says(LOAD(NEEDED, "publish.insecure=false", "publish.certificate=/etc/a.cert"),
                "publish.server: required, but not given");
    assert_int_equal(LOAD(NEEDED, "publish.insecure=false", "publish.certificate=/etc/a.cert",
                          "publish.server=/etc/b.pub"),
                     0);
    assert_string_equal(conf.publish.certificate, "/etc/a.cert");
    assert_string_equal(conf.publish.server, "/etc/b.pub");
    assert_false(conf.publish.insecure);
}

static void what_is_never_tested_is_not_watched_from_the_start(void **state)
{
    (void)state;
    assert_says(LOAD(NEEDED, "penny.never=[198.51.100.64/26]",
                     "penny.prefixes=[203.0.113.0/24, 198.51.100.0/24]"),
                "--set: penny.prefixes: 198.51.100.0/24 overlaps 198.51.100.64/26, which stands "
                "in penny.never");
    assert_int_equal(LOAD(NEEDED, "penny.never=[198.51.100.64/26]", "penny.mode=passive",
                          "penny.prefixes=[198.51.100.0/24]"),
                     0); /* withholds nothing */
}

static void the_papers_rule_takes_no_more_than_its_twelve_drops(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "penny.rule=paper", "penny.max_drops=12"), 0);
    assert_int_equal(conf.penny.rule, PENNY_PAPER);
    assert_says(
        LOAD(NEEDED, "penny.rule=paper", "penny.max_drops=13"),
        "--set: penny.max_drops: 13, but penny.rule is paper, which judges over at most 12");
    assert_says(
        LOAD(NEEDED, "penny.rule=paper", "penny.flow_idle=6s"),
        "--set: penny.flow_idle: must be longer than twice penny.timeout where penny.rule is "
        "paper");
    assert_int_equal(LOAD(NEEDED, "penny.max_drops=13", "penny.flow_idle=6s"), 0);
    assert_int_equal(conf.penny.rule, PENNY_RANDOMISED);
}

static void an_endpoint_is_a_kind_a_host_and_a_port(void **state)
{
    (void)state;
    static const char *const good[] = {"tcp://collector.example:5560", "tcp://[2001:db8::1]:65535",
                                       "ipc:///run/penstock/collector"};
    static const char *const bad[] = {
        "nonsense",     "tcp://host",   "tcp://:5560",
        "tcp://host:",  "tcp://host:0", "tcp://host:65536",
        "udp://host:1", "ipc://",       "tcp://host:99999999999999999999"};
    char setting[100];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(setting, sizeof setting, "publish.endpoint=%s", good[i]);
        assert_int_equal(LOAD(NEEDED, setting), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(setting, sizeof setting, "publish.endpoint=%s", bad[i]);
        assert_int_equal(LOAD(NEEDED, setting), ERR_CONF);
        assert_non_null(strstr(note.text, "publish.endpoint: expected an endpoint"));
    }
}

static void a_mirror_runs_with_penny_passive_or_off(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "forward.driver=none", "penny.mode=passive"), 0);
    assert_int_equal(conf.penny.mode, PENNY_PASSIVE);
    assert_int_equal(conf.penny.passive_flows, 1000);
    assert_int_equal(conf.penny.passive_rows, 1000);
    assert_true(conf.penny.passive_idle_ns == UINT64_C(60000000000));
    assert_int_equal(LOAD(NEEDED, "forward.driver=none", "forward.interface=", "penny.mode=off"),
                     0);
    assert_int_equal(conf.source.forward, FORWARD_NONE);
}

static void a_tun_device_has_a_name_and_not_a_pattern(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "forward.driver=tun", "forward.interface=penny0"), 0);
    assert_int_equal(conf.source.forward, FORWARD_TUN);
    assert_int_equal(conf.penny.mode, PENNY_ACTIVE); /* what it does not forward is withheld */
    assert_int_equal(LOAD(NEEDED, "forward.driver=tun", "forward.interface=tun%d"), ERR_CONF);
    assert_string_equal(note.text,
                        "--set: forward.interface: \"tun%d\" is no name for a TUN device");
    assert_int_equal(LOAD(NEEDED, "forward.driver=raw", "forward.interface=tun%d"), 0);
}

static void a_passive_test_outlives_its_idle_flows(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "penny.mode=passive", "penny.passive_idle=30s"), ERR_CONF);
    assert_string_equal(note.text,
                        "--set: penny.passive_idle: must be longer than penny.flow_idle");
    assert_int_equal(LOAD(NEEDED, "penny.mode=passive", "penny.passive_idle=31s"), 0);
}

static void a_user_that_would_not_be_become_is_refused(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "sensor.user=nobody", "sensor.rights=as_started"), ERR_CONF);
    assert_string_equal(note.text, "--set: sensor.user: sensor.rights is as_started, so nobody "
                                   "else is become; leave one of them out");
    assert_int_equal(LOAD(NEEDED, "sensor.user=nobody"), 0);
}

#ifdef PENSTOCK_DPDK
static void a_dpdk_sensor_has_ports_of_its_own_kind_and_says_its_name(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NEEDED, "source.driver=dpdk", "forward.driver=dpdk",
                          "source.interface=net_af_packet0,iface=eth1,blocksz=65536,framecnt=8192",
                          "forward.interface=0000:03:00.1", "source.mtu=9000",
                          "source.eal=[--no-huge, -m, \"512\"]"),
                     0);
    assert_int_equal(conf.source.mtu, 9000);
    assert_int_equal(conf.source.eal_count, 3);
    assert_string_equal(conf.source.eal[2], "512");
    assert_string_equal(conf.source.sensor, conf.name);
}
#endif

static void the_file_s_mistakes_have_lines_and_settings_come_last(void **state)
{
    (void)state;
    struct temp_file file;
    assert_int_equal(temp_file_open(&file, "sensor: {name: ams1, pop: AMS}\n"
                                           "source: {interface: eth1, queues: 4}\n"
                                           "forward:\n  interface: eth1\n"
                                           "publish: {endpoint: \"tcp://x:1\", insecure: true}\n"),
                     0);
    int err = sensor_conf_load(file.path, NULL, 0, false, &conf, &note);
    char want[200];
    snprintf(want, sizeof want,
             "%s:4: forward.interface: \"eth1\" is source.interface too; "
             "traffic would turn back",
             file.path);
    assert_string_equal(note.text, want);
    assert_int_equal(err, ERR_CONF);
    const char *const setting = "forward.interface=eth2";
    assert_int_equal(sensor_conf_load(file.path, &setting, 1, false, &conf, &note), 0);
    assert_int_equal(conf.source.queues, 4);
    assert_string_equal(conf.source.forward_interface, "eth2");
    temp_file_close(&file);
}

static void a_file_that_cannot_be_read_is_not_said_to_lack_its_keys_too(void **state)
{
    (void)state;
    struct temp_file file;
    assert_int_equal(temp_file_open(&file, "sensor: {name: ams1}\nsource: [\n"), 0);
    assert_int_equal(sensor_conf_load(file.path, NULL, 0, false, &conf, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "not YAML"));
    assert_null(strstr(note.text, "required"));
    temp_file_close(&file);
    assert_says(sensor_conf_load("no/such.yaml", NULL, 0, false, &conf, &note),
                "no/such.yaml: cannot read: No such file or directory");
}

static char *explained(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    sensor_conf_explain(out);
    fclose(out);
    return text;
}

static void what_explain_prints_can_be_loaded(void **state)
{
    (void)state;
    struct temp_file file;
    char *text = explained();
    assert_int_equal(temp_file_open(&file, text), 0);
    int err = sensor_conf_load(file.path, NULL, 0, false, &conf, &note);
    assert_string_equal(note.text, "");
    assert_int_equal(err, 0);
    temp_file_close(&file);
    free(text);
}

static void the_shipped_file_is_what_explain_prints(void **state)
{
    (void)state;
    char *text = explained(), *shipped = read_file(CONFIGS "/sensor.yaml");
    assert_non_null(shipped);
    assert_string_equal(shipped, text);
    free(shipped);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_required_keys_are_all_named_at_once),
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(modules_get_what_follows_from_other_sections),
        cmocka_unit_test(with_penny_off_nothing_is_watched),
        cmocka_unit_test(a_capture_needs_no_configuration_at_all),
        cmocka_unit_test(a_capture_s_settings_are_checked_all_the_same),
        cmocka_unit_test(the_ingress_list_ends_with_a_row_that_matches_everything),
        cmocka_unit_test(the_operator_s_own_last_row_is_kept),
        cmocka_unit_test(ingress_rows_that_never_match_are_refused),
        cmocka_unit_test(at_most_63_ingress_rows_are_taken),
        cmocka_unit_test(what_does_not_fit_together_is_told),
        cmocka_unit_test(a_connection_needs_certificates_unless_it_is_said_to_be_insecure),
        cmocka_unit_test(what_is_never_tested_is_not_watched_from_the_start),
        cmocka_unit_test(the_papers_rule_takes_no_more_than_its_twelve_drops),
        cmocka_unit_test(an_endpoint_is_a_kind_a_host_and_a_port),
        cmocka_unit_test(a_mirror_runs_with_penny_passive_or_off),
        cmocka_unit_test(a_tun_device_has_a_name_and_not_a_pattern),
        cmocka_unit_test(a_passive_test_outlives_its_idle_flows),
        cmocka_unit_test(a_user_that_would_not_be_become_is_refused),
#ifdef PENSTOCK_DPDK
        cmocka_unit_test(a_dpdk_sensor_has_ports_of_its_own_kind_and_says_its_name),
#endif
        cmocka_unit_test(the_file_s_mistakes_have_lines_and_settings_come_last),
        cmocka_unit_test(a_file_that_cannot_be_read_is_not_said_to_lack_its_keys_too),
        cmocka_unit_test(what_explain_prints_can_be_loaded),
        cmocka_unit_test(the_shipped_file_is_what_explain_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

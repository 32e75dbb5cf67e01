/* The program from outside: modes, exit statuses, and what --capture prints. */
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/frames.h"

#define OUTPUT_ROOM (1 << 20)

static char dir[] = "/tmp/penstock-test-XXXXXX";
static char file[64];
static char output[OUTPUT_ROOM];

/* 60 openings towards ports 1.. over two minutes, from two prefixes. */
static void write_capture(const char *path, unsigned from_port)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
    pcap_dumper_t *out = pcap_dump_open(pcap, path);
    assert_non_null(out);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t data[FRAME_ROOM];
        struct frame_spec spec =
            frame_tcp4(i % 2 == 0 ? "203.0.113.1" : "198.51.100.1", "192.0.2.1", 4000,
                       (uint16_t)(from_port + i), 1, TCP_SYN, 0);
        struct frame f = frame_make(&spec, data);
        struct pcap_pkthdr header = {.caplen = f.len, .len = f.wire_len};
        header.ts.tv_sec = 1700000000 + 2 * (time_t)i;
        pcap_dump((u_char *)out, &header, f.data);
    }
    pcap_dump_close(out);
    pcap_close(pcap);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/capture.pcap", dir);
    write_capture(file, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Runs the sensor with these arguments in a shell; fills output. Its exit status. */
static int __attribute__((format(printf, 1, 2))) sensor(const char *format, ...)
{
    char command[1024];
    int used = snprintf(command, sizeof command, "%s ", PENSTOCK_SENSOR);
    va_list args;
    va_start(args, format);
    vsnprintf(command + used, sizeof command - (size_t)used, format, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static unsigned lines_with(const char *text)
{
    unsigned n = 0;
    for (const char *at = output; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void a_capture_gives_its_events_in_order_and_in_its_own_time(void **state)
{
    (void)state;
    assert_int_equal(sensor("--capture %s --set scan.home=[192.0.2.0/24]", file), 0);
    assert_int_equal(strncmp(output, "{\"epoch\":1700000000000000000,\"sequence\":1,", 42), 0);
    assert_non_null(strstr(output, "\"event\":\"sensor_started\""));
    assert_int_equal(lines_with("\"event\":\"sensor_started\""), 1);
    assert_int_equal(lines_with("\"event\":\"sensor_stopped\""), 1);
    assert_int_equal(lines_with("end of capture"), 1);
    /* two directions; 22:13:20 to 22:15:18 is one window of a minute and most of another */
    assert_int_equal(lines_with("\"event\":\"scan_window\""), 4);
    assert_int_equal(lines_with("\"ended_at\":\"2023-11-14T22:14:20.000000000Z\",\"direction\""),
                     2);
    assert_int_equal(lines_with("\"ended_at\":\"2023-11-14T22:15:18.000000000Z\",\"direction\""),
                     2);
    assert_int_equal(lines_with("\"probes\":30,"), 2);
    /* two prefixes, twelve intervals of ten seconds */
    assert_int_equal(lines_with("\"event\":\"tally\""), 24);
    assert_int_equal(lines_with("\"event\":\"sensor_status\""), 12);
    char last[32];
    snprintf(last, sizeof last, "\"sequence\":%u,", 1 + 4 + 24 + 12 + 1);
    assert_int_equal(lines_with(last), 1);
}

static void the_same_capture_gives_the_same_bytes(void **state)
{
    (void)state;
    static char before[OUTPUT_ROOM];
    assert_int_equal(sensor("--capture %s", file), 0);
    strcpy(before, output);
    assert_int_equal(sensor("--capture - --seed 1 < %s", file), 0);
    assert_string_equal(before, output);
}

static void a_damaged_capture_is_printed_up_to_the_damage(void **state)
{
    (void)state;
    assert_int_equal(sensor("--capture %s", file), 0);
    char cut[80];
    snprintf(cut, sizeof cut, "%s/cut.pcap", dir);
    char command[256];
    snprintf(command, sizeof command, "head -c 1000 %s > %s", file, cut);
    assert_int_equal(system(command), 0);
    assert_int_equal(sensor("--capture %s 2>/dev/null", cut), 1);
    assert_true(lines_with("\"event\":\"tally\"") > 0);
    assert_int_equal(lines_with("capture damaged"), 1);
    assert_int_equal(sensor("--capture %s 2>&1 >/dev/null", cut), 1);
    assert_int_equal(lines_with("damaged"), 2); /* the log's line, and the program's last word */
}

static void a_file_that_is_no_capture_is_a_failure_with_its_name(void **state)
{
    (void)state;
    assert_int_equal(sensor("--capture %s/none.pcap 2>&1", dir), 1);
    assert_non_null(strstr(output, "none.pcap"));
    assert_int_equal(sensor("--capture /dev/null 2>&1"), 1);
    assert_non_null(strstr(output, "/dev/null"));
}

static void bad_usage_and_bad_configuration_end_with_2(void **state)
{
    (void)state;
    assert_int_equal(sensor("2>&1"), 2);
    assert_non_null(strstr(output, "--help"));
    assert_int_equal(sensor("--no-such 2>&1"), 2);
    assert_int_equal(sensor("--capture %s --seed x 2>&1", file), 2);
    assert_int_equal(sensor("--capture %s --detach 2>&1", file), 2);
    assert_int_equal(sensor("--capture %s --set no.such=1 2>&1", file), 2);
    assert_non_null(strstr(output, "no.such"));
    assert_int_equal(sensor("--capture %s --set scan.bins=15 2>&1", file), 2);
    assert_int_equal(sensor("-c %s/none.yaml 2>&1", dir), 2);
    assert_int_equal(sensor("-c %s/none.yaml --check 2>&1", dir), 2);
    assert_int_equal(sensor("-c x --seed 1 2>&1"), 2);
}

static void help_version_and_explain_end_with_0(void **state)
{
    (void)state;
    assert_int_equal(sensor("--help"), 0);
    assert_non_null(strstr(output, "--capture"));
    assert_int_equal(sensor("--version"), 0);
    assert_non_null(strstr(output, "penstock-sensor "));
    assert_int_equal(sensor("--explain"), 0);
    assert_non_null(strstr(output, "drop_probability"));
}

static void a_sound_configuration_passes_the_check(void **state)
{
    (void)state;
    char path[80];
    snprintf(path, sizeof path, "%s/sensor.yaml", dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "sensor: {name: ams1, pop: AMS}\n"
                 "source: {driver: af_xdp, interface: eth1}\n"
                 "forward: {driver: none}\n"
                 "penny: {mode: off}\n"
                 "publish: {endpoint: \"tcp://192.0.2.10:5560\", insecure: true}\n");
    fclose(out);
    assert_int_equal(sensor("-c %s --check 2>&1", path), 0);
    assert_int_equal(sensor("-c %s --check --set penny.mode=active 2>&1", path), 2);
}

static void who_asks_for_the_papers_rule_is_warned_once(void **state)
{
    (void)state;
    assert_int_equal(
        sensor("--capture %s --set penny.mode=active --set penny.rule=paper 2>&1", file), 0);
    assert_int_equal(lines_with("warn event=rule_paper"), 1);
    assert_int_equal(sensor("--capture %s --set penny.mode=active 2>&1", file), 0);
    assert_int_equal(lines_with("event=rule_paper"), 0);
    assert_int_equal(sensor("--capture %s --set penny.rule=paper 2>&1", file), 0);
    assert_int_equal(lines_with("event=rule_paper"), 0);
}

/* A run over a capture instead of an interface: everything but privileges. The collector is away.
 */
static int run(const char *capture, const char *more)
{
    char path[80];
    snprintf(path, sizeof path, "%s/run.yaml", dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out,
            "sensor: {name: ams1, pop: AMS}\n"
            "source: {driver: pcap, interface: \"%s\"}\n"
            "forward: {driver: none}\n"
            "penny: {mode: off}\n"
            "publish: {endpoint: \"tcp://127.0.0.1:9\", insecure: true, stop_wait: 100ms}\n"
            "metrics: {listen: \"\"}\n",
            capture);
    fclose(out);
    return sensor("-c %s %s 2>&1", path, more);
}

static void a_run_without_a_collector_starts_and_ends_cleanly(void **state)
{
    (void)state;
    assert_int_equal(run(file, ""), 0);
    assert_int_equal(lines_with("event=started name=ams1 pop=AMS driver=pcap queues=1"), 1);
    assert_int_equal(lines_with("event=stopping reason=\"end of capture\""), 1);
    assert_int_equal(lines_with("event=events_lost"), 1); /* a replay's spool ends with it */
}

static void a_source_that_fails_ends_the_run_with_1(void **state)
{
    (void)state;
    char cut[80], command[256];
    snprintf(cut, sizeof cut, "%s/cut.pcap", dir);
    snprintf(command, sizeof command, "head -c 1000 %s > %s", file, cut);
    assert_int_equal(system(command), 0);
    assert_int_equal(run(cut, ""), 1);
    assert_int_equal(lines_with("event=worker_failed"), 1);
    assert_int_equal(run("/nowhere/capture.pcap", ""), 1);
    assert_non_null(strstr(output, "penstock-sensor: capture /nowhere/capture.pcap: "));
}

static void a_metrics_address_that_is_none_is_found_by_the_check_too(void **state)
{
    (void)state;
    assert_int_equal(run(file, "--check --set metrics.listen=localhost"), 2);
    assert_int_equal(run(file, "--set metrics.listen=localhost"), 2);
    assert_non_null(strstr(output, "metrics.listen: "));
    assert_non_null(strstr(output, "127.0.0.1:9559"));
}

static void what_the_machine_refuses_ends_the_start_with_1(void **state)
{
    (void)state;
    assert_int_equal(run(file, "--set metrics.listen=192.0.2.1:9559"), 1);
    assert_non_null(strstr(output, "192.0.2.1"));
}

/* Shell words that wait until the log, which goes to that file, has a line with these words. */
#define UNTIL_SAID \
    "i=0; until grep -q '%s' %s/log || [ $i -gt 600 ]; do sleep 0.1; i=$((i+1)); done; "

/* What the log of another run said is not waited for. */
static void forget_log(void)
{
    char log[80];
    snprintf(log, sizeof log, "%s/log", dir);
    unlink(log);
}

/* The capture ends at once, and then the sensor waits for the collector. */
static void a_sighup_while_it_stops_does_not_kill_it(void **state)
{
    (void)state;
    char command[512];
    forget_log();
    snprintf(command, sizeof command,
             "--set publish.stop_wait=2s >%s/log 2>&1 & " UNTIL_SAID
             "kill -HUP $!; wait $!; s=$?; cat %s/log; exit $s",
             dir, "event=stopping", dir, dir);
    assert_int_equal(run(file, command), 0);
    assert_int_equal(lines_with("event=stopped"), 1);
}

/* Standard input stays open and silent, so the sensor runs until it is told to end. */
static void sighup_reads_the_configuration_again_and_sigterm_ends_the_run(void **state)
{
    (void)state;
    char fifo[80], command[1024];
    forget_log();
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(command, sizeof command, "mkfifo %s", fifo);
    assert_int_equal(system(command), 0);
    /* The writer outlives the signals, and then the sensor's read ends too. */
    snprintf(command, sizeof command,
             "--set source.interface=- --set log.level=debug < %s >%s/log 2>&1 & "
             "exec 3> %s; cat %s >&3; " UNTIL_SAID "kill -HUP $!; " UNTIL_SAID
             "kill -TERM $!; " UNTIL_SAID "exec 3>&-; wait $!; s=$?; cat %s/log; exit $s",
             fifo, dir, fifo, file, "event=started", dir, "event=reload", dir, "event=stopping",
             dir, dir);
    assert_int_equal(run("capture", command), 0);
    assert_int_equal(lines_with("event=reload"), 1);
    assert_int_equal(lines_with("event=stopping reason=\"SIGTERM\""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capture_gives_its_events_in_order_and_in_its_own_time),
        cmocka_unit_test(the_same_capture_gives_the_same_bytes),
        cmocka_unit_test(a_damaged_capture_is_printed_up_to_the_damage),
        cmocka_unit_test(a_file_that_is_no_capture_is_a_failure_with_its_name),
        cmocka_unit_test(bad_usage_and_bad_configuration_end_with_2),
        cmocka_unit_test(help_version_and_explain_end_with_0),
        cmocka_unit_test(a_sound_configuration_passes_the_check),
        cmocka_unit_test(who_asks_for_the_papers_rule_is_warned_once),
        cmocka_unit_test(a_run_without_a_collector_starts_and_ends_cleanly),
        cmocka_unit_test(a_source_that_fails_ends_the_run_with_1),
        cmocka_unit_test(a_metrics_address_that_is_none_is_found_by_the_check_too),
        cmocka_unit_test(what_the_machine_refuses_ends_the_start_with_1),
        cmocka_unit_test(a_sighup_while_it_stops_does_not_kill_it),
        cmocka_unit_test(sighup_reads_the_configuration_again_and_sigterm_ends_the_run),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

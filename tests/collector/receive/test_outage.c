/* What a sensor's log says when it does not get in: both ends are real, the log is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "collector/receive/receive.h"
#include "sensor/publish/publish.h"
#include "shared/base/clock.h"
#include "tests/support/keyring.h"

static struct keyring ring;
static struct curve_key ams1;
static struct counters counters, sensor_counters;
static struct ring events, *list[] = {&events};
static struct receive *door;
static struct publish *publish;
static int standard_error;

static int set_up(void **state)
{
    (void)state;
    keyring_open(&ring);
    ams1 = keyring_new_key("ams1", "AMS");
    memset(&counters, 0, sizeof counters);
    memset(&sensor_counters, 0, sizeof sensor_counters);
    assert_int_equal(ring_init(&events, sizeof(struct event), 64), 0);
    standard_error = dup(2);
    int fd = open(keyring_path(&ring, "", "log", ""), O_RDWR | O_CREAT | O_APPEND, 0600);
    dup2(fd, 2);
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    publish_close(publish, "done");
    publish = NULL;
    receive_close(door);
    ring_clear(&events);
    dup2(standard_error, 2);
    close(standard_error);
    keyring_close(&ring);
    return 0;
}

static void open_door(bool insecure)
{
    struct receive_conf conf = {.listen = "tcp://127.0.0.1:*", .insecure = insecure};
    struct note note = {0};
    strcpy(conf.certificate, ring.certificate);
    strcpy(conf.sensors, ring.sensors);
    assert_int_equal(receive_open(&conf, &counters, &door, &note), 0);
}

static void open_sensor(bool insecure, const char *server)
{
    struct publish_conf conf = {.insecure = insecure,
                                .sensor = "ams1",
                                .pop = "AMS",
                                .driver = "pcap",
                                .keep_bytes = 1 << 20,
                                .ping_ns = 50 * NS_PER_MS,
                                .dead_ns = 300 * NS_PER_MS};
    struct note note = {0};
    snprintf(conf.endpoint, sizeof conf.endpoint, "%s", receive_endpoint(door));
    snprintf(conf.certificate, sizeof conf.certificate, "%.255s",
             keyring_certificate(&ring, &ams1));
    snprintf(conf.server, sizeof conf.server, "%s", server);
    assert_int_equal(publish_open(&conf, list, 1, &sensor_counters, &publish, &note), 0);
}

/* How many lines of the log have this in them. */
static unsigned lines_with(const char *words)
{
    static char line[4096];
    unsigned n = 0;
    FILE *in = fopen(keyring_path(&ring, "", "log", ""), "r");
    while (fgets(line, sizeof line, in) != NULL)
        n += strstr(line, words) != NULL;
    fclose(in);
    return n;
}

/* The collector's work, until the log has so many such lines. Its answers: what a sensor needs. */
static void run_until(const char *words, unsigned n)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint64_t limit_ns = clock_mono_ns() + 60 * NS_PER_S;
    while (lines_with(words) < n && clock_mono_ns() < limit_ns)
        if (receive_next(door, 20, sensor, &m) == 1 && m.kind == WIRE_HELLO)
            receive_send(
                door, sensor,
                &(struct wire_message){
                    .kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = m.epoch, .credit = 8});
    assert_true(lines_with(words) >= n);
}

static void a_key_that_is_not_allowed_is_said_once_per_outage_with_the_cure(void **state)
{
    (void)state;
    open_door(false);
    uint64_t before = clock_mono_ns();
    open_sensor(false, ring.server);
    run_until("event=reconnect", 4); /* it tries again and again */
    assert_int_equal(lines_with("event=handshake_failed"), 1);
    assert_int_equal(lines_with("the collector does not accept this sensor's key"), 1);
    /* a collector says it once in ten seconds */
    assert_in_range(lines_with("event=key_refused address=127.0.0.1"), 1,
                    1 + (clock_mono_ns() - before) / (10 * NS_PER_S));
    assert_int_equal(lines_with("event=connected"), 0);
    keyring_allow(&ring, &ams1);
    run_until("event=connected", 1);
    keyring_forbid(&ring, "ams1");
    run_until("event=revoked sensor=ams1", 1);
    run_until("event=handshake_failed", 2); /* another outage */
    run_until("event=reconnect", lines_with("event=reconnect") + 3);
    assert_int_equal(lines_with("event=handshake_failed"), 2);
}

/* Whichever end finds first that they differ hangs up, so only that one is sure to know why. */
static void run_until_one_says(const char *words, const char *others_words)
{
    unsigned until = 0;
    while (lines_with(words) + lines_with(others_words) == 0)
        run_until("event=reconnect", ++until);
}

static void a_plain_sensor_at_an_encrypted_door_is_told_in_a_log(void **state)
{
    (void)state;
    open_door(false);
    open_sensor(true, ring.server);
    run_until_one_says("the collector wants CURVE, this sensor is plain",
                       "it came without encryption");
    assert_true(lines_with("warn event=insecure endpoint=") >= 1);
    assert_int_equal(lines_with("event=connected"), 0);
}

static void an_encrypted_sensor_at_a_plain_door_is_told_in_a_log(void **state)
{
    (void)state;
    open_door(true);
    open_sensor(false, ring.server);
    run_until_one_says("the collector is plain, this sensor wants CURVE", "it came with CURVE");
    assert_int_equal(lines_with("warn event=insecure listen="), 1);
    assert_int_equal(lines_with("event=connected"), 0);
}

/* Somebody who says so much of a plain ZeroMQ greeting (64 bytes), and hangs up when told to. */
static int plain_peer(size_t bytes)
{
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL";
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *port = strrchr(receive_endpoint(door), ':');
    to.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, greeting, bytes, MSG_NOSIGNAL), bytes);
    return fd;
}

static void a_reason_does_not_keep_another_out_of_the_collectors_log(void **state)
{
    (void)state;
    open_door(false);
    close(plain_peer(10));
    run_until("it closed the connection", 1);
    int fd = plain_peer(64);
    run_until("it came without encryption", 1);
    assert_int_equal(lines_with("more=0"), 2); /* each at once: the first of its kind */
    close(fd);
}

static void another_collectors_key_is_suspected_when_the_door_shuts_again_and_again(void **state)
{
    (void)state;
    struct curve_key other = keyring_new_key("other", "");
    keyring_save(&other, keyring_path(&ring, "", "other", ".pub"), false);
    char server[128];
    snprintf(server, sizeof server, "%.127s", ring.file);
    keyring_allow(&ring, &ams1);
    open_door(false);
    open_sensor(false, server);
    run_until("publish.server is not its key", 1);
    run_until("it was given another public key", 1);
    assert_int_equal(lines_with("event=connected"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_that_is_not_allowed_is_said_once_per_outage_with_the_cure),
        TEST(a_plain_sensor_at_an_encrypted_door_is_told_in_a_log),
        TEST(a_reason_does_not_keep_another_out_of_the_collectors_log),
        TEST(an_encrypted_sensor_at_a_plain_door_is_told_in_a_log),
        TEST(another_collectors_key_is_suspected_when_the_door_shuts_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

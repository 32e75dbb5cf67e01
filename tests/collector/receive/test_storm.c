/* Five hundred sensors at one door: all come in, and all come back when it was closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>
#include <sys/resource.h>

#include "collector/receive/receive.h"
#include "shared/base/log.h"
#include "tests/support/keyring.h"

enum { SENSORS = 500 };

static struct keyring keyring;
static struct curve_key key[SENSORS];
static zsock_t *sensor[SENSORS];
static struct counters counters;
static struct receive *door;

static void open_door(void)
{
    struct receive_conf conf = {.listen = "tcp://127.0.0.1:*"};
    struct note note = {0};
    strcpy(conf.certificate, keyring.certificate);
    strcpy(conf.sensors, keyring.sensors);
    assert_int_equal(receive_open(&conf, &counters, &door, &note), 0);
}

static int set_up(void **state)
{
    (void)state;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max; /* as the collector does; this process has both ends */
    setrlimit(RLIMIT_NOFILE, &limit);
    setenv("ZSYS_MAX_SOCKETS", "2000", 1); /* read by czmq with its first socket */
    keyring_open(&keyring);
    for (int i = 0; i < SENSORS; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        key[i] = keyring_new_key(name, "POP");
        keyring_allow(&keyring, &key[i]);
    }
    open_door();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < SENSORS; i++)
        zsock_destroy(&sensor[i]);
    receive_close(door);
    keyring_close(&keyring);
    return 0;
}

static void come(int i)
{
    sensor[i] = zsock_new(ZMQ_DEALER);
    assert_non_null(sensor[i]);
    zsock_set_linger(sensor[i], 0);
    zsock_set_reconnect_ivl(sensor[i], 100);
    zsock_set_curve_publickey(sensor[i], key[i].public_key);
    zsock_set_curve_secretkey(sensor[i], key[i].secret_key);
    zsock_set_curve_serverkey(sensor[i], keyring.collector.public_key);
    assert_int_equal(zsock_connect(sensor[i], "%s", receive_endpoint(door)), 0);
}

static void say_hello(int i)
{
    uint8_t bytes[512];
    struct wire_message m = {
        .kind = WIRE_HELLO, .version = WIRE_VERSION, .epoch = 1, .first_seq = 1, .next_seq = 1};
    int len = wire_encode(&m, bytes, sizeof bytes);
    zmq_send(zsock_resolve(sensor[i]), bytes, (size_t)len, ZMQ_DONTWAIT);
}

/* Takes hellos until each of the first n sensors said one. What was said into a connection that was
 * just closing is lost, so who was not heard says it again, as sensors do. */
static void take_hellos(int n)
{
    bool seen[SENSORS] = {false};
    char name[WIRE_NAME];
    struct wire_message m;
    int missing = n;
    for (int idle = 0; missing > 0 && idle < 60;) {
        if (receive_next(door, 1000, name, &m) == 1) {
            int i = atoi(name + 1);
            assert_int_equal(m.kind, WIRE_HELLO);
            assert_true(i < n);
            missing -= !seen[i];
            seen[i] = true;
            continue;
        }
        idle++;
        for (int i = 0; i < n; i++)
            if (!seen[i])
                say_hello(i);
    }
    assert_int_equal(missing, 0);
}

static void all_come_in_and_all_but_the_revoked_one_come_back(void **state)
{
    (void)state;
    char name[WIRE_NAME];
    struct wire_message m;
    for (int i = 0; i < SENSORS; i++)
        come(i);
    for (int i = 0; i < SENSORS; i++)
        say_hello(i);
    take_hellos(SENSORS);
    keyring_forbid(&keyring, "s499");
    for (int i = 0; i < 600 && counter_get(&counters, COUNTER_doors_renewed) == 0; i++)
        if (receive_next(door, 100, name, &m) == 1) /* who was slow had said it once more */
            assert_int_equal(m.kind, WIRE_HELLO);
    assert_int_equal(counter_get(&counters, COUNTER_doors_renewed), 1);
    for (int i = 0; i < SENSORS; i++) /* kept by ZeroMQ until it has connected again */
        say_hello(i);
    take_hellos(SENSORS - 1);
    while (receive_next(door, 300, name, &m) == 1)
        assert_string_not_equal(name, "s499");
    assert_true(counter_get(&counters, COUNTER_keys_refused) >= 1);
    assert_int_equal(counter_get(&counters, COUNTER_messages_malformed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_come_in_and_all_but_the_revoked_one_come_back, set_up,
                                        tear_down),
    };
    log_level_set(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

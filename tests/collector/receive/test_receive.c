/* The door for sensors, with sensors made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>

#include "collector/receive/receive.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/wire/zip.h"

static struct counters counters;

static struct receive *open_door(void)
{
    struct receive_conf conf = {.listen = "tcp://127.0.0.1:*", .insecure = true};
    struct receive *r = NULL;
    struct note note = {0};
    memset(&counters, 0, sizeof counters);
    assert_int_equal(receive_open(&conf, &counters, &r, &note), 0);
    return r;
}

static zsock_t *dealer(const struct receive *r)
{
    zsock_t *s = zsock_new(ZMQ_DEALER);
    zsock_set_linger(s, 0);
    zsock_set_rcvtimeo(s, 5000);
    assert_int_equal(zsock_connect(s, "%s", receive_endpoint(r)), 0);
    return s;
}

static void say(zsock_t *s, const struct wire_message *m)
{
    uint8_t bytes[1024];
    int len = wire_encode(m, bytes, sizeof bytes);
    assert_true(len > 0);
    assert_int_equal(zmq_send(zsock_resolve(s), bytes, (size_t)len, 0), len);
}

static struct wire_message hello_of(const char *name)
{
    struct wire_message m = {
        .kind = WIRE_HELLO, .version = WIRE_VERSION, .epoch = 7, .first_seq = 1, .next_seq = 3};
    snprintf(m.name, sizeof m.name, "%s", name);
    return m;
}

static struct wire_message batch(void)
{
    return (struct wire_message){.kind = WIRE_BATCH,
                                 .epoch = 7,
                                 .first_seq = 1,
                                 .count = 1,
                                 .events = (const uint8_t *)"\x81\xa1t\x01",
                                 .events_len = 4};
}

/* What the door says to that sensor; the door's own work is done meanwhile. */
static struct wire_message hear(struct receive *r, zsock_t *s)
{
    static uint8_t in[WIRE_MESSAGE_MAX];
    char sensor[WIRE_NAME];
    struct wire_message m;
    int len = -1;
    for (int i = 0; i < 500 && len < 0; i++) {
        assert_int_equal(receive_next(r, 10, sensor, &m), 0);
        len = zmq_recv(zsock_resolve(s), in, sizeof in, ZMQ_DONTWAIT);
    }
    assert_true(len > 0);
    assert_int_equal(wire_decode(in, (size_t)len, &m), 0);
    return m;
}

static void expect(struct receive *r, enum wire_kind kind, const char *name)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    assert_int_equal(receive_next(r, 5000, sensor, &m), 1);
    assert_int_equal(m.kind, kind);
    assert_string_equal(sensor, name);
}

static void greet(struct receive *r, zsock_t *s, const char *name)
{
    struct wire_message m = hello_of(name);
    say(s, &m);
    expect(r, WIRE_HELLO, name);
}

/* ---- */

static void a_hello_binds_the_name_that_its_batches_then_carry(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *a = dealer(r), *b = dealer(r);
    struct wire_message m = batch();
    greet(r, a, "ams1");
    greet(r, b, "fra1");
    say(b, &m);
    expect(r, WIRE_BATCH, "fra1");
    say(a, &m);
    expect(r, WIRE_BATCH, "ams1");
    receive_send(r, "fra1", &(struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = 1});
    m = hear(r, b);
    assert_int_equal(m.kind, WIRE_ACK);
    assert_int_equal(m.seq, 1);
    zsock_destroy(&a);
    zsock_destroy(&b);
    receive_close(r);
}

/* A batch as a sensor compresses it. */
static struct wire_message zipped_batch(struct wire_zip *zip, const uint8_t *events, size_t len)
{
    struct wire_message m = batch();
    m.events = events;
    m.events_len = len;
    wire_zip(zip, &m);
    assert_true(m.zstd == len && m.events_len < len);
    return m;
}

static void compressed_events_are_handed_on_as_they_were_and_spoilt_ones_are_left_out(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    struct wire_zip *zip;
    struct wire_message m, got;
    char sensor[WIRE_NAME];
    uint8_t events[2000];
    memset(events, 7, sizeof events);
    assert_int_equal(wire_zip_new(&zip), 0);
    greet(r, s, "ams1");
    m = zipped_batch(zip, events, sizeof events);
    say(s, &m);
    assert_int_equal(receive_next(r, 5000, sensor, &got), 1);
    assert_int_equal(got.events_len, sizeof events);
    assert_memory_equal(got.events, events, sizeof events);
    m.zstd--;
    say(s, &m);
    assert_int_equal(receive_next(r, 5000, sensor, &got), 1);
    assert_int_equal(got.events_len, 0);
    assert_int_equal(got.count, m.count); /* so that the mark moves on */
    assert_int_equal(counter_get(&counters, COUNTER_messages_malformed), 1);
    wire_zip_free(zip);
    zsock_destroy(&s);
    receive_close(r);
}

static void a_stranger_is_asked_for_a_hello_whatever_it_says(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    struct wire_message m = batch();
    say(s, &m);
    assert_int_equal(hear(r, s).kind, WIRE_AGAIN);
    say(s, &(struct wire_message){.kind = WIRE_PING});
    assert_int_equal(hear(r, s).kind, WIRE_AGAIN);
    greet(r, s, "ams1");
    say(s, &(struct wire_message){.kind = WIRE_PING});
    assert_int_equal(hear(r, s).kind, WIRE_PONG);
    zsock_destroy(&s);
    receive_close(r);
}

static void the_latest_hello_wins_and_the_older_connection_is_told(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *old = dealer(r), *new = dealer(r);
    struct wire_message m = batch();
    greet(r, old, "ams1");
    greet(r, new, "ams1");
    assert_int_equal(hear(r, old).kind, WIRE_REFUSE);
    say(old, &m);
    assert_int_equal(hear(r, old).kind, WIRE_AGAIN);
    say(new, &m);
    expect(r, WIRE_BATCH, "ams1");
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = 1});
    assert_int_equal(hear(r, new).kind, WIRE_ACK);
    zsock_destroy(&old);
    zsock_destroy(&new);
    receive_close(r);
}

static void another_version_and_a_nameless_sensor_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    struct wire_message m = hello_of("ams1");
    m.version = WIRE_VERSION + 1;
    say(s, &m);
    m = hear(r, s);
    assert_int_equal(m.kind, WIRE_REFUSE);
    assert_non_null(strstr(m.reason, "version 2"));
    m = hello_of("");
    say(s, &m);
    assert_int_equal(hear(r, s).kind, WIRE_REFUSE);
    m = batch();
    say(s, &m); /* refused is not known */
    assert_int_equal(hear(r, s).kind, WIRE_AGAIN);
    zsock_destroy(&s);
    receive_close(r);
}

/* Names stand in log lines as sensor=NAME. */
static void a_name_that_could_forge_a_log_line_is_refused(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    static const char *const bad[] = {"a b", "a\nevent=x", "a\"", "a\\", " ", "a\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_message m = hello_of(bad[i]);
        say(s, &m);
        assert_int_equal(hear(r, s).kind, WIRE_REFUSE);
    }
    greet(r, s, "zürich-1.example");
    zsock_destroy(&s);
    receive_close(r);
}

static void garbage_is_counted_and_the_next_message_is_read(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    struct prf prf = prf_init(3, 3);
    greet(r, s, "ams1");
    for (int i = 0; i < 200; i++) {
        uint8_t junk[64] = {0xc1};
        for (size_t at = 1; at < sizeof junk; at++)
            junk[at] = (uint8_t)prf_next(&prf);
        zmq_send(zsock_resolve(s), junk, prf_below(&prf, sizeof junk), 0); /* empty ones, too */
    }
    zmq_send(zsock_resolve(s), "a", 1, ZMQ_SNDMORE); /* a message of three frames */
    zmq_send(zsock_resolve(s), "b", 1, ZMQ_SNDMORE);
    zmq_send(zsock_resolve(s), "c", 1, 0);
    say(s, &(struct wire_message){.kind = WIRE_ACK, .epoch = 1, .seq = 1}); /* ours to say */
    struct wire_message m = batch();
    say(s, &m);
    expect(r, WIRE_BATCH, "ams1");
    assert_int_equal(counter_get(&counters, COUNTER_messages_malformed), 202);
    zsock_destroy(&s);
    receive_close(r);
}

/* ZeroMQ closes the connection at the length in the header, before it reads the rest. */
static void a_message_that_is_too_long_is_never_read_and_others_are_served(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *bad = dealer(r), *good = dealer(r);
    char sensor[WIRE_NAME];
    struct wire_message m;
    greet(r, bad, "bad");
    uint8_t *huge = calloc(1, WIRE_MESSAGE_MAX + 1);
    zmq_send(zsock_resolve(bad), huge, WIRE_MESSAGE_MAX + 1, 0);
    free(huge);
    assert_int_equal(receive_next(r, 200, sensor, &m), 0);
    greet(r, good, "good");
    m = batch();
    say(good, &m);
    expect(r, WIRE_BATCH, "good");
    zsock_destroy(&bad);
    zsock_destroy(&good);
    receive_close(r);
}

static void a_sensor_that_is_gone_is_no_error(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    struct wire_message ack = {.kind = WIRE_ACK, .epoch = 7, .seq = 1};
    greet(r, s, "ams1");
    zsock_destroy(&s);
    for (int i = 0; i < 1000; i++) /* more than any queue takes; must not wait */
        receive_send(r, "ams1", &ack);
    receive_send(r, "never seen", &ack);
    s = dealer(r);
    greet(r, s, "ams1");
    receive_send(r, "ams1", &ack);
    assert_int_equal(hear(r, s).kind, WIRE_ACK);
    zsock_destroy(&s);
    receive_close(r);
}

static void a_sensor_that_does_not_listen_does_not_hold_up_the_collector(void **state)
{
    (void)state;
    struct receive *r = open_door();
    zsock_t *s = dealer(r);
    greet(r, s, "ams1");
    for (int i = 0; i < 100000; i++) /* waiting for room, this would never end */
        receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_PING});
    zsock_destroy(&s);
    receive_close(r);
}

static void nothing_to_receive_ends_at_the_deadline(void **state)
{
    (void)state;
    struct receive *r = open_door();
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint64_t before = clock_mono_ns();
    assert_int_equal(receive_next(r, 100, sensor, &m), 0);
    assert_true(clock_mono_ns() - before >= 100 * NS_PER_MS);
    assert_int_equal(receive_next(r, 0, sensor, &m), 0);
    receive_close(r);
}

static void a_door_that_cannot_be_opened_says_why(void **state)
{
    (void)state;
    struct receive_conf conf = {.listen = "tcp://127.0.0.1:*"};
    struct receive *r, *first = open_door();
    struct note note = {0};
    assert_int_equal(receive_open(&conf, &counters, &r, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "collector.certificate"));
    conf.insecure = true;
    strcpy(conf.listen, "nonsense");
    assert_int_equal(receive_open(&conf, &counters, &r, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "nonsense"));
    snprintf(conf.listen, sizeof conf.listen, "%s", receive_endpoint(first));
    assert_int_equal(receive_open(&conf, &counters, &r, &note), ERR_NETWORK);
    assert_non_null(strstr(note.text, "in use"));
    assert_null(r);
    receive_close(NULL);
    receive_close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_binds_the_name_that_its_batches_then_carry),
        cmocka_unit_test(compressed_events_are_handed_on_as_they_were_and_spoilt_ones_are_left_out),
        cmocka_unit_test(a_stranger_is_asked_for_a_hello_whatever_it_says),
        cmocka_unit_test(the_latest_hello_wins_and_the_older_connection_is_told),
        cmocka_unit_test(another_version_and_a_nameless_sensor_are_refused_with_a_reason),
        cmocka_unit_test(a_name_that_could_forge_a_log_line_is_refused),
        cmocka_unit_test(garbage_is_counted_and_the_next_message_is_read),
        cmocka_unit_test(a_message_that_is_too_long_is_never_read_and_others_are_served),
        cmocka_unit_test(a_sensor_that_is_gone_is_no_error),
        cmocka_unit_test(a_sensor_that_does_not_listen_does_not_hold_up_the_collector),
        cmocka_unit_test(nothing_to_receive_ends_at_the_deadline),
        cmocka_unit_test(a_door_that_cannot_be_opened_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

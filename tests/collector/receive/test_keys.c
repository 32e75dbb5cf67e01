/* The encrypted door, with sensors made by hand: who gets in, as whom, and who is thrown out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>

#include "collector/receive/door.h"
#include "collector/receive/receive.h"
#include "shared/base/clock.h"
#include "shared/curve/curve.h"
#include "shared/wire/zip.h"
#include "tests/support/keyring.h"

/* Three sensors' keys, two of them allowed. */
static struct keyring ring;
static struct curve_key ams1, fra1, stranger;
static struct counters counters;
static struct receive_conf conf;
static struct receive *r;

static void open_door(uint64_t rate)
{
    struct note note = {0};
    memset(&counters, 0, sizeof counters);
    conf = (struct receive_conf){.listen = "tcp://127.0.0.1:*", .rate = rate};
    strcpy(conf.certificate, ring.certificate);
    strcpy(conf.sensors, ring.sensors);
    assert_int_equal(receive_open(&conf, &counters, &r, &note), 0);
}

static int set_up(void **state)
{
    (void)state;
    keyring_open(&ring);
    ams1 = keyring_new_key("ams1", "AMS");
    fra1 = keyring_new_key("fra1", "FRA");
    stranger = keyring_new_key("ams1", "AMS");
    keyring_allow(&ring, &ams1);
    keyring_allow(&ring, &fra1);
    open_door(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    receive_close(r);
    r = NULL;
    keyring_close(&ring);
    return 0;
}

/* own NULL: plain */
static zsock_t *dealer(const struct curve_key *own, const struct curve_key *server)
{
    zsock_t *s = zsock_new(ZMQ_DEALER);
    zsock_set_linger(s, 0);
    zsock_set_reconnect_ivl(s, 20);
    zsock_set_heartbeat_ivl(s, 200);
    if (own != NULL) {
        zsock_set_curve_publickey(s, own->public_key);
        zsock_set_curve_secretkey(s, own->secret_key);
        zsock_set_curve_serverkey(s, server->public_key);
    }
    assert_int_equal(zsock_connect(s, "%s", receive_endpoint(r)), 0);
    return s;
}

static void say(zsock_t *s, const struct wire_message *m)
{
    uint8_t bytes[WIRE_MESSAGE_MAX];
    int len = wire_encode(m, bytes, sizeof bytes);
    assert_true(len > 0);
    assert_int_equal(zmq_send(zsock_resolve(s), bytes, (size_t)len, 0), len);
}

static struct wire_message hello_of(const char *name, const char *pop)
{
    struct wire_message m = {
        .kind = WIRE_HELLO, .version = WIRE_VERSION, .epoch = 7, .first_seq = 1, .next_seq = 3};
    snprintf(m.name, sizeof m.name, "%s", name);
    snprintf(m.pop, sizeof m.pop, "%s", pop);
    return m;
}

static struct wire_message batch_at(uint64_t seq)
{
    return (struct wire_message){.kind = WIRE_BATCH,
                                 .epoch = 7,
                                 .first_seq = seq,
                                 .count = 1,
                                 .events = (const uint8_t *)"\x81\xa1t\x01",
                                 .events_len = 4};
}

/* What the door says to that sensor; the door's own work is done meanwhile. kind 0: nothing. */
static struct wire_message hear_within(zsock_t *s, int turns)
{
    static uint8_t in[WIRE_MESSAGE_MAX];
    char sensor[WIRE_NAME];
    struct wire_message m = {.kind = 0};
    int len = -1;
    for (int i = 0; i < turns && len < 0; i++) {
        assert_int_equal(receive_next(r, 10, sensor, &m), 0);
        len = zmq_recv(zsock_resolve(s), in, sizeof in, ZMQ_DONTWAIT);
    }
    if (len < 0)
        return (struct wire_message){.kind = 0};
    assert_int_equal(wire_decode(in, (size_t)len, &m), 0);
    return m;
}

static struct wire_message hear(zsock_t *s)
{
    struct wire_message m = hear_within(s, 6000); /* a minute; it takes milliseconds */
    assert_int_not_equal(m.kind, 0);
    return m;
}

/* The door was closed a moment ago: what is said into a connection that is ending is lost with it,
 * so it is said until it is answered. */
static struct wire_message answer_to(zsock_t *s, const struct wire_message *m)
{
    struct wire_message got = {.kind = 0};
    for (int i = 0; i < 600 && got.kind == 0; i++) {
        say(s, m);
        got = hear_within(s, 10);
    }
    return got;
}

static struct wire_message expect(enum wire_kind kind, const char *name)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    assert_int_equal(receive_next(r, 60000, sensor, &m), 1);
    assert_int_equal(m.kind, kind);
    assert_string_equal(sensor, name);
    return m;
}

static zsock_t *greeted(const struct curve_key *key)
{
    zsock_t *s = dealer(key, &ring.collector);
    struct wire_message m = hello_of(key->name, key->pop);
    say(s, &m);
    expect(WIRE_HELLO, key->name);
    return s;
}

static uint64_t count(enum counter counter)
{
    return counter_get(&counters, counter);
}

/* Until the counter has reached n; nothing may come meanwhile. */
static void until(enum counter counter, uint64_t n)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    for (int i = 0; i < 6000 && count(counter) < n; i++)
        assert_int_equal(receive_next(r, 10, sensor, &m), 0);
    assert_true(count(counter) >= n);
}

/* ---- who gets in, and as whom ---- */

static void an_allowed_key_gets_in_as_its_certificate_says_whatever_it_claims(void **state)
{
    (void)state;
    zsock_t *s = dealer(&fra1, &ring.collector);
    struct wire_message m = hello_of("ams1", "AMS"), b = batch_at(1);
    say(s, &m);
    m = expect(WIRE_HELLO, "fra1");
    assert_string_equal(m.name, "fra1");
    assert_string_equal(m.pop, "FRA");
    say(s, &b);
    expect(WIRE_BATCH, "fra1");
    m = hello_of("", ""); /* no claim at all, or one that plain mode would refuse */
    say(s, &m);
    expect(WIRE_HELLO, "fra1");
    zsock_destroy(&s);
}

static void of_an_unknown_key_not_one_byte_is_read(void **state)
{
    (void)state;
    zsock_t *s = dealer(&stranger, &ring.collector), *good;
    struct wire_message m = hello_of("ams1", "AMS");
    for (int i = 0; i < 50; i++)
        say(s, &m);
    until(COUNTER_keys_refused, 1);
    assert_int_equal(count(COUNTER_messages_malformed), 0);
    good = greeted(&ams1); /* others are served meanwhile */
    assert_int_equal(hear_within(s, 20).kind, 0);
    zsock_destroy(&good);
    zsock_destroy(&s);
}

static void a_key_that_was_put_there_a_moment_ago_gets_in_without_a_restart(void **state)
{
    (void)state;
    struct curve_key lon1 = keyring_new_key("lon1", "LON");
    zsock_t *s = dealer(&lon1, &ring.collector), *old = greeted(&ams1);
    struct wire_message m = hello_of("lon1", "LON"), b = batch_at(1);
    say(s, &m);
    until(COUNTER_keys_refused, 1);
    zsock_destroy(&s);
    keyring_allow(&ring, &lon1);
    char sensor[WIRE_NAME];
    assert_int_equal(receive_next(r, 150, sensor, &m), 0); /* less than a turn of looking */
    s = greeted(&lon1);
    say(old, &b); /* nobody lost its connection for it */
    expect(WIRE_BATCH, "ams1");
    assert_int_equal(count(COUNTER_doors_renewed), 0);
    zsock_destroy(&old);
    zsock_destroy(&s);
}

static void a_plain_sensor_does_not_get_in_and_the_mismatch_is_counted(void **state)
{
    (void)state;
    zsock_t *s = dealer(NULL, NULL);
    struct wire_message m = hello_of("ams1", "AMS");
    say(s, &m);
    until(COUNTER_handshakes_failed, 1);
    assert_int_equal(count(COUNTER_messages_malformed), 0);
    zsock_destroy(&s);
}

static void a_sensor_that_was_given_another_collectors_key_does_not_get_in(void **state)
{
    (void)state;
    zsock_t *s = dealer(&ams1, &stranger);
    struct wire_message m = hello_of("ams1", "AMS");
    say(s, &m);
    until(COUNTER_handshakes_failed, 1);
    assert_int_equal(count(COUNTER_messages_malformed), 0);
    zsock_destroy(&s);
}

/* ---- one identity, several connections ---- */

static void the_latest_hello_wins_also_among_two_connections_with_one_key(void **state)
{
    (void)state;
    zsock_t *old = greeted(&ams1), *new = greeted(&ams1);
    struct wire_message b = batch_at(1);
    assert_int_equal(hear(old).kind, WIRE_REFUSE);
    say(old, &b);
    assert_int_equal(hear(old).kind, WIRE_AGAIN);
    say(new, &b);
    expect(WIRE_BATCH, "ams1");
    zsock_destroy(&old);
    zsock_destroy(&new);
}

/* A routing id is the sensor's own choice; so is the one of a sensor that just left. */
static void a_routing_id_that_another_sensor_had_gives_nobody_its_name(void **state)
{
    (void)state;
    zsock_t *victim = zsock_new(ZMQ_DEALER), *thief = zsock_new(ZMQ_DEALER);
    zsock_t *both[] = {victim, thief};
    const struct curve_key *keys[] = {&ams1, &fra1};
    for (int i = 0; i < 2; i++) {
        zsock_set_linger(both[i], 0);
        zsock_set_identity(both[i], "chosen");
        zsock_set_curve_publickey(both[i], keys[i]->public_key);
        zsock_set_curve_secretkey(both[i], keys[i]->secret_key);
        zsock_set_curve_serverkey(both[i], ring.collector.public_key);
    }
    struct wire_message m = hello_of("ams1", "AMS"), b = batch_at(1);
    assert_int_equal(zsock_connect(victim, "%s", receive_endpoint(r)), 0);
    say(victim, &m);
    expect(WIRE_HELLO, "ams1");
    zsock_destroy(&victim);
    char sensor[WIRE_NAME];
    assert_int_equal(receive_next(r, 300, sensor, &m), 0); /* its connection ends */
    assert_int_equal(zsock_connect(thief, "%s", receive_endpoint(r)), 0);
    say(thief, &b);
    assert_int_equal(hear(thief).kind, WIRE_AGAIN);
    zsock_destroy(&thief);
}

/* ---- revoked ---- */

static void a_revoked_key_loses_its_connection_and_the_others_come_back(void **state)
{
    (void)state;
    zsock_t *bad = greeted(&ams1), *good = greeted(&fra1);
    struct wire_message b = batch_at(1);
    keyring_forbid(&ring, "ams1");
    until(COUNTER_doors_renewed, 1);
    for (int i = 0; i < 20; i++)
        say(bad, &b);
    until(COUNTER_keys_refused, 1); /* it is at the door again, and stays there */
    /* connected anew by itself, asked for a hello */
    assert_int_equal(answer_to(good, &b).kind, WIRE_AGAIN);
    struct wire_message m = hello_of("fra1", "FRA");
    say(good, &m);
    expect(WIRE_HELLO, "fra1");
    say(good, &b);
    expect(WIRE_BATCH, "fra1");
    assert_int_equal(hear_within(bad, 20).kind, 0);
    zsock_destroy(&bad);
    zsock_destroy(&good);
}

static void a_key_that_becomes_another_sensors_loses_its_connection_too(void **state)
{
    (void)state;
    zsock_t *s = greeted(&ams1);
    struct curve_key renamed = ams1;
    strcpy(renamed.name, "ams9");
    keyring_allow_as(&ring, &renamed, "ams1");
    until(COUNTER_doors_renewed, 1);
    struct wire_message b = batch_at(1), m = hello_of("ams1", "AMS");
    assert_int_equal(answer_to(s, &b).kind, WIRE_AGAIN);
    say(s, &m);
    expect(WIRE_HELLO, "ams9");
    zsock_destroy(&s);
}

static void another_pop_is_taken_with_the_next_hello_and_costs_no_connection(void **state)
{
    (void)state;
    zsock_t *s = greeted(&ams1);
    struct curve_key moved = ams1;
    strcpy(moved.pop, "LON");
    keyring_allow(&ring, &moved);
    char sensor[WIRE_NAME];
    struct wire_message m = hello_of("ams1", "AMS"), got;
    for (int i = 0; i < 100; i++) {
        say(s, &m);
        assert_int_equal(receive_next(r, 1000, sensor, &got), 1);
        if (strcmp(got.pop, "LON") == 0)
            break;
        assert_string_equal(got.pop, "AMS");
        assert_int_equal(receive_next(r, 300, sensor, &got), 0);
    }
    assert_string_equal(got.pop, "LON");
    assert_int_equal(count(COUNTER_doors_renewed), 0);
    zsock_destroy(&s);
}

static void a_folder_that_is_taken_away_revokes_everybody(void **state)
{
    (void)state;
    zsock_t *s = greeted(&ams1);
    char to[128];
    snprintf(to, sizeof to, "%s/away", ring.folder.path);
    assert_int_equal(rename(conf.sensors, to), 0);
    until(COUNTER_doors_renewed, 1);
    until(COUNTER_keys_refused, 1);
    assert_int_equal(rename(to, conf.sensors), 0);
    zsock_destroy(&s);
}

/* The door by itself, at times that the test says. Its files count as settled: as if they were
 * written long ago. */
static void open_settled_door(struct door *d)
{
    struct note note = {0};
    receive_close(r);
    r = NULL;
    assert_int_equal(door_open(d, &conf, &counters, &note), 0);
    d->guard.is_settled = true;
}

static void a_folder_that_comes_back_as_it_was_lets_its_sensors_in_again(void **state)
{
    (void)state;
    struct door d;
    char to[128];
    open_settled_door(&d);
    snprintf(to, sizeof to, "%s/away", ring.folder.path);
    assert_int_equal(rename(conf.sensors, to), 0);
    door_tend(&d, 10 * NS_PER_S);
    assert_int_equal(d.guard.allowed.count, 0);
    assert_int_equal(rename(to, conf.sensors), 0);
    door_tend(&d, 20 * NS_PER_S);
    assert_int_equal(d.guard.allowed.count, 2);
    door_close(&d);
}

/* ---- limits ---- */

static void a_message_that_is_too_long_ends_its_connection_unread(void **state)
{
    (void)state;
    zsock_t *bad = greeted(&ams1), *good = greeted(&fra1);
    uint8_t *huge = calloc(1, WIRE_MESSAGE_MAX + 1);
    zmq_send(zsock_resolve(bad), huge, WIRE_MESSAGE_MAX + 1, 0);
    free(huge);
    char sensor[WIRE_NAME];
    struct wire_message m, b = batch_at(1);
    assert_int_equal(receive_next(r, 200, sensor, &m), 0);
    assert_int_equal(count(COUNTER_messages_malformed), 0);
    say(good, &b);
    expect(WIRE_BATCH, "fra1");
    zsock_destroy(&bad);
    zsock_destroy(&good);
}

static void batches_beyond_the_credit_are_not_taken_and_their_sensor_is_refused(void **state)
{
    (void)state;
    zsock_t *s = greeted(&ams1), *good = greeted(&fra1);
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_WELCOME, .credit = 3});
    assert_int_equal(hear(s).kind, WIRE_WELCOME);
    for (uint64_t seq = 1; seq <= 6; seq++) {
        struct wire_message b = batch_at(seq);
        say(s, &b);
    }
    for (int i = 0; i < 3; i++)
        expect(WIRE_BATCH, "ams1");
    assert_int_equal(hear(s).kind, WIRE_REFUSE);
    until(COUNTER_batches_beyond_credit, 3);
    /* an acknowledgement does not open it again, a hello does */
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = 3});
    assert_int_equal(hear(s).kind, WIRE_ACK);
    struct wire_message b = batch_at(4), m = hello_of("ams1", "AMS");
    say(s, &b);
    until(COUNTER_batches_beyond_credit, 4);
    say(s, &m);
    expect(WIRE_HELLO, "ams1");
    say(s, &b);
    expect(WIRE_BATCH, "ams1");
    say(good, &b);
    expect(WIRE_BATCH, "fra1");
    zsock_destroy(&s);
    zsock_destroy(&good);
}

/* What the first welcome promises, a sensor may do, though its second hello is heard before. */
static void a_hello_said_twice_takes_no_credit_back(void **state)
{
    (void)state;
    zsock_t *s = greeted(&ams1);
    struct wire_message m = hello_of("ams1", "AMS");
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_WELCOME, .credit = 5});
    say(s, &m);
    expect(WIRE_HELLO, "ams1");
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_WELCOME, .credit = 2});
    assert_int_equal(hear(s).credit, 5);
    for (uint64_t seq = 1; seq <= 6; seq++) {
        struct wire_message b = batch_at(seq);
        say(s, &b);
    }
    for (int i = 0; i < 5; i++)
        expect(WIRE_BATCH, "ams1");
    until(COUNTER_batches_beyond_credit, 1);
    say(s, &m); /* a hello after batches is another matter: it has one welcome */
    expect(WIRE_HELLO, "ams1");
    receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_WELCOME, .credit = 2});
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct wire_message b = batch_at(seq);
        say(s, &b);
    }
    for (int i = 0; i < 2; i++)
        expect(WIRE_BATCH, "ams1");
    until(COUNTER_batches_beyond_credit, 2);
    zsock_destroy(&s);
}

/* By the order of things, not by the clock: what the one sensor may send takes seconds at that
 * rate, and meanwhile the other one is served. */
static void a_sensor_beyond_its_rate_waits_for_its_acknowledgements_and_no_other_does(void **state)
{
    (void)state;
    receive_close(r);
    open_door(1 << 20);
    zsock_t *fast = greeted(&ams1), *slow = greeted(&fra1);
    static uint8_t events[60000];
    struct wire_message b = batch_at(1), m, small = batch_at(1);
    b.events = events;
    b.events_len = sizeof events;
    for (b.first_seq = 1; b.first_seq <= WIRE_CREDIT; b.first_seq++)
        say(fast, &b);
    for (int i = 0; i < WIRE_CREDIT; i++) { /* all of them are taken at once */
        m = expect(WIRE_BATCH, "ams1");
        m = (struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = m.first_seq};
        receive_send(r, "ams1", &m);
    }
    say(slow, &small);
    expect(WIRE_BATCH, "fra1");
    receive_send(r, "fra1", &(struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = 1});
    assert_int_equal(hear(slow).seq, 1);
    assert_true(count(COUNTER_acks_delayed) > 0);
    uint64_t acked = 0;
    for (int acks = 0; acked < WIRE_CREDIT; acks++) {
        m = hear(fast);
        assert_int_equal(m.kind, WIRE_ACK);
        assert_true(m.seq > acked);
        acked = m.seq;
        assert_true(acked < WIRE_CREDIT || acks > 1);
    }
    assert_int_equal(count(COUNTER_batches_beyond_credit), 0);
    zsock_destroy(&fast);
    zsock_destroy(&slow);
}

/* A second's work at that rate, in some kilobytes. */
static void compressed_batches_count_for_the_rate_as_long_as_they_become(void **state)
{
    (void)state;
    receive_close(r);
    open_door(1 << 20);
    static const uint8_t events[WIRE_BATCH_BYTES + WIRE_EVENT_MAX];
    struct wire_zip *zip;
    zsock_t *s = greeted(&ams1);
    assert_int_equal(wire_zip_new(&zip), 0);
    for (uint64_t seq = 1; seq <= WIRE_CREDIT; seq++) {
        struct wire_message b = batch_at(seq);
        b.events = events;
        b.events_len = sizeof events;
        wire_zip(zip, &b);
        assert_true(b.zstd > 0 && b.events_len < 100);
        say(s, &b);
    }
    for (uint64_t seq = 1; seq <= WIRE_CREDIT; seq++) {
        assert_int_equal(expect(WIRE_BATCH, "ams1").events_len, sizeof events);
        receive_send(r, "ams1", &(struct wire_message){.kind = WIRE_ACK, .epoch = 7, .seq = seq});
    }
    assert_true(count(COUNTER_acks_delayed) > 0);
    wire_zip_free(zip);
    zsock_destroy(&s);
}

/* ---- what start refuses ---- */

static void refused(const char *with)
{
    struct receive *none;
    struct note note = {0};
    assert_int_equal(receive_open(&conf, &counters, &none, &note), ERR_CONF);
    assert_non_null(strstr(note.text, with));
    note.text[0] = '\0';
    assert_int_equal(receive_check(&conf, &note), ERR_CONF);
    assert_non_null(strstr(note.text, with));
    assert_null(none);
}

static void a_secret_that_others_may_read_keeps_the_door_shut(void **state)
{
    (void)state;
    receive_close(r);
    r = NULL;
    chmod(conf.certificate, 0640);
    refused("mode 0640");
    chmod(conf.certificate, 0600);
    assert_int_equal(receive_check(&conf, NULL), 0);
    strcat(conf.sensors, "/none");
    refused("collector.sensors: ");
    strcat(conf.certificate, ".none");
    refused("collector.certificate: ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_allowed_key_gets_in_as_its_certificate_says_whatever_it_claims),
        TEST(of_an_unknown_key_not_one_byte_is_read),
        TEST(a_key_that_was_put_there_a_moment_ago_gets_in_without_a_restart),
        TEST(a_plain_sensor_does_not_get_in_and_the_mismatch_is_counted),
        TEST(a_sensor_that_was_given_another_collectors_key_does_not_get_in),
        TEST(the_latest_hello_wins_also_among_two_connections_with_one_key),
        TEST(a_routing_id_that_another_sensor_had_gives_nobody_its_name),
        TEST(a_revoked_key_loses_its_connection_and_the_others_come_back),
        TEST(a_key_that_becomes_another_sensors_loses_its_connection_too),
        TEST(another_pop_is_taken_with_the_next_hello_and_costs_no_connection),
        TEST(a_folder_that_is_taken_away_revokes_everybody),
        TEST(a_folder_that_comes_back_as_it_was_lets_its_sensors_in_again),
        TEST(a_message_that_is_too_long_ends_its_connection_unread),
        TEST(batches_beyond_the_credit_are_not_taken_and_their_sensor_is_refused),
        TEST(a_hello_said_twice_takes_no_credit_back),
        TEST(a_sensor_beyond_its_rate_waits_for_its_acknowledgements_and_no_other_does),
        TEST(compressed_batches_count_for_the_rate_as_long_as_they_become),
        TEST(a_secret_that_others_may_read_keeps_the_door_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Both ends together: the real publisher and the real door, with a collector between that commits
 * when it likes and restarts when it likes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>
#include <pthread.h>
#include <unistd.h>

#include "collector/receive/receive.h"
#include "sensor/publish/publish.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"
#include "tests/support/keyring.h"

/* What a collector's loop does, in its smallest form: `mark` is taken, `committed` is in the
 * database. */
struct collector {
    struct receive *door;
    struct receive_conf conf;
    struct counters counters;
    uint64_t epoch, mark, committed, next_value, committed_value;
    bool stopped, committed_stopped;
    unsigned hellos;
};

static void collector_start(struct collector *c)
{
    struct note note = {0};
    int err = ERR_NETWORK;
    for (int i = 0; i < 200 && err < 0; i++) { /* ZeroMQ gives the port back a moment later */
        err = receive_open(&c->conf, &c->counters, &c->door, &note);
        if (err < 0)
            usleep(10000);
    }
    assert_int_equal(err, 0);
    snprintf(c->conf.listen, sizeof c->conf.listen, "%s", receive_endpoint(c->door));
    c->mark = c->committed;
    c->next_value = c->committed_value;
    c->stopped = c->committed_stopped;
}

/* As if killed: what was taken and not committed is forgotten. */
static void collector_restart(struct collector *c)
{
    receive_close(c->door);
    collector_start(c);
}

static void take_event(struct collector *c, const struct event *e)
{
    c->mark++;
    assert_false(c->stopped);
    if (e->type == EVENT_gap)
        assert_int_equal(e->gap.from_seq, c->next_value++);
    else if (c->mark == 1)
        assert_int_equal(e->type, EVENT_sensor_started);
    else
        assert_int_equal(e->type, EVENT_sensor_stopped);
    c->stopped = e->type == EVENT_sensor_stopped;
}

static void take_batch(struct collector *c, const char *sensor, const struct wire_message *m)
{
    if (m->epoch != c->epoch || m->first_seq > c->mark + 1) {
        receive_send(c->door, sensor, &(struct wire_message){.kind = WIRE_AGAIN});
        return;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct event e;
        size_t used;
        assert_int_equal(wire_event_decode(m->events + at, m->events_len - at, &e, &used), 0);
        at += used;
        if (m->first_seq + i == c->mark + 1)
            take_event(c, &e);
    }
}

static void collector_commit(struct collector *c)
{
    c->committed = c->mark;
    c->committed_value = c->next_value;
    c->committed_stopped = c->stopped;
    receive_send(c->door, "ams1",
                 &(struct wire_message){.kind = WIRE_ACK, .epoch = c->epoch, .seq = c->committed});
}

/* For so long, or until so much is taken. */
static void collector_run_until(struct collector *c, int ms, uint64_t mark)
{
    uint64_t until = clock_mono_ns() + (uint64_t)ms * NS_PER_MS;
    while (c->mark < mark && clock_mono_ns() < until) {
        char sensor[WIRE_NAME];
        struct wire_message m;
        if (receive_next(c->door, 1, sensor, &m) == 0)
            continue;
        assert_string_equal(sensor, "ams1");
        if (m.kind == WIRE_BATCH) {
            take_batch(c, sensor, &m);
            continue;
        }
        c->hellos++;
        c->epoch = m.epoch;
        receive_send(c->door, sensor,
                     &(struct wire_message){.kind = WIRE_WELCOME,
                                            .version = WIRE_VERSION,
                                            .epoch = m.epoch,
                                            .seq = c->committed,
                                            .credit = 8});
    }
}

static void collector_run(struct collector *c, int ms)
{
    collector_run_until(c, ms, UINT64_MAX);
}

struct sensor {
    struct ring ring, *list[1];
    struct counters counters;
    struct publish *publish;
    uint64_t pushed, lost;
    _Atomic bool closed;
};

static struct keyring ring;
static struct curve_key ams1;

static void sensor_open(struct sensor *s, const struct collector *c, uint64_t dead_ns)
{
    struct publish_conf conf = {.insecure = c->conf.insecure,
                                .sensor = "ams1",
                                .pop = "AMS",
                                .driver = "pcap",
                                .keep_bytes = 1 << 18,
                                .linger_ns = 5 * NS_PER_MS,
                                .stop_wait_ns = 60 * NS_PER_S,
                                .ping_ns = 50 * NS_PER_MS,
                                .dead_ns = dead_ns};
    struct note note;
    memset(s, 0, sizeof *s);
    snprintf(conf.endpoint, sizeof conf.endpoint, "%s", c->conf.listen);
    snprintf(conf.certificate, sizeof conf.certificate, "%.255s",
             keyring_certificate(&ring, &ams1));
    snprintf(conf.server, sizeof conf.server, "%s", ring.server);
    assert_int_equal(ring_init(&s->ring, sizeof(struct event), 512), 0);
    s->list[0] = &s->ring;
    assert_int_equal(publish_open(&conf, s->list, 1, &s->counters, &s->publish, &note), 0);
}

static void push(struct sensor *s, uint64_t n)
{
    for (struct event *e; n > 0 && (e = ring_claim(&s->ring)) != NULL; n--) {
        *e = (struct event){.type = EVENT_gap, .gap.from_seq = s->pushed++};
        ring_publish(&s->ring);
    }
}

static void *close_beside(void *arg)
{
    struct sensor *s = arg;
    s->lost = publish_close(s->publish, "done");
    s->closed = true;
    return NULL;
}

static void finish(struct sensor *s, struct collector *c)
{
    pthread_t thread;
    pthread_create(&thread, NULL, close_beside, s);
    while (!s->closed) {
        collector_run(c, 5);
        collector_commit(c);
    }
    pthread_join(thread, NULL);
    assert_int_equal(s->lost, 0);
    assert_int_equal(c->committed_value, s->pushed);
    assert_int_equal(c->committed, s->pushed + 2);
    assert_true(c->committed_stopped);
    ring_clear(&s->ring);
    receive_close(c->door);
}

static const struct collector fresh = {.conf = {.listen = "tcp://127.0.0.1:*", .insecure = true}};

static struct collector encrypted(void)
{
    struct collector c = {.conf = {.listen = "tcp://127.0.0.1:*"}};
    strcpy(c.conf.certificate, ring.certificate);
    strcpy(c.conf.sensors, ring.sensors);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    keyring_open(&ring);
    ams1 = keyring_new_key("ams1", "AMS");
    keyring_allow(&ring, &ams1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    keyring_close(&ring);
    return 0;
}

static void an_idle_sensor_finds_out_that_the_collector_restarted(void **state)
{
    (void)state;
    static struct sensor s;
    struct collector c = fresh;
    collector_start(&c);
    sensor_open(&s, &c, 60 * NS_PER_S); /* so that it is not its own patience that ends */
    push(&s, 100);
    collector_run_until(&c, 60000, 101);
    assert_int_equal(c.mark, 101); /* taken, and lost with the restart */
    collector_restart(&c);
    assert_int_equal(c.mark, 0);
    unsigned hellos = c.hellos;
    collector_run_until(&c, 60000, 101); /* nothing new: its ping is answered with `again` */
    assert_int_equal(c.mark, 101);
    assert_true(c.hellos > hellos);
    assert_int_equal(counter_get(&s.counters, COUNTER_reconnects), 0);
    finish(&s, &c);
}

static void through_restarts(struct collector c)
{
    static struct sensor s;
    struct prf prf = prf_init(4, 2);
    collector_start(&c);
    sensor_open(&s, &c, 2 * NS_PER_S);
    for (int i = 0; i < 400; i++) {
        push(&s, prf_below(&prf, 300));
        collector_run(&c, (int)prf_below(&prf, 20));
        uint64_t what = prf_below(&prf, 40); /* restarts: rare enough that the sensor comes back */
        if (what == 0)
            collector_restart(&c);
        else if (what < 16)
            collector_commit(&c);
    }
    finish(&s, &c);
    assert_true(c.hellos > 2);
    assert_true(s.pushed > 5000);
    assert_int_equal(counter_get(&c.counters, COUNTER_messages_malformed), 0);
    assert_int_equal(counter_get(&s.counters, COUNTER_messages_malformed), 0);
}

static void through_restarts_at_any_moment_every_event_is_committed_once_in_order(void **state)
{
    (void)state;
    through_restarts(fresh);
}

static void the_same_holds_where_all_is_encrypted(void **state)
{
    (void)state;
    through_restarts(encrypted());
}

/* That closes every connection, this sensor's too, while it sends. */
static void while_others_are_revoked_every_event_is_committed_once_in_order(void **state)
{
    (void)state;
    static struct sensor s;
    struct collector c = encrypted();
    struct curve_key other = keyring_new_key("fra1", "FRA");
    collector_start(&c);
    sensor_open(&s, &c, 2 * NS_PER_S);
    for (unsigned round = 1; round <= 4; round++) {
        keyring_allow(&ring, &other);
        collector_run(&c, 150); /* so that the door looks at once for a key that it does not know */
        zsock_t *visitor = zsock_new(ZMQ_DEALER);
        zsock_set_linger(visitor, 0);
        zsock_set_curve_publickey(visitor, other.public_key);
        zsock_set_curve_secretkey(visitor, other.secret_key);
        zsock_set_curve_serverkey(visitor, ring.collector.public_key);
        zsock_connect(visitor, "%s", c.conf.listen);
        for (int i = 0; i < 30; i++) {
            push(&s, 200);
            collector_run(&c, 10);
            collector_commit(&c);
        }
        keyring_forbid(&ring, "fra1");
        for (int i = 0; i < 1000 && counter_get(&c.counters, COUNTER_doors_renewed) < round; i++) {
            push(&s, 20);
            collector_run(&c, 10);
            collector_commit(&c);
        }
        assert_int_equal(counter_get(&c.counters, COUNTER_doors_renewed), round);
        zsock_destroy(&visitor);
    }
    finish(&s, &c);
    assert_true(c.hellos > 4);
    assert_true(s.pushed > 5000);
    assert_int_equal(counter_get(&c.counters, COUNTER_messages_malformed), 0);
    assert_int_equal(counter_get(&c.counters, COUNTER_batches_beyond_credit), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_sensor_finds_out_that_the_collector_restarted),
        TEST(through_restarts_at_any_moment_every_event_is_committed_once_in_order),
        TEST(the_same_holds_where_all_is_encrypted),
        TEST(while_others_are_revoked_every_event_is_committed_once_in_order),
    };
    log_level_set(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The publisher against a ROUTER that behaves well, badly, and not at all. Whatever it does, in the
 * end every event has arrived once and in order, when repeats are told by their numbers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>

#include "sensor/publish/publish.h"
#include "sensor/publish/spool.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"
#include "shared/wire/wire.h"
#include "shared/wire/zip.h"

enum { RINGS = 2, RING_SLOTS = 256, MOST_EVENTS = 200000 };

/* ---- the collector's side: a ROUTER and what it has committed ---- */

struct gate {
    zsock_t *router;
    char endpoint[64];
    uint8_t id[256], in[WIRE_MESSAGE_MAX];
    size_t id_len; /* of the last one heard */
    /* the "database": outlives the socket */
    uint64_t epoch, mark, credit;
    uint64_t next_of[RINGS]; /* value that each ring's next event must carry */
    bool started, stopped;
    char reason[64];
    /* how it behaves */
    bool deaf, mute, mislay_acks, refuse, takes_zipped;
    bool takes_epochs; /* another epoch begins at 1 */
    bool takes_holes;  /* first_seq beyond the next number: what is between will never come */
    bool is_of_before; /* knows holes from hello only */
    unsigned swallow;  /* hellos that are read and then forgotten */
    /* what it saw */
    unsigned told, told_by_batch; /* holes, by hello and by the batch behind them */
    unsigned hellos, batches, zipped, repeats, pings, starts, gaps;
    uint64_t missing, drops; /* numbers; events drop, none of which may be missing */
    char why[128];           /* of the last hole, or of a gap event */
    uint64_t last_ack, most_on_the_way;
};

static struct wire_zip *zip; /* of all gates */

static void gate_bind(struct gate *g)
{
    for (int i = 0; i < 200; i++) { /* the port is free again once ZeroMQ has closed it */
        g->router = zsock_new(ZMQ_ROUTER);
        zsock_set_linger(g->router, 0);
        if (zsock_bind(g->router, "%s", g->endpoint) >= 0)
            return;
        zsock_destroy(&g->router);
        zclock_sleep(10);
    }
    fail_msg("the port does not become free");
}

static void gate_open(struct gate *g)
{
    memset(g, 0, sizeof *g);
    g->credit = 8;
    /* An address of this process's own: while a gate is shut, another run of these tests on this
     * machine may be given its port, and our sensor would call there. */
    unsigned pid = (unsigned)getpid();
    snprintf(g->endpoint, sizeof g->endpoint, "tcp://127.%u.%u.%u:*", 1 + (pid >> 16) % 250,
             pid >> 8 & 255, 1 + pid % 250);
    gate_bind(g);
    char *bound = zsock_last_endpoint(g->router);
    snprintf(g->endpoint, sizeof g->endpoint, "%s", bound);
    zstr_free(&bound);
}

static void gate_shut(struct gate *g)
{
    zsock_destroy(&g->router);
}

static void gate_say_bytes(struct gate *g, const void *bytes, size_t len)
{
    if (g->id_len == 0)
        return;
    zmq_send(zsock_resolve(g->router), g->id, g->id_len, ZMQ_SNDMORE);
    zmq_send(zsock_resolve(g->router), bytes, len, 0);
}

static void gate_say(struct gate *g, const struct wire_message *m)
{
    uint8_t bytes[1024];
    int len = wire_encode(m, bytes, sizeof bytes);
    assert_true(len > 0);
    gate_say_bytes(g, bytes, (size_t)len);
}

static void gate_ack(struct gate *g)
{
    if (!g->mute && !g->mislay_acks) {
        gate_say(g, &(struct wire_message){.kind = WIRE_ACK, .epoch = g->epoch, .seq = g->mark});
        g->last_ack = g->mark;
    }
}

static void gate_hole(struct gate *g, const struct wire_message *m)
{
    g->missing += m->first_seq - 1 - g->mark;
    g->mark = m->first_seq - 1;
    snprintf(g->why, sizeof g->why, "%s", m->reason);
}

static void gate_hello(struct gate *g, const struct wire_message *m)
{
    g->hellos++;
    assert_int_equal(m->version, WIRE_VERSION);
    assert_string_equal(m->name, "ams1");
    assert_string_equal(m->pop, "AMS");
    if (g->swallow > 0) {
        g->swallow--;
        return;
    }
    if (g->epoch == 0 || (g->takes_epochs && m->epoch > g->epoch && m->first_seq == 1)) {
        g->epoch = m->epoch;
        g->mark = 0;
    }
    assert_int_equal(m->epoch, g->epoch);
    if (g->takes_holes && m->first_seq > g->mark + 1) {
        gate_hole(g, m);
        g->told++;
    }
    assert_true(m->first_seq <= g->mark + 1); /* or something was given up */
    if (g->refuse)
        gate_say(g, &(struct wire_message){.kind = WIRE_REFUSE, .reason = "not today"});
    else if (!g->mute)
        gate_say(g, &(struct wire_message){.kind = WIRE_WELCOME,
                                           .version = WIRE_VERSION,
                                           .epoch = g->epoch,
                                           .seq = g->mark,
                                           .credit = g->credit,
                                           .zstd = g->takes_zipped});
    g->last_ack = g->mark;
}

static void gate_gap(struct gate *g, const struct event *e)
{
    g->gaps++;
    assert_int_equal(e->gap.from_seq, 0);
    assert_int_equal(e->gap.to_seq, 0);
    snprintf(g->why, sizeof g->why, "%s", e->gap.reason);
}

/* A life begins with sensor_started and ends with sensor_stopped; between, each ring's in order. */
static void gate_event(struct gate *g, const struct event *e)
{
    g->mark++;
    assert_true(g->mark > 1 || e->type == EVENT_sensor_started);
    assert_true(!g->stopped || e->type == EVENT_sensor_started);
    if (e->type == EVENT_sensor_started) {
        assert_string_equal(e->sensor_started.pop, "AMS");
        assert_string_equal(e->sensor_started.driver, "pcap");
        g->started = true;
        g->stopped = false;
        g->starts++;
    } else if (e->type == EVENT_gap) {
        gate_gap(g, e);
    } else if (e->type == EVENT_drop) {
        assert_int_equal(e->drop.seq, g->drops++);
    } else if (e->type == EVENT_sensor_stopped) {
        g->stopped = true;
        snprintf(g->reason, sizeof g->reason, "%s", e->sensor_stopped.reason);
    } else {
        assert_int_equal(e->type, EVENT_tally);
        if (g->takes_holes && e->tally.packets > g->next_of[e->tally.flows])
            g->next_of[e->tally.flows] = e->tally.packets;
        assert_int_equal(e->tally.packets, g->next_of[e->tally.flows]++);
        assert_int_equal(e->at, e->tally.packets + 1);
    }
}

static void gate_batch(struct gate *g, struct wire_message *m)
{
    g->batches++;
    g->zipped += m->zstd > 0;
    assert_int_equal(wire_unzip(zip, m), 0);
    assert_int_equal(m->epoch, g->epoch);
    if (g->takes_holes && !g->is_of_before && m->after == g->mark && m->first_seq > g->mark + 1) {
        gate_hole(g, m);
        g->told_by_batch++;
    }
    if (m->first_seq > g->mark + 1) {
        gate_say(g, &(struct wire_message){.kind = WIRE_AGAIN, .reason = "not in order"});
        return;
    }
    size_t at = 0;
    for (uint64_t seq = m->first_seq; seq < m->first_seq + m->count; seq++) {
        struct event e;
        size_t used;
        assert_int_equal(wire_event_decode(m->events + at, m->events_len - at, &e, &used), 0);
        at += used;
        if (seq == g->mark + 1)
            gate_event(g, &e);
        else
            g->repeats++;
    }
    assert_int_equal(at, m->events_len);
    if (g->mark - g->last_ack > g->most_on_the_way)
        g->most_on_the_way = g->mark - g->last_ack;
    gate_ack(g);
}

static void gate_message(struct gate *g)
{
    void *socket = zsock_resolve(g->router);
    struct wire_message m;
    int id_len = zmq_recv(socket, g->id, sizeof g->id, 0);
    int len = zmq_recv(socket, g->in, sizeof g->in, 0);
    assert_true(id_len > 0 && len > 0);
    g->id_len = (size_t)id_len;
    assert_int_equal(wire_decode(g->in, (size_t)len, &m), 0);
    if (m.kind == WIRE_HELLO)
        gate_hello(g, &m);
    else if (m.kind == WIRE_BATCH && g->epoch != 0)
        gate_batch(g, &m);
    else if (m.kind == WIRE_PING && !g->mute)
        gate_say(g, &(struct wire_message){.kind = WIRE_PONG});
    g->pings += m.kind == WIRE_PING;
}

static void gate_run(struct gate *g, int ms)
{
    uint64_t until = clock_mono_ns() + (uint64_t)ms * NS_PER_MS;
    do {
        zmq_pollitem_t item = {.socket = zsock_resolve(g->router), .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 1) > 0 && !g->deaf)
            gate_message(g);
        else if (g->deaf)
            zclock_sleep(1);
    } while (clock_mono_ns() < until);
}

/* Runs the gate until that holds. It is promised, so the limit is for a machine that is busy. */
#define gate_run_until(g, condition)                           \
    do {                                                       \
        uint64_t limit_ns = clock_mono_ns() + 60 * NS_PER_S;   \
        while (!(condition)) {                                 \
            if (clock_mono_ns() > limit_ns)                    \
                fail_msg("waited in vain for %s", #condition); \
            gate_run(g, 5);                                    \
        }                                                      \
    } while (0)

/* ---- the sensor's side ---- */

struct sensor {
    struct ring rings[RINGS];
    struct ring *list[RINGS];
    struct counters counters;
    struct publish *publish;
    uint64_t pushed[RINGS], drops;
};

static struct publish_conf conf_for(const char *endpoint)
{
    struct publish_conf conf = {.insecure = true,
                                .sensor = "ams1",
                                .pop = "AMS",
                                .driver = "pcap",
                                .keep_bytes = 1 << 20,
                                .linger_ns = 5 * NS_PER_MS,
                                .stop_wait_ns = 60 * NS_PER_S,
                                .ping_ns = 100 * NS_PER_MS,
                                .dead_ns = 500 * NS_PER_MS};
    snprintf(conf.endpoint, sizeof conf.endpoint, "%s", endpoint);
    return conf;
}

/* Where hellos, batches or connections are counted: a gate that a busy machine lets stand still for
 * half a second is no reason for one more. */
static struct publish_conf patient_conf_for(const char *endpoint)
{
    struct publish_conf conf = conf_for(endpoint);
    conf.ping_ns = 30 * NS_PER_S;
    conf.dead_ns = 60 * NS_PER_S;
    return conf;
}

static void sensor_open(struct sensor *s, const struct publish_conf *conf)
{
    memset(s, 0, sizeof *s);
    struct note note = {0};
    for (int i = 0; i < RINGS; i++) {
        assert_int_equal(ring_init(&s->rings[i], sizeof(struct event), RING_SLOTS), 0);
        s->list[i] = &s->rings[i];
    }
    assert_int_equal(publish_open(conf, s->list, RINGS, &s->counters, &s->publish, &note), 0);
}

static void sensor_clear(struct sensor *s)
{
    for (int i = 0; i < RINGS; i++)
        ring_clear(&s->rings[i]);
}

/* How many of n went into that ring. */
static unsigned push(struct sensor *s, unsigned ring, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct event *e = ring_claim(&s->rings[ring]);
        if (e == NULL)
            return i;
        memset(e, 0, sizeof *e);
        e->type = EVENT_tally;
        e->tally.packets = s->pushed[ring]++;
        e->tally.flows = ring;
        e->at = (int64_t)e->tally.packets + 1;
        ring_publish(&s->rings[ring]);
    }
    return n;
}

/* Closing waits for the collector, so it happens beside it. */
struct closing {
    struct publish *publish;
    uint64_t lost;
    _Atomic bool done;
};

static void *close_beside(void *arg)
{
    struct closing *c = arg;
    c->lost = publish_close(c->publish, "the test is over");
    c->done = true;
    return NULL;
}

/* Ends the sensor while the gate runs; nothing may be missing. */
static void finish(struct sensor *s, struct gate *g)
{
    struct closing c = {.publish = s->publish};
    pthread_t thread;
    pthread_create(&thread, NULL, close_beside, &c);
    while (!c.done)
        gate_run(g, 5);
    pthread_join(thread, NULL);
    assert_int_equal(c.lost, 0);
    assert_true(g->started);
    assert_true(g->stopped);
    assert_string_equal(g->reason, "the test is over");
    for (int i = 0; i < RINGS; i++)
        assert_int_equal(g->next_of[i], s->pushed[i]);
    assert_int_equal(counter_get(&s->counters, COUNTER_events_acknowledged), g->mark);
    assert_int_equal(g->mark, 2 + s->pushed[0] + s->pushed[1]);
    assert_int_equal(counter_get(&s->counters, COUNTER_events_malformed), 0);
    sensor_clear(s);
    gate_shut(g);
}

static void wait_until_acknowledged(struct sensor *s, struct gate *g, uint64_t n)
{
    gate_run_until(g, counter_get(&s->counters, COUNTER_events_acknowledged) >= n);
}

/* ---- the promises ---- */

static void every_event_arrives_once_in_order_and_the_goodbye_is_last(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = patient_conf_for(g.endpoint);
    sensor_open(&s, &conf);
    for (int i = 0; i < 100 || s.pushed[0] <= 1000; i++) {
        push(&s, 0, 100);
        push(&s, 1, 37);
        gate_run(&g, 2);
    }
    finish(&s, &g);
    assert_int_equal(g.hellos, 1);
    assert_int_equal(g.repeats, 0);
    assert_int_equal(g.zipped, 0); /* a collector of before: it does not say that it could */
}

static void batches_are_compressed_for_a_collector_that_says_it_takes_them(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.takes_zipped = true;
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    for (int i = 0; i < 100 || s.pushed[0] <= 1000 || g.batches < 10; i++) {
        push(&s, 0, 100);
        gate_run(&g, 2);
    }
    assert_true(g.zipped > g.batches / 2);
    g.takes_zipped = false; /* an older one comes in its place */
    gate_shut(&g);
    gate_bind(&g);
    unsigned hellos = g.hellos;
    while (g.hellos == hellos) { /* as a collector does that does not know who sends */
        gate_say(&g, &(struct wire_message){.kind = WIRE_AGAIN, .reason = "say hello first"});
        gate_run(&g, 20);
    }
    unsigned zipped = g.zipped, batches = g.batches;
    for (int i = 0; i < 100 || g.batches == batches; i++) {
        push(&s, 0, 100);
        gate_run(&g, 2);
    }
    finish(&s, &g);
    assert_int_equal(g.zipped, zipped);
    assert_true(g.batches > batches);
}

static void what_was_collected_while_the_collector_is_away_comes_later(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    gate_shut(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf); /* does not wait: there is nobody */
    while (s.pushed[0] < 2000 || counter_get(&s.counters, COUNTER_reconnects) == 0) {
        push(&s, 0, 10);
        zclock_sleep(5);
    }
    gate_bind(&g);
    wait_until_acknowledged(&s, &g, s.pushed[0] + 1);
    finish(&s, &g);
}

static void
events_that_were_taken_but_never_acknowledged_are_sent_again_after_a_restart(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    gate_run(&g, 50);
    g.mute = true;
    push(&s, 0, 200);
    gate_run_until(&g, g.mark > 100); /* committed, and the sensor does not know */
    assert_true(counter_get(&s.counters, COUNTER_events_acknowledged) <= 1);
    gate_shut(&g);
    g.mute = false;
    gate_bind(&g);
    wait_until_acknowledged(&s, &g, 201);
    assert_true(g.hellos >= 2);
    finish(&s, &g);
}

static void a_restart_that_forgot_what_came_last_gets_it_again(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    uint64_t mark = g.mark, next = g.next_of[0];
    g.mute = true;
    push(&s, 0, 200);
    gate_run_until(&g, g.mark > mark);
    gate_shut(&g); /* before its transaction was committed */
    g.mark = mark;
    g.next_of[0] = next;
    g.mute = false;
    gate_bind(&g);
    wait_until_acknowledged(&s, &g, 301);
    finish(&s, &g);
}

/* Two who disagree: at most one hello in that time (link.c), however often it is asked for. */
static unsigned hellos_since(uint64_t before)
{
    return 1 + (unsigned)((clock_mono_ns() - before) / (200 * NS_PER_MS));
}

static void a_request_for_hello_is_answered_once_and_batches_come_again(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = patient_conf_for(g.endpoint);
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    uint64_t before = clock_mono_ns();
    for (int i = 0; i < 50; i++)
        gate_say(&g, &(struct wire_message){.kind = WIRE_AGAIN, .reason = "who are you"});
    gate_run_until(&g, g.hellos > 1);
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 201);
    assert_in_range(g.hellos, 2, 1 + hellos_since(before)); /* not 51 */
    finish(&s, &g);
}

/* A collector that came back reads a hello and loses it with its database. */
static void a_hello_that_was_swallowed_is_said_again_on_the_same_connection(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.swallow = 1;
    struct publish_conf conf = conf_for(g.endpoint);
    conf.dead_ns = 60 * NS_PER_S;
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    finish(&s, &g);
    assert_true(g.hellos >= 2);
    assert_int_equal(counter_get(&s.counters, COUNTER_reconnects), 0);
}

static void a_request_for_hello_while_one_is_unanswered_brings_it_soon_and_once(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.swallow = 1;
    struct publish_conf conf =
        patient_conf_for(g.endpoint); /* the request brings it, nothing else */
    sensor_open(&s, &conf);
    gate_run_until(&g, g.hellos == 1);
    uint64_t before = clock_mono_ns();
    for (int i = 0; i < 50; i++)
        gate_say(&g, &(struct wire_message){.kind = WIRE_AGAIN, .reason = "begins anew"});
    gate_run_until(&g, g.hellos > 1);
    assert_true(clock_mono_ns() - before >= 200 * NS_PER_MS); /* not at once */
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    gate_run(&g, 300);
    assert_in_range(g.hellos, 2, 1 + hellos_since(before)); /* not 51 */
    finish(&s, &g);
}

static void hellos_that_are_never_answered_do_not_keep_a_connection_alive(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.swallow = 1000;
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    gate_run_until(&g, counter_get(&s.counters, COUNTER_reconnects) > 0);
    g.swallow = 0;
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    finish(&s, &g);
}

static void a_collector_that_is_silent_for_too_long_is_connected_to_anew(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    uint64_t before = counter_get(&s.counters, COUNTER_reconnects);
    g.deaf = true;
    push(&s, 0, 100);
    gate_run_until(&g, counter_get(&s.counters, COUNTER_reconnects) > before);
    g.deaf = false;
    wait_until_acknowledged(&s, &g, 201);
    assert_true(g.hellos > 1);
    gate_run_until(&g, g.pings > 0);
    finish(&s, &g);
}

/* A machine that stands still for dead_ns ends a connection, too, and rightly: what a connection
 * outlives is shown by one that did, and a machine that always stands still is none. */
static void at_the_latest_the_tenth_time(bool (*outlives)(void))
{
    for (int i = 0; i < 10; i++)
        if (outlives())
            return;
    fail_msg("each time the sensor connected anew");
}

static bool is_kept_open_by_pings(void)
{
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    gate_run(&g, 1500); /* three times dead_ns */
    bool is_kept = counter_get(&s.counters, COUNTER_reconnects) == 0 && g.hellos == 1;
    if (is_kept)
        assert_true(g.pings > 3);
    finish(&s, &g);
    return is_kept;
}

static void pings_keep_an_idle_connection_open(void **state)
{
    (void)state;
    at_the_latest_the_tenth_time(is_kept_open_by_pings);
}

static bool is_asked_for_by_hello(void)
{
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    sensor_open(&s, &conf);
    gate_run_until(&g, g.hellos > 0);
    g.mislay_acks = true;
    push(&s, 0, 50);
    gate_run_until(&g, g.mark == 51);
    g.mislay_acks = false; /* pongs come all the time, the lost one does not come again */
    wait_until_acknowledged(&s, &g, 51);
    assert_true(g.hellos >= 2);
    bool is_kept = counter_get(&s.counters, COUNTER_reconnects) == 0;
    finish(&s, &g);
    return is_kept;
}

static void an_acknowledgement_that_was_lost_is_asked_for_by_hello(void **state)
{
    (void)state;
    at_the_latest_the_tenth_time(is_asked_for_by_hello);
}

static void a_refused_sensor_tries_again_later_with_a_new_connection(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.refuse = true;
    struct publish_conf conf = conf_for(g.endpoint);
    uint64_t before = clock_mono_ns();
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    gate_run_until(&g, g.hellos > 0);
    gate_run(&g, 100);
    assert_int_equal(g.batches, 0);
    g.refuse = false;
    wait_until_acknowledged(&s, &g, 101);
    assert_true(clock_mono_ns() - before > conf.dead_ns);
    assert_true(counter_get(&s.counters, COUNTER_reconnects) >= 1);
    finish(&s, &g);
}

/* Of a sensor with a copy of our spool, say, whose events have our numbers. */
static void an_acknowledgement_of_what_was_never_sent_takes_nothing_away(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.mute = true;
    struct publish_conf conf = conf_for(g.endpoint);
    conf.dead_ns = 60 * NS_PER_S; /* what is said to a connection that has ended is lost */
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    while (counter_get(&s.counters, COUNTER_events_spooled) < 101 || g.hellos == 0)
        gate_run(&g, 10);
    for (uint64_t seq = 1; seq <= 101; seq += 25)
        gate_say(&g, &(struct wire_message){.kind = WIRE_ACK, .epoch = g.epoch, .seq = seq});
    while (counter_get(&s.counters, COUNTER_messages_malformed) < 5) {
        gate_run(&g, 10);
        assert_int_equal(counter_get(&s.counters, COUNTER_events_acknowledged), 0);
    }
    g.mute = false;
    finish(&s, &g);
}

static void garbage_is_counted_and_changes_nothing(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    conf.dead_ns = 60 * NS_PER_S;
    sensor_open(&s, &conf);
    gate_run_until(&g, g.hellos > 0);
    struct prf prf = prf_init(8, 8);
    for (int i = 0; i < 100; i++) {
        uint64_t junk[4] = {prf_next(&prf) | 0xc1, prf_next(&prf), prf_next(&prf), prf_next(&prf)};
        memset(junk, 0xc1, 1); /* never a msgpack object */
        gate_say_bytes(&g, junk, 1 + prf_below(&prf, sizeof junk));
    }
    /* well-formed, and absurd: from the future, for somebody else, not a collector's to say */
    gate_say(&g, &(struct wire_message){.kind = WIRE_ACK, .epoch = g.epoch, .seq = INT64_MAX});
    gate_say(&g, &(struct wire_message){.kind = WIRE_ACK, .epoch = g.epoch + 1, .seq = 1});
    gate_say(&g, &(struct wire_message){.kind = WIRE_HELLO, .first_seq = 1, .next_seq = 1});
    push(&s, 0, 100);
    wait_until_acknowledged(&s, &g, 101);
    assert_int_equal(counter_get(&s.counters, COUNTER_messages_malformed), 102);
    finish(&s, &g);
}

static void no_more_batches_are_on_the_way_than_the_credit_allows(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    g.credit = 3;
    g.mislay_acks = true;
    struct publish_conf conf = conf_for(g.endpoint);
    conf.dead_ns = 60 * NS_PER_S; /* no hello for lost acknowledgements meanwhile */
    sensor_open(&s, &conf);
    for (int i = 0; i < 40 || g.batches < 3; i++) {
        push(&s, 0, 200);
        gate_run(&g, 10);
    }
    assert_int_equal(g.batches, 3);
    g.mislay_acks = false;
    gate_ack(&g);
    finish(&s, &g);
}

/* Until ring and memory are full: nothing goes in any more, for a third of a second. */
static void fill(struct sensor *s, unsigned ring)
{
    unsigned refused = 0;
    while (refused < 300 || s->pushed[ring] <= RING_SLOTS) {
        refused = push(s, ring, 50) == 50 ? 0 : refused + 1;
        zclock_sleep(1);
    }
}

/* Memory is bounded: when it is full, rings fill, and then the engines hold their events back. */
static void a_full_memory_stops_reading_the_rings_and_loses_nothing(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    gate_shut(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    conf.keep_bytes = 2 * WIRE_MESSAGE_MAX;
    sensor_open(&s, &conf);
    fill(&s, 0);
    uint64_t held = s.pushed[0];
    assert_true(held < RING_SLOTS + SPOOL_MIN / 50);
    gate_bind(&g);
    wait_until_acknowledged(&s, &g, held + 1);
    assert_int_equal(push(&s, 0, 50), 50);
    finish(&s, &g);
}

static void closing_without_a_collector_ends_in_time_and_says_what_is_lost(void **state)
{
    (void)state;
    static struct sensor s;
    struct publish_conf conf = conf_for("tcp://127.0.0.1:9");
    conf.stop_wait_ns = 300 * NS_PER_MS;
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    uint64_t before = clock_mono_ns();
    assert_int_equal(publish_close(s.publish, "no hope"), 102); /* with started and stopped */
    assert_true(clock_mono_ns() - before >= conf.stop_wait_ns); /* and it did end */
    sensor_clear(&s);
}

static void what_is_still_in_the_rings_counts_as_lost_too(void **state)
{
    (void)state;
    static struct sensor s;
    struct publish_conf conf = conf_for("tcp://127.0.0.1:9");
    conf.stop_wait_ns = 200 * NS_PER_MS;
    conf.keep_bytes = 2 * WIRE_MESSAGE_MAX;
    sensor_open(&s, &conf);
    fill(&s, 1);
    assert_int_equal(publish_close(s.publish, "no hope"), s.pushed[1] + 1);
    sensor_clear(&s);
}

/* A collector that does anything at all: the whole promise in one test. */
static void misbehave(struct gate *g, struct prf *prf)
{
    switch (prf_below(prf, 8)) {
    case 0:
        gate_shut(g); /* connections are cut, what was on the way is lost */
        gate_bind(g);
        g->id_len = 0;
        break;
    case 1:
        g->mislay_acks = true;
        break;
    case 2:
        g->mute = true;
        break;
    case 3:
        gate_say(g, &(struct wire_message){.kind = WIRE_AGAIN, .reason = "a whim"});
        break;
    case 4:
        gate_say_bytes(g, "\xc1garbage", 8);
        break;
    case 5:
        if (g->epoch != 0 && g->mark > 1) /* acknowledges a part of what it has */
            gate_say(g, &(struct wire_message){.kind = WIRE_ACK,
                                               .epoch = g->epoch,
                                               .seq = g->last_ack + (g->mark - g->last_ack) / 2});
        break;
    case 6:
        g->deaf = true;
        break;
    default:
        g->mute = g->deaf = g->mislay_acks = false;
    }
}

static void whatever_the_collector_does_every_event_arrives_once_in_order(void **state)
{
    (void)state;
    struct prf prf = prf_init(21, 11);
    static struct gate g;
    static struct sensor s;
    gate_open(&g);
    struct publish_conf conf = conf_for(g.endpoint);
    conf.dead_ns = 150 * NS_PER_MS;
    conf.ping_ns = 30 * NS_PER_MS;
    conf.keep_bytes = 3 * WIRE_MESSAGE_MAX;
    sensor_open(&s, &conf);
    for (int i = 0; i < 250; i++) {
        push(&s, 0, (unsigned)prf_below(&prf, 200));
        push(&s, 1, (unsigned)prf_below(&prf, 200));
        gate_run(&g, (int)prf_below(&prf, 40));
        if (prf_below(&prf, 3) == 0)
            misbehave(&g, &prf);
    }
    g.mute = g.deaf = g.mislay_acks = false;
    finish(&s, &g);
    assert_true(g.hellos > 3);
    assert_true(g.repeats > 0);
}

/* ---- the spool ---- */

static struct publish_conf conf_on_disk(const char *endpoint, char *folder)
{
    struct publish_conf conf = conf_for(endpoint);
    if (folder[0] == '\0') {
        strcpy(folder, "/tmp/penstock-test-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    snprintf(conf.state_dir, sizeof conf.state_dir, "%s", folder);
    return conf;
}

static void __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

/* Another life of the same sensor: its events go on. */
static void sensor_reopen(struct sensor *s, const struct publish_conf *conf)
{
    struct sensor before = {.drops = s->drops};
    memcpy(before.pushed, s->pushed, sizeof before.pushed);
    sensor_open(s, conf);
    memcpy(s->pushed, before.pushed, sizeof s->pushed);
    s->drops = before.drops;
}

static void push_drop(struct sensor *s)
{
    struct event *e;
    while ((e = ring_claim(&s->rings[0])) == NULL)
        zclock_sleep(1);
    *e = (struct event){.type = EVENT_drop, .drop.seq = s->drops++};
    ring_publish(&s->rings[0]);
}

/* Ends the sensor while the gate runs; all that it holds comes. */
static void finish_life(struct sensor *s, struct gate *g)
{
    struct closing c = {.publish = s->publish};
    pthread_t thread;
    pthread_create(&thread, NULL, close_beside, &c);
    while (!c.done)
        gate_run(g, 5);
    pthread_join(thread, NULL);
    assert_int_equal(c.lost, 0);
    assert_true(g->stopped);
    assert_int_equal(g->next_of[0], s->pushed[0]);
    assert_int_equal(g->drops, s->drops);
    sensor_clear(s);
}

static void
what_is_not_acknowledged_at_the_end_is_sent_by_the_next_run_under_its_number(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    char folder[32] = "";
    gate_open(&g);
    gate_shut(&g);
    struct publish_conf conf = conf_on_disk(g.endpoint, folder);
    conf.stop_wait_ns = 50 * NS_PER_MS;
    sensor_open(&s, &conf);
    for (int life = 0; life < 3; life++) {
        if (life > 0)
            sensor_reopen(&s, &conf);
        push(&s, 0, 100);
        assert_int_equal(publish_close(s.publish, "for now"), 0);
        assert_int_equal(counter_get(&s.counters, COUNTER_events_spooled), 102);
        sensor_clear(&s);
    }
    conf.stop_wait_ns = 60 * NS_PER_S;
    conf.dead_ns = 60 * NS_PER_S; /* a connection anew would bring what is on the way again */
    gate_bind(&g);
    sensor_reopen(&s, &conf);
    push(&s, 0, 100);
    finish_life(&s, &g);
    assert_int_equal(g.mark, 4 * 102);
    assert_int_equal(g.starts, 4);
    assert_int_equal(g.gaps, 0);
    /* one more: nothing comes again */
    sensor_reopen(&s, &conf);
    finish_life(&s, &g);
    assert_int_equal(g.mark, 4 * 102 + 2);
    assert_int_equal(g.repeats, 0);
    gate_shut(&g);
    shell("rm -r %s", folder);
}

/* The holes lie between batches that are kept: the batch behind each says where it goes on, and
 * why. A collector that does not know that asks, and hears it with hello. */
static void full_spool(bool is_of_before)
{
    static struct gate g;
    static struct sensor s;
    char folder[32] = "";
    gate_open(&g);
    gate_shut(&g);
    g.takes_holes = true;
    g.is_of_before = is_of_before;
    struct publish_conf conf = conf_on_disk(g.endpoint, folder);
    sensor_open(&s, &conf);
    while (counter_get(&s.counters, COUNTER_given_up_tallies) < 30000) {
        unsigned n = push(&s, 0, 200);
        if (s.pushed[0] / 3000 > (s.pushed[0] - n) / 3000)
            push_drop(&s);
        zclock_sleep(1);
    }
    gate_bind(&g);
    finish_life(&s, &g);
    assert_true(s.drops > 10);
    assert_int_equal(counter_get(&s.counters, COUNTER_given_up_tallies), g.missing);
    assert_int_equal(g.mark, 2 + s.pushed[0] + s.drops);
    assert_int_equal(counter_get(&s.counters, COUNTER_given_up_evidence), 0);
    assert_string_equal(g.why, "the spool was full, given up: tallies");
    assert_true((is_of_before ? g.told : g.told_by_batch) > 5);
    gate_shut(&g);
    shell("rm -r %s", folder);
}

static void what_a_full_spool_gave_up_is_said_with_its_reason_and_counted_exactly(void **state)
{
    (void)state;
    full_spool(false);
}

static void a_collector_of_the_release_before_hears_of_holes_from_hello(void **state)
{
    (void)state;
    full_spool(true);
}

static void a_restored_spool_begins_an_epoch_and_its_new_events_arrive_once(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    char folder[32] = "";
    gate_open(&g);
    g.takes_epochs = true;
    struct publish_conf conf = conf_on_disk(g.endpoint, folder);
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    finish_life(&s, &g);
    shell("cp -r %s/spool %s/copy", folder, folder);
    sensor_reopen(&s, &conf);
    push(&s, 0, 200);
    finish_life(&s, &g);
    assert_int_equal(g.mark, 102 + 202);
    uint64_t epoch = g.epoch;
    shell("rm -r %s/spool && mv %s/copy %s/spool", folder, folder, folder);
    sensor_reopen(&s, &conf);
    push(&s, 0, 150);
    gate_run_until(&g, g.gaps > 0);
    finish_life(&s, &g);
    assert_true(g.epoch > epoch);
    assert_int_equal(g.mark, 150 + 3);
    assert_int_equal(g.gaps, 1);
    assert_string_equal(g.why, "the sensor's spool was older than what the collector has");
    gate_shut(&g);
    shell("rm -r %s", folder);
}

static void a_damaged_spool_is_followed_by_a_new_epoch_that_says_so(void **state)
{
    (void)state;
    static struct gate g;
    static struct sensor s;
    char folder[32] = "";
    gate_open(&g);
    g.takes_epochs = true;
    struct publish_conf conf = conf_on_disk(g.endpoint, folder);
    sensor_open(&s, &conf);
    push(&s, 0, 100);
    finish_life(&s, &g);
    shell("head -c 10000 /dev/urandom | dd of=%s/spool/data.mdb conv=notrunc 2>/dev/null", folder);
    log_level_set((enum log_level) - 1);
    sensor_reopen(&s, &conf);
    log_level_set(LOG_LEVEL_ERROR);
    push(&s, 0, 50);
    finish_life(&s, &g);
    assert_int_equal(g.mark, 50 + 3);
    assert_int_equal(g.gaps, 1);
    assert_string_equal(g.why, "the sensor's spool was damaged and is set aside");
    shell("ls -d %s/spool.corrupt-* >/dev/null", folder);
    gate_shut(&g);
    shell("rm -r %s", folder);
}

static void without_its_certificate_a_sensor_does_not_start_and_says_what_is_missing(void **state)
{
    (void)state;
    struct publish *p;
    struct note note = {0};
    struct counters counters = {0};
    struct publish_conf conf = conf_for("tcp://127.0.0.1:9");
    conf.insecure = false;
    strcpy(conf.certificate, "/no/such/ams1.cert");
    assert_int_equal(publish_open(&conf, NULL, 0, &counters, &p, &note), ERR_CONF);
    assert_string_equal(note.text,
                        "publish.certificate: /no/such/ams1.cert: No such file or directory");
    assert_null(p);
    assert_int_equal(publish_close(NULL, "nothing"), 0);
}

static void an_endpoint_that_makes_no_sense_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "nonsense", "http://example.org", "tcp://host"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct publish *p;
        struct note note = {0};
        struct counters counters = {0};
        struct publish_conf conf = conf_for(bad[i]);
        assert_int_equal(publish_open(&conf, NULL, 0, &counters, &p, &note), ERR_CONF);
        assert_non_null(strstr(note.text, "publish.endpoint"));
    }
}

static void signals_stay_the_programs_own(void **state)
{
    (void)state;
    struct sigaction ours = {.sa_handler = SIG_IGN}, after;
    sigaction(SIGTERM, &ours, NULL);
    static struct sensor s;
    struct publish_conf conf = conf_for("tcp://127.0.0.1:9");
    conf.stop_wait_ns = 0;
    sensor_open(&s, &conf);
    sigaction(SIGTERM, NULL, &after);
    assert_true(after.sa_handler == SIG_IGN);
    sigaction(SIGINT, NULL, &after);
    assert_true(after.sa_handler == SIG_DFL);
    publish_close(s.publish, "done");
    sensor_clear(&s);
    signal(SIGTERM, SIG_DFL);
}

static int make_zip(void **state)
{
    (void)state;
    return wire_zip_new(&zip);
}

static int free_zip(void **state)
{
    (void)state;
    wire_zip_free(zip);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_stay_the_programs_own), /* first: before czmq is set up */
        cmocka_unit_test(every_event_arrives_once_in_order_and_the_goodbye_is_last),
        cmocka_unit_test(batches_are_compressed_for_a_collector_that_says_it_takes_them),
        cmocka_unit_test(what_was_collected_while_the_collector_is_away_comes_later),
        cmocka_unit_test(
            events_that_were_taken_but_never_acknowledged_are_sent_again_after_a_restart),
        cmocka_unit_test(a_restart_that_forgot_what_came_last_gets_it_again),
        cmocka_unit_test(a_request_for_hello_is_answered_once_and_batches_come_again),
        cmocka_unit_test(a_hello_that_was_swallowed_is_said_again_on_the_same_connection),
        cmocka_unit_test(a_request_for_hello_while_one_is_unanswered_brings_it_soon_and_once),
        cmocka_unit_test(hellos_that_are_never_answered_do_not_keep_a_connection_alive),
        cmocka_unit_test(a_collector_that_is_silent_for_too_long_is_connected_to_anew),
        cmocka_unit_test(pings_keep_an_idle_connection_open),
        cmocka_unit_test(an_acknowledgement_that_was_lost_is_asked_for_by_hello),
        cmocka_unit_test(a_refused_sensor_tries_again_later_with_a_new_connection),
        cmocka_unit_test(an_acknowledgement_of_what_was_never_sent_takes_nothing_away),
        cmocka_unit_test(garbage_is_counted_and_changes_nothing),
        cmocka_unit_test(no_more_batches_are_on_the_way_than_the_credit_allows),
        cmocka_unit_test(a_full_memory_stops_reading_the_rings_and_loses_nothing),
        cmocka_unit_test(closing_without_a_collector_ends_in_time_and_says_what_is_lost),
        cmocka_unit_test(what_is_still_in_the_rings_counts_as_lost_too),
        cmocka_unit_test(whatever_the_collector_does_every_event_arrives_once_in_order),
        cmocka_unit_test(
            what_is_not_acknowledged_at_the_end_is_sent_by_the_next_run_under_its_number),
        cmocka_unit_test(what_a_full_spool_gave_up_is_said_with_its_reason_and_counted_exactly),
        cmocka_unit_test(a_collector_of_the_release_before_hears_of_holes_from_hello),
        cmocka_unit_test(a_restored_spool_begins_an_epoch_and_its_new_events_arrive_once),
        cmocka_unit_test(a_damaged_spool_is_followed_by_a_new_epoch_that_says_so),
        cmocka_unit_test(without_its_certificate_a_sensor_does_not_start_and_says_what_is_missing),
        cmocka_unit_test(an_endpoint_that_makes_no_sense_is_refused_with_a_reason),
    };
    log_level_set(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_zip, free_zip);
}

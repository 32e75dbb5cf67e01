/* Orders through the publisher: in by a real socket, into the list that main() watches, and out as
 * events, while main()'s thread looks on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <czmq.h>
#include <stdatomic.h>

#include "sensor/publish/publish.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/wire/wire.h"
#include "shared/wire/zip.h"

static zsock_t *router;
static struct wire_zip *zip;
static uint8_t id[256], in[WIRE_MESSAGE_MAX];
static size_t id_len;
static uint64_t process, stamp, hellos, mark;
static struct event events[64];
static unsigned event_count;

/* The machine slept so long: CLOCK_MONOTONIC stood still meanwhile, CLOCK_BOOTTIME did not. */
static atomic_ulong slept_s;
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    int err = __real_clock_gettime(clock, t);
    if (clock == CLOCK_BOOTTIME)
        t->tv_sec += (time_t)atomic_load(&slept_s);
    return err;
}

static void say(const struct wire_message *m)
{
    uint8_t bytes[1024];
    int len = wire_encode(m, bytes, sizeof bytes);
    assert_true(len > 0);
    zmq_send(zsock_resolve(router), id, id_len, ZMQ_SNDMORE);
    zmq_send(zsock_resolve(router), bytes, (size_t)len, 0);
}

static void take_batch(struct wire_message *m)
{
    size_t at = 0, used;
    assert_int_equal(wire_unzip(zip, m), 0);
    for (uint32_t i = 0; i < m->count; i++, at += used) {
        struct event e;
        assert_int_equal(wire_event_decode(m->events + at, m->events_len - at, &e, &used), 0);
        if (m->first_seq + i <= mark)
            continue;
        mark = m->first_seq + i;
        assert_true(event_count < 64);
        events[event_count++] = e;
    }
    say(&(struct wire_message){.kind = WIRE_ACK, .epoch = m->epoch, .seq = mark});
}

/* What waits, for so long. */
static void listen_for(unsigned ms)
{
    uint64_t until = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < until) {
        zmq_pollitem_t item = {.socket = zsock_resolve(router), .events = ZMQ_POLLIN};
        if (zmq_poll(&item, 1, 5) <= 0)
            continue;
        struct wire_message m;
        id_len = (size_t)zmq_recv(zsock_resolve(router), id, sizeof id, 0);
        int len = zmq_recv(zsock_resolve(router), in, sizeof in, 0);
        assert_int_equal(wire_decode(in, (size_t)len, &m), 0);
        if (m.stamp != 0) {
            assert_true(m.stamp >= stamp); /* a steady clock */
            stamp = m.stamp;
        }
        if (m.kind == WIRE_HELLO) {
            hellos++;
            process = m.orders;
            say(&(struct wire_message){
                .kind = WIRE_WELCOME, .version = 1, .epoch = m.epoch, .seq = mark, .credit = 8});
        } else if (m.kind == WIRE_BATCH) {
            take_batch(&m);
        }
    }
}

static const struct event *find(unsigned type)
{
    for (unsigned i = 0; i < event_count; i++)
        if (events[i].type == type)
            return &events[i];
    return NULL;
}

static void push(struct ring *ring, unsigned type)
{
    struct event *e = ring_claim(ring);
    *e = (struct event){.type = (uint8_t)type, .at = 1};
    if (type == EVENT_test_started)
        prefix_parse("203.0.113.0/24", &e->test_started.prefix);
    else
        prefix_parse("203.0.113.0/24", &e->test_ended.prefix);
    if (type == EVENT_test_ended)
        e->test_ended.data = 3;
    ring_publish(ring);
}

/* Waits, and answers meanwhile, until the list has so many. */
static uint64_t wait_for_list(struct publish *p, size_t n)
{
    struct control_watch list[CONTROL_ORDERS_MAX];
    uint64_t version = 0;
    for (unsigned i = 0; i < 3000 && publish_ordered(p, list, &version) != n; i++)
        listen_for(20);
    assert_int_equal(publish_ordered(p, list, &version), n);
    return version;
}

/* The same for the configuration's prefixes that may be tested. */
static void wait_for_home(struct publish *p, size_t n)
{
    struct prefix out[4];
    for (unsigned i = 0; i < 3000 && publish_home_free(p, out, 4) != n; i++)
        listen_for(20);
    assert_int_equal(publish_home_free(p, out, 4), n);
}

static void an_order_comes_in_is_watched_for_and_its_end_goes_out(void **state)
{
    (void)state;
    const struct control_conf control = {
        .enabled = true, .max_orders = 4, .max_lease_ns = 600 * NS_PER_S};
    struct ring ring, *list[1] = {&ring};
    struct counters counters = {0};
    struct publish *p;
    struct note note = {0};
    struct control_watch watched[CONTROL_ORDERS_MAX];
    uint64_t version;
    atomic_store(&slept_s, 3600);
    router = zsock_new(ZMQ_ROUTER);
    assert_true(zsock_bind(router, "tcp://127.0.0.1:*") > 0);
    char *endpoint = zsock_last_endpoint(router);
    struct publish_conf conf = {.insecure = true,
                                .sensor = "ams1",
                                .pop = "AMS",
                                .driver = "pcap",
                                .keep_bytes = 1 << 20,
                                .linger_ns = 5 * NS_PER_MS,
                                .stop_wait_ns = NS_PER_S,
                                .control = &control,
                                .seed = 7};
    snprintf(conf.endpoint, sizeof conf.endpoint, "%s", endpoint);
    zstr_free(&endpoint);
    assert_int_equal(ring_init(&ring, sizeof(struct event), 64), 0);
    assert_int_equal(publish_open(&conf, list, 1, &counters, &p, &note), 0);
    for (unsigned i = 0; i < 3000 && hellos == 0; i++)
        listen_for(20);
    assert_true(process != 0 && stamp != 0);

    struct wire_message hold = {.kind = WIRE_HOLD, .stamp = stamp, .lease = 60 * NS_PER_S};
    prefix_parse("198.51.100.0/24", &hold.prefix);
    assert_int_equal(publish_home(p, &hold.prefix, 1), 0);
    wait_for_home(p, 1);
    say(&hold);
    wait_for_home(p, 0);

    struct wire_message order = {.kind = WIRE_ORDER,
                                 .order_id = 5,
                                 .lease = 60 * NS_PER_S,
                                 .wait = NS_PER_S * 30,
                                 .drops = 9};
    order.stamp = stamp;
    prefix_parse("203.0.113.0/24", &order.prefix);
    say(&order);
    publish_watched(p, wait_for_list(p, 1));
    push(&ring, EVENT_test_started);
    push(&ring, EVENT_test_ended);
    publish_watched(p, wait_for_list(p, 0));
    for (unsigned i = 0; i < 3000 && find(EVENT_order_ended) == NULL; i++)
        listen_for(20);
    assert_int_equal(find(EVENT_test_started)->test_started.order_id, 5);
    assert_int_equal(find(EVENT_test_ended)->test_ended.order_id, 5);
    assert_int_equal(find(EVENT_order_ended)->order_ended.order_id, 5);
    assert_int_equal(find(EVENT_order_ended)->order_ended.reason, REASON_ENDED);
    assert_true(find(EVENT_order_ended) > find(EVENT_test_ended));

    order.order_id = 6; /* one that runs out while the machine sleeps */
    order.stamp = stamp;
    order.lease = order.wait = 600 * NS_PER_S;
    event_count = 0;
    say(&order);
    publish_watched(p, wait_for_list(p, 1));
    assert_true(publish_ordered(p, watched, &version) == 1 &&
                watched[0].until_ns <= clock_mono_ns() + order.lease); /* slept before, or not */
    atomic_fetch_add(&slept_s, 601);
    publish_watched(p, wait_for_list(p, 0));
    for (unsigned i = 0; i < 3000 && find(EVENT_order_ended) == NULL; i++)
        listen_for(20);
    assert_int_equal(find(EVENT_order_ended)->order_ended.reason, REASON_LEASE_OVER);

    order.order_id = 7; /* one that the sensor's end ends */
    order.stamp = stamp;
    event_count = 0;
    say(&order);
    wait_for_list(p, 1);
    publish_close(p, "the test is over"); /* what it says stays with it: nobody listens */
    ring_clear(&ring);
    zsock_destroy(&router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_comes_in_is_watched_for_and_its_end_goes_out),
    };
    log_level_set(LOG_LEVEL_ERROR);
    zsys_handler_set(NULL);
    if (wire_zip_new(&zip) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wire_zip_free(zip);
    return failed;
}

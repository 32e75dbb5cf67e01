#include "tests/collector/loop/one_sensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/log.h"

#define T0    INT64_C(1700000000000000000)
#define EPOCH UINT64_C(1699999999000000000)

int64_t now;
uint64_t seq;
struct counters counters;
struct expect policy;
struct loop loop;

static int64_t test_wall(void)
{
    return now;
}

static uint64_t test_mono(void)
{
    return (uint64_t)now;
}

static void ignore(const char *sensor, const struct wire_message *m)
{
    (void)sensor, (void)m;
}

void start_loop(void)
{
    assert_int_equal(doors_loop(&loop, &policy, &counters, test_wall, test_mono), 0);
    net_answer = ignore;
}

void say_hello(void)
{
    net_queue("ams1", &(struct wire_message){.kind = WIRE_HELLO,
                                             .version = WIRE_VERSION,
                                             .pop = "AMS",
                                             .release = "0.1.0",
                                             .epoch = EPOCH,
                                             .first_seq = 1});
}

void start(void)
{
    start_loop();
    say_hello();
    loop_turn(&loop, 0);
}

int setup(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_ERROR);
    doors_reset();
    now = T0;
    seq = 0;
    policy = (struct expect){.max_learned = 2};
    start();
    return 0;
}

int teardown(void **state)
{
    (void)state;
    loop_clear(&loop);
    expect_clear(&policy);
    return 0;
}

struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void send(struct event *e)
{
    static uint8_t bytes[WIRE_MESSAGE_MAX];
    e->at = now;
    int len = wire_event_encode(e, bytes, sizeof bytes);
    assert_true(len > 0);
    net_queue("ams1", &(struct wire_message){.kind = WIRE_BATCH,
                                             .epoch = EPOCH,
                                             .first_seq = ++seq,
                                             .count = 1,
                                             .events = bytes,
                                             .events_len = (size_t)len});
    loop_turn(&loop, 0);
}

void seen_bytes(const char *text, uint64_t bytes)
{
    struct event e = {.type = EVENT_tally};
    e.tally.prefix = prefix(text);
    e.tally.started_at = e.tally.ended_at = now;
    e.tally.packets = 100;
    e.tally.bytes = bytes;
    snprintf(e.tally.ingress.router, sizeof e.tally.ingress.router, "r1");
    e.tally.ingress.peer_as = 64501;
    send(&e);
}

void seen(const char *text)
{
    seen_bytes(text, 100);
}

void tested(const char *text, uint8_t verdict)
{
    struct event e = {.type = EVENT_test_ended};
    e.test_ended.prefix = prefix(text);
    e.test_ended.started_at = e.test_ended.ended_at = now;
    e.test_ended.verdict = verdict;
    e.test_ended.genuine_probability = verdict == VERDICT_GENUINE ? 0.999 : 0.001;
    e.test_ended.drops = 12;
    e.test_ended.retransmitted = verdict == VERDICT_GENUINE ? 12 : 0;
    snprintf(e.test_ended.ingress.router, sizeof e.test_ended.ingress.router, "r1");
    e.test_ended.ingress.peer_as = 64501;
    send(&e);
}

const struct ingress_row *row(const char *text)
{
    struct prefix p = prefix(text);
    for (size_t i = 0; i < db.row_count; i++)
        if (prefix_equal(&db.rows[i].prefix, &p))
            return &db.rows[i];
    fail_msg("no row for %s", text);
    return NULL;
}

void assert_row(const char *text, enum expected expected, const char *by)
{
    const struct ingress_row *r = row(text);
    assert_int_equal(r->expected, expected);
    assert_string_equal(r->expected_by, by);
}

void say(struct expect_row said)
{
    db.said[db.said_count++] = said;
    db_heard |= HEARD_EXPECTATION;
    loop_turn(&loop, 0);
}

/* Messages through the encoder and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/wire/wire.h"

static const uint8_t two_events[] = "\x81\xa1t\x01\x81\xa1t\x02";

#define NET                          \
    {                                \
        {{203, 0, 113}, ADDR_V4}, 24 \
    }

static const struct wire_message samples[] = {
    {.kind = WIRE_HELLO,
     .version = WIRE_VERSION,
     .name = "ams1",
     .pop = "AMS",
     .release = "penstock 0.1.0",
     .epoch = 1795000000000000000,
     .first_seq = 5,
     .next_seq = 9},
    {.kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = 17, .seq = 4, .credit = WIRE_CREDIT},
    {.kind = WIRE_BATCH,
     .epoch = 17,
     .first_seq = 5,
     .count = 2,
     .events = two_events,
     .events_len = 8},
    {.kind = WIRE_BATCH,
     .epoch = 17,
     .first_seq = 5,
     .after = 2,
     .reason = "given up",
     .count = 2,
     .events = two_events,
     .events_len = 8},
    {.kind = WIRE_ACK, .epoch = 17, .seq = INT64_MAX},
    {.kind = WIRE_AGAIN, .reason = "not in order"},
    {.kind = WIRE_HELLO,
     .name = "ams1",
     .epoch = 7,
     .first_seq = 9,
     .next_seq = 12,
     .reason = "given up"},
    {.kind = WIRE_PING},
    {.kind = WIRE_PONG},
    {.kind = WIRE_REFUSE, .reason = "version 9 is not spoken here"},
    {.kind = WIRE_HELLO, .name = "ams1", .first_seq = 1, .next_seq = 1, .orders = 77, .stamp = 5},
    {.kind = WIRE_ORDER,
     .order_id = 12,
     .stamp = 5,
     .prefix = NET,
     .lease = 180,
     .wait = 30,
     .drops = 60},
    {.kind = WIRE_STOP, .order_id = 12},
    {.kind = WIRE_HOLD, .stamp = 5, .prefix = NET, .lease = 180},
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* Equal, the events by content: after decoding they point elsewhere. */
static void assert_same(const struct wire_message *a, const struct wire_message *b)
{
    struct wire_message x = *a, y = *b;
    assert_int_equal(x.events_len, y.events_len);
    if (x.events_len > 0)
        assert_memory_equal(x.events, y.events, x.events_len);
    x.events = y.events = NULL;
    assert_int_equal(x.kind, y.kind);
    assert_int_equal(x.version, y.version);
    assert_string_equal(x.name, y.name);
    assert_string_equal(x.pop, y.pop);
    assert_string_equal(x.release, y.release);
    assert_int_equal(x.epoch, y.epoch);
    assert_int_equal(x.first_seq, y.first_seq);
    assert_int_equal(x.after, y.after);
    assert_int_equal(x.next_seq, y.next_seq);
    assert_int_equal(x.seq, y.seq);
    assert_int_equal(x.credit, y.credit);
    assert_string_equal(x.reason, y.reason);
    assert_int_equal(x.count, y.count);
    assert_int_equal(x.orders, y.orders);
    assert_int_equal(x.stamp, y.stamp);
    assert_int_equal(x.order_id, y.order_id);
    assert_true(prefix_equal(&x.prefix, &y.prefix));
    assert_int_equal(x.lease, y.lease);
    assert_int_equal(x.wait, y.wait);
    assert_int_equal(x.drops, y.drops);
}

static void every_message_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[1024];
        struct wire_message got;
        int len = wire_encode(&samples[i], bytes, sizeof bytes);
        assert_true(len > 0);
        assert_int_equal(wire_decode(bytes, (size_t)len, &got), 0);
        assert_same(&samples[i], &got);
        if (got.kind == WIRE_BATCH)
            assert_true(got.events > bytes && got.events < bytes + len); /* borrowed, not copied */
    }
}

static void a_message_cut_anywhere_is_truncated_and_one_too_long_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[1024] = {0};
        struct wire_message got;
        int len = wire_encode(&samples[i], bytes, sizeof bytes);
        for (int cut = 0; cut < len; cut++) {
            uint8_t *copy = malloc((size_t)cut + 1);
            memcpy(copy, bytes, (size_t)cut);
            copy = realloc(copy, cut > 0 ? (size_t)cut : 1);
            assert_int_equal(wire_decode(copy, (size_t)cut, &got), ERR_TRUNCATED);
            assert_int_equal(wire_encode(&samples[i], copy, (size_t)cut), ERR_FULL);
            free(copy);
        }
        assert_int_equal(wire_decode(bytes, (size_t)len + 1, &got), ERR_FORMAT);
    }
    static uint8_t huge[WIRE_MESSAGE_MAX + 1];
    struct wire_message got;
    assert_int_equal(wire_decode(huge, sizeof huge, &got), ERR_TOO_LONG);
}

static void every_byte_flipped_every_way_never_crashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t bytes[1024];
        int len = wire_encode(&samples[i], bytes, sizeof bytes);
        for (int at = 0; at < len; at++) {
            uint8_t was = bytes[at];
            for (unsigned v = 0; v < 256; v++) {
                struct wire_message got;
                uint8_t *copy = malloc((size_t)len);
                memcpy(copy, bytes, (size_t)len);
                copy[at] = (uint8_t)v;
                if (wire_decode(copy, (size_t)len, &got) == 0 && got.events != NULL)
                    assert_true(got.events >= copy && got.events + got.events_len <= copy + len);
                free(copy);
            }
            bytes[at] = was;
        }
    }
}

static void messages_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct wire_message bad[] = {
        {.kind = WIRE_HELLO, .first_seq = 0, .next_seq = 1},
        {.kind = WIRE_HELLO, .first_seq = 9, .next_seq = 8},
        {.kind = WIRE_BATCH, .first_seq = 0, .count = 2, .events = two_events, .events_len = 8},
        {.kind = WIRE_BATCH, .first_seq = 1, .count = 0, .events = two_events, .events_len = 8},
        {.kind = WIRE_BATCH, .first_seq = 1, .count = 9, .events = two_events, .events_len = 8},
        {.kind = WIRE_BATCH,
         .first_seq = 7,
         .after = 7,
         .count = 2,
         .events = two_events,
         .events_len = 8},
        {.kind = WIRE_BATCH,
         .first_seq = INT64_MAX,
         .count = 2,
         .events = two_events,
         .events_len = 8},
        {.kind = WIRE_ORDER, .order_id = 0, .prefix = NET, .lease = 1, .drops = 1},
        {.kind = WIRE_ORDER, .order_id = 1, .lease = 1, .drops = 1},
        {.kind = WIRE_ORDER, .order_id = 1, .prefix = NET, .drops = 1},
        {.kind = WIRE_ORDER, .order_id = 1, .prefix = NET, .lease = 1},
        {.kind = WIRE_STOP},
        {.kind = WIRE_HOLD, .lease = 1},
        {.kind = WIRE_HOLD, .prefix = NET},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t bytes[1024];
        struct wire_message got;
        int len = wire_encode(&bad[i], bytes, sizeof bytes);
        assert_true(len > 0);
        assert_int_equal(wire_decode(bytes, (size_t)len, &got), ERR_FORMAT);
    }
    struct wire_message got;
    assert_int_equal(wire_decode((const uint8_t *)"\x80", 1, &got), ERR_FORMAT);
    assert_int_equal(wire_decode((const uint8_t *)"\x81\xa1m\x00", 4, &got), ERR_FORMAT);
    assert_int_equal(wire_decode((const uint8_t *)"\x81\xa1m\x0c", 4, &got), ERR_FORMAT);
    assert_int_equal(wire_decode((const uint8_t *)"\x01", 1, &got), ERR_FORMAT);
}

static void a_batch_of_too_many_events_is_refused(void **state)
{
    (void)state;
    static uint8_t events[WIRE_BATCH_EVENTS + 1], bytes[WIRE_MESSAGE_MAX];
    struct wire_message got, m = {.kind = WIRE_BATCH,
                                  .epoch = 1,
                                  .first_seq = 1,
                                  .count = WIRE_BATCH_EVENTS,
                                  .events = events,
                                  .events_len = sizeof events};
    int len = wire_encode(&m, bytes, sizeof bytes);
    assert_int_equal(wire_decode(bytes, (size_t)len, &got), 0);
    m.count++;
    len = wire_encode(&m, bytes, sizeof bytes);
    assert_int_equal(wire_decode(bytes, (size_t)len, &got), ERR_TOO_LONG);
}

static void keys_of_a_later_version_are_skipped(void **state)
{
    (void)state;
    struct wire_message got;
    static const char bytes[] = "\x84\xa1m\x04\xa3new\x91\x80\xa5"
                                "epoch\x07\xa3seq\x08";
    assert_int_equal(wire_decode((const uint8_t *)bytes, sizeof bytes - 1, &got), 0);
    assert_int_equal(got.kind, WIRE_ACK);
    assert_int_equal(got.epoch, 7);
    assert_int_equal(got.seq, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_was_sent),
        cmocka_unit_test(a_message_cut_anywhere_is_truncated_and_one_too_long_is_refused),
        cmocka_unit_test(every_byte_flipped_every_way_never_crashes),
        cmocka_unit_test(messages_that_make_no_sense_are_refused),
        cmocka_unit_test(a_batch_of_too_many_events_is_refused),
        cmocka_unit_test(keys_of_a_later_version_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

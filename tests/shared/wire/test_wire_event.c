/* Events through the encoder and back, and everything that can be wrong with bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/wire/unpack.h"
#include "shared/wire/wire.h"
#include "tests/support/random_event.h"

enum { ROUNDS = 300 };

/* Exactly as long as what is in it, so that a sanitizer sees one byte too far. */
static uint8_t *exact_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static void every_event_comes_back_as_it_was_sent(void **state)
{
    (void)state;
    struct prf prf = prf_init(1, 1);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        for (int round = 0; round < ROUNDS; round++) {
            struct event sent, got;
            uint8_t bytes[WIRE_EVENT_MAX];
            size_t used;
            random_event(&prf, &kinds[k], &sent);
            int len = wire_event_encode(&sent, bytes, sizeof bytes);
            assert_true(len > 0);
            assert_int_equal(wire_event_decode(bytes, (size_t)len, &got, &used), 0);
            assert_int_equal(used, len);
            assert_memory_equal(&got, &sent, sizeof got);
        }
    }
}

static void the_longest_event_of_every_kind_fits(void **state)
{
    (void)state;
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        struct event sent, got;
        uint8_t bytes[WIRE_EVENT_MAX];
        size_t used;
        longest_event(&kinds[k], &sent);
        if (kinds[k].number == EVENT_tally) /* the one with a prefix that has bits */
            sent.tally.prefix.length = 128;
        int len = wire_event_encode(&sent, bytes, sizeof bytes);
        assert_true(len > 0 && len <= WIRE_EVENT_MAX / 2); /* with room for fields to come */
        assert_int_equal(wire_event_decode(bytes, (size_t)len, &got, &used), 0);
        assert_memory_equal(&got, &sent, sizeof got);
    }
}

static void a_buffer_too_small_is_refused_at_every_size(void **state)
{
    (void)state;
    struct prf prf = prf_init(2, 1);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        struct event e;
        uint8_t bytes[WIRE_EVENT_MAX];
        random_event(&prf, &kinds[k], &e);
        int len = wire_event_encode(&e, bytes, sizeof bytes);
        for (int room = 0; room < len; room++) {
            uint8_t *small = malloc((size_t)room + 1);
            assert_int_equal(wire_event_encode(&e, small, (size_t)room), ERR_FULL);
            free(small);
        }
    }
}

static void an_event_cut_at_any_byte_is_truncated_and_takes_nothing(void **state)
{
    (void)state;
    struct prf prf = prf_init(3, 1);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        struct event e;
        uint8_t bytes[WIRE_EVENT_MAX];
        random_event(&prf, &kinds[k], &e);
        int len = wire_event_encode(&e, bytes, sizeof bytes);
        for (int cut = 0; cut < len; cut++) {
            size_t used = 99;
            uint8_t *copy = exact_copy(bytes, (size_t)cut);
            assert_int_equal(wire_event_decode(copy, (size_t)cut, &e, &used), ERR_TRUNCATED);
            assert_int_equal(used, 0);
            free(copy);
        }
    }
}

static void flipped_bytes_never_crash_and_what_decodes_encodes_again(void **state)
{
    (void)state;
    struct prf prf = prf_init(4, 1);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (int round = 0; round < 20000; round++) {
        struct event e, again;
        uint8_t bytes[WIRE_EVENT_MAX], second[WIRE_EVENT_MAX];
        random_event(&prf, &kinds[prf_below(&prf, n)], &e);
        int len = wire_event_encode(&e, bytes, sizeof bytes);
        for (uint64_t flips = 1 + prf_below(&prf, 3); flips > 0; flips--)
            bytes[prf_below(&prf, (uint64_t)len)] ^= (uint8_t)(1 + prf_below(&prf, 255));
        uint8_t *copy = exact_copy(bytes, (size_t)len);
        size_t used;
        int err = wire_event_decode(copy, (size_t)len, &e, &used);
        assert_true(used <= (size_t)len);
        free(copy);
        if (err < 0)
            continue;
        assert_true(used > 0);
        len = wire_event_encode(&e, second, sizeof second);
        assert_true(len > 0);
        assert_int_equal(wire_event_decode(second, (size_t)len, &again, &used), 0);
        assert_memory_equal(&again, &e, sizeof e);
    }
}

/* ---- bytes made by hand ---- */

static int decode(const void *bytes, size_t len, struct event *e, size_t *used)
{
    uint8_t *copy = exact_copy(bytes, len);
    int err = wire_event_decode(copy, len, e, used);
    free(copy);
    return err;
}

#define DECODE(literal, e, used) decode(literal, sizeof(literal) - 1, e, used)

static void unknown_keys_are_skipped_and_missing_ones_are_none(void **state)
{
    (void)state;
    struct event e;
    size_t used;
    /* a drop with an unknown key that holds a nested value, and little else */
    assert_int_equal(DECODE("\x84\xa1t\x07\xa2"
                            "at\x05\xa3new\x92\x01\x81\xa1x\xc0\xa6length\x09",
                            &e, &used),
                     0);
    assert_int_equal(e.type, EVENT_drop);
    assert_int_equal(e.at, 5);
    assert_int_equal(e.drop.length, 9);
    assert_int_equal(e.drop.src.family, 0);
    assert_true(e.drop.answered_after == SPAN_NONE);
}

static void a_bad_event_is_set_aside_and_the_next_one_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int err;
    } bad[] = {
#define BAD(literal, err)    \
    {                        \
        literal,             \
        sizeof(literal) - 1, \
        err,                 \
    }
        BAD("\xc0", ERR_FORMAT),                        /* no map */
        BAD("\x80", ERR_FORMAT),                        /* no type */
        BAD("\x81\xa1t\xa1x", ERR_FORMAT),              /* a type that is no number */
        BAD("\x81\xa1t\x7f", ERR_FORMAT),               /* a type that nobody knows */
        BAD("\x81\xa1t\xcd\x01\x07", ERR_FORMAT),       /* 263 must not become 7 */
        BAD("\x82\xa1t\x07\xa6length\xff", ERR_FORMAT), /* negative */
        BAD("\x82\xa1t\x07\xa6length\xcf\x80\0\0\0\0\0\0\0", ERR_FORMAT),
        BAD("\x82\xa1t\x07\xa7outcome\xa3odd", ERR_FORMAT),
        BAD("\x82\xa1t\x07\xa7outcome\xc0", ERR_FORMAT),
        BAD("\x82\xa1t\x07\xa3src\xc4\x05xxxxx", ERR_FORMAT),
        BAD("\x82\xa1t\x02\xa6reason\xa2\xc3\x28", ERR_FORMAT),           /* no UTF-8 */
        BAD("\x82\xa1t\x02\xa6reason\xa3x\0y", ERR_FORMAT),               /* NUL */
        BAD("\x82\xa1t\x05\xa6prefix\xc4\x05\x0a\0\0\1\x18", ERR_FORMAT), /* host bits */
        BAD("\x82\xa1t\x05\xa6prefix\xc4\x05\x0a\0\0\0\x21", ERR_FORMAT), /* /33 */
        BAD("\x82\xa1t\x05\xa6router\xd9\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ERR_TOO_LONG),
        BAD("\x82\xa1t\x0a\xa3rst\x01", ERR_FORMAT),                   /* 1 is not true */
        BAD("\x82\xa1t\x0a\xa3rst\xc0", ERR_FORMAT),                   /* nor is nil false */
        BAD("\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", ERR_TOO_LONG), /* nine deep */
#undef BAD
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct event e;
        size_t used;
        int err = decode(bad[i].bytes, bad[i].len, &e, &used);
        assert_int_equal(err, bad[i].err);
        assert_int_equal(used, bad[i].len);
    }
}

static void lengths_that_lie_are_refused_before_anything_is_allocated(void **state)
{
    (void)state;
    struct event e;
    size_t used;
    assert_int_equal(DECODE("\xdf\xff\xff\xff\xff\xc0", &e, &used), ERR_TRUNCATED);
    assert_int_equal(DECODE("\xdd\xff\xff\xff\xff", &e, &used), ERR_TRUNCATED);
    assert_int_equal(DECODE("\xdb\xff\xff\xff\xffxx", &e, &used), ERR_TRUNCATED);
    assert_int_equal(DECODE("\xc9\xff\xff\xff\xff\x01", &e, &used), ERR_TRUNCATED);
    assert_int_equal(DECODE("\xc1", &e, &used), ERR_FORMAT);
    assert_int_equal(used, 0);
}

static void a_very_deep_event_costs_no_stack_and_is_stepped_over(void **state)
{
    (void)state;
    struct event e;
    size_t used;
    uint8_t *deep = malloc(60000);
    memset(deep, 0x91, 59999);
    deep[59999] = 0xc0;
    assert_int_equal(wire_event_decode(deep, 60000, &e, &used), ERR_TOO_LONG);
    assert_int_equal(used, 60000);
    free(deep);
}

static void nesting_up_to_the_limit_is_fine(void **state)
{
    (void)state;
    size_t used;
    assert_int_equal(
        unpack_measure((const uint8_t *)"\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 9, &used), 0);
    /* wide, deep, and back up again */
    assert_int_equal(unpack_measure((const uint8_t *)"\x93\x91\x91\xc0\x91\x91\xc0\x01", 8, &used),
                     0);
    assert_int_equal(used, 8);
}

static void an_event_longer_than_the_limit_is_set_aside(void **state)
{
    (void)state;
    struct event e;
    size_t used, len = 5 + WIRE_EVENT_MAX;
    uint8_t *text = calloc(1, len);
    memcpy(text, "\xdb\x00\x00\x10\x00", 5);
    assert_int_equal(wire_event_decode(text, len, &e, &used), ERR_TOO_LONG);
    assert_int_equal(used, len);
    free(text);
}

static void what_cannot_be_said_is_refused_by_the_encoder(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_EVENT_MAX];
    struct event e = {.type = 200};
    assert_int_equal(wire_event_encode(&e, bytes, sizeof bytes), ERR_FORMAT);
    e = (struct event){.type = EVENT_drop, .drop.outcome = 77};
    assert_int_equal(wire_event_encode(&e, bytes, sizeof bytes), ERR_FORMAT);
    e = (struct event){.type = EVENT_drop, .drop.length = UINT64_MAX};
    assert_int_equal(wire_event_encode(&e, bytes, sizeof bytes), ERR_FORMAT);
}

static void text_that_is_no_utf8_arrives_with_question_marks(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_EVENT_MAX];
    size_t used;
    struct event got, e = {.type = EVENT_sensor_stopped, .sensor_stopped.reason = "a\xff z\xc3"};
    int len = wire_event_encode(&e, bytes, sizeof bytes);
    assert_int_equal(wire_event_decode(bytes, (size_t)len, &got, &used), 0);
    assert_string_equal(got.sensor_stopped.reason, "a? z?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_comes_back_as_it_was_sent),
        cmocka_unit_test(the_longest_event_of_every_kind_fits),
        cmocka_unit_test(a_buffer_too_small_is_refused_at_every_size),
        cmocka_unit_test(an_event_cut_at_any_byte_is_truncated_and_takes_nothing),
        cmocka_unit_test(flipped_bytes_never_crash_and_what_decodes_encodes_again),
        cmocka_unit_test(unknown_keys_are_skipped_and_missing_ones_are_none),
        cmocka_unit_test(a_bad_event_is_set_aside_and_the_next_one_is_read),
        cmocka_unit_test(lengths_that_lie_are_refused_before_anything_is_allocated),
        cmocka_unit_test(a_very_deep_event_costs_no_stack_and_is_stepped_over),
        cmocka_unit_test(nesting_up_to_the_limit_is_fine),
        cmocka_unit_test(an_event_longer_than_the_limit_is_set_aside),
        cmocka_unit_test(what_cannot_be_said_is_refused_by_the_encoder),
        cmocka_unit_test(text_that_is_no_utf8_arrives_with_question_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Values in PostgreSQL's binary form, without a server. test_store sends the same through one. */
#include <endian.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/store/field.h"

static int32_t first_length(const struct record *r)
{
    uint32_t be;
    assert_true(r->len >= sizeof be);
    memcpy(&be, r->data, sizeof be);
    return (int32_t)be32toh(be);
}

static uint64_t first_number(const struct record *r)
{
    uint64_t be;
    assert_int_equal(first_length(r), 8);
    memcpy(&be, r->data + 4, sizeof be);
    return be64toh(be);
}

static void text_becomes(const char *text, const char *expected)
{
    struct record r = {0};
    field_text(&r, text);
    assert_int_equal(first_length(&r), strlen(expected));
    assert_int_equal(r.len, 4 + strlen(expected));
    assert_memory_equal(r.data + 4, expected, strlen(expected));
    record_clear(&r);
}

static void well_formed_text_passes_unchanged(void **state)
{
    (void)state;
    text_becomes("", "");
    text_becomes("xe-0/0/1", "xe-0/0/1");
    text_becomes("Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x8c\x8a",
                 "Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x8c\x8a");
}

static void bytes_that_are_no_utf8_become_question_marks(void **state)
{
    (void)state;
    text_becomes("a\xff"
                 "b",
                 "a?b");
    text_becomes("\xc0\xaf", "??");           /* overlong */
    text_becomes("\xed\xa0\x80", "???");      /* surrogate */
    text_becomes("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
    text_becomes("cut \xe2\x82", "cut ??");
}

static void numbers_beyond_bigint_stop_at_its_end(void **state)
{
    (void)state;
    struct record r = {0};
    field_bigint(&r, UINT64_MAX);
    assert_true(first_number(&r) == INT64_MAX);
    record_empty(&r);
    field_bigint(&r, 4294967296);
    assert_true(first_number(&r) == 4294967296);
    record_clear(&r);
}

static void times_before_1970_round_down(void **state)
{
    (void)state;
    struct record r = {0};
    field_instant(&r, -1);
    assert_true((int64_t)first_number(&r) == -INT64_C(946684800000001));
    record_empty(&r);
    field_instant(&r, 946684800000001999);
    assert_true(first_number(&r) == 1);
    record_clear(&r);
}

static void a_probability_stays_between_0_and_1(void **state)
{
    (void)state;
    const double in[] = {-0.1, 0.25, 1.0000001}, out[] = {0, 0.25, 1};
    for (size_t i = 0; i < 3; i++) {
        struct record r = {0};
        field_probability(&r, in[i]);
        uint64_t bits = first_number(&r);
        double value;
        memcpy(&value, &bits, sizeof value);
        assert_true(value == out[i]);
        record_clear(&r);
    }
    struct record r = {0};
    field_probability(&r, NAN);
    assert_int_equal(first_length(&r), -1);
    record_clear(&r);
}

static void a_prefix_loses_its_host_bits(void **state)
{
    (void)state;
    struct record r = {0};
    struct prefix p = {.addr = {.family = ADDR_V4, .bytes = {192, 0, 2, 77}}, .length = 24};
    static const uint8_t expected[] = {0, 0, 0, 8, 2, 24, 1, 4, 192, 0, 2, 0};
    field_prefix(&r, &p);
    assert_int_equal(r.len, sizeof expected);
    assert_memory_equal(r.data, expected, sizeof expected);
    record_clear(&r);
}

static void what_is_not_said_is_null(void **state)
{
    (void)state;
    struct record r = {0};
    field_addr(&r, &(struct addr){0});
    field_prefix(&r, &(struct prefix){0});
    field_span(&r, SPAN_NONE);
    field_time(&r, 0);
    field_mac_or_null(&r, (const uint8_t[6]){0});
    field_bigint_or_null(&r, 0);
    field_text_or_null(&r, "");
    assert_int_equal(r.len, 7 * 4);
    for (size_t i = 0; i < r.len; i++)
        assert_int_equal(r.data[i], 0xff);
    record_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_passes_unchanged),
        cmocka_unit_test(bytes_that_are_no_utf8_become_question_marks),
        cmocka_unit_test(numbers_beyond_bigint_stop_at_its_end),
        cmocka_unit_test(times_before_1970_round_down),
        cmocka_unit_test(a_probability_stays_between_0_and_1),
        cmocka_unit_test(a_prefix_loses_its_host_bits),
        cmocka_unit_test(what_is_not_said_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

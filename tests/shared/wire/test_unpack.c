/* Our reader beside msgpack-c's: the same bytes must read as the same objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

#include "shared/wire/unpack.h"
#include "shared/wire/wire.h"
#include "tests/support/random_event.h"

static void same_bytes(const struct value *v, const char *bytes, uint32_t size)
{
    assert_int_equal(v->count, size);
    assert_memory_equal(v->bytes, bytes, size);
}

/* What stands behind the object. */
static const uint8_t *same(const uint8_t *at, const msgpack_object *o)
{
    struct value v, whole;
    const uint8_t *end = unpack_value(at, &whole);
    at = unpack_head(at, &v);
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal(v.type, VALUE_NIL);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(v.type, VALUE_BOOL);
        assert_int_equal(v.is_true, o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(v.type, VALUE_NUMBER);
        assert_int_equal(v.number, o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        assert_int_equal(v.type, VALUE_NEGATIVE);
        assert_int_equal(v.negative, o->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        assert_int_equal(v.type, VALUE_REAL);
        assert_memory_equal(&v.real, &o->via.f64, sizeof v.real);
        break;
    case MSGPACK_OBJECT_STR:
        assert_int_equal(v.type, VALUE_TEXT);
        same_bytes(&v, o->via.str.ptr, o->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(v.type, VALUE_BIN);
        same_bytes(&v, o->via.bin.ptr, o->via.bin.size);
        break;
    case MSGPACK_OBJECT_EXT:
        assert_int_equal(v.type, VALUE_OTHER);
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_int_equal(v.type, VALUE_ARRAY);
        assert_int_equal(v.count, o->via.array.size);
        for (uint32_t i = 0; i < v.count; i++)
            at = same(at, &o->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        assert_int_equal(v.type, VALUE_MAP);
        assert_int_equal(v.count, o->via.map.size);
        for (uint32_t i = 0; i < v.count; i++)
            at = same(same(at, &o->via.map.ptr[i].key), &o->via.map.ptr[i].val);
        break;
    }
    assert_ptr_equal(at, end);
    return at;
}

/* True: the bytes are an object, and both read the same. What measuring refuses is not shown to
 * msgpack-c, which allocates whatever a lying count asks for. */
static bool compare(const uint8_t *bytes, size_t len)
{
    size_t used, offset = 0;
    if (unpack_measure(bytes, len, &used) != 0)
        return false;
    msgpack_unpacked object;
    msgpack_unpacked_init(&object);
    assert_int_equal(msgpack_unpack_next(&object, (const char *)bytes, len, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(used, offset);
    assert_ptr_equal(same(bytes, &object.data), bytes + used);
    msgpack_unpacked_destroy(&object);
    return true;
}

static void every_first_byte_reads_alike(void **state)
{
    (void)state;
    unsigned read = 0;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned fill = 0; fill < 256; fill += 51) {
            uint8_t bytes[600];
            memset(bytes, (int)fill, sizeof bytes);
            bytes[0] = (uint8_t)first;
            read += compare(bytes, sizeof bytes);
        }
    }
    assert_true(read > 900);
}

static void numbers_of_every_width_read_alike(void **state)
{
    (void)state;
    static const uint8_t heads[] = {0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xca, 0xcb};
    struct prf prf = prf_init(1, 1);
    for (size_t i = 0; i < sizeof heads; i++) {
        for (unsigned round = 0; round < 2000; round++) {
            uint8_t bytes[9] = {heads[i]};
            uint64_t bits = prf_next(&prf) << prf_below(&prf, 64);
            memcpy(bytes + 1, &bits, sizeof bits);
            assert_true(compare(bytes, sizeof bytes));
        }
    }
}

static void events_read_alike_also_when_they_are_spoilt(void **state)
{
    (void)state;
    struct prf prf = prf_init(2, 1);
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    unsigned read = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct event e;
        uint8_t bytes[WIRE_EVENT_MAX];
        random_event(&prf, &kinds[prf_below(&prf, n)], &e);
        int len = wire_event_encode(&e, bytes, sizeof bytes);
        assert_true(len > 0);
        for (uint64_t flips = prf_below(&prf, 4); flips > 0; flips--)
            bytes[prf_below(&prf, (uint64_t)len)] ^= (uint8_t)(1 + prf_below(&prf, 255));
        read += compare(bytes, (size_t)len);
    }
    assert_true(read > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_first_byte_reads_alike),
        cmocka_unit_test(numbers_of_every_width_read_alike),
        cmocka_unit_test(events_read_alike_also_when_they_are_spoilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

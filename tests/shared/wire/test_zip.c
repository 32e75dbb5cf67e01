/* Batches compressed and back, and everything that can be wrong with what comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zstd.h>

#include "shared/wire/zip.h"
#include "tests/support/random_event.h"

enum { EVENTS_MAX = WIRE_BATCH_BYTES + WIRE_EVENT_MAX };

static struct wire_zip *in, *out;

static int set_up(void **state)
{
    (void)state;
    return wire_zip_new(&in) == 0 && wire_zip_new(&out) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wire_zip_free(in);
    wire_zip_free(out);
    return 0;
}

static struct wire_message batch_of(const uint8_t *events, size_t len)
{
    return (struct wire_message){
        .kind = WIRE_BATCH, .first_seq = 1, .count = 1, .events = events, .events_len = len};
}

/* Through the wire, with no byte more than there is. */
static void assert_goes_round(const struct wire_message *m, const uint8_t *events, size_t len)
{
    static uint8_t bytes[WIRE_MESSAGE_MAX];
    struct wire_message got;
    int used = wire_encode(m, bytes, sizeof bytes);
    assert_true(used > 0);
    uint8_t *exact = malloc((size_t)used);
    memcpy(exact, bytes, (size_t)used);
    assert_int_equal(wire_decode(exact, (size_t)used, &got), 0);
    assert_int_equal(wire_unzip(out, &got), 0);
    assert_int_equal(got.zstd, 0);
    assert_int_equal(got.events_len, len);
    assert_memory_equal(got.events, events, len);
    free(exact);
}

static void batches_of_every_length_come_back_as_they_were(void **state)
{
    (void)state;
    static uint8_t events[EVENTS_MAX + WIRE_EVENT_MAX];
    struct prf prf = prf_init(1, 1);
    size_t n, len = 0, zipped = 0, plain = 0;
    const struct event_kind *kinds = event_kinds(&n);
    while (len <= WIRE_BATCH_BYTES) {
        struct event e;
        random_event(&prf, &kinds[prf_below(&prf, n)], &e);
        int used = wire_event_encode(&e, events + len, WIRE_EVENT_MAX);
        assert_true(used > 0);
        len += (size_t)used;
        struct wire_message m = batch_of(events, len);
        wire_zip(in, &m);
        assert_true(m.zstd == 0 || (m.zstd == len && m.events_len < len));
        zipped += m.zstd > 0;
        plain += m.zstd == 0;
        assert_goes_round(&m, events, len);
    }
    assert_true(zipped > plain);
}

static void what_does_not_get_shorter_is_left_as_it_is(void **state)
{
    (void)state;
    static uint8_t noise[EVENTS_MAX + 1];
    struct prf prf = prf_init(2, 1);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)prf_next(&prf);
    for (size_t len = 1; len <= EVENTS_MAX; len = len * 3 + 1) {
        struct wire_message m = batch_of(noise, len);
        wire_zip(in, &m);
        assert_int_equal(m.zstd, 0);
        assert_ptr_equal(m.events, noise);
        assert_goes_round(&m, noise, len);
    }
    struct wire_message longer = batch_of(noise, sizeof noise); /* than any batch of ours */
    wire_zip(in, &longer);
    assert_int_equal(longer.zstd, 0);
}

static void a_length_that_lies_is_refused_and_nothing_is_written_beyond_it(void **state)
{
    (void)state;
    static uint8_t zeros[1 << 20], bomb[4096], bytes[WIRE_MESSAGE_MAX];
    size_t len = ZSTD_compress(bomb, sizeof bomb, zeros, sizeof zeros, 19);
    assert_true(len < 200); /* a megabyte in so few bytes */
    for (uint64_t said = 1; said <= EVENTS_MAX; said = said * 2 + 1) {
        struct wire_message m = batch_of(bomb, len);
        m.zstd = said;
        assert_int_equal(wire_unzip(out, &m), ERR_FORMAT);
        assert_ptr_equal(m.events, bomb);
    }
    struct wire_message m = batch_of(bomb, len);
    m.zstd = EVENTS_MAX + 1;
    int used = wire_encode(&m, bytes, sizeof bytes);
    assert_true(used > 0);
    assert_int_equal(wire_decode(bytes, (size_t)used, &m), ERR_TOO_LONG);
}

/* Found by fuzz_message: the length before stood in for the events that were not there. */
/* Work for us, and nothing that a sensor of ours sends. */
static void what_compressing_made_longer_is_refused(void **state)
{
    (void)state;
    uint8_t events[256], longer[512];
    struct prf prf = prf_init(5, 5);
    for (size_t i = 0; i < sizeof events; i++)
        events[i] = (uint8_t)prf_below(&prf, 256);
    size_t len = ZSTD_compress(longer, sizeof longer, events, sizeof events, 1);
    assert_true(!ZSTD_isError(len) && len > sizeof events);
    struct wire_message m = batch_of(longer, len);
    m.zstd = sizeof events;
    assert_int_equal(wire_unzip(out, &m), ERR_FORMAT);
}

static void a_compressed_batch_without_events_is_malformed(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct wire_message m = batch_of((const uint8_t *)"", 0);
    m.zstd = 100;
    int used = wire_encode(&m, bytes, sizeof bytes);
    assert_true(used > 0);
    assert_int_equal(wire_decode(bytes, (size_t)used, &m), ERR_FORMAT);
}

static void flipped_and_cut_bytes_never_crash_and_never_give_another_length(void **state)
{
    (void)state;
    static uint8_t events[EVENTS_MAX];
    struct prf prf = prf_init(3, 1);
    for (size_t i = 0; i < sizeof events; i++)
        events[i] = (uint8_t)(i % 97 == 0 ? prf_next(&prf) : i % 13);
    for (unsigned round = 0; round < 20000; round++) {
        struct wire_message m = batch_of(events, 1 + prf_below(&prf, 600));
        wire_zip(in, &m);
        if (m.zstd == 0)
            continue;
        uint64_t said = m.zstd;
        uint8_t *spoilt = malloc(m.events_len);
        memcpy(spoilt, m.events, m.events_len);
        m.events = spoilt;
        for (uint64_t flips = prf_below(&prf, 4); flips > 0; flips--)
            spoilt[prf_below(&prf, m.events_len)] ^= (uint8_t)(1 + prf_below(&prf, 255));
        m.events_len -= prf_below(&prf, 3) == 0 ? prf_below(&prf, m.events_len) : 0;
        if (wire_unzip(out, &m) == 0)
            assert_int_equal(m.events_len, said);
        free(spoilt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_every_length_come_back_as_they_were),
        cmocka_unit_test(what_does_not_get_shorter_is_left_as_it_is),
        cmocka_unit_test(a_length_that_lies_is_refused_and_nothing_is_written_beyond_it),
        cmocka_unit_test(what_compressing_made_longer_is_refused),
        cmocka_unit_test(a_compressed_batch_without_events_is_malformed),
        cmocka_unit_test(flipped_and_cut_bytes_never_crash_and_never_give_another_length),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* A batch as a record: what comes back, what is refused, and what is left when a class goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/publish/record.h"
#include "shared/base/hash.h"

static const uint8_t kinds[] = {EVENT_tally, EVENT_scan_window, EVENT_sensor_status,
                                EVENT_test_ended, EVENT_passive_flow};

static void add(struct batch *b, uint8_t type, uint64_t value)
{
    struct event e = {.type = type, .at = (int64_t)value};
    assert_int_equal(batch_add(b, &e), 0);
}

static uint8_t *written(const struct record *r)
{
    uint8_t *bytes = malloc(record_size(r));
    record_write(r, bytes);
    return bytes;
}

static void a_batch_takes_events_until_its_length_or_its_count(void **state)
{
    (void)state;
    static struct batch b;
    struct event longest = {.type = EVENT_scan_window, .scan_window.bin_entropy.count = REALS_MAX};
    while (!batch_is_full(&b))
        assert_int_equal(batch_add(&b, &longest), 0);
    assert_true(b.len >= WIRE_BATCH_BYTES && b.len < WIRE_BATCH_BYTES + WIRE_EVENT_MAX);
    b.count = b.len = 0;
    while (!batch_is_full(&b))
        add(&b, EVENT_sensor_stopped, 1);
    assert_true(b.count <= WIRE_BATCH_EVENTS);
}

static void an_event_that_cannot_be_said_changes_nothing(void **state)
{
    (void)state;
    static struct batch b;
    struct event bad = {.type = EVENT_drop, .drop.outcome = 99};
    add(&b, EVENT_tally, 1);
    uint32_t len = b.len;
    assert_int_equal(batch_add(&b, &bad), ERR_FORMAT);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.len, len);
}

static void what_is_written_is_read_and_a_changed_byte_is_noticed(void **state)
{
    (void)state;
    static struct batch b;
    struct record r, back;
    for (uint64_t i = 0; i < 40; i++)
        add(&b, kinds[i % 5], i);
    r = record_of(&b, 1000);
    size_t size = record_size(&r);
    uint8_t *bytes = written(&r);
    assert_int_equal(record_read(1000, bytes, size, &back), 0);
    assert_true(record_is_sound(&back, bytes));
    assert_int_equal(back.count, 40);
    assert_memory_equal(back.events, b.events, b.len);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(record_read(1000, bytes, size, &back) != 0 || !record_is_sound(&back, bytes));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(record_read(1001, bytes, size, &back), 0);
    assert_false(record_is_sound(&back, bytes)); /* in another's place */
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(record_read(1000, bytes, cut, &back), ERR_FORMAT);
    free(bytes);
}

/* What is there must be those of the model, each in its place. */
static uint32_t compare(const struct record *r, const uint8_t *type)
{
    struct record run;
    uint32_t next = 0, n = 0;
    while (record_run(r, r->first + next, &run)) {
        size_t offset = 0, used;
        while (type[next] == 0)
            next++;
        assert_int_equal(run.first, r->first + next);
        for (uint32_t i = 0; i < run.count; i++, next++, n++, offset += used) {
            struct event e;
            assert_int_equal(wire_event_decode(run.events + offset, run.len - offset, &e, &used),
                             0);
            assert_int_equal(e.at, next);
            assert_int_equal(e.type, type[next]);
        }
        assert_int_equal(offset, run.len);
    }
    for (; next < r->count; next++)
        assert_int_equal(type[next], 0);
    return n;
}

/* The model: a list of kinds, 0 where one was taken out. */
static void without_a_class_every_other_event_keeps_its_number_and_its_bytes(void **state)
{
    (void)state;
    static struct batch b, thin;
    struct prf prf = prf_init(3, 3);
    for (int round = 0; round < 500; round++) {
        b.count = b.len = 0;
        uint8_t type[64];
        uint32_t n = 1 + (uint32_t)prf_below(&prf, 60);
        for (uint32_t i = 0; i < n; i++)
            add(&b, type[i] = kinds[prf_below(&prf, 1 + prf_below(&prf, 5))], i);
        for (unsigned times = 0; times < 3; times++) {
            enum event_class class = (enum event_class)prf_below(&prf, CLASS_COUNT);
            struct record r = record_of(&b, 7), back;
            uint32_t left = record_without(&r, class, &thin);
            for (uint32_t i = 0; i < n; i++)
                if (event_class(type[i]) == class)
                    type[i] = 0;
            r = record_of(&thin, 7);
            uint8_t *bytes = written(&r);
            assert_int_equal(record_read(7, bytes, record_size(&r), &back), 0);
            assert_true(record_is_sound(&back, bytes));
            assert_int_equal(compare(&back, type), left);
            free(bytes);
            b = thin;
        }
    }
}

static void a_run_is_found_by_any_of_its_numbers(void **state)
{
    (void)state;
    static struct batch b, thin;
    static const uint8_t mixed[] = {EVENT_tally, EVENT_drop, EVENT_drop,
                                    EVENT_tally, EVENT_drop, EVENT_tally};
    for (uint64_t i = 0; i < sizeof mixed; i++)
        add(&b, mixed[i], i);
    struct record r = record_of(&b, 10), run;
    assert_int_equal(record_without(&r, CLASS_TALLY, &thin), 3);
    r = record_of(&thin, 10);
    static const uint64_t first[] = {11, 11, 11, 14, 14};
    for (uint64_t number = 10; number <= 14; number++) {
        assert_true(record_run(&r, number, &run));
        assert_int_equal(run.first, first[number - 10]);
        assert_int_equal(run.count, run.first == 11 ? 2 : 1);
    }
    assert_false(record_run(&r, 15, &run));
}

static void tallies_are_missed_least_and_evidence_most(void **state)
{
    (void)state;
    assert_int_equal(event_class(EVENT_tally), CLASS_TALLY);
    assert_int_equal(event_class(EVENT_scan_window), CLASS_WINDOW);
    assert_int_equal(event_class(EVENT_passive_flow), CLASS_WINDOW);
    assert_int_equal(event_class(EVENT_sensor_status), CLASS_STATUS);
    static const uint8_t evidence[] = {EVENT_sensor_started, EVENT_sensor_stopped, EVENT_gap,
                                       EVENT_test_started,   EVENT_drop,           EVENT_test_ended,
                                       EVENT_passive_total};
    for (size_t i = 0; i < sizeof evidence; i++)
        assert_int_equal(event_class(evidence[i]), CLASS_EVIDENCE);
    assert_int_equal(event_class(200), CLASS_STATUS);
    assert_true(CLASS_TALLY < CLASS_WINDOW && CLASS_WINDOW < CLASS_STATUS &&
                CLASS_STATUS < CLASS_EVIDENCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_takes_events_until_its_length_or_its_count),
        cmocka_unit_test(an_event_that_cannot_be_said_changes_nothing),
        cmocka_unit_test(what_is_written_is_read_and_a_changed_byte_is_noticed),
        cmocka_unit_test(without_a_class_every_other_event_keeps_its_number_and_its_bytes),
        cmocka_unit_test(a_run_is_found_by_any_of_its_numbers),
        cmocka_unit_test(tallies_are_missed_least_and_evidence_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

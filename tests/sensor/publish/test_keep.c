/* The queue of what is not committed, checked against plain numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sensor/publish/keep.h"
#include "shared/base/hash.h"

/* An event that carries its own number, padded so that batches get their length in bytes, too. */
static void add(struct keep *k, size_t padding)
{
    struct event e = {.type = EVENT_gap, .gap.from_seq = k->next_seq};
    memset(e.gap.reason, 'x', padding % sizeof e.gap.reason);
    assert_int_equal(keep_add(k, &e, 1000 + k->next_seq), 0);
}

/* The batch holds exactly the events first_seq.. as they were numbered. */
static void check_batch(const struct keep_batch *b)
{
    size_t at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct event e;
        size_t used;
        assert_int_equal(wire_event_decode(b->events + at, b->len - at, &e, &used), 0);
        assert_int_equal(e.gap.from_seq, b->first_seq + i);
        at += used;
    }
    assert_int_equal(at, b->len);
}

static void numbers_start_at_one_and_an_empty_keep_has_nothing_to_send(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 1 << 20);
    assert_int_equal(keep_first_seq(k), 1);
    assert_int_equal(keep_unacked(k), 0);
    assert_null(keep_unsent(k));
    assert_int_equal(keep_close(k), 0);
    assert_null(keep_unsent(k));
    add(k, 0);
    assert_null(keep_unsent(k)); /* not closed yet */
    assert_int_equal(k->filled_since, 1001);
    assert_int_equal(keep_close(k), 0);
    assert_int_equal(keep_unsent(k)->first_seq, 1);
    assert_int_equal(keep_unsent(k)->count, 1);
    keep_clear(k);
    free(k);
}

static void a_batch_closes_at_its_length_or_its_count(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 1 << 20);
    while (keep_unsent(k) == NULL) {
        add(k, 63);
        assert_true(keep_has_room(k));
    }
    assert_true(keep_unsent(k)->len >= WIRE_BATCH_BYTES);
    assert_true(keep_unsent(k)->len < WIRE_BATCH_BYTES + WIRE_EVENT_MAX);
    assert_true(keep_unsent(k)->count <= WIRE_BATCH_EVENTS);
    keep_clear(k);
    free(k);
}

static void a_full_keep_has_no_room_until_something_is_acknowledged(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 128 * 1024);
    while (keep_has_room(k)) {
        add(k, 63);
        assert_true(k->bytes + k->filled <= k->limit);
    }
    assert_true(k->bytes > k->limit - 2 * WIRE_BATCH_BYTES); /* and is used, nearly all of it */
    const struct keep_batch *b = keep_unsent(k);
    uint64_t last = b->first_seq + b->count - 1;
    keep_sent(k);
    assert_int_equal(keep_ack(k, last), last);
    assert_true(keep_has_room(k));
    keep_clear(k);
    free(k);
}

static void an_event_that_cannot_be_said_uses_no_number(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 1 << 20);
    add(k, 1);
    struct event bad = {.type = EVENT_drop, .drop.outcome = 99};
    assert_int_equal(keep_add(k, &bad, 1), ERR_FORMAT);
    add(k, 1);
    keep_close(k);
    assert_int_equal(keep_unsent(k)->count, 2);
    check_batch(keep_unsent(k));
    keep_clear(k);
    free(k);
}

static void a_number_that_was_never_sent_acknowledges_nothing(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 1 << 20);
    assert_int_equal(keep_ack(k, 1), ERR_FORMAT);
    add(k, 1);
    assert_int_equal(keep_ack(k, 1), ERR_FORMAT); /* still being filled */
    assert_int_equal(keep_ack(k, UINT64_MAX), ERR_FORMAT);
    assert_int_equal(keep_ack(k, 0), 0);
    keep_close(k);
    assert_int_equal(keep_ack(k, 1), 1);
    assert_int_equal(keep_ack(k, 1), 0); /* again: no news */
    keep_clear(k);
    free(k);
}

/* The model: three numbers. Whatever happens in whatever order, they agree. */
static void random_work_agrees_with_a_model_of_three_numbers(void **state)
{
    (void)state;
    struct prf prf = prf_init(5, 5);
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 200 * 1024);
    uint64_t added = 0, acked = 0, sent = 0; /* sent: last number on the way, since going back */
    for (int step = 0; step < 200000; step++) {
        uint64_t what = prf_below(&prf, 100);
        if (what < 80 && keep_has_room(k)) {
            add(k, prf_next(&prf) % 64);
            added++;
        } else if (what < 90 && keep_unsent(k) != NULL) {
            const struct keep_batch *b = keep_unsent(k);
            assert_true(b->first_seq <= sent + 1 && b->first_seq + b->count > sent + 1);
            check_batch(b);
            sent = b->first_seq + b->count - 1;
            keep_sent(k);
        } else if (what < 95 && sent > acked) {
            uint64_t seq = acked + 1 + prf_below(&prf, sent - acked);
            assert_int_equal(keep_ack(k, seq), seq - acked);
            acked = seq;
        } else if (what < 96) {
            keep_go_back(k);
            assert_int_equal(k->on_the_way, 0);
            sent = acked;
        } else if (what < 98) {
            keep_close(k);
        }
        assert_int_equal(keep_unacked(k), added - acked);
        assert_true(keep_first_seq(k) <= acked + 1);
        assert_true(k->bytes <= k->limit);
    }
    assert_true(acked > 10000);
    keep_clear(k);
    assert_int_equal(k->bytes, 0);
    free(k);
}

/* As when an acknowledgement for the old connection comes with the welcome of the new one. */
static void what_is_acknowledged_before_it_is_sent_again_is_not_sent_again(void **state)
{
    (void)state;
    struct keep *k = malloc(sizeof *k);
    keep_init(k, 1 << 20);
    for (int i = 0; i < 3; i++) {
        add(k, 1);
        keep_close(k);
        keep_sent(k);
    }
    keep_go_back(k);
    assert_int_equal(keep_ack(k, 2), 2);
    assert_int_equal(keep_unsent(k)->first_seq, 3);
    assert_int_equal(k->on_the_way, 0);
    keep_sent(k);
    assert_int_equal(k->on_the_way, 1);
    assert_int_equal(keep_ack(k, 3), 1);
    assert_int_equal(k->on_the_way, 0);
    assert_null(keep_unsent(k));
    add(k, 1);
    keep_close(k);
    assert_int_equal(keep_unsent(k)->first_seq, 4);
    keep_clear(k);
    free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_start_at_one_and_an_empty_keep_has_nothing_to_send),
        cmocka_unit_test(a_batch_closes_at_its_length_or_its_count),
        cmocka_unit_test(a_full_keep_has_no_room_until_something_is_acknowledged),
        cmocka_unit_test(an_event_that_cannot_be_said_uses_no_number),
        cmocka_unit_test(a_number_that_was_never_sent_acknowledges_nothing),
        cmocka_unit_test(random_work_agrees_with_a_model_of_three_numbers),
        cmocka_unit_test(what_is_acknowledged_before_it_is_sent_again_is_not_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

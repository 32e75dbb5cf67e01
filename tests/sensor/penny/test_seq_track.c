#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/penny/seq_track.h"
#include "shared/base/hash.h"

#define STREAM 4096

/* A naive model: one byte per sequence number, positions without wrap. */
struct model {
    uint8_t seen[STREAM];
    uint32_t next;
};

static unsigned gaps(const struct model *m)
{
    unsigned n = 0;
    for (uint32_t i = 1; i < m->next; i++)
        n += m->seen[i - 1] && !m->seen[i];
    return n;
}

static enum seq_class model_add(struct model *m, uint32_t at, uint32_t len)
{
    bool any_new = false;
    for (uint32_t i = at; i < at + len; i++)
        any_new |= i < m->next && !m->seen[i];
    memset(m->seen + at, 1, len);
    uint32_t before = m->next;
    if (at + len > m->next)
        m->next = at + len;
    if (at == before)
        return SEQ_IN_ORDER;
    if (at > before)
        return SEQ_AHEAD;
    if (at + len > before)
        return SEQ_PARTIAL;
    return any_new ? SEQ_FILL : SEQ_REPEAT;
}

static uint32_t pick_start(struct prf *prf, const struct model *m)
{
    switch (prf_below(prf, 4)) {
    case 0:
        return (uint32_t)prf_below(prf, m->next);
    case 1:
        return m->next + (uint32_t)prf_below(prf, 40);
    default:
        return m->next;
    }
}

static void random_stream(uint64_t seed)
{
    struct prf prf = prf_init(seed, 1);
    struct model m = {.next = 1};
    m.seen[0] = 1;
    uint32_t base = seed % 2 == 0 ? (uint32_t)0 - 1500 : (uint32_t)prf_next(&prf);
    struct seq_track t;
    seq_track_init(&t, base + 1);
    bool overflowed = false;
    while (m.next < STREAM - 200) {
        uint32_t at = pick_start(&prf, &m), len = 1 + (uint32_t)prf_below(&prf, 100);
        enum seq_class want = model_add(&m, at, len), got = seq_track_add(&t, base + at, len);
        overflowed |= gaps(&m) > SEQ_HOLES;
        if (!overflowed)
            assert_int_equal(got, want);
        else if (want != SEQ_FILL) /* a forgotten hole may only turn a fill into a repeat */
            assert_int_equal(got, want);
        else
            assert_true(got == SEQ_FILL || got == SEQ_REPEAT);
        assert_int_equal(t.next, base + m.next);
        assert_true(t.count <= SEQ_HOLES);
    }
}

static void the_share_that_passes_here_counts_what_came_late_and_not_what_never_came(void **state)
{
    (void)state;
    struct seq_track t;
    seq_track_init(&t, 0xfffffff0);
    assert_true(seq_track_visible(&t) == 1);
    seq_track_add(&t, 0xfffffff0, 100);
    seq_track_add(&t, 0xfffffff0 + 200, 100);
    seq_track_add(&t, 0xfffffff0 + 400, 100);
    assert_true(seq_track_visible(&t) == .6);
    seq_track_add(&t, 0xfffffff0 + 100, 50); /* half of the first hole */
    assert_true(seq_track_visible(&t) == .7);
    seq_track_add(&t, 0xfffffff0 + 50, 200); /* its rest, with neighbours */
    seq_track_add(&t, 0xfffffff0 + 100, 100);
    assert_true(seq_track_visible(&t) == .8);
}

static void every_segment_is_called_what_a_byte_map_calls_it_also_across_the_wrap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++)
        random_stream(seed);
}

static void a_forgotten_hole_turns_a_fill_into_a_repeat_and_nothing_else(void **state)
{
    (void)state;
    struct seq_track t;
    seq_track_init(&t, 0);
    for (uint32_t i = 0; i <= SEQ_HOLES; i++)
        assert_int_equal(seq_track_add(&t, 10 + 20 * i, 10), SEQ_AHEAD);
    assert_int_equal(seq_track_add(&t, 0, 10), SEQ_REPEAT);
    assert_int_equal(seq_track_add(&t, 20, 10), SEQ_FILL);
    assert_int_equal(seq_track_add(&t, t.next, 10), SEQ_IN_ORDER);
}

/* Random pieces: never complete before the byte map is, and complete when the pieces come from left
 * to right. */
static void a_segment_has_come_again_only_when_all_its_bytes_have(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct prf prf = prf_init(seed, 2);
        uint32_t start = (uint32_t)0 - (uint32_t)prf_below(&prf, 300), len = 200;
        uint8_t seen[200] = {0};
        struct seq_cover c;
        seq_cover_init(&c, start, len);
        for (unsigned i = 0; i < 30; i++) {
            int32_t at = (int32_t)prf_below(&prf, 280) - 50;
            int32_t size = 1 + (int32_t)prf_below(&prf, 70);
            for (int32_t j = at; j < at + size; j++)
                if (j >= 0 && j < 200)
                    seen[j] = 1;
            if (seq_cover_add(&c, start + (uint32_t)at, (uint32_t)size))
                assert_null(memchr(seen, 0, sizeof seen));
        }
    }
}

static void a_segment_that_comes_again_in_parts_coalesced_or_cut_elsewhere_is_recognised(void **s)
{
    (void)s;
    struct seq_cover c;
    seq_cover_init(&c, 1000, 100);
    assert_false(seq_cover_add(&c, 900, 120)); /* coalesced with its neighbour on the left */
    assert_false(seq_cover_add(&c, 1020, 30));
    assert_false(seq_cover_add(&c, 990, 20)); /* again */
    assert_true(seq_cover_add(&c, 1050, 500));
    seq_cover_init(&c, 1000, 100);
    assert_false(seq_cover_add(&c, 1040, 10)); /* middle, right, left */
    assert_false(seq_cover_add(&c, 1050, 60));
    assert_true(seq_cover_add(&c, 1000, 40));
    seq_cover_init(&c, 0xffffffce, 100); /* across the wrap */
    assert_false(seq_cover_add(&c, 0xffffffce, 50));
    assert_false(seq_cover_add(&c, 0xffffff00, 100));
    assert_true(seq_cover_add(&c, 0, 50));
}

static void every_way_in_which_bytes_come_again_has_its_name(void **state)
{
    (void)state;
    struct seq_track t;
    seq_track_init(&t, 1000);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(seq_track_add(&t, 1000 + 100 * i, 100), SEQ_IN_ORDER);
    assert_int_equal(seq_track_add(&t, 1500, 100), SEQ_REPEAT);  /* fully */
    assert_int_equal(seq_track_add(&t, 1530, 40), SEQ_REPEAT);   /* partly */
    assert_int_equal(seq_track_add(&t, 1550, 100), SEQ_REPEAT);  /* cut elsewhere */
    assert_int_equal(seq_track_add(&t, 1000, 1000), SEQ_REPEAT); /* coalesced */
    assert_int_equal(seq_track_add(&t, 1999, 1), SEQ_REPEAT);    /* keep-alive: the last old byte */
    assert_int_equal(seq_track_add(&t, 1900, 300), SEQ_PARTIAL); /* the last one, and what is new */
    assert_int_equal(seq_track_add(&t, 2200, 1), SEQ_IN_ORDER);  /* zero-window probe: a new byte */
    assert_int_equal(seq_track_add(&t, 2201, 100), SEQ_IN_ORDER);
}

static void out_of_order_segments_leave_holes_and_fill_them_also_from_both_ends(void **state)
{
    (void)state;
    struct seq_track t;
    seq_track_init(&t, 0xffffff00); /* across the wrap */
    assert_int_equal(seq_track_add(&t, 0xffffff64, 100), SEQ_AHEAD);
    assert_int_equal(seq_track_add(&t, 0xffffff00, 100), SEQ_FILL); /* they had changed places */
    assert_int_equal(t.count, 0);
    assert_int_equal(seq_track_add(&t, 300, 100), SEQ_AHEAD); /* 356 bytes are missing */
    assert_int_equal(seq_track_add(&t, 200, 100), SEQ_FILL);
    assert_int_equal(seq_track_add(&t, 0xffffffc8, 100), SEQ_FILL);
    assert_int_equal(seq_track_add(&t, 100, 50), SEQ_FILL); /* splits what is left */
    assert_int_equal(t.count, 2);
    assert_int_equal(seq_track_add(&t, 0, 400), SEQ_FILL); /* coalesced over both */
    assert_int_equal(t.count, 0);
    assert_int_equal(seq_track_add(&t, 100, 50), SEQ_REPEAT);
    assert_int_equal(seq_track_add(&t, 400, 100), SEQ_IN_ORDER);
}

/* As far as a hole may lie behind; what is further counts as seen. */
static void a_hole_more_than_a_gigabyte_behind_is_forgotten(void **state)
{
    (void)state;
    struct seq_track t;
    seq_track_init(&t, 5);
    seq_track_add(&t, 105, 100); /* hole: [5, 105) */
    for (uint64_t at = 205; at < SEQ_FAR + 2 * 65536; at += 65536)
        seq_track_add(&t, (uint32_t)at, 65536);
    assert_int_equal(t.count, 0);
    assert_int_equal(seq_track_add(&t, 5, 100), SEQ_REPEAT);
}

/* The common case has a way of its own: it must say what the long way says, and leave the same. */
static void the_short_way_and_the_long_way_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct prf prf = prf_init(seed, 9);
        struct seq_track a, b;
        seq_track_init(&a, (uint32_t)prf_next(&prf));
        b = a;
        for (unsigned i = 0; i < 500; i++) {
            bool is_next = prf_below(&prf, 4) != 0;
            uint32_t len = 1 + (uint32_t)prf_below(&prf, is_next ? SEQ_FAR - 1 : 3000);
            uint32_t seq = is_next ? a.next : a.next + (uint32_t)prf_below(&prf, 6000) - 3000;
            assert_int_equal(seq_track_add(&a, seq, len), seq_track_add_slowly(&b, seq, len));
            assert_true(a.next == b.next && a.count == b.count);
            assert_true(a.advanced == b.advanced && a.hidden == b.hidden);
            assert_memory_equal(a.hole, b.hole, a.count * sizeof *a.hole);
        }
    }
}

/* One flow whose every byte is accounted for: segments of many sizes are lost before us, come late,
 * twice, coalesced, cut elsewhere. The model is a byte map of the whole stream. */
static void a_long_stream_with_loss_and_repeats_of_every_kind_is_booked_like_the_byte_map(void **s)
{
    (void)s;
    unsigned class_seen[5] = {0};
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct prf prf = prf_init(seed, 11);
        struct model m = {.next = 1};
        m.seen[0] = 1;
        uint32_t base = (uint32_t)0 - (uint32_t)prf_below(&prf, STREAM);
        struct seq_track t;
        seq_track_init(&t, base + 1);
        uint32_t sent = 1; /* by the sender; a part is lost before it comes here */
        while (sent < STREAM - 600) {
            uint32_t len = 1 + (uint32_t)prf_below(&prf, 120), at = sent;
            if (prf_below(&prf, 5) == 0) { /* back, to any byte that was sent: go-back-N */
                at = (uint32_t)prf_below(&prf, sent);
                len = 1 + (uint32_t)prf_below(&prf, 400);
                if (at + len > sent && prf_below(&prf, 2) == 0)
                    sent = at + len; /* with new bytes at its end */
                len = at + len > sent ? sent - at : len;
            } else {
                sent += len;
                if (prf_below(&prf, 10) == 0 && gaps(&m) < SEQ_HOLES - 1)
                    continue; /* lost: leaves a hole, unless the next ones are, too */
            }
            if (len == 0)
                continue;
            enum seq_class want = model_add(&m, at, len), got = seq_track_add(&t, base + at, len);
            class_seen[got]++;
            if (gaps(&m) < SEQ_HOLES) {
                if (want != SEQ_FILL)
                    assert_int_equal(got, want);
                else
                    assert_true(got == SEQ_FILL || got == SEQ_REPEAT);
            }
            assert_true(got != SEQ_IN_ORDER || want == SEQ_IN_ORDER);
            assert_int_equal(t.next, base + m.next);
        }
    }
    for (unsigned i = 0; i < 5; i++)
        assert_true(class_seen[i] > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_that_passes_here_counts_what_came_late_and_not_what_never_came),
        cmocka_unit_test(every_segment_is_called_what_a_byte_map_calls_it_also_across_the_wrap),
        cmocka_unit_test(every_way_in_which_bytes_come_again_has_its_name),
        cmocka_unit_test(out_of_order_segments_leave_holes_and_fill_them_also_from_both_ends),
        cmocka_unit_test(a_hole_more_than_a_gigabyte_behind_is_forgotten),
        cmocka_unit_test(the_short_way_and_the_long_way_agree),
        cmocka_unit_test(
            a_long_stream_with_loss_and_repeats_of_every_kind_is_booked_like_the_byte_map),
        cmocka_unit_test(a_forgotten_hole_turns_a_fill_into_a_repeat_and_nothing_else),
        cmocka_unit_test(a_segment_has_come_again_only_when_all_its_bytes_have),
        cmocka_unit_test(
            a_segment_that_comes_again_in_parts_coalesced_or_cut_elsewhere_is_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_that_passes_here_counts_what_came_late_and_not_what_never_came),
        cmocka_unit_test(every_segment_is_called_what_a_byte_map_calls_it_also_across_the_wrap),
        cmocka_unit_test(a_forgotten_hole_turns_a_fill_into_a_repeat_and_nothing_else),
        cmocka_unit_test(a_segment_has_come_again_only_when_all_its_bytes_have),
        cmocka_unit_test(
            a_segment_that_comes_again_in_parts_coalesced_or_cut_elsewhere_is_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

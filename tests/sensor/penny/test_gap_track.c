/* The tracker of passive mode against a model that remembers every byte and every gap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sensor/penny/gap_track.h"
#include "shared/base/hash.h"

#define TIMEOUT_MS 3000
#define WRAP       UINT32_C(0xfffffe00) /* the stream passes 2^32 soon */

/* ---- the model: one byte of memory per byte of stream, all gaps for ever ---- */

#define STREAM   60000
#define BEHIND   2000 /* how far before the start segments may lie */
#define GAPS_ALL 4000

struct model_gap {
    unsigned from, to, opened_ms, segment;
    bool was_touched, is_early, is_filled, is_unfilled;
};

struct model {
    bool seen[STREAM];
    unsigned next, segments, gap_count, first_open; /* the gaps before are filled */
    unsigned in_order, out_of_order, duplicates, filled, late, unfilled, unseen;
    struct model_gap gap[GAPS_ALL];
};

static bool gap_has_missing(const struct model *m, const struct model_gap *g)
{
    for (unsigned i = g->from; i < g->to; i++)
        if (!m->seen[i])
            return true;
    return false;
}

static unsigned first_missing(const struct model *m)
{
    unsigned at = m->gap[m->first_open].from;
    while (m->seen[at])
        at++;
    return at;
}

static void model_gaps_touched(struct model *m, unsigned from, unsigned to, unsigned now_ms)
{
    for (unsigned i = m->first_open; i < m->gap_count; i++) {
        struct model_gap *g = &m->gap[i];
        bool touches = false;
        for (unsigned b = g->from > from ? g->from : from; b < g->to && b < to; b++)
            touches |= !m->seen[b];
        if (!touches)
            continue;
        unsigned age = now_ms - g->opened_ms, later = m->segments - g->segment;
        if (!g->was_touched)
            g->is_early = age < 10 || (later < 3 && age < 200);
        g->was_touched = true;
    }
}

static void model_gaps_filled(struct model *m)
{
    for (unsigned i = m->first_open; i < m->gap_count; i++) {
        struct model_gap *g = &m->gap[i];
        if (g->is_filled || gap_has_missing(m, g))
            continue;
        g->is_filled = true;
        m->filled++;
        m->late += !g->is_early && !g->is_unfilled;
    }
    while (m->first_open < m->gap_count && m->gap[m->first_open].is_filled)
        m->first_open++;
}

static void model_judge(struct model *m, unsigned now_ms)
{
    for (unsigned i = m->first_open; i < m->gap_count; i++) {
        struct model_gap *g = &m->gap[i];
        if (g->is_filled || g->is_unfilled || now_ms - g->opened_ms < TIMEOUT_MS)
            continue;
        g->is_unfilled = true;
        m->unfilled++;
    }
}

static void model_add(struct model *m, unsigned from, unsigned len, unsigned now_ms)
{
    unsigned to = from + len, fresh = 0;
    m->segments++;
    if (from >= m->next)
        model_judge(m, now_ms);
    if (from > m->next) {
        assert_true(m->gap_count < GAPS_ALL);
        m->gap[m->gap_count++] = (struct model_gap){
            .from = m->next, .to = from, .opened_ms = now_ms, .segment = m->segments};
        m->unseen += from - m->next;
    }
    model_gaps_touched(m, from, to, now_ms);
    for (unsigned i = from; i < to && i < m->next; i++)
        fresh += !m->seen[i];
    m->unseen -= fresh;
    for (unsigned i = from; i < to; i++)
        m->seen[i] = true;
    if (from == m->next || (from < m->next && to > m->next))
        m->in_order++;
    else if (from < m->next && fresh > 0)
        m->out_of_order++;
    else if (from < m->next)
        m->duplicates++;
    if (to > m->next)
        m->next = to;
    model_gaps_filled(m);
}

static void compare(const struct gap_track *t, const struct model *m)
{
    assert_int_equal(t->data, m->segments);
    assert_int_equal(t->gaps, m->gap_count);
    assert_int_equal(t->stream, m->next - BEHIND);
    if (t->forgotten == 0) {
        assert_int_equal(t->in_order, m->in_order);
        assert_int_equal(t->out_of_order, m->out_of_order);
        assert_int_equal(t->duplicates, m->duplicates);
        assert_int_equal(t->filled, m->filled);
        assert_int_equal(t->late, m->late);
        assert_int_equal(t->unfilled, m->unfilled);
        assert_int_equal(t->unseen, m->unseen);
    }
    /* forgetting is conservative */
    assert_true(t->filled <= m->filled && t->late <= m->late && t->unseen >= m->unseen);
    assert_true(gap_track_open(t) >= m->gap_count - m->filled);
    assert_true(t->unfilled <= m->unfilled && t->forgotten <= t->gaps);
}

/* A stream with losses, repeats in other parts, jumps and reordering, of one of four tempers. */
static unsigned play(uint64_t seed)
{
    static struct model m;
    struct gap_track t = {0};
    struct prf coin = prf_init(seed, 1);
    unsigned now_ms = (unsigned)prf_next(&coin), temper = (unsigned)prf_below(&coin, 4);
    uint32_t base = prf_below(&coin, 2) ? WRAP : (uint32_t)prf_next(&coin);
    memset(&m, 0, sizeof m);
    memset(m.seen, true, BEHIND);
    m.next = BEHIND;
    gap_track_start(&t, base + BEHIND);
    while (m.next < STREAM - 3000) {
        unsigned from = m.next, len = 1 + (unsigned)prf_below(&coin, 700);
        now_ms += (unsigned)prf_below(&coin, temper == 0 ? 2 : temper == 3 ? 900 : 40);
        if (prf_below(&coin, 30) < 1 + temper) /* lost before us */
            from += 1 + (unsigned)prf_below(&coin, 900);
        else if (prf_below(&coin, 10) < 4) {
            from -= (unsigned)prf_below(&coin, from - BEHIND < 3000 ? from - BEHIND + 1 : 3000);
            if (m.first_open < m.gap_count && prf_below(&coin, 4)) /* aimed at the oldest gap */
                from = first_missing(&m);
        }
        gap_track_add(&t, base + from, len, now_ms, TIMEOUT_MS);
        model_add(&m, from, len, now_ms);
        compare(&t, &m);
    }
    return t.forgotten == 0;
}

static void it_agrees_with_a_model_that_remembers_every_byte(void **state)
{
    (void)state;
    unsigned whole = 0, streams = 400;
    for (uint64_t seed = 0; seed < streams; seed++)
        whole += play(seed);
    printf("%u of %u streams never overflowed\n", whole, streams);
    assert_true(whole > streams / 10 && whole < streams);
}

/* ---- the cases that matter, one by one ---- */

static struct gap_track track;
static uint32_t now;

static int fresh(void **state)
{
    (void)state;
    track = (struct gap_track){0};
    now = 5000;
    gap_track_start(&track, WRAP);
    return 0;
}

static void add(uint32_t at, uint32_t len)
{
    gap_track_add(&track, WRAP + at, len, now, TIMEOUT_MS);
}

static void a_gap_that_fills_after_a_round_trip_is_late(void **state)
{
    (void)state;
    add(0, 100);
    add(200, 100);
    add(300, 100);
    add(400, 100);
    now += 40;
    add(100, 100);
    assert_int_equal(track.gaps, 1);
    assert_int_equal(track.filled, 1);
    assert_int_equal(track.late, 1);
    assert_int_equal(track.out_of_order, 1);
    assert_int_equal(track.unseen, 0);
    assert_true(gap_track_coverage(&track) == 1);
}

static void reordering_is_not_late(void **state)
{
    (void)state;
    add(0, 100);
    add(200, 100); /* two overtook it, however slowly */
    now += 150;
    add(300, 100);
    add(100, 100);
    add(500, 100); /* many did, but within the time of reordering */
    for (uint32_t i = 6; i < 50; i++)
        add(i * 100, 100);
    now += GAP_REORDER_MS - 1;
    add(400, 100);
    assert_int_equal(track.filled, 2);
    assert_int_equal(track.late, 0);
}

static void a_tail_that_comes_after_the_retransmission_timeout_is_late(void **state)
{
    (void)state;
    add(0, 100);
    gap_track_fin(&track, WRAP + 200, now);
    assert_int_equal(track.gaps, 1);
    now += GAP_RTO_MS;
    add(100, 100);
    assert_int_equal(track.late, 1);
    assert_int_equal(gap_track_open(&track), 0);
}

static void the_first_missing_byte_decides_whether_it_is_late(void **state)
{
    (void)state;
    add(0, 100);
    add(400, 100);
    add(200, 100); /* reordered: the middle of the gap */
    now += 500;
    add(100, 100);
    assert_int_equal(track.filled, 0);
    add(300, 100);
    assert_int_equal(track.filled, 1);
    assert_int_equal(track.late, 0);
}

static void a_gap_is_unfilled_when_new_data_comes_after_its_time(void **state)
{
    (void)state;
    add(0, 100);
    add(200, 100);
    now += TIMEOUT_MS - 1;
    add(300, 100);
    assert_int_equal(track.unfilled, 0);
    now += 1;
    add(200, 100); /* old data says nothing */
    assert_int_equal(track.unfilled, 0);
    add(400, 100);
    assert_int_equal(track.unfilled, 1);
    add(100, 100); /* too late to be evidence, but no gap any more */
    assert_int_equal(track.unfilled, 1);
    assert_int_equal(track.late, 0);
    assert_int_equal(gap_track_open(&track), 0);
}

static void a_gap_that_fills_with_the_first_packet_after_silence_is_late(void **state)
{
    (void)state;
    add(0, 100);
    add(200, 100);
    now += 10 * TIMEOUT_MS;
    add(100, 100);
    assert_int_equal(track.late, 1);
    assert_int_equal(track.unfilled, 0);
}

static void only_old_gaps_are_judged_at_the_end(void **state)
{
    (void)state;
    add(0, 100);
    add(200, 100);
    now += TIMEOUT_MS - 1;
    add(400, 100);
    now += 1;
    gap_track_judge(&track, now, TIMEOUT_MS);
    gap_track_judge(&track, now, TIMEOUT_MS);
    assert_int_equal(track.unfilled, 1);
    assert_int_equal(gap_track_open(&track), 2);
}

static void keep_alives_are_one_old_byte_at_the_end(void **state)
{
    (void)state;
    add(0, 100);
    assert_true(gap_track_is_keep_alive(&track, WRAP + 99, 1));
    assert_false(gap_track_is_keep_alive(&track, WRAP + 98, 1));
    assert_false(gap_track_is_keep_alive(&track, WRAP + 98, 2));
    assert_false(gap_track_is_keep_alive(&track, WRAP + 100, 1));
    gap_track_fin(&track, WRAP + 101, now); /* that byte is missing */
    assert_false(gap_track_is_keep_alive(&track, WRAP + 100, 1));
}

static void too_many_gaps_are_forgotten_and_counted(void **state)
{
    (void)state;
    add(0, 100);
    for (uint32_t i = 1; i <= GAPS_MAX + 4; i++)
        add(i * 200, 100);
    assert_int_equal(track.gaps, GAPS_MAX + 4);
    assert_int_equal(track.forgotten, 4);
    now += 50;
    for (uint32_t i = 1; i <= GAPS_MAX + 4; i++)
        add(i * 200 - 100, 100);
    assert_int_equal(track.late, GAPS_MAX);
    assert_int_equal(gap_track_open(&track), 4);
    assert_int_equal(track.duplicates, 4); /* nobody knows that they were missing */
}

static void judged_gaps_make_room(void **state)
{
    (void)state;
    add(0, 100);
    for (uint32_t i = 1; i <= GAPS_MAX; i++)
        add(i * 200, 100);
    now += TIMEOUT_MS;
    add(GAPS_MAX * 200 + 200, 100);
    assert_int_equal(track.unfilled, GAPS_MAX);
    now += 40;
    for (uint32_t i = 0; i < 3; i++)
        add(GAPS_MAX * 200 + 300 + i * 100, 100);
    add(GAPS_MAX * 200 + 100, 100);
    assert_int_equal(track.late, 1);
}

static void what_lies_in_no_window_changes_nothing(void **state)
{
    (void)state;
    add(0, 100);
    add((UINT32_C(1) << 30) + 101, 100);
    assert_int_equal(track.out_of_order, 1);
    assert_int_equal(track.gaps, 0);
    assert_int_equal(track.stream, 100);
}

static void bytes_from_before_our_sight_are_no_duplicates(void **state)
{
    (void)state;
    track = (struct gap_track){0};
    add(1000, 100); /* mid-stream: the stream begins here for us */
    add(900, 100);
    assert_int_equal(track.in_order, 1);
    assert_int_equal(track.out_of_order, 1);
    assert_int_equal(track.duplicates, 0);
    add(1000, 100);
    assert_int_equal(track.duplicates, 1);
}

static void a_stream_of_more_than_four_gigabytes_keeps_its_counts(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    uint32_t at = 0, len = UINT32_C(1) << 26;
    for (unsigned i = 0; i < 100; i++, at += len, bytes += len)
        add(at, len);
    add(at + len, 1);
    assert_int_equal(track.stream, bytes + len + 1);
    assert_int_equal(track.unseen, len);
    assert_int_equal(track.in_order, 100);
    for (unsigned i = 0; i < 100; i++)
        add(at + len + 1 + i * len, len); /* the gap falls out of reach */
    assert_int_equal(track.forgotten, 1);
    assert_int_equal(track.duplicates, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_a_model_that_remembers_every_byte),
        cmocka_unit_test_setup(a_gap_that_fills_after_a_round_trip_is_late, fresh),
        cmocka_unit_test_setup(reordering_is_not_late, fresh),
        cmocka_unit_test_setup(a_tail_that_comes_after_the_retransmission_timeout_is_late, fresh),
        cmocka_unit_test_setup(the_first_missing_byte_decides_whether_it_is_late, fresh),
        cmocka_unit_test_setup(a_gap_is_unfilled_when_new_data_comes_after_its_time, fresh),
        cmocka_unit_test_setup(a_gap_that_fills_with_the_first_packet_after_silence_is_late, fresh),
        cmocka_unit_test_setup(only_old_gaps_are_judged_at_the_end, fresh),
        cmocka_unit_test_setup(keep_alives_are_one_old_byte_at_the_end, fresh),
        cmocka_unit_test_setup(too_many_gaps_are_forgotten_and_counted, fresh),
        cmocka_unit_test_setup(judged_gaps_make_room, fresh),
        cmocka_unit_test_setup(what_lies_in_no_window_changes_nothing, fresh),
        cmocka_unit_test_setup(bytes_from_before_our_sight_are_no_duplicates, fresh),
        cmocka_unit_test_setup(a_stream_of_more_than_four_gigabytes_keeps_its_counts, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

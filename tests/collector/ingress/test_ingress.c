#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/ingress/ingress.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

#define HALF_LIFE INT64_C(3600000000000)
#define T0        INT64_C(1700000000000000000)

static struct ingress_map *map(unsigned max_rows)
{
    struct ingress_conf conf = {.half_life_ns = HALF_LIFE, .max_rows = max_rows, .seed = 7};
    struct ingress_map *m = NULL;
    assert_int_equal(ingress_map_new(&conf, &m), 0);
    return m;
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static struct event_tally tally(const char *src, const char *interface, uint64_t bytes, int64_t at)
{
    struct event_tally t = {
        .started_at = at - 10, .ended_at = at, .prefix = prefix(src), .packets = 1, .bytes = bytes};
    snprintf(t.ingress.router, sizeof t.ingress.router, "r1");
    snprintf(t.ingress.interface, sizeof t.ingress.interface, "%s", interface);
    return t;
}

static struct ingress_row *fold(struct ingress_map *m, const char *pop, const struct event_tally *t)
{
    struct ingress_row *row = NULL;
    bool is_new;
    assert_int_equal(ingress_map_tally(m, pop, t, &row, &is_new), 0);
    return row;
}

static void shares_of_a_prefix_sum_to_one_and_follow_the_bytes(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally a = tally("192.0.2.0/24", "if0", 300, T0);
    struct event_tally b = tally("192.0.2.0/24", "if1", 100, T0);
    struct ingress_row *first = fold(m, "AMS", &a);
    assert_true(first->share == 1);
    struct ingress_row *second = fold(m, "AMS", &b);
    assert_true(first->share == 0.75);
    assert_true(second->share == 0.25);
    ingress_map_free(m);
}

static void old_traffic_counts_half_after_one_half_life(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally a = tally("192.0.2.0/24", "if0", 200, T0);
    struct event_tally b = tally("192.0.2.0/24", "if1", 100, T0 + HALF_LIFE);
    struct ingress_row *first = fold(m, "AMS", &a);
    fold(m, "AMS", &b);
    assert_true(fabs(first->share - 0.5) < 1e-12);
    ingress_map_free(m);
}

static void a_late_tally_has_aged_when_it_arrives(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally now = tally("192.0.2.0/24", "if0", 100, T0 + HALF_LIFE);
    struct event_tally late = tally("192.0.2.0/24", "if1", 200, T0);
    struct ingress_row *first = fold(m, "AMS", &now);
    struct ingress_row *second = fold(m, "AMS", &late);
    assert_true(fabs(first->share - 0.5) < 1e-12);
    assert_true(second->last_seen == T0);
    ingress_map_free(m);
}

static void the_same_interface_at_two_pops_is_two_places(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally t = tally("192.0.2.0/24", "if0", 100, T0);
    struct ingress_row *ams = fold(m, "AMS", &t), *fra = fold(m, "FRA", &t);
    assert_ptr_not_equal(ams, fra);
    assert_true(ams->bytes == 100 && fra->bytes == 100);
    ingress_map_free(m);
}

static void bytes_behind_the_end_of_a_text_do_not_make_another_place(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally t = tally("192.0.2.0/24", "if0", 100, T0);
    struct ingress_row *first = fold(m, "AMS", &t);
    t.ingress.router[10] = 'x';
    assert_ptr_equal(fold(m, "AMS", &t), first);
    assert_int_equal(first->at.router[10], 0);
    ingress_map_free(m);
}

static void a_full_map_refuses_new_rows_and_still_folds_known_ones(void **state)
{
    (void)state;
    struct ingress_map *m = map(2);
    struct event_tally t[3] = {tally("192.0.2.0/24", "a", 1, T0),
                               tally("198.51.100.0/24", "a", 1, T0),
                               tally("203.0.113.0/24", "a", 1, T0)};
    fold(m, "AMS", &t[0]);
    fold(m, "AMS", &t[1]);
    struct ingress_row *row;
    bool is_new;
    assert_int_equal(ingress_map_tally(m, "AMS", &t[2], &row, &is_new), ERR_FULL);
    assert_true(fold(m, "AMS", &t[0])->bytes == 2);
    ingress_map_free(m);
}

static void each_changed_row_is_taken_once_until_it_changes_again(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally t = tally("192.0.2.0/24", "if0", 100, T0);
    fold(m, "AMS", &t);
    fold(m, "AMS", &t);
    struct ingress_row row;
    assert_true(ingress_map_take(m, &row));
    assert_true(row.bytes == 200);
    assert_false(ingress_map_take(m, &row));
    fold(m, "AMS", &t);
    assert_true(ingress_map_take(m, &row));
    assert_false(ingress_map_take(m, &row));
    ingress_map_free(m);
}

static void a_loaded_row_is_not_taken_and_goes_on_where_it_was(void **state)
{
    (void)state;
    struct ingress_map *m = map(10), *again = map(10);
    struct event_tally a = tally("192.0.2.0/24", "if0", 300, T0);
    struct event_tally b = tally("192.0.2.0/24", "if1", 100, T0 + HALF_LIFE / 3);
    struct event_tally c = tally("192.0.2.0/24", "if0", 50, T0 + HALF_LIFE);
    fold(m, "AMS", &a);
    fold(m, "AMS", &b);
    struct ingress_row row;
    while (ingress_map_take(m, &row))
        assert_int_equal(ingress_map_load(again, &row), 0);
    assert_int_equal(ingress_map_load_end(again), 0);
    assert_false(ingress_map_take(again, &row));
    double share = fold(m, "AMS", &c)->share;
    assert_true(fabs(fold(again, "AMS", &c)->share - share) < 1e-12);
    ingress_map_free(m);
    ingress_map_free(again);
}

static void count_row(void *arg, struct ingress_row *row)
{
    (void)row;
    ++*(int *)arg;
}

static void a_new_row_finds_the_nearest_tested_row_above_it(void **state)
{
    (void)state;
    struct ingress_map *m = map(10);
    struct event_tally wide = tally("10.0.0.0/8", "a", 1, T0),
                       mid = tally("10.1.0.0/16", "a", 1, T0);
    struct event_tally elsewhere = tally("10.1.2.0/23", "b", 1, T0);
    struct ingress_row *w = fold(m, "AMS", &wide), *n = fold(m, "AMS", &mid);
    fold(m, "AMS", &elsewhere)->tests = 1;
    struct prefix p = prefix("10.1.2.0/24");
    assert_null(ingress_map_cover(m, &p, "AMS", &wide.ingress));
    w->tests = 1;
    assert_ptr_equal(ingress_map_cover(m, &p, "AMS", &wide.ingress), w);
    n->tests = 1;
    assert_ptr_equal(ingress_map_cover(m, &p, "AMS", &wide.ingress), n);
    assert_null(ingress_map_cover(m, &wide.prefix, "AMS", &wide.ingress));
    assert_null(ingress_map_cover(m, &p, "FRA", &wide.ingress));
    ingress_map_free(m);
}

/* The naive model: every tally ever, and sums over all of them. */
struct seen {
    struct prefix prefix;
    unsigned pop, interface;
    uint64_t bytes;
    int64_t at;
};

#define STREAM 1500

static struct prefix random_prefix(struct prf *prf)
{
    uint8_t bytes[16] = {0};
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)prf_below(prf, 2);
    if (prf_below(prf, 3) == 0) {
        struct addr a = addr_v6(bytes);
        return prefix_of(&a, (unsigned)prf_below(prf, 41));
    }
    struct addr a = addr_v4(bytes);
    return prefix_of(&a, 16 + (unsigned)prf_below(prf, 9));
}

static const char *const pops[] = {"AMS", "FRA"}, *const interfaces[] = {"a", "b", "c"};

static struct event_tally tally_of(const struct seen *s)
{
    struct event_tally t = {
        .ended_at = s->at, .prefix = s->prefix, .packets = 1, .bytes = s->bytes};
    snprintf(t.ingress.interface, sizeof t.ingress.interface, "%s", interfaces[s->interface]);
    return t;
}

static bool is_at(const struct seen *s, const struct ingress_row *row)
{
    return prefix_equal(&s->prefix, &row->prefix) && strcmp(pops[s->pop], row->pop) == 0 &&
           strcmp(interfaces[s->interface], row->at.interface) == 0;
}

static void check_row(const struct seen *seen, const struct ingress_row *row)
{
    double mine = 0, all = 0;
    uint64_t bytes = 0, packets = 0;
    int64_t last = 0;
    for (int i = 0; i < STREAM; i++) {
        if (!prefix_equal(&seen[i].prefix, &row->prefix))
            continue;
        double w = (double)seen[i].bytes * exp2((double)(seen[i].at - T0) / (double)HALF_LIFE);
        all += w;
        if (!is_at(&seen[i], row))
            continue;
        mine += w;
        bytes += seen[i].bytes;
        packets++;
        last = seen[i].at > last ? seen[i].at : last;
    }
    assert_true(row->bytes == bytes);
    assert_true(row->packets == packets);
    assert_true(row->last_seen == last);
    assert_true(fabs(row->share - mine / all) < 1e-9);
}

/* How many different rows of the model does a test of p at that place cover? */
static int covered(const struct ingress_row *rows, int n, const struct prefix *p, unsigned pop,
                   unsigned interface)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += prefix_covers(p, &rows[i].prefix) && strcmp(rows[i].pop, pops[pop]) == 0 &&
                 strcmp(rows[i].at.interface, interfaces[interface]) == 0;
    return count;
}

static void random_streams_give_what_the_naive_model_gives(void **state)
{
    (void)state;
    static struct seen seen[STREAM];
    static struct ingress_row rows[STREAM];
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct prf prf = prf_init(seed, 0);
        struct ingress_map *m = map(STREAM);
        for (int i = 0; i < STREAM; i++) {
            seen[i] = (struct seen){.prefix = random_prefix(&prf),
                                    .pop = (unsigned)prf_below(&prf, 2),
                                    .interface = (unsigned)prf_below(&prf, 3),
                                    .bytes = 1 + prf_below(&prf, 1000),
                                    .at = T0 + (int64_t)prf_below(&prf, 5 * HALF_LIFE)};
            struct event_tally t = tally_of(&seen[i]);
            fold(m, pops[seen[i].pop], &t);
        }
        int n = 0;
        while (ingress_map_take(m, &rows[n])) {
            check_row(seen, &rows[n]);
            n++;
        }
        int all = 0;
        ingress_map_all(m, count_row, &all);
        assert_int_equal(all, n);
        assert_true(n > 100);
        for (int i = 0; i < 200; i++) {
            struct prefix p = random_prefix(&prf);
            struct ingress at = {0};
            unsigned pop = (unsigned)prf_below(&prf, 2), interface = (unsigned)prf_below(&prf, 3);
            snprintf(at.interface, sizeof at.interface, "%s", interfaces[interface]);
            int found = 0;
            ingress_map_each(m, &p, pops[pop], &at, count_row, &found);
            assert_int_equal(found, covered(rows, n, &p, pop, interface));
        }
        ingress_map_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_of_a_prefix_sum_to_one_and_follow_the_bytes),
        cmocka_unit_test(old_traffic_counts_half_after_one_half_life),
        cmocka_unit_test(a_late_tally_has_aged_when_it_arrives),
        cmocka_unit_test(the_same_interface_at_two_pops_is_two_places),
        cmocka_unit_test(bytes_behind_the_end_of_a_text_do_not_make_another_place),
        cmocka_unit_test(a_full_map_refuses_new_rows_and_still_folds_known_ones),
        cmocka_unit_test(each_changed_row_is_taken_once_until_it_changes_again),
        cmocka_unit_test(a_loaded_row_is_not_taken_and_goes_on_where_it_was),
        cmocka_unit_test(a_new_row_finds_the_nearest_tested_row_above_it),
        cmocka_unit_test(random_streams_give_what_the_naive_model_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

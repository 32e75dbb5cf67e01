/* How the map adapts: ranges join and split, moves are noticed, what is old is forgotten. */
#include "tests/collector/ingress/stream.h"

/* So many leaves of 10.0.0.0/16, from first on, each 100 kB in every ten seconds. */
static int64_t flow(struct ingress_map *m, unsigned first, unsigned count, const char *interface,
                    int64_t from, int64_t minutes)
{
    int64_t at = from;
    for (; at < from + minutes * MINUTE; at += 10 * SECOND) {
        for (unsigned i = first; i < first + count; i++) {
            struct prefix p = net(i);
            fold_at(m, &p, "AMS", interface, 100000, at);
        }
        ingress_map_tick(m, at);
    }
    return at;
}

static int rows_of(struct ingress_map *m)
{
    return (int)ingress_map_counts(m).rows;
}

static unsigned changes_of(struct ingress_map *m, enum ingress_change_kind kind,
                           struct ingress_change *last)
{
    struct ingress_change c;
    unsigned n = 0;
    while (ingress_map_take_change(m, &c))
        if (c.kind == kind) {
            *last = c;
            n++;
        }
    return n;
}

static void a_lone_prefix_stays_as_it_was_tallied(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    flow(m, 5, 1, "a", T0, 30);
    flow(m, 900, 1, "a", T0, 30);
    assert_int_equal(rows_of(m), 2);
    assert_non_null(row_at(m, "10.0.5.0/24", "AMS", "a"));
    ingress_map_free(m);
}

static void neighbours_that_enter_alike_become_one_row_with_their_sums(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    flow(m, 0, 16, "a", T0, 2);
    assert_int_equal(rows_of(m), 1);
    struct ingress_row *row = row_at(m, "10.0.0.0/20", "AMS", "a");
    assert_non_null(row);
    assert_true(row->bytes == 16 * 12 * 100000 && row->packets == 16 * 12 * 101);
    assert_true(row->share == 1 && row->first_seen == T0 - 10 * SECOND);
    ingress_map_free(m);
}

static void a_range_joins_only_after_its_time(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.join_after_ns = 600 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 2, "a", T0, 9);
    assert_int_equal(rows_of(m), 2);
    flow(m, 0, 2, "a", at, 3);
    assert_int_equal(rows_of(m), 1);
    ingress_map_free(m);
}

static void half_of_the_leaves_beneath_must_be_seen(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    flow(m, 0, 1, "a", T0, 3); /* two of eight, in both halves */
    flow(m, 4, 1, "a", T0, 3);
    assert_int_equal(rows_of(m), 2);
    flow(m, 5, 1, "a", T0 + 3 * MINUTE, 3); /* 4 and 5 join, and then 3 of 4 … */
    flow(m, 1, 1, "a", T0 + 6 * MINUTE, 3);
    assert_int_equal(rows_of(m), 1);
    assert_non_null(row_at(m, "10.0.0.0/21", "AMS", "a"));
    ingress_map_free(m);
}

static void what_enters_elsewhere_does_not_join(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    flow(m, 0, 1, "a", T0, 5);
    flow(m, 1, 1, "b", T0, 5);
    assert_int_equal(rows_of(m), 2);
    ingress_map_free(m);
}

static void judge(void *arg, struct ingress_row *row)
{
    const struct prefix *expected = arg;
    row->expected = prefix_covers(expected, &row->prefix) ? EXPECTED_YES : EXPECTED_UNKNOWN;
}

static void what_is_expected_apart_stays_apart(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix lower = prefix("10.0.0.0/23");
    ingress_map_expecting(m, judge, &lower);
    for (unsigned i = 0; i < 4; i++) {
        struct prefix p = net(i);
        judge(&lower, fold_at(m, &p, "AMS", "a", 100000, T0));
    }
    ingress_map_tick(m, T0 + SECOND);
    ingress_map_tick(m, T0 + 2 * SECOND);
    assert_int_equal(rows_of(m), 2);
    assert_true(row_at(m, "10.0.0.0/23", "AMS", "a")->expected == EXPECTED_YES);
    assert_true(row_at(m, "10.0.2.0/23", "AMS", "a")->expected == EXPECTED_UNKNOWN);
    ingress_map_free(m);
}

/* While a new policy is taken up, rows still say what the old one did. */
static void what_a_new_policy_tells_apart_does_not_join_before_it_is_judged(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix first = net(0);
    ingress_map_expecting(m, judge, &first);
    for (unsigned i = 0; i < 2; i++) {
        struct prefix p = net(i);
        fold_at(m, &p, "AMS", "a", 100000, T0);
    }
    ingress_map_tick(m, T0 + SECOND);
    assert_int_equal(rows_of(m), 2);
    first = prefix("10.0.0.0/8"); /* and joins when it does not */
    ingress_map_tick(m, T0 + 2 * SECOND);
    assert_int_equal(rows_of(m), 1);
    ingress_map_free(m);
}

static void tested(struct ingress_row *row, enum ingress_state state, double fraction)
{
    row->state = state;
    row->has_evidence = true;
    row->genuine_fraction = row->genuine_probability = fraction;
    row->tests = 1;
}

static void what_was_tested_with_another_result_stays_apart(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix p[2] = {net(0), net(1)};
    tested(fold_at(m, &p[0], "AMS", "a", 100000, T0), STATE_GENUINE, 0.98);
    tested(fold_at(m, &p[1], "AMS", "a", 100000, T0), STATE_MIXED, 0.5);
    ingress_map_tick(m, T0);
    assert_int_equal(rows_of(m), 2);
    tested(fold_at(m, &p[1], "AMS", "a", 1000, T0), STATE_GENUINE, 0.95);
    ingress_map_tick(m, T0 + SECOND);
    assert_int_equal(rows_of(m), 1);
    struct ingress_row *row = row_at(m, "10.0.0.0/23", "AMS", "a");
    assert_true(row->state == STATE_GENUINE && row->tests == 1);
    ingress_map_free(m);
}

static void a_lighter_leaf_that_nobody_tested_goes_with_what_was_tested(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix p[4] = {net(0), net(1), net(2), net(3)};
    tested(fold_at(m, &p[0], "AMS", "a", 200000, T0), STATE_GENUINE, 0.98);
    fold_at(m, &p[1], "AMS", "a", 100000, T0);
    tested(fold_at(m, &p[2], "AMS", "a", 100000, T0), STATE_GENUINE, 0.98);
    fold_at(m, &p[3], "AMS", "a", 200000, T0); /* the heavier one: not told by the lighter one */
    ingress_map_tick(m, T0);
    assert_true(row_at(m, "10.0.0.0/23", "AMS", "a")->state == STATE_GENUINE);
    assert_null(row_at(m, "10.0.2.0/23", "AMS", "a"));
    ingress_map_free(m);
}

static void a_pinned_row_keeps_its_range(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.forget_after_ns = 600 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    struct prefix p[2] = {net(0), net(1)};
    struct ingress_row *row = fold_at(m, &p[0], "AMS", "a", 100000, T0);
    ingress_map_pin(m, row, PIN_ALERT, true);
    ingress_map_pin(m, row, PIN_ORDER, true);
    fold_at(m, &p[1], "AMS", "a", 100000, T0);
    ingress_map_tick(m, T0);
    ingress_map_pin(m, row, PIN_ORDER, false);
    ingress_map_tick(m, T0 + SECOND);
    assert_int_equal(rows_of(m), 2);
    ingress_map_tick(m, T0 + 60 * MINUTE);
    assert_ptr_equal(row_at(m, "10.0.0.0/24", "AMS", "a"), row);
    ingress_map_pin(m, row, PIN_ALERT, false);
    ingress_map_tick(m, T0 + 61 * MINUTE);
    assert_int_equal(rows_of(m), 0);
    ingress_map_free(m);
}

static void a_leaf_that_enters_elsewhere_is_split_off_told_and_goes_back(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 16, "a", T0, 60), came = at;
    struct ingress_change c;
    changes_of(m, CHANGE_MOVED, &c);
    for (; row_at(m, "10.0.3.0/24", "AMS", "b") == NULL && at < came + 10 * MINUTE;
         at += 10 * SECOND) {
        flow(m, 0, 3, "a", at, 0);
        for (unsigned i = 0; i < 16; i++) {
            struct prefix p = net(i);
            fold_at(m, &p, "AMS", i == 3 ? "b" : "a", 100000, at);
        }
        ingress_map_tick(m, at);
    }
    assert_in_range(at - came, 10 * SECOND, 3 * MINUTE);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 1);
    struct prefix leaf = net(3);
    assert_true(prefix_equal(&c.prefix, &leaf));
    assert_string_equal(c.from.at.interface, "a");
    assert_string_equal(c.to.at.interface, "b");
    assert_true(c.from.share_before > 0.8 && c.from.share_after < 0.5);
    assert_true(c.to.share_before < 0.2 && c.to.share_after > 0.5);
    struct ingress_row *rest = row_at(m, "10.0.0.0/20", "AMS", "a");
    assert_true(rest != NULL && rest->share > 0.99);
    flow(m, 0, 16, "a", at, 300);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 1);
    assert_string_equal(c.to.at.interface, "a");
    assert_null(row_at(m, "10.0.3.0/24", "AMS", "a"));
    ingress_map_free(m);
}

static void a_range_that_moves_as_a_whole_stays_whole(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 16, "a", T0, 60);
    struct ingress_change c;
    changes_of(m, CHANGE_MOVED, &c);
    flow(m, 0, 16, "b", at, 4);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 1);
    struct prefix all = prefix("10.0.0.0/20");
    assert_true(prefix_equal(&c.prefix, &all));
    assert_true(c.at - at <= 2 * MINUTE);
    assert_int_equal(rows_of(m), 2);
    ingress_map_free(m);
}

static void when_half_of_a_range_moves_the_halves_part(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 16, "a", T0, 60);
    for (int64_t end = at + 120 * MINUTE; at < end; at += 10 * SECOND) {
        for (unsigned i = 0; i < 16; i++) {
            struct prefix p = net(i);
            fold_at(m, &p, "AMS", i < 8 ? "a" : "b", 100000, at);
        }
        ingress_map_tick(m, at);
    }
    struct ingress_row *row = row_at(m, "10.0.8.0/21", "AMS", "b");
    assert_true(row != NULL && row->share > 0.7);
    assert_true(row_at(m, "10.0.0.0/21", "AMS", "a") != NULL ||
                row_at(m, "10.0.0.0/20", "AMS", "a") != NULL);
    assert_true(rows_of(m) <= 4);
    ingress_map_free(m);
}

static void what_is_proven_spoofed_neither_splits_nor_moves(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 16, "a", T0, 60);
    struct prefix p = net(3);
    tested(fold_at(m, &p, "AMS", "b", 10, at), STATE_SPOOFED, 0.01);
    struct ingress_change c;
    changes_of(m, CHANGE_MOVED, &c);
    for (int64_t end = at + 60 * MINUTE; at < end; at += 10 * SECOND) {
        for (unsigned i = 0; i < 16; i++) {
            p = net(i);
            fold_at(m, &p, "AMS", "a", 10000, at);
            fold_at(m, &p, "AMS", "b", 500000, at);
        }
        ingress_map_tick(m, at);
    }
    assert_int_equal(rows_of(m), 2);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 0);
    struct ingress_row *row = row_at(m, "10.0.0.0/20", "AMS", "b");
    assert_true(row->share > 0.5 && row->genuine_share < 0.5);
    ingress_map_free(m);
}

static void a_trickle_from_anywhere_neither_splits_nor_multiplies_rows(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prf prf = prf_init(5, 0);
    int64_t at = flow(m, 0, 64, "a", T0, 10);
    assert_int_equal(rows_of(m), 1);
    for (int64_t end = at + 30 * MINUTE; at < end; at += 10 * SECOND) {
        flow(m, 0, 0, "a", at, 0);
        for (unsigned i = 0; i < 64; i++) {
            struct prefix p = net(i);
            char interface[8];
            fold_at(m, &p, "AMS", "a", 100000, at);
            snprintf(interface, sizeof interface, "n%u", (unsigned)prf_below(&prf, 20));
            fold_at(m, &p, "AMS", interface, 10000 + prf_below(&prf, 80000), at);
        }
        ingress_map_tick(m, at);
    }
    assert_int_equal(ingress_map_counts(m).splits, 0);
    assert_int_equal(ingress_map_counts(m).moves, 0);
    assert_int_equal(ingress_map_counts(m).ranges, 1);
    assert_int_equal(rows_of(m), 21);
    ingress_map_free(m);
}

static void a_mixture_stays_a_mixture(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prf prf = prf_init(5, 0);
    for (int64_t at = T0; at < T0 + 120 * MINUTE; at += 10 * SECOND) {
        for (unsigned i = 0; i < 16; i++) {
            struct prefix p = net(i);
            fold_at(m, &p, "AMS", "a", 50000 + prf_below(&prf, 100000), at);
            fold_at(m, &p, "FRA", "a", 50000 + prf_below(&prf, 100000), at);
        }
        ingress_map_tick(m, at);
    }
    assert_int_equal(rows_of(m), 2);
    assert_int_equal(ingress_map_counts(m).moves, 0);
    struct ingress_row *row = row_at(m, "10.0.0.0/20", "FRA", "a");
    assert_true(fabs(row->share - 0.5) < 0.1 && row->bundle[0] == '\0');
    ingress_map_free(m);
}

static void places_of_one_router_that_share_evenly_are_a_bundle(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix p = net(1);
    for (int64_t at = T0; at < T0 + 5 * MINUTE; at += 10 * SECOND) {
        fold_at(m, &p, "AMS", "xe-1", 100000, at);
        fold_at(m, &p, "AMS", "xe-0", 110000, at);
        fold_at(m, &p, "AMS", "xe-2", 20000, at);
        ingress_map_tick(m, at);
    }
    assert_string_equal(row_at(m, "10.0.1.0/24", "AMS", "xe-0")->bundle, "r1:xe-0+xe-1");
    assert_string_equal(row_at(m, "10.0.1.0/24", "AMS", "xe-1")->bundle, "r1:xe-0+xe-1");
    assert_string_equal(row_at(m, "10.0.1.0/24", "AMS", "xe-2")->bundle, "");
    ingress_map_free(m);
}

static void what_was_not_seen_for_long_is_forgotten_and_told(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.forget_after_ns = 24 * 3600 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 4, "a", T0, 3);
    struct ingress_row row;
    struct ingress_change c;
    while (ingress_map_take(m, &row))
        continue;
    changes_of(m, CHANGE_LEFT, &c);
    ingress_map_tick(m, at + 23 * 60 * MINUTE);
    assert_int_equal(rows_of(m), 1);
    ingress_map_tick(m, at + 25 * 60 * MINUTE);
    assert_int_equal(rows_of(m), 0);
    assert_true(ingress_map_take(m, &row) && row.is_gone);
    struct prefix all = prefix("10.0.0.0/22");
    assert_true(prefix_equal(&row.prefix, &all));
    assert_int_equal(changes_of(m, CHANGE_LEFT, &c), 1);
    struct ingress_counts counts = ingress_map_counts(m);
    assert_true(counts.forgotten == 4 && counts.cells == 0 && counts.leaves == 0);
    assert_true(counts.ranges == 0);
    flow(m, 0, 1, "a", at + 26 * 60 * MINUTE, 1); /* and may come again */
    assert_int_equal(rows_of(m), 1);
    ingress_map_free(m);
}

static void in_a_crowd_what_only_trickles_is_gathered_and_may_come_out(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.crowd = 100;
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 1, "a", T0, 5);
    for (unsigned i = 0; i < 1000; i++) {
        struct prefix p = net(2 + 7 * i);
        fold_at(m, &p, "AMS", "b", 500, at);
    }
    for (unsigned i = 0; i < 3; i++)
        ingress_map_tick(m, at + i * SECOND);
    assert_true(rows_of(m) <= 101);
    struct ingress_row *rest = row_at(m, "0.0.0.0/0", "AMS", "b");
    assert_true(rest != NULL && rest->bytes >= 900 * 500);
    assert_non_null(row_at(m, "10.0.0.0/24", "AMS", "a"));
    unsigned grown = 2 + 7 * 300;
    flow(m, grown, 1, "b", at + 2 * SECOND, 5);
    struct prefix p = net(grown);
    struct ingress b = place_at("b");
    assert_non_null(ingress_map_find(m, &p, "AMS", &b));
    ingress_map_free(m);
}

/* Its row does not say so yet. */
static void what_somebody_speaks_of_by_now_is_not_gathered(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.crowd = 100;
    struct ingress_map *m = map_of(&conf);
    struct prefix wanted = net(7 * 5), other = net(7 * 6);
    struct ingress at_b = place_at("b");
    ingress_map_expecting(m, judge, &wanted);
    for (unsigned i = 0; i < 300; i++) {
        struct prefix p = net(7 * i);
        fold_at(m, &p, "AMS", "b", 500000, T0); /* no trickle yet */
    }
    for (unsigned hour = 1; hour < 12; hour++)
        ingress_map_tick(m, T0 + hour * 60 * MINUTE);
    assert_null(ingress_map_find(m, &other, "AMS", &at_b));
    assert_non_null(ingress_map_find(m, &wanted, "AMS", &at_b));
    ingress_map_free(m);
}

static void counters_wait_for_their_interval_and_facts_do_not(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.write_interval_ns = 5 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    struct prefix p = net(1);
    struct ingress_row out, *row = fold_at(m, &p, "AMS", "a", 1000, T0);
    ingress_map_tick(m, T0);
    assert_true(ingress_map_take(m, &out));
    fold_at(m, &p, "AMS", "a", 1000, T0 + SECOND);
    ingress_map_tick(m, T0 + 2 * SECOND);
    assert_false(ingress_map_take(m, &out));
    row->tests = 1;
    ingress_map_changed(m, row);
    assert_true(ingress_map_take(m, &out) && out.bytes == 2000 && out.tests == 1);
    fold_at(m, &p, "AMS", "a", 1000, T0 + 3 * SECOND);
    ingress_map_tick(m, T0 + 9 * SECOND);
    assert_true(ingress_map_take(m, &out) && out.bytes == 3000);
    assert_false(ingress_map_take(m, &out));
    ingress_map_free(m);
}

/* What SQL would have: the last that was taken of each place. */
struct stored {
    double share[2];
    unsigned writes[2];
};

static void store_taken(struct ingress_map *m, struct stored *s)
{
    struct ingress_row out;
    while (ingress_map_take(m, &out)) {
        unsigned k = out.at.interface[0] == 'b';
        s->share[k] = out.share;
        s->writes[k]++;
    }
}

/* A place that is new is a fact, what the others lose by it are counts: both are told at once. */
static void shares_of_a_prefix_that_are_taken_sum_to_one_at_any_time(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.write_interval_ns = 5 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    struct prefix p = net(1);
    struct stored s = {0};
    for (unsigned i = 0; i < 60; i++) { /* b begins, later it is silent, and a begins again */
        int64_t at = T0 + i * SECOND;
        if (i < 30 || i % 3 == 0)
            fold_at(m, &p, "AMS", "a", 1000, at);
        if (i >= 8 && i < 40)
            fold_at(m, &p, "AMS", "b", 5000, at);
        ingress_map_tick(m, at);
        store_taken(m, &s);
        assert_true(fabs(s.share[0] + s.share[1] - 1) < 1e-9);
    }
    assert_true(s.writes[0] >= 6 && s.writes[0] <= 14);
    assert_true(s.writes[1] >= 5 && s.writes[1] <= 13);
    ingress_map_free(m);
}

/* Both halves of a range that split tell of its tests; together again they are not twice as many.
 */
static void a_split_and_a_join_add_no_tests(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 16, "a", T0, 10);
    row_at(m, "10.0.0.0/20", "AMS", "a")->tests = 3;
    for (unsigned round = 0; round < 3; round++) { /* half of it leaves, and comes back */
        int64_t until = at + 60 * MINUTE;
        for (; at < until; at += 10 * SECOND) {
            flow(m, 0, 8, "a", at, 0);
            for (unsigned i = 0; i < 16; i++) {
                struct prefix p = net(i);
                fold_at(m, &p, "AMS", i < 8 ? "a" : "b", 100000, at);
            }
            ingress_map_tick(m, at);
        }
        assert_null(row_at(m, "10.0.0.0/20", "AMS", "a"));
        at = flow(m, 0, 16, "a", at, 400);
        struct ingress_row *whole = row_at(m, "10.0.0.0/20", "AMS", "a");
        assert_true(whole != NULL && whole->tests == 3);
    }
    ingress_map_free(m);
}

static void a_test_of_one_leaf_stands_by_itself(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    flow(m, 0, 16, "a", T0, 2);
    struct prefix p = net(5), all = prefix("10.0.0.0/20");
    struct ingress at = place_at("a");
    struct ingress_row *row;
    bool is_new;
    assert_int_equal(ingress_map_touch(m, &p, "AMS", &at, T0, &row, &is_new), 0);
    assert_true(!is_new && row->bytes == 12 * 100000 && prefix_equal(&row->prefix, &p));
    row = ingress_map_find(m, &all, "AMS", &at);
    assert_true(row->bytes == 15 * 12 * 100000);
    struct ingress_row *over = ingress_map_over(m, &p, "AMS", &at);
    assert_true(prefix_equal(&over->prefix, &p));
    struct prefix other = net(6);
    assert_ptr_equal(ingress_map_over(m, &other, "AMS", &at), row);
    ingress_map_free(m);
}

static void a_thousand_prefixes_that_come_and_go_leave_nothing_behind(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.max_rows = 64;
    conf.forget_after_ns = 60 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    for (unsigned i = 0; i < 1000; i++) {
        struct prefix p = net(i * 5);
        struct ingress_row row;
        int64_t at = T0 + i * 2 * MINUTE;
        fold_at(m, &p, "AMS", "a", 1000, at);
        ingress_map_tick(m, at);
        while (ingress_map_take(m, &row))
            continue;
    }
    assert_int_equal(rows_of(m), 1);
    ingress_map_free(m);
}

/* ---- over a restart ---- */

static void load_cell(void *arg, const struct ingress_cell *cell)
{
    assert_int_equal(ingress_map_load_cell(arg, cell), 0);
}

/* What the database has of it, if nothing was taken before: all rows, all cells. */
static struct ingress_map *restarted(struct ingress_map *m, const struct ingress_conf *conf)
{
    struct ingress_map *again = map_of(conf);
    struct ingress_row row;
    uint32_t cursor = 0;
    ingress_map_hurry(m);
    while (ingress_map_take(m, &row))
        if (!row.is_gone)
            assert_int_equal(ingress_map_load(again, &row), 0);
    while (ingress_map_cell_next(m, &cursor, load_cell, again))
        continue;
    assert_int_equal(ingress_map_load_end(again), 0);
    ingress_map_free(m);
    return again;
}

static void a_restart_does_not_tell_again_that_it_moved(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct ingress_change c;
    int64_t at = flow(m, 5, 1, "a", T0, 120);
    at = flow(m, 5, 1, "b", at, 10);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 1);
    struct prefix p = net(5);
    for (unsigned i = 0; i < 60; i++, at += 10 * SECOND) /* a lull, and in it a restart */
        fold_at(m, &p, "AMS", "b", 5000, at);
    m = restarted(m, &conf);
    struct addr a = {.family = ADDR_V4, .bytes = {10, 0, 5, 1}};
    assert_string_equal(ingress_map_main(m, &a)->at.interface, "b");
    flow(m, 5, 1, "b", at, 10);
    assert_int_equal(changes_of(m, CHANGE_MOVED, &c), 0);
    ingress_map_free(m);
}

/* Between the share at which a place appears and the one at which it has left. */
static void a_restart_does_not_tell_again_who_appeared_and_tells_who_left(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct ingress_change c;
    int64_t at = T0;
    struct prefix p = net(5);
    fold_at(m, &p, "AMS", "b", 200000, at);
    at = flow(m, 5, 1, "a", at, 4); /* 2.4 MB: b has 8 % */
    assert_int_equal(changes_of(m, CHANGE_APPEARED, &c), 2);
    m = restarted(m, &conf);
    fold_at(m, &p, "AMS", "b", 200000, at); /* 14 % */
    assert_int_equal(changes_of(m, CHANGE_APPEARED, &c), 0);
    flow(m, 5, 1, "a", at, 60);
    assert_int_equal(changes_of(m, CHANGE_LEFT, &c), 1);
    assert_string_equal(c.from.at.interface, "b");
    ingress_map_free(m);
}

static void what_was_forgotten_stays_so_and_a_full_map_still_starts(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.forget_after_ns = 24 * 3600 * NS_PER_S;
    conf.max_rows = conf.max_cells = conf.crowd = 4;
    struct ingress_map *m = map_of(&conf), *again = map_of(&conf);
    struct ingress_row row;
    for (unsigned i = 0; i < 4; i++) { /* far apart: no joins */
        struct prefix p = net(100 * i);
        fold_at(m, &p, "AMS", "a", 1000000, T0);
    }
    while (ingress_map_take(m, &row)) /* no news */
        continue;
    struct ingress_cell old[4];
    for (unsigned i = 0; i < 4; i++)
        old[i] = (struct ingress_cell){.prefix = net(100 * i),
                                       .pop = "AMS",
                                       .at = place_at("a"),
                                       .first_seen = T0,
                                       .last_seen = T0,
                                       .packets = 1001,
                                       .bytes = 1000000};
    int64_t at = T0 + 25 * 60 * MINUTE;
    ingress_map_tick(m, at);
    assert_int_equal(rows_of(m), 0);
    while (ingress_map_take(m, &row))
        continue;
    for (unsigned i = 3; i < 7; i++) { /* the first of them came again */
        struct prefix p = net(100 * i);
        fold_at(m, &p, "AMS", "a", 2000, at + MINUTE);
    }
    /* a crash: the rows are of now, the cells of then, and the tallies since are folded again */
    while (ingress_map_take(m, &row))
        if (!row.is_gone)
            assert_int_equal(ingress_map_load(again, &row), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ingress_map_load_cell(again, &old[i]), 0);
    for (unsigned i = 3; i < 7; i++) {
        struct event_tally t = {.started_at = at, .ended_at = at + MINUTE, .prefix = net(100 * i)};
        t.ingress = place_at("a");
        t.packets = 3;
        t.bytes = 2000;
        assert_int_equal(ingress_map_replay(again, "AMS", &t), 0);
    }
    assert_int_equal(ingress_map_load_end(again), 0);
    assert_int_equal(rows_of(again), 4);
    assert_int_equal(row_at(again, "10.1.44.0/24", "AMS", "a")->bytes, 2000);
    ingress_map_free(again);
    ingress_map_free(m);
}

/* ---- clocks, and weights of different times ---- */

static void a_clock_that_jumps_ahead_forgets_nothing(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    conf.forget_after_ns = 24 * 3600 * NS_PER_S;
    struct ingress_map *m = map_of(&conf);
    int64_t at = flow(m, 0, 1, "a", T0, 3) + 300 * 24 * 60 * MINUTE;
    ingress_map_clock_jumped(m, at);
    ingress_map_tick(m, at);
    ingress_map_tick(m, at + 23 * 60 * MINUTE);
    assert_int_equal(rows_of(m), 1);
    ingress_map_tick(m, at + 25 * 60 * MINUTE);
    assert_int_equal(rows_of(m), 0);
    ingress_map_free(m);
}

/* It weighed more then, and less now. */
static void what_was_tested_long_ago_does_not_vanish_in_a_heavier_neighbour(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix p[2] = {net(0), net(1)};
    tested(fold_at(m, &p[0], "AMS", "a", 400000, T0), STATE_GENUINE, 0.98);
    fold_at(m, &p[1], "AMS", "a", 200000, T0 + 180 * MINUTE); /* 400,000 are 50,000 by now */
    ingress_map_tick(m, T0 + 180 * MINUTE);
    ingress_map_tick(m, T0 + 180 * MINUTE + SECOND);
    struct ingress_row *row = row_at(m, "10.0.0.0/24", "AMS", "a");
    assert_true(row != NULL && row->state == STATE_GENUINE);
    ingress_map_free(m);
}

static void tallies_without_bytes_at_many_places_do_no_harm(void **state)
{
    (void)state;
    struct ingress_conf conf = usual_conf();
    struct ingress_map *m = map_of(&conf);
    struct prefix p = net(0);
    for (unsigned i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "i%u", i);
        fold_at(m, &p, "AMS", name, 0, T0 + i * SECOND);
    }
    fold_at(m, &p, "AMS", "i7", 5000, T0 + MINUTE);
    assert_true(row_at(m, "10.0.0.0/24", "AMS", "i7")->share == 1);
    ingress_map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_prefix_stays_as_it_was_tallied),
        cmocka_unit_test(neighbours_that_enter_alike_become_one_row_with_their_sums),
        cmocka_unit_test(a_range_joins_only_after_its_time),
        cmocka_unit_test(half_of_the_leaves_beneath_must_be_seen),
        cmocka_unit_test(what_enters_elsewhere_does_not_join),
        cmocka_unit_test(what_is_expected_apart_stays_apart),
        cmocka_unit_test(what_a_new_policy_tells_apart_does_not_join_before_it_is_judged),
        cmocka_unit_test(what_was_tested_with_another_result_stays_apart),
        cmocka_unit_test(a_lighter_leaf_that_nobody_tested_goes_with_what_was_tested),
        cmocka_unit_test(a_pinned_row_keeps_its_range),
        cmocka_unit_test(a_leaf_that_enters_elsewhere_is_split_off_told_and_goes_back),
        cmocka_unit_test(a_range_that_moves_as_a_whole_stays_whole),
        cmocka_unit_test(when_half_of_a_range_moves_the_halves_part),
        cmocka_unit_test(what_is_proven_spoofed_neither_splits_nor_moves),
        cmocka_unit_test(a_trickle_from_anywhere_neither_splits_nor_multiplies_rows),
        cmocka_unit_test(a_mixture_stays_a_mixture),
        cmocka_unit_test(places_of_one_router_that_share_evenly_are_a_bundle),
        cmocka_unit_test(what_was_not_seen_for_long_is_forgotten_and_told),
        cmocka_unit_test(in_a_crowd_what_only_trickles_is_gathered_and_may_come_out),
        cmocka_unit_test(what_somebody_speaks_of_by_now_is_not_gathered),
        cmocka_unit_test(counters_wait_for_their_interval_and_facts_do_not),
        cmocka_unit_test(shares_of_a_prefix_that_are_taken_sum_to_one_at_any_time),
        cmocka_unit_test(a_split_and_a_join_add_no_tests),
        cmocka_unit_test(a_test_of_one_leaf_stands_by_itself),
        cmocka_unit_test(a_thousand_prefixes_that_come_and_go_leave_nothing_behind),
        cmocka_unit_test(a_restart_does_not_tell_again_that_it_moved),
        cmocka_unit_test(a_restart_does_not_tell_again_who_appeared_and_tells_who_left),
        cmocka_unit_test(what_was_forgotten_stays_so_and_a_full_map_still_starts),
        cmocka_unit_test(a_clock_that_jumps_ahead_forgets_nothing),
        cmocka_unit_test(what_was_tested_long_ago_does_not_vanish_in_a_heavier_neighbour),
        cmocka_unit_test(tallies_without_bytes_at_many_places_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

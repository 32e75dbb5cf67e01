/* What adds to a prefix at home is no move until a test proves it, and of what is refused it is
 * told. */
#include "tests/collector/ingress/stream.h"

enum { USUAL = 100000, FLOOD = 500000 };

struct scene {
    struct ingress_map *m;
    int64_t at;
};

/* Bytes of 10.0.0.0/24 in ten seconds at each of three places; 0: nothing. */
static void flow(struct scene *s, unsigned minutes, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t bytes[] = {a, b, c};
    const char *const names[] = {"a", "b", "c"};
    struct prefix p = net(0);
    for (unsigned i = 0; i < minutes * 6; i++) {
        for (unsigned k = 0; k < 3; k++)
            if (bytes[k] > 0)
                fold_at(s->m, &p, "AMS", names[k], bytes[k], s->at);
        ingress_map_tick(s->m, s->at);
        s->at += 10 * SECOND;
    }
}

static unsigned told(struct scene *s, enum ingress_change_kind kind, struct ingress_change *last)
{
    struct ingress_change c;
    unsigned n = 0;
    while (ingress_map_take_change(s->m, &c))
        if (c.kind == kind) {
            *last = c;
            n++;
        }
    return n;
}

/* At home at a for two half-lives. */
static struct scene at_home(void)
{
    struct ingress_conf conf = usual_conf();
    struct scene s = {.m = map_of(&conf), .at = T0};
    struct ingress_change c;
    flow(&s, 120, USUAL, 0, 0);
    told(&s, CHANGE_MOVED, &c);
    return s;
}

static void enters_by(const struct scene *s, const char *interface)
{
    struct prefix p = net(0);
    const struct ingress_row *row = ingress_map_main(s->m, &p.addr);
    assert_non_null(row);
    assert_string_equal(row->at.interface, interface);
}

static void verdict(struct scene *s, const char *interface, enum ingress_state state,
                    double fraction)
{
    struct ingress_row *row = row_at(s->m, "10.0.0.0/24", "AMS", interface);
    row->has_evidence = true;
    row->state = state;
    row->genuine_fraction = fraction;
    row->tests++;
    row->last_test_at = s->at;
    ingress_map_changed(s->m, row);
}

static void what_adds_to_a_prefix_at_home_is_no_move_and_refused_once(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 300, USUAL, FLOOD, 0);
    enters_by(&s, "a");
    assert_int_equal(ingress_map_counts(s.m).moves, 0);
    assert_int_equal(ingress_map_counts(s.m).moves_refused, 1);
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 1);
    assert_string_equal(c.from.at.interface, "a");
    assert_string_equal(c.to.at.interface, "b");
    assert_int_equal(c.to.state, STATE_UNVERIFIED);
    flow(&s, 600, USUAL, 0, 0);
    flow(&s, 120, USUAL, FLOOD, 0);
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 1); /* another flood */
    ingress_map_free(s.m);
}

/* Now the one is louder, now the other: that is no news, and patience goes on. */
static void two_floods_that_are_as_loud_are_refused_once(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 60, USUAL, FLOOD, 0);
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 1);
    for (unsigned i = 0; i < 30; i++) {
        flow(&s, 5, USUAL, FLOOD, FLOOD * 2);
        flow(&s, 5, USUAL, FLOOD * 2, FLOOD);
    }
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 0);
    flow(&s, 120, USUAL, FLOOD, FLOOD * 4);
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 1); /* but this is */
    assert_string_equal(c.to.at.interface, "c");
    ingress_map_free(s.m);
}

static void a_move_beneath_a_flood_goes_where_the_traffic_went(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 120, USUAL, FLOOD, 0);
    told(&s, CHANGE_MOVED, &c);
    flow(&s, 3, 0, FLOOD, USUAL);
    enters_by(&s, "c");
    assert_int_equal(told(&s, CHANGE_MOVED, &c), 1);
    assert_string_equal(c.from.at.interface, "a");
    assert_string_equal(c.to.at.interface, "c");
    flow(&s, 20, 0, FLOOD, USUAL);
    enters_by(&s, "c");
    flow(&s, 6, USUAL, FLOOD, 0); /* and back */
    enters_by(&s, "a");
    ingress_map_free(s.m);
}

static void a_proof_lets_the_louder_one_take_over(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 120, USUAL, FLOOD, 0);
    enters_by(&s, "a");
    verdict(&s, "b", STATE_GENUINE, 1);
    flow(&s, 1, USUAL, FLOOD, 0);
    enters_by(&s, "b");
    assert_int_equal(told(&s, CHANGE_MOVED, &c), 1);
    ingress_map_free(s.m);
}

static void what_was_proven_spoofed_is_refused_with_its_state(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 1, USUAL, FLOOD, 0);
    verdict(&s, "b", STATE_SPOOFED, 0.01);
    flow(&s, 300, USUAL, FLOOD, 0);
    enters_by(&s, "a");
    assert_int_equal(told(&s, CHANGE_REFUSED, &c), 1);
    assert_int_equal(c.to.state, STATE_SPOOFED);
    ingress_map_free(s.m);
}

static void who_is_left_carries_the_bulk_when_the_home_falls_silent(void **state)
{
    (void)state;
    struct scene s = at_home();
    flow(&s, 120, USUAL, USUAL, 0);
    flow(&s, 2, 0, USUAL, 0);
    enters_by(&s, "a"); /* who is silent for a moment may come again */
    flow(&s, 4, 0, USUAL, 0);
    enters_by(&s, "b");
    ingress_map_free(s.m);
}

static void what_lasts_for_a_day_is_believed(void **state)
{
    (void)state;
    struct scene s = at_home();
    struct ingress_change c;
    flow(&s, 20 * 60, USUAL, FLOOD, 0);
    enters_by(&s, "a");
    flow(&s, 6 * 60, USUAL, FLOOD, 0);
    enters_by(&s, "b");
    assert_int_equal(told(&s, CHANGE_MOVED, &c), 1);
    ingress_map_free(s.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_adds_to_a_prefix_at_home_is_no_move_and_refused_once),
        cmocka_unit_test(two_floods_that_are_as_loud_are_refused_once),
        cmocka_unit_test(a_move_beneath_a_flood_goes_where_the_traffic_went),
        cmocka_unit_test(a_proof_lets_the_louder_one_take_over),
        cmocka_unit_test(what_was_proven_spoofed_is_refused_with_its_state),
        cmocka_unit_test(who_is_left_carries_the_bulk_when_the_home_falls_silent),
        cmocka_unit_test(what_lasts_for_a_day_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

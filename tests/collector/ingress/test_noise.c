/* The background of spoofed sources is told from genuine traffic without a test, and what is no
 * background stays what it is. */
#include "tests/collector/ingress/stream.h"

#include <stdio.h>

enum { PLACES = 12, NETS = 40, FLOOD = 200000 };

/* What enters in ten seconds. Every leaf stands alone (every fourth /24): no two can join. */
struct scene {
    struct ingress_map *m;
    int64_t at;
    unsigned nets;
    unsigned loud;  /* a place whose noise is three times that of others; PLACES: none */
    unsigned noise; /* bytes of each leaf at each place */
    unsigned home[NETS];
    unsigned genuine; /* bytes of each leaf where it is at home */
};

static const char *name_of(unsigned place)
{
    static const char *const names[PLACES] = {"a", "b", "c", "d", "e", "f",
                                              "g", "h", "i", "j", "k", "l"};
    return names[place];
}

static struct scene scene_new(void)
{
    struct ingress_conf conf = usual_conf();
    conf.half_life_ns = 600 * NS_PER_S;
    struct scene s = {.m = map_of(&conf),
                      .at = T0,
                      .nets = NETS,
                      .loud = PLACES,
                      .noise = 20000,
                      .genuine = 40000};
    for (unsigned i = 0; i < NETS; i++)
        s.home[i] = i % PLACES;
    return s;
}

static struct prefix lone(unsigned i)
{
    return net(i * 4);
}

static void ten_seconds(struct scene *s)
{
    for (unsigned i = 0; i < s->nets; i++)
        for (unsigned place = 0; place < PLACES; place++) {
            struct prefix p = lone(i);
            uint64_t bytes = s->noise * (place == s->loud ? 3 : 1);
            bytes += s->home[i] == place ? s->genuine : 0;
            if (bytes > 0)
                fold_at(s->m, &p, "AMS", name_of(place), bytes, s->at);
        }
    s->at += 10 * SECOND;
    for (int64_t ago = 9; ago >= 0; ago--)
        ingress_map_tick(s->m, s->at - ago * SECOND);
}

static void minutes(struct scene *s, unsigned n)
{
    for (unsigned i = 0; i < 6 * n; i++)
        ten_seconds(s);
}

static struct ingress_row *row_of(const struct scene *s, unsigned i, unsigned place)
{
    struct prefix p = lone(i);
    struct ingress at = place_at(name_of(place));
    return ingress_map_find(s->m, &p, "AMS", &at);
}

static bool enters_by(const struct scene *s, unsigned i, unsigned place)
{
    struct prefix p = lone(i);
    const struct ingress_row *row = ingress_map_main(s->m, &p.addr);
    return row != NULL && row == row_of(s, i, place);
}

static void verdict(const struct scene *s, struct ingress_row *row, enum ingress_state state,
                    double fraction)
{
    row->has_evidence = true;
    row->state = state;
    row->genuine_fraction = fraction;
    row->tests++;
    row->last_test_at = s->at;
    ingress_map_changed(s->m, row);
}

static void what_comes_evenly_everywhere_is_no_part_of_the_genuine_share(void **state)
{
    (void)state;
    struct scene s = scene_new();
    minutes(&s, 20);
    for (unsigned i = 0; i < NETS; i++) {
        assert_true(enters_by(&s, i, s.home[i]));
        struct ingress_row *row = row_of(&s, i, s.home[i]);
        assert_true(row->genuine_share > 0.999);
        assert_true(fabs(row->share - 60.0 / 280) < 0.01); /* of all bytes, as before */
        assert_true(row->bytes == 20 * 6 * 60000);
    }
    ingress_map_free(s.m);
}

static void a_few_prefixes_at_many_places_are_a_mixture(void **state)
{
    (void)state;
    struct scene s = scene_new();
    s.nets = 10;
    minutes(&s, 20);
    for (unsigned i = 0; i < s.nets; i++)
        for (unsigned place = 0; place < PLACES; place++)
            assert_true(fabs(row_of(&s, i, place)->genuine_share - row_of(&s, i, place)->share) <
                        1e-9);
    ingress_map_free(s.m);
}

static void a_place_that_is_louder_for_all_is_told_from_one_that_is_for_one(void **state)
{
    (void)state;
    struct scene s = scene_new();
    s.loud = 5;
    minutes(&s, 20);
    for (unsigned i = 0; i < NETS; i++) {
        assert_true(enters_by(&s, i, s.home[i]));
        if (s.home[i] != s.loud)
            assert_true(row_of(&s, i, s.loud)->genuine_share < 0.01);
    }
    ingress_map_free(s.m);
}

static void a_mixture_keeps_its_shares_in_the_noise(void **state)
{
    (void)state;
    struct scene s = scene_new();
    for (unsigned i = 0; i < 20 * 6; i++) {
        struct prefix p = lone(0);
        fold_at(s.m, &p, "AMS", name_of(7), 60000, s.at);
        ten_seconds(&s);
    }
    double here = row_of(&s, 0, 0)->genuine_share, there = row_of(&s, 0, 7)->genuine_share;
    if (fabs(here - 0.4) > 0.03 || fabs(there - 0.6) > 0.03)
        fail_msg("%g and %g", here, there);
    ingress_map_free(s.m);
}

static void a_prefix_that_is_everywhere_alike_stays_so(void **state)
{
    (void)state;
    struct scene s = scene_new();
    struct prefix p = lone(NETS + 1);
    for (unsigned i = 0; i < 20 * 6; i++) {
        for (unsigned place = 0; place < PLACES; place++)
            fold_at(s.m, &p, "AMS", name_of(place), 100000, s.at);
        ten_seconds(&s);
    }
    for (unsigned place = 0; place < PLACES; place++)
        assert_true(fabs(row_of(&s, NETS + 1, place)->genuine_share - 1.0 / PLACES) < 1e-3);
    ingress_map_free(s.m);
}

static unsigned moves_of(struct ingress_map *m)
{
    struct ingress_change c;
    unsigned n = 0;
    while (ingress_map_take_change(m, &c))
        n += c.kind == CHANGE_MOVED;
    return n;
}

/* The noise at both places is seven times the prefix's own traffic. */
static void a_move_in_the_noise_is_noticed_in_three_minutes_and_told_of_once(void **state)
{
    (void)state;
    struct scene s = scene_new();
    s.noise = 40000;
    s.genuine = 70000;
    minutes(&s, 20);
    moves_of(s.m);
    s.home[3] = 9;
    minutes(&s, 3);
    assert_true(enters_by(&s, 3, 9));
    minutes(&s, 20);
    assert_int_equal(moves_of(s.m), 1);
    ingress_map_free(s.m);
}

static void a_verdict_on_the_background_does_not_hide_a_newcomer(void **state)
{
    (void)state;
    struct scene s = scene_new();
    minutes(&s, 20);
    verdict(&s, row_of(&s, 3, 9), STATE_SPOOFED, 0);
    minutes(&s, 5);
    s.home[3] = 9;
    minutes(&s, 3);
    assert_true(enters_by(&s, 3, 9));
    ingress_map_free(s.m);
}

static void a_verdict_on_a_flood_keeps_it_from_being_a_move(void **state)
{
    (void)state;
    struct scene s = scene_new();
    minutes(&s, 20);
    for (unsigned i = 0; i < 20 * 6; i++) {
        struct prefix p = lone(3);
        fold_at(s.m, &p, "AMS", name_of(9), FLOOD * (i < 60 ? 1 : 3), s.at);
        if (i == 2)
            verdict(&s, row_of(&s, 3, 9), STATE_SPOOFED, 0);
        ten_seconds(&s);
    }
    assert_true(enters_by(&s, 3, 3));
    assert_true(row_of(&s, 3, 9)->genuine_share < 0.01);
    ingress_map_free(s.m);
}

static void load_cell(void *arg, const struct ingress_cell *cell)
{
    assert_int_equal(ingress_map_load_cell(arg, cell), 0);
}

static void load_row(void *arg, struct ingress_row *row)
{
    assert_int_equal(ingress_map_load(arg, row), 0);
}

static void a_restart_knows_the_background_at_once(void **state)
{
    (void)state;
    struct scene s = scene_new();
    s.loud = 5;
    minutes(&s, 20);
    struct scene again = s;
    struct ingress_conf conf = usual_conf();
    conf.half_life_ns = 600 * NS_PER_S;
    again.m = map_of(&conf);
    uint32_t cursor = 0;
    ingress_map_all(s.m, load_row, again.m);
    while (ingress_map_cell_next(s.m, &cursor, load_cell, again.m))
        continue;
    assert_int_equal(ingress_map_load_end(again.m), 0);
    for (unsigned i = 0; i < NETS; i++) {
        assert_true(enters_by(&again, i, s.home[i]));
        for (unsigned place = 0; place < PLACES; place++)
            assert_true(fabs(row_of(&again, i, place)->genuine_share -
                             row_of(&s, i, place)->genuine_share) < 0.05);
    }
    ingress_map_free(again.m);
    ingress_map_free(s.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_evenly_everywhere_is_no_part_of_the_genuine_share),
        cmocka_unit_test(a_few_prefixes_at_many_places_are_a_mixture),
        cmocka_unit_test(a_place_that_is_louder_for_all_is_told_from_one_that_is_for_one),
        cmocka_unit_test(a_mixture_keeps_its_shares_in_the_noise),
        cmocka_unit_test(a_prefix_that_is_everywhere_alike_stays_so),
        cmocka_unit_test(a_move_in_the_noise_is_noticed_in_three_minutes_and_told_of_once),
        cmocka_unit_test(a_verdict_on_the_background_does_not_hide_a_newcomer),
        cmocka_unit_test(a_verdict_on_a_flood_keeps_it_from_being_a_move),
        cmocka_unit_test(a_restart_knows_the_background_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

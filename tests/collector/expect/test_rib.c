#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/expect/rib.h"
#include "shared/base/hash.h"

static struct rib_builder *builder;

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static int begin(void **state)
{
    (void)state;
    return rib_builder_new(1000, &builder);
}

static int end(void **state)
{
    (void)state;
    rib_builder_free(builder);
    return 0;
}

/* peer is also the neighbour; the origin is 65000 + neighbour. */
static struct rib_entry entry(enum rib_kind kind, uint32_t at, uint32_t peer, const char *text)
{
    struct rib_entry e = {.kind = kind,
                          .at = at,
                          .peer = {.family = ADDR_V4, .bytes = {192, 0, 2, (uint8_t)peer}},
                          .peer_as = peer,
                          .neighbour_as = peer,
                          .origin_as = 65000 + peer,
                          .local_pref = 100,
                          .path_length = 2};
    e.prefix = prefix(text);
    return e;
}

static void tell(struct rib_entry e)
{
    assert_int_equal(rib_builder_add(builder, &e), 0);
}

/* The neighbours of the longest route that covers text are these; 0 ends them. */
static void assert_neighbours(const struct rib *r, const char *text, unsigned length, uint32_t a,
                              uint32_t b, uint32_t c)
{
    struct rib_route routes[LPM_COVERS_MAX];
    struct prefix p = prefix(text);
    const uint32_t wanted[] = {a, b, c, 0};
    assert_true(rib_covers(r, &p, routes) > 0);
    assert_int_equal(routes[0].length, length);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t is = i < routes[0].count ? routes[0].paths[i].neighbour_as : 0;
        assert_int_equal(is, wanted[i]);
        if (is != 0)
            assert_int_equal(routes[0].paths[i].origin_as, 65000 + is);
    }
}

static struct rib *finish(size_t prefixes)
{
    struct rib *r = NULL;
    assert_int_equal(rib_builder_finish(builder, &r), 0);
    assert_int_equal(rib_prefixes(r), prefixes);
    return r;
}

static void the_best_path_is_what_bgp_would_prefer(void **state)
{
    (void)state;
    struct rib_entry longer = entry(RIB_ENTRY, 1, 1, "10.0.0.0/8");
    struct rib_entry incomplete = entry(RIB_ENTRY, 1, 2, "10.0.0.0/8");
    struct rib_entry preferred = entry(RIB_ENTRY, 1, 3, "10.1.0.0/16");
    longer.path_length = 3;
    incomplete.origin = 2;
    preferred.path_length = 9;
    preferred.local_pref = 200;
    tell(longer);
    tell(incomplete);
    tell(entry(RIB_ENTRY, 1, 3, "10.0.0.0/8"));
    tell(entry(RIB_ENTRY, 1, 1, "10.1.0.0/16"));
    tell(entry(RIB_ENTRY, 1, 2, "10.1.0.0/16"));
    tell(preferred);
    struct rib *r = finish(2);
    assert_neighbours(r, "10.9.0.0/24", 8, 3, 2, 1);
    assert_neighbours(r, "10.1.9.0/24", 16, 3, 1, 2); /* of equals the one told first */
    rib_free(r);
}

static void an_update_replaces_the_path_of_its_peer(void **state)
{
    (void)state;
    struct rib_entry other = entry(RIB_ANNOUNCE, 2, 1, "10.0.0.0/8");
    other.neighbour_as = 7;
    other.origin_as = 65007;
    tell(entry(RIB_ENTRY, 1, 1, "10.0.0.0/8"));
    tell(entry(RIB_ENTRY, 1, 2, "10.0.0.0/8"));
    tell(other);
    struct rib *r = finish(1);
    assert_neighbours(r, "10.0.0.0/24", 8, 2, 7, 0);
    rib_free(r);
}

static void a_withdrawal_takes_one_path_and_the_last_one_the_prefix(void **state)
{
    (void)state;
    tell(entry(RIB_ANNOUNCE, 1, 1, "10.0.0.0/8"));
    tell(entry(RIB_ANNOUNCE, 1, 2, "10.0.0.0/8"));
    tell(entry(RIB_ANNOUNCE, 1, 1, "2001:db8::/32"));
    tell(entry(RIB_WITHDRAW, 2, 1, "10.0.0.0/8"));
    tell(entry(RIB_WITHDRAW, 2, 1, "2001:db8::/32"));
    tell(entry(RIB_WITHDRAW, 2, 9, "10.0.0.0/8"));
    tell(entry(RIB_WITHDRAW, 2, 1, "192.0.2.0/24"));
    struct rib *r = finish(1);
    assert_neighbours(r, "10.0.0.0/24", 8, 2, 0, 0);
    rib_free(r);
}

static void a_session_that_ends_takes_all_that_its_peer_told(void **state)
{
    (void)state;
    tell(entry(RIB_ANNOUNCE, 1, 1, "10.0.0.0/8"));
    tell(entry(RIB_ANNOUNCE, 1, 2, "10.0.0.0/8"));
    tell(entry(RIB_ANNOUNCE, 1, 1, "192.0.2.0/24"));
    tell(entry(RIB_DOWN, 2, 1, "0.0.0.0/0"));
    tell(entry(RIB_ANNOUNCE, 3, 1, "198.51.100.0/24"));
    struct rib *r = finish(2);
    assert_neighbours(r, "10.0.0.0/24", 8, 2, 0, 0);
    assert_neighbours(r, "198.51.100.0/24", 24, 1, 0, 0);
    rib_free(r);
}

static void of_several_dumps_in_one_file_the_last_counts(void **state)
{
    (void)state;
    for (uint32_t at = 10; at <= 30; at += 10) {
        tell(entry(RIB_ENTRY, at, 1, "10.0.0.0/8"));
        if (at < 30)
            tell(entry(RIB_ENTRY, at, 2, "10.0.0.0/8"));
        if (at == 20)
            tell(entry(RIB_ENTRY, at, 1, "192.0.2.0/24"));
        tell(entry(RIB_ENTRY, at + 1, 3, "198.51.100.0/24")); /* a dump may take its time */
    }
    struct rib *r = finish(2);
    assert_neighbours(r, "10.0.0.0/24", 8, 1, 0, 0);
    assert_neighbours(r, "198.51.100.0/24", 24, 3, 0, 0);
    rib_free(r);
}

static void several_paths_of_one_peer_in_a_dump_stand_side_by_side(void **state)
{
    (void)state;
    struct rib_entry other = entry(RIB_ENTRY, 1, 1, "10.0.0.0/8");
    other.neighbour_as = 2;
    other.origin_as = 65002;
    tell(entry(RIB_ENTRY, 1, 1, "10.0.0.0/8"));
    tell(other);
    struct rib *r = finish(1);
    assert_neighbours(r, "10.0.0.0/24", 8, 1, 2, 0);
    rib_free(r);
}

static void more_paths_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct rib_builder *small;
    struct rib_entry e = entry(RIB_ANNOUNCE, 1, 1, "10.0.0.0/8");
    assert_int_equal(rib_builder_new(2, &small), 0);
    assert_int_equal(rib_builder_add(small, &e), 0);
    assert_int_equal(rib_builder_add(small, &e), 0); /* the same path: it replaces */
    e.peer_as = 2;
    assert_int_equal(rib_builder_add(small, &e), 0);
    e.peer_as = 3;
    assert_int_equal(rib_builder_add(small, &e), ERR_FULL);
    rib_builder_free(small);
}

static void prefixes_with_the_same_paths_share_one_set(void **state)
{
    (void)state;
    char text[PREFIX_TEXT];
    for (unsigned i = 0; i < 200; i++)
        for (uint32_t peer = 1; peer <= 1 + i % 2; peer++) {
            snprintf(text, sizeof text, "10.%u.0.0/16", i);
            tell(entry(RIB_ENTRY, 1, peer, text));
        }
    struct rib *r = finish(200);
    assert_int_equal(rib_sets(r), 2);
    rib_free(r);
}

/* Against a plain table: for each prefix and peer the neighbour it told last. */
static void random_updates_agree_with_a_plain_table(void **state)
{
    (void)state;
    enum { PREFIXES = 40, PEERS = 6, STEPS = 3000 };
    static uint32_t plain[PREFIXES][PEERS];
    struct prf coin = prf_init(7, 1);
    char text[PREFIX_TEXT];
    size_t prefixes = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        unsigned p = (unsigned)prf_below(&coin, PREFIXES), peer = (unsigned)prf_below(&coin, PEERS);
        bool is_gone = prf_below(&coin, 3) == 0;
        snprintf(text, sizeof text, "10.%u.0.0/16", p);
        struct rib_entry e = entry(is_gone ? RIB_WITHDRAW : RIB_ANNOUNCE, step, peer + 1, text);
        e.neighbour_as = 1 + (uint32_t)prf_below(&coin, 50);
        plain[p][peer] = is_gone ? 0 : e.neighbour_as;
        tell(e);
    }
    for (unsigned p = 0; p < PREFIXES; p++) {
        bool is_there = false;
        for (unsigned peer = 0; peer < PEERS; peer++)
            is_there |= plain[p][peer] != 0;
        prefixes += is_there;
    }
    struct rib *r = finish(prefixes);
    for (unsigned p = 0; p < PREFIXES; p++) {
        struct rib_route routes[LPM_COVERS_MAX];
        snprintf(text, sizeof text, "10.%u.7.0/24", p);
        struct prefix src = prefix(text);
        unsigned count = rib_covers(r, &src, routes) > 0 ? routes[0].count : 0;
        for (unsigned peer = 0; peer < PEERS; peer++) {
            bool is_found = plain[p][peer] == 0;
            for (unsigned i = 0; i < count; i++)
                is_found |= routes[0].paths[i].neighbour_as == plain[p][peer] &&
                            routes[0].paths[i].origin_as == 65001 + peer;
            assert_true(is_found);
        }
    }
    rib_free(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_best_path_is_what_bgp_would_prefer),
        CASE(an_update_replaces_the_path_of_its_peer),
        CASE(a_withdrawal_takes_one_path_and_the_last_one_the_prefix),
        CASE(a_session_that_ends_takes_all_that_its_peer_told),
        CASE(of_several_dumps_in_one_file_the_last_counts),
        CASE(several_paths_of_one_peer_in_a_dump_stand_side_by_side),
        CASE(more_paths_than_the_limit_are_refused),
        CASE(prefixes_with_the_same_paths_share_one_set),
        CASE(random_updates_agree_with_a_plain_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

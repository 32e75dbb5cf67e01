/* Who is right when several sources speak: one test per rule of decision 24. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/expect/expect.h"
#include "collector/expect/rib.h"
#include "collector/expect/vrps.h"

static struct expect x;
static struct rib_builder *builder;
static struct rib *rib;
static struct vrps *vrps;
static struct expect_list entries, learned;

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
    rib_free(rib);
    vrps_free(vrps);
    rib = NULL;
    vrps = NULL;
    expect_list_clear(&entries);
    expect_list_clear(&learned);
    expect_clear(&x);
    return 0;
}

static void route(const char *text, uint32_t neighbour, uint32_t origin)
{
    struct rib_entry e = {.peer_as = neighbour,
                          .peer = {.family = ADDR_V4},
                          .neighbour_as = neighbour,
                          .origin_as = origin};
    e.prefix = prefix(text);
    assert_int_equal(rib_builder_add(builder, &e), 0);
}

static void routed(void)
{
    assert_int_equal(rib_builder_finish(builder, &rib), 0);
    x.rib = rib;
}

static void roa(const char *text, unsigned max_length, uint32_t asn)
{
    struct prefix p = prefix(text);
    if (vrps == NULL)
        assert_int_equal(vrps_new(&vrps), 0);
    assert_int_equal(vrps_add(vrps, &p, max_length, asn), 0);
    x.vrps = vrps;
}

static void allow(struct expect_list *list, const char *text, const char *pop, uint64_t peer_as)
{
    struct prefix p = prefix(text);
    struct expect_place place = {.peer_as = peer_as};
    snprintf(place.pop, sizeof place.pop, "%s", pop);
    assert_int_equal(expect_list_add(list, &p, &place, 1), 0);
}

static void cone(struct expect_list *list, uint32_t peer_as, const char *text)
{
    struct prefix p = prefix(text);
    assert_int_equal(expect_list_cone_add(list, peer_as, &p, 1), 0);
}

static struct expect_answer judge(const char *text, const char *pop, uint64_t peer_as)
{
    struct ingress_row row = {.prefix = prefix(text), .at = {.peer_as = peer_as}};
    snprintf(row.pop, sizeof row.pop, "%s", pop);
    return expect_judge(&x, &row);
}

#define assert_said(answer, wanted, whom)             \
    do {                                              \
        struct expect_answer answer_ = (answer);      \
        assert_int_equal(answer_.expected, (wanted)); \
        assert_string_equal(answer_.by, (whom));      \
    } while (0)

static void nobody_says_anything_unknown(void **state)
{
    (void)state;
    assert_said(judge("192.0.2.0/24", "AMS", 1), EXPECTED_UNKNOWN, "");
    allow(&x.file, "10.0.0.0/8", "AMS", 0);
    assert_said(judge("192.0.2.0/24", "AMS", 1), EXPECTED_UNKNOWN, "");
}

static void policy_goes_before_bgp_both_ways(void **state)
{
    (void)state;
    allow(&x.file, "192.0.2.0/24", "AMS", 0);
    route("192.0.2.0/24", 7, 7);
    routed();
    assert_said(judge("192.0.2.0/24", "AMS", 8), EXPECTED_YES, "policy");
    struct expect_answer no = judge("192.0.2.0/24", "FRA", 7);
    assert_said(no, EXPECTED_NO, "policy");
    assert_int_equal(no.bgp, BGP_BEST); /* told all the same */
    assert_int_equal(no.origin_as, 7);
}

static void file_and_database_both_allow(void **state)
{
    (void)state;
    x.entries = &entries;
    allow(&x.file, "192.0.2.0/24", "AMS", 0);
    allow(&entries, "192.0.2.0/24", "FRA", 0);
    allow(&entries, "192.0.2.0/24", "LON", 0);
    assert_said(judge("192.0.2.0/24", "AMS", 0), EXPECTED_YES, "policy");
    assert_said(judge("192.0.2.0/24", "FRA", 0), EXPECTED_YES, "policy");
    assert_said(judge("192.0.2.0/24", "LON", 0), EXPECTED_YES, "policy");
    assert_said(judge("192.0.2.0/24", "NYC", 0), EXPECTED_NO, "policy");
}

static void of_file_and_database_the_longer_prefix_decides(void **state)
{
    (void)state;
    x.entries = &entries;
    allow(&x.file, "10.0.0.0/8", "AMS", 0);
    allow(&entries, "10.1.0.0/16", "FRA", 0);
    assert_said(judge("10.1.2.0/24", "AMS", 0), EXPECTED_NO, "policy");
    assert_said(judge("10.1.2.0/24", "FRA", 0), EXPECTED_YES, "policy");
    assert_said(judge("10.2.0.0/24", "AMS", 0), EXPECTED_YES, "policy");
}

static void a_peer_may_send_from_its_cone_and_from_nothing_else(void **state)
{
    (void)state;
    cone(&x.file, 64501, "203.0.113.0/24");
    cone(&x.file, 64501, "2001:db8::/32");
    cone(&x.file, 64502, "192.0.2.0/24");
    assert_said(judge("203.0.113.0/24", "AMS", 64501), EXPECTED_YES, "policy");
    assert_said(judge("2001:db8:7::/48", "AMS", 64501), EXPECTED_YES, "policy");
    struct expect_answer out = judge("192.0.2.0/24", "AMS", 64501);
    assert_said(out, EXPECTED_NO, "policy");
    assert_true(out.outside_cone);
    assert_int_equal(out.cone_as, 64501);
    assert_said(judge("198.51.100.0/24", "AMS", 64503), EXPECTED_UNKNOWN, "");
    assert_said(judge("198.51.100.0/24", "AMS", 0), EXPECTED_UNKNOWN, "");
}

static void what_an_entry_allows_is_allowed_outside_the_cone_too(void **state)
{
    (void)state;
    x.entries = &entries;
    cone(&x.file, 64501, "203.0.113.0/24");
    allow(&entries, "192.0.2.0/24", "AMS", 64501);
    struct expect_answer yes = judge("192.0.2.0/24", "AMS", 64501);
    assert_said(yes, EXPECTED_YES, "policy");
    assert_false(yes.outside_cone);
    assert_true(judge("192.0.2.0/24", "FRA", 64501).outside_cone);
}

static void an_entry_narrower_than_the_cone_restricts_it(void **state)
{
    (void)state;
    cone(&x.file, 64501, "10.0.0.0/8");
    cone(&x.file, 64501, "10.2.3.0/24");
    allow(&x.file, "10.1.0.0/16", "AMS", 0);
    allow(&x.file, "10.2.0.0/16", "AMS", 0);
    struct expect_answer no = judge("10.1.0.0/24", "FRA", 64501);
    assert_said(no, EXPECTED_NO, "policy");
    assert_false(no.outside_cone); /* it is inside; only not here */
    assert_said(judge("10.2.3.0/24", "FRA", 64501), EXPECTED_YES, "policy");
}

static void bgp_expects_the_best_and_every_other_valid_path(void **state)
{
    (void)state;
    route("192.0.2.0/24", 7, 9);
    route("192.0.2.0/24", 8, 9);
    route("192.0.0.0/16", 6, 6);
    route("0.0.0.0/0", 5, 5);
    routed();
    struct expect_answer best = judge("192.0.2.0/24", "AMS", 7);
    assert_said(best, EXPECTED_YES, "bgp");
    assert_int_equal(best.bgp, BGP_BEST);
    assert_int_equal(best.origin_as, 9);
    assert_int_equal(best.rpki, RPKI_UNKNOWN);
    assert_int_equal(judge("192.0.2.0/24", "AMS", 8).bgp, BGP_ALTERNATIVE);
    struct expect_answer wider = judge("192.0.2.0/24", "AMS", 6);
    assert_said(wider, EXPECTED_YES, "bgp");
    assert_int_equal(wider.bgp, BGP_ALTERNATIVE);
    assert_int_equal(wider.origin_as, 6);
    assert_int_equal(judge("192.0.2.0/24", "AMS", 5).bgp, BGP_ALTERNATIVE);
    struct expect_answer none = judge("192.0.2.0/24", "AMS", 4);
    assert_said(none, EXPECTED_NO, "bgp");
    assert_int_equal(none.bgp, BGP_NONE);
    assert_int_equal(none.origin_as, 9);
}

static void a_stale_table_is_believed_in_what_it_has_and_not_in_what_it_lacks(void **state)
{
    (void)state;
    route("192.0.2.0/24", 7, 9);
    routed();
    x.is_rib_stale = true;
    struct expect_answer best = judge("192.0.2.0/24", "AMS", 7);
    assert_said(best, EXPECTED_YES, "bgp");
    struct expect_answer none = judge("192.0.2.0/24", "AMS", 4);
    assert_said(none, EXPECTED_UNKNOWN, "");
    assert_true(none.bgp == BGP_UNKNOWN && none.origin_as == 9);
}

static void what_is_not_routed_is_not_expected_from_any_peer(void **state)
{
    (void)state;
    route("192.0.2.0/24", 7, 9);
    routed();
    struct expect_answer none = judge("198.51.100.0/24", "AMS", 7);
    assert_said(none, EXPECTED_NO, "bgp");
    assert_int_equal(none.bgp, BGP_NONE);
    assert_int_equal(none.origin_as, 0);
    assert_said(judge("2001:db8::/48", "AMS", 7), EXPECTED_NO, "bgp");
}

static void a_place_without_a_peer_as_is_not_bgps_business(void **state)
{
    (void)state;
    route("192.0.2.0/24", 7, 9);
    routed();
    struct expect_answer unknown = judge("192.0.2.0/24", "AMS", 0);
    assert_said(unknown, EXPECTED_UNKNOWN, "");
    assert_int_equal(unknown.bgp, BGP_UNKNOWN);
    assert_int_equal(unknown.origin_as, 9);
}

static void origins_are_validated_as_rfc_6811_says(void **state)
{
    (void)state;
    struct prefix p = prefix("192.0.0.0/16"), longer = prefix("192.0.2.0/24"),
                  other = prefix("198.51.100.0/24");
    roa("192.0.0.0/16", 20, 9);
    roa("192.0.2.0/24", 24, 0);
    assert_int_equal(vrps_validate(vrps, &p, 9), RPKI_VALID);
    assert_int_equal(vrps_validate(vrps, &p, 8), RPKI_INVALID);
    assert_int_equal(vrps_validate(vrps, &longer, 9), RPKI_INVALID); /* beyond its length */
    assert_int_equal(vrps_validate(vrps, &longer, 0), RPKI_INVALID); /* AS 0, or an AS_SET */
    assert_int_equal(vrps_validate(vrps, &other, 9), RPKI_NOT_FOUND);
    roa("192.0.2.0/24", 24, 9);
    assert_int_equal(vrps_validate(vrps, &longer, 9), RPKI_VALID);
    assert_int_equal(vrps_count(vrps), 3);
    roa("192.0.2.0/24", 24, 9);
    assert_int_equal(vrps_count(vrps), 3);
}

static void an_invalid_more_specific_does_not_make_itself_expected(void **state)
{
    (void)state;
    route("192.0.2.0/23", 7, 9);
    route("192.0.2.0/24", 6, 66); /* the hijacker */
    roa("192.0.2.0/23", 23, 9);
    routed();
    struct expect_answer hijacker = judge("192.0.2.0/24", "AMS", 6);
    assert_said(hijacker, EXPECTED_NO, "bgp");
    assert_int_equal(hijacker.bgp, BGP_NONE);
    assert_int_equal(hijacker.rpki, RPKI_INVALID);
    assert_int_equal(hijacker.origin_as, 66);
    struct expect_answer owner = judge("192.0.2.0/24", "FRA", 7);
    assert_said(owner, EXPECTED_YES, "bgp");
    assert_int_equal(owner.bgp, BGP_BEST); /* with the invalid one filtered */
    assert_int_equal(owner.rpki, RPKI_VALID);
    struct expect_answer third = judge("192.0.2.0/24", "FRA", 5);
    assert_int_equal(third.bgp, BGP_NONE);
    assert_int_equal(third.rpki, RPKI_VALID);
}

static void without_vrps_nothing_is_filtered(void **state)
{
    (void)state;
    route("192.0.2.0/23", 7, 9);
    route("192.0.2.0/24", 6, 66);
    routed();
    assert_int_equal(judge("192.0.2.0/24", "AMS", 6).bgp, BGP_BEST);
    assert_int_equal(judge("192.0.2.0/24", "AMS", 7).bgp, BGP_ALTERNATIVE);
}

static void who_may_originate_a_prefix_may_send_from_it(void **state)
{
    (void)state;
    route("192.0.2.0/24", 7, 7);
    routed();
    roa("192.0.2.0/24", 24, 7);
    roa("192.0.0.0/16", 16, 8);
    struct expect_answer holder = judge("192.0.2.0/24", "AMS", 8);
    assert_said(holder, EXPECTED_YES, "rpki");
    assert_int_equal(holder.bgp, BGP_NONE);
    assert_int_equal(holder.rpki, RPKI_VALID);
    assert_int_equal(holder.origin_as, 8);
    assert_said(judge("192.0.2.0/24", "AMS", 7), EXPECTED_YES, "bgp"); /* BGP is asked first */
    assert_said(judge("192.0.2.0/24", "AMS", 6), EXPECTED_NO, "bgp");
}

static void vrps_alone_say_yes_or_nothing(void **state)
{
    (void)state;
    roa("192.0.2.0/24", 24, 7);
    assert_said(judge("192.0.2.0/24", "AMS", 7), EXPECTED_YES, "rpki");
    assert_said(judge("192.0.2.0/24", "AMS", 6), EXPECTED_UNKNOWN, "");
}

static void policy_goes_before_rpki(void **state)
{
    (void)state;
    roa("192.0.2.0/24", 24, 7);
    allow(&x.file, "192.0.2.0/24", "FRA", 0);
    assert_said(judge("192.0.2.0/24", "AMS", 7), EXPECTED_NO, "policy");
}

static void what_was_learned_is_expected_where_nobody_says_no(void **state)
{
    (void)state;
    x.learned = &learned;
    allow(&learned, "192.0.2.0/24", "AMS", 7);
    assert_said(judge("192.0.2.0/24", "AMS", 7), EXPECTED_YES, "learned");
    assert_said(judge("192.0.2.0/24", "FRA", 7), EXPECTED_UNKNOWN, ""); /* no word about others */
    route("192.0.2.0/24", 8, 9);
    routed();
    assert_said(judge("192.0.2.0/24", "AMS", 7), EXPECTED_NO, "bgp");
}

static void a_wide_prefix_is_what_all_its_parts_are(void **state)
{
    (void)state;
    route("10.0.0.0/24", 7, 9);
    route("10.0.1.0/24", 7, 9);
    route("10.0.2.0/24", 8, 9);
    route("10.0.3.0/24", 7, 9);
    routed();
    struct expect_answer even = judge("10.0.0.0/23", "AMS", 7); /* no route is that wide */
    assert_said(even, EXPECTED_YES, "bgp");
    assert_int_equal(even.bgp, BGP_BEST);
    assert_int_equal(even.origin_as, 9);
    struct expect_answer uneven = judge("10.0.0.0/22", "AMS", 7);
    assert_said(uneven, EXPECTED_UNKNOWN, "");
    assert_true(uneven.is_uneven);
    assert_said(judge("10.0.0.0/22", "AMS", 6), EXPECTED_NO, "bgp");
    assert_true(judge("10.0.0.0/21", "AMS", 7).is_uneven); /* half of it is not routed */
}

static void a_row_says_what_the_answer_says(void **state)
{
    (void)state;
    struct ingress_row row = {.prefix = prefix("192.0.2.0/24"), .at = {.peer_as = 7}};
    roa("192.0.2.0/24", 24, 9);
    route("192.0.2.0/24", 7, 9);
    routed();
    struct expect_answer answer = expect_judge(&x, &row);
    assert_true(expect_write(&answer, &row));
    assert_int_equal(row.expected, EXPECTED_YES);
    assert_string_equal(row.expected_by, "bgp");
    assert_int_equal(row.bgp, BGP_BEST);
    assert_int_equal(row.rpki, RPKI_VALID);
    assert_int_equal(row.origin_as, 9);
    assert_false(expect_write(&answer, &row));
}

static void json_shows_the_neighbours_where_no_policy_speaks(void **state)
{
    (void)state;
    struct prefix p = prefix("192.0.2.0/24");
    char text[200];
    route("192.0.2.0/24", 7, 9);
    route("192.0.2.0/24", 6, 66);
    route("0.0.0.0/0", 5, 5);
    roa("192.0.2.0/24", 24, 9);
    routed();
    assert_string_equal(expect_json(&x, &p, text, sizeof text),
                        "[{\"peer_as\":7},{\"peer_as\":5}]");
    allow(&x.file, "192.0.2.0/24", "AMS", 0);
    assert_string_equal(expect_json(&x, &p, text, sizeof text), "[{\"pop\":\"AMS\"}]");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(nobody_says_anything_unknown),
        CASE(policy_goes_before_bgp_both_ways),
        CASE(file_and_database_both_allow),
        CASE(of_file_and_database_the_longer_prefix_decides),
        CASE(a_peer_may_send_from_its_cone_and_from_nothing_else),
        CASE(what_an_entry_allows_is_allowed_outside_the_cone_too),
        CASE(an_entry_narrower_than_the_cone_restricts_it),
        CASE(bgp_expects_the_best_and_every_other_valid_path),
        CASE(a_stale_table_is_believed_in_what_it_has_and_not_in_what_it_lacks),
        CASE(what_is_not_routed_is_not_expected_from_any_peer),
        CASE(a_place_without_a_peer_as_is_not_bgps_business),
        CASE(origins_are_validated_as_rfc_6811_says),
        CASE(an_invalid_more_specific_does_not_make_itself_expected),
        CASE(without_vrps_nothing_is_filtered),
        CASE(who_may_originate_a_prefix_may_send_from_it),
        CASE(vrps_alone_say_yes_or_nothing),
        CASE(policy_goes_before_rpki),
        CASE(what_was_learned_is_expected_where_nobody_says_no),
        CASE(a_wide_prefix_is_what_all_its_parts_are),
        CASE(a_row_says_what_the_answer_says),
        CASE(json_shows_the_neighbours_where_no_policy_speaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

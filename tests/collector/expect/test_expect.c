#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/expect/expect.h"

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static enum expected find(const struct expect *x, const char *src, const char *pop,
                          const char *router, uint64_t vlan)
{
    struct ingress_row row = {.prefix = prefix(src), .at = {.vlan = vlan, .peer_as = 64501}};
    snprintf(row.pop, sizeof row.pop, "%s", pop);
    snprintf(row.at.router, sizeof row.at.router, "%s", router);
    return expect_judge(x, &row).expected;
}

static struct expect policy(void)
{
    struct expect x = {0};
    struct prefix wide = prefix("10.0.0.0/8"), narrow = prefix("10.1.0.0/16"),
                  none = prefix("10.2.0.0/16");
    struct expect_place ams = {.pop = "AMS"};
    struct expect_place two[] = {{.pop = "FRA", .router = "r1", .vlan = 7}, {.peer_as = 9}};
    assert_int_equal(expect_add(&x, &wide, &ams, 1), 0);
    assert_int_equal(expect_add(&x, &narrow, two, 2), 0);
    assert_int_equal(expect_add(&x, &none, NULL, 0), 0);
    return x;
}

static void without_a_policy_everything_is_unknown(void **state)
{
    (void)state;
    struct expect x = {0};
    char text[8];
    struct prefix p = prefix("10.0.0.0/8");
    assert_int_equal(find(&x, "10.0.0.0/24", "AMS", "r1", 0), EXPECTED_UNKNOWN);
    assert_string_equal(expect_json(&x, &p, text, sizeof text), "[]");
    expect_clear(&x);
}

static void the_longest_covering_prefix_decides(void **state)
{
    (void)state;
    struct expect x = policy();
    assert_int_equal(find(&x, "10.9.0.0/24", "AMS", "r1", 0), EXPECTED_YES);
    assert_int_equal(find(&x, "10.9.0.0/24", "FRA", "r1", 7), EXPECTED_NO);
    assert_int_equal(find(&x, "10.1.5.0/24", "FRA", "r1", 7), EXPECTED_YES);
    assert_int_equal(find(&x, "10.1.5.0/24", "AMS", "r1", 0), EXPECTED_NO);
    assert_int_equal(find(&x, "10.0.0.0/7", "AMS", "r1", 0), EXPECTED_UNKNOWN);
    assert_int_equal(find(&x, "11.0.0.0/24", "AMS", "r1", 0), EXPECTED_UNKNOWN);
    assert_int_equal(find(&x, "2001:db8::/48", "AMS", "r1", 0), EXPECTED_UNKNOWN);
    expect_clear(&x);
}

static void every_field_that_is_given_must_match(void **state)
{
    (void)state;
    struct expect x = policy();
    assert_int_equal(find(&x, "10.1.5.0/24", "FRA", "r2", 7), EXPECTED_NO);
    assert_int_equal(find(&x, "10.1.5.0/24", "FRA", "r1", 8), EXPECTED_NO);
    expect_clear(&x);
}

static void a_prefix_with_no_place_is_expected_nowhere(void **state)
{
    (void)state;
    struct expect x = policy();
    assert_int_equal(find(&x, "10.2.5.0/24", "AMS", "r1", 0), EXPECTED_NO);
    expect_clear(&x);
}

static void the_same_prefix_twice_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct expect x = policy();
    struct prefix wide = prefix("10.0.0.0/8");
    struct expect_place fra = {.pop = "FRA"};
    assert_int_equal(expect_add(&x, &wide, &fra, 1), ERR_CONF);
    assert_int_equal(find(&x, "10.9.0.0/24", "FRA", "r1", 0), EXPECTED_NO);
    expect_clear(&x);
}

static void places_print_as_json_with_only_what_was_given(void **state)
{
    (void)state;
    struct expect x = policy();
    char text[256];
    struct prefix p = prefix("10.1.5.0/24");
    assert_string_equal(expect_json(&x, &p, text, sizeof text),
                        "[{\"pop\":\"FRA\",\"router\":\"r1\",\"vlan\":7},{\"peer_as\":9}]");
    expect_clear(&x);
}

static void json_that_does_not_fit_is_cut_to_whole_elements(void **state)
{
    (void)state;
    struct expect x = policy();
    struct prefix p = prefix("10.1.5.0/24");
    const char *whole = "[{\"pop\":\"FRA\",\"router\":\"r1\",\"vlan\":7},{\"peer_as\":9}]";
    const char *first = "[{\"pop\":\"FRA\",\"router\":\"r1\",\"vlan\":7}]";
    for (size_t size = 3; size < 80; size++) {
        char text[80];
        const char *want = size > strlen(whole) ? whole : size > strlen(first) ? first : "[]";
        assert_string_equal(expect_json(&x, &p, text, size), want);
    }
    expect_clear(&x);
}

static void names_are_escaped_in_json(void **state)
{
    (void)state;
    struct expect x = {0};
    struct prefix p = prefix("10.0.0.0/8");
    struct expect_place odd = {.pop = "a\"b\\c\n"};
    char text[64];
    assert_int_equal(expect_add(&x, &p, &odd, 1), 0);
    assert_string_equal(expect_json(&x, &p, text, sizeof text),
                        "[{\"pop\":\"a\\\"b\\\\c\\u000a\"}]");
    expect_clear(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_everything_is_unknown),
        cmocka_unit_test(the_longest_covering_prefix_decides),
        cmocka_unit_test(every_field_that_is_given_must_match),
        cmocka_unit_test(a_prefix_with_no_place_is_expected_nowhere),
        cmocka_unit_test(the_same_prefix_twice_is_refused_and_changes_nothing),
        cmocka_unit_test(places_print_as_json_with_only_what_was_given),
        cmocka_unit_test(json_that_does_not_fit_is_cut_to_whole_elements),
        cmocka_unit_test(names_are_escaped_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

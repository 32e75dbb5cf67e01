#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conf/policy.h"
#include "tests/support/temp_file.h"

static struct note note;

static int load(const char *text, struct expect *out)
{
    struct temp_file file;
    assert_int_equal(temp_file_open(&file, text), 0);
    int err = policy_load(file.path, out, &note);
    temp_file_close(&file);
    return err;
}

static enum expected find(const struct expect *x, const char *text, const char *pop,
                          const char *router)
{
    struct ingress_row row = {.at = {.interface = "xe-0/0/1", .peer_as = 64501}};
    assert_int_equal(prefix_parse(text, &row.prefix), 0);
    snprintf(row.pop, sizeof row.pop, "%s", pop);
    snprintf(row.at.router, sizeof row.at.router, "%s", router);
    return expect_judge(x, &row).expected;
}

static void entries_say_where_a_prefix_is_expected(void **state)
{
    (void)state;
    struct expect x;
    assert_int_equal(
        load("- {prefix: 203.0.113.0/24, ingress: [{pop: AMS}, {pop: FRA, router: fra1-r1}]}\n"
             "- prefix: 2001:db8::/32\n  ingress:\n    - {peer_as: 64501}\n"
             "- {prefix: 198.51.100.0/24, ingress: []}\n",
             &x),
        0);
    assert_int_equal(x.file.entry_count, 3);
    assert_int_equal(find(&x, "203.0.113.0/24", "AMS", "any"), EXPECTED_YES);
    assert_int_equal(find(&x, "203.0.113.0/24", "FRA", "fra1-r1"), EXPECTED_YES);
    assert_int_equal(find(&x, "203.0.113.0/24", "FRA", "other"), EXPECTED_NO);
    assert_int_equal(find(&x, "2001:db8:7::/48", "LON", "any"), EXPECTED_YES);
    assert_int_equal(find(&x, "198.51.100.0/24", "AMS", "any"), EXPECTED_NO);
    assert_int_equal(find(&x, "192.0.2.0/24", "AMS", "any"), EXPECTED_UNKNOWN);
    expect_clear(&x);
}

static void cones_say_what_a_peer_may_send(void **state)
{
    (void)state;
    struct expect x;
    assert_int_equal(load("- {peer_as: 64501, cone: [203.0.113.0/24], comment: \"a customer\"}\n"
                          "- {peer_as: 64501, cone: [\"2001:db8::/32\"]}\n"
                          "- {peer_as: 64502, cone: []}\n",
                          &x),
                     0);
    assert_int_equal(x.file.cone_count, 2);
    assert_int_equal(x.file.cone_prefixes, 2);
    assert_int_equal(find(&x, "203.0.113.0/24", "AMS", "any"), EXPECTED_YES);
    assert_int_equal(find(&x, "2001:db8:7::/48", "AMS", "any"), EXPECTED_YES);
    assert_int_equal(find(&x, "192.0.2.0/24", "AMS", "any"), EXPECTED_NO);
    expect_clear(&x);
}

static void no_file_is_an_empty_policy(void **state)
{
    (void)state;
    struct expect x;
    assert_int_equal(policy_load("", &x, &note), 0);
    assert_int_equal(x.file.entry_count, 0);
    assert_int_equal(find(&x, "192.0.2.0/24", "AMS", "any"), EXPECTED_UNKNOWN);
    expect_clear(&x);
}

static void a_mistake_has_its_line_and_leaves_nothing(void **state)
{
    (void)state;
    static const char good[] = "- {prefix: 203.0.113.0/24, ingress: [{pop: AMS}]}\n";
    static const char *const pairs[][2] = {
        {"- {prefix: 203.0.113.0/24, ingress: []}\n", ":2: prefix: 203.0.113.0/24 stands twice"},
        {"- {prefix: 203.0.113.7/24, ingress: []}\n", ":2: [2].prefix: expected a prefix"},
        {"- {prefix: 192.0.2.0/24}\n",
         ":2: [2].ingress: missing; an entry with prefix must say it"},
        {"- {ingress: []}\n", ":2: [2].prefix: missing; every entry must say it, or peer_as"},
        {"- {prefix: 192.0.2.0/24, ingress: [{pop: A, vlam: 3}]}\n",
         ":2: unknown key \"[2].ingress[1].vlam\"; did you mean vlan?"},
        {"- {prefix: 192.0.2.0/24, ingress: [{vlan: 4095}]}\n",
         ":2: [2].ingress[1].vlan: expected"},
        {"- {prefix: 192.0.2.0/24, ingress: {pop: A}}\n", ":2: [2].ingress: expected a list"},
        {"- {peer_as: 64501}\n", ":2: [2].cone: missing; an entry with peer_as must say it"},
        {"- {peer_as: 64501, cone: [10.0.0.1/8]}\n", ":2: [2].cone[1]: expected a prefix"},
        {"- {peer_as: 0, cone: []}\n", ":2: [2].peer_as: expected"},
        {"- {peer_as: 1, cone: [], prefix: 10.0.0.0/8, ingress: []}\n",
         ":2: peer_as: an entry has either"},
        {"- {peer_as: 1, cone: [], ingress: [{pop: A}]}\n",
         ":2: ingress: belongs to an entry with"},
        {"  x\n", "not YAML"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct expect x;
        char text[500];
        snprintf(text, sizeof text, "%s%s", good, pairs[i][0]);
        assert_int_equal(load(text, &x), ERR_CONF);
        if (strstr(note.text, pairs[i][1]) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", note.text, pairs[i][1]);
        assert_int_equal(x.file.entry_count, 0);
        assert_int_equal(find(&x, "203.0.113.0/24", "AMS", "any"), EXPECTED_UNKNOWN);
    }
}

static void a_file_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct expect x;
    assert_int_equal(policy_load("no/such.yaml", &x, &note), ERR_CONF);
    assert_string_equal(note.text, "no/such.yaml: cannot read: No such file or directory");
}

static void the_shipped_example_is_taken(void **state)
{
    (void)state;
    struct expect x;
    int err = policy_load(CONFIGS "/expected.yaml", &x, &note);
    assert_string_equal(note.text, "");
    assert_int_equal(err, 0);
    assert_int_equal(x.file.entry_count, 3);
    assert_int_equal(x.file.cone_count, 1);
    expect_clear(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_say_where_a_prefix_is_expected),
        cmocka_unit_test(cones_say_what_a_peer_may_send),
        cmocka_unit_test(no_file_is_an_empty_policy),
        cmocka_unit_test(a_mistake_has_its_line_and_leaves_nothing),
        cmocka_unit_test(a_file_that_is_not_there_is_told),
        cmocka_unit_test(the_shipped_example_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

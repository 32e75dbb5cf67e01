#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sensor/packet/ingress_table.h"

static const uint8_t mac_seven[6] = {2, 0, 0, 0, 0, 7}, mac_eight[6] = {2, 0, 0, 0, 0, 8};
static const uint8_t mac_none[6];

static struct ingress_table three_rows(void)
{
    return (struct ingress_table){
        .count = 3,
        .row = {{.router = "vlan", .vlan = 101},
                {.router = "mac", .mac = {2, 0, 0, 0, 0, 7}},
                {.router = "both", .vlan = 102, .mac = {2, 0, 0, 0, 0, 8}}},
    };
}

static void first_matching_row_wins(void **state)
{
    (void)state;
    struct ingress_table t = three_rows();
    assert_int_equal(ingress_table_find(&t, 101, mac_seven), 0);
    assert_int_equal(ingress_table_find(&t, 101, mac_none), 0);
    assert_int_equal(ingress_table_find(&t, 102, mac_seven), 1);
    assert_int_equal(ingress_table_find(&t, 0, mac_seven), 1);
}

static void row_with_vlan_and_mac_needs_both(void **state)
{
    (void)state;
    struct ingress_table t = three_rows();
    t.row[3] = (struct ingress){.router = "any"};
    t.count = 4;
    assert_int_equal(ingress_table_find(&t, 102, mac_eight), 2);
    assert_int_equal(ingress_table_find(&t, 103, mac_eight), 3);
    assert_int_equal(ingress_table_find(&t, 102, mac_none), 3);
}

static void row_of_zeros_matches_all(void **state)
{
    (void)state;
    struct ingress_table t = {.count = 1, .row = {{.router = "any"}}};
    assert_int_equal(ingress_table_find(&t, 0, mac_none), 0);
    assert_int_equal(ingress_table_find(&t, 4094, mac_eight), 0);
}

static void last_row_takes_what_none_matches(void **state)
{
    (void)state;
    struct ingress_table t = three_rows();
    assert_int_equal(ingress_table_find(&t, 999, mac_none), 2);
}

static void a_mac_differing_in_one_byte_does_not_match(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct ingress_table t = {.count = 2, .row = {{.mac = {2, 0, 0, 0, 0, 7}}, {.vlan = 0}}};
        uint8_t mac[6] = {2, 0, 0, 0, 0, 7};
        mac[i] ^= 0x10;
        assert_int_equal(ingress_table_find(&t, 0, mac), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_matching_row_wins),
        cmocka_unit_test(row_with_vlan_and_mac_needs_both),
        cmocka_unit_test(row_of_zeros_matches_all),
        cmocka_unit_test(last_row_takes_what_none_matches),
        cmocka_unit_test(a_mac_differing_in_one_byte_does_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

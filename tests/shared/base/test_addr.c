#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "shared/base/addr.h"
#include "shared/base/hash.h"

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void addresses_are_written_in_canonical_text(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"2001:DB8:0:0:0::1", "2001:db8::1"},
        {"::", "::"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct addr a = addr(pairs[i][0]);
        char text[ADDR_TEXT];
        assert_string_equal(addr_format(&a, text), pairs[i][1]);
    }
}

static void a_mapped_address_stays_ipv6(void **state)
{
    (void)state;
    assert_int_equal(addr("::ffff:192.0.2.1").family, ADDR_V6);
    assert_int_equal(addr("192.0.2.1").family, ADDR_V4);
}

static void the_empty_address_is_a_dash(void **state)
{
    (void)state;
    char text[PREFIX_TEXT];
    struct prefix none = {0};
    assert_string_equal(addr_format(&none.addr, text), "-");
    assert_string_equal(prefix_format(&none, text), "-");
}

static void what_is_no_address_or_prefix_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.3.4 ",
        " 1.2.3.4",
        "::g",
        "1::2::3",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/ 8",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
        "2001:db8::/129",
        "10.0.0.0/99999999999999999999",
        "fe80::1%eth0",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/8",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct prefix p = {.length = 77};
        assert_int_equal(prefix_parse(texts[i], &p), ERR_FORMAT);
        assert_int_equal(p.length, 77);
    }
}

static void bits_beyond_the_length_are_refused_as_a_mistake(void **state)
{
    (void)state;
    struct prefix p;
    assert_int_equal(prefix_parse("10.0.0.1/8", &p), ERR_CONF);
    assert_int_equal(prefix_parse("10.1.0.0/15", &p), ERR_CONF);
    assert_int_equal(prefix_parse("2001:db8::1/127", &p), ERR_CONF);
    assert_int_equal(prefix_parse("1.0.0.0/0", &p), ERR_CONF);
}

static void a_bare_address_is_a_prefix_of_full_length(void **state)
{
    (void)state;
    assert_int_equal(prefix("192.0.2.1").length, 32);
    assert_int_equal(prefix("2001:db8::1").length, 128);
}

static void prefixes_come_back_from_their_text(void **state)
{
    (void)state;
    struct prf r = prf_init(1, 1);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bytes[2] = {prf_next(&r), prf_next(&r)};
        struct addr a = i % 2 == 0 ? addr_v4(bytes) : addr_v6(bytes);
        struct prefix p = prefix_of(&a, (unsigned)prf_below(&r, addr_bits(a.family) + 1)), q;
        char text[PREFIX_TEXT];
        assert_int_equal(prefix_parse(prefix_format(&p, text), &q), 0);
        assert_true(prefix_equal(&p, &q));
    }
}

static bool naive_bit(const struct addr *a, unsigned i)
{
    return a->bytes[i / 8] & (0x80 >> i % 8);
}

static bool naive_contains(const struct prefix *p, const struct addr *a)
{
    if (p->addr.family != a->family)
        return false;
    for (unsigned i = 0; i < p->length; i++)
        if (naive_bit(&p->addr, i) != naive_bit(a, i))
            return false;
    return true;
}

static void containing_agrees_with_comparing_bit_by_bit(void **state)
{
    (void)state;
    struct prf r = prf_init(2, 1);
    unsigned inside = 0;
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t bytes[2] = {prf_next(&r), prf_next(&r)};
        struct addr a = i % 2 == 0 ? addr_v4(bytes) : addr_v6(bytes);
        struct prefix p = prefix_of(&a, (unsigned)prf_below(&r, addr_bits(a.family) + 1));
        struct addr b = a;
        b.bytes[prf_below(&r, addr_bits(a.family) / 8)] ^= (uint8_t)prf_next(&r);
        assert_true(prefix_contains(&p, &a));
        assert_int_equal(prefix_contains(&p, &b), naive_contains(&p, &b));
        inside += prefix_contains(&p, &b);
        for (unsigned bit = p.length; bit < addr_bits(a.family); bit++)
            assert_false(naive_bit(&p.addr, bit));
    }
    assert_in_range(inside, 5000, 45000);
}

static void covering_knows_lengths_and_families(void **state)
{
    (void)state;
    struct prefix p8 = prefix("10.0.0.0/8"), p24 = prefix("10.1.2.0/24"),
                  all4 = prefix("0.0.0.0/0"), all6 = prefix("::/0");
    assert_true(prefix_covers(&p8, &p24));
    assert_true(prefix_covers(&p8, &p8));
    assert_false(prefix_covers(&p24, &p8));
    assert_true(prefix_covers(&all4, &p8));
    assert_false(prefix_covers(&all6, &p8));
    assert_false(prefix_covers(&all4, &all6));
}

static void length_is_cut_at_the_family_s(void **state)
{
    (void)state;
    struct addr a = addr("192.0.2.1"), b = addr("2001:db8::1");
    assert_int_equal(prefix_of(&a, 99).length, 32);
    assert_int_equal(prefix_of(&b, 999).length, 128);
    struct prefix whole = prefix_of(&b, 128);
    assert_true(addr_equal(&whole.addr, &b));
}

static int by_prefix(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

static void prefixes_sort_by_family_bits_and_length(void **state)
{
    (void)state;
    static const char *const sorted[] = {"0.0.0.0/0",    "10.0.0.0/8",   "10.0.0.0/24",
                                         "10.0.1.0/24",  "192.0.2.0/24", "::/0",
                                         "2001:db8::/32"};
    struct prefix p[7];
    for (unsigned i = 0; i < 7; i++)
        p[i] = prefix(sorted[(i * 3 + 2) % 7]);
    qsort(p, 7, sizeof p[0], by_prefix);
    for (unsigned i = 0; i < 7; i++) {
        struct prefix want = prefix(sorted[i]);
        assert_true(prefix_equal(&p[i], &want));
    }
}

static void mac_addresses_come_back_from_their_text(void **state)
{
    (void)state;
    uint8_t mac[6];
    char text[MAC_TEXT];
    assert_int_equal(mac_parse("02:00:0A:ff:00:07", mac), 0);
    assert_string_equal(mac_format(mac, text), "02:00:0a:ff:00:07");
}

static void what_is_no_mac_address_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:0",
        "02:00:00:00:00:07:08",
        "02-00-00-00-00-07",
        "0g:00:00:00:00:07",
        " 2:00:00:00:00:07",
        "+2:00:00:00:00:07",
        "-2:00:00:00:00:07",
        "0x:00:00:00:00:07",
        "02:00:00:00:00: 7",
    };
    uint8_t mac[6];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(mac_parse(texts[i], mac), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_in_canonical_text),
        cmocka_unit_test(a_mapped_address_stays_ipv6),
        cmocka_unit_test(the_empty_address_is_a_dash),
        cmocka_unit_test(what_is_no_address_or_prefix_is_refused),
        cmocka_unit_test(bits_beyond_the_length_are_refused_as_a_mistake),
        cmocka_unit_test(a_bare_address_is_a_prefix_of_full_length),
        cmocka_unit_test(prefixes_come_back_from_their_text),
        cmocka_unit_test(containing_agrees_with_comparing_bit_by_bit),
        cmocka_unit_test(covering_knows_lengths_and_families),
        cmocka_unit_test(length_is_cut_at_the_family_s),
        cmocka_unit_test(prefixes_sort_by_family_bits_and_length),
        cmocka_unit_test(mac_addresses_come_back_from_their_text),
        cmocka_unit_test(what_is_no_mac_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

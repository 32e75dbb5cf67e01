/* The filter before the tries against a plain list of prefixes: it may let through too many, never
 * too few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sensor/source/watched_filter.h"

#define PREFIXES 300
#define SOURCES  20000

static struct xdp_filter filter;

static uint64_t draw(void)
{
    static uint64_t state = 20261122;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* From a small corner of the addresses, so that prefixes and sources meet. */
static struct addr random_addr(bool is_v6)
{
    uint64_t a = draw(), b = draw();
    uint8_t v4[4] = {10, (uint8_t)(a & 3), (uint8_t)(a >> 8), (uint8_t)(a >> 16)};
    uint8_t v6[16] = {0x20,
                      (uint8_t)(b & 3),
                      (uint8_t)(b >> 8 & 3),
                      (uint8_t)(b >> 16),
                      (uint8_t)(b >> 24 & 1),
                      (uint8_t)(b >> 32),
                      (uint8_t)(b >> 40 & 1),
                      [15] = (uint8_t)(b >> 48)};
    return is_v6 ? addr_v6(v6) : addr_v4(v4);
}

static struct prefix random_prefix(void)
{
    bool is_v6 = draw() % 2;
    struct addr a = random_addr(is_v6);
    /* Mostly long ones: a short one would cover everything. */
    unsigned length = is_v6 ? 24 + (unsigned)(draw() % 105) : 14 + (unsigned)(draw() % 19);
    return prefix_of(&a, (uint8_t)length);
}

static bool is_inside(const struct prefix *list, size_t n, const struct addr *a)
{
    for (size_t i = 0; i < n; i++) {
        struct prefix p = prefix_of(a, list[i].length);
        if (a->family == list[i].addr.family && prefix_equal(&p, &list[i]))
            return true;
    }
    return false;
}

/* Returns how many sources outside the list it lets through. */
static unsigned expect_no_source_hidden(const struct prefix *list, size_t n)
{
    unsigned too_many = 0;
    for (unsigned i = 0; i < SOURCES; i++) {
        struct addr a = random_addr(i % 2);
        bool may = watched_filter_may_hold(&filter, &a);
        if (is_inside(list, n, &a))
            assert_true(may);
        else
            too_many += may;
    }
    return too_many;
}

static bool is_empty(void)
{
    static const struct xdp_filter empty;
    return memcmp(&filter, &empty, sizeof filter) == 0;
}

static bool may_hold(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return watched_filter_may_hold(&filter, &a);
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void no_list_hides_a_source_inside_it_while_it_replaces_another_or_after(void **state)
{
    (void)state;
    static struct prefix lists[2][PREFIXES];
    size_t n[2] = {0, 0};
    for (unsigned round = 0; round < 20; round++) {
        unsigned next = round % 2, last = 1 - next;
        n[next] = draw() % PREFIXES;
        for (size_t i = 0; i < n[next]; i++)
            lists[next][i] = random_prefix();
        watched_filter_open(&filter, lists[next], n[next]);
        expect_no_source_hidden(lists[last], n[last]); /* the tries hold both, or any part */
        expect_no_source_hidden(lists[next], n[next]);
        assert_int_equal(watched_filter_narrow(&filter, lists[next], n[next]), 0);
        expect_no_source_hidden(lists[next], n[next]);
    }
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
    assert_true(is_empty());
}

static void prefixes_of_24_and_shorter_are_exact_for_ipv4(void **state)
{
    (void)state;
    struct prefix list[] = {prefix("10.0.5.0/24"), prefix("10.1.16.0/20"), prefix("10.2.0.0/15")};
    watched_filter_open(&filter, list, 3);
    for (unsigned i = 0; i < SOURCES; i++) {
        struct addr a = random_addr(false);
        assert_int_equal(watched_filter_may_hold(&filter, &a), is_inside(list, 3, &a));
    }
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
}

/* Whether one prefix of the list holds the whole /24. */
static bool is_whole(const struct prefix *list, size_t n, const struct addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].length <= 24 && is_inside(&list[i], 1, a))
            return true;
    return false;
}

/* In both lists at any time, in the second list only between its tries' change and the next. */
static void sure_are_exactly_the_24s_that_a_prefix_of_the_list_holds_whole(void **state)
{
    (void)state;
    static struct prefix lists[2][PREFIXES];
    size_t n[2] = {0, 0};
    unsigned sure = 0;
    for (unsigned round = 0; round < 20; round++) {
        unsigned next = round % 2, last = 1 - next;
        n[next] = draw() % PREFIXES;
        for (size_t i = 0; i < n[next]; i++)
            lists[next][i] = random_prefix();
        watched_filter_doubt(&filter, lists[next], n[next]);
        for (unsigned i = 0; i < SOURCES; i++) {
            struct addr a = random_addr(i % 2);
            bool is_both = a.family == ADDR_V4 && is_whole(lists[last], n[last], &a) &&
                           is_whole(lists[next], n[next], &a);
            assert_int_equal(watched_filter_is_sure(&filter, &a), is_both);
            sure += is_both;
        }
        watched_filter_be_sure(&filter, lists[next], n[next]);
        for (unsigned i = 0; i < SOURCES; i++) {
            struct addr a = random_addr(i % 2);
            bool is_sure = a.family == ADDR_V4 && is_whole(lists[next], n[next], &a);
            assert_int_equal(watched_filter_is_sure(&filter, &a), is_sure);
        }
    }
    assert_true(sure > 100);
    watched_filter_doubt(&filter, NULL, 0);
    assert_true(is_empty());
}

static void the_default_routes_let_everything_through(void **state)
{
    (void)state;
    struct prefix list[] = {prefix("0.0.0.0/0"), prefix("::/0")};
    watched_filter_open(&filter, list, 2);
    assert_true(may_hold("0.0.0.0") && may_hold("255.255.255.255") && may_hold("10.0.0.1"));
    assert_true(may_hold("::") && may_hold("ffff:ffff::1") && may_hold("2001:db8::1"));
    assert_int_equal(watched_filter_narrow(&filter, list, 1), 0);
    assert_true(may_hold("10.0.0.1"));
    assert_false(may_hold("2001:db8::1"));
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
    assert_true(is_empty());
}

/* The bit of an address, the first one being 0. */
static void flip(struct addr *a, unsigned bit)
{
    a->bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* Its first and its last address, and where bits are exact, none of the next prefix. */
static void expect_prefix_alone(const struct prefix *p, bool is_exact)
{
    struct addr first = p->addr, last = p->addr, next = p->addr;
    for (unsigned bit = p->length; bit < addr_bits(p->addr.family); bit++)
        flip(&last, bit);
    watched_filter_open(&filter, p, 1);
    assert_true(watched_filter_may_hold(&filter, &first));
    assert_true(watched_filter_may_hold(&filter, &last));
    if (is_exact && p->length > 0) {
        flip(&next, p->length - 1u);
        assert_false(watched_filter_may_hold(&filter, &next));
    }
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
}

static void a_prefix_of_any_length_lets_its_first_and_last_address_through(void **state)
{
    (void)state;
    for (unsigned family = ADDR_V4; family <= ADDR_V6; family += ADDR_V6 - ADDR_V4)
        for (unsigned length = 0; length <= addr_bits((uint8_t)family); length++) {
            struct addr a = {.family = (uint8_t)family};
            for (unsigned i = 0; i < addr_bits(a.family) / 8; i++)
                a.bytes[i] = (uint8_t)draw();
            struct prefix p = prefix_of(&a, length);
            expect_prefix_alone(&p, length <= (family == ADDR_V4 ? 24 : 16));
        }
    assert_true(is_empty());
}

static void a_bit_that_two_prefixes_share_stays_until_both_are_gone(void **state)
{
    (void)state;
    struct prefix list[] = {prefix("192.0.2.0/25"), prefix("192.0.2.128/25"),
                            prefix("2001:db8:1:1::/64"), prefix("2001:db8:1:2::/64")};
    watched_filter_open(&filter, list, 4);
    assert_int_equal(watched_filter_narrow(&filter, &list[1], 2), 0);
    assert_true(may_hold("192.0.2.200") && may_hold("2001:db8:1:1::9"));
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
    assert_true(is_empty());
}

/* What the size of the hashed part is for. */
static void a_full_list_of_ipv6_lets_few_others_through(void **state)
{
    (void)state;
    unsigned too_many = 0;
    struct prefix *list = calloc(XDP_WATCHED_MAX, sizeof *list);
    assert_non_null(list);
    for (unsigned i = 0; i < XDP_WATCHED_MAX; i++) {
        uint64_t a = draw();
        uint8_t bytes[16] = {0x2a};
        memcpy(bytes + 1, &a, 5);
        struct addr addr = addr_v6(bytes);
        list[i] = prefix_of(&addr, 48);
    }
    watched_filter_open(&filter, list, XDP_WATCHED_MAX);
    for (unsigned i = 0; i < SOURCES; i++) {
        uint64_t a = draw();
        uint8_t bytes[16] = {0x2b};
        memcpy(bytes + 1, &a, 5);
        struct addr addr = addr_v6(bytes);
        too_many += watched_filter_may_hold(&filter, &addr);
    }
    assert_in_range(too_many, 1, SOURCES / 20); /* expected: 3.1 % */
    free(list);
    assert_int_equal(watched_filter_narrow(&filter, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_list_hides_a_source_inside_it_while_it_replaces_another_or_after),
        cmocka_unit_test(prefixes_of_24_and_shorter_are_exact_for_ipv4),
        cmocka_unit_test(sure_are_exactly_the_24s_that_a_prefix_of_the_list_holds_whole),
        cmocka_unit_test(the_default_routes_let_everything_through),
        cmocka_unit_test(a_prefix_of_any_length_lets_its_first_and_last_address_through),
        cmocka_unit_test(a_bit_that_two_prefixes_share_stays_until_both_are_gone),
        cmocka_unit_test(a_full_list_of_ipv6_lets_few_others_through),
    };
    return cmocka_run_group_tests_name("watched_filter", tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/base/hash.h"
#include "shared/base/lpm.h"

#define PREFIXES 600

/* The naive model: a list, searched from end to end. */
struct list {
    size_t count;
    struct prefix prefix[PREFIXES];
    uint32_t value[PREFIXES];
};

static void list_set(struct list *l, const struct prefix *p, uint32_t value)
{
    for (size_t i = 0; i < l->count; i++)
        if (prefix_equal(&l->prefix[i], p)) {
            l->value[i] = value;
            return;
        }
    l->prefix[l->count] = *p;
    l->value[l->count++] = value;
}

static void list_remove(struct list *l, const struct prefix *p)
{
    for (size_t i = 0; i < l->count; i++)
        if (prefix_equal(&l->prefix[i], p)) {
            l->prefix[i] = l->prefix[--l->count];
            l->value[i] = l->value[l->count];
            return;
        }
}

static uint32_t list_find(const struct list *l, const struct prefix *p)
{
    int best = -1;
    for (size_t i = 0; i < l->count; i++)
        if (prefix_covers(&l->prefix[i], p) &&
            (best < 0 || l->prefix[i].length > l->prefix[best].length))
            best = (int)i;
    return best >= 0 ? l->value[best] : LPM_NONE;
}

/* Few distinct high bytes, so that prefixes cover one another often. */
static struct prefix random_prefix(struct prf *r, unsigned shortest)
{
    uint8_t bytes[16] = {0};
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(prf_below(r, 3) * 85 + (i > 1 ? prf_below(r, 2) : 0));
    struct addr a = prf_below(r, 2) == 0 ? addr_v4(bytes) : addr_v6(bytes);
    unsigned bits = addr_bits(a.family);
    return prefix_of(&a, shortest + (unsigned)prf_below(r, bits - shortest + 1));
}

static uint32_t values_below(const struct lpm *l, uint32_t at)
{
    const struct lpm_node *n = &l->nodes[at];
    uint32_t values = n->value != LPM_NONE;
    for (unsigned i = 0; i < 2; i++)
        values += n->child[i] != 0 ? values_below(l, n->child[i]) : 0;
    return values;
}

static void compare(const struct lpm *l, const struct list *list, struct prf *r, unsigned *hits)
{
    for (unsigned i = 0; i < 20; i++) {
        struct prefix q = random_prefix(r, 0), full = prefix_of(&q.addr, 128);
        assert_int_equal(lpm_find_cover(l, &q), list_find(list, &q));
        assert_int_equal(lpm_find(l, &q.addr), list_find(list, &full));
        *hits += lpm_find(l, &q.addr) != LPM_NONE;
        uint32_t inside = 0, top = lpm_below(l, &q);
        for (size_t k = 0; k < list->count; k++)
            inside += prefix_covers(&q, &list->prefix[k]);
        assert_int_equal(top != LPM_NONE ? values_below(l, top) : 0, inside);
    }
}

static void finding_agrees_with_a_plain_list_while_prefixes_come_and_go(void **state)
{
    (void)state;
    struct prf r = prf_init(3, 1);
    unsigned hits = 0;
    for (unsigned round = 0; round < 4; round++) {
        struct lpm l;
        static struct list list;
        list.count = 0;
        assert_int_equal(lpm_init(&l), 0);
        for (unsigned i = 0; i < PREFIXES; i++) {
            struct prefix p = random_prefix(&r, round);
            assert_int_equal(lpm_set(&l, &p, i), 0);
            list_set(&list, &p, i);
            if (prf_below(&r, 4) == 0) {
                struct prefix gone = list.prefix[prf_below(&r, list.count)];
                lpm_remove(&l, &gone);
                list_remove(&list, &gone);
            }
            compare(&l, &list, &r, &hits);
        }
        while (list.count > 0) { /* what was removed is used again: nothing is left behind */
            struct prefix gone = list.prefix[0];
            lpm_remove(&l, &gone);
            list_remove(&list, &gone);
        }
        uint32_t used = l.used;
        for (unsigned i = 0; i < used / 4; i++) {
            struct prefix p = random_prefix(&r, 8);
            assert_int_equal(lpm_set(&l, &p, i), 0);
        }
        assert_true(l.used <= used);
        lpm_clear(&l);
    }
    assert_in_range(hits, 1000, 4 * PREFIXES * 20);
}

static void an_empty_table_finds_nothing(void **state)
{
    (void)state;
    struct lpm l;
    struct prefix p;
    assert_int_equal(lpm_init(&l), 0);
    assert_int_equal(prefix_parse("10.0.0.0/8", &p), 0);
    assert_int_equal(lpm_find(&l, &p.addr), LPM_NONE);
    lpm_remove(&l, &p);
    assert_int_equal(lpm_find_cover(&l, &p), LPM_NONE);
    lpm_clear(&l);
}

static void the_default_route_catches_its_own_family_only(void **state)
{
    (void)state;
    struct lpm l;
    struct prefix all, v6;
    assert_int_equal(lpm_init(&l), 0);
    assert_int_equal(prefix_parse("0.0.0.0/0", &all), 0);
    assert_int_equal(prefix_parse("2001:db8::/32", &v6), 0);
    assert_int_equal(lpm_set(&l, &all, 7), 0);
    assert_int_equal(lpm_find(&l, &all.addr), 7);
    assert_int_equal(lpm_find(&l, &v6.addr), LPM_NONE);
    lpm_clear(&l);
}

/* Two thousand million nodes are 24 GB: so the test says that it has them. */
static void a_trie_that_cannot_name_more_nodes_refuses(void **state)
{
    (void)state;
    struct lpm l;
    struct prefix p;
    assert_int_equal(lpm_init(&l), 0);
    assert_int_equal(prefix_parse("2001:db8::/32", &p), 0);
    l.room = l.used = UINT32_C(1) << 31;
    assert_int_equal(lpm_set(&l, &p, 1), -ENOMEM);
    lpm_clear(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finding_agrees_with_a_plain_list_while_prefixes_come_and_go),
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(the_default_route_catches_its_own_family_only),
        cmocka_unit_test(a_trie_that_cannot_name_more_nodes_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

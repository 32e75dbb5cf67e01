/* The tree against a plain list: random keys and prefixes, in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/order/tree.h"
#include "shared/base/hash.h"

enum { MANY = 300, ROUNDS = 3000 };

static struct tree tree;
static struct tree_node nodes[MANY];
static struct prefix prefixes[MANY];
static bool is_in[MANY], is_found[MANY];

/* Few bits differ, so that many overlap; both families, and both groups. */
static struct prefix random_prefix(struct prf *prf)
{
    struct addr a = {.family = prf_below(prf, 2) ? ADDR_V4 : ADDR_V6};
    for (unsigned i = 0; i < (a.family == ADDR_V4 ? 4 : 16); i++)
        a.bytes[i] = (uint8_t)(prf_below(prf, 2) * 0xff);
    unsigned bits = addr_bits(a.family);
    return prefix_of(&a, (unsigned)prf_below(prf, prf_below(prf, 4) ? 10 : bits + 1));
}

static bool overlaps(const struct prefix *a, const struct prefix *b)
{
    return prefix_covers(a, b) || prefix_covers(b, a);
}

static void check_overlaps(uint64_t group, const struct prefix *p)
{
    int64_t at;
    memset(is_found, 0, sizeof is_found);
    struct tree_overlap over = tree_overlapping(&tree, group, p);
    while ((at = tree_overlap_next(&over)) >= 0) {
        assert_true(at < MANY && !is_found[at]);
        is_found[at] = true;
    }
    assert_true(tree_overlap_next(&over) < 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(is_found[i], is_in[i] && (i & 1) == group && overlaps(&prefixes[i], p));
}

static void what_overlaps_a_prefix_is_found_and_nothing_else(void **state)
{
    (void)state;
    struct prf prf = prf_init(1, 1);
    size_t count = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)prf_below(&prf, MANY);
        count -= is_in[i];
        is_in[i] = prf_below(&prf, 3) != 0;
        count += is_in[i];
        prefixes[i] = random_prefix(&prf);
        struct tree_key key = tree_prefix_key(i & 1, &prefixes[i], i);
        if (is_in[i])
            tree_put(&tree, &nodes[i], &key);
        else
            tree_out(&tree, &nodes[i]);
        assert_int_equal(tree.count, count);
        struct prefix p = random_prefix(&prf);
        check_overlaps(prf_below(&prf, 2), &p);
    }
}

static void keys_come_in_their_order_and_are_found_from_both_sides(void **state)
{
    (void)state;
    static struct tree t;
    static struct tree_node n[MANY];
    struct prf prf = prf_init(2, 1);
    for (unsigned i = 0; i < MANY; i++)
        tree_put(&t, &n[i], &(struct tree_key){{prf_below(&prf, 9), prf_below(&prf, 9), 0, i}});
    const struct tree_node *last = NULL, *at = tree_from(&t, &(struct tree_key){{0}});
    unsigned count = 0;
    for (; at != NULL; last = at, at = tree_after(&t, at), count++) {
        assert_ptr_equal(tree_from(&t, &at->key), at);
        assert_ptr_equal(tree_upto(&t, &at->key), at);
        if (last != NULL)
            assert_true(
                last->key.word[0] < at->key.word[0] ||
                (last->key.word[0] == at->key.word[0] && last->key.word[1] <= at->key.word[1]));
    }
    assert_int_equal(count, MANY);
    assert_null(tree_from(&t, &(struct tree_key){{9}}));
    assert_null(tree_upto(&(struct tree){0}, &(struct tree_key){{9}}));
}

static void keys_that_come_sorted_are_found_in_as_few_steps_as_others(void **state)
{
    (void)state;
    enum { N = 65536 };
    struct tree t = {0};
    struct tree_node *n = calloc(N, sizeof *n);
    assert_non_null(n);
    for (unsigned i = 0; i < N; i++)
        tree_put(&t, &n[i], &(struct tree_key){{i, 0, 0, i}});
    uint64_t before = t.steps;
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(tree_from(&t, &n[i].key), &n[i]);
    assert_true((t.steps - before) / N < 40); /* 2 ln n is 22 */
    free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_overlaps_a_prefix_is_found_and_nothing_else),
        cmocka_unit_test(keys_come_in_their_order_and_are_found_from_both_sides),
        cmocka_unit_test(keys_that_come_sorted_are_found_in_as_few_steps_as_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

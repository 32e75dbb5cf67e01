#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shared/base/hash.h"

static void prf_word_is_siphash_2_4(void **state)
{
    (void)state;
    /* Aumasson and Bernstein's vectors: key 00..0f, message 00..07; words are little-endian. */
    struct hash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    assert_true(prf_word(key, UINT64_C(0x0706050403020100)) == UINT64_C(0x93f5f5799a932462));
}

static void the_same_seed_gives_the_same_numbers_and_another_stream_gives_others(void **state)
{
    (void)state;
    struct prf a = prf_init(42, 1), b = prf_init(42, 1), c = prf_init(42, 2), d = prf_init(43, 1);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t x = prf_next(&a);
        assert_true(x == prf_next(&b));
        assert_true(x != prf_next(&c));
        assert_true(x != prf_next(&d));
    }
}

static void numbers_below_n_are_all_reached_and_even(void **state)
{
    (void)state;
    struct prf r = prf_init(1, 1);
    unsigned count[20] = {0};
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t x = prf_below(&r, 20);
        assert_true(x < 20);
        count[x]++;
    }
    for (unsigned i = 0; i < 20; i++) /* 10,000 each, standard deviation 97 */
        assert_in_range(count[i], 9500, 10500);
    assert_true(prf_below(&r, 1) == 0);
}

static unsigned bits_set(uint64_t x)
{
    return (unsigned)__builtin_popcountll(x);
}

static void one_bit_of_the_words_or_key_changes_half_of_the_hash(void **state)
{
    (void)state;
    struct prf r = prf_init(5, 5);
    uint64_t changed = 0, tries = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct hash_key key = {prf_next(&r), prf_next(&r)};
        uint64_t words[3] = {prf_next(&r), prf_next(&r), prf_next(&r)};
        uint64_t before = hash_words(key, words, 3);
        for (unsigned bit = 0; bit < 192; bit++, tries++) {
            words[bit / 64] ^= UINT64_C(1) << bit % 64;
            changed += bits_set(before ^ hash_words(key, words, 3));
            words[bit / 64] ^= UINT64_C(1) << bit % 64;
        }
        struct hash_key other = {key.k0, key.k1 ^ 1};
        assert_true(before != hash_words(other, words, 3));
    }
    double mean = (double)changed / (double)tries;
    assert_true(mean > 31 && mean < 33);
}

static void consecutive_words_spread_over_all_buckets(void **state)
{
    (void)state;
    struct hash_key key = {1, 2};
    unsigned count[64] = {0};
    for (uint64_t i = 0; i < 64000; i++)
        count[hash_words(key, &i, 1) % 64]++;
    for (unsigned i = 0; i < 64; i++) /* 1,000 each, standard deviation 31 */
        assert_in_range(count[i], 800, 1200);
}

static void a_zero_word_is_not_the_same_as_no_word(void **state)
{
    (void)state;
    struct hash_key key = {1, 2};
    static const uint64_t zeros[2];
    assert_true(hash_words(key, zeros, 0) != hash_words(key, zeros, 1));
    assert_true(hash_words(key, zeros, 1) != hash_words(key, zeros, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prf_word_is_siphash_2_4),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers_and_another_stream_gives_others),
        cmocka_unit_test(numbers_below_n_are_all_reached_and_even),
        cmocka_unit_test(one_bit_of_the_words_or_key_changes_half_of_the_hash),
        cmocka_unit_test(consecutive_words_spread_over_all_buckets),
        cmocka_unit_test(a_zero_word_is_not_the_same_as_no_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

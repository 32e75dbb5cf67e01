/* Peng's own numbers, to a millionth. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sensor/scan/port_bitmap.h"

#define NEAR 1e-6

static void assert_near(double got, double expected)
{
    if (fabs(got - expected) > NEAR)
        fail_msg("got %.9f, expected %.9f", got, expected);
}

static double entropy_of(const uint16_t *ports, size_t n, struct reals *bins)
{
    struct port_bitmap b;
    assert_int_equal(port_bitmap_init(&b, 1024, 16), 0);
    for (size_t i = 0; i < n; i++)
        port_bitmap_mark(&b, ports[i]);
    double total = port_bitmap_entropy(&b, bins);
    port_bitmap_clear(&b);
    return total;
}

static double entropy_of_range(unsigned from, unsigned to, struct reals *bins)
{
    struct port_bitmap b;
    assert_int_equal(port_bitmap_init(&b, 1024, 16), 0);
    for (unsigned port = from; port <= to; port++)
        port_bitmap_mark(&b, (uint16_t)port);
    double total = port_bitmap_entropy(&b, bins);
    port_bitmap_clear(&b);
    return total;
}

static void no_port_is_zero(void **state)
{
    (void)state;
    struct reals bins;
    assert_near(entropy_of(NULL, 0, &bins), 0);
    assert_int_equal(bins.count, 16);
}

static void a_few_services_are_almost_nothing(void **state)
{
    (void)state;
    struct reals bins;
    assert_near(entropy_of((uint16_t[]){80}, 1, &bins), 0.007257);
    assert_near(entropy_of((uint16_t[]){22, 80, 443, 8080}, 4, &bins), 0.024318);
}

static void a_range_fills_bin_after_bin(void **state)
{
    (void)state;
    struct reals bins;
    assert_near(entropy_of_range(1024, 4500, &bins), 0.435906);
    static const double expected[16] = {0, 2, 2, 2, 0.974489};
    for (unsigned i = 0; i < 16; i++)
        assert_near(bins.value[i], expected[i]);
}

static void the_first_thousand_ports_and_all_ports_give_pengs_numbers(void **state)
{
    (void)state;
    struct reals bins;
    assert_near(entropy_of_range(1, 1000, &bins), 0.117743);
    assert_near(entropy_of_range(1, 65535, &bins), 2);
}

static void the_same_port_again_changes_nothing(void **state)
{
    (void)state;
    struct reals bins;
    assert_near(entropy_of((uint16_t[]){80, 80, 81, 95}, 4, &bins), 0.007257);
}

static void a_reset_bitmap_is_as_new(void **state)
{
    (void)state;
    struct port_bitmap b;
    struct reals bins;
    assert_int_equal(port_bitmap_init(&b, 1024, 16), 0);
    for (unsigned port = 0; port < 65536; port++)
        port_bitmap_mark(&b, (uint16_t)port);
    port_bitmap_reset(&b);
    assert_near(port_bitmap_entropy(&b, &bins), 0);
    port_bitmap_mark(&b, 80);
    assert_near(port_bitmap_entropy(&b, &bins), 0.007257);
    port_bitmap_clear(&b);
}

/* The fast way (ones counted while marking) against the formula of scan.md taken literally. */
static void any_size_agrees_with_the_formula_bit_by_bit(void **state)
{
    (void)state;
    static const unsigned sizes[][2] = {{1024, 16}, {96, 3}, {4096, 64}, {10, 5}, {64, 1}};
    uint32_t random = 1;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        unsigned bits = sizes[k][0], bins = sizes[k][1], per_bin = bits / bins;
        struct port_bitmap b;
        assert_int_equal(port_bitmap_init(&b, bits, bins), 0);
        bool set[4096] = {false};
        for (unsigned i = 0; i < 300; i++) {
            random = random * 1664525 + 1013904223;
            uint16_t port = (uint16_t)(random >> 16);
            port_bitmap_mark(&b, port);
            set[port / bins % bits] = true;
        }
        struct reals out;
        double total = port_bitmap_entropy(&b, &out), sum = 0;
        for (unsigned i = 0; i < bins; i++) {
            double ones = 0;
            for (unsigned j = 0; j < per_bin; j++)
                ones += set[i * per_bin + j];
            double o = ones / per_bin, z = 1 - o;
            double h = ones == 0 || ones == per_bin ? 0 : -(o * log2(o) + z * log2(z));
            h = o > z ? 2 - h : h;
            assert_near(out.value[i], h);
            sum += h;
        }
        assert_near(total, sum / bins);
        port_bitmap_clear(&b);
    }
}

static void bins_that_do_not_divide_the_bits_are_refused(void **state)
{
    (void)state;
    struct port_bitmap b;
    assert_int_equal(port_bitmap_init(&b, 1024, 15), ERR_CONF);
    assert_int_equal(port_bitmap_init(&b, 1024, 0), ERR_CONF);
    assert_int_equal(port_bitmap_init(&b, 0, 16), ERR_CONF);
    assert_int_equal(port_bitmap_init(&b, 1024, 128), ERR_CONF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_port_is_zero),
        cmocka_unit_test(a_few_services_are_almost_nothing),
        cmocka_unit_test(a_range_fills_bin_after_bin),
        cmocka_unit_test(the_first_thousand_ports_and_all_ports_give_pengs_numbers),
        cmocka_unit_test(the_same_port_again_changes_nothing),
        cmocka_unit_test(a_reset_bitmap_is_as_new),
        cmocka_unit_test(any_size_agrees_with_the_formula_bit_by_bit),
        cmocka_unit_test(bins_that_do_not_divide_the_bits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

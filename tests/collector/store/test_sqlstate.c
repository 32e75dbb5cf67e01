#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/store/sqlstate.h"

static void what_the_values_cause_is_of_the_data(void **state)
{
    (void)state;
    const char *const of_data[] = {"23514", "23502", "22003", "22P02", "21000",
                                   "P0001", "54000", "44000", "38001"};
    for (size_t i = 0; i < sizeof of_data / sizeof *of_data; i++)
        assert_true(sqlstate_is_of_data(of_data[i]));
}

/* Else an event would be set aside that an hour later the database takes. */
static void what_may_pass_later_is_not(void **state)
{
    (void)state;
    const char *const others[] = {"08006", "40001", "40P01", "53100", "53200", "55P03",
                                  "57014", "57P01", "58030", "XX000", "42501", "42P01",
                                  "25006", "28000", "",      NULL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(sqlstate_is_of_data(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_values_cause_is_of_the_data),
        cmocka_unit_test(what_may_pass_later_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

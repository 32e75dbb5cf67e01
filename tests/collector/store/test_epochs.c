/* The marks of the sensors' epochs, in a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "collector/store/store.h"
#include "schema/schema.h"
#include "shared/base/log.h"
#include "tests/support/pg_store.h"

#define NOW INT64_C(1795251600000000000) /* 2026-11-21 09:00 UTC */

static int clean(void **state)
{
    (void)state;
    sql("TRUNCATE penstock.sensor, penstock.sensor_epoch");
    return 0;
}

struct loaded {
    struct epoch_row rows[8];
    size_t count;
};

static int keep(void *arg, const struct epoch_row *row)
{
    struct loaded *l = arg;
    assert_true(l->count < sizeof l->rows / sizeof *l->rows);
    l->rows[l->count++] = *row;
    return 0;
}

static struct loaded load(void)
{
    struct loaded l = {.count = 0};
    ok(store_load_epochs(store, keep, &l, &note));
    return l;
}

static void put(const struct epoch_row *rows, size_t count)
{
    ok(store_load_begin(store, &note));
    ok(store_begin(store, &note));
    for (size_t i = 0; i < count; i++)
        ok(store_put_epoch(store, &rows[i], &note));
    ok(store_commit(store, &note));
}

static void marks_are_loaded_as_they_were_put_last_oldest_first(void **state)
{
    (void)state;
    struct epoch_row rows[] = {
        {.sensor = "ams1", .epoch = 5, .last_seq = 7, .first_seen = NOW, .last_seen = NOW + 9000},
        {.sensor = "ams1",
         .epoch = INT64_MAX,
         .last_seq = INT64_MAX,
         .first_seen = NOW,
         .last_seen = NOW + 5000,
         .is_open = true},
        {.sensor = "fra1", .epoch = 5, .last_seq = 1, .first_seen = NOW, .last_seen = NOW},
        {.sensor = "fra1", .epoch = 5, .last_seq = 2, .first_seen = NOW, .last_seen = NOW + 1000},
    };
    put(rows, sizeof rows / sizeof *rows);
    struct loaded l = load();
    assert_int_equal(l.count, 3);
    const struct epoch_row *order[] = {&rows[3], &rows[1], &rows[0]};
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(&l.rows[i], order[i], sizeof *order[i]);
}

static void a_forgotten_epoch_is_deleted_and_no_other(void **state)
{
    (void)state;
    struct epoch_row rows[] = {
        {.sensor = "ams1", .epoch = 5, .first_seen = NOW, .last_seen = NOW},
        {.sensor = "ams1", .epoch = 6, .first_seen = NOW, .last_seen = NOW},
        {.sensor = "fra1", .epoch = 5, .first_seen = NOW, .last_seen = NOW},
        {.sensor = "ams1", .epoch = 5, .is_forgotten = true},
        {.sensor = "ams1", .epoch = 4, .is_forgotten = true}, /* never written: no matter */
    };
    put(rows, sizeof rows / sizeof *rows);
    struct loaded l = load();
    assert_int_equal(l.count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_false(strcmp(l.rows[i].sensor, "ams1") == 0 && l.rows[i].epoch == 5);
}

/* A database of the release before: its sensors' marks are the marks of their epochs. */
static void the_step_takes_over_the_marks_that_are_there(void **state)
{
    (void)state;
    sql("DROP TABLE penstock.sensor_epoch");
    sql("INSERT INTO penstock.sensor VALUES"
        " ('ams1', 'AMS', '0.1', '2026-11-20', '2026-11-21 09:00+00', 5, 7, 'up'),"
        " ('fra1', 'FRA', '0.1', '2026-11-20', '2026-11-21 08:00+00', 6, 8, 'stopped')");
    assert_string_equal(schema_steps[7].name, "epochs");
    sql(schema_steps[7].sql);
    struct loaded l = load();
    assert_int_equal(l.count, 2);
    assert_string_equal(l.rows[0].sensor, "fra1");
    assert_true(l.rows[0].epoch == 6 && l.rows[0].last_seq == 8 && !l.rows[0].is_open);
    assert_string_equal(l.rows[1].sensor, "ams1");
    assert_true(l.rows[1].epoch == 5 && l.rows[1].last_seq == 7 && l.rows[1].is_open);
    assert_true(l.rows[1].last_seen == NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(marks_are_loaded_as_they_were_put_last_oldest_first, clean),
        cmocka_unit_test_setup(a_forgotten_epoch_is_deleted_and_no_other, clean),
        cmocka_unit_test_setup(the_step_takes_over_the_marks_that_are_there, clean),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}

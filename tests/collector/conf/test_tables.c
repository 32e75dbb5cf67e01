/* Tables that follow their files. Time is the test's: each look is two seconds after the last; only
 * the reading itself, in its thread, is waited for. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/conf/tables.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define ROUTE(prefix, as) \
    "TABLE_DUMP2|1|B|192.0.2.1|" as "|" prefix "|" as "|IGP|192.0.2.1|0|0||NAG||\n"
#define CSV "ASN,IP Prefix,Max Length,Trust Anchor\n"

static char folder[] = "/tmp/penstock-test-XXXXXX";
static struct tables_conf conf;
static struct tables *tables;
static struct expect x;
static uint64_t mono;
static int64_t wall;

/* In one step, as writers should. */
static void put(const char *path, const char *text)
{
    char new[sizeof conf.rib.path + 8];
    snprintf(new, sizeof new, "%s.new", path);
    FILE *f = fopen(new, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(new, path), 0);
}

static int begin(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_ERROR - 1); /* nothing */
    wall = clock_wall_ns();
    mono = NS_PER_S;
    conf = (struct tables_conf){.rib = {.max_paths = 10000, .timeout_ns = 60 * NS_PER_S}};
    snprintf(conf.rib.path, sizeof conf.rib.path, "%s/rib", folder);
    snprintf(conf.vrps, sizeof conf.vrps, "%s/vrps", folder);
    put(conf.rib.path, ROUTE("10.0.0.0/8", "1"));
    put(conf.vrps, CSV "AS1,10.0.0.0/8,8,t\n");
    return tables_open(&conf, &tables);
}

static int end(void **state)
{
    (void)state;
    tables_close(tables);
    expect_clear(&x);
    return 0;
}

static bool look(void)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    mono += 2 * NS_PER_S;
    wall += 2 * (int64_t)NS_PER_S;
    bool is_new = tables_look(tables, mono, wall, &x);
    nanosleep(&pause, NULL);
    return is_new;
}

/* Nothing new in some looks. */
static bool rests(void)
{
    for (unsigned i = 0; i < 20; i++)
        if (look())
            return false;
    return true;
}

/* The same routes in some looks, whatever becomes of the other table meanwhile. */
static bool keeps(unsigned prefixes)
{
    for (unsigned i = 0; i < 20; i++) {
        look();
        if (rib_prefixes(x.rib) != prefixes)
            return false;
    }
    return true;
}

/* Something new, however long the reading takes. */
static bool changes(void)
{
    for (unsigned i = 0; i < 5000; i++)
        if (look())
            return true;
    return false;
}

static void read_both(void)
{
    while (x.rib == NULL || x.vrps == NULL)
        assert_true(changes());
}

static enum bgp_state of(const char *text, uint64_t peer_as)
{
    struct ingress_row row = {.at = {.peer_as = peer_as}};
    assert_int_equal(prefix_parse(text, &row.prefix), 0);
    return expect_judge(&x, &row).bgp;
}

static void both_are_read_at_first_and_again_when_they_change(void **state)
{
    (void)state;
    assert_false(tables_are_read(tables));
    read_both();
    assert_true(tables_are_read(tables));
    assert_int_equal(of("10.1.0.0/24", 1), BGP_BEST);
    assert_int_equal(of("10.1.0.0/24", 2), BGP_NONE);
    struct tables_use is = tables_in_use(tables);
    assert_true(is.rib_prefixes == 1 && is.vrps == 1);
    assert_true(is.rib_written_at > 0 && is.rib_written_at <= clock_wall_ns());
    assert_true(is.vrps_written_at > 0 && is.vrps_written_at <= clock_wall_ns());
    assert_true(rests()); /* nothing changed */
    put(conf.rib.path, ROUTE("10.0.0.0/8", "2"));
    assert_true(changes());
    assert_int_equal(of("10.1.0.0/24", 2), BGP_NONE); /* invalid, say the VRPs */
    put(conf.vrps, CSV "AS2,10.0.0.0/8,8,t\n");
    assert_true(changes());
    assert_int_equal(of("10.1.0.0/24", 2), BGP_BEST);
}

static void what_was_good_stays_when_the_file_is_not(void **state)
{
    (void)state;
    read_both();
    put(conf.rib.path, "rubbish\n");
    put(conf.vrps, "{");
    assert_true(rests());
    assert_int_equal(of("10.1.0.0/24", 1), BGP_BEST);
    assert_int_equal(unlink(conf.rib.path), 0);
    assert_true(rests());
    assert_int_equal(of("10.1.0.0/24", 1), BGP_BEST);
    put(conf.rib.path, ROUTE("10.0.0.0/8", "1") ROUTE("10.1.0.0/16", "1"));
    assert_true(changes());
    assert_int_equal(rib_prefixes(x.rib), 2);
}

static void put_routes(unsigned count)
{
    char *text = malloc(100 * (size_t)count);
    size_t len = 0;
    assert_non_null(text);
    for (unsigned i = 0; i < count; i++)
        len += (size_t)sprintf(text + len, ROUTE("10.%u.%u.0/24", "1"), i / 256, i % 256);
    put(conf.rib.path, text);
    free(text);
}

/* A router that has just started dumps the few routes that it has. */
static void a_table_that_lost_most_of_its_prefixes_waits_an_hour_or_for_a_person(void **state)
{
    (void)state;
    put(conf.vrps, CSV "AS1,10.0.0.0/8,24,t\n");
    for (int is_meant = 0; is_meant < 2; is_meant++) {
        put_routes(1000);
        while (x.rib == NULL || rib_prefixes(x.rib) != 1000)
            assert_true(changes());
        put_routes(499);
        assert_true(keeps(1000));
        assert_int_equal(of("10.3.0.0/24", 1), BGP_BEST);
        if (is_meant)
            tables_again(tables, &conf);
        else
            wall += 3601 * (int64_t)NS_PER_S;
        while (rib_prefixes(x.rib) == 1000)
            assert_true(changes());
        assert_int_equal(tables_in_use(tables).rib_prefixes, 499);
        assert_int_equal(of("10.3.0.0/24", 1), BGP_NONE);
    }
    put_routes(2); /* small ones come and go */
    while (rib_prefixes(x.rib) != 2)
        assert_true(changes());
}

static void a_path_that_is_taken_away_takes_its_table_with_it(void **state)
{
    (void)state;
    read_both();
    conf.rib.path[0] = '\0';
    tables_again(tables, &conf);
    assert_true(changes());
    assert_null(x.rib);
    assert_non_null(x.vrps);
    assert_int_equal(of("10.1.0.0/24", 1), BGP_UNKNOWN);
}

static void a_table_that_nobody_writes_any_more_grows_stale_until_it_is_written_again(void **state)
{
    (void)state;
    conf.rib_max_age_ns = 3600 * NS_PER_S;
    tables_again(tables, &conf);
    read_both();
    assert_true(x.rib_written_at != 0 && x.rib_written_at == tables_in_use(tables).rib_written_at);
    assert_int_equal(of("11.0.0.0/24", 1), BGP_NONE);
    wall += 3600 * (int64_t)NS_PER_S;
    assert_true(changes());
    assert_true(tables_in_use(tables).is_rib_stale);
    assert_int_equal(of("11.0.0.0/24", 1), BGP_UNKNOWN);
    assert_int_equal(of("10.0.0.0/8", 1), BGP_BEST);
    put(conf.rib.path, ROUTE("10.0.0.0/8", "1"));
    const struct timespec now[2] = {{.tv_sec = wall / (int64_t)NS_PER_S},
                                    {.tv_sec = wall / (int64_t)NS_PER_S}};
    assert_int_equal(utimensat(AT_FDCWD, conf.rib.path, now, 0), 0);
    while (tables_in_use(tables).is_rib_stale) /* the other one is read again, too */
        assert_true(changes());
    assert_int_equal(of("11.0.0.0/24", 1), BGP_NONE);
}

static void the_start_waits_for_no_file_that_is_not_there_or_never_rests(void **state)
{
    (void)state;
    char text[400];
    assert_int_equal(unlink(conf.vrps), 0);
    for (unsigned i = 0; i < 20 && !tables_are_read(tables); i++) {
        snprintf(text, sizeof text, ROUTE("10.0.0.0/8", "%u"), i + 1, i + 1);
        put(conf.rib.path, text); /* between any two looks */
        struct timespec just_now[2] = {{.tv_sec = wall / (int64_t)NS_PER_S + 2}, {0}};
        just_now[1] = just_now[0];
        just_now[1].tv_nsec = (long)i;
        assert_int_equal(utimensat(AT_FDCWD, conf.rib.path, just_now, 0), 0);
        look();
    }
    assert_true(tables_are_read(tables));
}

static void a_reading_is_stopped_at_the_end(void **state)
{
    (void)state;
    look(); /* begins to read; end() closes at once */
    look();
}

static void check_says_which_file_is_wrong(void **state)
{
    (void)state;
    struct note note = {0};
    assert_int_equal(tables_check(&conf, wall, &note), 0);
    put(conf.vrps, "{}");
    assert_int_equal(tables_check(&conf, wall, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "policy.vrps: /tmp/penstock-test-"));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(conf.vrps);
    char path[sizeof conf.rib.path];
    snprintf(path, sizeof path, "%s/rib", folder);
    unlink(path);
    return rmdir(folder);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(both_are_read_at_first_and_again_when_they_change),
        CASE(what_was_good_stays_when_the_file_is_not),
        CASE(a_table_that_lost_most_of_its_prefixes_waits_an_hour_or_for_a_person),
        CASE(a_path_that_is_taken_away_takes_its_table_with_it),
        CASE(a_table_that_nobody_writes_any_more_grows_stale_until_it_is_written_again),
        CASE(the_start_waits_for_no_file_that_is_not_there_or_never_rests),
        CASE(a_reading_is_stopped_at_the_end),
        CASE(check_says_which_file_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

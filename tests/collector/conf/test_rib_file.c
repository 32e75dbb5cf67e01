/* Routing tables as others write them: lines, and files of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/conf/rib_file.h"
#include "collector/conf/rib_line.h"
#include "shared/base/clock.h"
#include "tests/support/temp_file.h"

#define ROUTE(prefix, path) \
    "TABLE_DUMP2|1700000000|B|192.0.2.1|64501|" prefix "|" path "|IGP|192.0.2.1|100|0||NAG||"

static struct rib_entry entry;
static const char *why;

static int parse(const char *line, uint32_t own_as)
{
    size_t len = strlen(line);
    char *exact = malloc(len > 0 ? len : 1); /* so that a sanitizer sees reads past its end */
    assert_non_null(exact);
    memcpy(exact, line, len);
    int answer = rib_line_parse(exact, len, own_as, &entry, &why);
    free(exact);
    return answer;
}

static void a_route_of_a_table_is_read(void **state)
{
    (void)state;
    char text[PREFIX_TEXT];
    assert_int_equal(parse(ROUTE("203.0.113.0/24", "64501 64502 64503"), 0), 0);
    assert_int_equal(entry.kind, RIB_ENTRY);
    assert_int_equal(entry.at, 1700000000);
    assert_int_equal(entry.peer_as, 64501);
    assert_string_equal(prefix_format(&entry.prefix, text), "203.0.113.0/24");
    assert_int_equal(entry.neighbour_as, 64501);
    assert_int_equal(entry.origin_as, 64503);
    assert_int_equal(entry.path_length, 3);
    assert_int_equal(entry.local_pref, 100);
    assert_int_equal(parse("TABLE_DUMP2|1|B|fd00::1|4200000000|2001:db8::/32|4200000000 {1,2}|"
                           "INCOMPLETE|fd00::1|0|0||NAG||",
                           0),
                     0);
    assert_int_equal(entry.origin_as, 0); /* a set has no one origin */
    assert_int_equal(entry.origin, 2);
}

static void our_own_as_and_confederations_are_no_neighbours(void **state)
{
    (void)state;
    assert_int_equal(parse(ROUTE("10.0.0.0/8", "64500 64500 64501 64502"), 64500), 0);
    assert_int_equal(entry.neighbour_as, 64501);
    assert_int_equal(entry.path_length, 2);
    assert_int_equal(parse(ROUTE("10.0.0.0/8", "(65001 65002) 64501"), 0), 0);
    assert_int_equal(entry.neighbour_as, 64501);
    assert_int_equal(parse(ROUTE("10.0.0.0/8", ""), 0), 0); /* our own route */
    assert_int_equal(entry.neighbour_as, 0);
    assert_int_equal(entry.origin_as, 0);
    assert_int_equal(parse(ROUTE("10.0.0.0/8", "64500"), 64500), 0);
    assert_int_equal(entry.neighbour_as, 0);
}

static void updates_withdrawals_and_the_end_of_a_session_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        parse("BGP4MP|1|A|192.0.2.1|64501|10.0.0.0/8|64501|EGP|192.0.2.1|0|0||NAG||", 0), 0);
    assert_int_equal(entry.kind, RIB_ANNOUNCE);
    assert_int_equal(entry.origin, 1);
    assert_int_equal(parse("BGP4MP_ET|1.123456|W|192.0.2.1|64501|10.0.0.0/8", 0), 0);
    assert_int_equal(entry.kind, RIB_WITHDRAW);
    assert_int_equal(entry.at, 1);
    assert_int_equal(parse("BGP4MP|1|STATE|192.0.2.1|64501|6|1", 0), 0);
    assert_int_equal(entry.kind, RIB_DOWN);
    assert_int_equal(parse("BGP4MP|1|STATE|0.0.0.0|64501|1|3", 0), RIB_LINE_NOTHING);
}

static void a_line_that_is_wrong_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", "expected TABLE_DUMP2"},
        {"hello", "expected TABLE_DUMP2"},
        {"TABLE_DUMP2|1|B|192.0.2.1", "too few fields"},
        {ROUTE("10.0.0.1/8", "1"), "prefix"},
        {ROUTE("10.0.0.0", "1"), "prefix"},
        {ROUTE("10.0.0.0/33", "1"), "prefix"},
        {ROUTE("10.0.0.0/8", "1 x"), "AS path"},
        {ROUTE("10.0.0.0/8", "0"), "AS path"},
        {ROUTE("10.0.0.0/8", "4294967296"), "AS path"},
        {ROUTE("10.0.0.0/8", "1 {2,3"), "set without an end"},
        {ROUTE("10.0.0.0/8", "{2,3} 1"), "begins with a set"},
        {ROUTE("10.0.0.0/8", "(1 2"), "confederation"},
        {"TABLE_DUMP2|x|B|192.0.2.1|1|10.0.0.0/8|1|IGP|192.0.2.1|0|0|", "time"},
        {"TABLE_DUMP2|1|B|host|1|10.0.0.0/8|1|IGP|192.0.2.1|0|0|", "peer"},
        {"TABLE_DUMP2|1|B|192.0.2.1|AS1|10.0.0.0/8|1|IGP|192.0.2.1|0|0|", "peer AS"},
        {"TABLE_DUMP2|1|B|192.0.2.1|1|10.0.0.0/8|1|BEST|192.0.2.1|0|0|", "origin"},
        {"TABLE_DUMP2|1|B|192.0.2.1|1|10.0.0.0/8|1|IGP|192.0.2.1|-1|0|", "local preference"},
        {"TABLE_DUMP2|1|W|192.0.2.1|1|10.0.0.0/8", "expected B, A, W"},
        {"TABLE_DUMP2|1|B|192.0.2.1|1|10.0.0.0/8|1|IGP", "too few fields for a route"},
        {"BGP4MP_AP|1|A|192.0.2.1|1|10.0.0.0/8|1|IGP|192.0.2.1|0|0|", "ADD-PATH"},
        {"BGP4MP|1|STATE|192.0.2.1|1|6", "two states"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(parse(pairs[i][0], 0), ERR_FORMAT);
        if (strstr(why, pairs[i][1]) == NULL)
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", pairs[i][0], why, pairs[i][1]);
    }
}

/* ---- files ---- */

static struct rib *rib;
static struct lines lines;
static struct note note;

static int load(const char *text, uint64_t max_paths)
{
    struct temp_file file;
    struct rib_conf conf = {.max_paths = max_paths, .timeout_ns = 60 * NS_PER_S};
    assert_int_equal(temp_file_open(&file, text), 0);
    snprintf(conf.path, sizeof conf.path, "%s", file.path);
    note.text[0] = '\0';
    int err = rib_load(&conf, NULL, &rib, &lines, &note);
    temp_file_close(&file);
    return err;
}

static void refused(const char *text, uint64_t max_paths, const char *because)
{
    assert_int_equal(load(text, max_paths), ERR_CONF);
    assert_null(rib);
    if (strstr(note.text, because) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", note.text, because);
}

static void a_text_file_is_read_and_its_few_bad_lines_are_counted(void **state)
{
    (void)state;
    char text[4096] = "";
    for (unsigned i = 0; i < 20; i++) {
        char line[200];
        snprintf(line, sizeof line, ROUTE("10.%u.0.0/16", "64501") "\n", i);
        strcat(text, line);
    }
    strcat(text, "BGP4MP|1700000001|W|192.0.2.1|64501|10.3.0.0/16\n"
                 "BGP4MP|1700000001|STATE|0.0.0.0|64501|1|3\r\n"
                 "rubbish\n");
    assert_int_equal(load(text, 100), 0);
    assert_int_equal(rib_prefixes(rib), 19);
    assert_int_equal(lines.taken, 21);
    assert_int_equal(lines.passed, 1);
    assert_int_equal(lines.refused, 1);
    assert_int_equal(lines.first, 23);
    rib_free(rib);
}

static void files_that_are_no_tables_are_refused(void **state)
{
    (void)state;
    refused("", 100, "empty");
    refused("TABLE_DUMP2|nonsense\n", 100, ":1: too few fields (1 of 1 lines are refused");
    refused(ROUTE("10.0.0.0/8", "1") "\n" ROUTE("10.1.0.0/16", "1"), 100, "ends within a line");
    refused(ROUTE("10.0.0.0/8", "1") "\n" ROUTE("10.1.0.0/16", "1") "\n", 1, "more than 1 paths");
    refused("BGP4MP|1|STATE|0.0.0.0|64501|1|3\n", 100, "nothing in it");
    refused("this is a letter, not a routing table\n", 100, "");
    refused("BZh91AY&SY", 100, "not named .gz or .bz2");
}

static void a_file_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct rib_conf conf = {.path = "no/such", .max_paths = 1, .timeout_ns = NS_PER_S};
    assert_int_equal(rib_load(&conf, NULL, &rib, &lines, &note), ERR_CONF);
    assert_string_equal(note.text, "no/such: cannot read: No such file or directory");
}

static void a_stop_is_obeyed(void **state)
{
    (void)state;
    atomic_bool stop = true;
    struct temp_file file;
    struct rib_conf conf = {.max_paths = 10, .timeout_ns = 60 * NS_PER_S};
    assert_int_equal(temp_file_open(&file, ROUTE("10.0.0.0/8", "1") "\n"), 0);
    snprintf(conf.path, sizeof conf.path, "%s", file.path);
    assert_int_equal(rib_load(&conf, &stop, &rib, &lines, &note), ERR_END);
    temp_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_of_a_table_is_read),
        cmocka_unit_test(our_own_as_and_confederations_are_no_neighbours),
        cmocka_unit_test(updates_withdrawals_and_the_end_of_a_session_are_read),
        cmocka_unit_test(a_line_that_is_wrong_is_refused_with_its_reason),
        cmocka_unit_test(a_text_file_is_read_and_its_few_bad_lines_are_counted),
        cmocka_unit_test(files_that_are_no_tables_are_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_told),
        cmocka_unit_test(a_stop_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who may connect, read from a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "shared/curve/allowed.h"
#include "tests/support/temp_folder.h"

static struct temp_folder folder;
static struct allowed allowed;
static struct note note;
static char complaints[4096];

static int set_up(void **state)
{
    (void)state;
    temp_folder_open(&folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    allowed_clear(&allowed);
    temp_folder_close(&folder);
    return 0;
}

static struct curve_key put(const char *file, const char *name, const char *pop)
{
    struct curve_key key = {.name = ""};
    snprintf(key.name, sizeof key.name, "%s", name);
    snprintf(key.pop, sizeof key.pop, "%s", pop);
    assert_int_equal(curve_new(&key), 0);
    assert_int_equal(curve_save(&key, temp_folder_file(&folder, file), false, true, &note), 0);
    return key;
}

static void complain(void *ctx, const char *file, const char *reason)
{
    (void)ctx;
    size_t len = strlen(complaints);
    snprintf(complaints + len, sizeof complaints - len, "%s: %s\n", file, reason);
}

static int read_folder(void)
{
    complaints[0] = '\0';
    allowed_clear(&allowed);
    return allowed_read(&allowed, folder.path, ALLOWED_SENSORS, complain, NULL, &note);
}

static void each_file_allows_its_key_to_be_the_sensor_that_it_names(void **state)
{
    (void)state;
    struct curve_key a = put("a.pub", "ams1", "AMS"), f = put("whatever", "fra1", "FRA");
    assert_int_equal(read_folder(), 0);
    assert_int_equal(allowed.count, 2);
    assert_string_equal(allowed_find(&allowed, a.public_key)->name, "ams1");
    assert_string_equal(allowed_find(&allowed, f.public_key)->pop, "FRA");
    assert_null(allowed_find(&allowed, "0000000000000000000000000000000000000000"));
    assert_string_equal(complaints, "");
}

static void a_bad_file_allows_nobody_is_named_and_harms_no_other(void **state)
{
    (void)state;
    struct curve_key good = put("good.pub", "ams1", "AMS"), secret = put("x.pub", "sec1", "SEC");
    assert_int_equal(curve_save(&secret, temp_folder_file(&folder, "x.pub"), true, true, &note), 0);
    put("nameless.pub", "", "AMS");
    put("popless.pub", "lon1", "");
    put("space.pub", "a b", "AMS");
    put("longpop.pub", "par1", "0123456789012345678901234567890123");
    temp_folder_write(&folder, "garbage.pub", "\x01\xff{", 0644);
    temp_folder_write(&folder, "empty.pub", "", 0644);
    assert_int_equal(symlink("/no/such", temp_folder_file(&folder, "dangling.pub")), 0);
    assert_int_equal(read_folder(), 0);
    assert_int_equal(allowed.count, 1);
    assert_non_null(allowed_find(&allowed, good.public_key));
    static const char *const files[] = {
        "x.pub: ",       "nameless.pub: ", "popless.pub: ", "space.pub: ",
        "longpop.pub: ", "garbage.pub: ",  "empty.pub: ",   "dangling.pub: "};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        assert_non_null(strstr(complaints, files[i]));
    assert_null(strstr(complaints, "good.pub: "));
    assert_non_null(strstr(complaints, "--pop"));
}

static void a_name_or_a_key_stands_once_and_the_second_file_is_told_so(void **state)
{
    (void)state;
    struct curve_key a = put("a.pub", "ams1", "AMS"), b = put("b.pub", "ams1", "FRA");
    struct curve_key c = a;
    strcpy(c.name, "other");
    assert_int_equal(curve_save(&c, temp_folder_file(&folder, "c.pub"), false, false, &note), 0);
    assert_int_equal(read_folder(), 0);
    assert_int_equal(allowed.count, 1);
    assert_string_equal(allowed_find(&allowed, a.public_key)->pop, "AMS");
    assert_null(allowed_find(&allowed, b.public_key));
    assert_string_equal(complaints, "b.pub: its name ams1 is the one of a.pub, which stands\n"
                                    "c.pub: its key is the one of a.pub, which stands\n");
}

static void hidden_files_and_folders_are_no_certificates(void **state)
{
    (void)state;
    put(".ams1.pub.77", "ams1", "AMS");
    assert_int_equal(mkdir(temp_folder_file(&folder, "old"), 0700), 0);
    assert_int_equal(read_folder(), 0);
    assert_int_equal(allowed.count, 0);
    assert_string_equal(complaints, "");
}

static void a_folder_that_is_gone_is_told_from_one_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(allowed_read(&allowed, "/no/such/folder", ALLOWED_SENSORS, NULL, NULL, &note),
                     ERR_CONF);
    assert_non_null(strstr(note.text, "/no/such/folder"));
    assert_int_equal(allowed_read(&allowed, "/dev/null", ALLOWED_SENSORS, NULL, NULL, &note),
                     ERR_CONF);
}

static void every_change_of_the_folder_shows_in_its_print(void **state)
{
    (void)state;
    uint64_t before, after;
    bool is_settled;
    put("a.pub", "ams1", "AMS");
    assert_int_equal(allowed_print(folder.path, &before, &is_settled), 0);
    assert_false(is_settled); /* written just now */
    assert_int_equal(allowed_print(folder.path, &after, &is_settled), 0);
    assert_true(before == after);
    put("b.pub", "fra1", "FRA"); /* one more */
    assert_int_equal(allowed_print(folder.path, &after, &is_settled), 0);
    assert_true(before != after);
    before = after;
    put("b.pub", "fra1", "FRA"); /* another file of that name and size */
    assert_int_equal(allowed_print(folder.path, &after, &is_settled), 0);
    assert_true(before != after);
    before = after;
    assert_int_equal(chmod(temp_folder_file(&folder, "b.pub"), 0600), 0);
    assert_int_equal(allowed_print(folder.path, &after, &is_settled), 0);
    assert_true(before != after);
    before = after;
    unlink(temp_folder_file(&folder, "a.pub"));
    assert_int_equal(allowed_print(folder.path, &after, &is_settled), 0);
    assert_true(before != after);
    assert_int_equal(allowed_print("/no/such/folder", &after, &is_settled), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_file_allows_its_key_to_be_the_sensor_that_it_names),
        TEST(a_bad_file_allows_nobody_is_named_and_harms_no_other),
        TEST(a_name_or_a_key_stands_once_and_the_second_file_is_told_so),
        TEST(hidden_files_and_folders_are_no_certificates),
        TEST(a_folder_that_is_gone_is_told_from_one_that_cannot_be_read),
        TEST(every_change_of_the_folder_shows_in_its_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

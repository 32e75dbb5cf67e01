/* Certificates: what is read, what is refused, and what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "shared/curve/curve.h"
#include "tests/support/temp_folder.h"

/* A pair whose halves belong together, from the specification of CURVE in ZeroMQ's documentation */
#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

static struct temp_folder folder;
static struct note note;

static int set_up(void **state)
{
    (void)state;
    memset(&note, 0, sizeof note);
    temp_folder_open(&folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_folder_close(&folder);
    return 0;
}

static const char *file(const char *name, const char *text, mode_t mode)
{
    temp_folder_write(&folder, name, text, mode);
    return temp_folder_file(&folder, name);
}

#define METADATA "metadata\n    name = \"ams1\"\n    pop = \"AMS\"\n"
#define PAIR     "curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n"
#define HALF     "curve\n    public-key = \"" PUBLIC "\"\n"

static void a_certificate_as_zcert_writes_it_is_read(void **state)
{
    (void)state;
    struct curve_key key;
    const char *path = file("a.cert",
                            "#   ****  Generated on 2026-11-22 by CZMQ  ****\n"
                            "#   ZeroMQ CURVE **Secret** Certificate\n\n" METADATA PAIR,
                            0600);
    assert_int_equal(curve_load_secret(path, &key, &note), 0);
    assert_string_equal(key.name, "ams1");
    assert_string_equal(key.pop, "AMS");
    assert_string_equal(key.public_key, PUBLIC);
    assert_string_equal(key.secret_key, SECRET);
    curve_forget(&key);
    assert_string_equal(key.secret_key, "");
}

static void a_secret_that_others_may_touch_is_refused_with_its_mode_and_the_cure(void **state)
{
    (void)state;
    struct curve_key key;
    char want[1024];
    static const mode_t bad[] = {0640, 0604, 0660, 0610, 0601, 0602, 0644, 0777};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *path = file("a.cert", METADATA PAIR, bad[i]);
        assert_int_equal(curve_load_secret(path, &key, &note), ERR_CONF);
        snprintf(want, sizeof want, "%s: mode %04o: ", path, (unsigned)bad[i]);
        assert_memory_equal(note.text, want, strlen(want));
        snprintf(want, sizeof want, "chmod 600 %s", path);
        assert_non_null(strstr(note.text, want));
        assert_string_equal(key.secret_key, "");
    }
    assert_int_equal(curve_load_secret(file("a.cert", METADATA PAIR, 0400), &key, &note), 0);
    assert_int_equal(curve_load_public(file("a.pub", METADATA HALF, 0666), &key, &note), 0);
}

static void what_is_no_certificate_is_refused_with_file_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "there is no public-key in it"},
        {"this is no certificate\n", "there is no public-key in it"},
        {METADATA "curve\n    public-key = \"short\"\n", ":5: no certificate: no key"},
        {METADATA "curve\n    public-key = \"" PUBLIC "\n", ":5: no certificate: a quote"},
        {METADATA "curve\n    public-key\n", ":5: no certificate: expected key"},
        {METADATA "curve = x\n", ":4: no certificate: a value outside"},
        {METADATA HALF HALF, ":7: no certificate: said twice"},
        {METADATA METADATA HALF, ":5: no certificate: said twice"},
        {METADATA "curve\n    public-key = \"                                        \"\n",
         ":5: no certificate: no key"},
        {"metadata\n    name = \"0123456789012345678901234567890123456789012345678901234567890123\""
         "\n" HALF,
         ":2: no certificate: too long"},
        {METADATA "curve\n    public-key = \"" SECRET "\"\n    secret-key = \"" SECRET "\"\n",
         "does not belong to its secret-key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct curve_key key;
        const char *path = file("a.cert", cases[i].text, 0600);
        assert_int_equal(curve_load(path, &key, &note), ERR_CONF);
        assert_non_null(strstr(note.text, path));
        assert_non_null(strstr(note.text, cases[i].says));
        assert_string_equal(key.public_key, "");
    }
}

static void files_that_are_not_there_or_no_files_are_named(void **state)
{
    (void)state;
    struct curve_key key;
    assert_int_equal(curve_load(temp_folder_file(&folder, "none"), &key, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "none: No such file"));
    assert_int_equal(curve_load(folder.path, &key, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "no regular file"));
    assert_int_equal(mkfifo(temp_folder_file(&folder, "fifo"), 0600), 0);
    assert_int_equal(curve_load(folder.file, &key, &note), ERR_CONF); /* and does not wait */
    char *huge = calloc(1, 10001);
    memset(huge, '#', 10000);
    assert_int_equal(curve_load(file("huge", huge, 0600), &key, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "too long"));
    free(huge);
}

static void the_two_kinds_of_file_are_not_taken_for_each_other(void **state)
{
    (void)state;
    struct curve_key key;
    assert_int_equal(curve_load_secret(file("a.pub", METADATA HALF, 0600), &key, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "no secret-key"));
    assert_int_equal(curve_load_public(file("a.cert", METADATA PAIR, 0600), &key, &note), ERR_CONF);
    assert_non_null(strstr(note.text, "secret-key in it"));
    assert_string_equal(key.secret_key, "");
}

static void a_new_pair_is_written_and_read_back_and_never_over_another(void **state)
{
    (void)state;
    struct curve_key key = {.name = "zürich-1", .pop = "ZRH"}, other = key, back;
    struct stat st;
    umask(0);
    assert_int_equal(curve_new(&key), 0);
    assert_int_equal(curve_new(&other), 0);
    assert_string_not_equal(key.public_key, other.public_key);
    const char *path = temp_folder_file(&folder, "z.cert");
    assert_int_equal(curve_save(&key, path, true, false, &note), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(curve_load_secret(path, &back, &note), 0);
    assert_memory_equal(&back, &key, sizeof key);
    assert_int_equal(curve_save(&other, path, true, false, &note), -EEXIST);
    assert_int_equal(curve_load_secret(path, &back, &note), 0);
    assert_string_equal(back.secret_key, key.secret_key);
    assert_int_equal(curve_save(&other, path, true, true, &note), 0);
    assert_int_equal(curve_load_secret(path, &back, &note), 0);
    assert_string_equal(back.secret_key, other.secret_key);
}

static void a_public_file_has_no_secret_and_nothing_is_left_beside_it(void **state)
{
    (void)state;
    struct curve_key key = {.name = "ams1"}, back;
    char text[4096] = "";
    assert_int_equal(curve_new(&key), 0);
    const char *path = temp_folder_file(&folder, "a.pub");
    assert_int_equal(curve_save(&key, path, false, false, &note), 0);
    FILE *in = fopen(path, "r");
    assert_true(fread(text, 1, sizeof text - 1, in) > 0);
    fclose(in);
    assert_null(strstr(text, key.secret_key));
    assert_null(strstr(text, "pop"));
    assert_int_equal(curve_load_public(path, &back, &note), 0);
    assert_string_equal(back.public_key, key.public_key);
    assert_int_equal(curve_save(&key, "/no/such/folder/a.pub", false, false, &note), -ENOENT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder.path), 0); /* empty: nothing else was there */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_as_zcert_writes_it_is_read),
        TEST(a_secret_that_others_may_touch_is_refused_with_its_mode_and_the_cure),
        TEST(what_is_no_certificate_is_refused_with_file_line_and_reason),
        TEST(files_that_are_not_there_or_no_files_are_named),
        TEST(the_two_kinds_of_file_are_not_taken_for_each_other),
        TEST(a_new_pair_is_written_and_read_back_and_never_over_another),
        TEST(a_public_file_has_no_secret_and_nothing_is_left_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

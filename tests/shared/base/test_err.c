#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "shared/base/err.h"

static void every_error_has_its_own_number_name_and_sentence(void **state)
{
    (void)state;
    static const struct {
        int err;
        const char *name, *sentence, *actor;
    } rows[] = {
#define ERR(name, number, sentence, actor) {number, #name, sentence, actor},
#include "shared/base/err.def"
#undef ERR
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(rows[i].err <= -1000);
        assert_string_equal(err_name(rows[i].err), rows[i].name);
        assert_string_equal(err_text(rows[i].err), rows[i].sentence);
        assert_true(strlen(rows[i].actor) > 0);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(rows[i].err, rows[j].err);
    }
}

static void errno_values_keep_the_system_s_name_and_sentence(void **state)
{
    (void)state;
    assert_string_equal(err_name(-ENOENT), "ENOENT");
    assert_string_equal(err_text(-ENOENT), "No such file or directory");
}

static void success_and_unknown_numbers_have_words_too(void **state)
{
    (void)state;
    assert_string_equal(err_name(0), "OK");
    assert_string_equal(err_text(0), "no error");
    static const int odd[] = {7, -999, -123456, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_string_equal(err_name(odd[i]), "UNKNOWN");
        assert_string_equal(err_text(odd[i]), "an unknown error");
    }
}

static void a_note_is_replaced_cut_at_its_size_and_gives_the_error_back(void **state)
{
    (void)state;
    struct note note = {"before"};
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(note_set(&note, ERR_CONF, "%s:%d", "file", 3), ERR_CONF);
    assert_string_equal(note.text, "file:3");
    assert_int_equal(note_set(&note, -EIO, "%s", longer), -EIO);
    assert_int_equal(strlen(note.text), sizeof note.text - 1);
    assert_int_equal(note_set(NULL, ERR_FULL, "nobody listens"), ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_own_number_name_and_sentence),
        cmocka_unit_test(errno_values_keep_the_system_s_name_and_sentence),
        cmocka_unit_test(success_and_unknown_numbers_have_words_too),
        cmocka_unit_test(a_note_is_replaced_cut_at_its_size_and_gives_the_error_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

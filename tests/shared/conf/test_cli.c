#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/conf/cli.h"

static const char *capture, *migrate;
static const struct cli_option own[] = {
    {"capture", "FILE", "read a capture", &capture},
    {"migrate", NULL, "bring the database to this version", &migrate},
};

static char said[16384]; /* standard output and error of the last parse */

static int parse(struct cli *out, char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    capture = migrate = NULL;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int saved_out = dup(1), saved_err = dup(2);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    int status =
        cli_parse(argc, argv, "penstock-x", "About it.", "-c FILE\n--capture FILE", own, 2, out);
    fflush(stdout);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = '\0';
    fclose(file);
    return status;
}

#define PARSE(out, ...) parse(out, (char *[]){(char *)"penstock-x", __VA_ARGS__, NULL})
#define W(text)         ((char *)(uintptr_t)(text))

static void options_are_read_in_both_spellings(void **state)
{
    (void)state;
    struct cli cli;
    assert_int_equal(PARSE(&cli, W("-c"), W("a.yaml"), W("--set"), W("a=1"), W("--set=b=2=3"),
                           W("--capture=-"), W("--check")),
                     CLI_GO_ON);
    assert_string_equal(cli.config, "a.yaml");
    assert_int_equal(cli.setting_count, 2);
    assert_string_equal(cli.settings[0], "a=1");
    assert_string_equal(cli.settings[1], "b=2=3");
    assert_true(cli.check);
    assert_false(cli.explain);
    assert_string_equal(capture, "-");
    assert_null(migrate);
    assert_string_equal(said, "");
}

static void a_program_s_own_switch_is_set_to_nothing(void **state)
{
    (void)state;
    struct cli cli;
    assert_int_equal(PARSE(&cli, W("--migrate"), W("--explain"), W("--config=b")), CLI_GO_ON);
    assert_string_equal(migrate, "");
    assert_true(cli.explain);
    assert_string_equal(cli.config, "b");
}

static void no_word_at_all_goes_on(void **state)
{
    (void)state;
    struct cli cli;
    assert_int_equal(parse(&cli, (char *[]){W("x"), NULL}), CLI_GO_ON);
    assert_null(cli.config);
}

static void bad_usage_ends_with_2_and_a_hint(void **state)
{
    (void)state;
    static const char *const words[] = {"--nope",    "-x",    "stray", "--check=1", "--config",
                                        "--capture", "--set", "--",    "-"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct cli cli;
        assert_int_equal(PARSE(&cli, W(words[i])), 2);
        assert_non_null(strstr(said, words[i]));
        assert_non_null(strstr(said, "Try 'penstock-x --help'."));
    }
    struct cli cli;
    assert_int_equal(PARSE(&cli, W("-c"), W("a"), W("-c"), W("b")), 2);
}

static void too_many_settings_are_refused(void **state)
{
    (void)state;
    struct cli cli;
    char *argv[CLI_SETTINGS_MAX + 3] = {W("x")};
    for (int i = 1; i <= CLI_SETTINGS_MAX + 1; i++)
        argv[i] = W("--set=a=1");
    assert_int_equal(parse(&cli, argv), 2);
    argv[CLI_SETTINGS_MAX + 1] = NULL;
    assert_int_equal(parse(&cli, argv), CLI_GO_ON);
}

static void help_names_every_option_and_ends_with_0(void **state)
{
    (void)state;
    struct cli cli;
    static const char *const words[] = {
        "Usage: penstock-x -c FILE\n       penstock-x --capture FILE\n",
        "About it.",
        "--capture FILE",
        "--migrate",
        "--config FILE",
        "--set KEY=VALUE",
        "--check",
        "--explain",
        "--help",
        "--version",
        "Exit status"};
    assert_int_equal(PARSE(&cli, W("--help")), 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(said, words[i]) == NULL)
            fail_msg("--help does not say \"%s\"", words[i]);
}

static void version_ends_with_0(void **state)
{
    (void)state;
    struct cli cli;
    assert_int_equal(PARSE(&cli, W("--version")), 0);
    assert_string_equal(said, "penstock-x " PENSTOCK_VERSION "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_read_in_both_spellings),
        cmocka_unit_test(a_program_s_own_switch_is_set_to_nothing),
        cmocka_unit_test(no_word_at_all_goes_on),
        cmocka_unit_test(bad_usage_ends_with_2_and_a_hint),
        cmocka_unit_test(too_many_settings_are_refused),
        cmocka_unit_test(help_names_every_option_and_ends_with_0),
        cmocka_unit_test(version_ends_with_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

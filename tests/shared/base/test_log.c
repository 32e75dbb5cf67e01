#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/log.h"

/* What log_line writes to standard error, read back through a file. */
struct catch
{
    FILE *file;
    int saved;
    char text[8192];
};

static void catch_begin(struct catch *c)
{
    c->file = tmpfile();
    assert_non_null(c->file);
    c->saved = dup(STDERR_FILENO);
    dup2(fileno(c->file), STDERR_FILENO);
}

static const char *catch_end(struct catch *c)
{
    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    rewind(c->file);
    size_t len = fread(c->text, 1, sizeof c->text - 1, c->file);
    c->text[len] = '\0';
    fclose(c->file);
    return c->text;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int err = regexec(&re, text, 0, NULL, 0);
    regfree(&re);
    if (err != 0)
        fail_msg("\"%s\" does not match %s", text, pattern);
}

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void a_line_is_time_level_and_words(void **state)
{
    (void)state;
    struct catch c;
    catch_begin(&c);
    log_info("event=attach if=%s queue=%d", "eth0", 3);
    assert_matches(catch_end(&c), STAMP "info event=attach if=eth0 queue=3\n$");
}

static void lines_below_the_level_are_skipped(void **state)
{
    (void)state;
    struct catch c;
    log_level_set(LOG_LEVEL_WARN);
    catch_begin(&c);
    log_debug("a=1");
    log_info("a=2");
    log_warn("a=3");
    log_error("a=4");
    const char *text = catch_end(&c);
    log_level_set(LOG_LEVEL_INFO);
    assert_null(strstr(text, "a=1"));
    assert_null(strstr(text, "a=2"));
    assert_non_null(strstr(text, " warn a=3\n"));
    assert_non_null(strstr(text, " error a=4\n"));
}

static void the_program_s_name_stands_after_the_level(void **state)
{
    (void)state;
    struct catch c;
    log_program_set("sensor");
    catch_begin(&c);
    log_info("a=1");
    const char *text = catch_end(&c);
    log_program_set(NULL);
    assert_matches(text, STAMP "info program=sensor a=1\n$");
}

static void an_overlong_line_is_cut_and_still_ends(void **state)
{
    (void)state;
    struct catch c;
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    catch_begin(&c);
    log_info("%s", longer);
    const char *text = catch_end(&c);
    assert_in_range(strlen(text), 1900, 2048);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

/* Else a sensor's name or a database's sentence could forge lines. */
static void what_is_logged_cannot_begin_a_line_of_its_own(void **state)
{
    (void)state;
    struct catch c;
    catch_begin(&c);
    log_info("reason=%s", "first\nsecond\r\x1b[2J");
    const char *text = catch_end(&c);
    assert_matches(text, STAMP "info reason=first second  \\[2J\n$");
}

/* Else a reason that a sensor gives could forge keys. */
static void what_stands_in_quotes_cannot_end_them(void **state)
{
    (void)state;
    char out[64], less[4];
    assert_string_equal(log_quotable("x\" event=evil z=\"\\", out, sizeof out),
                        "x' event=evil z='/");
    assert_string_equal(log_quotable("\"\"\"\"\"", less, sizeof less), "'''");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_time_level_and_words),
        cmocka_unit_test(lines_below_the_level_are_skipped),
        cmocka_unit_test(the_program_s_name_stands_after_the_level),
        cmocka_unit_test(an_overlong_line_is_cut_and_still_ends),
        cmocka_unit_test(what_stands_in_quotes_cannot_end_them),
        cmocka_unit_test(what_is_logged_cannot_begin_a_line_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

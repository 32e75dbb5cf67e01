#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shared/base/stage.h"

struct story {
    char text[64];
    int fail_at;
    const char *sentence;
};

static int up(struct story *s, int which, struct note *note)
{
    if (s->fail_at == which)
        return note_set(note, ERR_KERNEL, "%s", s->sentence);
    s->text[strlen(s->text)] = (char)('A' + which); /* the rest is zero */
    return 0;
}

static int a_up(void *ctx, struct note *note)
{
    return up(ctx, 0, note);
}

static int b_up(void *ctx, struct note *note)
{
    return up(ctx, 1, note);
}

static int c_up(void *ctx, struct note *note)
{
    return up(ctx, 2, note);
}

static int d_up(void *ctx, struct note *note)
{
    return up(ctx, 3, note);
}

static void a_down(void *ctx)
{
    strcat(((struct story *)ctx)->text, "a");
}

static void c_down(void *ctx)
{
    strcat(((struct story *)ctx)->text, "c");
}

static void d_down(void *ctx)
{
    strcat(((struct story *)ctx)->text, "d");
}

static const struct stage stages[] = {{"first", a_up, a_down},
                                      {"second", b_up, NULL},
                                      {"third", c_up, c_down},
                                      {"last", d_up, d_down}};

static void stages_go_up_in_order_and_down_backwards(void **state)
{
    (void)state;
    struct story s = {.fail_at = -1};
    struct note note = {0};
    assert_int_equal(stage_up(stages, 4, &s, &note), 0);
    assert_string_equal(s.text, "ABCD");
    assert_string_equal(note.text, "");
    stage_down(stages, 4, &s);
    assert_string_equal(s.text, "ABCDdca");
}

static void a_failure_runs_the_downs_of_what_is_up_backwards(void **state)
{
    (void)state;
    struct story s = {.fail_at = 3, .sentence = "no such interface"};
    struct note note = {0};
    assert_int_equal(stage_up(stages, 4, &s, &note), ERR_KERNEL);
    assert_string_equal(s.text, "ABCca");
    assert_string_equal(note.text, "no such interface"); /* a sentence needs no prefix */
}

static void a_failure_of_the_first_runs_no_down(void **state)
{
    (void)state;
    struct story s = {.fail_at = 0, .sentence = "x"};
    assert_int_equal(stage_up(stages, 4, &s, NULL), ERR_KERNEL);
    assert_string_equal(s.text, "");
}

static void a_stage_without_a_sentence_gets_the_error_s(void **state)
{
    (void)state;
    struct story s = {.fail_at = 1, .sentence = ""};
    struct note note = {0};
    assert_int_equal(stage_up(stages, 4, &s, &note), ERR_KERNEL);
    assert_string_equal(note.text, "second: the kernel refused a BPF or XDP operation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_go_up_in_order_and_down_backwards),
        cmocka_unit_test(a_failure_runs_the_downs_of_what_is_up_backwards),
        cmocka_unit_test(a_failure_of_the_first_runs_no_down),
        cmocka_unit_test(a_stage_without_a_sentence_gets_the_error_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

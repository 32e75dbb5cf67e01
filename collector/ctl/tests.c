#include "collector/ctl/tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/ctl/database.h"
#include "collector/ctl/numbers.h"
#include "collector/ctl/show.h"

#define LIMIT     50
#define TIMEOUT_S 600
#define LOOK_MS   1000 /* while waiting, also if no word came */

static const struct show order_columns[] = {
    {"order_id", "ORDER"},     {"prefix", "PREFIX"},   {"pop", "POP"},
    {"state", "STATE"},        {"verdict", "VERDICT"}, {"result", "RESULT"},
    {"drops", "DROPS"},        {"requested_by", "BY"}, {"requested_at", "REQUESTED"},
    {"started_at", "STARTED"}, {"ended_at", "ENDED"},  {"detail", "DETAIL"},
};
static const struct show test_columns[] = {
    {"started_at", "STARTED"},
    {"prefix", "PREFIX"},
    {"pop", "POP"},
    {"router", "ROUTER"},
    {"interface", "INTERFACE"},
    {"mode", "MODE"},
    {"verdict", "VERDICT"},
    {"genuine_probability", "GENUINE"},
    {"genuine_fraction", "FRACTION"},
    {"drops", "DROPS"},
    {"retransmitted", "CAME AGAIN"},
    {"order_id", "ORDER"},
    {"reason", "REASON"},
};
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- tests ---- */

static void print_some(const char *title, const struct look_rows *rows, const struct show *columns,
                       unsigned count)
{
    printf("%s:\n", title);
    if (look_count(rows) == 0)
        puts("  None.");
    else
        show_table(rows, columns, count);
}

static void print_all(const struct look_rows *orders, const struct look_rows *tests, bool json)
{
    if (json) {
        printf("{\"orders\":");
        show_json(orders);
        printf(",\"tests\":");
        show_json(tests);
        puts("}");
        return;
    }
    print_some("Orders", orders, order_columns, COUNT_OF(order_columns));
    putchar('\n');
    print_some("Tests", tests, test_columns, COUNT_OF(test_columns));
}

int tests_list(const struct call *call)
{
    struct look *look;
    struct look_rows *orders = NULL, *tests = NULL;
    struct look_tests which = {.prefix = call->argument[0], .pop = call->option[OPTION_POP]};
    struct note note = {0};
    int status = numbers_limit(call->option[OPTION_LIMIT], LIMIT, &which.limit);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_orders(look, &which, &orders, &note);
    if (err == 0)
        err = look_tests(look, &which, &tests, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else
        print_all(orders, tests, call->json);
    if (err == 0 && which.limit > 0)
        show_told(look_count(orders) == which.limit ? orders : tests, which.limit, true, "");
    look_rows_free(orders);
    look_rows_free(tests);
    look_close(look);
    return status;
}

/* ---- one order ---- */

static void print_order(const struct look_rows *rows, bool json)
{
    if (json) {
        show_json_row(rows, 0);
        putchar('\n');
    } else {
        show_table(rows, order_columns, COUNT_OF(order_columns));
    }
}

static int say(const struct call *call,
               int (*what)(struct look *l, const char *order_id, struct look_rows **out,
                           struct note *note),
               const char *none)
{
    struct look *look;
    struct look_rows *rows = NULL;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = what(look, call->argument[0], &rows, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else if (look_count(rows) == 0)
        status = command_fail(1, "order %s: %s", call->argument[0], none);
    else
        print_order(rows, call->json);
    look_rows_free(rows);
    look_close(look);
    return status;
}

int test_stop(const struct call *call)
{
    return say(call, look_order_cancel, "there is none, or it is over");
}

int test_approve(const struct call *call)
{
    return say(call, look_order_approve, "there is none, or it is not proposed");
}

/* ---- test start ---- */

static int parse_timeout(const char *text, unsigned *seconds)
{
    char *end;
    *seconds = TIMEOUT_S;
    if (text == NULL)
        return 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || (*end != '\0' && strcmp(end, "s") != 0) ||
        value > 86400 * 7)
        return command_fail(2, "--timeout: \"%s\" is no number of seconds", text);
    *seconds = (unsigned)value;
    return 0;
}

/* Who waits is told what it waits for, each time that it is something else. */
static void tell(const struct look_rows *rows, char last[static 128])
{
    const char *state = look_get(rows, 0, "state"), *detail = look_get(rows, 0, "detail");
    char now[128];
    snprintf(now, sizeof now, "%s%s%s", state, detail[0] != '\0' ? ": " : "", detail);
    if (strcmp(now, last) != 0)
        fprintf(stderr, "order %s %s\n", look_get(rows, 0, "order_id"), now);
    strcpy(last, now);
}

/* The order when it is over, or as it was when the time was. */
static int wait_for_end(struct look *look, const char *order_id, unsigned seconds,
                        struct look_rows **out, struct note *note)
{
    char last[128] = "";
    time_t until = time(NULL) + (time_t)seconds;
    for (;;) {
        int err = look_order(look, order_id, out, note);
        if (err != 0 || look_count(*out) == 0)
            return err != 0 ? err : note_set(note, ERR_DATABASE, "somebody deleted the order");
        if (look_get(*out, 0, "ended_at") != NULL || time(NULL) >= until)
            return 0;
        tell(*out, last);
        look_rows_free(*out);
        *out = NULL;
        look_wait(look, LOOK_MS);
    }
}

static int verdict_status(const struct look_rows *rows)
{
    const char *verdict = look_get(rows, 0, "verdict");
    if (look_get(rows, 0, "ended_at") == NULL)
        return command_fail(1, "order %s is not over yet; it goes on",
                            look_get(rows, 0, "order_id"));
    return verdict != NULL && strcmp(verdict, "genuine") == 0 ? 0 : 1;
}

static int start(struct look *look, const struct call *call, unsigned seconds, struct note *note)
{
    struct look_rows *rows = NULL;
    char order_id[32];
    int status = 0;
    int err = look_order_test(look, call->argument[0], call->option[OPTION_POP],
                              call->option[OPTION_REASON], &rows, note);
    if (err == 0 && call->option[OPTION_WAIT] != NULL) {
        snprintf(order_id, sizeof order_id, "%s", look_get(rows, 0, "order_id"));
        look_rows_free(rows);
        rows = NULL;
        err = wait_for_end(look, order_id, seconds, &rows, note);
        status = err == 0 ? verdict_status(rows) : 0;
    }
    if (err == 0)
        print_order(rows, call->json);
    look_rows_free(rows);
    return err == 0 ? status : database_fail(err, note);
}

int test_start(const struct call *call)
{
    struct look *look;
    struct note note = {0};
    unsigned seconds;
    int status = parse_timeout(call->option[OPTION_TIMEOUT], &seconds);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    status = start(look, call, seconds, &note);
    look_close(look);
    return status;
}

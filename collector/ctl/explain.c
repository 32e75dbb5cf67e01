#include "collector/ctl/explain.h"

#include <stdio.h>
#include <string.h>

#include "collector/ctl/database.h"
#include "collector/ctl/json.h"
#include "collector/ctl/numbers.h"
#include "collector/ctl/show.h"
#include "collector/ctl/what_if.h"

#define TESTS   5 /* newest tests that are told */
#define ORDERS  5
#define DROPS   12 /* withheld segments of each, unless asked for more (--limit) */
#define CHANGES 10
#define GAPS    10

static void explained_free(struct explained *x)
{
    struct look_rows *all[] = {x->alert, x->alerts,  x->map,    x->orders, x->tests,
                               x->drops, x->history, x->sensor, x->gaps};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        look_rows_free(all[i]);
}

/* The ids of all tests as PostgreSQL writes an array. */
static void ids_of(const struct look_rows *tests, char *text, size_t size)
{
    size_t n = 0;
    text[n++] = '{';
    for (unsigned i = 0; i < look_count(tests) && n + 40 < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i > 0 ? "," : "",
                              look_get(tests, i, "test_id"));
    snprintf(text + n, size - n, "}");
}

static int gather_tests(struct explained *x, struct look *l, const struct look_place *at,
                        unsigned drops, struct note *note)
{
    char ids[64 * TESTS];
    int err = look_tests_of(l, at, TESTS, &x->tests, note);
    if (err != 0)
        return err;
    ids_of(x->tests, ids, sizeof ids);
    return look_drops_of(l, ids, drops, &x->drops, note);
}

static int gather_prefix(struct explained *x, struct look *l, const struct look_place *at,
                         unsigned drops, struct note *note)
{
    struct look_entries which = {.prefix = at->prefix, .limit = 50};
    x->prefix = at->prefix;
    int err = look_entries(l, &which, &x->map, note);
    if (err == 0)
        err = look_orders_of(l, at->prefix, ORDERS, &x->orders, note);
    if (err == 0)
        err = look_changes_of(l, at->prefix, CHANGES, &x->history, note);
    return err == 0 ? gather_tests(x, l, at, drops, note) : err;
}

static int gather_sensor(struct explained *x, struct look *l, const char *name, struct note *note)
{
    int err = look_sensor(l, name, &x->sensor, note);
    return err == 0 ? look_gaps_of(l, name, GAPS, &x->gaps, note) : err;
}

static int gather_alert(struct explained *x, struct look *l, const char *id, unsigned drops,
                        struct note *note)
{
    int err = look_alert(l, id, &x->alert, note);
    if (err != 0)
        return err;
    if (look_count(x->alert) == 0)
        return note_set(note, ERR_DATABASE, "there is no alert %s", id);
    struct look_place at = {.prefix = look_get(x->alert, 0, "prefix"),
                            .pop = look_get(x->alert, 0, "pop"),
                            .router = look_get(x->alert, 0, "router"),
                            .interface = look_get(x->alert, 0, "interface")};
    const char *sensor = look_get(x->alert, 0, "sensor");
    if (at.prefix != NULL)
        err = gather_prefix(x, l, &at, drops, note);
    if (err == 0 && sensor != NULL)
        err = gather_sensor(x, l, sensor, note);
    return err;
}

/* ---- JSON ---- */

static void json_list(const char *key, const struct look_rows *rows)
{
    printf(",\n\"%s\":", key);
    show_json(rows);
}

static void print_json(const struct explained *x)
{
    printf("{\"alert\":");
    if (x->alert != NULL)
        show_json_row(x->alert, 0);
    else
        printf("null");
    json_list("alerts", x->alerts);
    json_list("map", x->map);
    json_list("orders", x->orders);
    json_list("tests", x->tests);
    json_list("drops", x->drops);
    json_list("history", x->history);
    json_list("sensor", x->sensor);
    json_list("gaps", x->gaps);
    printf("}\n");
}

/* ---- the command ---- */

static bool is_number(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

static int explain_with(struct look *look, const struct call *call, unsigned drops)
{
    struct explained x = {0};
    struct note note = {0};
    const char *what = call->argument[0];
    int err;
    if (is_number(what)) {
        err = gather_alert(&x, look, what, drops, &note);
    } else {
        err = look_alerts_of(look, what, &x.alerts, &note);
        if (err == 0)
            err = gather_prefix(&x, look, &(struct look_place){.prefix = what}, drops, &note);
    }
    int status = 0;
    if (err != 0)
        status = database_fail(err, &note);
    else if (call->json)
        print_json(&x);
    else
        story_tell(&x);
    explained_free(&x);
    return status;
}

/* The same matter under another policy. */
static int explain_what_if(struct look *look, const struct call *call)
{
    struct look_rows *alert = NULL;
    struct note note = {0};
    const char *prefix = call->argument[0];
    if (!is_number(prefix))
        return what_if(call, look, prefix);
    int err = look_alert(look, prefix, &alert, &note);
    int status = 0;
    if (err != 0)
        status = database_fail(err, &note);
    else if (look_count(alert) == 0)
        status = command_fail(1, "there is no alert %s", prefix);
    else if (look_get(alert, 0, "prefix") == NULL)
        status = command_fail(2, "alert %s is about no prefix: no policy changes it", prefix);
    else
        status = what_if(call, look, look_get(alert, 0, "prefix"));
    look_rows_free(alert);
    return status;
}

int explain(const struct call *call)
{
    struct look *look;
    unsigned drops;
    int status = numbers_limit(call->option[OPTION_LIMIT], DROPS, &drops);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    status = call->option[OPTION_WHAT_IF] != NULL ? explain_what_if(look, call)
                                                  : explain_with(look, call, drops);
    look_close(look);
    return status;
}

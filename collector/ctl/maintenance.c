#include "collector/ctl/maintenance.h"

#include <stdio.h>

#include "collector/alert/rule.h"
#include "collector/ctl/database.h"
#include "collector/ctl/show.h"
#include "collector/store/look_alerts.h"

static const struct show columns[] = {
    {"maintenance_id", "WINDOW"},
    {"starts_at", "FROM"},
    {"ends_at", "TO"},
    {"kind", "KIND"},
    {"pop", "POP"},
    {"router", "ROUTER"},
    {"interface", "INTERFACE"},
    {"peer_as", "PEER AS"},
    {"prefix", "PREFIX"},
    {"sensor", "SENSOR"},
    {"who", "WHO"},
    {"why", "WHY"},
};

/* What a question gave, printed. The exit status. */
static int told(int err, struct look_rows *rows, const struct note *note, bool json)
{
    if (err != 0)
        return database_fail(err, note);
    show_rows(rows, columns, sizeof columns / sizeof columns[0], json);
    look_rows_free(rows);
    return 0;
}

int maintenance_add(const struct call *call)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    const struct look_window window = {.from = call->option[OPTION_FROM],
                                       .to = call->option[OPTION_TO],
                                       .lasts = call->option[OPTION_FOR],
                                       .kind = call->option[OPTION_KIND],
                                       .pop = call->option[OPTION_POP],
                                       .router = call->option[OPTION_ROUTER],
                                       .interface = call->option[OPTION_INTERFACE],
                                       .peer_as = call->option[OPTION_PEER_AS],
                                       .prefix = call->option[OPTION_PREFIX],
                                       .sensor = call->option[OPTION_SENSOR],
                                       .who = call->option[OPTION_WHO],
                                       .why = call->argument[0]};
    if ((window.to == NULL) == (window.lasts == NULL))
        return command_fail(2, "needs one of --to TIME and --for SPAN");
    if (window.kind != NULL && alert_kind_of(window.kind) == KIND_NONE)
        return command_fail(2, "--kind: \"%s\" is no kind of alert; docs/alerts has them all",
                            window.kind);
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_window_add(look, &window, &rows, &note);
    status = told(err, rows, &note, call->json);
    look_close(look);
    return status;
}

int maintenance_list(const struct call *call)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    bool is_all = call->option[OPTION_ALL] != NULL;
    int err = look_windows(look, is_all, &rows, &note);
    if (err == 0)
        show_told(rows, 0, call->json,
                  is_all ? "no window of maintenance was ever announced"
                         : "no window that is not over; --all has the others, too");
    status = told(err, rows, &note, call->json);
    look_close(look);
    return status;
}

int maintenance_remove(const struct call *call)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_window_end(look, call->argument[0], &rows, &note);
    if (err == 0 && look_count(rows) == 0) {
        look_rows_free(rows);
        status = command_fail(1, "there is no window %s that is not over", call->argument[0]);
    } else {
        status = told(err, rows, &note, call->json);
    }
    look_close(look);
    return status;
}

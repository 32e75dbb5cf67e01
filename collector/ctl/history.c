#include "collector/ctl/history.h"

#include "collector/ctl/database.h"
#include "collector/ctl/numbers.h"
#include "collector/ctl/show.h"

#define LIMIT 100

static const struct show columns[] = {
    {"at", "AT"},
    {"kind", "WHAT"},
    {"prefix", "PREFIX"},
    {"from_pop", "FROM"},
    {"from_router", "ROUTER"},
    {"from_interface", "INTERFACE"},
    {"from_share_before", "BEFORE"},
    {"from_share_after", "AFTER"},
    {"to_pop", "TO"},
    {"to_router", "ROUTER"},
    {"to_interface", "INTERFACE"},
    {"to_share_before", "BEFORE"},
    {"to_share_after", "AFTER"},
    {"to_state", "STATE"},
    {"to_probability", "GENUINE"},
    {"other", "OTHER"},
};

void history_table(const struct look_rows *rows)
{
    show_table(rows, columns, sizeof columns / sizeof columns[0]);
}

int history_list(const struct call *call)
{
    struct look *look;
    struct look_rows *rows = NULL;
    struct note note = {0};
    unsigned limit;
    int status = numbers_limit(call->option[OPTION_LIMIT], LIMIT, &limit);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_changes_of(look, call->argument[0], limit, &rows, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else
        show_rows(rows, columns, sizeof columns / sizeof columns[0], call->json);
    look_rows_free(rows);
    look_close(look);
    return status;
}

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
    {"from_share_before", "SHARE WAS"},
    {"from_share_after", "IS"},
    {"to_pop", "TO"},
    {"to_router", "ROUTER"},
    {"to_interface", "INTERFACE"},
    {"to_share_before", "SHARE WAS"},
    {"to_share_after", "IS"},
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
    if (err != 0) {
        status = database_fail(err, &note);
    } else {
        show_rows(rows, columns, sizeof columns / sizeof columns[0], call->json);
        show_told(rows, limit, call->json,
                  "no change of its ingress is known, as far back as database.keep_history goes");
    }
    look_rows_free(rows);
    look_close(look);
    return status;
}

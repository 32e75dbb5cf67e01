#include "collector/ctl/sensors.h"

#include "collector/ctl/database.h"
#include "collector/ctl/show.h"

int sensors_list(const struct call *call)
{
    static const struct show columns[] = {
        {"name", "NAME"},           {"pop", "POP"},
        {"state", "STATE"},         {"version", "VERSION"},
        {"last_seen", "LAST SEEN"}, {"gaps", "GAPS"},
        {"last_seq", "EVENTS"},
    };
    struct look *look;
    struct look_rows *rows = NULL;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_sensors(look, &rows, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else
        show_rows(rows, columns, sizeof columns / sizeof columns[0], call->json);
    look_rows_free(rows);
    look_close(look);
    return status;
}

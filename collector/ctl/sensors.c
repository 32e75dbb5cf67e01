#include "collector/ctl/sensors.h"

#include "collector/ctl/database.h"
#include "collector/ctl/show.h"

static int list(const struct call *call,
                int (*ask)(struct look *l, struct look_rows **out, struct note *note),
                const struct show *columns, unsigned count, const char *none)
{
    struct look *look;
    struct look_rows *rows = NULL;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = ask(look, &rows, &note);
    if (err != 0) {
        status = database_fail(err, &note);
    } else {
        show_rows(rows, columns, count, call->json);
        show_told(rows, 0, call->json, none);
    }
    look_rows_free(rows);
    look_close(look);
    return status;
}

int sensors_list(const struct call *call)
{
    static const struct show columns[] = {
        {"name", "NAME"},           {"pop", "POP"},
        {"state", "STATE"},         {"version", "VERSION"},
        {"last_seen", "LAST SEEN"}, {"gaps", "GAPS"},
        {"last_seq", "EVENTS"},
    };
    return list(
        call, look_sensors, columns, sizeof columns / sizeof columns[0],
        "no sensor has ever connected; penstockctl keys check DIR says whom the collector lets in");
}

/* Single scans are for a later release: this one keeps the windows' entropy only. */
int scans_list(const struct call *call)
{
    static const struct show columns[] = {
        {"sensor", "SENSOR"},       {"pop", "POP"},           {"direction", "DIRECTION"},
        {"windows", "WINDOWS"},     {"probes", "PROBES"},     {"mean_entropy", "ENTROPY"},
        {"least_entropy", "LEAST"}, {"most_entropy", "MOST"}, {"last_ended_at", "LAST WINDOW"},
    };
    return list(call, look_scan_windows, columns, sizeof columns / sizeof columns[0],
                "no scan window ended within the last day");
}

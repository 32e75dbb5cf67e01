#include "collector/ctl/map.h"

#include <stdio.h>
#include <string.h>

#include "collector/ctl/database.h"
#include "collector/ctl/numbers.h"
#include "collector/ctl/what_if.h"
#include "collector/ingress/ingress.h"

#define LIMIT 1000 /* rows, unless asked for more: a map may have a million */

void map_table(const struct look_rows *rows)
{
    static const struct show columns[] = {
        {"prefix", "PREFIX"},
        {"pop", "POP"},
        {"router", "ROUTER"},
        {"interface", "INTERFACE"},
        {"vlan", "VLAN"},
        {"peer_as", "PEER AS"},
        {"share", "SHARE"},
        {"state", "STATE"},
        {"genuine_probability", "GENUINE"},
        {"genuine_fraction", "FRACTION"},
        {"genuine_low", "LOW"},
        {"genuine_high", "HIGH"},
        {"expected", "EXPECTED"},
        {"expected_by", "BY"},
        {"bgp", "BGP"},
        {"rpki", "RPKI"},
        {"tests", "TESTS"},
        {"last_seen", "LAST SEEN"},
    };
    show_table(rows, columns, sizeof columns / sizeof columns[0]);
}

static int check_state(const char *state)
{
    if (state == NULL)
        return 0;
    for (unsigned i = 0; i <= STATE_UNVERIFIABLE; i++)
        if (strcmp(state, ingress_state_word[i]) == 0)
            return 0;
    return command_fail(2,
                        "--state: \"%s\" is none of unverified, testing, genuine, mixed, spoofed,"
                        " inconclusive, unverifiable",
                        state);
}

static const char *why_none(const struct look_entries *which)
{
    if (which->pop != NULL || which->state != NULL || which->is_unexpected)
        return "no entry of the map is like that";
    if (which->prefix != NULL)
        return "no traffic from there was seen, or it was forgotten (map.forget_after)";
    return "the map is empty: no sensor has told of traffic yet; see penstockctl sensors";
}

static int list(struct look *look, const struct look_entries *which, bool json)
{
    struct look_rows *rows;
    struct note note = {0};
    int err = look_entries(look, which, &rows, &note);
    if (err != 0)
        return database_fail(err, &note);
    if (json) {
        show_json(rows);
        putchar('\n');
    } else {
        map_table(rows);
    }
    show_told(rows, which->limit, json, why_none(which));
    look_rows_free(rows);
    return 0;
}

int map_list(const struct call *call)
{
    struct look *look;
    struct look_entries which = {.prefix = call->argument[0],
                                 .pop = call->option[OPTION_POP],
                                 .state = call->option[OPTION_STATE],
                                 .is_unexpected = call->option[OPTION_UNEXPECTED] != NULL};
    int status = numbers_limit(call->option[OPTION_LIMIT], LIMIT, &which.limit);
    if (status == 0)
        status = check_state(which.state);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    status = call->option[OPTION_WHAT_IF] != NULL ? what_if(call, look, which.prefix)
                                                  : list(look, &which, call->json);
    look_close(look);
    return status;
}

#include "collector/ctl/alerts.h"

#include <stdio.h>
#include <string.h>

#include "collector/alert/alert.h"
#include "collector/ctl/database.h"
#include "collector/ctl/numbers.h"
#include "collector/ctl/show.h"
#include "collector/store/look_alerts.h"

#define LIMIT 1000 /* rows, unless asked for more */

/* ---- alerts ---- */

static void alerts_table(const struct look_rows *rows)
{
    static const struct show columns[] = {
        {"alert_id", "ALERT"},     {"state", "STATE"},        {"severity", "SEVERITY"},
        {"kind", "KIND"},          {"started_at", "STARTED"}, {"has_fired", "FIRED"},
        {"is_standing", "STANDS"}, {"flaps", "FLAPS"},        {"confidence", "SURE"},
        {"summary", "SUMMARY"},
    };
    show_table(rows, columns, sizeof columns / sizeof columns[0]);
}

static void print_rows(const struct look_rows *rows, bool json,
                       void (*table)(const struct look_rows *rows))
{
    if (!json) {
        table(rows);
        return;
    }
    show_json(rows);
    putchar('\n');
}

static bool is_state(const char *word)
{
    for (unsigned i = 0; i <= ALERT_SUPPRESSED; i++)
        if (strcmp(word, alert_state_word[i]) == 0)
            return true;
    return strcmp(word, "open") == 0 || strcmp(word, "all") == 0;
}

static int check_words(const struct look_alerts *which)
{
    if (!is_state(which->state))
        return command_fail(2,
                            "--state: \"%s\" is none of open, all, pending, firing, acknowledged,"
                            " resolved, suppressed",
                            which->state);
    if (which->kind != NULL && alert_kind_of(which->kind) == KIND_NONE)
        return command_fail(2, "--kind: \"%s\" is no kind of alert; docs/alerts has them all",
                            which->kind);
    return 0;
}

int alerts_list(const struct call *call)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    struct look_alerts which = {.state = call->option[OPTION_STATE],
                                .kind = call->option[OPTION_KIND]};
    if (which.state == NULL)
        which.state = "open";
    int status = numbers_limit(call->option[OPTION_LIMIT], LIMIT, &which.limit);
    if (status == 0)
        status = check_words(&which);
    if (status == 0)
        status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_alerts(look, &which, &rows, &note);
    if (err != 0) {
        status = database_fail(err, &note);
    } else {
        print_rows(rows, call->json, alerts_table);
        show_told(rows, which.limit, call->json,
                  strcmp(which.state, "open") == 0
                      ? "no such alert without an end; --state all has those that are over, too"
                      : "no such alert");
    }
    look_rows_free(rows);
    look_close(look);
    return status;
}

/* ---- alerts show ---- */

static void print_field(const struct look_rows *alert, unsigned column)
{
    const char *value = look_value(alert, 0, column);
    char text[SHOW_TEXT];
    if (value == NULL)
        return;
    /* JSON and sentences are shown whole */
    bool is_long = look_kind_of(alert, column) == LOOK_JSON || strlen(value) >= SHOW_TEXT;
    printf("%-16s %s\n", look_name(alert, column),
           is_long ? value : show_text(look_kind_of(alert, column), value, text));
}

static void print_alert(const struct look_rows *alert, const struct look_rows *events)
{
    static const struct show columns[] = {
        {"at", "AT"},           {"state", "STATE"},        {"severity", "SEVERITY"},
        {"confidence", "SURE"}, {"acknowledged_by", "BY"}, {"suppressed_by", "SUPPRESSED BY"}};
    for (unsigned i = 0; i < look_columns(alert); i++)
        print_field(alert, i);
    putchar('\n');
    show_table(events, columns, sizeof columns / sizeof columns[0]);
}

static void print_alert_json(const struct look_rows *alert, const struct look_rows *events)
{
    printf("{\"alert\":");
    show_json_row(alert, 0);
    printf(",\"events\":");
    show_json(events);
    puts("}");
}

static int no_such_alert(const struct call *call, const char *which)
{
    return command_fail(1, "there is no alert %s%s", call->argument[0], which);
}

int alerts_show(const struct call *call)
{
    struct look *look;
    struct look_rows *alert = NULL, *events = NULL;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_alert(look, call->argument[0], &alert, &note);
    if (err == 0)
        err = look_alert_events(look, call->argument[0], &events, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else if (look_count(alert) == 0)
        status = no_such_alert(call, "");
    else if (call->json)
        print_alert_json(alert, events);
    else
        print_alert(alert, events);
    look_rows_free(alert);
    look_rows_free(events);
    look_close(look);
    return status;
}

/* ---- a person's word ---- */

static void said_table(const struct look_rows *rows)
{
    static const struct show columns[] = {{"alert_id", "ALERT"},
                                          {"state", "STATE"},
                                          {"acknowledged_by", "BY"},
                                          {"kind", "KIND"},
                                          {"summary", "SUMMARY"}};
    show_table(rows, columns, sizeof columns / sizeof columns[0]);
}

static int say(const struct call *call, const char *state)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err =
        look_alert_say(look, call->argument[0], state, call->option[OPTION_WHO], &rows, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else if (look_count(rows) == 0)
        status = no_such_alert(call, " without an end");
    else
        print_rows(rows, call->json, said_table);
    look_rows_free(rows);
    look_close(look);
    return status;
}

int alerts_ack(const struct call *call)
{
    return say(call, "acknowledged");
}

int alerts_unack(const struct call *call)
{
    return say(call, "firing");
}

int alerts_suppress(const struct call *call)
{
    return say(call, "suppressed");
}

/* ---- alerts learn ---- */

/* A text of YAML's double-quoted kind. */
static void yaml_text(const char *value)
{
    putchar('"');
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            putchar('\\');
        putchar((unsigned char)*value < 0x20 ? '?' : *value);
    }
    putchar('"');
}

static void yaml_place(const struct look_rows *rows, unsigned row)
{
    static const char *const keys[] = {"pop", "router", "interface", "vlan", "mac", "peer_as"};
    const char *separator = "{";
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = look_get(rows, row, keys[i]);
        if (value == NULL)
            continue;
        printf("%s%s: ", separator, keys[i]);
        if (strcmp(keys[i], "vlan") == 0 || strcmp(keys[i], "peer_as") == 0)
            printf("%s", value);
        else
            yaml_text(value);
        separator = ", ";
    }
    putchar('}');
}

/* As the policy file would say it (policy.file). */
static void print_policy(const struct look_rows *rows)
{
    const char *cone = look_get(rows, 0, "cone_as");
    if (cone != NULL) {
        printf("- {peer_as: %s, cone: [\"%s\"]}\n", cone, look_get(rows, 0, "prefix"));
        return;
    }
    printf("- prefix: \"%s\"\n  ingress:\n", look_get(rows, 0, "prefix"));
    for (unsigned i = 0; i < look_count(rows); i++) {
        printf("    - ");
        yaml_place(rows, i);
        putchar('\n');
    }
}

int alerts_learn(const struct call *call)
{
    struct look *look;
    struct look_rows *rows;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_alert_learn(look, call->argument[0], call->option[OPTION_WHY], &rows, &note);
    if (err != 0)
        status = database_fail(err, &note);
    else if (look_count(rows) == 0)
        status = no_such_alert(call, " that tells where a prefix enters");
    else
        print_rows(rows, call->json, print_policy);
    look_rows_free(rows);
    look_close(look);
    return status;
}

/* The story of a matter, told in plain sentences. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "collector/ctl/explain.h"
#include "collector/ctl/history.h"
#include "collector/ctl/map.h"
#include "collector/ctl/show.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* A value as text; "" for NULL. The buffer is one of a few that take turns, enough for one
 * sentence. */
static const char *text_of(const struct look_rows *rows, unsigned row, const char *name)
{
    static char texts[16][SHOW_TEXT];
    static unsigned next;
    for (unsigned i = 0; i < look_columns(rows); i++) {
        if (strcmp(look_name(rows, i), name) != 0)
            continue;
        const char *value = look_value(rows, row, i);
        next = (next + 1) % COUNT_OF(texts);
        return value == NULL ? "" : show_text(look_kind_of(rows, i), value, texts[next]);
    }
    return "";
}

static void head(const char *title)
{
    printf("\n%s\n", title);
}

/* "AMS ams1-r1 xe-0/0/1 vlan 101 AS64501" */
static void place(const struct look_rows *rows, unsigned row, char *out, size_t size)
{
    static const struct {
        const char *name, *before;
    } parts[] = {{"pop", ""},        {"router", " "},  {"interface", " "},
                 {"vlan", " vlan "}, {"mac", " mac "}, {"peer_as", " AS"}};
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(parts) && n < size; i++) {
        const char *value = text_of(rows, row, parts[i].name);
        if (value[0] != '\0')
            n += (size_t)snprintf(out + n, size - n, "%s%s", parts[i].before, value);
    }
}

/* ---- the alert ---- */

static void tell_state(const struct look_rows *alert)
{
    const char *by = text_of(alert, 0, "acknowledged_by");
    const char *suppressed_by = text_of(alert, 0, "suppressed_by");
    const char *resolved_at = text_of(alert, 0, "resolved_at");
    printf("  It began %s, is %s", text_of(alert, 0, "started_at"), text_of(alert, 0, "state"));
    if (by[0] != '\0')
        printf(" (by %s)", by);
    if (suppressed_by[0] != '\0')
        printf(" (suppressed by %s)", suppressed_by);
    if (resolved_at[0] != '\0')
        printf(", ended %s", resolved_at);
    printf(", and says so with confidence %.4f.\n", look_number(alert, 0, "confidence"));
    if (resolved_at[0] != '\0' && !look_is_true(alert, 0, "has_fired"))
        printf("  It never fired: its condition was gone before it had held long enough.\n");
    double flaps = look_number(alert, 0, "flaps");
    if (flaps > (resolved_at[0] != '\0'))
        printf("  This matter ended %.0f time%s lately; at present its condition %s.\n", flaps,
               flaps > 1 ? "s" : "",
               look_is_true(alert, 0, "is_standing") ? "holds" : "does not hold");
}

static void tell_alert(const struct look_rows *alert)
{
    char where[256];
    place(alert, 0, where, sizeof where);
    printf("Alert %s: %s, %s\n", text_of(alert, 0, "alert_id"), text_of(alert, 0, "kind"),
           text_of(alert, 0, "severity"));
    const char *summary = look_get(alert, 0, "summary");
    printf("  %s.\n", summary != NULL ? summary : "");
    if (where[0] != '\0')
        printf("  Where: %s\n", where);
    tell_state(alert);
}

static void tell_alerts(const struct explained *x)
{
    static const struct show columns[] = {
        {"alert_id", "ALERT"},      {"kind", "KIND"},       {"severity", "SEVERITY"},
        {"state", "STATE"},         {"pop", "POP"},         {"router", "ROUTER"},
        {"interface", "INTERFACE"}, {"started_at", "SINCE"}};
    printf("%s\n", x->prefix);
    head("Open alerts");
    if (look_count(x->alerts) == 0)
        printf("  None.\n");
    else
        show_table(x->alerts, columns, COUNT_OF(columns));
}

/* ---- expectation ---- */

static void tell_bgp(const struct look_rows *map, unsigned row, const char *where)
{
    const char *bgp = text_of(map, row, "bgp"), *rpki = text_of(map, row, "rpki");
    const char *origin = text_of(map, row, "origin_as");
    if (strcmp(bgp, "best") == 0)
        printf("  BGP: the best path is over the peer at %s", where);
    else if (strcmp(bgp, "alternative") == 0)
        printf("  BGP: the peer at %s has a valid path, though not the best", where);
    else if (strcmp(bgp, "none") == 0)
        printf("  BGP: the peer at %s announces no valid path that covers the prefix", where);
    else
        return;
    if (origin[0] != '\0')
        printf("; its origin is AS%s", origin);
    if (rpki[0] != '\0')
        printf(", which RPKI calls %s", strcmp(rpki, "not_found") == 0 ? "not found" : rpki);
    printf(".\n");
}

static void tell_expected_row(const struct look_rows *map, unsigned row)
{
    char where[256];
    const char *expected = text_of(map, row, "expected"), *by = text_of(map, row, "expected_by");
    place(map, row, where, sizeof where);
    if (expected[0] == '\0')
        printf("  %s at %s: nobody says whether it is expected there.\n",
               text_of(map, row, "prefix"), where);
    else
        printf("  %s at %s: %sexpected, says %s.\n", text_of(map, row, "prefix"), where,
               strcmp(expected, "yes") == 0 ? "" : "not ",
               strcmp(by, "policy") == 0    ? "the policy"
               : strcmp(by, "learned") == 0 ? "what was learned"
                                            : by);
    tell_bgp(map, row, where);
}

static void tell_expected(const struct explained *x)
{
    if (x->map == NULL || (look_count(x->map) == 0 && x->alert == NULL))
        return;
    head("What is expected");
    const char *places = x->alert != NULL ? look_get(x->alert, 0, "expected_places") : NULL;
    if (places != NULL)
        printf("  Expected instead, when the alert was written: %s.\n", places);
    for (unsigned row = 0; row < look_count(x->map); row++)
        tell_expected_row(x->map, row);
}

/* ---- the map, orders, history ---- */

static void tell_map(const struct look_rows *map)
{
    if (map == NULL)
        return;
    head("What the map says now");
    if (look_count(map) == 0)
        printf("  Nothing: no traffic from there was seen, or it was forgotten.\n");
    else
        map_table(map);
}

static void tell_orders(const struct look_rows *orders)
{
    static const struct show columns[] = {{"order_id", "ORDER"},
                                          {"prefix", "PREFIX"},
                                          {"pop", "POP"},
                                          {"state", "STATE"},
                                          {"verdict", "VERDICT"},
                                          {"result", "RESULT"},
                                          {"requested_by", "REQUESTED BY"},
                                          {"requested_at", "AT"},
                                          {"reason", "REASON"}};
    if (orders == NULL || look_count(orders) == 0)
        return;
    head("Tests that were ordered");
    show_table(orders, columns, COUNT_OF(columns));
}

static void tell_history(const struct look_rows *history)
{
    if (history == NULL || look_count(history) == 0)
        return;
    head("What changed");
    history_table(history);
}

/* ---- tests, down to the segments ---- */

/* "00:00:00.033208" of PostgreSQL. */
static void tell_after(const char *interval)
{
    unsigned hours, minutes;
    double seconds;
    if (interval != NULL && sscanf(interval, "%u:%u:%lf", &hours, &minutes, &seconds) == 3)
        printf(" after %.1f ms", 1e3 * (3600 * hours + 60 * minutes + seconds));
    putchar('\n');
}

static void tell_drops(const struct explained *x, const char *test_id, double all)
{
    unsigned told = 0;
    for (unsigned row = 0; x->drops != NULL && row < look_count(x->drops); row++) {
        const char *of = look_get(x->drops, row, "test_id");
        if (of == NULL || strcmp(of, test_id) != 0)
            continue;
        told++;
        const char *at = look_get(x->drops, row, "dropped_at"); /* to the microsecond */
        printf("    %.*sZ  %s port %s -> %s port %s  seq %s, %s bytes: %s", (int)strcspn(at, "+"),
               at, text_of(x->drops, row, "src"), text_of(x->drops, row, "src_port"),
               text_of(x->drops, row, "dst"), text_of(x->drops, row, "dst_port"),
               text_of(x->drops, row, "seq"), text_of(x->drops, row, "length"),
               text_of(x->drops, row, "outcome"));
        tell_after(look_get(x->drops, row, "answered_after"));
    }
    if (told > 0 && told < all)
        printf("    and %.0f more (--limit)\n", all - told);
}

/* The numbers of a test that has ended. */
static void tell_counts(const struct look_rows *t, unsigned row)
{
    double open = look_number(t, row, "drops") - look_number(t, row, "retransmitted") -
                  look_number(t, row, "unanswered");
    printf("    %s of %s withheld segments came again, %s did not",
           text_of(t, row, "retransmitted"), text_of(t, row, "drops"),
           text_of(t, row, "unanswered"));
    if (open > 0)
        printf(", %.0f tell nothing (still waiting at the verdict, or their flow had ended)", open);
    printf("; of those it let pass, %s came again unasked. %s flows.\n",
           text_of(t, row, "duplicates"), text_of(t, row, "flows"));
    printf("    So it contains genuine traffic with probability %.4f; the genuine fraction is %.2f"
           " (%.2f to %.2f).\n",
           look_number(t, row, "genuine_probability"), look_number(t, row, "genuine_fraction"),
           look_number(t, row, "genuine_low"), look_number(t, row, "genuine_high"));
    printf("    In the sensor's words: %s.\n", text_of(t, row, "reason"));
}

static void tell_test(const struct explained *x, unsigned row)
{
    const struct look_rows *t = x->tests;
    char where[256];
    bool is_passive = strcmp(text_of(t, row, "mode"), "passive") == 0;
    const char *order = text_of(t, row, "order_id"), *ended_at = text_of(t, row, "ended_at");
    place(t, row, where, sizeof where);
    printf("  %s %s %s at %s (%s%s%s), test %s\n", text_of(t, row, "started_at"),
           text_of(t, row, "sensor"), is_passive ? "watched" : "tested", where,
           text_of(t, row, "prefix"), order[0] != '\0' ? ", order " : "", order,
           text_of(t, row, "test_id"));
    if (ended_at[0] == '\0') {
        printf("    It has not ended, or its sensor was lost.\n");
        return;
    }
    printf("    Verdict at %s: %s.\n", ended_at, text_of(t, row, "verdict"));
    if (!is_passive)
        tell_counts(t, row);
    const char *id = look_get(t, row, "test_id");
    tell_drops(x, id != NULL ? id : "", look_number(t, row, "drops"));
}

static void tell_tests(const struct explained *x)
{
    if (x->tests == NULL)
        return;
    head("What was tested");
    if (look_count(x->tests) == 0)
        printf("  Nothing yet.\n");
    for (unsigned row = 0; row < look_count(x->tests); row++)
        tell_test(x, row);
}

/* ---- a sensor ---- */

static void tell_sensor(const struct explained *x)
{
    static const struct show columns[] = {
        {"at", "NOTICED"}, {"from_seq", "FROM"}, {"to_seq", "TO"}, {"reason", "REASON"}};
    if (x->sensor == NULL)
        return;
    head("The sensor");
    for (unsigned row = 0; row < look_count(x->sensor); row++)
        printf("  %s at %s is %s; last heard of %s; release %s; %s events are stored.\n",
               text_of(x->sensor, row, "name"), text_of(x->sensor, row, "pop"),
               text_of(x->sensor, row, "state"), text_of(x->sensor, row, "last_seen"),
               text_of(x->sensor, row, "version"), text_of(x->sensor, row, "last_seq"));
    if (x->gaps == NULL || look_count(x->gaps) == 0)
        return;
    head("Events that will never come");
    show_table(x->gaps, columns, COUNT_OF(columns));
}

/* ---- what to do ---- */

static void tell_next(const struct explained *x)
{
    const char *runbook = x->alert != NULL ? look_get(x->alert, 0, "runbook") : NULL;
    head("What to do next");
    if (x->alert != NULL && runbook != NULL && runbook[0] != '\0')
        printf("  Read %s: what it means, what to look at, how to silence it.\n", runbook);
    else if (x->alert != NULL)
        printf("  Read docs/alerts/%s.md: what it means, what to look at, how to silence it.\n",
               text_of(x->alert, 0, "kind"));
    if (x->alert != NULL && strcmp(text_of(x->alert, 0, "kind"), "spoofing_source") == 0)
        printf("  See what that link delivers: penstockctl map --pop %s --state spoofed\n",
               text_of(x->alert, 0, "pop"));
    if (x->prefix == NULL)
        return;
    printf("  See who sends from there: penstockctl map %s\n", x->prefix);
    printf("  Try another policy without changing anything: penstockctl explain %s --what-if "
           "policy.yaml\n",
           x->alert != NULL ? text_of(x->alert, 0, "alert_id") : x->prefix);
    printf("  How to read the numbers: docs/ingress.md\n");
}

void story_tell(const struct explained *x)
{
    if (x->alert != NULL)
        tell_alert(x->alert);
    else
        tell_alerts(x);
    tell_expected(x);
    tell_map(x->map);
    tell_orders(x->orders);
    tell_tests(x);
    tell_history(x->history);
    tell_sensor(x);
    tell_next(x);
}

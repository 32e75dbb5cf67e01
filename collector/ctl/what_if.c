#include "collector/ctl/what_if.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alert/rule.h"
#include "collector/conf/policy.h"
#include "collector/ctl/database.h"
#include "collector/ctl/json.h"
#include "collector/ctl/stored.h"
#include "collector/store/look_expectation.h"

struct replay {
    struct expect expect; /* the other policy */
    struct expect_list entries, learned;
    struct look_rows *map, *alerts, *expectation;
    struct alert_rules rules;
    bool json;
    unsigned told, raised, ended, changed, stayed;
};

/* What one entry would say, beside what it says. */
struct outcome {
    struct ingress_row before, after;
    enum alert_kind was, is;
    const char *alert_id, *severity; /* of the alert that stands; of the one that would; or NULL */
    bool is_routed;
};

/* ---- under the other policy ---- */

/* What BGP and RPKI said is stored, and no other policy changes it. A yes of RPKI is stored where
 * it decided; else it is known only where the origin is the peer itself. */
static void routing_says(const struct ingress_row *stored, struct ingress_row *after)
{
    bool is_peer = stored->rpki == RPKI_VALID && stored->origin_as != 0 &&
                   stored->origin_as == stored->at.peer_as;
    const char *by = "";
    if (stored->bgp == BGP_BEST || stored->bgp == BGP_ALTERNATIVE)
        by = "bgp";
    else if (is_peer || strcmp(stored->expected_by, "rpki") == 0)
        by = "rpki";
    if (by[0] != '\0') {
        after->expected = EXPECTED_YES;
    } else if (stored->bgp == BGP_NONE) {
        by = "bgp";
        after->expected = EXPECTED_NO;
    } else {
        return; /* what was learned stands */
    }
    snprintf(after->expected_by, sizeof after->expected_by, "%s", by);
}

static struct alert_answer judge(const struct replay *r, struct ingress_row *after)
{
    struct ingress_row stored = *after;
    struct expect_answer answer = expect_judge(&r->expect, &stored);
    after->expected = answer.expected;
    snprintf(after->expected_by, sizeof after->expected_by, "%s", answer.by);
    if (strcmp(answer.by, "policy") != 0 && !answer.is_uneven)
        routing_says(&stored, after);
    return (struct alert_answer){.outside_cone = answer.outside_cone, .cone_as = answer.cone_as};
}

/* ---- the alert that stands ---- */

static bool is_about(const struct look_rows *alerts, unsigned i, const struct ingress_row *row)
{
    struct prefix prefix;
    char pop[32];
    struct ingress at;
    stored_place(alerts, i, &prefix, pop, &at);
    return prefix_equal(&prefix, &row->prefix) && strcmp(pop, row->pop) == 0 &&
           strcmp(at.router, row->at.router) == 0 && strcmp(at.interface, row->at.interface) == 0 &&
           at.vlan == row->at.vlan && at.peer_as == row->at.peer_as &&
           memcmp(at.mac, row->at.mac, sizeof at.mac) == 0;
}

static enum alert_kind standing(const struct replay *r, const struct ingress_row *row,
                                const char **alert_id)
{
    for (unsigned i = 0; i < look_count(r->alerts); i++) {
        const char *word = look_get(r->alerts, i, "kind");
        enum alert_kind kind = word == NULL ? KIND_NONE : alert_kind_of(word);
        if (kind >= KIND_ENTRIES || !is_about(r->alerts, i, row))
            continue;
        *alert_id = look_get(r->alerts, i, "alert_id");
        return kind;
    }
    return KIND_NONE;
}

static struct outcome replay_row(const struct replay *r, unsigned i)
{
    struct outcome o = {.before = stored_entry(r->map, i)};
    unsigned nothing = 0;
    o.after = o.before;
    o.was = standing(r, &o.before, &o.alert_id);
    struct alert_answer answer = judge(r, &o.after);
    bool is_moved = o.was == KIND_INGRESS_MOVED;
    o.is = alert_judge(&r->rules, &o.after, &answer, is_moved, &nothing);
    if (o.is == KIND_NONE && o.was != KIND_NONE && (nothing & 1u << o.was) != 0)
        o.is = o.was; /* its test still runs */
    const struct alert_case c = {
        .rules = &r->rules, .row = &o.after, .answer = &answer, .is_moved_to = is_moved};
    if (o.is != KIND_NONE)
        o.severity = alert_rules[o.is].severity(&c);
    o.is_routed = alert_is_routed(&r->rules, &o.after);
    return o;
}

/* ---- telling ---- */

static const char *kind_word(enum alert_kind kind)
{
    return kind == KIND_NONE ? NULL : alert_rules[kind].kind;
}

static const char *expected_word(const struct ingress_row *row)
{
    return row->expected == EXPECTED_YES  ? "expected"
           : row->expected == EXPECTED_NO ? "not expected"
                                          : "nobody says whether it is expected";
}

static void pair_or_null(const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        json_pair(key, text, false);
    else
        printf(",\"%s\":null", key);
}

static void json_expected(const char *key, const char *by, const struct ingress_row *row)
{
    printf(",\"%s\":%s", key,
           row->expected == EXPECTED_YES  ? "true"
           : row->expected == EXPECTED_NO ? "false"
                                          : "null");
    pair_or_null(by, row->expected_by);
}

static void tell_json(const struct replay *r, const struct outcome *o, const char *what)
{
    char prefix[PREFIX_TEXT], mac[MAC_TEXT];
    static const uint8_t no_mac[6];
    printf("%s{", r->told > 0 ? ",\n " : "");
    json_pair("change", what, true);
    json_pair("prefix", prefix_format(&o->before.prefix, prefix), false);
    pair_or_null("pop", o->before.pop);
    pair_or_null("router", o->before.at.router);
    pair_or_null("interface", o->before.at.interface);
    printf(o->before.at.vlan != 0 ? ",\"vlan\":%llu" : ",\"vlan\":null",
           (unsigned long long)o->before.at.vlan);
    pair_or_null(
        "mac", memcmp(o->before.at.mac, no_mac, 6) == 0 ? NULL : mac_format(o->before.at.mac, mac));
    printf(o->before.at.peer_as != 0 ? ",\"peer_as\":%llu" : ",\"peer_as\":null",
           (unsigned long long)o->before.at.peer_as);
    json_pair("state", ingress_state_word[o->before.state], false);
    printf(",\"alert_id\":%s", o->alert_id != NULL ? o->alert_id : "null");
    pair_or_null("kind_before", kind_word(o->was));
    pair_or_null("kind_after", kind_word(o->is));
    pair_or_null("severity_after", o->severity);
    json_expected("expected_before", "expected_by_before", &o->before);
    json_expected("expected_after", "expected_by_after", &o->after);
    printf(",\"suppressed_by_routing\":%s}", o->is != KIND_NONE && o->is_routed ? "true" : "false");
}

static void tell_text(const struct outcome *o, const char *what)
{
    char prefix[PREFIX_TEXT];
    const struct ingress_row *b = &o->before, *a = &o->after;
    printf("%-8s %s", what, kind_word(o->is != KIND_NONE ? o->is : o->was));
    if (o->alert_id != NULL)
        printf(", alert %s", o->alert_id);
    if (o->was != KIND_NONE && o->is != KIND_NONE && o->was != o->is)
        printf(", was %s", kind_word(o->was));
    if (o->severity != NULL)
        printf(" (%s%s)", o->severity, o->is_routed ? ", suppressed by routing" : "");
    printf(": %s traffic from %s at %s %s %s", ingress_state_word[b->state],
           prefix_format(&b->prefix, prefix), b->pop, b->at.router, b->at.interface);
    printf(": %s%s%s; so far: %s%s%s\n", expected_word(a), a->expected_by[0] != '\0' ? " by " : "",
           a->expected_by, expected_word(b), b->expected_by[0] != '\0' ? " by " : "",
           b->expected_by);
}

static void tell(struct replay *r, const struct outcome *o)
{
    const char *what = "stays";
    if (o->was == KIND_NONE && o->is == KIND_NONE)
        return;
    if (o->was == KIND_NONE)
        what = "raised", r->raised++;
    else if (o->is == KIND_NONE)
        what = "ends", r->ended++;
    else if (o->was != o->is)
        what = "becomes", r->changed++;
    else
        r->stayed++;
    if (r->json)
        tell_json(r, o, what);
    else
        tell_text(o, what);
    r->told++;
}

/* ---- all of it ---- */

static int read_all(struct replay *r, const struct call *call, struct look *look,
                    const char *prefix)
{
    struct note note = {0};
    int err = policy_load(call->option[OPTION_WHAT_IF], &r->expect, &note);
    if (err != 0)
        return command_fail(err == ERR_CONF ? 2 : 1, "%s", note.text);
    err = look_entries_alarming(look, prefix, &r->map, &note);
    if (err == 0)
        err = look_alerts_open(look, &r->alerts, &note);
    if (err == 0)
        err = look_expectations(look, NULL, &r->expectation, &note);
    if (err != 0)
        return database_fail(err, &note);
    err = stored_expectation(r->expectation, "operator", &r->entries);
    if (err == 0)
        err = stored_expectation(r->expectation, "learned", &r->learned);
    if (err != 0)
        return command_fail(1, "no memory for the expectation");
    r->expect.entries = &r->entries;
    r->expect.learned = &r->learned;
    return 0;
}

static void replay_all(struct replay *r)
{
    if (r->json)
        putchar('[');
    for (unsigned i = 0; i < look_count(r->map); i++) {
        struct outcome o = replay_row(r, i);
        tell(r, &o);
    }
    if (r->json)
        printf("]\n");
    else
        printf("%u would be raised, %u would end, %u would become another kind, %u would stay.\n",
               r->raised, r->ended, r->changed, r->stayed);
}

int what_if(const struct call *call, struct look *look, const char *prefix)
{
    struct replay r = {.rules = {.is_routing_heard = true}, .json = call->json};
    int status = read_all(&r, call, look, prefix);
    if (status == 0)
        replay_all(&r);
    look_rows_free(r.map);
    look_rows_free(r.alerts);
    look_rows_free(r.expectation);
    expect_clear(&r.expect);
    expect_list_clear(&r.entries);
    expect_list_clear(&r.learned);
    return status;
}

#include "collector/ctl/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conf/policy.h"
#include "collector/ctl/database.h"
#include "collector/ctl/show.h"
#include "collector/store/look_expectation.h"

static const struct show columns[] = {
    {"expectation_id", "ID"}, {"source", "SOURCE"},       {"prefix", "PREFIX"},
    {"cone_as", "CONE OF"},   {"nowhere", "NOWHERE"},     {"pop", "POP"},
    {"router", "ROUTER"},     {"interface", "INTERFACE"}, {"vlan", "VLAN"},
    {"mac", "MAC"},           {"peer_as", "PEER AS"},     {"comment", "COMMENT"},
    {"added_by", "BY"},       {"added_at", "AT"},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

#define KEYS    "pop=, router=, interface=, vlan=, mac=, peer_as="

/* ---- what the words say ---- */

static bool is_as(const char *word)
{
    return strncmp(word, "AS", 2) == 0 && word[2] >= '0' && word[2] <= '9';
}

static int bad_prefix(const char *word)
{
    struct prefix p;
    int err = strchr(word, '/') == NULL ? ERR_FORMAT : prefix_parse(word, &p);
    if (err == 0)
        return 0;
    return command_fail(2, "\"%s\" is no prefix%s", word,
                        err == ERR_CONF ? ": bits beyond its length are set"
                                        : "; expected one such as 203.0.113.0/24");
}

/* pop=AMS: where its value goes, or NULL. */
static const char **value_of(struct look_expectation *e, const char *word, const char **value)
{
    static const char *const keys[] = {"pop", "router", "interface", "vlan", "mac", "peer_as"};
    const char **const values[] = {&e->pop,  &e->router, &e->interface,
                                   &e->vlan, &e->mac,    &e->peer_as};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t len = strlen(keys[i]);
        if (strncmp(word, keys[i], len) == 0 && word[len] == '=') {
            *value = word + len + 1;
            return values[i];
        }
    }
    return NULL;
}

/* PREFIX [KEY=VALUE …] | PREFIX nowhere */
static int place_words(const struct call *call, struct look_expectation *e)
{
    e->prefix = call->argument[0];
    if (bad_prefix(e->prefix) != 0)
        return 2;
    for (unsigned i = 1; i < call->count; i++) {
        const char *word = call->argument[i], *value, **at = value_of(e, word, &value);
        if (strcmp(word, "nowhere") == 0 && call->count == 2)
            e->is_nowhere = true;
        else if (at == NULL)
            return command_fail(2, "\"%s\": expected one of %s, or nowhere alone", word, KEYS);
        else if (value[0] == '\0' || *at != NULL)
            return command_fail(2, "\"%s\": %s", word,
                                value[0] == '\0' ? "empty; leave it out for any" : "given twice");
        else
            *at = value;
    }
    if (call->count == 1)
        return command_fail(2, "%s: expected where? At least one of %s, or nowhere", e->prefix,
                            KEYS);
    return 0;
}

/* ---- one after the other, in one transaction; told when it is committed ---- */

struct said {
    struct look_rows *rows[COMMAND_ARGUMENTS_MAX];
    unsigned count;
};

static int open_and_begin(const struct call *call, struct look **look)
{
    struct note note = {0};
    int status = database_open(call, look);
    if (status != 0)
        return status;
    int err = look_begin(*look, &note);
    if (err == 0)
        return 0;
    look_close(*look);
    return database_fail(err, &note);
}

static void tell_row(const struct look_rows *rows, unsigned row)
{
    const char *prefix = look_get(rows, row, "prefix"), *as = look_get(rows, row, "cone_as");
    printf("%s %s%s%s%s%s\n", look_get(rows, row, "done"), look_get(rows, row, "expectation_id"),
           as != NULL ? " AS" : "", as != NULL ? as : "", prefix != NULL ? " " : "",
           prefix != NULL ? prefix : "");
}

static void tell(const struct said *said, bool json)
{
    const char *before = "[";
    for (unsigned i = 0; i < said->count; i++)
        for (unsigned row = 0; row < look_count(said->rows[i]); row++, before = ",\n ") {
            if (!json) {
                tell_row(said->rows[i], row);
                continue;
            }
            printf("%s", before);
            show_json_row(said->rows[i], row);
        }
    if (json)
        puts(before[0] == '[' ? "[]" : "]");
}

static int commit(struct look *look, int status)
{
    struct note note = {0};
    int err = status == 0 ? look_commit(look, &note) : 0;
    look_close(look);
    return err == 0 ? status : database_fail(err, &note);
}

static int end(const struct call *call, struct look *look, struct said *said, int status)
{
    status = commit(look, status);
    if (status == 0)
        tell(said, call->json);
    for (unsigned i = 0; i < said->count; i++)
        look_rows_free(said->rows[i]);
    return status;
}

typedef int ask_fn(struct look *l, const struct look_expectation *e, struct look_rows **out,
                   struct note *note);

/* AS64501 PREFIX …: each prefix is a sentence; else all words are one. */
static int each_sentence(const struct call *call, struct look *look, ask_fn *ask, bool may_miss,
                         struct said *said)
{
    struct note note = {0};
    bool is_cone = is_as(call->argument[0]);
    struct look_expectation e = {.comment = call->option[OPTION_REASON]};
    unsigned sentences = is_cone ? call->count - 1 : 1;
    int status = is_cone ? 0 : place_words(call, &e);
    if (is_cone && sentences == 0)
        return command_fail(2, "%s: which prefixes may it send from?", call->argument[0]);
    if (is_cone)
        e.cone_as = call->argument[0] + 2;
    for (unsigned i = 0; status == 0 && i < sentences; i++) {
        struct look_rows **rows = &said->rows[i];
        if (is_cone)
            e.prefix = call->argument[1 + i];
        status = is_cone ? bad_prefix(e.prefix) : 0;
        int err = status == 0 ? ask(look, &e, rows, &note) : 0;
        if (err != 0)
            status = database_fail(err, &note);
        else if (status == 0 && look_count(*rows) == 0 && !may_miss)
            status = command_fail(1, "%s: nothing is said like that; see penstockctl expect list",
                                  e.prefix);
        said->count = i + 1;
    }
    return status;
}

int expect_add_command(const struct call *call)
{
    struct look *look;
    struct said said = {0};
    int status = open_and_begin(call, &look);
    if (status != 0)
        return status;
    status = each_sentence(call, look, look_expect_add, true, &said);
    return end(call, look, &said, status);
}

static bool is_number(const char *word)
{
    return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static int remove_ids(const struct call *call, struct look *look, struct said *said)
{
    struct note note = {0};
    int status = 0;
    for (unsigned i = 0; status == 0 && i < call->count; i++) {
        int err = look_expect_remove_id(look, call->argument[i], &said->rows[i], &note);
        if (err != 0)
            status = database_fail(err, &note);
        else if (look_count(said->rows[i]) == 0)
            status = command_fail(1, "%s: no such expectation", call->argument[i]);
        said->count = i + 1;
    }
    return status;
}

int expect_remove_command(const struct call *call)
{
    struct look *look;
    struct said said = {0};
    int status = open_and_begin(call, &look);
    if (status != 0)
        return status;
    status = is_number(call->argument[0])
                 ? remove_ids(call, look, &said)
                 : each_sentence(call, look, look_expect_remove, false, &said);
    return end(call, look, &said, status);
}

int expect_list_command(const struct call *call)
{
    struct look *look;
    struct look_rows *rows = NULL;
    struct note note = {0};
    int status = database_open(call, &look);
    if (status != 0)
        return status;
    int err = look_expectations(look, call->count > 0 ? call->argument[0] : NULL, &rows, &note);
    if (err != 0) {
        status = database_fail(err, &note);
    } else {
        show_rows(rows, columns, COLUMNS, call->json);
        show_told(
            rows, 0, call->json,
            "nothing in the database; what policy.file says counts besides, and is not listed");
    }
    look_rows_free(rows);
    look_close(look);
    return status;
}

/* ---- import ---- */

struct import {
    struct look *look;
    unsigned added, known;
};

static int import_one(struct import *to, const struct look_expectation *e, struct note *why)
{
    struct look_rows *rows = NULL;
    int err = look_expect_add(to->look, e, &rows, why);
    if (err == 0 && look_is_true(rows, 0, "is_new"))
        to->added++;
    else if (err == 0)
        to->known++;
    look_rows_free(rows);
    return err;
}

static const char *number_text(uint64_t number, char text[static 24])
{
    snprintf(text, 24, "%llu", (unsigned long long)number);
    return number == 0 ? NULL : text;
}

static const char *given(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static int import_prefix(void *arg, const struct prefix *prefix, const struct expect_place *places,
                         size_t count, const char *comment, struct note *why)
{
    char text[PREFIX_TEXT], vlan[24], peer_as[24], mac[MAC_TEXT];
    static const uint8_t any[6];
    struct look_expectation nowhere = {
        .prefix = prefix_format(prefix, text), .is_nowhere = true, .comment = comment};
    int err = count == 0 ? import_one(arg, &nowhere, why) : 0;
    for (size_t i = 0; err == 0 && i < count; i++) {
        const struct expect_place *p = &places[i];
        struct look_expectation e = {.prefix = nowhere.prefix,
                                     .pop = given(p->pop),
                                     .router = given(p->router),
                                     .interface = given(p->interface),
                                     .vlan = number_text(p->vlan, vlan),
                                     .peer_as = number_text(p->peer_as, peer_as),
                                     .comment = comment};
        if (memcmp(p->mac, any, 6) != 0)
            e.mac = mac_format(p->mac, mac);
        err = import_one(arg, &e, why);
    }
    return err;
}

static int import_cone(void *arg, uint32_t peer_as, const struct prefix *prefixes, size_t count,
                       const char *comment, struct note *why)
{
    char text[PREFIX_TEXT], as[24];
    struct look_expectation e = {.cone_as = number_text(peer_as, as), .comment = comment};
    int err = count == 0 ? import_one(arg, &e, why) : 0;
    for (size_t i = 0; err == 0 && i < count; i++) {
        e.prefix = prefix_format(&prefixes[i], text);
        err = import_one(arg, &e, why);
    }
    return err;
}

int expect_import_command(const struct call *call)
{
    struct import to = {0};
    const struct policy_taker taker = {import_prefix, import_cone, &to};
    struct note note = {0};
    int status = open_and_begin(call, &to.look);
    if (status != 0)
        return status;
    int err = call->option[OPTION_FORCE] != NULL ? look_expect_forget(to.look, &note) : 0;
    if (err != 0)
        return commit(to.look, database_fail(err, &note));
    if (policy_read(call->argument[0], &taker, &note) != 0)
        return commit(to.look, command_fail(2, "%s\nNothing was imported.", note.text));
    status = commit(to.look, 0);
    if (status == 0)
        printf(call->json ? "{\"added\":%u,\"known\":%u}\n" : "%u added, %u known already\n",
               to.added, to.known);
    return status;
}

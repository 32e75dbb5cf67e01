#include "collector/ctl/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/ctl/json.h"
#include "shared/curve/allowed.h"
#include "shared/wire/wire.h"

/* ---- keys new ---- */

/* Names become file names, too. */
static int check_name(const char *name, const char *pop)
{
    if (!wire_name_is_sound(name) || strlen(name) >= WIRE_NAME || strchr(name, '/') != NULL ||
        name[0] == '.')
        return command_fail(2,
                            "\"%s\" is no name: at most %d bytes, without spaces, quotes, slashes "
                            "and control characters, not beginning with a dot",
                            name, WIRE_NAME - 1);
    if (pop != NULL && (!wire_name_is_sound(pop) || strlen(pop) > ALLOWED_POP))
        return command_fail(2,
                            "\"%s\" is no pop: at most %d bytes, without spaces, quotes and "
                            "control characters",
                            pop, ALLOWED_POP);
    return 0;
}

static int not_written(int err, const struct note *note)
{
    return command_fail(1, "%s%s", note->text,
                        err == -EEXIST ? ": a key is never replaced without --force" : "");
}

/* Both files or none. */
static int write_both(const struct curve_key *key, const char *secret, const char *public,
                      bool force)
{
    struct note note = {0};
    if (!force && access(public, F_OK) == 0)
        return command_fail(1, "%s: %s: a key is never replaced without --force", public,
                            strerror(EEXIST));
    int err = curve_save(key, secret, true, force, &note);
    if (err < 0)
        return not_written(err, &note);
    err = curve_save(key, public, false, force, &note);
    if (err == 0)
        return 0;
    if (!force)
        unlink(secret);
    return not_written(err, &note);
}

static void print_made(const struct curve_key *key, const char *secret, const char *public,
                       bool json)
{
    if (json) {
        putchar('{');
        json_pair("name", key->name, true);
        json_pair("pop", key->pop, false);
        json_pair("public_key", key->public_key, false);
        json_pair("certificate", secret, false);
        json_pair("public", public, false);
        puts("}");
        return;
    }
    printf("%s  secret: move it to its machine, mode 0600, owned by who runs the program\n"
           "%s  public: copy it to the other side\n",
           secret, public);
    if (key->pop[0] == '\0')
        printf("No pop: good for a collector or a subscriber; a sensor needs --pop POP.\n");
}

int keys_new(const struct call *call)
{
    const char *name = call->argument[0], *pop = call->option[OPTION_POP];
    const char *dir = call->option[OPTION_DIR] != NULL ? call->option[OPTION_DIR] : ".";
    char secret[PATH_MAX], public[PATH_MAX];
    struct curve_key key = {.name = ""};
    int status = check_name(name, pop);
    if (status != 0)
        return status;
    if (snprintf(secret, sizeof secret, "%s/%s.cert", dir, name) >= (int)sizeof secret ||
        snprintf(public, sizeof public, "%s/%s.pub", dir, name) >= (int)sizeof public)
        return command_fail(2, "--dir: %s", strerror(ENAMETOOLONG));
    snprintf(key.name, sizeof key.name, "%s", name);
    snprintf(key.pop, sizeof key.pop, "%s", pop != NULL ? pop : "");
    if (curve_new(&key) != 0)
        return command_fail(1, "libzmq was built without CURVE");
    status = write_both(&key, secret, public, call->option[OPTION_FORCE] != NULL);
    if (status == 0)
        print_made(&key, secret, public, call->json);
    curve_forget(&key);
    return status;
}

/* ---- keys show ---- */

int keys_show(const struct call *call)
{
    struct curve_key key;
    struct note note = {0};
    if (curve_load(call->argument[0], &key, &note) < 0)
        return command_fail(1, "%s", note.text);
    bool has_secret = key.secret_key[0] != '\0';
    if (call->json) {
        putchar('{');
        json_pair("file", call->argument[0], true);
        json_pair("name", key.name, false);
        json_pair("pop", key.pop, false);
        json_pair("public_key", key.public_key, false);
        printf(",\"has_secret\":%s}\n", has_secret ? "true" : "false");
    } else {
        printf("name        %s\npop         %s\npublic key  %s\nsecret key  %s\n", key.name,
               key.pop, key.public_key, has_secret ? "in this file" : "not in this file");
    }
    curve_forget(&key);
    return 0;
}

/* ---- keys check ---- */

struct refused {
    struct {
        char *file, *reason;
    } * list;
    size_t count;
};

static void note_refused(void *ctx, const char *file, const char *reason)
{
    struct refused *r = ctx;
    void *list = realloc(r->list, (r->count + 1) * sizeof *r->list);
    if (list == NULL)
        return;
    r->list = list;
    r->list[r->count].file = strdup(file);
    r->list[r->count++].reason = strdup(reason);
}

static void free_refused(struct refused *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->list[i].file);
        free(r->list[i].reason);
    }
    free(r->list);
}

static void print_json(const struct allowed *a, const struct refused *r)
{
    printf("{\"allowed\":[");
    for (size_t i = 0; i < a->count; i++) {
        printf("%s{", i > 0 ? "," : "");
        json_pair("file", a->list[i].file, true);
        json_pair("name", a->list[i].name, false);
        json_pair("pop", a->list[i].pop, false);
        json_pair("public_key", a->list[i].key, false);
        putchar('}');
    }
    printf("],\"refused\":[");
    for (size_t i = 0; i < r->count; i++) {
        printf("%s{", i > 0 ? "," : "");
        json_pair("file", r->list[i].file, true);
        json_pair("reason", r->list[i].reason, false);
        putchar('}');
    }
    puts("]}");
}

static void print_table(const struct allowed *a, const struct refused *r)
{
    printf("%-24s %-16s %-12s %s\n", "FILE", "NAME", "POP", "PUBLIC KEY");
    for (size_t i = 0; i < a->count; i++)
        printf("%-24s %-16s %-12s %s\n", a->list[i].file, a->list[i].name, a->list[i].pop,
               a->list[i].key);
    for (size_t i = 0; i < r->count; i++)
        printf("%-24s allows nobody: %s\n", r->list[i].file, r->list[i].reason);
}

int keys_check(const struct call *call)
{
    struct allowed a = {0};
    struct refused r = {0};
    struct note note = {0};
    enum allowed_who kind =
        call->option[OPTION_SUBSCRIBERS] != NULL ? ALLOWED_SUBSCRIBERS : ALLOWED_SENSORS;
    int err = allowed_read(&a, call->argument[0], kind, note_refused, &r, &note);
    if (err == 0 && call->json)
        print_json(&a, &r);
    else if (err == 0)
        print_table(&a, &r);
    int status = err < 0 ? command_fail(1, "%s", note.text) : r.count > 0;
    allowed_clear(&a);
    free_refused(&r);
    return status;
}

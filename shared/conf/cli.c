#include "shared/conf/cli.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/err.h"

/* What every program has; value is filled in by the caller's loop, not through the row. */
static const struct cli_option common[] = {
    {"config", "FILE", "read the configuration from FILE (also -c FILE)", NULL},
    {"set", "KEY=VALUE", "override one key of the configuration; repeatable", NULL},
    {"check", NULL, "read the configuration, say what is wrong with it, and end", NULL},
    {"explain", NULL, "print every key with its default, range and unit, and end", NULL},
    {"help", NULL, "print this text, and end (also -h)", NULL},
    {"version", NULL, "print the version, and end", NULL},
};

#define COMMON_COUNT (sizeof common / sizeof common[0])

struct parse {
    int argc, at;
    char **argv;
    const char *program;
    struct cli *out;
    bool is_help, is_version;
};

static int bad_usage(const struct parse *p, const char *what, const char *which)
{
    fprintf(stderr, "%s: %s: %s\nTry '%s --help'.\n", p->program, which, what, p->program);
    return 2;
}

static void print_option(const struct cli_option *o)
{
    int len = printf("  --%s%s%s", o->name, o->argument != NULL ? " " : "",
                     o->argument != NULL ? o->argument : "");
    printf("%*s%s\n", len < 26 ? 26 - len : 1, "", o->help);
}

static void print_help(const char *program, const char *about, const char *synopsis,
                       const struct cli_option *own, size_t own_count)
{
    const char *lead = "Usage:";
    for (const char *line = synopsis; *line != '\0'; lead = "      ") {
        int len = (int)strcspn(line, "\n");
        printf("%s %s %.*s\n", lead, program, len, line);
        line += len + (line[len] == '\n');
    }
    printf("\n%s\n\nOptions:\n", about);
    for (size_t i = 0; i < own_count; i++)
        print_option(&own[i]);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        print_option(&common[i]);
    printf("\nExit status: 0 success, 1 failure while running, 2 bad usage or configuration.\n");
}

static int take_common(struct parse *p, const struct cli_option *o, const char *value)
{
    struct cli *out = p->out;
    if (strcmp(o->name, "set") == 0) {
        if (out->setting_count == CLI_SETTINGS_MAX)
            return bad_usage(p, "given too often", "--set");
        out->settings[out->setting_count++] = value;
    } else if (strcmp(o->name, "config") == 0) {
        if (out->config != NULL)
            return bad_usage(p, "given twice", "--config");
        out->config = value;
    } else if (strcmp(o->name, "check") == 0) {
        out->check = true;
    } else if (strcmp(o->name, "explain") == 0) {
        out->explain = true;
    } else if (strcmp(o->name, "help") == 0) {
        p->is_help = true;
    } else {
        p->is_version = true;
    }
    return CLI_GO_ON;
}

static const struct cli_option *find(const struct cli_option *options, size_t n, const char *name,
                                     size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

/* The argument of option o, which may stand behind "=" or in the next word. */
static int take_value(struct parse *p, const struct cli_option *o, const char *behind,
                      const char **value)
{
    if (o->argument == NULL) {
        *value = "";
        return *behind == '=' ? bad_usage(p, "takes no argument", p->argv[p->at]) : CLI_GO_ON;
    }
    if (*behind == '=') {
        *value = behind + 1;
        return CLI_GO_ON;
    }
    if (p->at + 1 >= p->argc) {
        char what[128];
        snprintf(what, sizeof what, "needs an argument: %s", o->argument);
        return bad_usage(p, what, p->argv[p->at]);
    }
    *value = p->argv[++p->at];
    return CLI_GO_ON;
}

static int parse_one(struct parse *p, const struct cli_option *own, size_t own_count)
{
    const char *word = p->argv[p->at], *value = NULL;
    if (strcmp(word, "-c") == 0)
        word = "--config";
    else if (strcmp(word, "-h") == 0)
        word = "--help";
    if (strncmp(word, "--", 2) != 0)
        return bad_usage(p, word[0] == '-' ? "unknown option" : "unexpected argument", word);
    size_t len = strcspn(word + 2, "=");
    const struct cli_option *mine = find(own, own_count, word + 2, len);
    const struct cli_option *o = mine != NULL ? mine : find(common, COMMON_COUNT, word + 2, len);
    if (o == NULL)
        return bad_usage(p, "unknown option", word);
    int status = take_value(p, o, word + 2 + len, &value);
    if (status != CLI_GO_ON)
        return status;
    if (mine == NULL)
        return take_common(p, o, value);
    *mine->value = value;
    return CLI_GO_ON;
}

int cli_parse(int argc, char **argv, const char *program, const char *about, const char *synopsis,
              const struct cli_option *own, size_t own_count, struct cli *out)
{
    struct parse p = {.argc = argc, .argv = argv, .program = program, .out = out};
    *out = (struct cli){0};
    for (p.at = 1; p.at < argc; p.at++) {
        int status = parse_one(&p, own, own_count);
        if (status != CLI_GO_ON)
            return status;
    }
    if (p.is_help)
        print_help(program, about, synopsis, own, own_count);
    else if (p.is_version)
        printf("%s %s\n", program, PENSTOCK_VERSION);
    return p.is_help || p.is_version ? 0 : CLI_GO_ON;
}

#include "collector/ctl/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM "penstockctl"

static const struct {
    const char *name, *argument, *help;
} options[OPTION_COUNT] = {
    [OPTION_DSN] = {"dsn", "DSN", "the database, as a libpq connection string"},
    [OPTION_CONF] = {"config", "FILE", "or as that collector's configuration says (also -c)"},
    [OPTION_POP] = {"pop", "POP", "point of presence"},
    [OPTION_DIR] = {"dir", "DIR", "folder to write to (the current one)"},
    [OPTION_FORCE] = {"force", NULL, "replace what is there"},
    [OPTION_STATE] = {"state", "STATE", "only those in that state"},
    [OPTION_UNEXPECTED] = {"unexpected", NULL, "only what is not expected where it enters"},
    [OPTION_LIMIT] = {"limit", "N", "at most so many rows"},
    [OPTION_WHAT_IF] = {"what-if", "FILE", "which alerts another policy would raise or end"},
    [OPTION_WAIT] = {"wait", NULL, "wait for the end, and print the verdict"},
    [OPTION_TIMEOUT] = {"timeout", "SECONDS", "wait so long at most (600)"},
    [OPTION_REASON] = {"reason", "TEXT", "why, for those who read it later"},
    [OPTION_KIND] = {"kind", "KIND", "only alerts of that kind"},
    [OPTION_WHO] = {"who", "NAME", "who says so (the role of the database)"},
    [OPTION_WHY] = {"why", "TEXT", "a word for those who come after you"},
    [OPTION_FROM] = {"from", "TIME", "beginning (now); in UTC, unless it names a zone"},
    [OPTION_TO] = {"to", "TIME", "end; likewise"},
    [OPTION_FOR] = {"for", "SPAN", "or how long it lasts, as '2 hours'"},
    [OPTION_ROUTER] = {"router", "ROUTER", "router"},
    [OPTION_INTERFACE] = {"interface", "INTERFACE", "interface of the router"},
    [OPTION_PEER_AS] = {"peer-as", "AS", "AS number of the peer"},
    [OPTION_PREFIX] = {"prefix", "PREFIX", "source prefix, and all longer ones"},
    [OPTION_SENSOR] = {"sensor", "SENSOR", "sensor"},
    [OPTION_ALL] = {"all", NULL, "also what is over"},
    [OPTION_SUBSCRIBERS] = {"subscribers", NULL,
                            "a folder of alerts.feeds: subscribers, who need no pop"},
};

struct parse {
    int argc, at;
    char **argv;
    const struct command *command;
    struct call call;
    bool is_help, is_over; /* over: "--" was read */
};

enum { GO_ON = -1 };

int command_fail(int status, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, PROGRAM ": ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}

static int bad_usage(const char *what, const char *which)
{
    fprintf(stderr, PROGRAM ": %s: %s\nTry '" PROGRAM " --help'.\n", which, what);
    return 2;
}

/* ---- help ---- */

#define HELP_LEFT 30 /* columns before the help's words */
#define HELP_ROOM 68 /* columns for them */

/* As many words to a line as there is room for; the lines but the first begin behind indent. */
static void print_words(const char *text, int indent, int room, int width)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (len > room) {
            printf("\n%*s", indent, "");
            room = width;
        }
        printf("%.*s", len, text);
        room -= len + 1;
        text += len + (text[len] == ' ');
        if (*text != '\0' && room >= (int)strcspn(text, " "))
            putchar(' ');
    }
    putchar('\n');
}

static void print_row(const char *left, const char *right)
{
    printf("  %-*s", HELP_LEFT, left);
    print_words(right, HELP_LEFT + 2, strlen(left) < HELP_LEFT ? HELP_ROOM : 0, HELP_ROOM);
}

static void print_commands(const struct command *table, size_t n, const char *group)
{
    char left[128];
    for (size_t i = 0; i < n; i++) {
        if (strncmp(table[i].name, group, strlen(group)) != 0)
            continue;
        snprintf(left, sizeof left, "%s %s", table[i].name, table[i].arguments);
        print_row(left, table[i].help);
    }
}

static void print_option(unsigned which)
{
    char left[64];
    snprintf(left, sizeof left, "--%s %s", options[which].name,
             options[which].argument != NULL ? options[which].argument : "");
    print_row(left, options[which].help);
}

static int help_of_all(const char *about, const struct command *table, size_t n, const char *group)
{
    printf("Usage: " PROGRAM " COMMAND [ARGUMENT …] [OPTION …]\n\n%s\n\nCommands:\n", about);
    print_commands(table, n, group);
    printf("\nOptions of every command:\n");
    print_row("--json", "print JSON instead of a table");
    print_row("--help", "print this text, or a command's, and end (also -h)");
    print_row("--version", "print the version, and end");
    printf("\nExit status: 0 success, 1 failure, 2 bad usage.\n");
    return 0;
}

static int help_of(const struct command *c)
{
    printf("Usage: " PROGRAM " %s%s%s [OPTION …]\n\n", c->name, c->arguments[0] != '\0' ? " " : "",
           c->arguments);
    print_words(c->help, 0, HELP_LEFT + HELP_ROOM, HELP_LEFT + HELP_ROOM);
    printf("\nOptions:\n");
    for (unsigned i = 0; i < OPTION_COUNT; i++)
        if ((c->takes & TAKES(i)) != 0)
            print_option(i);
    print_row("--json", "print JSON instead of a table");
    return 0;
}

/* ---- which command ---- */

/* The words at the front that are a command's name: how many, 0 for none. */
static int words_of(const char *name, int argc, char **argv)
{
    size_t first = strcspn(name, " ");
    bool is_two = name[first] == ' ';
    if (argc < 1 + is_two || strlen(argv[0]) != first || strncmp(name, argv[0], first) != 0)
        return 0;
    return is_two ? 2 * (strcmp(name + first + 1, argv[1]) == 0) : 1;
}

static bool is_group(const struct command *table, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(table[i].name, word, strlen(word)) == 0 && table[i].name[strlen(word)] == ' ')
            return true;
    return false;
}

/* ---- its words ---- */

static int bad_option(const char *what, const char *name)
{
    char which[64];
    snprintf(which, sizeof which, "--%s", name);
    return bad_usage(what, which);
}

static int take_option(struct parse *p, const char *word)
{
    size_t len = strcspn(word, "=");
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].name) != len || strncmp(options[i].name, word, len) != 0 ||
            (p->command->takes & TAKES(i)) == 0)
            continue;
        if (options[i].argument == NULL) {
            p->call.option[i] = "";
            return word[len] == '=' ? bad_option("takes no argument", word) : GO_ON;
        }
        if (word[len] == '=')
            p->call.option[i] = word + len + 1;
        else if (p->at + 1 < p->argc)
            p->call.option[i] = p->argv[++p->at];
        else
            return bad_option("needs an argument", word);
        return GO_ON;
    }
    return bad_option("no option of this command", word);
}

static int take_word(struct parse *p, const char *word)
{
    if (!p->is_over && strcmp(word, "--") == 0)
        p->is_over = true;
    else if (!p->is_over && strcmp(word, "--json") == 0)
        p->call.json = true;
    else if (!p->is_over && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0))
        p->is_help = true;
    else if (!p->is_over && strncmp(word, "--", 2) == 0)
        return take_option(p, word + 2);
    else if (!p->is_over && strcmp(word, "-c") == 0)
        return take_option(p, options[OPTION_CONF].name);
    else if (!p->is_over && word[0] == '-' && word[1] != '\0')
        return bad_usage("unknown option", word);
    else if (p->call.count == p->command->most)
        return bad_usage("one argument too many", word);
    else
        p->call.argument[p->call.count++] = word;
    return GO_ON;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct parse p = {.argc = argc, .argv = argv, .command = command};
    for (; p.at < argc; p.at++) {
        int status = take_word(&p, argv[p.at]);
        if (status != GO_ON)
            return status;
    }
    if (p.is_help)
        return help_of(command);
    if (p.call.count < command->least) {
        char what[128];
        snprintf(what, sizeof what, "needs %s", command->arguments);
        return bad_usage(what, command->name);
    }
    return command->run(&p.call);
}

int command_main(int argc, char **argv, const char *about, const struct command *table, size_t n)
{
    const char *first = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < n; i++) {
        int words = words_of(table[i].name, argc - 1, argv + 1);
        if (words > 0)
            return run(&table[i], argc - 1 - words, argv + 1 + words);
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return help_of_all(about, table, n, "");
    if (strcmp(first, "--version") == 0) {
        printf(PROGRAM " %s\n", PENSTOCK_VERSION);
        return 0;
    }
    if (first[0] == '\0')
        return bad_usage("needed, as the first word", "COMMAND");
    if (!is_group(table, n, first))
        return bad_usage("unknown command", first);
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
        return help_of_all(about, table, n, first);
    return bad_usage(argc > 2 ? "unknown command" : "needs one more word", first);
}

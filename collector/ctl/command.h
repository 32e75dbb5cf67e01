/* The operator's commands: a table of rows, and the loop that finds one and reads its words.
 *
 * A command is one word or two ("keys new"). Options may stand anywhere behind it, as "--pop AMS"
 * or
 * "--pop=AMS"; "--" ends them. --json, --help and --version are everybody's. A new command is a row
 * in main.c and a function; a new option a word in the list below and a row in command.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define COMMAND_ARGUMENTS_MAX 8

enum command_option {
    OPTION_DSN,
    OPTION_CONF, /* also -c FILE */
    OPTION_POP,
    OPTION_DIR,
    OPTION_FORCE,
    OPTION_STATE,
    OPTION_UNEXPECTED,
    OPTION_LIMIT,
    OPTION_WHAT_IF,
    OPTION_WAIT,
    OPTION_TIMEOUT,
    OPTION_REASON,
    OPTION_KIND,
    OPTION_WHO,
    OPTION_WHY,
    OPTION_FROM,
    OPTION_TO,
    OPTION_FOR,
    OPTION_ROUTER,
    OPTION_INTERFACE,
    OPTION_PEER_AS,
    OPTION_PREFIX,
    OPTION_SENSOR,
    OPTION_ALL,
    OPTION_SUBSCRIBERS,
    OPTION_COUNT
};
#define TAKES(option) (1u << (option))

/* What was asked for. All strings are borrowed from argv. */
struct call {
    const char *argument[COMMAND_ARGUMENTS_MAX];
    unsigned count;
    const char *option[OPTION_COUNT]; /* NULL: not given; "" for a switch */
    bool json;
};

struct command {
    const char *name;                    /* "keys new" */
    const char *arguments;               /* "NAME", as the help shows them */
    unsigned least, most;                /* how many */
    unsigned takes;                      /* TAKES() of its options */
    const char *help;                    /* one sentence */
    int (*run)(const struct call *call); /* the exit status: 0, 1 or 2 */
};

/* Finds the command and runs it; prints help, version and complaints. The exit status. */
int command_main(int argc, char **argv, const char *about, const struct command *table, size_t n);

/* "penstockctl: …" on standard error; returns status. */
int command_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

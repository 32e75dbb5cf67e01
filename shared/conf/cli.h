/* The command line, the same on every program: a table of options and a loop over it.
 *
 * Every program has -c FILE (--config), --set KEY=VALUE (repeatable), --check, --explain, --help
 * and
 * --version; a program adds rows of its own. Options are "--name value", "--name=value". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CLI_SETTINGS_MAX 128

struct cli_option {
    const char *name;     /* without the dashes */
    const char *argument; /* "FILE": takes one; NULL: a switch */
    const char *help;     /* one sentence */
    const char **value;   /* set to the argument, or to "" for a switch; untouched when not given */
};

struct cli {
    const char *config; /* -c FILE; NULL: not given. All strings borrowed from argv. */
    const char *settings[CLI_SETTINGS_MAX];
    size_t setting_count;
    bool check, explain;
};

enum { CLI_GO_ON = -1 }; /* else: the exit status to end with (0 after --help, 2 after bad usage) */

/* Parses; prints help and version to standard output, complaints to standard error with a hint at
 * --help. about: a paragraph; synopsis: one line per way of calling, without the program's name,
 * separated by newlines. */
int cli_parse(int argc, char **argv, const char *program, const char *about, const char *synopsis,
              const struct cli_option *own, size_t own_count, struct cli *out);

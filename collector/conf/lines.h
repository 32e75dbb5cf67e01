/* What became of the lines (or elements) of a file that others write: taken, or refused with a
 * reason. A few bad ones are counted and passed over; a file with too many is refused as a whole.
 * Private to this folder. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

/* More refused lines than one in so many: this is not the file it is taken for. */
#define LINES_BAD_ONE_IN 10

struct lines {
    size_t taken, refused, passed; /* passed: understood, and nothing for us (an expired VRP) */
    size_t first;                  /* number of the first refused line, from 1; 0: none */
    char why[96];                  /* that line's reason */
};

void lines_refuse(struct lines *l, size_t number, const char *why);

/* 0, or ERR_CONF: none was taken, or too many were refused. what: "line", "element". */
int lines_judge(const struct lines *l, const char *path, const char *what, struct note *note);

/* Calls each for every line of a text that comes in pieces, without its newline, with its number.
 */
struct line_feed {
    char *text; /* the begun line */
    size_t len, room;
    size_t number;
    int (*each)(void *arg, const char *line, size_t len, size_t number);
    void *arg;
};

#define LINE_MAX_BYTES (256 * 1024) /* a longer one is cut: then it is refused */

/* The first error of each, or -ENOMEM. */
int line_feed(struct line_feed *f, const char *bytes, size_t len);
/* ERR_TRUNCATED when the text ends within a line. Frees. */
int line_feed_end(struct line_feed *f);

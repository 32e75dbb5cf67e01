/* Errors.
 *
 * A function that can fail returns int: 0 (or a count), or a negative number: -errno for what the
 * operating system said, or one of ERR_* from err.def (-1000 and below). Results go through
 * pointers. Start-up code also fills a struct note: a sentence for a human, with file, key and
 * hint. Nothing on a packet's path does either: there, things are counted. */
#pragma once

enum {
#define ERR(name, number, sentence, actor) ERR_##name = (number),
#include "shared/base/err.def"
#undef ERR
};

/* A sentence for the operator. Zeroed is empty. */
struct note {
    char text[1024];
};

/* The error's name ("CONF", or errno's such as "ENOENT"); static storage, never NULL. */
const char *err_name(int err);

/* The error's sentence; static or thread-local storage, never NULL. */
const char *err_text(int err);

/* Writes the sentence, replacing what was there; cut at the note's size. note may be NULL.
 * Returns err, so that callers can write: return note_set(note, ERR_CONF, "…", …); */
int note_set(struct note *note, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

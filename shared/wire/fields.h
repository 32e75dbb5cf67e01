/* schema/events.def as data: one row per field, in the order in which they are written. Encoder,
 * decoder, printer, event_shift() and the tables of docs/wire.md are loops over these rows. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_U64,
    FIELD_OPT,
    FIELD_REAL,
    FIELD_TIME,
    FIELD_SPAN,
    FIELD_TEXT,
    FIELD_ADDR,
    FIELD_PREFIX,
    FIELD_MAC,
    FIELD_UUID,
    FIELD_WORD,
    FIELD_REALS,
    FIELD_BOOL
};

struct field {
    const char *key;
    uint8_t key_len;
    enum field_type type;
    size_t offset;    /* in the struct that holds it (struct event, struct wire_message) */
    size_t limit;     /* TEXT: size with NUL; REALS: most elements; else 0 */
    const char *list; /* WORD: name of its list, and the list; else NULL */
    const char *const *words;
    unsigned word_count;
    const char *unit, *sentence;
};

struct event_kind {
    const char *name, *sentence;
    unsigned number;
    const struct field *fields;
    size_t count;
};

/* All kinds, by rising number. */
const struct event_kind *event_kinds(size_t *count);

/* NULL for a number that no event has. */
const struct event_kind *event_kind(unsigned type);

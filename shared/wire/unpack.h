/* msgpack read in place: bytes to values of struct field, for events and messages alike.
 *
 * Written by hand, though msgpack-c could read: it builds a tree of objects with an allocation for
 * each event, and believes in it. Here an object is measured first (every count and length against
 * the bytes that are there, without recursion), then walked once, in place; tests compare both
 * readers. An event is decoded in a quarter of the time (docs/benchmarks.md, "Delivery"). Format:
 * msgpack's spec.md. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "shared/base/err.h"
#include "shared/wire/fields.h"

/* One object of measured bytes; of an array or map only its head: its elements follow. */
struct value {
    enum {
        VALUE_NIL,
        VALUE_BOOL,
        VALUE_NUMBER,
        VALUE_NEGATIVE,
        VALUE_REAL,
        VALUE_TEXT,
        VALUE_BIN,
        VALUE_ARRAY,
        VALUE_MAP,
        VALUE_OTHER
    } type;
    uint32_t count; /* TEXT, BIN: bytes; ARRAY: elements; MAP: pairs */
    union {
        bool is_true;
        uint64_t number;
        int64_t negative;
        double real;
    };
    const uint8_t *bytes; /* TEXT, BIN: borrowed; ARRAY, MAP: the first element */
};

/* Measures the msgpack object at the front of data without trusting it: *used is its length. 0;
 * ERR_TRUNCATED, ERR_FORMAT with *used 0 when it does not end within len or is no msgpack;
 * ERR_TOO_LONG with *used > 0 when it is nested deeper than WIRE_DEPTH. */
int unpack_measure(const uint8_t *data, size_t len, size_t *used);

/* All that follow read bytes that unpack_measure measured. */

/* A measured object that must be a map: where its first key stands, and how many pairs. ERR_FORMAT.
 */
int unpack_map(const uint8_t *data, const uint8_t **first, uint32_t *pairs);

/* The object there, and what stands behind it; behind its head, if it is an array or map. */
const uint8_t *unpack_head(const uint8_t *at, struct value *v);

/* What stands behind the elements of an array or map; at: the first. */
const uint8_t *unpack_skip(const uint8_t *at, const struct value *v);

/* The object there, and what stands behind all of it. */
static inline const uint8_t *unpack_value(const uint8_t *at, struct value *v)
{
    at = unpack_head(at, v);
    return v->type < VALUE_ARRAY || v->type > VALUE_MAP ? at : unpack_skip(at, v);
}

static inline bool unpack_is_text(const struct value *v, const char *text, size_t len)
{
    return v->type == VALUE_TEXT && v->count == len && memcmp(v->bytes, text, len) == 0;
}

/* Sets the field in base from a value. ERR_FORMAT, ERR_TOO_LONG. */
int unpack_field(const struct field *f, const struct value *v, void *base);

/* What a missing key reads as. */
void unpack_missing(const struct field *f, void *base);

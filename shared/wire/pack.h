/* The door to msgpack-c: values of struct field to bytes and back, for events and messages alike.
 * Only this folder includes it. */
#pragma once

#include <msgpack.h>
#include <stdbool.h>

#include "shared/base/err.h"
#include "shared/wire/fields.h"

/* A fixed buffer that msgpack-c's packer writes to; full says that something did not fit. */
struct pack {
    uint8_t *out;
    size_t room, used;
    bool full;
    msgpack_packer packer;
};

void pack_init(struct pack *p, uint8_t *out, size_t room);

/* Bytes written, or ERR_FULL. */
int pack_end(const struct pack *p);

void pack_text(struct pack *p, const char *text, size_t len);
void pack_bin(struct pack *p, const void *bytes, size_t len);

/* base: the struct that holds the field. ERR_FORMAT: the value cannot be said on the wire (a word
 * or prefix that does not exist, a number that no SQL bigint holds). */
int pack_field(struct pack *p, const struct field *f, const void *base);

/* Measures the msgpack object at the front of data without trusting it: *used is its length. 0;
 * ERR_TRUNCATED, ERR_FORMAT with *used 0 when it does not end within len or is no msgpack;
 * ERR_TOO_LONG with *used > 0 when it is nested deeper than WIRE_DEPTH. */
int unpack_measure(const uint8_t *data, size_t len, size_t *used);

/* Parses one measured object of len bytes that must be a map. out is to be destroyed on 0. */
int unpack_map(const uint8_t *data, size_t len, msgpack_unpacked *out);

bool unpack_key_is(const msgpack_object *key, const char *name);

/* Sets the field in base from an object. ERR_FORMAT, ERR_TOO_LONG. */
int unpack_field(const struct field *f, const msgpack_object *value, void *base);

/* What a missing key reads as. */
void unpack_missing(const struct field *f, void *base);

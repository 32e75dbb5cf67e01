/* The door to msgpack-c: values of struct field to bytes, for events and messages alike. Only this
 * folder includes it. The way back is unpack.h. */
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

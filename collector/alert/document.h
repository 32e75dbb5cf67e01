/* A JSON object in a buffer of fixed size, always whole: a member that does not fit is left out,
 * and then the object says "cut": true. Evidence is written with it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/wire/event.h"

struct document {
    char *text; /* borrowed; holds a JSON object after document_close() */
    size_t size, len;
    bool is_cut;
};

/* size: 32 or more. */
void document_open(struct document *d, char *text, size_t size);
char *document_close(struct document *d); /* returns the text */

/* One member each. Text is escaped; a number that is none becomes null. */
void document_text(struct document *d, const char *key, const char *value);
void document_real(struct document *d, const char *key, double value);
void document_count(struct document *d, const char *key, uint64_t value);
void document_boolean(struct document *d, const char *key, bool value);
void document_time(struct document *d, const char *key, int64_t ns); /* ISO 8601, UTC; 0: null */
void document_prefix(struct document *d, const char *key, const struct prefix *p);
/* JSON as it stands: an object, an array. NULL or "": nothing. */
void document_raw(struct document *d, const char *key, const char *json);
/* A place as an object; what is not said is left out. */
void document_place(struct document *d, const char *key, const char *pop, const struct ingress *at);

/* Copies the value of that member, an object or an array, of JSON that PostgreSQL or document_…
 * wrote;
 * "" if there is none, or it is longer than size. */
void document_find(const char *json, const char *key, char *out, size_t size);
/* A member that is a whole number; 0 if there is none. */
uint64_t document_find_count(const char *json, const char *key);
/* A member that is a text; "" if there is none, or it has size or more bytes. */
void document_find_text(const char *json, const char *key, char *out, size_t size);
/* A place, as document_place() writes it; false: there is none. */
bool document_find_place(const char *json, const char *key, char pop[static 32],
                         struct ingress *at);

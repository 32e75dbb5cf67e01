/* Values in PostgreSQL's binary form, both ways.
 *
 * A record is a row of fields, each a length (-1: NULL) and its bytes: exactly what COPY BINARY
 * wants, and what the parameters of a statement are cut from. So each type is written in one place.
 *
 * What sensors say must never make a batch fail for ever, so the writers bend what PostgreSQL would
 * refuse: numbers beyond bigint stop at its end, bytes that are no UTF-8 become '?', a prefix's
 * host bits are cleared, an address of no family is NULL, a probability outside [0, 1] is cut. */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/wire/event.h"

/* Zeroed is empty. When memory ran out, failed is set and nothing more is added. */
struct record {
    uint8_t *data;
    size_t len, room;
    bool failed;
};

void record_clear(struct record *r); /* frees */
void record_empty(struct record *r); /* keeps a moderate buffer for the next transaction */
void record_bytes(struct record *r, const void *bytes, size_t len); /* raw, without a length */
void record_count(struct record *r, int16_t columns);               /* opens a row of COPY */

void field_null(struct record *r);
void field_text(struct record *r, const char *text);         /* text */
void field_text_or_null(struct record *r, const char *text); /* "" or NULL: NULL */
void field_bytea(struct record *r, const uint8_t *bytes, size_t len);
void field_bigint(struct record *r, uint64_t value);
void field_bigint_or_null(struct record *r, uint64_t value); /* 0: NULL */
void field_integer(struct record *r, uint64_t value);
void field_integer_or_null(struct record *r, uint64_t value); /* 0: NULL */
void field_boolean(struct record *r, bool value);
void field_real(struct record *r, double value);        /* double precision */
void field_probability(struct record *r, double value); /* cut to [0, 1]; NaN: NULL */
void field_instant(struct record *r, int64_t ns);       /* timestamptz; 0 is 1970 */
void field_time(struct record *r, int64_t ns);          /* timestamptz; 0: NULL */
void field_span(struct record *r, uint64_t ns);         /* interval; SPAN_NONE: NULL */
void field_addr(struct record *r, const struct addr *a);
void field_prefix(struct record *r, const struct prefix *p); /* cidr */
void field_mac(struct record *r, const uint8_t mac[static 6]);
void field_mac_or_null(struct record *r, const uint8_t mac[static 6]); /* zero: NULL */
void field_uuid(struct record *r, const uint8_t uuid[static 16]);
/* An array of count elements, which elements holds as fields; type: the elements' OID. */
void field_array(struct record *r, uint32_t type, uint32_t count, const struct record *elements);
void field_reals(struct record *r, const struct reals *values); /* double precision[] */

/* Reads one row of a binary result, column after column. NULL reads as zero or "". */
struct columns {
    const PGresult *result;
    int row, next;
};

bool column_is_null(const struct columns *c); /* the next one; does not take it */
void column_text(struct columns *c, char *out, size_t size);
uint64_t column_bigint(struct columns *c);
uint64_t column_integer(struct columns *c);
bool column_boolean(struct columns *c);
double column_real(struct columns *c);
int64_t column_time(struct columns *c); /* ns since 1970; NULL: 0 */
struct prefix column_prefix(struct columns *c);
void column_mac(struct columns *c, uint8_t out[static 6]);

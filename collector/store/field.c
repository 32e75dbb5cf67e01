#include "collector/store/field.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/utf8.h"

/* 2000-01-01, PostgreSQL's zero, in its unit. */
#define PG_EPOCH_US INT64_C(946684800000000)
#define KEEP_BYTES  (1 << 20)

enum { PG_AF_INET = 2, PG_AF_INET6 = 3, FLOAT8_OID = 701 };

void record_clear(struct record *r)
{
    free(r->data);
    *r = (struct record){0};
}

void record_empty(struct record *r)
{
    if (r->room > KEEP_BYTES)
        record_clear(r);
    r->len = 0;
    r->failed = false;
}

static bool record_reserve(struct record *r, size_t more)
{
    if (r->failed)
        return false;
    if (r->room - r->len >= more)
        return true;
    size_t room = (r->room + more) * 2;
    uint8_t *data = realloc(r->data, room);
    if (data == NULL) {
        r->failed = true;
        return false;
    }
    r->data = data;
    r->room = room;
    return true;
}

void record_bytes(struct record *r, const void *bytes, size_t len)
{
    if (len == 0 || !record_reserve(r, len))
        return;
    memcpy(r->data + r->len, bytes, len);
    r->len += len;
}

/* The same, for what has its length at compile time. */
static inline void put(struct record *r, const void *bytes, size_t len)
{
    if (r->room - r->len < len || r->failed) {
        record_bytes(r, bytes, len);
        return;
    }
    memcpy(r->data + r->len, bytes, len);
    r->len += len;
}

static void put_16(struct record *r, uint16_t value)
{
    uint16_t be = htobe16(value);
    put(r, &be, sizeof be);
}

static void put_32(struct record *r, uint32_t value)
{
    uint32_t be = htobe32(value);
    put(r, &be, sizeof be);
}

static void put_64(struct record *r, uint64_t value)
{
    uint64_t be = htobe64(value);
    put(r, &be, sizeof be);
}

/* A field of eight bytes. */
static void put_field_64(struct record *r, uint64_t value)
{
    struct {
        uint32_t len;
        uint32_t high, low;
    } be = {htobe32(8), htobe32((uint32_t)(value >> 32)), htobe32((uint32_t)value)};
    put(r, &be, sizeof be);
}

void record_count(struct record *r, int16_t columns)
{
    put_16(r, (uint16_t)columns);
}

void field_null(struct record *r)
{
    put_32(r, UINT32_MAX);
}

void field_bytea(struct record *r, const uint8_t *bytes, size_t len)
{
    put_32(r, (uint32_t)len);
    record_bytes(r, bytes, len);
}

void field_text(struct record *r, const char *text)
{
    size_t len = strlen(text);
    put_32(r, (uint32_t)len);
    size_t clean = utf8_ascii((const uint8_t *)text, len);
    record_bytes(r, text, clean);
    for (size_t i = clean; i < len;) {
        size_t n = utf8_length((const uint8_t *)text + i, len - i);
        record_bytes(r, n > 0 ? text + i : "?", n > 0 ? n : 1);
        i += n > 0 ? n : 1;
    }
}

void field_text_or_null(struct record *r, const char *text)
{
    if (text == NULL || text[0] == '\0')
        field_null(r);
    else
        field_text(r, text);
}

void field_bigint(struct record *r, uint64_t value)
{
    put_field_64(r, value <= INT64_MAX ? value : INT64_MAX);
}

void field_bigint_or_null(struct record *r, uint64_t value)
{
    if (value == 0)
        field_null(r);
    else
        field_bigint(r, value);
}

void field_integer(struct record *r, uint64_t value)
{
    put_32(r, 4);
    put_32(r, value <= INT32_MAX ? (uint32_t)value : INT32_MAX);
}

void field_integer_or_null(struct record *r, uint64_t value)
{
    if (value == 0)
        field_null(r);
    else
        field_integer(r, value);
}

void field_boolean(struct record *r, bool value)
{
    field_bytea(r, &(uint8_t){value}, 1);
}

void field_real(struct record *r, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_field_64(r, bits);
}

void field_probability(struct record *r, double value)
{
    if (value != value)
        field_null(r);
    else
        field_real(r, value < 0 ? 0 : value > 1 ? 1 : value);
}

void field_instant(struct record *r, int64_t ns)
{
    int64_t us = ns / 1000 - (ns % 1000 < 0);
    put_field_64(r, (uint64_t)(us - PG_EPOCH_US));
}

void field_time(struct record *r, int64_t ns)
{
    if (ns == 0)
        field_null(r);
    else
        field_instant(r, ns);
}

void field_span(struct record *r, uint64_t ns)
{
    if (ns == SPAN_NONE) {
        field_null(r);
        return;
    }
    put_32(r, 16);
    put_64(r, ns / 1000);
    put_32(r, 0); /* days */
    put_32(r, 0); /* months */
}

static void field_inet(struct record *r, const struct addr *a, uint8_t length, bool is_cidr)
{
    if (a->family != ADDR_V4 && a->family != ADDR_V6) {
        field_null(r);
        return;
    }
    uint8_t bytes = (uint8_t)(addr_bits(a->family) / 8);
    uint8_t head[4] = {a->family == ADDR_V4 ? PG_AF_INET : PG_AF_INET6, length, is_cidr, bytes};
    put_32(r, (uint32_t)(sizeof head + bytes));
    record_bytes(r, head, sizeof head);
    record_bytes(r, a->bytes, bytes);
}

void field_addr(struct record *r, const struct addr *a)
{
    field_inet(r, a, (uint8_t)addr_bits(a->family), false);
}

void field_prefix(struct record *r, const struct prefix *p)
{
    struct prefix clean = prefix_of(&p->addr, p->length);
    field_inet(r, &clean.addr, clean.length, true);
}

void field_mac(struct record *r, const uint8_t mac[static 6])
{
    field_bytea(r, mac, 6);
}

void field_mac_or_null(struct record *r, const uint8_t mac[static 6])
{
    static const uint8_t none[6];
    if (memcmp(mac, none, sizeof none) == 0)
        field_null(r);
    else
        field_mac(r, mac);
}

void field_uuid(struct record *r, const uint8_t uuid[static 16])
{
    field_bytea(r, uuid, 16);
}

/* Dimensions, whether there are NULLs, element type, then per dimension its length and first index.
 */
static void array_head(struct record *r, uint32_t type, uint32_t count, bool may_have_null,
                       size_t elements_len)
{
    bool is_empty = count == 0;
    put_32(r, (uint32_t)(12 + (is_empty ? 0 : 8 + elements_len)));
    put_32(r, !is_empty);
    put_32(r, may_have_null);
    put_32(r, type);
    if (is_empty)
        return;
    put_32(r, count);
    put_32(r, 1);
}

void field_array(struct record *r, uint32_t type, uint32_t count, const struct record *elements)
{
    array_head(r, type, count, true, elements->len);
    record_bytes(r, elements->data, elements->len);
    r->failed = r->failed || elements->failed;
}

void field_reals(struct record *r, const struct reals *values)
{
    uint32_t n = values->count <= REALS_MAX ? values->count : REALS_MAX;
    array_head(r, FLOAT8_OID, n, false, 12 * n);
    for (uint32_t i = 0; i < n; i++)
        field_real(r, values->value[i]);
}

bool column_is_null(const struct columns *c)
{
    return PQgetisnull(c->result, c->row, c->next);
}

/* The next column's bytes; *len 0 when NULL. */
static const uint8_t *column_take(struct columns *c, size_t *len)
{
    *len = (size_t)PQgetlength(c->result, c->row, c->next);
    return (const uint8_t *)PQgetvalue(c->result, c->row, c->next++);
}

/* A big-endian integer of that many bytes; 0 when NULL. */
static uint64_t column_number(struct columns *c, size_t want)
{
    size_t len;
    const uint8_t *bytes = column_take(c, &len);
    uint64_t value = 0;
    for (size_t i = 0; i < want && len == want; i++)
        value = value << 8 | bytes[i];
    return value;
}

void column_text(struct columns *c, char *out, size_t size)
{
    size_t len;
    const uint8_t *bytes = column_take(c, &len);
    if (len >= size)
        for (len = size - 1; len > 0 && (bytes[len] & 0xc0) == 0x80;)
            len--;
    memcpy(out, bytes, len);
    out[len] = '\0';
}

uint64_t column_bigint(struct columns *c)
{
    return column_number(c, 8);
}

uint64_t column_integer(struct columns *c)
{
    return column_number(c, 4);
}

bool column_boolean(struct columns *c)
{
    return column_number(c, 1) != 0;
}

double column_real(struct columns *c)
{
    uint64_t bits = column_number(c, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int64_t column_time(struct columns *c)
{
    if (column_is_null(c)) {
        c->next++;
        return 0;
    }
    /* PostgreSQL knows times (and infinity) that we do not: those stop at our ends. The first was
     * rounded down when it was written. */
    int64_t us = (int64_t)column_number(c, 8), ns;
    if (!__builtin_add_overflow(us, PG_EPOCH_US, &ns) &&
        !__builtin_mul_overflow(ns, INT64_C(1000), &ns))
        return ns;
    return us < 0 ? INT64_MIN : INT64_MAX;
}

struct prefix column_prefix(struct columns *c)
{
    size_t len;
    const uint8_t *b = column_take(c, &len);
    if (len == 8 && b[0] == PG_AF_INET)
        return prefix_of(&(struct addr){.family = ADDR_V4, .bytes = {b[4], b[5], b[6], b[7]}},
                         b[1]);
    if (len == 20 && b[0] == PG_AF_INET6) {
        struct addr a = addr_v6(b + 4);
        return prefix_of(&a, b[1]);
    }
    return (struct prefix){0};
}

void column_mac(struct columns *c, uint8_t out[static 6])
{
    size_t len;
    const uint8_t *bytes = column_take(c, &len);
    memset(out, 0, 6);
    if (len == 6)
        memcpy(out, bytes, 6);
}

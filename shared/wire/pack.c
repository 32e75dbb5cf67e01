#include "shared/wire/pack.h"

#include <string.h>

#include "shared/wire/utf8.h"
#include "shared/wire/wire.h"

/* ---- writing ---- */

static int pack_write(void *ctx, const char *bytes, size_t len)
{
    struct pack *p = ctx;
    if (p->full || len > p->room - p->used) {
        p->full = true;
        return -1;
    }
    memcpy(p->out + p->used, bytes, len);
    p->used += len;
    return 0;
}

void pack_init(struct pack *p, uint8_t *out, size_t room)
{
    p->out = out;
    p->room = room;
    p->used = 0;
    p->full = false;
    msgpack_packer_init(&p->packer, p, pack_write);
}

int pack_end(const struct pack *p)
{
    return p->full ? ERR_FULL : (int)p->used;
}

/* What is no UTF-8 becomes '?': the collector's database would refuse it, and a text cut at its
 * size may well end within a character. */
void pack_text(struct pack *p, const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    msgpack_pack_str(&p->packer, len);
    for (size_t i = 0, n; i < len; i += n) {
        size_t valid = utf8_length(s + i, len - i);
        n = valid > 0 ? valid : 1;
        pack_write(p, valid > 0 ? text + i : "?", n);
    }
}

void pack_bin(struct pack *p, const void *bytes, size_t len)
{
    msgpack_pack_bin(&p->packer, len);
    if (len > 0)
        msgpack_pack_bin_body(&p->packer, bytes, len);
}

/* Numbers stay within SQL's bigint, so that no event can be committed by nobody. */
static int pack_number(struct pack *p, uint64_t value)
{
    if (value > INT64_MAX)
        return ERR_FORMAT;
    msgpack_pack_uint64(&p->packer, value);
    return 0;
}

static int pack_number_or_nil(struct pack *p, uint64_t value, uint64_t none)
{
    if (value != none)
        return pack_number(p, value);
    msgpack_pack_nil(&p->packer);
    return 0;
}

static int pack_bytes_or_nil(struct pack *p, const void *bytes, size_t len, bool none)
{
    if (none)
        msgpack_pack_nil(&p->packer);
    else
        pack_bin(p, bytes, len);
    return 0;
}

static int pack_addr(struct pack *p, const struct addr *a)
{
    if (a->family != 0 && a->family != ADDR_V4 && a->family != ADDR_V6)
        return ERR_FORMAT;
    return pack_bytes_or_nil(p, a->bytes, addr_bits(a->family) / 8, a->family == 0);
}

static int pack_prefix(struct pack *p, const struct prefix *prefix)
{
    const struct addr *a = &prefix->addr;
    if (a->family != 0) {
        if ((a->family != ADDR_V4 && a->family != ADDR_V6) || prefix->length > addr_bits(a->family))
            return ERR_FORMAT;
    }
    size_t n = addr_bits(a->family) / 8;
    uint8_t bytes[17];
    memcpy(bytes, a->bytes, n);
    bytes[n] = prefix->length;
    return pack_bytes_or_nil(p, bytes, n + 1, a->family == 0);
}

static int pack_mac(struct pack *p, const uint8_t *mac)
{
    static const uint8_t none[6];
    return pack_bytes_or_nil(p, mac, 6, memcmp(mac, none, 6) == 0);
}

static int pack_word(struct pack *p, const char *list, unsigned number)
{
    const char *word = event_word(list, number);
    if (word == NULL)
        return ERR_FORMAT;
    pack_text(p, word, strlen(word));
    return 0;
}

static int pack_reals(struct pack *p, const struct reals *r, size_t limit)
{
    if (r->count > limit)
        return ERR_FORMAT;
    msgpack_pack_array(&p->packer, r->count);
    for (uint32_t i = 0; i < r->count; i++)
        msgpack_pack_double(&p->packer, r->value[i]);
    return 0;
}

static int pack_bool(struct pack *p, bool value)
{
    if (value)
        msgpack_pack_true(&p->packer);
    else
        msgpack_pack_false(&p->packer);
    return 0;
}

static int pack_value(struct pack *p, const struct field *f, const void *value)
{
    switch (f->type) {
    case FIELD_U64:
        return pack_number(p, *(const uint64_t *)value);
    case FIELD_OPT:
        return pack_number_or_nil(p, *(const uint64_t *)value, 0);
    case FIELD_SPAN:
        return pack_number_or_nil(p, *(const uint64_t *)value, SPAN_NONE);
    case FIELD_REAL:
        msgpack_pack_double(&p->packer, *(const double *)value);
        return 0;
    case FIELD_TIME:
        msgpack_pack_int64(&p->packer, *(const int64_t *)value);
        return 0;
    case FIELD_TEXT:
        pack_text(p, value, strnlen(value, f->limit - 1));
        return 0;
    case FIELD_ADDR:
        return pack_addr(p, value);
    case FIELD_PREFIX:
        return pack_prefix(p, value);
    case FIELD_MAC:
        return pack_mac(p, value);
    case FIELD_UUID:
        return pack_bytes_or_nil(p, value, 16, false);
    case FIELD_WORD:
        return pack_word(p, f->list, *(const uint8_t *)value);
    case FIELD_REALS:
        return pack_reals(p, value, f->limit);
    case FIELD_BOOL:
        return pack_bool(p, *(const bool *)value);
    }
    return ERR_FORMAT;
}

int pack_field(struct pack *p, const struct field *f, const void *base)
{
    pack_text(p, f->key, strlen(f->key));
    return pack_value(p, f, (const char *)base + f->offset);
}

/* ---- measuring: before msgpack-c sees a byte that somebody sent ---- */

/* How an object's first byte goes on: bytes of length or value after it, what that length counts */
struct head {
    uint8_t size; /* bytes after the first */
    enum { HEAD_VALUE, HEAD_BYTES, HEAD_EXT, HEAD_ARRAY, HEAD_MAP, HEAD_BAD } counts;
    uint8_t fixed; /* the length, if it stands in the first byte itself (size 0) */
};

static struct head head_of(uint8_t b)
{
    static const struct head heads[32] = {
        /* c0 */ {0, HEAD_VALUE, 0},
        {0, HEAD_BAD, 0},
        {0, HEAD_VALUE, 0},
        {0, HEAD_VALUE, 0},
        /* c4 */ {1, HEAD_BYTES, 0},
        {2, HEAD_BYTES, 0},
        {4, HEAD_BYTES, 0},
        {1, HEAD_EXT, 0},
        /* c8 */ {2, HEAD_EXT, 0},
        {4, HEAD_EXT, 0},
        {4, HEAD_VALUE, 0},
        {8, HEAD_VALUE, 0},
        /* cc */ {1, HEAD_VALUE, 0},
        {2, HEAD_VALUE, 0},
        {4, HEAD_VALUE, 0},
        {8, HEAD_VALUE, 0},
        /* d0 */ {1, HEAD_VALUE, 0},
        {2, HEAD_VALUE, 0},
        {4, HEAD_VALUE, 0},
        {8, HEAD_VALUE, 0},
        /* d4 */ {0, HEAD_EXT, 1},
        {0, HEAD_EXT, 2},
        {0, HEAD_EXT, 4},
        {0, HEAD_EXT, 8},
        /* d8 */ {0, HEAD_EXT, 16},
        {1, HEAD_BYTES, 0},
        {2, HEAD_BYTES, 0},
        {4, HEAD_BYTES, 0},
        /* dc */ {2, HEAD_ARRAY, 0},
        {4, HEAD_ARRAY, 0},
        {2, HEAD_MAP, 0},
        {4, HEAD_MAP, 0},
    };
    if (b >= 0xc0 && b <= 0xdf)
        return heads[b - 0xc0];
    if (b >= 0xa0 && b <= 0xbf)
        return (struct head){0, HEAD_BYTES, b & 0x1f};
    if (b >= 0x90 && b <= 0x9f)
        return (struct head){0, HEAD_ARRAY, b & 0x0f};
    if (b >= 0x80 && b <= 0x8f)
        return (struct head){0, HEAD_MAP, b & 0x0f};
    return (struct head){0, HEAD_VALUE, 0};
}

static uint64_t big_endian(const uint8_t *bytes, unsigned size)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < size; i++)
        n = n << 8 | bytes[i];
    return n;
}

/* One head at data[*at]: moves *at past it and its own bytes; *children: objects that it holds. */
static int measure_head(const uint8_t *data, size_t len, size_t *at, uint64_t *children)
{
    struct head h = head_of(data[*at]);
    if (h.counts == HEAD_BAD)
        return ERR_FORMAT;
    if (len - *at <= h.size)
        return ERR_TRUNCATED;
    uint64_t n = h.size > 0 ? big_endian(data + *at + 1, h.size) : h.fixed;
    *at += 1 + (size_t)h.size;
    *children = h.counts == HEAD_ARRAY ? n : h.counts == HEAD_MAP ? 2 * n : 0;
    uint64_t body = h.counts == HEAD_BYTES ? n : h.counts == HEAD_EXT ? n + 1 : 0;
    if (body > len - *at)
        return ERR_TRUNCATED;
    *at += body;
    return 0;
}

/* No recursion, and no count is believed beyond the bytes that are there: every object takes one
 * at least. What is too deep is still measured, so that a batch can go on after it. */
int unpack_measure(const uint8_t *data, size_t len, size_t *used)
{
    uint64_t open[WIRE_DEPTH]; /* objects still to come on each level */
    unsigned depth = 0;
    uint64_t pending = 1; /* on all levels */
    bool deep = false;
    size_t at = 0;
    *used = 0;
    while (pending > 0) {
        uint64_t children;
        if (pending > len - at)
            return ERR_TRUNCATED;
        int err = measure_head(data, len, &at, &children);
        if (err < 0)
            return err;
        pending += children - 1;
        if (deep)
            continue;
        if (depth > 0)
            open[depth - 1]--;
        if (children > 0 && depth == WIRE_DEPTH)
            deep = true;
        else if (children > 0)
            open[depth++] = children;
        while (!deep && depth > 0 && open[depth - 1] == 0)
            depth--;
    }
    *used = at;
    return deep ? ERR_TOO_LONG : 0;
}

/* ---- reading ---- */

int unpack_map(const uint8_t *data, size_t len, msgpack_unpacked *out)
{
    size_t offset = 0;
    msgpack_unpacked_init(out);
    msgpack_unpack_return r = msgpack_unpack_next(out, (const char *)data, len, &offset);
    if (r == MSGPACK_UNPACK_SUCCESS && offset == len && out->data.type == MSGPACK_OBJECT_MAP)
        return 0;
    msgpack_unpacked_destroy(out);
    return ERR_FORMAT;
}

bool unpack_key_is(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) &&
           memcmp(key->via.str.ptr, name, key->via.str.size) == 0;
}

static bool is_nil(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_NIL;
}

static int unpack_number(const msgpack_object *o, uint64_t *out)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > INT64_MAX)
        return ERR_FORMAT;
    *out = o->via.u64;
    return 0;
}

static int unpack_number_or_nil(const msgpack_object *o, uint64_t none, uint64_t *out)
{
    if (!is_nil(o))
        return unpack_number(o, out);
    *out = none;
    return 0;
}

static int unpack_time(const msgpack_object *o, int64_t *out)
{
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = o->via.i64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
        *out = (int64_t)o->via.u64;
    else
        return ERR_FORMAT;
    return 0;
}

static int unpack_real(const msgpack_object *o, double *out)
{
    if (o->type == MSGPACK_OBJECT_FLOAT64 || o->type == MSGPACK_OBJECT_FLOAT32)
        *out = o->via.f64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        *out = (double)o->via.u64;
    else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = (double)o->via.i64;
    else
        return ERR_FORMAT;
    return 0;
}

/* Only what a database takes: UTF-8 without NUL. */
static bool text_is_clean(const uint8_t *s, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_length(s + i, len - i);
        if (n == 0 || s[i] == 0)
            return false;
    }
    return true;
}

static int unpack_text(const msgpack_object *o, size_t limit, char *out)
{
    if (o->type != MSGPACK_OBJECT_STR)
        return ERR_FORMAT;
    if (o->via.str.size >= limit)
        return ERR_TOO_LONG;
    if (!text_is_clean((const uint8_t *)o->via.str.ptr, o->via.str.size))
        return ERR_FORMAT;
    memset(out, 0, limit);
    if (o->via.str.size > 0)
        memcpy(out, o->via.str.ptr, o->via.str.size);
    return 0;
}

static int unpack_bytes(const msgpack_object *o, size_t len, void *out)
{
    if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != len)
        return ERR_FORMAT;
    memcpy(out, o->via.bin.ptr, len);
    return 0;
}

static int unpack_addr(const msgpack_object *o, struct addr *out)
{
    memset(out, 0, sizeof *out);
    if (is_nil(o))
        return 0;
    if (o->type != MSGPACK_OBJECT_BIN || (o->via.bin.size != 4 && o->via.bin.size != 16))
        return ERR_FORMAT;
    *out = o->via.bin.size == 4 ? addr_v4(o->via.bin.ptr) : addr_v6(o->via.bin.ptr);
    return 0;
}

/* A prefix with bits beyond its length is refused: SQL's cidr would refuse it too, later. */
static int unpack_prefix(const msgpack_object *o, struct prefix *out)
{
    memset(out, 0, sizeof *out);
    if (is_nil(o))
        return 0;
    if (o->type != MSGPACK_OBJECT_BIN || (o->via.bin.size != 5 && o->via.bin.size != 17))
        return ERR_FORMAT;
    const char *bytes = o->via.bin.ptr;
    uint8_t length = (uint8_t)bytes[o->via.bin.size - 1];
    struct addr a = o->via.bin.size == 5 ? addr_v4(bytes) : addr_v6(bytes);
    if (length > addr_bits(a.family))
        return ERR_FORMAT;
    struct prefix p = prefix_of(&a, length);
    if (!addr_equal(&p.addr, &a))
        return ERR_FORMAT;
    *out = p;
    return 0;
}

static int unpack_mac(const msgpack_object *o, uint8_t *out)
{
    if (!is_nil(o))
        return unpack_bytes(o, 6, out);
    memset(out, 0, 6);
    return 0;
}

static int unpack_word(const msgpack_object *o, const char *list, uint8_t *out)
{
    const char *word;
    for (unsigned i = 0; (word = event_word(list, i)) != NULL; i++) {
        if (!unpack_key_is(o, word))
            continue;
        *out = (uint8_t)i;
        return 0;
    }
    return ERR_FORMAT;
}

static int unpack_reals(const msgpack_object *o, size_t limit, struct reals *out)
{
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return ERR_FORMAT;
    if (o->via.array.size > limit || o->via.array.size > REALS_MAX)
        return ERR_TOO_LONG;
    memset(out, 0, sizeof *out);
    out->count = o->via.array.size;
    for (uint32_t i = 0; i < out->count; i++)
        if (unpack_real(&o->via.array.ptr[i], &out->value[i]) < 0)
            return ERR_FORMAT;
    return 0;
}

static int unpack_bool(const msgpack_object *o, bool *out)
{
    if (o->type != MSGPACK_OBJECT_BOOLEAN)
        return ERR_FORMAT;
    *out = o->via.boolean;
    return 0;
}

int unpack_field(const struct field *f, const msgpack_object *value, void *base)
{
    void *out = (char *)base + f->offset;
    switch (f->type) {
    case FIELD_U64:
        return unpack_number(value, out);
    case FIELD_OPT:
        return unpack_number_or_nil(value, 0, out);
    case FIELD_SPAN:
        return unpack_number_or_nil(value, SPAN_NONE, out);
    case FIELD_REAL:
        return unpack_real(value, out);
    case FIELD_TIME:
        return unpack_time(value, out);
    case FIELD_TEXT:
        return unpack_text(value, f->limit, out);
    case FIELD_ADDR:
        return unpack_addr(value, out);
    case FIELD_PREFIX:
        return unpack_prefix(value, out);
    case FIELD_MAC:
        return unpack_mac(value, out);
    case FIELD_UUID:
        return unpack_bytes(value, 16, out);
    case FIELD_WORD:
        return unpack_word(value, f->list, out);
    case FIELD_REALS:
        return unpack_reals(value, f->limit, out);
    case FIELD_BOOL:
        return unpack_bool(value, out);
    }
    return ERR_FORMAT;
}

/* Zero everywhere but in a span: "after 0 s" would be evidence that nobody gave. The structs are
 * cleared before, so only spans are left to do. */
void unpack_missing(const struct field *f, void *base)
{
    if (f->type == FIELD_SPAN)
        *(uint64_t *)(void *)((char *)base + f->offset) = SPAN_NONE;
}

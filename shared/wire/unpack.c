#include "shared/wire/unpack.h"

#include <endian.h>
#include <string.h>

#include "shared/wire/utf8.h"
#include "shared/wire/wire.h"

/* ---- measuring: before anything is believed ---- */

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
    uint16_t n16;
    uint32_t n32;
    uint64_t n64;
    switch (size) {
    case 1:
        return bytes[0];
    case 2:
        memcpy(&n16, bytes, sizeof n16);
        return be16toh(n16);
    case 4:
        memcpy(&n32, bytes, sizeof n32);
        return be32toh(n32);
    case 8:
        memcpy(&n64, bytes, sizeof n64);
        return be64toh(n64);
    default:
        return 0;
    }
}

/* What mostly comes: an object that holds none, and whose first byte says how long it is. 0:
 * another. */
static size_t simple_length(uint8_t b)
{
    static const uint8_t lengths[32] = {
        1, 0, 1, 1, 0, 0, 0, 0,  0,  0, 5, 9, 2, 3, 5, 9, /* c0: nil, booleans, floats, unsigned */
        2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0, /* d0: signed, fixext */
    };
    if (b < 0x80 || b >= 0xe0)
        return 1;
    if (b >= 0xc0)
        return lengths[b - 0xc0];
    return b >= 0xa0 ? 1 + (size_t)(b & 0x1f) : 0;
}

/* One head at data[*at]: moves *at past it and its own bytes; *children: objects that it holds. */
static int measure_head(const uint8_t *data, size_t len, size_t *at, uint64_t *children)
{
    size_t simple = simple_length(data[*at]);
    *children = 0;
    if (simple > len - *at)
        return ERR_TRUNCATED;
    *at += simple;
    if (simple > 0)
        return 0;
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

/* ---- reading: bytes that were measured, so that nothing here can lead beyond them ---- */

int unpack_map(const uint8_t *data, const uint8_t **first, uint32_t *pairs)
{
    struct value map;
    *first = unpack_head(data, &map);
    *pairs = map.count;
    return map.type == VALUE_MAP ? 0 : ERR_FORMAT;
}

static void read_signed(struct value *v, int64_t number)
{
    v->type = number < 0 ? VALUE_NEGATIVE : VALUE_NUMBER;
    if (number < 0)
        v->negative = number;
    else
        v->number = (uint64_t)number;
}

static void read_real(struct value *v, uint64_t bits, unsigned size)
{
    v->type = VALUE_REAL;
    if (size == 8) {
        memcpy(&v->real, &bits, sizeof v->real);
        return;
    }
    uint32_t half = (uint32_t)bits;
    float real;
    memcpy(&real, &half, sizeof real);
    v->real = (double)real;
}

/* Whatever is a value by itself; n: the bytes behind the first one, as a number. */
static void read_scalar(struct value *v, uint8_t head, uint64_t n)
{
    if (head < 0x80) {
        v->type = VALUE_NUMBER;
        v->number = head;
    } else if (head >= 0xe0) {
        read_signed(v, (int8_t)head);
    } else if (head == 0xc0) {
        v->type = VALUE_NIL;
    } else if (head == 0xc2 || head == 0xc3) {
        v->type = VALUE_BOOL;
        v->is_true = head == 0xc3;
    } else if (head == 0xca || head == 0xcb) {
        read_real(v, n, head == 0xca ? 4 : 8);
    } else if (head >= 0xcc && head <= 0xcf) {
        v->type = VALUE_NUMBER;
        v->number = n;
    } else { /* d0 to d3: 1, 2, 4, 8 bytes with a sign */
        unsigned shift = 64 - (8u << (head - 0xd0));
        read_signed(v, (int64_t)(n << shift) >> shift);
    }
}

const uint8_t *unpack_head(const uint8_t *at, struct value *v)
{
    if (*at >= 0xa0 && *at <= 0xbf) { /* a short text: each key is one */
        v->type = VALUE_TEXT;
        v->count = *at & 0x1f;
        v->bytes = at + 1;
        return at + 1 + v->count;
    }
    struct head h = head_of(*at);
    uint64_t n = h.size > 0 ? big_endian(at + 1, h.size) : h.fixed;
    uint8_t first = *at;
    at += 1 + (size_t)h.size;
    v->bytes = at;
    v->count = (uint32_t)n;
    switch (h.counts) {
    case HEAD_BYTES:
        v->type = first <= 0xbf || first >= 0xd9 ? VALUE_TEXT : VALUE_BIN;
        return at + n;
    case HEAD_EXT:
        v->type = VALUE_OTHER;
        return at + n + 1;
    case HEAD_ARRAY:
        v->type = VALUE_ARRAY;
        return at;
    case HEAD_MAP:
        v->type = VALUE_MAP;
        return at;
    case HEAD_VALUE:
    case HEAD_BAD: /* measured: there is none */
        break;
    }
    read_scalar(v, first, n);
    return at;
}

static uint64_t elements_of(const struct value *v)
{
    return v->type == VALUE_ARRAY ? v->count : v->type == VALUE_MAP ? 2 * (uint64_t)v->count : 0;
}

const uint8_t *unpack_skip(const uint8_t *at, const struct value *v)
{
    for (uint64_t pending = elements_of(v); pending > 0; pending--) {
        struct value inner;
        at = unpack_head(at, &inner);
        pending += elements_of(&inner);
    }
    return at;
}

static bool is_nil(const struct value *v)
{
    return v->type == VALUE_NIL;
}

static int unpack_number(const struct value *v, uint64_t *out)
{
    if (v->type != VALUE_NUMBER || v->number > INT64_MAX)
        return ERR_FORMAT;
    *out = v->number;
    return 0;
}

static int unpack_number_or_nil(const struct value *v, uint64_t none, uint64_t *out)
{
    if (!is_nil(v))
        return unpack_number(v, out);
    *out = none;
    return 0;
}

static int unpack_time(const struct value *v, int64_t *out)
{
    if (v->type == VALUE_NEGATIVE)
        *out = v->negative;
    else if (v->type == VALUE_NUMBER && v->number <= INT64_MAX)
        *out = (int64_t)v->number;
    else
        return ERR_FORMAT;
    return 0;
}

static int unpack_real(const struct value *v, double *out)
{
    if (v->type == VALUE_REAL)
        *out = v->real;
    else if (v->type == VALUE_NUMBER)
        *out = (double)v->number;
    else if (v->type == VALUE_NEGATIVE)
        *out = (double)v->negative;
    else
        return ERR_FORMAT;
    return 0;
}

/* Only what a database takes: UTF-8 without NUL. */
static bool text_is_clean(const uint8_t *s, size_t len)
{
    for (size_t i = utf8_ascii(s, len), n; i < len; i += n) {
        n = utf8_length(s + i, len - i);
        if (n == 0 || s[i] == 0)
            return false;
    }
    return true;
}

static int unpack_text(const struct value *v, size_t limit, char *out)
{
    if (v->type != VALUE_TEXT)
        return ERR_FORMAT;
    if (v->count >= limit)
        return ERR_TOO_LONG;
    if (!text_is_clean(v->bytes, v->count))
        return ERR_FORMAT;
    memset(out, 0, limit);
    if (v->count > 0)
        memcpy(out, v->bytes, v->count);
    return 0;
}

static int unpack_bytes(const struct value *v, size_t len, void *out)
{
    if (v->type != VALUE_BIN || v->count != len)
        return ERR_FORMAT;
    memcpy(out, v->bytes, len);
    return 0;
}

static int unpack_addr(const struct value *v, struct addr *out)
{
    memset(out, 0, sizeof *out);
    if (is_nil(v))
        return 0;
    if (v->type != VALUE_BIN || (v->count != 4 && v->count != 16))
        return ERR_FORMAT;
    *out = v->count == 4 ? addr_v4(v->bytes) : addr_v6(v->bytes);
    return 0;
}

/* A prefix with bits beyond its length is refused: SQL's cidr would refuse it too, later. */
static int unpack_prefix(const struct value *v, struct prefix *out)
{
    memset(out, 0, sizeof *out);
    if (is_nil(v))
        return 0;
    if (v->type != VALUE_BIN || (v->count != 5 && v->count != 17))
        return ERR_FORMAT;
    const uint8_t *bytes = v->bytes;
    uint8_t length = bytes[v->count - 1];
    struct addr a = v->count == 5 ? addr_v4(bytes) : addr_v6(bytes);
    if (length > addr_bits(a.family))
        return ERR_FORMAT;
    struct prefix p = prefix_of(&a, length);
    if (!addr_equal(&p.addr, &a))
        return ERR_FORMAT;
    *out = p;
    return 0;
}

static int unpack_mac(const struct value *v, uint8_t *out)
{
    if (!is_nil(v))
        return unpack_bytes(v, 6, out);
    memset(out, 0, 6);
    return 0;
}

static int unpack_word(const struct value *v, const struct field *f, uint8_t *out)
{
    for (unsigned i = 0; i < f->word_count; i++) {
        if (!unpack_is_text(v, f->words[i], strlen(f->words[i])))
            continue;
        *out = (uint8_t)i;
        return 0;
    }
    return ERR_FORMAT;
}

static int unpack_reals(const struct value *v, size_t limit, struct reals *out)
{
    if (v->type != VALUE_ARRAY)
        return ERR_FORMAT;
    if (v->count > limit || v->count > REALS_MAX)
        return ERR_TOO_LONG;
    memset(out, 0, sizeof *out);
    out->count = v->count;
    const uint8_t *at = v->bytes;
    for (uint32_t i = 0; i < out->count; i++) {
        struct value real;
        at = unpack_head(at, &real);
        if (unpack_real(&real, &out->value[i]) < 0)
            return ERR_FORMAT;
    }
    return 0;
}

static int unpack_bool(const struct value *v, bool *out)
{
    if (v->type != VALUE_BOOL)
        return ERR_FORMAT;
    *out = v->is_true;
    return 0;
}

int unpack_field(const struct field *f, const struct value *v, void *base)
{
    void *out = (char *)base + f->offset;
    switch (f->type) {
    case FIELD_U64:
        return unpack_number(v, out);
    case FIELD_OPT:
        return unpack_number_or_nil(v, 0, out);
    case FIELD_SPAN:
        return unpack_number_or_nil(v, SPAN_NONE, out);
    case FIELD_REAL:
        return unpack_real(v, out);
    case FIELD_TIME:
        return unpack_time(v, out);
    case FIELD_TEXT:
        return unpack_text(v, f->limit, out);
    case FIELD_ADDR:
        return unpack_addr(v, out);
    case FIELD_PREFIX:
        return unpack_prefix(v, out);
    case FIELD_MAC:
        return unpack_mac(v, out);
    case FIELD_UUID:
        return unpack_bytes(v, 16, out);
    case FIELD_WORD:
        return unpack_word(v, f, out);
    case FIELD_REALS:
        return unpack_reals(v, f->limit, out);
    case FIELD_BOOL:
        return unpack_bool(v, out);
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

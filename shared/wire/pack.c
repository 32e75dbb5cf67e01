#include "shared/wire/pack.h"

#include <string.h>

#include "shared/wire/utf8.h"
#include "shared/wire/wire.h"

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
    size_t clean = utf8_ascii(s, len);
    msgpack_pack_str(&p->packer, len);
    pack_write(p, text, clean);
    for (size_t i = clean, n; i < len; i += n) {
        size_t valid = utf8_length(s + i, len - i);
        n = valid > 0 ? valid : 1;
        pack_write(p, valid > 0 ? text + i : "?", n);
    }
}

/* A key as pack_text would write it, in one piece: there are more keys than anything else. */
static void pack_key(struct pack *p, const struct field *f)
{
    enum { SHORT = 32 };
    char bytes[SHORT] = {(char)(0xa0 | f->key_len)}; /* fixstr */
    if (f->key_len >= SHORT) {
        pack_text(p, f->key, f->key_len);
        return;
    }
    memcpy(bytes + 1, f->key, f->key_len);
    pack_write(p, bytes, 1 + (size_t)f->key_len);
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

static int pack_word(struct pack *p, const struct field *f, unsigned number)
{
    if (number >= f->word_count)
        return ERR_FORMAT;
    const char *word = f->words[number];
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
        return pack_word(p, f, *(const uint8_t *)value);
    case FIELD_REALS:
        return pack_reals(p, value, f->limit);
    case FIELD_BOOL:
        return pack_bool(p, *(const bool *)value);
    }
    return ERR_FORMAT;
}

int pack_field(struct pack *p, const struct field *f, const void *base)
{
    pack_key(p, f);
    return pack_value(p, f, (const char *)base + f->offset);
}

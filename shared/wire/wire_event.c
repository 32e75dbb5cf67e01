/* Events to msgpack and back: {"t": number, "at": ns, key: value, …}. */
#include <string.h>

#include "shared/wire/pack.h"
#include "shared/wire/unpack.h"
#include "shared/wire/wire.h"

static const struct field at_field = {
    .key = "at", .key_len = 2, .type = FIELD_TIME, .offset = offsetof(struct event, at)};

int wire_event_encode(const struct event *e, uint8_t *out, size_t room)
{
    const struct event_kind *kind = event_kind(e->type);
    if (kind == NULL)
        return ERR_FORMAT;
    struct pack p;
    pack_init(&p, out, room < WIRE_EVENT_MAX ? room : WIRE_EVENT_MAX);
    msgpack_pack_map(&p.packer, kind->count + 2);
    pack_text(&p, "t", 1);
    msgpack_pack_uint32(&p.packer, kind->number);
    int err = pack_field(&p, &at_field, e);
    for (size_t i = 0; err == 0 && i < kind->count; i++)
        err = pack_field(&p, &kind->fields[i], e);
    return err < 0 ? err : pack_end(&p);
}

/* The value of a key that may stand anywhere; false: it does not. */
static bool map_find(const uint8_t *at, uint32_t pairs, const char *key, size_t len,
                     struct value *out)
{
    for (uint32_t i = 0; i < pairs; i++) {
        struct value k;
        at = unpack_value(at, &k);
        at = unpack_value(at, out);
        if (unpack_is_text(&k, key, len))
            return true;
    }
    return false;
}

/* Type and time first: the type says what the other keys mean. */
static int decode_common(const uint8_t *first, uint32_t pairs, struct event *out,
                         const struct event_kind **kind)
{
    struct value v;
    if (!map_find(first, pairs, "t", 1, &v) || v.type != VALUE_NUMBER || v.number > UINT8_MAX)
        return ERR_FORMAT;
    *kind = event_kind((unsigned)v.number);
    if (*kind == NULL)
        return ERR_FORMAT;
    out->type = (uint8_t)v.number;
    return map_find(first, pairs, "at", 2, &v) ? unpack_field(&at_field, &v, out) : 0;
}

/* The field of that key, or NULL. Keys mostly come in the order of the rows: *next is the row that
 * is expected. */
static const struct field *field_find(const struct event_kind *kind, const struct value *key,
                                      size_t *next)
{
    size_t at = *next < kind->count ? *next : 0;
    if (unpack_is_text(key, kind->fields[at].key, kind->fields[at].key_len)) {
        *next = at + 1;
        return &kind->fields[at];
    }
    if (unpack_is_text(key, "t", 1) || unpack_is_text(key, "at", 2)) /* read already */
        return NULL;
    for (at = 0; at < kind->count; at++) {
        if (!unpack_is_text(key, kind->fields[at].key, kind->fields[at].key_len))
            continue;
        *next = at + 1;
        return &kind->fields[at];
    }
    return NULL;
}

static int decode_map(const uint8_t *at, uint32_t pairs, struct event *out)
{
    const struct event_kind *kind;
    int err = decode_common(at, pairs, out, &kind);
    if (err < 0)
        return err;
    for (size_t i = 0; i < kind->count; i++)
        unpack_missing(&kind->fields[i], out);
    size_t next = 0;
    for (uint32_t i = 0; err == 0 && i < pairs; i++) {
        struct value key, v;
        at = unpack_value(at, &key);
        at = unpack_value(at, &v);
        const struct field *f = field_find(kind, &key, &next);
        if (f != NULL)
            err = unpack_field(f, &v, out);
    }
    return err;
}

int wire_event_decode(const uint8_t *data, size_t len, struct event *out, size_t *used)
{
    memset(out, 0, sizeof *out);
    int err = unpack_measure(data, len, used);
    if (err < 0)
        return err;
    if (*used > WIRE_EVENT_MAX)
        return ERR_TOO_LONG;
    const uint8_t *first;
    uint32_t pairs;
    err = unpack_map(data, &first, &pairs);
    return err < 0 ? err : decode_map(first, pairs, out);
}

/* Events to msgpack and back: {"t": number, "at": ns, key: value, …}. */
#include <string.h>

#include "shared/wire/pack.h"
#include "shared/wire/wire.h"

static const struct field at_field = {"at", FIELD_TIME, offsetof(struct event, at), 0, NULL,
                                      "",   ""};

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

/* The value of a key that must stand in every event; NULL if it does not. */
static const msgpack_object *map_find(const msgpack_object_map *map, const char *key)
{
    for (uint32_t i = 0; i < map->size; i++)
        if (unpack_key_is(&map->ptr[i].key, key))
            return &map->ptr[i].val;
    return NULL;
}

/* Type and time first: the type says what the other keys mean. */
static int decode_common(const msgpack_object_map *map, struct event *out,
                         const struct event_kind **kind)
{
    const msgpack_object *type = map_find(map, "t"), *at = map_find(map, "at");
    if (type == NULL || type->type != MSGPACK_OBJECT_POSITIVE_INTEGER || type->via.u64 > UINT8_MAX)
        return ERR_FORMAT;
    *kind = event_kind((unsigned)type->via.u64);
    if (*kind == NULL)
        return ERR_FORMAT;
    out->type = (uint8_t)type->via.u64;
    return at != NULL ? unpack_field(&at_field, at, out) : 0;
}

/* The field of that key, or NULL. Keys mostly come in the order of the rows: hint is where the
 * search starts. */
static const struct field *field_find(const struct event_kind *kind, const msgpack_object *key,
                                      size_t *hint)
{
    for (size_t i = 0; i < kind->count; i++) {
        size_t at = (*hint + i) % kind->count;
        if (!unpack_key_is(key, kind->fields[at].key))
            continue;
        *hint = at + 1;
        return &kind->fields[at];
    }
    return NULL;
}

static int decode_map(const msgpack_object_map *map, struct event *out)
{
    const struct event_kind *kind;
    int err = decode_common(map, out, &kind);
    if (err < 0)
        return err;
    for (size_t i = 0; i < kind->count; i++)
        unpack_missing(&kind->fields[i], out);
    size_t hint = 0;
    for (uint32_t i = 0; err == 0 && i < map->size; i++) {
        const struct field *f = field_find(kind, &map->ptr[i].key, &hint);
        if (f != NULL)
            err = unpack_field(f, &map->ptr[i].val, out);
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
    msgpack_unpacked object;
    err = unpack_map(data, *used, &object);
    if (err < 0)
        return err;
    err = decode_map(&object.data.via.map, out);
    msgpack_unpacked_destroy(&object);
    return err;
}

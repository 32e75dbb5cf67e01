/* Messages to msgpack and back: {"m": kind, key: value, …}. */
#include "shared/wire/wire.h"

#include <string.h>

#include "shared/wire/pack.h"
#include "shared/wire/utf8.h"

#define BIT(kind)        (1u << (kind))

#define MESSAGE_U64(key) #key, FIELD_U64, offsetof(struct wire_message, key), 0, NULL, "", ""
#define MESSAGE_TEXT(key)                                                                        \
#key, FIELD_TEXT, offsetof(struct wire_message, key), sizeof((struct wire_message *)0)->key, \
        NULL, "", ""

/* Every key but "m", "count" and "events", and the kinds of message that carry it. */
static const struct message_field {
    struct field field;
    unsigned kinds;
} fields[] = {
    {{MESSAGE_U64(version)}, BIT(WIRE_HELLO) | BIT(WIRE_WELCOME)},
    {{MESSAGE_TEXT(name)}, BIT(WIRE_HELLO)},
    {{MESSAGE_TEXT(pop)}, BIT(WIRE_HELLO)},
    {{MESSAGE_TEXT(release)}, BIT(WIRE_HELLO)},
    {{MESSAGE_U64(epoch)}, BIT(WIRE_HELLO) | BIT(WIRE_WELCOME) | BIT(WIRE_BATCH) | BIT(WIRE_ACK)},
    {{MESSAGE_U64(first_seq)}, BIT(WIRE_HELLO) | BIT(WIRE_BATCH)},
    {{MESSAGE_U64(next_seq)}, BIT(WIRE_HELLO)},
    {{MESSAGE_U64(seq)}, BIT(WIRE_WELCOME) | BIT(WIRE_ACK)},
    {{MESSAGE_U64(credit)}, BIT(WIRE_WELCOME)},
    {{MESSAGE_TEXT(reason)}, BIT(WIRE_HELLO) | BIT(WIRE_AGAIN) | BIT(WIRE_REFUSE)},
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

bool wire_name_is_sound(const char *name)
{
    if (name[0] == '\0')
        return false;
    size_t left = strlen(name), n;
    for (const uint8_t *c = (const uint8_t *)name; left > 0; c += n, left -= n) {
        n = utf8_length(c, left);
        if (n == 0 || *c <= ' ' || *c == '"' || *c == '\\' || *c == 0x7f)
            return false;
    }
    return true;
}

static bool kind_is_known(uint64_t kind)
{
    return kind >= WIRE_HELLO && kind <= WIRE_REFUSE;
}

static uint32_t keys_of(enum wire_kind kind)
{
    uint32_t n = kind == WIRE_BATCH ? 3 : 1;
    for (size_t i = 0; i < FIELDS; i++)
        n += (fields[i].kinds & BIT(kind)) != 0;
    return n;
}

static void pack_events(struct pack *p, const struct wire_message *m)
{
    pack_text(p, "count", 5);
    msgpack_pack_uint32(&p->packer, m->count);
    pack_text(p, "events", 6);
    pack_bin(p, m->events, m->events_len);
}

int wire_encode(const struct wire_message *m, uint8_t *out, size_t room)
{
    if (!kind_is_known(m->kind))
        return ERR_FORMAT;
    struct pack p;
    pack_init(&p, out, room < WIRE_MESSAGE_MAX ? room : WIRE_MESSAGE_MAX);
    msgpack_pack_map(&p.packer, keys_of(m->kind));
    pack_text(&p, "m", 1);
    msgpack_pack_uint32(&p.packer, m->kind);
    int err = 0;
    for (size_t i = 0; err == 0 && i < FIELDS; i++)
        if (fields[i].kinds & BIT(m->kind))
            err = pack_field(&p, &fields[i].field, m);
    if (m->kind == WIRE_BATCH)
        pack_events(&p, m);
    return err < 0 ? err : pack_end(&p);
}

static int decode_kind(const msgpack_object_map *map, struct wire_message *m)
{
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *value = &map->ptr[i].val;
        if (!unpack_key_is(&map->ptr[i].key, "m"))
            continue;
        if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER || !kind_is_known(value->via.u64))
            return ERR_FORMAT;
        m->kind = (enum wire_kind)value->via.u64;
        return 0;
    }
    return ERR_FORMAT;
}

static int decode_count(const msgpack_object *value, struct wire_message *m)
{
    if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ERR_FORMAT;
    if (value->via.u64 > WIRE_BATCH_EVENTS)
        return ERR_TOO_LONG;
    m->count = (uint32_t)value->via.u64;
    return 0;
}

static int decode_events(const msgpack_object *value, struct wire_message *m)
{
    if (value->type != MSGPACK_OBJECT_BIN)
        return ERR_FORMAT;
    m->events = (const uint8_t *)value->via.bin.ptr;
    m->events_len = value->via.bin.size;
    return 0;
}

static int decode_pair(const msgpack_object_kv *pair, struct wire_message *m)
{
    if (m->kind == WIRE_BATCH && unpack_key_is(&pair->key, "count"))
        return decode_count(&pair->val, m);
    if (m->kind == WIRE_BATCH && unpack_key_is(&pair->key, "events"))
        return decode_events(&pair->val, m);
    for (size_t i = 0; i < FIELDS; i++)
        if ((fields[i].kinds & BIT(m->kind)) && unpack_key_is(&pair->key, fields[i].field.key))
            return unpack_field(&fields[i].field, &pair->val, m);
    return 0;
}

/* What makes no sense whoever says it: later code may count on it. */
static int check(const struct wire_message *m)
{
    if (m->kind == WIRE_HELLO && (m->first_seq == 0 || m->next_seq < m->first_seq))
        return ERR_FORMAT;
    if (m->kind == WIRE_BATCH && (m->first_seq == 0 || m->count == 0 || m->events_len < m->count ||
                                  m->first_seq > (uint64_t)INT64_MAX - m->count))
        return ERR_FORMAT;
    return 0;
}

static int decode_map(const msgpack_object_map *map, struct wire_message *m)
{
    int err = decode_kind(map, m);
    for (uint32_t i = 0; err == 0 && i < map->size; i++)
        err = decode_pair(&map->ptr[i], m);
    return err < 0 ? err : check(m);
}

int wire_decode(const uint8_t *data, size_t len, struct wire_message *m)
{
    memset(m, 0, sizeof *m);
    if (len > WIRE_MESSAGE_MAX)
        return ERR_TOO_LONG;
    size_t used;
    int err = unpack_measure(data, len, &used);
    if (err < 0)
        return err;
    if (used != len)
        return ERR_FORMAT;
    msgpack_unpacked object;
    err = unpack_map(data, len, &object);
    if (err < 0)
        return err;
    err = decode_map(&object.data.via.map, m);
    msgpack_unpacked_destroy(&object); /* m->events points into data, not into the object */
    return err;
}

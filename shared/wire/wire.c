/* Messages to msgpack and back: {"m": kind, key: value, …}. */
#include "shared/wire/wire.h"

#include <string.h>

#include "shared/wire/pack.h"
#include "shared/wire/unpack.h"
#include "shared/wire/utf8.h"

#define BIT(kind) (1u << (kind))

#define MESSAGE_KEY(k) \
    .key = #k, .key_len = sizeof #k - 1, .offset = offsetof(struct wire_message, k)
#define MESSAGE_U64(k)    MESSAGE_KEY(k), .type = FIELD_U64
#define MESSAGE_PREFIX(k) MESSAGE_KEY(k), .type = FIELD_PREFIX
#define MESSAGE_TEXT(k) \
    MESSAGE_KEY(k), .type = FIELD_TEXT, .limit = sizeof((struct wire_message *)0)->k

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
    {{MESSAGE_U64(after)}, BIT(WIRE_BATCH)},
    {{MESSAGE_U64(next_seq)}, BIT(WIRE_HELLO)},
    {{MESSAGE_U64(seq)}, BIT(WIRE_WELCOME) | BIT(WIRE_ACK)},
    {{MESSAGE_U64(credit)}, BIT(WIRE_WELCOME)},
    {{MESSAGE_U64(zstd)}, BIT(WIRE_WELCOME) | BIT(WIRE_BATCH)},
    {{MESSAGE_U64(orders)}, BIT(WIRE_HELLO)},
    {{MESSAGE_U64(stamp)}, BIT(WIRE_HELLO) | BIT(WIRE_BATCH) | BIT(WIRE_ORDER) | BIT(WIRE_HOLD)},
    {{MESSAGE_U64(order_id)}, BIT(WIRE_ORDER) | BIT(WIRE_STOP)},
    {{MESSAGE_PREFIX(prefix)}, BIT(WIRE_ORDER) | BIT(WIRE_HOLD)},
    {{MESSAGE_U64(lease)}, BIT(WIRE_ORDER) | BIT(WIRE_HOLD)},
    {{MESSAGE_U64(wait)}, BIT(WIRE_ORDER)},
    {{MESSAGE_U64(drops)}, BIT(WIRE_ORDER)},
    {{MESSAGE_TEXT(reason)},
     BIT(WIRE_HELLO) | BIT(WIRE_BATCH) | BIT(WIRE_AGAIN) | BIT(WIRE_REFUSE)},
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
    return kind >= WIRE_HELLO && kind <= WIRE_HOLD;
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

static int decode_kind(const uint8_t *at, uint32_t pairs, struct wire_message *m)
{
    for (uint32_t i = 0; i < pairs; i++) {
        struct value key, v;
        at = unpack_value(at, &key);
        at = unpack_value(at, &v);
        if (!unpack_is_text(&key, "m", 1))
            continue;
        if (v.type != VALUE_NUMBER || !kind_is_known(v.number))
            return ERR_FORMAT;
        m->kind = (enum wire_kind)v.number;
        return 0;
    }
    return ERR_FORMAT;
}

static int decode_count(const struct value *v, struct wire_message *m)
{
    if (v->type != VALUE_NUMBER)
        return ERR_FORMAT;
    if (v->number > WIRE_BATCH_EVENTS)
        return ERR_TOO_LONG;
    m->count = (uint32_t)v->number;
    return 0;
}

static int decode_events(const struct value *v, struct wire_message *m)
{
    if (v->type != VALUE_BIN)
        return ERR_FORMAT;
    m->events = v->bytes;
    m->events_len = v->count;
    return 0;
}

static int decode_pair(const struct value *key, const struct value *v, struct wire_message *m)
{
    if (m->kind == WIRE_BATCH && unpack_is_text(key, "count", 5))
        return decode_count(v, m);
    if (m->kind == WIRE_BATCH && unpack_is_text(key, "events", 6))
        return decode_events(v, m);
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *f = &fields[i].field;
        if ((fields[i].kinds & BIT(m->kind)) && unpack_is_text(key, f->key, f->key_len))
            return unpack_field(f, v, m);
    }
    return 0;
}

/* Each event takes a byte at least. What its events will be is said by the batch, and believed no
 * further than batches get. */
static int check_batch(const struct wire_message *m)
{
    if (m->first_seq == 0 || m->count == 0 || m->first_seq > (uint64_t)INT64_MAX - m->count ||
        m->after >= m->first_seq || m->events_len == 0)
        return ERR_FORMAT;
    if (m->zstd > WIRE_BATCH_BYTES + WIRE_EVENT_MAX)
        return ERR_TOO_LONG;
    return (m->zstd > 0 ? m->zstd : m->events_len) < m->count ? ERR_FORMAT : 0;
}

static int check_lease(const struct wire_message *m)
{
    if (m->prefix.addr.family == 0 || m->lease == 0)
        return ERR_FORMAT;
    struct prefix clean = prefix_of(&m->prefix.addr, m->prefix.length);
    return prefix_equal(&clean, &m->prefix) ? 0 : ERR_FORMAT;
}

/* What makes no sense whoever says it: later code may count on it. */
static int check(const struct wire_message *m)
{
    if (m->kind == WIRE_ORDER && (m->order_id == 0 || m->drops == 0))
        return ERR_FORMAT;
    if (m->kind == WIRE_ORDER || m->kind == WIRE_HOLD)
        return check_lease(m);
    if (m->kind == WIRE_STOP)
        return m->order_id == 0 ? ERR_FORMAT : 0;
    if (m->kind == WIRE_HELLO && (m->first_seq == 0 || m->next_seq < m->first_seq))
        return ERR_FORMAT;
    return m->kind == WIRE_BATCH ? check_batch(m) : 0;
}

static int decode_map(const uint8_t *at, uint32_t pairs, struct wire_message *m)
{
    int err = decode_kind(at, pairs, m);
    for (uint32_t i = 0; err == 0 && i < pairs; i++) {
        struct value key, v;
        at = unpack_value(at, &key);
        at = unpack_value(at, &v);
        err = decode_pair(&key, &v, m);
    }
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
    const uint8_t *first;
    uint32_t pairs;
    err = unpack_map(data, &first, &pairs);
    return err < 0 ? err : decode_map(first, pairs, m);
}

/* Any bytes as a message: no crash, no read past the end, and what decodes encodes to the same. */
#include <stdlib.h>
#include <string.h>

#include "shared/wire/wire.h"
#include "shared/wire/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_events(const struct wire_message *m)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct event e;
        size_t used;
        wire_event_decode(m->events + at, m->events_len - at, &e, &used);
        if (used == 0)
            return;
        at += used;
    }
    if (at > m->events_len)
        abort();
}

/* What comes compressed is as long as it said and no longer, or nothing; and goes round. */
static void open_batch(struct wire_message m)
{
    static struct wire_zip *in, *out;
    if (in == NULL && (wire_zip_new(&in) < 0 || wire_zip_new(&out) < 0))
        abort();
    uint64_t said = m.zstd;
    if (wire_unzip(in, &m) < 0)
        return;
    if (said > 0 && (m.events_len != said || m.zstd != 0))
        abort();
    decode_events(&m);
    struct wire_message again = m;
    wire_zip(out, &again);
    if (again.zstd > 0 && wire_unzip(in, &again) < 0)
        abort();
    if (again.events_len != m.events_len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t first[WIRE_MESSAGE_MAX], second[WIRE_MESSAGE_MAX];
    struct wire_message m, again;
    if (wire_decode(data, size, &m) != 0)
        return 0;
    if (m.kind == WIRE_BATCH && (m.events < data || m.events + m.events_len > data + size))
        abort();
    if (m.kind == WIRE_BATCH)
        open_batch(m);
    int len = wire_encode(&m, first, sizeof first);
    if (len == ERR_FULL) /* ours names every key; a short one that was left out may not fit */
        return 0;
    if (len <= 0 || wire_decode(first, (size_t)len, &again) != 0)
        abort();
    if (wire_encode(&again, second, sizeof second) != len ||
        memcmp(first, second, (size_t)len) != 0)
        abort();
    return 0;
}

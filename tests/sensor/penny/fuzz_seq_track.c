/* Input: four bytes of first sequence number, then records of (kind and distance, length): the
 * track and one covered segment against a byte map; whatever the input, no wrong "in order" and no
 * segment "come again" of which a byte is missing. */
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/seq_track.h"

#define STREAM 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
    if (!truth)
        abort();
}

static uint8_t seen[STREAM], again[256];

static void check_cover(struct seq_cover *c, uint32_t base, uint32_t at, uint32_t len)
{
    for (uint32_t i = at; i < at + len; i++)
        if (i >= 100 && i < 100 + sizeof again)
            again[i - 100] = 1;
    if (seq_cover_add(c, base + at, len))
        must(memchr(again, 0, sizeof again) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint32_t base, next = 0;
    memcpy(&base, data, 4);
    memset(seen, 0, sizeof seen);
    memset(again, 0, sizeof again);
    struct seq_track t;
    struct seq_cover c;
    seq_track_init(&t, base);
    seq_cover_init(&c, base + 100, sizeof again);
    for (size_t i = 4; i + 2 <= size && next < STREAM - 600; i += 2) {
        uint32_t len = 1 + data[i + 1], back = data[i] * 2u;
        uint32_t at = data[i] < 128 ? next + data[i] : next - (back < next ? back : next);
        bool is_all_seen = memchr(seen + at, 0, len) == NULL;
        enum seq_class class = seq_track_add(&t, base + at, len);
        must((class == SEQ_IN_ORDER) == (at == next));
        must((class == SEQ_AHEAD) == (at > next));
        must(class != SEQ_FILL || !is_all_seen);
        memset(seen + at, 1, len);
        next = at + len > next ? at + len : next;
        must(t.next == base + next && t.count <= SEQ_HOLES);
        check_cover(&c, base, at, len);
    }
    return 0;
}

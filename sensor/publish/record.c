#include "sensor/publish/record.h"

#include <assert.h>
#include <string.h>

#include "shared/base/hash.h"

struct head {
    uint64_t check; /* of everything behind it, and of the number */
    uint32_t count;
    uint32_t len;
    uint64_t unused; /* zero */
};

static_assert(sizeof(struct head) + 2 * WIRE_BATCH_EVENTS + WIRE_BATCH_BYTES + WIRE_EVENT_MAX ==
                  RECORD_MAX,
              "the longest record");
/* An entry of the table: length less one in 12 bits, class in 4. */
static_assert(WIRE_EVENT_MAX <= 1 << 12 && CLASS_COUNT < CLASS_GONE,
              "an event's entry has 16 bits");
#define GONE ((uint16_t)(CLASS_GONE << 12))

enum event_class event_class(unsigned type)
{
    switch (type) {
    case EVENT_tally:
        return CLASS_TALLY;
    case EVENT_scan_window:
    case EVENT_passive_flow:
        return CLASS_WINDOW;
    case EVENT_sensor_started:
    case EVENT_sensor_stopped:
    case EVENT_gap:
    case EVENT_test_started:
    case EVENT_drop:
    case EVENT_test_ended:
    case EVENT_order_ended:
    case EVENT_passive_total:
        return CLASS_EVIDENCE;
    default:
        return CLASS_STATUS;
    }
}

bool batch_is_full(const struct batch *b)
{
    return b->len >= WIRE_BATCH_BYTES || b->count >= WIRE_BATCH_EVENTS;
}

int batch_add(struct batch *b, const struct event *e)
{
    int len = wire_event_encode(e, b->events + b->len, sizeof b->events - b->len);
    if (len < 0)
        return len;
    b->table[b->count] = (uint16_t)((unsigned)(len - 1) | (unsigned)event_class(e->type) << 12);
    b->len += (uint32_t)len;
    b->count++;
    return 0;
}

struct record record_of(const struct batch *b, uint64_t first)
{
    return (struct record){first, b->count, b->len, (const uint8_t *)b->table, b->events};
}

size_t record_size(const struct record *r)
{
    return sizeof(struct head) + 2 * r->count + r->len;
}

/* hash_words() under a key that never changes: it is found on disks. */
static uint64_t checksum(const struct record *r)
{
    struct hash_key key = {r->first, (uint64_t)r->count << 32 | r->len};
    uint64_t words[64], sum = 0;
    const struct {
        const uint8_t *at;
        size_t len;
    } parts[] = {{r->table, 2 * (size_t)r->count}, {r->events, r->len}};
    for (int i = 0; i < 2; i++)
        for (size_t done = 0; done < parts[i].len; done += sizeof words) {
            size_t left = parts[i].len - done, n = left < sizeof words ? left : sizeof words;
            memset(words, 0, sizeof words);
            memcpy(words, parts[i].at + done, n);
            key.k0 ^= sum;
            sum = hash_words(key, words, (n + 7) / 8);
        }
    return sum;
}

void record_write(const struct record *r, void *out)
{
    uint8_t *at = out;
    struct head head = {.check = checksum(r), .count = r->count, .len = r->len};
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, r->table, 2 * r->count);
    memcpy(at + sizeof head + 2 * r->count, r->events, r->len);
}

/* Do the entries' lengths add up, and their classes exist? */
static bool table_fits(const struct record *r)
{
    uint64_t sum = 0;
    enum event_class class;
    for (uint32_t i = 0; i < r->count; i++) {
        sum += record_event(r, i, &class);
        uint16_t entry;
        memcpy(&entry, r->table + 2 * i, sizeof entry);
        if (class >= CLASS_COUNT && entry != GONE)
            return false;
    }
    return sum == r->len;
}

int record_read(uint64_t first, const void *data, size_t size, struct record *out)
{
    struct head head;
    if (size < sizeof head || size > RECORD_MAX)
        return ERR_FORMAT;
    memcpy(&head, data, sizeof head);
    const uint8_t *table = (const uint8_t *)data + sizeof head;
    *out = (struct record){first, head.count, head.len, table, table + 2 * head.count};
    if (head.count == 0 || head.count > WIRE_BATCH_EVENTS || head.len > RECORD_MAX ||
        record_size(out) != size || head.unused != 0 || first > INT64_MAX || !table_fits(out))
        return ERR_FORMAT;
    return 0;
}

bool record_is_sound(const struct record *r, const void *data)
{
    struct head head;
    memcpy(&head, data, sizeof head);
    return head.check == checksum(r);
}

uint32_t record_event(const struct record *r, uint32_t i, enum event_class *class)
{
    uint16_t entry;
    memcpy(&entry, r->table + 2 * i, sizeof entry);
    *class = (enum event_class)(entry >> 12);
    return entry == GONE ? 0 : (entry & 0xfffu) + 1;
}

void record_count(const struct record *r, uint64_t count[static CLASS_COUNT])
{
    enum event_class class;
    for (uint32_t i = 0; i < r->count; i++) {
        record_event(r, i, &class);
        if (class < CLASS_COUNT)
            count[class]++;
    }
}

bool record_run(const struct record *r, uint64_t number, struct record *run)
{
    enum event_class class;
    uint32_t offset = 0;
    run->count = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t len = record_event(r, i, &class);
        if (class == CLASS_GONE && run->count > 0 && run->first + run->count > number)
            return true;
        if (class == CLASS_GONE)
            run->count = 0;
        else if (run->count++ == 0)
            *run = (struct record){r->first + i, 1, 0, r->table + 2 * i, r->events + offset};
        if (class != CLASS_GONE)
            run->len += len;
        offset += len;
    }
    return run->count > 0 && run->first + run->count > number;
}

uint32_t record_without(const struct record *r, enum event_class class, struct batch *b)
{
    uint32_t left = 0, offset = 0;
    b->count = r->count;
    b->len = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        enum event_class its;
        uint32_t len = record_event(r, i, &its);
        b->table[i] = GONE;
        if (its != class && its != CLASS_GONE) {
            memcpy(&b->table[i], r->table + 2 * i, sizeof b->table[i]);
            memcpy(b->events + b->len, r->events + offset, len);
            b->len += len;
            left++;
        }
        offset += len;
    }
    return left;
}

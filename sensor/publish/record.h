/* One batch of events, as it is filled and as it stands in the spool.
 *
 *     struct head | length and class of each event | the events, encoded, one after another
 *
 * The table in the middle lets the spool give up the events of one class without decoding any:
 * their bytes go, their entries stay and say so, so that every other event keeps its number. What
 * is left are runs of neighbours, and holes. The checksum covers everything and the batch's number,
 * so that a record that disk or memory spoiled, or that stands in another's place, is never sent.
 *
 * Pure: no I/O, no clock. The form is fixed: a spool outlives the program that wrote it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

/* What a full spool gives up, the least missed first. */
enum event_class {
    CLASS_TALLY,    /* another comes in some seconds */
    CLASS_WINDOW,   /* scan_window, passive_flow */
    CLASS_STATUS,   /* sensor_status, and kinds of event that are not listed here */
    CLASS_EVIDENCE, /* tests, drops, verdicts, gaps, starts and stops */
    CLASS_COUNT,
    CLASS_GONE = 15 /* in a record: was given up */
};

enum event_class event_class(unsigned type);

/* ---- a batch being filled ---- */

struct batch {
    uint32_t count;
    uint32_t len;
    uint16_t table[WIRE_BATCH_EVENTS]; /* as in a record */
    uint8_t events[WIRE_BATCH_BYTES + WIRE_EVENT_MAX];
};

/* Full is a batch that is as long as batches get; one that is not takes one more of any event. */
bool batch_is_full(const struct batch *b);

/* ERR_FORMAT: the event cannot be said on the wire; then nothing changed. */
int batch_add(struct batch *b, const struct event *e);

/* ---- a record: a view, borrowed from a batch or from the spool ---- */

struct record {
    uint64_t first; /* number of its first event */
    uint32_t count;
    uint32_t len;         /* of the events, bytes */
    const uint8_t *table; /* two bytes per event */
    const uint8_t *events;
};

#define RECORD_MAX (24 + 2 * WIRE_BATCH_EVENTS + WIRE_BATCH_BYTES + WIRE_EVENT_MAX)

struct record record_of(const struct batch *b, uint64_t first);

size_t record_size(const struct record *r);

/* Writes record_size(r) bytes. */
void record_write(const struct record *r, void *out);

/* The record that stands at data under that number. Only its shape is checked: ERR_FORMAT; whether
 * it is sound (the checksum) is asked apart, for it costs a look at every byte. */
int record_read(uint64_t first, const void *data, size_t size, struct record *out);
bool record_is_sound(const struct record *r, const void *data);

/* How many events of each class it holds; adds to count. */
void record_count(const struct record *r, uint64_t count[static CLASS_COUNT]);

/* Length and class of event i; CLASS_GONE has length 0. */
uint32_t record_event(const struct record *r, uint32_t i, enum event_class *class);

/* The first run of neighbours that ends at that number or later; false: there is none. */
bool record_run(const struct record *r, uint64_t number, struct record *run);

/* The record without one class, in b. How many events it still holds. */
uint32_t record_without(const struct record *r, enum event_class class, struct batch *b);

/* What the collector has not committed yet: a queue of encoded batches in memory, bounded.
 *
 *     oldest                    next to send        newest       being filled
 *     [1..40] [41..97] [98..140] | [141..180] [181..222]          223, 224, …
 *     \---- on the way --------/   \---- waiting -----/
 *
 * Events get their numbers here. An acknowledgement frees from the old end; going back (after a
 * connection was lost) only moves the bar to the old end again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

struct keep_batch {
    struct keep_batch *next;
    uint64_t first_seq;
    uint32_t count;
    size_t len;
    uint8_t events[];
};

struct keep {
    uint64_t limit, bytes; /* of closed batches, with their headers */
    struct keep_batch *oldest, *newest;
    struct keep_batch *unsent; /* first one behind the bar; NULL: all are on the way */
    unsigned on_the_way;
    uint64_t next_seq; /* number of the next event, from 1 */
    uint64_t acked;    /* everything up to here is committed */
    /* the batch being filled: always room for one more of the longest event */
    uint64_t filled_since; /* mono ns of its first event */
    uint32_t filled_count;
    size_t filled;
    uint8_t fill[WIRE_BATCH_BYTES + WIRE_EVENT_MAX];
};

/* limit: bytes; the batch being filled counts too. */
void keep_init(struct keep *k, uint64_t limit);
void keep_clear(struct keep *k);

/* Is there room for one more event of any length? Closes a full batch to make it. */
bool keep_has_room(struct keep *k);

/* Numbers and keeps the event; only after keep_has_room. ERR_FORMAT: it cannot be said on the wire;
 * then no number was used. */
int keep_add(struct keep *k, const struct event *e, uint64_t now_ns);

/* Closes the batch being filled, if there is anything in it. 0 or -ENOMEM (then it stays open). */
int keep_close(struct keep *k);

/* The batch to send next, or NULL; keep_sent puts it on the way. */
const struct keep_batch *keep_unsent(const struct keep *k);
void keep_sent(struct keep *k);

/* Everything up to seq is committed: frees it. How many events that newly are. A number that was
 * never given is no acknowledgement: ERR_FORMAT. */
int64_t keep_ack(struct keep *k, uint64_t seq);

/* Nothing is on the way any more: send from the oldest again. */
void keep_go_back(struct keep *k);

/* Number of the oldest event that is still held (the next one's if there is none). */
uint64_t keep_first_seq(const struct keep *k);

uint64_t keep_unacked(const struct keep *k);

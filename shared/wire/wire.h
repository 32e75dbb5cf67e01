/* The bytes between sensor and collector: messages of the delivery protocol, in msgpack.
 *
 * Sensor: DEALER. Collector: ROUTER. One message is one ZeroMQ frame (after the ROUTER's routing
 * id): a msgpack map {"m": kind, …}. docs/wire.md describes it with a state diagram.
 *
 *   hello    sensor -> collector   first on every connection, and whenever the collector asks
 *   welcome  collector -> sensor   what the collector has: send what follows
 *   batch    sensor -> collector   events from_seq, from_seq+1, … of one epoch
 *   ack      collector -> sensor   everything up to seq is committed (cumulative)
 *   again    collector -> sensor   "I do not know you" or "not in order": say hello again
 *   ping     either -> other       answered by pong
 *   pong
 *   refuse   collector -> sensor   version or name not accepted; reason says why
 *   order    collector -> sensor   test this prefix until the lease is over; the answer is an event
 *   stop     collector -> sensor   end that order now
 *   hold     collector -> sensor   test that prefix, and what overlaps it, not by your own
 *                                  configuration for so long: somebody else tests it
 *
 * Rules. A sensor keeps events until an ack covers them. On welcome {epoch, seq} it goes back to
 * seq+1 if the epoch is its own, to its first event otherwise. At most `credit` batches may be
 * without ack. The collector takes a sensor's events in order only; repeats are skipped and
 * acknowledged, a batch that starts beyond the next number is answered with `again`, unless it says
 * itself that the numbers between will never come.
 *
 * Orders. Only a sensor whose hello said `orders` gets them. The lease counts from `stamp`, the
 * sensor's own clock as its last hello or batch told it: however long an order was on its way, the
 * sensor ends it no later than the collector thinks. An order is sent again after a while and after
 * every welcome; a sensor knows those that it has, or had, by order_id.
 *
 * Decoding never trusts a length: every count and string is checked against what is there and
 * against the limits below; nesting beyond WIRE_DEPTH is refused before it is parsed. */
#pragma once

#include "shared/wire/event.h"

#define WIRE_VERSION      1
#define WIRE_BATCH_BYTES  (16 * 1024) /* a batch is closed once it is this long */
#define WIRE_BATCH_EVENTS 512
#define WIRE_MESSAGE_MAX  (64 * 1024) /* longer messages are refused unread */
#define WIRE_EVENT_MAX    (4 * 1024)  /* longest encoding of one event */
#define WIRE_DEPTH        8
#define WIRE_CREDIT       64
#define WIRE_NAME         64

/* May a sensor be called so? UTF-8, for others become "?" on the wire and then equal. Names stand
 * in log lines as sensor=NAME: spaces, quotes and control characters would let a name pretend to be
 * other words of that line. */
bool wire_name_is_sound(const char *name);

enum wire_kind {
    WIRE_HELLO = 1,
    WIRE_WELCOME,
    WIRE_BATCH,
    WIRE_ACK,
    WIRE_AGAIN,
    WIRE_PING,
    WIRE_PONG,
    WIRE_REFUSE,
    WIRE_ORDER,
    WIRE_STOP,
    WIRE_HOLD
};

struct wire_message {
    enum wire_kind kind;
    uint64_t version;        /* hello, welcome: WIRE_VERSION of the speaker */
    char name[WIRE_NAME];    /* hello: the sensor's name (in plain mode only is it believed) */
    char pop[WIRE_NAME];     /* hello */
    char release[WIRE_NAME]; /* hello: the program's version, for humans */
    uint64_t epoch;          /* hello, welcome, batch, ack */
    uint64_t first_seq; /* hello: oldest event that the sensor still holds; batch: number of its
                           first event */
    uint64_t after;     /* batch: the number before it that is not missing, if the numbers between
                           that one and first_seq will never come; 0: none is missing */
    uint64_t next_seq;  /* hello: number that its next new event will get */
    uint64_t seq;       /* welcome, ack: last committed event of that epoch, 0: none */
    uint64_t credit;    /* welcome: batches that may be on the way */
    char reason[128];   /* again, refuse; hello, batch: why numbers before first_seq are missing */
    /* welcome: 1: batches may be compressed; batch: how long its events were before they were, 0:
     * they are not. 0 from who does not know the key, so who does not know it gets none (zip.h). */
    uint64_t zstd;
    uint64_t orders;       /* hello: 0: takes no orders; else this process's number, by chance */
    uint64_t stamp;        /* hello, batch: the sensor's steady clock, ns, from a start of its own;
                              order, hold: the latest that was heard, from which the lease counts */
    uint64_t order_id;     /* order, stop */
    struct prefix prefix;  /* order: the source prefix to test; hold: not to */
    uint64_t lease;        /* order: ns that it may last; hold: that it does */
    uint64_t wait;         /* order: ns that it may wait for a first packet */
    uint64_t drops;        /* order: most segments that may be withheld for it */
    uint32_t count;        /* batch: number of events */
    const uint8_t *events; /* batch, decoded: the encoded events, one after another; borrowed */
    size_t events_len;
};

/* Appends one event (without epoch: the batch says it; without seq: counted from first_seq) as
 * msgpack at out, at most room bytes. Length written, or ERR_FULL; ERR_FORMAT for an event that
 * cannot be said: unknown type, word or family, a number beyond 2^63-1 (SQL's bigint). Text that is
 * no UTF-8 is sent with '?' in place of each such byte. */
int wire_event_encode(const struct event *e, uint8_t *out, size_t room);

/* Decodes one event from the front of data; *used says how many bytes it took. epoch and seq are
 * left 0. A missing key reads as zero, a missing span as SPAN_NONE. 0; ERR_TRUNCATED or ERR_FORMAT
 * when the bytes are no msgpack (nothing after them can be read either: *used is 0); ERR_TOO_LONG /
 * ERR_FORMAT with *used > 0 when only this event is bad.
 */
int wire_event_decode(const uint8_t *data, size_t len, struct event *out, size_t *used);

/* Encodes a whole message; a batch's events are copied from m->events. Length, ERR_FULL, or
 * ERR_FORMAT (unknown kind, a number beyond 2^63-1). */
int wire_encode(const struct wire_message *m, uint8_t *out, size_t room);

/* Decodes a message; m->events points into data. 0, ERR_FORMAT, ERR_TRUNCATED, ERR_TOO_LONG. On 0 a
 * hello has 1 <= first_seq <= next_seq; a batch has 1 <= count <= WIRE_BATCH_EVENTS, first_seq >=
 * 1, after < first_seq, and no number of it beyond 2^63-1; an order has an order_id, a prefix
 * without host bits, a lease and drops, a stop an order_id, a hold a prefix and a lease. Whether
 * its events decode is seen one by one. Compressed ones stay so: wire_unzip. */
int wire_decode(const uint8_t *data, size_t len, struct wire_message *m);

/* What one sensor may send, so that it cannot crowd out the others: batches within its credit,
 * bytes (decompressed) at its rate, a hello now and then.
 *
 * The rate works through the credit. A batch is taken whenever it comes, but its acknowledgement
 * waits until the sensor's bytes are paid for at its rate; a sensor without acknowledgements stops
 * at its credit, keeps what it has, and nobody else waits for it. A sensor that does not stop there
 * is refused. So the collector never holds a batch back, and its memory does not depend on what
 * sensors do.
 *
 * No acknowledgement waits longer than a credit of the longest messages takes at the rate (64 x 64
 * KiB at 1 MiB/s: 4 s), which is far from the 30 s after which a sensor asks for it. Time is an
 * argument, in mono ns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/clock.h"
#include "shared/wire/wire.h"

/* Bytes of so long may come at once at any rate. */
#define PACE_BURST_NS (100 * NS_PER_MS)
/* A sensor says hello when it connects and when it is asked to, at most each 200 ms for a moment.
 */
#define PACE_HELLO_NS    (250 * NS_PER_MS)
#define PACE_HELLO_BURST 20

struct pace {
    uint64_t rate;     /* bytes/s; 0: any */
    uint64_t credit;   /* batches without acknowledgement; 0: WIRE_CREDIT */
    bool is_promised;  /* no batch came since the sensor was told its credit */
    uint64_t paid_at;  /* when all bytes so far are paid for */
    uint64_t hello_at; /* the same of its hellos */
    uint64_t epoch;    /* of its latest hello; what is of another one is not for this window */
    uint64_t committed;
    unsigned first, count; /* of batches without acknowledgement, oldest first */
    struct {
        uint64_t last_seq, due; /* due: when it may be acknowledged */
    } batch[WIRE_CREDIT];
};

/* May it say hello now? true: what it sent before is forgotten, it begins with its whole credit.
 * false: too often, or acknowledgements of it still wait. It is to be ignored, and will come again.
 */
bool pace_hello(struct pace *p, uint64_t epoch, uint64_t now);

/* A welcome tells the sensor its credit. One that said hello twice gets two, and goes by the first
 * that it hears: so until its next batch the larger one counts. */
void pace_welcome(struct pace *p, uint64_t credit);

/* A batch that ends with last_seq came. false: it is beyond the credit. */
bool pace_batch(struct pace *p, uint64_t last_seq, size_t bytes, uint64_t now);

/* Everything up to seq is committed. true: *say may be acknowledged now; else pace_take_ack() says
 * when its time has come. */
bool pace_committed(struct pace *p, uint64_t epoch, uint64_t seq, uint64_t now, uint64_t *say);
bool pace_take_ack(struct pace *p, uint64_t now, uint64_t *say);

/* When the next acknowledgement may go out that waits now; UINT64_MAX: none waits. */
uint64_t pace_due(const struct pace *p);

/* The door to zstd: the events of a batch, compressed on their way. The only includer of its
 * header.
 *
 * A batch's events repeat the same keys and places, so they shrink to a fifth; encrypting and
 * moving the bytes that are left out would cost both ends more than compressing does
 * (docs/benchmarks.md, "Delivery"). Each batch stands for itself: no dictionary, no state from one
 * to the next, so that any may be lost, repeated or skipped.
 *
 * What comes is not believed: the batch says how long its events will be (wire_decode has bounded
 * that), there is room for just so much, and it must be exactly so much. One thread. */
#pragma once

#include "shared/base/err.h"
#include "shared/wire/wire.h"

struct wire_zip;

/* -ENOMEM. */
int wire_zip_new(struct wire_zip **out);
void wire_zip_free(struct wire_zip *z);

/* Compresses the batch's events, if that makes them shorter: m->events is then borrowed from z
 * until the next call, m->zstd not 0. Else m is left as it is. Cannot fail. */
void wire_zip(struct wire_zip *z, struct wire_message *m);

/* A decoded batch's events as they were, borrowed from z until the next call; m->zstd is 0 then.
 * One that is not compressed is left as it is. ERR_FORMAT: they are not what the batch says; m is
 * left. */
int wire_unzip(struct wire_zip *z, struct wire_message *m);

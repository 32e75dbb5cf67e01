/* Events as a busy sensor makes them, for the programs that measure delivery. What a rate means
 * depends on how long and how alike the events are, so all contenders get the same ones: addresses,
 * ports and counts are random (with a fixed seed), times advance, places and words repeat. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/wire/wire.h"

/* What there is: the first are made over and over, with new times. */
#define DELIVERY_EVENTS 8192

/* kind: drop (a row each, and nothing else), tally (a row each, of 1,000 prefixes, and the map) or
 * mixed (of 64 events 47 tallies, 16 drops, one status). False: no such kind. Times count from 0.
 */
bool delivery_events(const char *kind, struct event events[static DELIVERY_EVENTS]);

/* The events from *first on as the publisher would batch them: their bytes to out, how many they
 * are; *first moves on. */
uint32_t delivery_batch(const struct event events[static DELIVERY_EVENTS], size_t *first,
                        uint8_t out[static WIRE_BATCH_BYTES + WIRE_EVENT_MAX], size_t *len);

/* Peng's port bitmap: which ports were asked for, as bits in bins, and the bins' entropy.
 *
 * h = (port / bins) mod bits chooses the bit, so `bins` neighbouring ports share one; bit h stands
 * in bin h / (bits / bins). Each bin's entropy is folded: 0 empty, 1 half full, 2 full. So one
 * port says almost nothing, a scan of neighbouring ports fills bin after bin.
 * Source: alessio-perugini/peng, pkg/portbitmap/port_bitmap.go. */
#pragma once

#include <stdint.h>

#include "shared/base/err.h"
#include "shared/wire/event.h"

struct port_bitmap {
    unsigned bits, bins; /* of the whole; bins divides bits */
    uint64_t *words;
    uint32_t ones[REALS_MAX]; /* per bin: kept while marking, so that reading needs no count */
};

/* 0, -ENOMEM, or ERR_CONF when bins is 0, above REALS_MAX or does not divide bits. */
int port_bitmap_init(struct port_bitmap *b, unsigned bits, unsigned bins);
void port_bitmap_clear(struct port_bitmap *b);

void port_bitmap_mark(struct port_bitmap *b, uint16_t port);

/* Forgets all ports; the memory stays. */
void port_bitmap_reset(struct port_bitmap *b);

/* Mean over the bins, in [0, 2]; out gets each bin's own. */
double port_bitmap_entropy(const struct port_bitmap *b, struct reals *out);

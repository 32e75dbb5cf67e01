#include "sensor/scan/port_bitmap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t words_of(const struct port_bitmap *b)
{
    return ((size_t)b->bits + 63) / 64;
}

int port_bitmap_init(struct port_bitmap *b, unsigned bits, unsigned bins)
{
    memset(b, 0, sizeof *b);
    if (bins == 0 || bins > REALS_MAX || bits == 0 || bits % bins != 0)
        return ERR_CONF;
    b->bits = bits;
    b->bins = bins;
    b->words = calloc(words_of(b), sizeof *b->words);
    return b->words != NULL ? 0 : -ENOMEM;
}

void port_bitmap_clear(struct port_bitmap *b)
{
    free(b->words);
    memset(b, 0, sizeof *b);
}

void port_bitmap_mark(struct port_bitmap *b, uint16_t port)
{
    unsigned h = port / b->bins % b->bits;
    uint64_t bit = UINT64_C(1) << h % 64;
    if ((b->words[h / 64] & bit) != 0)
        return;
    b->words[h / 64] |= bit;
    b->ones[h / (b->bits / b->bins)]++;
}

void port_bitmap_reset(struct port_bitmap *b)
{
    memset(b->words, 0, words_of(b) * sizeof *b->words);
    memset(b->ones, 0, sizeof b->ones);
}

/* More ones than zeros would lower the plain entropy again; Peng mirrors that half, so that a
 * fuller bin always says more. */
static double folded(uint32_t ones, uint32_t size)
{
    if (ones == 0)
        return 0;
    if (ones == size)
        return 2;
    double o = (double)ones / size, z = 1 - o;
    double h = -(o * log2(o) + z * log2(z));
    return o > z ? 2 - h : h;
}

double port_bitmap_entropy(const struct port_bitmap *b, struct reals *out)
{
    double sum = 0;
    memset(out, 0, sizeof *out);
    out->count = b->bins;
    for (unsigned i = 0; i < b->bins; i++) {
        out->value[i] = folded(b->ones[i], b->bits / b->bins);
        sum += out->value[i];
    }
    return sum / b->bins;
}

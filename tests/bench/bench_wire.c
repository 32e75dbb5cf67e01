/* What an event costs on its way between a ring and the database, in ns of this thread's processor
 * time: to encode, to decode; and what compressing the events of a batch would cost and save.
 * Prints "NAME NUMBER" lines.
 *
 *   bench_wire KIND [EVENTS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zstd.h>

#include "shared/base/clock.h"
#include "tests/bench/delivery_events.h"

enum { BATCHES = 64 };

static struct event events[DELIVERY_EVENTS];
static struct batch {
    uint8_t bytes[WIRE_BATCH_BYTES + WIRE_EVENT_MAX];
    size_t len;
    uint32_t count;
} batches[BATCHES];
static uint64_t event_count;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_wire: %s\n", what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void make_batches(void)
{
    size_t first = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *b = &batches[i];
        b->count = delivery_batch(events, &first, b->bytes, &b->len);
        if (b->count == 0)
            die("an event that cannot be encoded");
        event_count += b->count;
    }
}

static double encode(uint64_t total)
{
    uint8_t out[WIRE_EVENT_MAX];
    uint64_t from = cpu_ns();
    for (uint64_t i = 0; i < total; i++)
        if (wire_event_encode(&events[i % DELIVERY_EVENTS], out, sizeof out) < 0)
            die("an event that cannot be encoded");
    return (double)(cpu_ns() - from) / (double)total;
}

static void decode_batch(const struct batch *b)
{
    struct event e;
    size_t at = 0, used;
    for (uint32_t i = 0; i < b->count; i++, at += used)
        if (wire_event_decode(b->bytes + at, b->len - at, &e, &used) != 0)
            die("an event that cannot be decoded");
}

static double decode(uint64_t total)
{
    uint64_t from = cpu_ns(), done = 0;
    for (; done < total; done += event_count)
        for (unsigned i = 0; i < BATCHES; i++)
            decode_batch(&batches[i]);
    return (double)(cpu_ns() - from) / (double)done;
}

struct zstd {
    ZSTD_CCtx *in;
    ZSTD_DCtx *out;
    uint8_t small[BATCHES][ZSTD_COMPRESSBOUND(sizeof batches[0].bytes)];
    size_t len[BATCHES];
};

static void compress_all(struct zstd *z)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        z->len[i] = ZSTD_compress2(z->in, z->small[i], sizeof z->small[i], batches[i].bytes,
                                   batches[i].len);
        if (ZSTD_isError(z->len[i]))
            die(ZSTD_getErrorName(z->len[i]));
    }
}

static void decompress_all(struct zstd *z)
{
    uint8_t back[sizeof batches[0].bytes];
    for (unsigned i = 0; i < BATCHES; i++) {
        size_t len = ZSTD_decompressDCtx(z->out, back, sizeof back, z->small[i], z->len[i]);
        if (len != batches[i].len || memcmp(back, batches[i].bytes, len) != 0)
            die("what was decompressed differs");
    }
}

/* us per batch and the ratio, at one level */
static void zstd(struct zstd *z, int level, unsigned rounds)
{
    ZSTD_CCtx_setParameter(z->in, ZSTD_c_compressionLevel, level);
    double bytes = 0, small = 0;
    uint64_t from = cpu_ns();
    for (unsigned i = 0; i < rounds; i++)
        compress_all(z);
    uint64_t half = cpu_ns();
    for (unsigned i = 0; i < rounds; i++)
        decompress_all(z);
    uint64_t end = cpu_ns();
    for (unsigned i = 0; i < BATCHES; i++) {
        bytes += (double)batches[i].len;
        small += (double)z->len[i];
    }
    double per = (double)rounds * BATCHES * 1e3;
    printf("zstd_%d_ratio %.3f\n", level, bytes / small);
    printf("zstd_%d_compress %.3f\n", level, (double)(half - from) / per);
    printf("zstd_%d_decompress %.3f\n", level, (double)(end - half) / per);
}

int main(int argc, char **argv)
{
    static const int levels[] = {3, 1, -1, -3, -5, -10};
    uint64_t total = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    struct zstd *z = calloc(1, sizeof *z);
    if (argc < 2 || !delivery_events(argv[1], events) || total == 0 || z == NULL) {
        fprintf(stderr, "usage: bench_wire drop|tally|mixed [EVENTS]\n");
        return 2;
    }
    make_batches();
    printf("batch_events %.1f\n", (double)event_count / BATCHES);
    printf("encode %.1f\n", encode(total));
    printf("decode %.1f\n", decode(total));
    z->in = ZSTD_createCCtx();
    z->out = ZSTD_createDCtx();
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        zstd(z, levels[i], (unsigned)(total / event_count) + 1);
    ZSTD_freeCCtx(z->in);
    ZSTD_freeDCtx(z->out);
    free(z);
    return 0;
}

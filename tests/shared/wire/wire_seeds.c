/* Writes seeds for fuzz_event and fuzz_message: real encodings of every kind. wire-seeds FOLDER */
#include <stdio.h>
#include <string.h>

#include "shared/wire/wire.h"
#include "shared/wire/zip.h"
#include "tests/support/random_event.h"

static int write_seed(const char *folder, const char *target, const char *name, const void *bytes,
                      int len)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || len <= 0) {
        perror(path);
        return 1;
    }
    fwrite(bytes, 1, (size_t)len, f);
    return fclose(f) != 0;
}

static int write_events(const char *folder, uint8_t *batch, size_t *batch_len, uint32_t *count)
{
    struct prf prf = prf_init(1, 2);
    size_t n;
    int failed = 0;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        struct event e;
        random_event(&prf, &kinds[k], &e);
        int len = wire_event_encode(&e, batch + *batch_len, WIRE_EVENT_MAX);
        failed |= write_seed(folder, "fuzz_event", kinds[k].name, batch + *batch_len, len);
        *batch_len += len > 0 ? (size_t)len : 0;
        ++*count;
    }
    return failed;
}

int main(int argc, char **argv)
{
    static uint8_t batch[64 * WIRE_EVENT_MAX], out[WIRE_MESSAGE_MAX];
    struct wire_message m = {.kind = WIRE_HELLO,
                             .version = WIRE_VERSION,
                             .name = "ams1",
                             .pop = "AMS",
                             .release = "0.1.0",
                             .epoch = 1795000000000000000,
                             .first_seq = 5,
                             .next_seq = 9,
                             .seq = 4,
                             .credit = WIRE_CREDIT,
                             .reason = "not in order",
                             .orders = 77,
                             .stamp = 1234567890,
                             .order_id = 12,
                             .lease = 180000000000,
                             .wait = 30000000000,
                             .drops = 60,
                             .events = batch};
    static const char *const names[] = {"",     "hello", "welcome", "batch", "ack",  "again",
                                        "ping", "pong",  "refuse",  "order", "stop", "hold"};
    if (argc != 2 || prefix_parse("203.0.113.0/24", &m.prefix) != 0)
        return 2;
    int failed = write_events(argv[1], batch, &m.events_len, &m.count);
    for (int kind = WIRE_HELLO; kind <= WIRE_HOLD; kind++) {
        m.kind = (enum wire_kind)kind;
        failed |=
            write_seed(argv[1], "fuzz_message", names[kind], out, wire_encode(&m, out, sizeof out));
    }
    struct wire_zip *zip;
    if (wire_zip_new(&zip) < 0)
        return 1;
    m.kind = WIRE_BATCH;
    wire_zip(zip, &m);
    failed |=
        write_seed(argv[1], "fuzz_message", "batch_zstd", out, wire_encode(&m, out, sizeof out));
    wire_zip_free(zip);
    failed |=
        write_seed(argv[1], "fuzz_event", "deep", "\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 10);
    failed |= write_seed(argv[1], "fuzz_event", "lying_count", "\xdf\xff\xff\xff\xff\xc0", 6);
    return failed;
}

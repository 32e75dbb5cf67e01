/* Any bytes as an event: no crash, no read past the end, and what decodes goes round and prints. */
#include <stdlib.h>
#include <string.h>

#include "shared/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void go_round(const struct event *e)
{
    uint8_t bytes[WIRE_EVENT_MAX];
    struct event again;
    size_t used;
    int len = wire_event_encode(e, bytes, sizeof bytes);
    if (len <= 0 || wire_event_decode(bytes, (size_t)len, &again, &used) != 0)
        abort();
    if (used != (size_t)len || memcmp(e, &again, sizeof again) != 0)
        abort();
}

static void print(const struct event *e)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return;
    event_print(out, e);
    fclose(out);
    if (len < 2 || text[0] != '{' || strchr(text, '\n') != text + len - 1)
        abort(); /* one line */
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) { /* one after another, as in a batch */
        struct event e;
        size_t used;
        int err = wire_event_decode(data, size, &e, &used);
        if (used > size || (err == 0 && used == 0))
            abort();
        if (err == 0) {
            go_round(&e);
            print(&e);
        }
        if (used == 0)
            return 0;
        data += used;
        size -= used;
    }
    return 0;
}

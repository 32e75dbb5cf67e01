/* What any subscriber may ask. What is understood is asked for again in the same words. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/notify/since.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct since s, again;
    char text[80];
    if (!since_parse(data, size, &s))
        return 0;
    int len = snprintf(text, sizeof text, "since %" PRIu64 " limit %u", s.event_id, s.limit);
    if (s.event_id > INT64_MAX || s.limit == 0 || s.limit > SINCE_LIMIT ||
        !since_parse(text, (size_t)len, &again) || again.event_id != s.event_id ||
        again.limit != s.limit)
        abort();
    return 0;
}

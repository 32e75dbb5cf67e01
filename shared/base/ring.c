#include "shared/base/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ring_init(struct ring *r, size_t slot_size, size_t count)
{
    memset(r, 0, sizeof *r);
    size_t size = 1;
    while (size < count)
        size *= 2;
    r->slots = calloc(size, slot_size);
    if (r->slots == NULL)
        return -ENOMEM;
    r->slot_size = slot_size;
    r->mask = size - 1;
    return 0;
}

void ring_clear(struct ring *r)
{
    free(r->slots);
    r->slots = NULL;
}

/* Watched: the kernel's two tries of watched prefixes, and what stands in them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/addr.h"

struct watched {
    int v4_fd, v6_fd; /* borrowed */
    struct prefix *prefixes;
    size_t count;      /* sorted, without repeats */
    bool is_uncertain; /* adding failed: perhaps not all of them stand in the tries */
};

/* Makes the tries hold exactly these prefixes; those that stay are watched without a gap. 0, or
 * ERR_CONF, -ENOMEM, ERR_KERNEL with a note. */
int watched_set(struct watched *w, const struct prefix *prefixes, size_t n, struct note *note);

void watched_clear(struct watched *w); /* our memory only; the kernel keeps its tries */

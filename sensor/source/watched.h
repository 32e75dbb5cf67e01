/* Watched: the kernel's two tries of watched prefixes, what stands in them, and the filter before
 * them (watched_filter.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bpf/xdp_abi.h"
#include "shared/base/addr.h"

struct watched {
    int v4_fd, v6_fd;          /* borrowed */
    struct xdp_filter *filter; /* borrowed: the kernel's own memory; NULL: a program without one */
    struct prefix *prefixes;
    size_t count;      /* sorted, without repeats */
    bool is_uncertain; /* adding failed: perhaps not all of them stand in the tries */
};

/* Makes the tries hold exactly these prefixes. What is watched by the old list and by the new one
 * is watched without a gap, also where a prefix was split or joined (if the tries have room for
 * both lists). 0, or ERR_CONF, -ENOMEM, ERR_KERNEL with a note. */
int watched_set(struct watched *w, const struct prefix *prefixes, size_t n, struct note *note);

void watched_clear(struct watched *w); /* our memory only; the kernel keeps its tries */

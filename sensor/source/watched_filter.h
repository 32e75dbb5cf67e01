/* Watched filter: the bits that say for which sources the kernel need ask its tries of watched
 * prefixes (bpf/xdp_abi.h shows them). A source inside a watched prefix always has its bit; a bit
 * without one only costs a look-up.
 *
 * Live, in three steps, so that no frame of a prefix that is watched before and after goes by:
 *
 *   watched_filter_open()    sets what the new list needs, beside what the old one needed
 *   the tries are changed
 *   watched_filter_narrow()  clears what the new list does not need
 *
 * The kernel's program reads these words at any time: each is written in one go. Pure memory, no
 * system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bpf/xdp_abi.h"
#include "shared/base/addr.h"

void watched_filter_open(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

/* 0, or -ENOMEM; then the filter stays as wide as it is, which is harmless. */
int watched_filter_narrow(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

/* What the kernel asks: false is sure. */
bool watched_filter_may_hold(const struct xdp_filter *f, const struct addr *source);

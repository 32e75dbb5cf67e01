/* Watched filter: the bits that say for which sources the kernel need ask its tries of watched
 * prefixes (bpf/xdp_abi.h shows them). A source inside a watched prefix always has its bit; a bit
 * without one only costs a look-up. And a source that is surely watched lies in one for certain.
 *
 * Live, in these steps, so that no frame of a prefix that is watched before and after goes by, and
 * none is handed over because of bits when the tries have been changed:
 *
 *   watched_filter_open()     sets what the new list needs, beside what the old one needed
 *   watched_filter_doubt()    nothing is sure but what is so by the new list, too
 *   the tries are changed
 *   watched_filter_narrow()   clears what the new list does not need
 *   watched_filter_be_sure()  sets what is sure by the new list
 *
 * The kernel's program reads these words at any time: each is written in one go. Pure memory, no
 * system call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bpf/xdp_abi.h"
#include "shared/base/addr.h"

void watched_filter_open(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

/* Without memory nothing is sure any more, which only costs look-ups. */
void watched_filter_doubt(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

/* 0, or -ENOMEM; then the filter stays as wide as it is, which is harmless. */
int watched_filter_narrow(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

void watched_filter_be_sure(struct xdp_filter *f, const struct prefix *prefixes, size_t n);

/* What the kernel asks. may_hold: false is sure. is_sure: true is. */
bool watched_filter_may_hold(const struct xdp_filter *f, const struct addr *source);
bool watched_filter_is_sure(const struct xdp_filter *f, const struct addr *source);

/* The operator's policy file:
 *
 *     - {prefix: 203.0.113.0/24, ingress: [{pop: AMS}, {pop: FRA, router: fra1-r1}]}
 *     - {peer_as: 64501, cone: [203.0.113.0/24, "2001:db8::/32"], comment: a customer}
 *
 * Keys of a place: pop, router, interface, vlan, mac, peer_as. */
#pragma once

#include "collector/expect/expect.h"
#include "shared/base/err.h"

/* Reads the file into out (overwritten; the caller clears it); path "" gives an empty one.
 * ERR_CONF with file, line, key and what was expected; then out is empty. */
int policy_load(const char *path, struct expect *out, struct note *note);

/* Who takes the entries one by one: 0, or an error with a sentence in why, which is told with the
 * entry's line. */
struct policy_taker {
    int (*prefix)(void *arg, const struct prefix *prefix, const struct expect_place *places,
                  size_t count, const char *comment, struct note *why);
    int (*cone)(void *arg, uint32_t peer_as, const struct prefix *prefixes, size_t count,
                const char *comment, struct note *why);
    void *arg;
};

/* Gives every entry of the file to its taker. ERR_CONF as policy_load. */
int policy_read(const char *path, const struct policy_taker *to, struct note *note);

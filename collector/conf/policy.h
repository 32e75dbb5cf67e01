/* The operator's policy file:
 *
 *     - {prefix: 203.0.113.0/24, ingress: [{pop: AMS}, {pop: FRA, router: fra1-r1, interface:
 * xe-0/0/1}]}
 *
 * Keys of a place: pop, router, interface, vlan, peer_as. */
#pragma once

#include "collector/expect/expect.h"
#include "shared/base/err.h"

/* Reads the file into out (overwritten; the caller clears it); path "" gives an empty one.
 * ERR_CONF with file, line, key and what was expected; then out is empty. */
int policy_load(const char *path, struct expect *out, struct note *note);

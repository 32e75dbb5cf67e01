/* What the routing table and the VRPs say about a prefix at a place. Private to this folder. Pure.
 */
#pragma once

#include "collector/expect/expect.h"
#include "collector/expect/rib.h"
#include "collector/expect/vrps.h"

/* Fills bgp, rpki and origin_as. "No path" of a stale table is no word: unknown.
 *
 * A path whose origin the VRPs call invalid does not count: it is as if it had been filtered, so
 * that a hijacker's more-specific does not make itself expected. Of the longest route that has a
 * valid path the first valid path is the best. A place's peer that has another valid path there, or
 * any valid path of a shorter covering route, is an alternative.
 *
 * The origin is that of the peer's valid path; else that of its invalid path (then rpki says so);
 * else that of the best valid path; else, when only invalid paths cover the prefix, the longest
 * one's. */
void routes_say(const struct expect *x, const struct ingress_row *row,
                struct expect_answer *answer);

/* The neighbours with a valid path for src, the best one first, each once; at most max. Returns how
 * many. */
unsigned routes_neighbours(const struct expect *x, const struct prefix *src, uint32_t *out,
                           unsigned max);

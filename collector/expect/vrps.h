/* Validated ROA payloads, and route origin validation by RFC 6811.
 *
 * A VRP says: AS n may originate this prefix, down to that length. A route is valid if one says so
 * of its origin, invalid if VRPs cover its prefix but none does, else not found. AS 0 validates
 * nothing (RFC 7607). Bounded: VRPS_MAX (in 2026 there are about 700,000). Pure. */
#pragma once

#include "collector/ingress/ingress.h"
#include "shared/base/lpm.h"

#define VRPS_MAX 4000000

struct vrps;

int vrps_new(struct vrps **out); /* -ENOMEM */
void vrps_free(struct vrps *v);

/* max_length: prefix->length to the family's bits. The same one again adds nothing. ERR_FULL,
 * -ENOMEM. */
int vrps_add(struct vrps *v, const struct prefix *prefix, unsigned max_length, uint32_t asn);
size_t vrps_count(const struct vrps *v);

/* The state of a route. origin 0: the path has none (it ends in an AS_SET), which is never valid.
 */
enum rpki_state vrps_validate(const struct vrps *v, const struct prefix *route, uint32_t origin);

/* Has that AS an authorisation for the addresses of src, whatever length it may announce? */
bool vrps_authorises(const struct vrps *v, const struct prefix *src, uint64_t asn);

/* Does a VRP lie inside p that is not for p itself? */
bool vrps_divides(const struct vrps *v, const struct prefix *p);

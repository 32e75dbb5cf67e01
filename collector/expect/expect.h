/* Expectation: where traffic from a prefix is expected to enter. Of the four sources of
 * expectation this release has one, the operator's policy (collector/conf/policy.h reads it).
 *
 * The longest prefix that covers a source prefix decides. A field of a place that is not given
 * matches anything; a prefix without an entry is unknown: neither expected nor not. Pure. */
#pragma once

#include "collector/ingress/ingress.h"
#include "shared/base/lpm.h"

struct expect_place {
    char pop[32], router[32], interface[32]; /* "": any */
    uint64_t vlan, peer_as;                  /* 0: any */
};

struct expect_entry {
    struct prefix prefix;
    size_t first, count; /* places[first .. first + count) */
};

/* Zeroed is empty and usable: everything is unknown. */
struct expect {
    struct expect_entry *entries;
    size_t entry_count;
    struct expect_place *places;
    size_t place_count;
    struct lpm lpm; /* prefix -> index of its entry */
};

/* Adds an entry. A prefix that is there already: ERR_CONF. -ENOMEM. places are copied. */
int expect_add(struct expect *x, const struct prefix *prefix, const struct expect_place *places,
               size_t count);
void expect_clear(struct expect *x);

enum expected expect_find(const struct expect *x, const struct prefix *src, const char *pop,
                          const struct ingress *at);

/* The places for that prefix as a JSON array of objects ("[]" if it has none), cut to whole
 * elements that fit. Returns text. */
char *expect_json(const struct expect *x, const struct prefix *src, char *text, size_t size);

/* Expectation: where traffic from a prefix is expected to enter. Four sources, asked in this order;
 * the first that says yes or no is right:
 *
 *   policy   the operator's file and the operator's entries in SQL: prefixes with their places, and
 *            the cones of peers (collector/expect/list.h)
 *   bgp      a routing table: has this place's peer a valid path for the prefix?
 *   rpki     a route origin authorisation makes the peer itself the origin
 *   learned  genuine at this place for long, while nobody said no
 *
 * A no of BGP waits for RPKI's yes: who may originate a prefix may also send from it, whether or
 * not he announces it here. Decision 24 says why. No source has anything to say: unknown, neither
 * expected nor not. Pure. */
#pragma once

#include "collector/expect/list.h"

struct rib;
struct vrps;

/* Zeroed is empty and usable: everything is unknown. */
struct expect {
    struct expect_list file; /* the operator's file; owned */
    /* borrowed; NULL: that source has nothing to say */
    const struct expect_list
        *entries; /* the operator's, in SQL: what they allow, too, is allowed */
    const struct expect_list *learned;
    const struct rib *rib;
    const struct vrps *vrps;
    int64_t rib_written_at; /* its file, wall ns; 0: not known */
    bool is_rib_stale;      /* too old for its "no path" to count: then BGP says nothing */
    /* for whoever learns */
    uint64_t learn_after_ns; /* 0: nothing is learned */
    size_t max_learned;      /* entries */
};

/* What is said about one prefix at one place. */
struct expect_answer {
    enum expected expected;
    const char *by;       /* static: "policy", "bgp", "rpki", "learned"; "": nobody said */
    bool is_uneven;       /* parts of the prefix are expected differently: then unknown */
    bool outside_cone;    /* policy: the peer sends what lies outside its cone */
    uint32_t cone_as;     /* then: whose */
    enum bgp_state bgp;   /* valid paths only */
    enum rpki_state rpki; /* of the origin that the table shows for this place, see rib.h */
    uint32_t origin_as;   /* that origin; 0: not known */
};

/* Adds an entry of the operator's file. A prefix that is there already: ERR_CONF. -ENOMEM. places
 * are copied. */
int expect_add(struct expect *x, const struct prefix *prefix, const struct expect_place *places,
               size_t count);
void expect_clear(struct expect *x); /* the borrowed are forgotten, not freed */

/* Of the row only prefix and place (pop, at) are read. A prefix that is wider than a tally's (/24,
 * /48) is asked about part by part where any source tells parts of it apart. */
struct expect_answer expect_judge(const struct expect *x, const struct ingress_row *row);

/* Writes the answer to the row; true if the row says something else than before. */
bool expect_write(const struct expect_answer *answer, struct ingress_row *row);

/* Where that prefix is expected, as a JSON array of objects: the policy's places, or else the
 * neighbours with a valid path ("[]" if there are none), cut to whole elements that fit. Returns
 * text. */
char *expect_json(const struct expect *x, const struct prefix *src, char *text, size_t size);

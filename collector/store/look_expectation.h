/* What people ask and say about expectation, for penstockctl. */
#pragma once

#include "collector/store/look.h"

/* A sentence, as people type it; NULL: not given. */
struct look_expectation {
    const char *prefix, *cone_as;
    const char *pop, *router, *interface, *vlan, *mac, *peer_as;
    bool is_nowhere;
    const char *comment;
};

/* All that is said, or what overlaps a prefix. */
int look_expectations(struct look *l, const char *prefix, struct look_rows **out,
                      struct note *note);

/* One transaction around what follows; look_close without look_commit takes all of it back. */
int look_begin(struct look *l, struct note *note);
int look_commit(struct look *l, struct note *note);

/* Says it, as an operator. Its row, with is_new: false if it was said before; done: a word. */
int look_expect_add(struct look *l, const struct look_expectation *e, struct look_rows **out,
                    struct note *note);
/* Takes back exactly that, whoever said it; the rows that were there. */
int look_expect_remove(struct look *l, const struct look_expectation *e, struct look_rows **out,
                       struct note *note);
int look_expect_remove_id(struct look *l, const char *id, struct look_rows **out,
                          struct note *note);
/* Takes back all that operators said; not what was learned. */
int look_expect_forget(struct look *l, struct note *note);

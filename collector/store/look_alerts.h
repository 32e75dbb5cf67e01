/* What penstockctl asks and says about alerts and maintenance; as store/look.h. What it says, the
 * role must be a member of penstock_operator for. */
#pragma once

#include "collector/store/look.h"

struct look_alerts {
    const char *state, *kind; /* NULL: any; state "open": all without an end; "all": any */
    unsigned limit;           /* 0: all */
};
/* The newest first; all columns, and has_fired. */
int look_alerts(struct look *l, const struct look_alerts *which, struct look_rows **out,
                struct note *note);
/* The states that were told of it, oldest first. */
int look_alert_events(struct look *l, const char *alert_id, struct look_rows **out,
                      struct note *note);

/* A person's word: state firing (take back), acknowledged or suppressed. who NULL: the role. No row
 * in *out: there is no such alert without an end. */
int look_alert_say(struct look *l, const char *alert_id, const char *state, const char *who,
                   struct look_rows **out, struct note *note);

/* Accepts what an alert tells of as expected: writes rows of penstock.expectation. Besides its
 * place, what is expected of the prefix today stays expected: a prefix with an entry is expected
 * nowhere else. Of a policy_violation: the prefix joins the peer's cone. *out: the rows that say so
 * now; none: there is no such alert, or it tells of no prefix. */
int look_alert_learn(struct look *l, const char *alert_id, const char *comment,
                     struct look_rows **out, struct note *note);

struct look_window {
    const char *from, *to; /* as PostgreSQL reads times; from NULL: now */
    const char *lasts;     /* an interval, in place of to */
    const char *kind, *pop, *router, *interface, *peer_as, *prefix, *sensor; /* NULL: any */
    const char *who, *why; /* who NULL: the role */
};
int look_window_add(struct look *l, const struct look_window *window, struct look_rows **out,
                    struct note *note);
/* Windows that are not over, or all. */
int look_windows(struct look *l, bool is_all, struct look_rows **out, struct note *note);
/* Ends it now, or deletes it if it has not begun. No row: there is no such window. */
int look_window_end(struct look *l, const char *id, struct look_rows **out, struct note *note);

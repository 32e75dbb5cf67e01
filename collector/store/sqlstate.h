/* What a failure's SQLSTATE says about whose fault it is. */
#pragma once

#include <stdbool.h>
#include <string.h>

/* Classes of failures that the values of a statement caused, so that the same values would fail
 * again: a constraint, a number out of range, a trigger that raises, a row too large for an index.
 * Not among them: what a connection (08), another transaction (40), resources (53), a human (57),
 * the system (58, XX) or the schema and its rights (42) cause: what waits may well pass then.
 * state may be NULL. Source: PostgreSQL's manual, appendix A. */
static inline bool sqlstate_is_of_data(const char *state)
{
    static const char classes[][3] = {
        "09", /* an action that was triggered raised */
        "20", /* a case that a trigger's CASE does not know */
        "21", /* more rows than there may be */
        "22", /* data exceptions */
        "23", /* integrity constraints */
        "27", /* a trigger changed what was being written */
        "38", /* external routines, as a trigger's */
        "39", /* their calls */
        "44", /* WITH CHECK OPTION */
        "54", /* larger than the program's limits, as a row for its index */
        "P0", /* PL/pgSQL: RAISE, in a trigger */
    };
    for (size_t i = 0; state != NULL && i < sizeof classes / sizeof *classes; i++)
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    return false;
}

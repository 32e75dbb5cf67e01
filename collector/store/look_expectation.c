#include "collector/store/look_expectation.h"

#include <stddef.h>

#include "collector/store/look_ask.h"

enum { VALUES = 9 };

/* $1 to $9, in the order of the table's constraint expectation_once. */
static void values_of(const struct look_expectation *e, const char *values[static VALUES])
{
    const char *const all[] = {e->prefix, e->cone_as,   e->pop,
                               e->router, e->interface, e->vlan,
                               e->mac,    e->peer_as,   e->is_nowhere ? "t" : "f"};
    for (unsigned i = 0; i < VALUES; i++)
        values[i] = all[i];
}

#define NAMES  "prefix, cone_as, pop, router, interface, vlan, mac, peer_as, nowhere"
#define VALUED "$1::cidr, $2::bigint, $3, $4, $5, $6::integer, $7::macaddr, $8::bigint, $9::boolean"
#define IS_IT  "ROW(" NAMES ") IS NOT DISTINCT FROM ROW(" VALUED ")"

int look_expectations(struct look *l, const char *prefix, struct look_rows **out, struct note *note)
{
    return look_ask(
        l,
        "SELECT * FROM penstock.expectation WHERE $1::inet IS NULL OR prefix && $1::inet"
        " ORDER BY cone_as NULLS FIRST, prefix, expectation_id",
        "reading what is expected", &prefix, 1, out, note);
}

int look_begin(struct look *l, struct note *note)
{
    return look_ask(l, "BEGIN", "beginning", NULL, 0, NULL, note);
}

int look_commit(struct look *l, struct note *note)
{
    return look_ask(l, "COMMIT", "committing", NULL, 0, NULL, note);
}

int look_expect_add(struct look *l, const struct look_expectation *e, struct look_rows **out,
                    struct note *note)
{
    const char *values[VALUES + 1];
    values_of(e, values);
    values[VALUES] = e->comment != NULL ? e->comment : "";
    return look_ask(l,
                    "WITH said AS (INSERT INTO penstock.expectation (" NAMES ", comment)"
                    " VALUES (" VALUED ", $10) ON CONFLICT DO NOTHING RETURNING *)"
                    " SELECT *, true AS is_new, 'added' AS done FROM said UNION ALL"
                    " SELECT *, false, 'known' FROM penstock.expectation"
                    " WHERE source = 'operator' AND " IS_IT,
                    "saying what is expected", values, VALUES + 1, out, note);
}

int look_expect_remove(struct look *l, const struct look_expectation *e, struct look_rows **out,
                       struct note *note)
{
    const char *values[VALUES];
    values_of(e, values);
    return look_ask(
        l, "DELETE FROM penstock.expectation WHERE " IS_IT " RETURNING *, 'removed' AS done",
        "taking back what is expected", values, VALUES, out, note);
}

int look_expect_remove_id(struct look *l, const char *id, struct look_rows **out, struct note *note)
{
    return look_ask(l,
                    "DELETE FROM penstock.expectation WHERE expectation_id = $1::bigint"
                    " RETURNING *, 'removed' AS done",
                    "taking back what is expected", &id, 1, out, note);
}

int look_expect_forget(struct look *l, struct note *note)
{
    return look_ask(l, "DELETE FROM penstock.expectation WHERE source = 'operator'",
                    "taking back what operators said", NULL, 0, NULL, note);
}

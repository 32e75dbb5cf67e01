/* What penstockctl asks and says about orders of tests. */
#include <stddef.h>

#include "collector/store/look_ask.h"

/* Rows that have a prefix and a pop; sql: which, and in what order. */
static int ask_which(struct look *l, const char *sql, const char *what,
                     const struct look_tests *which, struct look_rows **out, struct note *note)
{
    char limit[16];
    const char *values[] = {which->prefix, which->pop, look_limit(which->limit, limit)};
    return look_ask(l, sql, what, values, COUNT_OF(values), out, note);
}

#define WHICH " WHERE ($1::inet IS NULL OR prefix && $1::inet) AND ($2::text IS NULL OR pop = $2)"

int look_orders(struct look *l, const struct look_tests *which, struct look_rows **out,
                struct note *note)
{
    return ask_which(l,
                     "SELECT * FROM penstock.test_order" WHICH
                     " ORDER BY ended_at IS NOT NULL, order_id DESC LIMIT $3::bigint",
                     "reading the orders", which, out, note);
}

int look_tests(struct look *l, const struct look_tests *which, struct look_rows **out,
               struct note *note)
{
    return ask_which(l,
                     "SELECT * FROM penstock.penny_test" WHICH
                     " ORDER BY started_at DESC NULLS LAST, test_id LIMIT $3::bigint",
                     "reading the tests", which, out, note);
}

int look_order(struct look *l, const char *order_id, struct look_rows **out, struct note *note)
{
    return look_ask(l, "SELECT * FROM penstock.test_order WHERE order_id = $1::bigint",
                    "reading the order", &order_id, 1, out, note);
}

/* Listens first: whatever happens to the order is heard. */
int look_order_test(struct look *l, const char *prefix, const char *pop, const char *reason,
                    struct look_rows **out, struct note *note)
{
    const char *values[] = {prefix, pop, reason};
    int err = look_ask(l, "LISTEN penstock_order", "listening", NULL, 0, NULL, note);
    if (err != 0)
        return err;
    return look_ask(l,
                    "INSERT INTO penstock.test_order (prefix, pop, reason)"
                    " VALUES ($1::cidr, $2, coalesce($3, '')) RETURNING *",
                    "ordering a test", values, COUNT_OF(values), out, note);
}

int look_order_cancel(struct look *l, const char *order_id, struct look_rows **out,
                      struct note *note)
{
    return look_ask(l,
                    "UPDATE penstock.test_order SET state = 'cancelled'"
                    " WHERE order_id = $1::bigint AND ended_at IS NULL RETURNING *",
                    "cancelling the order", &order_id, 1, out, note);
}

int look_order_approve(struct look *l, const char *order_id, struct look_rows **out,
                       struct note *note)
{
    return look_ask(l,
                    "UPDATE penstock.test_order SET state = 'requested'"
                    " WHERE order_id = $1::bigint AND state = 'proposed' RETURNING *",
                    "approving the order", &order_id, 1, out, note);
}

/* How long events are kept: whole months that are over are dropped, table by table. */
#include <inttypes.h>
#include <string.h>

#include "collector/store/session.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* One at a time: to drop a partition takes a lock that readers wait for, and its files. */
#define DROPS_PER_CALL 1
/* An hour's orders of a large network; more than that are gone some calls later. */
#define ORDERS_PER_CALL 5000

struct dropped {
    const char *parent;
    unsigned count;
};

static int tell_dropped(void *arg, struct columns *c)
{
    struct dropped *d = arg;
    char name[64];
    column_text(c, name, sizeof name);
    log_info("event=partition_dropped table=%s partition=%s", d->parent, name);
    d->count++;
    return 0;
}

static int drop_before(struct store *s, const char *parent, int64_t before, unsigned *dropped,
                       struct note *note)
{
    struct dropped d = {.parent = parent};
    struct record *p = session_parameters(s);
    field_text(p, parent);
    field_instant(p, before);
    field_integer(p, DROPS_PER_CALL);
    int err =
        session_each_of(s, "SELECT * FROM penstock.partition_drop_before($1, $2, $3::integer)",
                        "dropping what is too old", tell_dropped, &d, note);
    *dropped += d.count;
    return err;
}

/* Orders are few, so their table has no months. Those that somebody looks at just now come later.
 */
static int forget_orders(struct store *s, int64_t before, struct note *note)
{
    struct record *p = session_parameters(s);
    field_instant(p, before);
    field_integer(p, ORDERS_PER_CALL);
    return session_run(s,
                       "DELETE FROM penstock.test_order WHERE order_id = ANY (ARRAY("
                       "SELECT order_id FROM penstock.test_order WHERE ended_at < $1"
                       " AND requested_at < $1 AND lease_until IS NULL"
                       " ORDER BY order_id LIMIT $2::integer FOR UPDATE SKIP LOCKED))",
                       "forgetting old orders", note);
}

int store_forget(struct store *s, const struct store_keep *keep, int64_t now, unsigned *dropped,
                 struct note *note)
{
    const struct {
        const char *table;
        uint64_t keep_ns;
    } ages[] = {
        {"ingress_tally", keep->tallies_ns},      {"ingress_change_entry", keep->history_ns},
        {"sensor_status", keep->events_ns},       {"penny_drop_entry", keep->events_ns},
        {"scan_window_entry", keep->events_ns},   {"passive_flow_entry", keep->events_ns},
        {"passive_total_entry", keep->events_ns},
    };
    *dropped = 0;
    int err = session_ready(s, note);
    /* that one of them cannot be dropped is told, and keeps no other */
    for (size_t i = 0; PQstatus(s->conn) == CONNECTION_OK && i < sizeof ages / sizeof *ages; i++) {
        struct note why;
        int failed =
            ages[i].keep_ns == 0
                ? 0
                : drop_before(s, ages[i].table, now - (int64_t)ages[i].keep_ns, dropped, &why);
        if (failed != 0) {
            *note = why;
            err = failed;
        }
    }
    if (err == 0 && keep->events_ns > 0)
        err = forget_orders(s, now - (int64_t)keep->events_ns, note);
    if (*dropped > 0) /* one of them may be needed again */
        memset(s->partitions, 0, sizeof s->partitions);
    return err;
}

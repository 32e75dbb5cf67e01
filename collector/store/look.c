/* What penstockctl asks about the map, the sensors, their tests, and alerts. */
#include "collector/store/look.h"

#include <stddef.h>

#include "collector/store/look_ask.h"

/* ---- sensors ---- */

int look_sensors(struct look *l, struct look_rows **out, struct note *note)
{
    return look_ask(l,
                    "SELECT name, pop, version, state, first_seen, last_seen, epoch, last_seq,"
                    " (SELECT count(*) FROM penstock.sensor_gap g WHERE g.sensor = s.name) AS gaps"
                    " FROM penstock.sensor s ORDER BY pop, name",
                    "reading the sensors", NULL, 0, out, note);
}

int look_sensor(struct look *l, const char *name, struct look_rows **out, struct note *note)
{
    return look_ask(l, "SELECT * FROM penstock.sensor WHERE name = $1", "reading the sensor", &name,
                    1, out, note);
}

int look_gaps_of(struct look *l, const char *name, unsigned limit, struct look_rows **out,
                 struct note *note)
{
    return look_ask_some(l,
                         "SELECT * FROM penstock.sensor_gap WHERE sensor = $1"
                         " ORDER BY at DESC, from_seq DESC LIMIT $2::bigint",
                         "reading the sensor's gaps", name, limit, out, note);
}

int look_scan_windows(struct look *l, struct look_rows **out, struct note *note)
{
    return look_ask(l,
                    "SELECT sensor, pop, direction, count(*) AS windows,"
                    " sum(probes)::bigint AS probes, avg(total_entropy) AS mean_entropy,"
                    " min(total_entropy) AS least_entropy, max(total_entropy) AS most_entropy,"
                    " max(ended_at) AS last_ended_at FROM penstock.scan_window"
                    " WHERE ended_at > now() - interval '1 day'"
                    " GROUP BY sensor, pop, direction ORDER BY sensor, direction",
                    "reading the scan windows", NULL, 0, out, note);
}

/* ---- the map ---- */

int look_entries(struct look *l, const struct look_entries *which, struct look_rows **out,
                 struct note *note)
{
    char text[16];
    const char *values[] = {which->prefix, which->pop, which->state,
                            which->is_unexpected ? "t" : "f", look_limit(which->limit, text)};
    return look_ask(
        l,
        "SELECT * FROM penstock.ingress_map m WHERE ($1::inet IS NULL"
        " OR CASE WHEN masklen($1::inet) = CASE family($1::inet) WHEN 4 THEN 32 ELSE 128 END"
        " THEN m.prefix IN (SELECT o.prefix FROM penstock.ingress_of($1::inet) o)"
        " ELSE m.prefix && $1::inet END)"
        " AND ($2::text IS NULL OR m.pop = $2) AND ($3::text IS NULL OR m.state = $3)"
        " AND (NOT $4::boolean OR m.expected IS FALSE)"
        " ORDER BY m.prefix, m.share DESC, m.pop, m.router, m.interface, m.vlan LIMIT $5::bigint",
        "reading the map", values, COUNT_OF(values), out, note);
}

int look_entries_alarming(struct look *l, const char *prefix, struct look_rows **out,
                          struct note *note)
{
    return look_ask(l,
                    "SELECT * FROM penstock.ingress_map m WHERE (m.state IN ('genuine', 'mixed',"
                    " 'testing') OR m.prefix IN (SELECT a.prefix FROM penstock.alert a"
                    " WHERE a.resolved_at IS NULL)) AND ($1::inet IS NULL OR m.prefix && $1::inet)"
                    " ORDER BY m.prefix, m.pop, m.router, m.interface, m.vlan, m.mac, m.peer_as",
                    "reading the map", &prefix, 1, out, note);
}

/* ---- alerts ---- */

/* The places that an alert names, as one text; what is cut or no array is no place. */
#define ALERT                                                                                 \
    "SELECT a.*, (SELECT string_agg(concat_ws(' ', e->>'pop', e->>'router', e->>'interface'," \
    " 'vlan ' || (e->>'vlan'), 'mac ' || (e->>'mac'), 'AS' || (e->>'peer_as')), '; ')"        \
    " FROM jsonb_array_elements(CASE jsonb_typeof(a.expected) WHEN 'array' THEN a.expected"   \
    " ELSE '[]' END) e) AS expected_places, " LOOK_HAS_FIRED " FROM penstock.alert a"

int look_alert(struct look *l, const char *alert_id, struct look_rows **out, struct note *note)
{
    return look_ask(l, ALERT " WHERE a.alert_id = $1::bigint", "reading the alert", &alert_id, 1,
                    out, note);
}

int look_alerts_of(struct look *l, const char *prefix, struct look_rows **out, struct note *note)
{
    return look_ask(l,
                    ALERT " WHERE a.resolved_at IS NULL AND a.prefix && $1::inet"
                          " ORDER BY a.alert_id DESC",
                    "reading the alerts", &prefix, 1, out, note);
}

int look_alerts_open(struct look *l, struct look_rows **out, struct note *note)
{
    return look_ask(l, ALERT " WHERE a.resolved_at IS NULL ORDER BY a.alert_id",
                    "reading the alerts", NULL, 0, out, note);
}

/* ---- tests ---- */

int look_tests_of(struct look *l, const struct look_place *at, unsigned limit,
                  struct look_rows **out, struct note *note)
{
    char text[16];
    const char *values[] = {at->prefix, at->pop, at->router, at->interface,
                            look_limit(limit, text)};
    return look_ask(l,
                    "SELECT * FROM penstock.penny_test WHERE prefix && $1::inet"
                    " AND ($2::text IS NULL OR pop = $2) AND ($3::text IS NULL OR router = $3)"
                    " AND ($4::text IS NULL OR interface = $4)"
                    " ORDER BY started_at DESC LIMIT $5::bigint",
                    "reading the tests", values, COUNT_OF(values), out, note);
}

int look_drops_of(struct look *l, const char *test_ids, unsigned limit, struct look_rows **out,
                  struct note *note)
{
    return look_ask_some(l,
                         "SELECT test_id, src, dst, src_port, dst_port, seq, length, dropped_at,"
                         " outcome, answered_after FROM (SELECT *, row_number() OVER"
                         " (PARTITION BY test_id ORDER BY dropped_at, src, src_port, seq) AS n"
                         " FROM penstock.penny_drop WHERE test_id = ANY ($1::uuid[])) d"
                         " WHERE $2::bigint IS NULL OR n <= $2::bigint ORDER BY test_id, n",
                         "reading the withheld segments", test_ids, limit, out, note);
}

/* ---- what was ordered, and what changed ---- */

int look_orders_of(struct look *l, const char *prefix, unsigned limit, struct look_rows **out,
                   struct note *note)
{
    return look_ask_some(l,
                         "SELECT * FROM penstock.test_order WHERE prefix && $1::inet"
                         " ORDER BY order_id DESC LIMIT $2::bigint",
                         "reading the orders", prefix, limit, out, note);
}

int look_changes_of(struct look *l, const char *prefix, unsigned limit, struct look_rows **out,
                    struct note *note)
{
    return look_ask_some(l,
                         "SELECT * FROM penstock.ingress_change WHERE prefix && $1::inet"
                         " ORDER BY at DESC LIMIT $2::bigint",
                         "reading the history", prefix, limit, out, note);
}

/* Alerts and maintenance, for penstockctl. */
#include "collector/store/look_alerts.h"

#include <stddef.h>
#include <stdio.h>

#include "collector/store/look_ask.h"

int look_alerts(struct look *l, const struct look_alerts *which, struct look_rows **out,
                struct note *note)
{
    char limit[16];
    const char *values[] = {which->state, which->kind, look_limit(which->limit, limit)};
    return look_ask(l,
                    "SELECT a.*, " LOOK_HAS_FIRED
                    " FROM penstock.alert AS a WHERE CASE $1::text WHEN 'all' THEN true"
                    " WHEN 'open' THEN resolved_at IS NULL ELSE state = $1 END"
                    " AND ($2::text IS NULL OR kind = $2) ORDER BY alert_id DESC LIMIT $3::bigint",
                    "reading the alerts", values, COUNT_OF(values), out, note);
}

int look_alert_events(struct look *l, const char *alert_id, struct look_rows **out,
                      struct note *note)
{
    return look_ask(l,
                    "SELECT event_id, at, state, document->>'severity' AS severity,"
                    " (document->>'confidence')::double precision AS confidence,"
                    " document->>'acknowledged_by' AS acknowledged_by,"
                    " document->>'suppressed_by' AS suppressed_by FROM penstock.alert_event"
                    " WHERE alert_id = $1::bigint ORDER BY event_id",
                    "reading what was told of the alert", &alert_id, 1, out, note);
}

int look_alert_say(struct look *l, const char *alert_id, const char *state, const char *who,
                   struct look_rows **out, struct note *note)
{
    const char *values[] = {alert_id, state, who};
    return look_ask(l,
                    "UPDATE penstock.alert SET state = $2::text, acknowledged_by = CASE $2::text"
                    " WHEN 'firing' THEN NULL ELSE coalesce($3::text, session_user::text) END"
                    " WHERE alert_id = $1::bigint AND resolved_at IS NULL"
                    " RETURNING alert_id, kind, state, acknowledged_by, summary",
                    "saying something of the alert", values, COUNT_OF(values), out, note);
}

/* Places: those that the alert names as expected; if it names none, those of the map that are
 * expected, or proven genuine and not unexpected, and where a move came from; and its own. What
 * somebody forges elsewhere must not become expected there by the way. */
static const char learn[] =
    "WITH a AS (SELECT * FROM penstock.alert WHERE alert_id = $1::bigint AND prefix IS NOT NULL"
    " AND kind IN ('hijack_suspected', 'policy_violation', 'ingress_moved', 'ingress_unexpected')),"
    " named AS (SELECT e FROM a, jsonb_array_elements(CASE jsonb_typeof(a.expected)"
    " WHEN 'array' THEN a.expected ELSE '[]' END) AS e),"
    " place AS (SELECT a.prefix, a.pop, a.router, a.interface, a.vlan, a.mac, a.peer_as FROM a"
    " WHERE a.kind <> 'policy_violation'"
    " UNION SELECT a.prefix, e->>'pop', e->>'router', e->>'interface', (e->>'vlan')::integer,"
    " (e->>'mac')::macaddr, (e->>'peer_as')::bigint FROM a, named"
    " WHERE a.kind <> 'policy_violation'"
    " UNION SELECT a.prefix, m.pop, m.router, m.interface, m.vlan, m.mac, m.peer_as"
    " FROM a JOIN penstock.ingress_map AS m ON m.prefix = a.prefix AND (m.expected"
    " OR m.expected IS NULL AND m.state IN ('genuine', 'mixed'))"
    " WHERE a.kind <> 'policy_violation' AND NOT EXISTS (SELECT FROM named)"
    " UNION SELECT a.prefix, f->>'pop', f->>'router', f->>'interface', (f->>'vlan')::integer,"
    " (f->>'mac')::macaddr, (f->>'peer_as')::bigint FROM a, LATERAL (SELECT"
    " a.evidence->'moved'->'from'->'place' AS f) AS moved WHERE a.kind = 'ingress_moved'"
    " AND f->>'pop' IS NOT NULL AND NOT EXISTS (SELECT FROM named)),"
    " wanted AS (SELECT prefix, NULL::bigint AS cone_as, pop, router, interface, vlan, mac, peer_as"
    " FROM place UNION ALL SELECT prefix, coalesce((evidence->>'outside_cone_of')::bigint,"
    " peer_as), NULL, NULL, NULL, NULL, NULL, NULL FROM a WHERE kind = 'policy_violation'),"
    " added AS (INSERT INTO penstock.expectation (source, prefix, cone_as, pop, router, interface,"
    " vlan, mac, peer_as, comment) SELECT 'operator', prefix, cone_as, pop, router, interface,"
    " vlan, mac, peer_as, coalesce($2::text, 'learned of alert ' || $1) FROM wanted"
    " ON CONFLICT DO NOTHING)"
    " SELECT * FROM wanted ORDER BY pop, router, interface, vlan, mac, peer_as";

int look_alert_learn(struct look *l, const char *alert_id, const char *comment,
                     struct look_rows **out, struct note *note)
{
    const char *values[] = {alert_id, comment};
    return look_ask(l, learn, "learning what the alert tells of", values, COUNT_OF(values), out,
                    note);
}

int look_window_add(struct look *l, const struct look_window *w, struct look_rows **out,
                    struct note *note)
{
    const char *values[] = {w->from,      w->to,      w->lasts,  w->kind,   w->pop, w->router,
                            w->interface, w->peer_as, w->prefix, w->sensor, w->who, w->why};
    return look_ask(
        l,
        "INSERT INTO penstock.maintenance (starts_at, ends_at, kind, pop, router, interface,"
        " peer_as, prefix, sensor, who, why) SELECT f, coalesce($2::timestamptz,"
        " f + $3::interval), $4, $5, $6, $7, $8::bigint, $9::cidr, $10,"
        " coalesce($11, session_user::text), $12"
        " FROM coalesce($1::timestamptz, now()) AS f RETURNING *",
        "announcing maintenance", values, COUNT_OF(values), out, note);
}

int look_windows(struct look *l, bool is_all, struct look_rows **out, struct note *note)
{
    const char *values[] = {is_all ? "t" : "f"};
    return look_ask(l,
                    "SELECT *, starts_at <= now() AND ends_at > now() AS is_now"
                    " FROM penstock.maintenance WHERE $1::boolean OR ends_at > now()"
                    " ORDER BY starts_at, maintenance_id",
                    "reading the windows of maintenance", values, COUNT_OF(values), out, note);
}

int look_window_end(struct look *l, const char *id, struct look_rows **out, struct note *note)
{
    return look_ask(
        l,
        "WITH early AS (DELETE FROM penstock.maintenance WHERE maintenance_id = $1::bigint"
        " AND starts_at > now() RETURNING *), begun AS (UPDATE penstock.maintenance"
        " SET ends_at = now() WHERE maintenance_id = $1::bigint AND starts_at <= now()"
        " AND ends_at > now() RETURNING *) SELECT * FROM early UNION ALL SELECT * FROM begun",
        "ending the window of maintenance", &id, 1, out, note);
}

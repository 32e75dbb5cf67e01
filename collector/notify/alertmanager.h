/* One state of an alert in the shape of Alertmanager's API v2 (postableAlert), pure.
 *
 *   labels        alertname (the kind), severity, prefix, pop, router, interface, vlan, mac,
 *                 peer_as, sensor, fingerprint: those that the alert says. They are its identity
 *                 there.
 *   annotations   summary, runbook, state, alert_id, event_id, confidence, acknowledged_by
 *   startsAt      started_at
 *   endsAt        only when it is over (resolved or suppressed); without it Alertmanager ends an
 *                 alert by itself its resolve_timeout after it was last told of it
 *   generatorURL  link + alert_id
 *
 * Source: Alertmanager's api/v2/openapi.yaml. */
#pragma once

#include "collector/notify/notice.h"

/* A new reference; NULL: no memory. */
json_t *alertmanager_alert(const struct notice *n, const struct feed_conf *feed);

/* Are they one alert to Alertmanager? */
bool alertmanager_is_same(const json_t *a, const json_t *b);

/* A copy of it that has ended at that time; NULL: no memory. */
json_t *alertmanager_ended(const json_t *alert, int64_t at);

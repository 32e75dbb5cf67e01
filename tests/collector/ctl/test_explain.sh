#!/usr/bin/env bash
# penstockctl explain and history: one alert with all that belongs to it, told and as JSON.
# Usage: test_explain.sh PENSTOCKCTL PENSTOCK_COLLECTOR
set -uo pipefail
# shellcheck source=tests/collector/ctl/database.sh
. "$(dirname "$0")/database.sh" "$1" "$2"
cd "$work" || exit 1

sql <<'SQL' || exit 1
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, vlan, peer_as, state, genuine_probability,
        genuine_fraction, genuine_low, genuine_high, share, weight, packets, bytes, expected, expected_by, tests,
        first_seen, last_seen, last_test_at, bgp, rpki, origin_as) VALUES
    ('203.0.113.0/24', 'AMS', 'ams1-r1', 'xe-0/0/1', 101, 64501, 'genuine', 0.9999, 1, 0.7, 1, 0.75, 75, 10, 7500,
        true, 'policy', 2, '2026-11-20 10:00Z', '2026-11-22 11:00Z', '2026-11-22 10:00Z', 'best', 'valid', 64500),
    ('203.0.113.0/24', 'FRA', 'fra1-r1', 'xe-0/0/1', 0, 64502, 'genuine', 0.999, 1, 0.44, 1, 0.25, 25, 5, 2500,
        false, 'policy', 1, '2026-11-21 10:00Z', '2026-11-22 11:00Z', '2026-11-22 10:30Z', 'none', 'invalid', 64666);
INSERT INTO penstock.penny_test_entry (test_id, sensor, pop, prefix, router, interface, vlan, mac, peer_as, mode, rule,
        started_at, ended_at, verdict, genuine_probability, genuine_fraction, genuine_low, genuine_high, flows, droppable,
        drops, retransmitted, unanswered, duplicates, reason, order_id)
    SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'fra1', 'FRA', '203.0.113.0/24', 'fra1-r1', 'xe-0/0/1', 0,
        '00:00:00:00:00:00', 64502, 'active', 'randomised', ('2026-11-22 10:2' || n || 'Z')::timestamptz,
        CASE n WHEN 1 THEN timestamptz '2026-11-22 10:30Z' END, CASE n WHEN 1 THEN 'genuine' END, 0.999, 1, 0.44, 1, 10, 180,
        9, 9, 0, 2, '9 of 9 drops came again', 7 FROM generate_series(1, 2) n;
INSERT INTO penstock.penny_drop_entry
    SELECT 'fra1', 1, n, '2026-11-22 10:30Z', 'FRA', '00000000-0000-0000-0000-000000000001', '203.0.113.9', '198.51.100.1', 40000 + n, 443,
        1000 * n, 1448, timestamptz '2026-11-22 10:29Z' + n * interval '1 s', 'retransmitted', interval '70 ms'
    FROM generate_series(1, 9) n;
INSERT INTO penstock.test_order (order_id, prefix, pop, requested_by, reason, state, test_id, verdict)
    VALUES (7, '203.0.113.0/24', 'FRA', 'collector', 'new and unexpected', 'ended', '00000000-0000-0000-0000-000000000001', 'genuine');
INSERT INTO penstock.ingress_change_entry (at, prefix, kind, from_pop, from_router, to_pop, to_router, from_share_before,
        from_share_after, to_share_before, to_share_after)
    VALUES ('2026-11-22 10:31Z', '203.0.113.0/24', 'moved', 'AMS', 'ams1-r1', 'FRA', 'fra1-r1', 0.9, 0.1, 0.1, 0.9);
INSERT INTO penstock.sensor VALUES ('fra1', 'FRA', '0.1.0', '2026-11-20 10:00Z', '2026-11-22 11:00Z', 1, 5, 'silent');
INSERT INTO penstock.sensor_gap_entry VALUES ('fra1', 1, 3, 4, 'spool full', '2026-11-22 10:00Z');
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, prefix, pop, router, interface, peer_as,
        summary, expected, evidence, started_at, updated_at) VALUES
    (17, 'f17', 'ingress_unexpected', 'critical', 0.999, 'firing', '203.0.113.0/24', 'FRA', 'fra1-r1', 'xe-0/0/1', 64502,
        'Genuine traffic from 203.0.113.0/24 enters at FRA fra1-r1 xe-0/0/1, where it is not expected',
        '[{"pop":"AMS","router":"ams1-r1"},{"pop":"LON","peer_as":64501}]', '{"rule":"ingress_unexpected"}',
        '2026-11-22 10:30Z', '2026-11-22 10:31Z');
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, pop, summary, started_at, updated_at, sensor)
    VALUES (18, 'f18', 'sensor_silent', 'warning', 1, 'firing', 'FRA', 'Sensor fra1 at FRA is silent', '2026-11-22 11:01Z',
        '2026-11-22 11:01Z', 'fra1');
SQL

"$ctl" explain 17 >story || { cat story; exit 1; }
story() { grep -qE -- "$1" story || { echo "no $1 in:"; cat story; return 1; }; }
check "the alert itself, in its own words" story "^Alert 17: ingress_unexpected, critical"
check "its sentence" story "^  Genuine traffic from 203.0.113.0/24 enters at FRA"
check "where, as a place is written" story "^  Where: FRA fra1-r1 xe-0/0/1 AS64502$"
check "since when, in which state, how sure" story "It began 2026-11-22 10:30:00Z, is firing, and says so with confidence 0.9990"
check "where it is expected instead" story "Expected instead.*: AMS ams1-r1; LON AS64501\."
check "by which source, entry by entry" story "203.0.113.0/24 at FRA .*: not expected, says the policy"
check "what BGP and RPKI say" story "BGP: the peer at FRA .* announces no valid path that covers the prefix; its origin is AS64666, which RPKI calls invalid"
check "the map now" story "^203.0.113.0/24 +AMS +ams1-r1 .*best +valid"
check "the order behind the test" story "^ *7 +203.0.113.0/24 +FRA +ended +genuine"
check "the test, with its order" story "fra1 tested at FRA fra1-r1 xe-0/0/1 \(203.0.113.0/24, order 7\), test 0+-"
check "its verdict" story "Verdict at 2026-11-22 10:30:00Z: genuine"
check "its counts in a sentence" story "9 of 9 withheld segments came again, 0 did not"
check "posterior and interval" story "probability 0.9990; the genuine fraction is 1.00 \(0.44 to 1.00\)"
check "a test that has not ended says so" story "It has not ended, or its sensor was lost"
check "a withheld segment: addresses, ports, sequence, length, outcome, time" story \
    "203.0.113.9 port 40001 -> 198.51.100.1 port 443  seq 1000, 1448 bytes: retransmitted after 70.0 ms"
check "the move" story "moved +203.0.113.0/24 +AMS"
check "the page to read" story "docs/alerts/ingress_unexpected"
check "--limit: the first segments only, and how many there are" ends 0 "and 7 more" "$ctl" explain 17 --limit 2
check "--json has all lists" is_json '.alert.alert_id == 17 and (.map | length) == 2 and (.tests | length) == 2 and (.drops | length) == 9
    and .orders[0].reason == "new and unexpected" and .history[0].to_pop == "FRA" and .alert.expected[0].pop == "AMS"' "$ctl" explain 17 --json
check "a prefix has a story, too" ends 0 "^ *17 +ingress_unexpected" "$ctl" explain 203.0.113.0/24
check "and in JSON" is_json '.alert == null and .alerts[0].alert_id == 17 and (.drops | length) == 9' "$ctl" explain 203.0.113.0/24 --json
check "a prefix that nobody saw" ends 0 "no traffic from there was seen" "$ctl" explain 198.51.100.0/24
check "an alert about a sensor: the sensor and what is missing" ends 0 "fra1 at FRA is silent; last heard of 2026-11-22 11:00:00Z" "$ctl" explain 18
check "its gaps" ends 0 "spool full" "$ctl" explain 18
check "and in JSON" is_json '.map == null and .sensor[0].name == "fra1" and .gaps[0].from_seq == 3' "$ctl" explain 18 --json
check "no such alert: status 1" ends 1 "there is no alert 99" "$ctl" explain 99
check "a number beyond all alerts: status 2" ends 2 "reading the alert" "$ctl" explain 99999999999999999999999
check "neither alert nor prefix: status 2" ends 2 "reading the alerts.*nonsense" "$ctl" explain nonsense
check "history: from where to where" ends 0 "moved +203.0.113.0/24 +AMS +ams1-r1 +- +0.900 +0.100 +FRA +fra1-r1" "$ctl" history 203.0.113.7
check "history in JSON" is_json '.[0].kind == "moved" and .[0].from_share_before == 0.9' "$ctl" history 203.0.113.0/24 --json
sql -c "CREATE ROLE looker LOGIN IN ROLE penstock_reader"
check "a member of penstock_reader may ask all of it" ends 0 "and 7 more" "$ctl" explain 17 --limit 2 \
    --dsn "${PENSTOCK_DSN/user=postgres/user=looker}"

finish

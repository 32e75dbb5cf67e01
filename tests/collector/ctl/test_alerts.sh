#!/usr/bin/env bash
# penstockctl alerts and maintenance, against a real database: what is listed and shown, what people
# say, what is learned, and who may.
# Usage: test_alerts.sh PENSTOCKCTL PENSTOCK_COLLECTOR
set -uo pipefail
# shellcheck source=tests/collector/ctl/database.sh
. "$(dirname "$0")/database.sh" "$1" "$2"
cd "$work" || exit 1

sql <<'SQL' || exit 1
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, prefix, pop, router, interface,
        peer_as, summary, expected, evidence, started_at, updated_at, resolved_at, runbook) VALUES
    (1, 'a', 'ingress_unexpected', 'critical', 0.9, 'firing', '203.0.113.0/24', 'FRA', 'fra1-r1', 'xe-0/0/0', 64502,
        'Genuine traffic enters at FRA', '[{"pop": "AMS"}]', '{"rule": "ingress_unexpected"}', now(), now(), NULL, 'docs/alerts/x.md'),
    (2, 'b', 'policy_violation', 'critical', 0.9, 'firing', '198.51.100.0/24', 'FRA', 'fra1-r1', 'xe-0/0/1', 64512,
        'outside its cone', '[]', '{"outside_cone_of": 64512}', now(), now(), NULL, NULL),
    (3, 'c', 'sensor_silent', 'warning', 1, 'firing', NULL, 'LON', NULL, NULL, NULL, 'silent', '[]', '{}', now(), now(), NULL, NULL),
    (4, 'd', 'hijack_suspected', 'warning', 0.8, 'resolved', '192.0.2.0/24', 'LON', NULL, NULL, 64513, 'over', '[]', '{}',
        now(), now(), now(), NULL),
    (5, 'e', 'hijack_suspected', 'warning', 0.8, 'pending', '192.0.2.0/24', 'LON', 'lon1-r1', 'xe-0/0/9', 64513, 'hijack', '[]', '{}',
        now(), now(), NULL, NULL);
INSERT INTO penstock.alert_event (alert_id, at, state, document)
    SELECT 1, '2026-11-22 10:00Z'::timestamptz, 'pending', to_jsonb(a) FROM penstock.alert a WHERE alert_id = 1
    UNION ALL SELECT 1, '2026-11-22 10:01Z'::timestamptz, 'firing', to_jsonb(a) FROM penstock.alert a WHERE alert_id = 1;
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, peer_as, state, share, weight, packets, bytes, expected,
        tests) VALUES
    ('192.0.2.0/24', 'AMS', 'ams1-r1', 'xe-0/0/1', 64501, 'genuine', 0.9, 1, 1, 1, true, 1),
    ('192.0.2.0/24', 'LON', 'lon1-r1', 'xe-0/0/9', 64513, 'genuine', 0.1, 1, 1, 1, false, 1);
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, peer_as, state, share, weight, packets, bytes, tests) VALUES
    ('192.0.2.0/24', 'FRA', 'fra1-r1', 'xe-0/0/7', 64520, 'spoofed', 0.5, 1, 1, 1, 1),
    ('192.0.2.0/24', 'FRA', 'fra1-r1', 'xe-0/0/8', 64521, 'unverified', 0.5, 1, 1, 1, 0);
CREATE ROLE looker LOGIN IN ROLE penstock_reader;
CREATE ROLE ann LOGIN IN ROLE penstock_reader, penstock_operator;
SQL
as() { echo "${PENSTOCK_DSN/user=postgres/user=$1}"; }
state() { sql -c "SELECT state, acknowledged_by, words FROM penstock.alert WHERE alert_id = $1"; }

check "alerts: those without an end, the newest first" same "5 3 2 1" "$("$ctl" alerts --json | jq -r '[.[].alert_id] | join(" ")')"
check "a row of the table says what the database says" ends 0 "^ +1 +firing +critical +ingress_unexpected .*enters at FRA" "$ctl" alerts
check "alerts --state all" is_json 'length == 5' "$ctl" alerts --state all --json
check "alerts --state resolved" is_json 'length == 1 and .[0].alert_id == 4' "$ctl" alerts --state resolved --json
check "alerts --kind" is_json 'length == 1 and .[0].alert_id == 3' "$ctl" alerts --kind sensor_silent --json
check "a state that is none: status 2" ends 2 "is none of open" "$ctl" alerts --state burning
check "a kind that is none: status 2" ends 2 "no kind of alert" "$ctl" alerts --kind nonsense
check "alerts show: everything, and what was told" ends 0 "2026-11-22 10:01:00Z +firing" "$ctl" alerts show 1
check "one that ended while it was pending says that it never fired" ends 0 "It never fired" "$ctl" explain 4
check "and so does the list" ends 0 "^ +4 +resolved +warning +hijack_suspected +[^ ]+ [^ ]+ +no " "$ctl" alerts --state all
check "one that fired" is_json 'any(.alert_id == 1 and .has_fired)' "$ctl" alerts --json
check "alerts show --json" is_json '.alert.evidence.rule == "ingress_unexpected" and (.events | length) == 2' "$ctl" alerts show 1 --json
check "alerts show of none: status 1" ends 1 "no alert 99" "$ctl" alerts show 99
check "alerts show of no number: status 2" ends 2 "nonsense" "$ctl" alerts show nonsense

check "ack names the role, and is counted as a word" ends 0 "acknowledged +ann" "$ctl" alerts ack 1 --dsn "$(as ann)"
check "so it stands in the database" same "acknowledged|ann|1" "$(state 1)"
check "unack takes it back" ends 0 "firing" "$ctl" alerts unack 1 --dsn "$(as ann)"
check "and nobody is named" same "firing||2" "$(state 1)"
check "suppress --who" ends 0 "suppressed +bob" "$ctl" alerts suppress 1 --who bob
check "an alert that is over takes no word: status 1" ends 1 "without an end" "$ctl" alerts ack 4
check "who only looks may say nothing" ends 1 "penstock_operator" "$ctl" alerts ack 1 --dsn "$(as looker)"
check "nobody but the collector ends an alert" sh -c "! psql -X -q '$PENSTOCK_DSN' -c \"UPDATE penstock.alert SET state = 'resolved' WHERE alert_id = 1\" 2>/dev/null"

"$ctl" alerts learn 1 --dsn "$(as ann)" >learned.yaml
check "learn prints the policy's change: the place, and what was expected before" \
    same '- prefix: "203.0.113.0/24" | ingress: | - {pop: "AMS"} | - {pop: "FRA", router: "fra1-r1", interface: "xe-0/0/0", peer_as: 64502}' \
    "$(sed 's/^ *//' learned.yaml | paste -sd'|' | sed 's/|/ | /g')"
check "which the collector takes as a policy" ends 0 "" "$collector" -c collector.yaml --check --set "policy.file=$work/learned.yaml"
check "and writes it as expectation, named after the alert" same "AMS||learned of alert 1 FRA|64502|learned of alert 1" \
    "$(sql -c "SELECT pop, peer_as, comment FROM penstock.expectation WHERE prefix = '203.0.113.0/24' ORDER BY pop" | paste -sd' ')"
check "twice is once" ends 0 "FRA" "$ctl" alerts learn 1
check "no row more" same 2 "$(sql -c "SELECT count(*) FROM penstock.expectation WHERE prefix = '203.0.113.0/24'")"
check "where nothing was named, the map's other places stay as they are; what is forged elsewhere is not learned" same "AMS LON" \
    "$("$ctl" alerts learn 5 --json | jq -r '[.[].pop] | join(" ")')"
sql <<'SQL'
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, prefix, pop, router, interface, summary, expected,
        evidence, started_at, updated_at) VALUES
    (6, 'f', 'ingress_moved', 'warning', 0.9, 'firing', '100.64.0.0/24', 'FRA', 'fra1-r1', 'xe-0/0/0', 'moved', '[]',
        '{"moved": {"from": {"place": {"pop": "AMS", "router": "ams1-r1", "interface": "xe-0/0/1", "peer_as": 64501}}}}', now(), now());
SQL
check "of a move the place that it left stays expected, too" same "AMS FRA" "$("$ctl" alerts learn 6 --json | jq -r '[.[].pop] | join(" ")')"
"$ctl" alerts learn 2 >cone.yaml
check "of a violation the cone is what changes" same '- {peer_as: 64512, cone: ["198.51.100.0/24"]}' "$(cat cone.yaml)"
check "which the collector takes, too" ends 0 "" "$collector" -c collector.yaml --check --set "policy.file=$work/cone.yaml"
check "a sensor's silence cannot be learned" ends 1 "that tells where a prefix enters" "$ctl" alerts learn 3

check "maintenance add --for" is_json '.[0].pop == "AMS" and .[0].why == "new line card" and .[0].who == "ann"' \
    "$ctl" maintenance add "new line card" --pop AMS --for "2 hours" --json --dsn "$(as ann)"
check "maintenance add --from --to" is_json '.[0].prefix == "203.0.0.0/16" and .[0].peer_as == 64502' "$ctl" maintenance add "peer moves" \
    --from 2031-01-01 --to "2031-01-01 06:00" --prefix 203.0.0.0/16 --peer-as 64502 --json
check "one of --to and --for is needed" ends 2 "--to TIME and --for SPAN" "$ctl" maintenance add "x"
check "an end before the beginning is refused" ends 2 "maintenance" "$ctl" maintenance add "x" --from 2031-01-02 --to 2031-01-01
check "a kind that is none would suppress nothing: status 2" ends 2 "no kind of alert" "$ctl" maintenance add "x" --for "1 hour" --kind hijack
check "maintenance list" ends 0 "new line card" "$ctl" maintenance list
check "maintenance remove ends one that began" is_json 'length == 1' "$ctl" maintenance remove 1 --json
check "and deletes one that did not" is_json 'length == 1' "$ctl" maintenance remove 2 --json
check "then there are none" is_json 'length == 0' "$ctl" maintenance list --json
check "but one that was" is_json 'length == 1 and .[0].maintenance_id == 1' "$ctl" maintenance list --all --json
check "removing none: status 1" ends 1 "no window 1" "$ctl" maintenance remove 1

# shellcheck source=tests/collector/ctl/pages.sh
. "$here/pages.sh"

finish

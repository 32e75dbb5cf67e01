#!/usr/bin/env bash
# penstockctl … --what-if: which alerts another policy would raise and end, told from stored rows.
# Usage: test_what_if.sh PENSTOCKCTL PENSTOCK_COLLECTOR
set -uo pipefail
# shellcheck source=tests/collector/ctl/database.sh
. "$(dirname "$0")/database.sh" "$1" "$2"
cd "$work" || exit 1

sql <<'SQL' || exit 1
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, vlan, peer_as, state, genuine_probability,
        genuine_fraction, genuine_low, genuine_high, share, weight, packets, bytes, expected, expected_by, tests, bgp, rpki, origin_as) VALUES
    ('203.0.113.0/24', 'AMS', 'r1', 'x1', 0, 64501, 'genuine', 0.9999, 1, 0.7, 1, 0.75, 75, 10, 7500, true, 'policy', 2, '', '', 0),
    ('203.0.113.0/24', 'FRA', 'r1', 'x1', 0, 64502, 'genuine', 0.999, 1, 0.44, 1, 0.25, 25, 5, 2500, false, 'policy', 1, '', '', 0),
    ('198.51.100.0/24', 'FRA', 'r1', 'x1', 0, 64502, 'spoofed', 0.001, 0, 0, 0.1, 1, 25, 5, 2500, NULL, '', 1, '', '', 0),
    ('192.0.2.0/24', 'FRA', 'r1', 'x2', 0, 64503, 'mixed', 0.999, 0.5, 0.3, 0.7, 1, 25, 5, 2500, true, 'bgp', 1, 'best', 'valid', 64500),
    ('100.64.0.0/24', 'FRA', 'r1', 'x2', 0, 64503, 'genuine', 0.999, 1, 0.3, 1, 1, 25, 5, 2500, true, 'policy', 1, 'none', 'not_found', 64500),
    ('100.64.9.0/24', 'FRA', 'r1', 'x3', 0, 64504, 'testing', NULL, NULL, NULL, NULL, 1, 25, 5, 2500, false, 'policy', 1, '', '', 0),
    ('2001:db8:77::/48', 'FRA', 'r1', 'x1', 0, 64502, 'genuine', 0.999, 1, 0.44, 1, 1, 25, 5, 2500, NULL, '', 1, '', '', 0);
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, prefix, pop, router, interface, peer_as,
        summary, expected, started_at, updated_at) VALUES
    (17, 'f17', 'ingress_unexpected', 'critical', 0.999, 'firing', '203.0.113.0/24', 'FRA', 'r1', 'x1', 64502, 'unexpected', '[]', now(), now()),
    (19, 'f19', 'ingress_unexpected', 'critical', 0.999, 'firing', '100.64.9.0/24', 'FRA', 'r1', 'x3', 64504, 'unexpected', '[]', now(), now());
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, pop, summary, started_at, updated_at, sensor)
    VALUES (18, 'f18', 'sensor_silent', 'warning', 1, 'firing', 'FRA', 'Sensor fra1 at FRA is silent', now(), now(), 'fra1');
SQL
before=$(sql -c "SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM penstock.ingress_entry e")

cat >same.yaml <<'YAML'
- {prefix: 203.0.113.0/24, ingress: [{pop: AMS}]}
- {prefix: 100.64.0.0/16, ingress: [{pop: FRA, interface: x2}]}
YAML
cat >other.yaml <<'YAML'
- {prefix: 203.0.113.0/24, ingress: [{pop: FRA}]}
- {prefix: 198.51.100.0/24, ingress: [{pop: AMS}]}
- {prefix: "2001:db8::/32", ingress: [{pop: AMS}]}
- {prefix: 100.64.9.0/24, ingress: [{pop: FRA}]}
YAML
check "the policy that is: the alerts that are" ends 0 "0 would be raised, 0 would end, 0 would become another kind, 2 would stay" \
    "$ctl" map --what-if same.yaml
"$ctl" map --what-if other.yaml >told || cat told
told() { grep -qE -- "$1" told || { echo "no $1 in:"; cat told; return 1; }; }
check "what is expected now: its alert ends" told "^ends +ingress_unexpected, alert 17: genuine traffic from 203.0.113.0/24 at FRA r1 x1: expected by policy; so far: not expected by policy"
check "what is no longer expected: an alert is raised" told "^raised +ingress_unexpected \(critical\): genuine traffic from 203.0.113.0/24 at AMS"
check "what nobody spoke of, too, and over IPv6" told "^raised +ingress_unexpected \(critical\): genuine traffic from 2001:db8:77::/48"
check "what is spoofed raises nothing under any policy" sh -c '! grep -q 198.51.100 told'
check "what BGP expects stays expected where the policy says nothing" sh -c '! grep -q 192.0.2 told'
check "where the policy was silent, BGP speaks: no valid path" told "^raised +hijack_suspected \(critical\): genuine traffic from 100.64.0.0/24"
check "an alert ends when the policy expects its place, also while a test runs" told "^ends .*alert 19"
check "and the sum of it" told "3 would be raised, 2 would end"
check "--json: every change with both sides" is_json 'length == 5 and (map(select(.change == "ends" and .alert_id == 17)) | .[0].expected_before == false
    and .[0].expected_after == true and .[0].kind_after == null) and (map(select(.kind_after == "hijack_suspected"))[0].expected_by_after == "bgp")' \
    "$ctl" map --what-if other.yaml --json
check "explain ALERT --what-if: only its prefix" is_json 'map(.prefix) | unique == ["203.0.113.0/24"]' "$ctl" explain 17 --what-if other.yaml --json
check "explain PREFIX --what-if" ends 0 "1 would be raised, 0 would end" "$ctl" explain 2001:db8:77::/48 --what-if other.yaml
check "an alert about a sensor has no policy: status 2" ends 2 "about no prefix" "$ctl" explain 18 --what-if other.yaml
check "a policy with a mistake: status 2, with its line" ends 2 "bad.yaml:1" sh -c "echo '- {prefix: 203.0.113.7/24}' >bad.yaml; '$ctl' map --what-if bad.yaml"
sql -c "INSERT INTO penstock.expectation (prefix, pop) VALUES ('203.0.113.0/24', 'AMS')"
check "the operator's entries in SQL count besides the file" ends 0 "2 would be raised, 2 would end" "$ctl" map --what-if other.yaml
printf -- '- {peer_as: 64502, cone: [198.51.100.0/24]}\n' >cone.yaml
check "a cone: what its peer sends beside it is a violation, and says instead of what" ends 0 \
    "^becomes +policy_violation, alert 17, was ingress_unexpected" "$ctl" map 203.0.113.0/24 --what-if cone.yaml
check "nothing was changed by asking" same "$before" \
    "$(sql -c "SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM penstock.ingress_entry e")"

finish

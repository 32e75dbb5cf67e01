#!/usr/bin/env bash
# penstockctl's questions to the database: rows that were put there come out, by each command.
# Usage: test_look.sh PENSTOCKCTL PENSTOCK_COLLECTOR
set -uo pipefail
# shellcheck source=tests/collector/ctl/database.sh
. "$(dirname "$0")/database.sh" "$1" "$2"
cd "$work" || exit 1

sql <<'SQL' || exit 1
INSERT INTO penstock.sensor VALUES
    ('ams1', 'AMS', '0.1.0', '2026-11-20 10:00Z', '2026-11-22 11:49:02.5Z', 1, 77, 'up'),
    ('fra1', 'FRA', '0.1.0', '2026-11-20 10:00Z', '2026-11-22 11:00Z', 1, 5, 'silent');
INSERT INTO penstock.sensor_gap_entry VALUES ('fra1', 1, 3, 4, 'spool full', '2026-11-22 10:00Z');
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, vlan, peer_as, state, genuine_probability,
        genuine_fraction, genuine_low, genuine_high, share, weight, packets, bytes, expected, expected_by, tests,
        first_seen, last_seen, last_test_at) VALUES
    ('203.0.113.0/24', 'AMS', 'ams1-r1', 'xe-0/0/1', 101, 64501, 'genuine', 0.9999, 1, 0.7, 1, 0.75, 75, 10, 7500,
        true, 'policy', 2, '2026-11-20 10:00Z', '2026-11-22 11:00Z', '2026-11-22 10:00Z'),
    ('203.0.113.0/24', 'FRA', 'fra1-r1', 'xe-0/0/1', 0, 64502, 'mixed', 0.999, 0.5, 0.3, 0.7, 0.25, 25, 5, 2500,
        false, 'policy', 1, '2026-11-21 10:00Z', '2026-11-22 11:00Z', '2026-11-22 10:30Z'),
    ('203.0.112.0/23', 'AMS', 'ams1-r1', 'xe-0/0/2', 0, 0, 'unverified', NULL, NULL, NULL, NULL, 1, 25, 5, 2500,
        NULL, '', 0, '2026-11-21 10:00Z', '2026-11-22 11:00Z', NULL),
    ('2001:db8:77::/48', 'FRA', 'fra1-r1', '', 0, 0, 'spoofed', 0.0001, 0, 0, 0.1, 1, 25, 5, 2500,
        NULL, '', 1, '2026-11-21 10:00Z', '2026-11-22 11:00Z', '2026-11-22 10:30Z');
INSERT INTO penstock.scan_window_entry
    SELECT 'ams1', 1, n, now(), 'AMS', now() - interval '1 minute', now() - n * interval '1 minute', 'server', 1 + n / 4.0, '{1,2}', 10
    FROM generate_series(0, 3) n;
INSERT INTO penstock.scan_window_entry VALUES
    ('ams1', 1, 9, now(), 'AMS', now(), now() - interval '3 days', 'server', 2, '{1}', 10);
SQL

check "map: every entry, by prefix and share" same "203.0.112.0/23 203.0.113.0/24 203.0.113.0/24 2001:db8:77::/48" \
    "$("$ctl" map --json | jq -r '[.[].prefix] | join(" ")')"
check "a row of the table says what the database says" ends 0 \
    "^203.0.113.0/24 +AMS +ams1-r1 +xe-0/0/1 +101 +64501 +0.750 +genuine +1.000 +1.000 +0.700 +1.000 +yes +policy" "$ctl" map
check "what is not known is a dash" ends 0 "^2001:db8:77::/48 +FRA +fra1-r1 +- +- +- +1.000 +spoofed" "$ctl" map
check "a terminal's line is cut at its width, and nothing else" sh -c "
    script -qec 'stty cols 60; $ctl map' /dev/null </dev/null | tr -d '\r' | awk 'length > 60 { exit 1 } END { exit NR < 4 }'"
check "map ADDRESS: the longest match only" is_json 'length == 2 and all(.prefix == "203.0.113.0/24")' "$ctl" map 203.0.113.9 --json
check "map PREFIX: what overlaps it" is_json 'length == 3' "$ctl" map 203.0.113.0/25 --json
check "and for people the reason why" ends 0 "no traffic from there was seen, or it was forgotten" "$ctl" map 198.51.100.1
check "map of what nobody saw: no rows, status 0" is_json 'length == 0' "$ctl" map 198.51.100.1 --json
check "map --pop" is_json 'map(.pop) | unique == ["FRA"]' "$ctl" map --pop FRA --json
check "map --state" is_json 'length == 1 and .[0].state == "spoofed" and .[0].genuine_high == 0.1' "$ctl" map --state spoofed --json
check "map --unexpected" is_json 'length == 1 and .[0].expected == false' "$ctl" map --unexpected --json
check "map --limit says that there may be more" ends 0 "first 2 rows" "$ctl" map --limit 2
check "NULL stays null in JSON" is_json '.[0].genuine_probability == null and .[0].expected == null' "$ctl" map --json
check "tests without a row say so, and both lists are there" same "Orders: None. Tests: None." "$("$ctl" tests | xargs)"
check "an option that is none is named as it was typed" ends 2 "^penstockctl: --pops: no option" "$ctl" map --pops
check "the help's lines fit a terminal" sh -c "'$ctl' --help | awk 'length > 100 { exit 1 }' && '$ctl' test start --help | awk 'length > 100 { exit 1 }'"
check "a prefix that is none: status 2" ends 2 "reading the map: .*nonsense" "$ctl" map nonsense
check "a state that is none: status 2, names those there are" ends 2 "unverifiable" "$ctl" map --state proven
check "a limit that is none: status 2" ends 2 "no number" "$ctl" map --limit=-1
check "scans: the last day's windows, summed up" is_json \
    'length == 1 and .[0].windows == 4 and .[0].probes == 40 and .[0].mean_entropy == 1.375' "$ctl" scans --json
check "evidence has a view of its own" same "1.5" "$(sql -c "
    UPDATE penstock.ingress_entry SET evidence_genuine = 1.5, evidence_at = now() WHERE pop = 'AMS' AND tests = 2;
    SELECT evidence_genuine FROM penstock.ingress_evidence WHERE pop = 'AMS'")"
check "sensors: a table with a head" ends 0 "^NAME +POP +STATE" "$ctl" sensors
check "a row says what the database says" ends 0 "^ams1 +AMS +up +0.1.0 +2026-11-22 11:49:02Z +0 +77" "$ctl" sensors
check "--json has the SQL columns, times as RFC 3339, numbers as numbers" is_json \
    '.[0].name == "ams1" and .[0].last_seen == "2026-11-22T11:49:02.5Z" and .[1].gaps == 1' "$ctl" sensors --json
check "--dsn overrides the environment" ends 1 "connecting" "$ctl" sensors --dsn "host=$work/none dbname=x"
check "a DSN that is none: status 2, and it is not quoted" ends 2 "not a libpq connection string" "$ctl" sensors --dsn "secret word"
check "-c takes the DSN of the collector's configuration" ends 0 "^ams1" env -u PENSTOCK_DSN "$ctl" sensors -c collector.yaml
check "a configuration that is none: status 2, names file and key" ends 2 "nowhere.yaml" "$ctl" sensors -c nowhere.yaml
check "another database: says what to do" ends 1 "penstock-collector --migrate" "$ctl" sensors --dsn "$PENSTOCK_DSN dbname=postgres"
check "a database of an older schema: says so" sh -c "
    psql -X -q '$PENSTOCK_DSN' -c 'CREATE DATABASE old TEMPLATE template0' &&
    psql -X -q '$PENSTOCK_DSN dbname=old' -c 'CREATE SCHEMA penstock; CREATE TABLE penstock.schema_version (number integer); INSERT INTO penstock.schema_version VALUES (3)' &&
    '$ctl' sensors --dsn '$PENSTOCK_DSN dbname=old' 2>&1 | grep -q 'at schema step 3'"
sql -c "CREATE ROLE looker LOGIN IN ROLE penstock_reader"
check "a member of penstock_reader may look" ends 0 "^ams1" "$ctl" sensors --dsn "${PENSTOCK_DSN/user=postgres/user=looker}"
sql -c "CREATE ROLE nobody_ours LOGIN"
check "and at the map" ends 0 "^203.0.113.0/24" "$ctl" map 203.0.113.9 --dsn "${PENSTOCK_DSN/user=postgres/user=looker}"
check "who is none is told which role he lacks" ends 1 "penstock_reader" "$ctl" sensors --dsn "${PENSTOCK_DSN/user=postgres/user=nobody_ours}"

finish

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
SQL

check "sensors: a table with a head" ends 0 "^NAME +POP +STATE" "$ctl" sensors
check "a row says what the database says" ends 0 "^ams1 +AMS +up +0.1.0 +2026-11-22 11:49:02 +0 +77" "$ctl" sensors
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
check "who is none is told which role he lacks" ends 1 "penstock_reader" "$ctl" sensors --dsn "${PENSTOCK_DSN/user=postgres/user=nobody_ours}"

finish

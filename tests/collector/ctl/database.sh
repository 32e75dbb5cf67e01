#!/usr/bin/env bash
# For tests of penstockctl against a real database: a private PostgreSQL with the schema in it, and
# the words of those tests. Sourced, with the programs' paths as arguments:
#   . database.sh PENSTOCKCTL PENSTOCK_COLLECTOR
# shellcheck disable=SC2034  # the tests that source this use it
ctl=$(realpath "$1")
collector=$(realpath "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d /tmp/penstockctl.XXXXXX)
chmod 755 "$work"
trap '"$here/../../support/pg-cluster" remove "$work/pg" >/dev/null 2>&1; rm -rf "$work"' EXIT
export PENSTOCK_DSN
PENSTOCK_DSN=$("$here/../../support/pg-cluster" start "$work/pg") || exit 1
printf 'collector: {name: core, insecure: true}\ndatabase: {dsn: "%s"}\n' "$PENSTOCK_DSN" >"$work/collector.yaml"
"$collector" -c "$work/collector.yaml" --migrate >"$work/migrate.log" 2>&1 ||
    { cat "$work/migrate.log"; exit 1; }

sql() { psql -X -q -v ON_ERROR_STOP=1 -At "$PENSTOCK_DSN" "$@"; }

# shellcheck source=tests/collector/ctl/words.sh
. "$here/words.sh"

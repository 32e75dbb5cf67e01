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

failed=0 passed=0
check() { # check SENTENCE COMMAND…
    local sentence=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "FAILED  $sentence"
        failed=$((failed + 1))
    fi
}
ends() { # ends STATUS PATTERN COMMAND…: exit status and an extended regular expression in the output
    local status=$1 pattern=$2 said got
    shift 2
    said=$("$@" 2>&1 </dev/null)
    got=$?
    [ $got -eq "$status" ] && grep -qE -- "$pattern" <<<"$said" && return 0
    echo "status $got (expected $status), expected $pattern in: $said"
    return 1
}
is_json() { # is_json FILTER COMMAND…: what it prints, whatever its status, is JSON for which jq's filter holds
    local filter=$1 said
    shift
    said=$("$@" 2>/dev/null </dev/null)
    jq -e "$filter" >/dev/null <<<"$said" && return 0
    echo "expected $filter of: $said"
    return 1
}
same() { [ "$1" = "$2" ] || { echo "expected «$1», got «$2»"; return 1; }; }
finish() {
    echo "[  PASSED  ] $passed test(s)."
    [ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
    [ $failed -eq 0 ]
}

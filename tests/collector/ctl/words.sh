#!/usr/bin/env bash
# The words of penstockctl's tests: counted checks. Sourced; it ends with: finish
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

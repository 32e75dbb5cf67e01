# shellcheck shell=bash disable=SC2034
# What the integration tests share: the lab, and counted checks. Sourced.
#   $1 of the script: the build folder

set -uo pipefail
lab_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lab/lab.sh
. "$lab_root/deploy/lab/lab.sh"
build=$(cd "${1:?build folder}" && pwd)
sensor=$build/sensor/penstock-sensor
collector=$build/collector/penstock-collector
gen=$build/deploy/lab/penstock-gen

# libzmq's own lock-free queues look like races to ThreadSanitizer; ours must not
export TSAN_OPTIONS="suppressions=$lab_root/tests/support/tsan.supp ${TSAN_OPTIONS:-}"

checks_failed=0 checks_passed=0
check() { # check SENTENCE COMMAND…: the command must succeed
    local sentence=$1
    shift
    if "$@"; then
        echo "ok      $sentence"
        checks_passed=$((checks_passed + 1))
    else
        echo "FAILED  $sentence"
        checks_failed=$((checks_failed + 1))
    fi
}
same() { # same EXPECTED ACTUAL
    [ "$1" = "$2" ] || { echo "expected «$1», got «$2»"; return 1; }
}
# ends_with STATUS PID SIGNAL: it lives until that signal, and ends with that status. (lab_kill succeeds whatever was.)
ends_with() {
    local status
    kill "-$3" "$2" || return 1
    wait "$2" 2>/dev/null
    status=$?
    lab_forget "$2"
    same "$1" $status
}
finish() {
    local status=$?
    trap - EXIT INT TERM
    trap '' PIPE # whoever reads this may be gone: everything is taken down all the same
    if [ -n "$lab" ]; then
        if [ "$checks_failed" -gt 0 ] || [ "$status" -ne 0 ]; then
            for log in "$lab"/log/*.log; do
                [[ $log == */bird* || $log == *-iperf-* || $log == *-server-* ]] && continue
                [ -s "$log" ] && { echo "-- ${log##*/}"; tail -n "${lines:-25}" "$log"; }
            done
        fi
        lab_down
    fi
    # counted as cmocka's tests are, see tests/run
    echo "[  PASSED  ] $checks_passed test(s)."
    [ "$checks_failed" -eq 0 ] || echo "[  FAILED  ] $checks_failed test(s)"
    [ "$checks_failed" -eq 0 ] && [ "$status" -eq 0 ] && [ "$checks_passed" -gt 0 ]
    exit $? # a bare exit in a trap would give the status from before it
}
trap finish EXIT
trap 'exit 1' INT TERM PIPE

#!/usr/bin/env bash
# Two sensors whose own configurations name the same prefix: the later test is held, the earlier one
# runs to its end, and afterwards the later one may.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_pop FRA 2
lab_database || exit 1
lab_collector --set orders.resend=500ms --set orders.lease=26s --set orders.margin=1s || exit 1
# without TCP data a test takes as long as it may: 20 s
watch=(--set 'penny.prefixes=[192.0.2.0/24]' --set penny.max_duration=20s --set penny.retest_after=1h)
lab_sensor AMS 1 "${watch[@]}" || exit 1
lab_sensor FRA 2 "${watch[@]}" || exit 1

traffic() { # POP N
    lab_spawn "gen-$1.log" nsenter --net="/run/netns/$lab_id-$1-world" "$gen" --interface o0 \
        --dst-mac "$(lab_mac "$1-inside" i0)" --src 192.0.2.0/24 --dst "198.18.$2.10/32" \
        --flows 4 --rate 200 --payload 0 --duration 120
}
test_of() { # POP CONDITION
    lab_until 60 "a test" "SELECT count(*) > 0 FROM penstock.penny_test WHERE sensor = '${1,,}1' AND $2"
}

traffic AMS 1
check "the first sensor tests" test_of AMS "ended_at IS NULL"
traffic FRA 2
check "the second one begins, and is held" test_of FRA "reason = 'no longer watched'"
check "the first one goes on meanwhile" test_of AMS "ended_at IS NULL"
check "the log names both" grep -q 'event=tests_overlap prefix=192.0.2.0/24 sensor=fra1 other=ams1' "$lab/log/collector.log"
check "the first test runs to its end" test_of AMS "reason = 'no TCP data'"
check "then the second sensor tests" test_of FRA "ended_at IS NULL OR reason = 'no TCP data'"
check "beside the first one's test it had only the one that was held" same "no longer watched" "$(lab_value \
    "SELECT string_agg(DISTINCT f.reason, ', ') FROM penstock.penny_test a JOIN penstock.penny_test f
     ON a.sensor = 'ams1' AND f.sensor = 'fra1' AND f.started_at < a.ended_at AND a.reason = 'no TCP data'")"
check "which had ended before" lab_true \
    "SELECT f.ended_at < a.ended_at FROM penstock.penny_test a, penstock.penny_test f
     WHERE a.sensor = 'ams1' AND a.reason = 'no TCP data' AND f.reason = 'no longer watched' LIMIT 1"

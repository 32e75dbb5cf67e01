#!/usr/bin/env bash
# The harm of a Penny test: how long transfers take with and without one, in pairs.
#
#     penny_harm.sh BUILD            all series, less than five minutes
#     penny_harm.sh BUILD --quick    fewer series and pairs, a minute
#     penny_harm.sh BUILD --table    more pairs, nine minutes, and writes the table of docs/penny-kernel.md
#     penny_harm.sh BUILD --series NAME SECONDS   one series: lines of "with|without SECONDS"
#
# A pair is two transfers (or two rounds of parallel ones) over the same path, one after the other, the
# first one being now this, now that: with a test, and without. Times are curl's, from the connection's
# opening to the last byte, of pages from a web server outside. Every stand is a bottleneck of its own;
# the kernel's TCP fills it. What is compared:
#   always   the prefix is under test all the time (penny.retest_after: 0s), against a prefix that is not
#            watched
#   once     a test begins with the transfer, and none follows, against the same prefix after its test
#   round    under test all the time, against the same prefix after its test
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/integration/penny/stand.sh
. "$lab_root/tests/integration/penny/stand.sh"

mode=${2:-} page=$lab_root/docs/penny-kernel.md

# name|stands|algorithm|Mbit/s|queue in kB|bytes|transfers at once|what is compared|words
series() {
    cat <<'LIST'
10k|1|cubic|10|64|10000|1|always|10 kB, one flow at a time
100k|1|cubic|10|64|100000|1|always|100 kB, one flow at a time
5M|1|cubic|10|64|5000000|1|always|5 MB, one flow, CUBIC
5M-once|2|cubic|10|64|5000000|1|once|5 MB, one flow, CUBIC
20M-once|3|cubic|10|64|20000000|1|once|20 MB, one flow, CUBIC
20M-bbr-once|2|bbr|10|64|20000000|1|once|20 MB, one flow, BBR
100-once|1|cubic|100|600|300000|100|once|300 kB, 100 flows at once, CUBIC
100-always|1|cubic|100|600|300000|100|round|300 kB, 100 flows at once, CUBIC
LIST
}
rtt_ms=50

# ---- one series on one stand

fetch() { # HOST: one round; a line with the seconds of each transfer
    lab_in AMS-inside timeout 120 curl -sZ --no-progress-meter --parallel-immediate --parallel-max "$at_once" -o /dev/null \
        -w '%{http_code} %{size_download} %{time_total}\n' "http://$1/page?[1-$at_once]" |
        awk -v size="$bytes" '$1 == 200 && $2 == size { print $3; n++ } END { exit n == 0 }'
}
restart() { # KEY=VALUE…
    local sets=() set
    for set in "$@"; do sets+=(--set "penny.$set"); done
    [ -z "${sensor_pid:-}" ] || lab_kill "$sensor_pid"
    lab_sensor AMS 1 --set publish.stop_wait=100ms --set 'penny.prefixes=[203.0.113.0/24]' "${sets[@]}" || return 1
    sensor_pid=$lab_pid
}
tests_ended() { # more than COUNT
    [ "$(grep -c '"event":"test_ended"' "$lab/log/events.json")" -gt "$1" ]
}
# The prefix has had its test, and the next one is an hour away: a test of nothing, of a second.
restart_tested() {
    local before
    before=$(grep -c '"event":"test_ended"' "$lab/log/events.json")
    restart retest_after=1h timeout=100ms max_duration=1s || return 1
    lab_in AMS-world ping -qc1 -W1 -I 203.0.113.10 198.18.1.10 >/dev/null
    lab_wait 60 "the test of nothing" tests_ended "$before"
}
arm() { # with|without
    local host=203.0.113.10
    case $when-$1 in
        always-without) host=192.0.2.10 ;;
        *-without) restart_tested || return 1 ;;
        once-with) restart retest_after=1h || return 1 ;;
        round-with) restart retest_after=0s || return 1 ;;
    esac
    fetch "$host" | sed "s/^/$1 /"
}
run_series() { # NAME SECONDS
    local words rate queue cc bytes at_once when
    IFS='|' read -r _ _ cc rate queue bytes at_once when words < <(series | grep "^$1|")
    stand_up "$build" $((rtt_ms / 2)) "$rate" "$queue" || return 1
    stand_tcp "$cc" 1 1460
    lab_in AMS-world ip addr add 192.0.2.10/24 dev o0
    lab_in AMS-inside ip route add 192.0.2.0/24 dev i0 advmss 1460
    lab_in AMS-inside ip neigh replace 192.0.2.10 lladdr "$stand_world_mac" dev i0
    mkdir "$lab/pages"
    head -c "$bytes" /dev/urandom >"$lab/pages/page"
    stand_start httpd.log nsenter --net="/run/netns/$lab_id-AMS-world" busybox httpd -f -p 80 -h "$lab/pages"
    lab_wait 60 "the web server" stand_listens world 80 || return 1
    restart retest_after=0s || return 1
    local end=$((SECONDS + $2)) pair=0
    while [ $SECONDS -lt $end ]; do
        pair=$((pair + 1))
        if [ $((pair % 2)) = 0 ]; then arm with && arm without; else arm without && arm with; fi || return 1
        echo "pair"
    done
    sleep 1
    echo "drops $(grep -c '"event":"drop"' "$lab/log/events.json")"
}
if [ "$mode" = --series ]; then
    trap 'stand_down' EXIT
    run_series "$3" "$4"
    exit
fi

# ---- all of them

work=$(mktemp -d)
trap 'rm -rf "$work"; finish' EXIT
start_series() { # NAME SECONDS
    local stand stands
    stands=$(series | awk -F'|' -v n="$1" '$1 == n { print $2 }')
    [ "$mode" != --quick ] || stands=1
    for ((stand = 0; stand < stands; stand++)); do
        "$0" "$build" --series "$1" "$2" >"$work/$1.$stand" 2>"$work/$1.$stand.log" &
    done
}
case $mode in
    --quick) names=(100k 20M-once 100-once) alone=15 together=40 ;;
    --table) alone=90 together=300 ;;
    *) alone=35 together=150 ;;
esac
[ "$mode" = --quick ] || mapfile -t names < <(series | cut -d'|' -f1)
for name in "${names[@]}"; do # beside others only what leaves the machine idle
    [[ $name == 100-* ]] || start_series "$name" $together
done
wait
for name in "${names[@]}"; do
    [[ $name != 100-* ]] || start_series "$name" $alone
    wait
done

quantile() { # SHARE with|without NAME
    cat "$work/$3".[0-9] | awk -v arm="$2" '$1 == arm { print $2 }' | sort -g |
        awk -v share="$1" '{ v[NR] = $1 } END { at = share * (NR - 1) + 1; i = int(at); print v[i] + (at - i) * (v[i < NR ? i + 1 : i] - v[i]) }'
}
ratio() { # SHARE NAME
    awk -v a="$(quantile "$1" with "$2")" -v b="$(quantile "$1" without "$2")" 'BEGIN { printf "%.3f", a / b }'
}
count() { # WORD NAME: of lines
    cat "$work/$2".[0-9] | awk -v word="$1" '$1 == word { n++ } END { print n + 0 }'
}
row() { # NAME
    local words when drops
    words=$(series | awk -F'|' -v n="$1" '$1 == n { print $9 }') when=$(series | awk -F'|' -v n="$1" '$1 == n { print $8 }')
    drops=$(cat "$work/$1".[0-9] | awk '$1 == "drops" { d += $2 } $1 == "with" { n++ } END { printf "%.2f", d / n }')
    printf '| %s | %s | %d | %d | %s | %.3f | %.3f | %s | %s | %s |\n' "$words" "$when" "$(count pair "$1")" "$(count with "$1")" "$drops" \
        "$(quantile .5 without "$1")" "$(quantile .5 with "$1")" "$(ratio .5 "$1")" "$(ratio .9 "$1")" "$(ratio .99 "$1")"
}
at_most() { # LIMIT NAME: ratio of the medians
    awk -v r="$(ratio .5 "$2")" -v limit="$1" 'BEGIN { exit !(r <= limit) }' || { row "$2"; return 1; }
}
complete() { # NAME: every stand came to its end, and no transfer failed
    local at_once
    at_once=$(series | awk -F'|' -v n="$1" '$1 == n { print $7 }')
    same $((at_once * $(count pair "$1"))) "$(count with "$1")" && same "$(count with "$1")" "$(count without "$1")" &&
        ! grep -L '^drops' "$work/$1".[0-9] | grep -q . || { tail -n 5 "$work/$1".*.log; return 1; }
}
table() {
    echo "| transfers | test | pairs | transfers each way | drops a transfer | median without, s | with, s | ratio of medians | of p90 | of p99 |"
    echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name in "${names[@]}"; do row "$name"; done
}
for name in "${names[@]}"; do
    check "$name: every transfer arrived whole" complete "$name"
done
table | tee "$work/table"
for name in "${names[@]}"; do
    case $name in
        100-once) check "an aggregate of 100 flows: the median is what it is without a test" at_most 1.05 "$name" ;;
        5M | 5M-once | 100-always) ;; # told, not promised: a short life under test, or one with no pause
        *) check "$name: the median takes at most 1.3 times as long" at_most 1.3 "$name" ;;
    esac
done
if [ "$mode" = --table ]; then
    { sed '/<!-- harm table/q' "$page"; cat "$work/table"; sed -n '/<!-- end of harm table/,$p' "$page"; } >"$work/page" && cat "$work/page" >"$page"
fi

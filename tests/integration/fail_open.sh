#!/usr/bin/env bash
# The sensor fails open: whatever happens to its process, traffic flows on through the kernel.
#   fail_open.sh BUILD            the promises
#   fail_open.sh BUILD --table    frames lost per event, for docs/operations.md: a quarter of an hour
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24

# measure RATE SECONDS EVENT: numbered UDP frames of a watched prefix, which go through the sensor, and of which no test
# withholds any; the event happens a second after the first
measure() {
    "$build/tests/support/counted" --from "o0@/run/netns/$lab_id-AMS-world" --to "i0@/run/netns/$lab_id-AMS-inside" \
        --src 203.0.113.77 --dst 198.18.1.77 --rate "$1" --seconds "$2" --settle 1000 >"$lab/wire" 2>&1 &
    local meter=$!
    sleep 1
    "event_$3"
    wait "$meter"
}
measured() { # NAME: lost, doubled, gap_ms or unseen of the last run
    sed -nE "s/^total .* $1=([0-9]+).*/\1/p" "$lab/wire"
}
event_none() { :; }
event_sigstop() {
    kill -STOP "$pid"
    sleep 10
    kill -CONT "$pid"
}
event_sigterm() { lab_kill "$pid" TERM; }
event_sigkill() { lab_kill "$pid" KILL; }
event_takeover() {
    lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
    pid=$lab_pid
}
event_restart() {
    event_sigterm
    event_takeover
}
event_detach() {
    event_sigterm
    lab_sensor_detach AMS 1
}
runs() { # EVENT: is a sensor running before it?
    [ "$1" != takeover ]
}
table_row() { # RATE SECONDS EVENT WORDS
    local tries=0 lost=() gaps=()
    while [ ${#lost[@]} -lt 5 ] && [ $((tries += 1)) -le 10 ]; do
        if runs "$3"; then
            kill -0 "$pid" 2>/dev/null || event_takeover
        else
            event_sigterm
        fi
        measure "$1" "$2" "$3"
        [ "$(measured unseen)" = 0 ] || continue
        lost+=("$(measured lost)")
        gaps+=("$(measured gap_ms)")
    done
    local n=${#lost[@]}
    [ "$n" -gt 0 ] || { echo "| $4 | $1 | the meter was too slow | | |"; return; }
    mapfile -t lost < <(printf '%s\n' "${lost[@]}" | sort -n)
    mapfile -t gaps < <(printf '%s\n' "${gaps[@]}" | sort -n)
    echo "| $4 | $1 | ${lost[$((n / 2))]} | ${lost[0]}–${lost[$((n - 1))]} | ${gaps[$((n / 2))]} |"
}
table() {
    echo "| event | frames/s | lost, median of 5 | least–most | longest gap, ms |"
    echo "| --- | --- | --- | --- | --- |"
    for rate in ${rates:-20000 100000}; do
        table_row "$rate" 4 none "none"
        table_row "$rate" 14 sigstop "SIGSTOP for 10 s, SIGCONT"
        table_row "$rate" 4 sigterm "SIGTERM"
        table_row "$rate" 4 sigkill "kill -9"
        table_row "$rate" 4 takeover "a new sensor takes over"
        table_row "$rate" 4 restart "SIGTERM, and a new sensor"
    done
}
if [ "${2:-}" = --table ]; then
    event_takeover
    table
    checks_passed=1
    exit 0
fi

# no collector anywhere: the sensor must work without
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

start_transfer() { # PORT SECONDS
    lab_spawn iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p "$1"
    lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :$1 | grep -q ." || exit 1
    lab_spawn "iperf-$1.log" nsenter --net="/run/netns/$lab_id-AMS-world" \
        timeout 120 iperf3 -c 198.18.1.10 -B 203.0.113.10 -p "$1" -t "$2" -b 20M -i 1 --forceflush
    transfer=$lab_pid
}
# every interval of one second moved data
never_stalled() {
    awk '/sec.*Bytes/ && !/sender|receiver/ { n++; if ($5 == 0) zero++ } END { exit !(n >= 3 && zero == 0) }' "$lab/log/iperf-$1.log"
}
at_most() { # COUNT ACTUAL
    [ "${2:-999999999}" -le "$1" ] || { echo "expected at most $1, got «${2:-}»"; return 1; }
}
ends_well() {
    wait "$transfer"
}
metric() { # NAME
    lab_in AMS-box curl -s http://127.0.0.1:9559/metrics | awk -v name="penstock_$1_total{" 'index($0, name) == 1 { print $2 }'
}
more_than() { # COUNT NAME: the metric is
    [ "$(metric "$2")" -gt "$1" ]
}
start_transfer 5301 6
sleep 2
check "kill -9 in the middle of a transfer ends the sensor" ends_with 137 "$pid" KILL
check "kill -9: the transfer ends well" ends_well
check "kill -9: no second without data" never_stalled 5301
check "both ports take frames for every address, also while no sensor runs" sh -c \
    "for p in w0 w1; do nsenter --net=/run/netns/$lab_id-AMS-box ip link show \$p | grep -q PROMISC || exit 1; done"
check "the XDP program is still attached" sh -c "nsenter --net=/run/netns/$lab_id-AMS-box ip link show w0 | grep -q xdp"

start_transfer 5302 8
sleep 2
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
check "a new sensor takes over in the middle of a transfer" kill -0 "$pid"
check "the new sensor sees the transfer's packets" lab_wait 60 "a hundred packets" more_than 100 packets
check "taking over: the transfer ends well" ends_well
check "taking over: no second without data" never_stalled 5302

# A worker that is kept waiting has 200 ms of frames in its ring at most, a thousand of 2048: none is lost on a busy
# machine either. A sensor that just dies costs some 13 ms of them, 65.
start_transfer 5303 5
sleep 1
event_sigterm_alone() { check "SIGTERM ends the sensor with status 0" ends_with 0 "$pid" TERM; }
measure 5000 3 sigterm_alone
cat "$lab/wire"
check "SIGTERM: not one frame is lost" at_most "$(measured unseen)" "$(measured lost)"
check "SIGTERM: no frame arrives twice" same 0 "$(measured doubled)"
check "SIGTERM: the transfer ends well" ends_well
check "SIGTERM: no second without data" never_stalled 5303

# what stands still does no harm
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
start_transfer 5304 15
sleep 1
measure 20000 13 sigstop
cat "$lab/wire"
check "SIGSTOP for 10 s: the transfer ends well" ends_well
check "SIGSTOP: no second without data" never_stalled 5304
check "SIGSTOP: the program let watched frames pass" more_than 100 kernel_stalled
# 200 ms are 4000 frames; 200 000 would be lost if it did not fail open
check "SIGSTOP: all but the first 200 ms arrives" at_most 20000 "$(measured lost)"
check "SIGSTOP: the other end does not wait for the sensor to wake up" at_most 5000 "$(measured gap_ms)"
check "SIGSTOP: no frame arrives twice" same 0 "$(measured doubled)"
event_sigterm

# the proof that not a byte is harmed: a file, sent while the test drops segments and its sensor dies
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
head -c 20000000 /dev/urandom >"$lab/file"
lab_spawn file-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" sh -c "ncat -l 5400 --recv-only >'$lab/file.received'"
server=$lab_pid
lab_wait 60 "ncat" lab_in AMS-inside sh -c "ss -Hltn sport = :5400 | grep -q ." || exit 1
lab_spawn file.log nsenter --net="/run/netns/$lab_id-AMS-world" sh -c "
    for i in 1 2 3 4 5; do tail -c +\$((i * 4000000 - 3999999)) '$lab/file' | head -c 4000000; sleep 1; done |
    timeout 60 ncat --send-only -s 203.0.113.10 198.18.1.10 5400"
check "a test runs during the file's transfer and drops segments" lab_wait 60 "a drop" more_than 0 dropped
lab_kill "$pid" KILL
wait "$server"
check "the file arrives whole, though segments were dropped and the sensor was killed" cmp "$lab/file" "$lab/file.received"

# what Penny says of it: events as JSON, from a collector that only prints; of this run alone, so not
# what the killed ones left in the spool
rm -r "$lab/state-ams1"
lab_spawn events.json nsenter --net="/run/netns/$lab_id-core" "$build/tests/integration/penny/penny_events" tcp://10.255.1.1:5560 \
    "$lab/keys/collector.cert" "$lab/sensors.d"
events=$lab/log/events.json
say_how() { # WORD: events with this in them
    grep -c "$1" "$events" || true
}
lab_sensor AMS 1 --set penny.max_drops=100 --set penny.budget=200 --set penny.max_duration=60s --set penny.retest_after=1h \
    --set publish.stop_wait=60s || exit 1
pid=$lab_pid
start_transfer 5305 100 # until it is ended
lab_wait 60 "a first drop" more_than 0 dropped
event_sigstop_short() { kill -STOP "$pid"; sleep 2; kill -CONT "$pid"; }
event_sigstop_short
lab_wait 60 "the end of that test" grep -q "did not see all" "$events"
check "SIGSTOP while a test runs: it ends inconclusive and says why" sh -c "grep test_ended '$events' | grep 'did not see all' | grep -q inconclusive"
check "the prefix is tested again after the window, not after retest_after" lab_wait 60 "a second test" sh -c "[ \$(grep -c test_started '$events') -ge 2 ]"
sleep 1
began=$SECONDS
kill -TERM "$pid"
wait "$pid"
check "SIGTERM while a test runs: status 0" same 0 $?
check "SIGTERM while a test runs: the sensor does not wait for ever" at_most 100 $((SECONDS - began))
lab_kill "$transfer" INT
check "the transfer went on through all that: no second without data" never_stalled 5305
check "every test that began has ended" same "$(say_how '"test_started"')" "$(say_how '"test_ended"')"
check "no test ended spoofed, of traffic that is genuine" same 0 "$(grep '"test_ended"' "$events" | grep -c '"spoofed"')"
check "every segment that was withheld is told" same "$(grep -c '"drop"' "$events")" \
    "$(grep '"test_ended"' "$events" | sed -E 's/.*"drops": ?([0-9]+).*/\1/' | awk '{ n += $1 } END { print n + 0 }')"

check "--detach removes the program and says so with status 0" lab_sensor_detach AMS 1
check "--detach: nothing is attached any more" sh -c "! nsenter --net=/run/netns/$lab_id-AMS-box ip link show w0 | grep -q xdp"
check "--detach: nothing is pinned any more" sh -c "test -z \"\$(find '$lab/bpf' -mindepth 1 -not -type d -not -name '*.debug')\""
check "--detach: the ports are as they were, not promiscuous" sh -c \
    "! nsenter --net=/run/netns/$lab_id-AMS-box ip link show | grep -q PROMISC"
check "--detach again: nothing to do is no error" lab_sensor_detach AMS 1
detached=$(lab_sensor_detach AMS 1 2>&1)
check "--detach again: it says that nothing is pinned here" grep -q "event=nothing_pinned if=w0" <<<"$detached"

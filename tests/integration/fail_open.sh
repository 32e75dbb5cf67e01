#!/usr/bin/env bash
# The sensor fails open: whatever happens to its process, traffic flows on through the kernel.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24
# no collector anywhere: the sensor must work without
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
lab_wait 10 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

start_transfer() { # PORT SECONDS
    lab_spawn iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p "$1"
    lab_wait 5 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :$1 | grep -q ." || exit 1
    lab_spawn "iperf-$1.log" nsenter --net="/run/netns/$lab_id-AMS-world" \
        timeout 60 iperf3 -c 198.18.1.10 -B 203.0.113.10 -p "$1" -t "$2" -b 20M -i 1
    transfer=$lab_pid
}
# every interval of one second moved data
never_stalled() {
    awk '/sec.*Bytes/ && !/sender|receiver/ { n++; if ($5 == 0) zero++ } END { exit !(n >= 3 && zero == 0) }' "$lab/log/iperf-$1.log"
}
# how many segments the sender had to send again
retransmissions() {
    awk '/sender/ { print $(NF - 1) }' "$lab/log/iperf-$1.log"
}
retransmits_at_most() { # PORT COUNT
    local count
    count=$(retransmissions "$1")
    [ "${count:-9999}" -le "$2" ] || { echo "${count:-no} retransmissions, expected at most $2"; return 1; }
}
ends_well() {
    wait "$transfer"
}
start_transfer 5301 6
sleep 2
check "kill -9 in the middle of a transfer: the sensor is gone" lab_kill "$pid" KILL
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
sleep 1
check "the new sensor sees the transfer's packets" sh -c "nsenter --net=/run/netns/$lab_id-AMS-box curl -s http://127.0.0.1:9559/metrics | awk '/^penstock_packets_total/ { exit !(\$2 > 100) }'"
check "taking over: the transfer ends well" ends_well
check "taking over: no second without data" never_stalled 5302

start_transfer 5303 5
sleep 2
kill -TERM "$pid"
wait "$pid"
check "SIGTERM ends the sensor with status 0" same 0 $?
check "SIGTERM: the transfer ends well" ends_well
check "SIGTERM: no second without data" never_stalled 5303
# the Penny test of this prefix is over by then, so it withholds nothing
check "SIGTERM: the transfer hardly notices" retransmits_at_most 5303 5

# the proof that not a byte is harmed: a file, sent while the test drops segments and its sensor dies
lab_sensor AMS 1 --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
head -c 20000000 /dev/urandom >"$lab/file"
lab_spawn file-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" sh -c "ncat -l 5400 --recv-only >'$lab/file.received'"
server=$lab_pid
lab_wait 5 "ncat" lab_in AMS-inside sh -c "ss -Hltn sport = :5400 | grep -q ." || exit 1
lab_spawn file.log nsenter --net="/run/netns/$lab_id-AMS-world" sh -c "
    for i in 1 2 3 4 5; do tail -c +\$((i * 4000000 - 3999999)) '$lab/file' | head -c 4000000; sleep 1; done |
    timeout 60 ncat --send-only -s 203.0.113.10 198.18.1.10 5400"
sleep 3.5
dropped=$(lab_in AMS-box curl -s http://127.0.0.1:9559/metrics | awk '/^penstock_dropped_total/ { print $2 }')
check "a test ran during the file's transfer ($dropped segments dropped so far)" test "$dropped" -gt 0
lab_kill "$pid" KILL
wait "$server"
check "the file arrives whole, though segments were dropped and the sensor was killed" cmp "$lab/file" "$lab/file.received"

check "--detach removes the program and says so with status 0" lab_sensor_detach AMS 1
check "--detach: nothing is attached any more" sh -c "! nsenter --net=/run/netns/$lab_id-AMS-box ip link show w0 | grep -q xdp"
check "--detach: nothing is pinned any more" sh -c "test -z \"\$(find '$lab/bpf' -mindepth 1 -not -type d -not -name '*.debug')\""
check "--detach: the ports are as they were, not promiscuous" sh -c \
    "! nsenter --net=/run/netns/$lab_id-AMS-box ip link show | grep -q PROMISC"
check "--detach again: nothing to do is no error" lab_sensor_detach AMS 1

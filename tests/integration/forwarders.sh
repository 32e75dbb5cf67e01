#!/usr/bin/env bash
# The two other ways to forward, whole: a sensor on a wire whose frames leave by packet socket, and one
# on a router whose packets leave through a TUN device. In both a test withholds segments of a real
# transfer and finds it genuine, and in both traffic outlives the sensor.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

counted=$build/tests/support/counted
lab_up "$build"
lab_pop AMS 1 # the wire
lab_pop FRA 2 # the router
# each its own prefix: of two sensors that test the same one, the later would be held
declare -A net=([AMS]=203.0.113 [FRA]=198.51.100)
lab_sender AMS "${net[AMS]}.10/24"
lab_sender FRA "${net[FRA]}.10/24"
lab_sender AMS 2001:db8:b::10/48
lab_sender FRA 2001:db8:b::10/48
lab_database || exit 1
lab_collector || exit 1

make_router() {
    lab_in FRA-box sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 \
        net.ipv4.conf.w0.rp_filter=0 net.ipv4.conf.w1.rp_filter=0
    lab_in FRA-box ip addr add "${net[FRA]}.1/24" dev w0
    lab_in FRA-box ip addr add 2001:db8:b::1/48 dev w0 nodad
    lab_in FRA-box ip addr add 198.18.2.1/24 dev w1
    lab_in FRA-box ip addr add 2001:db8:fff2::1/64 dev w1 nodad
    lab_in FRA-world ip route replace 198.18.2.0/24 via "${net[FRA]}.1"
    lab_in FRA-world ip route replace 2001:db8:fff2::/64 via 2001:db8:b::1
    lab_in FRA-inside ip route replace "${net[FRA]}.0/24" via 198.18.2.1
    lab_in FRA-inside ip -6 route replace 2001:db8:b::/48 via 2001:db8:fff2::1
}
make_router

start() { # POP NUMBER DRIVER INTERFACE
    lab_sensor "$1" "$2" --set "forward.driver=$3" --set "forward.interface=$4" --set penny.retest_after=1h || exit 1
}
start_transfer() { # POP NUMBER PORT SECONDS
    lab_spawn "server-$3.log" nsenter --net="/run/netns/$lab_id-$1-inside" iperf3 -s -1 -p "$3"
    lab_wait 60 "iperf3's server" lab_in "$1-inside" sh -c "ss -Hltn sport = :$3 | grep -q ." || exit 1
    lab_spawn "iperf-$3.log" nsenter --net="/run/netns/$lab_id-$1-world" \
        timeout 60 iperf3 -c "198.18.$2.10" -B "${net[$1]}.10" -p "$3" -t "$4" -P 4 -b 5M -i 1
    transfer=$lab_pid
}
never_stalled() { # PORT: every second moved data, all streams together
    awk '/SUM.*sec.*Bytes/ && !/sender|receiver/ { n++; if ($4 == 0) zero++ } END { exit !(n >= 3 && zero == 0) }' "$lab/log/iperf-$1.log"
}
counter() { # POP NAME
    lab_in "$1-box" curl -s http://127.0.0.1:9559/metrics | awk -v name="penstock_$2_total{" 'index($0, name) == 1 { print $2 }'
}
mark() { # POP NUMBER: numbered frames of a watched prefix of each family, and of an unwatched one
    local mac
    mac=$(lab_mac "$1-box" w0)
    lab_in "$1-box" "$counted" --from "o0@/run/netns/$lab_id-$1-world" --to "i0@/run/netns/$lab_id-$1-inside" \
        --src "${net[$1]}.77" --src 2001:db8:b::77 --src 172.16.0.7 --dst "198.18.$2.10" --dst "2001:db8:fff$2::10" \
        --dst-mac "$mac" --rate 3000 --seconds 3 2>&1
}
no_frame_lost() {
    mark "$@" || { lab_in "$1-box" curl -s http://127.0.0.1:9559/metrics | grep -E 'missed|refused'; return 1; }
}

tried() { # POP NUMBER DRIVER INTERFACE: all that both must do
    local pop=$1 n=$2 driver=$3 interface=$4 pid name=${1,,}1
    start "$pop" "$n" "$driver" "$interface"
    pid=$lab_pid
    lab_wait 60 "a path" lab_in "$pop-world" ping -c1 -W1 -I "${net[$pop]}.10" "198.18.$n.10" || exit 1
    start_transfer "$pop" "$n" "53${n}1" 8
    check "$driver: the transfer ends well while segments are withheld" wait "$transfer"
    check "$driver: no second without data" never_stalled "53${n}1"
    check "$driver: the test of its prefix ends genuine" lab_until 60 "the verdict" \
        "SELECT count(*) > 0 AND bool_and(verdict = 'genuine') FROM penstock.penny_test
         WHERE sensor = '$name' AND prefix = '${net[$pop]}.0/24' AND ended_at IS NOT NULL"
    check "$driver: with drops that came again" lab_true \
        "SELECT sum(drops) > 0 AND sum(retransmitted) > 0 FROM penstock.penny_test WHERE sensor = '$name'"
    check "$driver: of numbered frames, watched or not, IPv4 and IPv6, none is lost or doubled" no_frame_lost "$pop" "$n"
    check "$driver: nothing was refused on the way out" same 0 "$(counter "$pop" transmit_refused)"
    check "$driver: nothing was missed on the way in" same 0 "$(counter "$pop" source_missed)"
    check "$driver: what was not withheld was forwarded" same "$(counter "$pop" packets)" \
        $(($(counter "$pop" forwarded) + $(counter "$pop" dropped)))

    start_transfer "$pop" "$n" "53${n}2" 6
    sleep 2
    check "$driver: kill -9 in the middle of a transfer ends the sensor" ends_with 137 "$pid" KILL
    check "$driver: kill -9: the transfer ends well" wait "$transfer"
    check "$driver: kill -9: no second without data" never_stalled "53${n}2"
    check "$driver: without a sensor no numbered frame is lost" no_frame_lost "$pop" "$n"
    start "$pop" "$n" "$driver" "$interface"
    pid=$lab_pid
    lab_spawn "$driver-term.log" mark "$pop" "$n"
    local run=$lab_pid
    sleep 1.5
    kill -TERM "$pid"
    wait "$pid"
    check "$driver: SIGTERM ends the sensor with status 0" same 0 $?
    check "$driver: SIGTERM in the middle of numbered frames loses none" ended_well "$run" "$driver-term.log"
}
ended_well() { # PID LOG
    wait "$1" || { cat "$lab/log/$2"; return 1; }
}

ends_beside() { # POP
    local pid
    for pid in "${lab_pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    echo "$checks_passed $checks_failed" >"$lab/$1.counts"
}
# tried_beside POP NUMBER DRIVER INTERFACE: in a process of its own; what it started ends with it
tried_beside() {
    (
        lab_pids=() checks_passed=0 checks_failed=1 # until it has come to its end
        trap 'ends_beside "$1"' EXIT
        trap 'exit 1' INT TERM
        tried "$@"
        checks_failed=$((checks_failed - 1))
    ) >"$lab/log/tried-$1.out" 2>&1 &
    lab_pids+=("$!")
    beside+=("$!")
}
beside=()
tried_beside AMS 1 raw w1
tried_beside FRA 2 tun penny0
wait "${beside[@]}"
for pop in AMS FRA; do
    cat "$lab/log/tried-$pop.out"
    read -r passed failed <"$lab/$pop.counts" || passed=0 failed=1
    checks_passed=$((checks_passed + passed)) checks_failed=$((checks_failed + failed))
done
check "tun: the device went with the sensor" sh -c "! nsenter --net=/run/netns/$lab_id-FRA-box ip link show penny0 2>/dev/null"
check "tun: the outer port was never made promiscuous" sh -c "! nsenter --net=/run/netns/$lab_id-FRA-box ip link show w0 | grep -q PROMISC"
check "tun: --detach leaves a plain router" lab_sensor_detach FRA 2
check "tun: which routes on" no_frame_lost FRA 2

#!/bin/bash
# What penstock-gen sends on an interface arrives, at its pace. Needs root: works in a network
# namespace of its own. Usage: test_gen_wire.sh PENSTOCK-GEN
set -u
gen=$1
[ "$(id -u)" = 0 ] || exit 77
space=pn-gen-$$
ip netns add "$space" 2>/dev/null || exit 77
trap 'ip netns del "$space"' EXIT
in_space() { nsenter --net=/run/netns/"$space" "$@"; }
in_space ip link add a0 type veth peer name b0 || exit 77
for interface in a0 b0; do
    in_space sh -c "echo 1 >/proc/sys/net/ipv6/conf/$interface/disable_ipv6" 2>/dev/null
    in_space ip link set "$interface" up
done
failures=0
fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}
# packets and bytes that arrived at b0 so far
arrived() { in_space ip -s link show b0 | awk '/RX:/ {getline; print $2, $1}'; }

# send PACKETS BYTES OPTION...: that many more must arrive
send() {
    local packets=$1 bytes=$2 before after
    shift 2
    before=$(arrived)
    in_space "$gen" -i a0 --src 203.0.113.0/24 --dst 198.51.100.1 "$@" ||
        fail "$*: ended with $?"
    after=$(arrived)
    local got_packets=$((${after% *} - ${before% *})) got_bytes=$((${after#* } - ${before#* }))
    [ $got_packets = "$packets" ] || fail "$*: $got_packets packets arrived, not $packets"
    [ $got_bytes = "$bytes" ] || fail "$*: $got_bytes bytes arrived, not $bytes"
    echo "ok: $*"
}

begin=$(date +%s%N)
send 2000 $((2000 * 154)) --rate 2000 --count 2000
took_ms=$((($(date +%s%N) - begin) / 1000000))
# 2000 packets take 999.5 ms; a busy machine may add to that, never take away
[ $took_ms -ge 999 ] || fail "1 s of packets took $took_ms ms"
send 50000 $((50000 * 158)) --rate 200000 --count 50000 --vlan 101
send 300 $((300 * 162)) --rate 1000 --count 150 --vlan 200,101 --duplicates all
in_space "$gen" -i a0 --src 203.0.113.0/24 --dst 198.51.100.1 --count 1 --payload 9000 2>/dev/null
[ $? = 1 ] || fail "a frame above the MTU was no failure"

# a stopped one ends at once, cleanly
nsenter --net=/run/netns/"$space" \
    "$gen" -i a0 --src 203.0.113.0/24 --dst 198.51.100.1 --rate 100 --duration 30 &
child=$!
sleep 0.5
begin=$(date +%s%N)
kill -TERM $child
wait $child || fail "after SIGTERM it ended with $?"
took_ms=$((($(date +%s%N) - begin) / 1000000))
[ $took_ms -lt 2000 ] || fail "SIGTERM took $took_ms ms"

[ $failures = 0 ] || { echo "$failures failed" >&2; exit 1; }

#!/bin/bash
# What penstock-gen writes is what its options say. Usage: test_gen.sh PENSTOCK-GEN GEN_CHECK
set -u
gen=$1 check=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/penstock-test-gen.XXXXXX")
trap 'rm -rf "$folder"' EXIT
failures=0
capture=$folder/capture.pcap
seen=

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# make SRC DST OPTION...: writes the capture and reads it
make() {
    local src=$1 dst=$2
    shift 2
    "$gen" -w "$capture" --src "$src" --dst "$dst" "$@" 2>"$folder/log" ||
        fail "penstock-gen $* ended with $?: $(cat "$folder/log")"
    seen=$("$check" "$capture" "$src" "$dst") || fail "the capture of $* cannot be read"
}

# got KEY: its value
got() { sed -n "s/^$1=//p" <<<"$seen"; }

# expect WHAT KEY=VALUE...
expect() {
    local what=$1 row
    shift
    for row in "$@"; do
        [ "$(got "${row%%=*}")" = "${row#*=}" ] ||
            fail "$what: expected $row, got $(got "${row%%=*}")"
    done
    echo "ok: $what"
}

# between WHAT KEY LOW HIGH
between() {
    local value
    value=$(got "$2")
    { [ "$value" -ge "$3" ] && [ "$value" -le "$4" ]; } ||
        fail "$1: expected $2 in $3..$4, got $value"
    echo "ok: $1"
}

sound=(refused=0 checksums_wrong=0 src_outside=0 dst_outside=0 backwards=0 gaps=0 after_end=0)
start=1767225600000000000

make 203.0.113.0/24 198.51.100.0/24 --flows 50 --rate 1000 --count 5000 --payload 101
expect "IPv4 flows are right in every field" "${sound[@]}" frames=5000 flows=50 data=5000 \
    payload_min=101 payload_max=101 copies=0 syn=0 fin=0 rst=0 tags_max=0 port_min=443 \
    port_max=443 bytes=$((5000 * (14 + 40 + 101)))
between "sources are spread over the prefix" sources 35 50
between "destinations are spread over the prefix" destinations 35 50
expect "packets are paced in virtual time" first_ns=$start last_ns=$((start + 4999000000))
first=$(cksum <"$capture")
make 203.0.113.0/24 198.51.100.0/24 --flows 50 --rate 1000 --count 5000 --payload 101
[ "$(cksum <"$capture")" = "$first" ] || fail "the same options gave other bytes"
make 203.0.113.0/24 198.51.100.0/24 --flows 50 --rate 1000 --count 5000 --payload 101 --seed 2
[ "$(cksum <"$capture")" != "$first" ] || fail "another seed gave the same bytes"

make 2001:db8:77::/48 2001:db8:1::/64 --flows 300 --rate 3 --count 1000 --payload 1400
expect "IPv6 flows are right in every field" "${sound[@]}" frames=1000 flows=300 data=1000 \
    sources=300 destinations=300 payload_min=1400 last_ns=$((start + 333000000000))

make 203.0.113.7 198.51.100.1 --flows 60000 --rate 100000 --count 60000
expect "one address has room for many flows" "${sound[@]}" flows=60000 sources=1 destinations=1
make 203.0.113.6/31 198.51.100.1 --flows 129024 --rate 100000 --count 129024
expect "every flow is another one, up to the last port" "${sound[@]}" flows=129024 sources=2

make 203.0.113.0/24 198.51.100.1 --rate 500 --duration 2.5
expect "a duration is a number of packets" "${sound[@]}" frames=1250 flows=10

make 203.0.113.0/24 198.51.100.1 --count 1003 --syn --fin
expect "flows open with SYN and end with FIN" "${sound[@]}" frames=1003 syn=10 fin=10 data=983
make 2001:db8::/32 2001:db8::1 --count 1003 --syn --rst
expect "flows open with SYN and end with RST" "${sound[@]}" frames=1003 syn=10 rst=10 data=983
make 203.0.113.0/24 198.51.100.1 --count 1000 --flow-packets 20 --syn --fin
# 100 turns a slot: five flows in the first, six in the others, whose first is shorter
expect "flows follow each other in their slots" "${sound[@]}" frames=1000 flows=59 syn=59 fin=59 \
    data=882
make 203.0.113.0/24 198.51.100.1 --count 1000 --flow-packets 20
expect "flows follow each other without saying so" "${sound[@]}" flows=59 data=1000 fin=0
make 203.0.113.0/24 198.51.100.1 --count 1000 --keep-alives 30
expect "keep-alives take over from data: the last byte, again and again" refused=0 \
    checksums_wrong=0 payload_min=1 payload_max=100 gaps=10 copies=690 after_end=0
make 203.0.113.0/24 198.51.100.1 --count 100 --payload 0
expect "no payload means bare ACKs" "${sound[@]}" frames=100 data=0

make 203.0.113.0/24 198.51.100.1 --count 1000 --start-seq 4294967000 --syn --fin
expect "sequence numbers wrap" "${sound[@]}" wraps=10 data=980

make 203.0.113.0/24 198.51.100.1 --count 100 --vlan 101
expect "one VLAN tag is written" "${sound[@]}" vlan_min=101 vlan_max=101 tags_min=1 tags_max=1
make 2001:db8::/32 2001:db8::1 --count 100 --vlan 200,101
expect "QinQ tags are written, the outer first" "${sound[@]}" vlan_min=200 vlan_max=200 \
    tags_min=2 tags_max=2

make 203.0.113.0/24 198.51.100.1 --count 1000 --duplicates all --duplicate-delay 30 --rate 100
expect "all segments are copied, late by the delay" "${sound[@]}" frames=2000 copies=1000 \
    copy_delay_min_ns=30000000 copy_delay_max_ns=30000000 last_ns=$((start + 9990000000 + 30000000))
make 203.0.113.0/24 198.51.100.1 --count 10000 --duplicates random:0.2
# 2000 expected, standard deviation 40: five of them
between "a random share is copied" copies 1800 2200
expect "copies without delay follow their originals" "${sound[@]}" copy_delay_max_ns=0
make 203.0.113.0/24 198.51.100.1 --count 10000 --flows 40 --duplicates first:3 --syn
expect "the first segments of each flow are copied" "${sound[@]}" copies=120 syn=40 frames=10120
make 203.0.113.0/24 198.51.100.1 --count 1000 --duplicates random:0
expect "a share of zero copies nothing" "${sound[@]}" copies=0
make 203.0.113.0/24 198.51.100.1 --count 1000 --duplicates random:1 --duplicate-delay 5000
expect "a share of one copies all, even after the end" "${sound[@]}" copies=1000

make 203.0.113.9 198.51.100.0/28 --syn-scan 1-100 --count 1600
expect "a scan tries each port of each destination" refused=0 checksums_wrong=0 dst_outside=0 \
    syn=1600 data=0 sources=1 destinations=16 port_min=1 port_max=100
make 2001:db8::9 2001:db8:1::/64 --syn-scan 22 --count 500
expect "a scan of one port visits each destination once" refused=0 checksums_wrong=0 \
    syn=500 destinations=500 port_min=22 port_max=22

"$gen" -w - --src 203.0.113.0/24 --dst 198.51.100.1 --count 10 2>/dev/null >"$capture" ||
    fail "writing to standard output ended with $?"
seen=$("$check" "$capture" 203.0.113.0/24 198.51.100.1)
expect "a dash is standard output" "${sound[@]}" frames=10

# refuse WHAT STATUS OPTION...: ends with the status and says why
refuse() {
    local what=$1 status=$2 ended
    shift 2
    "$gen" "$@" >"$folder/out" 2>"$folder/log"
    ended=$?
    [ $ended = "$status" ] || fail "$what: ended with $ended"
    [ -s "$folder/log" ] || fail "$what: not a word"
    echo "ok: $what"
}
pair=(--src 203.0.113.0/24 --dst 198.51.100.1)
refuse "no sink is bad usage" 2 "${pair[@]}"
refuse "two sinks are bad usage" 2 "${pair[@]}" -w "$capture" -i lo
refuse "no source is bad usage" 2 -w "$capture" --dst 198.51.100.1
refuse "mixed families are bad usage" 2 -w "$capture" --src 2001:db8::/32 --dst 198.51.100.1
refuse "a mistyped prefix is bad usage" 2 -w "$capture" --src 203.0.113.1/24 --dst 198.51.100.1
refuse "a rate of zero is bad usage" 2 -w "$capture" "${pair[@]}" --rate 0
refuse "a negative count is bad usage" 2 -w "$capture" "${pair[@]}" --count -5
refuse "VLAN 4095 is bad usage" 2 -w "$capture" "${pair[@]}" --vlan 4095
refuse "five tags are bad usage" 2 -w "$capture" "${pair[@]}" --vlan 1,2,3,4,5
refuse "an unknown strategy is bad usage" 2 -w "$capture" "${pair[@]}" --duplicates often
refuse "a share above one is bad usage" 2 -w "$capture" "${pair[@]}" --duplicates random:1.5
refuse "a flow of one packet is bad usage" 2 -w "$capture" "${pair[@]}" --flow-packets 1
refuse "keep-alives without data are bad usage" 2 -w "$capture" "${pair[@]}" --keep-alives 5 --payload 0
refuse "flows that follow each other beyond their addresses are bad usage" 2 -w "$capture" \
    --src 203.0.113.9 --dst 198.51.100.1 --flow-packets 2 --count 1000000
refuse "a port range backwards is bad usage" 2 -w "$capture" "${pair[@]}" --syn-scan 9-3
refuse "too many flows are bad usage" 2 -w "$capture" --src 203.0.113.1 --dst 198.51.100.1 \
    --flows 64513
refuse "an unknown option is bad usage" 2 --no-such-thing
refuse "a stray word is bad usage" 2 -w "$capture" "${pair[@]}" word
refuse "a file that cannot be made is a failure" 1 -w "$folder/no/such/folder" "${pair[@]}"
refuse "a full disk is a failure" 1 -w /dev/full "${pair[@]}"
refuse "an interface that is not there is a failure" 1 -i pn-none "${pair[@]}"
"$gen" --help >"$folder/out" || fail "--help ended with $?"
grep -q -- --syn-scan "$folder/out" || fail "--help does not tell of --syn-scan"
"$gen" --version | grep -q '^penstock-gen [0-9]' || fail "--version does not tell one"

[ $failures = 0 ] || { echo "$failures failed" >&2; exit 1; }

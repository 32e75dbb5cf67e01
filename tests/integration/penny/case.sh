#!/usr/bin/env bash
# One case of the Penny test on the real kernel. `case.sh BUILD NAME` prints its row of the table and
# ends with 0 when the sensor said the right word, 3 when it said one that docs/penny.md admits, 4 when
# the true fraction lies outside the interval, 5 when genuine_probability says the contrary of the word,
# 1 when the word is wrong. `case.sh --list` lists the
# cases: name, right word, words admitted besides, in the short table or not.
# shellcheck disable=SC2034 # a case's settings are read where it is run
set -uo pipefail
lab_root=$(cd "$(dirname "$0")/../../.." && pwd)
# shellcheck source=deploy/lab/lab.sh
. "$lab_root/deploy/lab/lab.sh"
# shellcheck source=tests/integration/penny/stand.sh
. "$lab_root/tests/integration/penny/stand.sh"

# ---- the cases

# Settings that a case may change.
cc=cubic family=4 sack=1 mss=1460 mtu=1500 delay=10 rate='' up=0 down=0 wait=125 truth='' genuine_before=0 forged_before=0

# case_of NAME RIGHT ADMITTED SHORT COMMAND…: ADMITTED and SHORT are - or words
list=false wanted='' command=()
case_of() {
    local name=$1 right=$2 admitted=$3 short=$4
    shift 4
    $list && printf '%s\t%s\t%s\t%s\n' "$name" "$right" "$admitted" "$short"
    [ "$name" = "$wanted" ] || return 0
    case_right=$right case_admitted=$admitted command=("$@")
}

# Genuine traffic is TCP of this kernel; 43 segments a second and flow.
genuine_cases() {
    local c f s m p where short
    for c in cubic bbr; do
        for f in 4 6; do
            for s in 1 0; do
                for m in 536 1220 1460; do
                    [ $f$m = 61460 ] && m=1440
                    short=-
                    case $c$f$s$m in cubic411460 | bbr601220) short=short ;; esac
                    case_of "10 flows, $c, IPv$f, SACK $([ $s = 1 ] && echo on || echo off), MSS $m" \
                        genuine - $short with cc=$c family=$f sack=$s mss=$m -- transfers 10
                done
            done
        done
    done
    for c in cubic bbr; do
        for p in 1 5 12; do
            for where in up down; do
                short=-
                [ $c$p$where = cubic5up ] && short=short
                case_of "10 flows, $c, $p % lost ${where}stream" genuine - $short with cc=$c $where=$p -- transfers 10
            done
            case_of "10 flows, $c, $p % lost upstream, $p % downstream" genuine - - with cc=$c up=$p down=$p -- transfers 10
        done
    done
    case_of "10 flows, cubic, SACK off, 12 % lost upstream, 12 % downstream" genuine - - with sack=0 up=12 down=12 -- transfers 10
    case_of "10 flows, cubic, RTT 0" genuine - - with delay=0 -- transfers 10
    case_of "10 flows, cubic, RTT 100 ms, 5 % lost upstream" genuine - - with delay=50 up=5 -- transfers 10
    case_of "10 flows, cubic, RTT 300 ms, 5 % lost downstream" genuine - - with delay=150 down=5 -- transfers 10
    case_of "10 flows, bbr, RTT 300 ms, 5 % lost both" genuine - - with cc=bbr delay=150 up=5 down=5 -- transfers 10
    for c in cubic bbr; do
        case_of "one flow, $c" genuine - - with cc=$c -- transfers 1
        case_of "one flow, $c, 5 % lost upstream, 5 % downstream" genuine - - with cc=$c up=5 down=5 -- transfers 1
        case_of "one flow, $c, fills 20 Mbit/s" genuine - - with cc=$c "rate=20 100" -- bulk 1
        case_of "10 flows, $c, fill 20 Mbit/s" genuine - - with cc=$c "rate=20 100" -- bulk 10
    done
    case_of "100 flows, cubic" genuine - - with -- transfers 100
    case_of "10 flows, cubic, jumbo frames (MTU 3498)" genuine - - with mtu=3498 mss=3458 -- transfers 10
    case_of "jumbo frames (MTU 9000)" refused - short refusal 9000
    case_of "web, 100 kB a page" genuine - short with -- web 100 4
    case_of "web, 100 kB a page, IPv6" genuine - - with family=6 mss=1440 -- web 100 4
    case_of "web, 10 kB a page" genuine - - with -- web 10 4
    case_of "web, 10 kB a page, 5 % lost upstream, 5 % downstream" genuine - - with up=5 down=5 -- web 10 4
}

spoofed_cases() {
    case_of "one spoofed flow, 100/s" spoofed - - with -- forged 1 100
    case_of "10 spoofed flows" spoofed - short with -- forged 10 430
    case_of "10 spoofed flows, IPv6" spoofed - - with family=6 -- forged 10 430
    case_of "100 spoofed flows" spoofed - - with -- forged 100 2000
    case_of "10 spoofed flows, 12 % lost upstream, 12 % downstream" spoofed - - with up=12 down=12 -- forged 10 430
    case_of "10 spoofed flows, 14.9 % repeats" spoofed - short with -- forged 10 430 --duplicates random:0.149
    case_of "10 spoofed flows repeat all at once" spoofed - - with -- forged 10 430 --duplicates all
    case_of "10 spoofed flows repeat all 0.5 s later" spoofed - short with -- forged 10 430 --duplicates all --duplicate-delay 500
    case_of "10 spoofed flows repeat all 2 s later" spoofed - - with -- forged 10 430 --duplicates all --duplicate-delay 2000
    case_of "10 spoofed flows end with FIN" spoofed - - with -- forged 10 430 --syn --fin --flow-packets 60
    case_of "10 spoofed flows end with RST" spoofed inconclusive - with -- forged 10 430 --syn --rst --flow-packets 60
    case_of "10 spoofed flows, then keep-alives" spoofed - - with -- forged 10 430 --keep-alives 60 --flow-packets 400
    case_of "tcpreplay of 10 genuine flows" spoofed - short with -- replay 10
    case_of "hping3, forged source" spoofed - - with -- hping 50
}

mixed_cases() {
    case_of "mixed 10:10" mixed - short with -- mixed 10 10
    case_of "mixed 10:10, bbr" mixed - - with cc=bbr -- mixed 10 10
    case_of "mixed 10:10, 14.9 % repeats" mixed - - with -- mixed 10 10 --duplicates random:0.149
    case_of "mixed 10:10, 5 % lost upstream, 5 % downstream" mixed - - with up=5 down=5 -- mixed 10 10
    case_of "mixed 50:50" mixed - - with -- mixed 50 50
    case_of "mixed 1:1" mixed - - with -- mixed 1 1
    case_of "mixed 2:18" mixed spoofed,inconclusive - with -- mixed 2 18
    case_of "mixed 10:90" mixed spoofed,inconclusive - with -- mixed 10 90
    case_of "mixed 90:10" mixed genuine - with -- mixed 90 10
}

# ---- traffic

payload() { # bytes in a full segment, with timestamps
    echo $((mss - 12))
}
transfers() { # FLOWS
    local length
    length=$(payload)
    stand_transfers "$1" $((43 * 8 * length)) -l "$length" || return 1
    lab_wait 60 "the transfer" is_as_asked
}
bulk() { # FLOWS: as fast as the path takes them
    stand_transfers "$1" 0
}
is_as_asked() { # the kernel uses the algorithm, the segment size and SACK, or not
    local said
    said=$(lab_in AMS-world ss -Htin state established "( dport >= :5201 and dport <= :5299 )") || return 1
    grep -q " mss:$(payload) " <<<"$said" && grep -q " $cc " <<<"$said" &&
        { [ "$sack" = 1 ] || ! grep -qw sack <<<"$said"; }
}
web() { # KILOBYTES LOOPS: pages of a server with a watched address
    local host=203.0.113.10
    [ "$family" = 6 ] && host='[2001:db8:b::10]'
    mkdir "$lab/pages"
    head -c "$(($1 * 1000))" /dev/urandom >"$lab/pages/page"
    stand_start httpd.log nsenter --net="/run/netns/$lab_id-AMS-world" busybox httpd -f -p "$host:80" -h "$lab/pages"
    lab_wait 60 "the web server" stand_listens world 80 || return 1
    local i
    for ((i = 0; i < $2; i++)); do
        stand_start "web-$i.log" nsenter --net="/run/netns/$lab_id-AMS-inside" \
            bash -c 'while curl -sgm 20 -o /dev/null "http://$0/page" || sleep 0.1; do sleep 0.05; done' "$host"
    done
}
forged() { # FLOWS RATE [OPTION…]
    stand_forged "$@"
}
mixed() { # GENUINE FORGED [OPTION…]: flows of one rate, all under way when the test begins
    local genuine=$1 forged=$2
    shift 2
    lab_kill "$lab_sensor_pid"
    start_sensor --set penny.mode=off || return 1
    transfers "$genuine" || return 1
    stand_forged "$forged" $((43 * forged)) "$@" || return 1
    lab_wait 60 "every flow to flow" all_flow "$genuine" || return 1
    lab_kill "$lab_sensor_pid"
    start_sensor || return 1
    genuine_before=$(stand_count up 1) forged_before=$(stand_count up 2)
}
all_flow() { # FLOWS: each has sent a while
    [ "$(lab_in AMS-world ss -Htin state established "( dport >= :5201 and dport <= :5299 )" | grep -oE 'data_segs_out:[0-9]+' |
        awk -F: '$2 > 60 { n++ } END { print n + 0 }')" -ge "$1" ]
}
replay() { # FLOWS: what this kernel sent a moment ago, once more and without the kernel
    local capture=$lab/genuine.pcap
    truth=0
    lab_kill "$lab_sensor_pid"
    start_sensor --set penny.mode=off || return 1
    lab_spawn tcpdump.log nsenter --net="/run/netns/$lab_id-AMS-world" \
        tcpdump -i o0 -p --immediate-mode -U -w "$capture" "src 203.0.113.10 and tcp"
    local tcpdump=$lab_pid
    lab_wait 60 "tcpdump" grep -q listening "$lab/log/tcpdump.log" || return 1
    transfers "$1" || return 1
    sleep 8
    stand_stop
    lab_kill "$tcpdump" INT
    lab_in AMS-world ip addr flush dev o0 # a forged source's owner is elsewhere, and answers nothing here
    lab_kill "$lab_sensor_pid"
    start_sensor || return 1
    stand_start tcpreplay.log nsenter --net="/run/netns/$lab_id-AMS-world" tcpreplay -q -i o0 --multiplier=0.3 "$capture"
}
hping() { # SEGMENTS_PER_S
    stand_start hping.log nsenter --net="/run/netns/$lab_id-AMS-world" \
        hping3 exec "$lab_root/tests/integration/penny/forge.htcl" 203.0.113.200 198.18.1.10 "$1" 120
}

# ---- the sensor and what it says

start_sensor() { # [OPTION…]
    lab_sensor AMS 1 --set publish.stop_wait=100ms "$@" || return 1
    lab_sensor_pid=$lab_pid
}
said() { # the line that ends the test
    grep '"event":"test_ended"' "$lab/log/events.json" | grep -m 1 "\"prefix\":\"$prefix\""
}
field() { # LINE NAME
    sed -E "s/.*\"$2\":\"?([^,\"}]*).*/\1/" <<<"$1"
}
seconds_between() {
    awk -v a="$(date -d "$1" +%s.%N)" -v b="$(date -d "$2" +%s.%N)" 'BEGIN { printf "%.1f", b - a }'
}
true_fraction() { # as counted on the wire before the sensor; a replay looks genuine there
    [ -z "$truth" ] || { echo "$truth"; return; }
    awk -v g=$(($(stand_count up 1) - genuine_before)) -v f=$(($(stand_count up 2) - forged_before)) 'BEGIN { printf "%.3f", g / (g + f) }'
}
print_row() { # LINE TRUE_FRACTION
    local name numbers=()
    for name in genuine_probability genuine_fraction genuine_low genuine_high flows droppable drops retransmitted unanswered; do
        numbers+=("$(field "$1" $name)")
    done
    numbers[0]=$(awk -v p="${numbers[0]}" 'BEGIN { print (p > 0.9999 ? "> 0.9999" : p < 0.0001 ? "< 0.0001" : sprintf("%.4f", p)) }')
    LC_ALL=C printf '| %s | %s | %s | %.2f [%.2f, %.2f] | %.2f | %s | %s | %s | %s | %s | %s |\n' "$wanted" "$(field "$1" verdict)" \
        "${numbers[0]}" "${numbers[1]}" "${numbers[2]}" "${numbers[3]}" "$2" "${numbers[@]:4}" \
        "$(seconds_between "$(field "$1" started_at)" "$(field "$1" ended_at)")"
    echo "$1" >&2
}
judge() { # LINE TRUE_FRACTION
    local word
    word=$(field "$1" verdict)
    if [ "$word" != "$case_right" ]; then
        [[ ,$case_admitted, == *,$word,* ]] && return 3
        return 1
    fi
    awk -v word="$word" -v p="$(field "$1" genuine_probability)" 'BEGIN { exit (word == "spoofed") != (p < 0.5) }' || return 5
    awk -v t="$2" -v low="$(field "$1" genuine_low)" -v high="$(field "$1" genuine_high)" \
        'BEGIN { exit !(low <= t && t <= high) }' || return 4
}

with() { # SETTING… -- COMMAND…
    while [ "$1" != -- ]; do
        printf -v "${1%%=*}" %s "${1#*=}"
        shift
    done
    shift
    prefix=203.0.113.0/24 stand_family=$family stand_mtu=$mtu
    [ "$family" = 6 ] && prefix=2001:db8:b::/48
    # shellcheck disable=SC2086 # rate and queue are two words
    stand_up "$build" "$delay" $rate || return 1
    stand_tcp "$cc" "$sack" "$mss"
    stand_loss up "$up"
    stand_loss down "$down"
    start_sensor || return 1
    "$@" || return 1
    lab_wait "$wait" "a verdict" said || return 1
    local line fraction
    line=$(said) fraction=$(true_fraction)
    stand_stop
    print_row "$line" "$fraction"
    judge "$line" "$fraction"
}

# refusal MTU: a sensor between ports with such frames does not start, and says why
refusal() {
    local arguments said
    lab_up "$build"
    lab_namespace AMS-box
    lab_in AMS-box ip link add j0 mtu "$1" type veth peer name j1 mtu "$1"
    mapfile -t arguments < <(lab_sensor_arguments AMS 1)
    if said=$(lab_in AMS-box timeout 10 "$lab_bin/sensor/penstock-sensor" "${arguments[@]}" \
        --set source.interface=j0 --set forward.interface=j1 2>&1); then return 1; fi
    grep -E "MTU of j0 is $1, but AF_XDP frames hold at most [0-9]+" <<<"$said" >&2 || { echo "$said" >&2; return 1; }
    echo "| $wanted | refused at start | | | | | | | | | |"
}

all_cases() {
    genuine_cases
    spoofed_cases
    mixed_cases
}
if [ "${1:-}" = --list ]; then
    list=true
    all_cases
    exit
fi
build=$(cd "${1:?build folder}" && pwd) wanted=${2:?name of a case}
all_cases
[ ${#command[@]} -gt 0 ] || { echo "no case «$wanted»" >&2; exit 2; }
trap 'status=$?; stand_down; exit $status' EXIT
trap 'exit 1' INT TERM
"${command[@]}"
status=$?
if [ $status = 1 ]; then
    for log in "$lab"/log/*.log; do
        [ -s "$log" ] && { echo "-- ${log##*/}"; tail -n 5 "$log"; }
    done >&2
fi
exit $status

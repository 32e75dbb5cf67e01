#!/usr/bin/env bash
# What happens to a sensor while it runs: its prefixes change, its ports go down and come up, another
# sensor lives and dies on the same machine. And what it says where it cannot run at all. Frames are
# numbered and counted; the sensors are passive, so that "none lost" means none.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

counted=$build/tests/support/counted
lab_up "$build"
lab_pop AMS 1
# a second pair of ports on the same machine
lab_namespace AMS-world2
lab_namespace AMS-inside2
lab_wire AMS-world2 o0 AMS-box x0
lab_wire AMS-box x1 AMS-inside2 i0
lab_key ams1 AMS # of all sensors here: there is no collector
sed "s#^publish: .*#publish: {endpoint: 'tcp://127.0.0.1:5560', certificate: $lab/keys/ams1.cert, server: $lab/keys/collector.pub}#" \
    "$lab_root/configs/lab-sensor.yaml" >"$lab/live.yaml"

# sensor_on OUTER INNER NAME PORT [ARGUMENT…]: no collector anywhere; pid in $lab_pid
sensor_on() {
    local log=sensor-$3.log starts
    starts=$(lab_count 'event=started' "$log")
    local arguments=(-c "$lab/live.yaml" --set "source.interface=$1" --set "forward.interface=$2" --set "sensor.name=$3"
        --set "metrics.listen=127.0.0.1:$4" --set "source.pin_dir=$lab/bpf" --set "sensor.state_dir=$lab/state-$3"
        --set penny.mode=passive --set publish.stop_wait=100ms)
    shift 4
    lab_spawn "$log" nsenter --net="/run/netns/$lab_id-AMS-box" "$sensor" "${arguments[@]}" "$@"
    lab_wait 60 "a sensor" lab_started "$lab_pid" "$starts" "$log" || exit 1
}
numbered() { # NUMBER SECONDS RATE: frames of a prefix that is watched sometimes, of one always and of one never
    lab_in AMS-box "$counted" --from "o0@/run/netns/$lab_id-AMS-world$1" --to "i0@/run/netns/$lab_id-AMS-inside$1" \
        --src 203.0.113.7 --src 198.51.100.7 --src 2001:db8:b::7 --src 172.16.0.7 \
        --dst 198.18.1.10 --dst 2001:db8:fff1::10 --seconds "$2" --rate "$3"
}
counter() { # PORT NAME
    lab_in AMS-box curl -s "http://127.0.0.1:$1/metrics" | awk -v name="penstock_$2_total{" 'index($0, name) == 1 { print $2 }'
}
lossless() { # PID LOG: the run that began there lost no frame and doubled none
    wait "$1" || { cat "$lab/log/$2"; return 1; }
}
lossless_now() { # NUMBER
    numbered "$1" 1 2000
}
at_least() { # COUNT ACTUAL
    [ "${2:-0}" -ge "$1" ] || { echo "expected at least $1, got «${2:-}»"; return 1; }
}
told() { # TIMES WORDS LOG
    same "$1" "$(lab_count "$2" "$3")"
}
tells() { # TIMES WORDS LOG: soon
    lab_wait 60 "$2" told "$1" "$2" "$3"
}

# ---- prefixes change under way

watch() { # PREFIXES
    sed -i "s|^  prefixes: .*|  prefixes: [$1]|" "$lab/live.yaml"
    changes=$((changes + 1))
    kill -HUP "$first"
}
# watch_for_a_while PREFIXES: two signals that come too soon after one another are one
watch_for_a_while() {
    watch "$1"
    sleep 0.25
    lab_wait 60 "the change" told $changes event=reload$ sensor-ams1.log || exit 1
}
sensor_on w0 w1 ams1 9559
first=$lab_pid changes=0
lab_spawn reload.log numbered "" 14 4000
run=$lab_pid
for turn in $(seq 12); do
    watch_for_a_while '198.51.100.0/24, 203.0.113.0/24, "2001:db8:b::/48"'
    watch_for_a_while 198.51.100.0/24
    watch_for_a_while '198.51.100.0/25, 203.0.113.0/28, 203.0.113.0/24'
    [ $((turn % 4)) -ne 0 ] || watch_for_a_while ''
done
check "prefixes come and go forty times under traffic: no frame is lost or doubled" lossless "$run" reload.log
check "every change was taken" told 39 event=reload$ sensor-ams1.log
check "many frames went through the sensor" at_least 8000 "$(counter 9559 packets)"
check "and many more in the kernel" at_least 8000 $(($(counter 9559 kernel_seen) - $(counter 9559 kernel_handed)))
check "nothing was missed on the way in" same 0 "$(counter 9559 source_missed)"
check "nothing was refused on the way out" same 0 "$(counter 9559 transmit_refused)"
echo 'penny: [' >"$lab/broken.yaml"
cp "$lab/live.yaml" "$lab/good.yaml" && cp "$lab/broken.yaml" "$lab/live.yaml"
kill -HUP "$first"
check "a broken file changes nothing, and is told" tells 1 event=reload_failed sensor-ams1.log
cp "$lab/good.yaml" "$lab/live.yaml"
watch '198.51.100.0/24, 203.0.113.0/24, "2001:db8:b::/48"'

# ---- two sensors on one machine, in one pin folder

sensor_on x0 x1 ams2 9560
second=$lab_pid
lab_spawn both-1.log numbered "" 8 2000
run_1=$lab_pid
lab_spawn both-2.log numbered 2 4 2000
run_2=$lab_pid
check "two sensors on one machine: neither loses a frame of its wire" lossless "$run_2" both-2.log
check "the second one sees its own" at_least 4000 "$(counter 9560 packets)"
kill -KILL "$second"
wait "$second"
check "the second one is killed: its wire goes on" lossless_now 2
sensor_on x0 x1 ams2 9560
second=$lab_pid
kill -TERM "$second"
wait "$second"
check "the second one is started again and ended with status 0" same 0 $?
check "the first one lost no frame of all that" lossless "$run_1" both-1.log
check "and has nothing missed or refused" same 0 $(($(counter 9559 source_missed) + $(counter 9559 transmit_refused)))
check "its metrics are its own: a sensor that was not there is not counted" same 0 "$(counter 9559 kernel_unserved)"

# ---- ports that go down and come up

ended() { ! kill -0 "$1" 2>/dev/null; }
alive() { kill -0 "$1"; }
processor_ticks() { # PID
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}
lab_spawn down.log numbered "" 6 2000
run=$lab_pid
sleep 0.5
lab_in AMS-box ip link set w0 down
check "the outer port goes down: told once" tells 1 "event=port_down if=w0" sensor-ams1.log
lab_in AMS-box ip link set w0 up
check "it comes up: told" tells 1 "event=port_up if=w0" sensor-ams1.log
lab_in AMS-box ip link set w1 down
check "the inner port goes down: told once" tells 1 "event=port_down if=w1" sensor-ams1.log
before=$(processor_ticks "$first")
sleep 1
spent=$(($(processor_ticks "$first") - before))
check "meanwhile the sensor rests ($spent ticks of 100 in a second)" test "$spent" -lt 60
lab_in AMS-box ip link set w1 up
check "it comes up: told" tells 1 "event=port_up if=w1" sensor-ams1.log
wait "$run"
check "though thousands of frames met a port that was down, each was told once" told 1 "event=port_down if=w1" sensor-ams1.log
check "the sensor lives" alive "$first"
check "and loses no frame any more" lossless_now ""
lab_in AMS-box ip link del w1
check "the inner port is removed: the sensor ends" lab_wait 60 "the end" ended "$first"
wait "$first"
check "with status 1" same 1 $?
check "and says why" tells 1 "event=port_gone" sensor-ams1.log

# ---- where it cannot run

refused() { # STATUS WORDS SETTING…
    local status=$1 words=$2 said got arguments=()
    shift 2
    for setting in "$@"; do arguments+=(--set "$setting"); done
    said=$(lab_in AMS-box timeout 10 "$sensor" -c "$lab/live.yaml" --set source.interface=x0 --set forward.interface=x1 \
        --set "source.pin_dir=$lab/bpf" --set metrics.listen= --set publish.stop_wait=0s "${arguments[@]}" 2>&1)
    got=$?
    [ "$got" -eq "$status" ] && grep -qF -- "$words" <<<"$said" && return 0
    echo "status $got, expected $status; expected «$words» in:"
    tail -n 3 <<<"$said"
    return 1
}
lab_in AMS-box "$sensor" -c "$lab/live.yaml" --set source.interface=x0 --set forward.interface=x1 --set "source.pin_dir=$lab/bpf" --detach
while IFS='|' read -r status words settings; do
    # shellcheck disable=SC2086
    check "$settings: status $status, «$words»" refused "$status" "$words" $settings
done <<'CASES'
1|source.interface: no interface nowhere0 in this network namespace|source.interface=nowhere0
1|forward.interface: no interface nowhere1 in this network namespace|forward.interface=nowhere1
1|forward.interface: no interface nowhere1 in this network namespace|forward.driver=raw forward.interface=nowhere1
2|forward.interface: "x0" is source.interface too|forward.interface=x0
1|source.queues: 9, but x0 has 1 receive queues|source.queues=9
2|source.queues: expected|source.queues=-1
2|source.driver: expected one of|source.driver=afxdp
2|forward.driver: expected one of af_xdp, dpdk, tun, raw, none, got "tap"|forward.driver=tap
2|penny.mode: active needs a wire|forward.driver=none penny.mode=active
2|is longer than an interface name can be|source.interface=sixteen-letters0
1|does not forward IPv4: sysctl -w net.ipv4.ip_forward=1|forward.driver=tun forward.interface=penny0
CASES
lab_in AMS-box sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
check "tun on a device that is none: status 1, and what to do" refused 1 "make it by \`ip tuntap add mode tun multi_queue\`" \
    forward.driver=tun forward.interface=x1
lab_in AMS-box ip link set x0 mtu 4000
check "a port with too large an MTU: status 1, and what to do" refused 1 "the MTU of x0 is 4000, but AF_XDP frames hold at most 3498"
lab_in AMS-box ip link set x0 mtu 1500
plain() { # INTERFACE…
    local port
    for port in "$@"; do lab_in AMS-box ip link show "$port" | grep -q xdp && { lab_in AMS-box ip link show "$port"; return 1; }; done
    return 0
}
check "no refusal left a program behind" plain x0 x1
sensor_on x0 x1 ams2 9560
check "a second sensor on the same port: status 1, and the first goes on" refused 1 "x0: another sensor is running on this interface"
check "undisturbed" lossless_now 2

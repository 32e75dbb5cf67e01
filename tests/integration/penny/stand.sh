# shellcheck shell=bash disable=SC2034,SC2154
# The Penny lab's stand: one sensor in line, and a path with delay, rate and loss before it. Sourced,
# after deploy/lab/lab.sh.
#
#     world ── o0 ═ p0 ── path ── p1 ═ w0 ── box: penstock-sensor ── w1 ═ i0 ── inside
#                         delay, rate (penny_path)                    loss
#                         loss                                       (downstream)
#                         (upstream)                 core: penny_events
#
# world holds the watched prefix, so data that goes from world to inside is under test. Forged sources
# have the top bit of their last byte set, genuine ones have not: loss.bpf.c counts by it.

stand_tools=${BASH_SOURCE[0]%/*} # sources; the programs are in the build folder
stand_mtu=1500
stand_pins=''

# stand_up BUILD DELAY_MS [RATE_MBIT QUEUE_KB]: DELAY_MS each way
stand_up() {
    local bin=$1
    shift
    lab_up "$bin"
    stand_bin=$bin/tests/integration/penny
    lab_namespace AMS-world
    lab_namespace AMS-path
    lab_namespace AMS-box
    lab_namespace AMS-inside
    lab_wire AMS-world o0 AMS-path p0
    lab_wire AMS-path p1 AMS-box w0
    lab_wire AMS-box w1 AMS-inside i0
    stand_set_mtu
    stand_management
    stand_addresses
    stand_pins=$(mktemp -d "${TMPDIR:-/tmp}/penstock-loss-XXXXXX") # libbpf pins no map where a path has a dot
    mount -t bpf penny "$stand_pins" || return 1
    stand_lossy_interfaces || return 1
    lab_in AMS-path sysctl -qw net.ipv6.conf.p0.disable_ipv6=1 net.ipv6.conf.p1.disable_ipv6=1
    lab_spawn path.log nsenter --net="/run/netns/$lab_id-AMS-path" "$stand_bin/penny_path" p0 p1 "$@"
    lab_spawn events.json nsenter --net="/run/netns/$lab_id-core" "$stand_bin/penny_events" tcp://10.255.1.1:5560 \
        "$lab/keys/collector.cert" "$lab/sensors.d"
}

stand_down() {
    [ -n "$lab" ] || return 0
    stand_stop
    [ -n "$stand_pins" ] && mountpoint -q "$stand_pins" && umount "$stand_pins"
    [ -n "$stand_pins" ] && rmdir "$stand_pins"
    lab_down
}

stand_set_mtu() {
    local side
    for side in world:o0 path:p0 path:p1 box:w0 box:w1 inside:i0; do
        lab_in "AMS-${side%:*}" ip link set "${side#*:}" mtu "$stand_mtu"
    done
}

stand_management() {
    ip link add m0 netns "$lab_id-AMS-box" type veth peer name m1 netns "$lab_id-core"
    lab_in AMS-box ip addr add 10.255.1.2/30 dev m0
    lab_in core ip addr add 10.255.1.1/30 dev m1
    lab_in AMS-box ip link set m0 up
    lab_in core ip link set m1 up
}

# Neighbours are known: what is lost on the way is TCP, not the question for an address.
stand_addresses() {
    lab_in AMS-world ip addr add 203.0.113.10/24 dev o0
    lab_in AMS-world ip addr add 2001:db8:b::10/48 dev o0 nodad
    lab_in AMS-inside ip addr add 198.18.1.10/24 dev i0
    lab_in AMS-inside ip addr add 2001:db8:fff1::10/64 dev i0 nodad
    lab_in AMS-world ip route add 198.18.1.0/24 dev o0
    lab_in AMS-world ip route add 2001:db8:fff1::/64 dev o0
    lab_in AMS-inside ip route add 203.0.113.0/24 dev i0
    lab_in AMS-inside ip route add 2001:db8:b::/48 dev i0
    stand_world_mac=$(lab_mac AMS-world o0) stand_inside_mac=$(lab_mac AMS-inside i0)
    local host
    for host in 198.18.1.10 2001:db8:fff1::10; do
        lab_in AMS-world ip neigh replace "$host" lladdr "$stand_inside_mac" dev o0
    done
    for host in 203.0.113.10 2001:db8:b::10; do
        lab_in AMS-inside ip neigh replace "$host" lladdr "$stand_world_mac" dev i0
    done
}

# Where frames are redirected to, an XDP program makes the kernel deliver them one by one, not merged.
stand_lossy_interfaces() {
    local where
    for where in up down back; do
        mkdir "$stand_pins/$where-maps"
        bpftool prog loadall "$stand_bin/loss.bpf.o" "$stand_pins/$where" pinmaps "$stand_pins/$where-maps" || return 1
    done
    lab_in AMS-path ethtool -K p0 gro off
    lab_in AMS-path ethtool -K p1 gro off
    lab_in AMS-inside ethtool -K i0 gro off
    lab_in AMS-path tc qdisc add dev p1 clsact &&
        lab_in AMS-path tc filter add dev p1 egress bpf direct-action pinned "$stand_pins/up/lossy_out" &&
        lab_in AMS-path ip link set p1 xdp pinned "$stand_pins/back/lossy_in" &&
        lab_in AMS-inside ip link set i0 xdp pinned "$stand_pins/down/lossy_in"
}

# stand_loss up|down|back PERCENT
stand_loss() {
    local chance
    chance=$(awk -v p="$2" 'BEGIN { printf "%08x", p / 100 * 4294967295 }')
    bpftool map update pinned "$stand_pins/$1-maps/loss" key hex 00 00 00 00 \
        value hex "${chance:6:2}" "${chance:4:2}" "${chance:2:2}" "${chance:0:2}"
}

# stand_count up|down|back 0|1|2: lost, genuine, forged
stand_count() {
    bpftool map lookup pinned "$stand_pins/$1-maps/counts" key hex "0$2" 00 00 00 | awk '$1 == "\"value\":" { print $2 }'
}

# stand_tcp CONGESTION_CONTROL SACK MSS: of the hosts on both sides
stand_tcp() {
    local ns
    for ns in world inside; do
        lab_in "AMS-$ns" sysctl -qw "net.ipv4.tcp_sack=$2" net.ipv4.tcp_no_metrics_save=1
    done
    # by route, for a namespace may not choose an algorithm that the machine restricts
    lab_in AMS-world ip route replace 198.18.1.0/24 dev o0 congctl lock "$1"
    lab_in AMS-world ip route replace 2001:db8:fff1::/64 dev o0 congctl lock "$1"
    # the largest segment that the receiver asks for
    lab_in AMS-inside ip route replace 203.0.113.0/24 dev i0 advmss "$3"
    lab_in AMS-inside ip route replace 2001:db8:b::/48 dev i0 advmss "$3"
}

# stand_start PROGRAM-LOG COMMAND…: load that stand_stop ends; pid in $lab_pid
stand_pids=()
stand_start() {
    lab_spawn "$@"
    stand_pids+=("$lab_pid")
}
stand_stop() {
    local pid kept=() stopped=" ${stand_pids[*]} "
    for pid in "${stand_pids[@]}"; do lab_kill "$pid"; done
    for pid in "${lab_pids[@]}"; do [[ $stopped == *" $pid "* ]] || kept+=("$pid"); done
    stand_pids=() lab_pids=("${kept[@]}")
}

stand_listens() { # NAMESPACE PORT
    lab_in "AMS-$1" sh -c "ss -Hltn sport = :$2 | grep -q ."
}

# stand_transfers COUNT BIT_PER_S [IPERF3_OPTION…]: genuine flows, all at that rate each (0: as fast as
# it goes). An iperf3 sends to all its streams at the same moment; so each has few.
stand_transfers() {
    local count=$1 rate=$2 to=198.18.1.10 from=203.0.113.10 port=5201 streams
    shift 2
    [ "${stand_family:-4}" = 6 ] && to=2001:db8:fff1::10 from=2001:db8:b::10
    for ((; count > 0; count -= streams, port++)); do
        streams=$((count < 5 ? count : 5))
        stand_start iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p $port
        lab_wait 60 "iperf3's server" stand_listens inside $port || return 1
        stand_start iperf.log nsenter --net="/run/netns/$lab_id-AMS-world" \
            iperf3 -c $to -B $from -p $port -P "$streams" -b "$rate" -t 120 "$@"
    done
}

# stand_forged FLOWS RATE [OPTION…]: penstock-gen from the watched prefix
stand_forged() {
    local to=198.18.1.10 from=203.0.113.128/25 flows=$1 rate=$2
    shift 2
    [ "${stand_family:-4}" = 6 ] && to=2001:db8:fff1::10 from=2001:db8:b::80/121
    stand_start gen.log nsenter --net="/run/netns/$lab_id-AMS-world" "$lab_bin/deploy/lab/penstock-gen" \
        -i o0 --src-mac "$stand_world_mac" --dst-mac "$stand_inside_mac" --src $from --dst $to \
        --flows "$flows" --rate "$rate" --payload 1000 --duration 120 --seed $$ "$@"
}

# shellcheck shell=bash disable=SC2034,SC2154
# The lab: PoPs in network namespaces, on one machine. Sourced by deploy/demo and by the integration
# tests. Every PoP is the same:
#
#     world ── o0 ═ w0 ── box: penstock-sensor ── w1 ═ i0 ── inside
#     (senders)          │ m0 (management)                (server)
#                        └── core: penstock-collector; PostgreSQL on a socket in the lab's folder
#
# Everything that is made is made under $lab (a temporary folder) or named $lab_id-…, and lab_down
# removes all of it, by name and by pid. Commands enter a namespace with nsenter, not `ip netns exec`:
# the latter gives each command its own /sys, and with it pinned BPF objects vanish.

# lab_root: set by whoever sources this. lab_*_pid: for whoever sources this.
lab_id='' lab='' lab_dsn='' lab_bin=''
lab_namespaces=() lab_pids=() lab_pops=() lab_disks=()
lab_driver=af_xdp # or dpdk: virtual devices on the same wires; set it before lab_pop
lab_collector_yaml=$lab_root/configs/lab-collector.yaml lab_policy=$lab_root/configs/lab-expected.yaml
lab_queues=1 # receive and transmit queues of each wire's ends; set it before lab_pop

# lab_up BIN_DIR: makes the folder and the core namespace.
lab_up() {
    lab_bin=$1
    lab_id="pn$$"
    lab=$(mktemp -d "${TMPDIR:-/tmp}/penstock-lab.XXXXXX")
    chmod 755 "$lab"
    mkdir "$lab/log" "$lab/bpf" "$lab/keys" "$lab/sensors.d"
    lab_key collector
    lab_namespace core
}

# lab_key NAME [POP]: its certificate in $lab/keys, unless it is there
lab_key() {
    [ -e "$lab/keys/$1.cert" ] && return
    "$lab_bin/collector/penstockctl" keys new "$1" ${2:+--pop "$2"} --dir "$lab/keys" >>"$lab/log/keys.log"
}

# lab_allow NAME POP: a sensor of that name may connect, with the key that it has or gets
lab_allow() {
    lab_key "$1" "$2"
    [ -e "$lab/sensors.d/$1.pub" ] || cp "$lab/keys/$1.pub" "$lab/sensors.d/$1.pub"
}

# lab_namespace NAME
lab_namespace() {
    ip netns add "$lab_id-$1"
    lab_namespaces+=("$lab_id-$1")
    lab_in "$1" ip link set lo up
    # no router solicitations, no duplicate address detection delays
    lab_in "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
        net.ipv6.conf.all.router_solicitations=0 net.ipv6.conf.default.router_solicitations=0
}

# lab_in NAMESPACE COMMAND…
lab_in() {
    local name=$1
    shift
    nsenter --net="/run/netns/$lab_id-$name" "$@"
}

# lab_mac NAMESPACE INTERFACE (not from /sys, which shows the host's)
lab_mac() {
    lab_in "$1" ip -o link show "$2" | sed -E 's/.*link\/ether ([0-9a-f:]+).*/\1/'
}

# lab_wire NS_A IF_A NS_B IF_B: a veth pair, with offloads that a real wire would not have off.
lab_wire() {
    local queues=(numrxqueues "$lab_queues" numtxqueues "$lab_queues")
    ip link add "$2" netns "$lab_id-$1" "${queues[@]}" type veth peer name "$4" netns "$lab_id-$3" "${queues[@]}"
    # frames as on a wire: finished checksums, no 64 KB super-frames; GRO on, so that NAPI runs and
    # redirected frames are delivered
    lab_in "$1" ethtool -K "$2" tx off tso off gso off gro on >/dev/null 2>&1
    lab_in "$3" ethtool -K "$4" tx off tso off gso off gro on >/dev/null 2>&1
    lab_in "$1" ip link set "$2" up
    lab_in "$3" ip link set "$4" up
}

# lab_port_for_dpdk NS IF: the kernel must not merge frames before the packet socket sees them, nor
# say anything itself.
lab_port_for_dpdk() {
    lab_in "$1" ethtool -K "$2" gro off >/dev/null 2>&1
    lab_in "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"
}

# lab_box NAME NUMBER: namespaces world, box and inside of one PoP, and its management link; no address yet.
lab_box() {
    local pop=$1 n=$2
    lab_namespace "$pop-world"
    lab_namespace "$pop-box"
    lab_namespace "$pop-inside"
    lab_wire "$pop-world" o0 "$pop-box" w0
    lab_wire "$pop-box" w1 "$pop-inside" i0
    if [ $lab_driver = dpdk ]; then
        lab_port_for_dpdk "$pop-box" w0
        lab_port_for_dpdk "$pop-box" w1
    fi
    ip link add m0 netns "$lab_id-$pop-box" type veth peer name "m$n" netns "$lab_id-core"
    lab_in "$pop-box" ip addr add "10.255.$n.2/30" dev m0
    lab_in core ip addr add "10.255.$n.1/30" dev "m$n"
    lab_in "$pop-box" ip link set m0 up
    lab_in core ip link set "m$n" up
    lab_pops+=("$pop")
}

# lab_pop NAME NUMBER: one PoP with a server inside, and the way to it from the world.
lab_pop() {
    local pop=$1 n=$2
    lab_box "$pop" "$n"
    lab_in "$pop-inside" ip addr add "198.18.$n.10/24" dev i0
    lab_in "$pop-inside" ip addr add "2001:db8:fff$n::10/64" dev i0 nodad
    lab_in "$pop-world" ip route add "198.18.$n.0/24" dev o0
    lab_in "$pop-world" ip route add "2001:db8:fff$n::/64" dev o0
}

# lab_sender POP ADDRESS/LENGTH: a genuine host outside, and the way back to it.
lab_sender() {
    local family=-4 flags=()
    [[ $2 == *:* ]] && family=-6 flags=(nodad)
    lab_in "$1-world" ip $family addr add "$2" dev o0 "${flags[@]}"
    lab_in "$1-inside" ip $family route add "$(lab_network "$2")" dev i0
}

# lab_network ADDRESS/LENGTH: 203.0.113.10/24 -> 203.0.113.0/24 (24 and 48 only, which is what labs use)
lab_network() {
    case $1 in
        *:*/48) echo "$1" | sed -E 's#^([0-9a-f]+:[0-9a-f]+:[0-9a-f]+):.*#\1::/48#' ;;
        *.*/24) echo "$1" | sed -E 's#\.[0-9]+/24$#.0/24#' ;;
        *) echo "lab_network: cannot mask $1" >&2; return 1 ;;
    esac
}

# lab_disk FOLDER SIZE: a small disk in memory; lab_disk_resize FOLDER SIZE, also while it is in use
lab_disk() {
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2,mode=755" tmpfs "$1" && lab_disks+=("$1")
}
lab_disk_resize() {
    mount -o "remount,size=$2" "$1"
}

# lab_spawn LOG COMMAND…: starts in the background, remembers the pid in $lab_pid.
lab_spawn() {
    local log=$lab/log/$1
    shift
    "$@" >>"$log" 2>&1 </dev/null &
    lab_pid=$!
    lab_pids+=("$lab_pid")
}

# lab_database [--durable]: a superuser's DSN in $lab_dsn. As it should be anywhere: the schema is of role owner; the
# collector is role collector, which may write, and reports are role reader's.
lab_database() {
    lab_dsn=$("$lab_root/deploy/lab/pg-cluster" start "$@" "$lab/pg") || return
    lab_sql -c "CREATE ROLE owner LOGIN CREATEROLE; GRANT CREATE ON DATABASE penstock TO owner" || return
    "$lab_bin/collector/penstock-collector" -c "$lab_root/configs/lab-collector.yaml" --migrate \
        --set "collector.certificate=$lab/keys/collector.cert" --set "collector.sensors=$lab/sensors.d" \
        --set "database.owner_dsn=$lab_dsn user=owner" 2>>"$lab/log/migrate.log" || return
    lab_sql -c "CREATE ROLE collector LOGIN IN ROLE penstock_collector; CREATE ROLE reader LOGIN IN ROLE penstock_reader"
}

lab_sql() {
    psql "$lab_dsn" -X -q -v ON_ERROR_STOP=1 "$@"
}

# lab_value SQL: one value
lab_value() {
    lab_sql -At -c "$1"
}

# lab_collector_spawn LOG [ARGUMENT…]: starts it, and does not wait for it; pid in $lab_pid
lab_collector_spawn() {
    local log=$1
    shift
    lab_spawn "$log" nsenter --net="/run/netns/$lab_id-core" \
        "$lab_bin/collector/penstock-collector" -c "$lab_collector_yaml" \
        --set "collector.certificate=$lab/keys/collector.cert" --set "collector.sensors=$lab/sensors.d" \
        --set "database.dsn=$lab_dsn user=collector" --set "policy.file=$lab_policy" "$@"
}

# lab_collector [ARGUMENT…]: starts it and waits until it has loaded and listens.
lab_collector() {
    local starts
    starts=$(lab_count 'event=started' collector.log)
    lab_collector_spawn collector.log "$@"
    lab_collector_pid=$lab_pid
    lab_wait 60 "the collector" lab_started "$lab_pid" "$starts" collector.log ||
        { tail -n 20 "$lab/log/collector.log" >&2; return 1; }
}

# lab_count WORD LOG; lab_started PID COUNT LOG: it runs, and has said so once more than COUNT times
lab_count() {
    grep -c "$1" "$lab/log/$2" 2>/dev/null || true
}
lab_started() {
    kill -0 "$1" 2>/dev/null && [ "$(lab_count 'event=started' "$3")" -gt "${2:-0}" ]
}

# lab_sensor_arguments POP NUMBER: the command line of that PoP's sensor, one word a line
lab_sensor_arguments() {
    local pop=$1 n=$2 low=${1,,}
    lab_allow "${low}1" "$pop"
    printf '%s\n' -c "$lab_root/configs/lab-sensor.yaml" --set "sensor.name=${low}1" --set "sensor.pop=$pop" \
        --set "source.pin_dir=$lab/bpf" --set "sensor.state_dir=$lab/state-${low}1" \
        --set "ingress=[{router: ${low}1-r1, interface: xe-0/0/0, peer_as: 6450$n}]" \
        --set "publish.endpoint=tcp://10.255.$n.1:5560" --set "publish.certificate=$lab/keys/${low}1.cert" \
        --set "publish.server=$lab/keys/collector.pub"
    if [ $lab_driver = dpdk ]; then lab_dpdk_arguments; fi
}

# The same two ports as packet sockets of DPDK's, and its memory without huge pages: a lab changes
# nothing of the machine.
lab_dpdk_arguments() {
    local rings=blocksz=65536,framesz=2048,framecnt=4096
    printf '%s\n' --set source.driver=dpdk --set "source.interface=net_af_packet0,iface=w0,$rings" \
        --set forward.driver=dpdk --set "forward.interface=net_af_packet1,iface=w1,$rings" \
        --set 'source.eal=[--no-huge, -m, "512"]'
}

# lab_sensor POP NUMBER [ARGUMENT…]: starts it and waits until it is attached; pid in $lab_pid
lab_sensor() {
    local pop=$1 arguments
    mapfile -t arguments < <(lab_sensor_arguments "$1" "$2")
    shift 2
    local starts
    starts=$(lab_count 'event=started' "sensor-$pop.log")
    lab_spawn "sensor-$pop.log" nsenter --net="/run/netns/$lab_id-$pop-box" \
        "$lab_bin/sensor/penstock-sensor" "${arguments[@]}" "$@"
    lab_wait 60 "sensor $pop" lab_started "$lab_pid" "$starts" "sensor-$pop.log" ||
        { tail -n 20 "$lab/log/sensor-$pop.log" >&2; return 1; }
}

lab_sensor_detach() {
    local arguments
    mapfile -t arguments < <(lab_sensor_arguments "$1" "$2")
    lab_in "$1-box" "$lab_bin/sensor/penstock-sensor" "${arguments[@]}" --detach
}

# lab_wait SECONDS WHAT COMMAND…: until the command succeeds
lab_wait() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "waited in vain for $what" >&2
            return 1
        fi
        sleep 0.2
    done
}

# lab_until SECONDS WHAT SQL: until the statement answers t
lab_until() {
    lab_wait "$1" "$2" lab_true "$3"
}
lab_true() {
    [ "$(lab_value "$1")" = t ]
}

# lab_kill PID [SIGNAL]: ends a process that this lab started, and waits for it
lab_kill() {
    kill "-${2:-TERM}" "$1" 2>/dev/null && wait "$1" 2>/dev/null
    lab_forget "$1"
}

# lab_forget PID: it has ended; the number may be another process's by now
lab_forget() {
    local pid others=()
    for pid in "${lab_pids[@]}"; do [ "$pid" = "$1" ] || others+=("$pid"); done
    lab_pids=("${others[@]}")
}

lab_any_runs() {
    local pid
    for pid in "${lab_pids[@]}"; do kill -0 "$pid" 2>/dev/null && return 0; done
    return 1
}

# Takes everything down, in whatever state it is.
lab_down() {
    [ -n "$lab" ] || return 0
    local pid name end=$((SECONDS + 8))
    for pid in "${lab_pids[@]}"; do kill -TERM "$pid" 2>/dev/null; done
    # looked at, instead of one more process that waits: killed too early, that would run our traps
    while lab_any_runs && [ $SECONDS -lt $end ]; do sleep 0.05; done
    for pid in "${lab_pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    lab_pids=()
    [ -d "$lab/pg" ] && "$lab_root/deploy/lab/pg-cluster" stop "$lab/pg" >/dev/null 2>&1
    for name in "${lab_disks[@]}"; do umount "$name" || umount --lazy "$name"; done
    lab_disks=()
    mountpoint -q "$lab/bpf" && umount "$lab/bpf" # unpins, and with the last pin the programs go
    for name in "${lab_namespaces[@]}"; do ip netns del "$name" 2>/dev/null; done
    lab_namespaces=() lab_pops=()
    rm -rf "$lab"
    lab=
}

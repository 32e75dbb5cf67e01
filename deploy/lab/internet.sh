# shellcheck shell=bash disable=SC2034,SC2086,SC2154
# A small Internet around three PoPs, on one machine. Sourced after lab.sh, by deploy/demo --scenario
# and by tests/integration/scenarios.sh; docs/lab.md has the whole picture and a table of addresses.
#
#     peer AS ─┐ LAN                                       ┌─ servers 198.18.1.10, 198.18.2.10, 198.18.3.10
#              ├─ world ═ box: penstock-sensor ═ inside ─ core: route reflector; penstock-collector
#     peer AS ─┘                                (router)
#
# Every router is BIRD: eBGP between the ASes, and from each peer through the sensor to the PoP's router; iBGP
# from the PoPs' routers to the core; IPv4 and IPv6. The kernel's routes are BIRD's, so traffic goes where BGP
# says. Our routers drop what is RPKI-invalid. The core's RIB is in $lab/rib.mrt (TABLE_DUMP_V2), not older than
# two seconds.

# shellcheck source=deploy/lab/bird.sh
. "$lab_root/deploy/lab/bird.sh"

internet_folder=$lab_root/deploy/lab/internet # configurations of the collector and the sensors, policy, VRPs
lab_as=64500
internet_pops=("AMS 1" "FRA 2" "LON 3")
# peers: AS, PoP, host number on its LAN
internet_peers=("64501 AMS 2" "64502 FRA 2" "64503 LON 2" "64512 FRA 3" "64513 LON 3")
# links between others: number, the one who gives transit, the other; transit or peering
internet_links=("1 64501 64605 transit" "2 64502 64605 transit" "3 64501 64606 transit" "4 64512 64606 transit"
    "5 64501 64607 transit" "6 64502 64607 transit" "7 64501 64513 peering")
# who originates what, and the host that lives there: one line per scenario
internet_origins=(
    "64501 100.64.10.0/24 100.64.10.10 2001:db8:10::/48 2001:db8:10::10" # expected
    "64501 100.64.20.0/24 100.64.20.10 2001:db8:20::/48 2001:db8:20::10" # spoofed: the true owner
    "64501 100.64.30.0/23 100.64.30.10 2001:db8:30::/47 2001:db8:30::10" # hijack: the victim
    "64513 100.64.31.0/24 100.64.31.10 2001:db8:31::/48 2001:db8:31::10" # hijack: the more-specific
    "64502 100.64.40.0/24 100.64.40.10 2001:db8:40::/48 2001:db8:40::10" # newcomer
    "64605 100.64.50.0/24 100.64.50.10 2001:db8:50::/48 2001:db8:50::10" # move
    "64606 100.64.60.0/24 100.64.60.10 2001:db8:60::/48 2001:db8:60::10" # cone
    "64607 100.64.70.0/24 100.64.70.10 2001:db8:70::/48 2001:db8:70::10" # mixture
    "64503 100.64.80.0/24 100.64.80.10 2001:db8:80::/48 2001:db8:80::10" # silent
)

# internet_up BIN_DIR: the wires, the sensors and the routers; returns when every router has its routes. Give
# lab_database and internet_collector their turn afterwards: the sensors wait for the collector.
internet_up() {
    local row
    lab_up "$1"
    mkdir "$lab/bird"
    internet_core
    for row in "${internet_pops[@]}"; do internet_pop $row; done
    for row in "${internet_peers[@]}"; do internet_peer $row; done
    for row in "${internet_links[@]}"; do internet_link $row; done
    for row in "${internet_origins[@]}"; do internet_origin $row; done
    for row in "${internet_pops[@]}"; do internet_sensor $row || return 1; done
    for row in "$lab"/bird/*.conf; do bird_start "$(basename "$row" .conf)"; done
    lab_wait 60 "BGP" internet_has_routes || return 1
    internet_rib || return 1
    internet_rib_follow
}

# internet_router NAMESPACE: forwards, by the kernel; equal paths are taken flow by flow
internet_router() {
    lab_in "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 \
        net.ipv4.conf.default.rp_filter=0
}

# The core: servers behind it, one per PoP, and the route reflector.
internet_core() {
    local row n
    internet_router core
    bird_head core $lab_as 100
    for row in "${internet_pops[@]}"; do
        n=${row#* }
        lab_in core ip addr add "198.18.$n.10/32" dev lo
        lab_in core ip addr add "2001:db8:fff$n::10/128" dev lo
        bird_static core "198.18.$n.0/24" "2001:db8:fff$n::/48"
    done
}

# internet_pop NAME NUMBER: the box with its two ports, the LAN outside, the router inside
internet_pop() {
    local pop=$1 n=$2 name
    lab_box "$pop" "$n"
    lab_in "$pop-world" ip link add lan type bridge mcast_snooping 0
    lab_in "$pop-world" ip link set o0 master lan
    lab_in "$pop-world" ip link set lan up
    name=$pop-inside
    internet_router "$name"
    lab_wire "$name" c0 core "p$n"
    internet_address "$name" i0 "10.64.$n.1/24" "fd00:64:$n::1/64"
    internet_address "$name" c0 "10.65.$n.1/30" "fd00:65:$n::1/64"
    internet_address core "p$n" "10.65.$n.2/30" "fd00:65:$n::2/64"
    bird_head "$name" $lab_as "$n"
    internet_policy "$n" >>"$lab/bird/$name.conf"
    bird_session "$name" core 4 "10.65.$n.1" "10.65.$n.2" $lab_as all all "direct;"
    bird_session "$name" core 6 "fd00:65:$n::1" "fd00:65:$n::2" $lab_as all all "direct;"
    bird_session core "pop$n" 4 "10.65.$n.2" "10.65.$n.1" $lab_as all all "direct; rr client;"
    bird_session core "pop$n" 6 "fd00:65:$n::2" "fd00:65:$n::1" $lab_as all all "direct; rr client;"
}

# internet_address NAMESPACE INTERFACE V4 V6
internet_address() {
    lab_in "$1" ip addr add "$3" dev "$2"
    lab_in "$1" ip addr add "$4" dev "$2" nodad
}

# The filters of a PoP's router. In: no path that RPKI calls invalid. Out: our servers, with a longer path to
# those of other PoPs, so that a neighbour of several PoPs comes in where the server is.
internet_policy() {
    local n=$1
    echo "roa4 table roa_v4; roa6 table roa_v6;"
    internet_roas 4
    internet_roas 6
    cat <<CONF
function is_near() {
    if net.type = NET_IP4 then return net ~ [ 198.18.$n.0/24 ];
    return net ~ [ 2001:db8:fff$n::/48 ];
}
filter ours {
    if source = RTS_BGP && bgp_path.len > 0 then reject;
    if ! is_near() then { bgp_path.prepend(own_as); bgp_path.prepend(own_as); }
    accept;
}
filter valid_v4 { if roa_check(roa_v4, net, bgp_path.last) = ROA_INVALID then reject; accept; }
filter valid_v6 { if roa_check(roa_v6, net, bgp_path.last) = ROA_INVALID then reject; accept; }
CONF
}

# internet_roas FAMILY: the VRP file as BIRD's static routes
internet_roas() {
    echo "protocol static roas_v$1 { roa$1 { table roa_v$1; };"
    jq -r --arg colon "$([ "$1" = 6 ] && echo : || echo .)" '.roas[] | select(.prefix | contains($colon))
        | "    route \(.prefix) max \(.maxLength) as \(.asn | tostring | ltrimstr("AS"));"' "$internet_folder/vrps.json"
    echo "}"
}

# internet_mac AS: the MAC address of that peer on its LAN
internet_mac() {
    echo "02:00:00:0${1:0:1}:${1:1:2}:${1:3:2}"
}

# internet_as AS: its namespace and router, unless they are there
internet_as() {
    [ -e "$lab/bird/as$1.conf" ] && return
    lab_namespace "as$1"
    internet_router "as$1"
    bird_head "as$1" "$1" "$((${1:2} % 250))"
}

# internet_peer AS POP HOST: on the PoP's LAN, with a session to its router
internet_peer() {
    local as=$1 pop=$2 host=$3 n row
    for row in "${internet_pops[@]}"; do [ "${row% *}" = "$pop" ] && n=${row#* }; done
    internet_as "$as"
    lab_wire "as$as" lan0 "$pop-world" "as$as"
    lab_in "as$as" ip link set lan0 address "$(internet_mac "$as")"
    lab_in "$pop-world" ip link set "as$as" master lan
    internet_address "as$as" lan0 "10.64.$n.$host/24" "fd00:64:$n::$host/64"
    bird_session "as$as" ours 4 "10.64.$n.$host" "10.64.$n.1" $lab_as all all
    bird_session "as$as" ours 6 "fd00:64:$n::$host" "fd00:64:$n::1" $lab_as all all
    bird_session "$pop-inside" "as$as" 4 "10.64.$n.1" "10.64.$n.$host" "$as" "filter valid_v4; rpki reload off" "filter ours"
    bird_session "$pop-inside" "as$as" 6 "fd00:64:$n::1" "fd00:64:$n::$host" "$as" "filter valid_v6; rpki reload off" "filter ours"
}

# internet_link NUMBER AS AS KIND: a customer tells its own routes only, and so does a peer
internet_link() {
    local k=$1 upper=$2 lower=$3 import=all
    internet_as "$lower"
    lab_wire "as$upper" "l$k" "as$lower" "l$k"
    internet_address "as$upper" "l$k" "10.66.$k.1/30" "fd00:66:$k::1/64"
    internet_address "as$lower" "l$k" "10.66.$k.2/30" "fd00:66:$k::2/64"
    [ "$4" = peering ] && import="where bgp_path.len = 1"
    # the customer of scenario cone likes the wrong way best
    [ "$upper" = 64512 ] && import="filter { bgp_local_pref = 200; accept; }"
    local families=(4 6) down=("10.66.$k.1" "fd00:66:$k::1") up=("10.66.$k.2" "fd00:66:$k::2") i
    for i in 0 1; do
        bird_session "as$upper" "as$lower" "${families[i]}" "${down[i]}" "${up[i]}" "$lower" all all
        bird_session "as$lower" "as$upper" "${families[i]}" "${up[i]}" "${down[i]}" "$upper" "$import" "where source = RTS_STATIC"
    done
}

# internet_origin AS PREFIX HOST PREFIX HOST
internet_origin() {
    bird_static "as$1" "$2" "$4"
    lab_in "as$1" ip addr add "$3/32" dev lo
    lab_in "as$1" ip addr add "$5/128" dev lo
}

# internet_sensor POP NUMBER [ARGUMENT…]: each peer of the PoP by its MAC address; watches nothing until it gets orders
internet_sensor() {
    local pop=$1 n=$2 row as host rows='' port=0
    shift 2
    for row in "${internet_peers[@]}"; do
        [ "$(cut -d' ' -f2 <<<"$row")" = "$pop" ] || continue
        as=${row%% *}
        rows+="{mac: \"$(internet_mac "$as")\", router: ${pop,,}1-r1, interface: xe-0/0/$port, peer_as: $as}, "
        port=$((port + 1))
    done
    lab_sensor "$pop" "$n" --set "ingress=[$rows{router: ${pop,,}1-r1, interface: other}]" --set 'penny.prefixes=[]' \
        --set tally.interval=1s "$@" || return 1
    echo "$lab_pid" >"$lab/sensor-$pop.pid"
}

# internet_collector [ARGUMENT…]: with the lab's policy, RIB and VRPs, and everything fast
internet_collector() {
    lab_collector_yaml=$internet_folder/collector.yaml lab_policy=$internet_folder/expected.yaml
    lab_collector --set "policy.rib=$lab/rib.mrt" --set "policy.vrps=$internet_folder/vrps.json" "$@"
}

# Every AS knows the servers, and the core every origin that is not invalid.
internet_has_routes() {
    local row as
    for row in "${internet_origins[@]}"; do
        as=as${row%% *}
        lab_in "$as" ip -4 route get 198.18.1.10 from "$(cut -d' ' -f3 <<<"$row")" || return 1
        lab_in "$as" ip -6 route get 2001:db8:fff1::10 from "$(cut -d' ' -f5 <<<"$row")" || return 1
        # through a PoP, or through the victim's peer
        lab_in core ip -4 route get "$(cut -d' ' -f3 <<<"$row")" || return 1
        lab_in core ip -6 route get "$(cut -d' ' -f5 <<<"$row")" || return 1
    done
}

# The core's RIB as the collector reads it. The new file takes the old one's place in one step.
internet_rib() {
    rm -f "$lab/rib.new"
    bird_do core 'mrt dump table "master*" to' "\"$lab/rib.new\"" && [ -s "$lab/rib.new" ] && mv "$lab/rib.new" "$lab/rib.mrt"
}
internet_rib_follow() {
    ( while sleep 2; do internet_rib; done ) 2>/dev/null &
    lab_pids+=("$!")
}

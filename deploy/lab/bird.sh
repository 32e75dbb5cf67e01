# shellcheck shell=bash disable=SC2034,SC2154
# Routers of the lab: one BIRD per namespace, with its configuration, control socket and log in the lab's
# folder. Sourced by internet.sh.

# bird_head NAME AS NUMBER: begins the configuration of the router in that namespace.
bird_head() {
    cat >"$lab/bird/$1.conf" <<CONF
router id 10.0.0.$3;
log "$lab/log/bird-$1.log" all;
define own_as = $2;
protocol device { scan time 2; }
protocol kernel kernel4 { ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel kernel6 { ipv6 { import none; export where source = RTS_BGP; }; }
CONF
}

# bird_static NAME PREFIX…: what it originates; no kernel route comes of it
bird_static() {
    local name=$1 prefix version number
    number=$(grep -c '^protocol static' "$lab/bird/$name.conf")
    shift
    for prefix in "$@"; do
        number=$((number + 1)) version=4
        [[ $prefix == *:* ]] && version=6
        echo "protocol static own$number { ipv$version; route $prefix unreachable; }" >>"$lab/bird/$name.conf"
    done
}

# bird_session NAME SESSION FAMILY LOCAL NEIGHBOUR AS IMPORT EXPORT [MORE]: one BGP session for one family, quick to come up.
bird_session() {
    cat >>"$lab/bird/$1.conf" <<CONF
protocol bgp $2_$3 {
    local $4 as own_as; neighbor $5 as $6;
    connect delay time 1; connect retry time 1; error wait time 1, 2; startup hold time 10;
    ipv$3 { next hop self; import $7; export $8; };
    ${9:-}
}
CONF
}

# bird_start NAME: pid in $lab_pid
bird_start() {
    lab_spawn "bird-$1.log" nsenter --net="/run/netns/$lab_id-$1" bird -f -c "$lab/bird/$1.conf" -s "$lab/bird/$1.ctl"
}

# bird_do NAME COMMAND…: a word to that router
bird_do() {
    local name=$1
    shift
    birdc -s "$lab/bird/$name.ctl" "$*" >>"$lab/log/birdc.log"
}

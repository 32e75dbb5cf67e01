#!/usr/bin/env bash
# shellcheck disable=SC2317 # functions are called by name
# deploy/nic-setup in a network namespace and a folder of its own, and two huge pages more than there
# are: what it sets, that a second time changes nothing, and that --undo puts everything back.
set -uo pipefail
setup=$(cd "$(dirname "$0")/../.." && pwd)/deploy/nic-setup
ns=pn-nic-$$ folder=$(mktemp -d) failed=0
pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
pages_before=$(cat $pages 2>/dev/null)

cleanup() {
    nsenter --net="/run/netns/$ns" "$setup" --undo --state "$folder/state" >/dev/null 2>&1 # there: p0 may be somebody's here
    umount "$folder/bpf" "$folder/huge" 2>/dev/null
    ip netns del "$ns" 2>/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT
promise() { # promise SENTENCE COMMAND…
    local sentence=$1
    shift
    if "$@" >"$folder/said" 2>&1; then echo "ok      $sentence"; else
        echo "FAILED  $sentence"
        cat "$folder/said"
        failed=1
    fi
}
in_ns() { nsenter --net="/run/netns/$ns" "$@"; }
is() { [ "$1" = "$2" ] || { echo "$1 is not $2"; return 1; }; }
is_off() { in_ns ethtool -k p0 | grep -q "^$1: off"; }
kind() { stat -f -c %T "$1" 2>/dev/null; }
says() { # says WORDS COMMAND…: it fails, and says so
    local words=$1 said
    shift
    said=$("$@" 2>&1) && { echo "it did not fail"; return 1; }
    [[ $said == *"$words"* ]] || { echo "$said"; return 1; }
}
no_state() { [ ! -e "$folder/state" ]; }

ip netns add "$ns"
in_ns ip link add p0 type veth peer name p1
all=(--port p0 --bpffs "$folder/bpf" --hugetlbfs "$folder/huge" --state "$folder/state")
[ -n "$pages_before" ] && all+=(--hugepages $((pages_before + 2)))

vlan_before=$(in_ns ethtool -k p0 | grep '^rx-vlan-offload')
promise "a port, both file systems and huge pages are prepared" in_ns "$setup" "${all[@]}"
promise "VLAN tags stay in the frames" is_off rx-vlan-offload
promise "a veth keeps GRO" is "$(in_ns ethtool -k p0 | grep '^generic-receive-offload')" "$(in_ns ethtool -k p1 | grep '^generic-receive-offload')"
promise "the port is up" in_ns sh -c "ip -o link show dev p0 | grep -q '[<,]UP[,>]'"
promise "IPv6 is off on it" is "$(in_ns sysctl -n net.ipv6.conf.p0.disable_ipv6)" 1
promise "the BPF file system is mounted" is "$(kind "$folder/bpf")" bpf_fs
promise "hugetlbfs is mounted" is "$(kind "$folder/huge")" hugetlbfs
[ -z "$pages_before" ] || promise "the huge pages are there" is "$(cat $pages)" $((pages_before + 2))
cp "$folder/state" "$folder/first"
promise "a second time says nothing" is "$(in_ns "$setup" "${all[@]}" 2>&1)" ""
promise "and changes nothing of what will be put back" cmp "$folder/state" "$folder/first"
promise "pinned programs are not unmounted" sh -c "mkdir '$folder/bpf/eth1' && ! nsenter --net=/run/netns/$ns '$setup' --undo --state '$folder/state'"
promise "and what was left can be undone later" sh -c "rmdir '$folder/bpf/eth1' && nsenter --net=/run/netns/$ns '$setup' --undo --state '$folder/state'"
promise "VLAN stripping is as it was" is "$(in_ns ethtool -k p0 | grep '^rx-vlan-offload')" "$vlan_before"
promise "IPv6 is as it was" is "$(in_ns sysctl -n net.ipv6.conf.p0.disable_ipv6)" 0
promise "the port is down, as it was" in_ns sh -c "! ip -o link show dev p0 | grep -q '[<,]UP[,>]'"
promise "nothing is mounted, and the folders are gone" sh -c "! [ -e '$folder/bpf' ] && ! [ -e '$folder/huge' ]"
[ -z "$pages_before" ] || promise "the huge pages are as many as before" is "$(cat $pages)" "$pages_before"
promise "nothing is left to undo" no_state
if [ -n "$pages_before" ]; then
    "$setup" --hugepages $((pages_before + 1)) --state "$folder/state" >/dev/null
    echo $((pages_before + 2)) >$pages
    promise "huge pages that somebody else added since are left alone" sh -c "'$setup' --undo --state '$folder/state' && [ \$(cat $pages) = $((pages_before + 2)) ]"
    echo "$pages_before" >$pages
fi
promise "a state file in the current folder is as good" sh -c "cd '$folder' && nsenter --net=/run/netns/$ns '$setup' --port p1 --state here && [ -f here ] &&
    nsenter --net=/run/netns/$ns '$setup' --undo --state here && ! [ -e here ]"
promise "nothing is touched where that cannot be written" says "cannot write what was before" in_ns "$setup" --port p1 --state "$folder"
promise "indeed nothing" in_ns sh -c "! ip -o link show dev p1 | grep -q '[<,]UP[,>]'"
promise "an interface that is not there is named" says "nowhere0: no such interface" "$setup" --port nowhere0 --state "$folder/state"
promise "a PCI device that is not there is named" says "0000:ff:1f.7: no such PCI device" "$setup" --bind 0000:ff:1f.7 --state "$folder/state"
promise "what is no PCI address is refused" says "expected a PCI address" "$setup" --bind eth0
promise "an unknown option is refused" says "unknown option" "$setup" --frobnicate 1
exit $failed

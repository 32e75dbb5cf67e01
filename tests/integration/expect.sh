#!/usr/bin/env bash
# Expectation from a real routing daemon and from validators' files: four BIRDs, ours with three neighbours;
# its table in MRT (TABLE_DUMP_V2) and its updates (BGP4MP), VRPs as JSON and as CSV. What stands in the map
# says by whom it is expected, follows the files, and keeps what was good when a file is not.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=deploy/lab/bird.sh
. "$lab_root/deploy/lab/bird.sh"
ctl() { "$lab_bin/collector/penstockctl" "$@" --dsn "$lab_dsn"; }

# neighbour NUMBER AS PREFIX…: a router that originates these, and its session with ours
neighbour() {
    local n=$1 as=$2
    shift 2
    lab_namespace "as$as"
    lab_wire "as$as" wan core "as$as"
    lab_in "as$as" ip addr add "10.255.$n.2/24" dev wan
    lab_in core ip addr add "10.255.$n.1/24" dev "as$as"
    bird_head "as$as" "$as" "$n"
    bird_static "as$as" "$@"
    # one session for both families, as many have; a next hop of IPv6 is needed for that
    lab_in "as$as" ip addr add "fd00:255:$n::2/64" dev wan nodad
    lab_in core ip addr add "fd00:255:$n::1/64" dev "as$as" nodad
    bird_session "as$as" core 4 "10.255.$n.2" "10.255.$n.1" 64500 none all
    bird_session "as$as" core 6 "fd00:255:$n::2" "fd00:255:$n::1" 64500 none all
    bird_session core "as$as" 4 "10.255.$n.1" "10.255.$n.2" "$as" all none "mrtdump all;"
    bird_session core "as$as" 6 "fd00:255:$n::1" "fd00:255:$n::2" "$as" all none "mrtdump all;"
}
has_routes() { # has_routes COUNT: that many paths are in our router's tables
    [ "$(birdc -s "$lab/bird/core.ctl" show route count | sed -nE 's/.*Total: ([0-9]+) of.*/\1/p')" = "$1" ]
}
dump() { # the table, in one step, as docs/expectation.md says
    rm -f "$lab/rib.new"
    bird_do core 'mrt dump table "master*" to' "\"$lab/rib.new\"" && mv "$lab/rib.new" "$lab/rib.mrt"
}
says() { # says PREFIX AS EXPECTED BY BGP RPKI ORIGIN: its map row, in a few seconds
    lab_until 60 "$1 from $2 to be $3 by $4, $5, $6, $7" "
        SELECT coalesce(expected::text, '-') || ' ' || coalesce(expected_by, '-') || ' ' || coalesce(bgp, '-')
            || ' ' || coalesce(rpki, '-') || ' ' || coalesce(origin_as, 0) = '$3 $4 $5 $6 $7'
        FROM penstock.ingress_map WHERE prefix = '$1' AND peer_as IS NOT DISTINCT FROM NULLIF($2, 0)" || {
        lab_sql -c "SELECT prefix, peer_as, expected, expected_by, bgp, rpki, origin_as FROM penstock.ingress_map"
        return 1
    }
}
logged() { lab_wait 60 "$1 in the log" grep -q "$1" "$lab/log/collector.log"; }

lab_up "$build"
mkdir "$lab/bird"
bird_head core 64500 100
cat >>"$lab/bird/core.conf" <<CONF
mrtdump "$lab/updates.mrt";
mrtdump protocols { messages };
CONF
neighbour 1 64501 203.0.113.0/24 198.51.0.0/16 2001:db8:77::/48
neighbour 2 64502 203.0.113.0/24 0.0.0.0/0
neighbour 3 64503 198.51.100.0/24 2001:db8:77::/48
for name in core as64501 as64502 as64503; do bird_start "$name"; done
lab_database || exit 1
lab_wait 60 "BGP" has_routes 7 || exit 1
dump || exit 1

cat >"$lab/vrps.json" <<'JSON'
{"metadata": {"generated": 1795251600}, "roas": [
  {"asn": "AS64501", "prefix": "203.0.113.0/24", "maxLength": 24, "ta": "lab"},
  {"asn": 64501, "prefix": "198.51.0.0/16", "maxLength": 16, "ta": "lab", "expires": 4102444800},
  {"asn": 64504, "prefix": "203.0.113.0/24", "maxLength": 24, "ta": "lab"}]}
JSON
cp "$lab/vrps.json" "$lab/vrps"
cat >"$lab/policy.yaml" <<'YAML'
- {prefix: 192.0.2.0/24, ingress: [{pop: FRA}]}
- {peer_as: 64509, cone: [198.18.0.0/15]}
YAML
lab_policy=$lab/policy.yaml

# Places that were seen before the collector starts: (prefix, peer).
lab_sql <<'SQL' || exit 1
INSERT INTO penstock.ingress_entry (prefix, pop, router, interface, vlan, peer_as, state, share, weight, packets, bytes,
        expected_by, tests, first_seen, last_seen)
    SELECT prefix::cidr, 'AMS', 'r1', 'xe-0', 0, peer_as, 'unverified', 1, 1, 1, 1, '', 0, now(), now()
    FROM (VALUES ('203.0.113.0/24', 64501), ('203.0.113.0/24', 64502), ('203.0.113.0/24', 64503),
        ('203.0.113.0/24', 64504), ('198.51.100.0/24', 64501), ('198.51.100.0/24', 64503), ('198.51.7.0/24', 64502),
        ('2001:db8:77::/48', 64503), ('192.0.2.0/24', 64501), ('198.51.100.0/24', 64509), ('203.0.113.0/24', 0)) r (prefix, peer_as);
SQL

check "the configuration is sound, and so are its tables" "$collector" -c "$lab_collector_yaml" --check \
    --set collector.insecure=true --set "policy.rib=$lab/rib.mrt" --set "policy.vrps=$lab/vrps"
grep -v '^policy:' "$lab_root/configs/lab-collector.yaml" >"$lab/collector.yaml"
cat >>"$lab/collector.yaml" <<YAML
policy: {rib: "$lab/rib.mrt", vrps: "$lab/vrps"}
YAML
lab_collector_yaml=$lab/collector.yaml
lab_collector || exit 1

echo "-- a table dump and JSON"
check "the best path" says 203.0.113.0/24 64501 true bgp best valid 64501
check "a second path whose origin RPKI calls invalid does not count, but a shorter route of that peer does" \
    says 203.0.113.0/24 64502 true bgp alternative not_found 64502
check "a peer without a path" says 203.0.113.0/24 64503 false bgp none valid 64501
check "a peer without a path that may originate the prefix" says 203.0.113.0/24 64504 true rpki none valid 64504
check "an invalid more-specific makes nobody expected" says 198.51.100.0/24 64503 false bgp none invalid 64503
check "whom it would have been taken from is" says 198.51.100.0/24 64501 true bgp best valid 64501
check "IPv6, of two peers" says 2001:db8:77::/48 64503 true bgp alternative not_found 64503
check "a default route is a path" says 198.51.7.0/24 64502 true bgp alternative not_found 64502
check "the operator's file goes first" says 192.0.2.0/24 64501 false policy none not_found 64502
check "a cone, too" says 198.51.100.0/24 64509 false policy none valid 64501
check "without a peer AS nobody can say" says 203.0.113.0/24 0 - - - valid 64501

echo "-- the files change"
cat >"$lab/vrps.new" <<'CSV'
ASN,IP Prefix,Max Length,Trust Anchor,Expires
AS64501,203.0.113.0/24,24,lab,4102444800
AS64503,198.51.100.0/24,24,lab,4102444800
AS64502,203.0.113.0/24,24,lab,1600000000
CSV
mv "$lab/vrps.new" "$lab/vrps"
check "VRPs as CSV: what was invalid is valid" says 198.51.100.0/24 64503 true bgp best valid 64503
check "who may not originate it any more is not expected" says 203.0.113.0/24 64504 false bgp none valid 64501
bird_do as64503 disable own1
lab_wait 60 "the withdrawal" has_routes 6
dump
check "a withdrawn route is no path; that its AS may originate it is all that is left" \
    says 198.51.100.0/24 64503 true rpki none valid 64503
head -c $(($(stat -c %s "$lab/rib.mrt") - 5)) "$lab/rib.mrt" >"$lab/half"
mv "$lab/half" "$lab/rib.mrt"
check "half a dump is refused, and said to be half" logged 'event=rib_refused.*ends within a record'
head -c 60 "$lab/vrps.json" >"$lab/half"
mv "$lab/half" "$lab/vrps"
check "half a VRP file is refused" logged 'event=vrps_refused.*cut off'
check "what was good stays" says 203.0.113.0/24 64501 true bgp best valid 64501

echo "-- updates, and SIGHUP"
cp "$lab/updates.mrt" "$lab/updates.now"
sed -i "s|rib.mrt|updates.now|; s|$lab/vrps|$lab/vrps.json|" "$lab/collector.yaml"
kill -HUP "$lab_collector_pid"
check "BGP4MP: updates make the same table" says 203.0.113.0/24 64502 true bgp alternative not_found 64502
check "with their withdrawals" says 198.51.100.0/24 64503 false bgp none valid 64501
mv "$lab/updates.now" "$lab/away"
check "a file that goes away is told" logged 'event=rib_away'

echo "-- operators"
check "expect add" ctl expect add 192.0.2.0/24 pop=AMS router=r1 --reason "they moved"
check "is heard" says 192.0.2.0/24 64501 true policy none not_found 64502
check "expect remove" ctl expect remove 192.0.2.0/24 pop=AMS router=r1
check "is heard, too" says 192.0.2.0/24 64501 false policy none not_found 64502
check "the collector ends cleanly" ends_with 0 "$lab_collector_pid" TERM

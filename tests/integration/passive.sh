#!/usr/bin/env bash
# Passive mode, whole: in line and as a mirror, kernel TCP and a spoofer, through the wire into SQL, with
# a collector that is killed on the way. Nothing is withheld, every flow is one row, the map is no wiser.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_pop FRA 2
lab_sender AMS 203.0.113.10/24
lab_database || exit 1
lab_collector || exit 1

short=(--set penny.mode=passive --set penny.retest_after=0s --set penny.max_duration=7s --set penny.timeout=1s
    --set penny.flow_idle=2s --set penny.passive_idle=3s --set penny.passive_rows=100000 --set publish.stop_wait=60s)
lab_sensor AMS 1 "${short[@]}" || exit 1
ams_pid=$lab_pid
lab_sensor FRA 2 "${short[@]}" --set forward.driver=none --set forward.interface= || exit 1
fra_pid=$lab_pid
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

# in line: kernel TCP. On the mirror: 40 spoofed flows that end by FIN, 30 SYNs that nobody answers
lab_spawn iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p 5301
lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :5301 | grep -q ." || exit 1
lab_spawn iperf.log nsenter --net="/run/netns/$lab_id-AMS-world" \
    timeout 60 iperf3 -c 198.18.1.10 -B 203.0.113.10 -p 5301 -t 8 -P 3 -b 3M
transfer=$lab_pid
mac=$(lab_mac FRA-box w0)
inside_packets() { lab_in FRA-inside awk '/i0:/ { print $3 }' /proc/net/dev; }
before=$(inside_packets)
mirrored() { lab_in FRA-world "$gen" --interface o0 --dst-mac "$mac" --dst 198.18.2.10/32 "$@" 2>>"$lab/log/gen.log"; }
mirrored --src 192.0.2.0/24 --flows 40 --rate 1000 --count 2000 --payload 100 --syn --fin
mirrored --src 198.51.100.7/32 --syn-scan 1000-1029 --count 30

lab_kill "$lab_collector_pid" KILL
sleep 1
lab_collector || exit 1
check "the transfer in line ends well" wait "$transfer"
check "the tests of the mirror end by themselves" lab_until 60 "their ends" \
    "SELECT count(*) >= 2 AND bool_and(ended_at IS NOT NULL) FROM penstock.penny_test WHERE sensor = 'fra1'"
lab_kill "$ams_pid"
lab_kill "$fra_pid"
lab_until 60 "both goodbyes" "SELECT count(*) = 2 FROM penstock.sensor WHERE state = 'stopped'"

check "tests began and ended, all passive, none with a verdict" lab_true \
    "SELECT count(*) >= 4 AND bool_and(mode = 'passive' AND verdict = 'inconclusive' AND drops = 0) FROM penstock.penny_test"
check "nothing was withheld" same 0 "$(lab_value "SELECT sum(dropped)::bigint FROM penstock.sensor_status")"
check "and the mirror forwarded nothing" test $(($(inside_packets) - before)) -lt 50 # the hosts' own chatter
check "every flow is one row" lab_true \
    "SELECT (SELECT sum(flows) FROM penstock.passive_total) = (SELECT count(*) FROM penstock.passive_flow)"
check "and the rows sum up to the sums" lab_true \
    "SELECT bool_and(t.flows = f.flows AND t.data = f.data AND t.bytes = f.bytes AND t.gaps = f.gaps
        AND t.flows_syn_only = f.syn_only AND t.ended_fin = f.fin)
     FROM penstock.passive_total t JOIN (SELECT test_id, count(*) AS flows, sum(data) AS data, sum(bytes) AS bytes,
        sum(gaps) AS gaps, count(*) FILTER (WHERE syn_only) AS syn_only, count(*) FILTER (WHERE end_reason = 'fin') AS fin
        FROM penstock.passive_flow GROUP BY test_id) f USING (test_id)"
check "the mirror saw 40 flows from SYN to FIN" same "40 1920 0" "$(lab_value \
    "SELECT count(*) || ' ' || sum(data) || ' ' || sum(gaps) FROM penstock.passive_flow
     WHERE src << '192.0.2.0/24' AND start_reason = 'syn' AND end_reason = 'fin'")"
check "and 30 that were only SYNs" same "30" "$(lab_value \
    "SELECT count(*) FROM penstock.passive_flow WHERE src = '198.51.100.7' AND syn_only AND end_reason IN ('idle', 'stopped')")"
check "in line the kernel's streams were seen whole" lab_true \
    "SELECT sum(bytes) > 1000000 AND min(coverage) > 0.99 FROM penstock.passive_flow WHERE src = '203.0.113.10' AND data > 100"
for sensor_name in ams1 fra1; do
    events="(SELECT event_seq FROM penstock.sensor_status WHERE sensor = '$sensor_name'
        UNION ALL SELECT event_seq FROM penstock.ingress_tally WHERE sensor = '$sensor_name'
        UNION ALL SELECT event_seq FROM penstock.scan_window_entry WHERE sensor = '$sensor_name'
        UNION ALL SELECT event_seq FROM penstock.passive_flow_entry WHERE sensor = '$sensor_name'
        UNION ALL SELECT event_seq FROM penstock.passive_total_entry WHERE sensor = '$sensor_name') e"
    elsewhere="2 + (SELECT count(*) + count(ended_at) FROM penstock.penny_test WHERE sensor = '$sensor_name')"
    check "$sensor_name: no event counts twice" same 0 "$(lab_value "SELECT count(*) - count(DISTINCT event_seq) FROM $events")"
    check "$sensor_name: no event is lost" same "$(lab_value "SELECT last_seq FROM penstock.sensor WHERE name = '$sensor_name'")" \
        "$(lab_value "SELECT count(*) + $elsewhere FROM $events")"
done
check "the map is hardly wiser: unverified, no tests, no probability beyond passive mode's bound" lab_true \
    "SELECT count(*) >= 3 AND bool_and(state = 'unverified' AND tests = 0 AND coalesce(genuine_probability, 0.5) BETWEEN 0.0999 AND 0.9001) FROM penstock.ingress_map"
check "and there is no alert" same 0 "$(lab_value "SELECT count(*) FROM penstock.alert")"
check "nothing was set aside as malformed" same 0 "$(lab_value "SELECT count(*) FROM penstock.malformed_event")"

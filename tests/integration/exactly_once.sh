#!/usr/bin/env bash
# Delivery: the collector, the sensor and PostgreSQL are killed at bad moments; no event that reached
# the spool is lost, none counts twice. The sensor here reads no network: its events come from a live AF_XDP source with traffic.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24
lab_database || exit 1

# the sensor starts before there is any collector
often=(--set tally.interval=1s --set scan.window=1s --set penny.retest_after=1s --set publish.stop_wait=60s)
lab_sensor AMS 1 "${often[@]}" || exit 1
sensor_pid=$lab_pid
check "the sensor starts and collects while the collector is away" kill -0 "$sensor_pid"
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

mac=$(lab_mac AMS-inside i0)
lab_spawn gen.log nsenter --net="/run/netns/$lab_id-AMS-world" "$gen" --interface o0 --dst-mac "$mac" \
    --src 203.0.113.0/24 --dst 198.18.1.10/32 --flows 20 --rate 300 --payload 100 --duration 25
gen_pid=$lab_pid
# and many prefixes that nobody watches: some hundred tallies a second
lab_spawn gen-many.log nsenter --net="/run/netns/$lab_id-AMS-world" "$gen" --interface o0 --dst-mac "$mac" \
    --src 10.0.0.0/8 --dst 198.18.1.10/32 --flows 300 --rate 600 --payload 100 --duration 25
sleep 2

for _ in 1 2 3 4 5; do
    lab_collector || exit 1
    sleep "0.$((RANDOM % 9 + 1))"
    sleep 1
    kill -9 "$lab_collector_pid"
    wait "$lab_collector_pid" 2>/dev/null
done

# while nobody takes its events the sensor is killed, too; the next one goes on from the spool
of_events() { lab_in AMS-box curl -s http://127.0.0.1:9559/metrics | awk -v name="penstock_events_$1_total" 'index($0, name) == 1 { print $2 }'; }
holds_some() { [ "$(of_events spooled)" -gt "$(of_events acknowledged)" ]; }
lab_wait 60 "an event that nobody took" holds_some || exit 1
kill -9 "$sensor_pid"
wait "$sensor_pid" 2>/dev/null
mapfile -t arguments < <(lab_sensor_arguments AMS 1)
check "the spool of a killed sensor is sound" "$sensor" "${arguments[@]}" --spool check
held=$("$sensor" "${arguments[@]}" --spool export | wc -l)
check "and holds what was not acknowledged ($held events)" test "$held" -gt 0
lab_sensor AMS 1 "${often[@]}" || exit 1
sensor_pid=$lab_pid
lab_collector || exit 1
check "the collector came up after being killed with -9 five times" kill -0 "$lab_collector_pid"

# the database restarts under the running collector
"$lab_root/deploy/lab/pg-cluster" stop "$lab/pg"
sleep 1
"$lab_root/deploy/lab/pg-cluster" start "$lab/pg" >/dev/null
wait "$gen_pid"
check "the generator sent all it should" same 0 $?
sleep 1
kill -TERM "$sensor_pid"
wait "$sensor_pid"
check "the sensor ends cleanly" same 0 $?
check "and nothing is left unacknowledged" sh -c "! grep -E 'event=(events_lost|spooled)' '$lab/log/sensor-AMS.log'"

last=$(lab_value "SELECT last_seq FROM penstock.sensor WHERE name = 'ams1'")
echo "events: $last"
check "there were some thousand events" test "$last" -gt 3000
check "the sensor said goodbye; the one gap on record is its death by kill -9, of which nobody knows the end" same "stopped 1 1" \
    "$(lab_value "SELECT (SELECT state FROM penstock.sensor) || ' ' || count(*) || ' ' ||
        count(*) FILTER (WHERE to_seq IS NULL AND reason LIKE 'restarted without its goodbye%') FROM penstock.sensor_gap")"
# rows carry their event's number; a goodbye, two starts, and the begin and end of each test are events
# without a row of their own
rows="(SELECT event_seq FROM penstock.sensor_status UNION ALL SELECT event_seq FROM penstock.ingress_tally
    UNION ALL SELECT event_seq FROM penstock.penny_drop_entry UNION ALL SELECT event_seq FROM penstock.scan_window_entry) e"
elsewhere="3 + (SELECT count(*) + count(ended_at) FROM penstock.penny_test)"
check "no event counts twice" same 0 "$(lab_value "SELECT count(*) - count(DISTINCT event_seq) FROM $rows")"
check "no event is lost" same "$last" "$(lab_value "SELECT count(*) + $elsewhere FROM $rows")"
check "there were tests and drops among them" lab_true "SELECT count(*) > 0 FROM penstock.penny_drop"
# rows that only counted are written every map.write_interval
lab_until 60 "the map to be written" "SELECT (SELECT sum(packets) FROM penstock.ingress_map) = (SELECT sum(packets) FROM penstock.ingress_tally)"
check "the map's bytes are the tallies' bytes: each tally was folded once" same t \
    "$(lab_value "SELECT (SELECT sum(packets)::bigint FROM penstock.ingress_map) = (SELECT sum(packets)::bigint FROM penstock.ingress_tally)")"
check "nothing was set aside as malformed" same 0 "$(lab_value "SELECT count(*) FROM penstock.malformed_event")"

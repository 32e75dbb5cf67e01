#!/usr/bin/env bash
# Orders, whole: a sensor that watches nothing by itself, a collector that orders by people's word, and
# what becomes of an order when either of them is killed.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24
lab_sender AMS 2001:db8:b::10/48
lab_database || exit 1
lab_sql -c "CREATE ROLE noc LOGIN IN ROLE penstock_operator, penstock_reader" || exit 1
orders=(--set orders.resend=500ms --set orders.lease=40s --set orders.margin=1s --set orders.wait=10s --set orders.drops_per_prefix_hour=10000
    --set 'orders.never=[100.64.66.0/24]')
lab_collector "${orders[@]}" || exit 1
watch=(--set 'penny.prefixes=[]' --set metrics.listen=127.0.0.1:9559)
lab_sensor AMS 1 "${watch[@]}" || exit 1
sensor_pid=$lab_pid
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

ctl() {
    "$build/collector/penstockctl" "$@" --dsn "$lab_dsn user=noc"
}
order() { # ID COLUMN
    lab_value "SELECT coalesce($2::text, '-') FROM penstock.test_order WHERE order_id = $1"
}
insert() { # PREFIX: its number
    lab_value "INSERT INTO penstock.test_order (prefix) VALUES ('$1') RETURNING order_id"
}
over() { # ID: within 45 s
    lab_until 60 "the end of order $1" "SELECT ended_at IS NOT NULL FROM penstock.test_order WHERE order_id = $1"
}
handed() {
    lab_in AMS-box curl -s http://127.0.0.1:9559/metrics | awk 'index($0, "penstock_kernel_handed_total{") == 1 { n += $2 } END { print n }'
}
watched() { # prefixes in the kernel's tries
    local map n=''
    while read -r map; do
        n=$((n + $(bpftool -j map dump pinned "$map" | grep -o '"key"' | wc -l)))
    done < <(find "$lab/bpf" -name 'map-watched[46]')
    echo "${n:-no tries}"
}
nothing_is_watched() {
    same 0 "$(watched)"
}

lab_spawn iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p 5301
lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :5301 | grep -q ." || exit 1
lab_spawn iperf.log nsenter --net="/run/netns/$lab_id-AMS-world" \
    timeout 120 iperf3 -c 198.18.1.10 -B 203.0.113.10 -p 5301 -t 100 -P 4 -b 4M
mac=$(lab_mac AMS-inside i0)
lab_spawn gen.log nsenter --net="/run/netns/$lab_id-AMS-world" "$gen" \
    --interface o0 --dst-mac "$mac" --src 192.0.2.0/24 --dst 198.18.1.10/32 --flows 100 --rate 1000 --payload 600 --duration 100
lab_until 60 "the tallies of both" \
    "SELECT count(*) = 2 FROM penstock.ingress_map WHERE prefix IN ('203.0.113.0/24', '192.0.2.0/24')" || exit 1
check "without an order nothing is watched" nothing_is_watched
check "and nothing is tested" same 0 "$(lab_value 'SELECT count(*) FROM penstock.penny_test')"

# ---- the two verdicts

spoofed=$(insert 192.0.2.0/24)
said=$(ctl test start 203.0.113.0/24 --pop AMS --wait --timeout 45 --json --reason "is it they?")
check "test start --wait: status 0 for genuine" same 0 $?
check "and it prints the order with its verdict" grep -q '"state":"ended".*"verdict":"genuine"' <<<"${said//\": \"/\":\"}"
check "who ordered it, and why, is kept" lab_true "SELECT requested_by = 'noc' AND reason = 'is it they?' AND started_at IS NOT NULL
    FROM penstock.test_order WHERE prefix = '203.0.113.0/24'"
check "an order by INSERT, of a prefix without a pop, ends" over "$spoofed"
check "as spoofed, where it enters" same "ended spoofed AMS ams1" \
    "$(lab_value "SELECT concat_ws(' ', state, verdict, pop, sensor) FROM penstock.test_order WHERE order_id = $spoofed")"
check "its tests are known by its number, within its drops" lab_true "SELECT count(*) >= 1 AND sum(t.drops) <= min(o.max_drops)
    AND sum(t.drops) = min(o.drops) AND bool_or(t.test_id = o.test_id)
    FROM penstock.penny_test t JOIN penstock.test_order o USING (order_id) WHERE order_id = $spoofed"
check "the map has both verdicts" same "genuine spoofed" "$(lab_value "SELECT string_agg(state, ' ' ORDER BY prefix DESC)
    FROM penstock.ingress_map WHERE prefix IN ('203.0.113.0/24', '192.0.2.0/24')")"
check "afterwards nothing is watched" lab_wait 60 "empty tries" nothing_is_watched
before=$(handed)
sleep 1
check "and traffic does not pass the workers any more" same "${before:-a number}" "$(handed)"
check "no lease is left" same 0 "$(lab_value 'SELECT count(*) FROM penstock.test_order WHERE lease_until IS NOT NULL')"

# ---- what may go wrong

said=$(ctl test start 100.64.64.0/20 --pop AMS --wait --timeout 45)
check "what overlaps orders.never is refused, and the answer names the key" \
    grep -q "refused.*orders.never: it overlaps 100.64.66.0/24" <<<"${said//$'\n'/ }"
none=$(insert 100.64.9.0/24)
check "a prefix that nobody sees waits, and says for what" lab_until 60 "the reason" \
    "SELECT state = 'requested' AND detail LIKE 'waits%' FROM penstock.test_order WHERE order_id = $none"
check "test stop: it is cancelled" same 0 "$(ctl test stop "$none" >>"$lab/log/ctl.log"; echo $?)"
check "and over" over "$none"
check "test stop of what is over: status 1" same 1 "$(ctl test stop "$none" >>"$lab/log/ctl.log" 2>&1; echo $?)"

again=$(insert 203.0.113.0/24)
lab_until 60 "the order to run" "SELECT state = 'running' FROM penstock.test_order WHERE order_id = $again"
lab_kill "$lab_collector_pid" KILL
lab_collector "${orders[@]}" || exit 1
check "the collector is killed while an order runs: it ends with its verdict" over "$again"
check "which is genuine" same "ended genuine" "$(lab_value "SELECT state || ' ' || verdict FROM penstock.test_order WHERE order_id = $again")"
check "tested once" same 1 "$(lab_value "SELECT count(*) FROM penstock.penny_test WHERE order_id = $again")"

lost=$(insert 203.0.113.0/24)
lab_until 60 "its test" "SELECT test_id IS NOT NULL FROM penstock.test_order WHERE order_id = $lost"
lab_kill "$sensor_pid" KILL
lab_sensor AMS 1 "${watch[@]}" --set penny.max_duration=6s || exit 1
check "the sensor is killed while an order runs, and starts again" over "$lost"
check "the order failed, and says why" same "failed sensor_restarted" \
    "$(lab_value "SELECT state || ' ' || result FROM penstock.test_order WHERE order_id = $lost")"
check "the new process does not go on with it" nothing_is_watched
check "the lease stands all the same" lab_true \
    "SELECT lease_until > now() FROM penstock.test_order WHERE order_id = $lost"

# ---- the collector by itself: IPv6, and what has no TCP data

lab_kill "$lab_collector_pid"
lab_collector "${orders[@]}" --set orders.mode=auto || exit 1
lab_spawn iperf6-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p 5302
lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :5302 | grep -q ." || exit 1
lab_spawn iperf6.log nsenter --net="/run/netns/$lab_id-AMS-world" \
    timeout 60 iperf3 -c 2001:db8:fff1::10 -B 2001:db8:b::10 -p 5302 -t 40 -P 4 -b 4M
lab_spawn acks.log nsenter --net="/run/netns/$lab_id-AMS-world" "$gen" --interface o0 --dst-mac "$mac" \
    --src 100.64.7.0/24 --dst 198.18.1.10/32 --payload 0 --flows 4 --rate 200 --duration 40
check "auto: what is new is ordered, tested and found genuine, also IPv6" lab_until 60 "its verdict" \
    "SELECT count(*) > 0 FROM penstock.test_order WHERE prefix = '2001:db8:b::/48' AND requested_by = 'penstock' AND verdict = 'genuine'"
check "a prefix without TCP data ends as no_tcp" lab_until 60 "its end" \
    "SELECT count(*) > 0 FROM penstock.test_order WHERE prefix = '100.64.7.0/24' AND state = 'failed' AND result = 'no_tcp'"
check "and the map says that it cannot be verified" lab_until 60 "the state" \
    "SELECT state = 'unverifiable' FROM penstock.ingress_map WHERE prefix = '100.64.7.0/24'"
check "what has a verdict is not tested again" same 0 "$(lab_value "SELECT count(*) FROM penstock.test_order
    WHERE requested_by = 'penstock' AND prefix = '192.0.2.0/24'")"
check "nothing was set aside as malformed" same 0 "$(lab_value 'SELECT count(*) FROM penstock.malformed_event')"

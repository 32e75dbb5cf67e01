#!/usr/bin/env bash
# The database under the collector: away at the start, restarted, full, failed over to a standby; and the
# collector under the database: killed, while another stands by. It goes on by itself each time; no event
# counts twice; none is lost but those that an asynchronous standby had not, and these show as a gap.
# In a mount namespace of its own, for a disk that may become full. With --long after the build folder, also: a
# collector whose network ends without a word, some 30 s.
[ -n "${PENSTOCK_OWN_MOUNTS:-}" ] || exec env PENSTOCK_OWN_MOUNTS=1 unshare --mount --propagation unchanged "$0" "$@"
mount --make-rprivate / 2>/dev/null # in a chroot / is no mount point, and has no propagation of its own
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

pg() { "$lab_root/deploy/lab/pg-cluster" "$@"; }

lab_up "$build"
first=$lab/pg second=$lab/pg2
mkdir "$first"
mount -t tmpfs -o size=320m tmpfs "$first" || exit 1
chmod 755 "$first"
eval "$(declare -f lab_down | sed '1s/lab_down/lab_down_all/')"
lab_down() {
    pg stop "$second" >/dev/null 2>&1
    pg stop "$first" >/dev/null 2>&1
    umount "$first"
    lab_down_all
}

lab_pop AMS 1
lab_database || exit 1
both="host=$first/socket,$second/socket dbname=penstock target_session_attrs=read-write"

# a_collector LOG PORT [ARGUMENT…]: pid in $lab_pid
a_collector() {
    local log=$1 port=$2
    shift 2
    lab_collector_spawn "$log" --set "database.dsn=$both user=collector password=hunter2" \
        --set "http.listen=127.0.0.1:$port" --set log.level=debug "$@"
}
health() { # health PORT: what /healthz says
    lab_in core curl -s -m 5 "http://127.0.0.1:$1/healthz"
}
health_is() { same "$2" "$(health "$1")"; }
mark() { lab_value "SELECT coalesce(max(last_seq), 0) FROM penstock.sensor"; }
goes_on() { # goes_on SENTENCE: events are committed that were not when this was called
    check "$1" lab_until 60 "$1" "SELECT max(last_seq) > $(mark) FROM penstock.sensor"
}

echo "-- at the start"
pg stop "$first"
a_collector collector.log 9560
active=$lab_pid
check "it waits for a database that is away, and says so" lab_wait 60 "a word" \
    grep -q 'event=waiting for=database' "$lab/log/collector.log"
check "and so does its health" health_is 9560 "the database is away"
pg start "$first" >/dev/null
check "when the database is there it starts by itself" lab_wait 60 "the collector" \
    lab_started "$active" 0 collector.log
kill -0 "$active" || exit 1
lab_dsn="$both user=postgres"

lab_sensor AMS 1 --set tally.interval=1s --set scan.window=1s --set penny.mode=off --set publish.stop_wait=60s || exit 1
sensor_pid=$lab_pid
mac=$(lab_mac AMS-inside i0)
lab_spawn gen.log nsenter --net="/run/netns/$lab_id-AMS-world" "$gen" --interface o0 --dst-mac "$mac" \
    --src 10.0.0.0/8 --dst 198.18.1.10/32 --flows 300 --rate 600 --payload 100 --duration 120
gen_pid=$lab_pid
goes_on "events arrive"

echo "-- two collectors"
a_collector standby.log 9561
standby=$lab_pid
check "a second collector stands by, and says who writes" lab_wait 60 "a word" grep -qE \
    'event=waiting for=another_collector reason=".*penstock-collector, server process [0-9]+' "$lab/log/standby.log"
check "and so does its health" health_is 9561 "standing by: another collector writes to the database"
check "the one who writes is healthy" health_is 9560 ok
lab_kill "$active" KILL
check "killed with -9, it is followed within seconds" lab_wait 60 "the second collector" \
    lab_started "$standby" 0 standby.log
goes_on "and events arrive again"

echo "-- sessions and restarts"
for _ in 1 2 3; do
    lab_value "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'collector'" >/dev/null
    sleep 0.5
done
goes_on "its sessions were ended: it goes on"
pg crash "$first"
sleep 1
pg start "$first" >/dev/null
goes_on "PostgreSQL crashed and came back: it goes on"

echo "-- a full disk"
failures=$(lab_count event=transaction_failed standby.log)
cat /dev/zero >"$first/ballast" 2>/dev/null # until there is no room
full() { [ "$(lab_count event=transaction_failed standby.log)" -gt "$failures" ]; }
check "the disk is full: transactions fail" lab_wait 60 "a failure" full
rm "$first/ballast"
pg start "$first" >/dev/null # where no room for the log was left, the server itself is gone
goes_on "there is room again: it goes on"

echo "-- failover to a synchronous standby"
pg standby "$second" "$first" >/dev/null || exit 1
lab_sql -c "ALTER SYSTEM SET synchronous_standby_names = '*'" -c "SELECT pg_reload_conf()" >/dev/null
lab_until 60 "a synchronous standby" "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'" || exit 1
goes_on "with a synchronous standby events arrive"
pg crash "$first"
pg promote "$second"
goes_on "the primary is killed, the standby promoted: it goes on there"
check "nothing is missing" same 0 "$(lab_value "SELECT count(*) FROM penstock.sensor_gap")"

echo "-- failover to an asynchronous standby that is behind"
rm -rf "${first:?}/data"
pg standby "$first" "$second" >/dev/null || exit 1
lab_until 60 "a standby" "SELECT count(*) = 1 FROM pg_stat_replication" || exit 1
had=$(mark)
lab_until 60 "it follows" "SELECT max(last_seq) > $had FROM penstock.sensor" || exit 1
psql "host=$first/socket user=postgres dbname=postgres" -X -q -c "ALTER SYSTEM SET primary_conninfo = ''" \
    -c "SELECT pg_reload_conf()" >/dev/null
lab_until 60 "it follows no more" "SELECT count(*) = 0 FROM pg_stat_replication" || exit 1
goes_on "what it does not have is committed"
pg crash "$second"
pg promote "$first"
goes_on "the primary is killed, the standby promoted: it goes on there"

if [ "${2:-}" = --long ]; then
    echo "-- a network that ends without a word"
    # the server listens at the PoP's end of the management link, and the collector's connection is TCP
    pg stop "$first"
    echo "host all all 10.255.0.0/16 trust" >>"$first/data/pg_hba.conf"
    echo "listen_addresses = '10.255.1.2'" >>"$first/data/postgresql.auto.conf"
    bin=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/pg_ctl | tail -n 1)")
    (cd / && nsenter --net="/run/netns/$lab_id-AMS-box" runuser -u postgres -- "$bin/pg_ctl" -D "$first/data" -w -s \
        -l "$first/data/server.log" -o "-c unix_socket_directories=$first/socket" start </dev/null >/dev/null 2>&1)
    lab_kill "$standby"
    lab_collector_spawn tcp.log --set "database.dsn=host=10.255.1.2 dbname=penstock user=collector" --set http.listen=
    lab_wait 60 "the collector" lab_started "$lab_pid" 0 tcp.log || exit 1
    tcp=$lab_pid
    goes_on "a collector writes over TCP"
    ended=$SECONDS
    lab_in core ip link set m1 down
    a_collector spare.log 9562 --set "collector.listen=tcp://*:5561" # the other one still has its door
    check "its session, and with it the lock, ends within half a minute" lab_wait 60 "the spare" \
        lab_in core curl -s -o /dev/null -m 2 -f http://127.0.0.1:9562/healthz
    echo "after $((SECONDS - ended)) s"
    check "the session ended in time" test $((SECONDS - ended)) -le 35
    lab_kill "$lab_pid"
    lab_in core ip link set m1 up
    goes_on "the network is back: it goes on"
    lab_kill "$tcp"
    a_collector last.log 9563
    lab_wait 60 "the collector" lab_started "$lab_pid" 0 last.log || exit 1
fi

echo "-- the count"
kill -TERM "$gen_pid"
wait "$gen_pid" 2>/dev/null
sleep 2
kill -TERM "$sensor_pid"
wait "$sensor_pid"
check "the sensor ends cleanly" same 0 $?
last=$(mark)
gap=$(lab_value "SELECT coalesce(sum(to_seq - from_seq + 1), 0) FROM penstock.sensor_gap")
echo "events: $last, of these lost with the asynchronous failover: $gap"
rows="(SELECT event_seq FROM penstock.sensor_status UNION ALL SELECT event_seq FROM penstock.ingress_tally
    UNION ALL SELECT event_seq FROM penstock.scan_window_entry) e"
check "there were some thousand events" test "$last" -gt 2000
check "what the standby had not shows as a gap" test "$gap" -gt 0
check "no event counts twice" same 0 "$(lab_value "SELECT count(*) - count(DISTINCT event_seq) FROM $rows")"
# the hello and the goodbye are events without a row
check "all others are there" same "$last" "$(lab_value "SELECT count(*) + 2 + $gap FROM $rows")"
lab_until 60 "the map to be written" "SELECT (SELECT sum(packets) FROM penstock.ingress_map) = (SELECT sum(packets) FROM penstock.ingress_tally)"
check "the map's packets are the tallies' packets" same t \
    "$(lab_value "SELECT (SELECT sum(packets)::bigint FROM penstock.ingress_map) = (SELECT sum(packets)::bigint FROM penstock.ingress_tally)")"
check "no log shows the password" sh -c "! grep -q hunter2 '$lab'/log/*.log"

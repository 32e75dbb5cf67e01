#!/usr/bin/env bash
# shellcheck disable=SC2034
# Delivery under faults: nothing lost, nothing double, and every gap told. See usage below.
usage() {
    cat <<'USAGE'
Usage: faults.sh BUILD-FOLDER [--long [--write]] [--seed N] [--only FAULT[,FAULT…]]

As root. Sensors without packets (driver.c) make numbered events; collector, PostgreSQL, network and
disks are broken meanwhile, at random moments; at the end SQL compares what is stored with what the
drivers wrote down (compare.sql). Prints a check per promise and, at the end, the table of
docs/reliability.md.

  --long   more than a million events, and more of each fault: a quarter of an hour
  --write  puts the table into docs/reliability.md, if all went well
  --seed   draws the same moments again (they fall on other events: no machine runs twice alike)
  --only   these faults alone
USAGE
}

# Small disks that can be full are mounted: in a mount namespace of our own.
[ -n "${DELIVERY_APART:-}" ] || DELIVERY_APART=1 exec unshare --mount --propagation unchanged "$0" "$@"
# in a chroot / is no mount point, and has no propagation of its own
mount --make-rprivate / 2>/dev/null

# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/../common.sh"
# shellcheck source=tests/integration/delivery/parts.sh
. "$(dirname "$0")/parts.sh"
shift

is_long=false is_written=false seed=$((RANDOM * 32768 + RANDOM)) only=
while [ $# -gt 0 ]; do
    case $1 in
    --long) is_long=true ;;
    --write) is_written=true ;;
    --seed) seed=${2:?--seed needs a number}; shift ;;
    --only) only=${2:?--only needs names}; shift ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
RANDOM=$((seed % 32768))

# How much: events of one driver, how many a second, how many drivers.
if $is_long; then
    total=30000 rate=2500 drivers=2 storm_total=200 storm_restarts=5 full_total=300000
else
    total=3000 rate=1500 drivers=2 storm_total=40 storm_restarts=1 full_total=100000
fi

# ---- the network

fault_reset() {
    drivers_start
    while all_at_work; do
        sleep_between 100 500
        relay_do reset
        injected=$((injected + answer))
    done
}
# Nobody is told that the other end is gone: both find out by the silence.
fault_half_open() {
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        relay_do hole
        injected=$((injected + answer))
        sleep_between 100 400
        relay_do clear
        sleep 2 # a driver finds out after a second and a half
    done
}
fault_stall() {
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        relay_do stall
        injected=$((injected + answer))
        sleep_between 200 2200 # shorter and longer than a driver's patience
        relay_do clear
    done
}
fault_delay() {
    drivers_start
    while all_at_work; do
        between 10 300
        relay_do delay "$drawn"
        injected=$((injected + answer))
        sleep_between 300 1200
        relay_do clear
    done
}

# ---- processes

fault_kill_driver() {
    drivers_start
    while all_at_work; do
        sleep_between 50 600
        one_of "${names[@]}"
        local name=$drawn
        driver_kill "$name"
        injected=$((injected + 1))
        sleep_between 0 200
        driver_start "$name"
    done
    drivers_finish
    compare >/dev/null
    # at worst: what the ring holds, what it held before a commit that a busy disk let take long, and linger
    check "kill_driver: a kill costs no more than the ring twice and a tenth of a second" \
        test "${found[unspooled]}" -le $((injected * (2 * 256 + rate / 10)))
}
fault_kill_collector() {
    drivers_start
    while all_at_work; do
        sleep_between 100 900
        collector_kill
        injected=$((injected + 1))
        sleep_between 0 300
        collector_up || return
    done
}
fault_kill_postgres() {
    drivers_start
    while all_at_work; do
        sleep_between 200 1200
        one_of postmaster immediate backend fast
        database_crash "$drawn"
        injected=$((injected + 1))
        lab_wait 60 "the database to start" database_up || return
    done
}
# Somebody alters the tables meanwhile: every write waits.
fault_lock() {
    drivers_start
    while all_at_work; do
        sleep_between 100 600
        one_of ingress_tally sensor ingress_entry collector_turn
        local table=$drawn
        between 300 2000
        lab_sql -c "BEGIN; LOCK TABLE penstock.$table IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep($drawn / 1000.0); COMMIT" >/dev/null
        injected=$((injected + 1))
    done
}
# The database refuses some rows for good: these, and no others, are set aside.
fault_poison() {
    lab_sql <<'SQL'
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE check_violation USING MESSAGE = 'a row that the test refuses'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON penstock.ingress_tally FOR EACH ROW
            WHEN (NEW.flows % 1500 = 250 OR NEW.flows BETWEEN 340 AND 343) EXECUTE FUNCTION public.refuse();
SQL
    drivers_start
    drivers_finish
    lab_sql -c "DROP FUNCTION public.refuse() CASCADE" 2>/dev/null
    refused=$((drivers * ((total + 1250) / 1500 + 4)))
    injected=$refused
}
# The database is set back to what it was: what was stored since is gone, and the sensors have deleted it.
# All of that, and no more, is told.
fault_old_database() {
    may_give_up=true
    local of before name
    drivers_start
    while all_at_work; do
        sleep_between 200 600
        database_down
        cp -a "$lab/pg/data" "$lab/pg/copy"
        database_up || return
        of="FROM penstock.sensor WHERE pop = '$place'"
        before=$(lab_value "SELECT coalesce(sum(last_seq), 0) $of")
        lab_until 60 "later events" "SELECT sum(last_seq) > $before + 100 $of" || return
        sleep_between 0 500
        database_down
        rm -rf "$lab/pg/data"
        mv "$lab/pg/copy" "$lab/pg/data"
        database_up || return
        injected=$((injected + 1))
    done
    drivers_finish
    for name in "${names[@]}"; do driver_start "$name"; done # who had delivered all says hello once more
    drivers_finish
    compare >/dev/null
    check "old_database: what it lost is told" test "${found[gaps]}" -gt 0
}
fault_stop() {
    local pids
    drivers_start
    while all_at_work; do
        sleep_between 100 500
        one_of driver collector database
        case $drawn in
        driver) one_of "${names[@]}"; pids=("${driver_pid[$drawn]}") ;;
        collector) pids=("${collector_pid[1]}") ;;
        database) mapfile -t pids < <(database_processes) ;;
        esac
        stand_still 2500 "${pids[@]}"
        injected=$((injected + 1))
    done
}
# The second is started by mistake, on the same database and another port. Half of the drivers speak
# with it.
fault_two_collectors() {
    local name=two_collectors2
    driver_more[$name]="--endpoint tcp://127.0.0.1:5562"
    drivers_start
    while all_at_work; do
        collector_start 2
        injected=$((injected + 1))
        sleep_between 300 1200
        collector_kill 1
        sleep_between 300 1200
        collector_start 1
        sleep_between 300 1200
        collector_kill 2
    done
    collector_stop 1
    collector_up 2 || return
    driver_finish $name
    collector_stop 2
    collector_up 1
}

# ---- disks

fault_full_disk_postgres() {
    drivers_start
    while all_at_work; do
        sleep_between 200 800
        disk_full "$lab/pg"
        sleep_between 300 1500
        lab_disk_resize "$lab/pg" 4g
        lab_wait 60 "the database to be there" database_up || return
    done
    injected=$(grep -c 'No space left on device' "$lab/pg/data/server.log")
}
# Every sync of the drivers' and of PostgreSQL's takes up to a fifth of a second longer.
fault_slow_disk() {
    slow_disk_of "$lab/slow"
    database_env=("${slow_env[@]}") driver_env=("${slow_env[@]}")
    database_down
    database_up || return
    drivers_start
    while all_at_work; do
        between 5 200
        echo "$drawn" >"$lab/slow"
        sleep_between 300 1200
        echo 0 >"$lab/slow"
        sleep_between 100 300
    done
    database_env=()
    database_down
    database_up || return
    injected=$(stat -c %s "$lab/slow.count")
}

# The sensors' disk is full while the collector is away; then it is back, and later the disk has room.
fault_full_disk_sensor() {
    small_disk 48m
    drivers_start
    while all_at_work; do
        sleep_between 100 400
        relay_do hole
        disk_full "$lab/state"
        injected=$((injected + 1))
        sleep_between 500 1500
        relay_do clear
        sleep_between 0 500
        lab_disk_resize "$lab/state" 48m
        sleep_between 500 1000
    done
    drivers_finish
    big_disk
}
# The collector is away for so long that the spools are full.
fault_full_spool() {
    may_give_up=true
    total=$full_total rate=30000 drivers=1 driver_more[full_spool1]="--keep 8388608"
    collector_stop
    drivers_start
    while all_at_work; do sleep 0.5; done
    collector_up || return
    drivers_finish
    injected=$drivers
}
# A disk is set back to what it was before: the spool knows less than the collector has. What was
# delivered meanwhile is there once; what is made from now on, too.
fault_old_spool() {
    local name
    rate=$((rate / 2)) # each turn takes seconds
    drivers_start
    while all_at_work; do
        one_of "${names[@]}"
        name=$drawn
        one_of clear clear hole # does the copy hold events that were not sent yet?
        relay_do "$drawn"
        [ "$drawn" = clear ] || sleep 2 # now it knows that it has no connection
        sleep_between 200 700
        driver_kill "$name"
        relay_do clear
        rm -rf "$lab/copy"
        cp -a "$lab/state/$name" "$lab/copy"
        driver_start "$name"
        sleep_between 200 700
        driver_stop "$name" # delivers all that it has
        rm -rf "$lab/state/$name"
        cp -a "$lab/copy" "$lab/state/$name"
        one_of clear hole # is the collector there when the old numbers go on?
        relay_do "$drawn"
        driver_start "$name"
        injected=$((injected + 1))
        sleep_between 300 900
        relay_do clear
        sleep 3 # the collector was told that this spool goes on anew: a copy of a copy is another matter
    done
}
# Pages are overwritten, or the file is cut. What was not delivered is a gap that nobody can number.
fault_corrupt_spool() {
    may_give_up=true may_lose_spool=true
    local name file
    drivers_start
    while all_at_work; do
        one_of "${names[@]}"
        name=$drawn
        sleep_between 200 500
        one_of driver_stop driver_kill cut_off
        if [ "$drawn" = cut_off ]; then # what it makes now, nobody else has
            relay_do hole
            sleep_between 100 700
            drawn=driver_kill
        fi
        $drawn "$name"
        relay_do clear
        file=$lab/state/$name/spool/data.mdb
        case $((injected % 3)) in
        0) dd if=/dev/urandom of="$file" bs=4096 count=2 conv=notrunc status=none ;; # both heads of the tree
        1) for _ in 1 2 3 4; do
            between 2 40 # of the pages that are in use
            dd if=/dev/urandom of="$file" bs=4096 count=1 seek="$drawn" conv=notrunc status=none
        done ;;
        2) truncate -s 12288 "$file" ;;
        esac
        injected=$((injected + 1))
        driver_start "$name"
    done
    local aside=("$lab"/state/corrupt_spool*/spool.corrupt-*)
    check "corrupt_spool: damaged spools were set aside" test -d "${aside[0]}"
}

# ---- clocks

# clock_of FILE: environment in which the wall clock is as far off as FILE says
clock_of() {
    echo "+0" >"$1"
    clock_env=("LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1)" "FAKETIME_TIMESTAMP_FILE=$1"
        FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1)
}
clock_jumps() { # clock_jumps FILE: until the drivers have made all
    local to
    while all_at_work; do
        for to in +1d -1d +0; do # and somewhere near
            between -90 90
            echo "$to" >"$1"
            injected=$((injected + 1))
            sleep_between 100 400
            echo "$drawn" | sed 's/^[0-9]/+&/' >"$1"
            injected=$((injected + 1))
            sleep_between 100 300
        done
    done
    echo "+0" >"$1"
}
fault_clock_sensor() {
    clock_of "$lab/clock"
    driver_env=("${clock_env[@]}")
    drivers_start
    sleep_between 300 700
    # a new disk under a clock that is a day behind: an epoch older than the one that is known
    driver_stop clock_sensor1
    rm -rf "$lab/state/clock_sensor1"
    echo -1d >"$lab/clock"
    driver_start clock_sensor1
    injected=1
    sleep_between 300 700
    clock_jumps "$lab/clock"
    drivers_finish
    check "clock_sensor: the clock did jump: events are of three days" lab_true \
        "SELECT count(DISTINCT at::date) = 3 FROM penstock.ingress_tally WHERE pop = '$place'"
    check "clock_sensor: its latest epoch is older than the one before" lab_true \
        "SELECT count(*) = 2 AND min(epoch) = (SELECT epoch FROM penstock.sensor WHERE name = 'clock_sensor1')
        FROM penstock.sensor_epoch WHERE sensor = 'clock_sensor1'"
}
fault_clock_collector() {
    clock_of "$lab/clock"
    collector_env=("${clock_env[@]}")
    collector_stop
    collector_up || return
    drivers_start
    clock_jumps "$lab/clock"
    drivers_finish
    collector_stop
    collector_env=()
    collector_up
}

# ---- what was said once is said again

# By the bytes: a listener on the wire sends what it heard once more, from connections of its own.
fault_replay_wire() {
    relay_do record
    relay_do reset # so that all say hello on recorded connections
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        relay_do replay
        injected=$((injected + answer))
    done
}
# By the message: who has the sensor's name and key repeats batches, epochs and hellos.
fault_replay() {
    names=(replay1 replay2)
    local name said
    $is_long && total=$((total / 3)) # a sensor may say four hellos a second, and it says many
    for name in "${names[@]}"; do
        between 0 32767
        lab_allow "$name" "$place"
        # shellcheck disable=SC2046
        lab_spawn "$name.log" nsenter --net="/run/netns/$lab_id-core" "$replayer" --journal "$lab/journal/$name" \
            --endpoint tcp://127.0.0.1:5561 --name "$name" --pop "$place" --total "$total" --seed "$drawn" --seconds 280 \
            $(keys_of "$name")
        driver_pid[$name]=$lab_pid
    done
    for name in "${names[@]}"; do
        wait "${driver_pid[$name]}" || undelivered=$((undelivered + 1))
        said=$(grep -x '[0-9]*' "$lab/log/$name.log")
        injected=$((injected + ${said:-0}))
        driver_pid[$name]='' # has ended
    done
}

# ---- keys

# Somebody else says to be this sensor: with a key of his own; or with the key of another sensor, which
# the collector then goes by, whatever is claimed.
fault_other_key() {
    local key=other_key3 refusals
    mkdir "$lab/stolen"
    drivers_start
    names+=("$key")
    lab_allow $key "$place"
    "$lab_bin/collector/penstockctl" keys new other_key1 --pop "$place" --dir "$lab/stolen" >>"$lab/log/keys.log"
    while all_at_work; do
        intruder intruder "$lab/stolen/other_key1.cert"
        intruder $key "$lab/keys/$key.cert"
    done
    driver_more[$key]="--name other_key1 --total $((total / 3))" # the rest of its events
    driver_start $key
    refusals=$(lab_count event=key_refused collector1.log) # the first at once, then one in ten seconds
    check "other_key: the collector's log tells of strangers" test "$refusals" -gt 0
}
intruder() { # intruder JOURNAL CERTIFICATE: is "other_key1" for a second
    mkdir -p "$lab/state/$1"
    lab_in core "$driver" --journal "$lab/journal/$1" --endpoint tcp://127.0.0.1:5561 --name other_key1 \
        --pop "$place" --state "$lab/state/$1" --total "$total" --rate "$rate" --seconds 1 --wait 1 \
        --certificate "$2" --server "$lab/keys/collector.pub" >>"$lab/log/intruder.log" 2>&1
    injected=$((injected + 1))
}
# Its connection ends, and it waits; what it makes meanwhile comes when it is allowed again.
fault_revoked() {
    local name before
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        one_of "${names[@]}"
        name=$drawn
        before=$(lab_count event=revoked collector1.log)
        mv "$lab/sensors.d/$name.pub" "$lab/keys/revoked.pub"
        # who is not connected just now has nothing to be ended
        if ! lab_wait 5 "the revocation" is_logged event=revoked "$before"; then
            mv "$lab/keys/revoked.pub" "$lab/sensors.d/$name.pub"
            continue
        fi
        injected=$((injected + 1))
        sleep_between 0 500
        mv "$lab/keys/revoked.pub" "$lab/sensors.d/$name.pub"
        sleep 1
    done
}
is_logged() { [ "$(lab_count "$1" collector1.log)" -gt "$2" ]; } # is_logged WORD BEFORE

# ---- many at once

# One fault after the other, at random; some begin before the one before is over.
fault_mixed() {
    local name
    slow_disk_of "$lab/slow"
    driver_env=("${slow_env[@]}")
    rate=$((rate / 2)) drivers=4
    drivers_start
    while all_at_work; do
        sleep_between 50 800
        one_of "${names[@]}"
        name=$drawn
        one_of reset hole stall delay clear clear kill_driver stop_driver kill_collector stop_collector \
            kill_postgres stop_postgres lock slow
        injected=$((injected + 1))
        case $drawn in
        reset | hole | stall | clear) relay_do "$drawn" ;;
        delay) between 5 100; relay_do delay "$drawn" ;;
        kill_driver) driver_kill "$name"; driver_start "$name" ;;
        stop_driver) stand_still 1500 "${driver_pid[$name]}" ;;
        kill_collector) collector_kill; collector_up || return ;;
        stop_collector) stand_still 1500 "${collector_pid[1]}" ;;
        kill_postgres)
            one_of postmaster immediate backend fast
            database_crash "$drawn"
            lab_wait 60 "the database to start" database_up || return ;;
        stop_postgres) mapfile -t pids < <(database_processes); stand_still 1500 "${pids[@]}" ;;
        lock) lab_sql -c "BEGIN; LOCK TABLE penstock.sensor IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.7); COMMIT" >/dev/null ;;
        slow) between 0 150; echo "$drawn" >"$lab/slow" ;;
        esac
    done
    echo 0 >"$lab/slow"
    relay_do clear
}

fault_storm() {
    local clients=500 storm_pid least since
    lab_spawn storm.log nsenter --net="/run/netns/$lab_id-core" "$storm" --endpoint tcp://127.0.0.1:5560 \
        --pop "$place" --clients $clients --total $storm_total --seconds 120 \
        --server "$lab/keys/collector.pub" --sensors "$lab/sensors.d"
    storm_pid=$lab_pid
    lab_until 60 "all $clients" "SELECT count(*) = $clients FROM penstock.sensor WHERE pop = '$place'"
    for ((injected = 0; injected < storm_restarts; injected++)); do
        sleep_between 1500 2500
        collector_kill
        sleep_between 200 1000
        collector_up || return
        since=$(lab_value "SELECT now()")
        lab_until 60 "all $clients again" "SELECT count(*) = $clients FROM penstock.sensor
            WHERE pop = '$place' AND last_seen > '$since'"
    done
    wait "$storm_pid" || undelivered=$((undelivered + 1))
    storm_journal=$lab/log/storm.log
    mapfile -t names < <(sed -n 's/^\(storm-[0-9]*\) .*/\1/p' "$storm_journal")
    read -r _ _ _ least < <(grep '^welcomes' "$storm_journal")
    check "storm: all $clients were there" same $clients ${#names[@]}
    check "storm: each came back after each restart" test "$least" -gt "$storm_restarts"
    injected=$((clients * storm_restarts)) # connections that broke
}

# ---- all of it

lab_up "$build"
mkdir "$lab/journal" "$lab/state"
lab_disk "$lab/pg" 4g || exit 1
echo "seed $seed"
collector_env=() database_env=()
lab_database --durable || exit 1
relay_up
collector_up || exit 1

run_fault reset "connections are reset"
[ ${#names[@]} -eq 0 ] || check_comparison
run_fault old_database "the database is set back to an older state"
run_fault half_open "connections are half open: the other end is gone and nobody says so"
run_fault stall "the network stands still, then goes on"
run_fault delay "the network is slow"
run_fault kill_driver "the sensor is killed (kill -9)"
run_fault kill_collector "the collector is killed (kill -9)"
run_fault kill_postgres "PostgreSQL is killed (postmaster or backend by kill -9, immediate stop) or restarted"
run_fault stop "sensor, collector or PostgreSQL stand still (SIGSTOP), then go on"
run_fault lock "an administrator locks tables"
run_fault poison "the database refuses some rows for good"
run_fault two_collectors "a second collector on the same database"
run_fault full_disk_postgres "PostgreSQL's disk is full"
run_fault full_disk_sensor "the sensor's disk is full"
run_fault full_spool "the spool is full"
run_fault old_spool "the spool is an old copy: its numbers are used again"
run_fault corrupt_spool "the spool is damaged"
run_fault slow_disk "slow disks: a sync takes up to 200 ms"
run_fault clock_sensor "the sensor's clock jumps, up to a day either way"
run_fault clock_collector "the collector's clock jumps, up to a day either way"
run_fault replay_wire "recorded connections are sent again"
run_fault replay "old batches, hellos and epochs are sent again"
run_fault other_key "somebody says to be this sensor, with another key"
run_fault revoked "a sensor's key is revoked, and allowed again"
run_fault mixed "one after the other and several at once: network, processes, locks, slow disks"
run_fault storm "500 sensors come back at once after the collector was killed"

print_table
if $is_written && [ $checks_failed -eq 0 ]; then write_table; fi

#!/usr/bin/env bash
# Delivery under faults: nothing lost, nothing double, and every gap told. See usage below.
# shellcheck source=tests/integration/common.sh
usage() {
    cat <<'USAGE'
Usage: faults.sh BUILD-FOLDER [--long] [--seed N] [--only FAULT[,FAULT…]]

As root. Sensors without packets (driver.c) make numbered events; collector, PostgreSQL, network and
disks are broken meanwhile, at random moments; at the end SQL compares what is stored with what the
drivers wrote down (compare.sql). Prints a check per promise and, at the end, the table of
docs/reliability.md.

  --long   a million events, and more of each fault: a quarter of an hour
  --seed   draws the same moments again (they fall on other events, for the machine is not the same)
  --only   these faults alone
USAGE
}

# tmpfs as disks that can be full: in a mount namespace of our own
[ -n "${DELIVERY_APART:-}" ] || DELIVERY_APART=1 exec unshare --mount --propagation private "$0" "$@"

. "$(dirname "$0")/../common.sh"
shift

is_long=false seed=$((RANDOM * 32768 + RANDOM)) only=
while [ $# -gt 0 ]; do
    case $1 in
    --long) is_long=true ;;
    --seed) seed=${2:?--seed needs a number}; shift ;;
    --only) only=${2:?--only needs names}; shift ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done

here=$lab_root/tests/integration/delivery
driver=$build/tests/integration/delivery/delivery_driver

# How much: events of one driver, how many a second, how many drivers, how often a fault with many
# short injections is injected at least.
if $is_long; then
    total=25000 rate=1500 drivers=2
else
    total=4500 rate=1500 drivers=2
fi

# ---- chance: drawn in this shell, so that the seed says all

RANDOM=$((seed % 32768))
between() { # between LOW HIGH: sets $drawn
    drawn=$(($1 + RANDOM % ($2 - $1 + 1)))
}
sleep_ms() {
    sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))"
}
sleep_between() { # sleep_between LOW HIGH: ms
    between "$1" "$2"
    sleep_ms "$drawn"
}
one_of() { # one_of WORD…: sets $drawn
    between 1 $#
    drawn=${!drawn}
}

# ---- the parts: relay, collector, database

relay_up() {
    mkfifo "$lab/orders"
    exec 7<>"$lab/orders"
    nsenter --net="/run/netns/$lab_id-core" "$build/tests/support/relay" 5561 5560 3600 \
        <"$lab/orders" >"$lab/answers" 2>"$lab/log/relay.log" &
    lab_pids+=($!)
}
answers() { wc -l <"$lab/answers"; }
is_answered() { [ "$(answers)" -gt "$1" ]; }
relay_do() { # relay_do ORDER…: sets $answer, the number that it answers
    local before
    before=$(answers)
    echo "$*" >&7
    lab_wait 10 "the relay" is_answered "$before" || return 1
    answer=$(tail -n 1 "$lab/answers")
    answer=${answer##* }
}

database_up() {
    lab_dsn=$("$lab_root/deploy/lab/pg-cluster" start --durable "$lab/pg")
}
postmaster() { head -n 1 "$lab/pg/data/postmaster.pid" 2>/dev/null; }

collector_up() {
    lab_collector "$@"
}
collector_kill() {
    lab_kill "$lab_collector_pid" KILL
}

# ---- drivers

declare -A driver_pid driver_more
# driver_start NAME: goes on where it was
driver_start() {
    mkdir -p "$lab/state/$1"
    local more=()
    read -ra more <<<"${driver_more[$1]:-}"
    lab_spawn "driver-$fault.log" nsenter --net="/run/netns/$lab_id-core" env "${driver_env[@]}" "$driver" \
        --journal "$lab/journal/$1" --endpoint tcp://127.0.0.1:5561 --name "$1" --pop "$place" \
        --state "$lab/state/$1" --total "$total" --rate "$rate" --seconds 300 --wait 20 "${more[@]}"
    driver_pid[$1]=$lab_pid
}
driver_kill() { # driver_kill NAME
    lab_kill "${driver_pid[$1]}" KILL
    driver_start "$1"
}
driver_stop() { # driver_stop NAME: as an operator would; does not start it again
    lab_kill "${driver_pid[$1]}" TERM
}
is_at_work() { # is_at_work NAME: has it not made all its events?
    local made
    made=$("$driver" --journal "$lab/journal/$1" --report | head -n 1)
    [ "${made%% *}" -lt "$total" ]
}
all_at_work() {
    local name
    for name in "${names[@]}"; do is_at_work "$name" || return 1; done
}
drivers_start() {
    local i
    names=()
    for ((i = 1; i <= drivers; i++)); do
        names+=("$fault$i")
        driver_start "$fault$i"
    done
}
# Until each has delivered all: a driver that was killed or gave up waiting goes on.
drivers_finish() {
    local name i
    for name in "${names[@]}"; do
        for ((i = 0; i < 6; i++)); do
            wait "${driver_pid[$name]}" && break
            driver_start "$name"
        done
        [ $i -lt 6 ] || { echo "$name does not get rid of its events"; undelivered=$((undelivered + 1)); }
    done
}

# ---- one fault after the other

rows=() names=()
# compare [SQL]: sets the variables that compare.sql prints, as $r_NAME. SQL: done before, and undone
compare() {
    local name line
    line=$({
        echo "BEGIN; ${1:-}"
        echo "CREATE TEMP TABLE journal (sensor text, pushed bigint, runs bigint, stops bigint);"
        echo "CREATE TEMP TABLE doubt (sensor text, from_v bigint, to_v bigint);"
        echo "COPY journal FROM STDIN WITH (DELIMITER ' ');"
        for name in "${names[@]}"; do
            "$driver" --journal "$lab/journal/$name" --report | sed -n "1s/^/$name /p"
        done
        echo '\.'
        echo "COPY doubt FROM STDIN WITH (DELIMITER ' ');"
        for name in "${names[@]}"; do
            "$driver" --journal "$lab/journal/$name" --report | sed -n "2,\$s/^/$name /p"
        done
        echo '\.'
        cat "$here/compare.sql"
        echo "ROLLBACK;"
    } | lab_sql -At -v "pop=$place" -f -)
    for name in $line; do declare -g "r_${name%%=*}=${name#*=}"; done
    echo "        $line"
    [ -n "$line" ]
}
own_events() { # how many events the publishers made themselves, at most
    local name pushed runs stops sum=0
    for name in "${names[@]}"; do
        read -r pushed runs stops < <("$driver" --journal "$lab/journal/$name" --report)
        sum=$((sum + runs + stops))
    done
    echo $sum
}

# run_fault FAULT SENTENCE: calls fault_FAULT, which starts drivers and injects; then compares.
run_fault() {
    fault=$1 place=${1^^} injected=0 undelivered=0 names=() driver_env=() driver_more=()
    local began=$SECONDS
    [ -z "$only" ] || [[ ",$only," == *",$fault,"* ]] || return 0
    echo "-- $2"
    "fault_$fault"
    drivers_finish
    check "$fault: every event is delivered in the end" same 0 $undelivered
    compare || { check "$fault: what is stored can be read" false; return; }
    check "$fault: it was injected" test "$injected" -gt 0
    check "$fault: none lost, none double, none alien" same "0 0 0" "$r_lost $r_double $r_alien"
    check "$fault: the numbers in gaps are those that are missing" same "0 0" "$r_excess $r_inside"
    check "$fault: sequence numbers are complete and in order" test "$r_disorder" = 0 -a "$r_unnumbered" -le "$(own_events)"
    check "$fault: the map is the sum of what is stored, nothing is malformed" same "1 0" "$r_map $r_malformed"
    rows+=("| $2 | $injected | $r_sent | $r_stored | $r_gaps | $r_unspooled | $r_lost | $r_double |")
    echo "        $injected injected, $((SECONDS - began)) s"
}
# A comparison that sees nothing would always be content: four rows are falsified.
check_comparison() {
    local of="sensor = '${names[0]}' AND event_seq IN (SELECT event_seq FROM penstock.ingress_tally WHERE sensor = '${names[0]}'"
    compare "DELETE FROM penstock.ingress_tally WHERE $of ORDER BY event_seq OFFSET 100 LIMIT 3);"
    check "the comparison notices what is lost, and that the map does not fit" same "3 0 0" "$r_lost $r_double $r_map"
    compare "INSERT INTO penstock.ingress_tally SELECT * FROM penstock.ingress_tally WHERE $of ORDER BY event_seq OFFSET 200 LIMIT 2);"
    check "the comparison notices what is double" same "0 4" "$r_lost $r_double" # by v, and by event_seq
    compare "INSERT INTO penstock.sensor_gap_entry SELECT sensor, epoch, event_seq, event_seq + 1, 'false', at
        FROM penstock.ingress_tally WHERE $of ORDER BY event_seq OFFSET 300 LIMIT 1);"
    check "the comparison notices a gap where nothing is missing" test "$r_inside" -ge 1 -a "$r_excess" = 2
    compare "INSERT INTO penstock.sensor_gap_entry SELECT sensor, epoch, event_seq, event_seq, 'true', at
        FROM penstock.ingress_tally WHERE $of ORDER BY event_seq OFFSET 300 LIMIT 1);
        DELETE FROM penstock.ingress_tally WHERE $of ORDER BY event_seq OFFSET 300 LIMIT 1);"
    check "the comparison counts a gap that is told" same "0 1 0 0 0" "$r_lost $r_gaps $r_excess $r_inside $r_disorder"
}
print_table() {
    echo "| fault | injected | events sent | stored | in gaps | died before the spool | lost | double |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    printf '%s\n' "${rows[@]}"
}

# ---- the network

fault_reset() {
    drivers_start
    while all_at_work; do
        sleep_between 100 500
        relay_do reset
        injected=$((injected + answer))
    done
}
# Nobody is told that the other end is gone: both find out by their own silence.
fault_half_open() {
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        relay_do hole
        injected=$((injected + answer))
        sleep_between 100 400
        relay_do clear
        sleep 2 # they find out after a second and a half
    done
}
fault_stall() {
    drivers_start
    while all_at_work; do
        sleep_between 300 900
        relay_do stall
        injected=$((injected + answer))
        sleep_between 200 2200 # shorter and longer than a sensor's patience
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
database_crash() { # database_crash HOW
    local pid
    pid=$(postmaster)
    case $1 in
    postmaster) kill -9 "$pid" ;;
    immediate) runuser -u postgres -- kill -QUIT "$pid" ;;
    backend) # the one that writes: all others are ended by the postmaster, which then recovers
        kill -9 "$(lab_value "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1")" ;;
    esac 2>/dev/null
    [ "$1" = backend ] || lab_wait 10 "the database to be dead" lab_gone "$pid"
}
lab_gone() { ! kill -0 "$1" 2>/dev/null; }
fault_kill_postgres() {
    drivers_start
    while all_at_work; do
        sleep_between 200 1200
        one_of postmaster immediate backend
        database_crash "$drawn"
        injected=$((injected + 1))
        lab_wait 30 "the database to start" database_up
    done
}

lab_up "$build"
mkdir "$lab/journal" "$lab/state"
lab_disk "$lab/pg" 4g || exit 1
echo "seed $seed"
database_up || exit 1
relay_up
collector_up || exit 1

run_fault reset "connections are reset"
[ ${#names[@]} -eq 0 ] || check_comparison
run_fault half_open "connections are half open: the other end is gone and nobody says so"
run_fault stall "the network stands still, then goes on"
run_fault delay "the network is slow"
run_fault kill_collector "the collector is killed (kill -9)"
run_fault kill_postgres "PostgreSQL is killed: postmaster or backend by kill -9, or stopped at once"

print_table

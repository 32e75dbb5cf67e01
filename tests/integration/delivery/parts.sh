# shellcheck shell=bash disable=SC2034,SC2154
# What the fault script is made of: chance, the parts that break, the drivers, the comparison. Sourced
# by faults.sh after common.sh.

here=$lab_root/tests/integration/delivery
driver=$build/tests/integration/delivery/delivery_driver
storm=$build/tests/integration/delivery/delivery_storm
replayer=$build/tests/integration/delivery/delivery_replayer
relay=$build/tests/support/relay

# ---- chance: drawn in this shell and never in a subshell, so that the seed says all

between() { # between LOW HIGH: sets $drawn
    drawn=$(($1 + RANDOM % ($2 - $1 + 1)))
}
one_of() { # one_of WORD…: sets $drawn
    between 1 $#
    drawn=${!drawn}
}
sleep_ms() {
    sleep "$(($1 / 1000)).$(printf '%03d' $(($1 % 1000)))"
}
sleep_between() { # sleep_between LOW HIGH: ms
    between "$1" "$2"
    sleep_ms "$drawn"
}

stand_still() { # stand_still MS PID…: for so many ms at most
    local most=$1
    shift
    kill -STOP "$@" 2>/dev/null
    sleep_between 100 "$most"
    kill -CONT "$@" 2>/dev/null
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# ---- the relay: drivers at port 5561, the collector at 5560

relay_up() {
    mkfifo "$lab/orders"
    exec 7<>"$lab/orders"
    nsenter --net="/run/netns/$lab_id-core" "$relay" 5561 5560 3600 \
        <"$lab/orders" >"$lab/answers" 2>"$lab/log/relay.log" &
    lab_pids+=($!)
}
answers() { wc -l <"$lab/answers"; }
is_answered() { [ "$(answers)" -gt "$1" ]; }
relay_do() { # relay_do ORDER…: sets $answer, the number that it answers
    local before
    before=$(answers)
    echo "$*" >&7
    answer=0
    lab_wait 60 "the relay" is_answered "$before" || return 1
    answer=$(tail -n 1 "$lab/answers")
    answer=${answer##* }
}

# ---- disks

# slow_disk_of FILE: environment in which a sync takes as many ms longer as FILE says; FILE.count counts
slow_disk_of() {
    cp "$build/tests/support/libslow_disk.so" "$lab/slow_disk.so"
    echo 0 >"$1"
    : >"$1.count"
    chmod 666 "$1.count"
    slow_env=("LD_PRELOAD=$lab/slow_disk.so" "SLOW_DISK_FILE=$1")
}
# disk_full FOLDER: from now on nothing more fits (but for some pages: meanwhile it is written to)
disk_full() {
    local used
    used=$(df --output=used "$1" | tail -n 1)
    until lab_disk_resize "$1" $((used + 64))k 2>/dev/null; do used=$((used + 64)); done
}

small_disk() { lab_disk "$lab/state" "$1"; } # the drivers' folders from now on
big_disk() {
    umount --lazy "$lab/state"
    lab_disks=("${lab_disks[@]:0:1}")
}

# ---- PostgreSQL, on a small disk; its own crash recovery is part of the test

database_up() { # with $database_env in its environment
    lab_dsn=$(env "${database_env[@]}" "$lab_root/deploy/lab/pg-cluster" start --durable "$lab/pg")
}
database_down() { "$lab_root/deploy/lab/pg-cluster" stop "$lab/pg"; }
postmaster() { head -n 1 "$lab/pg/data/postmaster.pid" 2>/dev/null; }
database_crash() { # database_crash postmaster|immediate|fast|backend
    local pid
    pid=$(postmaster)
    case $1 in
    postmaster) kill -9 "$pid" ;;
    immediate) kill -QUIT "$pid" ;;
    fast) kill -INT "$pid" ;; # an administrator's restart
    backend) # the collector's: the postmaster then ends all others, and recovers
        kill -9 "$(lab_value "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
            AND pid <> pg_backend_pid() LIMIT 1")" ;;
    esac 2>/dev/null
    [ "$1" = backend ] || lab_wait 60 "the database to be dead" is_gone "$pid"
}
database_processes() {
    local pid
    pid=$(postmaster)
    echo "$pid" && pgrep -P "$pid"
}

# ---- collectors: number 1 at port 5560, number 2 at 5562

declare -A collector_pid
collector_up() { # collector_up [NUMBER]: with $collector_env in its environment
    local n=${1:-1} starts
    collector_start "$n"
    starts=$lab_starts
    lab_wait 60 "the collector" lab_started "${collector_pid[$n]}" "$starts" "collector$n.log" ||
        { tail -n 20 "$lab/log/collector$n.log" >&2; return 1; }
}
collector_start() { # does not wait until it is there
    local port=$((5558 + 2 * $1))
    lab_starts=$(lab_count 'event=started' "collector$1.log")
    lab_spawn "collector$1.log" nsenter --net="/run/netns/$lab_id-core" env "${collector_env[@]}" "$collector" \
        -c "$lab_root/configs/lab-collector.yaml" --set "collector.listen=tcp://*:$port" \
        --set "collector.certificate=$lab/keys/collector.cert" --set "collector.sensors=$lab/sensors.d" \
        --set "database.dsn=$lab_dsn user=collector" --set "policy.file=$lab_root/configs/lab-expected.yaml" --set "http.listen="
    collector_pid[$1]=$lab_pid
}
collector_kill() { lab_kill "${collector_pid[${1:-1}]}" KILL; }
collector_stop() { lab_kill "${collector_pid[${1:-1}]}" TERM; }

# ---- drivers: $fault1, $fault2, …

declare -A driver_pid driver_more
keys_of() { # keys_of NAME: the words by which it and the collector know each other
    echo --certificate "$lab/keys/$1.cert" --server "$lab/keys/collector.pub"
}
driver_start() { # driver_start NAME: goes on where it was
    mkdir -p "$lab/state/$1"
    local more=()
    read -ra more <<<"$(keys_of "$1") ${driver_more[$1]:-}"
    lab_allow "$1" "$place"
    lab_spawn "driver-$fault.log" nsenter --net="/run/netns/$lab_id-core" env "${driver_env[@]}" "$driver" \
        --journal "$lab/journal/$1" --endpoint tcp://127.0.0.1:5561 --name "$1" --pop "$place" \
        --state "$lab/state/$1" --total "$total" --rate "$rate" --seconds 300 --wait 20 "${more[@]}"
    driver_pid[$1]=$lab_pid
}
driver_kill() { lab_kill "${driver_pid[$1]}" KILL; }
driver_stop() { lab_kill "${driver_pid[$1]}" TERM; }
journal() { # journal NAME: pushed runs stops; then the numbers in doubt
    if [ -n "$storm_journal" ]; then sed -n "s/^$1 //p" "$storm_journal"; return; fi
    "$driver" --journal "$lab/journal/$1" --report
}
is_at_work() { # has it not made all its events?
    local pushed rest
    read -r pushed rest < <(journal "$1")
    [ "$pushed" -lt "$total" ]
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
# Until it has delivered all: one that was killed, or gave up waiting, goes on.
driver_finish() {
    local i
    [ -n "${driver_pid[$1]:-}" ] || return 0 # has ended
    for ((i = 0; i < 6; i++)); do
        wait "${driver_pid[$1]}" && return
        driver_start "$1"
    done
    echo "$1 does not get rid of its events"
    undelivered=$((undelivered + 1))
}
drivers_finish() {
    local name
    for name in "${names[@]}"; do driver_finish "$name"; done
}

# ---- the comparison

declare -A found
journals_as_sql() {
    local name
    echo "CREATE TEMP TABLE journal (sensor text, pushed bigint, runs bigint, stops bigint);"
    echo "CREATE TEMP TABLE doubt (sensor text, from_v bigint, to_v bigint);"
    echo "COPY journal FROM STDIN WITH (DELIMITER ' ');"
    for name in "${names[@]}"; do journal "$name" | sed -n "1s/^/$name /p"; done
    echo '\.'
    echo "COPY doubt FROM STDIN WITH (DELIMITER ' ');"
    for name in "${names[@]}"; do journal "$name" | sed -n "2,\$s/^/$name /p"; done
    echo '\.'
}
# compare [SQL]: fills $found by the names that compare.sql prints. SQL: done before, and undone
compare() {
    local word line
    line=$({
        echo "BEGIN; ${1:-}"
        journals_as_sql
        cat "$here/compare.sql"
        echo "ROLLBACK;"
    } | lab_sql -At -v "pop=$place" -f -)
    found=()
    for word in $line; do found[${word%%=*}]=${word#*=}; done
    echo "        $line"
    [ -n "$line" ]
}
own_events() { # how many events the publishers made themselves, at most
    local name runs stops sum=0
    for name in "${names[@]}"; do
        read -r _ runs stops < <(journal "$name")
        sum=$((sum + runs + stops))
    done
    echo $sum
}

# A comparison that sees nothing would always be content: it is shown false rows.
check_comparison() {
    local sensor="sensor = '${names[0]}'"
    local few="FROM penstock.ingress_tally WHERE $sensor ORDER BY event_seq OFFSET 100 LIMIT"
    local of="$sensor AND event_seq IN (SELECT event_seq $few"
    compare "DELETE FROM penstock.ingress_tally WHERE $of 3);"
    check "the comparison notices what is lost, and that the map does not fit" \
        same "3 0 0" "${found[lost]} ${found[double]} ${found[map]}"
    compare "INSERT INTO penstock.ingress_tally SELECT * $few 2;"
    check "the comparison notices what is double" same "0 4" "${found[lost]} ${found[double]}" # by v, and by event_seq
    compare "INSERT INTO penstock.sensor_gap_entry SELECT sensor, epoch, event_seq, event_seq, 'false', at $few 1;"
    check "the comparison notices a gap where nothing is missing" same "1 1" "${found[inside]} ${found[excess]}"
    compare "INSERT INTO penstock.sensor_gap_entry SELECT sensor, epoch, event_seq, event_seq, 'true', at $few 1;
        DELETE FROM penstock.ingress_tally WHERE $of 1);"
    check "the comparison counts a gap that is told" \
        same "0 1 0 0 0" "${found[lost]} ${found[gaps]} ${found[excess]} ${found[inside]} ${found[disorder]}"
}

# ---- one fault after the other

rows=() names=() storm_journal=''
# run_fault FAULT SENTENCE: calls fault_FAULT, which starts drivers and injects; then compares.
run_fault() {
    fault=$1 place=${1^^} injected=0 undelivered=0 refused=0 may_give_up=false may_lose_spool=false
    names=() storm_journal='' driver_env=() driver_more=() collector_env=() database_env=()
    local began=$SECONDS total=$total rate=$rate drivers=$drivers # a fault may want others
    [ -z "$only" ] || [[ ",$only," == *",$fault,"* ]] || return 0
    echo "-- $2"
    "fault_$fault" || check "$fault: the parts came up" false
    drivers_finish
    check "$fault: every event is delivered in the end" same 0 $undelivered
    lab_until 60 "the map to be written" "SELECT coalesce(sum(packets), 0) =
        (SELECT coalesce(sum(packets), 0) FROM penstock.ingress_tally WHERE pop = '$place')
        FROM penstock.ingress_map WHERE pop = '$place'" # rows that only counted wait; compare tells
    compare || { check "$fault: what is stored can be read" false; return; }
    check "$fault: it was injected" test "$injected" -gt 0
    check "$fault: none lost, none double, none alien" same "0 0 0" "${found[lost]} ${found[double]} ${found[alien]}"
    $may_give_up || check "$fault: no event was given up" same 0 "${found[gaps]}"
    $may_lose_spool || check "$fault: no spool was lost" same 0 "${found[unnamed]}"
    # a full spool may give up its sensor's own words, too, which have no number of ours
    local excess=0
    $may_give_up && excess=$(own_events)
    check "$fault: the numbers in gaps are those that are missing" \
        test "${found[excess]}" -le "$excess" -a "${found[inside]}" = 0
    check "$fault: sequence numbers are complete and in order" \
        test "${found[disorder]}" = 0 -a "${found[unnumbered]}" -le "$(own_events)"
    check "$fault: the map is the sum of what is stored" same 1 "${found[map]}"
    check "$fault: none is set aside but what the database refused" same $refused "${found[aside]}"
    rows+=("| $2 | $injected | ${found[sent]} | ${found[stored]} | $((found[gaps] + found[unnamed])) | ${found[aside]} | ${found[unspooled]} | ${found[lost]} | ${found[double]} |")
    echo "        $injected injected, $((SECONDS - began)) s"
}
print_table() {
    echo "| fault | injected | events sent | stored | in gaps | set aside | died before the spool | lost | double |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    printf '%s\n' "${rows[@]}" | awk -F' *[|] *' '
        { print; for (i = 3; i < NF; i++) sum[i] += $i; n = NF }
        END { printf "| **all** |"; for (i = 3; i < n; i++) printf " **%d** |", sum[i]; print "" }'
}
# Between the marks of docs/reliability.md.
write_table() {
    local page=$lab_root/docs/reliability.md table
    table=$(print_table)
    awk -v said="\`tests/integration/delivery/faults.sh BUILD --long --seed $seed\`, $(date -u +%Y-%m-%d), two cores, in $((SECONDS / 60)) minutes:" \
        -v table="${table//\\/\\\\}" '
        /^<!-- faults: end/ { skip = 0 }
        !skip { print }
        /^<!-- faults: begin/ { printf "%s\n\n%s\n", said, table; skip = 1 }' "$page" >"$page.new" && mv "$page.new" "$page"
}

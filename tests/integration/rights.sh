#!/usr/bin/env bash
# Rights: what a running sensor and collector keep, what works with that, how to start without root,
# and what each refusal at the start says.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24
# everything stands where another user can read it; the build may not
mkdir "$lab/etc" "$lab/bin" "$lab/state"
cp "$sensor" "$lab/bin/penstock-sensor"
cp "$lab_root/configs/lab-sensor.yaml" "$lab/etc/sensor.yaml"
mount -t bpf -o nosuid,nodev,noexec,mode=0700 bpf "$lab/bpf"
everything=+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock
mapfile -t arguments < <(lab_sensor_arguments AMS 1)
arguments[1]=$lab/etc/sensor.yaml
arguments+=(--set "sensor.state_dir=$lab/state" --set publish.stop_wait=100ms)

# threads PID KEY: the different values of a line of /proc/PID/task/*/status
threads() {
    sed -n "s/^$2:[[:space:]]*//p" /proc/"$1"/task/*/status | sort -u
}
at_least() { # COUNT ACTUAL
    [ "${2:-0}" -ge "$1" ] || { echo "expected at least $1, got «${2:-}»"; return 1; }
}
every_thread() { # PID CAPABILITIES BOUNDING: so and not otherwise, and nothing can come back
    local pid=$1 key
    at_least 4 "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)" || return 1
    for key in CapEff CapPrm; do same "$2" "$(threads "$pid" $key)" || return 1; done
    for key in CapInh CapAmb; do same 0000000000000000 "$(threads "$pid" $key)" || return 1; done
    same "$3" "$(threads "$pid" CapBnd)" && same 1 "$(threads "$pid" NoNewPrivs)" && same 2 "$(threads "$pid" Seccomp)"
}
# start LOG COMMAND…: a sensor by that command, until it has started; pid in $lab_pid
start() {
    local log=$1 starts
    shift
    starts=$(lab_count event=started "$log")
    lab_spawn "$log" nsenter --net="/run/netns/$lab_id-AMS-box" "$@"
    lab_wait 60 "the sensor" lab_started "$lab_pid" "$starts" "$log" || { tail -n 5 "$lab/log/$log"; exit 1; }
}
stop() { # PID: its exit status
    kill -TERM "$1"
    wait "$1"
}
# as_nobody CAPABILITIES (as setpriv has them): the words that start a command with these and no
# others, as systemd gives them, in $nobody
as_nobody() {
    local only="-all${1:+,$1}"
    nobody=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps "$only" --ambient-caps "$only" --bounding-set "$only")
}
# refused STATUS PATTERN COMMAND…: it ends with that status, and its last line is one clear sentence
refused() {
    local status=$1 pattern=$2 said
    shift 2
    said=$(nsenter --net="/run/netns/$lab_id-AMS-box" timeout -k 5 20 "$@" 2>&1 </dev/null)
    local got=$? last
    last=$(tail -n 1 <<<"$said")
    [ $got -eq "$status" ] && [[ $last == "penstock-sensor: "* ]] && grep -qE -- "$pattern" <<<"$last" &&
        ! grep -qE '^penstock-sensor: (source|rights|workers|publisher|threads|metrics): |queue [0-9]+.*queue [0-9]+' <<<"$last" &&
        return 0
    echo "status $got (expected $status), said: $last"
    return 1
}
said() { grep -qE -- "$2" "$lab/log/$1"; }
counted() { [ "$(lab_count "$2" "$1")" -ge "$3" ]; }

# ---- as root
kept=0000000000007000 # CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK
none=0000000000000000
[ "$(uname -r | cut -d. -f1)" -lt 6 ] && kept=0000008000007000 # and CAP_BPF
lab_database
cp "$lab_root/configs/lab-collector.yaml" "$lab/etc/collector.yaml"
lab_collector_yaml=$lab/etc/collector.yaml
lab_collector
start sensor.log "$lab/bin/penstock-sensor" "${arguments[@]}"
pid=$lab_pid
check "every thread of the sensor keeps three capabilities, none can be gained, calls are filtered" every_thread "$pid" $kept $none
check "every thread of the collector has no capability at all" every_thread "$lab_collector_pid" $none $none
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1
check "the kernel's tally is read and arrives" lab_until 60 "a tally" \
    "SELECT count(*) > 0 FROM penstock.ingress_map WHERE prefix = '203.0.113.0/24' AND packets > 0"
sed 's/^  prefixes:.*/  prefixes: [203.0.113.0\/24]/' "$lab_root/configs/lab-sensor.yaml" >"$lab/etc/new"
mv "$lab/etc/new" "$lab/etc/sensor.yaml" # as an editor does: another file of that name
kill -HUP "$pid"
check "SIGHUP reads the new file, and the kernel takes the new prefixes" lab_wait 60 "the reload" said sensor.log 'event=watch prefixes=1$'
check "nothing failed in it" sh -c "! grep -E 'watch_failed|reload_failed|tally_unreadable' '$lab/log/sensor.log'"

cp "$lab_root/configs/lab-expected.yaml" "$lab/etc/expected.yaml"
kill -HUP "$lab_collector_pid"
check "SIGHUP: the collector reads its policy again" lab_wait 60 "the reload" said collector.log 'event=reload policy_prefixes=[1-9]'
echo "no text" >"$lab/etc/rib"
echo "policy: {rib: $lab/etc/rib}" >>"$lab/etc/collector.yaml"
kill -HUP "$lab_collector_pid"
check "SIGHUP: MRT is refused by who has no right to run bgpdump" lab_wait 60 "the refusal" said collector.log 'event=reload_failed .*restart needed'
echo "TABLE_DUMP2|1|B|192.0.2.1|64501|10.0.0.0/8|64501|IGP|192.0.2.1|0|0||NAG||" >"$lab/etc/rib"
kill -HUP "$lab_collector_pid"
check "SIGHUP: a routing table in text is taken" lab_wait 60 "the table" said collector.log 'event=rib_read prefixes=1 '
lab_kill "$lab_collector_pid"
lab_collector_yaml=$lab_root/configs/lab-collector.yaml
lab_spawn relay.log nsenter --net="/run/netns/$lab_id-core" ncat -k -l 127.0.0.1 5433 --sh-exec "ncat -U '$lab/pg/socket/.s.PGSQL.5432'"
lab_wait 60 "the relay" lab_in core sh -c "ss -Hltn sport = :5433 | grep -q ." || exit 1
lab_collector --set "database.dsn=host=127.0.0.1 port=5433 user=postgres dbname=penstock"
check "the collector reaches PostgreSQL over TCP, too" every_thread "$lab_collector_pid" $none $none
check "the sensor makes its connection anew" lab_wait 60 "the connection" counted sensor.log event=connected 2
check "every thread is as it was" every_thread "$pid" $kept $none
check "SIGTERM ends it with status 0" stop "$pid"

# ---- as root, and then another user
mkdir -m 700 "$lab/state/theirs" && chown nobody "$lab/state/theirs"
start user.log "$lab/bin/penstock-sensor" "${arguments[@]}" --set sensor.user=nobody \
    --set sensor.name=ams2 --set "sensor.state_dir=$lab/state/theirs" # a spool of its own needs a name of its own
pid=$lab_pid
check "sensor.user: every thread is that user's" same "65534	65534	65534	65534" "$(threads "$pid" Uid)"
check "sensor.user: every thread keeps three capabilities" every_thread "$pid" $kept $none
check "sensor.user: a takeover, and SIGTERM ends it with status 0" stop "$pid"
mkdir "$lab/elsewhere" "$lab/linked"
cp "$lab/etc/sensor.yaml" "$lab/elsewhere/sensor.yaml"
ln -s "$lab/elsewhere/sensor.yaml" "$lab/linked/sensor.yaml"
start linked.log "$lab/bin/penstock-sensor" -c "$lab/linked/sensor.yaml" "${arguments[@]:2}"
pid=$lab_pid
kill -HUP "$pid"
check "a configuration that is a link into another folder: SIGHUP reads it again" lab_wait 60 "the reload" said linked.log event=reload$
stop "$pid"
start as-started.log "$lab/bin/penstock-sensor" "${arguments[@]}" --set sensor.rights=as_started
pid=$lab_pid
check "sensor.rights: as_started gives nothing up" same "$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)" "$(threads "$pid" CapEff)"
stop "$pid"

# ---- without root, as a service; as its unit does, what root has pinned is given away first
chown -R -h nobody "$lab/bpf"
chown -R nobody "$lab/state"
run=("$lab/bin/penstock-sensor" "${arguments[@]}")
as_nobody "$everything"
check "without root: a certificate of root's is named, and what is wrong" refused 1 "publish.certificate: $lab/keys/ams1.cert: Permission denied" \
    "${nobody[@]}" "${run[@]}"
chown nobody "$lab/keys/ams1.cert"
start service.log "${nobody[@]}" "${run[@]}"
pid=$lab_pid
check "without root: it starts with ambient capabilities" same "65534	65534	65534	65534" "$(threads "$pid" Uid)"
check "without root: it takes over what root had attached" said service.log event=takeover
check "without root: every thread keeps three of them; the bounding set is the service manager's" every_thread "$pid" $kept 000000c000007000
lab_spawn server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1
lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :5201 | grep -q ." || exit 1
lab_spawn iperf.log nsenter --net="/run/netns/$lab_id-AMS-world" timeout 60 iperf3 -c 198.18.1.10 -B 203.0.113.10 -t 6 -b 20M
iperf=$lab_pid
check "without root: traffic is tested, and the verdict arrives" lab_until 60 "a verdict" \
    "SELECT count(*) > 0 FROM penstock.penny_test WHERE prefix = '203.0.113.0/24' AND verdict = 'genuine'"
check "without root: the transfer ends well" wait "$iperf"
kill -HUP "$pid"
check "without root: SIGHUP works" lab_wait 60 "the reload" said service.log event=reload
check "without root: SIGTERM ends it with status 0" stop "$pid"

# a name is looked up by the publisher's thread, long after (a chroot may know none, not even this)
if lab_in AMS-box getent ahostsv4 localhost >/dev/null; then
    lab_spawn to-collector.log nsenter --net="/run/netns/$lab_id-AMS-box" ncat -k -l 5561 --sh-exec "ncat 10.255.1.1 5560"
    lab_wait 60 "the relay" lab_in AMS-box sh -c "ss -Hltn sport = :5561 | grep -q ." || exit 1
    start name.log "${nobody[@]}" "${run[@]}" --set publish.endpoint=tcp://localhost:5561
    pid=$lab_pid
    check "a collector given by name is found, with the files that this needs" lab_wait 60 "the connection" said name.log event=connected
    stop "$pid"
fi

# systemd's ProtectSystem= and others: a mount namespace of its own, over a bpffs of the host's. (Where / is no mount,
# in a chroot, its propagation cannot be changed.)
propagation=slave
mountpoint -q / || propagation=unchanged
lab_spawn private.log nsenter --net="/run/netns/$lab_id-AMS-box" unshare --mount --propagation "$propagation" \
    "${nobody[@]}" "${run[@]}"
pid=$lab_pid
lab_wait 60 "the sensor" said private.log event=started
check "in a mount namespace of its own, over a mounted bpffs: it takes over" said private.log event=takeover
lab_kill "$pid" KILL
check "in a mount namespace of its own: killed, the wire stays" lab_in AMS-world ping -c3 -i 0.2 -W1 -I 203.0.113.10 198.18.1.10

# ---- what is missing is said, with the remedy
for name in net_admin net_raw bpf perfmon; do
    as_nobody "${everything//+$name,/}"
    check "without CAP_${name^^}: it is named, status 1" refused 1 "lacks CAP_${name^^}: start it as root, or grant .*AmbientCapabilities=" \
        "${nobody[@]}" "${run[@]}"
done
as_nobody ""
check "without any: all are named" refused 1 "lacks CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON CAP_BPF:" "${nobody[@]}" "${run[@]}"
as_nobody "${everything%,+ipc_lock}"
check "too little locked memory: it says which limit, and CAP_IPC_LOCK" refused 1 "w0 queue 0: .*raise RLIMIT_MEMLOCK .*CAP_IPC_LOCK" \
    prlimit --memlock=1048576:1048576 "${nobody[@]}" "${run[@]}"
as_nobody "$everything"
check "a pin_dir that is no bpffs, and no right to mount one: what root should do" refused 1 "source.pin_dir: cannot mount .*mount -t bpf" \
    "${nobody[@]}" "${run[@]}" --set "source.pin_dir=$lab/state/bpf"
chown root "$lab/bpf"
check "a bpffs of somebody else: who must own it" refused 1 "source.pin_dir: .*$lab/bpf must belong to user 65534" "${nobody[@]}" "${run[@]}" --set source.interface=w1 --set forward.interface=w0
chown nobody "$lab/bpf"
check "a state_dir that cannot be written: its name, and the user's" refused 1 "sensor.state_dir: user 65534 cannot write to /etc" \
    "${nobody[@]}" "${run[@]}" --set sensor.state_dir=/etc
check "a state_dir that cannot be made" refused 1 "sensor.state_dir: cannot make $lab/none/state" \
    "${nobody[@]}" "${run[@]}" --set "sensor.state_dir=$lab/none/state"
check "a user that is none" refused 1 "sensor.user: there is no user penstock-none" "${run[@]}" --set sensor.user=penstock-none
check "a user that one may not become" refused 1 "sensor.user: .*lacks CAP_SETGID CAP_SETUID" "${nobody[@]}" "${run[@]}" --set sensor.user=daemon
chmod 600 "$lab/etc/sensor.yaml"
check "a configuration that cannot be read: status 2" refused 2 "sensor.yaml: .*Permission denied" "${nobody[@]}" "${run[@]}"
check "a configuration that could not be read again: status 1, now and not at the reload" refused 1 "sensor.yaml: user 65534 cannot read it" \
    "${run[@]}" --set sensor.user=nobody
chmod 644 "$lab/etc/sensor.yaml"
lab_spawn listener.log nsenter --net="/run/netns/$lab_id-AMS-box" ncat -k -l 127.0.0.1 9559
lab_wait 60 "the listener" lab_in AMS-box sh -c "ss -Hltn sport = :9559 | grep -q ."
check "a metrics port that is taken: which, and why" refused 1 "metrics.listen: cannot listen on .127.0.0.1:9559.*another program" "${nobody[@]}" "${run[@]}"
check "a metrics port that asks for more rights" refused 1 "metrics.listen: .*127.0.0.1:80.*below 1024" "${nobody[@]}" "${run[@]}" --set metrics.listen=127.0.0.1:80
lab_in AMS-box "$lab/bin/penstock-sensor" "${arguments[@]}" --detach

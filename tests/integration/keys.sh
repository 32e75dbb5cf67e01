#!/usr/bin/env bash
# A sensor is its key, with the real programs: whose events are in the database, and under which name.
# The sensors replay a capture; each leaves its events with the collector, or ends with them unsent.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

ctl=$build/collector/penstockctl
lab_up "$build"
lab_database || exit 1
lab_allow ams1 AMS
lab_allow fra1 FRA
lab_key stranger AMS
lab_collector || exit 1
"$gen" --write "$lab/a.pcap" --src 203.0.113.0/24 --dst 198.18.1.10/32 --flows 5 --rate 100 --payload 100 --duration 2 --seed 1 2>/dev/null
chmod 644 "$lab/a.pcap"

# replay LOG CERTIFICATE [ARGUMENT…]: a sensor that calls itself ams1 at AMS, whatever its key; pid in $lab_pid. It ends
# when all that it has is acknowledged.
replay() {
    local log=$1 certificate=$2
    shift 2
    mkdir -p "$lab/state-$log"
    lab_spawn "$log.log" nsenter --net="/run/netns/$lab_id-core" "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --set sensor.name=ams1 --set sensor.pop=AMS \
        --set source.driver=pcap --set "source.interface=$lab/a.pcap" --set forward.driver=none --set forward.interface= \
        --set penny.mode=passive --set metrics.listen= --set "sensor.state_dir=$lab/state-$log" --set publish.stop_wait=60s \
        --set publish.endpoint=tcp://127.0.0.1:5560 --set "publish.certificate=$lab/keys/$certificate.cert" \
        --set "publish.server=$lab/keys/collector.pub" "$@"
}
# delivered LOG CERTIFICATE; refused LOG CERTIFICATE HOW [ARGUMENT…]: until it has ended; until HOW succeeds
delivered() { replay "$@" && wait "$lab_pid"; }
refused() {
    local log=$1 certificate=$2 how=$3
    shift 3
    replay "$log" "$certificate" "$@"
    lab_wait 60 "$log to be refused" "$how" "$log"
    lab_kill "$lab_pid" KILL
}
said() { grep -qF -- "$2" "$lab/log/$1.log"; }
is_stranger() { said "$1" "the collector does not accept this sensor's key"; }
# Who finds it first hangs up, and the other knows only that: one of them is sure to say why.
is_plain() { said "$1" "the collector wants CURVE, this sensor is plain" || said collector "it came without encryption"; }
sensors() { lab_value "SELECT coalesce(string_agg(name || '@' || pop, ' ' ORDER BY name), '') FROM penstock.sensor"; }
acked() { lab_value "SELECT coalesce(max(last_seq), 0) FROM penstock.sensor WHERE name = '$1'"; }

refused stranger stranger is_stranger
check "a key that is not allowed delivers nothing" same "" "$(sensors)"
check "its log says why, and what to do" is_stranger stranger
check "the collector's log has its key" said collector "$("$ctl" keys show "$lab/keys/stranger.pub" | sed -n 's/^public key *//p')"

delivered thief fra1
check "a sensor that claims another's name delivers under its own" same "fra1@FRA" "$(sensors)"
check "all that it says is filed there" same 0 "$(lab_value "SELECT count(*) FROM penstock.ingress_tally WHERE pop <> 'FRA'")"
check "the claim is in the collector's log" said collector 'event=claim_ignored sensor=fra1 pop=FRA claimed_name="ams1"'
check "and in its own" said thief 'event=other_name sensor=ams1 certificate="fra1"'

refused plain ams1 is_plain --set publish.insecure=true
check "a plain sensor delivers nothing" same "fra1@FRA" "$(sensors)"
check "a log says why" is_plain plain

delivered right ams1
check "the right key delivers under its name" same "ams1@AMS fra1@FRA" "$(sensors)"
check "nothing is left unacknowledged" sh -c "! grep -q event=events_lost '$lab/log/right.log'"

# a key that is replaced: the old one does not count any more, the new one goes on where the name was
run_of() { lab_value "SELECT epoch FROM penstock.sensor WHERE name = '$1'"; }
before=$(run_of ams1)
mkdir "$lab/new" && "$ctl" keys new ams1 --pop AMS --dir "$lab/new" >/dev/null || exit 1
install -m 0644 "$lab/new/ams1.pub" "$lab/sensors.d/"
lab_wait 60 "the list" said collector "event=revoked sensor=ams1" || exit 1
refused old ams1 is_stranger
check "a replaced key delivers nothing" same "$before" "$(run_of ams1)"
cp "$lab/new/ams1.cert" "$lab/keys/ams1.cert"
delivered new ams1
check "the new one does" lab_true "SELECT epoch > $before AND last_seq > 0 FROM penstock.sensor WHERE name = 'ams1'"
check "and nothing is left unacknowledged" sh -c "! grep -q event=events_lost '$lab/log/new.log'"
check "nothing was set aside as malformed" same 0 "$(lab_value "SELECT count(*) FROM penstock.malformed_event")"
check "the secret is in no log" sh -c "! grep -qF \"\$(sed -n 's/.*secret-key = \"\(.*\)\"/\1/p' '$lab/keys/ams1.cert')\" '$lab'/log/*.log"

#!/usr/bin/env bash
# The programs' manners: exit codes, --help, --check, --explain, clear messages.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"; finish' EXIT

ends() { # ends STATUS PATTERN COMMAND…: exit status and an extended regular expression in the output
    local status=$1 pattern=$2 said
    shift 2
    said=$("$@" 2>&1 </dev/null)
    local got=$?
    [ $got -eq "$status" ] && grep -qE -- "$pattern" <<<"$said" && return 0
    echo "status $got (expected $status), output: $said" | head -n 8
    return 1
}

# The example files name certificates in /etc/penstock; here are others.
ctl=$build/collector/penstockctl
"$ctl" keys new ams1 --pop AMS --dir "$work" >/dev/null && "$ctl" keys new collector --dir "$work" >/dev/null &&
    mkdir "$work/sensors.d" && cp "$work/ams1.pub" "$work/sensors.d" || exit 1
sensor_keys=(--set "publish.certificate=$work/ams1.cert" --set "publish.server=$work/collector.pub")
collector_keys=(--set "collector.certificate=$work/collector.cert" --set "collector.sensors=$work/sensors.d")

for program in "$sensor" "$collector"; do
    name=${program##*/}
    check "$name --help: status 0, tells how to call it" ends 0 "Usage: $name" "$program" --help
    check "$name --version: status 0" ends 0 "^$name [0-9]+\.[0-9]+" "$program" --version
    check "$name without arguments: status 2" ends 2 "--help" "$program"
    check "$name with an unknown option: status 2, names it" ends 2 "nonsense" "$program" --nonsense
    check "$name with a file that is not there: status 2, names it" ends 2 "no-such-file" "$program" -c "$work/no-such-file.yaml" --check
    check "$name --explain: its own explanation is a valid configuration, but for what is required" \
        ends 0 "log:" "$program" --explain
done
# What --help lists stands in the manual page; of penstockctl every command, and each of its options.
in_manual() { # PAGE WORD…
    local page word missing=0
    page=$(sed 's/\\f[BIR]//g; s/[\\"]//g; s/^\.[BIR]* //' "$lab_root/docs/man/$1")
    shift
    [ $# -gt 0 ] || { echo "--help lists nothing"; missing=1; }
    for word in "$@"; do
        grep -qE -- "(^|[][ ,])$word([][ ,]|\$)" <<<"$page" || { echo "not in the manual page: $word"; missing=1; }
    done
    return $missing
}
options() { grep -oE '^  --[a-z-]+'; }
ctl_words() {
    local command
    while read -r command; do
        # shellcheck disable=SC2086 # words
        "$ctl" $command --help | options
        echo "$command"
    done < <("$ctl" --help | sed -n '/^Commands:/,/^$/p' | grep -oE '^  [a-z]+( [a-z]+)?\b' | sort -u)
}
mapfile -t words < <(ctl_words | sed 's/^ *//' | sort -u)
check "penstockctl: every command and option stands in its manual page" in_manual penstockctl.1 "${words[@]}"
check "and there are many" test ${#words[@]} -gt 40
for program in "$sensor" "$collector"; do
    mapfile -t words < <("$program" --help | options | sed 's/^ *//')
    check "${program##*/}: every option stands in its manual page" in_manual "${program##*/}.8" "${words[@]}"
done

for kind in sensor collector; do
    program=$build/$kind/penstock-$kind
    declare -n keys=${kind}_keys
    check "configs/$kind.yaml passes --check" ends 0 "" "$program" -c "$lab_root/configs/$kind.yaml" --check "${keys[@]}"
    printf '%s:\n  nonsense: 1\n' "$kind" >"$work/unknown.yaml"
    check "$kind: an unknown key is an error with file, line and key" ends 2 "unknown.yaml:2.*nonsense" \
        "$program" -c "$work/unknown.yaml" --check
    printf '%s: [\n' "$kind" >"$work/broken.yaml"
    check "$kind: broken YAML is an error with file and line" ends 2 "broken.yaml:[0-9]+" "$program" -c "$work/broken.yaml" --check
done
check "sensor: a wrong value says what was expected" ends 2 "penny.drop_probability.*expected" \
    "$sensor" -c "$lab_root/configs/sensor.yaml" --check "${sensor_keys[@]}" --set penny.drop_probability=much
check "sensor: --check reads the certificates, and names one that is not there" ends 2 "publish.certificate: $work/none.cert: No such file" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check "${sensor_keys[@]}" --set "publish.certificate=$work/none.cert"
check "sensor: a file without the secret is no certificate of ours" ends 2 "publish.certificate.*no secret-key" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check "${sensor_keys[@]}" --set "publish.certificate=$work/ams1.pub"
check "sensor: the collector's secret is not wanted here" ends 2 "publish.server.*secret-key in it" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check "${sensor_keys[@]}" --set "publish.server=$work/collector.cert"
check "sensor: another name than the certificate's is warned of" ends 0 "event=other_name sensor=lab certificate=\"ams1\"" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check "${sensor_keys[@]}"
check "sensor: without certificates and without insecure: true there is no configuration" ends 2 "publish.server: required" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check
check "collector: --check names the file in sensors.d that allows nobody" ends 0 "event=certificate_unusable file=\"odd\"" sh -c "
    echo odd >'$work/sensors.d/odd'; '$collector' -c '$lab_root/configs/lab-collector.yaml' --check --set 'collector.certificate=$work/collector.cert' --set 'collector.sensors=$work/sensors.d'; s=\$?; rm '$work/sensors.d/odd'; exit \$s"
chmod 640 "$work/ams1.cert" "$work/collector.cert"
check "sensor: a secret that others may read keeps it from starting, with the cure" ends 2 "mode 0640.*chmod 600 $work/ams1.cert" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" --check "${sensor_keys[@]}"
check "collector: a secret that others may read keeps it from starting, with the cure" ends 2 "mode 0640.*chmod 600 $work/collector.cert" \
    "$collector" -c "$lab_root/configs/lab-collector.yaml" --check "${collector_keys[@]}"
check "collector: and says so before it waits for its database" ends 2 "mode 0640" \
    timeout 20 "$collector" -c "$lab_root/configs/lab-collector.yaml" "${collector_keys[@]}" --set "database.dsn=host=$work"
check "sensor: and not only --check says so" ends 1 "mode 0640" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" "${sensor_keys[@]}" --set source.driver=pcap --set source.interface=/dev/null --set forward.driver=none --set penny.mode=off --set forward.interface=
chmod 600 "$work/ams1.cert" "$work/collector.cert"
check "collector: a policy with a wrong prefix names file, line and prefix" sh -c "
    printf -- '- {prefix: 10.0.0.1/8, ingress: [{pop: AMS}]}\n' >'$work/policy.yaml'
    '$collector' -c '$lab_root/configs/lab-collector.yaml' --check --set collector.insecure=true --set policy.file='$work/policy.yaml' --set database.dsn=dbname=x 2>&1 | grep -E 'policy.yaml:1.*10.0.0.1/8'"
check "sensor: an interface that is not there is a runtime failure with its name" ends 1 "penstock-none0" \
    "$sensor" -c "$lab_root/configs/lab-sensor.yaml" "${sensor_keys[@]}" --set source.interface=penstock-none0 --set "source.pin_dir=$work/bpf"
check "collector: a database that is not there is a runtime failure, and no password is told" sh -c "
    said=\$(timeout 20 '$collector' -c '$lab_root/configs/lab-collector.yaml' --migrate --set collector.insecure=true --set 'database.dsn=host=$work password=secret-word connect_timeout=2' 2>&1); status=\$?
    echo \"\$said\" | tail -n 3; test \$status -eq 1 && ! echo \"\$said\" | grep -q secret-word"
mountpoint -q "$work/bpf" && umount "$work/bpf"

"$gen" --write "$work/a.pcap" --src 203.0.113.0/24 --dst 198.51.100.1/32 --flows 5 --rate 100 --payload 100 --duration 2 --seed 1
check "--capture: one JSON object per event, status 0" sh -c "'$sensor' --capture '$work/a.pcap' >'$work/a.json' && grep -q '\"event\":\"tally\"' '$work/a.json' && ! grep -qv '^{.*}$' '$work/a.json'"
check "--capture -: standard input gives the same events" sh -c "'$sensor' --capture - <'$work/a.pcap' | cmp - '$work/a.json'"
# a copy, for the build (and its file of suppressions) may stand where nobody else may look
cp "$sensor" "$work/sensor" && chmod 755 "$work" "$work/sensor" && chmod 644 "$work"/a.*
check "--capture needs no privileges" sh -c "runuser -u nobody -- env -u TSAN_OPTIONS '$work/sensor' --capture '$work/a.pcap' | cmp - '$work/a.json'"
head -c 3000 "$work/a.pcap" >"$work/cut.pcap"
check "--capture of a cut file: what was read is printed, the file is named, status 1" sh -c "
    '$sensor' --capture '$work/cut.pcap' >'$work/cut.json' 2>'$work/cut.err'; test \$? -eq 1 && grep -q '\"event\":\"tally\"' '$work/cut.json' && grep -q cut.pcap '$work/cut.err'"
echo "this is no capture" >"$work/no.pcap"
check "--capture of something else: status 1 and a clear message" ends 1 "no.pcap" "$sensor" --capture "$work/no.pcap"

#!/usr/bin/env bash
# What cmake --install puts under a prefix is complete and runs from there.
# Usage: test_install.sh CMAKE BUILD
set -euo pipefail
cmake=$1 build=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$prefix" >"$prefix/log" || fail "install: $(cat "$prefix/log")"

for program in sbin/penstock-sensor sbin/penstock-collector bin/penstock-gen bin/penstockctl; do
    said=$("$prefix/$program" --version) || fail "$program --version ends with $?"
    [[ $said =~ ^${program##*/}\ [0-9]+\.[0-9]+ ]] || fail "$program --version says: $said"
done
for page in man8/penstock-sensor.8 man8/penstock-collector.8 man5/penstock-sensor.yaml.5 man1/penstock-gen.1 man1/penstockctl.1; do
    [ -s "$prefix/share/man/$page" ] || fail "no manual page $page"
done
# The examples name certificates in /etc/penstock; here are others.
"$prefix/bin/penstockctl" keys new ams1 --pop AMS --dir "$prefix" >/dev/null && mkdir "$prefix/sensors.d" &&
    cp "$prefix/ams1.pub" "$prefix/sensors.d" || fail "penstockctl keys new ends with $?"
declare -A keys=(
    [sensor]="--set publish.certificate=$prefix/ams1.cert --set publish.server=$prefix/ams1.pub"
    [collector]="--set collector.certificate=$prefix/ams1.cert --set collector.sensors=$prefix/sensors.d"
)
for name in sensor collector; do
    example=$prefix/share/doc/penstock/examples/$name.yaml
    # shellcheck disable=SC2086 # words, on purpose
    "$prefix/sbin/penstock-$name" -c "$example" --check ${keys[$name]} || fail "$name: its example does not pass --check"
done
[ -s "$prefix/share/doc/penstock/examples/expected.yaml" ] || fail "no example of a policy"

# The units: systemd itself reads them. Their programs are looked for where they will be, so here.
units=$prefix/lib/systemd/system
for name in penstock-sensor@.service penstock-collector.service; do
    grep -q '^ExecStart=/.*/sbin/penstock-[a-z]* -c /.*\.yaml$' "$units/$name" || fail "$name: no program, or a placeholder left"
    grep -q '@[A-Z]' "$units/$name" && fail "$name: a placeholder is left"
    sed -i -E "s#^ExecStart=/.*/sbin/#ExecStart=$prefix/sbin/#" "$units/$name"
done
# ProtectKernelTunables= makes /proc/sys read-only, where a TUN device of the sensor's is set up
if grep -q '^ProtectKernelTunables=yes' "$units/penstock-sensor@.service"; then
    grep -qE '^ReadWritePaths=(.* )?-?/proc/sys/net( |$)' "$units/penstock-sensor@.service" || fail "the sensor's unit takes forward.driver tun its settings"
fi
sed 's/%i/test/g' "$units/penstock-sensor@.service" >"$units/penstock-sensor@test.service"
if command -v systemd-analyze >/dev/null; then
    said=$(cd "$units" && SYSTEMD_UNIT_PATH="$units:" systemd-analyze verify --man=no --recursive-errors=one \
        ./penstock-sensor@test.service ./penstock-collector.service ./run-penstock-bpf.mount 2>&1) ||
        fail "systemd-analyze verify: $said"
    [ -z "$said" ] || fail "systemd-analyze verify: $said"
    root=$prefix/root
    mkdir -p "$root/etc"
    systemd-sysusers --root="$root" "$prefix/lib/sysusers.d/penstock.conf" 2>"$prefix/log" || fail "sysusers: $(cat "$prefix/log")"
    grep -q '^penstock:' "$root/etc/passwd" || fail "sysusers: no user penstock"
    systemd-tmpfiles --root="$root" --create "$prefix/lib/tmpfiles.d/penstock.conf" 2>"$prefix/log" || fail "tmpfiles: $(cat "$prefix/log")"
    [ -d "$root/var/lib/penstock" ] || fail "tmpfiles: no state folder"
    [ -d "$root/etc/penstock/sensors.d" ] || fail "tmpfiles: no folder of who may connect"
else
    echo "no systemd here: its units are not verified"
fi

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

for program in sbin/penstock-sensor sbin/penstock-collector bin/penstock-gen; do
    said=$("$prefix/$program" --version) || fail "$program --version ends with $?"
    [[ $said =~ ^${program##*/}\ [0-9]+\.[0-9]+ ]] || fail "$program --version says: $said"
done
for page in man8/penstock-sensor.8 man8/penstock-collector.8 man5/penstock-sensor.yaml.5 man1/penstock-gen.1; do
    [ -s "$prefix/share/man/$page" ] || fail "no manual page $page"
done
for name in sensor collector; do
    example=$prefix/share/doc/penstock/examples/$name.yaml
    "$prefix/sbin/penstock-$name" -c "$example" --check || fail "$name: its example does not pass --check"
done
[ -s "$prefix/share/doc/penstock/examples/expected.yaml" ] || fail "no example of a policy"

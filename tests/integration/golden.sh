#!/usr/bin/env bash
# Golden captures: the whole sensor's output on captures, byte for byte. tests/golden/NAME.pcap (or
# .pcapng) with NAME.arguments gives NAME.jsonl. `golden.sh BUILD --update` writes them anew; read the
# difference before you commit it.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

golden=$lab_root/tests/golden
gives() { # gives EXPECTED COMMAND…
    local expected=$1 actual
    shift
    actual=$(mktemp)
    "$@" >"$actual" && [ -s "$expected" ] && diff -u "$expected" "$actual" >"$actual.diff"
    local status=$?
    [ $status -eq 0 ] || head -n 20 "$actual.diff"
    rm -f "$actual" "$actual.diff"
    return $status
}

for capture in "$golden"/*.pcap "$golden"/*.pcapng; do
    [ -e "$capture" ] || continue
    name=${capture##*/}
    expected=${capture%.pcap*}.jsonl
    mapfile -t arguments < <(cat "${capture%.pcap*}.arguments" 2>/dev/null)
    if [ "${2:-}" = --update ]; then
        "$sensor" --capture "$capture" "${arguments[@]}" >"$expected" || exit 1
    fi
    check "$name gives the events of ${expected##*/}" gives "$expected" "$sensor" --capture "$capture" "${arguments[@]}"
done

word() { grep '"event":"test_ended"' "$golden/$1.jsonl" | grep -o 'passive, [^"]*'; }
check "passive: real TCP's losses come again late" grep -q "likely genuine" <<<"$(word passive_lossy_tcp)"
check "passive: a spoofer's never do" grep -q ": 0 of .*likely open loop" <<<"$(word passive_lossy_spoofed)"

scan=$(grep '"direction":"server"' "$golden/nmap_1024_4500.jsonl" | head -n 1)
check "nmap of ports 1024-4500: the known answer, total entropy 0.435906" grep -qE '"total_entropy":0\.43590[56]' <<<"$scan"

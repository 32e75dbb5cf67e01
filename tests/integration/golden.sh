#!/usr/bin/env bash
# Golden captures: the whole sensor's output on captures, byte for byte. tests/golden/NAME.pcap (or
# .pcapng) with NAME.arguments gives NAME.jsonl. `golden.sh BUILD --update` writes them anew; read the
# difference before you commit it.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

golden=$lab_root/tests/golden
for capture in "$golden"/*.pcap "$golden"/*.pcapng; do
    [ -e "$capture" ] || continue
    name=${capture##*/}
    expected=${capture%.pcap*}.jsonl
    mapfile -t arguments < <(cat "${capture%.pcap*}.arguments" 2>/dev/null)
    if [ "${2:-}" = --update ]; then
        "$sensor" --capture "$capture" "${arguments[@]}" >"$expected"
    fi
    check "$name gives the events of ${expected##*/}" sh -c '"$@" | diff -u "$0" - | head -n 20 | { ! grep .; }' "$expected" \
        "$sensor" --capture "$capture" "${arguments[@]}"
done

#!/usr/bin/env bash
# The table of docs/penny.md is what the simulator prints (it runs in virtual time with fixed seeds, so
# it prints the same everywhere).
#   table.sh test_penny_sim          compares
#   table.sh test_penny_sim --write  writes it anew
set -uo pipefail
page=$(cd "$(dirname "$0")/../../.." && pwd)/docs/penny.md
begin='<!-- table: tests/sensor/penny/table.sh writes this -->' end='<!-- end of table -->'

table() {
    echo '| traffic | tests | g | s | m | i | inside | drops | time |'
    echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
    "$1" 2>&1 | sed -nE 's/^(.*[^ ]) +n +([0-9]+) +g +([0-9]+) +s +([0-9]+) +m +([0-9]+) +i +([0-9]+) +inside +([0-9]+) +drops +([0-9]+) +([0-9]+) ms.*/\1|\2|\3|\4|\5|\6|\7|\8|\9/p' |
        awk -F'|' '{ printf "| %s | %d | %d | %d | %d | %d | %d | %d | %.1f s |\n", $1, $2, $3, $4, $5, $6, $7, $8, $9 / 1000; n++ } END { exit n < 20 }'
}
now=$(mktemp)
trap 'rm -f "$now" "$now.page"' EXIT
table "$1" >"$now" || { echo "the simulator printed no table"; exit 1; }
if [ "${2:-}" = --write ]; then
    awk -v begin="$begin" -v end="$end" -v table="$now" '
        $0 == begin { print; while ((getline line < table) > 0) print line; skip = 1 }
        $0 == end { skip = 0 }
        !skip { if ($0 != begin) print }' "$page" >"$now.page" && cat "$now.page" >"$page"
else
    diff <(sed -n "\|^$begin\$|,\|^$end\$|p" "$page" | sed '1d;$d') "$now"
fi

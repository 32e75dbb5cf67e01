#!/usr/bin/env bash
# The tables of docs/penny-paper.md are what test_paper prints (it runs in virtual time with fixed seeds, so
# it prints the same everywhere).
#   paper_table.sh test_paper          compares
#   paper_table.sh test_paper --write  writes them anew
set -uo pipefail
page=$(cd "$(dirname "$0")/../../.." && pwd)/docs/penny-paper.md
begin='<!-- tables: tests/sensor/penny/paper_table.sh writes them -->' end='<!-- end of tables -->'

now=$(mktemp)
trap 'rm -f "$now" "$now.page"' EXIT
"$1" --table >"$now" && [ "$(grep -c '^| ' "$now")" -gt 20 ] || { echo "test_paper printed no tables"; exit 1; }
if [ "${2:-}" = --write ]; then
    awk -v begin="$begin" -v end="$end" -v table="$now" '
        $0 == begin { print; while ((getline line < table) > 0) print line; skip = 1 }
        $0 == end { skip = 0 }
        !skip && $0 != begin { print }' "$page" >"$now.page" && cat "$now.page" >"$page"
else
    diff <(sed -n "\|^$begin\$|,\|^$end\$|p" "$page" | sed '1d;$d') "$now"
fi

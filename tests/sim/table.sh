#!/usr/bin/env bash
# The tables of docs/penny-simulation.md are what sim_penny prints. Build it with the release preset.
#   table.sh SIM_PENNY            writes them anew: all rows, all tests; minutes to half an hour
#   table.sh SIM_PENNY OPTION…    the same with further options of sim_penny, e.g. -j 4 or --tests 1000
# A broken promise is shown, and the exit status is 1; the tables are written all the same.
set -uo pipefail
page=$(cd "$(dirname "$0")/../.." && pwd)/docs/penny-simulation.md
if [ $# -eq 0 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
sim=$1
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# put TABLE OPTION…: replaces what stands between that table's markers
put() {
    local table=$1
    shift
    "$sim" --markdown "$@" >"$work/table" || status=1
    printf '\nMade from %s: sim_penny --markdown %s\n' "$(git -C "${page%/*}" rev-parse --short HEAD)" "$*" >>"$work/table"
    [ "$(wc -l <"$work/table")" -gt 10 ] || { echo "sim_penny printed no table" >&2; exit 1; }
    awk -v begin="<!-- table $table: tests/sim/table.sh writes this -->" -v end="<!-- end of table $table -->" \
        -v table="$work/table" '
        $0 == begin { print; while ((getline line < table) > 0) print line; skip = 1; seen = 1 }
        $0 == end { skip = 0 }
        !skip { if ($0 != begin) print }
        END { exit !seen }' "$page" >"$work/page" || { echo "$page has no markers of $table" >&2; exit 1; }
    cat "$work/page" >"$page"
}
put full --layer full "$@"
put engine --layer engine "$@"
put paper --layer full --rule paper --tests 200 "$@"
exit $status

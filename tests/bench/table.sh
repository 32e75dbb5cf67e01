# shellcheck shell=bash disable=SC2034
# What the bench scripts share: numbers gathered in rounds, and the table's rows. Sourced.

declare -A results
failed=0 # 1: a row has no number, or 0
note() { # ROW NUMBER
    results[$1]+="$2 "
}
median() {
    tr ' ' '\n' <<<"$1" | grep . | sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
span() {
    tr ' ' '\n' <<<"$1" | grep . | sort -g | awk 'NR == 1 { low = $1 } END { printf "%.2f–%.2f", low, $1 }'
}
# ratio ROW FLOOR: the median of the rounds' ratios
ratio() {
    paste -d' ' <(tr ' ' '\n' <<<"${results[$1]}" | grep .) <(tr ' ' '\n' <<<"${results[$2]}" | grep .) |
        awk 'NF == 2 && $2 > 0 { print $1 / $2 }' | tr '\n' ' ' | { read -r all; median "$all"; }
}
row() { # LABEL ROW UNIT [FLOOR…]
    local label=$1 name=$2 unit=$3 floor ratios=''
    shift 3
    [ -n "${results[$name]:-}" ] || { echo "| $label | no number | | |"; failed=1; return 0; }
    for floor in "$@"; do
        [ -n "${results[$floor]:-}" ] && ratios+="$(printf '%.2f of %s; ' "$(ratio "$name" "$floor")" "$floor")"
    done
    printf '| %s | %.2f %s | %s | %s |\n' "$label" "$(median "${results[$name]}")" "$unit" "$(span "${results[$name]}")" "${ratios%; }"
    awk -v m="$(median "${results[$name]}")" 'BEGIN { exit !(m > 0) }' || failed=1
}
header() { # TITLE FIRST_COLUMN
    printf '\n### %s\n\n| %s | median | lowest–highest | ratio |\n| --- | --- | --- | --- |\n' "$1" "$2"
}

#!/usr/bin/env bash
# The Penny test on the real kernel: kernel TCP and forged traffic through a real sensor, in network
# namespaces, and the word that the sensor says.
#
#     penny_kernel.sh BUILD            the cases that tell most
#     penny_kernel.sh BUILD --all      every case
#     penny_kernel.sh BUILD --table    every case, and writes the table of docs/penny-kernel.md
#
# The words must be right, and the true fraction in the interval in all but a few cases: it is one of
# 95 %. JOBS (4) cases run at once. The cases are in penny/case.sh, which also runs a single one.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

mode=${2:-} jobs=${JOBS:-4}
case_sh=$lab_root/tests/integration/penny/case.sh
page=$lab_root/docs/penny-kernel.md
work=$(mktemp -d)
trap 'rm -rf "$work"; finish' EXIT

names=() rights=() admitted=()
list=$("$case_sh" --list) || exit
while IFS=$'\t' read -r name right besides short; do
    [ -n "$mode" ] || [ "$short" = short ] || continue
    names+=("$name") rights+=("$right") admitted+=("$besides")
done <<<"$list"
[ ${#names[@]} -ge 10 ] || { echo "no cases: see $case_sh --list"; exit 1; }

run_case() { # NUMBER
    local n=$1
    timeout 180 "$case_sh" "$build" "${names[n]}" >"$work/$n.row" 2>"$work/$n.log"
    echo $? >"$work/$n.status"
}
for ((n = 0; n < ${#names[@]}; n++)); do
    while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_case "$n" &
done
wait

# The interval is one of 95 %: a fraction outside is no mistake, but few may be so.
outside=0
says() { # NUMBER: the case said an admitted word
    local status
    status=$(cat "$work/$1.status")
    cat "$work/$1.row"
    case $status in
        0) ;;
        3) echo "        not decided: expected ${rights[$1]}, ${admitted[$1]} is admitted" ;;
        4) outside=$((outside + 1)); echo "        the true fraction is outside the interval" ;;
        5) echo "        the probability says the contrary of the word"; return 1 ;;
        *) tail -n 40 "$work/$1.log"; return 1 ;;
    esac
}
for ((n = 0; n < ${#names[@]}; n++)); do
    check "${names[n]}: ${rights[n]}" says "$n"
done
few_outside() { # one of the short table, one of twelve else
    [ "$outside" -le $((1 + ${#names[@]} / 12)) ]
}
check "the true fraction lies in the interval, but for $outside of ${#names[@]} cases" few_outside

if [ "$mode" = --table ]; then
    {
        sed '/<!-- kernel table/q' "$page"
        echo "| case | verdict | genuine_probability | genuine fraction | true | flows | droppable | drops | retransmitted | unanswered | seconds |"
        echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        for ((n = 0; n < ${#names[@]}; n++)); do
            if [ -s "$work/$n.row" ]; then cat "$work/$n.row"; else echo "| ${names[n]} | none | | | | | | | | | |"; fi
        done
        sed -n '/<!-- end of kernel table/,$p' "$page"
    } >"$work/page" && cat "$work/page" >"$page"
fi

#!/usr/bin/env bash
# Every scenario of deploy/scenarios in one lab, IPv4 and its twin at once, in short form: genuine TCP of
# the kernel and forged packets, routed by BIRD, through three sensors; every line "ok" is a checked ending.
#   $2…: names of scenarios instead of all
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=deploy/lab/internet.sh
. "$lab_root/deploy/lab/internet.sh"
# shellcheck source=deploy/scenarios/common.sh
. "$lab_root/deploy/scenarios/common.sh"
shift
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${scenario_all[@]}")

internet_up "$build" || { echo "the lab did not come up"; exit 1; }
lab_database || exit 1
internet_collector || exit 1
side=() alone=()
for name in "${names[@]}"; do
    if [ "$name" = silent ]; then alone+=("$name"); else side+=("$name"); fi
done
[ ${#side[@]} -eq 0 ] || scenario_side_by_side "${side[@]}"
checks_passed=${scenario_passed:-0} checks_failed=${scenario_failed:-0}
for name in "${alone[@]}"; do # it takes a sensor away, which others need
    scenario_run "$name"
    checks_passed=$((checks_passed + scenario_passed)) checks_failed=$((checks_failed + scenario_failed))
done
echo "-- orders, and how long to their verdicts"
scenario_orders

nothing_left() { # FOLDER PREFIX
    ! ip netns | grep "^$2-" && [ ! -e "$1" ] && ! pgrep -af "$1/"
}
if [ "$checks_failed" -eq 0 ]; then # else the logs are told first
    folder=$lab
    lab_down
    check "the lab is taken down: no namespace, process or file is left" nothing_left "$folder" "$lab_id"
fi

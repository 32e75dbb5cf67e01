# shellcheck shell=bash disable=SC2034,SC2154
# What the scenarios share. Sourced, after lab.sh and internet.sh, by deploy/demo and by
# tests/integration/scenarios.sh. A scenario is a file of this folder: it says what happens and what
# Penstock must say, for IPv4 and for its IPv6 twin at the same time. In its SQL, :prefix and :host are the
# twin's prefix and host.

scenario_folder=$lab_root/deploy/scenarios
scenario_all=(expected spoofed newcomer move hijack cone mixture silent)
scenario_is_told=false # tell the story, and show what the database says at the end

# scenario_list: name and first line of each
scenario_list() {
    local name
    for name in "${scenario_all[@]}"; do
        sed -n "s/^# $name: \(.*\)/  $(printf '%-9s' "$name") \1/p" "$scenario_folder/$name.sh"
    done
}

# scenario_run NAME: status 0 when every check holds; counts in $scenario_passed and $scenario_failed
scenario_run() {
    scenario=$1 scenario_passed=0 scenario_failed=0 scenario_pids=() scenario_port=0 scenario_began=$SECONDS
    if $scenario_is_told; then
        printf '\n== %s: %s\n\n' "$scenario" "$(sed -n "s/^# $scenario: //p" "$scenario_folder/$scenario.sh")"
        awk 'NR < 4 { next } !/^#/ { exit } { sub(/^#/, " "); print }' "$scenario_folder/$scenario.sh"
        echo
    fi
    scenario_since=$(lab_value 'SELECT now()')
    # shellcheck source=/dev/null
    . "$scenario_folder/$scenario.sh"
    [ $((scenario_passed + scenario_failed)) -gt 0 ] || scenario_check f "it has checks" "$scenario_folder/$scenario.sh"
    scenario_show
    traffic_ends
    [ $scenario_failed -eq 0 ]
}

# twins NUMBER [V4 V6]: the prefixes of this scenario, and the hosts in them
twins() {
    scenario_number=$1
    twin_names=(IPv4 IPv6)
    twin_prefix=("100.64.${1}0.0/24" "2001:db8:${1}0::/48")
    [ $# -eq 1 ] || twin_prefix=("$2" "$3")
    twin_host=("${twin_prefix[0]%.0/*}.10" "${twin_prefix[1]%/*}10")
}

# says WHAT: a step of the story, with the time since it began
says() {
    ! $scenario_is_told || printf '  %3d s   %s\n' $((SECONDS - scenario_began)) "$*"
}

# traffic AS SERVER: genuine TCP of both twins' hosts in that AS to the server of PoP number SERVER, four flows each, until
# traffic_ends
traffic() {
    local i servers=("198.18.$2.10" "2001:db8:fff$2::10") port
    for i in 0 1; do
        scenario_port=$((scenario_port + 1))
        port=$((5000 + scenario_number * 100 + scenario_port))
        scenario_spawn "$scenario-server-$port.log" nsenter --net="/run/netns/$lab_id-core" iperf3 -s -1 -p $port
        lab_wait 60 "an iperf3 server" lab_in core sh -c "ss -Hltn sport = :$port | grep -q ." || return 1
        scenario_spawn "$scenario-iperf-$port.log" nsenter --net="/run/netns/$lab_id-as$1" \
            iperf3 -c "${servers[i]}" -B "${twin_host[i]}" -p $port -t 240 -b 1M -l 4K -P 4 --forceflush -i 1
    done
}

# spoofs AS PEER_POP SERVER: an open-loop sender in that AS, with sources of both twins' prefixes, until traffic_ends
spoofs() {
    local i servers=("198.18.$3.10" "2001:db8:fff$3::10") mac
    mac=$(lab_mac "$2-inside" i0)
    for i in 0 1; do
        scenario_spawn "$scenario-gen-$i.log" nsenter --net="/run/netns/$lab_id-as$1" "$lab_bin/deploy/lab/penstock-gen" \
            --interface lan0 --src-mac "$(internet_mac "$1")" --dst-mac "$mac" --src "${twin_prefix[i]}" --dst "${servers[i]}" \
            --flows 50 --rate 400 --payload 600 --duration 240
    done
}

scenario_spawn() {
    lab_spawn "$@"
    scenario_pids+=("$lab_pid")
}
traffic_ends() {
    local pid
    for pid in "${scenario_pids[@]}"; do lab_kill "$pid"; done
    scenario_pids=()
}
traffic_flows() { # every client is still at it, and its bytes still arrive
    local log
    for log in "$lab/log/$scenario-iperf"-*.log; do
        [ "$(tail -n 9 "$log" | awk '/SUM/ && $6 > 0 { n++ } END { print n + 0 }')" -gt 0 ] || return 1
    done
}

# twin_sql NUMBER SQL: the statement for that twin
twin_sql() {
    local sql=${2//:prefix/"'${twin_prefix[$1]}'::cidr"}
    echo "${sql//:host/"'${twin_host[$1]}'::inet"}"
}

# becomes SECONDS SENTENCE SQL: within that time the statement answers t for both twins
becomes() {
    local i end=$((SECONDS + $1)) answer
    for i in 0 1; do
        until answer=$(lab_value "$(twin_sql $i "$3")" 2>&1); [ "$answer" = t ] || [ $SECONDS -ge $end ]; do sleep 0.3; done
        scenario_check "$answer" "${twin_names[i]}: $2" "$(twin_sql $i "$3")"
    done
}
# holds SENTENCE SQL: it answers t now
holds() {
    becomes 0 "$@"
}
# stays SECONDS SENTENCE SQL: it answers t all that time
stays() {
    local i end=$((SECONDS + $1)) answers=(t t) answer
    while
        for i in 0 1; do
            answer=$(lab_value "$(twin_sql $i "$3")" 2>&1)
            [ "$answer" = t ] || answers[i]=$answer
        done
        [ $SECONDS -lt $end ]
    do sleep 0.5; done
    for i in 0 1; do scenario_check "${answers[i]}" "${twin_names[i]}: $2" "$(twin_sql $i "$3")"; done
}
# is_true SENTENCE COMMAND…: the command succeeds
is_true() {
    local sentence=$1 answer=f
    shift
    "$@" >/dev/null 2>&1 && answer=t
    scenario_check $answer "$sentence" "$*"
}
scenario_check() { # ANSWER SENTENCE WHAT
    if [ "$1" = t ]; then
        printf '  ok      %s: %s\n' "$scenario" "$2"
        scenario_passed=$((scenario_passed + 1))
    else
        printf '  FAILED  %s: %s\n          «%s» was the answer to: %s\n' "$scenario" "$2" "$1" "$3"
        scenario_failed=$((scenario_failed + 1))
    fi
}

# What the database says of the twins, and of links and sensors since the scenario began.
scenario_show() {
    local twins="prefix && ANY (ARRAY['${twin_prefix[0]}'::cidr, '${twin_prefix[1]}'::cidr])" about fired pending id
    about="($twins OR prefix IS NULL AND updated_at >= '$scenario_since')"
    fired="EXISTS (SELECT FROM penstock.alert_event e WHERE e.alert_id = a.alert_id AND e.state = 'firing')"
    if $scenario_is_told || [ "$scenario_failed" -gt 0 ]; then
        printf '\n  The map:\n'
        scenario_table "SELECT prefix, pop, peer_as, state, round(share::numeric, 2) AS share, round(genuine_probability::numeric, 4) AS probability,
            expected, expected_by, bgp, rpki, tests FROM penstock.ingress_map WHERE $twins ORDER BY prefix, pop"
        printf '  Tests that the collector ordered (times in seconds):\n'
        scenario_table "SELECT order_id, prefix, pop, state, verdict, result, drops, round(extract(epoch FROM started_at - requested_at), 2) AS waited,
            round(extract(epoch FROM ended_at - started_at), 2) AS took, reason FROM penstock.test_order
            WHERE $twins ORDER BY order_id"
        printf '  Alerts that fired (UTC):\n'
        scenario_table "SELECT alert_id, kind, severity, state, date_trunc('second', started_at AT TIME ZONE 'UTC')::time AS started,
            date_trunc('second', resolved_at AT TIME ZONE 'UTC')::time AS resolved, summary FROM penstock.alert a WHERE $about AND $fired ORDER BY alert_id"
        pending=$(lab_value "SELECT string_agg(DISTINCT kind, ', ') FROM penstock.alert a WHERE $about AND NOT $fired")
        [ -z "$pending" ] || printf '  Pending for a moment, and never told: %s\n\n' "$pending"
    fi
    $scenario_is_told || return 0
    id=$(lab_value "SELECT alert_id FROM penstock.alert a WHERE $about AND $fired ORDER BY prefix IS NULL, resolved_at IS NOT NULL, family(prefix), alert_id LIMIT 1")
    [ -n "$id" ] || return 0
    printf '  penstockctl explain %s:\n\n' "$id"
    "$lab_bin/collector/penstockctl" explain "$id" --limit 3 --dsn "$lab_dsn" | sed 's/^./    &/'
}
scenario_table() { # SQL: its rows, or that there are none
    local rows
    rows=$(lab_sql -P footer=off -c "$1")
    if [ "$(wc -l <<<"$rows")" -gt 2 ]; then printf '%s\n\n' "$rows"; else printf '    none\n\n'; fi
}

# scenario_side_by_side NAME…: all at once, each in a process of its own; prints what each said, in order. Sums in
# $scenario_passed and $scenario_failed.
scenario_side_by_side() {
    local name pids=() passed=0 failed=0 p f
    for name in "$@"; do
        ( trap - INT; trap traffic_ends EXIT; trap 'exit 1' TERM
          scenario_run "$name" >"$lab/log/scenario-$name.out" 2>&1
          echo "$scenario_passed $scenario_failed" >"$lab/scenario-$name.counts" ) &
        pids+=("$!")
        lab_pids+=("$!")
    done
    for name in "$@"; do
        wait "${pids[0]}"
        lab_forget "${pids[0]}"
        pids=("${pids[@]:1}")
        cat "$lab/log/scenario-$name.out"
        read -r p f <"$lab/scenario-$name.counts" || { p=0 f=1; echo "  FAILED  $name: it did not come to its end"; }
        passed=$((passed + p)) failed=$((failed + f))
    done
    scenario_passed=$passed scenario_failed=$failed
}

# scenario_orders: how long from an order to its verdict
scenario_orders() {
    scenario_table "SELECT count(*) AS orders, count(*) FILTER (WHERE verdict IS NOT NULL) AS with_verdict,
        round(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - requested_at))::numeric, 2) AS median_seconds,
        round(max(extract(epoch FROM ended_at - requested_at)), 2) AS longest_seconds, verdict
        FROM penstock.test_order WHERE ended_at IS NOT NULL GROUP BY verdict ORDER BY verdict"
    echo "Those that did not end as genuine or spoofed:"
    scenario_table "SELECT order_id, prefix, pop, state, verdict, result, detail, drops, packets, data,
        round(extract(epoch FROM coalesce(ended_at, now()) - requested_at), 2) AS seconds FROM penstock.test_order
        WHERE verdict IS NULL OR verdict NOT IN ('genuine', 'spoofed') ORDER BY order_id"
}

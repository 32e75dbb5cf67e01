#!/usr/bin/env bash
# One worker per queue: with `source.queues: all` every queue is served, and none loses a frame.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_queues=2
lab_pop AMS 1
lab_sender AMS 203.0.113.10/24
# no collector anywhere: the sensor works without
lab_sensor AMS 1 --set source.queues=all --set publish.stop_wait=100ms || exit 1
pid=$lab_pid
lab_wait 60 "a path" lab_in AMS-world ping -c1 -W1 -I 203.0.113.10 198.18.1.10 || exit 1

counter() { # NAME
    lab_in AMS-box curl -s http://127.0.0.1:9559/metrics | awk -v name="penstock_$1_total{" 'index($0, name) == 1 { print $2 }'
}
queue_packets() { # QUEUE: frames that the program saw there
    lab_in AMS-box ethtool -S w0 | awk -v name="rx_queue_$1_xdp_packets:" '$1 == name { print $2 }'
}
at_least() { # COUNT ACTUAL
    [ "${2:-0}" -ge "$1" ] || { echo "expected at least $1, got «${2:-}»"; return 1; }
}
at_most() { # COUNT ACTUAL
    [ "${2:-9999}" -le "$1" ] || { echo "expected at most $1, got «${2:-}»"; return 1; }
}
settled() { # what the kernel handed over has been counted by the workers
    [ "$(counter kernel_handed)" = "$(counter packets)" ]
}

check "there are two workers" grep -q "event=open if=w0 queue=1" "$lab/log/sensor-AMS.log"
lab_spawn iperf-server.log nsenter --net="/run/netns/$lab_id-AMS-inside" iperf3 -s -1 -p 5301
lab_wait 60 "iperf3's server" lab_in AMS-inside sh -c "ss -Hltn sport = :5301 | grep -q ." || exit 1
lab_spawn iperf.log nsenter --net="/run/netns/$lab_id-AMS-world" \
    timeout 60 iperf3 -c 198.18.1.10 -B 203.0.113.10 -p 5301 -t 4 -P 16 -b 2M
check "sixteen transfers at once end well" wait "$lab_pid"
retransmissions=$(awk '/SUM.*sender/ { print $(NF - 1) }' "$lab/log/iperf.log")
withheld=$(counter dropped)
# late timers on a busy machine send again what was not lost; of some eleven thousand; the counters below are exact
check "hardly a segment was sent twice that the test had not withheld" at_most $((withheld + 500)) "$retransmissions"
check "queue 0 had its share" at_least 500 "$(queue_packets 0)"
check "queue 1 had its share" at_least 500 "$(queue_packets 1)"
check "the workers took all that the kernel handed over" lab_wait 60 "the counters" settled
check "there was something to take" at_least 4000 "$(counter packets)"
check "no queue was without a worker" same 0 "$(counter kernel_unserved)"
check "nothing was missed on the way to a worker" same 0 "$(counter source_missed)"
check "nothing was refused on the way out" same 0 "$(counter transmit_refused)"
check "what was not withheld was forwarded" same "$(counter packets)" $(($(counter forwarded) + $(counter dropped)))
kill -TERM "$pid"
wait "$pid"
check "SIGTERM ends the sensor with status 0" same 0 $?

#!/usr/bin/env bash
# Alerts are told to real receivers: Alertmanager, rsyslog, HTTP and HTTPS servers, a ZeroMQ subscriber, a file. They
# go away and come back, one as somebody who is not trusted at first; nothing is missing, the order is kept, and none
# of them holds up another or the collector.
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

lab_up "$build"
lab_database || exit 1
receiver=$build/tests/integration/feeds/feed_receiver
subscriber=$build/tests/integration/feeds/feed_subscriber

# ---- the receivers; all in the lab's namespace, where every port is free

cat >"$lab/alertmanager.yml" <<EOF
route: {receiver: noc, group_by: [fingerprint], group_wait: 0s, group_interval: 1s}
receivers: [{name: noc, webhook_configs: [{url: "http://127.0.0.1:9094/", send_resolved: true}]}]
EOF
cat >"$lab/rsyslog.conf" <<EOF
global(workDirectory="$lab")
module(load="imuxsock" SysSock.Use="off")
module(load="imtcp")
template(name="line" type="string" string="%syslogfacility-text% %syslogseverity-text% %app-name% %msgid% %structured-data%%msg%\n")
ruleset(name="unix") { action(type="omfile" file="$lab/unix.log" template="line") }
ruleset(name="tcp") { action(type="omfile" file="$lab/tcp.log" template="line") }
input(type="imuxsock" Socket="$lab/syslog.sock" useSpecialParser="off" ruleset="unix")
input(type="imtcp" address="127.0.0.1" port="6514" ruleset="tcp")
EOF
start_alertmanager() {
    lab_spawn alertmanager.log nsenter --net="/run/netns/$lab_id-core" prometheus-alertmanager \
        --config.file="$lab/alertmanager.yml" --storage.path="$lab/alertmanager" --log.level=warn \
        --web.listen-address=127.0.0.1:9093 --cluster.listen-address=
    alertmanager=$lab_pid
}
start_rsyslog() {
    lab_spawn rsyslog.log nsenter --net="/run/netns/$lab_id-core" rsyslogd -n -f "$lab/rsyslog.conf" -i "$lab/rsyslog.pid"
    rsyslog=$lab_pid
}
start_receiver() {
    lab_spawn receiver.log nsenter --net="/run/netns/$lab_id-core" "$receiver" 8080 "$lab/plain.log"
    plain=$lab_pid
}
start_secure() {
    lab_spawn secure.log nsenter --net="/run/netns/$lab_id-core" "$receiver" 8443 "$lab/tls.log" "$lab/tls/good.pem" "$lab/tls/key.pem"
    secure=$lab_pid
}
start_subscriber() { # where it was
    lab_spawn subscriber.log nsenter --net="/run/netns/$lab_id-core" sh -c "exec '$subscriber' tcp://127.0.0.1:5561 \
        tcp://127.0.0.1:5562 '$(ids "$lab/zeromq.log" | tail -1 | grep . || echo 0)' >>'$lab/zeromq.log'"
    subscribed=$lab_pid
}
ids() { { grep -oE 'event_id"?[:=]"?[0-9]+' "$1" || true; } 2>/dev/null | grep -oE '[0-9]+'; }
has() { [ "$(ids "$lab/$1.log" | awk '!seen[$0]++' | paste -sd' ')" = "$2" ]; } # in order; repeats left out
all_have() { has jsonl "$1" && has unix "$1" && has tcp "$1" && has plain "$1" && has tls "$1" && has zeromq "$1"; }
told() { # told IDS: waits, then says of each
    local feed
    lab_wait 60 "states $1" all_have "$1"
    for feed in jsonl unix tcp plain tls zeromq; do
        check "$feed has $1, in order" has "$feed" "$1"
    done
}
firing() { # the alerts that Alertmanager shows
    lab_in core amtool --alertmanager.url=http://127.0.0.1:9093 alert query -o json 2>>"$lab/log/amtool.log" |
        grep -oE '"alert_id":"[0-9]+"' | grep -oE '[0-9]+' | sort -n | paste -sd' '
}
shows() { [ "$(firing)" = "$1" ]; }
announce() { # announce ALERT_ID STATE
    lab_sql -c "INSERT INTO penstock.alert_event (alert_id, at, state, document) VALUES ($1, now(), '$2',
        jsonb_build_object('alert_id', $1, 'kind', 'ingress_moved', 'severity', 'critical', 'state', '$2', 'fingerprint', 'f$1',
            'prefix', '203.0.113.0/24', 'pop', 'AMS', 'router', 'ams1-r1', 'interface', 'xe-0/0/1', 'peer_as', 64501,
            'summary', 'alert $1 says \"it\" moved]', 'confidence', 0.97, 'started_at', now(),
            'runbook', 'docs/alerts/ingress_moved.md')); NOTIFY penstock_alert, '$1'"
}
lag() { lab_value "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM penstock.alert_feed_lag WHERE waiting > 0"; }
lag_is() { [ "$(lag)" = "$1" ]; }
healthy() { [ "$(lab_in core curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9560/healthz)" = 200 ]; }
metric() { lab_in core curl -s http://127.0.0.1:9560/metrics | grep -F "$1 " | grep -oE '[0-9.]+$'; }
downs() { grep -c "event=feed_down feed=$1 " "$lab/log/collector.log"; }

lab_spawn noc.log nsenter --net="/run/netns/$lab_id-core" "$receiver" 9094 "$lab/noc.log"
start_alertmanager
start_rsyslog
start_receiver
mkdir "$lab/tls" && "$lab_root/tests/support/certificates.sh" "$lab/tls" && cp "$lab/tls/ca.pem" "$lab/tls/trusted.pem" || exit 1
start_secure
lab_wait 60 "Alertmanager" shows "" || exit 1
lab_wait 60 "rsyslog" test -S "$lab/syslog.sock" || exit 1

# ---- a collector with eight feeds

configure() { # configure [MORE…]
    cat >"$lab/collector.yaml" <<EOF
collector: {name: core, listen: "tcp://*:5560"}
alerts:
  feeds:
    - {type: jsonl, path: $lab/jsonl.log}
    - {type: webhook, name: alertmanager, url: "http://127.0.0.1:9093/api/v2/alerts", format: alertmanager, repeat: 1s}
    - {type: webhook, name: plain, url: "http://127.0.0.1:8080/"}
    - {type: webhook, name: tls, url: "https://127.0.0.1:8443/", ca: $lab/tls/trusted.pem}
    - {type: syslog, name: unix, address: $lab/syslog.sock, facility: local4}
    - {type: syslog, name: tcp, address: "tcp://127.0.0.1:6514"}
    - {type: zeromq, listen: "tcp://127.0.0.1:5561", catch_up: "tcp://127.0.0.1:5562", heartbeat: 1s}
$(printf '    - %s\n' "$@")
EOF
}
configure '{type: jsonl, name: silenced, path: '"$lab/silenced.log"', kinds: [sensor_silent]}'
lab_collector_yaml=$lab/collector.yaml
lab_collector || exit 1
start_subscriber
lab_until 60 "eight cursors" "SELECT count(*) = 8 FROM penstock.alert_feed" || exit 1

announce 1 firing
announce 2 firing
announce 3 pending
announce 2 acknowledged
told "1 2 4"
check "Alertmanager shows both alerts" lab_wait 60 "Alertmanager" shows "1 2"
check "its labels say where" grep -qF '"prefix":"203.0.113.0/24"' <(lab_in core curl -s http://127.0.0.1:9093/api/v2/alerts)
check "rsyslog reads facility, severity and structured data" grep -qxF "local4 crit penstock-collector ingress_moved \
[penstock@32473 event_id=\"1\" alert_id=\"1\" kind=\"ingress_moved\" severity=\"critical\" state=\"firing\" fingerprint=\"f1\" \
prefix=\"203.0.113.0/24\" pop=\"AMS\" router=\"ams1-r1\" interface=\"xe-0/0/1\" peer_as=\"64501\" confidence=\"0.97\"]firing: \
alert 1 says \"it\" moved]" <(sed 's/\] *firing/]firing/' "$lab/unix.log")
check "who wants another kind hears nothing" same "" "$(cat "$lab/silenced.log")"
check "and is not behind" lab_wait 60 "no lag" lag_is ""

# ---- all receivers but the file are gone

for pid in $alertmanager $rsyslog $plain $secure $subscribed; do lab_kill "$pid"; done
cp "$lab/tls/other-ca.pem" "$lab/tls/trusted.pem" # it comes back as somebody whom this authority does not know
start_secure
announce 1 resolved
announce 4 firing
announce 5 firing
check "the file has all at once" lab_wait 60 "the file" has jsonl "1 2 4 5 6 7"
check "SQL says who is behind" lab_wait 60 "the lag" lag_is "alertmanager plain tcp tls unix"
check "and why" lab_wait 60 "reasons" lab_true "SELECT count(*) = 5 FROM penstock.alert_feed_lag WHERE failing_since IS NOT NULL AND last_error <> ''"
check "who it does not trust is told nothing, and it says so" lab_until 60 "the reason" "SELECT last_error LIKE '%certificate is not trusted, nothing was sent%' FROM penstock.alert_feed WHERE name = 'tls'"
check "the collector is healthy" healthy
check "a gauge says which feed is down" same "0 1" "$(metric 'penstock_feed_up{program="penstock-collector",feed="plain"}') $(metric 'penstock_feed_up{program="penstock-collector",feed="jsonl"}')"
sleep 1 # so that several attempts fail
check "an outage is one line of the log" same "1 1 1 1 1" "$(downs alertmanager) $(downs plain) $(downs tcp) $(downs tls) $(downs unix)"
start_alertmanager
start_rsyslog
start_receiver
cp "$lab/tls/ca.pem" "$lab/tls/trusted.pem" # read again, though the collector gave up its rights
start_subscriber
told "1 2 4 5 6 7"
check "Alertmanager knows which has ended" lab_wait 60 "Alertmanager" shows "2 4 5"
check "nobody is behind" lab_wait 60 "no lag" lag_is ""
check "and nobody failing" lab_until 60 "no failure" "SELECT count(*) = 0 FROM penstock.alert_feed_lag WHERE failing_since IS NOT NULL"

# ---- the collector is gone

lab_kill "$lab_collector_pid" KILL
announce 2 resolved
announce 6 suppressed
lab_collector || exit 1
told "1 2 4 5 6 7 8 9"
check "Alertmanager follows" lab_wait 60 "Alertmanager" shows "4 5"
check "and tells people of the end" lab_wait 60 "the notification" grep -q '"status":"resolved".*"alert_id":"2"' "$lab/noc.log"

# ---- feeds change live; one whose receiver is silent

lab_spawn silent.log nsenter --net="/run/netns/$lab_id-core" "$receiver" 8081
configure '{type: webhook, name: silent, url: "http://127.0.0.1:8081/", timeout: 5m}' \
    '{type: jsonl, name: late, path: '"$lab/late.log"', states: [firing], from: now}'
kill -HUP "$lab_collector_pid"
lab_until 60 "the new feeds" "SELECT count(*) = 10 FROM penstock.alert_feed" || exit 1
announce 7 firing
announce 4 resolved
told "1 2 4 5 6 7 8 9 10 11"
check "a new feed begins with what is new, and hears what it wants" lab_wait 60 "the late one" has late "10"
check "only the silent one waits, and the one that is no longer configured" lab_wait 60 "the lag" lag_is "silenced silent"
check "the collector is healthy" healthy
check "who may only read sees the lag" psql "$lab_dsn user=reader" -X -q -At -o /dev/null -c "SELECT * FROM penstock.alert_feed_lag"
# ---- a disk that is full in the middle of a line

lab_disk "$lab/small" 16k || exit 1
dd if=/dev/zero of="$lab/small/filler" bs=4096 count=2 status=none
configure '{type: jsonl, name: small, path: '"$lab/small/alerts.jsonl"', kinds: [sensor_gap]}'
kill -HUP "$lab_collector_pid"
lab_until 60 "one more feed" "SELECT count(*) = 11 FROM penstock.alert_feed" || exit 1
lines_are() { [ "$(jq -rs 'map(.alert_id) | join(" ")' "$lab/small/alerts.jsonl")" = "$1" ]; }
announce_long() { # announce_long FROM TO: a kilobyte each
    lab_sql -c "INSERT INTO penstock.alert_event (alert_id, at, state, document) SELECT n, now(), 'firing',
        jsonb_build_object('kind', 'sensor_gap', 'summary', repeat('x', 900)) FROM generate_series($1, $2) AS n; NOTIFY penstock_alert"
}
announce_long 101 105
lab_wait 60 "the first five" lines_are "101 102 103 104 105" || exit 1
announce_long 106 120
lab_until 60 "the full disk" "SELECT failing_since IS NOT NULL FROM penstock.alert_feed WHERE name = 'small'"
check "a full disk is told as what it is" lab_true "SELECT last_error LIKE '%No space left%' FROM penstock.alert_feed WHERE name = 'small'"
check "only whole lines stand there" lines_are "101 102 103 104 105"
lab_disk_resize "$lab/small" 1m
check "with room again all is there, once" lab_wait 60 "the small file" lines_are "$(seq -s' ' 101 120)"

check "reload said that feeds change live" sh -c "! grep -q reload_partial '$lab/log/collector.log'"
kill -TERM "$lab_collector_pid"
wait "$lab_collector_pid"
check "it ends cleanly, although one is silent" same 0 $?

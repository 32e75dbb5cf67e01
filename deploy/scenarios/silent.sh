# shellcheck shell=bash disable=SC2154
# silent: a sensor dies; its wire goes on, sensor_silent fires, and is resolved when it returns
#
# The sensor at LON is killed. The wire fails open: TCP goes on through the kernel. Nobody counts it any more, and
# Penstock says that it is blind there (sensor_silent), until the sensor is back. What a killed sensor had not yet
# written to its spool is lost; sensor_gap says so.

twins 8
traffic 64503 3
becomes 120 "it is on the map, at LON" "SELECT coalesce(bool_and(pop = 'LON'), false) FROM penstock.ingress_of(:host)"
lab_kill "$(cat "$lab/sensor-LON.pid")" KILL
says "the sensor at LON is killed"
becomes 120 "sensor_silent fires, about lon1" \
    "SELECT count(*) = 1 FROM penstock.alert WHERE kind = 'sensor_silent' AND sensor = 'lon1' AND state = 'firing'"
holds "and about nobody else" \
    "SELECT count(*) = 0 FROM penstock.alert WHERE kind = 'sensor_silent' AND sensor <> 'lon1' AND state = 'firing'"
sleep 1
is_true "its TCP flows on" traffic_flows
internet_sensor LON 3
says "it is started again"
becomes 120 "the alert is resolved" \
    "SELECT bool_and(state = 'resolved') FROM penstock.alert WHERE kind = 'sensor_silent' AND sensor = 'lon1'"
becomes 120 "sensor_gap tells that what it had not written down is lost" \
    "SELECT count(*) = 1 FROM penstock.alert WHERE kind = 'sensor_gap' AND sensor = 'lon1' AND state = 'firing'"
becomes 120 "its traffic is counted again" \
    "SELECT max(last_seen) > (SELECT max(resolved_at) FROM penstock.alert WHERE kind = 'sensor_silent') FROM penstock.ingress_of(:host)"

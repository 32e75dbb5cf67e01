# shellcheck shell=bash disable=SC2154
# move: a customer of two providers loses one of them, and gets it back; ingress_moved, from and to
#
# AS64605 is behind AS64501 (AMS) and AS64502 (FRA) and uses the first. Its session with AS64501 goes
# down: BGP moves its traffic to FRA, in the middle of its TCP connections. Penstock tells that the
# genuine bulk moved, from where and to where. The session comes back, the traffic moves back, and the
# alert is resolved.

twins 5
at_only="coalesce(sum(share) FILTER (WHERE pop = 'POP'), 0) > 0.7 FROM penstock.ingress_of(:host)"
traffic 64605 1
says "TCP from AS64605 enters at AMS"
becomes 120 "it enters at AMS" "SELECT ${at_only/POP/AMS}"
becomes 120 "it is proven genuine at AMS" \
    "SELECT coalesce(bool_or(state = 'genuine' AND pop = 'AMS'), false) FROM penstock.ingress_of(:host)"
bird_do as64605 disable '"as64501_*"'
says "AS64605 loses its session with AS64501"
becomes 120 "it enters at FRA" "SELECT ${at_only/POP/FRA}"
becomes 120 "ingress_moved fires, at FRA" \
    "SELECT count(*) = 1 AND bool_and(state = 'firing' AND pop = 'FRA') FROM penstock.alert WHERE prefix >>= :host AND kind = 'ingress_moved'"
is_true "its TCP flows on" traffic_flows
bird_do as64605 enable '"as64501_*"'
says "the session is back"
becomes 120 "it enters at AMS again" "SELECT ${at_only/POP/AMS}"
becomes 120 "ingress_moved is resolved" \
    "SELECT bool_and(state = 'resolved') FROM penstock.alert WHERE prefix >>= :host AND kind = 'ingress_moved' AND pop = 'FRA'"
becomes 120 "the history has both moves" \
    "SELECT count(*) >= 2 FROM penstock.ingress_change WHERE prefix >>= :host AND kind = 'moved'"
holds "nothing else is told of it" \
    "SELECT count(*) = 0 FROM penstock.alert JOIN penstock.alert_event e USING (alert_id)
        WHERE prefix >>= :host AND kind <> 'ingress_moved' AND e.state = 'firing'"
is_true "its TCP flows on, over both moves" traffic_flows

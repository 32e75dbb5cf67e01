# shellcheck shell=bash disable=SC2154
# newcomer: a genuine prefix where the policy does not expect it; ordered, proven, told, and over when it ends
#
# The policy says that the prefix enters at AMS. It comes at FRA, from AS64502, and it is real TCP. The
# collector orders a test there, the senders repair every withheld segment, and the alert
# ingress_unexpected fires. The traffic ends; so does the alert.

twins 4
traffic 64502 2
says "TCP from the prefix enters at FRA; the policy says AMS"
becomes 120 "the collector orders a test by itself" \
    "SELECT count(*) > 0 FROM penstock.test_order WHERE prefix >>= :host AND pop = 'FRA'"
becomes 120 "the test proves it genuine" \
    "SELECT coalesce(bool_and(state = 'genuine' AND pop = 'FRA' AND NOT expected AND genuine_probability > 0.99), false) FROM penstock.ingress_of(:host)"
becomes 120 "ingress_unexpected fires, once" \
    "SELECT count(*) = 1 AND bool_and(state = 'firing' AND pop = 'FRA') FROM penstock.alert WHERE prefix >>= :host AND kind = 'ingress_unexpected'"
is_true "its TCP flows on" traffic_flows
traffic_ends
says "the traffic ends"
becomes 120 "the alert is resolved" \
    "SELECT bool_and(state = 'resolved' AND resolved_at IS NOT NULL) FROM penstock.alert WHERE prefix >>= :host AND kind = 'ingress_unexpected'"

# shellcheck shell=bash disable=SC2154
# cone: a peer sends what lies outside its cone; policy_violation
#
# AS64606 is a customer of AS64501. It is behind AS64512 at FRA, too, which tells us its prefix and carries
# its traffic, though our policy says what AS64512's cone is, and this prefix is not in it. A leak: the traffic
# is genuine, BGP has a path, and still it should not be there.

twins 6
traffic 64606 2
says "TCP from AS64606 enters at FRA, through AS64512"
becomes 120 "it is proven genuine at FRA, where it is not expected" \
    "SELECT coalesce(bool_or(state = 'genuine' AND pop = 'FRA' AND peer_as = 64512 AND NOT expected), false) FROM penstock.ingress_of(:host)"
becomes 120 "policy_violation fires, about AS64512" \
    "SELECT count(*) = 1 AND bool_and(state = 'firing' AND pop = 'FRA' AND peer_as = 64512) FROM penstock.alert WHERE prefix >>= :host AND kind = 'policy_violation'"
traffic_ends
says "the leak ends"
becomes 120 "the alert is resolved" \
    "SELECT bool_and(state = 'resolved') FROM penstock.alert WHERE prefix >>= :host AND kind = 'policy_violation'"

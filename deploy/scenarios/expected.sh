# shellcheck shell=bash disable=SC2154
# expected: traffic where policy, BGP and RPKI expect it; nothing to tell
#
# AS64501 sends from its own prefix, through its own link at AMS. The prefix is announced there, its
# ROA says so, the policy says so. Penstock puts it on the map as expected, and says nothing.

twins 1
traffic 64501 1
says "TCP from AS64501 enters at AMS"
becomes 120 "it is on the map, at AMS only, expected by policy" \
    "SELECT coalesce(bool_and(pop = 'AMS' AND peer_as = 64501 AND expected AND expected_by = 'policy'), false) FROM penstock.ingress_of(:host)"
becomes 120 "BGP has a path there, and RPKI finds it valid" \
    "SELECT coalesce(bool_and(bgp = 'best' AND rpki = 'valid'), false) FROM penstock.ingress_of(:host)"
stays 6 "no alert" "SELECT count(*) = 0 FROM penstock.alert WHERE prefix >>= :host"
is_true "its TCP flows" traffic_flows

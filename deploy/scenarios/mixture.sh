# shellcheck shell=bash disable=SC2154
# mixture: half enters at AMS, half at FRA, and both are right; two rows, no move, no flapping
#
# AS64607 sends to two servers and takes the shorter path to each: through AS64501 to the one at AMS, through
# AS64502 to the one at FRA. The map keeps both, with half of the traffic each, and nobody is told of a move.

twins 7
traffic 64607 1
traffic 64607 2
says "TCP from AS64607 enters at AMS and at FRA"
halves="count(*) = 2 AND bool_and(share BETWEEN 0.35 AND 0.65) AND count(DISTINCT pop) = 2 FROM penstock.ingress_of(:host)"
becomes 120 "both are on the map, with about half each" "SELECT $halves"
sleep 8 # a half-life: which of the two began first no longer matters
stays 15 "and so they stay" "SELECT $halves"
holds "no ingress_moved" \
    "SELECT count(*) = 0 FROM penstock.alert WHERE prefix >>= :host AND kind = 'ingress_moved'"
holds "no move in the history" \
    "SELECT count(*) = 0 FROM penstock.ingress_change WHERE prefix >>= :host AND kind = 'moved'"
is_true "its TCP flows" traffic_flows

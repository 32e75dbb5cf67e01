# shellcheck shell=bash disable=SC2154
# hijack: a more-specific hijack that ROV hides from our RIB, and Penny sees on the wire
#
# AS64501 announces 100.64.30.0/23, with a ROA. AS64513 announces 100.64.31.0/24 out of it: invalid, so
# our routers drop it, and our RIB shows nothing wrong. But AS64501 does no ROV: what we send to the
# prefix goes to AS64501 and on to the hijacker, whose answers enter at its own link at LON. That is a closed
# loop at a link whose peer has no path for the prefix.

twins 3 100.64.31.0/24 2001:db8:31::/48
traffic 64513 3
says "AS64513 talks TCP with addresses of AS64501's prefix, and enters at LON"
is_true "our RIB does not show the more-specific" sh -c "! bgpdump -m '$lab/rib.mrt' 2>/dev/null | grep -qE '100.64.31.0/24|2001:db8:31::'"
becomes 120 "the collector orders a test by itself" \
    "SELECT count(*) > 0 FROM penstock.test_order WHERE prefix >>= :host AND pop = 'LON'"
becomes 120 "the test proves it genuine" \
    "SELECT coalesce(bool_or(state = 'genuine' AND pop = 'LON' AND NOT expected), false) FROM penstock.ingress_of(:host)"
becomes 120 "hijack_suspected fires, at LON, about AS64513" \
    "SELECT count(*) = 1 AND bool_and(state = 'firing' AND pop = 'LON' AND peer_as = 64513) FROM penstock.alert WHERE prefix >>= :host AND kind = 'hijack_suspected'"
traffic_ends
says "the hijack ends"
becomes 120 "the alert is resolved" \
    "SELECT bool_and(state = 'resolved') FROM penstock.alert WHERE prefix >>= :host AND kind = 'hijack_suspected'"

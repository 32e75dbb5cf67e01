# shellcheck shell=bash disable=SC2154
# spoofed: forged sources at a link where they do not belong; no routing alert, but a word about the link
#
# Somebody behind AS64502 at FRA forges sources of AS64501's prefix. To counters it looks as if
# AS64501 had moved. Penstock orders a test, withholds a few segments, and none comes again: spoofed.
# So no routing alert. When enough of it has come, Penstock says which link delivers it.

twins 2
spoofs 64502 FRA 2
says "packets with sources of AS64501 enter at FRA, sent by nobody who hears an answer"
becomes 120 "the collector orders a test by itself" \
    "SELECT count(*) > 0 FROM penstock.test_order WHERE prefix >>= :host AND pop = 'FRA'"
becomes 120 "the test finds it spoofed" \
    "SELECT coalesce(bool_or(state = 'spoofed' AND pop = 'FRA' AND NOT expected), false) FROM penstock.ingress_of(:host)"
becomes 120 "spoofing_source tells the link" \
    "SELECT count(*) > 0 FROM penstock.alert WHERE kind = 'spoofing_source' AND pop = 'FRA' AND peer_as = 64502 AND state = 'firing'"
holds "no routing alert" \
    "SELECT count(*) = 0 FROM penstock.alert WHERE prefix >>= :host AND kind <> 'spoofing_source'"

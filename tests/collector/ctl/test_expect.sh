#!/usr/bin/env bash
# penstockctl expect: what is said stands in the database, once, and what is wrong is refused with a reason.
# Usage: test_expect.sh PENSTOCKCTL PENSTOCK_COLLECTOR EXPECTED_YAML
set -uo pipefail
# shellcheck source=tests/collector/ctl/database.sh
. "$(dirname "$0")/database.sh" "$1" "$2"
example=$(realpath "$3")
cd "$work" || exit 1
rows() { sql -c "SELECT count(*) FROM penstock.expectation"; }

check "add says so, with its number" ends 0 "^added 1 203.0.113.0/24$" \
    "$ctl" expect add 203.0.113.0/24 pop=AMS router=ams1-r1 vlan=101 mac=02:00:00:00:00:07 peer_as=64501 --reason "contract 7"
check "all of it stands there" same "operator|203.0.113.0/24|AMS|ams1-r1||101|02:00:00:00:00:07|64501|contract 7|postgres" "$(sql -c "
    SELECT source, prefix, pop, router, interface, vlan, mac, peer_as, comment, added_by FROM penstock.expectation")"
check "the same again changes nothing, and says so" ends 0 "^known 1 " \
    "$ctl" expect add 203.0.113.0/24 pop=AMS router=ams1-r1 vlan=101 mac=02:00:00:00:00:07 peer_as=64501
check "a cone: a sentence per prefix" is_json 'length == 2 and all(.[]; .cone_as == 64502 and .is_new)' \
    "$ctl" expect add AS64502 192.0.2.0/24 2001:db8::/32 --json
check "of a list with a mistake nothing is said, and nothing printed" same "" "$("$ctl" expect add AS64502 10.9.0.0/16 10.9.0.0 --json 2>/dev/null)"
check "nowhere" ends 0 "^added" "$ctl" expect add 198.51.100.0/24 nowhere
check "list: all of it" is_json 'length == 4 and map(.prefix) == ["198.51.100.0/24","203.0.113.0/24","192.0.2.0/24","2001:db8::/32"]' \
    "$ctl" expect list --json
check "list PREFIX: what overlaps" is_json 'length == 1 and .[0].vlan == 101' "$ctl" expect list 203.0.113.9 --json
check "list is a table" ends 0 "^ID +SOURCE +PREFIX" "$ctl" expect list
check "no place is no sentence" ends 2 "expected where" "$ctl" expect add 203.0.113.0/24
check "a prefix with bits too many" ends 2 "bits beyond its length" "$ctl" expect add 203.0.113.1/24 pop=AMS
check "no prefix" ends 2 "is no prefix" "$ctl" expect add 203.0.113.0 pop=AMS
check "a key that is none" ends 2 "expected one of pop=" "$ctl" expect add 203.0.113.0/24 popp=AMS
check "a key without a value" ends 2 "leave it out for any" "$ctl" expect add 203.0.113.0/24 pop=
check "a key twice" ends 2 "given twice" "$ctl" expect add 203.0.113.0/24 pop=A pop=B
check "a value that is none" ends 2 "saying what is expected" "$ctl" expect add 203.0.113.0/24 vlan=5000
check "a cone without a prefix" ends 2 "which prefixes" "$ctl" expect add AS64502
check "one wrong word of several: none is said" ends 2 "is no prefix" "$ctl" expect add AS64502 10.0.0.0/8 10.0.0.0
check "so the rows are those" same 4 "$(rows)"
check "remove in the same words" ends 0 "^removed" "$ctl" expect remove AS64502 192.0.2.0/24
check "remove by number" ends 0 "^removed 1 203.0.113.0/24$" "$ctl" expect remove 1
check "remove what is not there: status 1" ends 1 "no such expectation" "$ctl" expect remove 1
check "in words, too" ends 1 "nothing is said like that" "$ctl" expect remove 203.0.113.0/24 pop=AMS
check "two are left" same 2 "$(rows)"

sql -c "INSERT INTO penstock.expectation (source, prefix, pop) VALUES ('learned', '10.0.0.0/8', 'AMS')"
check "import says what it did" ends 0 "^6 added, 1 known already$" "$ctl" expect import "$example"
check "again: nothing new" is_json '.added == 0 and .known == 7' "$ctl" expect import "$example" --json
check "--force: instead of what operators said, not of what was learned" sh -c "
    '$ctl' expect import --force '$example' | grep -qx '7 added, 0 known already'"
check "the learned one is still there" same "1|7" "$(sql -c "
    SELECT count(*) FILTER (WHERE source = 'learned'), count(*) FILTER (WHERE source = 'operator') FROM penstock.expectation")"
printf -- '- {prefix: 10.1.0.0/16, ingress: [{pop: A}]}\n- {prefix: 10.2.0.0/16, ingres: []}\n' >bad.yaml
check "a file with a mistake: file, line and key, and nothing of it" ends 2 'bad.yaml:2: unknown key.*ingres' "$ctl" expect import bad.yaml --force
check "all is as it was" same 8 "$(rows)"
check "a file that is not there" ends 2 "no.yaml: cannot read" "$ctl" expect import no.yaml
sql -c "CREATE ROLE ann LOGIN IN ROLE penstock_operator, penstock_reader; CREATE ROLE bob LOGIN IN ROLE penstock_reader"
check "an operator may say it, under their name" ends 0 "^added" "$ctl" expect add 10.3.0.0/16 pop=AMS --dsn "${PENSTOCK_DSN/user=postgres/user=ann}"
check "and it says who" same ann "$(sql -c "SELECT added_by FROM penstock.expectation WHERE prefix = '10.3.0.0/16'")"
check "a reader may not" ends 1 "permission denied" "$ctl" expect add 10.4.0.0/16 pop=AMS --dsn "${PENSTOCK_DSN/user=postgres/user=bob}"
finish

#!/usr/bin/env bash
# penstockctl keys: what it writes, refuses and prints.
# Usage: test_keys.sh PENSTOCKCTL
set -uo pipefail
ctl=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/collector/ctl/words.sh
. "$here/words.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

mode_of() { stat -c %a "$1"; }

check "--help: status 0 and all commands" ends 0 "keys check DIR" "$ctl" --help
check "--version: status 0" ends 0 "^penstockctl [0-9]+\.[0-9]+" "$ctl" --version
check "without a command: status 2" ends 2 -- "$ctl"
check "an unknown command: status 2, names it" ends 2 "nonsense" "$ctl" nonsense
check "half a command: status 2" ends 2 "keys: needs one more word" "$ctl" keys
check "half a command --help: status 0" ends 0 "keys new" "$ctl" keys --help
check "a command's --help: status 0 and its options" ends 0 "--pop POP" "$ctl" keys new --help
check "an option of another command: status 2" ends 2 "pop" "$ctl" keys show --pop AMS x
check "an option without its argument: status 2" ends 2 "needs an argument" "$ctl" keys new a --pop
check "too few arguments: status 2, says which" ends 2 "NAME" "$ctl" keys new
check "too many arguments: status 2, names it" ends 2 "surplus" "$ctl" keys new a surplus

umask 000
check "keys new writes both files and says where they go" ends 0 "ams1.cert.*0600" "$ctl" keys new ams1 --pop AMS
check "the secret is its owner's alone, whatever the umask" same 600 "$(mode_of ams1.cert)"
check "the public half may be read by all" same 644 "$(mode_of ams1.pub)"
check "the public half has no secret" sh -c '! grep -q secret-key ams1.pub'
check "nothing else is left in the folder" same "ams1.cert ams1.pub" "$(echo .[!.]* * | sed 's/^\.\[!\.\]\* //')"
before=$(cat ams1.cert)
check "a key is never replaced without being told to" ends 1 "never replaced without --force" "$ctl" keys new ams1 --pop AMS
check "and it is what it was" same "$before" "$(cat ams1.cert)"
rm ams1.cert
check "nor is the public half of a pair that is elsewhere" ends 1 "ams1.pub.*never replaced" "$ctl" keys new ams1 --pop AMS
check "and no secret is left behind by that" test ! -e ams1.cert
check "--force replaces both" ends 0 "" "$ctl" keys new ams1 --pop AMS --force
check "and they belong together" ends 0 "secret key  in this file" "$ctl" keys show ams1.cert
check "a name that is no file's name is refused" ends 2 "is no name" "$ctl" keys new ../ams1
check "a name with a space is refused" ends 2 "is no name" "$ctl" keys new "ams 1"
check "a pop that is too long is refused" ends 2 "is no pop" "$ctl" keys new x --pop 01234567890123456789012345678901
check "a folder that is not there: status 1, names it" ends 1 "/no/such" "$ctl" keys new x --dir /no/such
check "--json says what was made" is_json '.name == "fra1" and .pop == "FRA" and (.public_key | length) == 40' \
    "$ctl" keys new fra1 --pop=FRA --json

check "keys show prints name and pop, never the secret" sh -c "
    said=\$('$ctl' keys show ams1.cert) && echo \"\$said\" | grep -q AMS && ! echo \"\$said\" | grep -qF \"\$(sed -n 's/.*secret-key = \"\(.*\)\"/\1/p' ams1.cert)\""
check "keys show --json" is_json '.pop == "AMS" and .has_secret == false' "$ctl" keys show ams1.pub --json
chmod 640 ams1.cert
check "a secret that others may read is refused with its mode and the cure" ends 1 "mode 0640.*chmod 600" "$ctl" keys show ams1.cert
check "a file that is none: status 1, names it" ends 1 "none.pub" "$ctl" keys show none.pub

mkdir sensors.d
cp ams1.pub fra1.pub sensors.d
check "keys check lists whom the collector lets in" ends 0 "fra1.pub +fra1 +FRA" "$ctl" keys check sensors.d
printf 'what"ever\n' >'sensors.d/a "b".pub'
cp fra1.cert sensors.d
check "keys check: status 1 and the reason for a file that allows nobody" ends 1 "fra1.cert +allows nobody: .*secret-key" "$ctl" keys check sensors.d
mkdir subscribers.d && "$ctl" keys new noc >/dev/null && cp noc.pub subscribers.d
check "a subscriber needs no pop" ends 0 "noc.pub +noc" "$ctl" keys check subscribers.d --subscribers
check "a sensor does" ends 1 "noc.pub +allows nobody: .*pop" "$ctl" keys check subscribers.d
check "keys check --json has both lists" is_json '(.allowed | length) == 2 and [.refused[].file] == ["a \"b\".pub", "fra1.cert"]' \
    "$ctl" keys check sensors.d --json
check "keys check of no folder: status 1" ends 1 "/no/such" "$ctl" keys check /no/such

finish

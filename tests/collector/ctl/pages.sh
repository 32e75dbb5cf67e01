# shellcheck shell=bash disable=SC2154
# What the pages for operators tell to type works as it stands there, as a person who may look and
# speak (role ann of the test that sources this): every line of penstockctl in a shell block, every
# block of SQL; in docs/alerts also the commands within sentences. Numbers that the pages name are
# there: alerts 17 and 41, order 17, expectation 17, window 3.
pages_root=$(cd "$here/../../.." && pwd)
pages=("$pages_root/README.md" "$pages_root"/docs/{ingress,orders,expectation,feeds,passive,scan,sql}.md "$pages_root"/docs/alerts/*.md)

# pages_of KIND: "FILE:LINE TEXT" of each line in blocks of that kind; comments are taken away
pages_of() {
    awk -v kind="$1" '/^ *```/ { on = $0 ~ "```" kind "$"; next } on { print FILENAME ":" FNR " " $0 }' "${pages[@]}"
}
pages_commands() {
    pages_of sh | grep ' penstockctl' | sed -E 's/ +# .*//'
    # a command may stand on two lines
    awk '/^ *```/ { off = !off; next } off { next }
        { text = rest $0; rest = "" }
        { while (match(text, /`penstockctl [^`]*`/)) {
              print FILENAME ":" FNR " " substr(text, RSTART + 1, RLENGTH - 2)
              text = substr(text, RSTART + RLENGTH)
          }
          if (match(text, /`penstockctl [^`]*$/)) rest = substr(text, RSTART) " " }' "$pages_root"/docs/alerts/*.md |
        grep -vE 'penstockctl (alerts|expect) (remove|show)$|explain --json$'
}

pages_rows() {
    sql <<'SQL'
INSERT INTO penstock.alert (alert_id, fingerprint, kind, severity, confidence, state, prefix, pop, router, interface,
        peer_as, summary, expected, evidence, started_at, updated_at)
    SELECT n, n::text, 'ingress_unexpected', 'critical', 0.9, 'firing', '203.0.113.0/24', 'FRA', 'fra1-r1', 'xe-0/0/0', 64502,
        'Genuine traffic', '[{"pop": "AMS"}]', jsonb_build_object('test_id', gen_random_uuid()), now(), now()
    FROM unnest('{17,41}'::bigint[]) AS n;
INSERT INTO penstock.test_order (order_id, prefix, pop) OVERRIDING SYSTEM VALUE VALUES (17, '203.0.113.0/24', 'AMS');
INSERT INTO penstock.expectation (expectation_id, source, prefix, pop) OVERRIDING SYSTEM VALUE
    VALUES (17, 'operator', '192.0.2.128/25', 'AMS');
INSERT INTO penstock.maintenance (maintenance_id, starts_at, ends_at, who, why) OVERRIDING SYSTEM VALUE
    VALUES (3, now(), now() + interval '1 hour', 'ann', 'x');
SQL
}

pages_type() { # every command ends with 0
    local at line said wrong=0
    mkdir -p bin
    ln -sf "$ctl" bin/penstockctl
    cp "$pages_root/configs/expected.yaml" .
    cp expected.yaml new-policy.yaml
    while read -r at line; do
        # nobody tests here, so nothing would end a wait
        line=${line/ --wait/} line=${line/ ID/ 41}
        if ! said=$(PENSTOCK_DSN=$(as ann) PATH="$work/bin:$PATH" bash -c "$line" 2>&1 </dev/null); then
            echo "$at: $line: $said"
            wrong=1
        fi
    done < <(pages_commands)
    return $wrong
}

pages_ask() { # every block of SQL is understood
    pages_of sql | awk '
        { at = $1; sub(/^[^ ]+ /, "") ; split(at, place, ":") }
        place[1] != file || place[2] != last + 1 { if (file != "") print ";ROLLBACK;"; print "\\warn " at "\nBEGIN;" }
        { print; file = place[1]; last = place[2] }
        END { print ";ROLLBACK;" }' >pages.sql
    psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f pages.sql "$(as ann)" 2>pages.log && return 0
    grep -B 1 -m 1 -A 3 ERROR pages.log
    return 1
}

pages_rows || exit 1
check "the pages' commands can be typed as they stand there" pages_type
check "and their SQL be asked" pages_ask
check "there are such commands, and such SQL" sh -c "test $(pages_commands | wc -l) -gt 30 && test $(grep -c warn pages.sql) -gt 25"

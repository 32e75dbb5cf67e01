#!/usr/bin/env bash
# Certificates for a test's HTTPS server at 127.0.0.1. Usage: certificates.sh FOLDER
#   ca.pem, other-ca.pem            two authorities; the others are the first one's
#   good.pem elsewhere.pem old.pem  for 127.0.0.1; for another host; for 127.0.0.1, but expired
#   key.pem                         the key of all three
set -euo pipefail
cd "${1:?folder}"
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

for ca in ca other-ca; do
    openssl req -x509 "${new_key[@]}" -keyout "$ca.key" -out "$ca.pem" -subj "/CN=penstock test $ca" -days 2
done 2>/dev/null
openssl req "${new_key[@]}" -keyout key.pem -out server.csr -subj /CN=receiver 2>/dev/null
certificate() { # certificate NAME DAYS SUBJECT_ALT_NAME
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days "$2" -out "$1.pem" \
        -extfile <(echo "subjectAltName=$3") 2>/dev/null
}
certificate good 2 IP:127.0.0.1
certificate elsewhere 2 DNS:elsewhere.example
certificate old -1 IP:127.0.0.1

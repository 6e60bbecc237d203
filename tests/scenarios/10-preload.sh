#!/bin/bash
# Goal of this test: the preload of seed 000 reaches SERVING whatever the order of the three injections, also with socat.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

order() {
    serve "$1" --order "$1" && host_down "$RUN/$1"
}
left_nothing() {
    [ -z "$(find "$RUN/kas" -type f ! -name enclave.log ! -name lock -o -type s)" ]
}
# one port after the other, each waiting for its answer but the last
by_hand() {
    host_up "$RUN/$1" "$RUN/image" --no-preload --keep || return 1
    local port i=0
    local -A file=([7101]=$RUN/age-private.key.enc [7102]=$RUN/shares/service_key_shares.json.age)
    credentials >"$RUN/creds.json"
    file[7100]=$RUN/creds.json
    for port in ${1//-/ }; do
        inject "$1" "$port" <"${file[$port]}" >"$RUN/answer.$i" &
        wait_until 1 test -s "$RUN/answer.$i" || true
        i=$((i + 1))
    done
    wait_until 20 serving "$RUN/$1" && wait_until 5 test -s "$RUN/answer.2"
    [ "$(cat "$RUN"/answer.? | jq -r .code | sort -u)" = OK ] && host_down "$RUN/$1"
}
prepare
for o in kas ask sak; do
    case_ "order-$o" order $o
done
case_ "stop-leaves-no-socket" left_nothing
rm -f "$RUN"/answer.*
case_ "socat-shares-first" by_hand 7102-7101-7100
rm -f "$RUN"/answer.*
case_ "socat-credentials-first" by_hand 7100-7102-7101
finish

#!/bin/bash
# Goal of this test: credentials that an image keeps are renewed before they expire and pushed on 7100 alone, a fetch that fails is tried
# again; without a lease nothing is pushed after the load.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

count() { grep -c "inject $2 .* ok" "$RUN/$1.out"; }
expiry() { "$BIN/sign-host" status --json --dir "$RUN/$1" | jq -r .host.credentials_expire; }
renewed() {
    local before
    before=$(expiry l)
    wait_until 20 eval '[ "$(count l 7100)" -ge 3 ]' && [ "$(count l 7101)" = 1 ] && [[ $(expiry l) > $before ]] && sign_ok
}
survives_a_fault() {
    echo imds:403 >"$RUN/mode"
    wait_until 20 grep -q '"event":"reload".*IMDS_OFF' "$RUN/l.err" && : >"$RUN/mode"
    local n
    n=$(count l 7100)
    wait_until 25 eval "[ \$(count l 7100) -gt $n ]" && sign_ok
}
not_renewed() { nitro_up m && sleep 5 && [ "$(count m 7100)" = 1 ] && nitro_down m; }
nitro_prepare --credential-seconds 8
"$(dirname "$0")/parts/aws_faults.py" "$IMDS" "$S3" "$RUN/mode" "$RUN/port" 2>"$RUN/faults.err" &
FAULTS=$!
trap 'kill $FAULTS; nitro_cleanup' EXIT
wait_until 10 test -s "$RUN/port"
case_ "serves" eval 'IMDS_ENDPOINT=http://127.0.0.1:$(cat "$RUN/port") nitro_up l --renew-credentials'
case_ "renewed-before-they-expire" renewed
case_ "a-fetch-that-fails-is-tried-again" survives_a_fault
nitro_down l
case_ "no-lease-no-push" not_renewed
finish

#!/bin/bash
# Goal of this test: with tee.enabled in the measured configuration sign-kms keeps its credentials after a load and a local run renews
# them before they expire; without it they are forgotten after the load.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
CRED_S=6

of_load() { "$BIN/sign-host" status --json --dir "$RUN/$1" | jq -r ".load.credentials"; }
present() { [ "$(of_load "$1")" = present ]; }
# stays SECONDS: present whenever it is looked at, for longer than any of them lives
stays() {
    local end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ]; do
        present tee || { echo "# $(of_load tee)"; return 1; }
        sleep 0.3
    done
}
renewed() { [ "$(grep -c 'inject 7100 (creds) .* ok' "$RUN/tee.out")" -ge 3 ]; }
no_child_left() { ! pgrep -f -- "--dir $RUN/tee" >/dev/null; }
gone() {
    local lease
    lease=$(pgrep -P "$(cat "$RUN/tee.pid")" sign-host | head -1)
    host_down "$RUN/tee"
    [ -n "$lease" ] && ! kill -0 "$lease" 2>/dev/null && wait_until 5 no_child_left
}
forgotten() { serve plain && wait_until 5 bash -c "! '$BIN/sign-host' status --json --dir '$RUN/plain' | jq -e '.load.credentials == \"present\"'"; }

prepare --credential-seconds $CRED_S
case_ forgotten-without-tee forgotten
host_down "$RUN/plain"
CONFIG_LIMITS='}
tee: {enabled: true'
image_build "$RUN/image-tee" && key_bind "$PCR0"
IMAGE=$RUN/image-tee serve tee || { cat "$RUN"/tee*/*.log; exit 1; }
case_ kept-after-the-load wait_until 5 present tee
case_ renewed-before-they-expire stays $((2 * CRED_S + 3))
case_ by-this-run renewed
case_ ended-with-the-run gone
finish

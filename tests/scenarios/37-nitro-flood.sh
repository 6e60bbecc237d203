#!/bin/bash
# Goal of this test: more clients than sign-host has descriptors for take none from the way to KMS, from status and stop, or from a restart; those
# too many are refused at once, and when they have gone everything is as before.
# limit: 120
# shellcheck disable=SC2034 # variables that nitro-lib.sh reads
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

NUM=900
status() { timeout 20 "$BIN/sign-host" status --dir "$RUN/f" --json | jq -r "$1"; }
# NUM connections that say nothing, until standard input ends
flood() {
    mkfifo "$RUN/hold"
    python3 -c '
import socket, sys
open_ones = []
for _ in range(int(sys.argv[2])):
    open_ones.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
open(sys.argv[3], "w").close()
sys.stdin.read()' "${GRPC##*:}" "$NUM" "$RUN/opened" <"$RUN/hold" &
    exec 7>"$RUN/hold"
    wait_until 20 test -e "$RUN/opened"
}
many() { [ "$(status .host.open_grpc)" -ge 200 ] && [ "$(status .host.open_grpc)" -lt "$NUM" ]; }
refused_and_said() { grep -q '"code":"PROXY_FULL"' "$RUN/f.err" && grep -q '"result":"full"' "$RUN/f.err"; }
reloads() { timeout 30 "$BIN/sign-host" reload --dir "$RUN/f" >/dev/null; }
gone() {
    exec 7>&-
    wait_until 10 eval '[ "$(status .host.open_grpc)" = 0 ]' && sign_ok
}

nitro_prepare
IN=(prlimit --nofile=1400:1400)
case_ "serves" nitro_up f
case_ "flood" flood
case_ "status-answers" wait_until 10 many
case_ "too-many-are-refused" refused_and_said
case_ "reload-asks-kms" reloads
case_ "as-before-when-they-have-gone" gone
case_ "stops" nitro_down f
finish

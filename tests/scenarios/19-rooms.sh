#!/bin/bash
# Goal of this test: signatures over rooms whatever strangers write into them, and after either party, sign-service or the gateway
# was started anew; a request that was signed before has the same signature then.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3 # Debian's, which has python3-grpcio
"$python" -c 'import grpc' 2>/dev/null || { echo "skip rooms (missing python3-grpcio)"; exit 77; }
trap 'stop_pid "$RUN/participant.pid" signctl; gateway_down; cleanup' EXIT
PARTICIPANT=

participant() {
    stop_pid "$RUN/participant.pid" signctl
    setsid "$BIN/signctl" participant serve -l "tcp:127.0.0.1:${PARTICIPANT##*:}" -g "$GATEWAY_HTTP" --shares "$RUN/shares/client_key_shares.json" \
        --root "$(emu_get nsm_root)" --pcr "0=$PCR0" >"$RUN/participant.out" 2>"$RUN/participant.err" </dev/null &
    echo $! >"$RUN/participant.pid"
    wait_until 10 grep -q '"event":"ready"' "$RUN/participant.err"
    PARTICIPANT=$(sed -n 's/.*"endpoint":"tcp:\([^"]*\)".*/\1/p' "$RUN/participant.err" | head -1)
}
calls() { GATEWAY_GRPC=$GATEWAY_GRPC GATEWAY_HTTP=$GATEWAY_HTTP PARTICIPANT=$PARTICIPANT ACCOUNT_ID=account-1 \
    timeout 120 "$python" "$(dirname "$0")/rooms_calls.py" "$@"; }
signs() {
    calls "$@" >"$RUN/calls.last" || { cat "$RUN/calls.last"; return 1; }
}

under_noise() { signs 1 24 80; }
remembered() {
    participant && calls 1 24 0 >"$RUN/calls.again" && signs_again
}
signs_again() { signs 1 24 0 && cmp "$RUN/calls.again" "$RUN/calls.last" && cmp "$RUN/calls.first" "$RUN/calls.last"; }
service_pid() { pgrep -P "$HOST_PID" sign-service; }
service_killed() {
    local old
    old=$(service_pid) && kill -9 "$old" || return 1
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 10 bash -c '! grep -q "^[^:]*VmRSS" /proc/$0/status 2>/dev/null' "$old"
    # shellcheck disable=SC2016
    wait_until 10 bash -c '[ "$(curl -s -o /dev/null -w "%{http_code}" --noproxy "*" "$0/health")" = 200 ]' "$GATEWAY_HTTP"
    signs 100 8 0
}
gateway_restarted() {
    gateway_down && gateway_up && signs 200 8 0
}
small() {
    case $BIN in
    *asan*) return 0 ;; # its memory is the sanitizer's
    esac
    [ "$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(service_pid)/status")" -lt 65536 ]
}

gateway_ports
# shellcheck disable=SC2034 # read by stack-lib.sh
CONFIG_GATEWAY=http://gateway:8080
# shellcheck disable=SC2034
CONFIG_LIMITS=', silenceMs: 5000'
prepare
serve rooms --egress "tcp:${GATEWAY_HTTP#http://}" || { echo "not ok serve"; exit 1; }
# shellcheck disable=SC2034
GRPC=$(jq -r .grpc "$RUN/rooms/run.json" | sed 's/^tcp://')
gateway_up || { echo "not ok gateway"; exit 1; }
PARTICIPANT=127.0.0.1:0
participant || { echo "not ok participant"; exit 1; }
case_ signed-under-noise under_noise
cp "$RUN/calls.last" "$RUN/calls.first"
case_ remembered-after-the-participant-was-started-anew remembered
case_ the-front-stays-small small
case_ signs-after-sign-service-was-killed service_killed
case_ signs-after-the-gateway-was-started-anew gateway_restarted
finish

#!/bin/bash
# Goal of this test: the TEE service as applications in other languages use it: Python's gRPC and HTTP to sign-gateway, sign-service, sign-core and
# sign-kms behind it. Keys are made, signatures verify elsewhere, a retry gets the same answer, rows are rotated; all of it outlives a restart of
# the gateway; an image that is not on the list is refused.
# shellcheck disable=SC2317 # functions run by case_
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import cbor2, cryptography, grpc' 2>/dev/null || { echo "python3-cbor2, python3-cryptography and python3-grpcio are needed" && exit 77; }
PART=$(dirname "$0")/parts/tee_gateway.py

config_with_tee() {
    config_write "$1"
    echo 'tee: {enabled: true, dataKeyCacheSeconds: 60}' >>"$1"
}
step() { /usr/bin/python3 "$PART" "${GATEWAY_GRPC#tcp:}" "${GATEWAY_HTTP#http://}" "$RUN/app.json" "$RUN/state.json" "$1"; }
gateway_again() {
    stop_pid "$RUN/gateway.pid" sign-gateway
    gateway_up && step open
}

audit_written() { rm -f "$RUN/audit.jsonl" && "$BIN/sign-gateway" audit "$RUN/audit.jsonl" --store "sqlite:$RUN/tee.db"; }
audit_proved() {
    "$BIN/signctl" audit verify "$RUN/audit.jsonl" --root "$APP_TEE_ATTESTATIONROOT" --pcr "0=$PCR0" --pcr "1=$PCR1" --pcr "2=$PCR2"
}
audit_cut() {
    sed '10d' "$RUN/audit.jsonl" >"$RUN/cut.jsonl"
    ! "$BIN/signctl" audit verify "$RUN/cut.jsonl" --root "$APP_TEE_ATTESTATIONROOT" --pcr "0=$PCR0" --pcr "1=$PCR1" --pcr "2=$PCR2"
}

# Killed under load until entries were lost by it (few are: those between core's answer and the store); the next gateway has them from core.
gateway_killed() {
    local load
    for _ in 1 2 3 4 5 6; do
        step load &
        load=$!
        sleep 1.5
        kill -9 "$(cat "$RUN/gateway.pid")"
        wait "$load" || return 1
        gateway_up && step open && wait_until 15 audit_whole || return 1
        ! grep -q '"event":"tee_audit_filled"' "$RUN/gateway.log" || return 0
    done
    echo "no entry was lost in six kills"
    return 1
}
audit_whole() { audit_written && audit_proved; }

emulator_up
publisher_new
age_new
key_new
config_with_tee "$RUN/image.yaml"
"$BIN/signctl" config compile "$RUN/image.yaml" -o "$RUN/image.cbor" || exit 1
"$BIN/sign-host" image build --config "$RUN/image.cbor" "$RUN/image" || exit 1
image_pcrs "$RUN/image"
key_bind "$PCR0"
"$BIN/signctl" caller new --id app -o "$RUN/app.json" >/dev/null
"$BIN/signctl" caller public "$RUN/app.json" --operations Sign,Generate,Rotate --records 'wallet-*' >"$RUN/app.pub.json"
shares_new "$RUN/shares" 1 -n 1 --sealing-root --caller "$RUN/app.pub.json"
store
serve e || { cat "$RUN"/*.err; exit 1; }
APP_TEE_ATTESTATIONROOT=$(emu_get nsm_root)
export APP_TEE_ENABLED=true APP_TEE_ATTESTATIONROOT APP_TEE_ALLOWEDPCRS=$PCR0:$PCR1:$PCR2 APP_TEE_STORE_PATH=$RUN/tee.db
gateway_ports
gateway_up || { cat "$RUN/gateway.log"; exit 1; }
case_ the-gate-opens step open
case_ make-sign-retry-and-rotate step first
case_ what-was-made-still-signs step again
case_ another-gateway-the-same-store gateway_again
case_ and-the-same-answers step again
case_ killed-under-load-the-log-is-whole gateway_killed
stop_pid "$RUN/gateway.pid" sign-gateway
APP_TEE_ALLOWEDPCRS=$PCR1:$PCR1:$PCR2
gateway_up || { cat "$RUN/gateway.log"; exit 1; }
case_ another-image-is-refused step gated
stop_pid "$RUN/gateway.pid" sign-gateway
case_ the-audit-log-is-written audit_written
case_ and-proved audit_proved
case_ and-one-without-a-line-is-not audit_cut
finish

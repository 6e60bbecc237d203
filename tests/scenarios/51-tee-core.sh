#!/bin/bash
# Goal of this test: the TEE service in processes: sign-service, sign-core with its workers behind the system call filter, sign-kms and an
# emulated KMS that answers only to the attested image. Signatures and audit chain verify elsewhere; what was made outlives a restart of
# sign-kms and of the whole enclave; more calls than may wait are refused, none is lost.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import cbor2, cryptography, grpc' 2>/dev/null || { echo "python3-cbor2, python3-cryptography and python3-grpcio are needed" && exit 77; }
PART=$(dirname "$0")/parts/tee_core.py

config_with_tee() {
    config_write "$1"
    echo 'tee: {enabled: true, queue: 32, workers: 2}' >>"$1"
}
step() { /usr/bin/python3 "$PART" "${GRPC#tcp:}" "$RUN/app.json" "$RUN/state.json" "$1"; }
status() { "$BIN/sign-host" status --json --dir "$RUN/$1"; }
counts() { [ "$(status e | jq '.tee.workers >= 1 and .tee.calls.Sign > 3 and .tee.codes.SEAL_OPEN == 1 and .kms_link')" = true ]; }
kms_restart() {
    local old
    old=$(pgrep -P "$HOST_PID" -f sign-kms-local) && kill -9 "$old" &&
        wait_until 10 bash -c 'p=$(pgrep -P "$0" -f sign-kms-local) && [ "$p" != "$1" ]' "$HOST_PID" "$old" &&
        credentials | inject e 7100 >/dev/null && wait_until 30 step again 2>/dev/null
}
reboot() {
    stop_pid "$RUN/e.pid" sign-host
    host_up "$RUN/e2" "$RUN/image" && wait_until 60 serving "$RUN/e2" && step again
}

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
case_ make-sign-and-refuse step first
case_ status-counts counts
case_ stored-rows-sign-and-rotate step again
case_ busy-is-said-and-nothing-lost step busy
case_ sign-kms-is-killed kms_restart
case_ another-boot-of-the-image reboot
finish

#!/bin/sh
# run-enclave.sh - start the enclave, inject credentials and ciphertext, open the bridges
#
# usage: scripts/sign-service/run-enclave.sh [--foreground] [OPTION of sign-host run...]
#
# sign-host run --driver nitro does the work, from IMDS and S3 to the bridges, and supervises the enclave afterwards. This script
# starts it in the background and returns when the enclave serves, with what sign-host said; it fails when sign-host does.
# --foreground: stay, for systemd or a terminal. The enclave's log: target/sign-service-enclave-console.log. Example:
#
#   export AGE_KEY_S3_URI=s3://my-bucket/enclave/age-private.key.enc
#   export KEY_SHARES_S3_URI=s3://my-bucket/enclave/service_key_shares.json.age
#   scripts/sign-service/run-enclave.sh
#
# environment (all of `sign-host run --help`; the seed system's):
#   AGE_KEY_S3_URI, KEY_SHARES_S3_URI    required
#   AWS_REGION              us-east-1    region of S3 and of the KMS proxy
#   ENCLAVE_CID             16           CPU_COUNT   2           MEMORY_MIB   512
#   KMS_PROXY_ENABLE        1            KMS_PROXY_PORT   5000 (must be the measured one)
#   KMS_PROXY_DEST_HOST     kms.$AWS_REGION.amazonaws.com       KMS_PROXY_DEST_PORT   443
#   AWS_CREDS_VSOCK_PORT    7100         AGE_KEY_VSOCK_PORT   7101      KEY_SHARES_VSOCK_PORT   7102
#   HOST_GRPC_PORT          50051        HOST_EGRESS_VSOCK_PORT   8080 (must be the measured one)
#   HOST_EGRESS_TARGET_HOST 127.0.0.1    HOST_EGRESS_TARGET_PORT   8080
#   READINESS_SLEEP_SECONDS              ignored: readiness is seen by handshake
# and of the scripts: EIF_PATH, ENCLAVE_NAME (sign-service-enclave), COUNTERSIGN_BIN, COUNTERSIGN_TARGET,
#   START_TIMEOUT_SECONDS (300: how long to wait for SERVING)

set -eu
# shellcheck source=scripts/sign-service/common.sh
. "$(dirname "$0")/common.sh"
FOREGROUND=
case ${1:-} in
-h | --help) no_arguments --help ;;
--foreground)
    FOREGROUND=1
    shift
    ;;
esac
HOST=$(tool sign-host)
LOG=$TARGET/$ENCLAVE_NAME-run.log

[ -s "$EIF" ] || die "no image $EIF: run scripts/sign-service/build-eif.sh first"
set -- run --driver nitro --eif "$EIF" --enclave-name "$ENCLAVE_NAME" --dir "$RUN_DIR" --console-log "$CONSOLE_LOG" "$@"
[ -z "$FOREGROUND" ] || exec "$HOST" "$@"

umask 077
setsid "$HOST" "$@" </dev/null >"$LOG" 2>&1 &
PID=$!
# run.json names the process: another one that runs already is not taken for this one
serving() {
    grep -q "\"pid\": *${PID}[,}]" "$RUN_DIR/run.json" 2>/dev/null && "$HOST" status --dir "$RUN_DIR" 2>/dev/null | grep -q SERVING
}
# An interrupted start leaves nothing behind.
trap 'kill "$PID" 2>/dev/null || true; wait "$PID" || true; exit 130' INT TERM
LEFT=$((${START_TIMEOUT_SECONDS:-300} * 5))
until serving; do
    if ! kill -0 "$PID" 2>/dev/null; then
        STATUS=0
        wait "$PID" || STATUS=$?
        cat "$LOG" >&2
        die "sign-host ended with status $STATUS; the enclave's log: $CONSOLE_LOG"
    fi
    LEFT=$((LEFT - 1))
    if [ "$LEFT" -le 0 ]; then
        kill "$PID"
        wait "$PID" || true
        cat "$LOG" >&2
        die "the enclave does not serve after ${START_TIMEOUT_SECONDS:-300} s"
    fi
    sleep 0.2
done
cat "$LOG"
echo "enclave $ENCLAVE_NAME serves; sign-host is process $PID, its log $LOG; stop it with stop-enclave.sh"

# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing script uses what is set here
# What a parent host does, inside the guest: both sides of AF_VSOCK are here, CID 1 is the enclave for the one and the parent for the
# other. To be sourced by boot.sh. RUN: folder in memory; CS_RUN: folder shared with the outside.
enclave=0
GRPC=tcp:127.0.0.1:50051
failed=0

step() { printf '# %6s s  %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }
# case_ NAME COMMAND...
case_() {
    local name=$1
    shift
    if "$@"; then
        echo "ok $name"
        [ -z "${CS_VERBOSE:-}" ] || step "$name"
    else
        echo "not ok $name"
        step "failed: $*"
        failed=1
    fi
}
# wait_until SECONDS COMMAND...
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}
emu_get() { sed -n "s/^ \"$1\": \"*\([^\",]*\)\"*,*\$/\1/p" "$RUN/emu/emulator.json"; }

emulator_up() {
    cp -r "$CS_RUN/emu" "$RUN/emu"
    rm -f "$RUN/emu/emulator.json"
    sign-emulator --dir "$RUN/emu" --bucket enclave-artifacts >"$RUN/emulator.out" 2>"$CS_RUN/emulator.log" &
    wait_until 15 test -s "$RUN/emu/emulator.json"
    KMS_PORT=$(emu_get kms_port)
    IMDS=$(emu_get imds)
    S3=$(emu_get s3)
}

# parent_up NAME [HEARTBEAT]: what the parent serves: heartbeat (as socat's address), log, KMS
parent_up() {
    socat VSOCK-LISTEN:9000,fork "${2:-EXEC:cat}" 2>/dev/null &
    parents=$!
    socat -u VSOCK-LISTEN:7110,fork "OPEN:$CS_RUN/$1.log,creat,append" 2>/dev/null &
    parents+=" $!"
    socat VSOCK-LISTEN:5000,fork "TCP:127.0.0.1:$KMS_PORT" 2>/dev/null &
    parents+=" $!"
}
parent_down() {
    # shellcheck disable=SC2086 # a list of numbers
    kill $parents 2>/dev/null
    # shellcheck disable=SC2086
    wait $parents 2>/dev/null
}

# host_up NAME [OPTION...]: sign-host run with the image NAME; returns when it serves or has ended. GRPC, host; its output in $CS_RUN/NAME.out
host_up() {
    local name=$1
    shift
    NITRO_FAKE_DIR=$RUN/nitro NITRO_FAKE_BACKEND=namespace NITRO_FAKE_NSM_CONTROL=$RUN/emu/nsm-control.sock IMDS_ENDPOINT=$IMDS S3_ENDPOINT=$S3 \
        AGE_KEY_S3_URI=s3://enclave-artifacts/enclave/age-private.key.enc \
        KEY_SHARES_S3_URI=s3://enclave-artifacts/enclave/service_key_shares.json.age \
        sign-host run --driver nitro --nitro-cli "$CS_BIN/nitro-cli-emulated" --eif "$CS_RUN/$name.eif" --dir "$RUN/$name" --peer-cid 1 \
        --console-log "$CS_RUN/$name.log" --kms-endpoint "tcp:127.0.0.1:$KMS_PORT" --egress none --listen "$GRPC" "$@" \
        >"$CS_RUN/$name.out" 2>"$CS_RUN/$name.err" &
    host=$!
    wait_until 60 served_or_over "$name"
    grep -q ' serving .* ok' "$CS_RUN/$name.out"
}
served_or_over() { grep -q ' serving ' "$CS_RUN/$1.out" || ! kill -0 "$host"; }

# enclave_up NAME [OPTION...]: the image NAME in namespaces; console in $CS_RUN/NAME.console, how it ended in $RUN/NAME.ns
enclave_up() {
    local name=$1
    shift
    ns-enclave --emulator "$RUN/emu" --console "$CS_RUN/$name.console" "$@" "$CS_RUN/$name.eif" >"$RUN/$name.ns" 2>&1 &
    enclave=$!
    wait_until 10 grep -q '^started' "$RUN/$name.ns"
}
enclave_down() {
    kill "$enclave" 2>/dev/null
    wait "$enclave" 2>/dev/null
}
ended() { grep '^ended' "$RUN/$1.ns"; }
# pid_in NAME: of a program of the enclave, as the guest sees it
pid_of() { pgrep -x "${1:0:15}" | head -n 1; }

logged() { grep -q "$2" "$CS_RUN/$1.log"; }
inject() { socat -t 130 - "VSOCK-CONNECT:1:$1" 2>/dev/null; }
listening() { socat -u OPEN:/dev/null "VSOCK-CONNECT:1:$1" 2>/dev/null; }
credentials() {
    local token
    token=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token")
    curl -sS -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/enclave-host"
}
# preload: the three injections; prints the line of the last: the outcome
preload() {
    credentials >"$RUN/credentials"
    wait_until 20 listening 7100 || return 1
    inject 7100 <"$RUN/credentials" >/dev/null
    inject 7101 <"$CS_RUN/age-private.key.enc" >/dev/null
    inject 7102 <"$CS_RUN/shares/service_key_shares.json.age"
}
# sign NAME N: with the image's measurements as policy; sign_with PCR0 PCR1 PCR2 N
sign() { sign_with "$(pcr "$1" 0)" "$(pcr "$1" 1)" "$(pcr "$1" 2)" "$2"; }
sign_with() {
    signctl sign -s "$GRPC" --shares "$CS_RUN/shares/client_key_shares.json" --root "$RUN/emu/nsm-root.pem" \
        --pcr "0=$1" --pcr "1=$2" --pcr "2=$3" -a account-1 --digest "$(printf '%064d' "$4")" --json >"$RUN/sign.json" 2>"$RUN/sign.err"
}
# pcr NAME INDEX: as eif describe predicted it
pcr() { sed -n "s/.*\"PCR$2\":\"\([0-9a-f]*\)\".*/\1/p" "$CS_RUN/$1.json"; }

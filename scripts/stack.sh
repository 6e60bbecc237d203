#!/bin/bash
# stack.sh up|restart|down: the whole service on this machine, everything of AWS emulated, in build/run. `up` leaves it running
# and writes build/run/endpoints.env; `restart` stops and starts all of it with the same keys; `down` stops it. Loopback only, free ports, no root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RUN=${COUNTERSIGN_RUN:-$(dirname "$here")/build/run}
# shellcheck source=scripts/stack-lib.sh
. "$here/stack-lib.sh"

phase() { printf '%-46s %5d ms\n' "$1" $((($(date +%s%N) - started) / 1000000)); }
step() {
    local name=$1
    shift
    started=$(date +%s%N)
    "$@"
    phase "$name"
}

down() {
    [ -d "$RUN" ] || return 0
    gateway_down
    host_down "$RUN/host"
    emulator_down
    rm -f "$RUN/endpoints.env"
    RUN=$(readlink -f "$RUN")
    if [ -s "$RUN/short-path" ]; then
        rm -rf "$(cat "$RUN/short-path")" # a folder with one link, of our own making
        rm -f "$RUN/short-path"
    fi
}

# Unix sockets allow 107 bytes: in a deep folder everything goes by a short link to it.
short_path() {
    local short
    [ ${#RUN} -gt 80 ] || return 0
    short=$(mktemp -d /tmp/cs-run.XXXXXX)
    ln -s "$RUN" "$short/run"
    echo "$short" >"$RUN/short-path"
    RUN=$short/run
}

# what a test may define anew
callers() { caller_new demo Sign,Decrypt,Seal,Unseal,Generate,Import,Rotate '*'; }

shares() {
    local f named=()
    for f in "$RUN"/callers/*.pub.json; do
        named+=(--caller "$f")
    done
    shares_new "$RUN/shares" "${GENERATION:-1}" -n "${ACCOUNTS:-2}" --sealing-root "${named[@]}"
}

store() {
    age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
    s3_put "$RUN/age-private.key.enc" enclave/age-private.key.enc
    s3_put "$RUN/shares/service_key_shares.json.age" enclave/service_key_shares.json.age
}

launch() {
    # compiled and built again by sign-host: the same configuration gives the same PCR0, to which the key is bound
    host_up "$RUN/host" "$RUN/image.yaml" --egress "tcp:${GATEWAY_HTTP#http://}" || die "sign-host did not start: $(cat "$RUN/host.err")"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 60 bash -c '[ "$("$0" status --json --dir "$1" | jq -r .phase)" = SERVING ] || ! kill -0 "$2"' "$BIN/sign-host" "$RUN/host" "$HOST_PID"
    cat "$RUN/host.out"
    serving "$RUN/host" || die "the enclave does not serve: $(cat "$RUN/host.err"; tail -5 "$RUN/host/enclave.log")"
}

gateway() { gateway_tee && gateway_up || die "sign-gateway did not start: $(tail -3 "$RUN/gateway.log")"; }

endpoints() {
    local file=$RUN/endpoints.env
    : >"$file.new"
    chmod 600 "$file.new"
    cat >>"$file.new" <<EOF
SIGN_SERVICE_GRPC=$GRPC
GATEWAY_GRPC=$GATEWAY_GRPC
GATEWAY_HTTP=$GATEWAY_HTTP
METRICS=$METRICS
ACCOUNT_ID=$(jq -r '.accounts[0].account_id' "$RUN/shares/keygen.json")
PUBLIC_KEY=$(jq -r '.accounts[0].public_key' "$RUN/shares/keygen.json")
ETH_ADDRESS=$(jq -r '.accounts[0].eth_address' "$RUN/shares/keygen.json")
KMS_ENDPOINT=$KMS
KMS_KEY_ARN=$KEY_ARN
S3_ENDPOINT=$S3
STS_ENDPOINT=$(emu_get sts)
KMS_TRAIL=$(emu_get trail)
IMDS_ENDPOINT=$IMDS
AWS_CA_BUNDLE=$CA
AWS_REGION=$REGION
AWS_ACCESS_KEY_ID=$(emu_get access_key_id)
AWS_SECRET_ACCESS_KEY=$(emu_get secret_access_key)
CLIENT_SHARES=$RUN/shares/client_key_shares.json
NSM_ROOT_PEM=$(emu_get nsm_root)
ATTESTATION_ROOT=$(emu_get nsm_root)
ATTESTATION_PCRS=0=$PCR0,1=$PCR1,2=$PCR2
PCR0=$PCR0
PCR1=$PCR1
PCR2=$PCR2
TEE_GRPC=$GATEWAY_GRPC
TEE_CALLER=$RUN/callers/demo.json
AGE_KEY_S3_URI=s3://$BUCKET/enclave/age-private.key.enc
KEY_SHARES_S3_URI=s3://$BUCKET/enclave/service_key_shares.json.age
HOST_DIR=$RUN/host
EOF
    mv "$file.new" "$file"
}

up() {
    down
    rm -rf "$RUN"
    mkdir -p "$RUN"
    short_path
    step "emulated KMS, S3, IMDS, NSM" emulator_up
    step "publisher key" publisher_new
    step "age identity" age_new
    step "KMS key" key_new
    gateway_ports
    CONFIG_TEE='{enabled: true, dataKeyCacheSeconds: 60}'
    CONFIG_GATEWAY=http://gateway:8080 # a name only: where it leads is --egress
    step "image: configuration compiled and measured" image_build "$RUN/image"
    step "key policy bound to PCR0" key_bind "$PCR0"
    step "callers of the TEE service" callers
    step "key shares (dealt, signed, sealed to age)" shares
    step "age identity sealed by KMS; both stored in S3" store
    step "enclave started, unsealed, SERVING" launch
    step "sign-gateway: gRPC and rooms" gateway
    endpoints
    echo "running; endpoints in ${RUN#"$PWD"/}/endpoints.env; stop with: make down"
}

# The enclave, the gateway and AWS stop and start again: another boot, with the same keys and addresses of the gateway.
restart() {
    [ -s "$RUN/endpoints.env" ] || die "nothing runs"
    [ ! -s "$RUN/short-path" ] || RUN=$(cat "$RUN/short-path")/run
    value() { sed -n "s/^$1=//p" "$RUN/endpoints.env"; }
    # shellcheck disable=SC2034 # used by stack-lib.sh
    GATEWAY_GRPC=$(value GATEWAY_GRPC)
    # shellcheck disable=SC2034
    GATEWAY_HTTP=$(value GATEWAY_HTTP)
    # shellcheck disable=SC2034
    METRICS=$(value METRICS)
    KEY_ARN=$(value KMS_KEY_ARN)
    gateway_down
    host_down "$RUN/host"
    emulator_down
    step "emulated KMS, S3, IMDS, NSM" emulator_up
    image_pcrs "$RUN/image"
    step "enclave started, unsealed, SERVING" launch
    step "sign-gateway: gRPC and rooms" gateway
    endpoints
}

# sourced by demo.sh
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0
case ${1:-} in
up)
    status=1
    trap '[ $status = 0 ] || down' EXIT
    up
    status=0
    ;;
restart) restart ;;
down) down ;;
*) echo "usage: stack.sh up|restart|down" >&2 && exit 2 ;;
esac

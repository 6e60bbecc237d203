# shellcheck shell=bash
# Parts of stack.sh, demo.sh and the scenarios: an emulated AWS, a key whose policy is bound to an image, shares, an enclave.
# Everything is in one folder, $RUN, and listens on loopback only. To be sourced; set RUN first.
# COUNTERSIGN_BIN: folder of the programs (default build/bin).
# shellcheck disable=SC2034 # the sourcing script uses what is set here

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BIN=${COUNTERSIGN_BIN:-$root/build/bin}
REGION=us-east-1
BUCKET=enclave-artifacts
CONTEXT='{}'
HOST_PREFIX=() # words in front of sign-host, e.g. to put it into a group with a limit

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# wait_until SECONDS COMMAND...: again until it succeeds; 1 when the time is over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.03
    done
}

# running PID PROGRAM: that process is that program
running() { [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "${2:0:15}" ]; }

# stop_pid PIDFILE PROGRAM: SIGTERM, then SIGKILL after 10 s
stop_pid() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    if running "$pid" "$2"; then
        kill "$pid" 2>/dev/null
        # shellcheck disable=SC2016 # expanded by the inner shell
        wait_until 10 bash -c '[ "$(cat /proc/$0/comm 2>/dev/null)" != "$1" ] || grep -q "^State:.Z" /proc/$0/status' "$pid" "${2:0:15}" ||
            kill -9 "$pid" 2>/dev/null
    fi
    rm -f "$1"
}

emu_get() { jq -r ".$1" "$RUN/emu/emulator.json"; }

# emulator_up [OPTION...]: KMS, S3, IMDS and NSM; returns when all of them listen
emulator_up() {
    mkdir -p "$RUN/emu"
    chmod 700 "$RUN" "$RUN/emu"
    rm -f "$RUN/emu/emulator.json"
    setsid "$BIN/sign-emulator" --dir "$RUN/emu" --region "$REGION" --bucket "$BUCKET" "$@" >"$RUN/emulator.out" 2>"$RUN/emulator.log" </dev/null &
    echo $! >"$RUN/emulator.pid"
    wait_until 15 test -s "$RUN/emu/emulator.json" || die "sign-emulator did not start: $(tail -3 "$RUN/emulator.log")"
    KMS=$(emu_get kms)
    S3=$(emu_get s3)
    IMDS=$(emu_get imds)
    CA=$(emu_get ca)
    ROLE_ARN=$(emu_get role_arn)
    ACCOUNT=$(emu_get account)
}

# aws_curl SERVICE ARGS...: signed as the account's administrator; the secret key goes by a file, never by an argument
aws_curl() {
    local service=$1
    shift
    curl -sS --fail-with-body --noproxy '*' --cacert "$CA" --aws-sigv4 "aws:amz:$REGION:$service" \
        -K <(printf 'user = "%s:%s"\n' "$(emu_get access_key_id)" "$(emu_get secret_access_key)") "$@"
}

# kms OPERATION <JSON: the answer's JSON on standard output
kms() {
    aws_curl kms -H 'Content-Type: application/x-amz-json-1.1' -H "X-Amz-Target: TrentService.$1" --data-binary @- "$KMS/"
}

# s3_put FILE KEY
s3_put() { aws_curl s3 --expect100-timeout 0.02 -H "x-amz-content-sha256: $(sha256sum "$1" | cut -d' ' -f1)" -T "$1" "$S3/$BUCKET/$2" >/dev/null; }

# key_new: KEY_ARN of a new key that nobody may use to decrypt yet
key_new() {
    KEY_ARN=$(echo '{"Description":"age identity of the enclave"}' | kms CreateKey | jq -r .KeyMetadata.Arn)
    [ "${KEY_ARN#arn:}" != "$KEY_ARN" ] || die "CreateKey failed"
}

# key_bind PCR0: the instance role may Decrypt and GenerateDataKey when the enclave's image has this PCR0; nobody may otherwise
key_bind() {
    jq -n --arg key "$KEY_ARN" --arg pcr "$1" --arg role "$ROLE_ARN" --arg root "arn:aws:iam::$ACCOUNT:root" '
      {Version: "2012-10-17", Statement: [
        {Sid: "administration", Effect: "Allow", Principal: {AWS: $root}, Resource: "*",
         Action: ["kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Disable*", "kms:Get*",
                  "kms:Delete*", "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
                  "kms:Encrypt"]},
        {Sid: "enclave", Effect: "Allow", Principal: {AWS: $role}, Action: ["kms:Decrypt", "kms:GenerateDataKey"], Resource: "*",
         Condition: {StringEqualsIgnoreCase: {"kms:RecipientAttestation:ImageSha384": $pcr}}},
        {Sid: "nobody-else", Effect: "Deny", Principal: "*", Resource: "*",
         Action: ["kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*", "kms:CreateGrant"],
         Condition: {StringNotEqualsIgnoreCase: {"kms:RecipientAttestation:ImageSha384": $pcr}}}]} |
      {KeyId: $key, PolicyName: "default", Policy: tojson}' | kms PutKeyPolicy >/dev/null || die "PutKeyPolicy failed"
}

# config_write OUT.yaml: the enclave's measured configuration; CONFIG_GATEWAY: URL of the rooms; CONFIG_TEE: the tee group, "{enabled: true}"
config_write() {
    cat >"$1" <<EOF
enclave: {parentCid: 3}
kms:
  region: ${CONFIG_REGION:-$REGION}
  keyArn: "${CONFIG_KEY_ARN:-$KEY_ARN}"
  encryptionContext: ${CONFIG_CONTEXT:-$CONTEXT}
  host: kms.$REGION.amazonaws.com
  caFile: "$CA"
shares:
  publishers: ["$PUBLISHER"]
limits: {arenaMiB: ${CONFIG_ARENA:-128}${CONFIG_LIMITS:-}}
logging: {level: ${CONFIG_LEVEL:-info}}
EOF
    [ -z "${CONFIG_TEE:-}" ] || echo "tee: $CONFIG_TEE" >>"$1"
    [ -z "${CONFIG_GATEWAY:-}" ] || echo "gateway: {url: \"$CONFIG_GATEWAY\"}" >>"$1"
}

# image_build DIR: config.yaml -> config.cbor -> DIR; PCR0, PCR1, PCR2
image_build() {
    rm -rf "$1"
    config_write "$1.yaml"
    "$BIN/signctl" config compile "$1.yaml" -o "$1.cbor" || die "config compile failed"
    "$BIN/sign-host" image build --config "$1.cbor" "$1" || die "image build failed"
    image_pcrs "$1"
}

# image_pcrs DIR
image_pcrs() {
    "$BIN/sign-host" pcrs "$1" >"$1.pcrs.json" || die "cannot measure $1"
    PCR0=$(jq -r .Measurements.PCR0 "$1.pcrs.json")
    PCR1=$(jq -r .Measurements.PCR1 "$1.pcrs.json")
    PCR2=$(jq -r .Measurements.PCR2 "$1.pcrs.json")
}

# publisher_new, age_new: keys of the publisher and of the enclave's age file
publisher_new() { PUBLISHER=$("$BIN/signctl" publisher keygen -o "$RUN/publisher.key" --json | jq -r .publisher); }
age_new() {
    "$BIN/signctl" age keygen -o "$RUN/age-private.key" 2>/dev/null || die "age keygen failed"
    RECIPIENT=$(sed -n 's/^# public key: //p' "$RUN/age-private.key")
}

# age_seal IN OUT: KMS Encrypt of the age identity. Plaintext stays in pipes; the identity's file is the operator's.
age_seal() {
    base64 -w0 "$1" | jq -R --arg key "$KEY_ARN" --argjson context "$CONTEXT" \
        '{KeyId: $key, Plaintext: ., EncryptionContext: $context}' | kms Encrypt | jq -r .CiphertextBlob | base64 -d >"$2"
    [ -s "$2" ] || die "KMS Encrypt failed"
}

# caller_new NAME OPERATIONS RECORDS: a caller of the TEE service: $RUN/callers/NAME.json (its identity), NAME.pub.json (what the share file says)
caller_new() {
    mkdir -p "$RUN/callers"
    "$BIN/signctl" caller new --id "$1" -o "$RUN/callers/$1.json" >/dev/null &&
        "$BIN/signctl" caller public "$RUN/callers/$1.json" --operations "$2" --records "$3" >"$RUN/callers/$1.pub.json" || die "no caller $1"
}

# shares_new DIR GENERATION [OPTION...]: client and (sealed) service file
shares_new() {
    local dir=$1 generation=$2
    shift 2
    mkdir -p "$dir"
    "$BIN/signctl" keygen -r "$RECIPIENT" --plaintext --publisher-key "$RUN/publisher.key" --generation "$generation" -d "$dir" --json "$@" \
        >"$dir/keygen.json" || die "keygen failed"
}

serving() { [ "$("$BIN/sign-host" status --json --dir "$1" 2>/dev/null | jq -r .phase)" = SERVING ]; }

# host_up DIR IMAGE|CONFIG.yaml [OPTION...]: sign-host in the background; GRPC when run.json is there. Its output: DIR.out, DIR.err
host_up() {
    local dir=$1 image=$2 source=--image
    shift 2
    case $image in *.yaml) source=--config ;; esac
    AGE_KEY_S3_URI=s3://$BUCKET/enclave/age-private.key.enc KEY_SHARES_S3_URI=s3://$BUCKET/enclave/service_key_shares.json.age \
        AWS_REGION=$REGION IMDS_ENDPOINT=$IMDS S3_ENDPOINT=$S3 \
        setsid "${HOST_PREFIX[@]}" "$BIN/sign-host" run --driver local "$source" "$image" --dir "$dir" --nsm-control "$(emu_get nsm_control)" \
        --kms-endpoint "$(emu_get kms_connect)" --listen tcp:127.0.0.1:0 "$@" >"$dir.out" 2>"$dir.err" </dev/null &
    HOST_PID=$!
    echo $HOST_PID >"$dir.pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 20 bash -c '[ -s "$0/run.json" ] || ! kill -0 "$1"' "$dir" "$HOST_PID"
    GRPC=$(jq -r '.grpc // empty' "$dir/run.json" 2>/dev/null | sed 's/^tcp://')
    [ -n "$GRPC" ]
}
host_down() { stop_pid "$1.pid" sign-host; }

# gateway_ports: free ports, for a gateway that is started after the enclave and may be started again: GATEWAY_GRPC, GATEWAY_HTTP, METRICS
gateway_ports() {
    local ports
    read -ra ports < <(python3 -c 'import socket
s = [socket.socket() for _ in range(3)]
[x.bind(("127.0.0.1", 0)) for x in s]
print(*(x.getsockname()[1] for x in s))')
    [ ${#ports[@]} = 3 ] || die "no free port"
    GATEWAY_GRPC=127.0.0.1:${ports[0]}
    GATEWAY_HTTP=http://127.0.0.1:${ports[1]}
    METRICS=http://127.0.0.1:${ports[2]}/metrics
}

# gateway_tee: what the gateway that is started next is told of the TEE service: the image that is allowed, a store of its own
gateway_tee() {
    export APP_TEE_ENABLED=true APP_TEE_ALLOWEDPCRS=$PCR0:$PCR1:$PCR2 APP_TEE_STORE_PATH=$RUN/tee.db
    APP_TEE_ATTESTATIONROOT=$(emu_get nsm_root)
    export APP_TEE_ATTESTATIONROOT
}

# gateway_up: sign-gateway in front of $GRPC, on GATEWAY_GRPC and GATEWAY_HTTP; returns when it listens
gateway_up() {
    local metrics=${METRICS:-http://127.0.0.1:0/metrics}
    metrics=${metrics#http://}
    rm -f "$RUN/gateway.ports"
    setsid "$BIN/sign-gateway" --service "tcp:$GRPC" --listen-grpc "tcp:$GATEWAY_GRPC" --listen-http "tcp:${GATEWAY_HTTP#http://}" \
        --listen-metrics "tcp:${metrics%/metrics}" --print-ports "$RUN/gateway.ports" >"$RUN/gateway.out" 2>>"$RUN/gateway.log" </dev/null &
    echo $! >"$RUN/gateway.pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 15 bash -c '[ -s "$0" ] || ! kill -0 "$1"' "$RUN/gateway.ports" $!
    [ -s "$RUN/gateway.ports" ]
}
gateway_down() { stop_pid "$RUN/gateway.pid" sign-gateway; }

emulator_down() { stop_pid "$RUN/emulator.pid" sign-emulator; }

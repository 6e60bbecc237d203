# shellcheck shell=bash
# Common part of the scenarios of driver nitro: an image, nitro-cli-emulated, sign-host run --driver nitro. To be sourced after lib.sh.
# shellcheck disable=SC2034
V=$RUN/v
export NITRO_FAKE_DIR=$V NITRO_FAKE_BOOT_MS=8000

nitro_cleanup() {
    "$BIN/nitro-cli-emulated" terminate-enclave --all >/dev/null 2>&1
    cleanup
}
trap nitro_cleanup EXIT

# eif_build OUT [PAD]: image with the configuration of config_write; EIF_PCR0
eif_build() {
    config_write "$1.yaml"
    "$BIN/signctl" config compile "$1.yaml" -o "$1.cbor" || die "config compile failed"
    "$(dirname "${BASH_SOURCE[0]}")/parts/mk_eif.py" "$1.cbor" "$1" "${2:-0}" || die "no image"
    EIF_PCR0=$("$BIN/nitro-cli-emulated" describe-eif --eif-path "$1" | jq -r .Measurements.PCR0)
}

# nitro_prepare: everything but the enclave
nitro_prepare() {
    mkdir -p "$V"
    emulator_up "$@"
    export NITRO_FAKE_NSM_CONTROL NSM_ROOT_PEM
    NSM_ROOT_PEM=$(emu_get nsm_root)
    NITRO_FAKE_NSM_CONTROL=$(emu_get nsm_control)
    publisher_new
    age_new
    key_new
    eif_build "$RUN/a.eif"
    PCR0=$EIF_PCR0
    key_bind "$PCR0"
    shares_new "$RUN/shares" 1 -n 2
    store
}

# run_nitro DIR [OPTION...]: in the foreground; IN: a command that runs it (array)
IN=()
run_nitro() {
    local dir=$1
    shift
    "${IN[@]}" env AGE_KEY_S3_URI="${AGE_KEY_S3_URI-s3://$BUCKET/enclave/age-private.key.enc}" \
        KEY_SHARES_S3_URI="${KEY_SHARES_S3_URI-s3://$BUCKET/enclave/service_key_shares.json.age}" \
        AWS_REGION="${AWS_REGION-$REGION}" IMDS_ENDPOINT="${IMDS_ENDPOINT-$IMDS}" S3_ENDPOINT="${S3_ENDPOINT-$S3}" \
        MEMORY_MIB="${MEMORY_MIB-512}" \
        "$BIN/sign-host" run --driver nitro --eif "${EIF:-$RUN/a.eif}" --nitro-cli "${NITRO_CLI:-$BIN/nitro-cli-emulated}" \
        --vsock-dir "$V" --dir "$dir" --console-log "$dir.console.log" --kms-endpoint "${KMS_TO:-$(emu_get kms_connect)}" \
        --listen "${LISTEN:-tcp:127.0.0.1:0}" "$@"
}

# nitro_up NAME [OPTION...]: in the background until it serves; GRPC, HOST_PID
nitro_up() {
    local name=$1
    shift
    touch "$RUN/$name.begun"
    run_nitro "$RUN/$name" "$@" >"$RUN/$name.out" 2>"$RUN/$name.err" </dev/null &
    echo $! >"$RUN/$name.pid"
    HOST_PID=$!
    # shellcheck disable=SC2016
    wait_until 20 bash -c '[ "$0/run.json" -nt "$0.begun" ] || ! kill -0 "$1"' "$RUN/$name" "$HOST_PID"
    [ "$RUN/$name/run.json" -nt "$RUN/$name.begun" ] || return 1
    HOST_PID=$(jq -r .pid "$RUN/$name/run.json") && echo "$HOST_PID" >"$RUN/$name.pid"
    GRPC=$(jq -r '.grpc // empty' "$RUN/$name/run.json" 2>/dev/null | sed 's/^tcp://')
    # shellcheck disable=SC2016
    wait_until "${UP_SECONDS:-30}" bash -c 'grep -q "serves\|answers" "$0.out" || ! kill -0 "$1"' "$RUN/$name" "$HOST_PID"
    serving "$RUN/$name"
}
nitro_down() { host_down "$RUN/$1"; }

enclaves() { "$BIN/nitro-cli-emulated" describe-enclaves | jq length; }
sign_ok() {
    "$BIN/signctl" sign -s "tcp:$GRPC" --shares "$RUN/shares/client_key_shares.json" --root "$(emu_get nsm_root)" --pcr "0=${1:-$PCR0}" \
        -a account-1 --json --digest "$(printf '%064d' $((RANDOM + 1)))" >"$RUN/sign.json" 2>"$RUN/sign.err"
}
# refused_with CODE OUTPUT-FILE
refused_with() { grep -q "^sign-host: $1:\|\"code\":\"$1\"\|: $1:" "$2"; }

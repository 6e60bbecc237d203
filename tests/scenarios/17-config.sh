#!/bin/bash
# Goal of this test: the seed system's configuration file and environment variables work as documented: shares from a file in the
# clear (by file and by variable) without KMS, under the same rules as injected ones, reloaded through the injectors, refused where
# enclaves are real; ports name sockets and proxies; a malformed value is named with its range.
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

# up NAME CONFIG [OPTION...]: sign-host without S3, IMDS, KMS, until it serves or has ended
up() {
    local dir=$RUN/$1 config=$2
    shift 2
    setsid "$BIN/sign-host" run --driver local --config "$config" --dir "$dir" --nsm-control "$(emu_get nsm_control)" --listen tcp:127.0.0.1:0 \
        "$@" >"$dir.out" 2>"$dir.err" </dev/null &
    HOST_PID=$!
    echo $HOST_PID >"$dir.pid"
    # shellcheck disable=SC2016 # expanded by the inner shell
    wait_until 20 bash -c '[ "$("$0" status --json --dir "$1" 2>/dev/null | jq -r .phase)" = SERVING ] || ! kill -0 "$2"' "$BIN/sign-host" "$dir" "$HOST_PID"
    GRPC=$(jq -r '.grpc // empty' "$dir/run.json" 2>/dev/null)
    serving "$dir"
}
# ends NAME CODE: that run has ended by itself and its log has the code
ends() { wait_until 10 bash -c "! kill -0 $HOST_PID" && logged "$1" "$2"; }
sign() {
    "$BIN/signctl" sign -s "$GRPC" --shares "$RUN/shares/client_key_shares.json" --any-pcrs --root "$(emu_get nsm_root)" -a account-1 \
        --digest "$(printf '%064d' 7)" --json >"$RUN/sign.json" 2>"$RUN/sign.err"
}
# config NAME [LINE...]: the seed's own keys and what a local run needs of ours
config() {
    local name=$1
    shift
    cat >"$RUN/$name.yaml" <<EOF
gateway: {url: "http://127.0.0.1:8080"}
server: {host: 127.0.0.1, port: 50051, index: 1}
logging: {level: info, format: json}
limits: {arenaMiB: 32}
EOF
    printf '%s\n' "$@" >>"$RUN/$name.yaml"
}
by_file() {
    up file "$RUN/file.yaml" && sign && jq -e .r "$RUN/sign.json" >/dev/null &&
        grep -q '"source":"key_share_file"' "$RUN/file/enclave.log" && ! grep -q key_share_file_mode "$RUN/file/enclave.log" &&
        [ "$("$BIN/sign-host" status --json --dir "$RUN/file" | jq -r '.load.last')" = OK ]
}
by_variable() {
    (cd "$RUN/shares" && chmod 644 service_key_shares.json && SIGN_SERVICE_KEY_SHARE_FILE=service_key_shares.json up variable "$RUN/none.yaml") &&
        grep -q '"event":"key_share_file_mode"' "$RUN/variable/enclave.log"
}
variable_before_file() {
    SIGN_SERVICE_KEY_SHARE_FILE=$RUN/nowhere up before "$RUN/file.yaml" && return 1
    ends before NOT_FOUND
}
option_before_variable() { SIGN_SERVICE_KEY_SHARE_FILE=$RUN/nowhere up option "$RUN/none.yaml" --key-share-file "$RUN/shares/service_key_shares.json"; }
unsigned_refused() {
    sed '1s/publisher=[0-9a-f]*/publisher=none/; 1s/ sig=.*//' "$RUN/shares/service_key_shares.json" >"$RUN/unsigned.json"
    chmod 600 "$RUN/unsigned.json"
    SIGN_SERVICE_KEY_SHARE_FILE=$RUN/unsigned.json up unsigned "$RUN/none.yaml" && return 1
    ends unsigned SHARES_UNSIGNED
}
unsigned_allowed() { SIGN_SERVICE_KEY_SHARE_FILE=$RUN/unsigned.json up allowed "$RUN/loose.yaml"; }
bad_files() {
    local row
    mkfifo "$RUN/pipe"
    : >"$RUN/empty"
    echo x >"$RUN/text"
    for row in "$RUN:IO" "$RUN/pipe:IO" "$RUN/empty:INJECT_EMPTY" "$RUN/text:SHARES_FORMAT"; do
        SIGN_SERVICE_KEY_SHARE_FILE=${row%:*} up bad "$RUN/none.yaml" && return 1
        ends bad "${row##*:}" || { echo "# $row"; return 1; }
        rm -rf "$RUN/bad"
    done
}
reload() {
    shares_new "$RUN/next" 2 -n 2 --force && [ "$(pair reload "$RUN/age-private.key.enc" "$RUN/next/service_key_shares.json.age" | code)" = OK ] &&
        [ "$("$BIN/sign-host" status --json --dir "$RUN/reload" | jq -r .generation)" = 2 ]
}
file_with_kms() {
    config_write "$RUN/reload.yaml"
    echo "mpc: {key_share_file: $RUN/shares/service_key_shares.json}" >>"$RUN/reload.yaml"
    "$BIN/signctl" config compile "$RUN/reload.yaml" -o "$RUN/reload.cbor" && "$BIN/sign-host" image build --config "$RUN/reload.cbor" "$RUN/reload-image" &&
        key_bind "$("$BIN/sign-host" pcrs "$RUN/reload-image" | jq -r .Measurements.PCR0)" && up reload "$RUN/reload.yaml" --kms-endpoint "$(emu_get kms_connect)"
}
not_for_others() {
    SIGN_SERVICE_KEY_SHARE_FILE=$RUN/x "$BIN/sign-host" run --driver nitro >"$RUN/nitro.out" 2>&1
    [ $? = 1 ] && grep -q KEY_SHARE_FILE "$RUN/nitro.out"
}
# the programs of an enclave, started by hand as the seed's entrypoint did
not_for_release() {
    local p
    for p in sign-core sign-service; do
        SIGN_SERVICE_KEY_SHARE_FILE=$RUN/x "$BIN/$p" >"$RUN/release.out" 2>&1
        [ $? = 1 ] && grep -q "^$p: KEY_SHARE_FILE: .*local runs only" "$RUN/release.out" || { cat "$RUN/release.out"; return 1; }
    done
}
needs_config() {
    SIGN_SERVICE_KEY_SHARE_FILE=$RUN/x "$BIN/sign-host" run --driver local --image "$RUN/file/image" --dir "$RUN/x" --nsm-control "$RUN/x" 2>"$RUN/image.err"
    [ $? = 2 ] && grep -q 'needs --config' "$RUN/image.err"
}
# malformed VAR=VALUE RANGE: usage error that names variable, value and range, before anything is started
malformed() {
    local out
    out=$(env "$1" "$BIN/sign-host" run --driver local --config "$RUN/file.yaml" --dir "$RUN/malformed" --nsm-control "$RUN/x" 2>&1)
    [ $? = 2 ] && [ ! -e "$RUN/malformed" ] && case $out in *"${1%%=*} is ${1#*=}: expected a number from $2"*) true ;; *) echo "# $out"; false ;; esac
}
all_malformed() {
    malformed ENCLAVE_CID=3 '4 to 4294967294' && malformed CPU_COUNT=two '1 to 1024' && malformed MEMORY_MIB=-1 '64 to 16777216' &&
        malformed KMS_PROXY_PORT=0 '1 to' && malformed KMS_PROXY_DEST_PORT=65536 '1 to 65535' && malformed KMS_PROXY_ENABLE=yes '0 to 1' &&
        malformed AWS_CREDS_VSOCK_PORT=x '1 to' && malformed AGE_KEY_VSOCK_PORT=4294967295 '1 to 4294967294' &&
        malformed KEY_SHARES_VSOCK_PORT=' 7' '1 to' && malformed HOST_GRPC_PORT=70000 '1 to 65535' && malformed HOST_EGRESS_VSOCK_PORT=0x10 '1 to' &&
        malformed HOST_EGRESS_TARGET_PORT=http '1 to 65535'
}
# every variable with a value of its own: sockets are named by them, the note is there, bytes come through
variables() {
    local port target
    port=$(free_port)
    target=$(free_port)
    setsid python3 -m http.server --bind 127.0.0.1 --directory "$RUN/emu" "$target" >/dev/null 2>&1 </dev/null &
    local server=$!
    (
        export ENCLAVE_CID=17 CPU_COUNT=4 MEMORY_MIB=1024 KMS_PROXY_PORT=5001 KMS_PROXY_DEST_HOST=localhost KMS_PROXY_DEST_PORT=1 \
            AWS_CREDS_VSOCK_PORT=8100 AGE_KEY_VSOCK_PORT=8101 KEY_SHARES_VSOCK_PORT=8102 HOST_GRPC_PORT=$port HOST_EGRESS_VSOCK_PORT=8081 \
            HOST_EGRESS_TARGET_HOST=127.0.0.1 HOST_EGRESS_TARGET_PORT=$target READINESS_SLEEP_SECONDS=5 AWS_REGION=eu-west-1
        setsid "$BIN/sign-host" run --driver local --config "$RUN/file.yaml" --dir "$RUN/vars" --nsm-control "$(emu_get nsm_control)" \
            >"$RUN/vars.out" 2>"$RUN/vars.err" </dev/null &
        echo $! >"$RUN/vars.pid"
    )
    wait_until 20 serving "$RUN/vars" && [ "$(jq -r .grpc "$RUN/vars/run.json")" = "tcp:127.0.0.1:$port" ] &&
        [ "$(grep -c READINESS_SLEEP_SECONDS "$RUN/vars.err")" = 1 ] || return 1
    local s
    for s in enclave-8100 enclave-8101 enclave-8102 parent-5001 parent-8081; do
        [ -S "$RUN/vars/$s.sock" ] || { echo "# no $s.sock"; return 1; }
    done
    [ "$(find "$RUN/vars" -name '*.sock' | wc -l)" = 5 ] || return 1
    # the enclave's own endpoint for rooms is the bridge to the gateway
    curl -sS --noproxy '*' --max-time 5 --unix-socket "$RUN/vars/parent-8081.sock" http://gateway/emulator.json | jq -e .nsm_control >/dev/null || return 1
    # an injector by its other name, of the same variable
    echo x | AWS_CREDS_VSOCK_PORT=8100 "$BIN/sign-host" inject --dir "$RUN/vars" --credentials - 2>/dev/null | jq -e '.code == "CRED_FORMAT"' >/dev/null || return 1
    host_down "$RUN/vars"
    kill "$server"
    [ -z "$(find "$RUN/vars" -name '*.sock')" ]
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
no_proxy() {
    KMS_PROXY_ENABLE=0 up noproxy "$RUN/file.yaml" && [ ! -e "$RUN/noproxy/parent-5000.sock" ] && [ -S "$RUN/noproxy/parent-8080.sock" ]
}
image_dials_another() {
    KMS_PROXY_PORT=5009 "$BIN/sign-host" run --driver local --image "$RUN/file/image" --dir "$RUN/other" --nsm-control "$(emu_get nsm_control)" >"$RUN/other.out" 2>&1
    [ $? = 1 ] && grep -q "KMS_PROXY_PORT: the image's configuration dials 5000, not 5009" "$RUN/other.out"
}
faulty_config() {
    config faulty 'mpc: {treshold: 2}'
    "$BIN/sign-host" run --driver local --config "$RUN/faulty.yaml" --dir "$RUN/faulty" --nsm-control "$(emu_get nsm_control)" >"$RUN/faulty.out" 2>&1
    [ $? = 1 ] && grep -q 'unknown key mpc.treshold; the nearest known one is mpc.threshold' "$RUN/faulty.out"
}
help_lists_all() {
    local v
    "$BIN/sign-host" run --help >"$RUN/help"
    for v in AGE_KEY_S3_URI KEY_SHARES_S3_URI AWS_REGION:us-east-1 ENCLAVE_CID:16 CPU_COUNT:2 MEMORY_MIB:512 KMS_PROXY_PORT:5000 \
        KMS_PROXY_DEST_HOST:kms.REGION.amazonaws.com KMS_PROXY_DEST_PORT:443 KMS_PROXY_ENABLE:1 AWS_CREDS_VSOCK_PORT:7100 AGE_KEY_VSOCK_PORT:7101 \
        KEY_SHARES_VSOCK_PORT:7102 HOST_GRPC_PORT:50051 HOST_EGRESS_VSOCK_PORT:8080 HOST_EGRESS_TARGET_HOST:127.0.0.1 \
        HOST_EGRESS_TARGET_PORT:8080 READINESS_SLEEP_SECONDS SIGN_SERVICE_KEY_SHARE_FILE; do
        grep "(environment: ${v%:*})" "$RUN/help" | grep -q "default: .*${v#*:}\|^[^:]*$\|${v%:*}" || { echo "# $v"; return 1; }
        [ "${v#*:}" = "$v" ] || grep "(environment: ${v%:*})" "$RUN/help" | grep -q "default: [^)]*${v#*:})" || { echo "# default of $v"; return 1; }
    done
}

emulator_up
publisher_new
age_new
key_new
shares_new "$RUN/shares" 1 -n 2
age_seal "$RUN/age-private.key" "$RUN/age-private.key.enc"
"$BIN/signctl" age decrypt -i "$RUN/age-private.key" -o "$RUN/shares/service_key_shares.json" "$RUN/shares/service_key_shares.json.age" || exit 1
chmod 600 "$RUN/shares/service_key_shares.json"
export KMS_PROXY_DEST_HOST=127.0.0.1 KMS_PROXY_DEST_PORT=1 # nothing is there, and nothing is asked
config file "shares: {publishers: [\"$PUBLISHER\"]}" "mpc: {threshold: 2, total_participants: 2, key_share_file: $RUN/shares/service_key_shares.json}"
config none "shares: {publishers: [\"$PUBLISHER\"]}"
config loose 'shares: {requireSignedShares: false}'
case_ key-share-file-by-configuration by_file
case_ key-share-file-by-variable by_variable
case_ variable-before-file variable_before_file
case_ option-before-variable option_before_variable
chmod 600 "$RUN/shares/service_key_shares.json"
case_ unsigned-file-refused unsigned_refused
case_ unsigned-file-where-allowed unsigned_allowed
case_ files-that-are-none bad_files
case_ key-share-file-with-kms file_with_kms
case_ reload-through-the-injectors reload
case_ key-share-file-refused-by-other-drivers not_for_others
case_ key-share-file-refused-by-release-programs not_for_release
case_ key-share-file-needs-its-configuration needs_config
case_ malformed-variables all_malformed
case_ variables-take-effect variables
case_ no-kms-proxy no_proxy
case_ image-dials-another-port image_dials_another
case_ faulty-configuration faulty_config
case_ help-lists-every-variable help_lists_all
finish

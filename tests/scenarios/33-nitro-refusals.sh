#!/bin/bash
# Goal of this test: each reason why an enclave cannot be started or served has its code, cause and fix, exit status 1 (2: the command line), and
# leaves no process, no enclave and no file; what is left of a start that may have happened is ended.
# limit: 400
# shellcheck disable=SC2034 # variables that nitro-lib.sh reads
set -u
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/scenarios/nitro-lib.sh
. "$(dirname "$0")/nitro-lib.sh"

ours() { "$BIN/nitro-cli-emulated" describe-enclaves | jq 'map(select(.EnclaveName | startswith("sign-service"))) | length'; }
left_nothing() { [ "$(ours)" = 0 ] && [ -z "$(find "$RUN/r" "$V" /dev/shm -maxdepth 1 -newer "$RUN/mark" \( -name '*.sock' -o -name run.json -o -name '*.age' -o -name '*.enc' \) 2>/dev/null)" ]; }
# refused CODE STATUS [OPTION...]
refused() {
    local code=$1 status=$2 got
    shift 2
    touch "$RUN/mark"
    run_nitro "$RUN/r" "$@" >"$RUN/r.out" 2>"$RUN/r.err" </dev/null
    got=$?
    [ $got = "$status" ] && grep -q "$code" "$RUN/r.err" && left_nothing
}
# code E: nitro-cli's error E ends the run with our code, and E is named
e_code() {
    echo "run-enclave:$1" >"$V/nitro/fail"
    refused "^sign-host: $2: .*$1" 1 && grep -q '^fix: ' "$RUN/r.err"
}
fault() {
    echo "$1" >"$V/nitro/fail"
    refused "^sign-host: $2: " 1 "${@:3}"
}
clear_fault() { rm -f "$V/nitro/fail"; }
missing_variables() (
    unset KEY_SHARES_S3_URI
    AGE_KEY_S3_URI=$1 KEY_SHARES_S3_URI=$2 refused "$3" "$4"
)
bad_crc() (
    EIF=$RUN/crc.eif
    cp "$RUN/a.eif" "$EIF" && printf x | dd of="$EIF" bs=1 seek=700 conv=notrunc 2>/dev/null
    refused '^sign-host: EIF_CRC: ' 1
)
cut_image() (
    EIF=$RUN/cut.eif
    head -c 900 "$RUN/a.eif" >"$EIF"
    refused '^sign-host: EIF_[A-Z]*: ' 1
)
no_image() (
    EIF=$RUN/none.eif
    refused '^sign-host: NOT_FOUND: ' 1
)
little_memory() (
    MEMORY_MIB=64 EIF=$RUN/big.eif
    eif_build "$EIF" 20000000
    refused '^sign-host: NITRO_MEMORY: .*needs 77' 1
)
# real nitro-cli says it too: the same code, whoever notices
little_memory_said_by_nitro_cli() { [ "$("$BIN/nitro-cli-emulated" run-enclave --eif-path "$RUN/big.eif" --memory 64 --cpu-count 2 2>&1 >/dev/null | grep -c '\[ E26 \]\|\[ E39 \]')" = 2 ]; }
stranger() { "$BIN/nitro-cli-emulated" run-enclave --eif-path "$RUN/a.eif" --memory 128 --cpu-count 2 --enclave-cid "$2" --enclave-name "$1" >/dev/null 2>&1; }
cid_in_use() { stranger other 16 && refused '^sign-host: NITRO_CID: .*other' 1 && "$BIN/nitro-cli-emulated" terminate-enclave --enclave-name other >/dev/null 2>&1; }
name_in_use() {
    stranger sign-service-enclave 20 || return 1
    run_nitro "$RUN/r" >"$RUN/r.out" 2>"$RUN/r.err" </dev/null
    [ $? = 1 ] && grep -q '^sign-host: ENCLAVE_EXISTS: ' "$RUN/r.err" && [ "$(ours)" = 1 ] &&
        NITRO_CLI=$BIN/nitro-cli-emulated "$BIN/sign-host" stop --dir "$RUN/r" --enclave-name sign-service-enclave && [ "$(ours)" = 0 ]
}
no_nitro_cli() (
    NITRO_CLI=$RUN/no-such-program
    refused '^sign-host: NITRO_CLI: ' 1
)
tcp_in_use() (
    LISTEN=tcp:${KMS##*//}
    refused '^sign-host: EXISTS: .*gRPC' 1
)
other_injector() (
    export AGE_KEY_VSOCK_PORT=7201
    refused '^sign-host: CONFIG: .*7201' 1
)
other_kms_port() (
    export KMS_PROXY_PORT=5009
    refused '^sign-host: CONFIG: .*5009' 1
)
# nobody listens where the KMS proxy leads
kms_away() { KMS_TO=tcp:127.0.0.1:1 refused '^sign-host: CONNECT: .*the way to KMS, tcp:127.0.0.1:1 (inject 7102' 1; }
no_way_to_kms() ( KMS_PROXY_ENABLE=0 refused '^sign-host: CONNECT: .*KMS_PROXY_ENABLE is 0' 1 )
# what would be part of a URL is refused before anything is fetched
no_region() (
    export AWS_REGION=$1
    refused '^sign-host: CONFIG: .*AWS_REGION' 1 && ! grep -q IMDS "$RUN/r.out"
)
no_url() ( S3_ENDPOINT=$1 refused '^sign-host: CONFIG: .*S3_ENDPOINT' 1 )
log_is_a_pipe() {
    rm -f "$RUN/r.console.log" && mkfifo "$RUN/r.console.log"
    (refused '^sign-host: IO: .*console log' 1) && rm "$RUN/r.console.log"
}
default_driver() {
    [ ! -e /dev/nitro_enclaves ] || return 0
    "$BIN/sign-host" run 2>"$RUN/d.err"
    [ $? = 1 ] && grep -q '^sign-host: NITRO_DEVICE: .*--driver local' "$RUN/d.err"
}
# debug: PCRs are zero, which the key policy does not allow; with a key for it the status says so, and the console is there
debug_refused() { refused '^sign-host: \(KMS_DENIED\|ATT_DEBUG\): ' 1 --debug-mode; }
debug_status() {
    nitro_up d --debug-mode --no-preload || grep -q answers "$RUN/d.out" || return 1
    "$BIN/sign-host" status --dir "$RUN/d" | grep -q 'DEBUG MODE' && "$BIN/sign-host" status --dir "$RUN/d" --json | jq -e '.attested.debug and .host.debug_mode and .attested.PCR0 == ("0" * 96)' >/dev/null
}
debug_console() { timeout 20 "$BIN/sign-host" console --dir "$RUN/d" --nitro-cli "$BIN/nitro-cli-emulated" --disconnect-timeout 1 2>/dev/null | grep -q sign-core; }
no_console() {
    nitro_up e || return 1
    "$BIN/sign-host" console --dir "$RUN/e" --nitro-cli "$BIN/nitro-cli-emulated" 2>"$RUN/console.err"
    [ $? = 1 ] && grep -q 'NITRO_CONSOLE.*E44' "$RUN/console.err" && "$BIN/nitro-cli-emulated" console --enclave-name sign-service-enclave 2>&1 | grep -q '\[ E44 \]'
}
# what cannot be understood is no death: the enclave is not started a second time
describe_fails() {
    echo "describe-enclaves:garbage" >"$V/nitro/fail"
    sleep 4 # longer than a poll
    echo "describe-enclaves:E39" >"$V/nitro/fail"
    sleep 4
    clear_fault
    serving "$RUN/e" && "$BIN/sign-host" status --json --dir "$RUN/e" | jq -e '.host.restarts == 0' >/dev/null && sign_ok
}
notifies() {
    socat -u "UNIX-RECV:$RUN/notify" - >"$RUN/notified" &
    local s=$!
    wait_until 5 test -S "$RUN/notify"
    NOTIFY_SOCKET=$RUN/notify WATCHDOG_USEC=400000 nitro_up n --enclave-name notifier --enclave-cid 50 && sleep 0.5 && nitro_down n
    kill $s
    tr '\0' '\n' <"$RUN/notified" | grep -q READY=1 && grep -q 'STATUS=enclave notifier (CID 50) serves' "$RUN/notified" && grep -q STOPPING=1 "$RUN/notified" &&
        [ "$(grep -o WATCHDOG=1 "$RUN/notified" | wc -l)" -ge 2 ]
}

nitro_prepare
case_ "default-driver" default_driver
case_ "no-age-key-uri" missing_variables "" s3://bucket/k AGE_KEY_S3_URI 2
case_ "no-shares-uri" missing_variables s3://bucket/k "" KEY_SHARES_S3_URI 2
for uri in http://bucket/k s3://bucket s3://Bucket/k s3://b..c/k 's3://bucket/k?versionId='; do
    case_ "malformed-uri $uri" missing_variables s3://bucket/k "$uri" '^sign-host: S3_URI: .*KEY_SHARES_S3_URI' 1
done
for region in 'us east' ../x US-EAST-1; do
    case_ "malformed-region $region" no_region "$region"
done
case_ "malformed-s3-endpoint" no_url foo
case_ "injections-of-no-order" refused "order x: the letters k, a and s" 2 --order x
case_ "log-is-a-pipe" log_is_a_pipe
case_ "no-image" no_image
case_ "image-with-a-bad-crc" bad_crc
case_ "image-that-is-cut" cut_image
case_ "too-little-memory" little_memory
case_ "too-little-memory-by-nitro-cli" little_memory_said_by_nitro_cli
case_ "injector-port-of-no-image" other_injector
case_ "kms-port-that-is-not-measured" other_kms_port
case_ "tcp-port-in-use" tcp_in_use
case_ "no-nitro-cli" no_nitro_cli
case_ "cid-in-use" cid_in_use
case_ "name-in-use" name_in_use
for row in E02=NITRO_ARGUMENT E11=NITRO_GONE E19=NITRO_DEVICE E21=NITRO_CPUS E22=NITRO_CPUS E26=NITRO_MEMORY E27=NITRO_HUGEPAGES E29=NITRO_START E31=NITRO_START \
    E33=NITRO_START E35=NITRO_IMAGE E36=NITRO_BOOT E58=NITRO_NAME E59=NITRO_SIGNATURE; do
    case_ "${row%=*}" e_code "${row%=*}" "${row#*=}"
done
case_ "no-heartbeat" eval 'NITRO_FAKE_BOOT_MS=800 fault run-enclave:silent NITRO_BOOT'
case_ "39-without-a-code" fault run-enclave:bare NITRO
case_ "not-its-json" fault run-enclave:garbage NITRO_ANSWER
case_ "no-json" fault run-enclave:empty NITRO_ANSWER
case_ "hangs" fault run-enclave:hang TIMEOUT --start-seconds 2
case_ "list-not-its-json" fault describe-enclaves:garbage:1 NITRO_ANSWER
case_ "dies-amid-the-injection" fault run-enclave:die ENCLAVE_DIED
clear_fault
case_ "kms-away" kms_away
case_ "kms-proxy-disabled" no_way_to_kms
case_ "debug-mode-is-refused-by-kms" debug_refused
case_ "debug-mode-in-the-status" debug_status
case_ "debug-mode-console" debug_console
nitro_down d
case_ "no-console-in-production" no_console
case_ "a-list-that-fails-is-no-death" describe_fails
nitro_down e
case_ "systemd-is-told" notifies
finish

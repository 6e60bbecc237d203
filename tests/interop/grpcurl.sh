#!/bin/bash
# grpcurl as a client and ghz as load, both from the Go registry, with the protos of the repository alone: sign-service, and
# sign-gateway in front of it. Answers, refusals by their gRPC status, and thousands of calls without a failure.
set -u
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need grpcurl ghz
stack

# call PROTO HOST:PORT METHOD [JSON]: the answer as JSON
call() {
    timeout 20 "$(go_peer grpcurl)" -plaintext -import-path "$TOP/proto" -proto "$1.proto" -d "${4:-{\}}" "$2" "$3"
}

# refused STATUS-NAME PROTO HOST:PORT METHOD [JSON]
refused() {
    local want=$1
    shift
    if call "$@" >"$RUN/answer" 2>&1; then
        cat "$RUN/answer"
        return 1
    fi
    cat "$RUN/answer"
    grep -q "Code: $want\$" "$RUN/answer"
}

# says FILTER PROTO HOST:PORT METHOD [JSON]: the answer satisfies the jq filter
says() {
    local filter=$1
    shift
    call "$@" >"$RUN/answer" || return 1
    cat "$RUN/answer"
    jq -e "$filter" "$RUN/answer"
}

# load PROTO HOST:PORT METHOD CALLS AT-ONCE JSON: every call answers OK
load() {
    timeout 120 "$(go_peer ghz)" --insecure -i "$TOP/proto" --proto "$TOP/proto/$1.proto" --call "$3" -n "$4" -c "$5" --connections 4 \
        -d "$6" -O json -o "$RUN/ghz.json" "$2" || return 1
    jq -c '{count, rps, p99: (.latencyDistribution[] | select(.percentage == 99).latency / 1e6), statusCodeDistribution}' "$RUN/ghz.json"
    jq -e --argjson n "$4" '.count == $n and .statusCodeDistribution == {"OK": $n}' "$RUN/ghz.json"
}

nonce=$(head -c 32 /dev/urandom | base64 -w0)

# both NAME HOST:PORT: sign-service, or sign-gateway that passes the calls on, refusals included
both() {
    local name=$1 at=$2
    case_ "$name/health" says '.status == "SERVING"' health "$at" grpc.health.v1.Health/Check
    case_ "$name/health-of-unknown" refused NotFound health "$at" grpc.health.v1.Health/Check '{"service": "nothing"}'
    case_ "$name/status" says '.phase == "SERVING" and .accounts == "2" and .emulated' countersign "$at" countersign.v1.Enclave/Status
    case_ "$name/attest" says '.document | length > 1000' countersign "$at" countersign.v1.Enclave/Attest "{\"nonce\": \"$nonce\"}"
    case_ "$name/short-nonce" refused OutOfRange countersign "$at" countersign.v1.Enclave/Attest '{"nonce": "AAAA"}'
    case_ "$name/unknown-account" refused NotFound countersign "$at" countersign.v1.Enclave/Attest \
        "{\"nonce\": \"$nonce\", \"account_id\": \"x\"}"
    case_ "$name/bad-order" refused PermissionDenied countersign "$at" countersign.v1.Enclave/Unban '{"order": "AAAA"}'
    case_ "$name/load-health" load health "$at" grpc.health.v1.Health/Check 5000 50 '{}'
    case_ "$name/load-status" load countersign "$at" countersign.v1.Enclave/Status 2000 50 '{}'
    case_ "$name/load-attest" load countersign "$at" countersign.v1.Enclave/Attest 100 4 "{\"nonce\": \"$nonce\"}"
}

both service "$SIGN_SERVICE_GRPC"
both gateway "$GATEWAY_GRPC"
exit $failed

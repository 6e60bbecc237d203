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

# load PROTO HOST:PORT METHOD CALLS AT-ONCE JSON [NAME]: every call answers OK
load() {
    local out=$RUN/ghz-${7:-x}.json
    timeout 120 "$(go_peer ghz)" --insecure -i "$TOP/proto" --proto "$TOP/proto/$1.proto" --call "$3" -n "$4" -c "$5" --connections 4 \
        -d "$6" -O json -o "$out" "$2" || return 1
    jq -c '{count, rps, p99: (.latencyDistribution[] | select(.percentage == 99).latency / 1e6), statusCodeDistribution}' "$out"
    jq -e --argjson n "$4" '.count == $n and .statusCodeDistribution == {"OK": $n}' "$out"
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

# sign NAME HOST:PORT SERVICE: one signature; the other party is asked by another process
sign() {
    call mpc "$2" "mpc.$3/SignTx" \
        "{\"tx_id\": 7, \"execution_id\": \"Z3JwY3VybA==\", \"data\": \"$nonce\", \"account_id\": \"$ACCOUNT_ID\"}" >"$RUN/sign-$1"
}
both_sign() {
    sign gateway "$GATEWAY_GRPC" SignGateway &
    sign participant "$1" Participant && wait $! && cat "$RUN/sign-gateway" &&
        cmp "$RUN/sign-gateway" "$RUN/sign-participant" && jq -e '(.r | length) == 44 and (.s | length) == 44' "$RUN/sign-gateway"
}

# load_sign CALLS AT-ONCE PARTICIPANT: ghz on both sides, the same requests; each is a signature of its own
load_sign() {
    # shellcheck disable=SC2016 # templates of ghz
    local message='{"tx_id": "{{.RequestNumber}}", "execution_id": "{{printf `%016d` .RequestNumber}}",
        "data": "{{printf `%042d` .RequestNumber}}A=", "account_id": "'$ACCOUNT_ID'"}'
    load mpc "$GATEWAY_GRPC" mpc.SignGateway/SignTx "$1" "$2" "$message" gateway &
    load mpc "$3" mpc.Participant/SignTx "$1" "$2" "$message" participant && wait $!
}

both service "$SIGN_SERVICE_GRPC"
both gateway "$GATEWAY_GRPC"
participant ours
case_ gateway/sign both_sign "$(cat "$RUN/ours.at")"
case_ gateway/load-sign load_sign 400 32 "$(cat "$RUN/ours.at")"
participants_end
exit $failed
